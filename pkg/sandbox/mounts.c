#include "sandbox/mounts_priv.h"

#include "base/limits.h"
#include "sandbox/sandbox.h"
#include "sys/file.h"
#include "sys/path.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>

#define MAX_LINKS          40                /* symlinks followed to one mount point, as the kernel's own limit */
#define SHM_SIZE           "65536k"          /* Docker's size of /dev/shm */
#define SCRATCH_BYTES      (4 * 1024 * 1024) /* for resolv.conf and hosts */
#define SCRATCH_FILE_BYTES 65536             /* more for each file of a mount: the largest page */

#define TTY_GROUP 5

struct mounter {
    struct orders *orders;
    int root_fd;
    dev_t root_dev;
    int report_fd;
    int scratch_fd; /* a tmpfs for files of ours, which no path leads to */
};

static struct err *mount_refused(int errnum, const char *what)
{
    return err_set_kind(err_sys(errnum, "cannot mount %s for the command", what), ERR_POD);
}

/* ---- mount points ---- */

/* The system's own mount points stay in an image that has none, as BuildKit's runtime leaves them: whoever starts the
 * image needs them, too. */
static bool stays(const char *path)
{
    return strcmp(path, "/proc") == 0 || strcmp(path, "/sys") == 0 || strcmp(path, "/dev") == 0;
}

static struct err *report_made(const struct mounter *m, int fd, const char *path)
{
    AUTO(buf_release) struct buf out = BUF_INIT;
    struct stat st;

    if (fstat(fd, &st) < 0)
        return err_sys(errno, "cannot look at '%s'", path);
    if (st.st_dev != m->root_dev)
        return NULL; /* on something that was mounted for this command */
    const struct report_made made = { st.st_dev, st.st_ino, (uint32_t)strlen(path) };
    buf_putc(&out, REPORT_MADE);
    buf_add(&out, &made, sizeof(made));
    buf_puts(&out, path);
    return file_write_all(m->report_fd, out.data, out.len);
}

