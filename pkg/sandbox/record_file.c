/* Files of the caller's that were opened: their recorded owners, and who may do what with them. */
#include "sandbox/record_priv.h"

#include "base/mem.h"
#include "sys/path.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

#define FS_SEEN    32  /* file systems whose kind is remembered */
#define FOREIGN    256 /* owners kept for files that cannot carry a record */
#define DIRS_KNOWN 4096

/* ---- kinds of file systems ---- */

struct foreign_owner {
    dev_t dev;
    ino_t ino;
    struct owner owner;
};

struct record_fs {
    struct {
        dev_t dev;
        bool foreign;
    } seen[FS_SEEN];
    size_t n_seen;
    struct foreign_owner owners[FOREIGN]; /* a ring */
    size_t n_owners;
};

/* Whose files are the kernel's own objects, not the image's. */
static bool is_kernels(long magic)
{
    static const unsigned long kinds[] = { PROC_SUPER_MAGIC,   SYSFS_MAGIC,         DEVPTS_SUPER_MAGIC,
                                           CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, PIPEFS_MAGIC,
                                           SOCKFS_MAGIC,       NSFS_MAGIC,          ANON_INODE_FS_MAGIC,
                                           SECURITYFS_MAGIC,   DEBUGFS_MAGIC,       TRACEFS_MAGIC,
                                           BPF_FS_MAGIC,       0x19800202 /* mqueue */ };

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (kinds[i] == (unsigned long)magic)
            return true;
    return false;
}

static bool is_foreign(struct recorder *r, int fd, dev_t dev)
{
    struct record_fs *f = r->fs;
    struct statfs fs;

    for (size_t i = 0; i < f->n_seen; i++)
        if (f->seen[i].dev == dev)
            return f->seen[i].foreign;
    if (fstatfs(fd, &fs) < 0)
        return true;
    size_t slot = f->n_seen < FS_SEEN ? f->n_seen++ : FS_SEEN - 1;
    f->seen[slot].dev = dev;
    f->seen[slot].foreign = is_kernels((long)fs.f_type);
    return f->seen[slot].foreign;
}

static struct foreign_owner *find_foreign(struct record_fs *f, const struct stat *st)
{
    for (size_t i = 0; i < FOREIGN && i < f->n_owners; i++)
        if (f->owners[i].ino == st->st_ino && f->owners[i].dev == st->st_dev)
            return &f->owners[i];
    return NULL;
}

static void keep_foreign(struct record_fs *f, const struct stat *st, const struct owner *o)
{
    struct foreign_owner *at = find_foreign(f, st);

    if (!at)
        at = &f->owners[f->n_owners++ % FOREIGN];
    *at = (struct foreign_owner){ st->st_dev, st->st_ino, *o };
}

bool record_has_foreign(const struct recorder *r)
{
    return r->fs->n_owners > 0;
}

/* ---- looking ---- */

int target_look(struct call *c, int fd, struct target *t)
{
    *t = (struct target){ .fd = fd };
    if (fstat(fd, &t->st) < 0) {
        int rc = -errno;

        close_fd(&t->fd);
        return rc;
    }
    if (c->r->level == RECORD_DEVICES) { /* the kernel knows the owners */
        t->owner = (struct owner){ .uid = t->st.st_uid, .gid = t->st.st_gid };
        return 0;
    }
    t->foreign = is_foreign(c->r, fd, t->st.st_dev);
    t->plain = !t->foreign && record_glance_fd(fd) == GLANCE_PLAIN;
    t->recorded = !t->foreign && !t->plain && record_read(fd, t->st.st_mode, &t->owner);
    if (!t->recorded && c->r->fs->n_owners) {
        const struct foreign_owner *known = find_foreign(c->r->fs, &t->st);

        t->recorded = known != NULL;
        if (known)
            t->owner = known->owner;
    }
    return 0;
}

struct cred_file target_file(const struct target *t)
{
    mode_t mode = t->owner.device ? (t->st.st_mode & 07777) | t->owner.device : t->st.st_mode;

    return (struct cred_file){ mode, t->owner.uid, t->owner.gid };
}

