/* pattern.c - does a path match a compiled pattern? */
#include "context/pattern_priv.h"

#include "base/mem.h"

#include <string.h>

#define RUNE_BAD 0xFFFDU

size_t utf8_next(const char *s, size_t n, uint32_t *ret_rune)
{
    static const uint32_t min[] = { 0, 0, 0x80, 0x800, 0x10000 };
    unsigned char c = (unsigned char)*s;
    size_t len = c < 0x80 ? 1 : (c & 0xE0) == 0xC0 ? 2 : (c & 0xF0) == 0xE0 ? 3 : (c & 0xF8) == 0xF0 ? 4 : 0;
    uint32_t rune = len == 1 ? c : len == 2 ? c & 0x1FU : len == 3 ? c & 0x0FU : c & 0x07U;

    *ret_rune = RUNE_BAD;
    if (len == 0 || len > n)
        return 1;
    for (size_t i = 1; i < len; i++) {
        if (((unsigned char)s[i] & 0xC0) != 0x80)
            return 1;
        rune = rune << 6 | ((unsigned char)s[i] & 0x3FU);
    }
    if (rune < min[len] || rune > 0x10FFFF || (rune >= 0xD800 && rune <= 0xDFFF))
        return 1;
    *ret_rune = rune;
    return len;
}

/* ---- running ---- */

#define WORD_BITS 64

static bool node_takes(const struct node *n, uint32_t rune)
{
    switch (n->kind) {
    case NODE_CHAR:
        return n->rune == rune;
    case NODE_ANY:
    case NODE_DIRS_LOOP:
        return rune != '\n';
    case NODE_EVERY:
        return true;
    case NODE_CLASS:
        for (size_t i = 0; i < n->class->ranges.n; i++)
            if (rune >= n->class->ranges.items[i].lo && rune <= n->class->ranges.items[i].hi)
                return !n->class->negated;
        return n->class->negated;
    case NODE_BEGIN:
    case NODE_END:
    case NODE_EDGE:
    case NODE_NO_EDGE:
    case NODE_DIRS:
        break;
    }
    return false;
}

/* Between two characters. */
struct place {
    bool begin, end; /* of the text */
    bool edge;
};

