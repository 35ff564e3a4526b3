/* Opening, and asking whether one may. What root opens the kernel opens. For others the file is found, checked and
 * opened here, so that nothing can be put in its place between check and opening; a fifo, a terminal or a file of /proc
 * is left to the kernel, as it depends on who opens it. */
#include "sandbox/record_calls_priv.h"

#include <errno.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define LINKS_MAX 40 /* symlinks to what is to be made, as the kernel's own limit */

struct opening {
    int flags;
    mode_t mode;
    uint64_t resolve;
};

/* ---- devices that are only recorded ---- */

static const struct {
    unsigned major, minor;
    const char *name;
} devices[RECORD_DEVICE_COUNT] = {
    { 1, 3, "null" }, { 1, 5, "zero" }, { 1, 7, "full" }, { 1, 8, "random" }, { 1, 9, "urandom" }
};

void record_open_devices(struct recorder *r)
{
    for (size_t i = 0; i < RECORD_DEVICE_COUNT; i++) {
        AUTO_FREE char *path = xasprintf("/dev/%s", devices[i].name);

        r->device_fds[i] = open(path, O_PATH | O_CLOEXEC);
    }
}

/* The real device in place of the record, where there is one that everybody may use; as in any container, no other can
 * be opened. */
static struct answer open_device(struct call *c, const struct target *t, const struct opening *o)
{
    for (size_t i = 0; S_ISCHR(t->owner.device) && i < RECORD_DEVICE_COUNT; i++) {
        if (t->owner.rdev != makedev(devices[i].major, devices[i].minor) || c->r->device_fds[i] < 0)
            continue;
        const struct target real = { .fd = c->r->device_fds[i] };
        AUTO_CLOSE int fd = target_reopen(&real, o->flags & ~(O_TRUNC | O_DIRECTORY));

        return fd < 0 ? with_value(fd) : record_send_fd(c, fd, o->flags);
    }
    return with_value(-EPERM);
}

/* ---- files that are there ---- */

static int wanted_of(int flags)
{
    static const int by_mode[] = { [O_RDONLY] = R_OK, [O_WRONLY] = W_OK, [O_RDWR] = R_OK | W_OK, [3] = R_OK | W_OK };

    return by_mode[flags & O_ACCMODE] | (flags & O_TRUNC ? W_OK : 0);
}

static struct answer open_target(struct call *c, const struct target *t, const struct opening *o)
{
    const struct cred_file f = target_file(t);

    if (t->foreign || S_ISLNK(t->st.st_mode))
        return by_kernel();
    if (o->flags & O_PATH)
        return by_kernel();
    if (!cred_may(c->cred, &f, wanted_of(o->flags)))
        return with_value(-EACCES);
    if ((o->flags & O_NOATIME) && !cred_owns(c->cred, &f))
        return with_value(-EPERM);
    if (!task_is_waiting(c))
        return by_kernel();
    if (t->owner.device)
        return open_device(c, t, o);
    if (!S_ISREG(t->st.st_mode) && !S_ISDIR(t->st.st_mode))
        return by_kernel();
    AUTO_CLOSE int fd = target_reopen(t, o->flags);
    return fd < 0 ? with_value(fd) : record_send_fd(c, fd, o->flags);
}

/* ---- files that are not there yet ---- */

/* A symlink that leads to nothing: O_CREAT makes what it names. 1: c->path is the place to look next. */
static int follow_dangling(struct call *c, const struct place *p)
{
    char text[LIMIT_PATH_BYTES], joined[LIMIT_PATH_BYTES];
    ssize_t n = readlinkat(p->dir.fd, p->name, text, sizeof(text) - 1);

    if (n <= 0)
        return 0;
    text[n] = '\0';
    const char *slash = strrchr(c->path, '/');
    int dir = text[0] != '/' && slash ? (int)(slash - c->path) + 1 : 0;
    n = snprintf(joined, sizeof(joined), "%.*s%s", dir, c->path, text);
    if (n >= (ssize_t)sizeof(joined))
        return -ENAMETOOLONG;
    memcpy(c->path, joined, (size_t)n + 1);
    return 1;
}

static struct answer open_or_create(struct call *c, const struct opening *o)
{
    int dir = record_dir_of(c);

    for (int links = 0; links < LINKS_MAX; links++) {
        AUTO_PLACE struct place p = { .dir.fd = -1 };
        AUTO_TARGET struct target t = { .fd = -1 };
        int rc = place_open(c, dir, c->path, o->resolve, &p);

        if (rc != 0)
            return by_kernel();
        if (!place_reachable(c, &p))
            return with_value(-EACCES);
        bool follow = !(o->flags & (O_NOFOLLOW | O_EXCL));
        rc = target_open_at(c, dir, c->path, follow, o->resolve, &t);
        if (rc == 0 && (o->flags & O_EXCL))
            return with_value(-EEXIST);
        if (rc == 0)
            return open_target(c, &t, o);
        if (rc != -ENOENT)
            return by_kernel();
        int link = follow ? follow_dangling(c, &p) : 0;
        if (link < 0)
            return with_value(link);
        if (link)
            continue;
        struct answer a = record_create(c, o->flags, o->mode, &p);
        if (a.kind != ANSWER_VALUE || a.value != -EEXIST || (o->flags & O_EXCL))
            return a;
    }
    return with_value(-ELOOP);
}

/* ---- root ---- */

/* Root only needs us where a record is in play. Reading a device that is only recorded is reading an empty file: it is
 * not worth looking at each file that root reads. */
