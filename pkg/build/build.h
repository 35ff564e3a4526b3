/* build.h - walks the plan: fetches bases, runs the steps of the stages that are needed, assembles the image, pushes or
 * exports it. All stages are planned before the first step is executed, so that mistakes cost no time. Knows neither
 * environment variables nor printing: everything comes in through struct build_opts, everything is told through struct
 * progress. One build at a time per struct build; its own worker threads are its business. */
#ifndef BUILD_BUILD_H
#define BUILD_BUILD_H

#include "agent/agent.h"
#include "base/cancel.h"
#include "base/strs.h"
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
    const char *stage; /* its name, or "stage-N" */
    size_t number, total;
    const char *text;
    int64_t duration_ms; /* at the end */
    bool has_layer;
    uint64_t layer_bytes; /* compressed */
};

/* Whom to tell. Called from the thread that runs the build, but `note`, which may come from any. */
struct progress {
    void *ctx;
    void (*begin)(void *ctx, const struct progress_step *s);
    void (*output)(void *ctx, const char *p, size_t n); /* of the RUN in progress */
    void (*end)(void *ctx, const struct progress_step *s, bool failed);
    void (*note)(void *ctx, const char *text); /* one line: a layer was pulled, a blob was pushed */
};

struct build_opts { /* all borrowed */
    const struct plan *plan;
    const struct context *context;
    struct registry *registry;
    struct remote *remote; /* sources that lie elsewhere */
    struct store *store;
    struct snapshotter *snapshotter;
    const struct sandbox *sandbox;
    const struct progress *progress;
    const struct limits *limits;
    struct cancel *cancel;

    /* Called once all stages are planned, before the first step; an error ends the build. NULL: nobody asks. */
    struct err *(*planned)(void *ctx);
    void *planned_ctx;

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
    int64_t created_s;               /* the time of new layers in the history */
    bool epoch_set;                  /* created_s was asked for: it is the time of all new entries */
    int64_t clamp_mtime_s;           /* later file times become this; INT64_MAX = keep */
};

struct build;

/* Builds the target. The result is kept in *ret until build_free. RUN failures are ERR_COMMAND with the command's exit
 * code, or ERR_MEMORY; every error of a step names its line. */
MUST_USE struct err *build_run(const struct build_opts *opts, struct build **ret);
void build_free(struct build *b);
DEFINE_CLEANUP(struct build *, build_free);

struct build_stats {
    size_t layers, own_layers, blobs_existed, blobs_mounted, blobs_uploaded;
    uint64_t image_bytes, uploaded_bytes; /* compressed layers and config; what the push moved */
};

/* The manifest's digest, as it is or will be pushed. */
struct digest build_digest(const struct build *b);
void build_get_stats(const struct build *b, struct build_stats *ret_stats);
/* Puts blobs, then the manifest under each tag of repo. A tag is only written once everything it needs is there. */
MUST_USE struct err *build_push(struct build *b, const struct ref *repo, const struct strs *tags);
/* Writes docker-archive (tar_path) and OCI layout (oci_path) where not NULL; names are "repo:tag". */
MUST_USE struct err *build_export(struct build *b, const char *tar_path, const char *oci_path,
                                  const struct strs *names);

#endif
