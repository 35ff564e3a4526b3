/* pattern_index.c - for most pairs of a path and a pattern a single byte tells that they do not match: the last of
 * "**" "/" "*.o", the first of "src/x", the name of "**" "/.git". So for each such position there is a table with one
 * row for each byte: the set of patterns that may have that byte there. A path's bytes choose rows, and what is in all
 * of them is worth a real comparison. */
#include "context/pattern_priv.h"

#include "base/mem.h"

#include <string.h>

#define N_BYTES 3   /* how many bytes of a beginning or an end are looked at */
#define N_DIR   6   /* the same of a component */
#define N_ROWS  257 /* a byte, or that there is none */
#define NO_BYTE 256
#define ANY     (-1)

enum table {
    TABLE_TAIL = 0,                    /* the last bytes of the path */
    TABLE_HEAD = TABLE_TAIL + N_BYTES, /* the first bytes of the path */
    TABLE_BASE = TABLE_HEAD + N_BYTES, /* the first bytes of its last component */
    TABLE_NAME = TABLE_BASE + N_BYTES, /* the hash of its last component */
    TABLE_DIRS,                        /* the first bytes of any component */
    N_TABLES = TABLE_DIRS + N_DIR
};
_Static_assert(TABLE_NAME + 1 == sizeof(((struct candidates *)0)->rows) / sizeof(uint64_t *), "a row of each table");

struct pattern_index {
    size_t words;
    uint64_t *rows; /* [N_TABLES][N_ROWS][words] */
};

static uint64_t *row(const struct pattern_index *ix, int table, int value)
{
    return ix->rows + ((size_t)table * N_ROWS + (size_t)value) * ix->words;
}

static int hash_name(const char *s, size_t n)
{
    uint32_t h = 2166136261U;

    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)s[i]) * 16777619U;
    return (int)((h ^ h >> 8 ^ h >> 16 ^ h >> 24) & 0xFF);
}

/* ---- what a pattern says ---- */

static int byte_of(const char *s, size_t n, size_t k)
{
    return k < n ? (unsigned char)s[k] : ANY;
}

/* The k-th byte from the end of every path that matches. */
static int tail_byte(const struct pattern *p, size_t k)
{
    if (p->kind == PATTERN_EXACT)
        return k < p->n_head ? (unsigned char)p->head[p->n_head - 1 - k] : ANY;
    if (p->kind == PATTERN_SUFFIX && p->n_tail && p->tail[0] == '/' && k + 1 >= p->n_tail)
        return ANY; /* it may be the whole path, without the '/' */
    return k < p->n_tail ? (unsigned char)p->tail[p->n_tail - 1 - k] : ANY;
}

static int head_byte(const struct pattern *p, size_t k)
{
    bool whole = p->kind == PATTERN_EXACT || p->kind == PATTERN_PREFIX || (p->kind == PATTERN_NODES && !p->base_only);

    return whole ? byte_of(p->head, p->n_head, k) : ANY;
}

static int base_byte(const struct pattern *p, size_t k)
{
    return p->kind == PATTERN_NODES && p->base_only ? byte_of(p->head, p->n_head, k) : ANY;
}

/* Of the last component, if the pattern has it whole. */
static int name_hash(const struct pattern *p)
{
    const char *text = p->kind == PATTERN_EXACT ? p->head : p->tail;
    size_t n = p->kind == PATTERN_EXACT ? p->n_head : p->n_tail;
    const char *slash = n ? memrchr(text, '/', n) : NULL;

    if (p->kind == PATTERN_EXACT && !slash)
        return hash_name(text, n);
    return slash ? hash_name(slash + 1, n - (size_t)(slash + 1 - text)) : ANY;
}

/* Of some component; where it ends there is no byte. */
static int dir_byte(const struct pattern *p, size_t k)
{
    const char *slash = memchr(p->dir, '/', p->n_dir);
    size_t n = slash ? (size_t)(slash - p->dir) : p->n_dir;

    return slash && k == n ? NO_BYTE : byte_of(p->dir, n, k);
}

