/* build_priv.h - what the files of this module share. */
#ifndef BUILD_BUILD_PRIV_H
#define BUILD_BUILD_PRIV_H

#include "base/map.h"
#include "base/vec.h"
#include "build/build.h"
#include "build/schedule.h"
#include "build/uploads.h"

#include <pthread.h>
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
    struct cache_entry entry; /* repo NULL: its blob is in the store. Guarded by the product's lock */
    atomic_bool broken;       /* it cannot be had after all */
};

/* What is known of a step before it is reached. */
struct step_key {
    struct digest parent, key; /* by definition: as far as it can be told without building anything; "" = it cannot */
    struct digest *sources;    /* as key_step has them */
    struct digest *by_files;   /* the sources by what their files are, once `summed`; NULL = it cannot be told */
    bool summed;               /* of the thread that builds the stage, as are: */
    struct digest content;     /* the key by content, once it was asked for; "" = it cannot be told */
    bool claimed, content_claimed; /* product.executing has it for us */
    struct strs files;             /* facts of the files that it takes from contexts */
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
    atomic_bool unpacked;
    struct err *error;     /* fetched ahead, and it could not be; else NULL */
    pthread_mutex_t lock;  /* of what follows */
    struct rootfs *rootfs; /* for COPY --from, made on demand */
};

/* One stage of one platform. It belongs to the thread that builds it until it is done; from then on it is only read,
 * but for its root file system. */
struct stage_run {
    struct build *owner; /* whose own it is: others may use it too */
    size_t index;
    struct task *task;       /* NULL: nothing is built */
    bool planned, wanted;    /* wanted: it is begun without being asked for */
    struct base_image *base; /* NULL: scratch or a stage */
    struct stage_plan plan;
    struct image_config config; /* with the history of the steps so far */
    struct layers layers;       /* those of its own steps are complete when it is done */
    pthread_mutex_t root_lock;  /* once it is done, of: */
    struct rootfs *rootfs;      /* NULL until a step needs it */
    size_t in_rootfs;           /* how many of the layers it shows */

    struct progress_step now;  /* the step in progress */
    int64_t step_began_ms;     /* CLOCK_MONOTONIC; 0: it waits */
    bool layer_ends;           /* with that step, a layer is made */
    bool goes_early;           /* which is sent while the build goes on */
    struct frozen *frozen;     /* what it changed, until its layer is queued */
    struct layer_queue *queue; /* NULL: nothing is to be written */
    char layer_created[32];    /* the time of its layer */
    struct step_key *keys;     /* of each step of the plan; NULL: there is no cache */
    struct digest key;         /* of its last step that makes a layer, by definition */
    struct digest content;     /* of the last step so far, by what its files are; "" = not known */
    enum image_format format;
};

/* Lets a number of threads in at once. */
struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int room;
};

/* What the builds of all platforms share, and what comes of them. */
struct product {
    struct build_opts o;             /* with our own `cancel`, `sandbox` and `registry`: see below */
    struct sandbox sandbox;          /* the one given, stopped by `stop` */
    struct cancel *outer;            /* the one given */
    struct cancel *stop;             /* that, or a stage failed */
    struct registry *registry;       /* the one given; o.registry ends with `stop` */
    const struct plan *const *plans; /* borrowed */
    size_t n_plans;
    struct strs settings;       /* of keys */
    struct build **builds;      /* in the order of the plans */
    struct schedule *schedule;  /* of the stages that are being built; else NULL */
    struct uploads *uploads;    /* layers that are sent while the build goes on; NULL: none are */
    struct timespec began;      /* files with later times are of this build */
    struct gate transfers;      /* layers that are pulled and unpacked */
    struct gate compressors;    /* layers that are written */
    pthread_mutex_t fetch_lock; /* held while one of these is fetched: */
    struct context **named;     /* plan_opts.contexts that are directories, opened on first use */
    struct rootfs *empty;       /* the root of "scratch" as a source, made on first use */
    pthread_mutex_t lock;       /* of these, never held for long: */
    pthread_cond_t changed;
    struct map *bases;           /* "reference|platform" -> struct base_image */
    struct map *documents;       /* reference -> struct fetched_manifest: what it means in this run */
    struct map *fetching;        /* a set: what of these two is being fetched */
    struct map *made;            /* key -> struct made */
    struct map *looked_up;       /* a set: keys that the cache was asked for since the builds began */
    struct map *executing;       /* a set: keys of steps that are being executed */
    struct map *unpacking;       /* a set: diff ids of layers that are being unpacked */
    atomic_uint next_name;       /* of files in the build directory */
    pthread_mutex_t finish_lock; /* of what the builds have still to do */
    pthread_mutex_t room_lock;   /* held while room is made */

