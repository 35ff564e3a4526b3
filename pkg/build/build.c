/* build.c - one platform's part of a product. A later one takes over stages that are the same. */
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
    for (size_t i = 0; i < plan->n_stages; i++) {
        b->stages[i] = &b->own[i];
        b->own[i].owner = b;
        b->own[i].index = i;
        pthread_mutex_init(&b->own[i].root_lock, NULL);
    }
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

static struct stage_run *find_same(const struct build *b, size_t index)
{
    for (size_t i = 0; b->whole->builds[i] != b; i++) {
        const struct build *other = b->whole->builds[i];

        if (other->stages[index]->planned && !has_triggers(other, index) &&
            plan_same_stage(other->o.plan, b->o.plan, index))
            return other->stages[index];
    }
    return NULL;
}

void build_adopt_stages(struct build *b)
{
    for (size_t i = 0; i < b->o.plan->n_stages; i++) {
        struct stage_run *same = b->stages[i]->planned ? find_same(b, i) : NULL;

        if (same)
            b->stages[i] = same;
    }
}

bool build_shares_stage(const struct build *b, size_t index)
{
    const struct product *p = b->whole;

    for (size_t i = 0; i < p->n_plans; i++)
        if (p->plans[i] != b->o.plan && plan_same_stage(b->o.plan, p->plans[i], index))
            return true;
    return false;
}

/* Is there a platform with something to do that may use this stage? */
static bool is_wanted(const struct build *b, size_t index)
{
    const struct product *p = b->whole;

    for (size_t i = 0; i < p->n_plans; i++)
        if (p->builds[i] != b && p->builds[i]->under_way && plan_same_stage(b->o.plan, p->plans[i], index))
            return true;
    return false;
}

/* Forks before what they were forked from: a stage only refers to stages that stand before it. */
static void drop_roots(struct build *b)
{
    for (size_t i = b->o.plan->n_stages; !b->under_way && i-- > 0;) {
        if (is_wanted(b, i))
            continue;
        rootfs_free(b->own[i].rootfs);
        b->own[i].rootfs = NULL;
    }
}

void build_stage_ended(struct build *b)
{
    struct product *p = b->whole;

    pthread_mutex_lock(&p->finish_lock);
    b->under_way--;
    for (size_t i = p->n_plans; !b->under_way && i-- > 0;)
        drop_roots(p->builds[i]);
    pthread_mutex_unlock(&p->finish_lock);
}

struct err *build_about(const struct build *b, struct err *e)
{
    char text[256];

    if (!e || b->whole->n_plans == 1)
        return e;
    platform_format(&b->o.plan->opts.target_platform, text, sizeof(text));
    return err_wrap(e, "cannot build the image for %s", text);
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
