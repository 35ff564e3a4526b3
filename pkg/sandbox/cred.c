#include "sandbox/cred_priv.h"

#include "base/mem.h"
#include "sandbox/caps_priv.h"

#include <linux/capability.h>
#include <linux/prctl.h>
#include <linux/securebits.h>
#include <string.h>
#include <sys/stat.h>

#define LAST_CAP CAP_CHECKPOINT_RESTORE

/* Capabilities that follow the file uid (include/linux/capability.h, CAP_FS_SET). */
#define FS_CAPS                                                                                                        \
    (CAP_BIT(CAP_CHOWN) | CAP_BIT(CAP_MKNOD) | CAP_BIT(CAP_DAC_OVERRIDE) | CAP_BIT(CAP_DAC_READ_SEARCH) |              \
     CAP_BIT(CAP_FOWNER) | CAP_BIT(CAP_FSETID) | CAP_BIT(CAP_LINUX_IMMUTABLE) | CAP_BIT(CAP_MAC_OVERRIDE))

/* ---- the value ---- */

void cred_copy(struct cred *to, const struct cred *from)
{
    struct cred copy = *from;

    copy.groups = xcalloc(from->n_groups + 1, sizeof(*copy.groups));
    if (from->n_groups)
        memcpy(copy.groups, from->groups, from->n_groups * sizeof(*copy.groups));
    *to = copy;
}

static bool same_ids(const struct cred_ids *a, const struct cred_ids *b)
{
    return a->real == b->real && a->effective == b->effective && a->saved == b->saved && a->file == b->file;
}

static bool same_caps(const struct cred_caps *a, const struct cred_caps *b)
{
    return a->effective == b->effective && a->permitted == b->permitted && a->inheritable == b->inheritable &&
           a->ambient == b->ambient && a->bounding == b->bounding;
}

bool cred_equal(const struct cred *a, const struct cred *b)
{
    return same_ids(&a->uid, &b->uid) && same_ids(&a->gid, &b->gid) && same_caps(&a->caps, &b->caps) &&
           a->securebits == b->securebits && a->no_new_privs == b->no_new_privs && a->chrooted == b->chrooted &&
           a->n_groups == b->n_groups &&
           (a->n_groups == 0 || memcmp(a->groups, b->groups, a->n_groups * sizeof(*a->groups)) == 0);
}

void cred_release(struct cred *c)
{
    free(c->groups);
    *c = (struct cred){ 0 };
}

bool cred_has(const struct cred *c, int capability)
{
    return (c->caps.effective & CAP_BIT(capability)) != 0;
}

static bool has_group(const struct cred *c, uint32_t gid)
{
    for (size_t i = 0; i < c->n_groups; i++)
        if (c->groups[i] == gid)
            return true;
    return false;
}

bool cred_in_group(const struct cred *c, uint32_t gid)
{
    return c->gid.file == gid || has_group(c, gid);
}

static bool secure(const struct cred *c, int bit)
{
    return (c->securebits & issecure_mask(bit)) != 0;
}

/* ---- users ---- */

static bool is_any_root(const struct cred_ids *i)
{
    return i->real == 0 || i->effective == 0 || i->saved == 0;
}

/* Capabilities follow the user ids (cap_emulate_setxuid). */
static void follow_uid(struct cred *c, const struct cred_ids *old)
{
    if (secure(c, SECURE_NO_SETUID_FIXUP))
        return;
    if (is_any_root(old) && !is_any_root(&c->uid)) {
        if (!secure(c, SECURE_KEEP_CAPS))
            c->caps.permitted = c->caps.effective = 0;
        c->caps.ambient = 0;
    }
    if (old->effective == 0 && c->uid.effective != 0)
        c->caps.effective = 0;
    if (old->effective != 0 && c->uid.effective == 0)
        c->caps.effective = c->caps.permitted;
}

static void follow_file_uid(struct cred *c, uint32_t old)
{
    if (secure(c, SECURE_NO_SETUID_FIXUP))
        return;
    if (old == 0 && c->uid.file != 0)
        c->caps.effective &= ~FS_CAPS;
    if (old != 0 && c->uid.file == 0)
        c->caps.effective |= FS_CAPS & c->caps.permitted;
}

static bool is_one_of(uint32_t id, const struct cred_ids *i)
{
    return id == CRED_NO_ID || id == i->real || id == i->effective || id == i->saved;
}