    /* the result */
    char *index_text; /* NULL: one image */
    enum image_format index_format;
    struct digest digest; /* of the index, or of the one image */
    struct push_stats pushed;
    atomic_bool failed;  /* a layer of the cache, since the last try */
    bool asked;          /* before_steps was called */
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
    size_t under_way; /* own stages that are to be done and are not; guarded by the product's finish_lock */

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
/* Takes the stages of earlier platforms over that are the same for both. All are planned. */
void build_adopt_stages(struct build *b);
/* Is the stage the same for another platform of this run? */
bool build_shares_stage(const struct build *b, size_t index);
/* One of the build's own stages is done. After the last one: gives up the root file systems that no other platform can
 * use any more; their layers are in the store. */
void build_stage_ended(struct build *b);
/* Says which of several platforms an error is about. */
MUST_USE struct err *build_about(const struct build *b, struct err *e);
void build_free(struct build *b);

/* base.c: the image with manifest and configuration; owned by b. */
MUST_USE struct err *base_get(struct build *b, const char *text, const struct platform *platform,
                              struct base_image **ret);
/* The same for whoever asks later; also an error is kept for that one. */
MUST_USE struct err *base_get_ahead(struct build *b, const char *text, const struct platform *platform);
void document_free(void *doc); /* a struct fetched_manifest */
/* bases.c: all base images of all builds, and once these are planned all images that files are taken from, together. An
 * error: the build was stopped. */
MUST_USE struct err *bases_fetch(struct product *p);
MUST_USE struct err *bases_fetch_sources(struct product *p);
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
/* Does the steps of one stage. */
MUST_USE struct err *stage_build(struct build *b, size_t index);
/* The step begins: what it waits for is there. It has a slot until it ends. */
MUST_USE struct err *stage_begin_step(struct build *b, struct stage_run *st);
/* "build"; with several platforms "linux/amd64 build", and "linux/amd64->linux/arm64 build" if another one's result
 * differs from this stage's. The caller frees. */
char *stage_label(const struct build *b, size_t index);
void stage_release(struct stage_run *st);

/* push.c: is the layer of that step to be sent while the build goes on? Not one that goes into the cache, from where it
 * can be mounted. */
bool push_is_early(const struct build *b, const struct stage_run *st, const struct step *step);

/* layer_queue.c: the layers of steps, written while the next ones go on where that is possible. */
/* Ends the step that is in progress in r: its changes become a layer of stage st. */
MUST_USE struct err *layer_end_step(struct build *b, struct stage_run *st, struct rootfs *r);
/* After that, the step has ended well: sees to it that the layer is written and known by its key. False: it is; true:
 * it will be, and cached_leave() is called then. */
bool layer_keep(struct build *b, struct stage_run *st, size_t step);
/* Waits until all layers of the stage are written. An error: one failed, which the schedule was told. */
MUST_USE struct err *layers_settle(struct stage_run *st);

/* stage_root.c: the stage's root file system, made on first use. */
/* For the stage's own steps. */
MUST_USE struct err *stage_rootfs(struct build *b, size_t index, struct rootfs **ret);
/* For reading, once the stage is done. */
MUST_USE struct err *stage_view(struct build *b, size_t index, struct rootfs **ret, int *ret_root_fd);
/* Is it done and has a root file system, so that its files can be read without waiting for anything? */
bool stage_is_here(const struct build *b, size_t index);

/* stages.c: the stages of all builds, at the same time as far as they do not need each other. */
/* Builds the targets, and what they need. */
MUST_USE struct err *stages_build(struct product *p);
/* The stage is done when this returns: it is built now if nobody has begun. An error: something else failed. */
MUST_USE struct err *stage_need(struct build *b, size_t index);
/* Marks the stages that `stage` needs as far as can be told now, itself among them. surely: but for those that a step's
 * key by content may turn out not to need. */
void stages_reach(const struct build *b, size_t stage, bool surely, bool *reached);

/* step_*.c: each does one step: stage_begin_step, rootfs_begin to layer_end_step. */
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
/* The key by content of a step that comes later, from that of the step before it (content; replaced): as far as it can
 * be told without waiting. own: the caller's thread builds the stage, and may read files for it. "" = not yet. */
MUST_USE struct err *keys_ahead(struct build *b, size_t stage, size_t step, bool own, struct digest *content);
/* What a step's key is made of, as facts. */
void keys_facts(const struct build *b, size_t stage, size_t step, struct strs *ret_facts);
void keys_settings(const struct build_opts *o, struct strs *ret_settings);
void keys_release(struct stage_run *st);

/* cached.c: layers that need not be made. */
/* Is a step's layer of this kind kept in the cache? */
bool cached_kind(const struct build *b, const struct step *step);
/* What is known of a key; NULL: nothing. */
struct made *cached_find(struct product *p, const struct digest *key);
struct made *cached_remember(struct product *p, const struct digest *key, const struct cache_entry *e);
struct cache_entry cached_entry(struct product *p, const struct made *m);
/* Adds the step's layer to its stage if it was made before; stages that its files come from may be built for it. If it
 * was not, nobody else executes a step of that key until cached_leave(). */
MUST_USE struct err *cached_take(struct build *b, size_t stage, size_t step, bool *ret_taken);
/* After cached_take(), whatever came of it. */
void cached_leave(struct build *b, size_t stage, size_t step);
/* The step's key by content, which from now on is that of its stage's last step. "" = it cannot be told. */
void cached_content(struct build *b, size_t stage, size_t step, struct digest *ret_content);
/* The step was executed: remembers its layer, and writes it to the cache. Any thread, before cached_leave(). */
void cached_keep(struct build *b, size_t stage, size_t step, const struct layer *l, const struct digest *content);
/* A layer cannot be had, or is not what it should be: if it came from a cache, the build is made again without it. */
void cached_failed(const struct build *b, const struct layer *l, const struct err *e);
/* Was there such a one since the last call? */
bool cached_again(struct product *p);

/* look_up.c: asks the cache for keys, all that are known at a time together; cached_find() knows what is found. */
/* Those of all steps of all builds by definition. */
void look_up_by_definition(struct product *p);
/* The step's by content, and those of all steps that follow from it. By the thread that builds the stage. */
MUST_USE struct err *look_up_by_content(struct build *b, size_t stage, size_t step);

/* explain.c */
/* Tells of all steps of the stages that the builds need (all: of all that are planned) what will become of them. */
void explain_steps(struct product *p, bool all, void (*tell)(void *ctx, const struct product_step *s), void *ctx);
/* Is no step to be executed, as far as it can be told? */
bool explain_all_found(const struct product *p);
/* Tells the user of each step that is not found why. */
void explain_misses(struct product *p);
/* Keeps what the next build is compared with. */
void explain_save(const struct product *p);

/* push.c */
MUST_USE struct err *push_product(struct product *p, const struct ref *repo, const struct strs *tags);

/* room.c */
/* Something large is about to be written: what no build uses makes room for it where the reserve is not free. */
void room_make(const struct build *b);
/* A command failed: adds that the volume is full, if it is. *ret_full: it was added. */
struct err *room_blame(const struct build *b, struct err *e, bool *ret_full);

/* image.c */
MUST_USE struct err *image_assemble(struct build *b, enum image_format format);
const char *image_media(const struct build *b); /* the media type of its manifest */

/* ---- parallel.c ---- */

/* Calls work(ctx, i) for i in 0..n-1 on up to `threads` threads; gives the first error and starts no more after one. */
MUST_USE struct err *in_parallel(int threads, size_t n, struct err *(*work)(void *ctx, size_t i), void *ctx);
/* How many stages are worked on at once. */
int stage_slots(const struct limits *limits);
/* How many layers are compressed at once, by so many threads each. */
int compress_room(int threads);
void gate_init(struct gate *g, int room);
void gate_release(struct gate *g);
void gate_enter(struct gate *g); /* waits until there is room */
void gate_leave(struct gate *g);
/* Adds `name` to one of p's sets, alone: waits as long as another thread has it there. An error: the build was stopped.
 */
MUST_USE struct err *claim(struct product *p, struct map *set, const char *name);
void unclaim(struct product *p, struct map *set, const char *name);

/* deliver.c: what goes to a repository. */
struct delivery_blob {
    struct descriptor desc;
    const char *mount_from; /* a path in the same registry, or NULL */
    struct blob_source source;
    bool there; /* it was sent while the build went on, and this came of it: */
    enum blob_result result;
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
/* Tells the user that a blob was sent. */
void deliver_note(const struct progress *p, const struct descriptor *d);

#endif
