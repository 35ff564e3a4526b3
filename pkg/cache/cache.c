#include "cache/cache.h"

#include "base/limits.h"
#include "base/log.h"
#include "cache/cache_priv.h"

#include <string.h>
#include <sys/mman.h>

/* ---- stores ---- */

void cache_warn(const struct cache *c, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    AUTO_FREE char *text = xvasprintf(fmt, ap);
    va_end(ap);
    log_debug("cache", "%s", text);
    if (c->warn)
        c->warn(c->ctx, text);
}

bool cache_store_off(struct cache *c, const struct cache_store *s, bool writing)
{
    pthread_mutex_lock(&c->lock);
    bool off = writing ? s->write_off : s->read_off;
    pthread_mutex_unlock(&c->lock);
    return off;
}

/* A build that is told to stop is no failure of the cache. */
static bool is_stop(const struct err *e)
{
    return err_kind(e) == ERR_TERMINATED || err_kind(e) == ERR_TIMEOUT;
}

void cache_store_failed(struct cache *c, struct cache_store *s, bool writing, struct err *e)
{
    AUTO_FREE char *why = err_line(e);
    AUTO_FREE char *name = ref_familiar(&s->repo);

    pthread_mutex_lock(&c->lock);
    bool *off = writing ? &s->write_off : &s->read_off;
    bool first = !*off;
    *off = true;
    pthread_mutex_unlock(&c->lock);
    if (first && !is_stop(e))
        cache_warn(c, "warning: the cache '%s' cannot be %s, and the build goes on without: %s", name,
                   writing ? "written" : "read", why);
    err_free(e);
}

static void add_store(struct cache *c, struct registry *r, const struct ref *repo)
{
    struct cache_store *s = &c->stores[c->n_stores++];

    s->ops = &store_registry;
    s->state = store_registry_new(r, repo);
    ref_copy(&s->repo, repo);
}

struct cache *cache_new(const struct cache_opts *opts)
{
    struct cache *c = xcalloc(1, sizeof(*c));

    pthread_mutex_init(&c->lock, NULL);
    c->stores = xcalloc(opts->n_from + 1, sizeof(*c->stores));
    c->own = opts->repo != NULL;
    c->renew = opts->renew;
    c->ttl_s = opts->ttl_s;
    c->now_s = opts->now_s;
    c->warn = opts->warn;
    c->ctx = opts->ctx;
    c->blobs = map_new(NULL);
    c->stale = map_new(NULL);
    c->rejected = map_new(NULL);
    if (opts->repo)
        add_store(c, opts->registry, opts->repo);
    for (size_t i = 0; i < opts->n_from; i++)
        add_store(c, opts->registry, &opts->from[i]);
    c->writer = writer_new(c);
    return c;
}

/* Without a store that can be written, the jobs do no more than free themselves. */
static void stop_writing(struct cache *c)
{
    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < c->n_stores; i++)
        c->stores[i].write_off = true;
    pthread_mutex_unlock(&c->lock);
}

static void drop_stopped(struct cache *c)
{
    stop_writing(c);
    for (size_t i = 0; i < c->stopped.n; i++)
        c->stopped.items[i].work(c, c->stopped.items[i].job);
    vec_free(&c->stopped);
}

void cache_finish(struct cache *c, int timeout_ms)
{
    pthread_mutex_lock(&c->lock);
    size_t n = c->stopped.n;
    struct stopped_job *jobs = steal(&c->stopped.items);
    c->stopped.n = c->stopped.cap = 0;
    pthread_mutex_unlock(&c->lock);
    for (size_t i = 0; i < n; i++)
        writer_add(c->writer, jobs[i].work, jobs[i].job);
    free(jobs);
    (void)writer_wait_for(c->writer, timeout_ms);
    stop_writing(c);
}

