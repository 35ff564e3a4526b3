/* copy.h - COPY and ADD of local sources into a root: what goes where, with which owner and mode. Follows BuildKit's
 * rules (REFERENCE: directory contents, globs, trailing '/', implied parents 0755 0:0 or --chown's owner). Knows no
 * instruction text: everything is expanded before. One thread per root. */
#ifndef BUILD_COPY_H
#define BUILD_COPY_H

#include "base/cancel.h"
#include "base/mem.h"
#include "base/strs.h"
#include "context/ignore.h"
#include "digest/digest.h"
#include "sys/owner.h"

#include <stdbool.h>
#include <stdint.h>

struct copy_sum;

struct copy_spec {
    int from_fd;     /* root of the context, a stage or an image */
    bool from_image; /* owners are read through sys/owner.h (source files owned by an image); else sources count as 0:0
                      */
    const struct ignore *ignore;  /* of the context; NULL for images */
    const struct ignore *exclude; /* --exclude; NULL = none */
    struct strs sources;          /* expanded patterns */
    bool literal;                 /* sources are paths: no character in them is a wildcard */
    const char *dest;             /* expanded, absolute (WORKDIR already joined), trailing '/' kept */
    const struct owner *chown;    /* --chown resolved; NULL = source's owner for images, 0:0 for the context */
    const char *chmod;            /* --chmod text, NULL = none */
    bool add;                     /* ADD: local archives are unpacked */
    int unpack;                   /* ADD --unpack: -1 not given, 0, 1 */
    bool parents;                 /* COPY --parents */
    bool link;                    /* COPY --link: symlinks in dest are not followed */
    const char *inline_name;      /* here-document: file name, with inline_data; sources are then empty */
    const void *inline_data;
    size_t inline_len;
    int64_t inline_mtime_s;
    enum owner_mode owners;
    void (*note_owner)(void *ctx, const char *path, const struct owner *o); /* see snapshot/unpack.h */
    /* The owner of a source (path below from_fd) that cannot carry a record; false: none is noted, it is root's. May be
     * NULL; gets find_ctx. */
    bool (*find_owner)(void *find_ctx, const char *path, struct owner *ret_owner);
    void *find_ctx;
    void *ctx;
    const struct cancel *cancel;
    struct copy_sum *sum; /* not NULL: nothing is copied; what would be is added to this */
};

struct copy_stats {
    uint64_t files, bytes;
};

/* Copies into to_fd. A source that is not there: ERR_DOCKERFILE "... not found in the build context" (with "excluded by
 * .dockerignore" where that is why, and the nearest existing name as a hint). A wildcard may match nothing, as with
 * BuildKit. */
MUST_USE struct err *copy_into(int to_fd, const struct copy_spec *spec, struct copy_stats *ret_stats);
/* Copies nothing: is `path`, one of the sources of the spec, there? The same error as copy_into() has. Of a path with
 * wildcards, and of what stands behind the pivot of --parents, that is not known. */
MUST_USE struct err *copy_check_source(const struct copy_spec *spec, const char *path);
/* A digest over what copy_into() takes: the paths, types, modes, owners, contents, targets, attributes and hard links
 * of the sources; no times, and not where they will be. Here-documents are not in it. */
struct copy_sum *copy_sum_new(void);
/* *ret_files: a fact (plan/key.h) for each file, or for directories where there are too many files. */
struct digest copy_sum_end(struct copy_sum *s, struct strs *ret_files);
void copy_sum_free(struct copy_sum *s);
DEFINE_CLEANUP(struct copy_sum *, copy_sum_free);

/* What the image has in the way of a path that the user wrote becomes ERR_DOCKERFILE: not the pod's fault. */
MUST_USE struct err *copy_blame(struct err *e);

#endif
