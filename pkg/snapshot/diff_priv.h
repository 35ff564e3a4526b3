/* diff_priv.h - what an overlay's upper directory changed. One thread. */
#ifndef SNAPSHOT_DIFF_PRIV_H
#define SNAPSHOT_DIFF_PRIV_H

#include "snapshot/snapshot_priv.h"

/* Writes what stands in `upper_fd` and differs from `lower_fd` (the merged view below it; -1 = nothing) as a layer.
 * Owners that follow from the lower files are recorded in the upper directory, so that it can be a lower directory
 * itself. */
MUST_USE struct err *diff_write(struct rootfs *r, int upper_fd, int lower_fd, const struct commit_opts *opts,
                                struct sink out, struct commit_stats *stats);

#endif
