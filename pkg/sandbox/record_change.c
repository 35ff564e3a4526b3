/* Changes of what is there: owner, mode, times, size, extended attributes. */
#include "sandbox/record_calls_priv.h"

#include "base/mem.h"
#include "sys/image_xattr.h"
#include "sys/path.h"

#include <endian.h>
#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

/* Opens what the row names and checks that the caller may search the way to it. 0, LEAVE_IT or a negative errno. */
static int find(struct call *c, struct target *t)
{
    AUTO_PLACE struct place p = { .dir.fd = -1 };
    bool follow = !(record_flags_of(c) & AT_SYMLINK_NOFOLLOW);
    int rc = record_read_path(c);

    if (rc == 0)
        rc = target_open(c, follow, 0, t);
    if (rc != 0 || !c->path[0] || cred_has(c->cred, CAP_DAC_OVERRIDE))
        return rc;
    if (place_open(c, record_dir_of(c), c->path, 0, &p) == 0 && !place_reachable(c, &p))
        return -EACCES;
    return 0;
}

/* ---- chown ---- */

/* Pipes, sockets and terminals may be given away, too: nobody will see it but this RUN. */
static bool can_be_given(const struct target *t)
{
    return !t->foreign || S_ISFIFO(t->st.st_mode) || S_ISSOCK(t->st.st_mode) || S_ISCHR(t->st.st_mode);
}

/* Our one id on both sides: what chown does besides (times, setuid bits, capabilities, copying up) is wanted. The
 * record does the same to a file without such bits. */
