/* snapshot.h - root file systems of stages: made from layers, changed by instructions, each instruction's changes
 * written as a layer. Knows whiteouts, overlayfs and the state directory; knows no instruction and no registry.
 *
 * A snapshotter unpacks each base layer once into a directory of the state directory. A rootfs is a stack of such
 * directories and of the frozen changes of the steps so far. A step gets a fresh upper directory; committing it walks
 * that alone. Threads: layers may be unpacked by several threads at once; a rootfs belongs to one thread at a time, but
 * different ones may be used at once, and what was frozen of one is written by another thread. */
#ifndef SNAPSHOT_SNAPSHOT_H
#define SNAPSHOT_SNAPSHOT_H

#include "base/cancel.h"
#include "base/mem.h"
#include "base/sink.h"
#include "base/strs.h"
#include "digest/digest.h"
#include "sys/owner.h"

#include <stdbool.h>
#include <stdint.h>

/* When is a file that stands in the upper directory a change? (DESIGN section 5) */
enum snapshot_mode {
    SNAPSHOT_FULL, /* content or metadata differ from the lower file */
    SNAPSHOT_REDO, /* metadata differ, or the overlay knows that it was rewritten */
    SNAPSHOT_TIME, /* mtime differs */
};

struct snapshotter_opts {
    const char *state_dir;   /* exists and is ours */
    const char *build_dir;   /* this build's own directory inside it, removed by the caller at the end */
    const char *layer_space; /* name for the id mapping in use ("full", "single"): layers unpacked under another are not
                                shared */
    const char *backend;     /* "auto", "overlay", "copy": forced and impossible is ERR_POD with the reason */
    enum owner_mode owners;
    const struct cancel *cancel;
};

struct snapshotter;
MUST_USE struct err *snapshotter_open(const struct snapshotter_opts *opts, struct snapshotter **ret);
/* The back end in use and why ("overlay on ext4"): for the log. Borrowed. */
const char *snapshotter_describe(const struct snapshotter *s);
/* From now on another one stops what goes on. It must outlive that; not while anything does. */
void snapshotter_set_cancel(struct snapshotter *s, const struct cancel *cancel);
void snapshotter_free(struct snapshotter *s);
DEFINE_CLEANUP(struct snapshotter *, snapshotter_free);

/* Is the layer with this diff id (digest of the uncompressed tar) already unpacked? From now on nobody removes it as
 * long as the snapshotter lives (store/gc.h). */
bool snapshotter_has_layer(const struct snapshotter *s, const struct digest *diff_id);
/* Unpacks a layer blob (compressed in any way we know) and checks that its uncompressed bytes have diff_id: a wrong one
 * is ERR_REGISTRY and leaves nothing behind. Safe against other builds unpacking the same layer. */
MUST_USE struct err *snapshotter_unpack(struct snapshotter *s, const struct digest *diff_id, struct source blob);

struct rootfs;
/* The file system of these layers, lowest first; all must be unpacked. n = 0: an empty one (scratch). Nothing is
 * mounted yet. */
MUST_USE struct err *rootfs_new(struct snapshotter *s, const struct digest *diff_ids, size_t n, struct rootfs **ret);
/* A new one that starts as `from` is now (FROM stage), and lives on without it. `from` must not be in a step. */
MUST_USE struct err *rootfs_fork(struct rootfs *from, struct rootfs **ret);
/* Puts an unpacked layer on top, as if a step had made it. Not in a step. */
MUST_USE struct err *rootfs_push(struct rootfs *r, const struct digest *diff_id);
/* The root for reading: a directory descriptor, borrowed until the next begin, commit or free. */
MUST_USE struct err *rootfs_view(struct rootfs *r, int *ret_root_fd);
/* Starts a step: the root is writable at *ret_root_fd and at *ret_path (both borrowed until commit or abort). */
MUST_USE struct err *rootfs_begin(struct rootfs *r, int *ret_root_fd, const char **ret_path);
/* In a step: ends it, but its changes go into the layer of the next one, which begins in the same root. Until then the
 * root file system must not be viewed or forked. */
void rootfs_carry(struct rootfs *r);
/* In a step: records who owns `path` of it, for files that cannot carry a record themselves (sys/owner.h). */
void rootfs_note_owner(struct rootfs *r, const char *path, const struct owner *o);

/* Who owns a symlink, fifo or socket at `path` as of the last commit; false: it is not noted, so root. */
bool rootfs_find_owner(const struct rootfs *r, const char *path, struct owner *ret_owner);

/* A directory that shows another one with parts of it hidden, or takes writes that nobody keeps: for a RUN's mounts. */
struct cover;
/* `dir` is never changed. `hide`: paths below it ("a/b"), parents before what is below them; may be NULL. Where
 * overlayfs works nothing is copied. Not both: without `hide` and not writable there is nothing to cover. */
MUST_USE struct err *cover_new(struct snapshotter *s, const char *dir, const struct strs *hide, bool writable,
                               struct cover **ret);
const char *cover_path(const struct cover *c); /* borrowed */
void cover_free(struct cover *c);
DEFINE_CLEANUP(struct cover *, cover_free);
/* Copies what is in directory `from` into the empty directory `to`, with owners and their records. */
MUST_USE struct err *snapshotter_copy_tree(struct snapshotter *s, const char *from, const char *to);

struct commit_opts {
    enum snapshot_mode mode;
    int64_t clamp_mtime_s;     /* later times become this (SOURCE_DATE_EPOCH); INT64_MAX = keep */
    const struct strs *ignore; /* paths ("/a/b" or "a/b") that are not part of the layer, with all below; may be NULL */
    const struct cancel *cancel; /* NULL: the snapshotter's */
    /* Called at each entry whose time lies between `began` and now: no earlier layer holds the same. NULL: nobody asks.
     */
    void (*is_new)(void *ctx);
    void *ctx;
    struct timespec began;
};
struct commit_stats {
    uint64_t entries, whiteouts, file_bytes; /* what went into the layer */
    uint64_t dropped;                        /* copied up but unchanged */
};
/* Ends the step: writes its changes as a layer tar (OCI layer.md: changes, whiteouts, opaque directories) to `out` and
 * freezes them as the state of the rootfs. Sorted, deterministic. On an error the step is over and its changes are
 * dropped. */
MUST_USE struct err *rootfs_commit(struct rootfs *r, const struct commit_opts *opts, struct sink out,
                                   struct commit_stats *ret_stats);
/* A step that has ended, whose layer is still to be written. */
struct frozen;
/* So many may wait to be written, of one root file system. */
#define SNAPSHOT_MAX_FROZEN 8
/* Ends the step at once: its changes are the state of the rootfs, and *ret can write them as a layer while the next
 * steps go on, in another thread; of one rootfs one after the other, in the order of the steps. *ret NULL: this back
 * end cannot (copy: the next step would change the same tree), and the step has not ended. */
MUST_USE struct err *rootfs_freeze(struct rootfs *r, struct frozen **ret);
/* Writes the layer as rootfs_commit() does; once. An error leaves the rootfs as it is. */
MUST_USE struct err *frozen_write(struct frozen *f, const struct commit_opts *opts, struct sink out,
                                  struct commit_stats *ret_stats);
void frozen_free(struct frozen *f);
DEFINE_CLEANUP(struct frozen *, frozen_free);
/* Ends the step without keeping its changes. */
void rootfs_abort(struct rootfs *r);
void rootfs_free(struct rootfs *r);
DEFINE_CLEANUP(struct rootfs *, rootfs_free);

#endif
