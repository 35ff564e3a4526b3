/* keys.c - what the keys of steps are made of beside the plan: identities of bases and stages, digests of files. */
#include "build/build_priv.h"
#include "build/copy.h"
#include "plan/key.h"

#include <inttypes.h>
#include <string.h>

void keys_settings(const struct build_opts *o, struct strs *ret_settings)
{
    static const char *const modes[] = { [SNAPSHOT_FULL] = "full", [SNAPSHOT_REDO] = "redo", [SNAPSHOT_TIME] = "time" };

    strs_take(ret_settings, xasprintf("compression=%d:%d", (int)o->compress.kind, o->compress.level));
    strs_take(ret_settings, xasprintf("snapshots=%s", modes[o->snapshot_mode]));
    if (o->epoch_set)
        strs_take(ret_settings, xasprintf("SOURCE_DATE_EPOCH=%" PRId64, o->created_s));
    if (o->clamp_mtime_s != INT64_MAX)
        strs_take(ret_settings, xasprintf("latest file time=%" PRId64, o->clamp_mtime_s));
    for (size_t i = 0; o->hosts && i < o->hosts->n; i++)
        strs_take(ret_settings, xasprintf("host=%s", o->hosts->items[i]));
    for (size_t i = 0; o->ignore_paths && i < o->ignore_paths->n; i++)
        strs_take(ret_settings, xasprintf("ignored path=%s", o->ignore_paths->items[i]));
}

static size_t count_sources(const struct step *step)
{
    return step->kind == STEP_COPY ? 1 : step->n_mounts;
}

/* Source number i of a step; NULL: it brings no files that matter. */
static const struct plan_source *source_of(const struct step *step, size_t i)
{
    if (step->kind == STEP_COPY)
        return step->sources.n ? &step->from : NULL;
    return step->mounts[i].m.type == DF_MOUNT_BIND ? &step->mounts[i].from : NULL;
}

static struct err *sum_files(struct build *b, const struct step *step, size_t i, struct strs *facts, struct digest *ret)
{
    AUTO(copy_sum_free) struct copy_sum *sum = copy_sum_new();

    TRY(step->kind == STEP_COPY ? step_copy_sum(b, step, sum) : run_mount_sum(b, &step->mounts[i], sum));
    *ret = copy_sum_end(sum, facts);
    return NULL;
}

static struct err *image_key(struct build *b, const struct plan_source *from, struct digest *ret)
{
    struct base_image *image;

    TRY(base_get(b, from->image, &b->o.plan->opts.target_platform, &image));
    *ret = plan_key_image(&image->manifest);
    return NULL;
}

/* What is known of a source without building or pulling anything. */
static struct err *source_key(struct build *b, const struct step *step, size_t i, struct strs *facts,
                              struct digest *ret)
{
    const struct plan_source *from = source_of(step, i);

    *ret = (struct digest){ "" };
    if (!from)
        return NULL;
    switch (from->kind) {
    case PLAN_SOURCE_CONTEXT:
    case PLAN_SOURCE_NAMED:
        if (step->checksum && strncmp(step->checksum, "sha256:", 7) == 0) /* says what the file is, unfetched */
            return NULL;
        return sum_files(b, step, i, facts, ret);
    case PLAN_SOURCE_STAGE:
        *ret = b->stages[from->index]->key;
        return ret->text[0] ? NULL : err_new(ERR_DOCKERFILE, "the key of stage %zu is not known", from->index);
    case PLAN_SOURCE_IMAGE:
        return image_key(b, from, ret);
    case PLAN_SOURCE_SCRATCH:
        *ret = plan_key_scratch();
        return NULL;
    }
    return err_new(ERR_BUG, "a source of unknown kind %d", (int)from->kind);
}

static struct key_step key_step_of(const struct build *b, size_t stage, size_t i, const struct digest *parent,
                                   const struct digest *sources)
{
    const struct stage_run *st = b->stages[stage];

    return (struct key_step){ .plan = b->o.plan,
                              .stage = &st->plan,
                              .step = &st->plan.steps[i],
                              .parent = *parent,
                              .platform = &st->plan.config.platform,
                              .settings = &b->whole->settings,
                              .sources = sources };
}

static struct err *make_key(struct build *b, size_t stage, size_t i)
{
    struct stage_run *st = b->stages[stage];
    const struct step *step = &st->plan.steps[i];
    struct step_key *k = &st->keys[i];
    size_t n = count_sources(step);

    k->parent = st->key;
    k->sources = xcalloc(n + 1, sizeof(*k->sources));
    for (size_t s = 0; s < n; s++)
        TRY(source_key(b, step, s, &k->files, &k->sources[s]));
    const struct key_step ks = key_step_of(b, stage, i, &k->parent, k->sources);
    k->key = plan_key_step(&ks);
    return NULL;
}

static struct digest start_key(const struct build *b, size_t stage)
{
    const struct plan_stage *ps = &b->o.plan->stages[stage];

    if (ps->base == PLAN_BASE_STAGE)
        return b->stages[ps->base_stage]->key;
    return ps->base == PLAN_BASE_IMAGE ? plan_key_image(&b->stages[stage]->base->manifest) : plan_key_scratch();
}

static bool is_stop(const struct err *e)
{
    return err_kind(e) == ERR_TERMINATED || err_kind(e) == ERR_TIMEOUT;
}

/* A step whose files cannot be read has no key, and what comes after it has none: the step itself will say why. */
static struct err *make_stage_keys(struct build *b, size_t stage)
{
    struct stage_run *st = b->stages[stage];

