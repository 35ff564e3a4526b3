/* explain.c - what a build will do with the cache, and why steps are not found: they are compared with those of the
 * last build of the same thing, whose keys are kept in a document of the cache. */
#include "build/build_priv.h"
#include "plan/key.h"
#include "json/json.h"

#include <string.h>

#define RECORD_MEMBER "dev.copyup.cache.record"
#define MAX_TOLD      100 /* steps whose miss is explained to the user */
#define RECORD_TEXT   8   /* digits of the hash of an instruction */

/* A step of the last build. */
struct old_step {
    char *stage;
    int64_t number; /* among the steps of its stage that make layers */
    char text[RECORD_TEXT + 1];
    struct digest key;
};

struct record {
    VEC(struct old_step) steps;
    bool known;
};

/* ---- which steps ---- */

static bool makes_layer(const struct step *step)
{
    return step->kind != STEP_META;
}

static bool is_found(const struct build *b, size_t stage, size_t i)
{
    const struct stage_run *st = b->stages[stage];

    return st->keys && cached_find(b->whole, &st->keys[i].key);
}

static void text_hash(const struct step *step, char ret[RECORD_TEXT + 1])
{
    const struct digest d = digest_bytes(step->display, strlen(step->display));

    (void)snprintf(ret, RECORD_TEXT + 1, "%.*s", RECORD_TEXT, digest_hex(&d));
}

/* ---- the last build ---- */

static char *record_name(const struct product *p)
{
    const char *scope = p->o.cache_scope ? p->o.cache_scope : "";
    const struct digest d = digest_bytes(scope, strlen(scope));

    return xasprintf("last-%.32s", digest_hex(&d));
}

static void read_step(const struct json *v, struct record *r)
{
    const char *stage = json_get_string(v, "stage"), *text = json_get_string(v, "text"),
               *key = json_get_string(v, "key");
    struct old_step s = { 0 };

    if (!stage || !text || !key || !json_get_int(v, "number", &s.number))
        return;
    struct err *e = digest_parse(key, &s.key);
    bool good = !e;
    err_free(e);
    if (!good)
        return;
    s.stage = xstrdup(stage);
    (void)snprintf(s.text, sizeof(s.text), "%s", text);
    vec_push(&r->steps, s);
}

static void record_parse(const char *text, struct record *ret)
{
    AUTO(json_free) struct json *tree = NULL;
    struct err *e = json_parse(text, strlen(text), &tree);

    if (e) {
        err_free(e);
        return;
    }
    const struct json *steps = json_get(json_get(tree, RECORD_MEMBER), "steps");
    for (size_t i = 0; i < json_count(steps); i++)
        read_step(json_at(steps, i), ret);
    ret->known = ret->steps.n > 0;
}

static void record_load(const struct product *p, struct record *ret)
{
    AUTO_FREE char *name = record_name(p), *text = NULL;

    if (p->o.cache && cache_get_document(p->o.cache, name, &text))
        record_parse(text, ret);
}

static void record_release(struct record *r)
{
    for (size_t i = 0; i < r->steps.n; i++)
        free(r->steps.items[i].stage);
    vec_free(&r->steps);
}

/* The nearest: the same place with the same text, the same text elsewhere in the stage, the same place. */
static const struct old_step *record_find(const struct record *r, const char *stage, int64_t number, const char *text)
{
    const struct old_step *best = NULL;
    int best_rank = 0;

    for (size_t i = 0; i < r->steps.n; i++) {
        const struct old_step *s = &r->steps.items[i];
        bool place = s->number == number, same = strcmp(s->text, text) == 0;
        int rank = same ? 2 + place : place;

        if (strcmp(s->stage, stage) != 0 || rank <= best_rank)
            continue;
        best = s;
        best_rank = rank;
    }
    return best;
}