static int chown_by_kernel(const struct target *t, const struct owner *o, uint32_t uid, uint32_t gid)
{
    uid_t to_uid = uid == CRED_NO_ID ? (uid_t)-1 : 0;
    gid_t to_gid = gid == CRED_NO_ID ? (gid_t)-1 : 0;

    if (t->foreign || (t->plain && !(t->st.st_mode & (S_ISUID | S_ISGID)) && (o->uid || o->gid)))
        return 0;
    return fchownat(t->fd, "", to_uid, to_gid, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

struct answer record_chown(struct call *c)
{
    AUTO_TARGET struct target t = { .fd = -1 };
    uint32_t uid = arg_id(c, c->row->rest), gid = arg_id(c, c->row->rest + 1);
    int rc = find(c, &t);

    if (rc != 0)
        return not_found(rc);
    const struct cred_file f = target_file(&t);
    if (!can_be_given(&t))
        return by_kernel();
    if (!cred_may_chown(c->cred, &f, uid, gid))
        return with_value(-EPERM);
    if (!task_is_waiting(c))
        return by_kernel();
    struct owner o = t.owner;
    o.uid = uid == CRED_NO_ID ? o.uid : uid;
    o.gid = gid == CRED_NO_ID ? o.gid : gid;
    rc = chown_by_kernel(&t, &o, uid, gid);
    if (rc < 0)
        return with_value(rc);
    record_forget_dirs(c->r);
    return with_value(target_give(c, &t, &o));
}

/* ---- chmod ---- */

struct answer record_chmod(struct call *c)
{
    AUTO_TARGET struct target t = { .fd = -1 };

    record_forget_dirs(c->r);
    if (record_is_plain_root(c))
        return by_kernel();
    int rc = find(c, &t);
    if (rc != 0 || t.foreign)
        return not_found(rc);
    const struct cred_file f = target_file(&t);
    if (!cred_owns(c->cred, &f))
        return with_value(-EPERM);
    mode_t mode = cred_chmod_mode(c->cred, &f, (mode_t)c->arg[c->row->rest] & 07777);
    if (!task_is_waiting(c))
        return by_kernel();
    return with_value(chmod(record_fd_path(t.fd).text, mode) < 0 ? -errno : 0);
}

/* ---- times ---- */

/* The two times of a call in the caller's form; a null pointer means now. */
static int read_times(const struct call *c, struct timespec out[2])
{
    uint64_t address = c->arg[c->row->rest];
    enum times_form form = c->row->fixed & TIMES_FORM;
    bool narrow = c->abi == ABI_32 && form != TIMES_TIMESPEC64;
    int64_t wide[4];
    int32_t slim[4];
    size_t n = form == TIMES_SECONDS ? 2 : 4;

    out[0] = out[1] = (struct timespec){ .tv_nsec = UTIME_NOW };
    if (!address)
        return 0;
    int rc =
        narrow ? task_read(c, address, slim, n * sizeof(slim[0])) : task_read(c, address, wide, n * sizeof(wide[0]));
    if (rc < 0)
        return rc;
    for (size_t i = 0; narrow && i < n; i++)
        wide[i] = slim[i];
    if (form == TIMES_SECONDS) {
        out[0] = (struct timespec){ .tv_sec = wide[0] };
        out[1] = (struct timespec){ .tv_sec = wide[1] };
        return 0;
    }
    int64_t unit = form == TIMES_TIMEVAL ? 1000 : 1;
    out[0] = (struct timespec){ wide[0], wide[1] * unit };
    out[1] = (struct timespec){ wide[2], wide[3] * unit };
    return 0;
}

/* The present time may be set by whoever may write, any other by the owner. */
static bool may_set_times(const struct call *c, const struct target *t, const struct timespec times[2])
{
    const struct cred_file f = target_file(t);
    bool now = times[0].tv_nsec == UTIME_NOW && times[1].tv_nsec == UTIME_NOW;

    return cred_owns(c->cred, &f) || (now && cred_may(c->cred, &f, W_OK));
}

struct answer record_utimes(struct call *c)
{
    AUTO_TARGET struct target t = { .fd = -1 };
    struct timespec times[2];

    if (record_is_plain_root(c))
        return by_kernel();
    int rc = find(c, &t);
    if (rc == 0)
        rc = read_times(c, times);
    if (rc != 0 || t.foreign)
        return not_found(rc);
    if (times[0].tv_nsec == UTIME_OMIT && times[1].tv_nsec == UTIME_OMIT)
        return with_value(0);
    if (!may_set_times(c, &t, times))
        return with_value(times[0].tv_nsec == UTIME_NOW && times[1].tv_nsec == UTIME_NOW ? -EACCES : -EPERM);
    if (!task_is_waiting(c))
        return by_kernel();
    if (S_ISLNK(t.st.st_mode)) /* a link in /proc would be followed through it */
        return with_value(utimensat(t.fd, "", times, AT_EMPTY_PATH) < 0 ? -errno : 0);
    return with_value(utimensat(AT_FDCWD, record_fd_path(t.fd).text, times, 0) < 0 ? -errno : 0);
}

struct answer record_truncate(struct call *c)
{
    AUTO_TARGET struct target t = { .fd = -1 };
    int64_t size = c->abi == ABI_32 ? arg_int(c, c->row->rest) : (int64_t)c->arg[c->row->rest];

    if (record_is_plain_root(c))
        return by_kernel();
    if (c->row->fixed & TRUNCATE_TWO_WORDS)
        size = (int64_t)((uint32_t)c->arg[c->row->rest] | c->arg[c->row->rest + 1] << 32);
    int rc = find(c, &t);
    if (rc != 0 || t.foreign || !S_ISREG(t.st.st_mode))
        return not_found(rc);
    const struct cred_file f = target_file(&t);
    if (!cred_may(c->cred, &f, W_OK))
        return with_value(-EACCES);
    if (!task_is_waiting(c))
        return by_kernel();
    return with_value(truncate(record_fd_path(t.fd).text, size) < 0 ? -errno : 0);
}

/* ---- extended attributes ---- */

#define OUR_PREFIX "user.copyup."

static int read_name(const struct call *c, char out[XATTR_NAME_MAX + 1])
{
    int rc = task_read_string(c, c->arg[c->row->rest], out, XATTR_NAME_MAX + 1);

    return rc == -ENAMETOOLONG ? -ERANGE : rc;
}

/* May this attribute be changed? */
static int check_xattr(const struct call *c, const struct target *t, const char *name)
{
    const struct cred_file f = target_file(t);

    if (strncmp(name, OUR_PREFIX, strlen(OUR_PREFIX)) == 0)
        return -EPERM;
    if (strcmp(name, "security.capability") == 0) /* on other files it is our record */
        return S_ISREG(t->st.st_mode) && cred_has(c->cred, CAP_SETFCAP) ? 0 : -EPERM;
    if (strncmp(name, "user.", 5) == 0)
        return cred_may(c->cred, &f, W_OK) ? 0 : -EACCES;
    if (strncmp(name, "system.", 7) == 0)
        return cred_owns(c->cred, &f) ? 0 : -EPERM;
    return -EPERM; /* trusted.* and security.* belong to CAP_SYS_ADMIN, which no RUN has */
}

static bool is_access_list(const char *name)
{
    return strncmp(name, "system.posix_acl_", strlen("system.posix_acl_")) == 0;
}

static bool is_common_name(const struct call *c, const char *name)
{
    return record_is_plain_root(c) && !is_access_list(name) && strncmp(name, OUR_PREFIX, strlen(OUR_PREFIX)) != 0 &&
           strcmp(name, "security.capability") != 0;
}

/* Which attribute of what; 0, LEAVE_IT or a negative errno. */
static int find_xattr(struct call *c, struct target *t, char name[XATTR_NAME_MAX + 1])
{
    int rc = read_name(c, name);

    if (rc < 0 || is_common_name(c, name))
        return rc < 0 ? rc : LEAVE_IT;
    rc = find(c, t);
    if (rc == 0 && t->foreign)
        rc = LEAVE_IT;
    if (rc == 0)
        rc = check_xattr(c, t, name);
    return rc == 0 && !task_is_waiting(c) ? LEAVE_IT : rc;
}

/* The mode that an access list gives a file: the rights of owner, mask (or group) and others. */
static mode_t mode_of_list(const char *list, size_t n, mode_t mode)
{
    static const struct {
        uint16_t tag; /* linux/posix_acl.h */
        int shift;
    } classes[] = { { 0x01, 6 }, { 0x04, 3 }, { 0x10, 3 }, { 0x20, 0 } };

    for (size_t k = 0; k < sizeof(classes) / sizeof(classes[0]); k++)
        for (size_t at = 4; at + 8 <= n; at += 8) {
            uint16_t entry[2];

            memcpy(entry, list + at, sizeof(entry));
            if (le16toh(entry[0]) != classes[k].tag)
                continue;
            mode &= ~(7U << classes[k].shift);
            mode |= (mode_t)(le16toh(entry[1]) & 7) << classes[k].shift;
        }
    return mode & 07777;
}

/* An access list of other ids than ours is put aside; the file gets the mode that goes with it. */
static int set_xattr(const struct target *t, const char *name, const void *value, size_t n, int flags)
{
    const struct path_fd path = record_fd_path(t->fd);

    if (setxattr(path.text, name, value, n, flags) == 0)
        return 0;
    const char *instead = is_access_list(name) ? image_xattr_instead(name, errno, value, n) : NULL;
    if (!instead || setxattr(path.text, instead, value, n, 0) < 0)
        return -errno;
    (void)removexattr(path.text, name);
    if (strcmp(name, "system.posix_acl_access") == 0 && chmod(path.text, mode_of_list(value, n, t->st.st_mode)) < 0)
        return -errno;
    return 0;
}

static int remove_xattr(const struct target *t, const char *name)
{
    const char *stored = image_xattr_stored(name);
    bool found = stored && removexattr(record_fd_path(t->fd).text, stored) == 0;

    return removexattr(record_fd_path(t->fd).text, name) < 0 && !(found && errno == ENODATA) ? -errno : 0;
}

struct answer record_setxattr(struct call *c)
{
    AUTO_TARGET struct target t = { .fd = -1 };
    char name[XATTR_NAME_MAX + 1];
    uint64_t size = c->arg[c->row->rest + 2];
    int rc = find_xattr(c, &t, name);

    if (rc != 0)
        return not_found(rc);
    if (size > LIMIT_XATTR_BYTES)
        return with_value(-E2BIG);
    AUTO_FREE char *value = xcalloc(1, size + 1);
    rc = size ? task_read(c, c->arg[c->row->rest + 1], value, size) : 0;
    if (rc < 0)
        return with_value(rc);
    return with_value(set_xattr(&t, name, value, size, arg_int(c, c->row->rest + 3)));
}

struct answer record_removexattr(struct call *c)
{
    AUTO_TARGET struct target t = { .fd = -1 };
    char name[XATTR_NAME_MAX + 1];
    int rc = find_xattr(c, &t, name);

    if (rc != 0)
        return not_found(rc);
    return with_value(remove_xattr(&t, name));
}

/* The list without what is ours; its new length. */
static size_t hide_ours(const struct target *t, char *list, size_t n)
{
    size_t kept = 0;

    for (size_t i = 0; i < n;) {
        size_t len = strlen(list + i) + 1;
        bool ours = strncmp(list + i, OUR_PREFIX, strlen(OUR_PREFIX)) == 0 ||
                    (!owner_in_user_xattr(t->st.st_mode) && strcmp(list + i, "security.capability") == 0);

        if (!ours) {
            memmove(list + kept, list + i, len);
            kept += len;
        }
        i += len;
    }
    return kept;
}

struct answer record_listxattr(struct call *c)
{
    AUTO_TARGET struct target t = { .fd = -1 };
    AUTO_FREE char *list = NULL;
    uint64_t size = c->arg[c->row->rest + 1];
    int rc = find(c, &t);

    if (rc != 0 || !t.recorded || t.foreign)
        return not_found(rc);
    list = xcalloc(1, LIMIT_XATTR_BYTES);
    ssize_t n = listxattr(record_fd_path(t.fd).text, list, LIMIT_XATTR_BYTES - 1);
    if (n < 0)
        return with_value(-errno);
    size_t kept = hide_ours(&t, list, (size_t)n);
    if (size == 0)
        return with_value((int64_t)kept);
    if (size < kept)
        return with_value(-ERANGE);
    rc = kept ? task_write(c, c->arg[c->row->rest], list, kept) : 0;
    return with_value(rc < 0 ? rc : (int64_t)kept);
}
