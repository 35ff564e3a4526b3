/* cred_priv.h - who a process of a RUN pretends to be, where the kernel has one id for all of them: user, groups and
 * capabilities, and how they change. The rules are the kernel's (credentials(7), capabilities(7); kernel/sys.c,
 * security/commoncap.c), applied to numbers that we keep ourselves. Pure: no system call. Results are 0 or a negative
 * errno, as a system call has them. One thread. */
#ifndef SANDBOX_CRED_PRIV_H
#define SANDBOX_CRED_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define CRED_NO_ID      UINT32_MAX /* "leave it as it is" */
#define CRED_MAX_GROUPS 65536      /* NGROUPS_MAX */

/* Real, effective, saved, and the one that counts for files. */
struct cred_ids {
    uint32_t real, effective, saved, file;
};

struct cred_caps {
    uint64_t effective, permitted, inheritable, ambient, bounding;
};

/* A value: copied by cred_copy(), compared by cred_equal(). `groups` is owned. */
struct cred {
    struct cred_ids uid, gid;
    struct cred_caps caps;
    uint32_t securebits;
    bool no_new_privs;
    bool chrooted; /* may have another root than the RUN */
    uint32_t *groups;
    size_t n_groups;
};

void cred_copy(struct cred *to, const struct cred *from);
bool cred_equal(const struct cred *a, const struct cred *b);
void cred_release(struct cred *c);

bool cred_has(const struct cred *c, int capability);
/* Is gid the file group or a supplementary one? */
bool cred_in_group(const struct cred *c, uint32_t gid);

/* The system calls. In all of them CRED_NO_ID where the call takes -1 for "unchanged"; where a call does not, it is
 * -EINVAL. */
int cred_setuid(struct cred *c, uint32_t uid);
int cred_setgid(struct cred *c, uint32_t gid);
int cred_setreuid(struct cred *c, uint32_t real, uint32_t effective);
int cred_setregid(struct cred *c, uint32_t real, uint32_t effective);
int cred_setresuid(struct cred *c, uint32_t real, uint32_t effective, uint32_t saved);
int cred_setresgid(struct cred *c, uint32_t real, uint32_t effective, uint32_t saved);
/* These two give the id as it was, and cannot fail. */
uint32_t cred_setfsuid(struct cred *c, uint32_t uid);
uint32_t cred_setfsgid(struct cred *c, uint32_t gid);
/* Takes groups (malloc'ed) whether it succeeds or not; keeps them sorted, as the kernel does. */
int cred_setgroups(struct cred *c, uint32_t *groups, size_t n);
int cred_capset(struct cred *c, uint64_t effective, uint64_t permitted, uint64_t inheritable);

/* The requests of prctl(2) that concern credentials. `capability` beyond the last one is -EINVAL. */
int cred_drop_bounding(struct cred *c, uint64_t capability);
int cred_in_bounding(const struct cred *c, uint64_t capability); /* 0 or 1 */
int cred_set_securebits(struct cred *c, uint64_t bits);
int cred_set_keepcaps(struct cred *c, uint64_t keep);
int cred_ambient(struct cred *c, uint64_t request, uint64_t capability);

/* What execve(2) makes of it. */
struct cred_program {
    mode_t mode; /* setuid and setgid bits count where the file is a program of its own, not a script */
    uint32_t uid, gid;
    bool has_caps, caps_effective;
    uint64_t caps_permitted, caps_inheritable;
};
/* 0, or -EPERM: the file has capabilities that the process may not have. */
int cred_exec(struct cred *c, const struct cred_program *p);

/* ---- other processes ---- */

/* May c send a signal to a process that is `target`? */
bool cred_may_signal(const struct cred *c, const struct cred *target);
/* May it trace it, and read and write its memory? */
bool cred_may_trace(const struct cred *c, const struct cred *target);
/* May it change its limits (prlimit(2))? */
bool cred_may_limit(const struct cred *c, const struct cred *target);

/* ---- permissions of files ---- */

struct cred_file {
    mode_t mode;
    uint32_t uid, gid;
};
/* May c do `want` (R_OK, W_OK, X_OK together) with the file? Access lists are not looked at. */
bool cred_may(const struct cred *c, const struct cred_file *f, int want);
/* Does it own the file, or may act as if? (CAP_FOWNER) */
bool cred_owns(const struct cred *c, const struct cred_file *f);
/* May it give the file to these ids (CRED_NO_ID: unchanged)? */
bool cred_may_chown(const struct cred *c, const struct cred_file *f, uint32_t uid, uint32_t gid);
/* May it remove or rename `f` in `dir`, as far as the sticky bit is concerned? */
bool cred_may_remove(const struct cred *c, const struct cred_file *dir, const struct cred_file *f);
/* The mode that chmod(2) really sets: without the setgid bit of a foreign group. */
mode_t cred_chmod_mode(const struct cred *c, const struct cred_file *f, mode_t mode);

#endif
