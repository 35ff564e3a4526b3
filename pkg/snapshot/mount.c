#include "snapshot/mount_priv.h"

#include "base/buf.h"
#include "base/log.h"
#include "sys/path.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>

/* mount(2) takes one page of options */
#define MOUNT_DATA_BYTES 4095

/* Directories are named by descriptor: short, whatever the state directory is called, and free of ':' and ','. */
struct opened {
    VEC(int) fds; /* lowers, then upper and work */
};

static void opened_release(struct opened *o)
{
    for (size_t i = 0; i < o->fds.n; i++)
        close(o->fds.items[i]);
    vec_free(&o->fds);
}

static struct err *open_one(struct opened *o, const char *path)
{
    int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return err_sys(errno, "cannot open '%s'", path);
    vec_push(&o->fds, fd);
    return NULL;
}

static struct err *open_all(struct opened *o, const struct overlay_dirs *dirs)
{
    for (size_t i = 0; i < dirs->lowers->n; i++)
        TRY(open_one(o, dirs->lowers->items[i]));
    if (!dirs->upper)
        return NULL;
    TRY(open_one(o, dirs->upper));
    return open_one(o, dirs->work);
}

static bool set_string(int fs, const char *key, int dir_fd)
{
    return fsconfig(fs, FSCONFIG_SET_STRING, key, path_of_fd(dir_fd).text, 0) == 0;
}

/* The calls of Linux 5.2, with "lowerdir+" of 6.8: no limit on the options' length, and a reason when it fails.
 * False with errno. */
static bool mount_new(const struct overlay_dirs *dirs, const struct opened *o, const char *target, struct buf *why)
{
    AUTO_CLOSE int fs = fsopen("overlay", FSOPEN_CLOEXEC);
    AUTO_CLOSE int mnt = -1;
    size_t n = dirs->lowers->n;
    bool ok = fs >= 0 && fsconfig(fs, FSCONFIG_SET_STRING, "source", "overlay", 0) == 0 &&
              fsconfig(fs, FSCONFIG_SET_FLAG, "userxattr", NULL, 0) == 0;

    for (size_t i = 0; ok && i < n; i++)
        ok = set_string(fs, "lowerdir+", o->fds.items[i]);
    if (ok && dirs->upper)
        ok = set_string(fs, "upperdir", o->fds.items[n]) && set_string(fs, "workdir", o->fds.items[n + 1]) &&
             fsconfig(fs, FSCONFIG_SET_FLAG, "volatile", NULL, 0) == 0;
    ok = ok && fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0;
    if (ok)
        mnt = fsmount(fs, FSMOUNT_CLOEXEC, dirs->upper ? 0 : MOUNT_ATTR_RDONLY);
    if (ok && mnt >= 0 && move_mount(mnt, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH) == 0)
        return true;
    int saved = errno;
    char text[256];
    ssize_t got = fs < 0 ? -1 : read(fs, text, sizeof(text)); /* "e overlay: reason" */
    if (got > 2)
        buf_add(why, text + 2, (size_t)got - 2 - (text[got - 1] == '\n'));
    errno = saved;
    return false;
}

static struct err *mount_old(const struct overlay_dirs *dirs, const struct opened *o, const char *target)
{
    AUTO(buf_release) struct buf data = BUF_INIT;
    size_t n = dirs->lowers->n;

    buf_puts(&data, "userxattr,lowerdir=");
    for (size_t i = 0; i < n; i++)
        buf_printf(&data, "%s%s", i ? ":" : "", path_of_fd(o->fds.items[i]).text);
    if (dirs->upper) {
        buf_printf(&data, ",upperdir=%s", path_of_fd(o->fds.items[n]).text);
        buf_printf(&data, ",workdir=%s,volatile", path_of_fd(o->fds.items[n + 1]).text);
    }
    if (data.len > MOUNT_DATA_BYTES)
        return err_new(ERR_POD, "the mount options of %zu layers do not fit into a page", n);
    if (mount("overlay", target, "overlay", dirs->upper ? 0 : MS_RDONLY, data.data) < 0)
        return err_sys(errno, "cannot mount an overlay");
    return NULL;
}

struct err *overlay_mount(const struct overlay_dirs *dirs, const char *target)
{
    __attribute__((cleanup(opened_release))) struct opened o = { 0 };
    AUTO(buf_release) struct buf why = BUF_INIT;

    TRY(open_all(&o, dirs));
    if (mount_new(dirs, &o, target, &why))
        return NULL;
    /* refused by a seccomp profile that has mount(2) alone, or too old: the old call tells */
    log_debug("snapshot", "fsopen(overlay): %s%s%s", strerror(errno), why.len ? ": " : "", buf_str(&why));
    struct err *e = mount_old(dirs, &o, target);
    return why.len ? err_wrap(e, "%s", buf_str(&why)) : e;
}

void overlay_unmount(const char *target)
{
    if (umount2(target, MNT_DETACH) < 0 && errno != EINVAL && errno != ENOENT)
        log_debug("snapshot", "cannot unmount '%s': %s", target, strerror(errno));
}
