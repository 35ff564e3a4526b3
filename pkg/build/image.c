#include "build/build_priv.h"
#include "export/export.h"

#include <pthread.h>
#include <string.h>

static const char *compression_name(enum compression c)
{
    static const char *const names[] = {
        [COMPRESSION_NONE] = "none", [COMPRESSION_GZIP] = "gzip", [COMPRESSION_ZSTD] = "zstd"
    };

    return names[c];
}

/* How a base's layer is compressed, from its media type. */
static const char *media_compression(const char *media_type)
{
    if (strstr(media_type, "zstd"))
        return "zstd";
    return strstr(media_type, "gzip") ? "gzip" : "none";
}

static struct err *set_media(const struct build *b, enum image_format format, const struct layer *l,
                             struct descriptor *d)
{
    const char *how =
        l->origin.path || l->layout ? media_compression(d->media_type) : compression_name(b->o.compress.kind);
    const char *media = manifest_layer_media(format, how);

    if (strstr(d->media_type, "foreign") || strstr(d->media_type, "nondistributable"))
        return NULL; /* stays what it is */
    if (!media)
        return err_hint(err_new(ERR_SETTING, "a layer compressed with %s has no place in a Docker image", how),
                        "Choose the image format oci.");
    (void)snprintf(d->media_type, sizeof(d->media_type), "%s", media);
    return NULL;
}

static void set_labels(struct build *b, struct image_config *c)
{
    for (size_t i = 0; b->o.labels && i < b->o.labels->n; i++) {
        const char *entry = b->o.labels->items[i], *eq = strchr(entry, '=');
        AUTO_FREE char *name = eq ? xstrndup(entry, (size_t)(eq - entry)) : xstrdup(entry);

        config_set_label(c, name, eq ? eq + 1 : "");
    }
}

/* Without a wish it is for what its base is for; else for the target, even if it was built from something else. */
static void set_platform(const struct plan_opts *o, struct platform *p)
{
    const struct platform *t = &o->target_platform;
    bool same = strcmp(p->os, t->os) == 0 && strcmp(p->arch, t->arch) == 0;

    if (o->target_given && !same)
        *p = *t;
    else if (o->target_given && t->variant[0])
        memcpy(p->variant, t->variant, sizeof(p->variant));
    platform_normalize(p);
}

static struct err *assemble_layers(struct build *b, const struct stage_run *st)
{
    struct manifest *m = &b->manifest;

    m->layers = xcalloc(st->layers.n, sizeof(*m->layers));
    for (size_t i = 0; i < st->layers.n; i++) {
        m->layers[i] = st->layers.items[i].desc;
        TRY(set_media(b, m->format, &st->layers.items[i], &m->layers[i]));
        b->stats.image_bytes += m->layers[i].size_bytes;
        m->n_layers++;
    }
    b->stats.layers = m->n_layers;
    return NULL;
}

struct err *image_assemble(struct build *b)
{
    struct stage_run *st = &b->stages[b->o.plan->target];
    struct manifest *m = &b->manifest;

    set_labels(b, &st->config);
    set_platform(&b->o.plan->opts, &st->config.platform);
    config_fill_times(&st->config, b->created);
    m->format = b->o.format < 0 ? st->format : (enum image_format)b->o.format;
    TRY(assemble_layers(b, st));
    b->config_text = config_write(&st->config);
    size_t len = strlen(b->config_text);
    TRY(store_put_bytes(b->o.store, b->config_text, len, &b->config_digest));
    m->config.digest = b->config_digest;
    m->config.size_bytes = len;
    (void)snprintf(m->config.media_type, sizeof(m->config.media_type), "%s",
                   m->format == IMAGE_FORMAT_OCI ? MEDIA_OCI_CONFIG : MEDIA_DOCKER_CONFIG);
    b->manifest_text = manifest_write(m);
    b->digest = digest_bytes(b->manifest_text, strlen(b->manifest_text));
    b->stats.image_bytes += len;
    return NULL;
}

/* ---- push ---- */

struct push_ctx {
    struct build *b;
    const struct ref *repo;
    pthread_mutex_t lock; /* stats */
};

