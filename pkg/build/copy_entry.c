#include "base/limits.h"
#include "build/copy_priv.h"
#include "dockerfile/dockerfile.h"
#include "sys/file.h"
#include "sys/image_xattr.h"
#include "sys/path.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/xattr.h>

#define SMALL_BYTES 65536 /* up to here reading and writing beats asking the kernel to copy */

static struct err *fail(const struct copier *c, const char *what)
{
    return copy_blame(err_sys(errno, "cannot %s '/%s'", what, c->dst.data ? c->dst.data : ""));
}

/* ---- owner, mode, times, attributes ---- */

struct err *copy_mode(const struct copier *c, mode_t mode, mode_t *ret_mode)
{
    *ret_mode = mode & 07777;
    if (!c->spec->chmod)
        return NULL;
    if (c->octal >= 0) {
        *ret_mode = (mode_t)c->octal;
        return NULL;
    }
    TRY(df_chmod(c->spec->chmod, mode, ret_mode));
    *ret_mode &= 07777;
    return NULL;
}

struct err *copy_owner(const struct copier *c, int src_fd, const struct stat *st, struct owner *ret)
{
    struct owner o = { 0 };
    bool known = true;

    if (c->spec->from_image) {
        TRY(owner_get(c->spec->owners, src_fd, st, &o, &known));
        if (!known && !S_ISREG(st->st_mode) && !S_ISDIR(st->st_mode) && c->spec->find_owner)
            (void)c->spec->find_owner(c->spec->find_ctx, c->src.data, &o);
    }
    if (c->spec->chown) {
        o.uid = c->spec->chown->uid;
        o.gid = c->spec->chown->gid;
    }
    *ret = o;
    return NULL;
}

static struct err *store_owner(const struct copier *c, int fd, const struct stat *st, const struct owner *o)
{
    bool stored;

    TRY(err_wrap(owner_set(c->spec->owners, fd, st, o, &stored), "cannot copy to '/%s'", c->dst.data));
    if (!stored && c->spec->note_owner)
        c->spec->note_owner(c->spec->ctx, c->dst.data, o);
    return NULL;
}

/* The overlay's own marks and our records must not come from outside; labels belong to the node; of the context the
 * rest does not survive the transfer that others make. */
const char *copy_xattr_name(const struct copier *c, const char *stored)
{
    static const char *const never[] = { "user.overlay.", "trusted.", "security.selinux", "security.ima",
                                         "security.evm" };
    const char *name = image_xattr_name(stored);

    if (!name)
        return NULL;
    for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
        if (strncmp(name, never[i], strlen(never[i])) == 0)
            return NULL;
    }
    return c->spec->from_image || strncmp(name, "user.", 5) == 0 ? name : NULL;
}

/* What the file system refuses is left out, as BuildKit does. */
static void copy_xattrs(const struct copier *c, int from, int to)
{
    char names[4096], value[4096];
    ssize_t n = flistxattr(from, names, sizeof(names));
    AUTO_FREE char *more = NULL, *big = NULL;

    if (n == 0 || (n < 0 && errno != ERANGE))
        return;
    if (n < 0) {
        more = xcalloc(1, LIMIT_XATTR_BYTES);
        n = flistxattr(from, more, LIMIT_XATTR_BYTES);
    }
    const char *list = more ? more : names;
    for (const char *s = list; n > 0 && s < list + n; s += strlen(s) + 1) {
        const char *name = copy_xattr_name(c, s);
        if (!name)
            continue;
        ssize_t len = image_xattr_get(from, name, value, sizeof(value));
        const char *v = value;
        if (len < 0 && errno == ERANGE) {
            if (!big)
                big = xcalloc(1, LIMIT_XATTR_BYTES);
            len = image_xattr_get(from, name, big, LIMIT_XATTR_BYTES);
            v = big;
        }
        if (len >= 0)
            (void)image_xattr_set(to, name, v, (size_t)len);
    }
}

struct err *copy_times(const struct copier *c, const struct stat *st, int dst_fd)
{
    const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, st->st_mtim };

    return futimens(dst_fd, times) < 0 ? fail(c, "set the time of") : NULL;
}

/* A file that was made just now is root's unless something says otherwise. */
static bool is_roots_already(const struct copier *c, const struct owner *o)
{
    return c->spec->owners == OWNER_RECORDED && o->uid == 0 && o->gid == 0 && !o->device;
}

