#include "base/suggest.h"
#include "build/build_priv.h"
#include "plan/key.h"

#include <string.h>
#include <time.h>

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- what the stages will do ---- */

static struct err *plan_ahead(struct build *b, size_t index);
static struct err *plan_needed(struct build *b, size_t index);

/* A base that cannot be had may be a misspelt stage, or one of the names that everybody uses. */
static struct err *explain_base(const struct build *b, const char *text, struct err *e)
{
    static const char *const common[] = { "alpine", "busybox", "debian", "ubuntu", "fedora", "golang",
                                          "node",   "python",  "ruby",   "rust",   "nginx",  "php" };
    AUTO_FREE char *name = xstrndup(text, strcspn(text, ":@"));
    const char *near = e ? plan_near_stage(b->o.plan, text) : NULL;

    if (e && !near)
        near = suggest(name, common, sizeof(common) / sizeof(common[0]));
    return near ? err_hint(err_wrap(e, "cannot start from '%s'", text), "Did you mean '%s'?", near) : e;
}

static struct err *plan_from_image(struct build *b, size_t index)
{
    const struct plan_stage *ps = &b->o.plan->stages[index];
    struct stage_run *st = b->stages[index];

    TRY(explain_base(b, ps->image, base_get(b, ps->image, &ps->platform, &st->base)));
    if (strcmp(st->base->config.platform.os, "windows") == 0)
        return err_new(ERR_DOCKERFILE, "image '%s' is for Windows, which needs a Windows node to build on", ps->image);
    return plan_stage(b->o.plan, index, &st->base->config, NULL, &st->plan);
}

static struct err *plan_from_stage(struct build *b, size_t index)
{
    const size_t base = b->o.plan->stages[index].base_stage;

    TRY(plan_needed(b, base));
    return plan_stage(b->o.plan, index, &b->stages[base]->plan.config, &b->stages[base]->plan, &b->stages[index]->plan);
}

static struct err *plan_from_scratch(struct build *b, size_t index)
{
    struct image_config nothing = { 0 };

    config_init(&nothing, &b->o.plan->stages[index].platform);
    struct err *e = plan_stage(b->o.plan, index, &nothing, NULL, &b->stages[index]->plan);
    config_release(&nothing);
    return e;
}

/* The steps of a stage. Of a base image this needs the configuration alone. */
static struct err *plan_ahead(struct build *b, size_t index)
{
    static struct err *(*const from[])(struct build *, size_t) = {
        [PLAN_BASE_SCRATCH] = plan_from_scratch,
        [PLAN_BASE_STAGE] = plan_from_stage,
        [PLAN_BASE_IMAGE] = plan_from_image,
        [PLAN_BASE_NAMED] = plan_from_scratch, /* its files are copied by the first step of the plan */
    };
    const struct plan_stage *ps = &b->o.plan->stages[index];

    if (b->stages[index]->planned)
        return NULL;
    const struct df_instr *i = &b->o.plan->df->instrs[ps->first];
    TRY(df_at(b->o.plan->df, i, err_blame(from[ps->base](b, index), i->arg)));
    b->stages[index]->planned = true;
    return NULL;
}

static struct err *plan_source_of(struct build *b, const struct plan_source *from)
{
    return from->kind == PLAN_SOURCE_STAGE ? plan_needed(b, from->index) : NULL;
}

/* With the stages that its steps take files from: those of a base image's triggers are not known to the plan. */
static struct err *plan_needed(struct build *b, size_t index)
{
    const struct stage_plan *sp = &b->stages[index]->plan;
    bool before = b->stages[index]->planned;

    TRY(plan_ahead(b, index));
    for (size_t i = 0; !before && i < sp->n_steps; i++) {
        TRY(plan_source_of(b, &sp->steps[i].from));
        for (size_t m = 0; m < sp->steps[i].n_mounts; m++)
            TRY(plan_source_of(b, &sp->steps[i].mounts[m].from));
    }
    return NULL;
}

struct err *stages_plan(struct build *b)
{
    for (size_t k = 0; k < b->o.plan->n_stages; k++)
        if (b->o.plan->stages[k].needed)
            TRY(plan_needed(b, k));
    return NULL;
}

/* ---- where the stage starts from ---- */

static struct err *start_from_image(struct build *b, size_t index)
{
    struct stage_run *st = b->stages[index];

