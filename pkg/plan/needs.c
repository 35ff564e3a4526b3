/* needs.c - which stages the target needs, and that what stages copy or mount from can be. As in BuildKit a stage uses
 * only stages above it; a wrong --from is a mistake in every stage, a flag that is not executed only in a needed one.
 */
#include "base/limits.h"
#include "plan/plan_priv.h"

#include <string.h>

enum visit { VISIT_NEW, VISIT_OPEN, VISIT_DONE };

struct visits {
    const struct plan *p;
    unsigned char *state; /* enum visit of each stage */
    size_t stage;         /* whose instructions are looked at */
    int depth;
};

/* Calls fn for each --from of COPY and from= of RUN --mount. */
static struct err *each_source(const struct df_instr *i, struct err *(*fn)(void *ctx, const char *from), void *ctx)
{
    const char *copied = i->kind == DF_COPY ? df_flag(i, "from") : NULL;

    if (copied && *copied)
        return fn(ctx, copied);
    for (size_t f = 0; i->kind == DF_RUN && f < i->n_flags; f++) {
        AUTO_FREE char *from = NULL;

        if (strcmp(i->flags[f].name, "mount") != 0)
            continue;
        TRY(df_mount_from(i->flags[f].value, &from));
        if (from && *from)
            TRY(err_wrap(fn(ctx, from), "RUN --mount=%s cannot be used", i->flags[f].value));
    }
    return NULL;
}

/* Stages are gone through depth first, here and in a build. */
static struct err *check_depth(int depth)
{
    if (depth < LIMIT_STAGE_DEPTH)
        return NULL;
    return err_new(ERR_DOCKERFILE, "more than %d stages are made from one another", LIMIT_STAGE_DEPTH);
}

/* ---- circles ---- */

static struct err *visit_stage(struct visits *v, size_t index);

static struct err *visit_source(void *ctx, const char *from)
{
    struct visits *v = ctx;
    struct plan_source source = { 0 };

    TRY(plan_find_source(v->p, from, &source));
    const bool is_stage = source.kind == PLAN_SOURCE_STAGE;
    const size_t index = source.index;
    plan_source_release(&source);
    if (!is_stage || v->state[index] == VISIT_DONE)
        return NULL;
    if (index == v->stage)
        return err_new(ERR_DOCKERFILE, "--from=%s names the stage that it stands in", from);
    if (v->state[index] == VISIT_OPEN)
        return err_hint(err_new(ERR_DOCKERFILE, "stage '%s' needs itself", from),
                        "A stage can only use what stages above it made.");
    const size_t here = v->stage;
    struct err *e = visit_stage(v, index);
    v->stage = here;
    return e;
}

static struct err *visit_stage(struct visits *v, size_t index)
{
    const struct plan_stage *st = &v->p->stages[index];

    TRY(check_depth(v->depth));
    v->depth++;
    v->stage = index;
    v->state[index] = VISIT_OPEN;
    for (size_t k = st->first; k < st->last; k++) {
        const struct df_instr *i = &v->p->df->instrs[k];

        TRY(df_at(v->p->df, i, each_source(i, visit_source, v)));
    }
    v->state[index] = VISIT_DONE;
    v->depth--;
    return NULL;
}

struct err *needs_check(const struct plan *p)
{
    AUTO_FREE unsigned char *state = xcalloc(p->n_stages, 1);
    struct visits v = { .p = p, .state = state };

    for (size_t i = 0; i < p->n_stages; i++)
        if (state[i] == VISIT_NEW)
            TRY(visit_stage(&v, i));
    return NULL;
}

/* ---- what is needed ---- */

struct needing {
    struct plan *p;
    size_t stage; /* whose needs are looked at */
    int depth;
};

static struct err *mark_stage(struct plan *p, size_t index, int depth);

struct err *needs_earlier(const struct plan *p, size_t stage, const struct plan_source *source, const char *from)
{
    if (source->kind != PLAN_SOURCE_STAGE || source->index < stage)
        return NULL;
    return err_hint(err_new(ERR_DOCKERFILE, "--from=%s names a stage that comes later", from),
                    "Write the stage of line %d above this one.", p->df->instrs[p->stages[source->index].first].line);
}

static struct err *mark_source(void *ctx, const char *from)
{
    const struct needing *n = ctx;
    struct plan_source source = { 0 };

    TRY(plan_find_source(n->p, from, &source));
    struct err *e = needs_earlier(n->p, n->stage, &source, from);
    if (!e && source.kind == PLAN_SOURCE_STAGE)
        e = mark_stage(n->p, source.index, n->depth + 1);
    plan_source_release(&source);
    return e;
}

static struct err *mark_instr(struct needing *n, const struct df_instr *i)
{
    TRY(flags_check(n->p, i));
    return each_source(i, mark_source, n);
}

/* ONBUILD of the base stage is executed in this one: its mistakes are mistakes of the FROM. */
static struct err *mark_triggers(struct needing *n, const struct plan_stage *base)
{
    const struct dockerfile *df = n->p->df;
    const struct df_instr *from = &df->instrs[n->p->stages[n->stage].first];

    for (size_t k = base->first; k < base->last; k++) {
        const struct df_instr *i = &df->instrs[k];

        if (!i->trigger)
            continue;
        struct err *e = mark_instr(n, i->trigger);
        TRY(df_at(df, from, err_wrap(e, "cannot execute 'ONBUILD %s' of line %d", i->arg, i->line)));
    }
    return NULL;
}

static struct err *check_platform(const struct plan *p, const struct plan_stage *st)
{
    const struct srcpos pos = df_place(p->df, p->df->instrs[st->first].line);

    if (strcmp(st->platform.os, "windows") != 0)
        return NULL;
    return err_at(err_hint(err_new(ERR_DOCKERFILE, "a stage for Windows cannot be built: its layers and commands need "
                                                   "a Windows node"),
                           "Choose a platform of Linux."),
                  &pos);
}

static struct err *mark_stage(struct plan *p, size_t index, int depth)
{
    struct plan_stage *st = &p->stages[index];
    struct needing n = { p, index, depth };

    if (st->needed)
        return NULL;
    TRY(check_depth(depth));
    st->needed = true;
    TRY(check_platform(p, st));
    if (st->base == PLAN_BASE_STAGE) {
        TRY(mark_stage(p, st->base_stage, depth + 1));
        TRY(mark_triggers(&n, &p->stages[st->base_stage]));
    }
    for (size_t k = st->first; k < st->last; k++) {
        const struct df_instr *i = &p->df->instrs[k];

        TRY(df_at(p->df, i, mark_instr(&n, i)));
    }
    return NULL;
}

struct err *needs_mark(struct plan *p)
{
    return mark_stage(p, p->target, 0);
}
