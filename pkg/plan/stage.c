#include "base/map.h"
#include "plan/plan_priv.h"

#include <stdint.h>
#include <string.h>

struct step *state_add(struct stage_state *s, enum step_kind kind, const struct df_instr *i)
{
    if (s->n_steps == s->cap_steps) {
        s->cap_steps = s->cap_steps ? s->cap_steps * 2 : 16;
        s->steps = xreallocarray(s->steps, s->cap_steps, sizeof(*s->steps));
    }
    struct step *st = &s->steps[s->n_steps++];
    *st = (struct step){ .kind = kind, .line = i->line, .display = address_redact(i->text), .unpack = -1 };
    return st;
}

static struct plan_moment moment(const struct stage_state *s)
{
    return (struct plan_moment){ .plan = s->plan,
                                 .stage = s->index,
                                 .instr = s->instr,
                                 .config = &s->config,
                                 .env = &s->env,
                                 .args = &s->args,
                                 .base_known = s->base_known };
}

struct words_opts state_words(const struct stage_state *s)
{
    return (struct words_opts){ .env = &s->env, .escape = s->plan->df->escape, .unmatched = s->undefined };
}

void state_take_undefined(const struct stage_state *s, bool tell)
{
    const struct plan_moment m = moment(s);

    if (s->rehearsal && !s->base_known && s->undefined->n)
        s->rehearsal->doubt = true;
    for (size_t k = 0; k < s->undefined->n; k++) {
        const char *name = s->undefined->items[k];

        if (tell && s->watch && !map_get(s->declared, name) && !vars_is_told_builder(name))
            s->watch->undefined(s->watch->ctx, &m, name);
    }
    strs_release(s->undefined);
}

struct err *state_expand(const struct stage_state *s, const char *text, char **ret_text)
{
    const struct words_opts opts = state_words(s);
    struct err *e = words_expand(text, &opts, ret_text);

    state_take_undefined(s, true);
    return e;
}

struct err *state_expand_list(const struct stage_state *s, const struct strs *in, struct strs *ret_out)
{
    for (size_t i = 0; i < in->n; i++) {
        char *text;

        TRY(state_expand(s, in->items[i], &text));
        strs_take(ret_out, text);
    }
    return NULL;
}

static struct err *run_instr(struct stage_state *s, const struct df_instr *i)
{
    s->instr = i;
    TRY(flags_check(s->plan, i));
    const struct plan_moment m = moment(s);

    if (s->watch)
        s->watch->instr(s->watch->ctx, &m);
    return state_instr(s, i);
}

/* ONBUILD of the base: as if the instructions stood right after the FROM */
static struct err *run_triggers(struct stage_state *s, const struct strs *triggers, const struct df_instr *from)
{
    for (size_t k = 0; k < triggers->n; k++) {
        struct df_instr *i = NULL;
        struct err *e = dockerfile_parse_trigger(triggers->items[k], NULL, &i);

        if (!e) {
            i->line = i->end_line = from->line;
            e = run_instr(s, i);
        }
        df_instr_free(i);
        TRY(df_at(s->plan->df, from,
                  err_wrap(e, "cannot execute 'ONBUILD %s' of the base of line %d", triggers->items[k], from->line)));
    }
    return NULL;
}

/* A rehearsal goes on after a mistake, but what follows from one, or from an unknown variable, is none. */
static struct err *rehearsal_error(struct rehearsal *r, struct err *e)
{
    if (!e)
        return NULL;
    if (r->doubt)
        err_free(e);
    else
        r->mistake = e;
    r->doubt = true;
    return NULL;
}

static struct err *run_instructions(struct stage_state *s, const struct plan_stage *stage)
{
    const struct dockerfile *df = s->plan->df;

    for (size_t k = stage->first + 1; k < stage->last; k++) {
        const struct df_instr *i = &df->instrs[k];
        struct err *e = df_at(df, i, run_instr(s, i));

        TRY(s->rehearsal ? rehearsal_error(s->rehearsal, e) : e);
    }
    return NULL;
}

static void index_env(struct stage_state *s)
{
    const struct strs *env = &s->config.env;

    s->env_at = map_new(NULL);
    for (size_t k = env->n; k-- > 0;) { /* of several of one name the first */
        AUTO_FREE char *name = xstrndup(env->items[k], strcspn(env->items[k], "="));

        map_set(s->env_at, name, (void *)(uintptr_t)(k + 1));
    }
    if (!map_get(s->env_at, "PATH"))
        state_set_config(s, "PATH", DEFAULT_PATH);
}

static struct map *set_of(const struct strs *l)
{
    struct map *set = map_new(NULL);

    for (size_t i = 0; i < l->n; i++)
        map_set(set, l->items[i], set);
    return set;
}

/* The names that ARG declares in the stages this one is built from are ARGs of this one: RUN's history shows them. */
static void inherit_vars(struct stage_state *s, const struct stage_plan *below)
{
    AUTO(strs_release) struct strs env = { 0 };

    if (below)
        vars_list(&below->env, vars_now(&below->env), &env);
    vars_set_all(&s->env, &env);
    vars_set_all(&s->env, &s->config.env);
    for (size_t k = 0; below && k < below->args.n; k++)
        state_declare(s, below->args.items[k]);
}

/* The stage begins; its configuration is the base's. */
static void tell_base(struct stage_state *s)
{
    s->instr = &s->plan->df->instrs[s->plan->stages[s->index].first];
    struct plan_moment m = moment(s);

    m.config = s->base;
    if (s->watch)
        s->watch->base(s->watch->ctx, &m);
}