    st->format = st->base->manifest.format;
    st->content = plan_key_image(&st->base->manifest);
    config_copy(&st->config, &st->base->config);
    for (size_t i = 0; i < st->base->manifest.n_layers; i++)
        vec_push(&st->layers, base_layer(st->base, i));
    return NULL;
}

static struct err *start_from_stage(struct build *b, size_t index)
{
    struct stage_run *st = b->stages[index];
    const struct stage_run *from;

    TRY(stage_need(b, b->o.plan->stages[index].base_stage));
    from = b->stages[b->o.plan->stages[index].base_stage];
    st->format = from->format;
    st->content = from->content;
    config_copy(&st->config, &from->config);
    for (size_t i = 0; i < from->layers.n; i++)
        vec_push(&st->layers, from->layers.items[i]);
    return NULL;
}

static struct err *start_from_scratch(struct build *b, size_t index)
{
    struct stage_run *st = b->stages[index];

    st->format = IMAGE_FORMAT_DOCKER;
    st->content = plan_key_scratch();
    return NULL;
}

static struct err *stage_start(struct build *b, size_t index)
{
    static struct err *(*const start[])(struct build *, size_t) = {
        [PLAN_BASE_SCRATCH] = start_from_scratch,
        [PLAN_BASE_STAGE] = start_from_stage,
        [PLAN_BASE_IMAGE] = start_from_image,
        [PLAN_BASE_NAMED] = start_from_scratch,
    };
    const struct plan_stage *ps = &b->o.plan->stages[index];

    config_init(&b->stages[index]->config, &ps->platform);
    return df_at(b->o.plan->df, &b->o.plan->df->instrs[ps->first], start[ps->base](b, index));
}

/* ---- steps ---- */

struct err *stage_begin_step(struct build *b, struct stage_run *st)
{
    const struct progress *p = b->o.progress;

    TRY(schedule_take_slot(b->whole->schedule));
    st->step_began_ms = now_ms();
    p->begin(p->ctx, &st->now);
    return NULL;
}

static enum progress_end how_it_ended(const struct build *b, const struct err *e)
{
    if (!e)
        return STEP_ENDED;
    if (err_kind(e) == ERR_TERMINATED && cancel_reason(b->whole->outer) == CANCEL_NONE)
        return STEP_STOPPED;
    return b->whole->failed ? STEP_AGAIN : STEP_FAILED;
}

static void give_slot(struct build *b, struct stage_run *st)
{
    if (!st->step_began_ms)
        return;
    schedule_give_slot(b->whole->schedule);
    st->now.duration_ms = now_ms() - st->step_began_ms;
}

static void show_end(struct build *b, const struct stage_run *st, const struct err *e)
{
    const struct progress *p = b->o.progress;

    if (st->step_began_ms)
        p->end(p->ctx, &st->now, how_it_ended(b, e));
}

static struct err *need_source(struct build *b, const struct plan_source *from)
{
    return from->kind == PLAN_SOURCE_STAGE ? stage_need(b, from->index) : NULL;
}

/* The stages that the step takes files from. */
static struct err *need_sources(struct build *b, const struct step *step)
{
    TRY(need_source(b, &step->from));
    for (size_t i = 0; i < step->n_mounts; i++)
        TRY(need_source(b, &step->mounts[i].from));
    return NULL;
}

static struct err *do_step(struct build *b, size_t index, const struct step *step)
{
    static struct err *(*const by_kind[])(struct build *, struct stage_run *, struct rootfs *, const struct step *) = {
        [STEP_RUN] = step_run,
        [STEP_COPY] = step_copy,
        [STEP_WORKDIR] = step_workdir,
    };
    struct rootfs *r;

    TRY(cancel_check(b->o.cancel));
    TRY(need_sources(b, step));
    TRY(stage_rootfs(b, index, &r));
    return by_kind[step->kind](b, b->stages[index], r, step);
}

/* *ret_queued: the layer is still to be written, and its key is its writer's. */
static struct err *execute_step(struct build *b, size_t index, size_t number, bool *ret_queued)
{
    struct stage_run *st = b->stages[index];

    st->step_began_ms = 0;
    struct err *e = do_step(b, index, &st->plan.steps[number]);
    give_slot(b, st);
    if (!e) {
        memcpy(st->layer_created, b->created, sizeof(b->created));
        *ret_queued = layer_keep(b, st, number);
    }
    show_end(b, st, e);
    return e;
}