static void put_step(struct json_writer *w, const char *stage, int64_t number, const char *text, const struct digest *k)
{
    json_object_begin(w);
    json_key(w, "stage");
    json_put_string(w, stage);
    json_key(w, "number");
    json_put_int(w, number);
    json_key(w, "text");
    json_put_string(w, text);
    json_key(w, "key");
    json_put_string(w, k->text);
    json_object_end(w);
}

/* Of a step that this build did not come to the last one's key stays. */
static void put_stage(struct json_writer *w, const struct build *b, size_t stage, const struct record *old)
{
    const struct stage_run *st = b->stages[stage];
    AUTO_FREE char *label = stage_label(b, stage);
    int64_t number = 0;

    for (size_t i = 0; st->keys && i < st->plan.n_steps; i++) {
        char text[RECORD_TEXT + 1];

        if (!makes_layer(&st->plan.steps[i]))
            continue;
        number++;
        text_hash(&st->plan.steps[i], text);
        const struct old_step *before = record_find(old, label, number, text);
        if (is_found(b, stage, i))
            put_step(w, label, number, text, &st->keys[i].key);
        else if (before)
            put_step(w, label, number, before->text, &before->key);
    }
}

static char *record_text(const struct product *p, const struct record *old)
{
    AUTO(json_writer_free) struct json_writer *w = json_writer_new();

    json_object_begin(w);
    json_key(w, RECORD_MEMBER);
    json_object_begin(w);
    json_key(w, "steps");
    json_array_begin(w);
    for (size_t k = 0; k < p->n_plans; k++)
        for (size_t s = 0; s < p->plans[k]->n_stages; s++)
            if (p->builds[k]->stages[s]->planned)
                put_stage(w, p->builds[k], s, old);
    json_array_end(w);
    json_object_end(w);
    json_object_end(w);
    return json_writer_steal(w);
}

void explain_save(const struct product *p)
{
    struct cache_stats stats;

    if (!p->o.cache || !cache_repo(p->o.cache))
        return;
    cache_get_stats(p->o.cache, &stats);
    if (stats.looked_up == stats.found && !p->record_missing)
        return; /* the last build of this was the same */
    struct record old = { 0 };
    record_load(p, &old);
    AUTO_FREE char *name = record_name(p), *text = record_text(p, &old);
    cache_put_document(p->o.cache, name, text);
    record_release(&old);
}

/* ---- why ---- */

static char *why_of(const struct build *b, size_t stage, size_t i, const struct record *r, int64_t number)
{
    const struct stage_run *st = b->stages[stage];
    AUTO(strs_release) struct strs before = { 0 }, now = { 0 };
    AUTO_FREE char *label = stage_label(b, stage);
    char text[RECORD_TEXT + 1];

    if (!r->known)
        return xstrdup("no earlier build of this is known");
    text_hash(&st->plan.steps[i], text);
    const struct old_step *old = record_find(r, label, number, text);
    if (!old)
        return xstrdup("the last build had no such step");
    if (digest_equal(&old->key, &st->keys[i].key))
        return xstrdup("its entry is gone, too old or of no use");
    if (!cache_inputs(b->o.cache, &old->key, &before))
        return xstrdup("it is not that of the last build, whose entry is gone");
    keys_facts(b, stage, i, &now);
    char *why = plan_key_explain(&before, &now);
    return why ? why : xstrdup("it is not that of the last build");
}

/* What is to be said of one step. *first: none of its stage was missing so far. */
static void look_at_step(const struct build *b, size_t stage, size_t i, const struct record *r, struct product_step *s,
                         bool *first, char **ret_why)
{
    const struct step *step = &b->stages[stage]->plan.steps[i];
    const struct made *m = is_found(b, stage, i) ? cached_find(b->whole, &b->stages[stage]->keys[i].key) : NULL;

    s->text = step->display;
    s->key = b->stages[stage]->keys[i].key;
    s->repo = m ? m->entry.repo : NULL;
    s->fate = m ? STEP_IS_FOUND : STEP_IS_EXECUTED;
    s->why = NULL;
    if (m)
        return;
    if (!cached_kind(b, step))
        s->why = b->o.cache ? "steps of this kind are not cached" : "there is no cache";
    else if (!s->key.text[0])
        s->why = "its files cannot be told beforehand";
    else if (*first)
        s->why = *ret_why = why_of(b, stage, i, r, (int64_t)s->number);
    else
        s->why = "a step before it is not found";
    *first = false;
}

