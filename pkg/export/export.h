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
    const struct digest *diff_ids; /* of the layers */
    struct strs names;             /* "repo:tag" each; may be empty */
    int64_t time_s;                /* mtime of the archive's members */
    /* Opens a layer blob for reading. */
    struct err *(*open_blob)(void *ctx, const struct descriptor *blob, int *ret_fd);
    void *ctx;
    const struct cancel *cancel;
};

/* Written beside path and renamed: a failed export leaves nothing. Layers are stored as they are (HEX.tar.gz), which
 * docker load, skopeo and podman read, so that nothing is decompressed for it. Parents are made. */
MUST_USE struct err *export_docker_tar(const char *path, const struct export_image *image);
/* dir/{oci-layout,index.json,blobs/sha256/}; an existing layout gets the image added, an entry of the same name
 * replaced. The manifest must be in OCI or Docker format; it is stored as it is. */
MUST_USE struct err *export_oci_layout(const char *dir, const struct export_image *image);

#endif
