/* rules_from.c - rules about FROM. */
#include "base/suggest.h"
#include "lint/lint_priv.h"
#include "oci/ref.h"

#include <string.h>

/* ---- variables ---- */

/* The variables that a word names, whatever is set. */
static void names_in(const struct lint *l, const char *text, struct strs *ret_names)
{
    const struct words_opts opts = { .escape = l->df->escape, .unmatched = ret_names };
    char *out = NULL;
    struct err *e = words_expand(text, &opts, &out);

    err_free(e); /* of ${NAME:?text}: the name is known nevertheless */
    free(out);
}

/* The word as FROM sees it; NULL if it cannot be expanded, which plan_new() says. */
static char *expanded(const struct lint *l, const struct vars *env, const char *text)
{
    const struct words_opts opts = { .env = env, .escape = l->df->escape };
    char *out = NULL;
    struct err *e = words_expand(text, &opts, &out);

    err_free(e);
    return e ? NULL : out;
}

static const char *near_global(const struct lint *l, const char *name, struct strs *all)
{
    vars_list(&l->globals, vars_now(&l->globals), all);
    for (size_t k = 0; k < all->n; k++)
        all->items[k][strcspn(all->items[k], "=")] = '\0';
    for (size_t k = 0; k < l->first_from; k++)
        for (size_t n = 0; n < l->df->instrs[k].n_pairs; n++)
            strs_add(all, l->df->instrs[k].pairs[n].name);
    return suggest(name, (const char *const *)all->items, all->n);
}

static void undeclared(struct lint *l, const struct df_instr *from, const char *text)
{
    AUTO(strs_release) struct strs names = { 0 };

    names_in(l, text, &names);
    for (size_t k = 0; k < names.n; k++) {
        const char *name = names.items[k];
        AUTO(strs_release) struct strs all = { 0 };

        if (vars_get(&l->globals, name) || map_get(l->global_args, name))
            continue;
        const char *near = near_global(l, name, &all);

        if (near)
            lint_report(l, LINT_UNDEFINED_ARG_IN_FROM, from->line, text,
                        "FROM uses '%s', which no ARG above it declares; did you mean '%s'?", name, near);
        else
            lint_report(l, LINT_UNDEFINED_ARG_IN_FROM, from->line, text,
                        "FROM uses '%s', which no ARG above it declares", name);
    }
}

void rule_undefined_arg_in_from(struct lint *l, const struct lint_at *at)
{
    const char *platform = df_flag(at->instr, "platform");

    if (!l->globals_known)
        return;
    undeclared(l, at->instr, at->instr->arg);
    if (platform)
        undeclared(l, at->instr, platform);
}

void rule_invalid_default_arg_in_from(struct lint *l, const struct lint_at *at)
{
    AUTO(ref_release) struct ref ref = { 0 };
    AUTO_FREE char *base = l->defaults_known ? expanded(l, &l->defaults, at->instr->arg) : NULL;

    if (!base)
        return;
    struct err *e = ref_parse(base, &ref);

    if (e && *base)
        lint_report(l, LINT_INVALID_DEFAULT_ARG_IN_FROM, at->instr->line, at->instr->arg,
                    "without build arguments '%s' is '%s', which is no image", at->instr->arg, base);
    else if (e)
        lint_report(l, LINT_INVALID_DEFAULT_ARG_IN_FROM, at->instr->line, at->instr->arg,
                    "without build arguments '%s' is empty", at->instr->arg);
    err_free(e);
}

/* ---- --platform ---- */

void rule_redundant_target_platform(struct lint *l, const struct lint_at *at)
{
    static const char name[] = "TARGETPLATFORM";
    const char *platform = df_flag(at->instr, "platform");
    AUTO(strs_release) struct strs names = { 0 };

    if (!platform || !l->globals_known)
        return;
    names_in(l, platform, &names);
    if (names.n != 1 || strcmp(names.items[0], name) != 0)
        return;
    AUTO_FREE char *value = expanded(l, &l->globals, platform);

    if (value && strcmp(value, vars_get(&l->globals, name)) == 0)
        lint_report(l, LINT_REDUNDANT_TARGET_PLATFORM, at->instr->line, platform,
                    "--platform=%s is what FROM does without it", platform);
}

void rule_from_platform_flag_const_disallowed(struct lint *l, const struct lint_at *at)
{
    const char *platform = df_flag(at->instr, "platform"), *stage = at->instr->stage_name;
    AUTO(strs_release) struct strs names = { 0 };
    struct platform p;

    if (!platform)
        return;
    names_in(l, platform, &names);
    AUTO_FREE char *value = names.n ? NULL : expanded(l, NULL, platform);

    if (!value)
        return;
    struct err *e = platform_parse(value, &p);

    if (!e && !(stage && (strstr(stage, p.os) || strstr(stage, p.arch))))
        lint_report(l, LINT_FROM_PLATFORM_FLAG_CONST_DISALLOWED, at->instr->line, platform,
                    "the platform '%s' is fixed: the stage can be built for no other", value);
    err_free(e);
}

void rule_invalid_base_image_platform(struct lint *l, const struct lint_at *at)
{
    const struct plan_stage *stage = &at->m->plan->stages[at->m->stage];
    const struct platform *have = &at->m->config->platform, *want = &stage->platform;
    char have_text[256], want_text[256];

    if (stage->base != PLAN_BASE_IMAGE || !at->m->base_known || !have->os[0] || !have->arch[0])
        return;
    if (strcmp(have->os, want->os) == 0 && strcmp(have->arch, want->arch) == 0)
        return;
    platform_format(have, have_text, sizeof(have_text));
    platform_format(want, want_text, sizeof(want_text));
    lint_report(l, LINT_INVALID_BASE_IMAGE_PLATFORM, at->instr->line, at->instr->arg,
                "the base image '%s' is for %s, the stage is built for %s", stage->image, have_text, want_text);
}
