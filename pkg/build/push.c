/* push.c - what was made, to a registry: blobs first, each once; then the manifests; then the tags. */
#include "build/build_priv.h"

#include <pthread.h>
#include <string.h>

struct push_blob {
    struct build *b;
    struct layer layer; /* or the configuration */
};

struct push_ctx {
    struct product *p;
    const struct ref *repo;
    VEC(struct push_blob) blobs;
    pthread_mutex_t lock; /* stats */
};

/* ---- blobs ---- */

static void add_blob(struct push_ctx *c, struct map *seen, const struct push_blob *blob)
{
    if (map_get(seen, blob->layer.desc.digest.text))
        return; /* images share layers */
    map_set(seen, blob->layer.desc.digest.text, c);
    vec_push(&c->blobs, *blob);
}

static void list_blobs(struct push_ctx *c)
{
    AUTO(map_free) struct map *seen = map_new(NULL);

    for (size_t k = 0; k < c->p->n_plans; k++) {
        struct build *b = c->p->builds[k];
        const struct layers *layers = &build_target(b)->layers;

        for (size_t i = 0; i < layers->n; i++)
            add_blob(c, seen, &(struct push_blob){ b, layers->items[i] });
        add_blob(c, seen, &(struct push_blob){ b, { .desc = b->manifest.config } });
    }
}

static void count(struct push_ctx *c, const struct descriptor *d, enum blob_result result)
{
    struct push_stats *s = &c->p->pushed;
    AUTO_FREE char *note = xasprintf("pushed %.19s, %.1f MB", d->digest.text, (double)d->size_bytes / 1e6);

    pthread_mutex_lock(&c->lock);
    s->existed += result == BLOB_EXISTED;
    s->mounted += result == BLOB_MOUNTED;
    s->uploaded += result == BLOB_UPLOADED;
    s->uploaded_bytes += result == BLOB_UPLOADED ? d->size_bytes : 0;
    pthread_mutex_unlock(&c->lock);
    if (result == BLOB_UPLOADED)
        c->p->o.progress->note(c->p->o.progress->ctx, note);
}

/* A base's layer may never have been fetched: it is only if it must be sent. */
static struct err *open_blob(void *ctx, int *ret_fd)
{
    const struct push_blob *blob = ctx;

    return layer_open(blob->b, &blob->layer, ret_fd);
}

static struct err *push_one(void *ctx, size_t i)
{
    struct push_ctx *c = ctx;
    struct push_blob *blob = &c->blobs.items[i];
    const struct layer *l = &blob->layer;
    const char *mount = l->origin.path && strcmp(l->origin.domain, c->repo->domain) == 0 ? l->origin.path : NULL;
    const struct blob_source source = { open_blob, blob };
    enum blob_result result;

    TRY(cancel_check(c->p->o.cancel));
    TRY(registry_push_blob(c->p->o.registry, c->repo, &l->desc, &source, mount, &result));
    count(c, &l->desc, result);
    return NULL;
}

static struct err *push_blobs(void *ctx)
{
    struct push_ctx *c = ctx;

    return in_parallel(transfer_threads(c->p->builds[0]), c->blobs.n, push_one, c);
}

/* ---- manifests ---- */

/* tag NULL: under its digest alone. */
static struct err *put(struct push_ctx *c, const char *media, const char *text, const char *tag)
{
    AUTO(ref_release) struct ref ref = { 0 };
    const struct digest d = digest_bytes(text, strlen(text));
    const struct blobs_again again = { push_blobs, c };
    struct digest got;

    TRY(cancel_check(c->p->o.cancel));
    ref_copy(&ref, c->repo);
    free(ref.tag);
    ref.tag = tag ? xstrdup(tag) : NULL;
    ref.digest = tag ? NULL : xstrdup(d.text);
    struct err *e = registry_put_manifest(c->p->o.registry, &ref, media, text, strlen(text), &again, &got);
    return err_wrap(e, "cannot push %s'%s' to '%s/%s'", tag ? "tag " : "manifest ", tag ? tag : d.text, c->repo->domain,
                    c->repo->path);
}

static struct err *put_all(struct push_ctx *c, const struct strs *tags)
{
    struct product *p = c->p;
    const char *media = image_media(p->builds[0]), *text = p->builds[0]->manifest_text;

    for (size_t i = 0; p->index_text && i < p->n_plans; i++)
        TRY(put(c, image_media(p->builds[i]), p->builds[i]->manifest_text, NULL));
    if (p->index_text) {
        media = p->index_format == IMAGE_FORMAT_OCI ? MEDIA_OCI_INDEX : MEDIA_DOCKER_LIST;
        text = p->index_text;
    }
    for (size_t i = 0; i < tags->n; i++)
        TRY(put(c, media, text, tags->items[i]));
    return NULL;
}

struct err *product_push(struct product *p, const struct ref *repo, const struct strs *tags)
{
    struct push_ctx c = { .p = p, .repo = repo };

    pthread_mutex_init(&c.lock, NULL);
    list_blobs(&c);
    struct err *e = err_wrap(push_blobs(&c), "cannot push to '%s/%s'", repo->domain, repo->path);
    if (!e)
        e = put_all(&c, tags);
    vec_free(&c.blobs);
    pthread_mutex_destroy(&c.lock);
    return e;
}

void product_get_pushed(const struct product *p, struct push_stats *ret_stats)
{
    *ret_stats = p->pushed;
}