int target_reopen(const struct target *t, int flags)
{
    int fd = open(record_fd_path(t->fd).text, (flags & ~(O_CREAT | O_EXCL | O_NOFOLLOW)) | O_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

/* ---- giving ---- */

static bool is_root(const struct owner *o)
{
    return o->uid == 0 && o->gid == 0 && !o->device;
}

int target_give(struct call *c, struct target *t, const struct owner *o)
{
    if (is_root(o) && !t->recorded)
        return 0; /* what has no record is root's */
    record_known_forget(c->r);
    int rc = t->foreign ? -EOPNOTSUPP : record_write(t->fd, t->st.st_mode, o);
    if (rc == -EOPNOTSUPP || rc == -EPERM)
        keep_foreign(c->r->fs, &t->st, o);
    else if (rc < 0)
        return rc;
    t->owner = *o;
    t->recorded = true;
    return 0;
}

struct owner record_new_owner(const struct call *c, const struct target *dir)
{
    struct owner o = { .uid = c->cred->uid.file, .gid = c->cred->gid.file };

    if (dir->st.st_mode & S_ISGID)
        o.gid = dir->owner.gid;
    return o;
}

int record_made(struct call *c, const struct place *p, const struct owner *o)
{
    AUTO_TARGET struct target t = { .fd = -1 };

    if (is_root(o))
        return 0;
    int fd = openat(p->dir.fd, p->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    int rc = fd < 0 ? -errno : target_look(c, fd, &t);
    return rc < 0 ? rc : target_give(c, &t, o);
}

/* ---- the way to a directory ---- */

/* Directories that everybody may search, with all above them. Emptied when one may have changed. */
struct record_dirs {
    struct {
        dev_t dev;
        ino_t ino;
    } known[DIRS_KNOWN];
    size_t n;
};

static size_t slot_of(const struct record_dirs *d, const struct stat *st)
{
    size_t i = (size_t)st->st_ino % DIRS_KNOWN;

    while (d->known[i].ino && !(d->known[i].ino == st->st_ino && d->known[i].dev == st->st_dev))
        i = (i + 1) % DIRS_KNOWN;
    return i;
}

static void learn(struct record_dirs *d, const struct stat *st)
{
    if (d->n >= DIRS_KNOWN / 2)
        memset(d, 0, sizeof(*d));
    size_t i = slot_of(d, st);
    d->n += d->known[i].ino == 0;
    d->known[i].dev = st->st_dev;
    d->known[i].ino = st->st_ino;
}

void record_files_init(struct recorder *r)
{
    r->fs = xcalloc(1, sizeof(*r->fs));
    r->dirs = xcalloc(1, sizeof(*r->dirs));
}

void record_forget_dirs(struct recorder *r)
{
    if (r->dirs->n) /* it is large, and root, for whom nothing is learned, asks often */
        memset(r->dirs, 0, sizeof(*r->dirs));
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev;
}

/* The directory where the kernel begins to look: what lies above it is not searched. */
static bool stat_start(struct call *c, const struct place *p, struct stat *ret)
{
    struct own_path path;

    record_own_path(c, p->from, p->absolute ? "/" : "", p->absolute, "", &path);
    return stat(path.text, ret) == 0;
}

/* Goes up from fd until the start. *ret_open: everybody may search all of it. */
static bool walk_up(struct call *c, int fd, const struct stat *start, bool *ret_open)
{
    AUTO_CLOSE int at = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    struct stat below = { 0 };

    *ret_open = true;
    for (int depth = 0; at >= 0 && depth < LIMIT_WALK_DEPTH; depth++) {
        struct target t = { .fd = -1 };
        int copy = fcntl(at, F_DUPFD_CLOEXEC, 3);

        if (copy < 0 || target_look(c, copy, &t) < 0)
            return false;
        close_fd(&t.fd);
        const struct cred_file f = target_file(&t);
        if (!cred_may(c->cred, &f, X_OK))
            return false;
        *ret_open = *ret_open && (t.st.st_mode & S_IXOTH);
        if (same_file(&t.st, start) || same_file(&t.st, &below) || c->r->dirs->known[slot_of(c->r->dirs, &t.st)].ino)
            return true;
        below = t.st;
        int up = openat(at, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
        close_fd(&at);
        at = up;
    }
    return false;
}

bool place_reachable(struct call *c, const struct place *p)
{
    struct stat start;
    bool open_to_all;

    if (cred_has(c->cred, CAP_DAC_OVERRIDE) || cred_has(c->cred, CAP_DAC_READ_SEARCH))
        return true;
    if (c->r->dirs->known[slot_of(c->r->dirs, &p->dir.st)].ino)
        return true;
    if (!stat_start(c, p, &start) || !walk_up(c, p->dir.fd, &start, &open_to_all))
        return false;
    if (open_to_all && p->absolute)
        learn(c->r->dirs, &p->dir.st);
    return true;
}
