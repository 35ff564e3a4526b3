/* The copy back end: one work tree, for file systems that cannot carry an overlay. */
#include "snapshot/snapshot_priv.h"

static struct err *copy_probe(struct snapshotter *s, char **ret_description)
{
    (void)s;
    (void)ret_description;
    return err_new(ERR_POD, "a plain work tree is not offered yet");
}

const struct snapshot_ops snapshot_copy = { .name = "copy", .probe = copy_probe };
