/* build.h - walks the plans: fetches bases, runs the steps of the stages that are needed, assembles the images, pushes
 * or exports them. All stages are planned before the first step is executed, so that mistakes cost no time. Knows
 * neither environment variables nor printing: everything comes in through struct build_opts, everything is told through
 * struct progress. One thread per product, which is joined by others of its own: stages that do not need each other are
 * built at the same time, as many as the pod's limits allow. What comes of it does not depend on how many. */
#ifndef BUILD_BUILD_H
#define BUILD_BUILD_H

#include "agent/agent.h"
#include "base/cancel.h"
#include "base/strs.h"
#include "cache/cache.h"
#include "context/context.h"
#include "oci/manifest.h"
#include "oci/ref.h"
#include "plan/plan.h"
#include "registry/registry.h"
#include "remote/remote.h"
#include "sandbox/limits.h"
#include "sandbox/sandbox.h"
#include "snapshot/snapshot.h"
#include "store/store.h"
#include "tar/compress.h"

#include <stdint.h>

/* One line of the plan that does work. */
struct progress_step {
    const char *stage; /* its name, or "stage-N"; with several platforms that it is for in front */
    size_t number, total;
    const char *text;
    int64_t duration_ms; /* at the end */
    bool has_layer;
    bool cached;          /* its layer was made before: it was not executed, and there was no `begin` */
    uint64_t layer_bytes; /* compressed */
};

enum progress_end {
    STEP_ENDED,
    STEP_FAILED,
    STEP_STOPPED, /* because something else failed */
    STEP_AGAIN    /* it will begin again */
};

/* Whom to tell. Called from any thread, several at once; of one stage, whose steps all have the same pointer as
 * `stage`, from one at a time. */
struct progress {
    void *ctx;
    void (*begin)(void *ctx, const struct progress_step *s);
    void (*output)(void *ctx, const struct progress_step *s, const char *p, size_t n); /* of a RUN in progress */
    void (*end)(void *ctx, const struct progress_step *s, enum progress_end how);
    void (*note)(void *ctx, const char *text); /* one line: a layer was pulled, a blob was pushed */
};

struct build_opts {          /* all borrowed */
    const struct plan *plan; /* of the platform that is being built: product_make() sets it */
    const struct context *context;
    struct registry *registry;
    struct remote *remote; /* sources that lie elsewhere */
    struct store *store;
    struct snapshotter *snapshotter;
    const struct sandbox *sandbox;
    struct cache *cache;           /* layers of earlier builds; NULL: none. Must outlive the product */
    bool cache_copies, cache_runs; /* it is used for COPY, ADD and WORKDIR; for RUN */
    struct mount_stash *mounts;    /* where cache mounts are kept beside the state directory; NULL: nowhere */
    const char *cache_scope;       /* what is built, in a word: misses are explained by an earlier build of the same */
    const struct progress *progress;
    const struct limits *limits;
    struct cancel *cancel;

    /* Called once all stages are planned, before the first step, with the names that their ARGs declare, those of
     * ONBUILD included; an error ends the build. NULL: nobody asks. */
    struct err *(*planned)(void *ctx, const struct strs *declared);
    void *planned_ctx;

    /* With a cache: called once before the first step is executed, if there is one; an error ends the build. NULL:
     * nobody asks. */
    struct err *(*before_steps)(void *ctx);
    void *before_steps_ctx;

    /* Removes what no build uses: all (the volume is full), else until the usual reserve is free again. False: nothing
     * was removed. One call at a time. NULL: nobody can. */
    bool (*make_room)(void *ctx, bool all);
    void *make_room_ctx;

