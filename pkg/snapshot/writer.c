#include "snapshot/writer_priv.h"

#include "base/buf.h"
#include "base/limits.h"
#include "base/map.h"
#include "sys/file.h"
#include "sys/image_xattr.h"
#include "sys/path.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#define CHUNK_BYTES 65536

struct layer_writer {
    const struct commit_opts *opts;
    const struct cancel *cancel;
    struct commit_stats *stats;
    struct tar_writer *tar;
    struct map *links; /* "dev:ino" of files with several names -> path of the first */
    char *chunk;       /* CHUNK_BYTES of content */
};

struct layer_writer *layer_writer_new(const struct commit_opts *opts, struct sink out, const struct cancel *cancel,
                                      struct commit_stats *stats)
{
    struct layer_writer *w = xcalloc(1, sizeof(*w));

    w->opts = opts;
    w->cancel = cancel;
    w->stats = stats;
    w->tar = tar_writer_new(out);
    w->links = map_new(free);
    w->chunk = xcalloc(1, CHUNK_BYTES);
    return w;
}

bool layer_writer_ignores(const struct layer_writer *w, const char *path)
{
    const struct strs *ignore = w->opts->ignore;

    for (size_t i = 0; ignore && i < ignore->n; i++) {
        const char *p = ignore->items[i] + strspn(ignore->items[i], "/");
        size_t n = strlen(p);

        while (n && p[n - 1] == '/')
            n--;
        if (n && strncmp(path, p, n) == 0 && path[n] == '\0')
            return true;
    }
    return false;
}

/* ---- reading what an entry needs ---- */

/* BuildKit's layers have capabilities and no other attribute. */
static bool is_layer_xattr(const char *name)
{
    return strcmp(name, "security.capability") == 0;
}

static bool is_image_xattr(const char *name)
{
    static const char *const kept[] = { "user.", "security.capability", "system.posix_acl_" };

    if (strncmp(name, OVERLAY_XATTR_PREFIX, strlen(OVERLAY_XATTR_PREFIX)) == 0)
        return false;
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
        if (strncmp(name, kept[i], strlen(kept[i])) == 0)
            return true;
    return false;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct tar_xattr *)a)->name, ((const struct tar_xattr *)b)->name);
}

static struct err *xattr_read(int fd, const char *name, struct tar_entry *e)
{
    AUTO_FREE char *value = NULL;
    ssize_t n = image_xattr_get(fd, name, NULL, 0);

    if (n > LIMIT_XATTR_BYTES)
        return err_new(ERR_DISK, "extended attribute '%s' is larger than %d bytes", name, LIMIT_XATTR_BYTES);
    value = xcalloc(1, (size_t)(n < 0 ? 0 : n) + 1);
    if (n > 0)
        n = image_xattr_get(fd, name, value, (size_t)n);
    if (n < 0)
        return errno == ENODATA ? NULL : err_sys(errno, "cannot read extended attribute '%s'", name);
    e->xattrs = xreallocarray(e->xattrs, e->n_xattrs + 1, sizeof(*e->xattrs));
    e->xattrs[e->n_xattrs++] = (struct tar_xattr){ xstrdup(name), steal(&value), (size_t)n };
    return NULL;
}

static struct err *read_wanted(int fd, mode_t type, bool (*wanted)(const char *name), struct tar_entry *e)
{
    char few[1024];
    AUTO_FREE char *many = NULL;
    const char *list = few;

    if (!S_ISREG(type) && !S_ISDIR(type))
        return NULL;
    ssize_t n = fd_listxattr(fd, few, sizeof(few));
    if (n < 0 && errno == ERANGE) {
        list = many = xcalloc(1, LIMIT_XATTR_BYTES);
        n = fd_listxattr(fd, many, LIMIT_XATTR_BYTES);
    }
    if (n < 0)
        return errno == EOPNOTSUPP ? NULL : err_sys(errno, "cannot list extended attributes");
    for (ssize_t i = 0; i < n; i += (ssize_t)strlen(list + i) + 1) {
        const char *name = image_xattr_name(list + i);

        if (name && wanted(name))
            TRY(xattr_read(fd, name, e));
    }
    if (e->n_xattrs > 1)
        qsort(e->xattrs, e->n_xattrs, sizeof(*e->xattrs), by_name);
    return NULL;
}

struct err *xattrs_read_all(int fd, mode_t type, struct tar_entry *e)
{
    return read_wanted(fd, type, is_image_xattr, e);
}

