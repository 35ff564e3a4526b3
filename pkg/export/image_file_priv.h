/* image_file_priv.h - what the readers of the two formats have in common. */
#ifndef EXPORT_IMAGE_FILE_PRIV_H
#define EXPORT_IMAGE_FILE_PRIV_H

#include "base/buf.h"
#include "base/map.h"
#include "base/sink.h"
#include "base/vec.h"
#include "export/image_file.h"

#include <stdint.h>

/* A run of bytes in a file. */
struct extent {
    int fd;     /* borrowed; -1: path */
    char *path; /* owned */
    uint64_t offset, size_bytes;
    struct digest digest;
};

struct file_blob {
    struct descriptor desc;
    struct extent at; /* fd or path are the blob's own */
};

struct image_file {
    struct image_file_opts o;   /* place is not used any more */
    char *path, *name, *digest; /* of the place; the last two may be NULL */
    int fd;                     /* of the archive, uncompressed; -1: a directory */
    struct map *members;        /* of the archive: path -> struct member */
    struct map *known;          /* digests of blobs and documents that are listed */
    VEC(struct file_blob) blobs;
    VEC(struct image_document) documents;
};

/* A source of the bytes of an extent that is open. */
struct extent_reader {
    int fd;
    uint64_t at, end;
};
struct source extent_source(struct extent_reader *r);

/* ---- members.c: files by their names inside, wherever they lie ---- */
/* Reads the archive's list. */
MUST_USE struct err *members_read(struct image_file *f);
/* *ret_found false: there is none. A directory's file is hashed here, an archive's was. at->path is the caller's. */
MUST_USE struct err *member_find(const struct image_file *f, const char *name, struct extent *ret, bool *ret_found);
/* The content of a small one. */
MUST_USE struct err *member_text(const struct image_file *f, const char *name, size_t max, struct buf *out,
                                 bool *ret_found);
/* The first name with that ending, in the archive's order after `n` of them; NULL: no more. Borrowed. */
const char *member_ending(const struct image_file *f, const char *ending, size_t n);

/* ---- image_file.c ---- */
/* Adds one unless it is listed. Takes at over. */
void image_file_add_blob(struct image_file *f, const struct descriptor *d, struct extent *at);
/* Takes text over. */
void image_file_add_document(struct image_file *f, const char *media_type, struct buf *text);
/* An unnamed file in the scratch directory. */
MUST_USE struct err *image_file_scratch(const struct image_file *f, int *ret_fd);
/* The name of an image without a tag has the tag "latest"; is that the one which was asked for? */
bool image_file_is_wanted(const struct image_file *f, const char *have);

/* ---- image_oci.c, image_docker.c: fill blobs and documents ---- */
MUST_USE struct err *image_oci_load(struct image_file *f, const char *index_text, size_t len);
MUST_USE struct err *image_docker_load(struct image_file *f, const char *list_text, size_t len);

#endif
