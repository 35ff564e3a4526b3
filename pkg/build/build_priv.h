/* build_priv.h - what the files of this module share. */
#ifndef BUILD_BUILD_PRIV_H
#define BUILD_BUILD_PRIV_H

#include "base/map.h"
#include "base/vec.h"
#include "build/build.h"

/* A layer of an image: one of a base (origin says where its blob can be had) or one of ours (origin.path is NULL). */
struct layer {
    struct descriptor desc;
    struct digest diff_id;
    struct ref origin; /* borrowed from the base image */
};

struct layers {
    struct layer *items;
    size_t n, cap;
};

/* An image that a FROM or COPY --from names. Its layers are fetched when a root file system is wanted, not before. */
struct base_image {
    struct ref ref;
    struct manifest manifest;
    struct image_config config;
    bool unpacked;
    struct rootfs *rootfs; /* for COPY --from, made on demand */
};

struct stage_run {
    bool done;
    struct base_image *base; /* NULL: scratch or a stage */
    struct stage_plan plan;
    struct image_config config; /* with history and diff ids of the steps so far */
    struct layers layers;
    struct rootfs *rootfs; /* NULL until a step needs it */
    enum image_format format;
};

struct build {
    struct build_opts o;
    struct map *bases; /* "reference|platform" -> struct base_image */
    struct stage_run *stages;
    char created[32];
    struct progress_step now; /* the step in progress */

    /* the result */
    struct manifest manifest;
    char *manifest_text, *config_text;
    struct digest digest, config_digest;
    struct build_stats stats;
};

/* base.c: the image with manifest and configuration; owned by b. */
MUST_USE struct err *base_get(struct build *b, const char *text, const struct platform *platform,
                              struct base_image **ret);
/* Pulls and unpacks what is not here yet, in parallel. */
MUST_USE struct err *base_unpack(struct build *b, struct base_image *base);
/* Its root for reading. */
MUST_USE struct err *base_view(struct build *b, struct base_image *base, int *ret_root_fd);
/* The layer's blob as a file, fetched if it is not here. */
MUST_USE struct err *layer_open(struct build *b, const struct layer *l, int *ret_fd);
void base_free(void *base);

/* stage.c */
MUST_USE struct err *stage_build(struct build *b, size_t index);
/* The stage's root file system, made on first use. */
MUST_USE struct err *stage_rootfs(struct build *b, size_t index, struct rootfs **ret);
/* Ends the step that is in progress in r: its changes become a layer of stage st. */
MUST_USE struct err *stage_commit(struct build *b, struct stage_run *st, struct rootfs *r,
                                  const struct owner *new_files);
void stage_release(struct stage_run *st);

/* step_*.c: each does one step, rootfs_begin to stage_commit. */
MUST_USE struct err *step_run(struct build *b, struct stage_run *st, struct rootfs *r, const struct step *step);
MUST_USE struct err *step_copy(struct build *b, struct stage_run *st, struct rootfs *r, const struct step *step);
MUST_USE struct err *step_workdir(struct build *b, struct stage_run *st, struct rootfs *r, const struct step *step);

/* image.c */
MUST_USE struct err *image_assemble(struct build *b);

/* Calls work(ctx, i) for i in 0..n-1 on up to `threads` threads; gives the first error and starts no more after one. */
MUST_USE struct err *in_parallel(int threads, size_t n, struct err *(*work)(void *ctx, size_t i), void *ctx);
/* How many transfers or unpackings run at once under the pod's limits. */
int transfer_threads(const struct build *b);

#endif
