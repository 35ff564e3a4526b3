#include "base/limits.h"
#include "context/context.h"
#include "context/pattern_priv.h"
#include "sys/path.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>

#define MAX_LINKS 255 /* as the reference implementation follows */

/* A place in the tree: the directory we are in, with what the patterns say of it. */
struct level {
    int fd;
    size_t path_len; /* of path up to here */
    unsigned char *state;
};

struct finder {
    int root_fd;
    const struct ignore *ignore;
    struct buf path;          /* where we are, without symlinks; "" = the root */
    VEC(struct level) levels; /* the directories of path; the root is not among them */
    struct buf todo;          /* components still to go */
    int links;
};

static void finder_release(struct finder *f)
{
    for (size_t i = 0; i < f->levels.n; i++) {
        close(f->levels.items[i].fd);
        free(f->levels.items[i].state);
    }
    vec_free(&f->levels);
    buf_release(&f->path);
    buf_release(&f->todo);
}

static int here(const struct finder *f)
{
    return f->levels.n ? f->levels.items[f->levels.n - 1].fd : f->root_fd;
}

static void go_up(struct finder *f)
{
    if (f->levels.n == 0)
        return;
    struct level *l = &f->levels.items[--f->levels.n];
    close(l->fd);
    free(l->state);
    f->path.len = f->levels.n ? f->levels.items[f->levels.n - 1].path_len : 0;
    if (f->path.data)
        f->path.data[f->path.len] = '\0';
}

/* ---- is there anything included below an excluded directory? ---- */

static struct err *any_included(int dir_fd, struct buf *path, const struct ignore *ignore, const unsigned char *state,
                                int depth, bool *ret_any);

static struct err *child_included(int dir_fd, const char *name, struct buf *path, const struct ignore *ignore,
                                  const unsigned char *state, int depth, bool *ret_any)
{
    AUTO_FREE unsigned char *own = xcalloc(1, ignore_state_size(ignore) + 1);
    size_t len = path->len;
    struct err *e = NULL;

    buf_printf(path, "/%s", name);
    *ret_any = !ignore_excludes_in(ignore, path->data, state, own);
    if (!*ret_any && !ignore_can_skip_below(ignore, path->data)) {
        AUTO_CLOSE int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        if (fd >= 0)
            e = any_included(fd, path, ignore, own, depth + 1, ret_any);
    }
    path->len = len;
    path->data[len] = '\0';
    return e;
}

static bool is_dot(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static struct err *any_included(int dir_fd, struct buf *path, const struct ignore *ignore, const unsigned char *state,
                                int depth, bool *ret_any)
{
    bool any = false;
    struct err *e = NULL;
    const struct dirent *d;
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);

    if (depth > LIMIT_WALK_DEPTH)
        e = err_new(ERR_DOCKERFILE, "'%s' is more than %d directories deep", path->data, LIMIT_WALK_DEPTH);
    while (dir && !e && !any && (d = readdir(dir)) != NULL) {
        if (!is_dot(d->d_name))
            e = child_included(fd, d->d_name, path, ignore, state, depth, &any);
    }
    if (dir)
        closedir(dir);
    else
        close_fd(&fd);
    *ret_any = any;
    return e;
}

/* ---- one component at a time ---- */

/* Puts the symlink's target before what is still to do. */
static struct err *follow(struct finder *f, int fd)
{
    char target[LIMIT_PATH_BYTES + 1];
    ssize_t n = readlinkat(fd, "", target, sizeof(target) - 1);

    if (n < 0)
        return err_sys(errno, "cannot read the symlink '%s'", buf_str(&f->path));
    if (++f->links > MAX_LINKS)
        return err_set_kind(err_sys(ELOOP, "cannot follow '%s'", buf_str(&f->path)), ERR_DOCKERFILE);
    target[n] = '\0';
    AUTO_FREE char *rest = buf_steal(&f->todo);
    buf_printf(&f->todo, "%s/%s", target, rest);
    while (*target == '/' && f->levels.n)
        go_up(f);
    return NULL;
}

/* What the patterns say of the name just added to f->path. */
static struct err *is_there(struct finder *f, int fd, const struct stat *st, unsigned char *state, bool *ret_there)
{
    const unsigned char *parent = f->levels.n ? f->levels.items[f->levels.n - 1].state : NULL;

