/* ext_priv.h - what stands in front of a tar entry's header: pax extended headers and GNU long names. Pure: bytes in,
 * fields out. */
#ifndef TAR_EXT_PRIV_H
#define TAR_EXT_PRIV_H

#include "base/vec.h"
#include "tar/tar.h"

/* A piece of data of a sparse file; what lies between the pieces is a hole. */
struct sparse_part {
    uint64_t offset, len;
};
struct sparse_map {
    struct sparse_part *items;
    size_t n, cap;
};

/* Collected for one entry, applied to it, then released. */
struct tar_ext {
    char *path, *link;         /* pax path, linkpath */
    char *gnu_path, *gnu_link; /* GNU L and K entries: win over pax, as in Go's reader */
    bool has_size, has_uid, has_gid, has_mtime;
    uint64_t size_bytes;
    uint32_t uid, gid;
    struct timespec mtime;
    VEC(struct tar_xattr) xattrs;
    bool sparse;         /* GNU.sparse.*: versions 0.0 and 0.1 with the map in the records ... */
    bool sparse_in_data; /* ... or 1.0 with the map in front of the data */
    bool has_sparse_size, half_part;
    char *sparse_name;
    uint64_t sparse_size;
    struct sparse_map parts;
    size_t bytes; /* of all headers so far: bounded by LIMIT_PAX_BYTES */
};

/* Reads the records of one 'x' header. The text is len bytes. */
MUST_USE struct err *tar_ext_parse(struct tar_ext *x, const char *text, size_t len);
void tar_ext_release(struct tar_ext *x);
/* Adds a piece; pieces must come in order, without overlap, and below LIMIT_SPARSE_PARTS. */
MUST_USE struct err *sparse_map_add(struct sparse_map *m, uint64_t offset, uint64_t len);
/* The pieces end within size_bytes and hold stored_bytes of data together. */
MUST_USE struct err *sparse_map_check(const struct sparse_map *m, uint64_t size_bytes, uint64_t stored_bytes);
/* Decimal digits only, all of the n bytes; false if it is no such number or too large. */
bool tar_parse_decimal(const char *s, size_t n, uint64_t *ret_value);

#endif
