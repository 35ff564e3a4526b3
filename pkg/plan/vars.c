#include "base/map.h"
#include "plan/plan_priv.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>

bool vars_is_proxy(const char *name)
{
    static const char *const names[] = { "HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY" };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcasecmp(name, names[i]) == 0)
            return true;
    return false;
}

/* A predefined argument: a build argument of that name replaces it. */
static void set_predefined(struct plan *p, const char *name, const char *value)
{
    const char *given = vars_get(&p->build_args, name);

    vars_set(&p->global_env, name, given ? given : value);
}

static void set_platform(struct plan *p, const char *prefix, const struct platform *pf)
{
    char text[256];
    const char *const names[] = { "PLATFORM", "OS", "OSVERSION", "ARCH", "VARIANT" };
    const char *const values[] = { text, pf->os, pf->os_version, pf->arch, pf->variant };

    platform_format(pf, text, sizeof(text));
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        AUTO_FREE char *name = xasprintf("%s%s", prefix, names[i]);

        set_predefined(p, name, values[i]);
    }
}

/* TARGETSTAGE: the target as asked for, else the name of the last stage, else "default". */
static const char *target_name(const struct plan *p)
{
    if (p->opts.target && *p->opts.target)
        return p->opts.target;
    for (size_t k = p->df->n_instrs; k-- > 0;)
        if (p->df->instrs[k].kind == DF_FROM)
            return p->df->instrs[k].stage_name ? p->df->instrs[k].stage_name : "default";
    return "default";
}

/* The value of `ARG name[=default]`: --build-arg, else the default expanded with env, else what was inherited. */
static struct err *arg_value(const struct plan *p, const struct vars *env, const struct df_pair *pair,
                             struct strs *undefined, char **ret_value)
{
    const struct words_opts opts = { .env = env, .escape = p->df->escape, .unmatched = undefined };
    const char *given = vars_get(&p->build_args, pair->name);

    if (!given && !pair->value)
        given = vars_get(&p->global_env, pair->name);
    *ret_value = NULL;
    if (given)
        *ret_value = xstrdup(given);
    else if (pair->value)
        return words_expand(pair->value, &opts, ret_value);
    return NULL;
}

struct err *vars_declare(const struct plan *p, const struct df_instr *i, struct vars *env)
{
    for (size_t n = 0; n < i->n_pairs; n++) {
        AUTO_FREE char *value = NULL;

        TRY(arg_value(p, env, &i->pairs[n], NULL, &value));
        if (value)
            vars_set(env, i->pairs[n].name, value);
    }
    return NULL;
}

struct err *vars_global(struct plan *p, size_t n_instrs)
{
    set_platform(p, "TARGET", &p->opts.target_platform);
    set_platform(p, "BUILD", &p->opts.build_platform);
    set_predefined(p, "TARGETSTAGE", target_name(p));
    for (size_t k = 0; k < n_instrs; k++) {
        const struct df_instr *i = &p->df->instrs[k];

        if (i->kind == DF_ARG)
            TRY(df_at(p->df, i, vars_declare(p, i, &p->global_env)));
    }
    return NULL;
}

struct err *plan_globals(const struct dockerfile *df, const struct plan_opts *opts, struct vars *ret_env)
{
    struct plan p = { .df = df, .opts = *opts };
    size_t n = 0;

    vars_set_all(&p.build_args, &opts->build_args);
    while (n < df->n_instrs && df->instrs[n].kind != DF_FROM)
        n++;
    struct err *e = vars_global(&p, n);
    vars_release(&p.build_args);
    if (e)
        vars_release(&p.global_env);
    else
        *ret_env = p.global_env;
    return e;
}

bool vars_is_told_builder(const char *name)
{
    return strcmp(name, "BUILDKIT_SBOM_SCAN_CONTEXT") == 0 || strcmp(name, "BUILDKIT_SBOM_SCAN_STAGE") == 0;
}

