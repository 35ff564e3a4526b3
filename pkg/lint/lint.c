/* lint.c - asks the rules, keeps what they say. */
#include "base/limits.h"
#include "base/suggest.h"
#include "lint/lint_priv.h"

#include <ctype.h>
#include <string.h>

#define CHECK_ARG "BUILDKIT_DOCKERFILE_CHECK"

const struct lint_rule_info *lint_rule_info(enum lint_rule rule)
{
    return &lint_rules[rule].info;
}

/* ---- options ---- */

static void note_unknown(struct lint *l, const struct strs *names, const char *where, int line)
{
    const char *ids[LINT_RULE_COUNT];

    for (int k = 0; k < LINT_RULE_COUNT; k++)
        ids[k] = lint_rules[k].info.id;
    for (size_t k = 0; k < names->n && l->notes.n < LIMIT_LINT_WARNINGS; k++) {
        const char *near = suggest(names->items[k], ids, LINT_RULE_COUNT);
        AUTO_FREE char *place = line ? xasprintf("%s:%d", where, line) : xstrdup(where);

        if (!names->items[k][0]) {
            strs_take(&l->notes, xasprintf("%s: the list of checks ends at its first blank", place));
            continue;
        }
        strs_take(&l->notes, xasprintf("%s: there is no check '%.100s'%s%s%s", place, names->items[k],
                                       near ? "; did you mean '" : "", near ? near : "", near ? "'?" : ""));
    }
}

static const char *last_arg(const struct strs *args, const char *name)
{
    size_t len = strlen(name);

    for (size_t k = args->n; k-- > 0;)
        if (strncmp(args->items[k], name, len) == 0 && args->items[k][len] == '=')
            return args->items[k] + len + 1;
    return NULL;
}

static struct err *read_options(struct lint *l, const struct strs *build_args)
{
    AUTO(strs_release) struct strs unknown = { 0 };
    const char *given = last_arg(build_args, CHECK_ARG);
    struct err *e;

    if (given) {
        e = lint_options_parse(given, &l->options, &unknown);
        TRY(err_set_kind(err_wrap(e, "the build argument " CHECK_ARG " cannot be used"), ERR_SETTING));
        note_unknown(l, &unknown, CHECK_ARG, 0);
        return NULL;
    }
    if (!l->df->check)
        return NULL;
    e = lint_options_parse(l->df->check, &l->options, &unknown);
    TRY(df_at_line(l->df, l->df->check_line, e));
    note_unknown(l, &unknown, l->df->name, l->df->check_line);
    return NULL;
}

/* A comment above an instruction that says what is not to be checked of it. BuildKit takes no notice of a wrong one;
 * here it is told. */
static void note_comments(struct lint *l)
{
    for (size_t k = 0; k < l->df->n_instrs; k++) {
        const struct df_instr *i = &l->df->instrs[k];
        AUTO(strs_release) struct strs unknown = { 0 };
        struct lint_options o;

        if (!i->check)
            continue;
        struct err *e = lint_options_parse(i->check, &o, &unknown);
        if (e && l->notes.n < LIMIT_LINT_WARNINGS)
            strs_take(&l->notes, xasprintf("%s:%d: %s", l->df->name, i->check_line, err_message(e)));
        err_free(e);
        note_unknown(l, &unknown, l->df->name, i->check_line);
    }
}

/* ---- warnings ---- */

/* The instruction that begins in that line: there always is one. */
static const struct df_instr *instr_at(const struct lint *l, int line)
{
    size_t low = 0, high = l->df->n_instrs;

    while (high - low > 1) {
        size_t k = low + (high - low) / 2;

        if (l->df->instrs[k].line <= line)
            low = k;
        else
            high = k;
    }
    return &l->df->instrs[low];
}

