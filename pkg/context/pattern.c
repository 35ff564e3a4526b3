#include "context/pattern_priv.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/vec.h"

#include <string.h>

/* The reference implementation turns a pattern into a regular expression, character by character and without looking at
 * brackets; what such an expression means is what counts. So we make the same expression and compile that small part of
 * the language into nodes: characters, classes, "[^/]*", ".*" and "(.*" "/)?", the last as a pair of nodes. */

#define RUNE_BAD 0xFFFDU

enum node_kind {
    NODE_CHAR,
    NODE_CLASS,
    NODE_ANY,       /* all but newline */
    NODE_BEGIN,     /* '^': only at the start of the text */
    NODE_DIRS,      /* "(.*" "/)?": this node either goes on or enters the next one ... */
    NODE_DIRS_LOOP, /* ... which takes anything and leaves after a '/' */
};

struct range {
    uint32_t lo, hi;
};

struct class
{
    VEC(struct range) ranges;
    bool negated;
};

struct node {
    enum node_kind kind;
    bool star;
    uint32_t rune;
    struct class *class;
};

struct compiler {
    const char *s; /* the rest of the expression */
    size_t n;
    VEC(struct node) nodes;
};

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

static size_t utf8_put(uint32_t r, char out[4])
{
    if (r < 0x80) {
        out[0] = (char)r;
        return 1;
    }
    size_t len = r < 0x800 ? 2 : r < 0x10000 ? 3 : 4;
    for (size_t i = len - 1; i > 0; i--, r >>= 6)
        out[i] = (char)(0x80 | (r & 0x3F));
    out[0] = (char)((len == 2 ? 0xC0 : len == 3 ? 0xE0 : 0xF0) | r);
    return len;
}

/* ---- pattern to expression ---- */

/* What kind of pattern it is by its form alone; an expression is only needed for PATTERN_NODES. */
struct form {
    enum pattern_kind kind;
    struct buf expr;
};

static void translate_stars(const char **at, const char *end, bool first, struct form *f)
{
    const char *s = *at + 1;

    if (s == end || *s != '*') {
        buf_puts(&f->expr, "[^/]*");
        f->kind = PATTERN_NODES;
        *at = s;
        return;
    }
    s++;
    if (s < end && *s == '/')
        s++;
    if (s < end) {
        buf_puts(&f->expr, "(.*/)?");
        f->kind = PATTERN_NODES;
    } else if (f->kind == PATTERN_EXACT) {
        f->kind = PATTERN_PREFIX;
    } else {
        buf_puts(&f->expr, ".*");
        f->kind = PATTERN_NODES;
    }
    if (first)
        f->kind = PATTERN_SUFFIX;
    *at = s;
}

static void translate(const char *text, size_t len, struct form *f)
{
    const char *s = text, *end = text + len;

    while (s < end) {
        if (*s == '*') {
            translate_stars(&s, end, s == text, f);
        } else if (*s == '?') {
            buf_puts(&f->expr, "[^/]");
            f->kind = PATTERN_NODES;
            s++;
        } else if (strchr(".+()|{}$", *s)) {
            buf_putc(&f->expr, '\\');
            buf_putc(&f->expr, *s++);
        } else if (*s == '\\' && s + 1 < end) {
            buf_add(&f->expr, s, 2);
            f->kind = PATTERN_NODES;
            s += 2;
        } else {
            if (*s == '[' || *s == ']')
                f->kind = PATTERN_NODES;
            buf_putc(&f->expr, *s++);
        }
    }
}

/* ---- expression to nodes ---- */

static void class_add(struct class *c, uint32_t lo, uint32_t hi)
{
    vec_push(&c->ranges, ((struct range){ lo, hi }));
}

