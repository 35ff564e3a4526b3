/* merge.c - two indexes together, and an index that must become smaller. */
#include "stash/stash_priv.h"

#include <string.h>

/* One of the two that are merged. */
struct side {
    const struct stash_index *x;
    uint32_t *chunks;     /* its chunks' numbers in the result */
    uint32_t *entries;    /* by first name: the file's first name in the result; STASH_NONE: none is there yet */
    VEC(uint32_t) origin; /* of each entry of the result: its number here, or STASH_NONE */
};

static void side_start(struct side *s, const struct stash_index *x, struct stash_index *out)
{
    AUTO_FREE uint32_t *packs = xcalloc(x->packs.n + 1, sizeof(*packs));

    *s = (struct side){ .x = x };
    for (size_t i = 0; i < x->packs.n; i++)
        packs[i] = stash_add_pack(out, &x->packs.items[i]);
    s->chunks = xcalloc(x->chunks.n + 1, sizeof(*s->chunks));
    for (size_t i = 0; i < x->chunks.n; i++) {
        const struct stash_chunk *c = &x->chunks.items[i];

        s->chunks[i] = stash_add_chunk(out, c->id, c->len, packs[c->pack]);
    }
    s->entries = xcalloc(x->entries.n + 1, sizeof(*s->entries));
    memset(s->entries, 0xff, x->entries.n * sizeof(*s->entries));
}

static void side_end(struct side *s)
{
    free(s->chunks);
    free(s->entries);
    vec_free(&s->origin);
}

/* Number n, which is f, is a name of the same file. */
static void set_link(struct stash_entry *e, const struct stash_entry *f, uint32_t n)
{
    e->link = n;
    e->first_ref = f->first_ref;
}

static void take_file(struct stash_index *out, const struct side *s, struct stash_entry *e, uint32_t *ret_number)
{
    const uint32_t first_ref = (uint32_t)out->refs.n;

    for (uint32_t k = 0; k < e->n_refs; k++)
        vec_push(&out->refs, s->chunks[s->x->refs.items[e->first_ref + k]]);
    e->first_ref = first_ref;
    if (S_ISREG(e->mode))
        e->link = STASH_NONE;
    *ret_number = (uint32_t)out->entries.n;
}

/* Adds entry n of a side to the result. If a file's first name is not taken, the next one becomes the first. */
static void take(struct stash_index *out, struct side *s, uint32_t n, uint32_t parent)
{
    struct stash_entry e = s->x->entries.items[n];
    uint32_t *first = &s->entries[stash_first_name(&e, n)];

    e.parent = parent;
    e.name = stash_add_text(out, stash_text(s->x, e.name));
    if (S_ISLNK(e.mode))
        e.link = stash_add_text(out, stash_text(s->x, e.link));
    if (*first != STASH_NONE)
        set_link(&e, &out->entries.items[*first], *first);
    else
        take_file(out, s, &e, first);
    vec_push(&out->entries, e);
}

static bool is_newer(const struct stash_entry *a, const struct stash_entry *b)
{
    return a->mtime_s != b->mtime_s ? a->mtime_s > b->mtime_s : a->mtime_ns > b->mtime_ns;
}

/* The children of a directory on one side; none where it is no directory there. */
static void range(const struct side *s, size_t out_entry, uint32_t *ret_first, uint32_t *ret_end)
{
    uint32_t n = s->origin.items[out_entry];

    *ret_first = *ret_end = 0;
    if (n != STASH_NONE && S_ISDIR(s->x->entries.items[n].mode))
        stash_children(s->x, n, ret_first, ret_end);
}

static const struct stash_entry *entry_of(const struct side *s, uint32_t n)
{
    return n == STASH_NONE ? NULL : &s->x->entries.items[n];
}

/* Entry a of ours, b of theirs, either may be STASH_NONE; they have one name. */
static void take_one(struct stash_index *out, struct side *ours, struct side *theirs, uint32_t a, uint32_t b,
                     uint32_t parent)
{
    const struct stash_entry *ea = entry_of(ours, a), *eb = entry_of(theirs, b);
    bool both_dirs = ea && eb && S_ISDIR(ea->mode) && S_ISDIR(eb->mode);
    bool is_theirs = !ea || (eb && is_newer(eb, ea));

    take(out, is_theirs ? theirs : ours, is_theirs ? b : a, parent);
    vec_push(&ours->origin, is_theirs && !both_dirs ? STASH_NONE : a);
    vec_push(&theirs->origin, is_theirs || both_dirs ? b : STASH_NONE);
    struct stash_entry *taken = &out->entries.items[out->entries.n - 1];
    if (ea && ea->used_s > taken->used_s)
        taken->used_s = ea->used_s;
}

static void merge_children(struct stash_index *out, struct side *ours, struct side *theirs, uint32_t dir)
{
    uint32_t a, a_end, b, b_end;

    range(ours, dir, &a, &a_end);
    range(theirs, dir, &b, &b_end);
    while (a < a_end || b < b_end) {
        int order = a >= a_end   ? 1
                    : b >= b_end ? -1
                                 : strcmp(stash_text(ours->x, ours->x->entries.items[a].name),
                                          stash_text(theirs->x, theirs->x->entries.items[b].name));

        take_one(out, ours, theirs, order <= 0 ? a : STASH_NONE, order >= 0 ? b : STASH_NONE, dir);
        a += order <= 0;
        b += order >= 0;
    }
}

