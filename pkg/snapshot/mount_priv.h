/* mount_priv.h - the mount calls for overlays. Thread-safe: nothing here depends on the working directory. */
#ifndef SNAPSHOT_MOUNT_PRIV_H
#define SNAPSHOT_MOUNT_PRIV_H

#include "base/err.h"
#include "base/strs.h"

struct overlay_dirs {
    const struct strs *lowers; /* highest first, at least one */
    const char *upper, *work;  /* both NULL: read-only, which needs two lowers */
};

/* Mounts an overlay (userxattr; volatile if it is writable) on the directory target. */
MUST_USE struct err *overlay_mount(const struct overlay_dirs *dirs, const char *target);
/* Takes it away from the tree at once, for good when its last user is gone. */
void overlay_unmount(const char *target);

#endif