/* Perl's classes; upper case letters are their complements. */
static bool class_add_perl(struct class *c, uint32_t letter)
{
    static const struct {
        uint32_t letter;
        struct range ranges[6];
    } perl[] = {
        { 'd', { { '0', '9' } } },
        { 's', { { '\t', '\n' }, { '\f', '\r' }, { ' ', ' ' } } },
        { 'w', { { '0', '9' }, { 'A', 'Z' }, { '_', '_' }, { 'a', 'z' } } },
    };

    for (size_t i = 0; i < sizeof(perl) / sizeof(perl[0]); i++) {
        const struct range *r = perl[i].ranges;
        uint32_t from = 0;

        if ((letter | 0x20) != perl[i].letter)
            continue;
        for (; r->hi; r++) {
            if (letter == perl[i].letter)
                class_add(c, r->lo, r->hi);
            else if (r->lo > from)
                class_add(c, from, r->lo - 1);
            from = r->hi + 1;
        }
        if (letter != perl[i].letter)
            class_add(c, from, 0x10FFFF);
        return true;
    }
    return false;
}

static bool class_add_posix(struct class *c, const char *name, size_t n)
{
    static const struct {
        const char *name;
        struct range ranges[5];
    } posix[] = {
        { "alnum", { { '0', '9' }, { 'A', 'Z' }, { 'a', 'z' } } },
        { "alpha", { { 'A', 'Z' }, { 'a', 'z' } } },
        { "ascii", { { 0, 0x7F } } },
        { "blank", { { '\t', '\t' }, { ' ', ' ' } } },
        { "cntrl", { { 0, 0x1F }, { 0x7F, 0x7F } } },
        { "digit", { { '0', '9' } } },
        { "graph", { { '!', '~' } } },
        { "lower", { { 'a', 'z' } } },
        { "print", { { ' ', '~' } } },
        { "punct", { { '!', '/' }, { ':', '@' }, { '[', '`' }, { '{', '~' } } },
        { "space", { { '\t', '\r' }, { ' ', ' ' } } },
        { "upper", { { 'A', 'Z' } } },
        { "word", { { '0', '9' }, { 'A', 'Z' }, { '_', '_' }, { 'a', 'z' } } },
        { "xdigit", { { '0', '9' }, { 'A', 'F' }, { 'a', 'f' } } },
    };

    for (size_t i = 0; i < sizeof(posix) / sizeof(posix[0]); i++) {
        if (strlen(posix[i].name) != n || memcmp(posix[i].name, name, n) != 0)
            continue;
        for (const struct range *r = posix[i].ranges; r->hi; r++)
            class_add(c, r->lo, r->hi);
        return true;
    }
    return false;
}

static bool take(struct compiler *c, uint32_t *ret_rune)
{
    if (c->n == 0)
        return false;
    size_t len = utf8_next(c->s, c->n, ret_rune);
    c->s += len;
    c->n -= len;
    return true;
}

static bool looking_at(const struct compiler *c, const char *text)
{
    size_t n = strlen(text);

    return c->n >= n && memcmp(c->s, text, n) == 0;
}

/* The character after a backslash. False: not one that stands for a character. */
static bool take_escaped(struct compiler *c, uint32_t *ret_rune)
{
    static const char letters[] = "afntrv", values[] = "\a\f\n\t\r\v";

    if (!take(c, ret_rune) || *ret_rune == 0)
        return false;
    if (*ret_rune >= 0x80)
        return false;
    const char *l = strchr(letters, (int)*ret_rune);
    if (l) {
        *ret_rune = (unsigned char)values[l - letters];
        return true;
    }
    return (*ret_rune | 0x20) < 'a' || (*ret_rune | 0x20) > 'z' ? *ret_rune < '0' || *ret_rune > '9' : false;
}

/* One end of a range in a class. */
static bool take_class_char(struct compiler *c, uint32_t *ret_rune)
{
    if (looking_at(c, "\\")) {
        c->s++;
        c->n--;
        return take_escaped(c, ret_rune);
    }
    return take(c, ret_rune);
}

