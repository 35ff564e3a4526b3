#include "stash/index.h"

#include "base/limits.h"

#include <string.h>

uint32_t stash_add_text(struct stash_index *x, const char *text)
{
    uint32_t at = (uint32_t)x->names.len;

    buf_add(&x->names, text, strlen(text) + 1);
    return at;
}

/* Where (parent, name) stands or would stand. */
static uint32_t lower_bound(const struct stash_index *x, uint32_t parent, const char *name)
{
    size_t low = 1, high = x->entries.n;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const struct stash_entry *e = &x->entries.items[mid];
        bool before = e->parent != parent ? e->parent < parent : name && strcmp(stash_text(x, e->name), name) < 0;

        if (before)
            low = mid + 1;
        else
            high = mid;
    }
    return (uint32_t)low;
}

uint32_t stash_find(const struct stash_index *x, uint32_t parent, const char *name)
{
    uint32_t at = lower_bound(x, parent, name);

    if (at >= x->entries.n || x->entries.items[at].parent != parent ||
        strcmp(stash_text(x, x->entries.items[at].name), name) != 0)
        return STASH_NONE;
    return at;
}

void stash_children(const struct stash_index *x, uint32_t parent, uint32_t *ret_first, uint32_t *ret_end)
{
    *ret_first = lower_bound(x, parent, NULL);
    *ret_end = lower_bound(x, parent + 1, NULL);
}

void stash_path(const struct stash_index *x, uint32_t entry, struct buf *ret_path)
{
    uint32_t chain[LIMIT_WALK_DEPTH];
    size_t n = 0;

    for (; entry != 0 && n < LIMIT_WALK_DEPTH; entry = x->entries.items[entry].parent)
        chain[n++] = entry;
    buf_clear(ret_path);
    while (n-- > 0)
        buf_printf(ret_path, "%s%s", ret_path->len ? "/" : "", stash_text(x, x->entries.items[chain[n]].name));
}

/* ---- chunks ---- */

static size_t slot_of(const struct stash_index *x, const uint8_t id[STASH_ID_BYTES])
{
    uint64_t h;

    memcpy(&h, id, sizeof(h)); /* it is a hash already */
    return (size_t)(h & (x->n_slots - 1));
}

static void put_slot(struct stash_index *x, uint32_t chunk)
{
    size_t s = slot_of(x, x->chunks.items[chunk].id);

    while (x->slots[s] != STASH_NONE)
        s = (s + 1) & (x->n_slots - 1);
    x->slots[s] = chunk;
}

/* All chunks are in the table, and half of it is free. */
static void fill_slots(struct stash_index *x)
{
    if (x->n_slots < 2 * (x->chunks.n + 1)) {
        size_t n = 64;

        while (n < 4 * (x->chunks.n + 1))
            n *= 2;
        free(x->slots);
        x->slots = xcalloc(n, sizeof(*x->slots));
        memset(x->slots, 0xff, n * sizeof(*x->slots));
        x->n_slots = n;
        x->in_slots = 0;
    }
    for (; x->in_slots < x->chunks.n; x->in_slots++)
        put_slot(x, (uint32_t)x->in_slots);
}

static void forget_slots(struct stash_index *x)
{
    free(x->slots);
    x->slots = NULL;
    x->n_slots = x->in_slots = 0;
}

uint32_t stash_find_chunk(struct stash_index *x, const uint8_t id[STASH_ID_BYTES], uint32_t len)
{
    fill_slots(x);
    for (size_t s = slot_of(x, id); x->slots[s] != STASH_NONE; s = (s + 1) & (x->n_slots - 1)) {
        const struct stash_chunk *c = &x->chunks.items[x->slots[s]];

        if (c->len == len && memcmp(c->id, id, STASH_ID_BYTES) == 0)
            return x->slots[s];
    }
    return STASH_NONE;
}

uint32_t stash_add_chunk(struct stash_index *x, const uint8_t id[STASH_ID_BYTES], uint32_t len, uint32_t pack)
{
    uint32_t at = stash_find_chunk(x, id, len);
    struct stash_chunk c = { .len = len, .pack = pack };

    if (at != STASH_NONE)
        return at;
    memcpy(c.id, id, STASH_ID_BYTES);
    vec_push(&x->chunks, c);
    return (uint32_t)x->chunks.n - 1;
}

uint32_t stash_add_pack(struct stash_index *x, const struct stash_pack *p)
{
    for (size_t i = 0; i < x->packs.n; i++)
        if (digest_equal(&x->packs.items[i].blob, &p->blob))
            return (uint32_t)i;
    vec_push(&x->packs, *p);
    return (uint32_t)x->packs.n - 1;
}

void stash_copy_chunks(struct stash_index *to, const struct stash_index *from)
{
    for (size_t i = 0; i < from->packs.n; i++)
        vec_push(&to->packs, from->packs.items[i]);
    for (size_t i = 0; i < from->chunks.n; i++)
        vec_push(&to->chunks, from->chunks.items[i]);
}

