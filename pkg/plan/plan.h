/* plan.h - from instructions to what has to be done: which stages are needed, and for each stage its steps with every
 * variable expanded and the image configuration that results. Pure: no files, no network; the same input gives the same
 * plan.
 *
 * Two moments: plan_new() knows the Dockerfile alone (stages, bases, what the target needs: all mistakes that can be
 * found without a base image are found here). plan_stage() then needs the configuration of the stage's base, because
 * ENV, SHELL, WORKDIR and ONBUILD come from there. Semantics: Dockerfile reference of dockerfile/1.26. */
#ifndef PLAN_PLAN_H
#define PLAN_PLAN_H

#include "base/err.h"
#include "base/mem.h"
#include "base/strs.h"
#include "base/vars.h"
#include "dockerfile/dockerfile.h"
#include "oci/config.h"
#include "oci/platform.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a watcher sees of an instruction that is about to be planned. All borrowed, for the time of the call. */
struct plan_moment {
    const struct plan *plan;
    size_t stage;
    const struct df_instr *instr;      /* the FROM's line is its line if it is a trigger of the base */
    const struct image_config *config; /* as it is before the instruction */
    const struct vars *env;            /* variables visible to it: ENV and ARG */
    const struct strs *args;           /* names that ARG declares, with and without a value */
    bool base_known;                   /* false: what the base image sets is not in env and config */
};

/* Who wants to judge what is planned: pkg/lint. */
struct plan_watch {
    void *ctx;
    void (*base)(void *ctx, const struct plan_moment *m);  /* a stage begins: instr is its FROM, config the base's */
    void (*instr)(void *ctx, const struct plan_moment *m); /* an instruction of the stage, or a trigger of its base */
    void (*undefined)(void *ctx, const struct plan_moment *m,
                      const char *name); /* it uses a variable that is not set */
};

struct plan_opts {
    struct strs build_args; /* NAME=VALUE */
    struct strs allow;      /* entitlements as buildx names them: "network.host" */
    struct strs contexts;   /* named contexts, NAME=PLACE: see plan_source */
    const char *target;     /* stage name; NULL or "" = the last */
    struct platform target_platform, build_platform;
    bool no_network;   /* of all RUNs, whatever they ask for */
    bool target_given; /* target_platform was asked for: the image says that it is for it, whatever its base says */
    const struct plan_watch *watch; /* told of all that plan_stage() plans; NULL: nobody. Borrowed */
};

struct plan;

enum plan_base { PLAN_BASE_SCRATCH, PLAN_BASE_STAGE, PLAN_BASE_IMAGE, PLAN_BASE_NAMED };

/* Where files come from: --from of COPY and ADD, from= of a mount. */
enum plan_source_kind {
    PLAN_SOURCE_CONTEXT, /* the main context */
    PLAN_SOURCE_STAGE,   /* stage `index` */
    PLAN_SOURCE_IMAGE,   /* image `image`: a reference, or "oci-layout://DIRECTORY[:TAG][@DIGEST]" */
    PLAN_SOURCE_NAMED,   /* named context `index` of plan_opts.contexts: a directory or something to fetch */
    PLAN_SOURCE_SCRATCH  /* nothing */
};

struct plan_source {
    enum plan_source_kind kind;
    size_t index;
    char *image; /* owned */
};

struct plan_stage {
    char *name;         /* lower case, NULL if it has none */
    size_t first, last; /* instructions first..last-1 of the Dockerfile; first is the FROM */
    enum plan_base base;
    size_t base_stage;        /* PLAN_BASE_STAGE */
    size_t base_named;        /* PLAN_BASE_NAMED: its index in plan_opts.contexts */
    bool replaced;            /* by the named context of the stage's name: its instructions are not executed */
    char *image;              /* PLAN_BASE_IMAGE: reference as expanded, or "oci-layout://..." */
    struct platform platform; /* that its base is chosen for */
    bool needed;              /* the target depends on it, as far as the Dockerfile alone tells */
};

/* SOURCE_DATE_EPOCH, given as a build argument or as an ARG before the first FROM. */
enum plan_epoch_kind {
    PLAN_EPOCH_NONE,
    PLAN_EPOCH_TIME,    /* `seconds` */
    PLAN_EPOCH_CONTEXT, /* the time of the main context: a commit's, a download's; a directory has none */
    PLAN_EPOCH_NAMED,   /* of the named context `named`, likewise */
    PLAN_EPOCH_SOURCE   /* the time of `source`, a URL or repository as ADD has it */
};
#define PLAN_EPOCH_MIN (-30610224000) /* the years 1000 to 9999, which RFC 3339 can write */
#define PLAN_EPOCH_MAX 253402300799

struct plan_epoch {
    enum plan_epoch_kind kind;
    int64_t seconds;
    size_t named;            /* its index in plan_opts.contexts */
    char *source, *checksum; /* checksum: as ADD --checksum has it, else NULL */
    bool keep_git_dir;       /* likewise */
    int line;                /* of that ADD */
};

struct plan {
    const struct dockerfile *df; /* borrowed */
    struct plan_opts opts;       /* contexts is a copy, build_args is empty: */
    struct vars build_args;      /* of several of one name the first */
    struct vars global_env;      /* platform args and ARGs before the first FROM that have a value */
    struct plan_stage *stages;
    size_t n_stages, target;
    struct plan_epoch epoch;
};

/* Before the text is parsed: may this program read it? `# syntax=`, or the build argument BUILDKIT_SYNTAX in its place,
 * must name docker/dockerfile, in any version, from anywhere. ERR_DOCKERFILE with place, ERR_SETTING for the argument.
 */