static int create_node(int dir_fd, const char *name, bool is_dir)
{
    if (!is_dir)
        return openat(dir_fd, name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (mkdirat(dir_fd, name, 0755) < 0)
        return -1;
    return openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* Makes dir_fd/name without moving the directory's times: it must not become a change of the image. */
static struct err *make_node(const struct mounter *m, int dir_fd, const char *name, const char *path, bool is_dir)
{
    struct stat st;

    if (fstat(dir_fd, &st) < 0)
        return err_sys(errno, "cannot look at the directory of '%s'", path);
    const struct timespec times[2] = { st.st_atim, st.st_mtim };
    AUTO_CLOSE int fd = create_node(dir_fd, name, is_dir);
    if (fd < 0)
        return err_sys(errno, "cannot make the mount point '%s'", path);
    (void)utimensat(dir_fd, ".", times, 0);
    return stays(path) ? NULL : report_made(m, fd, path);
}

static struct err *mount_point(const struct mounter *m, const char *path, bool is_dir, int links, int *ret_fd);

/* The text of a symlink in dir_fd as a path from the root; NULL if name is no symlink. */
static char *link_target(int dir_fd, const char *name, const char *path)
{
    char text[LIMIT_PATH_BYTES];
    ssize_t n = readlinkat(dir_fd, name, text, sizeof(text) - 1);

    if (n < 0)
        return NULL;
    text[n] = '\0';
    if (text[0] == '/')
        return path_clean(text);
    AUTO_FREE char *parent = xstrndup(path, (size_t)(strrchr(path, '/') - path));
    return path_join(parent[0] ? parent : "/", text);
}

static struct err *missing_mount_point(const struct mounter *m, const char *path, bool is_dir, int links, int *ret_fd)
{
    const char *slash = strrchr(path, '/');
    AUTO_FREE char *parent = slash == path ? xstrdup("/") : xstrndup(path, (size_t)(slash - path));
    AUTO_CLOSE int dir_fd = -1;

    TRY(mount_point(m, parent, true, links, &dir_fd));
    AUTO_FREE char *target = link_target(dir_fd, slash + 1, path);
    if (target) {
        if (links >= MAX_LINKS)
            return err_sys(ELOOP, "cannot make the mount point '%s'", path);
        return mount_point(m, target, is_dir, links + 1, ret_fd);
    }
    AUTO_CLOSE int real_dir = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (real_dir < 0)
        return err_sys(errno, "cannot open '%s'", parent);
    TRY(make_node(m, real_dir, slash + 1, path, is_dir));
    return path_open(m->root_fd, path, O_PATH, 0, ret_fd);
}

/* An O_PATH descriptor of the mount point; what is missing of its path is made. path: absolute and clean. */
static struct err *mount_point(const struct mounter *m, const char *path, bool is_dir, int links, int *ret_fd)
{
    AUTO_CLOSE int fd = -1;
    struct stat st;

    TRY(path_open_if_exists(m->root_fd, path, O_PATH, &fd));
    if (fd < 0)
        return missing_mount_point(m, path, is_dir, links, ret_fd);
    if (fstat(fd, &st) < 0)
        return err_sys(errno, "cannot look at '%s'", path);
    if (is_dir != S_ISDIR(st.st_mode))
        return err_new(ERR_DOCKERFILE, "cannot mount a %s over '%s', which is %s", is_dir ? "directory" : "file", path,
                       is_dir ? "not a directory" : "a directory");
    *ret_fd = steal_fd(&fd);
    return NULL;
}

/* ---- kinds of mounts ---- */

/* A mount's own flags may be locked by the namespace above: a remount has to repeat them. */
static unsigned long flags_of(const char *path)
{
    static const struct {
        unsigned long statvfs, mount;
    } flags[] = {
        { ST_NOSUID, MS_NOSUID },     { ST_NODEV, MS_NODEV },     { ST_NOEXEC, MS_NOEXEC },
        { ST_RDONLY, MS_RDONLY },     { ST_NOATIME, MS_NOATIME }, { ST_NODIRATIME, MS_NODIRATIME },
        { ST_RELATIME, MS_RELATIME },
    };
    struct statvfs st;
    unsigned long result = 0;

    if (statvfs(path, &st) < 0)
        return 0;
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
        if (st.f_flag & flags[i].statvfs)
            result |= flags[i].mount;
    return result;
}

/* Adds flags to the mount at the descriptor's path, which is opened again: fd itself may lie below the mount. */
static struct err *restrict_mount(const struct mounter *m, const char *path, unsigned long add)
{
    AUTO_CLOSE int fd = -1;

    TRY(path_open(m->root_fd, path, O_PATH, 0, &fd));
    const struct path_fd at = path_of_fd(fd);
    struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };
    if ((add & MS_RDONLY) && syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) == 0)
        add &= ~(unsigned long)MS_RDONLY;
    if (add && mount(NULL, at.text, NULL, MS_REMOUNT | MS_BIND | flags_of(at.text) | add, NULL) < 0)
        return mount_refused(errno, path);
    return NULL;
}

static struct err *bind_at(const char *source, int fd, const char *path)
{
    if (mount(source, path_of_fd(fd).text, NULL, MS_BIND | MS_REC, NULL) < 0)
        return mount_refused(errno, path);
    return NULL;
}

static struct err *mount_fs(const struct mounter *m, const char *type, const char *path, unsigned long flags,
                            const char *data)
{
    AUTO_CLOSE int fd = -1;

    TRY(mount_point(m, path, true, 0, &fd));
    if (mount(type, path_of_fd(fd).text, type, flags, data) < 0)
        return mount_refused(errno, path);
    return NULL;
}

/* ---- /proc and /sys ---- */

