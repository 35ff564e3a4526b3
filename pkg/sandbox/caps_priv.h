/* caps_priv.h - capabilities(7) of the calling thread, by the system calls themselves. */
#ifndef SANDBOX_CAPS_PRIV_H
#define SANDBOX_CAPS_PRIV_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define CAP_BIT(cap) (UINT64_C(1) << (cap))

struct caps {
    uint64_t effective, permitted, inheritable;
};

bool caps_get(struct caps *ret_caps);
bool caps_set(const struct caps *caps);
/* Keeps only these in the bounding set. */
MUST_USE struct err *caps_bound(uint64_t keep);
/* What Docker gives a container by default. */
uint64_t caps_docker_default(void);

#endif
