#include "build/copy.h"

#include "base/limits.h"
#include "base/suggest.h"
#include "build/copy_priv.h"
#include "context/context.h"
#include "dockerfile/dockerfile.h"
#include "snapshot/unpack.h"
#include "sys/file.h"
#include "sys/path.h"
#include "tar/decompress.h"
#include "tar/tar.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>

#define IMPLIED_MODE 0755

/* One thing to copy: a path as the user wrote it, wildcards resolved, and where it really is. */
struct source_path {
    const char *path; /* its last component names the copy */
    char *real;
    int fd;     /* a directory: open; else its parent directory */
    char *name; /* NULL: a directory */
    unsigned char type;
};

struct dest {
    char *real; /* without symlinks, "" = the root */
    bool is_dir, exists;
};

static void dest_release_auto(struct dest *d)
{
    free(d->real);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

static mode_t implied_mode(const struct copier *c)
{
    return c->octal >= 0 ? (mode_t)c->octal & 0777 : IMPLIED_MODE;
}

/* ---- a source that is not there ---- */

/* The name in the source's directory that is most like it; the caller frees. NULL: none is like it. */
static char *nearest(const struct copy_spec *s, const char *path)
{
    AUTO_FREE char *clean = path_join("/", path), *real = NULL;
    const char *name = base_name(clean);
    size_t best = strlen(name) / 3 + 1;
    AUTO(strs_release) struct strs names = { 0 };
    AUTO_FREE char *dir = xstrndup(clean, (size_t)(name - clean)), *found = NULL;
    AUTO_FREE char *all = xasprintf("%s*", dir);

    err_free(context_glob(s->from_fd, all, s->ignore, &names));
    for (size_t i = 0; i < names.n; i++) {
        size_t d = suggest_distance(base_name(names.items[i]), name, best);

        if (d > best || (found && d == best))
            continue;
        best = d;
        free(found);
        found = xstrdup(names.items[i]);
    }
    return steal(&found);
}

/* Where the symlink `path` leads to; NULL: it is none. The caller frees. */
static char *link_target(const struct copy_spec *s, const char *path)
{
    char text[LIMIT_PATH_BYTES];
    AUTO_CLOSE int fd = -1;

    err_free(path_open_if_exists(s->from_fd, path, O_PATH | O_NOFOLLOW, &fd));
    ssize_t n = fd >= 0 ? readlinkat(fd, "", text, sizeof(text)) : -1;
    return n > 0 ? xstrndup(text, (size_t)n) : NULL;
}

static struct err *missing(const struct copy_spec *s, const char *path)
{
    const char *where = s->from_image ? "the source image or stage" : "the build context";
    struct err *e = err_blame(err_new(ERR_DOCKERFILE, "'%s' not found in %s", path, where), path);
    AUTO_FREE char *there = NULL, *like = NULL, *target = link_target(s, path);

    if (s->ignore)
        err_free(context_find(s->from_fd, path, NULL, &there));
    if (there) {
        const char *why = ignore_why(s->ignore, there);

        if (why)
            return err_hint(e, "It is there, but excluded by '%s' in .dockerignore.", why);
        return err_hint(e, "It is there, but excluded by .dockerignore.");
    }
    if (target)
        return err_hint(e, "It is a symbolic link to '%s', which is not there.", target);
    like = nearest(s, path);
    return like ? err_hint(e, "Did you mean '%s'?", like) : e;
}

/* ---- sources ---- */

static void source_path_release(struct source_path *s)
{
    close_fd(&s->fd);
    free(s->real);
    free(s->name);
}

/* *src is released by the caller, also after an error. */
static struct err *open_source(const struct copy_spec *s, const char *path, struct source_path *src)
{
    struct stat st;

    src->path = path;
    TRY(context_find(s->from_fd, path, s->ignore, &src->real));
    if (!src->real)
        return missing(s, path);
    TRY(context_open_real(s->from_fd, src->real, O_PATH, &src->fd));
    if (fstat(src->fd, &st) < 0)
        return err_sys(errno, "cannot look at '%s'", path);
    if (S_ISDIR(st.st_mode))
        return NULL;
    close_fd(&src->fd);
    src->type = IFTODT(st.st_mode);
    return path_open_parent(s->from_fd, src->real, &src->fd, &src->name);
}

/* ---- destination ---- */

static bool names_directory(const char *dest)
{
    size_t n = strlen(dest);

    return n == 0 || dest[n - 1] == '/' || (n >= 2 && strcmp(dest + n - 2, "/.") == 0);
}

static struct err *mkdirs(const struct copier *c, const char *real, mode_t mode)
{
    AUTO_CLOSE int fd = -1;

    return copy_mkdirs(c, real, mode, &fd);
}

static struct err *mkdirs_parent(const struct copier *c, const char *real, mode_t mode)
{
    AUTO_FREE char *dir = xstrdup(real);
    char *slash = strrchr(dir, '/');

    if (!slash)
        return NULL;
    *slash = '\0';
    return mkdirs(c, dir, mode);
}

static struct err *look_at_dest(const struct copier *c, struct dest *d)
{
    AUTO_CLOSE int fd = -1;
    struct stat st;

    TRY(path_open_if_exists(c->to_fd, *d->real ? d->real : "/", O_PATH | O_NOFOLLOW, &fd));
    if (fd >= 0 && fstat(fd, &st) < 0)
        return err_sys(errno, "cannot look at '/%s'", d->real);
    d->exists = fd >= 0;
    d->is_dir = fd >= 0 && S_ISDIR(st.st_mode);
    if (c->link && !c->dest_made) /* what is there belongs to other layers */
        d->exists = d->is_dir = false;
    return NULL;
}

/* Where dest leads to, with what is above it made. The caller frees d->real, also after an error. */
static struct err *open_dest(struct copier *c, struct dest *d)
{
    const char *text = c->spec->dest;

    TRY(copy_resolve(c, text, &d->real));
    if (names_directory(text)) {
        TRY(mkdirs(c, d->real, implied_mode(c)));
        c->dest_made = true;
    } else {
        TRY(mkdirs_parent(c, d->real, implied_mode(c)));
    }
    return look_at_dest(c, d);
}

static void set_path(struct buf *b, const char *path)
{
    buf_clear(b);
    buf_puts(b, strcmp(path, ".") == 0 ? "" : path);
    (void)buf_str(b);
}

static struct err *copy_directory(struct copier *c, const struct source_path *src, struct dest *d)
{
    AUTO_CLOSE int fd = -1;

    set_path(&c->src, src->real);
    set_path(&c->dst, d->real);
    if (d->exists && !d->is_dir)
        return err_new(ERR_DOCKERFILE, "cannot copy the directory '%s' to '/%s', which is not a directory", src->path,
                       d->real);
    if (d->exists && !c->link)
        TRY(path_open(c->to_fd, *d->real ? d->real : "/", O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, &fd));
    else
        TRY(copy_mkdirs(c, d->real, implied_mode(c), &fd));
    c->dest_made = true;
    return copy_tree(c, src->fd, fd);
}

/* The directory and the name for a file called `name` at dest. */
static struct err *file_place(struct copier *c, const char *name, const struct dest *d, int *ret_fd, char **ret_name)
{
    set_path(&c->dst, d->real);
    if (d->is_dir)
        (void)copy_push(&c->dst, name);
    return path_open_parent(c->to_fd, c->dst.data, ret_fd, ret_name);
}

static struct err *copy_file(struct copier *c, const struct source_path *src, const struct dest *d)
{
    AUTO_CLOSE int fd = -1;
    AUTO_FREE char *name = NULL;

    set_path(&c->src, src->real);
    TRY(file_place(c, base_name(src->path), d, &fd, &name));
    c->dest_made = true; /* what the next source finds there is ours */
    return copy_entry(c, src->fd, src->name, src->type, fd, name);
}

/* ---- archives ---- */

/* Paths as seen from the destination, and from the root. */
struct unpacked {
    const struct copy_spec *spec;
    const char *dest;
};

static void note_unpacked(void *ctx, const char *path, const struct owner *o)
{
    const struct unpacked *u = ctx;
    AUTO_FREE char *full = *u->dest ? xasprintf("%s/%s", u->dest, path) : xstrdup(path);

    u->spec->note_owner(u->spec->ctx, full, o);
}

/* The destination is the archive's root: no symlink on the way of an entry leads out of it. */
static struct err *unpack_into(struct copier *c, int fd, const char *dest)
{
    const struct copy_spec *s = c->spec;
    AUTO(decompress_free) struct decompressor *d = NULL;
    AUTO_CLOSE int dir = -1;
    struct unpacked u = { .spec = s, .dest = dest };
    struct unpack_opts opts = { .owners = s->owners,
                                .chown = s->chown,
                                .chmod = -1, /* BuildKit: --chmod does not touch what is unpacked */
                                .note_owner = s->note_owner ? note_unpacked : NULL,
                                .ctx = &u,
                                .cancel = s->cancel };

    TRY(path_open(c->to_fd, *dest ? dest : "/", O_RDONLY | O_DIRECTORY, 0, &dir));
    TRY(decompress_new(file_source(&fd), &d));
    return unpack_tar(decompress_source(d), dir, "/", &opts);
}

/* The data is the user's: what a registry would be blamed for is wrong in the context here. */
static struct err *blame_archive(struct err *e, const char *path)
{
    if (e && err_kind(e) == ERR_REGISTRY)
        e = err_set_kind(e, ERR_DOCKERFILE);
    return err_wrap(e, "cannot unpack '%s'", path);
}

static struct err *try_unpack(struct copier *c, const struct source_path *src, bool *ret_done)
{
    AUTO_CLOSE int fd = -1;
    AUTO_FREE char *dest = NULL;
    struct stat st;

    *ret_done = false;
    if (!src->name || src->type != DT_REG)
        return NULL;
    fd = openat(src->fd, src->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || !tar_probe(fd))
        return NULL;
    if (lseek(fd, 0, SEEK_SET) < 0)
        return err_sys(errno, "cannot read '%s'", src->path);
    TRY(copy_resolve(c, c->spec->dest, &dest));
    TRY(mkdirs(c, dest, IMPLIED_MODE));
    c->dest_made = true;
    TRY(blame_archive(unpack_into(c, fd, dest), src->path));
    c->stats.files++;
    c->stats.bytes += (uint64_t)st.st_size;
    *ret_done = true;
    return NULL;
}

/* ---- one source of the instruction ---- */

static struct err *sum_one(struct copier *c, const struct source_path *src)
{
    set_path(&c->src, src->real);
    copy_sum_source(c->spec->sum, src->path, src->real);
    return src->name ? copy_entry(c, src->fd, src->name, src->type, -1, NULL) : copy_tree(c, src->fd, -1);
}

static struct err *copy_one(struct copier *c, const char *path)
{
    __attribute__((cleanup(source_path_release))) struct source_path src = { .fd = -1 };
    const struct copy_spec *s = c->spec;
    AUTO(dest_release) struct dest d = { 0 };
    bool done = false;

    TRY(open_source(s, path, &src));
    if (s->sum)
        return sum_one(c, &src);
    if (s->unpack == 1 || (s->add && s->unpack != 0))
        TRY(try_unpack(c, &src, &done));
    if (done)
        return NULL;
    TRY(open_dest(c, &d));
    c->links = map_new(free);
    struct err *e = src.name ? copy_file(c, &src, &d) : copy_directory(c, &src, &d);
    map_free(c->links);
    c->links = NULL;
    return e;
}

/* A pattern may match nothing, but the directory that it looks into must be there: that is no pattern. */
static struct err *check_pattern_dir(const struct copy_spec *s, const char *pattern)
{
    AUTO_FREE char *dir = path_join("/", pattern), *real = NULL;

    do {
        *strrchr(dir, '/') = '\0';
    } while (*dir && context_has_wildcard(dir));
    if (!*dir)
        return NULL;
    TRY(context_find(s->from_fd, dir + 1, s->ignore, &real));
    return real ? NULL : missing(s, dir + 1);
}

static struct err *copy_pattern(struct copier *c, const char *pattern)
{
    AUTO(strs_release) struct strs found = { 0 };

    if (c->spec->literal || !context_has_wildcard(pattern)) {
        AUTO_FREE char *clean = path_join("/", pattern);

        return copy_one(c, clean[1] ? clean + 1 : ".");
    }
    TRY(context_glob(c->spec->from_fd, pattern, c->spec->ignore, &found));
    if (found.n == 0)
        return check_pattern_dir(c->spec, pattern);
    for (size_t i = 0; i < found.n; i++)
        TRY(copy_one(c, found.items[i]));
    return NULL;
}

/* --parents: "dir/./pattern" copies what pattern finds below dir, with the directories between. */
static struct err *copy_parents(struct copier *c, const char *text)
{
    const char *pivot = strstr(text, "/./");
    AUTO_FREE char *root = pivot ? xstrndup(text, (size_t)(pivot - text)) : xstrdup("/");
    AUTO_FREE char *clean = path_join("/", pivot ? pivot + 3 : text);
    AUTO(ignore_free) struct ignore *include = NULL;
    AUTO(strs_release) struct strs patterns = { 0 };
    struct err *e;

    if (clean[1]) {
        strs_add(&patterns, clean + 1);
        TRY(ignore_from_patterns(&patterns, &include));
    }
    c->include = include;
    c->included = 0;
    e = copy_pattern(c, root);
    c->include = NULL;
    if (!e && clean[1] && c->included == 0 && !context_has_wildcard(text))
        e = missing(c->spec, text);
    return e;
}

static struct err *copy_here_document(struct copier *c)
{
    const char *name = c->spec->inline_name;
    AUTO_CLOSE int fd = -1;
    AUTO_FREE char *file = NULL;
    AUTO(dest_release) struct dest d = { 0 };

    if (!*name || strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return err_new(ERR_DOCKERFILE, "'%s' cannot be the name of a file", name);
    TRY(open_dest(c, &d));
    TRY(file_place(c, name, &d, &fd, &file));
    return copy_inline(c, fd, file);
}

/* ---- the instruction ---- */

static struct err *read_chmod(struct copier *c)
{
    const char *text = c->spec->chmod;
    mode_t mode;

    c->octal = -1;
    if (!text)
        return NULL;
    TRY(df_chmod(text, S_IFREG | 0644, &mode)); /* a wrong one must fail even if nothing is copied */
    if (*text && strspn(text, "01234567") == strlen(text))
        c->octal = (int)(mode & 07777);
    return NULL;
}

static struct err *copy_sources(struct copier *c)
{
    const struct copy_spec *s = c->spec;

    if (s->inline_name)
        return s->sum ? NULL : copy_here_document(c);
    for (size_t i = 0; i < s->sources.n; i++)
        TRY(s->parents ? copy_parents(c, s->sources.items[i]) : copy_pattern(c, s->sources.items[i]));
    return NULL;
}

struct err *copy_check_source(const struct copy_spec *s, const char *path)
{
    const char *pivot = s->parents ? strstr(path, "/./") : NULL;
    AUTO_FREE char *root = pivot ? xstrndup(path, (size_t)(pivot - path)) : xstrdup(s->parents ? "/" : path);
    AUTO_FREE char *clean = path_join("/", root), *real = NULL;
    const char *name = clean[1] ? clean + 1 : ".";

    if (!s->literal && context_has_wildcard(root))
        return NULL;
    TRY(context_find(s->from_fd, name, s->ignore, &real));
    return real ? NULL : missing(s, name);
}

struct err *copy_into(int to_fd, const struct copy_spec *spec, struct copy_stats *ret_stats)
{
    struct copier c = { .spec = spec, .to_fd = to_fd };
    struct err *e;

    /* BuildKit makes no layer of its own if there is a --chmod */
    c.link = spec->link && !spec->chmod;
    TRY(read_chmod(&c));
    if (!spec->sum && fstat(to_fd, &c.to_st) < 0)
        return err_sys(errno, "cannot look at the root");
    c.io = xcalloc(1, COPY_IO_BYTES);
    e = copy_sources(&c);
    free(c.io);
    buf_release(&c.src);
    buf_release(&c.dst);
    if (!e)
        *ret_stats = c.stats;
    return e;
}