/* What a container must not see, as Docker has it: a file becomes /dev/null, a directory an empty one. */
static void mask_path(const struct mounter *m, const char *path)
{
    AUTO_CLOSE int fd = -1;
    struct stat st;
    struct err *e = path_open_if_exists(m->root_fd, path, O_PATH, &fd);

    err_free(e);
    if (e || fd < 0 || fstat(fd, &st) < 0)
        return;
    if (S_ISDIR(st.st_mode))
        (void)mount("tmpfs", path_of_fd(fd).text, "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=0");
    else
        (void)mount("/dev/null", path_of_fd(fd).text, NULL, MS_BIND, NULL);
}

static void make_readonly(const struct mounter *m, const char *path)
{
    AUTO_CLOSE int fd = -1;
    struct err *e = path_open_if_exists(m->root_fd, path, O_PATH, &fd);

    if (!e && fd >= 0 && mount(path_of_fd(fd).text, path_of_fd(fd).text, NULL, MS_BIND | MS_REC, NULL) == 0)
        e = restrict_mount(m, path, MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC);
    err_free(e); /* hardening only: the kernel guards these files too */
}

static struct err *mount_proc(const struct mounter *m)
{
    static const char *const masked[] = { "/proc/acpi",       "/proc/asound",      "/proc/interrupts",
                                          "/proc/kcore",      "/proc/keys",        "/proc/latency_stats",
                                          "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
                                          "/proc/scsi" };
    static const char *const readonly[] = { "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger" };
    AUTO_CLOSE int fd = -1;

    if (m->orders->fresh_proc) {
        TRY(mount_fs(m, "proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL));
    } else {
        TRY(mount_point(m, "/proc", true, 0, &fd));
        TRY(bind_at("/proc", fd, "/proc"));
    }
    for (size_t i = 0; i < sizeof(masked) / sizeof(masked[0]); i++)
        mask_path(m, masked[i]);
    for (size_t i = 0; i < sizeof(readonly) / sizeof(readonly[0]); i++)
        make_readonly(m, readonly[i]);
    return NULL;
}

static struct err *mount_sys(const struct mounter *m)
{
    AUTO_CLOSE int fd = -1;

    TRY(mount_point(m, "/sys", true, 0, &fd));
    TRY(bind_at("/sys", fd, "/sys"));
    TRY(restrict_mount(m, "/sys", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC));
    mask_path(m, "/sys/firmware");
    mask_path(m, "/sys/devices/virtual/powercap");
    return NULL;
}

/* ---- /dev ---- */

static struct err *bind_devices(int dev_fd)
{
    static const char *const names[] = { "null", "zero", "full", "random", "urandom", "tty" };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        AUTO_FREE char *source = xasprintf("/dev/%s", names[i]);

        if (access(source, F_OK) < 0)
            continue;
        AUTO_CLOSE int fd = openat(dev_fd, names[i], O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666);
        if (fd < 0)
            return err_sys(errno, "cannot make '%s' for the command", source);
        TRY(bind_at(source, fd, source));
    }
    return NULL;
}

/* As container runtimes have it: the kernel's memory, only where the kernel shows it (and /proc/kcore is covered). */
static bool is_there(const char *name)
{
    return strcmp(name, "core") != 0 || access("/proc/kcore", F_OK) == 0;
}

static struct err *link_devices(int dev_fd)
{
    static const char *const links[][2] = {
        { "fd", "/proc/self/fd" },       { "stdin", "/proc/self/fd/0" }, { "stdout", "/proc/self/fd/1" },
        { "stderr", "/proc/self/fd/2" }, { "ptmx", "pts/ptmx" },         { "core", "/proc/kcore" },
    };

    for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++)
        if (is_there(links[i][0]) && symlinkat(links[i][1], dev_fd, links[i][0]) < 0)
            return err_sys(errno, "cannot make '/dev/%s' for the command", links[i][0]);
    return NULL;
}

