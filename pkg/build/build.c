/* build.c - one platform's part of a product. Builds run one after the other: a later one may take over stages. */
#include "build/build_priv.h"

#include <string.h>

struct build *build_new(struct product *p, const struct plan *plan)
{
    struct build *b = xcalloc(1, sizeof(*b));

    b->whole = p;
    b->o = p->o;
    b->o.plan = plan;
    b->own = xcalloc(plan->n_stages, sizeof(*b->own));
    b->stages = xcalloc(plan->n_stages, sizeof(struct stage_run *));
    for (size_t i = 0; i < plan->n_stages; i++)
        b->stages[i] = &b->own[i];
    config_format_time(b->o.created_s, b->created);
    return b;
}

struct stage_run *build_target(const struct build *b)
{
    return b->stages[b->o.plan->target];
}

/* What ONBUILD of a base image does with the platform is not for plan_same_stage() to know. */
static bool has_triggers(const struct build *b, size_t index)
{
    const struct plan_stage *stages = b->o.plan->stages;

    while (stages[index].base == PLAN_BASE_STAGE)
        index = stages[index].base_stage;
    return b->stages[index]->base && b->stages[index]->base->config.onbuild.n > 0;
}

static void adopt(struct build *b, const struct build *from, size_t index)
{
    const struct plan_stage *ps = &b->o.plan->stages[index];

    b->stages[index] = from->stages[index];
    if (ps->base == PLAN_BASE_STAGE)
        adopt(b, from, ps->base_stage);
}

bool build_adopt_stage(struct build *b, size_t index)
{
    for (size_t i = 0; b->whole->builds[i] != b; i++) {
        const struct build *other = b->whole->builds[i];

        if (!other->stages[index]->done || has_triggers(other, index) ||
            !plan_same_stage(other->o.plan, b->o.plan, index))
            continue;
        adopt(b, other, index);
        return true;
    }
    return false;
}

bool build_shares_stage(const struct build *b, size_t index)
{
    const struct product *p = b->whole;

    for (size_t i = 0; i < p->n_plans; i++)
        if (p->plans[i] != b->o.plan && plan_same_stage(b->o.plan, p->plans[i], index))
            return true;
    return false;
}

/* May a platform that comes later take this stage over? */
static bool is_wanted(const struct build *b, size_t index)
{
    const struct product *p = b->whole;
    bool later = false;

    for (size_t i = 0; i < p->n_plans; i++) {
        if (later && plan_same_stage(b->o.plan, p->plans[i], index))
            return true;
        later = later || p->plans[i] == b->o.plan;
    }
    return false;
}

/* Forks before what they were forked from: a stage only refers to stages that were started before it was done. */
void build_drop_roots(struct build *b)
{
    for (size_t i = b->o.plan->n_stages; i-- > 0;) {
        if (is_wanted(b, i))
            continue;
        rootfs_free(b->own[i].rootfs);
        b->own[i].rootfs = NULL;
    }
}

void build_free(struct build *b)
{
    if (!b)
        return;
    for (size_t i = b->o.plan->n_stages; i-- > 0;)
        stage_release(&b->own[i]);
    free(b->own);
    free(b->stages);
    config_release(&b->config);
    manifest_release(&b->manifest);
    free(b->manifest_text);
    free(b->config_text);
    free(b);
}
