/* look_up.c - asking the cache: for all keys that are known at a time, together. */
#include "build/build_priv.h"

#define LOOK_UPS 16 /* at once: they are small */

struct look_ups {
    struct product *p;
    VEC(struct digest) keys;
    struct cache_entry *entries;
    bool *found;
};

static struct err *look_up(void *ctx, size_t i)
{
    struct look_ups *l = ctx;

    l->found[i] = cache_find(l->p->o.cache, &l->keys.items[i], &l->entries[i]);
    return NULL;
}

/* Once for each key. */
static void add_key(struct look_ups *l, const struct digest *key)
{
    struct product *p = l->p;

    pthread_mutex_lock(&p->lock);
    bool new = key->text[0] && !map_get(p->made, key->text) && !map_get(p->looked_up, key->text);
    if (new)
        map_set(p->looked_up, key->text, p);
    pthread_mutex_unlock(&p->lock);
    if (new)
        vec_push(&l->keys, *key);
}

/* Releases l. */
static void look_up_all(struct look_ups *l)
{
    l->entries = xcalloc(l->keys.n + 1, sizeof(*l->entries));
    l->found = xcalloc(l->keys.n + 1, sizeof(*l->found));
    err_free(in_parallel(LOOK_UPS, l->keys.n, look_up, l));
    for (size_t i = 0; i < l->keys.n; i++)
        if (l->found[i])
            (void)cached_remember(l->p, &l->keys.items[i], &l->entries[i]);
    vec_free(&l->keys);
    free(l->entries);
    free(l->found);
}

static bool is_looked_up(const struct build *b, const struct step *step)
{
    return step->kind != STEP_META && cached_kind(b, step);
}

/* ---- by definition ---- */

static void add_stage(struct look_ups *l, const struct build *b, size_t stage)
{
    const struct stage_run *st = b->stages[stage];

    for (size_t i = 0; st->keys && i < st->plan.n_steps; i++)
        if (is_looked_up(b, &st->plan.steps[i]))
            add_key(l, &st->keys[i].key);
}

void look_up_by_definition(struct product *p)
{
    struct look_ups l = { .p = p };

    for (size_t k = 0; k < p->n_plans; k++)
        for (size_t s = 0; s < p->plans[k]->n_stages; s++)
            if (p->builds[k]->stages[s]->planned)
                add_stage(&l, p->builds[k], s);
    look_up_all(&l);
}

/* ---- by content ---- */

/* The steps from `step` on, as far as their keys follow from `content`, which is that of the step before. own: the
 * stage is the caller's, who may read files for it. *ret_end: the content after the last step; "" = not known yet. */
static struct err *add_following(struct look_ups *l, struct build *b, size_t stage, size_t step, bool own,
                                 struct digest content, struct digest *ret_end)
{
    const struct stage_run *st = b->stages[stage];

    for (size_t i = step; i < st->plan.n_steps && content.text[0]; i++) {
        if (st->plan.steps[i].kind == STEP_META)
            continue;
        const struct made *m = cached_find(l->p, &st->keys[i].key);

        if (m) { /* it is taken as it was made */
            content = cached_entry(l->p, m).content;
            continue;
        }
        TRY(keys_ahead(b, stage, i, own, &content));
        if (cached_kind(b, &st->plan.steps[i]))
            add_key(l, &content);
    }
    *ret_end = content;
    return NULL;
}

/* Stages that begin where this one ends. */
static struct err *add_stages_above(struct look_ups *l, struct build *b, size_t stage, const struct digest *content)
{
    for (size_t s = stage + 1; content->text[0] && s < b->o.plan->n_stages; s++) {
        const struct plan_stage *ps = &b->o.plan->stages[s];
        struct digest end;

        if (ps->base != PLAN_BASE_STAGE || ps->base_stage != stage || !b->stages[s]->planned || !b->stages[s]->keys)
            continue;
        TRY(add_following(l, b, s, 0, false, *content, &end));
        TRY(add_stages_above(l, b, s, &end));
    }
    return NULL;
}

struct err *look_up_by_content(struct build *b, size_t stage, size_t step)
{
    struct look_ups l = { .p = b->whole };
    struct digest end;
    struct err *e = add_following(&l, b, stage, step, true, b->stages[stage]->content, &end);

    if (!e)
        e = add_stages_above(&l, b, stage, &end);
    look_up_all(&l);
    return e;
}