/* The owner first: changing it clears setuid bits and capabilities. made: by us, just now. */
static struct err *copy_info(struct copier *c, int from, const struct stat *st, int to, const struct owner *o,
                             bool made)
{
    mode_t mode;

    TRY(copy_mode(c, st->st_mode, &mode));
    if (!made || !is_roots_already(c, o))
        TRY(store_owner(c, to, st, o));
    if (fchmod(to, mode) < 0)
        return fail(c, "change the mode of");
    copy_xattrs(c, from, to);
    return copy_times(c, st, to);
}

struct err *copy_dir_info(struct copier *c, int src_fd, const struct stat *st, int dst_fd)
{
    struct owner o;

    TRY(copy_owner(c, src_fd, st, &o));
    return copy_info(c, src_fd, st, dst_fd, &o, false);
}

/* ---- regular files ---- */

static struct err *open_new(const struct copier *c, int dir_fd, const char *name, int *ret_fd)
{
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(dir_fd, name, flags, 0600);

    if (fd < 0 && errno == EEXIST) {
        TRY(copy_clear(c, dir_fd, name));
        fd = openat(dir_fd, name, flags, 0600);
    }
    if (fd < 0)
        return fail(c, "create");
    *ret_fd = fd;
    return NULL;
}

static struct err *copy_data(struct copier *c, int from, int to, uint64_t size)
{
    if (size > SMALL_BYTES)
        return err_wrap(file_copy_data(from, to, size, c->spec->cancel), "cannot copy '%s'", c->src.data);
    while (size > 0) {
        ssize_t n = read(from, c->io, size);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_sys(errno, "cannot read '%s'", c->src.data);
        if (n == 0)
            break; /* it shrank under us */
        TRY(err_wrap(file_write_all(to, c->io, (size_t)n), "cannot copy '%s'", c->src.data));
        size -= (uint64_t)n;
    }
    return NULL;
}

/* A hard link to what is already copied, if it is and the file system lets us. */
static struct err *try_link(const struct copier *c, const char *first, int dst_fd, const char *name, bool *ret_done)
{
    AUTO_CLOSE int dir = -1;
    AUTO_FREE char *from = NULL;
    int done;

    TRY(path_open_parent(c->to_fd, first, &dir, &from));
    done = linkat(dir, from, dst_fd, name, 0);
    if (done < 0 && errno == EEXIST) {
        TRY(copy_clear(c, dst_fd, name));
        done = linkat(dir, from, dst_fd, name, 0);
    }
    *ret_done = done == 0;
    return NULL;
}

static struct err *link_or_remember(struct copier *c, const struct stat *st, int dst_fd, const char *name,
                                    bool *ret_done)
{
    char key[64];

    *ret_done = false;
    if (st->st_nlink < 2 || !c->links)
        return NULL;
    (void)snprintf(key, sizeof(key), "%" PRIxMAX ":%" PRIxMAX, (uintmax_t)st->st_dev, (uintmax_t)st->st_ino);
    const char *first = map_get(c->links, key);
    if (first)
        return try_link(c, first, dst_fd, name, ret_done);
    map_set(c->links, key, xstrdup(c->dst.data));
    return NULL;
}

/* A device node, or what stands for one where the kernel does not let us make it. */
static struct err *copy_device(struct copier *c, const struct stat *st, struct owner *o, int dst_fd, const char *name);

static struct err *copy_regular(struct copier *c, int from, const struct stat *st, int dst_fd, const char *name)
{
    AUTO_CLOSE int to = -1;
    struct owner o;
    bool done;

    TRY(copy_owner(c, from, st, &o));
    if (o.device)
        return copy_device(c, st, &o, dst_fd, name);
    TRY(link_or_remember(c, st, dst_fd, name, &done));
    if (done)
        return NULL;
    TRY(open_new(c, dst_fd, name, &to));
    TRY(copy_data(c, from, to, (uint64_t)st->st_size));
    c->stats.bytes += (uint64_t)st->st_size;
    return copy_info(c, from, st, to, &o, true);
}

/* ---- everything else ---- */

/* Owner, mode and times of something that cannot be opened. */
static struct err *finish_by_name(struct copier *c, const struct stat *st, const struct owner *o, int dst_fd,
                                  const char *name)
{
    AUTO_CLOSE int fd = openat(dst_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, st->st_mtim };
    struct stat made;
    mode_t mode;

    if (fd < 0 || fstat(fd, &made) < 0)
        return fail(c, "open");
    TRY(store_owner(c, fd, &made, o));
    if (!S_ISLNK(st->st_mode)) {
        TRY(copy_mode(c, st->st_mode, &mode));
        if (fchmodat(dst_fd, name, mode, 0) < 0)
            return fail(c, "change the mode of");
    }
    if (utimensat(dst_fd, name, times, AT_SYMLINK_NOFOLLOW) < 0)
        return fail(c, "set the time of");
    return NULL;
}