uint64_t stash_bytes(const struct stash_index *x)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < x->entries.n; i++)
        if (stash_has_data(&x->entries.items[i]))
            sum += x->entries.items[i].size_bytes;
    return sum;
}

/* Each pack's bytes, of the chunks for which count[] is set; NULL: of all. */
static void sum_packs(const struct stash_index *x, const bool *count, uint64_t *ret)
{
    memset(ret, 0, x->packs.n * sizeof(*ret));
    for (size_t i = 0; i < x->chunks.n; i++)
        if ((!count || count[i]) && x->chunks.items[i].pack < x->packs.n)
            ret[x->chunks.items[i].pack] += x->chunks.items[i].len;
}

static bool *used_chunks(const struct stash_index *x)
{
    bool *used = xcalloc(x->chunks.n + 1, sizeof(*used));

    for (size_t i = 0; i < x->entries.n; i++)
        for (uint32_t k = 0; stash_has_data(&x->entries.items[i]) && k < x->entries.items[i].n_refs; k++)
            used[x->refs.items[x->entries.items[i].first_ref + k]] = true;
    return used;
}

void stash_pack_use(const struct stash_index *x, uint64_t *ret_bytes, uint64_t *ret_used)
{
    AUTO_FREE bool *used = used_chunks(x);

    sum_packs(x, NULL, ret_bytes);
    sum_packs(x, used, ret_used);
}

void stash_drop_packs(struct stash_index *x, const bool *drop)
{
    AUTO_FREE uint32_t *packs = xcalloc(x->packs.n + 1, sizeof(*packs));
    AUTO_FREE uint32_t *chunks = xcalloc(x->chunks.n + 1, sizeof(*chunks));
    AUTO_FREE bool *used = used_chunks(x);
    uint32_t n = 0;

    for (size_t i = 0; i < x->packs.n; i++) {
        packs[i] = drop[i] ? STASH_NONE : n;
        if (!drop[i])
            x->packs.items[n++] = x->packs.items[i];
    }
    x->packs.n = n;
    n = 0;
    for (size_t i = 0; i < x->chunks.n; i++) {
        struct stash_chunk c = x->chunks.items[i];

        c.pack = c.pack == STASH_NONE ? STASH_NONE : packs[c.pack];
        chunks[i] = n;
        if (c.pack != STASH_NONE || used[i])
            x->chunks.items[n++] = c;
    }
    x->chunks.n = n;
    for (size_t i = 0; i < x->refs.n; i++)
        x->refs.items[i] = chunks[x->refs.items[i]];
    forget_slots(x);
}

/* ---- comparing ---- */

#define DAY_S 86400

static bool same_refs(const struct stash_index *a, const struct stash_entry *ea, const struct stash_index *b,
                      const struct stash_entry *eb)
{
    for (uint32_t k = 0; k < ea->n_refs; k++) {
        const struct stash_chunk *ca = &a->chunks.items[a->refs.items[ea->first_ref + k]];
        const struct stash_chunk *cb = &b->chunks.items[b->refs.items[eb->first_ref + k]];

        if (ca->len != cb->len || memcmp(ca->id, cb->id, STASH_ID_BYTES) != 0)
            return false;
    }
    return true;
}

static bool same_link(const struct stash_index *a, const struct stash_entry *ea, const struct stash_index *b,
                      const struct stash_entry *eb)
{
    if (S_ISLNK(ea->mode))
        return strcmp(stash_text(a, ea->link), stash_text(b, eb->link)) == 0;
    return ea->link == eb->link;
}

static bool same_entry(const struct stash_index *a, const struct stash_index *b, size_t i)
{
    const struct stash_entry *ea = &a->entries.items[i], *eb = &b->entries.items[i];
    int64_t used = ea->used_s - eb->used_s;

    return ea->parent == eb->parent && ea->mode == eb->mode && ea->uid == eb->uid && ea->gid == eb->gid &&
           ea->mtime_s == eb->mtime_s && ea->mtime_ns == eb->mtime_ns && ea->size_bytes == eb->size_bytes &&
           ea->n_refs == eb->n_refs && used < DAY_S && used > -DAY_S &&
           strcmp(stash_text(a, ea->name), stash_text(b, eb->name)) == 0 && same_link(a, ea, b, eb) &&
           (!stash_has_data(ea) || same_refs(a, ea, b, eb));
}

bool stash_same(const struct stash_index *a, const struct stash_index *b)
{
    bool same = a->entries.n == b->entries.n;

    for (size_t i = 0; same && i < a->entries.n; i++)
        same = same_entry(a, b, i);
    return same;
}

void stash_release(struct stash_index *x)
{
    vec_free(&x->entries);
    vec_free(&x->refs);
    vec_free(&x->chunks);
    vec_free(&x->packs);
    buf_release(&x->names);
    forget_slots(x);
}
