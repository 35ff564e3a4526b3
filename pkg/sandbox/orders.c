#include "sandbox/orders_priv.h"

#include <string.h>

static void put_u32(struct buf *out, uint32_t v)
{
    buf_add(out, &v, sizeof(v));
}

static void put_str(struct buf *out, const char *s)
{
    size_t n = strlen(s);

    put_u32(out, (uint32_t)n);
    buf_add(out, s, n);
}

static void put_strs(struct buf *out, const struct strs *l)
{
    put_u32(out, (uint32_t)l->n);
    for (size_t i = 0; i < l->n; i++)
        put_str(out, l->items[i]);
}

static void put_numbers(struct buf *out, const uint32_t *items, size_t n)
{
    put_u32(out, (uint32_t)n);
    for (size_t i = 0; i < n; i++)
        put_u32(out, items[i]);
}

static void put_data(struct buf *out, const char *data, size_t n)
{
    put_u32(out, (uint32_t)n);
    buf_add(out, data, n);
}

void orders_encode(const struct orders *o, struct buf *out)
{
    put_str(out, o->root);
    put_str(out, o->cwd);
    put_str(out, o->hostname);
    put_strs(out, &o->argv);
    put_strs(out, &o->env);
    put_strs(out, &o->hosts);
    put_u32(out, o->uid);
    put_u32(out, o->gid);
    put_numbers(out, o->groups.items, o->groups.n);
    put_u32(out, (uint32_t)o->mounts.n);
    for (size_t i = 0; i < o->mounts.n; i++) {
        const struct order_mount *m = &o->mounts.items[i];

        put_u32(out, m->kind);
        put_str(out, m->source);
        put_str(out, m->target);
        buf_add(out, &m->tmpfs_bytes, sizeof(m->tmpfs_bytes));
        put_u32(out, m->readonly);
        put_data(out, m->data, m->len);
        put_u32(out, m->mode);
        put_u32(out, m->uid);
        put_u32(out, m->gid);
    }
    put_numbers(out, o->protect.items, o->protect.n);
    put_u32(out, o->fresh_proc);
    put_u32(out, o->scoped);
    put_u32(out, o->no_network);
    put_u32(out, o->n_ids);
    put_u32(out, o->record);
    put_data(out, o->wall.data, o->wall.len);
    put_data(out, o->supervised.data, o->supervised.len);
}

/* A cursor that fails once and then stays failed: the end is the one place to look. */
struct cursor {
    const char *p;
    size_t left;
    bool bad;
};

static void get_bytes(struct cursor *c, void *out, size_t n)
{
    if (c->bad || c->left < n) {
        c->bad = true;
        memset(out, 0, n);
        return;
    }
    memcpy(out, c->p, n);
    c->p += n;
    c->left -= n;
}

static uint32_t get_u32(struct cursor *c)
{
    uint32_t v;

    get_bytes(c, &v, sizeof(v));
    return v;
}

/* A count of things that take at least four bytes each. */
static uint32_t get_count(struct cursor *c)
{
    uint32_t n = get_u32(c);

    if (n > c->left / 4)
        c->bad = true;
    return c->bad ? 0 : n;
}

static char *get_str(struct cursor *c)
{
    uint32_t n = get_u32(c);

    if (c->bad || n > c->left || memchr(c->p, '\0', n)) {
        c->bad = true;
        return xstrdup("");
    }
    char *s = xstrndup(c->p, n);
    c->p += n;
    c->left -= n;
    return s;
}

static void get_strs(struct cursor *c, struct strs *out)
{
    for (uint32_t n = get_count(c); n > 0; n--)
        strs_take(out, get_str(c));
}

static char *get_data(struct cursor *c, size_t *ret_len)
{
    uint32_t n = get_u32(c);

    c->bad = c->bad || n > c->left;
    *ret_len = c->bad ? 0 : n;
    char *data = xcalloc(1, *ret_len + 1);
    get_bytes(c, data, *ret_len);
    return data;
}

static void get_mounts(struct cursor *c, struct orders *o)
{
    for (uint32_t n = get_count(c); n > 0 && !c->bad; n--) {
        struct order_mount m = { .kind = get_u32(c) };

        m.source = get_str(c);
        m.target = get_str(c);
        get_bytes(c, &m.tmpfs_bytes, sizeof(m.tmpfs_bytes));
        m.readonly = get_u32(c) != 0;
        m.data = get_data(c, &m.len);
        m.mode = get_u32(c);
        m.uid = get_u32(c);
        m.gid = get_u32(c);
        vec_push(&o->mounts, m);
    }
}

struct err *orders_decode(const void *data, size_t len, struct orders *ret_orders)
{
    struct cursor c = { data, len, false };
    struct orders o = { .root = get_str(&c) };

    o.cwd = get_str(&c);
    o.hostname = get_str(&c);
    get_strs(&c, &o.argv);
    get_strs(&c, &o.env);
    get_strs(&c, &o.hosts);
    o.uid = get_u32(&c);
    o.gid = get_u32(&c);
    for (uint32_t n = get_count(&c); n > 0; n--)
        vec_push(&o.groups, get_u32(&c));
    get_mounts(&c, &o);
    for (uint32_t n = get_count(&c); n > 0; n--)
        vec_push(&o.protect, get_u32(&c));
    o.fresh_proc = get_u32(&c) != 0;
    o.scoped = get_u32(&c) != 0;
    o.no_network = get_u32(&c) != 0;
    o.n_ids = get_u32(&c);
    o.record = (enum record_level)get_u32(&c);
    o.wall.data = get_data(&c, &o.wall.len);
    o.supervised.data = get_data(&c, &o.supervised.len);
    if (c.bad || c.left != 0 || o.argv.n == 0 || o.record > RECORD_USER) {
        orders_release(&o);
        return err_new(ERR_BUG, "the orders of a RUN cannot be understood");
    }
    *ret_orders = o;
    return NULL;
}

void orders_release(struct orders *o)
{
    for (size_t i = 0; i < o->mounts.n; i++) {
        struct order_mount *m = &o->mounts.items[i];

        explicit_bzero(m->data, m->len);
        free(m->data);
        free(m->source);
        free(m->target);
    }
    free(o->wall.data);
    free(o->supervised.data);
    free(o->root);
    free(o->cwd);
    free(o->hostname);
    strs_release(&o->argv);
    strs_release(&o->env);
    strs_release(&o->hosts);
    vec_free(&o->groups);
    vec_free(&o->mounts);
    vec_free(&o->protect);
    *o = (struct orders){ .root = NULL };
}
