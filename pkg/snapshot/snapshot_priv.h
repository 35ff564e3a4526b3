/* snapshot_priv.h - what the parts of this module share: the stack of layers, the table of back ends, the layer writer.
 */
#ifndef SNAPSHOT_SNAPSHOT_PRIV_H
#define SNAPSHOT_SNAPSHOT_PRIV_H

#include "base/map.h"
#include "base/strs.h"
#include "base/vec.h"
#include "snapshot/snapshot.h"
#include "tar/tar.h"

#include <stdatomic.h>

/* One directory of a stack: an unpacked layer, the frozen changes of a step, or several of them merged. In overlayfs'
 * form: whiteouts are character devices 0:0, opaque directories carry user.overlay.opaque. Never changed once it is in
 * a stack. */
struct layer {
    atomic_uint refs;
    char *dir;                  /* path of its root */
    char *made;                 /* the directory that was made for it and goes with it; NULL: it stays */
    struct owner_table *owners; /* of what cannot carry a record */
    struct map *implicit; /* a set: directories that its tar did not name: made because something stands below them */
    bool whiteouts;       /* may hold whiteouts or opaque directories: not to be shown without an overlay */
};
struct layer *layer_new(char *dir); /* takes dir; one reference, the caller's */
struct layer *layer_ref(struct layer *l);
void layer_free(struct layer *l); /* gives up a reference */
DEFINE_CLEANUP(struct layer *, layer_free);

struct layers {
    struct layer **items; /* lowest first */
    size_t n, cap;
};

struct snapshot_ops;

struct frozen {
    struct snapshotter *s;
    struct layers below; /* references: what the step began with */
    struct layer *layer; /* a reference: its changes; its owners are complete when it is written */
};

struct snapshotter {
    const struct snapshot_ops *ops;
    char *state_dir, *build_dir, *space_dir, *description;
    enum owner_mode owners;
    const struct cancel *cancel;
    atomic_uint next_id; /* names in build_dir */
    int layers_fd;       /* of the layers that this build uses */
};

struct rootfs {
    struct snapshotter *s;
    struct layers stack;             /* references */
    struct owner_table *step_owners; /* of the step under way, else NULL */
    int step_fd;                     /* its root; both borrowed from the back end */
    const char *step_path;
    bool carried; /* the step has ended, its changes wait for the next one */
    void *state;  /* the back end's own */
};

/* A way to keep root file systems. All functions but probe and open get a rootfs with `state` set by open. */
struct snapshot_ops {
    const char *name;
    /* Layers are unpacked with whiteouts as overlayfs has them; false: as files ".wh.NAME", which every file system can
     * hold. */
    bool overlay_marks;
    /* Can it work here? An ERR_POD that says why not. *ret_description: "overlay on ext4" (malloc'ed). */
    struct err *(*probe)(struct snapshotter *s, char **ret_description);
    struct err *(*open)(struct rootfs *r);
    struct err *(*fork)(struct rootfs *from, struct rootfs *r); /* after open */
    struct err *(*push)(struct rootfs *r, struct layer *l);     /* takes l */
    struct err *(*view)(struct rootfs *r, int *ret_root_fd);
    struct err *(*begin)(struct rootfs *r, int *ret_root_fd, const char **ret_path);
    struct err *(*commit)(struct rootfs *r, const struct commit_opts *opts, struct sink out,
                          struct commit_stats *stats);
    /* See rootfs_freeze(); NULL: it cannot. */
    struct err *(*freeze)(struct rootfs *r, struct frozen **ret);
    struct err *(*write)(struct frozen *f, const struct commit_opts *opts, struct sink out, struct commit_stats *stats);
    void (*abort)(struct rootfs *r);
    /* Of a symlink, fifo or socket. */
    struct owner (*find_owner)(const struct rootfs *r, const char *path);
    void (*release)(struct rootfs *r);
    /* See cover_new(): the covered directory becomes place/root, which exists. *ret_mounted: it is a mount. */
    struct err *(*cover)(struct snapshotter *s, const char *dir, const struct strs *hide, bool writable,
                         const char *place, bool *ret_mounted);
};
extern const struct snapshot_ops snapshot_overlay, snapshot_copy;

/* A new directory BUILD_DIR/<what>.<number>, mode 0755. The caller frees the path. */
MUST_USE struct err *snapshot_new_dir(struct snapshotter *s, const char *what, char **ret_path);
/* Name of the file system that holds path: "ext4", "overlay"; the magic number in hex if we do not know it. */
char *snapshot_fs_name(const char *path);
/* The owner of a symlink, fifo or socket at `path` of the stack: from the table of the highest layer that has it. */
struct owner layers_owner(const struct layers *stack, const char *path);

enum merge_how {
    MERGE_LINK, /* files are hard links: for what is only read */
    MERGE_COPY, /* files are copies (sharing their blocks, where the file system can) */
};
/* Merges the lowest n layers of the stack into one directory. Whiteouts, in either form, do their work and go.
 * The layer's dir is `dir`, which exists and is empty, and stays. */
MUST_USE struct err *layers_merge(const struct snapshotter *s, const struct layers *stack, size_t n, const char *dir,
                                  enum merge_how how, struct layer **ret);
/* A directory that is named only by the paths below it must not hide the mode and owner that a lower layer gave it:
 * puts a layer of such directories with their right metadata on top of the stack, if there are any. */
MUST_USE struct err *layers_fix_implicit(struct snapshotter *s, struct layers *stack);
/* Keeps the stack low enough for walks to stay fast: merges the lowest layers if there are many. */
MUST_USE struct err *rootfs_compact(struct rootfs *r);
/* Puts a layer on top of the stack, which it may hide whole. Takes l. */
void rootfs_stack(struct rootfs *r, struct layer *l);
/* mkdir with mode 0755 and the epoch as its time: the root of a layer. */
MUST_USE struct err *snapshot_make_root(const char *path);
/* Gives the directory `to` the mode, owner, times and record of the directory `from`. */
MUST_USE struct err *snapshot_copy_dir_meta(int from, int to, enum owner_mode owners);

#define OVERLAY_XATTR_PREFIX "user.overlay."
#define OPAQUE_XATTR         "user.overlay.opaque"
#define WHITEOUT_PREFIX      ".wh."
#define WHITEOUT_OPAQUE      ".wh..wh..opq"

/* Is this what overlayfs puts in place of a removed file? */
static inline bool is_whiteout(const struct stat *st)
{
    return S_ISCHR(st->st_mode) && st->st_rdev == 0;
}

#endif