    *ret_there = true;
    if (!f->ignore || !ignore_excludes_in(f->ignore, f->path.data, parent, state))
        return NULL;
    *ret_there = false;
    if (!S_ISDIR(st->st_mode) || ignore_can_skip_below(f->ignore, f->path.data))
        return NULL;
    return any_included(fd, &f->path, f->ignore, state, (int)f->levels.n, ret_there);
}

/* Enters `name`; *ret_there false: it does not exist, or there is no way further. */
static struct err *go_into(struct finder *f, const char *name, bool last, bool *ret_there)
{
    AUTO_FREE unsigned char *state = f->ignore ? xcalloc(1, ignore_state_size(f->ignore) + 1) : NULL;
    AUTO_CLOSE int fd = openat(here(f), name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    size_t len = f->path.len;
    struct stat st;

    *ret_there = false;
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG ? NULL
                                                                            : err_sys(errno, "cannot open '%s'", name);
    if (fstat(fd, &st) < 0)
        return err_sys(errno, "cannot look at '%s'", name);
    buf_printf(&f->path, "%s%s", len ? "/" : "", name);
    TRY(is_there(f, fd, &st, state, ret_there));
    if (!*ret_there)
        return NULL;
    if (S_ISLNK(st.st_mode)) {
        f->path.len = len;
        f->path.data[len] = '\0';
        return follow(f, fd);
    }
    *ret_there = last || S_ISDIR(st.st_mode);
    vec_push(&f->levels, ((struct level){ steal_fd(&fd), f->path.len, steal(&state) }));
    return NULL;
}

/* The next component of f->todo; the caller frees. NULL: none left. *ret_last: it was the last. */
static char *next_component(struct finder *f, bool *ret_last)
{
    const char *s = buf_str(&f->todo);
    size_t skip = strspn(s, "/"), n = strcspn(s + skip, "/");

    if (n == 0)
        return NULL;
    char *name = xstrndup(s + skip, n);
    AUTO_FREE char *rest = xstrdup(s + skip + n);
    buf_clear(&f->todo);
    buf_puts(&f->todo, rest);
    *ret_last = rest[strspn(rest, "/")] == '\0';
    return name;
}

static struct err *walk_components(struct finder *f, bool *ret_there)
{
    bool there = true;

    while (there) {
        bool last = false;
        AUTO_FREE char *name = next_component(f, &last);

        if (!name)
            break;
        if (strcmp(name, "..") == 0)
            go_up(f);
        else if (strcmp(name, ".") != 0)
            TRY(go_into(f, name, last, &there));
        if (f->todo.len > LIMIT_PATH_BYTES * 4)
            return err_new(ERR_DOCKERFILE, "a path is longer than %d bytes", LIMIT_PATH_BYTES * 4);
    }
    *ret_there = there;
    return NULL;
}

struct err *context_find(int root_fd, const char *path, const struct ignore *ignore, char **ret_path)
{
    __attribute__((cleanup(finder_release))) struct finder f = { .root_fd = root_fd, .ignore = ignore };
    AUTO_FREE char *clean = path_join("/", path);
    bool there = false;

    buf_puts(&f.todo, clean);
    TRY(err_wrap(walk_components(&f, &there), "cannot find '%s'", path));
    *ret_path = !there ? NULL : f.path.len ? buf_steal(&f.path) : xstrdup(".");
    return NULL;
}

struct err *context_open_real(int root_fd, const char *real, int flags, int *ret_fd)
{
    return path_open(root_fd, real, flags | O_NOFOLLOW, 0, ret_fd);
}

/* ---- wildcards ---- */

struct globber {
    int root_fd;
    const struct ignore *ignore;
    struct strs *out;
};

/* Names in the directory that match, sorted. */
static struct err *list_matches(int root_fd, const char *dir, const char *pattern, struct strs *names)
{
    AUTO_CLOSE int fd = -1;
    const struct dirent *d;

    TRY(context_open_real(root_fd, dir, O_RDONLY | O_DIRECTORY, &fd));
    DIR *listing = fdopendir(fd);
    if (!listing)
        return err_sys(errno, "cannot read '%s'", dir);
    (void)steal_fd(&fd);
    while ((d = readdir(listing)) != NULL) {
        if (!is_dot(d->d_name) && glob_matches(pattern, d->d_name))
            strs_add(names, d->d_name);
    }
    closedir(listing);
    strs_sort(names);
    return NULL;
}

/* Do the patterns leave `path` (without symlinks) there? Asked for each directory on the way, as a walk does. */
static struct err *is_left(const struct ignore *ignore, int fd, const char *path, bool is_dir, bool *ret_left)
{
    size_t size = ignore_state_size(ignore) + 1;
    AUTO_FREE unsigned char *parent = xcalloc(1, size), *own = xcalloc(1, size);
    AUTO(buf_release) struct buf at = BUF_INIT;
    bool first = true, excluded = false;

