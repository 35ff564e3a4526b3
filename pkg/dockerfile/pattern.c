/* pattern.c - see pattern.h. Matching advances a set of states over the value, so it needs no backtracking: its time is
 * bounded by length of pattern times length of value. */
#include "dockerfile/pattern.h"

#include "base/vec.h"
#include "dockerfile/runes.h"

#include <string.h>
#include <sys/types.h>

enum { TOKEN_ANY = -2, TOKEN_STAR = -3 };

/* Decoded text; at[i] is the byte offset of rune i, at[n] the length in bytes. */
struct runes {
    int32_t *r;
    size_t *at;
    size_t n;
};

static void runes_release_auto(struct runes *s)
{
    free(s->r);
    free(s->at);
}

static struct runes decode(const char *text)
{
    size_t len = strlen(text), width = 0;
    struct runes s = { xcalloc(len + 1, sizeof(*s.r)), xcalloc(len + 1, sizeof(*s.at)), 0 };

    for (size_t at = 0; at < len; at += width) {
        s.r[s.n] = rune_at(text + at, text + len, &width);
        s.at[s.n++] = at;
    }
    s.at[s.n] = len;
    return s;
}

struct pattern {
    int32_t *tokens; /* a rune, TOKEN_ANY or TOKEN_STAR */
    size_t n;
    bool *now, *then; /* states: n + 1 each */
};

static void pattern_release_auto(struct pattern *p)
{
    free(p->tokens);
    free(p->now);
    free(p->then);
}

/* Text to tokens. The pattern stands inside ${...}, so } and / may carry an escape that is not part of it. */
static struct err *compile(const struct runes *text, struct pattern *ret)
{
    size_t i = text->n > 0 && text->r[0] == RUNE_BOM ? 1 : 0;

    ret->n = 0;
    ret->tokens = xcalloc(text->n + 1, sizeof(*ret->tokens));
    ret->now = xcalloc(text->n + 1, sizeof(bool));
    ret->then = xcalloc(text->n + 1, sizeof(bool));
    for (; i < text->n; i++) {
        int32_t c = text->r[i];

        if (c == '\\') {
            int32_t next = i + 1 < text->n ? text->r[i + 1] : RUNE_END;

            if (next == '}' || next == '/')
                continue;
            if (next != '*' && next != '?' && next != '\\')
                return err_new(ERR_DOCKERFILE, "invalid escape in a substitution's pattern");
            i++;
            ret->tokens[ret->n++] = next;
        } else {
            ret->tokens[ret->n++] = c == '*' ? TOKEN_STAR : c == '?' ? TOKEN_ANY : c;
        }
    }
    return NULL;
}

static bool activate(const struct pattern *p, bool *set, size_t state)
{
    set[state] = true;
    while (state < p->n && p->tokens[state] == TOKEN_STAR)
        set[++state] = true;
    return set[p->n];
}

/* One rune further; false if no state is left. */
static bool step(struct pattern *p, int32_t c)
{
    bool alive = false;

    memset(p->then, 0, (p->n + 1) * sizeof(bool));
    for (size_t i = 0; i < p->n; i++) {
        if (!p->now[i])
            continue;
        if (p->tokens[i] == TOKEN_STAR && c != '\n')
            activate(p, p->then, i);
        else if (p->tokens[i] == c || (p->tokens[i] == TOKEN_ANY && c != '\n'))
            activate(p, p->then, i + 1);
        else
            continue;
        alive = true;
    }
    bool *spent = p->now;

    p->now = p->then;
    p->then = spent;
    return alive;
}

/* Where a match that starts at `start` ends, -1 if there is none. */
static ssize_t match_at(struct pattern *p, const struct runes *s, size_t start, bool longest)
{
    ssize_t end = -1;

    if (p->n > 0 && p->tokens[0] >= 0 && (start >= s->n || s->r[start] != p->tokens[0]))
        return -1;
    memset(p->now, 0, (p->n + 1) * sizeof(bool));
    activate(p, p->now, 0);
    for (size_t i = start;; i++) {
        if (p->now[p->n]) {
            end = (ssize_t)i;
            if (!longest)
                break;
        }
        if (i >= s->n || !step(p, s->r[i]))
            break;
    }
    return end;
}

struct err *pattern_trim_prefix(const char *pattern, const char *value, bool longest, struct buf *out)
{
    __attribute__((cleanup(runes_release_auto))) struct runes text = decode(pattern);
    __attribute__((cleanup(runes_release_auto))) struct runes s = decode(value);
    __attribute__((cleanup(pattern_release_auto))) struct pattern p = { 0 };

    TRY(compile(&text, &p));
    ssize_t end = match_at(&p, &s, 0, longest);