static struct err *mount_terminals(const struct mounter *m)
{
    const unsigned long flags = MS_NOSUID | MS_NOEXEC;
    AUTO_CLOSE int fd = -1;

    TRY(mount_point(m, "/dev/pts", true, 0, &fd));
    const struct path_fd at = path_of_fd(fd);
    /* Group 5 (tty) exists only where a range of ids is mapped; asking for it in vain is a line in the node's log. */
    bool has_tty_group = m->orders->n_ids > TTY_GROUP;
    if ((!has_tty_group ||
         mount("devpts", at.text, "devpts", flags, "newinstance,ptmxmode=0666,mode=0620,gid=5") < 0) &&
        mount("devpts", at.text, "devpts", flags, "newinstance,ptmxmode=0666,mode=0620") < 0)
        return mount_refused(errno, "/dev/pts");
    return NULL;
}

static struct err *mount_dev(const struct mounter *m)
{
    AUTO_CLOSE int dev_fd = -1;

    TRY(mount_fs(m, "tmpfs", "/dev", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k"));
    TRY(path_open(m->root_fd, "/dev", O_RDONLY | O_DIRECTORY, 0, &dev_fd));
    TRY(bind_devices(dev_fd));
    TRY(link_devices(dev_fd));
    TRY(mount_terminals(m));
    TRY(mount_fs(m, "tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=1777,size=" SHM_SIZE));
    return mount_fs(m, "mqueue", "/dev/mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
}

/* ---- /etc/resolv.conf and /etc/hosts ---- */

static struct err *read_if_exists(const char *path, struct buf *out)
{
    struct err *e = file_read(path, LIMIT_SETTING_FILE_BYTES, out);

    if (e && err_errno(e) == ENOENT) {
        err_free(e);
        return NULL;
    }
    return e;
}

static struct err *bind_text(const struct mounter *m, const char *target, struct buf *text)
{
    const char *name = strrchr(target, '/') + 1;
    AUTO_CLOSE int file = openat(m->scratch_fd, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
    AUTO_CLOSE int at = -1;

    if (file < 0)
        return err_sys(errno, "cannot make '%s' for the command", target);
    TRY(file_write_all(file, buf_str(text), text->len));
    TRY(mount_point(m, target, false, 0, &at));
    TRY(bind_at(path_of_fd(file).text, at, target));
    return restrict_mount(m, target, MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC);
}

static struct err *hosts_text(const struct mounter *m, struct buf *out)
{
    const char *name = *m->orders->hostname ? m->orders->hostname : SANDBOX_HOSTNAME;

    for (size_t i = 0; i < m->orders->hosts.n; i++)
        buf_printf(out, "%s\n", m->orders->hosts.items[i]);
    /* The pod's entries hold its hostAliases, without a network they name nothing. */
    if (!m->orders->no_network)
        TRY(read_if_exists("/etc/hosts", out));
    if (out->len && out->data[out->len - 1] != '\n')
        buf_putc(out, '\n');
    buf_printf(out, "127.0.0.1\tlocalhost %s\n::1\tlocalhost ip6-localhost ip6-loopback\n", name);
    return NULL;
}

/* Lies on /dev, where the real one will cover it. */
static struct err *mount_scratch(struct mounter *m)
{
    uint64_t bytes = SCRATCH_BYTES;
    char data[64];

    for (size_t i = 0; i < m->orders->mounts.n; i++) /* each file takes whole pages */
        bytes += m->orders->mounts.items[i].len + SCRATCH_FILE_BYTES;
    (void)snprintf(data, sizeof(data), "mode=700,size=%llu", (unsigned long long)bytes);
    /* Not MS_NOEXEC: a here-document may be a program. */
    TRY(mount_fs(m, "tmpfs", "/dev", MS_NOSUID | MS_NODEV, data));
    return path_open(m->root_fd, "/dev", O_RDONLY | O_DIRECTORY, 0, &m->scratch_fd);
}

/* Read-only copies. */
static struct err *mount_network_files(const struct mounter *m)
{
    AUTO(buf_release) struct buf resolv = BUF_INIT;
    AUTO(buf_release) struct buf hosts = BUF_INIT;

    TRY(read_if_exists("/etc/resolv.conf", &resolv));
    TRY(hosts_text(m, &hosts));
    TRY(bind_text(m, "/etc/resolv.conf", &resolv));
    return bind_text(m, "/etc/hosts", &hosts);
}

/* ---- the step's own mounts ---- */

static struct err *mount_tmpfs(const struct mounter *m, const struct order_mount *o, const char *target)
{
    char data[64] = "mode=1777";

    if (o->tmpfs_bytes)
        (void)snprintf(data, sizeof(data), "mode=1777,size=%llu", (unsigned long long)o->tmpfs_bytes);
    TRY(mount_fs(m, "tmpfs", target, MS_NOSUID | MS_NODEV, data));
    return o->readonly ? restrict_mount(m, target, MS_RDONLY) : NULL;
}

/* The source has no symlinks: whoever puts one into a directory that steps share leads nowhere. */
static struct err *open_source(const char *path, int *ret_fd)
{
    struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_NO_SYMLINKS };
    long fd = syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));

    if (fd < 0)
        return err_sys(errno, "cannot open '%s'", path);
    *ret_fd = (int)fd;
    return NULL;
}

static struct err *mount_bind(const struct mounter *m, const struct order_mount *o, const char *target)
{
    AUTO_CLOSE int from = -1, at = -1;
    struct stat st;

