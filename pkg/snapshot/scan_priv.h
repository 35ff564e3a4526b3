/* scan_priv.h - what changed in a work tree since it was looked at last, by metadata: type, mode, owner, size, times
 * (the ctime above all: no program can set it), inode. A scan is kept as a file: memory is bounded by the names of one
 * directory. One thread. */
#ifndef SNAPSHOT_SCAN_PRIV_H
#define SNAPSHOT_SCAN_PRIV_H

#include "snapshot/snapshot_priv.h"

struct scan_opts {
    enum owner_mode owners;
    const struct cancel *cancel;
    struct owner_table *specials;    /* owners of symlinks and the like; brought up to date */
    const struct owner_table *noted; /* those that the step noted */
};

/* Looks at the tree and writes what it sees to the file `after`. */
MUST_USE struct err *scan_first(int root_fd, const char *after, const struct scan_opts *opts);
/* The same; and what differs from the scan in `before` goes to `out` as a layer. */
MUST_USE struct err *scan_changes(int root_fd, const char *before, const char *after, const struct scan_opts *opts,
                                  const struct commit_opts *commit, struct sink out, struct commit_stats *stats);

#endif
