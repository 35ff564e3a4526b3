/* Other programs and other roots. The kernel starts the program; for it all setuid programs belong to the user that
 * runs them, so that what the bits give is kept here. */
#include "sandbox/record_calls_priv.h"
#include "sys/path.h"

#include <endian.h>
#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

static void read_file_caps(const struct target *t, struct cred_program *p)
{
    struct vfs_ns_cap_data d = { 0 };
    ssize_t n = getxattr(record_fd_path(t->fd).text, "security.capability", &d, sizeof(d));
    uint32_t magic = le32toh(d.magic_etc), version = magic & VFS_CAP_REVISION_MASK;

    if (n < (ssize_t)XATTR_CAPS_SZ_2 || (version != VFS_CAP_REVISION_2 && version != VFS_CAP_REVISION_3))
        return;
    p->has_caps = true;
    p->caps_effective = magic & VFS_CAP_FLAGS_EFFECTIVE;
    p->caps_permitted = le32toh(d.data[0].permitted) | (uint64_t)le32toh(d.data[1].permitted) << 32;
    p->caps_inheritable = le32toh(d.data[0].inheritable) | (uint64_t)le32toh(d.data[1].inheritable) << 32;
}

/* Bits of a script are not obeyed: its interpreter is the program. */
static bool is_script(const struct target *t)
{
    char start[2];
    AUTO_CLOSE int fd = target_reopen(t, O_RDONLY);

    return fd >= 0 && pread(fd, start, 2, 0) == 2 && start[0] == '#' && start[1] == '!';
}

static void look_at_program(const struct target *t, struct cred_program *p)
{
    const struct cred_file f = target_file(t);

    *p = (struct cred_program){ .mode = t->st.st_mode, .uid = f.uid, .gid = f.gid };
    read_file_caps(t, p);
    if ((p->has_caps || (p->mode & (S_ISUID | S_ISGID))) && is_script(t))
        *p = (struct cred_program){ .mode = 0755 };
}

/* What the program will be, from its next call on; if it does not start, what it was. */
static struct answer start_as(struct call *c, const struct cred_program *p)
{
    struct cred next;
    uint32_t mark = 0;

    cred_copy(&next, c->cred);
    int rc = cred_exec(&next, p);
    if (rc == 0)
        rc = record_intern(c->r, &next, &mark);
    cred_release(&next);
    if (rc < 0)
        return with_value(rc);
    if (mark == c->mark)
        return by_kernel();
    const struct pending later = {
        .tid = c->tid, .kind = PENDING_PROGRAM, .mark = c->mark, .program = task_program(c->r, c->tid), .dir_fd = -1
    };
    rc = task_set_mark(c->r, c->tid, mark);
    if (rc < 0)
        return with_value(rc);
    c->r->all_initial = false;
    record_later(c->r, &later);
    return by_kernel();
}

struct answer record_exec(struct call *c)
{
    AUTO_TARGET struct target t = { .fd = -1 };
    AUTO_PLACE struct place p = { .dir.fd = -1 };
    struct cred_program program;
    int rc = record_read_path(c);

    if (rc < 0)
        return with_value(rc);
    rc = target_open(c, !(record_flags_of(c) & AT_SYMLINK_NOFOLLOW), 0, &t);
    if (rc != 0 || !S_ISREG(t.st.st_mode))
        return by_kernel();
    const struct cred_file f = target_file(&t);
    if (!cred_may(c->cred, &f, X_OK))
        return with_value(-EACCES);
    if (c->path[0] && !record_is_plain_root(c) && place_open(c, record_dir_of(c), c->path, 0, &p) == 0 &&
        !place_reachable(c, &p))
        return with_value(-EACCES);
    look_at_program(&t, &program);
    return start_as(c, &program);
}

struct answer record_chroot(struct call *c)
{
    struct cred next;

    if (!cred_has(c->cred, CAP_SYS_CHROOT))
        return with_value(-EPERM);
    cred_copy(&next, c->cred);
    next.chrooted = true;
    int rc = record_become(c, &next);
    return rc < 0 ? with_value(rc) : by_kernel();
}