/* setuid(2) and setgid(2), for either kind of id. */
static int set_one(struct cred_ids *i, uint32_t id, bool privileged)
{
    if (id == CRED_NO_ID)
        return -EINVAL;
    if (privileged)
        i->real = i->saved = id;
    else if (id != i->real && id != i->saved)
        return -EPERM;
    i->effective = i->file = id;
    return 0;
}

static int set_real_effective(struct cred_ids *i, uint32_t real, uint32_t effective, bool privileged)
{
    const struct cred_ids old = *i;

    if (!privileged && real != CRED_NO_ID && real != old.real && real != old.effective)
        return -EPERM;
    if (!privileged && !is_one_of(effective, &old))
        return -EPERM;
    if (real != CRED_NO_ID)
        i->real = real;
    if (effective != CRED_NO_ID)
        i->effective = effective;
    if (real != CRED_NO_ID || (effective != CRED_NO_ID && effective != old.real))
        i->saved = i->effective;
    i->file = i->effective;
    return 0;
}

static int set_all(struct cred_ids *i, uint32_t real, uint32_t effective, uint32_t saved, bool privileged)
{
    if (!privileged && !(is_one_of(real, i) && is_one_of(effective, i) && is_one_of(saved, i)))
        return -EPERM;
    if (real != CRED_NO_ID)
        i->real = real;
    if (effective != CRED_NO_ID)
        i->effective = effective;
    if (saved != CRED_NO_ID)
        i->saved = saved;
    i->file = i->effective;
    return 0;
}

int cred_setuid(struct cred *c, uint32_t uid)
{
    const struct cred_ids old = c->uid;
    int rc = set_one(&c->uid, uid, cred_has(c, CAP_SETUID));

    if (rc == 0)
        follow_uid(c, &old);
    return rc;
}

int cred_setgid(struct cred *c, uint32_t gid)
{
    return set_one(&c->gid, gid, cred_has(c, CAP_SETGID));
}

int cred_setreuid(struct cred *c, uint32_t real, uint32_t effective)
{
    const struct cred_ids old = c->uid;
    int rc = set_real_effective(&c->uid, real, effective, cred_has(c, CAP_SETUID));

    if (rc == 0)
        follow_uid(c, &old);
    return rc;
}

int cred_setregid(struct cred *c, uint32_t real, uint32_t effective)
{
    return set_real_effective(&c->gid, real, effective, cred_has(c, CAP_SETGID));
}

int cred_setresuid(struct cred *c, uint32_t real, uint32_t effective, uint32_t saved)
{
    const struct cred_ids old = c->uid;
    int rc = set_all(&c->uid, real, effective, saved, cred_has(c, CAP_SETUID));

    if (rc == 0)
        follow_uid(c, &old);
    return rc;
}

int cred_setresgid(struct cred *c, uint32_t real, uint32_t effective, uint32_t saved)
{
    return set_all(&c->gid, real, effective, saved, cred_has(c, CAP_SETGID));
}

uint32_t cred_setfsuid(struct cred *c, uint32_t uid)
{
    uint32_t old = c->uid.file;

    if (uid == CRED_NO_ID || (!is_one_of(uid, &c->uid) && uid != old && !cred_has(c, CAP_SETUID)))
        return old;
    c->uid.file = uid;
    follow_file_uid(c, old);
    return old;
}

