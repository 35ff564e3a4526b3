#include "base/limits.h"
#include "build/build_priv.h"
#include "sys/file.h"

#include <string.h>

#define LAYOUT_SCHEME "oci-layout://" /* as plan_source has it */

/* A sink into memory, for small documents. */
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

static struct err *bounded_again(void *ctx)
{
    buf_clear(&((struct bounded *)ctx)->data);
    return NULL;
}

struct registry_image {
    struct build *b;
    const struct ref *ref;
    const char *name;
};

static struct err *fetch_document(const struct registry_image *image, const struct ref *ref,
                                  struct fetched_manifest *ret)
{
    bool found;

    TRY(err_wrap(registry_get_manifest(image->b->o.registry, ref, ret, &found), "cannot get image '%s'", image->name));
    if (found)
        return NULL;
    return err_hint(err_new(ERR_DOCKERFILE, "there is no image '%s' at %s", image->name, ref->domain),
                    "Check the name and the tag; a private repository needs credentials for %s.", ref->domain);
}

static struct fetched_manifest *known_document(struct product *p, const char *name)
{
    pthread_mutex_lock(&p->lock);
    struct fetched_manifest *doc = map_get(p->documents, name);
    pthread_mutex_unlock(&p->lock);
    return doc;
}

void document_free(void *doc)
{
    if (doc)
        fetched_manifest_release(doc);
    free(doc);
}

/* What a name means is asked once, so that it is the same for all platforms. */
static struct err *named_document(const struct registry_image *image, const char *key, struct fetched_manifest *ret)
{
    struct product *p = image->b->whole;
    struct fetched_manifest *doc = known_document(p, key);

    if (!doc) {
        struct fetched_manifest got = { 0 };

        TRY(fetch_document(image, image->ref, &got));
        doc = xcalloc(1, sizeof(*doc));
        *doc = got;
        pthread_mutex_lock(&p->lock);
        map_set(p->documents, key, doc);
        pthread_mutex_unlock(&p->lock);
    }
    *ret = *doc;
    ret->text = xcalloc(1, doc->len + 1);
    memcpy(ret->text, doc->text, doc->len);
    return NULL;
}

static struct err *get_document(void *ctx, const struct digest *d, struct fetched_manifest *ret)
{
    const struct registry_image *image = ctx;
    struct product *p = image->b->whole;
    AUTO(ref_release) struct ref ref = { 0 };

    ref_copy(&ref, image->ref);
    if (!d) {
        AUTO_FREE char *key = ref_string(&ref);

        TRY(claim(p, p->fetching, key));
        struct err *e = named_document(image, key, ret);
        unclaim(p, p->fetching, key);
        return e;
    }
    free(ref.digest);
    ref.digest = xstrdup(d->text);
    return fetch_document(image, &ref, ret);
}

static struct err *get_config(struct build *b, struct base_image *base)
{
    struct bounded doc = { .max = LIMIT_CONFIG_BYTES };
    const struct blob_target to = { { bounded_add, &doc }, bounded_again, &doc };
    struct err *e = registry_pull_blob(b->o.registry, &base->ref, &base->manifest.config, &to);

    if (!e)
        e = config_parse(doc.data.data, doc.data.len, &base->config);
    buf_release(&doc.data);
    if (!e && base->config.n_diff_ids != base->manifest.n_layers)
        e = err_new(ERR_REGISTRY, "the manifest has %zu layers, the configuration %zu", base->manifest.n_layers,
                    base->config.n_diff_ids);
    return e;
}

static struct err *base_fetch(struct build *b, struct base_image *base, const struct platform *platform)
{
    AUTO_FREE char *name = ref_familiar(&base->ref);
    struct registry_image image = { b, &base->ref, name };
    const struct image_docs docs = { name, get_document, &image };
    bool sure;

    TRY(choose_manifest(&docs, platform, &base->manifest, &sure));
    TRY(err_wrap(get_config(b, base), "cannot use image '%s'", name));
    return sure ? NULL : choose_check(name, platform, &base->config);
}

static struct err *base_find(struct build *b, struct base_image *base, const char *text,
                             const struct platform *platform)
{
    if (strncmp(text, LAYOUT_SCHEME, strlen(LAYOUT_SCHEME)) == 0)
        return layout_fetch(base, text + strlen(LAYOUT_SCHEME), platform);
    TRY(ref_parse(text, &base->ref));
    ref_default_tag(&base->ref);
    return base_fetch(b, base, platform);
}

static struct base_image *base_new(const struct platform *platform)
{
    struct base_image *base = xcalloc(1, sizeof(*base));

    pthread_mutex_init(&base->lock, NULL);
    config_init(&base->config, platform);
    return base;
}

static struct base_image *known_base(struct product *p, const char *key)
{
    pthread_mutex_lock(&p->lock);
    struct base_image *base = map_get(p->bases, key);
    pthread_mutex_unlock(&p->lock);
    return base;
}

static void keep_base(struct product *p, const char *key, struct base_image *base)
{
    pthread_mutex_lock(&p->lock);
    map_set(p->bases, key, base);
    pthread_mutex_unlock(&p->lock);
}

/* What went wrong ahead is the answer to the first who asks. */
static struct err *answer(struct product *p, const char *key, struct base_image *base, struct base_image **ret)
{
    struct err *e = steal(&base->error);

    if (e) {
        pthread_mutex_lock(&p->lock);
        map_remove(p->bases, key);
        pthread_mutex_unlock(&p->lock);
        return e;
    }
    *ret = base;
    return NULL;
}

