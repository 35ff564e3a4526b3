/* image_docker.c - an archive of `docker save`: configuration and layers, of which a manifest is made. Layers that are
 * not compressed are compressed first; all are checked against the configuration. */
#include "base/limits.h"
#include "export/image_file_priv.h"
#include "oci/config.h"
#include "sys/file.h"
#include "tar/decompress.h"
#include "json/json.h"

#include <string.h>
#include <unistd.h>

#define IO_BYTES 65536

/* ---- which image ---- */

static bool has_name(const struct image_file *f, const struct json *entry)
{
    const struct json *names = json_get(entry, "RepoTags");

    for (size_t i = 0; i < json_count(names); i++) {
        const char *name = json_string(json_at(names, i));

        if (name && image_file_is_wanted(f, name))
            return true;
    }
    return false;
}

static struct err *no_image(const struct image_file *f, const struct json *list)
{
    AUTO(buf_release) struct buf all = BUF_INIT;

    for (size_t i = 0; i < json_count(list); i++) {
        const struct json *names = json_get(json_at(list, i), "RepoTags");

        for (size_t k = 0; k < json_count(names); k++)
            buf_printf(&all, "%s:%s", all.len ? ", " : "", json_string(json_at(names, k)));
    }
    struct err *e = f->name || f->digest ? err_new(ERR_SETTING, "it has no image '%s'", f->name ? f->name : f->digest)
                                         : err_new(ERR_SETTING, "it has %zu images", json_count(list));
    return err_hint(e, "Name one behind the path: %s.", all.len ? buf_str(&all) : "none has a name");
}

static const struct json *find_image(const struct image_file *f, const struct json *list)
{
    for (size_t i = 0; f->name && i < json_count(list); i++)
        if (has_name(f, json_at(list, i)))
            return json_at(list, i);
    return !f->name && !f->digest && json_count(list) == 1 ? json_at(list, 0) : NULL;
}

/* ---- layers ---- */

struct saved {
    struct image_file *f;
    const struct json *layers; /* names */
    struct image_config config;
    struct manifest manifest;
    bool *is_zstd; /* of each layer, as it is stored */
};

static struct err *find_layer(const struct saved *s, size_t i, struct extent *ret)
{
    const char *name = json_string(json_at(s->layers, i));
    bool found = false;

    if (name)
        TRY(member_find(s->f, name, ret, &found));
    return found ? NULL : err_new(ERR_REGISTRY, "layer %zu ('%s') is missing", i + 1, name ? name : "");
}

static struct err *copy_all(const struct image_file *f, const struct source *from, const struct sink *to)
{
    AUTO_FREE char *io = xcalloc(1, IO_BYTES);
    size_t n = 0;

    for (;;) {
        TRY(cancel_check(f->o.cancel));
        TRY(source_read(from, io, IO_BYTES, &n));
        if (n == 0)
            return NULL;
        TRY(sink_write(to, io, n));
    }
}

static struct err *hash_write(void *ctx, const void *p, size_t n)
{
    hasher_add(ctx, p, n);
    return NULL;
}

static struct err *check_diff_id(const struct saved *s, size_t i, const struct digest *got)
{
    if (digest_equal(got, &s->config.diff_ids[i]))
        return NULL;
    return err_new(ERR_REGISTRY, "layer %zu is damaged: its content is %s, but the configuration says %s", i + 1,
                   got->text, s->config.diff_ids[i].text);
}

static struct err *keep_layer(struct saved *s, size_t i, struct extent *at, const struct source *plain)
{
    AUTO(hasher_free) struct hasher *h = hasher_new();
    const struct sink to = { hash_write, h };
    struct descriptor *d = &s->manifest.layers[i];

    TRY(copy_all(s->f, plain, &to));
    const struct digest diff_id = hasher_end(h);
    TRY(check_diff_id(s, i, &diff_id));
    d->digest = at->digest;
    d->size_bytes = at->size_bytes;
    return NULL;
}

