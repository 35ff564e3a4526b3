/* Who the caller is: user, groups, capabilities. */
#include "sandbox/record_calls_priv.h"

#include "base/mem.h"
#include "sandbox/caps_priv.h"

#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

/* ---- asking ---- */

static struct answer id_or_kernel(const struct call *c, uint32_t id)
{
    if (record_is_kernels_root(c))
        return by_kernel();
    return with_value(has_narrow_ids(c) && id > 0xffff ? 65534 : id);
}

struct answer record_getuid(struct call *c)
{
    return id_or_kernel(c, c->cred->uid.real);
}

struct answer record_geteuid(struct call *c)
{
    return id_or_kernel(c, c->cred->uid.effective);
}

struct answer record_getgid(struct call *c)
{
    return id_or_kernel(c, c->cred->gid.real);
}

struct answer record_getegid(struct call *c)
{
    return id_or_kernel(c, c->cred->gid.effective);
}

/* Ids of the caller's width. */
static int write_ids(const struct call *c, uint64_t address, const uint32_t *ids, size_t n)
{
    if (!has_narrow_ids(c))
        return n ? task_write(c, address, ids, n * sizeof(*ids)) : 0;
    AUTO_FREE uint16_t *narrow = xcalloc(n + 1, sizeof(*narrow));
    for (size_t i = 0; i < n; i++)
        narrow[i] = ids[i] > 0xffff ? 65534 : (uint16_t)ids[i];
    return n ? task_write(c, address, narrow, n * sizeof(*narrow)) : 0;
}

static struct answer write_three(struct call *c, const struct cred_ids *ids)
{
    const uint32_t values[] = { ids->real, ids->effective, ids->saved };
    int rc = 0;

    for (int i = 0; rc == 0 && i < 3; i++)
        rc = write_ids(c, c->arg[i], &values[i], 1);
    return with_value(rc);
}

struct answer record_getresuid(struct call *c)
{
    return write_three(c, &c->cred->uid);
}

struct answer record_getresgid(struct call *c)
{
    return write_three(c, &c->cred->gid);
}

struct answer record_getgroups(struct call *c)
{
    int size = arg_int(c, 0), n = (int)c->cred->n_groups;

    if (size < 0 || (size > 0 && size < n))
        return with_value(-EINVAL);
    int rc = size ? write_ids(c, c->arg[1], c->cred->groups, c->cred->n_groups) : 0;
    return with_value(rc < 0 ? rc : n);
}

/* ---- changing ---- */

static struct answer become(struct call *c, struct cred *next, int rc)
{
    if (rc == 0)
        return with_value(record_become(c, next));
    cred_release(next);
    return with_value(rc);
}

struct answer record_setuid(struct call *c)
{
    struct cred next;

    cred_copy(&next, c->cred);
    return become(c, &next, cred_setuid(&next, arg_id(c, 0)));
}

struct answer record_setgid(struct call *c)
{
    struct cred next;

    cred_copy(&next, c->cred);
    return become(c, &next, cred_setgid(&next, arg_id(c, 0)));
}

struct answer record_setreuid(struct call *c)
{
    struct cred next;

    cred_copy(&next, c->cred);
    return become(c, &next, cred_setreuid(&next, arg_id(c, 0), arg_id(c, 1)));
}

struct answer record_setregid(struct call *c)
{
    struct cred next;

    cred_copy(&next, c->cred);
    return become(c, &next, cred_setregid(&next, arg_id(c, 0), arg_id(c, 1)));
}

struct answer record_setresuid(struct call *c)
{
    struct cred next;

    cred_copy(&next, c->cred);
    return become(c, &next, cred_setresuid(&next, arg_id(c, 0), arg_id(c, 1), arg_id(c, 2)));
}

struct answer record_setresgid(struct call *c)
{
    struct cred next;

    cred_copy(&next, c->cred);
    return become(c, &next, cred_setresgid(&next, arg_id(c, 0), arg_id(c, 1), arg_id(c, 2)));
}

/* These give the old id, whatever happens. */
static struct answer become_file_id(struct call *c, struct cred *next, uint32_t old)
{
    (void)record_become(c, next);
    return with_value(has_narrow_ids(c) && old > 0xffff ? 65534 : old);
}

struct answer record_setfsuid(struct call *c)
{
    struct cred next;

    cred_copy(&next, c->cred);
    uint32_t old = cred_setfsuid(&next, arg_id(c, 0));
    return become_file_id(c, &next, old);
}

struct answer record_setfsgid(struct call *c)
{
    struct cred next;

    cred_copy(&next, c->cred);
    uint32_t old = cred_setfsgid(&next, arg_id(c, 0));
    return become_file_id(c, &next, old);
}

static int read_groups(const struct call *c, size_t n, uint32_t *out)
{
    if (!has_narrow_ids(c))
        return n ? task_read(c, c->arg[1], out, n * sizeof(*out)) : 0;
    AUTO_FREE uint16_t *narrow = xcalloc(n + 1, sizeof(*narrow));
    int rc = n ? task_read(c, c->arg[1], narrow, n * sizeof(*narrow)) : 0;
    for (size_t i = 0; rc == 0 && i < n; i++)
        out[i] = narrow[i];
    return rc;
}

struct answer record_setgroups(struct call *c)
{
    size_t n = (uint32_t)c->arg[0];
    struct cred next;

    if (!cred_has(c->cred, CAP_SETGID))
        return with_value(-EPERM);
    if (n > CRED_MAX_GROUPS)
        return with_value(-EINVAL);
    uint32_t *groups = xcalloc(n + 1, sizeof(*groups));
    int rc = read_groups(c, n, groups);
    if (rc < 0) {
        free(groups);
        return with_value(rc);
    }
    cred_copy(&next, c->cred);
    return become(c, &next, cred_setgroups(&next, groups, n));
}

