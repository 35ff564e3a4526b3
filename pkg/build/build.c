#include "build/build.h"

#include "build/build_priv.h"

/* Before anything is fetched: can the pod do what the Dockerfile asks for? A base image's triggers show later. */
static struct err *check_runs(const struct build_opts *o)
{
    const struct plan *p = o->plan;

    for (size_t i = 0; !o->sandbox->can_run && i < p->n_stages; i++) {
        for (size_t k = p->stages[i].first; p->stages[i].needed && k < p->stages[i].last; k++) {
            const struct srcpos pos = df_place(p->df, p->df->instrs[k].line);

            if (p->df->instrs[k].kind == DF_RUN)
                return err_at(sandbox_no_run(o->sandbox), &pos);
        }
    }
    return NULL;
}

struct err *build_run(const struct build_opts *opts, struct build **ret)
{
    AUTO(build_free) struct build *b = xcalloc(1, sizeof(*b));

    b->o = *opts;
    b->bases = map_new(base_free);
    b->stages = xcalloc(opts->plan->n_stages, sizeof(*b->stages));
    config_format_time(opts->created_s, b->created);
    TRY(check_runs(opts));
    TRY(stages_plan(b));
    if (opts->planned)
        TRY(opts->planned(opts->planned_ctx));
    TRY(stage_build(b, opts->plan->target));
    TRY(image_assemble(b));
    *ret = steal(&b);
    return NULL;
}

struct digest build_digest(const struct build *b)
{
    return b->digest;
}

void build_get_stats(const struct build *b, struct build_stats *ret_stats)
{
    *ret_stats = b->stats;
}

void build_free(struct build *b)
{
    if (!b)
        return;
    /* forks before what they were forked from: a stage only refers to stages that were started before it was done */
    for (size_t i = b->o.plan->n_stages; i-- > 0;)
        stage_release(&b->stages[i]);
    sources_release(b);
    map_free(b->bases);
    free(b->stages);
    manifest_release(&b->manifest);
    free(b->manifest_text);
    free(b->config_text);
    free(b);
}
