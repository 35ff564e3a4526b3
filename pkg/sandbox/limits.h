/* limits.h - the pod's own limits as its cgroup shows them (v2 and v1; kernel Documentation/admin-guide/cgroup-v2.rst,
 * cgroup-v1/memory.rst). Read-only. */
#ifndef SANDBOX_LIMITS_H
#define SANDBOX_LIMITS_H

#include "base/err.h"

#include <stdint.h>

struct limits {
    uint64_t memory_bytes; /* UINT64_MAX = no limit */
    uint32_t cpu_milli;    /* 400 = "400m"; no quota: 1000 x the CPUs we may run on */
    bool cpu_limited;
    uint64_t pids_max; /* processes and threads; UINT64_MAX = no limit */
    int version;       /* 2, 1, or 0: no cgroup visible */
};

/* Of the cgroup's limits and this process's own (setrlimit) the strictest. Never fails: what cannot be read counts as
 * unlimited. root is "" or a directory that stands for "/" (tests),
 * where the process's own do not count. */
void limits_read(const char *root, struct limits *ret_limits);
/* Worker threads: as many as the CPU limit lets run at once, rounded up, at most 16, and no more than a quarter of the
 * memory and of the processes is enough for; at least 1. */
int limits_threads(const struct limits *l);
/* The cgroup's count of OOM kills so far; 0 if it cannot be read. */
uint64_t limits_oom_kills(const char *root);

#endif
