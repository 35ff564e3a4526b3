/* copy_priv.h - what the parts of copy share: copy.c decides what goes where, copy_dest.c makes the way to it,
 * copy_tree.c walks a source directory, copy_entry.c makes one file. Not for other files. */
#ifndef BUILD_COPY_PRIV_H
#define BUILD_COPY_PRIV_H

#include "base/buf.h"
#include "base/map.h"
#include "build/copy.h"

struct copier {
    const struct copy_spec *spec;
    int to_fd;
    struct stat to_st;
    bool link;                    /* as if into an empty root: no symlink is followed, what is in the way is replaced */
    bool dest_made;               /* what is at dest is this instruction's own */
    int octal;                    /* --chmod as a number, -1 = none or symbolic */
    const struct ignore *include; /* --parents: what to take of the source that is being walked; NULL = all */
    uint64_t included;            /* entries that `include` took */
    struct buf src, dst; /* paths below both roots of what is being copied, for patterns, records and messages */
    size_t root_len;     /* of src, at the directory that is being walked */
    struct map *links;   /* "dev:inode" -> its first copy's path, of one source */
    char *io;            /* COPY_IO_BYTES, for listings and small files */
    struct copy_stats stats;
};

#define COPY_IO_BYTES 131072

/* ---- copy_dest.c ---- */

/* path_resolve() in the destination; with --link the path as it is written. */
MUST_USE struct err *copy_resolve(const struct copier *c, const char *path, char **ret_real);
/* Makes the directory `real` and what is missing above it, with --chown's owner. Not a directory: ERR_DOCKERFILE. */
MUST_USE struct err *copy_mkdirs(const struct copier *c, const char *real, mode_t mode, int *ret_fd);
/* Removes dir_fd/name so that something that is no directory can take its place. */
MUST_USE struct err *copy_clear(const struct copier *c, int dir_fd, const char *name);

/* ---- copy_entry.c ---- */

/* Copies one thing that is no directory: src_fd/src_name (DT_ type, or DT_UNKNOWN) to dst_fd/dst_name. c->src and
 * c->dst name both. */
MUST_USE struct err *copy_entry(struct copier *c, int src_fd, const char *src_name, unsigned char type, int dst_fd,
                                const char *dst_name);
/* Gives the directory dst_fd all that src_fd has but its content. */
MUST_USE struct err *copy_dir_info(struct copier *c, int src_fd, const struct stat *st, int dst_fd);
/* Who owns the copy of the open source. Nobody outside the image owns its files, so those of the context are root's. */
MUST_USE struct err *copy_owner(const struct copier *c, int src_fd, const struct stat *st, struct owner *ret);
/* The name of an extended attribute that the copy gets, of what lies at the source under `stored`; NULL: it gets none.
 */
const char *copy_xattr_name(const struct copier *c, const char *stored);
MUST_USE struct err *copy_times(const struct copier *c, const struct stat *st, int dst_fd);
/* The mode after --chmod. */
MUST_USE struct err *copy_mode(const struct copier *c, mode_t mode, mode_t *ret_mode);
/* The here-document, as dst_fd/name. */
MUST_USE struct err *copy_inline(struct copier *c, int dst_fd, const char *name);

/* ---- copy_sum.c: the same for spec->sum ---- */
MUST_USE struct err *copy_sum_entry(struct copier *c, int src_fd, const char *src_name, unsigned char type);
MUST_USE struct err *copy_sum_dir(struct copier *c, int src_fd, const struct stat *st);
/* A source as it is called, and what that leads to. */
void copy_sum_source(struct copy_sum *s, const char *path, const char *real);

/* ---- copy_tree.c ---- */

/* Copies what is in directory src_fd (c->src names it) into dst_fd, which gets its times. */
MUST_USE struct err *copy_tree(struct copier *c, int src_fd, int dst_fd);

/* Puts "/name" at the end of a path; the caller cuts it to the old length, which is returned, by copy_pop. */
size_t copy_push(struct buf *path, const char *name);
void copy_pop(struct buf *path, size_t len);

#endif
