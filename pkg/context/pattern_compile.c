/* pattern_compile.c - from the text of a pattern to what pattern.c runs.
 *
 * The reference implementation turns a pattern into a regular expression, character by character and without looking at
 * brackets; what such an expression means is what counts. So we make the same expression and compile that small part of
 * the language into nodes. Of the characters that mean something in an expression it forgets to escape "{", "|" and
 * "}": "a{2}*" is "aa*", and "a|b*" is either what begins with "a" or what ends like "b*". */
#include "context/pattern_priv.h"

#include "base/buf.h"
#include "base/limits.h"
#include "base/mem.h"

#include <string.h>

#define RUNE_BAD 0xFFFDU

/* The expression that is being read. */
struct compiler {
    const char *s; /* the rest */
    size_t n;
    struct pattern *p;
    bool repeated; /* the last piece has a repetition, which takes no other one */
};

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
        } else if (strchr(".+()$", *s)) {
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

static void skip(struct compiler *c, size_t n)
{
    c->s += n;
    c->n -= n;
}

static bool looking_at(const struct compiler *c, const char *text)
{
    size_t n = strlen(text);

    return c->n >= n && memcmp(c->s, text, n) == 0;
}

static bool looking_at_any(const struct compiler *c, const char *bytes)
{
    return c->n > 0 && *c->s && strchr(bytes, *c->s);
}

/* After "\x": two digits, or any number of them in braces. */
static bool take_hex(struct compiler *c, uint32_t *ret_rune)
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    bool braces = looking_at(c, "{");
    size_t n = 0;

    if (braces)
        skip(c, 1);
    for (*ret_rune = 0; looking_at_any(c, digits) && (braces || n < 2) && *ret_rune <= 0x10FFFF; n++) {
        *ret_rune = *ret_rune * 16 + (uint32_t)((strchr(digits, *c->s) - digits) % 16);
        skip(c, 1);
    }
    if (*ret_rune > 0x10FFFF || (braces ? n == 0 || !looking_at(c, "}") : n < 2))
        return false;
    if (braces)
        skip(c, 1);
    return true;
}

/* "\0" to "\777"; a single digit but 0 would mean something else. */
static bool take_octal(struct compiler *c, uint32_t first, uint32_t *ret_rune)
{
    if (first != '0' && !looking_at_any(c, "01234567"))
        return false;
    *ret_rune = first - '0';
    for (int i = 0; i < 2 && looking_at_any(c, "01234567"); i++) {
        *ret_rune = *ret_rune * 8 + (uint32_t)(*c->s - '0');
        skip(c, 1);
    }
    return true;
}

/* The character after a backslash. False: not one that stands for a character. */
static bool take_escaped(struct compiler *c, uint32_t *ret_rune)
{
    static const char letters[] = "afntrv", values[] = "\a\f\n\t\r\v";
    uint32_t rune;

    if (!take(c, &rune) || rune == 0 || rune >= 0x80)
        return false;
    const char *l = strchr(letters, (int)rune);
    *ret_rune = l ? (unsigned char)values[l - letters] : rune;
    if (l)
        return true;
    if (rune == 'x')
        return take_hex(c, ret_rune);
    if (rune >= '0' && rune <= '7')
        return take_octal(c, rune, ret_rune);
    return rune < '8' || (rune > '9' && ((rune | 0x20) < 'a' || (rune | 0x20) > 'z'));
}