    for (const char *s = path; *s; first = false) {
        size_t n = strcspn(s, "/");

        buf_printf(&at, "%s%.*s", first ? "" : "/", (int)n, s);
        memcpy(parent, own, size);
        excluded = ignore_excludes_in(ignore, at.data, first ? NULL : parent, own);
        s += n + (s[n] == '/');
    }
    *ret_left = !excluded;
    if (!excluded || !is_dir || ignore_can_skip_below(ignore, path))
        return NULL;
    return any_included(fd, &at, ignore, own, 0, ret_left);
}

/* Is it there, and a directory? A symlink counts itself, not its target. */
static struct err *look_at(const struct globber *g, const char *path, bool *ret_there, bool *ret_dir)
{
    AUTO_CLOSE int fd = -1;
    struct stat st;

    *ret_there = *ret_dir = false;
    TRY(path_open_if_exists(g->root_fd, path, O_PATH | O_NOFOLLOW, &fd));
    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) < 0)
        return err_sys(errno, "cannot look at '%s'", path);
    *ret_dir = S_ISDIR(st.st_mode);
    *ret_there = true;
    return g->ignore ? is_left(g->ignore, fd, path, *ret_dir, ret_there) : NULL;
}

/* All that `pattern` ("x*" "/b" "/c?") names below directory dir. */
static struct err *glob_below(const struct globber *g, const char *dir, const char *pattern, int depth)
{
    AUTO(strs_release) struct strs names = { 0 };
    size_t n = strcspn(pattern, "/");
    AUTO_FREE char *component = xstrndup(pattern, n);

    if (depth > LIMIT_WALK_DEPTH)
        return err_new(ERR_DOCKERFILE, "more than %d directories deep", LIMIT_WALK_DEPTH);
    TRY(list_matches(g->root_fd, dir, component, &names));
    for (size_t i = 0; i < names.n; i++) {
        AUTO_FREE char *path = path_join(dir, names.items[i]);
        bool there, is_dir;

        TRY(look_at(g, path, &there, &is_dir));
        if (there && !pattern[n])
            strs_add(g->out, path);
        else if (there && is_dir)
            TRY(glob_below(g, path, pattern + n + 1, depth + 1));
    }
    return NULL;
}

/* Where the first component with a wildcard begins; the end if there is none. */
static size_t first_wildcard(const char *pattern)
{
    size_t at = 0;

    while (pattern[at]) {
        size_t n = strcspn(pattern + at, "/");
        AUTO_FREE char *component = xstrndup(pattern + at, n);

        if (glob_has_wildcard(component))
            break;
        at += n + (pattern[at + n] == '/');
    }
    return at;
}

bool context_has_wildcard(const char *pattern)
{
    return pattern[first_wildcard(pattern)] != '\0';
}

struct err *context_glob(int root_fd, const char *pattern, const struct ignore *ignore, struct strs *ret_paths)
{
    AUTO_FREE char *rooted = path_join("/", pattern);
    const char *clean = rooted + 1;
    size_t wild = first_wildcard(clean);
    AUTO_FREE char *before = xstrndup(clean, wild), *dir = NULL;
    AUTO(strs_release) struct strs out = { 0 };
    struct globber g = { root_fd, ignore, &out };
    AUTO_CLOSE int fd = -1;

    if (clean[wild] && !glob_is_valid(clean))
        return err_new(ERR_DOCKERFILE, "malformed pattern '%s'", pattern);
    TRY(context_find(root_fd, before, ignore, &dir));
    if (dir && !clean[wild])
        strs_add(&out, *clean ? clean : ".");
    else if (dir)
        TRY(path_open_if_exists(root_fd, dir, O_PATH | O_DIRECTORY | O_NOFOLLOW, &fd));
    if (fd >= 0)
        TRY(err_wrap(glob_below(&g, dir, clean + wild, 0), "cannot find '%s'", pattern));
    *ret_paths = out;
    out = (struct strs){ 0 };
    return NULL;
}