static bool root_needs_us(struct call *c, const struct opening *o)
{
    AUTO_TARGET struct target t = { .fd = -1 };
    bool follow = !(o->flags & O_NOFOLLOW);

    if ((o->flags & __O_TMPFILE) || (o->flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL))
        return !record_needs_no_owner(c);
    switch (record_glance(c, follow)) {
    case GLANCE_ABSENT:
        return (o->flags & O_CREAT) && !record_needs_no_owner(c);
    case GLANCE_PLAIN:
        return false;
    case GLANCE_MARKED:
        break;
    }
    return !(o->flags & O_PATH) && target_open(c, follow, o->resolve, &t) == 0 && t.owner.device;
}

/* The most frequent call of all, answered without a look. */
static bool root_only_reads(const struct call *c, const struct opening *o)
{
    return (o->flags & O_ACCMODE) == O_RDONLY && !(o->flags & (O_CREAT | __O_TMPFILE | O_TRUNC)) &&
           record_is_plain_root(c);
}

static struct answer do_open(struct call *c, const struct opening *o)
{
    AUTO_TARGET struct target t = { .fd = -1 };
    bool unnamed = (o->flags & O_TMPFILE) == O_TMPFILE;

    if (root_only_reads(c, o))
        return by_kernel();
    int rc = record_read_path(c);

    if (rc < 0)
        return with_value(rc);
    if (!c->path[0] || (record_is_plain_root(c) && !root_needs_us(c, o)))
        return by_kernel();
    AUTO_CLOSE int view = (o->flags & O_ACCMODE) == O_RDONLY ? record_proc_view(c) : -1;
    if (view >= 0)
        return record_send_fd(c, view, o->flags);
    if (o->flags & O_CREAT && !unnamed)
        return open_or_create(c, o);
    rc = target_open(c, !(o->flags & O_NOFOLLOW), o->resolve, &t);
    if (rc == 0 && !t.foreign) {
        AUTO_PLACE struct place p = { .dir.fd = -1 };

        if (place_open(c, record_dir_of(c), c->path, o->resolve, &p) == 0 && !place_reachable(c, &p))
            return with_value(-EACCES);
    }
    if (rc != 0)
        return by_kernel();
    return unnamed ? record_create_unnamed(c, o->flags, o->mode, &t) : open_target(c, &t, o);
}

struct answer record_open(struct call *c)
{
    int rest = c->row->rest;
    struct opening o = { .flags = arg_int(c, rest), .mode = (mode_t)c->arg[rest + 1] };

    if (c->row->fixed & OPEN_CREATES) { /* creat(2) */
        o.flags = O_CREAT | O_WRONLY | O_TRUNC;
        o.mode = (mode_t)c->arg[rest];
    }
    return do_open(c, &o);
}

struct answer record_openat2(struct call *c)
{
    struct open_how how = { 0 };
    uint64_t size = c->arg[c->row->rest + 1];
    int rc = size < sizeof(how) ? -EINVAL : task_read(c, c->arg[c->row->rest], &how, sizeof(how));

    if (rc < 0 || size > sizeof(how))
        return by_kernel(); /* it will say so, or knows more than we do: an unknown flag is refused to root only */
    return do_open(c, &(struct opening){ (int)how.flags, (mode_t)how.mode, how.resolve });
}

/* ---- asking ---- */

struct answer record_access(struct call *c)
{
    AUTO_TARGET struct target t = { .fd = -1 };
    AUTO_PLACE struct place p = { .dir.fd = -1 };
    int want = arg_int(c, c->row->rest), flags = record_flags_of(c);
    struct cred as = *c->cred;

    if (record_is_kernels_root(c))
        return by_kernel();
    int rc = record_read_path(c);
    if (rc < 0)
        return with_value(rc);
    if (!(flags & AT_EACCESS)) {
        as.uid.file = as.uid.real;
        as.gid.file = as.gid.real;
        as.caps.effective = as.uid.real == 0 ? as.caps.permitted : 0;
    }
    const struct cred *own = c->cred;
    c->cred = &as;
    rc = target_open(c, !(flags & AT_SYMLINK_NOFOLLOW), 0, &t);
    const struct cred_file f = target_file(&t);
    bool denied = rc == 0 && !t.foreign && want != F_OK && !cred_may(&as, &f, want);
    if (rc == 0 && !denied && c->path[0] && place_open(c, record_dir_of(c), c->path, 0, &p) == 0)
        denied = !place_reachable(c, &p);
    if (denied)
        rc = -EACCES;
    c->cred = own;
    /* the kernel adds what is no question of owners: a read-only mount, a file of /proc */
    return not_found(rc);
}

/* The kernel enters it; it only would for anybody. */
struct answer record_chdir(struct call *c)
{
    AUTO_TARGET struct target t = { .fd = -1 };
    AUTO_PLACE struct place p = { .dir.fd = -1 };

    if (record_is_plain_root(c))
        return by_kernel();
    int rc = record_read_path(c);
    if (rc < 0)
        return with_value(rc);
    if (target_open(c, true, 0, &t) != 0 || t.foreign)
        return by_kernel();
    const struct cred_file f = target_file(&t);
    if (S_ISDIR(t.st.st_mode) && !cred_may(c->cred, &f, X_OK))
        return with_value(-EACCES);
    if (c->path[0] && place_open(c, AT_FDCWD, c->path, 0, &p) == 0 && !place_reachable(c, &p))
        return with_value(-EACCES);
    return by_kernel();
}
