/* stages.c - the stages of all platforms: which are needed, and their building as tasks that need each other. */
#include "build/build_priv.h"

/* ---- which ---- */

static void reach_source(const struct build *b, const struct plan_source *from, bool surely, bool *reached)
{
    if (from->kind == PLAN_SOURCE_STAGE)
        stages_reach(b, from->index, surely, reached);
}

/* A step with no key by definition is looked for by content before it is executed, and a RUN's mounts are not always
 * part of that. */
static void reach_mounts(const struct build *b, const struct step *step, bool surely, bool *reached)
{
    if (surely && cached_kind(b, step))
        return;
    for (size_t m = 0; m < step->n_mounts; m++)
        reach_source(b, &step->mounts[m].from, surely, reached);
}

/* A stage's layers are wanted, and for what must be executed also the files that it takes. */
void stages_reach(const struct build *b, size_t stage, bool surely, bool *reached)
{
    const struct plan_stage *ps = &b->o.plan->stages[stage];
    const struct stage_run *st = b->stages[stage];

    if (reached[stage])
        return;
    reached[stage] = true;
    if (ps->base == PLAN_BASE_STAGE)
        stages_reach(b, ps->base_stage, surely, reached);
    for (size_t i = 0; i < st->plan.n_steps; i++) {
        const struct step *step = &st->plan.steps[i];

        if (step->kind == STEP_META || (st->keys && cached_find(b->whole, &st->keys[i].key)))
            continue;
        reach_source(b, &step->from, surely, reached);
        reach_mounts(b, step, surely, reached);
    }
}

/* ---- as tasks ---- */

static struct err *work(void *ctx)
{
    struct stage_run *st = ctx;
    struct err *e = stage_build(st->owner, st->index);

    return build_about(st->owner, e);
}

static struct err *work_that_counts(void *ctx)
{
    struct stage_run *st = ctx;

    TRY(work(st));
    build_stage_ended(st->owner);
    return NULL;
}

static void add_stage(struct product *p, struct stage_run *st)
{
    const struct build *b = st->owner;
    const struct plan_stage *ps = &b->o.plan->stages[st->index];
    struct task *base = ps->base == PLAN_BASE_STAGE ? b->stages[ps->base_stage]->task : NULL;

    st->task = schedule_add(p->schedule, base, st->wanted ? work_that_counts : work, st);
    if (st->wanted)
        schedule_start(st->task);
    st->owner->under_way += st->wanted;
}

static void want(const struct build *b)
{
    AUTO_FREE bool *reached = xcalloc(b->o.plan->n_stages, sizeof(*reached));

    stages_reach(b, b->o.plan->target, true, reached);
    for (size_t i = 0; i < b->o.plan->n_stages; i++)
        b->stages[i]->wanted |= reached[i];
}

/* What a build has taken over from an earlier one is a task of that one. */
static void add_stages(struct product *p)
{
    for (size_t k = 0; k < p->n_plans; k++)
        want(p->builds[k]);
    for (size_t k = 0; k < p->n_plans; k++)
        for (size_t i = 0; i < p->plans[k]->n_stages; i++)
            if (p->builds[k]->own[i].planned && p->builds[k]->stages[i] == &p->builds[k]->own[i])
                add_stage(p, &p->builds[k]->own[i]);
}

/* A layer of the cache that cannot be had is no reason to stop what others execute: it is known by its key when all
 * begins again. */
static void on_failure(void *ctx)
{
    struct product *p = ctx;

    if (!p->failed)
        cancel_raise(p->stop, CANCEL_FAILURE);
    pthread_mutex_lock(&p->lock);
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
}

struct err *stages_build(struct product *p)
{
    const struct schedule_opts opts = { .slots = stage_slots(p->o.limits), .on_failure = on_failure, .ctx = p };

    p->schedule = schedule_new(&opts);
    add_stages(p);
    snapshotter_set_cancel(p->o.snapshotter, p->stop);
    struct err *e = schedule_run(p->schedule);
    snapshotter_set_cancel(p->o.snapshotter, p->outer);
    return e;
}

struct err *stage_need(struct build *b, size_t index)
{
    return schedule_need(b->stages[index]->task);
}