typedef void (*step_teller)(void *ctx, const struct product_step *s);

static void look_at_stage(const struct build *b, size_t stage, bool reached, const struct record *r, step_teller tell,
                          void *ctx)
{
    const struct stage_plan *sp = &b->stages[stage]->plan;
    AUTO_FREE char *label = stage_label(b, stage);
    struct product_step s = { .stage = label };
    bool first = true;

    for (size_t i = 0; i < sp->n_steps; i++)
        s.total += makes_layer(&sp->steps[i]);
    for (size_t i = 0; i < sp->n_steps; i++) {
        AUTO_FREE char *why = NULL;

        if (!makes_layer(&sp->steps[i]))
            continue;
        s.number++;
        look_at_step(b, stage, i, r, &s, &first, &why);
        if (!reached)
            s.fate = STEP_IS_NOT_NEEDED;
        tell(ctx, &s);
    }
}

void explain_steps(struct product *p, bool all, step_teller tell, void *ctx)
{
    struct record r = { 0 };

    record_load(p, &r);
    p->record_missing = !r.known;
    for (size_t k = 0; k < p->n_plans; k++) {
        const struct plan *plan = p->plans[k];
        AUTO_FREE bool *reached = xcalloc(plan->n_stages, sizeof(*reached));

        stages_reach(p->builds[k], plan->target, false, reached);
        for (size_t s = 0; s < plan->n_stages; s++)
            if (p->builds[k]->stages[s]->planned && (all || reached[s]))
                look_at_stage(p->builds[k], s, reached[s], &r, tell, ctx);
    }
    record_release(&r);
}

/* ---- before a build ---- */

static bool stage_found(const struct build *b, size_t stage)
{
    const struct stage_plan *sp = &b->stages[stage]->plan;
    bool found = true;

    for (size_t i = 0; found && i < sp->n_steps; i++)
        found = !makes_layer(&sp->steps[i]) || is_found(b, stage, i);
    return found;
}

bool explain_all_found(const struct product *p)
{
    bool found = true;

    for (size_t k = 0; found && k < p->n_plans; k++) {
        const struct plan *plan = p->plans[k];
        AUTO_FREE bool *reached = xcalloc(plan->n_stages, sizeof(*reached));

        stages_reach(p->builds[k], plan->target, false, reached);
        for (size_t s = 0; found && s < plan->n_stages; s++)
            found = !p->builds[k]->stages[s]->planned || !reached[s] || stage_found(p->builds[k], s);
    }
    return found;
}

struct misses {
    const struct product *p;
    size_t n;
};

static void tell_miss(void *ctx, const struct product_step *s)
{
    struct misses *m = ctx;
    const struct progress *progress = m->p->o.progress;

    if (s->fate != STEP_IS_EXECUTED || m->n++ > MAX_TOLD || m->p->record_missing)
        return;
    AUTO_FREE char *line = xasprintf("not cached: [%s %zu/%zu] %.60s%s: %s", s->stage, s->number, s->total, s->text,
                                     strlen(s->text) > 60 ? "..." : "", s->why);
    progress->note(progress->ctx, line);
}

void explain_misses(struct product *p)
{
    struct cache_stats stats;

    cache_get_stats(p->o.cache, &stats);
    if (stats.looked_up == stats.found)
        return; /* no request for what nobody asks */
    struct misses m = { .p = p };
    explain_steps(p, false, tell_miss, &m);
    if (p->record_missing)
        p->o.progress->note(p->o.progress->ctx, "not cached: the cache knows no earlier build of this");
}