static void show_taken(struct build *b, struct stage_run *st, int64_t began_ms)
{
    const struct progress *p = b->o.progress;

    st->now.cached = st->now.has_layer = true;
    st->now.layer_bytes = st->layers.items[st->layers.n - 1].desc.size_bytes;
    st->now.duration_ms = now_ms() - began_ms;
    p->end(p->ctx, &st->now, STEP_ENDED);
}

/* One step with its lines of progress. */
static struct err *show_step(struct build *b, size_t index, size_t number, const struct progress_step *show)
{
    struct stage_run *st = b->stages[index];
    int64_t start = now_ms();
    bool taken = false, queued = false;

    st->now = *show;
    struct err *e = cached_take(b, index, number, &taken);
    if (!e && taken)
        show_taken(b, st, start);
    if (!e && !taken)
        e = execute_step(b, index, number, &queued);
    if (!queued)
        cached_leave(b, index, number);
    return df_at_line(b->o.plan->df, st->plan.steps[number].line, e);
}

static size_t count_steps(const struct stage_plan *sp)
{
    size_t n = 0;

    for (size_t i = 0; i < sp->n_steps; i++)
        n += sp->steps[i].kind != STEP_META;
    return n;
}

char *stage_label(const struct build *b, size_t index)
{
    const struct plan_stage *ps = &b->o.plan->stages[index];
    AUTO_FREE char *name = ps->name ? xstrdup(ps->name) : xasprintf("stage-%zu", index);
    char on[256], to[256];

    if (b->whole->n_plans == 1)
        return steal(&name);
    platform_format(&ps->platform, on, sizeof(on));
    platform_format(&b->o.plan->opts.target_platform, to, sizeof(to));
    if (strcmp(on, to) == 0 || build_shares_stage(b, index))
        return xasprintf("%s %s", on, name);
    return xasprintf("%s->%s %s", on, to, name);
}

static struct err *run_steps(struct build *b, size_t index)
{
    struct stage_run *st = b->stages[index];
    AUTO_FREE char *label = stage_label(b, index);
    struct progress_step show = { .stage = label, .total = count_steps(&st->plan) };

    for (size_t i = 0; i < st->plan.n_steps; i++) {
        const struct step *step = &st->plan.steps[i];

        if (step->kind != STEP_META) {
            show.number++;
            show.text = step->display;
            st->layer_ends = !b->o.single_layer || show.number == show.total;
            st->goes_early = b->whole->uploads && push_is_early(b, st, step);
            TRY(show_step(b, index, i, &show));
        }
        const bool layer = step->kind != STEP_META && st->layer_ends;
        const char *created = b->o.epoch_set ? b->created : layer ? st->layer_created : NULL;
        AUTO_FREE char *text = plan_created_by(&st->plan, step);
        config_add_history(&st->config, created, text, "copyup", !layer);
    }
    return NULL;
}

/* What the plan says of the configuration, beside what the steps added to history and layers. */
static void take_plan_config(struct stage_run *st)
{
    struct image_config full = { 0 };

    config_copy(&full, &st->plan.config);
    for (size_t i = full.n_diff_ids; i < st->config.n_diff_ids; i++)
        config_add_diff_id(&full, &st->config.diff_ids[i]);
    for (size_t i = full.n_history; i < st->config.n_history; i++) {
        const struct history *h = &st->config.history[i];

        config_add_history(&full, h->created, h->created_by, h->comment, h->empty_layer);
    }
    config_release(&st->config);
    st->config = full;
}

/* A failure is told at once, so that others stop; what was finished before is still written. */
static struct err *run_and_settle(struct build *b, size_t index)
{
    struct stage_run *st = b->stages[index];
    struct err *e = run_steps(b, index);

    if (e) {
        schedule_fail(st->task, build_about(b, e));
        e = schedule_stopped();
    }
    struct err *unwritten = layers_settle(st);
    if (!e)
        return unwritten;
    err_free(unwritten);
    return e;
}

struct err *stage_build(struct build *b, size_t index)
{
    struct stage_run *st = b->stages[index];

    TRY(stage_start(b, index));
    size_t below = st->layers.n;
    TRY(run_and_settle(b, index));
    for (size_t i = below; i < st->layers.n; i++)
        config_add_diff_id(&st->config, &st->layers.items[i].diff_id);
    take_plan_config(st);
    return NULL;
}

void stage_release(struct stage_run *st)
{
    keys_release(st);
    frozen_free(st->frozen);
    rootfs_free(st->rootfs);
    vec_free(&st->layers);
    stage_plan_release(&st->plan);
    config_release(&st->config);
    pthread_mutex_destroy(&st->root_lock);
}
