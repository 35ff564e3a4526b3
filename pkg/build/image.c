#include "build/build_priv.h"

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
        const struct layer *l = &st->layers.items[i];

        m->layers[i] = l->desc;
        TRY(set_media(b, m->format, l, &m->layers[i]));
        b->image_bytes += l->desc.size_bytes;
        b->own_layers += l->made || (!l->origin.path && !l->layout);
        m->n_layers++;
    }
    return NULL;
}

/* The target's stage may be another platform's as well: what is this image's alone is set in a copy. */
static void assemble_config(struct build *b, const struct stage_run *st)
{
    config_copy(&b->config, &st->config);
    set_labels(b, &b->config);
    set_platform(&b->o.plan->opts, &b->config.platform);
    config_fill_times(&b->config, b->created);
    b->config_text = config_write(&b->config);
}

struct err *image_assemble(struct build *b, enum image_format format)
{
    const struct stage_run *st = build_target(b);
    struct manifest *m = &b->manifest;

    m->format = format;
    TRY(assemble_layers(b, st));
    assemble_config(b, st);
    size_t len = strlen(b->config_text);
    TRY(store_put_bytes(b->o.store, b->config_text, len, &m->config.digest));
    m->config.size_bytes = len;
    (void)snprintf(m->config.media_type, sizeof(m->config.media_type), "%s",
                   format == IMAGE_FORMAT_OCI ? MEDIA_OCI_CONFIG : MEDIA_DOCKER_CONFIG);
    b->manifest_text = manifest_write(m);
    b->digest = digest_bytes(b->manifest_text, strlen(b->manifest_text));
    b->image_bytes += len;
    return NULL;
}

const char *image_media(const struct build *b)
{
    return b->manifest.format == IMAGE_FORMAT_OCI ? MEDIA_OCI_MANIFEST : MEDIA_DOCKER_MANIFEST;
}
