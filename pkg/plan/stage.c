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
    strs_release(&s->arg_texts);
    map_free(s->env_at);
    map_free(s->declared);
    map_free(s->ports);
    map_free(s->volumes);
    *ret = (struct stage_plan){ s->steps, s->n_steps, s->config, s->env, s->args };
}

struct err *plan_stage(const struct plan *p, size_t index, const struct image_config *base,
                       const struct stage_plan *below, struct stage_plan *ret)
{
    const struct plan_stage *stage = &p->stages[index];
    const struct srcpos from = df_place(p->df, p->df->instrs[stage->first].line);
    struct stage_state s = { .plan = p, .base = base };
    struct stage_plan sp;

    start_state(&s, stage, below);
    if (stage->base == PLAN_BASE_NAMED)
        copy_context(&s, stage);
    struct err *e = run_triggers(&s, &base->onbuild, &from);
    if (!e)
        e = run_instructions(&s, stage);
    finish_state(&s, &sp);
    if (e) {
        stage_plan_release(&sp);
        return e;
    }
    *ret = sp;
    return NULL;
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
