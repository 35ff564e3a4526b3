/* export.h - a finished image written to disk: docker-archive tar (as `docker save`: manifest.json, config, layers) and
 * OCI image layout (image-layout.md). Deterministic. Blobs are read through a callback, one at a time, streaming. */
#ifndef EXPORT_EXPORT_H
#define EXPORT_EXPORT_H

#include "base/cancel.h"
#include "base/err.h"
#include "base/strs.h"
#include "oci/manifest.h"

struct export_image {
    const struct manifest *manifest;
    const char *manifest_text, *config_text;
    struct strs names; /* "repo:tag" each; may be empty */
    int64_t time_s;    /* mtime of the archive's members */
    /* Opens a layer blob for reading. */
    struct err *(*open_blob)(void *ctx, const struct descriptor *blob, int *ret_fd);
    void *ctx;
    const struct cancel *cancel;
};

/* Written beside path and renamed: a failed export leaves nothing. Layers are stored as they are (HEX.tar.gz), which
 * docker load, skopeo and podman read, so that nothing is decompressed for it. Beside them lies the manifest
 * (HEX.manifest.json), which they do not look at: who pushes the archive can push the very image. Parents are made. */
MUST_USE struct err *export_docker_tar(const char *path, const struct export_image *image);
/* dir/{oci-layout,index.json,blobs/sha256/}; an existing layout gets the image added, an entry of the same name
 * replaced. The manifest must be in OCI or Docker format; it is stored as it is. */
MUST_USE struct err *export_oci_layout(const char *dir, const struct export_image *image);

/* Images and the index over them. Their own names are not used. */
struct export_index {
    const struct export_image *images;
    size_t n_images;
    const char *text; /* the index */
    enum image_format format;
    struct strs names; /* of the index */
};
/* The same for an index: index.json names it, the index names the images. */
MUST_USE struct err *export_oci_index(const char *dir, const struct export_index *index);

#endif
