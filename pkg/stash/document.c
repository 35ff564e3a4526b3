/* document.c - an index as bytes: a head with the numbers of things, then the arrays as they are in memory. It is read
 * where it was written: on a machine of the other byte order it counts as damaged. */
#include "base/limits.h"
#include "stash/index.h"

#include <string.h>

#define MAGIC "copyup stash 1\n"
#define ORDER 0x01020304u

struct head {
    char magic[sizeof(MAGIC)];
    uint32_t order, n_entries, n_refs, n_chunks, n_packs, n_names;
};
_Static_assert(sizeof(struct stash_entry) == 64, "the document has no gaps");
_Static_assert(sizeof(struct stash_chunk) == 40, "the document has no gaps");

uint64_t stash_size(const struct stash_index *x)
{
    return sizeof(struct head) + x->entries.n * sizeof(*x->entries.items) + x->refs.n * sizeof(*x->refs.items) +
           x->chunks.n * sizeof(*x->chunks.items) + x->packs.n * sizeof(*x->packs.items) + x->names.len;
}

struct err *stash_write(const struct stash_index *x, const struct sink *out)
{
    const struct head h = { .magic = MAGIC,
                            .order = ORDER,
                            .n_entries = (uint32_t)x->entries.n,
                            .n_refs = (uint32_t)x->refs.n,
                            .n_chunks = (uint32_t)x->chunks.n,
                            .n_packs = (uint32_t)x->packs.n,
                            .n_names = (uint32_t)x->names.len };

    TRY(sink_write(out, &h, sizeof(h)));
    TRY(sink_write(out, x->entries.items, x->entries.n * sizeof(*x->entries.items)));
    TRY(sink_write(out, x->refs.items, x->refs.n * sizeof(*x->refs.items)));
    TRY(sink_write(out, x->chunks.items, x->chunks.n * sizeof(*x->chunks.items)));
    TRY(sink_write(out, x->packs.items, x->packs.n * sizeof(*x->packs.items)));
    return sink_write(out, x->names.data, x->names.len);
}

static struct err *damaged(const char *what)
{
    return err_new(ERR_REGISTRY, "the index of a cache mount is damaged: %s", what);
}

static struct err *read_all(const struct source *in, void *p, size_t n)
{
    for (size_t got = 0; got < n;) {
        size_t len;

        TRY(source_read(in, (char *)p + got, n - got, &len));
        if (!len)
            return damaged("it ends too early");
        got += len;
    }
    return NULL;
}

static struct err *check_head(const struct head *h)
{
    if (memcmp(h->magic, MAGIC, sizeof(h->magic)) != 0 || h->order != ORDER)
        return damaged("it is of another kind");
    if (h->n_entries > LIMIT_STASH_ENTRIES || h->n_refs > LIMIT_STASH_CHUNKS || h->n_chunks > LIMIT_STASH_CHUNKS ||
        h->n_packs > LIMIT_LAYERS || h->n_names > LIMIT_STASH_NAMES_BYTES)
        return damaged("it has too many things");
    return h->n_entries && h->n_names ? NULL : damaged("it is empty");
}

/* ---- is it what it should be? ---- */

static bool is_text(const struct stash_index *x, uint32_t at)
{
    return at < x->names.len; /* the last byte is a NUL */
}

