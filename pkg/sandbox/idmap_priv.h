/* idmap_priv.h - which ids of the pod become ids 0..n-1 of the build: pure arithmetic on extents (user_namespaces(7)).
 */
#ifndef SANDBOX_IDMAP_PRIV_H
#define SANDBOX_IDMAP_PRIV_H

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

#define ID_RANGE       65536 /* what images use: 0..65535 */
#define ID_EXTENTS_MAX 340   /* the kernel's own limit for one map */

struct id_extent {
    uint32_t inside, outside, count;
};
struct id_map {
    struct id_extent items[ID_EXTENTS_MAX];
    size_t n;
    uint32_t ids; /* inside ids 0..ids-1 are mapped */
};

/* Reads the text of /proc/PID/uid_map; lines beyond the limit are left out. False if a line is not three numbers. */
bool id_map_parse(const char *text, struct id_map *ret_map);
/* The text to write into uid_map. */
void id_map_format(const struct id_map *map, struct buf *out);

/* One id: 0 -> own. */
void id_map_single(uint32_t own, struct id_map *ret_map);
/* Ids out of those that exist in our own namespace (`have`: inside = our numbers). Root gets all of them: images may
 * name any. For another user id 0 becomes `own`, the rest what is left in ascending order, ID_RANGE in all - from a
 * range that belongs to no account (100000...) where such ids exist. may_map_zero: the kernel lets us map our id 0
 * (CAP_SETFCAP). */
void id_map_full(const struct id_map *have, uint32_t own, bool may_map_zero, struct id_map *ret_map);

#endif