    buf_puts(out, value + (end < 0 ? 0 : s.at[end]));
    return NULL;
}

static void reverse(struct runes *s)
{
    for (size_t i = 0; i < s->n / 2; i++) {
        int32_t c = s->r[i];

        s->r[i] = s->r[s->n - 1 - i];
        s->r[s->n - 1 - i] = c;
    }
}

/* Escapes keep standing before what they escape. */
static void reverse_pattern(struct runes *s)
{
    reverse(s);
    /* now each pair reads "x\"; pairs are formed from the original start, that is from the end */
    for (size_t i = s->n; i > 1; i--) {
        if (s->r[i - 1] != '\\')
            continue;
        s->r[i - 1] = s->r[i - 2];
        s->r[i - 2] = '\\';
        i--;
    }
}

struct err *pattern_trim_suffix(const char *pattern, const char *value, bool longest, struct buf *out)
{
    __attribute__((cleanup(runes_release_auto))) struct runes text = decode(pattern);
    __attribute__((cleanup(runes_release_auto))) struct runes s = decode(value);
    __attribute__((cleanup(pattern_release_auto))) struct pattern p = { 0 };

    reverse_pattern(&text);
    TRY(compile(&text, &p));
    reverse(&s);
    ssize_t end = match_at(&p, &s, 0, longest);

    for (size_t i = s.n; i > (end < 0 ? 0 : (size_t)end); i--)
        rune_put(out, s.r[i - 1]);
    return NULL;
}

/* The name after a '$' of a replacement: its length, 0 if there is none; *ret_whole: it means the whole match. */
static size_t reference(const char *t, bool *ret_whole)
{
    const char *end = t + strlen(t);
    size_t open = *t == '{' ? 1 : 0, n = open, width = 0;

    for (;; n += width) {
        int32_t c = rune_at(t + n, end, &width);

        if (!rune_is_letter(c) && !rune_is_digit(c) && c != '_')
            break;
    }
    if (n == open)
        return 0;
    *ret_whole = n == open + 1 && t[open] == '0';
    if (open && t[n] != '}')
        return 0;
    return n + open;
}

/* The replacement of ${v//p/r} is a template: $0 is the match, other $names are empty (patterns have no groups), $$ is
 * $. */
static void put_template(const char *with, struct span match, struct buf *out)
{
    while (*with) {
        if (*with != '$') {
            buf_putc(out, *with++);
            continue;
        }
        with++;
        bool whole = false;
        size_t n = *with == '$' ? 1 : reference(with, &whole);

        if (n == 0 || *with == '$')
            buf_putc(out, '$');
        else if (whole)
            buf_add(out, match.p, match.n);
        with += n;
    }
}

static bool next_match(struct pattern *p, const struct runes *s, size_t from, size_t *ret_start, size_t *ret_end)
{
    for (size_t start = from; start <= s->n; start++) {
        ssize_t end = match_at(p, s, start, true);

        if (end >= 0) {
            *ret_start = start;
            *ret_end = (size_t)end;
            return true;
        }
        /* what a leading '*' cannot reach from here it cannot reach from later in the line */
        while (p->n > 0 && p->tokens[0] == TOKEN_STAR && start < s->n && s->r[start] != '\n')
            start++;
    }
    return false;
}

static void replace_all(struct pattern *p, const struct runes *s, const char *value, const char *with, struct buf *out)
{
    size_t done = 0, from = 0, start = 0, end = 0;

    while (from <= s->n && next_match(p, s, from, &start, &end)) {
        buf_add(out, value + s->at[done], s->at[start] - s->at[done]);
        /* an empty match right behind another one does not count */
        if (end > done || start == 0)
            put_template(with, (struct span){ value + s->at[start], s->at[end] - s->at[start] }, out);
        done = end;
        from = end > from ? end : from + 1;
    }
    buf_puts(out, value + s->at[done]);
}

struct err *pattern_replace(const char *pattern, const char *value, const char *with, bool all, struct buf *out)
{
    __attribute__((cleanup(runes_release_auto))) struct runes text = decode(pattern);
    __attribute__((cleanup(runes_release_auto))) struct runes s = decode(value);
    __attribute__((cleanup(pattern_release_auto))) struct pattern p = { 0 };
    size_t start = 0, end = 0;

    TRY(compile(&text, &p));
    if (all) {
        replace_all(&p, &s, value, with, out);
    } else if (next_match(&p, &s, 0, &start, &end)) {
        buf_add(out, value, s.at[start]);
        buf_puts(out, with);
        buf_puts(out, value + s.at[end]);
    } else {
        buf_puts(out, value);
    }
    return NULL;
}
