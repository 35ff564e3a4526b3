/* image_file.h - finished images that lie on disk, read to be pushed: an archive of `docker save` (also one with OCI
 * blobs inside), an OCI layout as an archive or as a directory; archives compressed or not. All bytes are verified when
 * it is opened; nothing of it is held in memory but the documents. What must be unpacked or compressed first goes to
 * unnamed files in a directory of the caller's. Bounded by base/limits.h. After opening, several threads may open its
 * blobs at once. */
#ifndef EXPORT_IMAGE_FILE_H
#define EXPORT_IMAGE_FILE_H

#include "base/cancel.h"
#include "base/err.h"
#include "base/mem.h"
#include "oci/manifest.h"
#include "tar/compress.h"

struct image_file_opts {
    /* "PATH[:NAME][@DIGEST]"; NAME is a tag, or of a docker archive REPOSITORY:TAG. Without them the only image. */
    const char *place;
    const char *scratch;           /* a directory of ours */
    int format;                    /* enum image_format of an image that has no manifest yet; -1 = Docker's if it can */
    struct compress_opts compress; /* for its layers that are not compressed */
    const struct cancel *cancel;
};

struct image_file;
/* ERR_SETTING: it is no image, or not one alone. ERR_REGISTRY: it is damaged. */
MUST_USE struct err *image_file_open(const struct image_file_opts *opts, struct image_file **ret);
void image_file_free(struct image_file *f);
DEFINE_CLEANUP(struct image_file *, image_file_free);

/* Layers and configurations, each once. */
size_t image_file_n_blobs(const struct image_file *f);
const struct descriptor *image_file_blob(const struct image_file *f, size_t i);
/* The blob begins at that offset; reading must not move the descriptor's own, which several may share. */
MUST_USE struct err *image_file_open_blob(const struct image_file *f, size_t i, int *ret_fd, uint64_t *ret_offset);

struct image_document {
    char media_type[128];
    char *text;
    size_t len;
    struct digest digest;
};
/* Manifests and indexes, in the order in which they can be pushed: the last one is the image. */
size_t image_file_n_documents(const struct image_file *f);
const struct image_document *image_file_document(const struct image_file *f, size_t i);

#endif