    TRY(open_source(o->source, &from));
    if (fstat(from, &st) < 0)
        return err_sys(errno, "cannot look at '%s'", o->source);
    TRY(mount_point(m, target, S_ISDIR(st.st_mode), 0, &at));
    TRY(bind_at(path_of_fd(from).text, at, target));
    return o->readonly ? restrict_mount(m, target, MS_RDONLY) : NULL;
}

/* With one mapped id every file is that one's: the owner is then a record. */
static struct err *own_file(const struct mounter *m, const struct order_mount *o, int fd)
{
    const struct owner owner = { .uid = o->uid, .gid = o->gid };
    struct stat st;
    bool stored;

    if (m->orders->n_ids > 1)
        return fchown(fd, o->uid, o->gid) < 0 ? err_sys(errno, "cannot give a file to %u:%u", o->uid, o->gid) : NULL;
    if ((o->uid || o->gid) && fstat(fd, &st) == 0) /* a tmpfs before Linux 6.6 cannot keep it */
        err_free(owner_set(OWNER_RECORDED, fd, &st, &owner, &stored));
    return NULL;
}

static struct err *mount_file(const struct mounter *m, const struct order_mount *o, size_t number, const char *target)
{
    AUTO_FREE char *name = xasprintf("file.%zu", number);
    AUTO_CLOSE int file = openat(m->scratch_fd, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    AUTO_CLOSE int at = -1;

    if (file < 0)
        return err_sys(errno, "cannot make a file for the command");
    TRY(file_write_all(file, o->data, o->len));
    TRY(own_file(m, o, file));
    if (fchmod(file, o->mode) < 0)
        return err_sys(errno, "cannot change the mode of a file for the command");
    TRY(mount_point(m, target, false, 0, &at));
    TRY(bind_at(path_of_fd(file).text, at, target));
    return o->readonly ? restrict_mount(m, target, MS_RDONLY | MS_NOSUID | MS_NODEV) : NULL;
}

static struct err *mount_order(const struct mounter *m, size_t number)
{
    const struct order_mount *o = &m->orders->mounts.items[number];
    AUTO_FREE char *target = path_join("/", o->target);

