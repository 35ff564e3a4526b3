/* dockerfile.c - see dockerfile.h: from text to the list of instructions, with places. */
#include "dockerfile/dockerfile.h"

#include "base/buf.h"
#include "base/limits.h"
#include "base/vec.h"
#include "dockerfile/parse.h"

#include <string.h>
#include <strings.h>

void df_instr_free(struct df_instr *i)
{
    if (!i)
        return;
    instr_release(i);
    free(i);
}

void dockerfile_free(struct dockerfile *df)
{
    if (!df)
        return;
    free(df->name);
    free(df->syntax);
    free(df->check);
    for (size_t k = 0; k < df->n_instrs; k++)
        instr_release(&df->instrs[k]);
    free(df->instrs);
    strs_release(&df->lines);
    free(df);
}

struct srcpos df_place(const struct dockerfile *df, int line)
{
    struct srcpos at = { .file = df->name, .line = line };

    if (line >= 1 && (size_t)line <= df->lines.n)
        at.text = df->lines.items[line - 1];
    return at;
}

static const struct df_flag *last_flag(const struct df_instr *i, const char *name)
{
    for (size_t k = i->n_flags; k > 0; k--)
        if (strcmp(i->flags[k - 1].name, name) == 0)
            return &i->flags[k - 1];
    return NULL;
}

const char *df_flag(const struct df_instr *i, const char *name)
{
    const struct df_flag *flag = last_flag(i, name);

    return flag ? flag->value : NULL;
}

bool df_flag_bool(const struct df_instr *i, const char *name)
{
    const struct df_flag *flag = last_flag(i, name);

    return flag && (!flag->has_value || strcasecmp(flag->value, "true") == 0);
}

/* The place of a mistake: where the blamed token stands, if it is found as it was written. */
static struct err *at_token(struct err *e, const struct dockerfile *df, int first, int last, const char *token)
{
    for (int line = first; token && *token && line <= last; line++) {
        struct srcpos at = df_place(df, line);
        const char *found = at.text ? strstr(at.text, token) : NULL;

        if (!found)
            continue;
        at.col = (int)(found - at.text) + 1;
        return err_at(e, &at);
    }
    struct srcpos at = df_place(df, first);

    return err_at(e, &at);
}

/* What an image's configuration keeps of an ONBUILD: the text behind the keyword, and the here-documents. */
static char *trigger_text(const char *line, const struct df_instr *i)
{
    struct buf text = BUF_INIT;
    const char *p = line + strspn(line, " \t\n\f\r") + strlen("ONBUILD");

    buf_puts(&text, p + strspn(p, " \t\n\f\r"));
    for (size_t k = 0; k < i->n_heredocs; k++)
        buf_printf(&text, "\n%s%s", i->heredocs[k].raw, i->heredocs[k].name);
    return buf_steal(&text);
}

static void finish_trigger(const struct dockerfile *df, const char *line, struct df_instr *i)
{
    struct srcpos at = df_place(df, i->line);

    i->arg = trigger_text(line, i);
    err_free(dockerfile_parse_trigger(i->arg, &at, &i->trigger));
    if (i->trigger)
        i->trigger->end_line = i->end_line;
    for (size_t k = 0; i->trigger && k < i->trigger->n_heredocs; k++)
        i->trigger->heredocs[k].line += i->line - 1;
}

static struct err *read_instr(struct lex *lx, struct dockerfile *df, const char *line, int first,
                              struct df_instr *ret_instr)
{
    struct blame blame = { NULL };
    struct err *e = instr_parse(line, lx->escape, ret_instr, &blame);
    int last = lx->line;

    if (!e && ret_instr->takes_heredocs)
        e = heredocs_read(lx, line, ret_instr);
    if (e)
        e = at_token(e, df, first, last, blame.token);
    free(blame.token);
    ret_instr->line = first;
    ret_instr->end_line = lx->line;
    if (!e && ret_instr->kind == DF_ONBUILD)
        finish_trigger(df, line, ret_instr);
    return e;
}

/* All instructions of the text, each for itself. */
static struct err *read_all(const char *text, size_t len, struct dockerfile *df)
{
    AUTO(buf_release) struct buf line = BUF_INIT;
    VEC(struct df_instr) instrs = { 0 };
    struct lex lx;
    struct err *e = NULL;
    bool more = true;
    int first = 0;