static bool compile_class_item(struct compiler *c, struct class *class)
{
    const char *end;
    uint32_t lo, hi;

    if (looking_at(c, "[:") && (end = memmem(c->s, c->n, ":]", 2)) != NULL && end >= c->s + 2) {
        bool negated = c->s[2] == '^';

        if (negated || !class_add_posix(class, c->s + 2, (size_t)(end - c->s) - 2))
            return false; /* "[[:^alpha:]]": nobody writes it */
        c->n -= (size_t)(end + 2 - c->s);
        c->s = end + 2;
        return true;
    }
    if (c->n >= 2 && *c->s == '\\' && class_add_perl(class, (unsigned char)c->s[1])) {
        c->s += 2;
        c->n -= 2;
        return true;
    }
    if (!take_class_char(c, &lo))
        return false;
    hi = lo;
    if (c->n >= 2 && c->s[0] == '-' && c->s[1] != ']') {
        c->s++;
        c->n--;
        if (!take_class_char(c, &hi) || hi < lo)
            return false;
    }
    class_add(class, lo, hi);
    return true;
}

/* After '['. */
static bool compile_class(struct compiler *c, struct class *class)
{
    bool first = true;

    if (looking_at(c, "^")) {
        class->negated = true;
        c->s++;
        c->n--;
    }
    while (first || !looking_at(c, "]")) {
        if (c->n == 0)
            return false;
        if (!first && c->s[0] == '-' && c->n >= 2 && c->s[1] != ']')
            return false; /* a '-' between two ranges */
        if (!compile_class_item(c, class))
            return false;
        first = false;
    }
    c->s++;
    c->n--;
    return true;
}

static void push_node(struct compiler *c, enum node_kind kind, uint32_t rune)
{
    vec_push(&c->nodes, ((struct node){ .kind = kind, .rune = rune }));
}

static void push_class(struct compiler *c, struct class *class)
{
    vec_push(&c->nodes, ((struct node){ .kind = NODE_CLASS, .class = class }));
}

static bool compile_escape(struct compiler *c)
{
    uint32_t rune;
    struct class *class = xcalloc(1, sizeof(*class));

    push_class(c, class);
    if (c->n && class_add_perl(class, (unsigned char)*c->s)) {
        c->s++;
        c->n--;
        return true;
    }
    if (!take_escaped(c, &rune))
        return false;
    class_add(class, rune, rune);
    free(class->ranges.items);
    free(class);
    c->nodes.n--;
    push_node(c, NODE_CHAR, rune);
    return true;
}

static bool compile_one(struct compiler *c)
{
    uint32_t rune;

    if (looking_at(c, "(.*/)?")) {
        c->s += 6;
        c->n -= 6;
        push_node(c, NODE_DIRS, 0);
        push_node(c, NODE_DIRS_LOOP, 0);
        return true;
    }
    if (!take(c, &rune))
        return false;
    if (rune == '\\')
        return compile_escape(c);
    if (rune == '[') {
        struct class *class = xcalloc(1, sizeof(*class));

        push_class(c, class);
        if (!compile_class(c, class))
            return false;
    } else {
        push_node(c, rune == '.' ? NODE_ANY : rune == '^' ? NODE_BEGIN : NODE_CHAR, rune);
    }
    if (looking_at(c, "*")) {
        c->nodes.items[c->nodes.n - 1].star = true;
        c->s++;
        c->n--;
    }
    return true;
}

/* ---- what can be told without running the nodes ---- */

static bool is_literal(const struct node *n)
{
    return n->kind == NODE_CHAR && !n->star && n->rune != RUNE_BAD;
}

/* The literal text of nodes from..to. */
static char *literal_text(const struct node *nodes, size_t from, size_t to, size_t *ret_len)
{
    AUTO(buf_release) struct buf b = BUF_INIT;
    char bytes[4];

    for (size_t i = from; i < to; i++)
        buf_add(&b, bytes, utf8_put(nodes[i].rune, bytes));
    *ret_len = b.len;
    return buf_steal(&b);
}

/* '*' alone, not a class that only looks like it. */
static bool is_star(const struct node *n)
{
    return n->kind == NODE_CLASS && n->star && n->class->negated && n->class->ranges.n == 1 &&
           n->class->ranges.items[0].lo == '/' && n->class->ranges.items[0].hi == '/';
}

