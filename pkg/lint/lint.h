/* lint.h - checks of a Dockerfile that parses: the rules of BuildKit's build checks (dockerfile/1.26), with their
 * names, so that `# check=skip=...` means the same here. Pure: what is checked is given, nothing is read or printed.
 *
 * Two moments, as with the plan: lint_dockerfile() needs the Dockerfile alone; the other rules look over the plan's
 * shoulder (lint_watch()), because what a variable or a working directory is depends on the base. With plan_rehearse(),
 * which knows no base image, rules keep silent where its variables might matter.
 *
 * Everything is borrowed from the Dockerfile, which must outlive the lint. One thread. */
#ifndef LINT_LINT_H
#define LINT_LINT_H

#include "base/err.h"
#include "base/mem.h"
#include "base/strs.h"
#include "context/ignore.h"
#include "dockerfile/dockerfile.h"
#include "plan/plan.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum lint_rule {
    LINT_CONSISTENT_INSTRUCTION_CASING,
    LINT_COPY_IGNORED_FILE,
    LINT_DUPLICATE_STAGE_NAME,
    LINT_EXPOSE_INVALID_FORMAT,
    LINT_EXPOSE_PROTO_CASING,
    LINT_FROM_AS_CASING,
    LINT_FROM_PLATFORM_FLAG_CONST_DISALLOWED,
    LINT_INVALID_BASE_IMAGE_PLATFORM,
    LINT_INVALID_DEFAULT_ARG_IN_FROM,
    LINT_INVALID_DEFINITION_DESCRIPTION,
    LINT_JSON_ARGS_RECOMMENDED,
    LINT_LEGACY_KEY_VALUE_FORMAT,
    LINT_MAINTAINER_DEPRECATED,
    LINT_MULTIPLE_INSTRUCTIONS_DISALLOWED,
    LINT_NO_EMPTY_CONTINUATION,
    LINT_REDUNDANT_TARGET_PLATFORM,
    LINT_RESERVED_STAGE_NAME,
    LINT_SECRETS_USED_IN_ARG_OR_ENV,
    LINT_STAGE_NAME_CASING,
    LINT_UNDEFINED_ARG_IN_FROM,
    LINT_UNDEFINED_VAR,
    LINT_WORKDIR_RELATIVE_PATH,
    LINT_RULE_COUNT
};

struct lint_rule_info {
    const char *id;      /* "StageNameCasing" */
    const char *summary; /* what is wrong when it fires, one sentence */
    const char *advice;  /* what to do, one or more sentences */
    bool experimental;   /* only checked where `experimental=` asks for it */
    const char *bad;     /* an example that it warns of, and the same as it should be */
    const char *good;
};

/* Sorted by id, as the enum. */
const struct lint_rule_info *lint_rule_info(enum lint_rule rule);

/* ---- which rules count ---- */

struct lint_options {
    uint32_t skip, experimental; /* sets of 1 << rule */
    bool error;                  /* warnings fail the build */
};

/* "skip=RuleA,RuleB;error=true;experimental=all", as a `# check=` line and BUILDKIT_DOCKERFILE_CHECK have it. Names of
 * no rule are added to ret_unknown: another builder may know them. ERR_DOCKERFILE without a place. */
MUST_USE struct err *lint_options_parse(const char *text, struct lint_options *ret, struct strs *ret_unknown);

/* ---- checking ---- */

struct lint_warning {
    enum lint_rule rule;
    struct srcpos at; /* strings of the Dockerfile's */
    char *message;
};

struct lint;

/* opts: as for plan_new(). BUILDKIT_DOCKERFILE_CHECK among the build arguments replaces
 * the Dockerfile's `# check=` line. A wrong option: ERR_DOCKERFILE with place, ERR_SETTING for the build argument. */
MUST_USE struct err *lint_new(const struct dockerfile *df, const struct plan_opts *opts, struct lint **ret);
/* What .dockerignore says; NULL: nothing. To be called before the plan is watched. */
void lint_set_ignore(struct lint *l, const struct ignore *ignore);
/* The rules that need nothing but the Dockerfile and the build arguments. */
void lint_dockerfile(struct lint *l);
/* For plan_opts.watch or plan_rehearse(). Borrowed. */
const struct plan_watch *lint_watch(const struct lint *l);

/* In the order of the lines. Borrowed, valid until the next check. */
const struct lint_warning *lint_warnings(struct lint *l, size_t *ret_n);
/* Warnings behind LIMIT_LINT_WARNINGS, which are only counted. */
size_t lint_dropped(const struct lint *l);
/* What is not a warning but should be known, one line each: names of no rule. */
const struct strs *lint_notes(const struct lint *l);
/* Do warnings fail the build? */
bool lint_is_strict(const struct lint *l);
/* ERR_DOCKERFILE if there are warnings and they do. */
MUST_USE struct err *lint_verdict(const struct lint *l);
void lint_free(struct lint *l);
DEFINE_CLEANUP(struct lint *, lint_free);

#endif