void state_declare(struct stage_state *s, const char *name)
{
    if (map_get(s->declared, name))
        return;
    strs_add(&s->args, name);
    map_set(s->declared, name, s);
}

void state_set(struct stage_state *s, const char *name, const char *value)
{
    vars_set(&s->env, name, value);
}

void state_set_config(struct stage_state *s, const char *name, const char *value)
{
    struct strs *env = &s->config.env;
    uintptr_t at = (uintptr_t)map_get(s->env_at, name);
    char *entry = xasprintf("%s=%s", name, value);

    if (at) {
        free(env->items[at - 1]);
        env->items[at - 1] = entry;
        return;
    }
    strs_take(env, entry);
    map_set(s->env_at, name, (void *)(uintptr_t)env->n);
}

/* ARG in a stage: visible from here on; a bare `ARG name` takes the global value. */
struct err *state_arg(struct stage_state *s, const struct df_instr *i)
{
    AUTO(buf_release) struct buf history = BUF_INIT;

    buf_puts(&history, "ARG");
    for (size_t n = 0; n < i->n_pairs; n++) {
        AUTO_FREE char *value = NULL;
        const char *name = i->pairs[n].name;

        struct err *e = arg_value(s->plan, &s->env, &i->pairs[n], s->undefined, &value);

        state_take_undefined(s, true);
        TRY(e);
        if (value && !vars_is_told_builder(name))
            state_set(s, name, value);
        state_declare(s, name);
        buf_printf(&history, " %s", name);
        if (value && !vars_is_proxy(name))
            buf_printf(&history, "=%s", value);
    }
    state_add(s, STEP_META, i)->created_by = buf_steal(&history);
    return NULL;
}

/* All values see the variables as they were before the instruction. */
struct err *state_env(struct stage_state *s, const struct df_instr *i)
{
    AUTO(strs_release) struct strs names = { 0 }, values = { 0 };
    AUTO(buf_release) struct buf history = BUF_INIT;

    for (size_t n = 0; n < i->n_pairs; n++) {
        char *name, *value;

        TRY(state_expand(s, i->pairs[n].name, &name));
        strs_take(&names, name);
        TRY(state_expand(s, i->pairs[n].value, &value));
        strs_take(&values, value);
    }
    buf_puts(&history, "ENV");
    for (size_t n = 0; n < names.n; n++) {
        state_set(s, names.items[n], values.items[n]);
        state_set_config(s, names.items[n], values.items[n]);
        buf_printf(&history, " %s=%s", names.items[n], values.items[n]);
    }
    state_add(s, STEP_META, i)->created_by = buf_steal(&history);
    return NULL;
}

/* Programs disagree on the case of proxy variables: a given one is set in both, as BuildKit does. */
static void set_both_cases(struct vars *env, const char *name, const char *value)
{
    AUTO_FREE char *upper = xstrdup(name), *lower = xstrdup(name);

    for (size_t i = 0; name[i]; i++) {
        upper[i] = (char)toupper((unsigned char)name[i]);
        lower[i] = (char)tolower((unsigned char)name[i]);
    }
    vars_set(env, upper, value);
    vars_set(env, lower, value);
}

void plan_run_env(const struct plan *p, const struct stage_plan *sp, const struct step *step, struct strs *ret_env)
{
    AUTO(strs_release) struct strs given = { 0 }, seen = { 0 };
    AUTO(vars_release) struct vars env = { 0 };

    vars_list(&sp->env, step->env_moment, &seen);
    vars_set_all(&env, &seen);
    vars_list(&p->build_args, vars_now(&p->build_args), &given);
    for (size_t k = 0; k < given.n; k++) {
        char *eq = strchr(given.items[k], '=');

        *eq = '\0';
        if (vars_is_proxy(given.items[k]))
            set_both_cases(&env, given.items[k], eq + 1);
    }
    if (!vars_get(&env, "PATH"))
        vars_set(&env, "PATH", DEFAULT_PATH);
    vars_list(&env, vars_now(&env), ret_env);
}
