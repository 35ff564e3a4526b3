/* lint_priv.h - what the files of this module share. */
#ifndef LINT_LINT_PRIV_H
#define LINT_LINT_PRIV_H

#include "base/buf.h"
#include "base/map.h"
#include "base/vars.h"
#include "base/vec.h"
#include "dockerfile/words.h"
#include "lint/lint.h"

/* When a rule is asked. */
enum lint_phase {
    LINT_OF_INSTR,    /* of each instruction of the file, in order; what needs a look ahead was found before */
    LINT_OF_FROM,     /* of each FROM; the variables before the first one are known */
    LINT_OF_BASE,     /* a stage begins: m is set */
    LINT_OF_STEP,     /* of each instruction that is planned: m is set */
    LINT_OF_UNDEFINED /* a variable is not set: m and name are set */
};

struct lint_at {
    const struct df_instr *instr;
    const struct plan_moment *m;
    const char *name;
};

struct lint_rule_def {
    struct lint_rule_info info;
    enum lint_phase phase;
    void (*check)(struct lint *l, const struct lint_at *at);
};
extern const struct lint_rule_def lint_rules[LINT_RULE_COUNT];

/* Instructions of which only the last counts. */
enum lint_single { LINT_CMD, LINT_ENTRYPOINT, LINT_HEALTHCHECK, LINT_SINGLES };

struct lint {
    const struct dockerfile *df;
    struct lint_options options;
    const struct ignore *ignore; /* may be NULL */
    struct plan_watch watch;

    size_t first_from;                  /* index of the first FROM */
    bool lower_case;                    /* most instructions are written in lower case */
    struct map *stage_names;            /* those seen so far */
    struct map *global_args;            /* names that an ARG before the first FROM declares */
    struct vars globals, defaults;      /* the variables of FROM; the same without build arguments */
    bool globals_known, defaults_known; /* false: they cannot be computed, plan_new() says why */
    int last_line[LINT_SINGLES];        /* of the stage that is planned; 0 = none yet */
    bool *workdir_set;                  /* by stage: this file set the working directory */

    VEC(struct lint_warning) warnings;
    size_t dropped;
    struct strs notes;
};

/* Adds a warning of the instruction that begins in `line`, unless it is skipped or was given before. token: what to
 * mark in the source, as it is written there; may be NULL. */
void lint_report(struct lint *l, enum lint_rule rule, int line, const char *token, const char *fmt, ...) PRINTF(5, 6);
/* Adds what `more` asks for. */
void lint_options_merge(struct lint_options *o, const struct lint_options *more);

/* The keyword as it is written. The caller frees. */
char *lint_keyword(const struct df_instr *i);
/* Expands as the plan does at that moment; false: it cannot be, or depends on what is not known of the base. */
bool lint_expand(const struct plan_moment *m, const char *text, char **ret_text);

/* rules_*.c: one function a rule */
void rule_consistent_instruction_casing(struct lint *l, const struct lint_at *at);
void rule_copy_ignored_file(struct lint *l, const struct lint_at *at);
void rule_duplicate_stage_name(struct lint *l, const struct lint_at *at);
void rule_expose_invalid_format(struct lint *l, const struct lint_at *at);
void rule_expose_proto_casing(struct lint *l, const struct lint_at *at);
void rule_from_as_casing(struct lint *l, const struct lint_at *at);
void rule_from_platform_flag_const_disallowed(struct lint *l, const struct lint_at *at);
void rule_invalid_base_image_platform(struct lint *l, const struct lint_at *at);
void rule_invalid_default_arg_in_from(struct lint *l, const struct lint_at *at);
void rule_invalid_definition_description(struct lint *l, const struct lint_at *at);
void rule_json_args_recommended(struct lint *l, const struct lint_at *at);
void rule_legacy_key_value_format(struct lint *l, const struct lint_at *at);
void rule_maintainer_deprecated(struct lint *l, const struct lint_at *at);
void rule_multiple_instructions_disallowed(struct lint *l, const struct lint_at *at);
void rule_no_empty_continuation(struct lint *l, const struct lint_at *at);
void rule_redundant_target_platform(struct lint *l, const struct lint_at *at);
void rule_reserved_stage_name(struct lint *l, const struct lint_at *at);
void rule_secrets_used_in_arg_or_env(struct lint *l, const struct lint_at *at);
void rule_stage_name_casing(struct lint *l, const struct lint_at *at);
void rule_undefined_arg_in_from(struct lint *l, const struct lint_at *at);
void rule_undefined_var(struct lint *l, const struct lint_at *at);
void rule_workdir_relative_path(struct lint *l, const struct lint_at *at);

#endif