MUST_USE struct err *plan_check_syntax(const char *name, const char *text, size_t len, const struct strs *build_args);

/* Unknown target or base stage, a bad FROM, a flag that this program does not execute (in a needed stage), an image
 * name that cannot be one: ERR_DOCKERFILE with place. df must outlive the plan. */
MUST_USE struct err *plan_new(const struct dockerfile *df, const struct plan_opts *opts, struct plan **ret);
void plan_free(struct plan *p);
DEFINE_CLEANUP(struct plan *, plan_free);

/* What the user should know of the build arguments, one line each: those that nothing declares or that do nothing.
 * declared: the args of all stage plans, because triggers of base images declare some, too. */
void plan_notes(const struct plan *p, const struct strs *declared, struct strs *ret_notes);
/* The host name of RUN if BUILDKIT_SANDBOX_HOSTNAME gives one, else NULL. Borrowed. */
const char *plan_hostname(const struct plan *p);
/* The variables that FROM sees: platform arguments and the ARGs before the first FROM. opts: as for plan_new(). */
MUST_USE struct err *plan_globals(const struct dockerfile *df, const struct plan_opts *opts, struct vars *ret_env);

/* What a named context is called, for messages: where it lies may be a signed URL. The caller frees. */
char *plan_context_name(const struct plan *p, size_t index);
/* Where a named context lies: the text behind "NAME=". Borrowed. */
const char *plan_context_place(const struct plan *p, size_t index);
/* Who knows the time of PLAN_EPOCH_CONTEXT, PLAN_EPOCH_NAMED or PLAN_EPOCH_SOURCE says it before plan_stage(): stages
 * that declare ARG SOURCE_DATE_EPOCH then see the number. NULL: it has none, and the argument is as if it had not been
 * given. */
void plan_set_epoch(struct plan *p, const int64_t *seconds);
/* The stage that `COPY --from=text` means: by name (any case, the last of that name) or number. False: it is no stage.
 */
bool plan_find_stage(const struct plan *p, const char *text, size_t *ret_index);

/* The name of the stage that was probably meant, NULL if none is similar. Borrowed. */
const char *plan_near_stage(const struct plan *p, const char *text);
/* Does the stage come out the same under both plans, which are of one Dockerfile and differ in the target's platform?
 * What the triggers of a base image do with the platform is not known here. */
bool plan_same_stage(const struct plan *a, const struct plan *b, size_t index);

enum step_kind { STEP_META, STEP_RUN, STEP_COPY, STEP_WORKDIR };

struct step_file { /* here-document of COPY or ADD, expanded */
    char *name, *data;
};

struct step_mount { /* RUN --mount, expanded */
    struct df_mount m;
    char *target; /* absolute, WORKDIR joined, clean; NULL: a secret that only becomes a variable */
    char *id;     /* of a cache, a secret or an agent, defaults applied */
    struct plan_source from;
};

struct step {
    enum step_kind kind;
    int line;         /* in the Dockerfile; of the FROM for ONBUILD triggers of a base image */
    char *display;    /* for people: "RUN make -j4" on one line */
    char *created_by; /* for the history: plan_created_by() */

    /* RUN */
    struct strs argv;  /* whole */
    size_t env_moment; /* plan_run_env() says what its environment is */
    size_t n_args;     /* so many of the stage's ARGs there are at that point */
    char *user, *cwd;  /* as the configuration says at that point; user "" = root */
    char *script_name; /* here-document with #!: the script to run as /dev/pipes/NAME, else NULL */
    char *script;
    bool network_none;
    struct step_mount *mounts; /* in the order of the instruction */
    size_t n_mounts;

    /* COPY, ADD */
    bool add, link, parents;
    bool remote;      /* some of the sources are URLs (address/address.h says which) */
    int unpack;       /* ADD --unpack: -1 not given */
    int keep_git_dir; /* ADD --keep-git-dir: -1 not given */
    char *checksum;   /* ADD --checksum, of the one source; NULL = none */
    struct plan_source from;
    struct strs sources, exclude;
    char *dest;          /* absolute, WORKDIR joined, trailing '/' kept */
    char *chown, *chmod; /* NULL = not given */
    struct step_file *files;
    size_t n_files;

    /* WORKDIR */
    char *dir; /* what is missing of it is made and given to `user` */
};

struct stage_plan {
    struct step *steps;
    size_t n_steps;
    struct image_config config; /* after the last step; without rootfs and history of this stage's steps */
    struct vars env;            /* variables, ARGs included; at the end: what a stage FROM this one inherits */
    struct strs args;           /* the names of all its ARGs, inherited ones first */
};

/* The steps of a stage. base: configuration of its base (an empty one from config_init for scratch). below: the stage
 * it is built from, NULL if the base is an image. */
MUST_USE struct err *plan_stage(const struct plan *p, size_t index, const struct image_config *base,
                                const struct stage_plan *below, struct stage_plan *ret);
/* Adds the whole environment of a RUN: ENV, ARG, proxies from the build arguments, PATH. */
void plan_run_env(const struct plan *p, const struct stage_plan *sp, const struct step *step, struct strs *ret_env);
/* The step's text in the history of an image. A RUN's names all its ARGs, so that it is not kept. The caller frees. */
char *plan_created_by(const struct stage_plan *sp, const struct step *step);
void stage_plan_release(struct stage_plan *sp);

/* Plans the needed stages (or all) without asking for their base images, to find what is wrong before anything is
 * fetched: mistakes that no base image could mend, the first of each stage, joined. watch may be NULL. */
MUST_USE struct err *plan_rehearse(const struct plan *p, bool all, const struct plan_watch *watch);

#endif
