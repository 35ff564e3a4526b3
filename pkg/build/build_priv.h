/* build_priv.h - what the files of this module share. */
#ifndef BUILD_BUILD_PRIV_H
#define BUILD_BUILD_PRIV_H

#include "base/map.h"
#include "base/vec.h"
#include "build/build.h"

#include <stdatomic.h>

/* A layer of an image: one of a base (origin or layout says where its blob can be had) or one of ours. */
struct layer {
    struct descriptor desc;
    struct digest diff_id;
    struct ref origin;  /* of a registry's image or a cache, borrowed from it; else origin.path is NULL */
    const char *layout; /* of an OCI layout's image: its directory, borrowed; else NULL */
    struct made *made;  /* ours, and it was not made by executing its step; else NULL. Borrowed */
};

/* The layer of a step, known by its key: made earlier in this run, or found in a cache. */
struct made {
    struct cache_entry entry; /* repo NULL: its blob is in the store */
    atomic_bool broken;       /* it cannot be had after all */
};

/* What is known of a step before it is reached. */
struct step_key {
    struct digest parent, key; /* by definition: as far as it can be told without building anything; "" = it cannot */
    struct digest *sources;    /* as key_step has them */
    struct digest content;     /* the key by content, once it was asked for; "" = it cannot be told */
    bool content_asked;
    struct strs files; /* facts of the files that it takes from contexts */
};

struct layers {
    struct layer *items;
    size_t n, cap;
};

/* An image that a FROM or COPY --from names. Its layers are fetched when a root file system is wanted, not before. */
struct base_image {
    struct ref ref; /* empty for an image of an OCI layout */
    char *layout;   /* the layout's directory, NULL for an image of a registry */
    struct manifest manifest;
    struct image_config config;
    bool unpacked;
    struct rootfs *rootfs; /* for COPY --from, made on demand */
};

struct stage_run {
    bool planned, done;
    struct base_image *base; /* NULL: scratch or a stage */
    struct stage_plan plan;
    struct image_config config; /* with history and diff ids of the steps so far */
    struct layers layers;
    struct rootfs *rootfs; /* NULL until a step needs it */
    size_t in_rootfs;      /* how many of the layers it shows */
    bool layer_ends;       /* with the step under way, a layer is made */
    struct step_key *keys; /* of each step of the plan; NULL: there is no cache */
    struct digest key;     /* of its last step that makes a layer, by definition */
    struct digest content; /* of the last step so far, by what its files are; "" = not known */
    enum image_format format;
};

/* What the builds of all platforms share, and what comes of them. */
struct product {
    struct build_opts o;
    const struct plan *const *plans; /* borrowed */
    size_t n_plans;
    struct map *bases;      /* "reference|platform" -> struct base_image */
    struct context **named; /* plan_opts.contexts that are directories, opened on first use */
    struct rootfs *empty;   /* the root of "scratch" as a source, made on first use */
    struct map *made;       /* key -> struct made */
    struct strs settings;   /* of keys */
    struct build **builds;  /* in the order of the plans */

    /* the result */
    char *index_text; /* NULL: one image */
    enum image_format index_format;
    struct digest digest; /* of the index, or of the one image */
    struct push_stats pushed;
    atomic_bool failed;  /* a layer of the cache, since the last try */
    bool explained;      /* the user knows why steps are not found */
    bool record_missing; /* there is nothing of an earlier build to compare with */
};

/* The build of one platform. */
struct build {
    struct product *whole;     /* borrowed */
    struct build_opts o;       /* with this platform's plan */
    struct stage_run *own;     /* of each stage of the plan */
    struct stage_run **stages; /* those in use: our own, or that of an earlier platform where both are the same */
    char created[32];
    struct progress_step now; /* the step in progress */
    char layer_created[32];   /* the time of its layer */

    /* its image */
    struct image_config config;
    struct manifest manifest;
    char *manifest_text, *config_text;
    struct digest digest;
    size_t own_layers;    /* that are no base's */
    uint64_t image_bytes; /* compressed layers and configuration */
};

/* build.c */
struct build *build_new(struct product *p, const struct plan *plan);
struct stage_run *build_target(const struct build *b);
/* Takes a finished stage over from an earlier platform if it is the same for both. */
bool build_adopt_stage(struct build *b, size_t index);
/* Is the stage the same for another platform of this run? */
bool build_shares_stage(const struct build *b, size_t index);
/* Gives up the root file systems that no later platform can use: their layers are in the store. */
void build_drop_roots(struct build *b);
void build_free(struct build *b);

