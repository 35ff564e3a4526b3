#include "plan/plan_priv.h"

#include <string.h>

struct step *state_add(struct stage_state *s, enum step_kind kind, const struct df_instr *i)
{
    if (s->n_steps == s->cap_steps) {
        s->cap_steps = s->cap_steps ? s->cap_steps * 2 : 16;
        s->steps = xreallocarray(s->steps, s->cap_steps, sizeof(*s->steps));
    }
    struct step *st = &s->steps[s->n_steps++];
    *st = (struct step){ .kind = kind, .line = i->line, .display = xstrdup(i->text), .unpack = -1 };
    return st;
}

struct err *state_expand(const struct stage_state *s, const char *text, char **ret_text)
{
    return words_expand(text, &(struct words_opts){ .env = &s->env, .escape = s->plan->df->escape }, ret_text);
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

/* ONBUILD of the base: as if the instructions stood right after the FROM */
static struct err *run_triggers(struct stage_state *s, const struct strs *triggers, const struct srcpos *from)
{
    for (size_t k = 0; k < triggers->n; k++) {
        struct df_instr *i = NULL;
        struct err *e = dockerfile_parse_trigger(triggers->items[k], from, &i);

        if (!e) {
            i->line = from->line;
            e = flags_check(i);
        }
        if (!e)
            e = state_instr(s, i);
        df_instr_free(i);
        if (e)
            return err_at(
                err_wrap(e, "cannot execute 'ONBUILD %s' of the base of line %d", triggers->items[k], from->line),
                from);
    }
    return NULL;
}

static struct err *run_instructions(struct stage_state *s, const struct plan_stage *stage)
{
    const struct dockerfile *df = s->plan->df;

    for (size_t k = stage->first + 1; k < stage->last; k++) {
        const struct df_instr *i = &df->instrs[k];
        const struct srcpos pos = df_place(df, i->line);

        TRY(err_at(flags_check(i), &pos));
        TRY(err_at(state_instr(s, i), &pos));
    }
    return NULL;
}

/* What a stage sees before its first instruction, as BuildKit has it: a PATH in every image, an absolute working
 * directory, and of a base stage its ARGs too, though ENV wins over them again. */
static void start_state(struct stage_state *s, const struct plan_stage *stage, const struct strs *base_env)
{
    struct image_config *c = &s->config;

    config_init(c, &stage->platform);
    config_copy(c, s->base);
    strs_release(&c->onbuild);
    if (!env_get(&c->env, "PATH"))
        env_set(&c->env, "PATH", DEFAULT_PATH);
    if (stage->base == PLAN_BASE_SCRATCH || stage->base == PLAN_BASE_NAMED || (c->workdir && *c->workdir)) {
        char *dir = path_config_workdir("/", c->workdir ? c->workdir : "");

        free(c->workdir);
        c->workdir = dir;
    }
    strs_copy(&s->env, base_env ? base_env : &c->env);
    for (size_t k = 0; base_env && k < c->env.n; k++) {
        AUTO_FREE char *name = xstrndup(c->env.items[k], strcspn(c->env.items[k], "="));
        const char *eq = strchr(c->env.items[k], '=');

        env_set(&s->env, name, eq ? eq + 1 : "");
    }
}

/* The names that ARG declares in the stages this one is built from: RUN's history shows them too. */
static void inherit_args(struct stage_state *s, const struct plan_stage *stage)
{
    const struct plan *p = s->plan;

    if (stage->base != PLAN_BASE_STAGE)
        return;
    stage = &p->stages[stage->base_stage];
    inherit_args(s, stage);
    for (size_t k = stage->first; k < stage->last; k++)
        for (size_t n = 0; p->df->instrs[k].kind == DF_ARG && n < p->df->instrs[k].n_pairs; n++)
            if (!strs_has(&s->args, p->df->instrs[k].pairs[n].name))
                strs_add(&s->args, p->df->instrs[k].pairs[n].name);
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

struct err *plan_stage(const struct plan *p, size_t index, const struct image_config *base, const struct strs *base_env,
                       struct stage_plan *ret)
{
    const struct plan_stage *stage = &p->stages[index];
    const struct srcpos from = df_place(p->df, p->df->instrs[stage->first].line);
    struct stage_state s = { .plan = p, .base = base };

    start_state(&s, stage, base_env);
    inherit_args(&s, stage);
    if (stage->base == PLAN_BASE_NAMED)
        copy_context(&s, stage);
    struct err *e = run_triggers(&s, &base->onbuild, &from);
    if (!e)
        e = run_instructions(&s, stage);
    strs_release(&s.args);
    struct stage_plan sp = { s.steps, s.n_steps, s.config, s.env };
    if (e) {
        stage_plan_release(&sp);
        return e;
    }
    *ret = sp;
    return NULL;
}

static void step_release(struct step *st)
{
    char *all[] = { st->display, st->created_by, st->user,  st->cwd,   st->script_name,
                    st->script,  st->dest,       st->chown, st->chmod, st->dir };

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
    strs_release(&st->env);
    strs_release(&st->sources);
    strs_release(&st->exclude);
}

void stage_plan_release(struct stage_plan *sp)
{
    for (size_t i = 0; i < sp->n_steps; i++)
        step_release(&sp->steps[i]);
    free(sp->steps);
    config_release(&sp->config);
    strs_release(&sp->env);
    *sp = (struct stage_plan){ 0 };
}
