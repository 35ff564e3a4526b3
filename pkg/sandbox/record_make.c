/* What the caller makes: files, directories, symlinks, nodes. They belong to who it pretends to be, and to the group of
 * a setgid directory. Root in an ordinary directory needs no record, so the kernel does it; the others' are made here,
 * by what was read of the call. */
#include "sandbox/record_calls_priv.h"
#include "sys/path.h"

#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

bool record_is_plain_root(const struct call *c)
{
    return c->cred->uid.file == 0 && c->cred->gid.file == 0 && cred_has(c->cred, CAP_DAC_OVERRIDE) &&
           cred_has(c->cred, CAP_FOWNER);
}

/* ---- root, in an ordinary directory? ---- */

/* The mode of the directory that the row's path is in, by one look; 0 if there is none. */
static mode_t mode_of_parent(const struct call *c)
{
    const char *slash = strrchr(c->path, '/');
    struct own_path path;
    struct stat st;

    record_own_path(c, record_dir_of(c), c->path, slash ? (size_t)(slash - c->path) + 1 : 0, ".", &path);
    return stat(path.text, &st) == 0 ? st.st_mode : 0;
}

bool record_needs_no_owner(const struct call *c)
{
    return record_is_plain_root(c) && !(mode_of_parent(c) & S_ISGID);
}

/* ---- making by name ---- */

/* Where the row's path is to be made, and that the caller may. Slashes at its end only suit a directory. */
static int find_place(struct call *c, struct place *p)
{
    int rc = place_open(c, record_dir_of(c), c->path, 0, p);

    if (rc != 0)
        return rc;
    const struct cred_file dir = target_file(&p->dir);
    if (!place_reachable(c, p))
        return -EACCES;
    if (!cred_may(c->cred, &dir, W_OK | X_OK))
        return faccessat(p->dir.fd, p->name, F_OK, AT_SYMLINK_NOFOLLOW) == 0 ? LEAVE_IT : -EACCES; /* EEXIST */
    return task_is_waiting(c) ? 0 : LEAVE_IT;
}

static bool ends_in_slash(const char *path)
{
    size_t n = strlen(path);

    return n && path[n - 1] == '/';
}

struct answer record_mkdir(struct call *c)
{
    AUTO_PLACE struct place p = { .dir.fd = -1 };
    int rc = record_read_path(c);

    if (rc < 0)
        return with_value(rc);
    record_forget_dirs(c->r);
    if (record_needs_no_owner(c))
        return by_kernel();
    rc = find_place(c, &p);
    if (rc != 0)
        return not_found(rc);
    const struct owner o = record_new_owner(c, &p.dir);
    umask(task_umask(c));
    if (mkdirat(p.dir.fd, p.name, (mode_t)c->arg[c->row->rest]) < 0)
        return with_value(-errno);
    return with_value(record_made(c, &p, &o));
}

struct answer record_symlink(struct call *c)
{
    AUTO_PLACE struct place p = { .dir.fd = -1 };
    char text[LIMIT_PATH_BYTES];
    int rc = record_read_path(c);

    record_known_change(c);
    if (rc < 0)
        return with_value(rc);
    if (record_needs_no_owner(c) || ends_in_slash(c->path))
        return by_kernel();
    rc = task_read_string(c, c->arg[0], text, sizeof(text));
    if (rc == 0)
        rc = find_place(c, &p);
    if (rc != 0)
        return not_found(rc);
    const struct owner o = record_new_owner(c, &p.dir);
    if (symlinkat(text, p.dir.fd, p.name) < 0)
        return with_value(-errno);
    return with_value(record_made(c, &p, &o));
}

/* ---- nodes ---- */

static bool is_device(mode_t mode)
{
    return S_ISCHR(mode) || S_ISBLK(mode);
}

/* A device that the kernel lets nobody here make: an empty file that says what it is. */
static int make_device(struct call *c, const struct place *p, mode_t mode, dev_t rdev)
{
    AUTO_TARGET struct target t = { .fd = -1 };
    struct owner o = record_new_owner(c, &p->dir);
    int fd = openat(p->dir.fd, p->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode & 07777);

    if (fd < 0)
        return -errno;
    int rc = target_look(c, fd, &t);
    if (rc < 0)
        return rc;
    o.device = mode & S_IFMT;
    o.rdev = rdev;
    if (c->r->level == RECORD_DEVICES && fchown(fd, o.uid, o.gid) < 0)
        return -errno;
    return target_give(c, &t, &o);
}

struct answer record_mknod(struct call *c)
{
    AUTO_PLACE struct place p = { .dir.fd = -1 };
    mode_t mode = (mode_t)c->arg[c->row->rest];
    /* the kernel's packing of a device number (new_decode_dev) */
    uint32_t packed = (uint32_t)c->arg[c->row->rest + 1];
    dev_t rdev = makedev((packed & 0xfff00) >> 8, (packed & 0xff) | ((packed >> 12) & 0xfff00));
    int rc = record_read_path(c);