/* base.c: the image with manifest and configuration; owned by b. */
MUST_USE struct err *base_get(struct build *b, const char *text, const struct platform *platform,
                              struct base_image **ret);
/* Pulls and unpacks what is not here yet, in parallel. */
MUST_USE struct err *base_unpack(struct build *b, struct base_image *base);
MUST_USE struct err *layers_unpack(struct build *b, const struct layer *layers, size_t n);
/* Layer number i as a layer of a stage. */
struct layer base_layer(const struct base_image *base, size_t i);
/* Its root for reading. */
MUST_USE struct err *base_view(struct build *b, struct base_image *base, int *ret_root_fd);
void base_free(void *base);

/* fetch.c: the layer's blob as a file, fetched if it is not here. */
MUST_USE struct err *layer_open(struct build *b, const struct layer *l, int *ret_fd);
/* Unpacks it, unless it is unpacked, fetching it if it is not here. Thread-safe. */
MUST_USE struct err *layer_unpack(struct build *b, const struct layer *l);

/* choose.c: the documents of an image, wherever they lie. */
struct image_docs {
    const char *name; /* for messages */
    /* The manifest or index of that digest; NULL: what the image's name means. */
    struct err *(*get)(void *ctx, const struct digest *d, struct fetched_manifest *ret);
    void *ctx;
};
/* The manifest for a platform, through indexes. *ret_sure false: the index did not say what it is for, so that
 * choose_check() must look at the configuration. An image without index is taken as it is. */
MUST_USE struct err *choose_manifest(const struct image_docs *from, const struct platform *wanted, struct manifest *ret,
                                     bool *ret_sure);
MUST_USE struct err *choose_check(const char *name, const struct platform *wanted, const struct image_config *c);

/* layout.c: an image of an OCI layout directory, "DIRECTORY[:TAG][@DIGEST]". */
MUST_USE struct err *layout_fetch(struct base_image *base, const char *place, const struct platform *platform);
/* Copies a blob of the layout into the store; its digest is verified. */
MUST_USE struct err *layout_pull(struct build *b, const char *layout, const struct descriptor *desc);

/* source.c: the root that files come from. A stage is built now if it was not; an image is the one for the target's
 * platform, whatever the stage's own is. All borrowed from b. */
struct source_root {
    int fd;
    const struct ignore *ignore; /* of a context; may be NULL */
    struct rootfs *rootfs;       /* of a stage or image; NULL for a context */
    const struct context *owned; /* a context whose files have owners; NULL: they are all root's */
};
MUST_USE struct err *source_open(struct build *b, const struct plan_source *s, struct source_root *ret);
/* What a cache filled from this source depends on: the layers of a stage or image, the place of a context. */
MUST_USE struct err *source_identity(struct build *b, const struct plan_source *s, struct hasher *h);
void sources_release(struct product *p);

/* run_mounts.c: RUN --mount, from the plan to what the sandbox mounts. */
struct run_mounts;
MUST_USE struct err *run_mounts_new(struct build *b, const struct step *step, struct run_mounts **ret);
const struct run_mount *run_mounts_list(const struct run_mounts *m, size_t *ret_n); /* borrowed */
/* Sets the secrets that are variables. */
void run_mounts_env(const struct run_mounts *m, struct strs *env);
/* The RUN has ended well: what its cache mounts hold is worth being saved. */
void run_mounts_keep(const struct run_mounts *m);
void run_mounts_free(struct run_mounts *m);
DEFINE_CLEANUP(struct run_mounts *, run_mounts_free);

/* stage.c */
/* Plans all needed stages, before anything is executed. */
MUST_USE struct err *stages_plan(struct build *b);
MUST_USE struct err *stage_build(struct build *b, size_t index);
/* The stage's root file system, made on first use. */
MUST_USE struct err *stage_rootfs(struct build *b, size_t index, struct rootfs **ret);
/* "build"; with several platforms "linux/amd64 build", and "linux/amd64->linux/arm64 build" if another one's result
 * differs from this stage's. The caller frees. */
char *stage_label(const struct build *b, size_t index);
/* Ends the step that is in progress in r: its changes become a layer of stage st. */
MUST_USE struct err *stage_commit(struct build *b, struct stage_run *st, struct rootfs *r);
void stage_release(struct stage_run *st);

