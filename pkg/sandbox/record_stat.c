/* stat and its family: what the kernel says, with the recorded owner. Most files have no record: those calls are left
 * to the kernel after one look. */
#include "sandbox/record_calls_priv.h"
#include "sandbox/record_stat_priv.h"

#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* May the caller reach it at all? Only asked where it could not do all anyway. */
static int check_way(struct call *c, int dir)
{
    AUTO_PLACE struct place p = { .dir.fd = -1 };

    if (!c->path[0] || cred_has(c->cred, CAP_DAC_READ_SEARCH) || cred_has(c->cred, CAP_DAC_OVERRIDE))
        return 0;
    int rc = place_open(c, dir, c->path, 0, &p);
    if (rc != 0)
        return 0; /* the kernel, or the look that follows, says why */
    return place_reachable(c, &p) ? 0 : -EACCES;
}

/* ANSWER_KERNEL: it has to say more; ANSWER_VALUE with 0: t is filled. */
static struct answer find(struct call *c, struct target *t)
{
    int flags = record_flags_of(c);
    bool follow = !(flags & AT_SYMLINK_NOFOLLOW);
    int rc = record_read_path(c);

    if (rc < 0)
        return with_value(rc);
    if (c->row->path != NO_ARG && !c->path[0] && !(flags & AT_EMPTY_PATH))
        return by_kernel();
    rc = check_way(c, record_dir_of(c));
    if (rc < 0)
        return with_value(rc);
    if (record_glance(c, follow) != GLANCE_MARKED)
        return by_kernel();
    rc = target_open(c, follow, 0, t);
    return rc != 0 || !t->recorded ? by_kernel() : with_value(0);
}

static void put_owner(struct stat *st, const struct owner *o)
{
    st->st_uid = o->uid;
    st->st_gid = o->gid;
    if (!o->device)
        return;
    st->st_mode = (st->st_mode & 07777) | o->device;
    st->st_rdev = o->rdev;
    st->st_size = st->st_blocks = 0;
}

struct answer record_stat(struct call *c)
{
    AUTO_TARGET struct target t = { .fd = -1 };
    struct answer a = find(c, &t);
    char out[STAT_BYTES_MAX];

    if (a.kind != ANSWER_VALUE || a.value < 0)
        return a;
    put_owner(&t.st, &t.owner);
    size_t n = stat_encode(&t.st, c->abi, c->row->fixed & STAT_OLD, out);
    return with_value(task_write(c, c->arg[c->row->rest], out, n));
}

struct answer record_statx(struct call *c)
{
    AUTO_TARGET struct target t = { .fd = -1 };
    struct answer a = find(c, &t);
    struct statx x;

    if (a.kind != ANSWER_VALUE || a.value < 0)
        return a;
    int sync = arg_int(c, 2) & AT_STATX_SYNC_TYPE;
    if (statx(t.fd, "", AT_EMPTY_PATH | sync, (unsigned)c->arg[3], &x) < 0)
        return with_value(-errno);
    x.stx_uid = t.owner.uid;
    x.stx_gid = t.owner.gid;
    if (t.owner.device) {
        x.stx_mode = (uint16_t)((x.stx_mode & 07777) | t.owner.device);
        x.stx_rdev_major = major(t.owner.rdev);
        x.stx_rdev_minor = minor(t.owner.rdev);
        x.stx_size = x.stx_blocks = 0;
    }
    return with_value(task_write(c, c->arg[4], &x, sizeof(x)));
}
