/* wire_cache.c - the settings' cache. */
#include "build/mount_stash.h"
#include "wire.h"

#include <string.h>

static void warn(void *ctx, const char *text)
{
    const struct progress *p = ctx;

    p->note(p->ctx, text);
}

static struct err *parse_all(const struct strs *names, struct ref *refs)
{
    for (size_t i = 0; i < names->n; i++)
        TRY(err_set_kind(ref_parse(names->items[i], &refs[i]), ERR_SETTING));
    return NULL;
}

static struct err *make_cache(const struct settings *s, struct cache_opts *o, struct ref *repo, struct ref *from)
{
    if (s->cache_repo) {
        TRY(err_set_kind(ref_parse(s->cache_repo, repo), ERR_SETTING));
        o->repo = repo;
    }
    TRY(parse_all(&s->cache_from, from));
    o->from = from;
    o->n_from = s->cache_from.n;
    return NULL;
}

/* They are asked as soon as the base images are known. */
static void expect_look_ups(const struct cache_opts *o)
{
    if (o->renew)
        return;
    if (o->repo)
        registry_expect(o->registry, o->repo, false);
    for (size_t i = 0; i < o->n_from; i++)
        registry_expect(o->registry, &o->from[i], false);
}

struct err *wire_cache(const struct settings *s, struct registry *registry, const struct progress *progress,
                       int64_t now_s, struct cache **ret)
{
    AUTO_FREE struct ref *from = xcalloc(s->cache_from.n + 1, sizeof(*from));
    AUTO(ref_release) struct ref repo = { 0 };
    struct cache_opts o = { .registry = registry,
                            .ttl_s = s->cache_ttl_h * 3600,
                            .now_s = now_s,
                            .renew = s->no_cache,
                            .warn = warn,
                            .ctx = (void *)progress }; /* only read */

    *ret = NULL;
    if (!s->enable_cache || s->single_snapshot || (s->no_cache && !s->cache_repo))
        return NULL;
    struct err *e = make_cache(s, &o, &repo, from);
    if (!e) {
        *ret = cache_new(&o);
        expect_look_ups(&o);
    }
    for (size_t i = 0; i < s->cache_from.n; i++)
        ref_release(&from[i]);
    return e;
}

void wire_cache_opts(const struct settings *s, struct cache *c, const char *scope, struct build_opts *o)
{
    o->cache = c;
    o->cache_runs = s->cache_runs;
    o->cache_copies = s->cache_copies;
    o->cache_scope = scope;
}

/* ---- cache mounts ---- */

struct wire_mounts {
    struct ref repo;
    struct platform platform;
    struct mount_stash *stash;
};

static struct err *make_mounts(const struct settings *s, struct registry *registry, const struct build_opts *b,
                               int64_t now_s, struct wire_mounts *m)
{
    m->platform = platform_host();
    TRY(err_set_kind(ref_parse(s->cache_repo, &m->repo), ERR_SETTING));
    const struct stash_opts o = { .registry = registry,
                                  .repo = &m->repo,
                                  .platform = &m->platform,
                                  .scratch_dir = store_build_dir(b->store),
                                  .owners = b->sandbox->owners,
                                  .max_bytes = (uint64_t)s->cache_mount_bytes,
                                  .threads = limits_threads(b->limits),
                                  .transfers = transfer_threads(b->limits),
                                  .now_s = now_s,
                                  .cancel = b->cancel };

    m->stash = mount_stash_new(&o, b->progress);
    return NULL;
}

struct err *wire_mounts(const struct settings *s, struct registry *registry, const struct build_opts *o, int64_t now_s,
                        struct wire_mounts **ret)
{
    AUTO(wire_mounts_free) struct wire_mounts *m = NULL;

    if (!s->cache_repo || strcmp(s->cache_mounts, "registry") != 0)
        return NULL;
    m = xcalloc(1, sizeof(*m));
    TRY(make_mounts(s, registry, o, now_s, m));
    *ret = steal(&m);
    return NULL;
}

struct mount_stash *wire_mounts_get(const struct wire_mounts *m)
{
    return m ? m->stash : NULL;
}

void wire_mounts_free(struct wire_mounts *m)
{
    if (!m)
        return;
    mount_stash_free(m->stash);
    ref_release(&m->repo);
    free(m);
}