void cache_free(struct cache *c)
{
    if (!c)
        return;
    writer_free(c->writer);
    drop_stopped(c);
    for (size_t i = 0; i < c->n_stores; i++) {
        c->stores[i].ops->free(c->stores[i].state);
        ref_release(&c->stores[i].repo);
    }
    free(c->stores);
    map_free(c->blobs);
    map_free(c->stale);
    map_free(c->rejected);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

void cache_get_stats(struct cache *c, struct cache_stats *ret)
{
    pthread_mutex_lock(&c->lock);
    *ret = c->stats;
    pthread_mutex_unlock(&c->lock);
}

const struct ref *cache_repo(const struct cache *c)
{
    return c->own ? &c->stores[0].repo : NULL;
}

void cache_flush(struct cache *c)
{
    writer_wait(c->writer);
}

/* ---- look-ups ---- */

/* The manifest under a tag; false: it is not there or cannot be had. */
static bool get_manifest(struct cache *c, struct cache_store *s, const char *tag, struct fetched_manifest *ret)
{
    bool found = false;

    if (cache_store_off(c, s, false))
        return false;
    struct err *e = s->ops->get(s->state, tag, ret, &found);
    if (e && err_kind(e) == ERR_REGISTRY) { /* damaged, or not what we asked for: of this entry alone */
        AUTO_FREE char *why = err_line(e);

        cache_warn(c, "warning: a cache entry is not used: %s", why);
        err_free(e);
        return false;
    }
    if (e)
        cache_store_failed(c, s, false, e);
    return !e && found;
}

static void mark(struct cache *c, struct map *m, const struct digest *key)
{
    pthread_mutex_lock(&c->lock);
    map_set(m, key->text, c);
    pthread_mutex_unlock(&c->lock);
}

static bool is_marked(struct cache *c, const struct map *m, const struct digest *key)
{
    pthread_mutex_lock(&c->lock);
    bool marked = map_get(m, key->text) != NULL;
    pthread_mutex_unlock(&c->lock);
    return marked;
}

void cache_reject(struct cache *c, const struct cache_entry *e)
{
    mark(c, c->rejected, &e->key);
    mark(c, c->rejected, &e->content);
}

static bool find_in(struct cache *c, struct cache_store *s, const struct digest *key, struct cache_entry *ret)
{
    struct fetched_manifest m = { 0 };
    struct descriptor config;
    int64_t written_s = 0;

    if (!get_manifest(c, s, digest_hex(key), &m))
        return false;
    struct err *e = entry_parse(m.text, m.len, key, ret, &written_s, &config);
    fetched_manifest_release(&m);
    if (e) {
        AUTO_FREE char *why = err_line(e);
        AUTO_FREE char *name = ref_familiar(&s->repo);

        cache_warn(c, "warning: the cache entry '%s:%.12s...' is not used: %s", name, digest_hex(key), why);
        err_free(e);
        mark(c, c->stale, key);
        return false;
    }
    if (!entry_is_fresh(written_s, c->now_s, c->ttl_s)) {
        log_debug("cache", "entry %s is too old", key->text);
        mark(c, c->stale, key);
        return false;
    }
    ret->repo = &s->repo;
    return true;
}

bool cache_find(struct cache *c, const struct digest *key, struct cache_entry *ret)
{
    bool found = false, rejected = is_marked(c, c->rejected, key);
    size_t i = 0;

    for (; !c->renew && !rejected && !found && i < c->n_stores; i++)
        found = find_in(c, &c->stores[i], key, ret);
    pthread_mutex_lock(&c->lock);
    c->stats.looked_up++;
    c->stats.found += found;
    if (found && c->own && i == 1)
        map_set(c->blobs, ret->layer.digest.text, c);
    pthread_mutex_unlock(&c->lock);
    return found;
}

/* ---- small blobs ---- */

struct bounded {
    struct buf data;
    size_t max;
};

static struct err *bounded_add(void *ctx, const void *p, size_t n)
{
    struct bounded *b = ctx;

    if (b->data.len + n > b->max)
        return err_new(ERR_REGISTRY, "a document is larger than %zu bytes", b->max);
    buf_add(&b->data, p, n);
    return NULL;
}

/* The configuration that the manifest under a tag names. */
static bool get_config(struct cache *c, struct cache_store *s, const char *tag, char **ret_text)
{
    struct bounded doc = { .max = LIMIT_CONFIG_BYTES };
    struct fetched_manifest m = { 0 };
    AUTO(manifest_release) struct manifest parsed = { 0 };

    if (!get_manifest(c, s, tag, &m))
        return false;
    struct err *e = manifest_parse(m.text, m.len, &parsed);
    if (!e)
        e = s->ops->get_blob(s->state, &parsed.config, (struct sink){ bounded_add, &doc });
    fetched_manifest_release(&m);
    if (e)
        log_debug("cache", "%s: %s", tag, err_message(e));
    if (!e)
        *ret_text = buf_steal(&doc.data);
    buf_release(&doc.data);
    bool good = !e;
    err_free(e);
    return good;
}

bool cache_inputs(struct cache *c, const struct digest *key, struct strs *ret_inputs)
{
    for (size_t i = 0; i < c->n_stores; i++) {
        AUTO_FREE char *text = NULL;

        if (!get_config(c, &c->stores[i], digest_hex(key), &text))
            continue;
        struct err *e = entry_inputs(text, strlen(text), ret_inputs);
        bool good = !e;
        err_free(e);
        if (good)
            return true;
        strs_release(ret_inputs);
    }
    return false;
}

bool cache_get_document(struct cache *c, const char *name, char **ret_text)
{
    for (size_t i = 0; i < c->n_stores; i++)
        if (get_config(c, &c->stores[i], name, ret_text))
            return true;
    return false;
}

/* ---- writing ---- */

static struct err *text_file(const char *text, int *ret_fd)
{
    AUTO_CLOSE int fd = memfd_create("copyup", MFD_CLOEXEC);
    size_t n = strlen(text);

    if (fd < 0)
        return err_sys(errno, "cannot keep a document");
    for (size_t done = 0; done < n;) {
        ssize_t k = write(fd, text + done, n - done);

        if (k < 0)
            return err_sys(errno, "cannot keep a document");
        done += (size_t)k;
    }
    *ret_fd = steal_fd(&fd);
    return NULL;
}

static struct err *put_text_blob(const struct cache_store *s, const char *media_type, const char *text,
                                 struct descriptor *ret)
{
    AUTO_CLOSE int fd = -1;
    bool there;

    *ret = (struct descriptor){ .digest = digest_bytes(text, strlen(text)), .size_bytes = strlen(text) };
    (void)snprintf(ret->media_type, sizeof(ret->media_type), "%s", media_type);
    TRY(text_file(text, &fd));
    return s->ops->put_blob(s->state, ret, fd, NULL, &there);
}

struct entry_job {
    struct cache_put put;
    struct ref blob_repo; /* what put.blob_repo points at */
    struct strs inputs;
    struct platform platform;
    char *created_by;
};

static void entry_job_free(struct entry_job *j)
{
    if (j->put.blob_fd >= 0)
        close(j->put.blob_fd);
    ref_release(&j->blob_repo);
    strs_release(&j->inputs);
    free(j->created_by);
    free(j);
}

/* Written once: who was here before has an entry that is as good. */
static struct err *put_manifest(struct cache *c, const struct cache_put *p, const struct digest *key,
                                const struct descriptor *config)
{
    struct cache_store *s = &c->stores[0];
    struct cache_entry e = p->entry;
    bool there = false;

    e.key = *key;
    if (!c->renew && !is_marked(c, c->stale, key) && !is_marked(c, c->rejected, key))
        TRY(s->ops->has(s->state, digest_hex(key), &there));
    if (there)
        return NULL;
    AUTO_FREE char *text = entry_manifest(&e, config, c->now_s);
    return s->ops->put(s->state, digest_hex(key), text);
}

static struct err *put_entry(struct cache *c, const struct cache_put *p)
{
    struct cache_store *s = &c->stores[0];
    AUTO_FREE char *text = entry_config(p);
    struct descriptor config;
    bool there = false;

    TRY(s->ops->put_blob(s->state, &p->entry.layer, p->blob_fd, p->blob_repo, &there));
    if (!there)
        return NULL;
    pthread_mutex_lock(&c->lock);
    map_set(c->blobs, p->entry.layer.digest.text, c);
    pthread_mutex_unlock(&c->lock);
    TRY(put_text_blob(s, MEDIA_OCI_CONFIG, text, &config));
    TRY(put_manifest(c, p, &p->entry.key, &config));
    if (!digest_equal(&p->entry.key, &p->entry.content))
        TRY(put_manifest(c, p, &p->entry.content, &config));
    pthread_mutex_lock(&c->lock);
    c->stats.written++;
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

/* Told to stop: whoever told us may let us finish later. */
static bool keep_for_later(struct cache *c, struct err *e, void (*work)(struct cache *c, void *job), void *job)
{
    if (!e || !is_stop(e))
        return false;
    err_free(e);
    pthread_mutex_lock(&c->lock);
    vec_push(&c->stopped, ((struct stopped_job){ work, job }));
    pthread_mutex_unlock(&c->lock);
    return true;
}

static void write_entry(struct cache *c, void *job)
{
    struct entry_job *j = job;
    struct err *e = cache_store_off(c, &c->stores[0], true) ? NULL : put_entry(c, &j->put);

    if (keep_for_later(c, e, write_entry, job))
        return;
    if (e)
        cache_store_failed(c, &c->stores[0], true, e);
    entry_job_free(j);
}

void cache_put(struct cache *c, const struct cache_put *p)
{
    struct entry_job *j = xcalloc(1, sizeof(*j));

    j->put = *p;
    strs_copy(&j->inputs, p->inputs);
    j->created_by = xstrdup(p->created_by);
    j->platform = *p->platform;
    if (p->blob_repo)
        ref_copy(&j->blob_repo, p->blob_repo);
    j->put.inputs = &j->inputs;
    j->put.created_by = j->created_by;
    j->put.platform = &j->platform;
    j->put.blob_repo = p->blob_repo ? &j->blob_repo : NULL;
    j->put.entry.repo = NULL;
    if (c->own)
        writer_add(c->writer, write_entry, j);
    else
        entry_job_free(j);
}

const struct ref *cache_has_blob(struct cache *c, const struct digest *blob)
{
    pthread_mutex_lock(&c->lock);
    bool there = map_get(c->blobs, blob->text) != NULL;
    pthread_mutex_unlock(&c->lock);
    return there ? cache_repo(c) : NULL;
}

struct document_job {
    char *name, *text;
};

static struct err *put_document(const struct cache_store *s, const struct document_job *j)
{
    struct descriptor config;

    TRY(put_text_blob(s, MEDIA_OCI_CONFIG, j->text, &config));
    const struct manifest m = { .format = IMAGE_FORMAT_OCI, .config = config };
    AUTO_FREE char *text = manifest_write(&m);
    return s->ops->put(s->state, j->name, text);
}

static void write_document(struct cache *c, void *job)
{
    struct document_job *j = job;
    struct err *e = cache_store_off(c, &c->stores[0], true) ? NULL : put_document(&c->stores[0], j);

    if (keep_for_later(c, e, write_document, job))
        return;
    if (e)
        cache_store_failed(c, &c->stores[0], true, e);
    free(j->name);
    free(j->text);
    free(j);
}

void cache_put_document(struct cache *c, const char *name, const char *text)
{
    struct document_job *j = xcalloc(1, sizeof(*j));

    if (!c->own) {
        free(j);
        return;
    }
    j->name = xstrdup(name);
    j->text = xstrdup(text);
    writer_add(c->writer, write_document, j);
}
