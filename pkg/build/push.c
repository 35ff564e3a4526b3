/* push.c - what is pushed: what was made, or an image that lies on disk. */
#include "base/map.h"
#include "build/build_priv.h"
#include "export/image_file.h"

#include <string.h>

/* ---- while it is made ---- */

/* Is it the stage that the image of some platform is, or one that such a stage starts from? */
static bool is_in_an_image(const struct product *p, const struct stage_run *st)
{
    for (size_t k = 0; k < p->n_plans; k++) {
        const struct plan *plan = p->plans[k];
        size_t i = plan->target;

        while (p->builds[k]->stages[i] != st && plan->stages[i].base == PLAN_BASE_STAGE)
            i = plan->stages[i].base_stage;
        if (p->builds[k]->stages[i] == st)
            return true;
    }
    return false;
}

bool push_is_early(const struct build *b, const struct stage_run *st, const struct step *step)
{
    const struct ref *cache = cached_kind(b, step) ? cache_repo(b->o.cache) : NULL;

    if (cache && strcmp(cache->domain, b->o.push_repo->domain) == 0)
        return false;
    return is_in_an_image(b->whole, st);
}

/* ---- what was made ---- */

struct push_blob {
    struct build *b;
    struct layer layer; /* or the configuration */
};

struct push_list {
    VEC(struct push_blob) blobs;
};

static void add_blob(struct push_list *l, struct map *seen, const struct push_blob *blob)
{
    if (map_get(seen, blob->layer.desc.digest.text))
        return; /* images share layers */
    map_set(seen, blob->layer.desc.digest.text, l);
    vec_push(&l->blobs, *blob);
}

static void list_blobs(const struct product *p, struct push_list *l)
{
    AUTO(map_free) struct map *seen = map_new(NULL);

    for (size_t k = 0; k < p->n_plans; k++) {
        struct build *b = p->builds[k];
        const struct layers *layers = &build_target(b)->layers;

        for (size_t i = 0; i < layers->n; i++)
            add_blob(l, seen, &(struct push_blob){ b, layers->items[i] });
        add_blob(l, seen, &(struct push_blob){ b, { .desc = b->manifest.config } });
    }
}

/* A base's layer may never have been fetched: it is only if it must be sent. */
static struct err *open_layer(void *ctx, int *ret_fd, uint64_t *ret_offset)
{
    const struct push_blob *blob = ctx;

    *ret_offset = 0;
    return layer_open(blob->b, &blob->layer, ret_fd);
}

/* The repository that has it: its base's, or that of the cache. NULL: none that is known. */
static const struct ref *blob_elsewhere(const struct push_blob *blob)
{
    const struct layer *l = &blob->layer;

    if (l->origin.path)
        return &l->origin;
    return blob->b->o.cache ? cache_has_blob(blob->b->o.cache, &l->desc.digest) : NULL;
}

static struct delivery_blob as_delivery(struct push_blob *blob, const struct ref *repo)
{
    const struct ref *other = blob_elsewhere(blob);
    bool near = other && strcmp(other->domain, repo->domain) == 0;

    struct delivery_blob d = { .desc = blob->layer.desc,
                               .mount_from = near ? other->path : NULL,
                               .source = { open_layer, blob } };

    d.there = uploads_find(blob->b->whole->uploads, &d.desc.digest, &d.result);
    return d;
}

static struct delivery_document document(const char *media_type, const char *text)
{
    return (struct delivery_document){ media_type, text, strlen(text) };
}

static struct push_target target_of(const struct product *p, const struct ref *repo, const struct strs *tags)
{
    return (struct push_target){ p->o.registry, repo, tags, p->o.limits, p->o.progress, p->o.cancel };
}

/* The document that the tags name. */
static struct delivery_document top_document(const struct product *p)
{
    if (p->index_text)
        return document(p->index_format == IMAGE_FORMAT_OCI ? MEDIA_OCI_INDEX : MEDIA_DOCKER_LIST, p->index_text);
    return document(image_media(p->builds[0]), p->builds[0]->manifest_text);
}

/* ---- what was pushed before ---- */

/* Was nothing executed? Then it is likely that the image was pushed before. */
static bool is_all_known(const struct product *p)
{
    bool known = p->o.cache != NULL;

    for (size_t k = 0; known && k < p->n_plans; k++) {
        const struct layers *layers = &build_target(p->builds[k])->layers;

        for (size_t i = 0; known && i < layers->n; i++)
            known = layers->items[i].origin.path || layers->items[i].layout;
    }
    return known;
}

