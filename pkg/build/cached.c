/* cached.c - steps whose layer was made before: they are not executed, and what only they need is not built. */
#include "build/build_priv.h"

#include <string.h>

bool cached_kind(const struct build *b, const struct step *step)
{
    return b->o.cache && (step->kind == STEP_RUN ? b->o.cache_runs : b->o.cache_copies);
}

/* ---- what is known ---- */

struct made *cached_find(struct product *p, const struct digest *key)
{
    pthread_mutex_lock(&p->lock);
    struct made *m = key->text[0] ? map_get(p->made, key->text) : NULL;
    pthread_mutex_unlock(&p->lock);
    return m && !m->broken ? m : NULL;
}

struct made *cached_remember(struct product *p, const struct digest *key, const struct cache_entry *e)
{
    pthread_mutex_lock(&p->lock);
    struct made *old = map_get(p->made, key->text);
    struct made *m = old ? old : xcalloc(1, sizeof(*m)); /* layers point at it: it stays where it is */

    m->entry = *e;
    m->broken = false;
    if (!old)
        map_set(p->made, key->text, m);
    pthread_mutex_unlock(&p->lock);
    return m;
}

struct cache_entry cached_entry(struct product *p, const struct made *m)
{
    pthread_mutex_lock(&p->lock);
    const struct cache_entry e = m->entry;
    pthread_mutex_unlock(&p->lock);
    return e;
}

/* ---- taking ---- */

static void take(struct build *b, struct stage_run *st, struct made *m)
{
    const struct cache_entry e = cached_entry(b->whole, m);
    struct layer l = { .desc = e.layer, .diff_id = e.diff_id, .made = m };

    if (e.repo)
        l.origin = *e.repo; /* borrowed */
    vec_push(&st->layers, l);
    memcpy(st->layer_created, e.created, sizeof(st->layer_created));
    st->content = e.content;
}

static void write_entry(struct build *b, size_t stage, size_t step, const struct cache_entry *e, int blob_fd)
{
    AUTO(strs_release) struct strs facts = { 0 };
    const struct stage_run *st = b->stages[stage];

    keys_facts(b, stage, step, &facts);
    const struct cache_put put = { .entry = *e,
                                   .blob_fd = blob_fd,
                                   .blob_repo = e->repo,
                                   .inputs = &facts,
                                   .created_by = st->plan.steps[step].display,
                                   .platform = &st->plan.config.platform };
    cache_put(b->o.cache, &put);
}

/* The same files as before, whatever they were built of: the next build finds the layer by definition. */
static struct err *take_by_content(struct build *b, size_t stage, size_t step, bool *ret_taken)
{
    struct stage_run *st = b->stages[stage];
    const struct digest *key = &st->keys[step].key;
    struct cache_entry e;
    struct digest content;

    TRY(keys_content(b, stage, step, &content));
    if (!content.text[0] || digest_equal(&content, key))
        return NULL;
    TRY(claim(b->whole, b->whole->executing, content.text));
    st->keys[step].content_claimed = true;
    if (!cached_find(b->whole, &content))
        TRY(look_up_by_content(b, stage, step));
    struct made *m = cached_find(b->whole, &content);
    if (!m)
        return NULL;
    take(b, st, m);
    st->content = content;
    e = cached_entry(b->whole, m);
    e.key = *key;
    e.content = content;
    if (cache_repo(b->o.cache) && e.repo)
        write_entry(b, stage, step, &e, -1);
    (void)cached_remember(b->whole, key, &e);
    *ret_taken = true;
    return NULL;
}

struct err *cached_take(struct build *b, size_t stage, size_t step, bool *ret_taken)
{
    struct stage_run *st = b->stages[stage];

    if (!st->keys || !st->keys[step].key.text[0])
        return NULL;
    TRY(claim(b->whole, b->whole->executing, st->keys[step].key.text));
    st->keys[step].claimed = true;
    struct made *m = cached_find(b->whole, &st->keys[step].key);
    if (m) {
        take(b, st, m);
        *ret_taken = true;
        return NULL;
    }
    return cached_kind(b, &st->plan.steps[step]) ? take_by_content(b, stage, step, ret_taken) : NULL;
}

void cached_leave(struct build *b, size_t stage, size_t step)
{
    struct product *p = b->whole;
    struct step_key *k = b->stages[stage]->keys ? &b->stages[stage]->keys[step] : NULL;

    if (k && k->content_claimed)
        unclaim(p, p->executing, k->content.text);
    if (k && k->claimed)
        unclaim(p, p->executing, k->key.text);
    if (k)
        k->claimed = k->content_claimed = false;
}

/* ---- keeping ---- */

static const char *media_of(const struct build *b)
{
    static const char *const names[] = {
        [COMPRESSION_NONE] = "none", [COMPRESSION_GZIP] = "gzip", [COMPRESSION_ZSTD] = "zstd"
    };

    return manifest_layer_media(IMAGE_FORMAT_OCI, names[b->o.compress.kind]);
}

static void write_made(struct build *b, size_t stage, size_t step, const struct cache_entry *e)
{
    int fd = -1;

    err_free(store_open_blob(b->o.store, &e->layer.digest, e->layer.size_bytes, &fd));
    if (fd >= 0)
        write_entry(b, stage, step, e, fd);
}

void cached_content(struct build *b, size_t stage, size_t step, struct digest *ret_content)
{
    struct stage_run *st = b->stages[stage];

    *ret_content = (struct digest){ "" };
    if (st->keys)
        err_free(keys_content(b, stage, step, ret_content));
    st->content = *ret_content;
}

void cached_keep(struct build *b, size_t stage, size_t step, const struct layer *l, const struct digest *content)
{
    const struct stage_run *st = b->stages[stage];
    struct cache_entry e = { .layer = l->desc, .diff_id = l->diff_id, .content = *content };

    if (!st->keys || !st->keys[step].key.text[0] || !content->text[0])
        return;
    e.key = st->keys[step].key;
    (void)snprintf(e.layer.media_type, sizeof(e.layer.media_type), "%s", media_of(b));
    memcpy(e.created, b->created, sizeof(e.created));
    (void)cached_remember(b->whole, &e.key, &e);
    (void)cached_remember(b->whole, &e.content, &e);
    if (cached_kind(b, &st->plan.steps[step]) && cache_repo(b->o.cache))
        write_made(b, stage, step, &e);
}

/* ---- what turns out not to be there ---- */

/* What stops the build, or is wrong with this pod, is not the entry's fault. */
static bool is_entrys_fault(const struct err *e)
{
    enum err_kind kind = err_kind(e);

    return kind != ERR_TERMINATED && kind != ERR_TIMEOUT && kind != ERR_DISK && kind != ERR_BUG && kind != ERR_MEMORY;
}

void cached_failed(const struct build *b, const struct layer *l, const struct err *e)
{
    struct cache_entry entry = { 0 };

    if (e && l->made)
        entry = cached_entry(b->whole, l->made);
    if (!entry.repo || !is_entrys_fault(e) || atomic_exchange(&l->made->broken, true))
        return;
    AUTO_FREE char *why = err_line(e);
    AUTO_FREE char *note =
        xasprintf("warning: a layer of the cache is not used, its step is executed after all: %s", why);

    cache_reject(b->o.cache, &entry);
    b->whole->failed = true;
    b->o.progress->note(b->o.progress->ctx, note);
}

bool cached_again(struct product *p)
{
    return atomic_exchange(&p->failed, false);
}