struct err *xattrs_read_fd(int fd, mode_t type, struct tar_entry *e)
{
    return read_wanted(fd, type, is_layer_xattr, e);
}

struct err *xattrs_read(int dir_fd, const char *name, mode_t type, struct tar_entry *e)
{
    if (!S_ISREG(type) && !S_ISDIR(type))
        return NULL;
    AUTO_CLOSE int fd = openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return err_sys(errno, "cannot open '%s'", name);
    return xattrs_read_fd(fd, type, e);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(((const struct name *)a)->text, ((const struct name *)b)->text);
}

struct err *names_read(int dir_fd, struct names *ret)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct names l = { 0 };

    if (!dir) {
        struct err *e = err_sys(errno, "cannot list a directory");

        close_fd(&fd);
        return e;
    }
    for (;;) {
        errno = 0;
        struct dirent *d = readdir(dir);

        if (!d)
            break;
        if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
            continue;
        struct name item = { xstrdup(d->d_name), d->d_type };
        vec_push(&l, item);
    }
    int why = errno;
    closedir(dir);
    if (why) {
        names_release(&l);
        return err_sys(why, "cannot list a directory");
    }
    if (l.n > 1)
        qsort(l.items, l.n, sizeof(*l.items), by_text);
    *ret = l;
    return NULL;
}

void names_release(struct names *n)
{
    for (size_t i = 0; i < n->n; i++)
        free(n->items[i].text);
    vec_free(n);
}

/* ---- content ---- */

static struct err *open_content(const struct file *f, int *ret_fd)
{
    int fd = openat(f->dir_fd, f->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0)
        return err_sys(errno, "cannot open '%s'", f->path);
    *ret_fd = fd;
    return NULL;
}

/* Reads n bytes, or what is there up to the end. */
static struct err *read_chunk(int fd, const char *path, char *p, size_t n, size_t *ret_len)
{
    size_t done = 0;

    while (done < n) {
        ssize_t got = read(fd, p + done, n - done);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_sys(errno, "cannot read '%s'", path);
        if (got == 0)
            break;
        done += (size_t)got;
    }
    *ret_len = done;
    return NULL;
}

struct err *content_equal(const struct file *a, const struct file *b, const struct cancel *cancel, bool *ret_equal)
{
    AUTO_CLOSE int fa = -1, fb = -1;
    AUTO_FREE char *buf = xcalloc(2, CHUNK_BYTES);
    size_t na = 1, nb = 1;

    TRY(open_content(a, &fa));
    TRY(open_content(b, &fb));
    while (na > 0) {
        TRY(cancel_check(cancel));
        TRY(read_chunk(fa, a->path, buf, CHUNK_BYTES, &na));
        TRY(read_chunk(fb, b->path, buf + CHUNK_BYTES, CHUNK_BYTES, &nb));
        if (na != nb || memcmp(buf, buf + CHUNK_BYTES, na) != 0) {
            *ret_equal = false;
            return NULL;
        }
    }
    *ret_equal = true;
    return NULL;
}

static struct err *write_content(struct layer_writer *w, const struct file *f)
{
    AUTO_CLOSE int own = -1;
    uint64_t left = (uint64_t)f->st.st_size;

    if (f->fd < 0)
        TRY(open_content(f, &own));
    const int fd = f->fd < 0 ? own : f->fd;
    while (left > 0) {
        size_t want = left < CHUNK_BYTES ? (size_t)left : CHUNK_BYTES, n = 0;

        TRY(cancel_check(w->cancel));
        TRY(read_chunk(fd, f->path, w->chunk, want, &n));
        if (n < want)
            return err_new(ERR_DISK, "'%s' became shorter while it was read", f->path);
        TRY(tar_write_data(w->tar, w->chunk, n));
        left -= n;
    }
    w->stats->file_bytes += (uint64_t)f->st.st_size;
    return NULL;
}

/* ---- entries ---- */

static bool is_later(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec > b->tv_sec || (a->tv_sec == b->tv_sec && a->tv_nsec > b->tv_nsec);
}

/* A time that is still to come was set by somebody, who may have set it before. */
static void tell_new(const struct commit_opts *o, const struct timespec *mtime)
{
    struct timespec now;

    if (!o->is_new || !is_later(mtime, &o->began))
        return;
    clock_gettime(CLOCK_REALTIME, &now);
    if (!is_later(mtime, &now))
        o->is_new(o->ctx);
}