    enum snapshot_mode snapshot_mode;
    struct compress_opts compress;
    int format; /* enum image_format, or -1: as the base image's, Docker's for scratch */
    /* The bytes of a secret for RUN --mount=type=secret, which may hold NULs; NULL: there is none of that id. */
    const void *(*find_secret)(void *ctx, const char *id, size_t *ret_len);
    /* The agent for RUN --mount=type=ssh by its id; false: there is none. */
    bool (*find_agent)(void *ctx, const char *id, struct agent_upstream *ret);
    void *ctx;                       /* of the two above */
    const struct strs *labels;       /* NAME=VALUE, set last */
    const struct strs *ignore_paths; /* never part of a layer */
    const struct strs *hosts;        /* lines for /etc/hosts of RUN; may be NULL */
    const struct ref *push_repo;     /* where product_push() will put it; NULL: nowhere */
    bool push_early;       /* product_push() will be called for sure: layers are sent while the build goes on */
    bool exports;          /* product_export() will write it: blobs of bases are kept when they are pulled */
    bool single_layer;     /* the steps of a stage make one layer, at its end; without a cache */
    int64_t created_s;     /* the time of new layers in the history */
    bool epoch_set;        /* created_s was asked for: it is the time of all new entries */
    int64_t clamp_mtime_s; /* later file times become this; INT64_MAX = keep */
};

/* What a run makes: an image for each platform; of several, an index (Docker: a manifest list) over them. */
struct product;

/* Builds the target of each plan; they are of one Dockerfile and differ in the target's platform. A stage that is the
 * same for several is built once. The plans must outlive the product. RUN failures are ERR_COMMAND with the command's
 * exit code, or ERR_MEMORY; every error of a step names its line. After an error what else is under way is stopped. */
MUST_USE struct err *product_make(const struct build_opts *opts, const struct plan *const *plans, size_t n_plans,
                                  struct product **ret);
/* What will become of a step that makes a layer, as far as it can be told without executing any. */
enum step_fate {
    STEP_IS_FOUND,     /* in the cache */
    STEP_IS_EXECUTED,  /* it is not; `why` says why, as far as that is known */
    STEP_IS_NOT_NEEDED /* only steps that are found use its stage */
};
struct product_step {
    const char *stage; /* as in progress_step */
    size_t number, total;
    const char *text;
    struct digest key; /* "" if it cannot be told */
    enum step_fate fate;
    const struct ref *repo; /* where it was found */
    const char *why;
};
/* Plans and looks up, as product_make() does, and builds nothing: tells of each step of the stages that the targets
 * need. */
MUST_USE struct err *product_plan(const struct build_opts *opts, const struct plan *const *plans, size_t n_plans,
                                  void (*tell)(void *ctx, const struct product_step *s), void *ctx);
void product_free(struct product *p);
DEFINE_CLEANUP(struct product *, product_free);

/* The index's digest, or the one image's, as it is or will be pushed. */
struct digest product_digest(const struct product *p);

struct product_image {
    struct platform platform; /* as its configuration says */
    struct digest digest;
    size_t layers, own_layers; /* own: not a base's */
    uint64_t bytes;            /* compressed layers and configuration */
};
size_t product_n_images(const struct product *p);
void product_get_image(const struct product *p, size_t i, struct product_image *ret);

/* Puts the blobs, each once; of several images each manifest under its digest; then the manifest or index under each
 * tag of repo. A tag is only written once everything it needs is there. */
MUST_USE struct err *product_push(struct product *p, const struct ref *repo, const struct strs *tags);
struct push_stats {
    size_t existed, mounted, uploaded; /* blobs */
    uint64_t uploaded_bytes;
    bool unchanged; /* the image was in the repository already: at most tags were set */
};
void product_get_pushed(const struct product *p, struct push_stats *ret_stats);

/* How many transfers or unpackings run at once under the pod's limits. */
int transfer_threads(const struct limits *limits);

struct push_target { /* all borrowed */
    struct registry *registry;
    const struct ref *repo;
    const struct strs *tags;
    const struct limits *limits;
    const struct progress *progress;
    struct cancel *cancel;
};
struct image_file;
/* The same for an image that lies on disk: nothing is built. */
MUST_USE struct err *image_file_push(const struct image_file *f, const struct push_target *to,
                                     struct push_stats *ret_stats);

/* Writes docker-archive (tar_path; of one image only) and OCI layout (oci_path) where not NULL; names are "repo:tag".
 */
MUST_USE struct err *product_export(struct product *p, const char *tar_path, const char *oci_path,
                                    const struct strs *names);

#endif
