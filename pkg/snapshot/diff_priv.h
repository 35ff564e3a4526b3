/* diff_priv.h - what an overlay's upper directory changed. One thread. */
#ifndef SNAPSHOT_DIFF_PRIV_H
#define SNAPSHOT_DIFF_PRIV_H

#include "snapshot/snapshot_priv.h"

/* Writes what stands in the directory of f->layer and differs from `lower_fd` (the merged view of f->below; -1 =
 * nothing) as a layer. Owners that follow from the lower files are recorded in f->layer, so that it can be a lower
 * directory itself. */
MUST_USE struct err *diff_write(struct frozen *f, int lower_fd, const struct commit_opts *opts, struct sink out,
                                struct commit_stats *stats);

#endif