    lex_init(&lx, text, len);
    while (!e) {
        struct df_instr instr = { 0 };

        e = lex_logical(&lx, &line, &first, &more);
        if (e) {
            e = at_token(e, df, lx.line, lx.line, NULL);
            break;
        }
        if (!more)
            break;
        e = read_instr(&lx, df, buf_str(&line), first, &instr);
        vec_push(&instrs, instr);
    }
    df->escape = lx.escape;
    df->instrs = instrs.items;
    df->n_instrs = instrs.n;
    return e;
}

static void keep_lines(const char *text, size_t len, struct dockerfile *df)
{
    struct lex lx;

    lex_init(&lx, text, len);
    for (const char *p = lx.p, *end = text + len; p < end;) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        size_t n = newline ? (size_t)(newline - p) : (size_t)(end - p);
        size_t shown = n > 0 && p[n - 1] == '\r' ? n - 1 : n;

        strs_take(&df->lines, xstrndup(p, shown));
        p += n + (newline ? 1 : 0);
    }
}

static struct err *check_bytes(const char *name, const char *text, size_t len)
{
    if (len > LIMIT_DOCKERFILE_BYTES)
        return err_new(ERR_DOCKERFILE, "'%s' is larger than %d bytes", name, LIMIT_DOCKERFILE_BYTES);
    if (len > 0 && memchr(text, 0, len))
        return err_hint(err_new(ERR_DOCKERFILE, "'%s' holds a zero byte", name),
                        "A Dockerfile is a text file in UTF-8.");
    return NULL;
}

static struct err *parse_text(const char *name, const char *text, size_t len, struct dockerfile *df)
{
    TRY(check_bytes(name, text, len));
    df->name = xstrdup(name);
    df->syntax = lex_directive(text, len, DIRECTIVE_SYNTAX);
    df->check = lex_directive(text, len, DIRECTIVE_CHECK);
    keep_lines(text, len, df);
    TRY(read_all(text, len, df));
    if (df->n_instrs == 0)
        return err_new(ERR_DOCKERFILE, "'%s' has no instructions", name);
    return NULL;
}

/* Before the first FROM only ARG may stand. */
static struct err *check_stages(const struct dockerfile *df)
{
    for (size_t k = 0; k < df->n_instrs && df->instrs[k].kind != DF_FROM; k++) {
        if (df->instrs[k].kind == DF_ARG)
            continue;
        struct srcpos at = df_place(df, df->instrs[k].line);

        return err_at(
            err_hint(err_new(ERR_DOCKERFILE, "%s stands before the first FROM", df_keyword(df->instrs[k].kind)),
                     "A Dockerfile begins with FROM; only ARG may stand before it."),
            &at);
    }
    return NULL;
}

struct err *dockerfile_parse(const char *name, const char *text, size_t len, struct dockerfile **ret)
{
    AUTO(dockerfile_free) struct dockerfile *df = xcalloc(1, sizeof(*df));

    TRY(parse_text(name, text, len, df));
    TRY(check_stages(df));
    *ret = steal(&df);
    return NULL;
}

static struct err *parse_trigger(const char *text, struct df_instr *ret)
{
    AUTO(dockerfile_free) struct dockerfile *df = xcalloc(1, sizeof(*df));

    TRY(parse_text("ONBUILD", text, strlen(text), df));
    enum df_kind kind = df->instrs[0].kind;

    if (df->n_instrs != 1)
        return err_new(ERR_DOCKERFILE, "an ONBUILD trigger is one instruction, not %zu", df->n_instrs);
    if (kind == DF_ONBUILD || kind == DF_FROM || kind == DF_MAINTAINER)
        return err_new(ERR_DOCKERFILE, "%s cannot stand behind ONBUILD", df_keyword(kind));
    *ret = df->instrs[0];
    df->n_instrs = 0;
    return NULL;
}

struct err *dockerfile_parse_trigger(const char *text, const struct srcpos *place, struct df_instr **ret)
{
    struct df_instr i = { 0 };
    struct err *e = err_wrap(parse_trigger(text, &i), "the ONBUILD trigger '%.200s' is wrong", text);

    if (e)
        return place && place->file ? err_at(e, place) : e;
    if (place) {
        i.line = place->line;
        i.end_line = place->line;
    }
    *ret = xcalloc(1, sizeof(**ret));
    **ret = i;
    return NULL;
}