static int said(const struct pattern *p, int table)
{
    if (table < TABLE_HEAD)
        return tail_byte(p, (size_t)(table - TABLE_TAIL));
    if (table < TABLE_BASE)
        return head_byte(p, (size_t)(table - TABLE_HEAD));
    if (table < TABLE_NAME)
        return base_byte(p, (size_t)(table - TABLE_BASE));
    return table == TABLE_NAME ? name_hash(p) : p->n_dir ? dir_byte(p, (size_t)(table - TABLE_DIRS)) : ANY;
}

static void fill_table(const struct pattern_index *ix, int table, const struct pattern *patterns, size_t n)
{
    uint64_t *first = row(ix, table, 0);

    for (size_t i = 0; i < n; i++)
        if (said(&patterns[i], table) == ANY)
            first[i / INDEX_WORD_BITS] |= 1ULL << (i % INDEX_WORD_BITS);
    for (int value = 1; value < N_ROWS; value++)
        memcpy(row(ix, table, value), first, ix->words * sizeof(*first));
    for (size_t i = 0; i < n; i++) {
        int value = said(&patterns[i], table);

        if (value != ANY)
            row(ix, table, value)[i / INDEX_WORD_BITS] |= 1ULL << (i % INDEX_WORD_BITS);
    }
}

struct pattern_index *pattern_index_new(const struct pattern *patterns, size_t n)
{
    struct pattern_index *ix = xcalloc(1, sizeof(*ix));

    ix->words = (n + INDEX_WORD_BITS - 1) / INDEX_WORD_BITS;
    ix->rows = xcalloc((size_t)N_TABLES * N_ROWS * ix->words, sizeof(*ix->rows));
    for (int table = 0; table < N_TABLES; table++)
        fill_table(ix, table, patterns, n);
    return ix;
}

size_t pattern_index_words(const struct pattern_index *ix)
{
    return ix->words;
}

void pattern_index_free(struct pattern_index *ix)
{
    if (!ix)
        return;
    free(ix->rows);
    free(ix);
}

/* ---- what a path says ---- */

void candidates_of(const struct pattern_index *ix, const struct subject *s, struct candidates *ret)
{
    ret->ix = ix;
    ret->subject = s;
    for (size_t k = 0; k < N_BYTES; k++) {
        int tail = k < s->n_path ? (unsigned char)s->path[s->n_path - 1 - k] : NO_BYTE;
        int head = k < s->n_path ? (unsigned char)s->path[k] : NO_BYTE;
        int base = k < s->n_base ? (unsigned char)s->base[k] : NO_BYTE;

        ret->rows[TABLE_TAIL + k] = row(ix, TABLE_TAIL + (int)k, tail);
        ret->rows[TABLE_HEAD + k] = row(ix, TABLE_HEAD + (int)k, head);
        ret->rows[TABLE_BASE + k] = row(ix, TABLE_BASE + (int)k, base);
    }
    ret->rows[TABLE_NAME] = row(ix, TABLE_NAME, hash_name(s->base, s->n_base));
}

static uint64_t dirs_of_component(const struct pattern_index *ix, const char *s, size_t n, size_t w)
{
    uint64_t all = UINT64_MAX;

    for (size_t k = 0; k < N_DIR; k++)
        all &= row(ix, TABLE_DIRS + (int)k, k < n ? (unsigned char)s[k] : NO_BYTE)[w];
    return all;
}

static uint64_t dirs_of_path(const struct candidates *c, size_t w)
{
    const struct subject *s = c->subject;
    uint64_t any = 0;

    for (const char *p = s->path, *end = p + s->n_path; p < end;) {
        const char *slash = memchr(p, '/', (size_t)(end - p));
        size_t n = (size_t)((slash ? slash : end) - p);

        any |= dirs_of_component(c->ix, p, n, w);
        p += n + (slash != NULL);
    }
    return any;
}

uint64_t candidates_word(const struct candidates *c, size_t w, const uint64_t *parent_dirs, uint64_t *ret_dirs)
{
    const struct subject *s = c->subject;
    uint64_t dirs = parent_dirs ? *parent_dirs | dirs_of_component(c->ix, s->base, s->n_base, w) : dirs_of_path(c, w);
    uint64_t all = dirs;

    *ret_dirs = dirs;
    if (s->newline) /* it ends what "**" takes, and so changes where the pieces of a pattern can be */
        return UINT64_MAX;
    for (size_t t = 0; t <= TABLE_NAME; t++)
        all &= c->rows[t][w];
    return all;
}
