/* unpack.h - writes the entries of a tar stream below a directory: base layers, and ADD of an archive. The archive is
 * hostile: every path goes through sys/path.h; "..", absolute names and links that lead outside end inside the root or
 * are refused. */
#ifndef SNAPSHOT_UNPACK_H
#define SNAPSHOT_UNPACK_H

#include "base/cancel.h"
#include "base/sink.h"
#include "sys/owner.h"

struct unpack_opts {
    enum owner_mode owners;
    bool whiteouts;   /* a layer: .wh.* become overlay whiteouts and opaque marks; else they are plain files */
    bool plain_marks; /* with whiteouts: keep them as files .wh.*, for file systems that cannot hold the marks */
    const struct owner *chown; /* all entries get this owner; NULL = as the archive says */
    int chmod;                 /* >= 0: permission bits for all entries; -1 = as the archive says */
    /* Told of owners that could not be stored at the file, path relative to root_fd; may be NULL. */
    void (*note_owner)(void *ctx, const char *path, const struct owner *o);
    /* Told of directories that were made because something stands below them (implicit), and again if the archive names
     * them after all; and of whiteouts. May be NULL. */
    void (*note_implicit)(void *ctx, const char *path, bool implicit);
    void (*note_whiteout)(void *ctx);
    void *ctx;
    const struct cancel *cancel;
};

/* `tar` is uncompressed. Entries go below `dest` (made if missing, 0755 root) of root_fd. An entry for `dest` itself is
 * passed over. */
MUST_USE struct err *unpack_tar(struct source tar, int root_fd, const char *dest, const struct unpack_opts *opts);

#endif
