/* mount_stash.h - cache mounts that survive the pod: restored from a repository when a RUN is to be executed that has
 * one which is not in the state directory, and saved at the end of the build. Fails no build: what goes wrong is told.
 * A registry that does not answer is not waited for again, by what restores and by what saves once each. Thread-safe.
 */
#ifndef BUILD_MOUNT_STASH_H
#define BUILD_MOUNT_STASH_H

#include "stash/stash.h"

struct progress;
struct mount_stash;

/* opts->in_parallel is set here; what opts point to must outlive it, as must progress. */
struct mount_stash *mount_stash_new(const struct stash_opts *opts, const struct progress *progress);
void mount_stash_free(struct mount_stash *s);
DEFINE_CLEANUP(struct mount_stash *, mount_stash_free);

struct stashed_mount { /* borrowed */
    const char *id;    /* for messages */
    const struct digest *key;
    const char *path; /* of its directory in the state directory */
};
/* Fills dir, an empty directory which becomes m->path. Only the end of the build is an error. s may be NULL: nothing is
 * found. */
MUST_USE struct err *mount_stash_restore(struct mount_stash *s, const struct stashed_mount *m, const char *dir,
                                         bool *ret_found);
/* It is saved at the end. s may be NULL. */
void mount_stash_add(struct mount_stash *s, const struct stashed_mount *m);
/* Saves what was added; stops when the build is told to stop. s may be NULL. */
void mount_stash_save(struct mount_stash *s);

#endif
