/* same.c - which stages come out the same for two platforms, so that they need be built once. */
#include "plan/plan_priv.h"

#include <string.h>

struct comparison {
    const struct plan *a, *b;
    signed char *known; /* of each stage: 0 = not looked at, 1 = the same, -1 = another, or being looked at */
};

static bool same_stage(struct comparison *c, size_t index);

static bool same_text(const char *x, const char *y)
{
    return x && y ? strcmp(x, y) == 0 : x == y;
}

/* A bare ARG brings a global value into the stage: that of TARGETARCH, or one made of it. */
static bool same_args(const struct comparison *c, const struct df_instr *i)
{
    for (size_t n = 0; n < i->n_pairs; n++) {
        const char *name = i->pairs[n].name;

        if (!i->pairs[n].value && !same_text(vars_get(&c->a->global_env, name), vars_get(&c->b->global_env, name)))
            return false;
    }
    return true;
}

/* An image is taken for the target's platform. */
static bool same_source(struct comparison *c, const char *text)
{
    struct plan_source s = { 0 };
    bool same = true;

    if (!text || !*text)
        return true;
    struct err *e = plan_find_source(c->a, text, &s);
    if (e) {
        err_free(e);
        return false;
    }
    if (s.kind == PLAN_SOURCE_STAGE)
        same = same_stage(c, s.index);
    else
        same = s.kind != PLAN_SOURCE_IMAGE;
    plan_source_release(&s);
    return same;
}

static bool same_mounts(struct comparison *c, const struct df_instr *i)
{
    for (size_t f = 0; f < i->n_flags; f++) {
        AUTO_FREE char *from = NULL;

        if (strcmp(i->flags[f].name, "mount") != 0)
            continue;
        struct err *e = df_mount_from(i->flags[f].value, &from);
        err_free(e);
        if (e || !same_source(c, from))
            return false;
    }
    return true;
}

static bool same_instr(struct comparison *c, const struct df_instr *i)
{
    if (i->kind == DF_ARG)
        return same_args(c, i);
    return i->kind == DF_RUN ? same_mounts(c, i) : same_source(c, df_flag(i, "from"));
}

/* ONBUILD of a base stage is executed in the stage that is built from it. */
static bool same_triggers(struct comparison *c, const struct plan_stage *base)
{
    for (size_t k = base->first; k < base->last; k++)
        if (c->a->df->instrs[k].trigger && !same_instr(c, c->a->df->instrs[k].trigger))
            return false;
    return true;
}

static bool same_platform(const struct platform *x, const struct platform *y)
{
    char x_text[256], y_text[256];

    platform_format(x, x_text, sizeof(x_text));
    platform_format(y, y_text, sizeof(y_text));
    return strcmp(x_text, y_text) == 0;
}

static bool same_base(struct comparison *c, const struct plan_stage *x, const struct plan_stage *y)
{
    if (x->base != y->base)
        return false;
    if (x->base == PLAN_BASE_STAGE)
        return x->base_stage == y->base_stage && same_stage(c, x->base_stage) &&
               same_triggers(c, &c->a->stages[x->base_stage]);
    if (x->base == PLAN_BASE_IMAGE)
        return same_text(x->image, y->image) && same_platform(&x->platform, &y->platform);
    return true; /* the files of a named context; or nothing */
}

static bool compare_stages(struct comparison *c, size_t index)
{
    const struct plan_stage *x = &c->a->stages[index], *y = &c->b->stages[index];

    if (!same_base(c, x, y))
        return false;
    for (size_t k = x->first + 1; k < x->last; k++)
        if (!same_instr(c, &c->a->df->instrs[k]))
            return false;
    return true;
}

static bool same_stage(struct comparison *c, size_t index)
{
    if (c->known[index] == 0) {
        c->known[index] = -1;
        c->known[index] = compare_stages(c, index) ? 1 : -1;
    }
    return c->known[index] > 0;
}

bool plan_same_stage(const struct plan *a, const struct plan *b, size_t index)
{
    AUTO_FREE signed char *known = xcalloc(a->n_stages, 1);
    struct comparison c = { a, b, known };

    return same_stage(&c, index);
}