/* Cannot match a '/'. */
static bool stays_in_component(const struct node *n)
{
    if (n->kind == NODE_CHAR)
        return n->rune != '/';
    return n->kind == NODE_CLASS && n->class->negated && n->class->ranges.n == 1 &&
           n->class->ranges.items[0].lo == '/' && n->class->ranges.items[0].hi == '/';
}

static void find_need(struct pattern *p, size_t from, size_t to)
{
    size_t best = 0, best_len = 0, run = 0;

    for (size_t i = from; i < to; i++) {
        run = is_literal(&p->nodes[i]) ? run + 1 : 0;
        if (run > best_len) {
            best_len = run;
            best = i + 1 - run;
        }
    }
    if (best_len > 0)
        p->need = literal_text(p->nodes, best, best + best_len, &p->n_need);
}

static void analyse(struct pattern *p)
{
    size_t head, tail = p->n_nodes;

    if (p->n_nodes > 2 && p->nodes[0].kind == NODE_DIRS) {
        p->base_only = true;
        p->first = 2;
        for (size_t i = 2; i < p->n_nodes; i++)
            p->base_only = p->base_only && stays_in_component(&p->nodes[i]);
        p->first = p->base_only ? 2 : 0;
    }
    for (head = p->first; head < tail && is_literal(&p->nodes[head]);)
        head++;
    while (tail > head && is_literal(&p->nodes[tail - 1]))
        tail--;
    p->head = literal_text(p->nodes, p->first, head, &p->n_head);
    p->tail = literal_text(p->nodes, tail, p->n_nodes, &p->n_tail);
    p->star_only = tail == head + 1 && is_star(&p->nodes[head]);
    find_need(p, head, tail);
}

/* Any directories, literal text, then anything: nearly every ignore file has one ("**" "/.git/" "**"), and its nodes
 * would run for every path. */
static bool is_below(const struct pattern *p, size_t *ret_end)
{
    size_t n = p->n_nodes;

    if (n < 4 || p->nodes[0].kind != NODE_DIRS || p->nodes[n - 1].kind != NODE_ANY || !p->nodes[n - 1].star)
        return false;
    for (size_t i = 2; i < n - 1; i++) {
        if (!is_literal(&p->nodes[i]))
            return false;
    }
    *ret_end = n - 1;
    return true;
}

static bool compile_nodes(const struct buf *expr, struct pattern *p)
{
    struct compiler c = { .s = expr->data, .n = expr->len };
    bool good = true;
    size_t end;

    while (good && c.n > 0)
        good = compile_one(&c);
    p->nodes = c.nodes.items;
    p->n_nodes = c.nodes.n;
    if (!good)
        return false;
    if (is_below(p, &end)) {
        p->kind = PATTERN_BELOW;
        p->head = literal_text(p->nodes, 2, end, &p->n_head);
        return true;
    }
    analyse(p);
    return true;
}

bool pattern_compile(const char *text, struct pattern *ret_pattern)
{
    AUTO(buf_release) struct buf empty = BUF_INIT;
    struct form f = { .kind = PATTERN_EXACT, .expr = BUF_INIT };
    struct pattern p = { 0 };
    size_t len = strlen(text);
    bool good = true;

    if (!glob_is_valid(text))
        return false;
    translate(text, len, &f);
    p.kind = f.kind;
    if (f.kind == PATTERN_EXACT) {
        p.head = xstrdup(text);
        p.n_head = len;
    } else if (f.kind == PATTERN_PREFIX) {
        p.n_head = len - 2;
        p.head = xstrndup(text, p.n_head);
    } else if (f.kind == PATTERN_SUFFIX) {
        p.n_tail = len - 2;
        p.tail = xstrdup(text + 2);
    } else {
        good = compile_nodes(&f.expr, &p);
    }
    buf_release(&f.expr);
    if (good)
        *ret_pattern = p;
    else
        pattern_release(&p);
    return good;
}

void pattern_release(struct pattern *p)
{
    for (size_t i = 0; i < p->n_nodes; i++) {
        if (p->nodes[i].class) {
            vec_free(&p->nodes[i].class->ranges);
            free(p->nodes[i].class);
        }
    }
    free(p->nodes);
    free(p->head);
    free(p->tail);
    free(p->need);
    *p = (struct pattern){ 0 };
}