/* step_*.c: each does one step, rootfs_begin to stage_commit. */
MUST_USE struct err *step_run(struct build *b, struct stage_run *st, struct rootfs *r, const struct step *step);
MUST_USE struct err *step_copy(struct build *b, struct stage_run *st, struct rootfs *r, const struct step *step);
/* step_add.c: the sources of an ADD some of which lie elsewhere. */
struct copy_spec;
MUST_USE struct err *step_add_sources(struct build *b, const struct step *step, int root_fd,
                                      const struct copy_spec *spec);
MUST_USE struct err *step_workdir(struct build *b, struct stage_run *st, struct rootfs *r, const struct step *step);

/* Is what the step copies from the main context there? All that is not, each with its place. */
MUST_USE struct err *step_check_context(struct build *b, const struct step *step);

/* The digest of the files that the step copies; mounts: that it mounts. */
struct copy_sum;
MUST_USE struct err *step_copy_sum(struct build *b, const struct step *step, struct copy_sum *sum);
MUST_USE struct err *run_mount_sum(struct build *b, const struct step_mount *sm, struct copy_sum *sum);

/* keys.c: the keys of all steps, of all stages that are planned. */
MUST_USE struct err *keys_make(struct build *b);
/* The key of a step when all below it is built: by the files that it takes from stages and images, whatever they are
 * built of. The same as by definition where there are none. "" = it cannot be told. */
MUST_USE struct err *keys_content(struct build *b, size_t stage, size_t step, struct digest *ret_key);
/* What a step's key is made of, as facts. */
void keys_facts(const struct build *b, size_t stage, size_t step, struct strs *ret_facts);
void keys_settings(const struct build_opts *o, struct strs *ret_settings);
void keys_release(struct stage_run *st);

/* cached.c: layers that need not be made. */
/* Looks up the keys of all steps of all builds, together. */
void cached_look_up(struct product *p);
/* Is a step's layer of this kind kept in the cache? */
bool cached_kind(const struct build *b, const struct step *step);
/* What is known of a key; NULL: nothing. */
struct made *cached_find(struct product *p, const struct digest *key);
/* Adds the step's layer to its stage if it was made before; stages that its files come from may be built for it. */
MUST_USE struct err *cached_take(struct build *b, size_t stage, size_t step, bool *ret_taken);
/* The step was executed, and its layer is the stage's last: remembers it, and writes it to the cache. */
void cached_keep(struct build *b, size_t stage, size_t step);
/* A layer cannot be had, or is not what it should be: if it came from a cache, the build is made again without it. */
void cached_failed(const struct build *b, const struct layer *l, const struct err *e);
/* Was there such a one since the last call? */
bool cached_again(struct product *p);

/* explain.c */
/* Tells of all steps of the stages that the builds need (all: of all that are planned) what will become of them. */
void explain_steps(struct product *p, bool all, void (*tell)(void *ctx, const struct product_step *s), void *ctx);
/* Tells the user of each step that is not found why. */
void explain_misses(struct product *p);
/* Keeps what the next build is compared with. */
void explain_save(const struct product *p);

/* push.c */
MUST_USE struct err *push_product(struct product *p, const struct ref *repo, const struct strs *tags);

/* image.c */
MUST_USE struct err *image_assemble(struct build *b, enum image_format format);
const char *image_media(const struct build *b); /* the media type of its manifest */

/* Calls work(ctx, i) for i in 0..n-1 on up to `threads` threads; gives the first error and starts no more after one. */
MUST_USE struct err *in_parallel(int threads, size_t n, struct err *(*work)(void *ctx, size_t i), void *ctx);

/* deliver.c: what goes to a repository. */
struct delivery_blob {
    struct descriptor desc;
    const char *mount_from; /* a path in the same registry, or NULL */
    struct blob_source source;
};
struct delivery_document {
    const char *media_type, *text;
    size_t len;
};
struct delivery { /* all borrowed */
    const struct push_target *to;
    const struct delivery_blob *blobs; /* each once */
    size_t n_blobs;
    const struct delivery_document *documents; /* the last one gets the tags, the others come before it */
    size_t n_documents;
};
MUST_USE struct err *deliver(const struct delivery *d, struct push_stats *stats);

#endif