static struct err *compress_layer(struct saved *s, size_t i, struct extent *at, const struct source *plain)
{
    AUTO(compress_free) struct compressor *c = NULL;
    struct compress_result r;
    AUTO_CLOSE int fd = -1;

    TRY(image_file_scratch(s->f, &fd));
    TRY(compress_new(&s->f->o.compress, file_sink(&fd), &c));
    const struct sink to = compress_sink(c);
    TRY(copy_all(s->f, plain, &to));
    TRY(compress_end(c, &r));
    TRY(check_diff_id(s, i, &r.diff_id));
    s->manifest.layers[i].digest = r.digest;
    s->manifest.layers[i].size_bytes = r.size_bytes;
    *at = (struct extent){ .fd = fd, .size_bytes = r.size_bytes, .digest = r.digest };
    fd = -1;
    return NULL;
}

static const char *compression_name(enum compression c)
{
    return c == COMPRESSION_ZSTD ? "zstd" : c == COMPRESSION_NONE ? "none" : "gzip";
}

/* The same layer again costs nothing. */
static bool same_as_before(struct saved *s, size_t i)
{
    const char *name = json_string(json_at(s->layers, i));

    for (size_t k = 0; k < i; k++) {
        if (strcmp(json_string(json_at(s->layers, k)), name) != 0 ||
            !digest_equal(&s->config.diff_ids[k], &s->config.diff_ids[i]))
            continue;
        s->manifest.layers[i] = s->manifest.layers[k];
        return true;
    }
    return false;
}

static struct err *load_layer(struct saved *s, size_t i)
{
    AUTO(decompress_free) struct decompressor *d = NULL;
    const char *wanted = compression_name(s->f->o.compress.kind);
    struct extent at = { .fd = -1 };

    TRY(find_layer(s, i, &at));
    if (same_as_before(s, i))
        return NULL;
    struct extent_reader r = { at.fd, at.offset, at.offset + at.size_bytes };
    TRY(decompress_new(extent_source(&r), &d));
    const struct source plain = decompress_source(d);
    const char *kind = decompress_kind(d);
    bool none = strcmp(kind, "none") == 0;
    bool keep = none ? strcmp(wanted, "none") == 0 : manifest_layer_media(s->manifest.format, kind) != NULL;
    TRY(keep ? keep_layer(s, i, &at, &plain) : compress_layer(s, i, &at, &plain));
    const char *media = manifest_layer_media(s->manifest.format, keep ? kind : wanted);
    if (!media)
        return err_new(ERR_SETTING, "a layer compressed with %s has no place in a Docker image", wanted);
    (void)snprintf(s->manifest.layers[i].media_type, sizeof(s->manifest.layers[i].media_type), "%s", media);
    image_file_add_blob(s->f, &s->manifest.layers[i], &at);
    return NULL;
}

/* Docker's, unless a layer has no place in it. */
static struct err *choose_format(struct saved *s, size_t n)
{
    const struct image_file_opts *o = &s->f->o;
    bool oci = o->compress.kind == COMPRESSION_ZSTD;

    for (size_t i = 0; o->format < 0 && !oci && i < n; i++) {
        AUTO(decompress_free) struct decompressor *d = NULL;
        struct extent at = { .fd = -1 };

        TRY(find_layer(s, i, &at));
        struct extent_reader r = { at.fd, at.offset, at.offset + at.size_bytes };
        TRY(decompress_new(extent_source(&r), &d));
        oci = strcmp(decompress_kind(d), "zstd") == 0;
    }
    s->manifest.format = o->format >= 0 ? (enum image_format)o->format : oci ? IMAGE_FORMAT_OCI : IMAGE_FORMAT_DOCKER;
    return NULL;
}

static struct err *load_layers(struct saved *s)
{
    size_t n = json_count(s->layers);

