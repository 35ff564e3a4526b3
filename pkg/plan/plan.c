#include "plan/plan.h"

#include "oci/ref.h"
#include "plan/plan_priv.h"

#include <string.h>

/* By name; of several the last one. */
static bool find_name(const struct plan *p, const char *text, size_t *ret_index)
{
    for (size_t i = p->n_stages; i-- > 0;) {
        if (p->stages[i].name && strcasecmp(p->stages[i].name, text) == 0) {
            *ret_index = i;
            return true;
        }
    }
    return false;
}

bool plan_find_stage(const struct plan *p, const char *text, size_t *ret_index)
{
    if (*text && text[strspn(text, "0123456789")] == '\0') {
        unsigned long n = strtoul(text, NULL, 10);

        if (n >= p->n_stages)
            return false;
        *ret_index = n;
        return true;
    }
    return find_name(p, text, ret_index);
}

static void base_of_context(const struct plan *p, struct plan_stage *st, size_t context)
{
    st->image = plan_context_image(p, context);
    st->base = st->image ? PLAN_BASE_IMAGE : PLAN_BASE_NAMED;
    st->base_named = context;
}

/* A base is a stage above, or "scratch", or a named context, or an image. */
static struct err *set_base(const struct plan *p, struct plan_stage *st, const char *base)
{
    AUTO(ref_release) struct ref ref = { 0 };
    size_t context;

    if (!*base)
        return err_hint(
            err_new(ERR_DOCKERFILE, "FROM without an image: the name is empty after its variables were replaced"),
            "Give the ARG a default before the first FROM, or pass it as a build argument.");
    if (find_name(p, base, &st->base_stage)) {
        st->base = PLAN_BASE_STAGE;
        return NULL;
    }
    if (strcmp(base, "scratch") == 0) {
        st->base = PLAN_BASE_SCRATCH;
        return NULL;
    }
    if (plan_find_context(p, base, &context)) {
        base_of_context(p, st, context);
        return NULL;
    }
    TRY(ref_parse(base, &ref));
    st->base = PLAN_BASE_IMAGE;
    st->image = xstrdup(base);
    return NULL;
}

/* FROM --platform chooses the base image. A stage has the platform of the one it is built from, and what starts from
 * nothing that of the target, as BuildKit has it: there the flag must be right, but changes nothing. */
static struct err *set_platform(const struct plan *p, struct plan_stage *st, const struct df_instr *from)
{
    const struct words_opts opts = { .env = &p->global_env, .escape = p->df->escape };
    const char *given = df_flag(from, "platform"), *flag = given && *given ? given : NULL;
    AUTO_FREE char *text = NULL;
    struct platform named = p->opts.target_platform;

    if (flag)
        TRY(words_expand(flag, &opts, &text));
    if (flag && !*text)
        return err_blame(err_new(ERR_DOCKERFILE, "FROM --platform is empty after its variables were replaced"), flag);
    if (flag)
        TRY(err_blame(platform_parse(text, &named), flag));
    if (st->base == PLAN_BASE_STAGE)
        st->platform = p->stages[st->base_stage].platform;
    else
        st->platform = st->base == PLAN_BASE_SCRATCH ? p->opts.target_platform : named;
    return NULL;
}

static struct err *add_stage(struct plan *p, size_t first)
{
    const struct df_instr *from = &p->df->instrs[first];
    const struct words_opts opts = { .env = &p->global_env, .escape = p->df->escape };
    AUTO_FREE char *base = NULL;
    size_t context = 0;
    struct plan_stage *st = &p->stages[p->n_stages];

    *st = (struct plan_stage){ .first = first, .last = first + 1 };
    st->replaced = from->stage_name && plan_find_context(p, from->stage_name, &context);
    TRY(words_expand(from->arg, &opts, &base));
    if (st->replaced)
        base_of_context(p, st, context);
    else
        TRY(err_blame(set_base(p, st, base), from->arg));
    p->n_stages++; /* from here on plan_free() knows what it holds */
    st->name = from->stage_name ? xstrdup(from->stage_name) : NULL;
    return set_platform(p, st, from);
}

static struct err *add_stages(struct plan *p)
{
    const struct dockerfile *df = p->df;
    size_t first = 0;

    while (first < df->n_instrs && df->instrs[first].kind != DF_FROM)
        first++;
    if (first == df->n_instrs)
        return err_hint(err_new(ERR_DOCKERFILE, "'%s' has no FROM", df->name),
                        "A Dockerfile starts with FROM IMAGE or FROM scratch.");
    TRY(vars_global(p, first));
    p->stages = xcalloc(df->n_instrs - first, sizeof(*p->stages));
    for (size_t k = first; k < df->n_instrs; k++) {
        if (df->instrs[k].kind == DF_FROM)
            TRY(df_at(df, &df->instrs[k], add_stage(p, k)));
        else if (!p->stages[p->n_stages - 1].replaced)
            p->stages[p->n_stages - 1].last = k + 1;
    }
    return NULL;
}

static struct err *set_target(struct plan *p)
{
    AUTO(buf_release) struct buf names = BUF_INIT;

    p->target = p->n_stages - 1;
    if (!p->opts.target || !*p->opts.target || find_name(p, p->opts.target, &p->target))
        return NULL;
    for (size_t i = 0; i < p->n_stages; i++)
        if (p->stages[i].name)
            buf_printf(&names, "%s%s", names.len ? ", " : "", p->stages[i].name);
    struct err *e = err_new(ERR_DOCKERFILE, "there is no stage '%s' in '%s'", p->opts.target, p->df->name);
    if (!names.len)
        return err_hint(e, "Its stages have no names: write FROM ... AS NAME, or give no target for the last one.");
    const char *near = plan_near_stage(p, p->opts.target);
    if (near)
        return err_hint(e, "Did you mean '%s'? Its named stages are: %s.", near, buf_str(&names));
    return err_hint(e, "Its named stages are: %s. Numbers are no targets.", buf_str(&names));
}

struct err *plan_new(const struct dockerfile *df, const struct plan_opts *opts, struct plan **ret)
{
    AUTO(plan_free) struct plan *p = xcalloc(1, sizeof(*p));

    p->df = df;
    p->opts = *opts;
    p->opts.build_args = (struct strs){ 0 };
    p->opts.contexts = (struct strs){ 0 };
    vars_set_all(&p->build_args, &opts->build_args);
    p->opts.allow = (struct strs){ 0 };
    strs_copy(&p->opts.allow, &opts->allow);
    TRY(plan_set_contexts(p, &opts->contexts));
    TRY(builder_args_check(p));
    TRY(add_stages(p));
    TRY(epoch_find(p));
    TRY(set_target(p));
    TRY(needs_check(p));
    TRY(needs_mark(p));
    *ret = steal(&p);
    return NULL;
}

void plan_free(struct plan *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->n_stages; i++) {
        free(p->stages[i].name);
        free(p->stages[i].image);
    }
    free(p->stages);
    free(p->epoch.source);
    free(p->epoch.checksum);
    vars_release(&p->global_env);
    vars_release(&p->build_args);
    strs_release(&p->opts.contexts);
    strs_release(&p->opts.allow);
    free(p);
}