static struct err *get_or_find(struct build *b, const char *text, const struct platform *platform, const char *key,
                               struct base_image **ret)
{
    struct base_image *base = known_base(b->whole, key);

    if (base)
        return answer(b->whole, key, base, ret);
    base = base_new(platform);
    struct err *e = base_find(b, base, text, platform);
    if (e) {
        base_free(base);
        return e;
    }
    keep_base(b->whole, key, base);
    *ret = base;
    return NULL;
}

static char *base_key(const char *text, const struct platform *platform)
{
    char platform_text[256];

    platform_format(platform, platform_text, sizeof(platform_text));
    return xasprintf("%s|%s", text, platform_text);
}

struct err *base_get(struct build *b, const char *text, const struct platform *platform, struct base_image **ret)
{
    AUTO_FREE char *key = base_key(text, platform);

    TRY(claim(b->whole, b->whole->fetching, key));
    struct err *e = get_or_find(b, text, platform, key, ret);
    unclaim(b->whole, b->whole->fetching, key);
    return e;
}

struct err *base_get_ahead(struct build *b, const char *text, const struct platform *platform)
{
    AUTO_FREE char *key = base_key(text, platform);
    struct base_image *base;

    TRY(claim(b->whole, b->whole->fetching, key));
    struct err *e = known_base(b->whole, key) ? NULL : get_or_find(b, text, platform, key, &base);
    if (e && err_kind(e) != ERR_TERMINATED && err_kind(e) != ERR_TIMEOUT) {
        base = base_new(platform);
        base->error = steal(&e);
        keep_base(b->whole, key, base);
    }
    unclaim(b->whole, b->whole->fetching, key);
    return e;
}

void base_free(void *p)
{
    struct base_image *base = p;

    if (!base)
        return;
    err_free(base->error);
    rootfs_free(base->rootfs);
    manifest_release(&base->manifest);
    config_release(&base->config);
    ref_release(&base->ref);
    pthread_mutex_destroy(&base->lock);
    free(base->layout);
    free(base);
}

struct unpack_ctx {
    struct build *b;
    const struct layer *layers;
};

/* Of several stages that want a layer one gets it, the others wait. */
static struct err *unpack_one(void *ctx, size_t i)
{
    struct unpack_ctx *u = ctx;
    struct product *p = u->b->whole;
    const struct layer *l = &u->layers[i];

    if (snapshotter_has_layer(u->b->o.snapshotter, &l->diff_id))
        return NULL;
    TRY(claim(p, p->unpacking, l->diff_id.text));
    gate_enter(&p->transfers);
    struct err *e = cancel_check(u->b->o.cancel);

    if (!e)
        e = err_wrap(layer_unpack(u->b, l), "cannot unpack layer %zu", i + 1);
    gate_leave(&p->transfers);
    unclaim(p, p->unpacking, l->diff_id.text);
    return e;
}

/* Unpacked, layers are larger than compressed: what does not even fit so need not be begun. */
static struct err *check_room(struct build *b, const struct layer *layers, size_t n)
{
    const char *dir = store_dir(b->o.store);
    uint64_t wanted = 0, free_bytes = 0;

    for (size_t i = 0; i < n; i++)
        if (!snapshotter_has_layer(b->o.snapshotter, &layers[i].diff_id))
            wanted += layers[i].desc.size_bytes;
    if (wanted)
        room_make(b);
    if (!file_free_bytes(dir, &free_bytes) || wanted <= free_bytes)
        return NULL;
    return err_hint(err_new(ERR_DISK, "its layers have %.1f MB, and are larger unpacked; '%s' has %.1f MB free",
                            (double)wanted / 1e6, dir, (double)free_bytes / 1e6),
                    "Mount a larger volume there; unpacked, layers take two to four times their size.");
}

struct err *layers_unpack(struct build *b, const struct layer *layers, size_t n)
{
    struct unpack_ctx u = { b, layers };

    TRY(check_room(b, layers, n));
    return in_parallel(transfer_threads(b->o.limits), n, unpack_one, &u);
}

struct layer base_layer(const struct base_image *base, size_t i)
{
    return (struct layer){ .desc = base->manifest.layers[i],
                           .diff_id = base->config.diff_ids[i],
                           .origin = base->ref,
                           .layout = base->layout };
}

struct err *base_unpack(struct build *b, struct base_image *base)
{
    AUTO_FREE struct layer *layers = xcalloc(base->manifest.n_layers, sizeof(*layers));
    AUTO_FREE char *name = base->layout ? xstrdup(base->layout) : ref_familiar(&base->ref);

    if (base->unpacked)
        return NULL;
    for (size_t i = 0; i < base->manifest.n_layers; i++)
        layers[i] = base_layer(base, i);
    TRY(err_wrap(layers_unpack(b, layers, base->manifest.n_layers), "cannot use image '%s'", name));
    base->unpacked = true;
    return NULL;
}

struct err *base_view(struct build *b, struct base_image *base, int *ret_root_fd)
{
    struct err *e = base_unpack(b, base);

    if (e)
        return e;
    pthread_mutex_lock(&base->lock);
    if (!base->rootfs)
        e = rootfs_new(b->o.snapshotter, base->config.diff_ids, base->config.n_diff_ids, &base->rootfs);
    if (!e)
        e = rootfs_view(base->rootfs, ret_root_fd);
    pthread_mutex_unlock(&base->lock);
    return e;
}
