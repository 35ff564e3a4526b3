/* words.c - see words.h. One pass over the text; operands of ${...} are expanded by the same function, up to their
 * delimiter. What is expanded goes to `out`; at the same time the outermost level collects words for words_split. */
#include "dockerfile/words.h"

#include "base/limits.h"
#include "dockerfile/pattern.h"
#include "dockerfile/runes.h"

#include <string.h>

struct lexer {
    const struct words_opts *o;
    const char *p, *end;
    bool raw_escapes;
    int depth;
    struct buf word; /* the word being collected */
    struct strs *words;
};

static struct err *expand_until(struct lexer *lx, int32_t stop, bool raw_escapes, struct buf *out);

static int32_t peek(const struct lexer *lx)
{
    size_t width = 0;

    return rune_at(lx->p, lx->end, &width);
}

static int32_t next(struct lexer *lx)
{
    size_t width = 0;
    int32_t c = rune_at(lx->p, lx->end, &width);

    lx->p += width;
    return c;
}

/* ---- collecting words ---- */

static void word_end(struct lexer *lx)
{
    if (lx->word.len == 0)
        return;
    strs_add(lx->words, buf_str(&lx->word));
    buf_clear(&lx->word);
}

static void word_rune(struct lexer *lx, int32_t c)
{
    if (rune_is_space(c))
        word_end(lx);
    else
        rune_put(&lx->word, c);
}

static void word_text(struct lexer *lx, const char *p, size_t n, bool split)
{
    size_t width = 0;

    if (!split) {
        buf_add(&lx->word, p, n);
        return;
    }
    for (size_t i = 0; i < n; i += width)
        word_rune(lx, rune_at(p + i, p + n, &width));
}

/* ---- variables ---- */

static bool is_special_name(int32_t c)
{
    return c > 0 && c < 0x80 && strchr("@*#?-$!", c);
}

/* A name, all digits in a row, or one special character; "" if there is none. */
static void read_name(struct lexer *lx, struct buf *name)
{
    int32_t c = peek(lx);
    bool digits = rune_is_digit(c);

    if (is_special_name(c)) {
        rune_put(name, next(lx));
        return;
    }
    for (; rune_is_digit(c) || (!digits && (rune_is_letter(c) || c == '_')); c = peek(lx))
        rune_put(name, next(lx));
}

/* NULL if it is not set, which is noted. */
static const char *lookup(const struct lexer *lx, const char *name)
{
    const char *value = lx->o->env ? vars_get(lx->o->env, name) : NULL;

    struct strs *unmatched = value ? NULL : lx->o->unmatched;

    if (unmatched && unmatched->n < LIMIT_UNSET_NAMES && !strs_has(unmatched, name))
        strs_add(unmatched, name);
    return value;
}

struct subst {
    const char *name, *value; /* value: NULL = not set */
    bool empty_is_unset;      /* ':' before the operator */
    int32_t op;
};

static bool is_unset(const struct subst *s)
{
    return !s->value || (s->empty_is_unset && !*s->value);
}

static struct err *required(const struct subst *s, const char *message, struct buf *out)
{
    if (is_unset(s)) {
        if (!*message)
            message = s->value ? "is not allowed to be empty" : "is not allowed to be unset";
        return err_new(ERR_DOCKERFILE, "variable '%s': %s", s->name, message);
    }
    buf_puts(out, s->value);
    return NULL;
}

static struct err *unsupported(const struct subst *s)
{
    struct buf op = BUF_INIT;

    if (s->empty_is_unset)
        buf_putc(&op, ':');
    if (s->op >= 0)
        rune_put(&op, s->op);
    struct err *e = err_new(ERR_DOCKERFILE, "unsupported modifier '%s' in the substitution of variable '%s'",
                            buf_str(&op), s->name);

    buf_release(&op);
    return err_hint(
        e, "Modifiers are :- - :+ + :? ? # ## %% %%%% / and //; a '$' that starts no variable needs an escape.");
}

static struct err *apply(const struct subst *s, const char *operand, struct buf *out)
{
    bool longest = *operand && *operand == s->op;

    switch (s->op) {
    case '-':
        buf_puts(out, is_unset(s) ? operand : s->value);
        return NULL;
    case '+':
        buf_puts(out, is_unset(s) ? "" : operand);
        return NULL;
    case '?':
        return required(s, operand, out);
    case '%':
        return pattern_trim_suffix(operand + longest, s->value ? s->value : "", longest, out);
    case '#':
        return pattern_trim_prefix(operand + longest, s->value ? s->value : "", longest, out);
    default:
        return unsupported(s);
    }
}