static struct err *copy_device(struct copier *c, const struct stat *st, struct owner *o, int dst_fd, const char *name)
{
    mode_t type = o->device ? o->device : st->st_mode & S_IFMT;
    dev_t rdev = o->device ? o->rdev : st->st_rdev;
    struct owner plain = *o;

    TRY(copy_clear(c, dst_fd, name));
    plain.device = 0;
    if (mknodat(dst_fd, name, type | 0600, rdev) == 0)
        return finish_by_name(c, st, &plain, dst_fd, name);
    if (errno != EPERM && errno != EINVAL)
        return fail(c, "make the device");
    if (mknodat(dst_fd, name, S_IFREG | 0600, 0) < 0)
        return fail(c, "create");
    o->device = type;
    o->rdev = rdev;
    return finish_by_name(c, st, o, dst_fd, name);
}

static struct err *copy_symlink(struct copier *c, int from, const struct stat *st, const struct owner *o, int dst_fd,
                                const char *name)
{
    char target[LIMIT_PATH_BYTES + 1];
    ssize_t n = readlinkat(from, "", target, sizeof(target) - 1);

    if (n < 0)
        return err_sys(errno, "cannot read the symlink '%s'", c->src.data);
    target[n] = '\0';
    if (symlinkat(target, dst_fd, name) < 0) {
        if (errno != EEXIST)
            return fail(c, "create");
        TRY(copy_clear(c, dst_fd, name));
        if (symlinkat(target, dst_fd, name) < 0)
            return fail(c, "create");
    }
    return finish_by_name(c, st, o, dst_fd, name);
}

static struct err *copy_special(struct copier *c, int src_fd, const char *src_name, int dst_fd, const char *name)
{
    AUTO_CLOSE int from = openat(src_fd, src_name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    struct owner o;
    struct stat st;

    if (from < 0 || fstat(from, &st) < 0)
        return err_sys(errno, "cannot open '%s'", c->src.data);
    TRY(copy_owner(c, from, &st, &o));
    if (S_ISLNK(st.st_mode))
        return copy_symlink(c, from, &st, &o, dst_fd, name);
    if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))
        return copy_device(c, &st, &o, dst_fd, name);
    TRY(copy_clear(c, dst_fd, name));
    /* nobody listens at the copy of a socket: an empty file, as with BuildKit */
    if (mknodat(dst_fd, name, (S_ISFIFO(st.st_mode) ? S_IFIFO : S_IFREG) | 0600, 0) < 0)
        return fail(c, "create");
    return finish_by_name(c, &st, &o, dst_fd, name);
}

struct err *copy_entry(struct copier *c, int src_fd, const char *src_name, unsigned char type, int dst_fd,
                       const char *dst_name)
{
    AUTO_CLOSE int from = -1;
    struct stat st;

    c->stats.files++;
    if (c->spec->sum)
        return copy_sum_entry(c, src_fd, src_name, type);
    if (type == DT_UNKNOWN && fstatat(src_fd, src_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        type = IFTODT(st.st_mode);
    if (type != DT_REG) /* opening a device may do things */
        return copy_special(c, src_fd, src_name, dst_fd, dst_name);
    from = openat(src_fd, src_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (from < 0 && (errno == EACCES || errno == EPERM))
        return err_hint(err_sys(errno, "cannot read '%s'", c->src.data),
                        "The builder's user must be allowed to read every file that is copied.");
    if (from < 0 || fstat(from, &st) < 0)
        return err_sys(errno, "cannot open '%s'", c->src.data);
    if (!S_ISREG(st.st_mode))
        return err_new(ERR_DOCKERFILE, "'%s' changed while it was copied", c->src.data);
    return copy_regular(c, from, &st, dst_fd, dst_name);
}

struct err *copy_inline(struct copier *c, int dst_fd, const char *name)
{
    const struct copy_spec *s = c->spec;
    struct stat st = { .st_mode = S_IFREG | 0644, .st_mtim = { .tv_sec = s->inline_mtime_s } };
    struct owner o = { 0 };
    AUTO_CLOSE int to = -1;
    mode_t mode;

    if (s->chown)
        o = *s->chown;
    TRY(open_new(c, dst_fd, name, &to));
    TRY(file_write_all(to, s->inline_data, s->inline_len));
    TRY(copy_mode(c, st.st_mode, &mode));
    TRY(store_owner(c, to, &st, &o));
    if (fchmod(to, mode) < 0)
        return fail(c, "change the mode of");
    c->stats.files++;
    c->stats.bytes += s->inline_len;
    return copy_times(c, &st, to);
}