static void count(struct push_ctx *p, const struct descriptor *d, enum blob_result result)
{
    struct build_stats *s = &p->b->stats;
    AUTO_FREE char *note = xasprintf("pushed %.19s, %.1f MB", d->digest.text, (double)d->size_bytes / 1e6);

    pthread_mutex_lock(&p->lock);
    s->blobs_existed += result == BLOB_EXISTED;
    s->blobs_mounted += result == BLOB_MOUNTED;
    s->blobs_uploaded += result == BLOB_UPLOADED;
    s->uploaded_bytes += result == BLOB_UPLOADED ? d->size_bytes : 0;
    pthread_mutex_unlock(&p->lock);
    if (result == BLOB_UPLOADED)
        p->b->o.progress->note(p->b->o.progress->ctx, note);
}

/* Layers of the target, then the configuration as the last item. */
static struct err *push_one(void *ctx, size_t i)
{
    struct push_ctx *p = ctx;
    struct build *b = p->b;
    const struct stage_run *st = &b->stages[b->o.plan->target];
    const struct layer config = { .desc = b->manifest.config };
    const struct layer *l = i < st->layers.n ? &st->layers.items[i] : &config;
    const char *mount = l->origin.path && strcmp(l->origin.domain, p->repo->domain) == 0 ? l->origin.path : NULL;
    enum blob_result result = BLOB_MOUNTED;
    AUTO_CLOSE int fd = -1;
    bool found = false;

    TRY(cancel_check(b->o.cancel));
    if (l->origin.path) /* a base's layer may never have been fetched: first see whether it must be */
        TRY(registry_try_mount(b->o.registry, p->repo, &l->desc.digest, mount, &found));
    if (!found) {
        TRY(layer_open(b, l, &fd));
        TRY(registry_push_blob(b->o.registry, p->repo, &l->desc, fd, mount, &result));
    }
    count(p, &l->desc, result);
    return NULL;
}

struct err *build_push(struct build *b, const struct ref *repo, const struct strs *tags)
{
    struct push_ctx p = { .b = b, .repo = repo };
    const char *media = b->manifest.format == IMAGE_FORMAT_OCI ? MEDIA_OCI_MANIFEST : MEDIA_DOCKER_MANIFEST;

    pthread_mutex_init(&p.lock, NULL);
    struct err *e = in_parallel(transfer_threads(b), b->manifest.n_layers + 1, push_one, &p);
    pthread_mutex_destroy(&p.lock);
    TRY(err_wrap(e, "cannot push to '%s/%s'", repo->domain, repo->path));
    for (size_t i = 0; i < tags->n; i++) {
        AUTO(ref_release) struct ref ref = { 0 };
        struct digest got;

        TRY(cancel_check(b->o.cancel));
        ref_copy(&ref, repo);
        free(ref.tag);
        ref.tag = xstrdup(tags->items[i]);
        TRY(err_wrap(
            registry_put_manifest(b->o.registry, &ref, media, b->manifest_text, strlen(b->manifest_text), &got),
            "cannot push tag '%s' to '%s/%s'", ref.tag, repo->domain, repo->path));
    }
    return NULL;
}

/* ---- export ---- */

static struct err *open_for_export(void *ctx, const struct descriptor *blob, int *ret_fd)
{
    struct build *b = ctx;
    const struct stage_run *st = &b->stages[b->o.plan->target];
    const struct layer config = { .desc = b->manifest.config };

    for (size_t i = 0; i < st->layers.n; i++)
        if (digest_equal(&st->layers.items[i].desc.digest, &blob->digest))
            return layer_open(b, &st->layers.items[i], ret_fd);
    return layer_open(b, &config, ret_fd);
}

struct err *build_export(struct build *b, const char *tar_path, const char *oci_path, const struct strs *names)
{
    const struct stage_run *st = &b->stages[b->o.plan->target];
    const struct export_image image = { .manifest = &b->manifest,
                                        .manifest_text = b->manifest_text,
                                        .config_text = b->config_text,
                                        .diff_ids = st->config.diff_ids,
                                        .names = *names, /* borrowed */
                                        .time_s = b->o.created_s,
                                        .open_blob = open_for_export,
                                        .ctx = b,
                                        .cancel = b->o.cancel };

    if (tar_path)
        TRY(err_wrap(export_docker_tar(tar_path, &image), "cannot write the image to '%s'", tar_path));
    if (oci_path)
        TRY(err_wrap(export_oci_layout(oci_path, &image), "cannot write the image to '%s'", oci_path));
    return NULL;
}
