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

    TRY(plan_ahead(b, base));
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

struct err *stages_plan(struct build *b)
{
    for (size_t k = 0; k < b->o.plan->n_stages; k++)
        if (b->o.plan->stages[k].needed)
            TRY(plan_ahead(b, k));
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

    TRY(stage_build(b, b->o.plan->stages[index].base_stage));
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

    TRY(plan_ahead(b, index));
    config_init(&b->stages[index]->config, &ps->platform);
    return df_at(b->o.plan->df, &b->o.plan->df->instrs[ps->first], start[ps->base](b, index));
}

/* The image that the stage is built on, through the stages between; NULL: nothing. */
static struct base_image *image_below(const struct build *b, size_t index)
{
    while (b->o.plan->stages[index].base == PLAN_BASE_STAGE)
        index = b->o.plan->stages[index].base_stage;
    return b->stages[index]->base;
}

static struct err *unpack_layers(struct build *b, size_t index, size_t from)
{
    const struct layers *layers = &b->stages[index]->layers;
    struct base_image *image = image_below(b, index);

    if (image)
        TRY(base_unpack(b, image));
    return err_wrap(layers_unpack(b, layers->items + from, layers->n - from), "cannot use the layers of earlier steps");
}

static struct err *rootfs_of_layers(struct build *b, size_t index)
{
    struct stage_run *st = b->stages[index];
    AUTO_FREE struct digest *diff_ids = xcalloc(st->layers.n, sizeof(*diff_ids));

    TRY(unpack_layers(b, index, 0));
    for (size_t i = 0; i < st->layers.n; i++)
        diff_ids[i] = st->layers.items[i].diff_id;
    TRY(rootfs_new(b->o.snapshotter, diff_ids, st->layers.n, &st->rootfs));
    st->in_rootfs = st->layers.n;
    return NULL;
}

/* What a step of the base stage made is there already. */
static struct err *rootfs_of_stage(struct build *b, size_t base_stage, struct stage_run *st)
{
    struct rootfs *from;

    TRY(stage_rootfs(b, base_stage, &from));
    TRY(rootfs_fork(from, &st->rootfs));
    st->in_rootfs = b->stages[base_stage]->layers.n;
    return NULL;
}

struct err *stage_rootfs(struct build *b, size_t index, struct rootfs **ret)
{
    struct stage_run *st = b->stages[index];
    const struct plan_stage *ps = &b->o.plan->stages[index];
    bool fork = ps->base == PLAN_BASE_STAGE && b->stages[ps->base_stage]->rootfs;

    if (!st->rootfs)
        TRY(fork ? rootfs_of_stage(b, ps->base_stage, st) : rootfs_of_layers(b, index));
    if (st->in_rootfs < st->layers.n) /* of steps that were not executed */
        TRY(unpack_layers(b, index, st->in_rootfs));
    for (; st->in_rootfs < st->layers.n; st->in_rootfs++)
        TRY(rootfs_push(st->rootfs, &st->layers.items[st->in_rootfs].diff_id));
    *ret = st->rootfs;
    return NULL;
}

/* ---- steps ---- */

struct err *stage_commit(struct build *b, struct stage_run *st, struct rootfs *r)
{
    const struct commit_opts opts = { .mode = b->o.snapshot_mode,
                                      .clamp_mtime_s = b->o.clamp_mtime_s,
                                      .ignore = b->o.ignore_paths };
    AUTO(blob_writer_free) struct blob_writer *w = NULL;
    AUTO(compress_free) struct compressor *c = NULL;
    struct compress_result result;
    struct commit_stats stats;

    if (!st->layer_ends) {
        rootfs_carry(r);
        return NULL;
    }
    struct err *e = blob_writer_new(b->o.store, &w);
    if (!e)
        e = compress_new(&b->o.compress, blob_writer_sink(w), &c);
    if (e) {
        rootfs_abort(r);
        return e;
    }
    TRY(err_wrap(rootfs_commit(r, &opts, compress_sink(c), &stats), "cannot write the step's layer"));
    TRY(compress_end(c, &result));
    TRY(blob_writer_commit(w, &result.digest));
    struct layer l = { .diff_id = result.diff_id };
    l.desc.digest = result.digest;
    l.desc.size_bytes = result.size_bytes; /* its media type follows from the image's format, at the end */
    vec_push(&st->layers, l);
    st->in_rootfs++;
    config_add_diff_id(&st->config, &result.diff_id);
    b->now.has_layer = true;
    b->now.layer_bytes = result.size_bytes;
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
    TRY(stage_rootfs(b, index, &r));
    return by_kind[step->kind](b, b->stages[index], r, step);
}

static struct err *execute_step(struct build *b, size_t index, size_t number)
{
    const struct progress *p = b->o.progress;

    p->begin(p->ctx, &b->now);
    TRY(do_step(b, index, &b->stages[index]->plan.steps[number]));
    memcpy(b->layer_created, b->created, sizeof(b->created));
    cached_keep(b, index, number);
    return NULL;
}

/* One step with its lines of progress. */
static struct err *show_step(struct build *b, size_t index, size_t number, const struct progress_step *show)
{
    const struct progress *p = b->o.progress;
    int64_t start = now_ms();
    bool taken = false;

    b->now = *show;
    struct err *e = cached_take(b, index, number, &taken);
    if (!e && !taken) {
        b->now = *show; /* a stage that was built on the way has used it */
        start = now_ms();
        e = execute_step(b, index, number);
    }
    struct progress_step end = *show;
    end.cached = taken;
    end.has_layer = !e && (taken || b->now.has_layer);
    end.layer_bytes =
        end.has_layer ? b->stages[index]->layers.items[b->stages[index]->layers.n - 1].desc.size_bytes : 0;
    end.duration_ms = now_ms() - start;
    if (!e || !b->whole->failed) /* else it is begun again */
        p->end(p->ctx, &end, e != NULL);
    return df_at_line(b->o.plan->df, b->stages[index]->plan.steps[number].line, e);
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
            TRY(show_step(b, index, i, &show));
        }
        const bool layer = step->kind != STEP_META && st->layer_ends;
        const char *created = b->o.epoch_set ? b->created : layer ? b->layer_created : NULL;
        config_add_history(&st->config, created, step->created_by, "copyup", !layer);
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

/* Depth first: what a step copies from is built when the step is reached, so a stage that nobody reaches is never
 * built. */
struct err *stage_build(struct build *b, size_t index)
{
    struct stage_run *st = b->stages[index];

    if (st->done || build_adopt_stage(b, index))
        return NULL;
    TRY(stage_start(b, index));
    TRY(run_steps(b, index));
    take_plan_config(st);
    st->done = true;
    return NULL;
}

void stage_release(struct stage_run *st)
{
    keys_release(st);
    rootfs_free(st->rootfs);
    vec_free(&st->layers);
    stage_plan_release(&st->plan);
    config_release(&st->config);
}