/* ${name<op>operand} from behind the operator. */
static struct err *with_operand(struct lexer *lx, const char *name, bool colon, int32_t op, struct buf *out)
{
    AUTO(buf_release) struct buf operand = BUF_INIT;
    bool is_pattern = op == '#' || op == '%';
    struct subst s = { name, NULL, colon, op };

    if (colon && is_pattern)
        return unsupported(&s);
    TRY(expand_until(lx, '}', is_pattern, &operand));
    s.value = lookup(lx, name);
    if (!s.value && lx->o->keep_unset) {
        buf_printf(out, "${%s%s", name, colon ? ":" : "");
        rune_put(out, op);
        buf_printf(out, "%s}", buf_str(&operand));
        return NULL;
    }
    return apply(&s, buf_str(&operand), out);
}

/* ${name/pattern/with} from behind the first '/'. */
static struct err *replacement(struct lexer *lx, const char *name, struct buf *out)
{
    AUTO(buf_release) struct buf pattern = BUF_INIT;
    AUTO(buf_release) struct buf with = BUF_INIT;
    bool all = peek(lx) == '/';

    if (all)
        next(lx);
    TRY(expand_until(lx, '/', true, &pattern));
    TRY(expand_until(lx, '}', true, &with));
    const char *value = lookup(lx, name);

    if (!value && lx->o->keep_unset) {
        buf_printf(out, "${%s/%s/%s}", name, buf_str(&pattern), buf_str(&with));
        return NULL;
    }
    return pattern_replace(buf_str(&pattern), value ? value : "", buf_str(&with), all, out);
}

static struct err *expand_braces(struct lexer *lx, struct buf *out)
{
    AUTO(buf_release) struct buf name = BUF_INIT;
    int32_t c = peek(lx);

    if (c == RUNE_END)
        return err_new(ERR_DOCKERFILE, "missing '}' of a substitution");
    if (c == '{' || c == '}' || c == ':')
        return err_new(ERR_DOCKERFILE, "a substitution without a variable's name");
    read_name(lx, &name);
    c = next(lx);
    if (c == '/')
        return replacement(lx, buf_str(&name), out);
    if (c == ':')
        return with_operand(lx, buf_str(&name), true, next(lx), out);
    if (c == '+' || c == '-' || c == '?' || c == '#' || c == '%')
        return with_operand(lx, buf_str(&name), false, c, out);
    if (c != '}')
        return unsupported(&(struct subst){ buf_str(&name), NULL, false, c });
    const char *value = lookup(lx, buf_str(&name));

    if (!value && lx->o->keep_unset)
        buf_printf(out, "${%s}", buf_str(&name));
    else
        buf_puts(out, value ? value : "");
    return NULL;
}

static struct err *expand_dollar(struct lexer *lx, struct buf *out)
{
    AUTO(buf_release) struct buf name = BUF_INIT;

    next(lx);
    if (peek(lx) == '{') {
        next(lx);
        return expand_braces(lx, out);
    }
    read_name(lx, &name);
    const char *value = name.len ? lookup(lx, buf_str(&name)) : NULL;

    if (name.len == 0 || (!value && lx->o->keep_unset))
        buf_printf(out, "$%s", buf_str(&name));
    else
        buf_puts(out, value ? value : "");
    return NULL;
}

/* ---- quotes, escapes, plain text ---- */

static struct err *single_quotes(struct lexer *lx, struct buf *out)
{
    int32_t c = next(lx);

    if (lx->o->raw_quotes)
        rune_put(out, c);
    while ((c = next(lx)) != '\'') {
        if (c == RUNE_END)
            return err_new(ERR_DOCKERFILE, "missing end of single quotes");
        rune_put(out, c);
    }
    if (lx->o->raw_quotes)
        rune_put(out, c);
    return NULL;
}

static void escape_in_double_quotes(struct lexer *lx, int32_t c, struct buf *out)
{
    if (lx->raw_escapes)
        rune_put(out, c);
    int32_t escaped = peek(lx);

    if (escaped == RUNE_END)
        return;
    if (escaped == '"' || escaped == '$' || escaped == lx->o->escape)
        c = next(lx);
    rune_put(out, c);
}

static struct err *double_quotes(struct lexer *lx, struct buf *out)
{
    int32_t c = next(lx);

