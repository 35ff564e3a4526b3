#include "snapshot/unpack.h"

#include "base/buf.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/vec.h"
#include "snapshot/snapshot_priv.h"
#include "sys/file.h"
#include "sys/image_xattr.h"
#include "sys/path.h"

#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#define PARENTS         8 /* directories kept open: archives list the entries of one directory together */
#define LINK_TO_NOTHING "the target of this hard link is not in the archive"
#define LINKS_TO_DIR    40 /* symlinks on the way to one directory, as the kernel's own limit */

/* A directory that entries went to. */
struct parent {
    char *key;  /* as the archive names it; NULL: not to be found again */
    char *real; /* relative to root_fd, without symlinks, "" = the root */
    int fd;     /* O_PATH */
    uint64_t used;
};

/* What a directory gets after everything below it was written. */
struct late {
    char *real;
    ino_t ino;
    struct timespec mtime;
    mode_t mode;
    bool set_mode;
};

struct unpack {
    const struct unpack_opts *o;
    int root;
    char *dest; /* real path of the directory that the entries go below */
    struct parent parents[PARENTS];
    uint64_t clock;
    VEC(struct late) late;
    struct tar_reader *tar;
};

static struct err *hostile(const char *path, const char *why)
{
    return err_new(ERR_REGISTRY, "'%s': %s", path, why);
}

static bool has_dotdot(const char *path)
{
    for (const char *s = path; *s; s += strspn(s, "/")) {
        size_t n = strcspn(s, "/");

        if (n == 2 && s[0] == '.' && s[1] == '.')
            return true;
        s += n;
    }
    return false;
}

/* Where entries cannot be laid out the archive is wrong, not the pod, nor the disk. An id that cannot be given (EINVAL)
 * and a call that is refused are the pod's matter. */
static struct err *blame_archive(struct err *e)
{
    static const int of_content[] = { ENOENT, ENOTDIR, EISDIR, EEXIST, ENOTEMPTY, ELOOP, ENAMETOOLONG, EFBIG };

    if (!e || (err_kind(e) != ERR_POD && err_kind(e) != ERR_DISK))
        return e;
    for (size_t i = 0; i < sizeof(of_content) / sizeof(of_content[0]); i++)
        if (err_errno(e) == of_content[i])
            return err_set_kind(e, ERR_REGISTRY);
    return e;
}

static void forget_parents(struct unpack *u, const struct parent *keep)
{
    for (size_t i = 0; i < PARENTS; i++) {
        struct parent *p = &u->parents[i];

        free(p->key);
        p->key = NULL;
        if (p == keep)
            continue;
        free(p->real);
        p->real = NULL;
        close_fd(&p->fd);
    }
}

static char *join_real(const char *dir, const char *name)
{
    return *dir ? xasprintf("%s/%s", dir, name) : xstrdup(name);
}

static void add_late(struct unpack *u, const char *real, int fd, struct timespec mtime, mode_t mode, bool set_mode)
{
    struct stat st;
    struct late l = { .real = xstrdup(real), .mtime = mtime, .mode = mode, .set_mode = set_mode };

    if (fstat(fd, &st) == 0)
        l.ino = st.st_ino;
    vec_push(&u->late, l);
}

static bool is_owned_by(const struct owner *o, uint32_t uid, uint32_t gid)
{
    return o->uid == uid && o->gid == gid && !o->device;
}

/* `fresh`: the file was made just now, and belongs to 0:0 without a record */
static struct err *give_fd(struct unpack *u, int fd, mode_t type, const struct owner *o, bool fresh)
{
    struct stat st = { .st_mode = type };
    bool stored;

    if (fresh && u->o->whiteouts && is_owned_by(o, 0, 0))
        return NULL;
    return owner_set(u->o->owners, fd, &st, o, &stored);
}

