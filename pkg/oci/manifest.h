/* manifest.h - descriptors, manifests and indexes of both media type families (OCI image-spec manifest.md,
 * image-index.md, Docker image manifest v2 schema 2). Pure: text in, structs out, and back. */
#ifndef OCI_MANIFEST_H
#define OCI_MANIFEST_H

#include "base/err.h"
#include "digest/digest.h"
#include "oci/platform.h"

#include <stdint.h>

enum image_format { IMAGE_FORMAT_DOCKER, IMAGE_FORMAT_OCI };

#define MEDIA_DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"
#define MEDIA_DOCKER_LIST     "application/vnd.docker.distribution.manifest.list.v2+json"
#define MEDIA_DOCKER_CONFIG   "application/vnd.docker.container.image.v1+json"
#define MEDIA_DOCKER_LAYER    "application/vnd.docker.image.rootfs.diff.tar.gzip"
#define MEDIA_OCI_MANIFEST    "application/vnd.oci.image.manifest.v1+json"
#define MEDIA_OCI_INDEX       "application/vnd.oci.image.index.v1+json"
#define MEDIA_OCI_CONFIG      "application/vnd.oci.image.config.v1+json"
#define MEDIA_OCI_LAYER_GZIP  "application/vnd.oci.image.layer.v1.tar+gzip"
#define MEDIA_OCI_LAYER_ZSTD  "application/vnd.oci.image.layer.v1.tar+zstd"
#define MEDIA_OCI_LAYER       "application/vnd.oci.image.layer.v1.tar"

struct descriptor {
    char media_type[128];
    struct digest digest;
    uint64_t size_bytes;
};

struct manifest {
    enum image_format format;
    struct descriptor config;
    struct descriptor *layers; /* lowest first; owned */
    size_t n_layers;
};

struct index_entry {
    struct descriptor desc;
    struct platform platform; /* os "" if the entry names none */
};
struct image_index {
    enum image_format format;
    struct index_entry *entries; /* owned */
    size_t n_entries;
};

enum manifest_kind { MANIFEST_IMAGE, MANIFEST_INDEX };

/* What is it: by content_type (may be NULL), else by the document's mediaType, else by its members. Schema 1 and
 * anything unknown: ERR_REGISTRY that names the type. */
MUST_USE struct err *manifest_kind(const char *content_type, const char *text, size_t len,
                                   enum manifest_kind *ret_kind);
/* Checks sizes, digests, media types and counts (limits.h). Foreign layers ("nondistributable") are accepted as
 * descriptors. */
MUST_USE struct err *manifest_parse(const char *text, size_t len, struct manifest *ret_manifest);
MUST_USE struct err *index_parse(const char *text, size_t len, struct image_index *ret_index);
/* The best entry for that platform (an image, or a further index), else the first that names no platform (then the
 * image's configuration must tell whether it is for `wanted`), else NULL. Attestations ("unknown/unknown") never match.
 * Borrowed. */
const struct index_entry *index_choose(const struct image_index *x, const struct platform *wanted);
/* The document as we push it: compact JSON, the caller frees. Same input, same bytes. */
char *manifest_write(const struct manifest *m);
char *index_write(const struct image_index *x);
/* The layer's media type in that format, for "gzip", "zstd" or "none"; NULL where the format has none (zstd in Docker).
 */
const char *manifest_layer_media(enum image_format format, const char *compression);
void manifest_release(struct manifest *m);
void index_release(struct image_index *x);
static inline void manifest_release_auto(struct manifest *m)
{
    manifest_release(m);
}
static inline void index_release_auto(struct image_index *x)
{
    index_release(x);
}

#endif