    if (!target[1])
        return err_new(ERR_DOCKERFILE, "a mount cannot replace the root directory");
    switch ((enum run_mount_kind)o->kind) {
    case RUN_MOUNT_BIND:
        return mount_bind(m, o, target);
    case RUN_MOUNT_TMPFS:
        return mount_tmpfs(m, o, target);
    case RUN_MOUNT_FILE:
        return mount_file(m, o, number, target);
    }
    return err_new(ERR_BUG, "a mount of unknown kind %u", o->kind);
}

static size_t components(const char *path)
{
    size_t n = 0;

    for (; *path; path++)
        n += path[0] == '/' && path[1] && path[1] != '/';
    return n;
}

/* Outer ones first, else in the given order. */
static struct err *mount_orders(const struct mounter *m)
{
    size_t deepest = 0;

    for (size_t i = 0; i < m->orders->mounts.n; i++)
        if (components(m->orders->mounts.items[i].target) > deepest)
            deepest = components(m->orders->mounts.items[i].target);
    for (size_t depth = 0; m->orders->mounts.n && depth <= deepest; depth++)
        for (size_t i = 0; i < m->orders->mounts.n; i++)
            if (components(m->orders->mounts.items[i].target) == depth)
                TRY(err_wrap(mount_order(m, i), "cannot mount '%s'", m->orders->mounts.items[i].target));
    return NULL;
}

/* ---- the root ---- */

static struct err *open_root(const struct orders *o, struct mounter *m)
{
    struct stat st;

    /* A mount of its own: what is mounted below goes with it, and only a mount can become the root. */
    if (mount(o->root, o->root, NULL, MS_BIND, NULL) < 0 && mount(o->root, o->root, NULL, MS_BIND | MS_REC, NULL) < 0)
        return mount_refused(errno, o->root);
    m->root_fd = open(o->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (m->root_fd < 0 || fstat(m->root_fd, &st) < 0)
        return err_sys(errno, "cannot open '%s'", o->root);
    m->root_dev = st.st_dev;
    return NULL;
}

/* After pivot_root the old root must be unmounted: only try it if a filter does not refuse the second half. */
static bool may_unmount(void)
{
    return umount2("/proc/self/no-such-mount", MNT_DETACH) < 0 && errno != EPERM && errno != ENOSYS;
}

static struct err *switch_root(int root_fd)
{
    if (fchdir(root_fd) < 0)
        return err_sys(errno, "cannot enter the root of the command");
    if (may_unmount() && syscall(SYS_pivot_root, ".", ".") == 0) {
        if (umount2(".", MNT_DETACH) < 0)
            return mount_refused(errno, "the root: unmounting the old one");
    } else {
        /* Covers the old root for good: nothing inside may unmount, and ".." of a chroot ends at this mount too. */
        if (mount(".", "/", NULL, MS_MOVE, NULL) < 0)
            return mount_refused(errno, "the root");
        if (chroot(".") < 0)
            return err_set_kind(err_sys(errno, "cannot change the root of the command"), ERR_POD);
    }
    return chdir("/") < 0 ? err_sys(errno, "cannot enter the root of the command") : NULL;
}

/* What the command must not find in our memory. */
static void forget_data(struct orders *o)
{
    for (size_t i = 0; i < o->mounts.n; i++)
        explicit_bzero(o->mounts.items[i].data, o->mounts.items[i].len);
}

static struct err *mount_all(struct mounter *m)
{
    TRY(mount_proc(m));
    TRY(mount_scratch(m));
    TRY(mount_network_files(m));
    TRY(mount_dev(m));
    TRY(mount_sys(m));
    TRY(mount_orders(m));
    forget_data(m->orders);
    return switch_root(m->root_fd);
}

struct err *mounts_enter_root(struct orders *o, int report_fd)
{
    struct mounter m = { .orders = o, .root_fd = -1, .report_fd = report_fd, .scratch_fd = -1 };

    umask(0);
    TRY(open_root(o, &m));
    struct err *e = mount_all(&m);
    close_fd(&m.root_fd);
    close_fd(&m.scratch_fd);
    return e;
}
