/* stash.h - the contents of directories (those of RUN --mount=type=cache) in a repository of a registry, from pod to
 * pod.
 *
 * Files are cut into chunks by what is in them, chunks are known by their SHA-256 and travel in packs: what is in the
 * repository already is not sent again. Under a tag lies an OCI image: its first layer holds the index (names,
 * metadata, which chunks), the others are the packs, all of them tars. Owners, modes, times, symlinks and hard links
 * are kept; extended attributes, devices, sockets and fifos are not.
 *
 * Any number of builds may save under one tag at once. A document is written whole, after all that it needs, so what is
 * read is always one that some build has written. A save takes in what others have saved since it restored: of two
 * files of one name the one that was changed later stays; a file that only one of them removed may come back. After
 * writing it looks whether it was overwritten meanwhile, and begins again; a save that overwrites between that look and
 * its own wins, and the other one's new files are sent again by the next build.
 *
 * Everything from the repository is checked: blobs by their digests, the index as a whole. What is damaged is an error
 * of the restore, and the caller's directory is then to be emptied; the next save of it does not build on that.
 * Thread-safe, for different directories. */
#ifndef STASH_STASH_H
#define STASH_STASH_H

#include "base/cancel.h"
#include "base/mem.h"
#include "oci/platform.h"
#include "registry/registry.h"
#include "sys/owner.h"

#include <stdbool.h>
#include <stdint.h>

struct stash_opts { /* all borrowed */
    struct registry *registry;
    const struct ref *repo;
    const struct platform *platform; /* for the document: where the files were made */
    const char *scratch_dir;         /* for packs on their way */
    enum owner_mode owners;
    uint64_t max_bytes; /* of the files of one directory; what is older is not saved */
    int threads;        /* of compression */
    int transfers;      /* at once */
    /* Calls work(ctx, i) for 0..n-1 on up to so many threads; the first error. */
    struct err *(*in_parallel)(int threads, size_t n, struct err *(*work)(void *ctx, size_t i), void *ctx);
    int64_t now_s;
    const struct cancel *cancel;
};

struct stash_place {    /* borrowed */
    const char *tag;    /* in the repository */
    const char *dir;    /* the directory */
    const char *record; /* a file of the stash's own, beside the directory: what of it is in the repository */
};

struct stash_stats {
    bool found;     /* restore: there was something. save: there is something new in the repository */
    size_t entries; /* of the directory as it is kept */
    uint64_t bytes; /* of its files */
    uint64_t moved; /* compressed bytes that were received or sent */
    uint64_t dropped, dropped_entries; /* save: bytes left out for the limit */
};

/* Fills dir, which exists and is empty. On an error it may hold anything. */
MUST_USE struct err *stash_restore(const struct stash_opts *o, const struct stash_place *p, struct stash_stats *ret);
/* Puts into the repository what dir holds now. Files that change meanwhile are left out. */
MUST_USE struct err *stash_save(const struct stash_opts *o, const struct stash_place *p, struct stash_stats *ret);

#endif
