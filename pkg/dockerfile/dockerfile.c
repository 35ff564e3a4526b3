/* dockerfile.c - see dockerfile.h: from text to the list of instructions, with places. */
#include "dockerfile/dockerfile.h"

#include "base/buf.h"
#include "base/limits.h"
#include "base/vec.h"
#include "dockerfile/parse.h"

#include <ctype.h>
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
    vec_free(&df->froms);
    strs_release(&df->lines);
    free(df);
}

/* Which stage a line belongs to; an only stage without a name needs no mention. */
static void set_stage(const struct dockerfile *df, struct srcpos *at)
{
    size_t low = 0, high = df->froms.n; /* stages below low begin above or in the line, from high on below it */

    while (low < high) {
        size_t k = low + (high - low) / 2;

        if (df->instrs[df->froms.items[k]].line <= at->line)
            low = k + 1;
        else
            high = k;
    }
    if (low > 0)
        at->stage = df->instrs[df->froms.items[low - 1]].stage_name;
    at->stage_number = df->froms.n > 1 ? (int)low : 0;
}

static const char *line_text(const struct dockerfile *df, int line)
{
    return line >= 1 && (size_t)line <= df->lines.n ? df->lines.items[line - 1] : NULL;
}

struct srcpos df_place(const struct dockerfile *df, int line)
{
    struct srcpos at = { .file = df->name,
                         .line = line,
                         .text = line_text(df, line),
                         .before = line_text(df, line - 1),
                         .after = line_text(df, line + 1) };

    set_stage(df, &at);
    return at;
}

static bool is_edge(char c)
{
    return !c || isspace((unsigned char)c) || strchr("=,\"'", c);
}

/* The token as a word of its own, else anywhere; NULL if it is not there. */
static const char *find_token(const char *text, const char *token)
{
    const char *anywhere = strstr(text, token);

    for (const char *p = anywhere; p; p = strstr(p + 1, token))
        if ((p == text || is_edge(p[-1])) && is_edge(p[strlen(token)]))
            return p;
    return anywhere;
}

/* Where the token stands in these lines, else the first of them. */
static struct srcpos find_in_lines(const struct dockerfile *df, int first, int last, const char *token)
{
    int line = first;
    const char *found = NULL;

    for (int k = first; token && *token && !found && k <= last; k++) {
        const char *text = line_text(df, k);

        found = text ? find_token(text, token) : NULL;
        line = found ? k : first;
    }
    struct srcpos at = df_place(df, line);

    if (found) {
        at.col = (int)(found - at.text) + 1;
        at.width = (int)strlen(token);
    }
    return at;
}

/* The place of what the error blames, if it is found in these lines as it was written, else the first line. */
static struct err *blame_lines(const struct dockerfile *df, int first, int last, struct err *e)
{
    if (!e)
        return NULL;
    const struct srcpos at = find_in_lines(df, first, last, err_token(e));

    return err_at(e, &at);
}

struct srcpos df_find(const struct dockerfile *df, const struct df_instr *i, const char *token)
{
    return find_in_lines(df, i->line, i->end_line, token);
}

struct err *df_at(const struct dockerfile *df, const struct df_instr *i, struct err *e)
{
    return blame_lines(df, i->line, i->end_line, e);
}

struct err *df_at_line(const struct dockerfile *df, int line, struct err *e)
{
    for (size_t k = 0; e && k < df->n_instrs; k++)
        if (df->instrs[k].line == line)
            return df_at(df, &df->instrs[k], e);
    return blame_lines(df, line, line, e);
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
    const struct srcpos at = { .file = df->name, .line = i->line };

    i->arg = trigger_text(line, i);
    err_free(dockerfile_parse_trigger(i->arg, &at, &i->trigger));
    if (i->trigger)
        i->trigger->end_line = i->end_line;
    for (size_t k = 0; i->trigger && k < i->trigger->n_heredocs; k++)
        i->trigger->heredocs[k].line += i->line - 1;
}

static struct err *read_instr(struct lex *lx, const struct dockerfile *df, const char *line, int first,
                              struct df_instr *ret_instr)
{
    struct err *e = instr_parse(line, lx->escape, ret_instr);
    int last = lx->line;

    ret_instr->empty_line = lx->empty_line;
    ret_instr->check_line = lx->check_line;
    ret_instr->comment_line = lx->comment_line;
    ret_instr->check = steal(&lx->check);
    ret_instr->comment = steal(&lx->comment);
    if (!e && ret_instr->takes_heredocs)
        e = heredocs_read(lx, line, ret_instr);
    ret_instr->line = first;
    ret_instr->end_line = lx->line;
    if (e)
        return blame_lines(df, first, last, e);
    if (ret_instr->kind == DF_ONBUILD)
        finish_trigger(df, line, ret_instr);
    return NULL;
}

/* All instructions of the text, each for itself. df has those that are read already, for the stage of a mistake. */
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
        e = blame_lines(df, lx.line, lx.line, e);
        if (e || !more)
            break;
        e = read_instr(&lx, df, buf_str(&line), first, &instr);
        vec_push(&instrs, instr);
        if (instr.kind == DF_FROM)
            vec_push(&df->froms, instrs.n - 1);
        df->instrs = instrs.items;
        df->n_instrs = instrs.n;
    }
    lex_release(&lx);
    df->escape = lx.escape;
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
    df->syntax = lex_directive(text, len, DIRECTIVE_SYNTAX, &df->syntax_line);
    df->check = lex_directive(text, len, DIRECTIVE_CHECK, &df->check_line);
    keep_lines(text, len, df);
    TRY(read_all(text, len, df));
    if (df->n_instrs == 0)
        return err_new(ERR_DOCKERFILE, "'%s' has no instructions", name);
    return NULL;
}

char *dockerfile_syntax(const char *text, size_t len, int *ret_line)
{
    return lex_directive(text, len, DIRECTIVE_SYNTAX, ret_line);
}

struct err *dockerfile_at_line(const char *name, const char *text, size_t len, int line, struct err *e)
{
    AUTO(dockerfile_free) struct dockerfile *df = xcalloc(1, sizeof(*df));

    if (!e)
        return NULL;
    df->name = xstrdup(name);
    keep_lines(text, len, df);
    return df_at_line(df, line, e);
}

/* Before the first FROM only ARG may stand. */
static struct err *check_stages(const struct dockerfile *df)
{
    for (size_t k = 0; k < df->n_instrs && df->instrs[k].kind != DF_FROM; k++) {
        if (df->instrs[k].kind == DF_ARG)
            continue;
        return df_at(
            df, &df->instrs[k],
            err_hint(err_new(ERR_DOCKERFILE, "%s stands before the first FROM", df_keyword(df->instrs[k].kind)),
                     "A Dockerfile begins with FROM; only ARG may stand before it."));
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