static void set_meta(const struct layer_writer *w, struct tar_entry *e, const struct stat *st, const struct owner *o)
{
    e->mode = o->device ? (st->st_mode & 07777) | o->device : st->st_mode;
    e->uid = o->uid;
    e->gid = o->gid;
    e->mtime = st->st_mtim;
    if (e->mtime.tv_sec > w->opts->clamp_mtime_s)
        e->mtime = (struct timespec){ .tv_sec = w->opts->clamp_mtime_s };
    tell_new(w->opts, &e->mtime);
    dev_t rdev = o->device ? o->rdev : st->st_rdev;
    if (S_ISCHR(e->mode) || S_ISBLK(e->mode)) {
        e->major = major(rdev);
        e->minor = minor(rdev);
    }
}

struct err *layer_write_dir(struct layer_writer *w, struct frame *f)
{
    AUTO(tar_entry_release) struct tar_entry e = { 0 };

    if (!f->up || f->written)
        return NULL;
    TRY(layer_write_dir(w, f->up));
    e.path = xstrdup(f->path);
    set_meta(w, &e, &f->st, &f->owner);
    TRY(xattrs_read_fd(f->fd, f->st.st_mode, &e));
    TRY(tar_write_entry(w->tar, &e));
    f->written = true;
    w->stats->entries++;
    return NULL;
}

static struct err *read_link(const struct file *f, char **ret)
{
    char target[LIMIT_PATH_BYTES];
    ssize_t n = readlinkat(f->dir_fd, f->name, target, sizeof(target));

    if (n < 0)
        return err_sys(errno, "cannot read link '%s'", f->path);
    *ret = xstrndup(target, (size_t)n);
    return NULL;
}

/* The path under which a file of several names was written before; NULL: this is the first. */
static const char *first_name(struct layer_writer *w, const struct file *f)
{
    if (f->st.st_nlink < 2 || S_ISDIR(f->st.st_mode))
        return NULL;
    AUTO_FREE char *key = xasprintf("%" PRIu64 ":%" PRIu64, (uint64_t)f->st.st_dev, (uint64_t)f->st.st_ino);
    const char *first = map_get(w->links, key);
    if (!first)
        map_set(w->links, key, xstrdup(f->path));
    return first;
}

struct err *layer_write_file(struct layer_writer *w, struct frame *up, const struct file *f)
{
    AUTO(tar_entry_release) struct tar_entry e = { 0 };
    const char *first = first_name(w, f);

    TRY(layer_write_dir(w, up));
    e.path = xstrdup(f->path);
    set_meta(w, &e, &f->st, &f->owner);
    w->stats->entries++;
    if (first) {
        e.link = xstrdup(first);
        e.hardlink = true;
        e.mode = (e.mode & 07777) | S_IFREG;
        return tar_write_entry(w->tar, &e);
    }
    if (S_ISLNK(f->st.st_mode))
        TRY(read_link(f, &e.link));
    TRY(f->fd < 0 ? xattrs_read(f->dir_fd, f->name, e.mode, &e) : xattrs_read_fd(f->fd, e.mode, &e));
    if (S_ISREG(e.mode))
        e.size_bytes = (uint64_t)f->st.st_size;
    TRY(tar_write_entry(w->tar, &e));
    return S_ISREG(e.mode) ? write_content(w, f) : NULL;
}

static struct err *write_mark(struct layer_writer *w, const struct frame *dir, const char *prefix, const char *name)
{
    AUTO(tar_entry_release) struct tar_entry e = { .mode = S_IFREG };

    /* the time says nothing: epoch, for the same bytes every time */
    e.path = *dir->path ? xasprintf("%s/%s%s", dir->path, prefix, name) : xasprintf("%s%s", prefix, name);
    w->stats->entries++;
    w->stats->whiteouts++;
    return tar_write_entry(w->tar, &e);
}

struct err *layer_write_whiteout(struct layer_writer *w, struct frame *up, const char *name)
{
    TRY(layer_write_dir(w, up));
    return write_mark(w, up, WHITEOUT_PREFIX, name);
}

struct err *layer_write_opaque(struct layer_writer *w, struct frame *f)
{
    TRY(layer_write_dir(w, f));
    return write_mark(w, f, "", WHITEOUT_OPAQUE);
}

struct err *layer_writer_end(struct layer_writer *w)
{
    return tar_writer_end(w->tar);
}

void layer_writer_free(struct layer_writer *w)
{
    if (!w)
        return;
    tar_writer_free(w->tar);
    map_free(w->links);
    free(w->chunk);
    free(w);
}
