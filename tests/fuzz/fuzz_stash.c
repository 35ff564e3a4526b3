/* The index of a cache mount's contents: what is accepted can be walked, merged with itself, made smaller and written,
 * and is accepted again. */
#include "stash/stash_priv.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct text {
    const uint8_t *p;
    size_t n;
};

static struct err *from_text(void *ctx, void *p, size_t n, size_t *ret_len)
{
    struct text *t = ctx;
    size_t take = n < t->n ? n : t->n;

    memcpy(p, t->p, take);
    t->p += take;
    t->n -= take;
    *ret_len = take;
    return NULL;
}

static struct err *to_buf(void *ctx, const void *p, size_t n)
{
    buf_add(ctx, p, n);
    return NULL;
}

static bool read_it(const void *p, size_t n, struct stash_index *ret)
{
    struct text t = { p, n };
    const struct source in = { from_text, &t };
    struct err *e = stash_read(&in, ret);

    if (e && err_kind(e) != ERR_REGISTRY)
        abort();
    err_free(e);
    return !e;
}

static void again(const struct stash_index *x)
{
    AUTO(buf_release) struct buf out = BUF_INIT;
    AUTO(stash_release) struct stash_index y = { 0 };
    const struct sink sink = { to_buf, &out };

    err_free(stash_write(x, &sink));
    if (!read_it(out.data, out.len, &y) || !stash_same(x, &y))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(stash_release) struct stash_index x = { 0 }, both = { 0 };
    AUTO(buf_release) struct buf path = BUF_INIT;
    struct stash_stats stats = { 0 };

    if (!read_it(data, size, &x))
        return 0;
    for (uint32_t i = 0; i < x.entries.n; i++) {
        const struct stash_entry *e = &x.entries.items[i];

        stash_path(&x, i, &path);
        if (i && stash_find(&x, e->parent, stash_text(&x, e->name)) != i)
            abort();
    }
    again(&x);
    stash_merge(&x, &x, &both);
    if (both.entries.n != x.entries.n)
        abort();
    again(&both);
    stash_trim(&both, stash_bytes(&both) / 2, &stats);
    again(&both);
    return 0;
}
