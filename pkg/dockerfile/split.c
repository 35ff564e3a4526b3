/* split.c - a logical line to keyword, flags and words. */
#include "base/buf.h"
#include "dockerfile/parse.h"

#include <ctype.h>
#include <string.h>

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r' && c != '\n');
}

void split_blanks(struct span text, size_t n_max, struct strs *ret_pieces)
{
    size_t start = 0;

    for (size_t i = 0; i < text.n && (n_max == 0 || ret_pieces->n + 1 < n_max); i++) {
        if (!is_blank(text.p[i]))
            continue;
        strs_take(ret_pieces, xstrndup(text.p + start, i - start));
        while (i + 1 < text.n && is_blank(text.p[i + 1]))
            i++;
        start = i + 1;
    }
    strs_take(ret_pieces, xstrndup(text.p + start, text.n - start));
}

/* ---- quoted words ---- */

struct words_state {
    struct buf word;
    int32_t quote; /* 0 = outside */
    bool started;  /* an empty word counts once it had quotes */
};

static void end_word(struct words_state *s, struct strs *words)
{
    if (s->started || s->word.len > 0)
        strs_take(words, buf_steal(&s->word));
    s->started = false;
}

void split_quoted(const char *text, char escape, struct strs *ret_words)
{
    const char *p = text, *end = text + strlen(text);
    struct words_state s = { BUF_INIT, 0, false };
    size_t width = 0;

    for (; p < end; p += width) {
        int32_t c = rune_at(p, end, &width);

        if (!s.quote && rune_is_space(c)) {
            end_word(&s, ret_words);
            continue;
        }
        if (c == s.quote) {
            s.quote = 0;
        } else if (!s.quote && (c == '\'' || c == '"')) {
            s.quote = c;
            s.started = true;
        } else if (c == escape && s.quote != '\'') {
            if (p + width == end)
                break; /* an escape at the end of the line is dropped */
            rune_put(&s.word, c);
            p += width;
            c = rune_at(p, end, &width);
        }
        rune_put(&s.word, c);
    }
    end_word(&s, ret_words);
    buf_release(&s.word);
}

/* ---- flags ---- */

/* One flag from *p on, without its quotes and escapes. */
static void read_flag(const char **p, const char *end, char escape, struct buf *flag)
{
    const char *s = *p;
    char quote = 0;

    for (; s < end && (quote || !isspace((unsigned char)*s)); s++) {
        if (quote ? *s == quote : *s == '\'' || *s == '"') {
            if (quote)
                quote = '\0';
            else
                quote = *s;
            continue;
        }
        if (*s == escape && ++s == end)
            break;
        buf_putc(flag, *s);
    }
    *p = s;
}

void split_flags(struct span text, char escape, struct strs *ret_flags, struct span *ret_rest)
{
    const char *p = text.p, *end = text.p + text.n;

    for (;;) {
        AUTO(buf_release) struct buf flag = BUF_INIT;

        while (p < end && isspace((unsigned char)*p))
            p++;
        if (end - p < 2 || p[0] != '-' || p[1] != '-')
            break;
        read_flag(&p, end, escape, &flag);
        if (strcmp(buf_str(&flag), "--") == 0)
            break;
        strs_add(ret_flags, buf_str(&flag));
    }
    *ret_rest = span_trim((struct span){ p, (size_t)(end - p) });
}