static bool is_name(const char *name)
{
    size_t n = strlen(name);

    return n > 0 && n < 256 && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static bool has_chunks(const struct stash_index *x, const struct stash_entry *e)
{
    uint64_t sum = 0;

    for (uint32_t k = 0; k < e->n_refs; k++)
        sum += x->chunks.items[x->refs.items[e->first_ref + k]].len;
    return sum == e->size_bytes;
}

static bool is_file(const struct stash_index *x, uint32_t i)
{
    const struct stash_entry *e = &x->entries.items[i];

    if (stash_has_data(e))
        return has_chunks(x, e);
    const struct stash_entry *first = &x->entries.items[e->link < i ? e->link : 0];
    return S_ISREG(first->mode) && first->link == STASH_NONE && first->size_bytes == e->size_bytes &&
           first->first_ref == e->first_ref && first->n_refs == e->n_refs;
}

/* After its parent, and after its brother. */
static bool in_order(const struct stash_index *x, uint32_t i)
{
    const struct stash_entry *e = &x->entries.items[i], *before = e - 1;

    if (e->parent >= i || !S_ISDIR(x->entries.items[e->parent].mode) || !is_name(stash_text(x, e->name)))
        return false;
    return i == 1 || before->parent < e->parent ||
           (before->parent == e->parent && strcmp(stash_text(x, before->name), stash_text(x, e->name)) < 0);
}

static bool is_whole(const struct stash_index *x, uint32_t i)
{
    const struct stash_entry *e = &x->entries.items[i];

    if (!is_text(x, e->name) || (i && !in_order(x, i)) || e->mtime_ns >= 1000000000 || e->used_s < 0)
        return false;
    if (S_ISREG(e->mode))
        return i && is_file(x, i);
    if (e->n_refs || e->size_bytes)
        return false;
    return S_ISDIR(e->mode) || (i && S_ISLNK(e->mode) && is_text(x, e->link));
}

/* Files have the references one behind the other, none twice: so all files together have no more chunks than there are
 * references. */
static bool refs_in_order(const struct stash_index *x)
{
    uint32_t end = 0;

    for (uint32_t i = 0; i < x->entries.n; i++) {
        const struct stash_entry *e = &x->entries.items[i];

        if (!e->n_refs || !stash_has_data(e))
            continue;
        if (e->first_ref < end || e->first_ref > x->refs.n || e->n_refs > x->refs.n - e->first_ref)
            return false;
        end = e->first_ref + e->n_refs;
    }
    return true;
}

static bool shallow(const struct stash_index *x)
{
    AUTO_FREE uint32_t *depth = xcalloc(x->entries.n, sizeof(*depth));
    bool ok = true;

    for (size_t i = 1; ok && i < x->entries.n; i++) {
        depth[i] = depth[x->entries.items[i].parent] + 1;
        ok = depth[i] < LIMIT_WALK_DEPTH;
    }
    return ok;
}

static struct err *check_packs(struct stash_index *x)
{
    for (size_t i = 0; i < x->packs.n; i++) {
        struct stash_pack *p = &x->packs.items[i];
        struct digest ignored;

        p->blob.text[DIGEST_TEXT_LEN] = p->diff_id.text[DIGEST_TEXT_LEN] = '\0';
        TRY(digest_parse(p->blob.text, &ignored));
        TRY(digest_parse(p->diff_id.text, &ignored));
        if (p->size_bytes > LIMIT_STASH_PACK_BYTES)
            return damaged("a pack is too large");
    }
    return NULL;
}

static struct err *check_chunks(const struct stash_index *x)
{
    for (size_t i = 0; i < x->chunks.n; i++) {
        const struct stash_chunk *c = &x->chunks.items[i];

        if (c->pack >= x->packs.n || !c->len || c->len > STASH_CHUNK_MAX_BYTES)
            return damaged("a chunk is in no pack, or is none");
    }
    for (size_t i = 0; i < x->refs.n; i++)
        if (x->refs.items[i] >= x->chunks.n)
            return damaged("a file has a chunk that is not there");
    return NULL;
}

static struct err *check(struct stash_index *x)
{
    if (x->names.data[x->names.len - 1] != '\0')
        return damaged("its names do not end");
    TRY(check_packs(x));
    TRY(check_chunks(x));
    if (!refs_in_order(x))
        return damaged("its files have chunks that are others'");
    for (uint32_t i = 0; i < x->entries.n; i++)
        if (!is_whole(x, i))
            return damaged("an entry is wrong");
    return shallow(x) ? NULL : damaged("its directories are too deep");
}

/* Room for n things of that size, filled from the source. */
static struct err *read_array(const struct source *in, size_t n, size_t size, void *ret_items)
{
    void *items = xcalloc(n + 1, size);
    struct err *e = read_all(in, items, n * size);

    if (e)
        free(items);
    else
        memcpy(ret_items, &items, sizeof(items)); /* a pointer of any type */
    return e;
}

static struct err *read_arrays(const struct source *in, const struct head *h, struct stash_index *x)
{
    TRY(read_array(in, h->n_entries, sizeof(*x->entries.items), &x->entries.items));
    TRY(read_array(in, h->n_refs, sizeof(*x->refs.items), &x->refs.items));
    TRY(read_array(in, h->n_chunks, sizeof(*x->chunks.items), &x->chunks.items));
    TRY(read_array(in, h->n_packs, sizeof(*x->packs.items), &x->packs.items));
    TRY(read_array(in, h->n_names, 1, &x->names.data));
    x->entries.n = x->entries.cap = h->n_entries;
    x->refs.n = x->refs.cap = h->n_refs;
    x->chunks.n = x->chunks.cap = h->n_chunks;
    x->packs.n = x->packs.cap = h->n_packs;
    x->names.len = x->names.cap = h->n_names;
    return NULL;
}

struct err *stash_read(const struct source *in, struct stash_index *ret)
{
    AUTO(stash_release) struct stash_index x = { 0 };
    struct head h;

    TRY(read_all(in, &h, sizeof(h)));
    TRY(check_head(&h));
    TRY(read_arrays(in, &h, &x));
    TRY(check(&x));
    *ret = x;
    memset(&x, 0, sizeof(x));
    return NULL;
}