static bool is_wanted(const struct lint *l, enum lint_rule rule, const struct df_instr *i)
{
    struct lint_options o = l->options, local;
    AUTO(strs_release) struct strs unknown = { 0 };
    struct err *e = i->check ? lint_options_parse(i->check, &local, &unknown) : NULL;

    if (i->check && !e)
        lint_options_merge(&o, &local);
    err_free(e);
    if (lint_rules[rule].info.experimental)
        return (o.experimental >> rule) & 1;
    return !((o.skip >> rule) & 1);
}

static bool was_said(const struct lint *l, enum lint_rule rule, int line, const char *message)
{
    for (size_t k = l->warnings.n; k-- > 0;) {
        const struct lint_warning *w = &l->warnings.items[k];

        if (w->rule == rule && w->at.line >= line && strcmp(w->message, message) == 0)
            return true;
        if (w->at.line < line)
            break;
    }
    return false;
}

void lint_report(struct lint *l, enum lint_rule rule, int line, const char *token, const char *fmt, ...)
{
    const struct df_instr *i = instr_at(l, line);
    va_list ap;

    if (!is_wanted(l, rule, i))
        return;
    if (l->warnings.n >= LIMIT_LINT_WARNINGS) {
        l->dropped++;
        return;
    }
    va_start(ap, fmt);
    char *message = xvasprintf(fmt, ap);
    va_end(ap);
    const struct lint_warning w = { rule, df_find(l->df, i, token), message };

    if (was_said(l, rule, w.at.line, message))
        free(message);
    else
        vec_push(&l->warnings, w);
}

static int by_line(const void *a, const void *b)
{
    const struct lint_warning *x = a, *y = b;

    if (x->at.line != y->at.line)
        return x->at.line < y->at.line ? -1 : 1;
    if (x->at.col != y->at.col)
        return x->at.col < y->at.col ? -1 : 1;
    if (x->rule != y->rule)
        return x->rule < y->rule ? -1 : 1;
    return strcmp(x->message, y->message);
}

const struct lint_warning *lint_warnings(struct lint *l, size_t *ret_n)
{
    if (l->warnings.n > 1)
        qsort(l->warnings.items, l->warnings.n, sizeof(l->warnings.items[0]), by_line);
    *ret_n = l->warnings.n;
    return l->warnings.items;
}

size_t lint_dropped(const struct lint *l)
{
    return l->dropped;
}

const struct strs *lint_notes(const struct lint *l)
{
    return &l->notes;
}

bool lint_is_strict(const struct lint *l)
{
    return l->options.error;
}

struct err *lint_verdict(const struct lint *l)
{
    AUTO(buf_release) struct buf names = BUF_INIT;
    uint32_t rules = 0;

    if (!l->options.error || l->warnings.n == 0)
        return NULL;
    for (size_t k = 0; k < l->warnings.n; k++)
        rules |= 1u << l->warnings.items[k].rule;
    for (int k = 0; k < LINT_RULE_COUNT; k++)
        if ((rules >> k) & 1)
            buf_printf(&names, "%s%s", names.len ? "," : "", lint_rules[k].info.id);
    const size_t n = l->warnings.n + l->dropped;

    return err_hint(
        err_new(ERR_DOCKERFILE, "checks gave %zu warning%s, and with error=true they are errors", n, n == 1 ? "" : "s"),
        "Mend what they say, or add skip=%s to the check options.", buf_str(&names));
}

/* ---- asking ---- */

static void ask(struct lint *l, enum lint_phase phase, const struct lint_at *at)
{
    for (int k = 0; k < LINT_RULE_COUNT; k++)
        if (lint_rules[k].phase == phase)
            lint_rules[k].check(l, at);
}

static void on_base(void *ctx, const struct plan_moment *m)
{
    struct lint *l = ctx;
    const struct plan_stage *stage = &m->plan->stages[m->stage];

    memset(l->last_line, 0, sizeof(l->last_line));
    l->workdir_set[m->stage] = stage->base == PLAN_BASE_STAGE && l->workdir_set[stage->base_stage];
    ask(l, LINT_OF_BASE, &(struct lint_at){ m->instr, m, NULL });
}

static void on_instr(void *ctx, const struct plan_moment *m)
{
    ask(ctx, LINT_OF_STEP, &(struct lint_at){ m->instr, m, NULL });
}