/* ---- running ---- */

#define WORD_BITS 64

static bool node_takes(const struct node *n, uint32_t rune)
{
    if (n->kind == NODE_CHAR)
        return n->rune == rune;
    if (n->kind != NODE_CLASS)
        return n->kind != NODE_BEGIN && rune != '\n';
    for (size_t i = 0; i < n->class->ranges.n; i++) {
        if (rune >= n->class->ranges.items[i].lo && rune <= n->class->ranges.items[i].hi)
            return !n->class->negated;
    }
    return n->class->negated;
}

/* Enters state i and all that it leads to without taking a character. */
static void enter(const struct pattern *p, uint64_t *set, size_t i, bool at_start)
{
    for (;;) {
        if (set[i / WORD_BITS] >> (i % WORD_BITS) & 1)
            return;
        set[i / WORD_BITS] |= 1ULL << (i % WORD_BITS);
        if (i == p->n_nodes)
            return;
        const struct node *n = &p->nodes[i];
        if (n->kind == NODE_DIRS) {
            set[(i + 1) / WORD_BITS] |= 1ULL << ((i + 1) % WORD_BITS);
            i += 2;
        } else if (n->star || (n->kind == NODE_BEGIN && at_start)) {
            i++;
        } else {
            return;
        }
    }
}

static void step(const struct pattern *p, size_t i, uint32_t rune, uint64_t *next)
{
    const struct node *n = &p->nodes[i];

    if (i == p->n_nodes || n->kind == NODE_DIRS || !node_takes(n, rune))
        return;
    if (n->kind == NODE_DIRS_LOOP) {
        next[i / WORD_BITS] |= 1ULL << (i % WORD_BITS);
        if (rune == '/')
            enter(p, next, i + 1, false);
    } else {
        enter(p, next, n->star ? i : i + 1, false);
    }
}

/* All states at once, so that no pattern can take more than (its length) x (the path's length) steps. */
static bool run_nodes(const struct pattern *p, size_t first, const char *s, size_t n)
{
    uint64_t fixed[8];
    size_t words = p->n_nodes / WORD_BITS + 1;
    uint64_t *sets = words <= 4 ? memset(fixed, 0, sizeof(fixed)) : xcalloc(2 * words, sizeof(*sets));
    uint64_t *now = sets, *next = sets + words;
    bool any = true, matched;

    enter(p, now, first, true);
    while (n > 0 && any) {
        uint32_t rune;
        size_t len = utf8_next(s, n, &rune);

        memset(next, 0, words * sizeof(*next));
        for (size_t w = 0; w < words; w++) {
            for (uint64_t bits = now[w]; bits; bits &= bits - 1)
                step(p, w * WORD_BITS + (size_t)__builtin_ctzll(bits), rune, next);
        }
        any = false;
        for (size_t w = 0; w < words; w++)
            any = any || next[w];
        uint64_t *t = now;
        now = next;
        next = t;
        s += len;
        n -= len;
    }
    matched = any && now[p->n_nodes / WORD_BITS] >> (p->n_nodes % WORD_BITS) & 1;
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
    while (left >= p->n_head && (at = memmem(at, left, p->head, p->n_head)) != NULL) {
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
        break;
    }
    return matches_nodes(p, s);
}

bool pattern_reaches_below(const struct pattern *p, const char *dir, size_t len)
{
    size_t n = p->n_head < len + 1 ? p->n_head : len + 1;

    if (p->kind == PATTERN_SUFFIX || p->kind == PATTERN_BELOW || p->base_only)
        return true;
    if (p->kind == PATTERN_EXACT)
        return p->n_head > len && memcmp(p->head, dir, len) == 0 && p->head[len] == '/';
    /* is "dir/" the beginning of head, or head the beginning of "dir/"? */
    return memcmp(p->head, dir, n < len ? n : len) == 0 && (n <= len || p->head[len] == '/');
}