    if (rc < 0)
        return with_value(rc);
    if (ends_in_slash(c->path) || (!is_device(mode) && record_needs_no_owner(c)))
        return by_kernel();
    if (is_device(mode) && !cred_has(c->cred, CAP_MKNOD))
        return with_value(-EPERM);
    rc = find_place(c, &p);
    if (rc != 0)
        return not_found(rc);
    umask(task_umask(c));
    if (is_device(mode))
        return with_value(make_device(c, &p, mode, rdev));
    const struct owner o = record_new_owner(c, &p.dir);
    if (mknodat(p.dir.fd, p.name, mode, 0) < 0)
        return with_value(-errno);
    return with_value(record_made(c, &p, &o));
}

/* ---- making by opening ---- */

struct answer record_send_fd(struct call *c, int fd, int flags)
{
    struct seccomp_notif_addfd add = { .id = c->id,
                                       .flags = SECCOMP_ADDFD_FLAG_SEND,
                                       .srcfd = (uint32_t)fd,
                                       .newfd_flags = (uint32_t)(flags & O_CLOEXEC) };
    int rc = ioctl(c->r->listener_fd, SECCOMP_IOCTL_NOTIF_ADDFD, &add);

    if (rc >= 0 || errno == ENOENT || errno == EINPROGRESS)
        return (struct answer){ ANSWER_SENT, 0 };
    if (errno != EINVAL)
        return with_value(-errno);
    add.flags = 0; /* before Linux 5.14 in two steps */
    rc = ioctl(c->r->listener_fd, SECCOMP_IOCTL_NOTIF_ADDFD, &add);
    return with_value(rc < 0 ? -errno : rc);
}

/* -EEXIST tells the caller of this function that there is something now. */
struct answer record_create(struct call *c, int flags, mode_t mode, const struct place *p)
{
    AUTO_TARGET struct target t = { .fd = -1 };
    const struct cred_file dir = target_file(&p->dir);

    if (!cred_may(c->cred, &dir, W_OK | X_OK))
        return with_value(-EACCES);
    if (!task_is_waiting(c))
        return by_kernel();
    const struct owner o = record_new_owner(c, &p->dir);
    umask(task_umask(c));
    int fd = openat(p->dir.fd, p->name, flags | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode & 07777);
    int rc = fd < 0 ? -errno : target_look(c, fd, &t);
    if (rc == 0)
        rc = target_give(c, &t, &o);
    return rc < 0 ? with_value(rc) : record_send_fd(c, t.fd, flags);
}

/* O_TMPFILE: `dir` is the directory itself. */
struct answer record_create_unnamed(struct call *c, int flags, mode_t mode, const struct target *dir)
{
    AUTO_TARGET struct target t = { .fd = -1 };
    const struct cred_file d = target_file(dir);

    if (!cred_may(c->cred, &d, W_OK | X_OK))
        return with_value(-EACCES);
    if (!task_is_waiting(c))
        return by_kernel();
    const struct owner o = record_new_owner(c, dir);
    umask(task_umask(c));
    int fd = open(record_fd_path(dir->fd).text, flags | O_CLOEXEC, mode & 07777);
    int rc = fd < 0 ? -errno : target_look(c, fd, &t);
    if (rc == 0)
        rc = target_give(c, &t, &o);
    return rc < 0 ? with_value(rc) : record_send_fd(c, t.fd, flags);
}

/* ---- sockets ---- */

/* The kernel makes the socket's file; it gets its owner before anything else is asked by the same process. */
struct answer record_bind(struct call *c)
{
    AUTO_PLACE struct place p = { .dir.fd = -1 };
    struct sockaddr_un address = { 0 };
    size_t n = (uint32_t)c->arg[2];

    if (n <= offsetof(struct sockaddr_un, sun_path) || n > sizeof(address) ||
        task_read(c, c->arg[1], &address, n) < 0 || address.sun_family != AF_UNIX || !address.sun_path[0])
        return by_kernel();
    (void)snprintf(c->path, sizeof(c->path), "%.*s", (int)sizeof(address.sun_path), address.sun_path);
    if (record_is_plain_root(c) || place_open(c, AT_FDCWD, c->path, 0, &p) != 0)
        return by_kernel();
    const struct cred_file dir = target_file(&p.dir);
    if (!place_reachable(c, &p) || !cred_may(c->cred, &dir, W_OK | X_OK))
        return with_value(-EACCES);
    struct pending later = { .tid = c->tid, .kind = PENDING_SOCKET, .mark = c->mark, .dir_fd = steal_fd(&p.dir.fd) };
    memcpy(later.name, p.name, sizeof(later.name));
    record_later(c->r, &later);
    return by_kernel();
}