/* ---- capabilities ---- */

/* Words of a set that a version of the calls has; 0: unknown. */
static size_t words_of(uint32_t version)
{
    switch (version) {
    case _LINUX_CAPABILITY_VERSION_1:
        return _LINUX_CAPABILITY_U32S_1;
    case _LINUX_CAPABILITY_VERSION_2:
    case _LINUX_CAPABILITY_VERSION_3:
        return _LINUX_CAPABILITY_U32S_3;
    default:
        return 0;
    }
}

static uint32_t word(uint64_t set, size_t i)
{
    return (uint32_t)(set >> (32 * i));
}

struct answer record_capget(struct call *c)
{
    struct __user_cap_header_struct header;
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    int rc = task_read(c, c->arg[0], &header, sizeof(header));

    if (rc < 0)
        return with_value(rc);
    size_t n = words_of(header.version);
    /* the question for the version, or for another process; or what the RUN began with as root */
    if (!n || !c->arg[1] || header.pid != 0 || record_is_kernels_root(c))
        return by_kernel();
    for (size_t i = 0; i < n; i++)
        data[i] = (struct __user_cap_data_struct){ word(c->cred->caps.effective, i), word(c->cred->caps.permitted, i),
                                                   word(c->cred->caps.inheritable, i) };
    return with_value(task_write(c, c->arg[1], data, n * sizeof(data[0])));
}

struct answer record_capset(struct call *c)
{
    struct __user_cap_header_struct header;
    struct __user_cap_data_struct d[_LINUX_CAPABILITY_U32S_3] = { { 0 } };
    struct cred next;
    int rc = task_read(c, c->arg[0], &header, sizeof(header));
    size_t n = rc < 0 ? 0 : words_of(header.version);

    if (rc < 0)
        return with_value(rc);
    if (!n)
        return by_kernel();
    rc = task_read(c, c->arg[1], d, n * sizeof(d[0]));
    if (rc < 0)
        return with_value(rc);
    cred_copy(&next, c->cred);
    rc = cred_capset(&next, d[0].effective | (uint64_t)d[1].effective << 32,
                     d[0].permitted | (uint64_t)d[1].permitted << 32,
                     d[0].inheritable | (uint64_t)d[1].inheritable << 32);
    return become(c, &next, rc);
}

/* ---- prctl ---- */

static struct answer ask_prctl(const struct call *c, int request)
{
    const struct cred *k = c->cred;

    switch (request) {
    case PR_GET_KEEPCAPS:
        return with_value((k->securebits & (1U << 4)) != 0);
    case PR_GET_SECUREBITS:
        return with_value(k->securebits);
    case PR_GET_NO_NEW_PRIVS:
        return with_value(k->no_new_privs);
    case PR_CAPBSET_READ:
        return with_value(cred_in_bounding(k, c->arg[1]));
    default:
        return by_kernel();
    }
}

/* The kernel shall know it, too: without it, it allows no filter of system calls. */
static struct answer set_no_new_privs(struct call *c, struct cred *next)
{
    if (c->arg[1] != 1 || c->arg[2] || c->arg[3] || c->arg[4]) {
        cred_release(next);
        return by_kernel();
    }
    next->no_new_privs = true;
    int rc = record_become(c, next);
    return rc < 0 ? with_value(rc) : by_kernel();
}

static struct answer ambient(struct call *c, struct cred *next)
{
    int rc = c->arg[3] || c->arg[4] ? -EINVAL : cred_ambient(next, c->arg[1], c->arg[2]);

    if (rc <= 0)
        return become(c, next, rc);
    cred_release(next);
    return with_value(rc);
}

struct answer record_prctl(struct call *c)
{
    int request = arg_int(c, 0);
    struct cred next;

    if (request == PR_GET_KEEPCAPS || request == PR_GET_SECUREBITS || request == PR_GET_NO_NEW_PRIVS ||
        request == PR_CAPBSET_READ)
        return ask_prctl(c, request);
    cred_copy(&next, c->cred);
    switch (request) {
    case PR_SET_KEEPCAPS:
        return become(c, &next, cred_set_keepcaps(&next, c->arg[1]));
    case PR_SET_SECUREBITS:
        return become(c, &next, cred_set_securebits(&next, c->arg[1]));
    case PR_CAPBSET_DROP:
        return become(c, &next, cred_drop_bounding(&next, c->arg[1]));
    case PR_SET_NO_NEW_PRIVS:
        return set_no_new_privs(c, &next);
    case PR_CAP_AMBIENT:
        return ambient(c, &next);
    default:
        cred_release(&next);
        return by_kernel();
    }
}

/* ---- the limit that carries our marks ---- */

/* What it says to programs is the hard limit, and setting it does nothing: no queue of a build comes near it. */
struct answer record_limit_queues(struct call *c)
{
    bool modern = c->row->fixed == LIMIT_CALL_PRLIMIT;
    uint64_t old = modern ? c->arg[3] : c->row->fixed == LIMIT_CALL_GET ? c->arg[1] : 0;
    struct rlimit own;

    if (!old)
        return with_value(0);
    if (getrlimit(RLIMIT_MSGQUEUE, &own) < 0)
        return with_value(-errno);
    if (!modern && c->abi == ABI_32) {
        uint32_t hard = own.rlim_max > UINT32_MAX ? UINT32_MAX : (uint32_t)own.rlim_max;
        const uint32_t narrow[2] = { hard, hard };

        return with_value(task_write(c, old, narrow, sizeof(narrow)));
    }
    const uint64_t wide[2] = { own.rlim_max, own.rlim_max };
    return with_value(task_write(c, old, wide, sizeof(wide)));
}