uint32_t cred_setfsgid(struct cred *c, uint32_t gid)
{
    uint32_t old = c->gid.file;

    if (gid != CRED_NO_ID && (is_one_of(gid, &c->gid) || gid == old || cred_has(c, CAP_SETGID)))
        c->gid.file = gid;
    return old;
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

int cred_setgroups(struct cred *c, uint32_t *groups, size_t n)
{
    bool valid = n <= CRED_MAX_GROUPS;
    bool allowed = cred_has(c, CAP_SETGID);

    for (size_t i = 0; valid && i < n; i++)
        valid = groups[i] != CRED_NO_ID;
    if (!allowed || !valid) {
        free(groups);
        return allowed ? -EINVAL : -EPERM;
    }
    if (n > 1)
        qsort(groups, n, sizeof(*groups), by_number);
    free(c->groups);
    c->groups = groups;
    c->n_groups = n;
    return 0;
}

/* ---- capabilities ---- */

int cred_capset(struct cred *c, uint64_t effective, uint64_t permitted, uint64_t inheritable)
{
    struct cred_caps *k = &c->caps;

    if (!cred_has(c, CAP_SETPCAP) && (inheritable & ~(k->inheritable | k->permitted)))
        return -EPERM;
    if (inheritable & ~(k->inheritable | k->bounding))
        return -EPERM;
    if ((permitted & ~k->permitted) || (effective & ~permitted))
        return -EPERM;
    k->effective = effective;
    k->permitted = permitted;
    k->inheritable = inheritable;
    k->ambient &= permitted & inheritable;
    return 0;
}

int cred_drop_bounding(struct cred *c, uint64_t capability)
{
    if (!cred_has(c, CAP_SETPCAP))
        return -EPERM;
    if (capability > LAST_CAP)
        return -EINVAL;
    c->caps.bounding &= ~CAP_BIT(capability);
    return 0;
}

int cred_in_bounding(const struct cred *c, uint64_t capability)
{
    if (capability > LAST_CAP)
        return -EINVAL;
    return (c->caps.bounding & CAP_BIT(capability)) != 0;
}

int cred_set_securebits(struct cred *c, uint64_t bits)
{
    uint32_t old = c->securebits;

    /* locked bits stay, locks are not undone, nothing unknown; and it needs the right to */
    if ((((old & SECURE_ALL_LOCKS) >> 1) & (old ^ bits)) || (old & SECURE_ALL_LOCKS & ~bits) ||
        (bits & ~(uint64_t)(SECURE_ALL_LOCKS | SECURE_ALL_BITS)) || !cred_has(c, CAP_SETPCAP))
        return -EPERM;
    c->securebits = (uint32_t)bits;
    return 0;
}

int cred_set_keepcaps(struct cred *c, uint64_t keep)
{
    if (keep > 1)
        return -EINVAL;
    if (secure(c, SECURE_KEEP_CAPS_LOCKED))
        return -EPERM;
    if (keep)
        c->securebits |= issecure_mask(SECURE_KEEP_CAPS);
    else
        c->securebits &= ~issecure_mask(SECURE_KEEP_CAPS);
    return 0;
}

int cred_ambient(struct cred *c, uint64_t request, uint64_t capability)
{
    if (request == PR_CAP_AMBIENT_CLEAR_ALL) {
        if (capability)
            return -EINVAL;
        c->caps.ambient = 0;
        return 0;
    }
    if (capability > LAST_CAP)
        return -EINVAL;
    uint64_t bit = CAP_BIT(capability);
    switch (request) {
    case PR_CAP_AMBIENT_IS_SET:
        return (c->caps.ambient & bit) != 0;
    case PR_CAP_AMBIENT_RAISE:
        if (!(c->caps.permitted & c->caps.inheritable & bit) || secure(c, SECURE_NO_CAP_AMBIENT_RAISE))
            return -EPERM;
        c->caps.ambient |= bit;
        return 0;
    case PR_CAP_AMBIENT_LOWER:
        c->caps.ambient &= ~bit;
        return 0;
    default:
        return -EINVAL;
    }
}

/* ---- execve ---- */

/* The set that the program's file gives (bprm_caps_from_vfs_caps); *ret_effective: are they raised at once? */
static int caps_of_file(const struct cred *c, const struct cred_program *p, uint64_t *ret, bool *ret_effective)
{
    *ret = 0;
    *ret_effective = false;
    if (!p->has_caps)
        return 0;
    *ret = (c->caps.bounding & p->caps_permitted) | (c->caps.inheritable & p->caps_inheritable);
    *ret_effective = p->caps_effective;
    return p->caps_effective && (p->caps_permitted & ~*ret) ? -EPERM : 0;
}

/* User 0 gets what the bounding set leaves (handle_privileged_root). */
static void caps_of_root(const struct cred *c, bool has_caps, uint64_t *permitted, bool *effective)
{
    if (secure(c, SECURE_NOROOT) || (has_caps && c->uid.real != 0 && c->uid.effective == 0))
        return;
    if (c->uid.effective == 0 || c->uid.real == 0)
        *permitted = c->caps.bounding | c->caps.inheritable;
    if (c->uid.effective == 0)
        *effective = true;
}

/* The ids of a setuid program (bprm_fill_uid); without new privileges they fall back to the real ones instead. */
static void ids_of_exec(struct cred *c, const struct cred_program *p)
{
    if (c->no_new_privs) {
        c->uid.effective = c->uid.real;
        c->gid.effective = c->gid.real;
        return;
    }
    if (p->mode & S_ISUID)
        c->uid.effective = p->uid;
    if ((p->mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP))
        c->gid.effective = p->gid;
}

int cred_exec(struct cred *c, const struct cred_program *p)
{
    const struct cred_caps old = c->caps;
    uint64_t permitted = 0;
    bool effective = false, has_caps = p->has_caps && !c->no_new_privs;

    int rc = has_caps ? caps_of_file(c, p, &permitted, &effective) : 0;
    if (rc < 0)
        return rc;
    ids_of_exec(c, p);
    caps_of_root(c, has_caps, &permitted, &effective);
    if (c->uid.effective != c->uid.real || c->gid.effective != c->gid.real || has_caps)
        c->caps.ambient = 0;
    if (c->no_new_privs)
        permitted &= old.permitted;
    c->caps.permitted = permitted | c->caps.ambient;
    c->caps.effective = effective ? c->caps.permitted : c->caps.ambient;
    c->uid.saved = c->uid.file = c->uid.effective;
    c->gid.saved = c->gid.file = c->gid.effective;
    c->securebits &= ~issecure_mask(SECURE_KEEP_CAPS);
    return 0;
}

/* ---- other processes ---- */

bool cred_may_signal(const struct cred *c, const struct cred *target)
{
    const struct cred_ids *own = &c->uid, *its = &target->uid;

    return cred_has(c, CAP_KILL) || own->effective == its->saved || own->effective == its->real ||
           own->real == its->saved || own->real == its->real;
}

static bool all_are(const struct cred_ids *i, uint32_t id)
{
    return i->real == id && i->effective == id && i->saved == id;
}

bool cred_may_trace(const struct cred *c, const struct cred *target)
{
    return cred_has(c, CAP_SYS_PTRACE) || (all_are(&target->uid, c->uid.real) && all_are(&target->gid, c->gid.real) &&
                                           !(target->caps.permitted & ~c->caps.permitted));
}

bool cred_may_limit(const struct cred *c, const struct cred *target)
{
    return cred_has(c, CAP_SYS_RESOURCE) || (all_are(&target->uid, c->uid.real) && all_are(&target->gid, c->gid.real));
}

/* ---- permissions of files ---- */

bool cred_may(const struct cred *c, const struct cred_file *f, int want)
{
    mode_t bits = f->mode;

    if (c->uid.file == f->uid)
        bits >>= 6;
    else if (cred_in_group(c, f->gid))
        bits >>= 3;
    if ((bits & (mode_t)want) == (mode_t)want)
        return true;
    if (S_ISDIR(f->mode))
        return cred_has(c, CAP_DAC_OVERRIDE) || (!(want & 2) && cred_has(c, CAP_DAC_READ_SEARCH));
    if (want == 4 && cred_has(c, CAP_DAC_READ_SEARCH))
        return true;
    return (!(want & 1) || (f->mode & 0111)) && cred_has(c, CAP_DAC_OVERRIDE);
}

bool cred_owns(const struct cred *c, const struct cred_file *f)
{
    return c->uid.file == f->uid || cred_has(c, CAP_FOWNER);
}

bool cred_may_chown(const struct cred *c, const struct cred_file *f, uint32_t uid, uint32_t gid)
{
    if (cred_has(c, CAP_CHOWN))
        return true;
    bool own = c->uid.file == f->uid;
    bool uid_good = uid == CRED_NO_ID || (own && uid == f->uid);
    bool gid_good = gid == CRED_NO_ID || (own && (gid == f->gid || cred_in_group(c, gid)));
    return uid_good && gid_good;
}

bool cred_may_remove(const struct cred *c, const struct cred_file *dir, const struct cred_file *f)
{
    return !(dir->mode & S_ISVTX) || c->uid.file == f->uid || c->uid.file == dir->uid || cred_has(c, CAP_FOWNER);
}

mode_t cred_chmod_mode(const struct cred *c, const struct cred_file *f, mode_t mode)
{
    if (!cred_in_group(c, f->gid) && !cred_has(c, CAP_FSETID))
        mode &= ~(mode_t)S_ISGID;
    return mode;
}
