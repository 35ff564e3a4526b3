/* hidden.c - which paths of a directory the ignore file leaves out. */
#include "base/limits.h"
#include "base/mem.h"
#include "context/context.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>

struct hidden_walk {
    const struct ignore *ignore;
    struct buf path;    /* from the context's root, for the patterns */
    size_t root_len;    /* of path, at the directory whose hidden paths are wanted */
    struct strs *paths; /* the answer so far */
    int depth;
};

static struct err *walk_dir(struct hidden_walk *w, int dir_fd, const unsigned char *state, bool *ret_visible);

/* path below the walk's root */
static const char *relative(struct hidden_walk *w)
{
    const char *text = buf_str(&w->path) + w->root_len;

    return *text == '/' ? text + 1 : text;
}

static void forget_after(struct strs *paths, size_t n)
{
    while (paths->n > n)
        free(paths->items[--paths->n]);
}

static bool is_dir(int dir_fd, const struct dirent *entry)
{
    struct stat st;

    if (entry->d_type != DT_UNKNOWN)
        return entry->d_type == DT_DIR;
    return fstatat(dir_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

static struct err *walk_below(struct hidden_walk *w, int dir_fd, const char *name, const unsigned char *state,
                              bool *ret_visible)
{
    AUTO_CLOSE int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return err_sys(errno, "cannot open '%s' of the build context", buf_str(&w->path));
    if (++w->depth > LIMIT_WALK_DEPTH)
        return err_new(ERR_DOCKERFILE, "the build context is nested deeper than %d directories", LIMIT_WALK_DEPTH);
    struct err *e = walk_dir(w, fd, state, ret_visible);
    w->depth--;
    return e;
}

/* An excluded directory is there all the same if something below it is included again. */
static struct err *walk_entry(struct hidden_walk *w, int dir_fd, const struct dirent *entry,
                              const unsigned char *parent, bool *ret_visible)
{
    AUTO_FREE unsigned char *state = xcalloc(1, ignore_state_size(w->ignore) + 1);
    bool excluded = ignore_excludes_in(w->ignore, buf_str(&w->path), parent, state);
    bool below = is_dir(dir_fd, entry) && !(excluded && ignore_can_skip_below(w->ignore, buf_str(&w->path)));
    size_t before = w->paths->n;
    bool visible_below = false;

    if (below)
        TRY(walk_below(w, dir_fd, entry->d_name, state, &visible_below));
    *ret_visible = !excluded || visible_below;
    if (*ret_visible)
        return NULL;
    forget_after(w->paths, before);
    strs_add(w->paths, relative(w));
    return NULL;
}

static struct err *walk_dir(struct hidden_walk *w, int dir_fd, const unsigned char *state, bool *ret_visible)
{
    int fd = fcntl(dir_fd, F_DUPFD_CLOEXEC, 0);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct err *e = NULL;
    size_t len = w->path.len;

    *ret_visible = false;
    if (!dir)
        return err_sys(errno, "cannot read '%s' of the build context", buf_str(&w->path));
    for (struct dirent *entry; !e && (entry = readdir(dir));) { // NOLINT(concurrency-mt-unsafe): a stream of our own
        bool visible = false;

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        buf_printf(&w->path, "%s%s", len ? "/" : "", entry->d_name);
        e = walk_entry(w, dir_fd, entry, state, &visible);
        *ret_visible = *ret_visible || visible;
        w->path.len = len;
    }
    closedir(dir);
    return e;
}

/* The state of the directory `real` as a walk from the context's root would have it. */
static unsigned char *state_of(const struct ignore *ignore, const char *real)
{
    unsigned char *state = NULL;

    for (const char *p = real; *real && p; p = *p ? p : NULL) {
        p += strcspn(p, "/");
        AUTO_FREE char *part = xstrndup(real, (size_t)(p - real));
        unsigned char *own = xcalloc(1, ignore_state_size(ignore) + 1);

        (void)ignore_excludes_in(ignore, part, state, own);
        free(state);
        state = own;
        p += *p == '/';
    }
    return state;
}

struct err *context_hidden(int root_fd, const char *real, const struct ignore *ignore, struct strs *ret_paths)
{
    struct hidden_walk w = { .ignore = ignore, .paths = ret_paths };
    AUTO_CLOSE int fd = -1;
    bool visible;

    TRY(context_open_real(root_fd, real, O_RDONLY | O_DIRECTORY, &fd));
    if (strcmp(real, ".") != 0)
        buf_puts(&w.path, real);
    w.root_len = w.path.len;
    AUTO_FREE unsigned char *state = state_of(ignore, buf_str(&w.path));
    struct err *e = walk_dir(&w, fd, state, &visible);
    buf_release(&w.path);
    return e;
}