    if (n > LIMIT_LAYERS)
        return err_new(ERR_REGISTRY, "it has more than %d layers", LIMIT_LAYERS);
    if (n != s->config.n_diff_ids)
        return err_new(ERR_REGISTRY, "it has %zu layers, but its configuration %zu", n, s->config.n_diff_ids);
    TRY(choose_format(s, n));
    s->manifest.layers = xcalloc(n, sizeof(*s->manifest.layers));
    for (size_t i = 0; i < n; i++) {
        TRY(load_layer(s, i));
        s->manifest.n_layers++;
    }
    return NULL;
}

/* ---- the whole ---- */

static struct err *load_config(struct saved *s, const char *name)
{
    AUTO(buf_release) struct buf text = BUF_INIT;
    struct descriptor *d = &s->manifest.config;
    struct extent at = { .fd = -1 };
    bool found = false;

    if (name)
        TRY(member_text(s->f, name, LIMIT_CONFIG_BYTES, &text, &found));
    if (!found)
        return err_new(ERR_REGISTRY, "its configuration ('%s') is missing", name ? name : "");
    TRY(member_find(s->f, name, &at, &found));
    TRY(err_wrap(config_parse(buf_str(&text), text.len, &s->config), "its configuration"));
    d->digest = at.digest;
    d->size_bytes = at.size_bytes;
    return NULL;
}

/* Our own archives have the manifest beside: its digest is what the build announced. */
static bool take_manifest(struct saved *s)
{
    struct image_file *f = s->f;
    const char *name;

    for (size_t n = 0; f->o.format < 0 && (name = member_ending(f, ".manifest.json", n)); n++) {
        AUTO(buf_release) struct buf text = BUF_INIT;
        __attribute__((cleanup(manifest_release_auto))) struct manifest m = { 0 };
        bool found = false;
        struct err *e = member_text(f, name, LIMIT_MANIFEST_BYTES, &text, &found);

        if (!e)
            e = manifest_parse(buf_str(&text), text.len, &m);
        bool same =
            !e && digest_equal(&m.config.digest, &s->manifest.config.digest) && m.n_layers == s->manifest.n_layers;
        err_free(e); /* then it is something else */
        for (size_t i = 0; same && i < m.n_layers; i++)
            same = digest_equal(&m.layers[i].digest, &s->manifest.layers[i].digest) &&
                   m.layers[i].size_bytes == s->manifest.layers[i].size_bytes;
        if (!same)
            continue;
        image_file_add_document(f, m.format == IMAGE_FORMAT_OCI ? MEDIA_OCI_MANIFEST : MEDIA_DOCKER_MANIFEST, &text);
        return true;
    }
    return false;
}

static struct err *load_image(struct saved *s, const char *config_name)
{
    struct descriptor *config = &s->manifest.config;
    struct extent at = { .fd = -1 };
    bool found = false;

    TRY(load_config(s, config_name));
    TRY(load_layers(s));
    bool oci = s->manifest.format == IMAGE_FORMAT_OCI;
    (void)snprintf(config->media_type, sizeof(config->media_type), "%s", oci ? MEDIA_OCI_CONFIG : MEDIA_DOCKER_CONFIG);
    TRY(member_find(s->f, config_name, &at, &found));
    image_file_add_blob(s->f, config, &at);
    if (take_manifest(s))
        return NULL;
    struct buf text = BUF_INIT;
    AUTO_FREE char *made = manifest_write(&s->manifest);
    buf_puts(&text, made);
    image_file_add_document(s->f, oci ? MEDIA_OCI_MANIFEST : MEDIA_DOCKER_MANIFEST, &text);
    return NULL;
}

struct err *image_docker_load(struct image_file *f, const char *list_text, size_t len)
{
    AUTO(json_free) struct json *list = NULL;
    struct saved s = { .f = f };

    TRY(err_wrap(json_parse(list_text, len, &list), "its 'manifest.json'"));
    const struct json *image = find_image(f, list);
    if (!image)
        return no_image(f, list);
    s.layers = json_get(image, "Layers");
    struct err *e = load_image(&s, json_get_string(image, "Config"));
    config_release(&s.config);
    manifest_release(&s.manifest);
    return e;
}
