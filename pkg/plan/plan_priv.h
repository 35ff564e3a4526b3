/* plan_priv.h - what the files of this module share. */
#ifndef PLAN_PLAN_PRIV_H
#define PLAN_PLAN_PRIV_H

#include "address/address.h"
#include "base/buf.h"
#include "dockerfile/words.h"
#include "plan/plan.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* A stage that is planned without its base image. */
struct rehearsal {
    bool unknown;        /* an image is below it: what it sets is not known */
    bool doubt;          /* what comes from here on may be wrong: something depended on the unknown, or is a mistake */
    struct err *mistake; /* the first certain one */
};

/* The state while the instructions of one stage are gone through. */
struct stage_state {
    const struct plan *plan;
    const struct image_config *base;
    struct image_config config;
    struct map *env_at;             /* name -> its index in config.env, as a pointer of 1 + index */
    struct vars env;                /* ENV and ARG together: the last assignment of a name wins */
    struct strs args;               /* names declared by ARG, in order */
    struct map *declared;           /* a set: those names */
    struct map *ports, *volumes;    /* those of config as sets */
    bool cmd_here;                  /* CMD was given in this stage */
    size_t index;                   /* of the stage */
    const struct df_instr *instr;   /* the one in progress */
    const struct plan_watch *watch; /* may be NULL */
    bool base_known;
    struct strs *undefined;      /* names used but not set, until they are told */
    struct rehearsal *rehearsal; /* NULL: this is not one */
    struct step *steps;
    size_t n_steps, cap_steps;
};

/* Adds a step (zeroed but for kind, line and display) and returns it; valid until the next call. */
struct step *state_add(struct stage_state *s, enum step_kind kind, const struct df_instr *i);

/* Expands with the variables visible now. The caller frees. */
MUST_USE struct err *state_expand(const struct stage_state *s, const char *text, char **ret_text);
MUST_USE struct err *state_expand_list(const struct stage_state *s, const struct strs *in, struct strs *ret_out);

/* How words of instructions are expanded now. state_take_undefined() is to be called behind, also after an error: it
 * tells the watcher which variables were not set. */
struct words_opts state_words(const struct stage_state *s);
void state_take_undefined(const struct stage_state *s, bool tell);

/* vars.c */
bool vars_is_proxy(const char *name);
/* Arguments that tell the builder something and are no variables of the stage. */
bool vars_is_told_builder(const char *name);
/* Global variables before the first FROM: platform arguments and the ARGs that stand there. */
MUST_USE struct err *vars_global(struct plan *p, size_t n_instrs);
/* The ARGs of one instruction, set in env. */
MUST_USE struct err *vars_declare(const struct plan *p, const struct df_instr *i, struct vars *env);
/* A variable gets a value, for what follows and in the image's configuration; an ARG is declared. */
void state_set(struct stage_state *s, const char *name, const char *value);
void state_set_config(struct stage_state *s, const char *name, const char *value);
void state_declare(struct stage_state *s, const char *name);
MUST_USE struct err *state_arg(struct stage_state *s, const struct df_instr *i);
MUST_USE struct err *state_env(struct stage_state *s, const struct df_instr *i);

/* instr.c: one instruction, by its kind */
MUST_USE struct err *state_instr(struct stage_state *s, const struct df_instr *i);
/* The command line of a shell-form or exec-form command. */
void state_command(const struct stage_state *s, const struct df_command *c, struct strs *ret_argv);

/* needs.c: sources of all stages that cannot be; then sets `needed` from the target on. */
MUST_USE struct err *needs_check(const struct plan *p);
MUST_USE struct err *needs_mark(struct plan *p);
/* Stage `stage` takes files from `source`, which was written as `from`: a stage must stand above. */
MUST_USE struct err *needs_earlier(const struct plan *p, size_t stage, const struct plan_source *source,
                                   const char *from);

/* builder_args.c */
MUST_USE struct err *builder_args_check(const struct plan *p);
/* A cache mount's id in the namespace of BUILDKIT_CACHE_MOUNT_NS. The caller frees. */
char *builder_cache_id(const struct plan *p, const char *id);

/* epoch.c: finds out what SOURCE_DATE_EPOCH is; the stages are known. */
MUST_USE struct err *epoch_find(struct plan *p);

/* ports.c: one word of EXPOSE: adds its ports as "80/tcp". */
MUST_USE struct err *ports_parse(const char *word, struct strs *ports);

/* history.c: the text for the history; the caller frees. */
char *history_quoted(const char *keyword, const struct strs *l); /* CMD ["a" "b"] */
char *history_list(const char *keyword, const struct strs *l);   /* VOLUME [/a /b] */
char *history_health(const struct healthcheck *h);
char *history_copy(const struct step *st, const char *dest);

/* sources.c: --from=text or from=text, which is not empty; what is no stage and no named context must be an image. */
MUST_USE struct err *plan_find_source(const struct plan *p, const char *text, struct plan_source *ret);
void plan_source_release(struct plan_source *s);
/* The named context that replaces `name`, which may be a stage's or an image's; false: there is none. */
bool plan_find_context(const struct plan *p, const char *name, size_t *ret_index);
/* The names of plan_opts.contexts as they are compared. */
MUST_USE struct err *plan_set_contexts(struct plan *p, const struct strs *contexts);
/* A named context that is an image: its reference for plan_source.image (the caller frees); NULL: it is none. */
char *plan_context_image(const struct plan *p, size_t index);

/* mounts.c: RUN --mount. */
MUST_USE struct err *state_mounts(const struct stage_state *s, const struct df_instr *i, struct step *st);
void step_mounts_release(struct step *st);

/* steps.c: instructions that make layers */
MUST_USE struct err *state_run(struct stage_state *s, const struct df_instr *i);
MUST_USE struct err *state_copy(struct stage_state *s, const struct df_instr *i);
/* The directory that WORKDIR path means when base is the current one: absolute, clean, without a final '/'. */
char *path_workdir(const char *base, const char *path);
/* The working directory at this point; "/" if none was set. Borrowed. */
const char *state_workdir_now(const struct stage_state *s);
/* The same for the configuration: an absolute path stays as it was written ("/app/", "/a/../b"), as BuildKit has it. */
char *path_config_workdir(const char *base, const char *path);
MUST_USE struct err *state_workdir(struct stage_state *s, const struct df_instr *i);

/* flags.c: a flag that is not executed is refused with its name. ONBUILD only stores its trigger: that is checked where
 * it is executed. */
MUST_USE struct err *flags_check(const struct plan *p, const struct df_instr *i);
/* remote.c: says whether sources are remote, and checks what may stand with them. */
MUST_USE struct err *remote_sources(struct step *st);
/* What one source names; one that the instruction cannot take is refused. */
MUST_USE struct err *remote_check_source(enum df_kind instruction, const char *source, enum address_kind *ret_kind);
/* The sources that have no variables: before anything is done. */
MUST_USE struct err *remote_check_words(const struct df_instr *i);

#endif
