/* heredoc.c - finding here-documents in a line and reading their bodies. */
#include "base/buf.h"
#include "base/vec.h"
#include "dockerfile/parse.h"
#include "dockerfile/words.h"

#include <ctype.h>
#include <string.h>

void heredoc_release(struct df_heredoc *h)
{
    free(h->name);
    free(h->content);
    free(h->raw);
    free(h->fd);
    *h = (struct df_heredoc){ 0 };
}

static size_t count_quotes(const char *s)
{
    size_t n = 0;

    for (; *s; s++)
        n += *s == '\'' || *s == '"';
    return n;
}

/* The delimiter as a word: *ret_name without its quotes, NULL if it is not exactly one word. */
static struct err *delimiter(const char *text, char **ret_name, bool *ret_quoted)
{
    struct words_opts opts = { .escape = '\\', .keep_unset = true };
    struct strs plain = { 0 }, raw = { 0 };
    struct err *e = words_split(text, &opts, &plain);

    opts.raw_quotes = true;
    if (!e && plain.n == 1)
        e = words_split(text, &opts, &raw);
    if (!e && plain.n == 1 && raw.n == 1) {
        *ret_name = xstrdup(plain.items[0]);
        *ret_quoted = count_quotes(plain.items[0]) != count_quotes(raw.items[0]);
    }
    strs_release(&plain);
    strs_release(&raw);
    return e;
}

/* "3<<-EOF" to its parts; ret->name stays NULL if the word is no here-document. */
static struct err *heredoc_word(const char *word, struct df_heredoc *ret)
{
    size_t n_digits = strspn(word, "0123456789");
    const char *p = word + n_digits;

    if (strncmp(p, "<<", 2) != 0)
        return NULL;
    p += 2;
    bool chomp = *p == '-', quoted = false;

    p += chomp ? 1 : 0;
    p += strspn(p, " \t\n\f\r");
    if (!*p || strchr(p, '<'))
        return NULL;
    TRY(delimiter(p, &ret->name, &quoted));
    if (!ret->name)
        return NULL;
    ret->chomp = chomp;
    ret->expand = !quoted;
    ret->fd = xstrndup(word, n_digits);
    return NULL;
}

bool df_is_heredoc(const char *word)
{
    struct df_heredoc h = { 0 };

    err_free(heredoc_word(word, &h));
    bool is = h.name != NULL;

    heredoc_release(&h);
    return is;
}

static char *without_tabs(const char *text)
{
    struct buf out = BUF_INIT;

    while (*text) {
        text += strspn(text, "\t");
        size_t n = strcspn(text, "\n");

        n += text[n] == '\n' ? 1 : 0;
        buf_add(&out, text, n);
        text += n;
    }
    return buf_steal(&out);
}

static bool ends(struct span line, const struct df_heredoc *h)
{
    while (line.n > 0 && (line.p[line.n - 1] == '\n' || line.p[line.n - 1] == '\r'))
        line.n--;
    while (h->chomp && line.n > 0 && line.p[0] == '\t')
        line.p++, line.n--;
    return line.n == strlen(h->name) && memcmp(line.p, h->name, line.n) == 0;
}

static struct err *read_body(struct lex *lx, struct df_heredoc *h)
{
    AUTO(buf_release) struct buf body = BUF_INIT;
    struct span line = { NULL, 0 };
    bool more = false;

    h->line = lx->line + 1;
    for (;;) {
        TRY(lex_physical(lx, &line, &more));
        if (!more)
            return err_hint(err_new(ERR_DOCKERFILE, "the here-document '%s' has no end", h->name),
                            "A line with nothing but '%s' must follow its text.", h->name);
        if (ends(line, h))
            break;
        buf_add(&body, line.p, line.n);
    }
    h->raw = buf_steal(&body);
    h->content = h->chomp ? without_tabs(h->raw) : xstrdup(h->raw);
    return NULL;
}

struct err *heredocs_read(struct lex *lx, const char *line, struct df_instr *instr)
{
    /* the line of a shell may hold what is wrong as Dockerfile words: then it has no here-document */
    const struct words_opts opts = { .escape = '\\', .raw_quotes = true, .raw_escapes = true, .keep_unset = true };
    struct strs words = { 0 };
    VEC(struct df_heredoc) found = { 0 };
    struct err *e = NULL;

    if (strstr(line, "<<"))
        err_free(words_split(line, &opts, &words));
    for (size_t i = 0; !e && i < words.n; i++) {
        struct df_heredoc h = { 0 };

        e = heredoc_word(words.items[i], &h);
        if (!e && h.name)
            vec_push(&found, h);
    }
    strs_release(&words);
    instr->heredocs = found.items;
    instr->n_heredocs = found.n;
    for (size_t i = 0; !e && i < instr->n_heredocs; i++)
        e = read_body(lx, &instr->heredocs[i]);
    return e;
}