/* What a stage sees before its first instruction, as BuildKit has it: a PATH in every image, an absolute working
 * directory, and of a base stage its ARGs too, though ENV wins over them again. */
static void start_state(struct stage_state *s, const struct plan_stage *stage, const struct stage_plan *below)
{
    struct image_config *c = &s->config;

    config_init(c, &stage->platform);
    config_copy(c, s->base);
    strs_release(&c->onbuild);
    if (stage->base == PLAN_BASE_SCRATCH || stage->base == PLAN_BASE_NAMED || (c->workdir && *c->workdir)) {
        char *dir = path_config_workdir("/", c->workdir ? c->workdir : "");

        free(c->workdir);
        c->workdir = dir;
    }
    index_env(s);
    s->declared = map_new(NULL);
    s->ports = set_of(&c->exposed_ports);
    s->volumes = set_of(&c->volumes);
    inherit_vars(s, below);
}

/* A directory as the base of a stage: its files are the first layer. */
static void copy_context(struct stage_state *s, const struct plan_stage *stage)
{
    struct step *st = state_add(s, STEP_COPY, &s->plan->df->instrs[stage->first]);

    st->from = (struct plan_source){ .kind = PLAN_SOURCE_NAMED, .index = stage->base_named };
    strs_add(&st->sources, "/");
    st->dest = xstrdup("/");
    st->created_by = xstrdup("COPY / /");
}

/* Moves what is wanted of the state into a plan. */
static void finish_state(struct stage_state *s, struct stage_plan *ret)
{
    map_free(s->env_at);
    map_free(s->declared);
    map_free(s->ports);
    map_free(s->volumes);
    *ret = (struct stage_plan){ s->steps, s->n_steps, s->config, s->env, s->args };
}

static struct err *run_stage(struct stage_state *s, const struct stage_plan *below)
{
    const struct plan_stage *stage = &s->plan->stages[s->index];
    const struct df_instr *from = &s->plan->df->instrs[stage->first];

    start_state(s, stage, below);
    tell_base(s);
    if (stage->base == PLAN_BASE_NAMED)
        copy_context(s, stage);
    struct err *e = run_triggers(s, &s->base->onbuild, from);
    if (s->rehearsal)
        e = rehearsal_error(s->rehearsal, e);
    return e ? e : run_instructions(s, stage);
}

static struct err *plan_with(struct stage_state *s, const struct stage_plan *below, struct stage_plan *ret)
{
    AUTO(strs_release) struct strs undefined = { 0 };
    struct stage_plan sp;

    s->undefined = &undefined;
    struct err *e = run_stage(s, below);
    finish_state(s, &sp);
    if (e) {
        stage_plan_release(&sp);
        return e;
    }
    *ret = sp;
    return NULL;
}

struct err *plan_stage(const struct plan *p, size_t index, const struct image_config *base,
                       const struct stage_plan *below, struct stage_plan *ret)
{
    struct stage_state s = { .plan = p, .base = base, .index = index, .watch = p->opts.watch, .base_known = true };

    return plan_with(&s, below, ret);
}

/* ---- without base images ---- */

static void rehearse_stage(const struct plan *p, size_t index, const struct plan_watch *watch, struct stage_plan *plans,
                           struct rehearsal *all)
{
    const struct plan_stage *stage = &p->stages[index];
    const struct stage_plan *from = stage->base == PLAN_BASE_STAGE ? &plans[stage->base_stage] : NULL;
    struct image_config nothing = { 0 };
    struct rehearsal *r = &all[index];
    struct stage_state s = { .plan = p, .index = index, .watch = watch, .rehearsal = r };

    config_init(&nothing, &stage->platform);
    if (from)
        *r = (struct rehearsal){ .unknown = all[stage->base_stage].unknown, .doubt = all[stage->base_stage].doubt };
    else
        r->unknown = stage->base == PLAN_BASE_IMAGE;
    s.base = from ? &from->config : &nothing;
    s.base_known = !r->unknown;
    err_free(plan_with(&s, from, &plans[index])); /* all of them are in r */
    config_release(&nothing);
}

struct err *plan_rehearse(const struct plan *p, bool all, const struct plan_watch *watch)
{
    AUTO_FREE struct stage_plan *plans = xcalloc(p->n_stages, sizeof(*plans));
    AUTO_FREE struct rehearsal *stages = xcalloc(p->n_stages, sizeof(*stages));
    struct err *mistakes = NULL;

    for (size_t k = 0; k < p->n_stages; k++) {
        if (!all && !p->stages[k].needed)
            continue;
        rehearse_stage(p, k, watch, plans, stages);
        mistakes = err_join(mistakes, stages[k].mistake);
    }
    for (size_t k = 0; k < p->n_stages; k++)
        stage_plan_release(&plans[k]);
    return mistakes;
}

static void step_release(struct step *st)
{
    char *all[] = { st->display, st->created_by, st->user,  st->cwd, st->script_name, st->script,
                    st->dest,    st->chown,      st->chmod, st->dir, st->checksum };

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        free(all[i]);
    for (size_t i = 0; i < st->n_files; i++) {
        free(st->files[i].name);
        free(st->files[i].data);
    }
    free(st->files);
    step_mounts_release(st);
    plan_source_release(&st->from);
    strs_release(&st->argv);
    strs_release(&st->sources);
    strs_release(&st->exclude);
}

void stage_plan_release(struct stage_plan *sp)
{
    for (size_t i = 0; i < sp->n_steps; i++)
        step_release(&sp->steps[i]);
    free(sp->steps);
    config_release(&sp->config);
    vars_release(&sp->env);
    strs_release(&sp->args);
    *sp = (struct stage_plan){ 0 };
}