/* One end of a range in a class. */
static bool take_class_char(struct compiler *c, uint32_t *ret_rune)
{
    if (looking_at(c, "\\")) {
        skip(c, 1);
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
        skip(c, (size_t)(end + 2 - c->s));
        return true;
    }
    if (c->n >= 2 && *c->s == '\\' && class_add_perl(class, (unsigned char)c->s[1])) {
        skip(c, 2);
        return true;
    }
    if (!take_class_char(c, &lo))
        return false;
    hi = lo;
    if (c->n >= 2 && c->s[0] == '-' && c->s[1] != ']') {
        skip(c, 1);
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
        skip(c, 1);
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
    skip(c, 1);
    return true;
}

static struct node *push_node(struct compiler *c, enum node_kind kind, uint32_t rune)
{
    struct pattern *p = c->p;

    vec_push(&p->nodes, ((struct node){ .kind = kind, .rune = rune }));
    return &p->nodes.items[p->nodes.n - 1];
}

static struct class *push_class(struct compiler *c)
{
    struct class *class = xcalloc(1, sizeof(*class));

    push_node(c, NODE_CLASS, 0)->class = class;
    return class;
}

static void push_every(struct compiler *c)
{
    struct node *n = push_node(c, NODE_EVERY, 0);

    n->optional = n->repeats = true;
}

/* After "\Q": what stands before "\E" means itself. */
static void compile_quoted(struct compiler *c)
{
    uint32_t rune;

    while (!looking_at(c, "\\E") && take(c, &rune))
        push_node(c, NODE_CHAR, rune);
    if (looking_at(c, "\\E")) {
        skip(c, 2);
        return;
    }
    push_node(c, NODE_CHAR, '$');
    push_every(c);
}

static bool compile_escape(struct compiler *c)
{
    static const struct {
        char letter;
        enum node_kind kind;
    } places[] = { { 'A', NODE_BEGIN }, { 'z', NODE_END }, { 'b', NODE_EDGE }, { 'B', NODE_NO_EDGE } };
    struct class perl = { .negated = false };
    uint32_t rune;

    for (size_t i = 0; c->n && i < sizeof(places) / sizeof(places[0]); i++) {
        if (*c->s != places[i].letter)
            continue;
        skip(c, 1);
        push_node(c, places[i].kind, 0);
        return true;
    }
    if (looking_at(c, "Q")) {
        skip(c, 1);
        compile_quoted(c);
        return true;
    }
    if (c->n && class_add_perl(&perl, (unsigned char)*c->s)) {
        skip(c, 1);
        *push_class(c) = perl;
        return true;
    }
    if (!take_escaped(c, &rune))
        return false;
    push_node(c, NODE_CHAR, rune);
    return true;
}

/* ---- repetitions: "x{2}", "x{2,}", "x{2,3}" ---- */

#define NO_MAX      (-1)
#define MAX_REPEATS 1000

/* A number without leading zeros; false: none. */
static bool take_count(const char **s, const char *end, int *ret_count)
{
    const char *p = *s;
    int n = 0;

    while (p < end && *p >= '0' && *p <= '9') {
        n = n > MAX_REPEATS ? n : n * 10 + (*p - '0');
        p++;
    }
    if (p == *s || (**s == '0' && p - *s > 1))
        return false;
    *s = p;
    *ret_count = n;
    return true;
}

/* What is no repetition is text. */
static bool take_repetition(struct compiler *c, int *ret_min, int *ret_max)
{
    const char *s = c->s + 1, *end = c->s + c->n;

    if (!looking_at(c, "{") || !take_count(&s, end, ret_min))
        return false;
    *ret_max = *ret_min;
    if (s < end && *s == ',') {
        s++;
        *ret_max = NO_MAX;
        if (s < end && *s != '}' && !take_count(&s, end, ret_max))
            return false;
    }
    if (s == end || *s != '}')
        return false;
    skip(c, (size_t)(s + 1 - c->s));
    return true;
}

static struct class *copy_class(const struct class *class)
{
    struct class *copy = class ? xcalloc(1, sizeof(*copy)) : NULL;

    for (size_t i = 0; class && i < class->ranges.n; i++)
        class_add(copy, class->ranges.items[i].lo, class->ranges.items[i].hi);
    if (copy)
        copy->negated = class->negated;
    return copy;
}

static void free_class(struct class *class)
{
    if (class)
        vec_free(&class->ranges);
    free(class);
}

/* The last node comes min to max times. */
static bool repeat_node(struct compiler *c, int min, int max)
{
    struct node n = c->p->nodes.items[--c->p->nodes.n];
    int copies = max == NO_MAX ? (min ? min : 1) : max;

    if (n.kind >= NODE_BEGIN) /* takes nothing: once is as good as often, and "perhaps" is as good as not */
        copies = min ? 1 : 0;
    for (int i = 0; i < copies && c->p->nodes.n <= LIMIT_PATTERN_NODES; i++) {
        struct node *copy = push_node(c, n.kind, n.rune);

        copy->class = copy_class(n.class);
        copy->optional = n.kind < NODE_BEGIN && i >= min;
        copy->repeats = n.kind < NODE_BEGIN && max == NO_MAX && i == copies - 1;
    }
    free_class(n.class);
    return true;
}

/* first: where the alternative begins. */
static bool compile_repetition(struct compiler *c, size_t first, int min, int max)
{
    if (c->repeated || min > MAX_REPEATS || max > MAX_REPEATS || (max != NO_MAX && max < min))
        return false;
    c->repeated = true;
    if (c->p->nodes.n > first)
        return repeat_node(c, min, max);
    if (first > 0)
        return false; /* nothing to repeat */
    if (min == 0)     /* the beginning of the text: perhaps */
        push_every(c);
    return true;
}

/* One piece: a character, a class, "**" "/". */
static bool compile_piece(struct compiler *c)
{
    uint32_t rune;

    c->repeated = false;
    if (looking_at(c, "(.*/)?")) {
        skip(c, 6);
        push_node(c, NODE_DIRS, 0);
        push_node(c, NODE_DIRS_LOOP, 0);
        c->repeated = true;
        return true;
    }
    if (!take(c, &rune))
        return false;
    if (rune == '\\')
        return compile_escape(c);
    if (rune == '[' && !compile_class(c, push_class(c)))
        return false;
    if (rune != '[')
        push_node(c, rune == '.' ? NODE_ANY : rune == '^' ? NODE_BEGIN : NODE_CHAR, rune);
    if (looking_at(c, "*")) {
        struct node *n = &c->p->nodes.items[c->p->nodes.n - 1];

        n->optional = n->repeats = c->repeated = true;
        skip(c, 1);
    }
    return true;
}

/* Up to a '|' or the end. */
static bool compile_alternative(struct compiler *c)
{
    size_t first = c->p->nodes.n;
    int min, max;

    c->repeated = false;
    while (c->n > 0 && *c->s != '|') {
        if (c->p->nodes.n > LIMIT_PATTERN_NODES)
            return false;
        if (!(take_repetition(c, &min, &max) ? compile_repetition(c, first, min, max) : compile_piece(c)))
            return false;
    }
    return true;
}

/* ---- what can be told without running the nodes ---- */

static bool is_literal(const struct node *n)
{
    return n->kind == NODE_CHAR && !n->optional && !n->repeats && n->rune != RUNE_BAD;
}

/* The literal text of nodes from..to. */
static char *literal_text(const struct pattern *p, size_t from, size_t to, size_t *ret_len)
{
    AUTO(buf_release) struct buf b = BUF_INIT;
    char bytes[4];

    for (size_t i = from; i < to; i++)
        buf_add(&b, bytes, utf8_put(p->nodes.items[i].rune, bytes));
    *ret_len = b.len;
    return buf_steal(&b);
}

/* Where the literal nodes from `from` on end. */
static size_t literal_end(const struct pattern *p, size_t from)
{
    while (from < p->nodes.n && is_literal(&p->nodes.items[from]))
        from++;
    return from;
}

static bool is_no_slash(const struct node *n)
{
    return n->kind == NODE_CLASS && n->class->negated && n->class->ranges.n == 1 &&
           n->class->ranges.items[0].lo == '/' && n->class->ranges.items[0].hi == '/';
}

/* '*' alone, not a class that only looks like it. */
static bool is_star(const struct node *n)
{
    return n->optional && n->repeats && is_no_slash(n);
}

/* Cannot match a '/'. */
static bool stays_in_component(const struct node *n)
{
    return (n->kind == NODE_CHAR && n->rune != '/') || is_no_slash(n);
}

static void find_need(struct pattern *p, size_t from, size_t to)
{
    size_t best = 0, best_len = 0, run = 0;

    for (size_t i = from; i < to; i++) {
        run = is_literal(&p->nodes.items[i]) ? run + 1 : 0;
        if (run > best_len) {
            best_len = run;
            best = i + 1 - run;
        }
    }
    if (best_len > 0)
        p->need = literal_text(p, best, best + best_len, &p->n_need);
}

/* A pattern that begins with "**" "/": what follows begins a component. */
static void analyse_dirs(struct pattern *p)
{
    size_t end = literal_end(p, 2);
    bool base = p->nodes.n > 2;

    for (size_t i = 2; i < p->nodes.n; i++)
        base = base && stays_in_component(&p->nodes.items[i]);
    p->base_only = base;
    p->first = base ? 2 : 0;
    if (!base && end > 2)
        p->dir = literal_text(p, 2, end, &p->n_dir);
}

static void analyse(struct pattern *p)
{
    if (p->nodes.n > 2 && p->nodes.items[0].kind == NODE_DIRS)
        analyse_dirs(p);
    size_t head = literal_end(p, p->first), tail = p->nodes.n;
    while (tail > head && is_literal(&p->nodes.items[tail - 1]))
        tail--;
    p->head = literal_text(p, p->first, head, &p->n_head);
    p->tail = literal_text(p, tail, p->nodes.n, &p->n_tail);
    p->star_only = tail == head + 1 && is_star(&p->nodes.items[head]);
    find_need(p, head, tail);
}

/* Any directories, literal text, then anything: nearly every ignore file has one ("**" "/.git/" "**"), and its nodes
 * would run for every path. */
static bool is_below(const struct pattern *p)
{
    size_t n = p->nodes.n;

    if (n < 4 || p->nodes.items[0].kind != NODE_DIRS || literal_end(p, 2) != n - 1)
        return false;
    return p->nodes.items[n - 1].kind == NODE_ANY && p->nodes.items[n - 1].optional && p->nodes.items[n - 1].repeats;
}

static struct pattern *add_other(struct pattern *p)
{
    p->kind = PATTERN_OR;
    p->others = xreallocarray(p->others, p->n_others + 1, sizeof(*p->others));
    p->others[p->n_others] = (struct pattern){ .kind = PATTERN_NODES };
    return &p->others[p->n_others++];
}

/* The first alternative is bound to the beginning of the text, the last one to its end: the others may have anything
 * there. */
static bool compile_nodes(const struct buf *expr, struct pattern *p)
{
    struct compiler c = { .s = expr->data, .n = expr->len, .p = memchr(expr->data, '|', expr->len) ? add_other(p) : p };

    while (compile_alternative(&c)) {
        if (c.n > 0)
            push_every(&c);
        if (is_below(c.p))
            c.p->kind = PATTERN_BELOW;
        analyse(c.p);
        if (c.n == 0)
            return true;
        skip(&c, 1);
        c.p = add_other(p);
        push_every(&c);
    }
    return false;
}

bool pattern_compile(const char *text, struct pattern *ret_pattern)
{
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
    for (size_t i = 0; i < p->nodes.n; i++)
        free_class(p->nodes.items[i].class);
    for (size_t i = 0; i < p->n_others; i++)
        pattern_release(&p->others[i]); // NOLINT(misc-no-recursion)
    vec_free(&p->nodes);
    free(p->others);
    free(p->head);
    free(p->tail);
    free(p->dir);
    free(p->need);
    *p = (struct pattern){ 0 };
}
