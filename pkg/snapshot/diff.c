#include "snapshot/diff_priv.h"

#include "base/limits.h"
#include "snapshot/writer_priv.h"
#include "sys/path.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

struct diff {
    struct frozen *of;
    const struct cancel *cancel;
    const struct commit_opts *opts;
    struct commit_stats *stats;
    struct layer_writer *w;
};

/* One name of a directory: in the upper directory, and in the view below it. */
struct pair {
    struct file up, low;
    bool has_low, low_by_path; /* the lower one's owner is kept in a table */
    int up_fd;                 /* up.fd, or else O_PATH */
};

static void pair_release(struct pair *p)
{
    close_fd(&p->up_fd);
}

static bool has_xattr(int fd, const char *name, const char *value)
{
    char text[16];
    ssize_t n = fd_getxattr(fd, name, text, sizeof(text));

    if (!value)
        return n >= 0 || errno == ERANGE;
    return n == (ssize_t)strlen(value) && memcmp(text, value, (size_t)n) == 0;
}

static bool can_carry_record(mode_t mode)
{
    return S_ISREG(mode) || S_ISDIR(mode);
}

/* ---- owners ---- */

static struct err *read_target(const struct file *f, char **ret)
{
    char target[LIMIT_PATH_BYTES];
    ssize_t n = readlinkat(f->dir_fd, f->name, target, sizeof(target));

    if (n < 0)
        return err_sys(errno, "cannot read link '%s'", f->path);
    *ret = xstrndup(target, (size_t)n);
    return NULL;
}

static struct err *same_target(const struct pair *p, bool *ret)
{
    AUTO_FREE char *a = NULL;
    AUTO_FREE char *b = NULL;

    TRY(read_target(&p->up, &a));
    TRY(read_target(&p->low, &b));
    *ret = strcmp(a, b) == 0;
    return NULL;
}

static struct err *lower_owner(struct diff *d, struct pair *p)
{
    struct file *low = &p->low;
    AUTO_CLOSE int fd = openat(low->dir_fd, low->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    bool known;

    if (fd < 0)
        return err_sys(errno, "cannot open '%s'", low->path);
    TRY(owner_get(d->of->s->owners, fd, &low->st, &low->owner, &known));
    p->low_by_path = !known && !can_carry_record(low->st.st_mode);
    if (p->low_by_path)
        low->owner = layers_owner(&d->of->below, low->path);
    return NULL;
}

/* A record is copied up with its file. What has none belongs to root; but for the lower owners that are kept by path.
 */
static struct err *upper_owner(struct diff *d, struct pair *p)
{
    bool known, same = !p->low_by_path || (p->up.st.st_mode & S_IFMT) != (p->low.st.st_mode & S_IFMT);

    TRY(owner_get(d->of->s->owners, p->up_fd, &p->up.st, &p->up.owner, &known));
    if (known || owner_table_get(d->of->layer->owners, p->up.path, &p->up.owner) || same)
        return NULL;
    same = true;
    if (S_ISLNK(p->up.st.st_mode))
        TRY(same_target(p, &same));
    if (!same)
        return NULL;
    p->up.owner = p->low.owner;
    owner_table_set(d->of->layer->owners, p->up.path, &p->up.owner);
    return NULL;
}

/* ---- comparison ---- */

static bool same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool same_owner(const struct owner *a, const struct owner *b)
{
    return a->uid == b->uid && a->gid == b->gid && a->device == b->device && (!a->device || a->rdev == b->rdev);
}

static struct err *same_xattrs(const struct pair *p, bool *ret)
{
    AUTO(tar_entry_release) struct tar_entry a = { 0 };
    AUTO(tar_entry_release) struct tar_entry b = { 0 };

