/* gc.h - makes room in a state directory that is kept: unpacked layers and cache mounts, those that were not used for
 * the longest time first, never one that a build uses (also another pod's on the same volume). What was made under
 * another id mapping goes, too, where its files are ours to remove; else it is counted. Thread-safe. */
#ifndef STORE_GC_H
#define STORE_GC_H

#include "store/store.h"

struct gc_opts {
    const char *space; /* the id mapping in use */
    int64_t now_s;
    int64_t max_age_s;   /* what was not used for so long goes; INT64_MAX: nothing for its age */
    uint64_t max_bytes;  /* of all together; UINT64_MAX: any, and nothing is counted */
    uint64_t free_bytes; /* what should be free on the volume */
    bool measure;        /* how large is what cannot be removed? All of it is looked through for that */
};
struct gc_stats {
    size_t removed;
    size_t not_ours;         /* what should have gone and is another id mapping's, so that it could not */
    uint64_t not_ours_bytes; /* 0: they were not measured */
    uint64_t freed_bytes;    /* as the volume says */
};
/* What cannot be removed stays. */
void store_gc(struct store *s, const struct gc_opts *o, struct gc_stats *ret);
/* What is left free for a build where nobody says more: a tenth of the volume, at most 10 GiB. */
uint64_t store_usual_free(const struct store *s);

#endif