void stash_merge(const struct stash_index *ours, const struct stash_index *theirs, struct stash_index *ret)
{
    struct side a, b;

    side_start(&a, ours, ret);
    side_start(&b, theirs, ret);
    take_one(ret, &a, &b, 0, 0, 0);
    for (uint32_t i = 0; i < ret->entries.n; i++)
        if (S_ISDIR(ret->entries.items[i].mode))
            merge_children(ret, &a, &b, i);
    side_end(&a);
    side_end(&b);
}

/* ---- what is too much ---- */

struct part {
    uint32_t number; /* of its entry */
    int64_t used_s;
    uint64_t bytes;
};

/* The topmost directory that holds more than one thing. */
static uint32_t find_top(const struct stash_index *x)
{
    uint32_t top = 0, first, end;

    for (;;) {
        stash_children(x, top, &first, &end);
        if (end - first != 1 || !S_ISDIR(x->entries.items[first].mode))
            return top;
        top = first;
    }
}

/* part_of[]: for each entry the number of its part, STASH_NONE: it is above all parts. */
static struct part *find_parts(const struct stash_index *x, uint32_t *part_of, size_t *ret_n)
{
    uint32_t top = find_top(x), first, end;
    struct part *parts;

    stash_children(x, top, &first, &end);
    parts = xcalloc(end - first + 1, sizeof(*parts));
    for (uint32_t i = 0; i < x->entries.n; i++) {
        const struct stash_entry *e = &x->entries.items[i];
        bool is_part = i >= first && i < end;

        part_of[i] = is_part ? i - first : i ? part_of[e->parent] : STASH_NONE;
        if (part_of[i] == STASH_NONE)
            continue;
        struct part *p = &parts[part_of[i]];
        if (is_part)
            *p = (struct part){ .number = part_of[i], .used_s = e->used_s };
        if (e->used_s > p->used_s)
            p->used_s = e->used_s;
        if (stash_has_data(e))
            p->bytes += e->size_bytes;
    }
    *ret_n = end - first;
    return parts;
}

static int by_use(const void *a, const void *b)
{
    const struct part *pa = a, *pb = b;

    if (pa->used_s != pb->used_s)
        return pa->used_s < pb->used_s ? -1 : 1;
    return pa->number < pb->number ? -1 : pa->number > pb->number;
}

static void keep_file(const struct stash_index *x, struct stash_entry *e, uint32_t *refs, uint32_t *n_refs)
{
    if (e->n_refs)
        memcpy(refs + *n_refs, x->refs.items + e->first_ref, e->n_refs * sizeof(*refs));
    e->first_ref = *n_refs;
    *n_refs += e->n_refs;
    if (S_ISREG(e->mode))
        e->link = STASH_NONE;
}

/* If a file's first name is not kept, the next one becomes the first. */
void stash_select(struct stash_index *x, const bool *keep)
{
    AUTO_FREE uint32_t *numbers = xcalloc(x->entries.n + 1, sizeof(*numbers));
    uint32_t *refs = xcalloc(x->refs.n + 1, sizeof(*refs));
    uint32_t n = 0, n_refs = 0;

    memset(numbers, 0xff, x->entries.n * sizeof(*numbers));
    for (uint32_t i = 0; i < x->entries.n; i++) {
        struct stash_entry e = x->entries.items[i];
        uint32_t *first = &numbers[stash_first_name(&e, i)];

        if (!keep[i])
            continue;
        if (*first != STASH_NONE) {
            set_link(&e, &x->entries.items[*first], *first);
        } else {
            *first = n;
            keep_file(x, &e, refs, &n_refs);
        }
        e.parent = numbers[e.parent];
        x->entries.items[n++] = e;
    }
    x->entries.n = n;
    free(x->refs.items);
    x->refs.items = refs;
    x->refs.n = x->refs.cap = n_refs;
}

bool stash_choose(const struct stash_index *x, uint64_t max_bytes, bool *keep)
{
    AUTO_FREE uint32_t *part_of = xcalloc(x->entries.n + 1, sizeof(*part_of));
    uint64_t left = stash_bytes(x);
    size_t n;

    if (left <= max_bytes)
        return false;
    AUTO_FREE struct part *parts = find_parts(x, part_of, &n);
    AUTO_FREE bool *drop = xcalloc(n + 1, sizeof(*drop));
    qsort(parts, n, sizeof(*parts), by_use);
    for (size_t i = 0; i < n && left > max_bytes; i++) {
        drop[parts[i].number] = true;
        left -= parts[i].bytes;
    }
    for (size_t i = 0; i < x->entries.n; i++)
        keep[i] = part_of[i] == STASH_NONE || !drop[part_of[i]];
    return true;
}

void stash_trim(struct stash_index *x, uint64_t max_bytes, struct stash_stats *stats)
{
    AUTO_FREE bool *keep = xcalloc(x->entries.n + 1, sizeof(*keep));
    const uint64_t before = stash_bytes(x);
    const size_t entries = x->entries.n;

    if (!stash_choose(x, max_bytes, keep))
        return;
    stash_select(x, keep);
    stats->dropped += before - stash_bytes(x);
    stats->dropped_entries += entries - x->entries.n;
}