    if (lx->o->raw_quotes)
        rune_put(out, c);
    while ((c = peek(lx)) != '"') {
        if (c == RUNE_END)
            return err_new(ERR_DOCKERFILE, "missing end of double quotes");
        if (c == '$') {
            TRY(expand_dollar(lx, out));
            continue;
        }
        next(lx);
        if (c == lx->o->escape)
            escape_in_double_quotes(lx, c, out);
        else
            rune_put(out, c);
    }
    next(lx);
    if (lx->o->raw_quotes)
        rune_put(out, c);
    return NULL;
}

/* "<<  EOF" is one word. */
static void possible_heredoc(struct lexer *lx, struct buf *out)
{
    rune_put(out, next(lx));
    if (peek(lx) != '<')
        return;
    rune_put(out, next(lx));
    for (int32_t c = peek(lx); c == ' ' || c == '\t' || c == '\r'; c = peek(lx))
        rune_put(out, next(lx));
}

static void plain_rune(struct lexer *lx, struct buf *out)
{
    int32_t c = next(lx);

    if (c != lx->o->escape) {
        word_rune(lx, c);
        rune_put(out, c);
        return;
    }
    if (lx->raw_escapes) {
        rune_put(&lx->word, c);
        rune_put(out, c);
    }
    c = next(lx);
    if (c == RUNE_END)
        return;
    rune_put(&lx->word, c);
    rune_put(out, c);
}

/* One piece of text that starts with c. */
static struct err *expand_piece(struct lexer *lx, int32_t c, struct buf *out)
{
    size_t start = out->len;

    if (c == '$')
        TRY(expand_dollar(lx, out));
    else if (c == '\'' && !lx->o->plain_quotes)
        TRY(single_quotes(lx, out));
    else if (c == '"' && !lx->o->plain_quotes)
        TRY(double_quotes(lx, out));
    else if (c == '<')
        possible_heredoc(lx, out);
    else {
        plain_rune(lx, out);
        return NULL;
    }
    if (out->len > start)
        word_text(lx, out->data + start, out->len - start, c == '$');
    return NULL;
}

/* Up to and with the delimiter, or to the end of the text. The reference lexer forgets, when it meets an operand, what
 * it has of the word around it ("a${b:-c}" splits to "c" alone): images and cache keys follow it, so do we. */
static struct err *expand_until(struct lexer *lx, int32_t stop, bool raw_escapes, struct buf *out)
{
    bool outer_raw = lx->raw_escapes;

    if (lx->depth >= LIMIT_WORD_DEPTH)
        return err_new(ERR_DOCKERFILE, "substitutions are nested more than %d deep", LIMIT_WORD_DEPTH);
    lx->depth++;
    lx->raw_escapes = raw_escapes;
    buf_clear(&lx->word);
    struct strs *words = lx->words;
    struct strs dropped = { 0 };

    if (stop != RUNE_END)
        lx->words = &dropped;
    struct err *e = NULL;

    while (!e && peek(lx) != RUNE_END && peek(lx) != stop)
        e = expand_piece(lx, peek(lx), out);
    if (!e && stop != RUNE_END && next(lx) == RUNE_END)
        e = err_new(ERR_DOCKERFILE, "missing '%c' of a substitution", (char)stop);
    word_end(lx);
    strs_release(&dropped);
    lx->words = words;
    lx->raw_escapes = outer_raw;
    lx->depth--;
    return e;
}

static struct err *run(const char *text, const struct words_opts *opts, struct buf *out, struct strs *words)
{
    struct lexer lx = { .o = opts, .p = text, .end = text + strlen(text), .words = words };

    if (peek(&lx) == RUNE_BOM)
        next(&lx);
    struct err *e = expand_until(&lx, RUNE_END, opts->raw_escapes, out);

    buf_release(&lx.word);
    return e;
}

struct err *words_expand(const char *text, const struct words_opts *opts, char **ret_text)
{
    AUTO(buf_release) struct buf out = BUF_INIT;
    struct strs words = { 0 };
    struct err *e = run(text, opts, &out, &words);

    strs_release(&words);
    if (e)
        return err_blame(err_wrap(e, "cannot expand '%.200s'", text), text);
    *ret_text = buf_steal(&out);
    return NULL;
}

struct err *words_split(const char *text, const struct words_opts *opts, struct strs *ret_words)
{
    AUTO(buf_release) struct buf out = BUF_INIT;
    struct strs words = { 0 };
    struct err *e = run(text, opts, &out, &words);

    for (size_t i = 0; !e && i < words.n; i++)
        strs_add(ret_words, words.items[i]);
    strs_release(&words);
    return err_blame(err_wrap(e, "cannot split '%.200s' into words", text), text);
}
