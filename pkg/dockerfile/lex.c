/* lex.c - physical lines, comments, continuations and parser directives. */
#include "base/limits.h"
#include "dockerfile/parse.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

static const char *const directive_names[] = {
    [DIRECTIVE_SYNTAX] = "syntax", [DIRECTIVE_ESCAPE] = "escape", [DIRECTIVE_CHECK] = "check"
};

void lex_init(struct lex *lx, const char *text, size_t len)
{
    *lx = (struct lex){ .p = text, .end = text + len, .escape = '\\' };
    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        lx->p += 3;
}

void lex_release(struct lex *lx)
{
    free(lx->check);
    free(lx->comment);
    lx->check = lx->comment = NULL;
}

struct err *lex_physical(struct lex *lx, struct span *ret_line, bool *ret_more)
{
    size_t left = (size_t)(lx->end - lx->p);
    const char *newline = left ? memchr(lx->p, '\n', left) : NULL;
    size_t n = newline ? (size_t)(newline - lx->p) + 1 : left;

    if (n > LIMIT_DOCKERFILE_LINE_BYTES - (newline ? 0 : 1)) {
        lx->line++;
        return err_hint(err_new(ERR_DOCKERFILE, "a line is longer than %d bytes", LIMIT_DOCKERFILE_LINE_BYTES - 1),
                        "Break it into several lines, or COPY the data from a file.");
    }
    *ret_more = left > 0;
    if (left == 0)
        return NULL;
    *ret_line = (struct span){ lx->p, n };
    lx->p += n;
    lx->line++;
    return NULL;
}

static struct span trim_newline(struct span s)
{
    while (s.n > 0 && (s.p[s.n - 1] == '\n' || s.p[s.n - 1] == '\r'))
        s.n--;
    return s;
}

static bool is_comment(struct span s)
{
    s = span_trim_left(s);
    return s.n > 0 && s.p[0] == '#';
}

/* ---- directives ---- */

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r' && c != '\v');
}

/* "# name = value": false if the line is none. A value of blanks only counts as one blank, as in the reference. */
static bool directive_split(struct span s, enum directive *ret_which, struct span *ret_value)
{
    size_t n = 0;

    if (s.n == 0 || s.p[0] != '#')
        return false;
    s = span_trim_left((struct span){ s.p + 1, s.n - 1 });
    while (n < s.n && isalnum((unsigned char)s.p[n]))
        n++;
    struct span name = { s.p, n };

    while (n < s.n && is_blank(s.p[n]))
        n++;
    if (n >= s.n || s.p[n++] != '=')
        return false;
    struct span value = { s.p + n, s.n - n };

    while (value.n > 1 && is_blank(value.p[0]))
        value.p++, value.n--;
    while (value.n > 1 && is_blank(value.p[value.n - 1]))
        value.n--;
    for (int i = 0; i < DIRECTIVE_COUNT; i++) {
        if (strlen(directive_names[i]) != name.n || strncasecmp(directive_names[i], name.p, name.n) != 0)
            continue;
        *ret_which = (enum directive)i;
        *ret_value = value;
        return value.n > 0;
    }
    return false;
}

static struct err *take_directive(struct lex *lx, struct span line)
{
    enum directive which = DIRECTIVE_SYNTAX;
    struct span value = { NULL, 0 };

    if (lx->directives_over)
        return NULL;
    if (!directive_split(line, &which, &value)) {
        lx->directives_over = true;
        return NULL;
    }
    if (lx->seen[which])
        return err_new(ERR_DOCKERFILE, "only one '%s' parser directive can be used", directive_names[which]);
    lx->seen[which] = true;
    if (which != DIRECTIVE_ESCAPE)
        return NULL;
    if (value.n != 1 || (value.p[0] != '\\' && value.p[0] != '`'))
        return err_new(ERR_DOCKERFILE, "invalid escape character '%.*s': must be \\ or `", (int)value.n, value.p);
    lx->escape = value.p[0];
    return NULL;
}

/* Up to the first blank, as in the reference. */
static char *directive_value(struct span value)
{
    const char *space = memchr(value.p, ' ', value.n);

    return xstrndup(value.p, space ? (size_t)(space - value.p) : value.n);
}

char *lex_directive(const char *text, size_t len, enum directive which, int *ret_line)
{
    struct lex lx;
    struct span line = { NULL, 0 }, value = { NULL, 0 };
    enum directive found = DIRECTIVE_SYNTAX;
    bool more = false;

    lex_init(&lx, text, len);
    for (int i = 0;; i++) {
        struct err *e = lex_physical(&lx, &line, &more);

        if (e || !more) {
            err_free(e);
            return NULL;
        }
        if (i == 0 && line.n >= 2 && memcmp(line.p, "#!", 2) == 0)
            continue;
        if (!directive_split(trim_newline(line), &found, &value))
            return NULL;
        if (found == which)
            break;
    }
    *ret_line = lx.line;
    return directive_value(value);
}

/* ---- comments above an instruction ---- */

/* The first "check=" counts, of others the last; an empty comment ends what stands above it. */
static void take_comment(struct lex *lx, struct span line)
{
    enum directive which = DIRECTIVE_SYNTAX;
    struct span value = { NULL, 0 }, text = span_trim((struct span){ line.p + 1, line.n - 1 });

    if (text.n == 0) {
        lex_release(lx);
    } else if (directive_split(line, &which, &value) && which == DIRECTIVE_CHECK) {
        if (lx->check)
            return;
        lx->check = directive_value(value);
        lx->check_line = lx->line;
    } else {
        free(lx->comment);
        lx->comment = span_dup(text);
        lx->comment_line = lx->line;
    }
}

/* ---- logical lines ---- */

/* Takes a continuation character off the end; false if there is none. Doubled it is an escaped one. */
static bool continuation(struct span *line, char escape)
{
    size_t n = line->n;

    while (n > 0 && (line->p[n - 1] == ' ' || line->p[n - 1] == '\t'))
        n--;
    if (n == 0 || line->p[n - 1] != escape || (n > 1 && line->p[n - 2] == escape))
        return false;
    line->n = n - 1;
    return true;
}

static struct err *join(struct lex *lx, struct buf *text)
{
    struct span line = { NULL, 0 };
    bool more = true;

    while (more) {
        TRY(lex_physical(lx, &line, &more));
        if (!more || is_comment(line))
            continue;
        line = trim_newline(line);
        if (span_trim_left(line).n == 0) {
            lx->empty_line = lx->empty_line ? lx->empty_line : lx->line;
            continue;
        }
        more = continuation(&line, lx->escape);
        buf_add(text, line.p, line.n);
    }
    return NULL;
}

struct err *lex_logical(struct lex *lx, struct buf *ret_text, int *ret_first, bool *ret_more)
{
    struct span line = { NULL, 0 };

    buf_clear(ret_text);
    lx->empty_line = 0;
    for (;;) {
        TRY(lex_physical(lx, &line, ret_more));
        if (!*ret_more)
            return NULL;
        line = span_trim_left(trim_newline(line));
        TRY(take_directive(lx, line));
        if (line.n > 0 && line.p[0] == '#' && lx->directives_over)
            take_comment(lx, line);
        if (line.n == 0 || line.p[0] == '#')
            continue;
        *ret_first = lx->line;
        bool continued = continuation(&line, lx->escape);

        buf_add(ret_text, line.p, line.n);
        return continued ? join(lx, ret_text) : NULL;
    }
}
