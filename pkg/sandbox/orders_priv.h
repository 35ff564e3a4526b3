/* orders_priv.h - what the builder tells the process that prepares and starts one RUN, as bytes: every list has its
 * count and every string its length in front. Both sides are the same program; the decoder still checks every bound. */
#ifndef SANDBOX_ORDERS_PRIV_H
#define SANDBOX_ORDERS_PRIV_H

#include "base/buf.h"
#include "base/strs.h"
#include "base/vec.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Descriptors of the inner process beside 0, 1, 2. */
#define ORDERS_FD 3
#define REPORT_FD 4

/* What the supervisor of a RUN (record_priv.h) sees to. */
enum record_level {
    RECORD_NONE,
    RECORD_DEVICES, /* the kernel knows the owners: only device nodes, which it makes for nobody */
    RECORD_ROOT,    /* owners, of a command that begins as root: as few calls as possible */
    RECORD_USER,    /* owners, of a command that begins as another user: permissions, too */
};

struct order_mount { /* struct run_mount; kind is enum run_mount_kind */
    uint32_t kind;
    char *source, *target;
    uint64_t tmpfs_bytes;
    bool readonly;
    char *data; /* may hold NULs, and secrets: wiped when released */
    size_t len;
    uint32_t mode, uid, gid;
};

/* A program of the kernel's filter of system calls; len 0: none. */
struct order_filter {
    char *data;
    size_t len;
};

struct orders {
    char *root, *cwd, *hostname; /* hostname "": the usual one */
    struct strs argv, env, hosts;
    uint32_t uid, gid;
    VEC(uint32_t) groups;
    VEC(struct order_mount) mounts;
    VEC(uint32_t) protect; /* pids that the command must not signal where it shares our pid namespace */
    bool fresh_proc;       /* an own pid namespace with an own /proc */
    bool scoped;           /* a Landlock domain (scope_priv.h) */
    bool no_network;
    uint32_t n_ids; /* mapped in our namespace */
    enum record_level record;
    struct order_filter wall, supervised; /* none: they are made where they are loaded (filter_make()) */
};

void orders_encode(const struct orders *o, struct buf *out);
/* ERR_BUG if the bytes are not what orders_encode() writes. The caller releases ret_orders. */
MUST_USE struct err *orders_decode(const void *data, size_t len, struct orders *ret_orders);
void orders_release(struct orders *o);

/* What comes back over REPORT_FD: a tag, then the record. */
enum report_tag {
    REPORT_ERROR = 'E',  /* followed by a record of err_write() */
    REPORT_MADE = 'P',   /* followed by struct report_made and the path: a mount point that was made in the root */
    REPORT_RESULT = 'R', /* followed by struct report_result */
};
struct report_made {
    uint64_t dev, ino;
    uint32_t path_len;
};
struct report_result {
    uint32_t exit_code, signal;
    uint32_t killed; /* 1: a process that was reaped had been ended by SIGKILL */
    uint64_t peak_bytes;
};

#endif