/* Symlinks and fifos. `fresh`: made just now. */
static struct err *give_special(struct unpack *u, const struct parent *p, const char *name, const struct owner *o,
                                bool fresh)
{
    AUTO_CLOSE int fd = -1;
    struct stat st;
    bool stored = true;

    if (fresh && u->o->whiteouts && is_owned_by(o, 0, 0))
        return NULL;
    fd = openat(p->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_sys(errno, "cannot open '%s'", name);
    TRY(owner_set(u->o->owners, fd, &st, o, &stored));
    if (!stored && u->o->note_owner) {
        AUTO_FREE char *path = join_real(p->real, name);

        u->o->note_owner(u->o->ctx, path, o);
    }
    return NULL;
}

/* ---- the way to a directory ---- */

struct way {
    struct buf real;
    int fd;
    char *rest; /* still to go */
    int links;
};

static void way_release(struct way *w)
{
    buf_release(&w->real);
    close_fd(&w->fd);
    free(w->rest);
}

static struct err *way_restart(struct unpack *u, struct way *w)
{
    int fd = -1;

    TRY(path_open(u->root, buf_str(&w->real), O_PATH | O_DIRECTORY | O_NOFOLLOW, 0, &fd));
    close_fd(&w->fd);
    w->fd = fd;
    return NULL;
}

static struct err *way_up(struct unpack *u, struct way *w)
{
    const char *slash = strrchr(buf_str(&w->real), '/');
    AUTO_FREE char *up = slash ? xstrndup(w->real.data, (size_t)(slash - w->real.data)) : xstrdup("");

    buf_clear(&w->real);
    buf_puts(&w->real, up);
    return way_restart(u, w);
}

static struct err *set_opaque(struct unpack *u, int fd)
{
    if (setxattr(path_of_fd(fd).text, OPAQUE_XATTR, "y", 1, 0) < 0)
        return err_sys(errno, "cannot mark a directory as opaque");
    if (u->o->note_whiteout)
        u->o->note_whiteout(u->o->ctx);
    return NULL;
}

static void way_enter(struct way *w, int fd, const char *name)
{
    close_fd(&w->fd);
    w->fd = fd;
    if (w->real.len)
        buf_putc(&w->real, '/');
    buf_puts(&w->real, name);
}

/* A directory that the archive uses but did not name (yet). */
static struct err *way_make(struct unpack *u, struct way *w, const char *name, bool opaque)
{
    static const struct owner root = { 0 };

    if (mkdirat(w->fd, name, 0755) < 0)
        return err_sys(errno, "cannot make directory '%s'", name);
    AUTO_CLOSE int fd = openat(w->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return err_sys(errno, "cannot open directory '%s'", name);
    TRY(give_fd(u, fd, S_IFDIR, &root, true));
    if (fchmod(fd, 0755) < 0)
        return err_sys(errno, "cannot make directory '%s'", name);
    if (opaque)
        TRY(set_opaque(u, fd));
    way_enter(w, steal_fd(&fd), name);
    add_late(u, buf_str(&w->real), w->fd, (struct timespec){ 0 }, 0755, false);
    if (u->o->note_implicit)
        u->o->note_implicit(u->o->ctx, buf_str(&w->real), true);
    return NULL;
}

/* `name` is there and is no directory. */
static struct err *way_through(struct unpack *u, struct way *w, const char *name)
{
    char target[LIMIT_PATH_BYTES];
    struct stat st;

    if (fstatat(w->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return err_sys(errno, "cannot look at '%s'", name);
    if (u->o->whiteouts && is_whiteout(&st)) {
        if (unlinkat(w->fd, name, 0) < 0)
            return err_sys(errno, "cannot remove '%s'", name);
        return way_make(u, w, name, true);
    }
    ssize_t n = S_ISLNK(st.st_mode) ? readlinkat(w->fd, name, target, sizeof(target) - 1) : -1;
    if (n < 0)
        return hostile(name, "it is not a directory, but something stands below it");
    if (++w->links > LINKS_TO_DIR)
        return hostile(name, "too many symlinks");
    target[n] = '\0';
    char *rest = xasprintf("%s/%s", target, w->rest);
    free(w->rest);
    w->rest = rest;
    if (strlen(rest) > 2 * (size_t)LIMIT_PATH_BYTES)
        return hostile(name, "its path is too long");
    if (*target != '/')
        return NULL;
    buf_clear(&w->real);
    return way_restart(u, w);
}

static struct err *way_step(struct unpack *u, struct way *w, bool make)
{
    size_t skip = strspn(w->rest, "/"), n = strcspn(w->rest + skip, "/");
    AUTO_FREE char *name = xstrndup(w->rest + skip, n);

    memmove(w->rest, w->rest + skip + n, strlen(w->rest + skip + n) + 1);
    if (!*name || strcmp(name, ".") == 0)
        return NULL;
    if (strcmp(name, "..") == 0)
        return way_up(u, w);
    int fd = openat(w->fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0) {
        way_enter(w, fd, name);
        return NULL;
    }
    if (errno == ENOENT && make)
        return way_make(u, w, name, false);
    if (errno == ENOTDIR || errno == ELOOP)
        return way_through(u, w, name);
    return err_sys(errno, "cannot open directory '%s'", name);
}

/* Opens the directory `path` of root_fd, following symlinks inside the root, also those that point to nothing yet. */
static struct err *open_dir(struct unpack *u, const char *path, bool make, int *ret_fd, char **ret_real)
{
    __attribute__((cleanup(way_release))) struct way w = { BUF_INIT, -1, xstrdup(path), 0 };

    TRY(way_restart(u, &w));
    while (*w.rest)
        TRY(way_step(u, &w, make));
    *ret_fd = steal_fd(&w.fd);
    (void)buf_str(&w.real);
    *ret_real = buf_steal(&w.real);
    return NULL;
}

/* The directory that the archive names `key`. Borrowed until PARENTS others were asked for, or forget_parents. */
static struct err *get_parent(struct unpack *u, const char *key, size_t len, bool make, struct parent **ret)
{
    struct parent *oldest = &u->parents[0];

    for (size_t i = 0; i < PARENTS; i++) {
        struct parent *p = &u->parents[i];

        if (p->key && strncmp(p->key, key, len) == 0 && p->key[len] == '\0') {
            p->used = ++u->clock;
            *ret = p;
            return NULL;
        }
        if (p->used < oldest->used)
            oldest = p;
    }
    AUTO_FREE char *name = xstrndup(key, len);
    AUTO_FREE char *path = join_real(u->dest, name);
    AUTO_FREE char *real = NULL;
    int fd = -1;
    TRY(open_dir(u, path, make, &fd, &real));
    free(oldest->key);
    free(oldest->real);
    close_fd(&oldest->fd);
    *oldest = (struct parent){ .key = steal(&name), .real = steal(&real), .fd = fd, .used = ++u->clock };
    *ret = oldest;
    return NULL;
}

/* ---- one entry ---- */

/* Where an entry goes. */
struct place {
    struct parent *p;
    const char *name;
    bool replaced_whiteout;
};

/* Something has the entry's name already: removes it. */
static struct err *clear_place(struct unpack *u, struct place *at)
{
    struct stat st;

    if (fstatat(at->p->fd, at->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? NULL : err_sys(errno, "cannot look at '%s'", at->name);
    if (u->o->whiteouts && is_whiteout(&st))
        at->replaced_whiteout = true;
    if (S_ISDIR(st.st_mode) || S_ISLNK(st.st_mode))
        forget_parents(u, at->p);
    return file_remove_tree(at->p->fd, at->name);
}

/* Sets an attribute; those that cannot be kept without privilege, or mean nothing here, are passed over. */
static struct err *set_xattr(int fd, const struct tar_xattr *x)
{
    static const char *const passed_over[] = { OVERLAY_XATTR_PREFIX, COPYUP_XATTR_PREFIX, "trusted.",
                                               "security.selinux",   "security.ima",      "security.evm",
                                               "security.apparmor",  "security.SMACK64" };
    static const char *const known[] = { "user.", "security.", "system." };
    bool is_known = false;

    for (size_t i = 0; i < sizeof(passed_over) / sizeof(passed_over[0]); i++)
        if (strncmp(x->name, passed_over[i], strlen(passed_over[i])) == 0)
            return NULL;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        is_known = is_known || strncmp(x->name, known[i], strlen(known[i])) == 0;
    if (!is_known || x->len > LIMIT_XATTR_BYTES)
        return NULL; /* other systems' names: com.apple.* */
    if (image_xattr_set(fd, x->name, x->value, x->len) == 0)
        return NULL;
    bool is_malformed = errno == EINVAL || errno == ERANGE || errno == E2BIG;
    struct err *e = err_sys(errno, "cannot set extended attribute '%s'", x->name);
    return is_malformed ? err_set_kind(e, ERR_REGISTRY) : e;
}

static struct err *set_xattrs(int fd, const struct tar_entry *e)
{
    for (size_t i = 0; i < e->n_xattrs; i++)
        TRY(set_xattr(fd, &e->xattrs[i]));
    return NULL;
}

static struct err *write_at(int fd, const char *p, size_t n, uint64_t offset)
{
    while (n > 0) {
        ssize_t done = pwrite(fd, p, n, (off_t)offset);

        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return err_set_kind(err_sys(errno, "cannot write"), ERR_DISK);
        p += done;
        n -= (size_t)done;
        offset += (uint64_t)done;
    }
    return NULL;
}

static struct err *write_data(struct unpack *u, int fd, uint64_t size)
{
    uint64_t end = 0, offset = 0;

    while (size > 0) {
        const void *p = NULL;
        size_t n = 0;

        TRY(cancel_check(u->o->cancel));
        TRY(tar_read_data(u->tar, &p, &n, &offset));
        if (n == 0)
            break;
        TRY(write_at(fd, p, n, offset));
        end = offset + n;
    }
    if (end < size && ftruncate(fd, (off_t)size) < 0) /* ends in a hole */
        return err_set_kind(err_sys(errno, "cannot write"), ERR_DISK);
    return NULL;
}

static mode_t permissions(const struct unpack *u, const struct tar_entry *e)
{
    return u->o->chmod >= 0 ? (mode_t)u->o->chmod & 07777 : e->mode & 07777;
}

static struct err *set_file_meta(struct unpack *u, int fd, const struct tar_entry *e, const struct owner *o)
{
    const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, e->mtime };

    /* in this order: giving a file away clears its capabilities and setuid bits */
    TRY(give_fd(u, fd, S_IFREG, o, true));
    if (!o->device)
        TRY(set_xattrs(fd, e));
    if (fchmod(fd, permissions(u, e)) < 0)
        return err_sys(errno, "cannot set the mode");
    if (futimens(fd, times) < 0)
        return err_sys(errno, "cannot set the time");
    return NULL;
}

/* A regular file; or a device node, which only a record stands for. */
static struct err *put_file(struct unpack *u, struct place *at, const struct tar_entry *e, const struct owner *o)
{
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    AUTO_CLOSE int fd = openat(at->p->fd, at->name, flags, 0600);

    if (fd < 0 && errno == EEXIST) {
        TRY(clear_place(u, at));
        fd = openat(at->p->fd, at->name, flags, 0600);
    }
    if (fd < 0)
        return err_sys(errno, "cannot make file '%s'", at->name);
    if (!o->device)
        TRY(write_data(u, fd, e->size_bytes));
    return set_file_meta(u, fd, e, o);
}

static struct err *put_device(struct unpack *u, struct place *at, const struct tar_entry *e, const struct owner *o)
{
    struct owner device = *o;

    device.device = e->mode & S_IFMT;
    device.rdev = makedev(e->major, e->minor);
    return put_file(u, at, e, &device);
}

static struct err *set_special_meta(struct unpack *u, const struct place *at, const struct tar_entry *e,
                                    const struct owner *o)
{
    const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, e->mtime };

    TRY(give_special(u, at->p, at->name, o, true));
    if (S_ISFIFO(e->mode) && fchmodat(at->p->fd, at->name, permissions(u, e), 0) < 0)
        return err_sys(errno, "cannot set the mode");
    if (utimensat(at->p->fd, at->name, times, AT_SYMLINK_NOFOLLOW) < 0)
        return err_sys(errno, "cannot set the time");
    return NULL;
}

static int make_special(const struct place *at, const struct tar_entry *e)
{
    if (S_ISFIFO(e->mode))
        return mkfifoat(at->p->fd, at->name, 0600);
    return symlinkat(e->link, at->p->fd, at->name);
}

static struct err *put_special(struct unpack *u, struct place *at, const struct tar_entry *e, const struct owner *o)
{
    if (S_ISLNK(e->mode) && (!e->link || !*e->link))
        return hostile(e->path, "a symlink to nothing");
    if (make_special(at, e) < 0) {
        if (errno != EEXIST)
            return err_sys(errno, "cannot make '%s'", at->name);
        TRY(clear_place(u, at));
        if (make_special(at, e) < 0)
            return err_sys(errno, "cannot make '%s'", at->name);
    }
    return set_special_meta(u, at, e, o);
}

/* mkdir; *ret_fresh false if it was there. Anything else of that name goes. */
static struct err *make_dir(struct unpack *u, struct place *at, bool *ret_fresh)
{
    struct stat st;

    *ret_fresh = true;
    if (mkdirat(at->p->fd, at->name, 0700) == 0)
        return NULL;
    if (errno == EEXIST && fstatat(at->p->fd, at->name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode)) {
        *ret_fresh = false;
        return NULL;
    }
    TRY(clear_place(u, at));
    if (mkdirat(at->p->fd, at->name, 0700) < 0)
        return err_sys(errno, "cannot make directory '%s'", at->name);
    return NULL;
}

static struct err *put_dir(struct unpack *u, struct place *at, const struct tar_entry *e, const struct owner *o)
{
    mode_t mode = permissions(u, e);
    /* set at the end: what would be inherited, or be in the way */
    bool set_late = (mode & 07000) || (mode & 0700) != 0700;
    bool fresh;

    TRY(make_dir(u, at, &fresh));
    AUTO_CLOSE int fd = openat(at->p->fd, at->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return err_sys(errno, "cannot open directory '%s'", at->name);
    if (at->replaced_whiteout)
        TRY(set_opaque(u, fd));
    TRY(give_fd(u, fd, S_IFDIR, o, fresh));
    TRY(set_xattrs(fd, e));
    if (fchmod(fd, set_late ? 0700 : mode) < 0)
        return err_sys(errno, "cannot set the mode");
    AUTO_FREE char *real = join_real(at->p->real, at->name);
    add_late(u, real, fd, e->mtime, mode, set_late);
    if (!fresh && u->o->note_implicit)
        u->o->note_implicit(u->o->ctx, real, false);
    return NULL;
}

/* The target of a hard link: its directory and name. */
static struct err *link_target(struct unpack *u, const struct tar_entry *e, char *clean, struct place *ret)
{
    char *slash = strrchr(clean, '/');

    if (!clean[1])
        return hostile(e->path, "a hard link to the root");
    ret->name = slash + 1;
    struct err *err = get_parent(u, clean + 1, slash == clean ? 0 : (size_t)(slash - clean - 1), false, &ret->p);
    if (err && err_errno(err) == ENOENT) {
        err_free(err);
        return hostile(e->path, LINK_TO_NOTHING);
    }
    return err;
}

/* The target is there, and can have another name. */
static struct err *check_target(const struct tar_entry *e, const struct place *to, struct stat *ret)
{
    if (fstatat(to->p->fd, to->name, ret, AT_SYMLINK_NOFOLLOW) < 0)
        return hostile(e->path, LINK_TO_NOTHING);
    if (S_ISDIR(ret->st_mode) || is_whiteout(ret))
        return hostile(e->path, "a hard link to something that is not a file");
    return NULL;
}

static struct err *put_link(struct unpack *u, struct place *at, const struct tar_entry *e, const struct owner *o)
{
    AUTO_FREE char *rooted = xasprintf("/%s", e->link ? e->link : "");
    AUTO_FREE char *clean = path_clean(rooted);
    struct place to = { 0 };
    struct stat old, target;

    TRY(link_target(u, e, clean, &to));
    TRY(check_target(e, &to, &target));
    if (fstatat(at->p->fd, at->name, &old, AT_SYMLINK_NOFOLLOW) == 0) {
        if (old.st_ino == target.st_ino && old.st_dev == target.st_dev)
            return NULL;
        TRY(clear_place(u, at));
        TRY(link_target(u, e, clean, &to));
    }
    if (linkat(to.p->fd, to.name, at->p->fd, at->name, 0) < 0)
        return err_sys(errno, "cannot link '%s' to '%s'", e->path, e->link);
    if (u->o->owners == OWNER_RECORDED && !S_ISREG(target.st_mode))
        return give_special(u, at->p, at->name, o, false);
    return NULL;
}

/* ---- whiteouts ---- */

static struct err *put_whiteout(struct unpack *u, struct place *at, const char *name)
{
    struct stat st;

    if (fstatat(at->p->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        /* it hides what is below this layer only: this layer's own file stays */
        if (!S_ISDIR(st.st_mode))
            return NULL;
        AUTO_CLOSE int fd = openat(at->p->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        return fd < 0 ? err_sys(errno, "cannot open directory '%s'", name) : set_opaque(u, fd);
    }
    if (mknodat(at->p->fd, name, S_IFCHR, 0) < 0)
        return err_sys(errno, "cannot mark '%s' as removed", name);
    if (u->o->note_whiteout)
        u->o->note_whiteout(u->o->ctx);
    return NULL;
}

static struct err *put_plain_mark(struct unpack *u, const struct place *at)
{
    AUTO_CLOSE int fd = openat(at->p->fd, at->name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);

    if (fd < 0)
        return err_sys(errno, "cannot make '%s'", at->name);
    if (u->o->note_whiteout)
        u->o->note_whiteout(u->o->ctx);
    return NULL;
}

static bool is_removable(const char *name)
{
    return *name && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static struct err *put_mark(struct unpack *u, struct place *at)
{
    const char *name = at->name + strlen(WHITEOUT_PREFIX);

    if (!is_removable(name))
        return hostile(at->name, "not a name to remove");
    if (u->o->plain_marks)
        return put_plain_mark(u, at);
    if (strcmp(at->name, WHITEOUT_OPAQUE) == 0) {
        AUTO_CLOSE int fd = openat(at->p->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        return fd < 0 ? err_sys(errno, "cannot open a directory") : set_opaque(u, fd);
    }
    if (strncmp(at->name, WHITEOUT_PREFIX WHITEOUT_PREFIX, 8) == 0)
        return NULL; /* aufs' own files */
    return put_whiteout(u, at, name);
}

/* ---- all entries ---- */

static struct err *put_entry(struct unpack *u, struct place *at, const struct tar_entry *e)
{
    const struct owner o = u->o->chown ? *u->o->chown : (struct owner){ .uid = e->uid, .gid = e->gid };

    if (e->hardlink)
        return put_link(u, at, e, &o);
    switch (e->mode & S_IFMT) {
    case S_IFREG:
        return put_file(u, at, e, &o);
    case S_IFDIR:
        return put_dir(u, at, e, &o);
    case S_IFLNK:
    case S_IFIFO:
        return put_special(u, at, e, &o);
    case S_IFCHR:
    case S_IFBLK:
        return put_device(u, at, e, &o);
    default:
        return NULL; /* sockets */
    }
}

static struct err *unpack_entry(struct unpack *u, const struct tar_entry *e)
{
    if (u->o->whiteouts && has_dotdot(e->path))
        return err_new(ERR_REGISTRY, "the layer has an entry '%s' that leads outside", e->path);
    AUTO_FREE char *rooted = xasprintf("/%s", e->path);
    AUTO_FREE char *clean = path_clean(rooted);
    const char *slash = strrchr(clean, '/');
    struct place at = { .name = slash + 1 };

    if (strlen(clean) >= LIMIT_PATH_BYTES)
        return err_new(ERR_REGISTRY, "cannot unpack a path of more than %d bytes", LIMIT_PATH_BYTES);
    if (!*at.name)
        return NULL;
    if (u->o->whiteouts && strstr(clean, "/" WHITEOUT_PREFIX WHITEOUT_PREFIX) && strcmp(at.name, WHITEOUT_OPAQUE) != 0)
        return NULL; /* aufs' own files */
    struct err *err = get_parent(u, clean + 1, slash == clean ? 0 : (size_t)(slash - clean - 1), true, &at.p);
    if (!err && u->o->whiteouts && strncmp(at.name, WHITEOUT_PREFIX, strlen(WHITEOUT_PREFIX)) == 0)
        err = put_mark(u, &at);
    else if (!err)
        err = put_entry(u, &at, e);
    return err_wrap(blame_archive(err), "cannot unpack '%s'", e->path);
}

static struct err *finish_dirs(struct unpack *u)
{
    for (size_t i = 0; i < u->late.n; i++) {
        const struct late *l = &u->late.items[i];
        const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, l->mtime };
        AUTO_CLOSE int fd = -1;
        struct stat st;

        TRY(path_open_if_exists(u->root, l->real, O_RDONLY | O_DIRECTORY, &fd));
        if (fd < 0 || fstat(fd, &st) < 0 || st.st_ino != l->ino)
            continue; /* a later entry took its place */
        if (l->set_mode && fchmod(fd, l->mode) < 0)
            return err_sys(errno, "cannot set the mode of '%s'", l->real);
        if (futimens(fd, times) < 0)
            return err_sys(errno, "cannot set the time of '%s'", l->real);
    }
    return NULL;
}

static struct err *unpack_all(struct unpack *u, const char *dest)
{
    AUTO_FREE char *clean = path_join("/", dest);
    AUTO_CLOSE int fd = -1;

    TRY(open_dir(u, clean, true, &fd, &u->dest));
    for (;;) {
        __attribute__((cleanup(tar_entry_release_auto))) struct tar_entry e = { 0 };
        bool found = false;

        TRY(cancel_check(u->o->cancel));
        TRY(tar_read_entry(u->tar, &e, &found));
        if (!found)
            return blame_archive(finish_dirs(u));
        TRY(unpack_entry(u, &e));
    }
}

struct err *unpack_tar(struct source tar, int root_fd, const char *dest, const struct unpack_opts *opts)
{
    struct unpack u = { .o = opts, .root = root_fd };
    struct err *e;

    for (size_t i = 0; i < PARENTS; i++)
        u.parents[i].fd = -1;
    e = tar_reader_new(tar, &u.tar);
    if (!e)
        e = unpack_all(&u, dest);
    tar_reader_free(u.tar);
    forget_parents(&u, NULL);
    for (size_t i = 0; i < u.late.n; i++)
        free(u.late.items[i].real);
    vec_free(&u.late);
    free(u.dest);
    return e;
}