    TRY(xattrs_read(p->up.dir_fd, p->up.name, p->up.st.st_mode, &a));
    TRY(xattrs_read(p->low.dir_fd, p->low.name, p->low.st.st_mode, &b));
    *ret = a.n_xattrs == b.n_xattrs;
    for (size_t i = 0; *ret && i < a.n_xattrs; i++) {
        const struct tar_xattr *x = &a.xattrs[i], *y = &b.xattrs[i];

        *ret = strcmp(x->name, y->name) == 0 && x->len == y->len && memcmp(x->value, y->value, x->len) == 0;
    }
    return NULL;
}

static bool same_stat(const struct pair *p)
{
    const struct stat *a = &p->up.st, *b = &p->low.st;

    if (a->st_mode != b->st_mode || !same_owner(&p->up.owner, &p->low.owner))
        return false;
    /* The time of a directory follows from what is in it. Were it compared, each temporary file would leave an entry
     * for its directory and no layer would be the same twice. */
    if (!S_ISDIR(a->st_mode) && !same_time(&a->st_mtim, &b->st_mtim))
        return false;
    if ((S_ISCHR(a->st_mode) || S_ISBLK(a->st_mode)) && a->st_rdev != b->st_rdev)
        return false;
    return !S_ISREG(a->st_mode) || a->st_size == b->st_size;
}

/* Full and redo ask the same questions. Content is read only where everything else is equal, which is a file that was
 * copied up without being changed, or rewritten by something that hides it: no file but those is worth a second
 * reading. */
static struct err *unchanged(struct diff *d, const struct pair *p, bool *ret)
{
    *ret = false;
    if (!p->has_low || (p->up.st.st_mode & S_IFMT) != (p->low.st.st_mode & S_IFMT))
        return NULL;
    if (d->opts->mode == SNAPSHOT_TIME) {
        *ret = S_ISDIR(p->up.st.st_mode) || same_time(&p->up.st.st_mtim, &p->low.st.st_mtim);
        return NULL;
    }
    /* several names: the step linked them, and a link needs its first name in the layer */
    if (!same_stat(p) || (!S_ISDIR(p->up.st.st_mode) && p->up.st.st_nlink > 1))
        return NULL;
    if (S_ISLNK(p->up.st.st_mode))
        return same_target(p, ret);
    TRY(same_xattrs(p, ret));
    if (*ret && S_ISREG(p->up.st.st_mode) && p->up.st.st_size > 0)
        return content_equal(&p->up, &p->low, d->cancel, ret);
    return NULL;
}

/* ---- the walk ---- */

static struct err *walk(struct diff *d, struct frame *f, int lower_fd, int depth);

/* A regular file is opened once for all that is asked of it: with many small files that is most of the cost. */
static void open_upper(struct pair *p, unsigned char type)
{
    struct file *up = &p->up;

    if (type == DT_REG)
        up->fd = openat(up->dir_fd, up->name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
    p->up_fd = up->fd >= 0 ? up->fd : openat(up->dir_fd, up->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
}

static struct err *pair_open(struct diff *d, const struct frame *f, int lower_fd, const struct name *n, struct pair *p)
{
    p->up = (struct file){ .dir_fd = f->fd, .fd = -1, .name = n->text, .path = p->up.path };
    p->low = (struct file){ .dir_fd = lower_fd, .fd = -1, .name = n->text, .path = p->up.path };
    open_upper(p, n->type);
    if (p->up_fd < 0 || fstat(p->up_fd, &p->up.st) < 0)
        return err_sys(errno, "cannot look at '%s'", p->up.path);
    p->has_low = lower_fd >= 0 && fstatat(lower_fd, n->text, &p->low.st, AT_SYMLINK_NOFOLLOW) == 0;
    if (p->has_low)
        TRY(lower_owner(d, p));
    return upper_owner(d, p);
}

static struct err *walk_child(struct diff *d, struct frame *up, const struct pair *p, bool same, int depth)
{
    struct frame f = { .up = up, .path = p->up.path, .st = p->up.st, .owner = p->up.owner };
    AUTO_CLOSE int fd = openat(p->up.dir_fd, p->up.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    AUTO_CLOSE int lower = -1;

    if (fd < 0)
        return err_sys(errno, "cannot open directory '%s'", f.path);
    f.fd = fd;
    if (!same)
        TRY(layer_write_dir(d->w, &f));
    if (p->has_low && S_ISDIR(p->low.st.st_mode)) {
        if (has_xattr(fd, OPAQUE_XATTR, "y")) {
            TRY(layer_write_opaque(d->w, &f));
        } else {
            lower = openat(p->low.dir_fd, p->low.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            if (lower < 0)
                return err_sys(errno, "cannot open directory '%s'", f.path);
        }
    }
    return walk(d, &f, lower, depth + 1);
}

static struct err *visit(struct diff *d, struct frame *f, int lower_fd, const struct name *n, int depth)
{
    AUTO_FREE char *path = *f->path ? xasprintf("%s/%s", f->path, n->text) : xstrdup(n->text);
    __attribute__((cleanup(pair_release))) struct pair p = { .up.path = path, .up_fd = -1 };
    bool same = false;

    if (layer_writer_ignores(d->w, path))
        return NULL;
    if (strlen(path) >= LIMIT_PATH_BYTES)
        return err_new(ERR_DOCKERFILE, "a path of more than %d bytes: '%.100s...'", LIMIT_PATH_BYTES, path);
    TRY(pair_open(d, f, lower_fd, n, &p));
    if (S_ISSOCK(p.up.st.st_mode))
        return NULL;
    TRY(unchanged(d, &p, &same));
    if (S_ISDIR(p.up.st.st_mode)) {
        close_fd(&p.up_fd); /* not kept open on the way down */
        return walk_child(d, f, &p, same, depth);
    }
    if (same) {
        d->stats->dropped++;
        return NULL;
    }
    return layer_write_file(d->w, f, &p.up);
}

/* *ret_removed: the name is a whiteout (which is written, if there was something below it). */
static struct err *check_removed(struct diff *d, struct frame *f, int lower_fd, const struct name *name,
                                 bool *ret_removed)
{
    AUTO_FREE char *path = *f->path ? xasprintf("%s/%s", f->path, name->text) : xstrdup(name->text);
    struct stat st;

    *ret_removed = false;
    if (name->type != DT_CHR && name->type != DT_UNKNOWN)
        return NULL;
    if (fstatat(f->fd, name->text, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return err_sys(errno, "cannot look at '%s'", path);
    *ret_removed = is_whiteout(&st);
    if (!*ret_removed || lower_fd < 0 || fstatat(lower_fd, name->text, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
        layer_writer_ignores(d->w, path))
        return NULL;
    return layer_write_whiteout(d->w, f, name->text);
}

/* Whiteouts come before their siblings (layer.md, "Whiteouts"). */
static struct err *walk(struct diff *d, struct frame *f, int lower_fd, int depth)
{
    AUTO(names_release) struct names l = { 0 };

    TRY(cancel_check(d->cancel));
    if (depth > LIMIT_WALK_DEPTH)
        return err_new(ERR_DOCKERFILE, "more than %d directories deep: '%.100s...'", LIMIT_WALK_DEPTH, f->path);
    TRY(names_read(f->fd, &l));
    for (size_t i = 0; i < l.n; i++) {
        bool removed;

        TRY(check_removed(d, f, lower_fd, &l.items[i], &removed));
        if (removed) {
            free(l.items[i].text);
            l.items[i].text = NULL;
        }
    }
    for (size_t i = 0; i < l.n; i++)
        if (l.items[i].text)
            TRY(visit(d, f, lower_fd, &l.items[i], depth));
    return NULL;
}

struct err *diff_write(struct frozen *f, int lower_fd, const struct commit_opts *opts, struct sink out,
                       struct commit_stats *stats)
{
    const struct cancel *cancel = opts->cancel ? opts->cancel : f->s->cancel;
    AUTO(layer_writer_free) struct layer_writer *w = layer_writer_new(opts, out, cancel, stats);
    AUTO_CLOSE int upper_fd = open(f->layer->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct diff d = { .of = f, .cancel = cancel, .opts = opts, .stats = stats, .w = w };
    struct frame root = { .path = "", .fd = upper_fd };

    if (upper_fd < 0)
        return err_sys(errno, "cannot open '%s'", f->layer->dir);
    TRY(walk(&d, &root, lower_fd, 0));
    return layer_writer_end(w);
}