/* Does tag (NULL: the image's own digest) lead to this image already? What cannot be asked is not so. */
static bool is_there(const struct product *p, const struct ref *repo, const char *tag)
{
    struct digest own = p->digest, found = { "" };
    struct ref ref = { .domain = repo->domain, .path = repo->path, .tag = (char *)tag };
    bool there = false;

    if (!tag)
        ref.digest = own.text;
    err_free(registry_find_manifest(p->o.registry, &ref, &found, &there));
    return there && (!tag || digest_equal(&found, &own));
}

/* An image that the repository has needs nothing but its tags. *ret_done: that was so. */
static struct err *tag_again(struct product *p, const struct ref *repo, const struct strs *tags, bool *ret_done)
{
    AUTO_FREE char **missing = xcalloc(tags->n + 1, sizeof(*missing));
    struct strs rest = { .items = missing };
    const struct delivery_document top = top_document(p);
    const struct push_target to = target_of(p, repo, &rest);
    const struct delivery d = { .to = &to, .documents = &top, .n_documents = 1 };

    *ret_done = false;
    if (!is_all_known(p))
        return NULL;
    for (size_t i = 0; i < tags->n; i++)
        if (!is_there(p, repo, tags->items[i]))
            missing[rest.n++] = tags->items[i];
    if (rest.n == tags->n && !is_there(p, repo, NULL))
        return NULL;
    if (rest.n)
        TRY(deliver(&d, &p->pushed));
    *ret_done = p->pushed.unchanged = true;
    return NULL;
}

struct err *push_product(struct product *p, const struct ref *repo, const struct strs *tags)
{
    const struct push_target to = target_of(p, repo, tags);
    struct push_list list = { 0 };
    struct delivery d = { .to = &to };
    bool done;

    p->pushed = (struct push_stats){ 0 };
    TRY(tag_again(p, repo, tags, &done));
    if (done)
        return NULL;
    list_blobs(p, &list);
    uploads_settle(p->uploads);
    AUTO_FREE struct delivery_blob *blobs = xcalloc(list.blobs.n, sizeof(*blobs));
    AUTO_FREE struct delivery_document *documents = xcalloc(p->n_plans + 1, sizeof(*documents));
    for (; d.n_blobs < list.blobs.n; d.n_blobs++)
        blobs[d.n_blobs] = as_delivery(&list.blobs.items[d.n_blobs], repo);
    for (; d.n_documents < p->n_plans; d.n_documents++) {
        const struct build *b = p->builds[d.n_documents];

        documents[d.n_documents] = document(image_media(b), b->manifest_text);
    }
    if (p->index_text)
        documents[d.n_documents++] = top_document(p);
    d.blobs = blobs;
    d.documents = documents;
    struct err *e = deliver(&d, &p->pushed);
    vec_free(&list.blobs);
    return e;
}

void product_get_pushed(const struct product *p, struct push_stats *ret_stats)
{
    *ret_stats = p->pushed;
}

/* ---- what lies on disk ---- */

struct file_blob {
    const struct image_file *file;
    size_t i;
};

static struct err *open_file_blob(void *ctx, int *ret_fd, uint64_t *ret_offset)
{
    const struct file_blob *blob = ctx;

    return image_file_open_blob(blob->file, blob->i, ret_fd, ret_offset);
}

struct err *image_file_push(const struct image_file *f, const struct push_target *to, struct push_stats *ret_stats)
{
    struct delivery d = { .to = to, .n_blobs = image_file_n_blobs(f), .n_documents = image_file_n_documents(f) };
    AUTO_FREE struct file_blob *places = xcalloc(d.n_blobs, sizeof(*places));
    AUTO_FREE struct delivery_blob *blobs = xcalloc(d.n_blobs, sizeof(*blobs));
    AUTO_FREE struct delivery_document *documents = xcalloc(d.n_documents, sizeof(*documents));

    for (size_t i = 0; i < d.n_blobs; i++) {
        places[i] = (struct file_blob){ f, i };
        blobs[i] = (struct delivery_blob){ .desc = *image_file_blob(f, i), .source = { open_file_blob, &places[i] } };
    }
    for (size_t i = 0; i < d.n_documents; i++) {
        const struct image_document *doc = image_file_document(f, i);

        documents[i] = (struct delivery_document){ doc->media_type, doc->text, doc->len };
    }
    d.blobs = blobs;
    d.documents = documents;
    *ret_stats = (struct push_stats){ 0 };
    return deliver(&d, ret_stats);
}
