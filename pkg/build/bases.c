/* bases.c - the images that the builds start from and take files from, fetched ahead: all at the same time. */
#include "build/build_priv.h"

#define FETCHES 8 /* at once: a few small documents each */

struct wanted {
    struct build *b;
    const char *text; /* borrowed from the plan */
    const struct platform *platform;
};

struct wanted_list {
    struct wanted *items;
    size_t n, cap;
};

static struct err *fetch(void *ctx, size_t i)
{
    const struct wanted *w = &((struct wanted_list *)ctx)->items[i];

    return base_get_ahead(w->b, w->text, w->platform);
}

/* One alone is fetched by whoever needs it. */
static struct err *fetch_all(struct wanted_list *list)
{
    struct err *e = list->n > 1 ? in_parallel(FETCHES, list->n, fetch, list) : NULL;

    vec_free(list);
    return e;
}

struct err *bases_fetch(struct product *p)
{
    struct wanted_list list = { 0 };

    for (size_t k = 0; k < p->n_plans; k++)
        for (size_t i = 0; i < p->plans[k]->n_stages; i++) {
            const struct plan_stage *ps = &p->plans[k]->stages[i];

            if (ps->needed && ps->base == PLAN_BASE_IMAGE)
                vec_push(&list, ((struct wanted){ p->builds[k], ps->image, &ps->platform }));
        }
    return fetch_all(&list);
}

static void add_source(struct wanted_list *list, struct build *b, const struct plan_source *from)
{
    if (from->kind == PLAN_SOURCE_IMAGE)
        vec_push(list, ((struct wanted){ b, from->image, &b->o.plan->opts.target_platform }));
}

static void add_step(struct wanted_list *list, struct build *b, const struct step *step)
{
    if (step->kind == STEP_COPY && step->sources.n)
        add_source(list, b, &step->from);
    for (size_t m = 0; m < step->n_mounts; m++)
        if (step->mounts[m].m.type == DF_MOUNT_BIND)
            add_source(list, b, &step->mounts[m].from);
}

struct err *bases_fetch_sources(struct product *p)
{
    struct wanted_list list = { 0 };

    for (size_t k = 0; k < p->n_plans; k++)
        for (size_t i = 0; i < p->plans[k]->n_stages; i++) {
            const struct stage_run *st = p->builds[k]->stages[i];

            for (size_t s = 0; st->planned && st->owner == p->builds[k] && s < st->plan.n_steps; s++)
                add_step(&list, p->builds[k], &st->plan.steps[s]);
        }
    return fetch_all(&list);
}