static bool is_word(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

static struct place place_at(const char *text, const char *s, const char *end)
{
    bool before = s > text && is_word(s[-1]), after = s < end && is_word(*s);

    return (struct place){ s == text, s == end, before != after };
}

/* May the node be passed without taking a character? */
static bool passes(const struct node *n, const struct place *at)
{
    return n->optional || (n->kind == NODE_BEGIN && at->begin) || (n->kind == NODE_END && at->end) ||
           (n->kind == NODE_EDGE && at->edge) || (n->kind == NODE_NO_EDGE && !at->edge);
}

static void add_state(uint64_t *set, size_t i)
{
    set[i / WORD_BITS] |= 1ULL << (i % WORD_BITS);
}

/* Enters state i and all that it leads to without taking a character. */
static void enter(const struct pattern *p, uint64_t *set, size_t i, const struct place *at)
{
    for (;;) {
        if (set[i / WORD_BITS] >> (i % WORD_BITS) & 1)
            return;
        add_state(set, i);
        if (i == p->nodes.n)
            return;
        if (p->nodes.items[i].kind == NODE_DIRS) {
            add_state(set, i + 1);
            i += 2;
        } else if (passes(&p->nodes.items[i], at)) {
            i++;
        } else {
            return;
        }
    }
}

/* at: behind the character. */
static void step(const struct pattern *p, size_t i, uint32_t rune, const struct place *at, uint64_t *next)
{
    const struct node *n = &p->nodes.items[i];

    if (i == p->nodes.n || !node_takes(n, rune))
        return;
    if (n->kind == NODE_DIRS_LOOP)
        add_state(next, i);
    else if (n->repeats)
        enter(p, next, i, at);
    if (n->kind != NODE_DIRS_LOOP || rune == '/')
        enter(p, next, i + 1, at);
}

/* All states at once, so that no pattern can take more than (its length) x (the path's length) steps. */
static bool run_nodes(const struct pattern *p, size_t first, const char *text, size_t n)
{
    uint64_t fixed[8];
    size_t words = p->nodes.n / WORD_BITS + 1;
    uint64_t *sets = words <= 4 ? memset(fixed, 0, sizeof(fixed)) : xcalloc(2 * words, sizeof(*sets));
    uint64_t *now = sets, *next = sets + words;
    const char *s = text, *end = text + n;
    struct place at = place_at(text, s, end);
    bool any = true, matched;

    enter(p, now, first, &at);
    while (s < end && any) {
        uint32_t rune;

        s += utf8_next(s, (size_t)(end - s), &rune);
        at = place_at(text, s, end);
        memset(next, 0, words * sizeof(*next));
        for (size_t w = 0; w < words; w++) {
            for (uint64_t bits = now[w]; bits; bits &= bits - 1)
                step(p, w * WORD_BITS + (size_t)__builtin_ctzll(bits), rune, &at, next);
        }
        any = false;
        for (size_t w = 0; w < words; w++)
            any = any || next[w];
        uint64_t *t = now;
        now = next;
        next = t;
    }
    matched = any && now[p->nodes.n / WORD_BITS] >> (p->nodes.n % WORD_BITS) & 1;
    if (sets != fixed)
        free(sets);
    return matched;
}

struct subject subject_of(const char *path, size_t len)
{
    const char *slash = memrchr(path, '/', len);
    const char *base = slash ? slash + 1 : path;

    return (struct subject){ path, base, len, len - (size_t)(base - path), memchr(path, '\n', len) != NULL };
}

static bool ends_with(const char *s, size_t n, const char *tail, size_t n_tail)
{
    return n >= n_tail && memcmp(s + n - n_tail, tail, n_tail) == 0;
}

static bool matches_nodes(const struct pattern *p, const struct subject *s)
{
    bool base = p->base_only && !s->newline;
    const char *text = base ? s->base : s->path;
    size_t n = base ? s->n_base : s->n_path;

    if (n < p->n_head + p->n_tail)
        return false;
    if (p->n_tail && (text[n - 1] != p->tail[p->n_tail - 1] || !ends_with(text, n, p->tail, p->n_tail)))
        return false;
    if (p->base_only && !base)
        return run_nodes(p, 0, text, n);
    if (p->n_head && (text[0] != p->head[0] || memcmp(text, p->head, p->n_head) != 0))
        return false;
    if (p->star_only)
        return base || !memchr(text + p->n_head, '/', n - p->n_head - p->n_tail);
    if (p->n_need && !memmem(text, n, p->need, p->n_need))
        return false;
    return run_nodes(p, p->first, text, n);
}

static bool matches_below(const struct pattern *p, const struct subject *s)
{
    const char *at = s->path;
    size_t left = s->n_path;

    if (s->newline)
        return run_nodes(p, 0, s->path, s->n_path);
    while (left >= p->n_dir && (at = memmem(at, left, p->dir, p->n_dir)) != NULL) {
        if (at == s->path || at[-1] == '/')
            return true;
        at++;
        left = s->n_path - (size_t)(at - s->path);
    }
    return false;
}

bool pattern_matches(const struct pattern *p, const struct subject *s)
{
    switch (p->kind) {
    case PATTERN_EXACT:
        return s->n_path == p->n_head && s->path[0] == p->head[0] && memcmp(s->path, p->head, p->n_head) == 0;
    case PATTERN_PREFIX:
        return s->n_path >= p->n_head && memcmp(s->path, p->head, p->n_head) == 0;
    case PATTERN_SUFFIX:
        if (ends_with(s->path, s->n_path, p->tail, p->n_tail))
            return true;
        return p->tail[0] == '/' && s->n_path == p->n_tail - 1 && memcmp(s->path, p->tail + 1, s->n_path) == 0;
    case PATTERN_BELOW:
        return matches_below(p, s);
    case PATTERN_NODES:
        return matches_nodes(p, s);
    case PATTERN_OR:
        break;
    }
    for (size_t i = 0; i < p->n_others; i++)
        if (pattern_matches(&p->others[i], s))
            return true;
    return false;
}

bool pattern_reaches_below(const struct pattern *p, const char *dir, size_t len)
{
    size_t n = p->n_head < len + 1 ? p->n_head : len + 1;

    if (p->kind == PATTERN_SUFFIX || p->kind == PATTERN_BELOW || p->kind == PATTERN_OR || p->base_only)
        return true;
    if (p->kind == PATTERN_EXACT)
        return p->n_head > len && memcmp(p->head, dir, len) == 0 && p->head[len] == '/';
    /* is "dir/" the beginning of head, or head the beginning of "dir/"? */
    return memcmp(p->head, dir, n < len ? n : len) == 0 && (n <= len || p->head[len] == '/');
}
