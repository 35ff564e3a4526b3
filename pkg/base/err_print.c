/* err_print.c - errors and places as people see them. The source is text from outside: what is printed of it has no
 * control characters but tabs, and no more than SHOWN_BYTES of a line. */
#include "base/err_priv.h"

#include "base/buf.h"

#include <string.h>

enum {
    SHOWN_BYTES = 160, /* of one line */
    SHOWN_BEFORE = 60  /* of them before the mark, in a line that is cut */
};

/* The part of a line that is shown: from..to. */
struct window {
    size_t from, to;
};

static bool inside_character(const char *line, size_t i)
{
    return ((unsigned char)line[i] & 0xC0) == 0x80;
}

static struct window window_of(const char *line, size_t mark)
{
    size_t len = strlen(line);
    struct window w = { 0, len };

    if (len <= SHOWN_BYTES)
        return w;
    if (mark > SHOWN_BYTES - SHOWN_BEFORE)
        w.from = mark - SHOWN_BEFORE;
    if (w.from + SHOWN_BYTES < len)
        w.to = w.from + SHOWN_BYTES;
    while (w.from > 0 && inside_character(line, w.from))
        w.from--;
    while (w.to < len && inside_character(line, w.to))
        w.to++;
    return w;
}

static void print_line(FILE *out, bool marked, int number, const char *line, size_t mark)
{
    const struct window w = window_of(line, mark);

    fprintf(out, "%c %5d |%s%s", marked ? '>' : ' ', number, *line ? " " : "", w.from ? "..." : "");
    for (size_t i = w.from; i < w.to; i++) {
        unsigned char c = (unsigned char)line[i];

        fputc((c < ' ' && c != '\t') || c == 0x7f ? '?' : c, out);
    }
    fputs(line[w.to] ? "...\n" : "\n", out);
}

/* Below what is marked: '^', then '~' for each further character. */
static void print_mark(FILE *out, const struct srcpos *at)
{
    const size_t mark = (size_t)at->col - 1, len = strlen(at->text);
    const struct window w = window_of(at->text, mark);
    size_t end = mark + (at->width > 1 ? (size_t)at->width : 1);

    if (mark > len)
        return;
    fprintf(out, "        | %s", w.from ? "   " : "");
    for (size_t i = w.from; i < mark; i++)
        if (!inside_character(at->text, i))
            fputc(at->text[i] == '\t' ? '\t' : ' ', out);
    fputc('^', out);
    for (size_t i = mark + 1; i < end && i < w.to; i++)
        if (!inside_character(at->text, i))
            fputc('~', out);
    fputc('\n', out);
}

void srcpos_print(FILE *out, const struct srcpos *at)
{
    fprintf(out, "  at %s:%d", at->file, at->line);
    if (at->stage)
        fprintf(out, ", stage '%s'", at->stage);
    else if (at->stage_number > 0)
        fprintf(out, ", stage %d", at->stage_number - 1);
    fputc('\n', out);
    if (!at->text)
        return;
    if (at->before && *at->before)
        print_line(out, false, at->line - 1, at->before, 0);
    print_line(out, true, at->line, at->text, at->col > 0 ? (size_t)at->col - 1 : 0);
    if (at->col > 0)
        print_mark(out, at);
    if (at->after && *at->after)
        print_line(out, false, at->line + 1, at->after, 0);
}

static void print_one(FILE *out, const struct err *e)
{
    struct srcpos at;

    fprintf(out, "error: %s\n", e->texts[ERR_WHAT]);
    for (const struct err *c = e->cause; c; c = c->cause)
        fprintf(out, "  because: %s\n", c->texts[ERR_WHAT]);
    if (err_place(e, &at))
        srcpos_print(out, &at);
    for (const struct err *c = e; c; c = c->cause)
        if (c->texts[ERR_HINT])
            fprintf(out, "  hint: %s\n", c->texts[ERR_HINT]);
}

void err_print(FILE *out, const struct err *e)
{
    for (; e; e = e->next)
        print_one(out, e);
}

char *err_line(const struct err *e)
{
    struct buf out = BUF_INIT;

    for (const struct err *c = e; c; c = c->cause)
        buf_printf(&out, "%s%s", out.len ? ": " : "", c->texts[ERR_WHAT]);
    return buf_steal(&out);
}