static void on_undefined(void *ctx, const struct plan_moment *m, const char *name)
{
    ask(ctx, LINT_OF_UNDEFINED, &(struct lint_at){ m->instr, m, name });
}

const struct plan_watch *lint_watch(const struct lint *l)
{
    return &l->watch;
}

void lint_set_ignore(struct lint *l, const struct ignore *ignore)
{
    l->ignore = ignore;
}

/* ---- what is known before ---- */

char *lint_keyword(const struct df_instr *i)
{
    return xstrndup(i->text, strcspn(i->text, " \t\v\f\r"));
}

static bool is_all(const char *text, int (*fold)(int))
{
    for (; *text; text++)
        if (fold((unsigned char)*text) != (unsigned char)*text)
            return false;
    return true;
}

/* Instructions before the first FROM have no vote, as in BuildKit. */
static void count_cases(struct lint *l)
{
    size_t lower = 0, upper = 0;

    for (size_t k = l->first_from; k < l->df->n_instrs; k++) {
        AUTO_FREE char *keyword = lint_keyword(&l->df->instrs[k]);

        lower += is_all(keyword, tolower);
        upper += is_all(keyword, toupper);
    }
    l->lower_case = lower > upper;
}

static void find_globals(struct lint *l, const struct plan_opts *opts)
{
    struct plan_opts none = *opts;
    struct err *e = plan_globals(l->df, opts, &l->globals);

    l->globals_known = !e;
    err_free(e);
    none.build_args = (struct strs){ 0 };
    e = plan_globals(l->df, &none, &l->defaults);
    l->defaults_known = !e;
    err_free(e);
    for (size_t k = 0; k < l->first_from; k++)
        for (size_t n = 0; n < l->df->instrs[k].n_pairs; n++)
            map_set(l->global_args, l->df->instrs[k].pairs[n].name, l);
}

struct err *lint_new(const struct dockerfile *df, const struct plan_opts *opts, struct lint **ret)
{
    AUTO(lint_free) struct lint *l = xcalloc(1, sizeof(*l));

    l->df = df;
    l->watch = (struct plan_watch){ l, on_base, on_instr, on_undefined };
    l->stage_names = map_new(NULL);
    l->global_args = map_new(NULL);
    l->workdir_set = xcalloc(df->n_instrs + 1, sizeof(*l->workdir_set));
    while (l->first_from < df->n_instrs && df->instrs[l->first_from].kind != DF_FROM)
        l->first_from++;
    TRY(read_options(l, &opts->build_args));
    count_cases(l);
    find_globals(l, opts);
    *ret = steal(&l);
    return NULL;
}

void lint_dockerfile(struct lint *l)
{
    note_comments(l);
    for (size_t k = 0; k < l->df->n_instrs; k++) {
        const struct lint_at at = { &l->df->instrs[k], NULL, NULL };

        ask(l, LINT_OF_INSTR, &at);
        if (at.instr->kind == DF_FROM)
            ask(l, LINT_OF_FROM, &at);
    }
}

bool lint_expand(const struct plan_moment *m, const char *text, char **ret_text)
{
    AUTO(strs_release) struct strs unset = { 0 };
    const struct words_opts opts = { .env = m->env, .escape = m->plan->df->escape, .unmatched = &unset };
    AUTO_FREE char *out = NULL;
    struct err *e = words_expand(text, &opts, &out);

    err_free(e);
    if (e || (!m->base_known && unset.n > 0))
        return false;
    *ret_text = steal(&out);
    return true;
}

void lint_free(struct lint *l)
{
    if (!l)
        return;
    for (size_t k = 0; k < l->warnings.n; k++)
        free(l->warnings.items[k].message);
    vec_free(&l->warnings);
    strs_release(&l->notes);
    map_free(l->stage_names);
    map_free(l->global_args);
    vars_release(&l->globals);
    vars_release(&l->defaults);
    free(l->workdir_set);
    free(l);
}
