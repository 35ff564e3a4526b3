/* epoch.c - SOURCE_DATE_EPOCH: a build argument, or the default of an ARG before the first FROM. Beside a number it may
 * be "context" or the name of a stage: the time of what that is fetched from (dockerfile/1.23 and 1.24). */
#include "plan/plan_priv.h"

#include <errno.h>
#include <string.h>

#define EPOCH_NAME "SOURCE_DATE_EPOCH"

/* What stages that declare ARG SOURCE_DATE_EPOCH see. */
static void replace_value(struct vars *env, const char *value)
{
    if (vars_get(env, EPOCH_NAME) && value)
        vars_set(env, EPOCH_NAME, value);
    else
        vars_unset(env, EPOCH_NAME);
}

void plan_set_epoch(struct plan *p, const int64_t *seconds)
{
    AUTO_FREE char *text = seconds ? xasprintf("%lld", (long long)*seconds) : NULL;

    replace_value(&p->build_args, text);
    replace_value(&p->global_env, text);
    p->epoch.kind = seconds ? PLAN_EPOCH_TIME : PLAN_EPOCH_NONE;
    p->epoch.seconds = seconds ? *seconds : 0;
}

static bool declares(const struct df_instr *i)
{
    for (size_t n = 0; i->kind == DF_ARG && n < i->n_pairs; n++)
        if (strcmp(i->pairs[n].name, EPOCH_NAME) == 0)
            return true;
    return false;
}

/* The place is the ARG that gives the value, if it is not a build argument's. */
static struct err *bad_epoch(const struct plan *p, const char *text)
{
    struct err *e = err_hint(err_new(ERR_DOCKERFILE, EPOCH_NAME "=%s cannot be used", text),
                             "It is a number of seconds since 1970, 'context', or the name of a stage that is FROM "
                             "scratch with a single remote ADD.");

    for (size_t k = 0; !vars_get(&p->build_args, EPOCH_NAME) && k < p->stages[0].first; k++) {
        const struct srcpos pos = df_place(p->df, p->df->instrs[k].line);

        if (declares(&p->df->instrs[k]))
            return err_at(e, &pos);
    }
    return e;
}

/* The one ADD of a stage that is a source. */
static struct err *take_source(struct plan *p, const struct df_instr *i, const struct vars *env)
{
    const struct words_opts opts = { .env = env, .escape = p->df->escape };
    enum address_kind kind;

    if (p->epoch.source)
        return err_new(ERR_DOCKERFILE, "the stage of " EPOCH_NAME " must have exactly one remote ADD");
    if (i->n_heredocs || i->words.n != 1)
        return err_new(ERR_DOCKERFILE, "the stage of " EPOCH_NAME " must have an ADD with exactly one remote source");
    TRY(words_expand(i->words.items[0], &opts, &p->epoch.source));
    if (df_flag(i, "checksum"))
        TRY(words_expand(df_flag(i, "checksum"), &opts, &p->epoch.checksum));
    p->epoch.keep_git_dir = df_flag_bool(i, "keep-git-dir");
    p->epoch.line = i->line;
    TRY(address_kind_of(p->epoch.source, &kind));
    if (kind == ADDRESS_PATH)
        return err_new(ERR_DOCKERFILE, "the ADD in the stage of " EPOCH_NAME " must have a URL or a repository");
    return NULL;
}

static struct err *source_instr(struct plan *p, const struct df_instr *i, struct vars *env)
{
    if (i->kind == DF_ADD)
        return take_source(p, i, env);
    if (i->kind == DF_ARG)
        return vars_declare(p, i, env);
    return err_hint(err_new(ERR_DOCKERFILE, "the stage of " EPOCH_NAME " may have ARG and one remote ADD only, not %s",
                            df_keyword(i->kind)),
                    "It names where the time comes from; nothing of it is built.");
}

static struct err *set_from_stage(struct plan *p, const struct plan_stage *st)
{
    AUTO(strs_release) struct strs global = { 0 };
    AUTO(vars_release) struct vars env = { 0 };
    const struct srcpos from = df_place(p->df, p->df->instrs[st->first].line);

    vars_list(&p->global_env, vars_now(&p->global_env), &global);
    vars_set_all(&env, &global);
    vars_unset(&env, EPOCH_NAME);
    if (st->base != PLAN_BASE_SCRATCH)
        return err_at(err_new(ERR_DOCKERFILE, "the stage of " EPOCH_NAME " must be FROM scratch"), &from);
    for (size_t k = st->first + 1; k < st->last; k++) {
        const struct srcpos pos = df_place(p->df, p->df->instrs[k].line);

        TRY(err_at(source_instr(p, &p->df->instrs[k], &env), &pos));
    }
    if (!p->epoch.source)
        return err_at(err_new(ERR_DOCKERFILE, "the stage of " EPOCH_NAME " must have exactly one remote ADD"), &from);
    p->epoch.kind = PLAN_EPOCH_SOURCE;
    return NULL;
}

/* A number as Go's ParseInt reads it. */
static bool parse_seconds(const char *text, int64_t *ret_seconds)
{
    const char *digits = text + (*text == '-' || *text == '+');

    if (!*digits || digits[strspn(digits, "0123456789")])
        return false;
    errno = 0;
    *ret_seconds = strtoll(text, NULL, 10);
    return errno == 0;
}

struct err *epoch_find(struct plan *p)
{
    const char *given = vars_get(&p->build_args, EPOCH_NAME);
    const char *found = given ? given : vars_get(&p->global_env, EPOCH_NAME);
    int64_t seconds;

    if (!found || !*found) {
        plan_set_epoch(p, NULL);
        return NULL;
    }
    AUTO_FREE char *text = xstrdup(found);
    if (parse_seconds(text, &seconds)) {
        if (seconds < PLAN_EPOCH_MIN || seconds > PLAN_EPOCH_MAX)
            return bad_epoch(p, text);
        plan_set_epoch(p, &seconds);
        return NULL;
    }
    if (strcmp(text, "context") == 0) {
        p->epoch.kind = PLAN_EPOCH_CONTEXT;
        return NULL;
    }
    if (plan_find_context(p, text, &p->epoch.named)) {
        p->epoch.kind = PLAN_EPOCH_NAMED;
        return NULL;
    }
    for (size_t i = 0; i < p->n_stages; i++)
        if (p->stages[i].name && strcasecmp(p->stages[i].name, text) == 0)
            return set_from_stage(p, &p->stages[i]);
    return bad_epoch(p, text);
}