    keys_release(st);
    st->keys = xcalloc(st->plan.n_steps + 1, sizeof(*st->keys));
    st->key = start_key(b, stage);
    for (size_t i = 0; i < st->plan.n_steps && st->key.text[0]; i++) {
        if (st->plan.steps[i].kind == STEP_META)
            continue;
        struct err *e = make_key(b, stage, i);

        if (e && is_stop(e))
            return e;
        err_free(e);
        st->key = st->keys[i].key;
    }
    return NULL;
}

struct err *keys_make(struct build *b)
{
    for (size_t k = 0; k < b->o.plan->n_stages; k++)
        if (b->stages[k]->planned && b->stages[k]->owner == b)
            TRY(make_stage_keys(b, k));
    return NULL;
}

/* ---- by content ---- */

static bool is_built(const struct plan_source *from)
{
    return from && (from->kind == PLAN_SOURCE_STAGE || from->kind == PLAN_SOURCE_IMAGE);
}

/* A stage or image mounted whole is not read through for a key: the command may look at a little of it. */
static bool is_summed(const struct step *step, size_t s)
{
    const char *path = step->kind == STEP_RUN ? step->mounts[s].m.source : NULL;
    bool whole = step->kind == STEP_RUN && (!path || !path[strspn(path, "./")]);

    return is_built(source_of(step, s)) && !whole;
}

/* Files that cannot be read give no key, as above; but a stage that cannot be built is the end. */
static struct err *sum_built(struct build *b, const struct step *step, size_t s, struct digest *ret, bool *ret_known)
{
    const struct plan_source *from = source_of(step, s);

    if (from->kind == PLAN_SOURCE_STAGE)
        TRY(stage_need(b, from->index));
    struct err *e = sum_files(b, step, s, NULL, ret);
    *ret_known = !e;
    if (e && is_stop(e))
        return e;
    err_free(e);
    return NULL;
}

static bool takes_built(const struct step *step)
{
    bool any = false;

    for (size_t s = 0; s < count_sources(step); s++)
        any |= is_summed(step, s);
    return any;
}

/* Its sources by what their files are, once. Stages that they come from are built for it. */
static struct err *sum_sources(struct build *b, size_t stage, size_t i)
{
    const struct step *step = &b->stages[stage]->plan.steps[i];
    struct step_key *k = &b->stages[stage]->keys[i];
    size_t n = count_sources(step);
    AUTO_FREE struct digest *sources = xcalloc(n + 1, sizeof(*sources));
    bool known = true;

    if (k->summed)
        return NULL;
    for (size_t s = 0; known && s < n; s++) {
        sources[s] = k->sources[s];
        if (is_summed(step, s))
            TRY(sum_built(b, step, s, &sources[s], &known));
    }
    k->summed = true;
    k->by_files = known ? steal(&sources) : NULL;
    return NULL;
}

/* "" = it cannot be told. */
static struct digest content_key(const struct build *b, size_t stage, size_t i, const struct digest *sources,
                                 const struct digest *parent)
{
    if (!sources || !parent->text[0])
        return (struct digest){ "" };
    const struct key_step ks = key_step_of(b, stage, i, parent, sources);
    return plan_key_step(&ks);
}

struct err *keys_content(struct build *b, size_t stage, size_t i, struct digest *ret_key)
{
    const struct stage_run *st = b->stages[stage];
    struct step_key *k = &st->keys[i];

    if (st->content.text[0] && k->sources)
        TRY(sum_sources(b, stage, i));
    k->content = content_key(b, stage, i, k->by_files, &st->content);
    *ret_key = k->content;
    return NULL;
}

/* Are the files that the step takes from stages and images here, so that reading them waits for nothing? */
static bool is_here(const struct build *b, const struct step *step)
{
    for (size_t s = 0; s < count_sources(step); s++)
        if (is_summed(step, s) &&
            (source_of(step, s)->kind != PLAN_SOURCE_STAGE || !stage_is_here(b, source_of(step, s)->index)))
            return false;
    return true;
}

struct err *keys_ahead(struct build *b, size_t stage, size_t i, bool own, struct digest *content)
{
    const struct step *step = &b->stages[stage]->plan.steps[i];
    const struct step_key *k = &b->stages[stage]->keys[i];
    const struct digest parent = *content;

    *content = (struct digest){ "" };
    if (!k->sources)
        return NULL;
    if (!takes_built(step)) {
        *content = content_key(b, stage, i, k->sources, &parent);
        return NULL;
    }
    if (!own || (!k->summed && !is_here(b, step)))
        return NULL;
    TRY(sum_sources(b, stage, i));
    *content = content_key(b, stage, i, k->by_files, &parent);
    return NULL;
}

/* ---- facts ---- */

static void add_base_fact(const struct build *b, size_t stage, struct strs *facts)
{
    const struct stage_run *st = b->stages[stage];
    const struct plan_stage *ps = &b->o.plan->stages[stage];

    if (ps->base == PLAN_BASE_IMAGE)
        plan_key_base_fact(ps->image, &st->base->manifest.config.digest, facts);
}

void keys_facts(const struct build *b, size_t stage, size_t i, struct strs *ret_facts)
{
    const struct step_key *k = &b->stages[stage]->keys[i];
    const struct digest start = start_key(b, stage);

    if (!k->key.text[0])
        return;
    const struct key_step ks = key_step_of(b, stage, i, &k->parent, k->sources);
    plan_key_facts(&ks, ret_facts);
    if (digest_equal(&start, &k->parent))
        add_base_fact(b, stage, ret_facts);
    for (size_t f = 0; f < k->files.n; f++)
        strs_add(ret_facts, k->files.items[f]);
}

void keys_release(struct stage_run *st)
{
    for (size_t i = 0; st->keys && i < st->plan.n_steps; i++) {
        free(st->keys[i].sources);
        free(st->keys[i].by_files);
        strs_release(&st->keys[i].files);
    }
    free(st->keys);
    st->keys = NULL;
}
