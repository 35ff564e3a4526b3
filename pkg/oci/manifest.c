#include "oci/manifest.h"

#include "base/limits.h"
#include "base/mem.h"
#include "oci/oci_priv.h"
#include "json/json.h"

#include <string.h>

#define SCHEMA1_PREFIX "application/vnd.docker.distribution.manifest.v1"

static struct err *parse_document(const char *text, size_t len, const char *what, struct json **ret_tree)
{
    AUTO(json_free) struct json *tree = NULL;

    if (len > LIMIT_MANIFEST_BYTES)
        return err_new(ERR_REGISTRY, "the image %s has %zu bytes, more than %d", what, len, LIMIT_MANIFEST_BYTES);
    TRY(err_wrap(json_parse(text, len, &tree), "cannot read the image %s", what));
    if (json_type(tree) != JSON_OBJECT)
        return err_new(ERR_REGISTRY, "the image %s is not a JSON object", what);
    *ret_tree = steal(&tree);
    return NULL;
}

static bool media_is(const char *type, const char *wanted)
{
    size_t n = strlen(wanted);

    /* a Content-Type may have parameters */
    return strncmp(type, wanted, n) == 0 && (type[n] == '\0' || type[n] == ';' || type[n] == ' ');
}

/* false: the type says nothing about it (NULL, application/json ...). */
static bool kind_of_type(const char *type, enum manifest_kind *ret_kind)
{
    if (!type)
        return false;
    if (media_is(type, MEDIA_DOCKER_LIST) || media_is(type, MEDIA_OCI_INDEX))
        *ret_kind = MANIFEST_INDEX;
    else if (media_is(type, MEDIA_DOCKER_MANIFEST) || media_is(type, MEDIA_OCI_MANIFEST))
        *ret_kind = MANIFEST_IMAGE;
    else
        return false;
    return true;
}

static struct err *unknown_type(const char *type)
{
    struct err *e = err_new(ERR_REGISTRY, "the registry answered with a document of type '%.100s'", type);

    if (strncmp(type, SCHEMA1_PREFIX, strlen(SCHEMA1_PREFIX)) == 0)
        return err_hint(e,
                        "Image manifests of schema 1 are no longer in use: push the image again with a current tool.");
    return e;
}

struct err *manifest_kind(const char *content_type, const char *text, size_t len, enum manifest_kind *ret_kind)
{
    AUTO(json_free) struct json *t = NULL;

    if (content_type && strncmp(content_type, SCHEMA1_PREFIX, strlen(SCHEMA1_PREFIX)) == 0)
        return unknown_type(content_type);
    if (kind_of_type(content_type, ret_kind))
        return NULL;
    TRY(parse_document(text, len, "manifest", &t));
    const char *media = json_get_string(t, "mediaType");
    if (kind_of_type(media, ret_kind))
        return NULL;
    if (media)
        return unknown_type(media);
    int64_t schema = 0;
    if (json_get_int(t, "schemaVersion", &schema) && schema == 1)
        return unknown_type(SCHEMA1_PREFIX "+json");
    if (json_type(json_get(t, "manifests")) == JSON_ARRAY)
        *ret_kind = MANIFEST_INDEX;
    else if (json_type(json_get(t, "config")) == JSON_OBJECT)
        *ret_kind = MANIFEST_IMAGE;
    else
        return unknown_type(content_type ? content_type : "");
    return NULL;
}

static struct err *parse_descriptor(const struct json *v, struct descriptor *ret)
{
    struct descriptor d = { .media_type = "" };
    const char *media = json_get_string(v, "mediaType"), *digest = json_get_string(v, "digest");
    int64_t size = -1;

    if (json_type(v) != JSON_OBJECT)
        return err_new(ERR_REGISTRY, "a descriptor is not an object");
    if (!media || !*media || strlen(media) >= sizeof(d.media_type))
        return err_new(ERR_REGISTRY, "a descriptor has no usable 'mediaType'");
    if (!digest)
        return err_new(ERR_REGISTRY, "a descriptor has no 'digest'");
    if (!json_get_int(v, "size", &size) || size < 0)
        return err_new(ERR_REGISTRY, "the descriptor of '%.100s' has no valid 'size'", digest);
    TRY(digest_parse(digest, &d.digest));
    memcpy(d.media_type, media, strlen(media) + 1);
    d.size_bytes = (uint64_t)size;
    *ret = d;
    return NULL;
}

/* Layer types of both families, with their "foreign" and "nondistributable" twins; whatever compression they name. */
static bool layer_type_known(const char *type)
{
    static const char *const prefixes[] = { "application/vnd.docker.image.rootfs.diff.tar",
                                            "application/vnd.docker.image.rootfs.foreign.diff.tar",
                                            "application/vnd.oci.image.layer.v1.tar",
                                            "application/vnd.oci.image.layer.nondistributable.v1.tar" };
    static const char *const endings[] = { "", ".gzip", "+gzip", "+zstd", ".zstd" };

    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        size_t n = strlen(prefixes[i]);
        if (strncmp(type, prefixes[i], n) != 0)
            continue;
        for (size_t k = 0; k < sizeof(endings) / sizeof(endings[0]); k++)
            if (strcmp(type + n, endings[k]) == 0)
                return true;
    }
    return false;
}

static struct err *parse_config_descriptor(const struct json *v, struct descriptor *ret)
{
    /* The last two: what old clients and registries called the configuration. */
    static const char *const types[] = { MEDIA_DOCKER_CONFIG, MEDIA_OCI_CONFIG, "application/octet-stream",
                                         "application/json" };

    TRY(err_wrap(parse_descriptor(v, ret), "the image manifest's 'config' is wrong"));
    if (ret->size_bytes > LIMIT_CONFIG_BYTES)
        return err_new(ERR_REGISTRY, "the image configuration has %llu bytes, more than %d",
                       (unsigned long long)ret->size_bytes, LIMIT_CONFIG_BYTES);
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (strcmp(ret->media_type, types[i]) == 0)
            return NULL;
    return err_new(ERR_REGISTRY, "it is not a container image: its configuration is of type '%s'", ret->media_type);
}

static struct err *parse_layers(const struct json *list, struct manifest *m)
{
    size_t n = json_count(list);

    if (json_type(list) != JSON_ARRAY && json_type(list) != JSON_NULL)
        return err_new(ERR_REGISTRY, "the image manifest's 'layers' is not a list");
    if (n > LIMIT_LAYERS)
        return err_new(ERR_REGISTRY, "the image has %zu layers, more than %d", n, LIMIT_LAYERS);
    m->layers = xcalloc(n ? n : 1, sizeof(*m->layers));
    for (size_t i = 0; i < n; i++) {
        TRY(err_wrap(parse_descriptor(json_at(list, i), &m->layers[i]), "the image manifest's layer %zu is wrong",
                     i + 1));
        if (!layer_type_known(m->layers[i].media_type))
            return err_new(ERR_REGISTRY, "layer %zu of the image is of type '%s', which is no tar layer", i + 1,
                           m->layers[i].media_type);
        m->n_layers++;
    }
    return NULL;
}

static struct err *check_schema(const struct json *t, const char *what)
{
    int64_t schema = 0;

    if (!json_get_int(t, "schemaVersion", &schema) || schema != 2)
        return err_new(ERR_REGISTRY, "the image %s is not of schema version 2", what);
    return NULL;
}

struct err *manifest_parse(const char *text, size_t len, struct manifest *ret_manifest)
{
    AUTO(json_free) struct json *t = NULL;
    __attribute__((cleanup(manifest_release_auto))) struct manifest m = { .format = IMAGE_FORMAT_OCI };
    enum manifest_kind kind = MANIFEST_IMAGE;

    TRY(parse_document(text, len, "manifest", &t));
    TRY(check_schema(t, "manifest"));
    const char *media = json_get_string(t, "mediaType");
    if (media && (!kind_of_type(media, &kind) || kind != MANIFEST_IMAGE))
        return unknown_type(media);
    if (media && strcmp(media, MEDIA_DOCKER_MANIFEST) == 0)
        m.format = IMAGE_FORMAT_DOCKER;
    TRY(parse_config_descriptor(json_get(t, "config"), &m.config));
    TRY(parse_layers(json_get(t, "layers"), &m));
    *ret_manifest = m;
    memset(&m, 0, sizeof(m));
    return NULL;
}

/* An entry's platform, of which the system may be left out. One that we cannot hold is for nobody: it becomes
 * "unknown/unknown". */
static void parse_platform(const struct json *v, struct platform *p)
{
    if (!oci_copy_platform(v, p))
        *p = (struct platform){ .os = "unknown", .arch = "unknown" };
    else if (json_type(v) == JSON_OBJECT && !p->os[0])
        memcpy(p->os, "linux", sizeof("linux"));
}

struct err *index_parse(const char *text, size_t len, struct image_index *ret_index)
{
    AUTO(json_free) struct json *t = NULL;
    __attribute__((cleanup(index_release_auto))) struct image_index x = { .format = IMAGE_FORMAT_OCI };
    enum manifest_kind kind = MANIFEST_INDEX;

    TRY(parse_document(text, len, "index", &t));
    TRY(check_schema(t, "index"));
    const char *media = json_get_string(t, "mediaType");
    if (media && (!kind_of_type(media, &kind) || kind != MANIFEST_INDEX))
        return unknown_type(media);
    if (media && strcmp(media, MEDIA_DOCKER_LIST) == 0)
        x.format = IMAGE_FORMAT_DOCKER;
    const struct json *list = json_get(t, "manifests");
    size_t n = json_count(list);
    if (json_type(list) != JSON_ARRAY)
        return err_new(ERR_REGISTRY, "the image index has no list 'manifests'");
    if (n > LIMIT_INDEX_ENTRIES)
        return err_new(ERR_REGISTRY, "the image index has %zu entries, more than %d", n, LIMIT_INDEX_ENTRIES);
    x.entries = xcalloc(n ? n : 1, sizeof(*x.entries));
    for (size_t i = 0; i < n; i++) {
        const struct json *v = json_at(list, i);
        TRY(err_wrap(parse_descriptor(v, &x.entries[i].desc), "the image index's entry %zu is wrong", i + 1));
        parse_platform(json_get(v, "platform"), &x.entries[i].platform);
        x.n_entries++;
    }
    *ret_index = x;
    memset(&x, 0, sizeof(x));
    return NULL;
}

/* An image, or an index once more. */
static bool is_chosen(const struct index_entry *entry)
{
    enum manifest_kind kind;

    return kind_of_type(entry->desc.media_type, &kind);
}

const struct index_entry *index_choose(const struct image_index *x, const struct platform *wanted)
{
    const struct index_entry *best = NULL, *unnamed = NULL;
    int best_rank = 0;

    for (size_t i = 0; i < x->n_entries; i++) {
        const struct index_entry *e = &x->entries[i];
        if (!is_chosen(e))
            continue;
        if (e->platform.os[0] == '\0') {
            unnamed = unnamed ? unnamed : e;
            continue;
        }
        int rank = platform_rank(wanted, &e->platform);
        if (rank > best_rank) { /* of equal ones the first */
            best_rank = rank;
            best = e;
        }
    }
    return best ? best : unnamed;
}

static void put_descriptor_members(struct json_writer *w, const struct descriptor *d)
{
    json_key(w, "mediaType");
    json_put_string(w, d->media_type);
    json_key(w, "digest");
    json_put_string(w, d->digest.text);
    json_key(w, "size");
    json_put_int(w, (int64_t)d->size_bytes);
}

static void put_descriptor(struct json_writer *w, const struct descriptor *d)
{
    json_object_begin(w);
    put_descriptor_members(w, d);
    json_object_end(w);
}

static void begin_document(struct json_writer *w, const char *media_type)
{
    json_object_begin(w);
    json_key(w, "schemaVersion");
    json_put_int(w, 2);
    json_key(w, "mediaType");
    json_put_string(w, media_type);
}

char *manifest_write(const struct manifest *m)
{
    AUTO(json_writer_free) struct json_writer *w = json_writer_new();

    begin_document(w, m->format == IMAGE_FORMAT_DOCKER ? MEDIA_DOCKER_MANIFEST : MEDIA_OCI_MANIFEST);
    json_key(w, "config");
    put_descriptor(w, &m->config);
    json_key(w, "layers");
    json_array_begin(w);
    for (size_t i = 0; i < m->n_layers; i++)
        put_descriptor(w, &m->layers[i]);
    json_array_end(w);
    json_object_end(w);
    return json_writer_steal(w);
}

static void put_platform(struct json_writer *w, const struct platform *p)
{
    json_key(w, "platform");
    json_object_begin(w);
    json_key(w, "architecture");
    json_put_string(w, p->arch);
    json_key(w, "os");
    json_put_string(w, p->os);
    oci_put_text(w, "os.version", p->os_version);
    oci_put_text(w, "variant", p->variant);
    json_object_end(w);
}

char *index_write(const struct image_index *x)
{
    AUTO(json_writer_free) struct json_writer *w = json_writer_new();

    begin_document(w, x->format == IMAGE_FORMAT_DOCKER ? MEDIA_DOCKER_LIST : MEDIA_OCI_INDEX);
    json_key(w, "manifests");
    json_array_begin(w);
    for (size_t i = 0; i < x->n_entries; i++) {
        json_object_begin(w);
        put_descriptor_members(w, &x->entries[i].desc);
        if (x->entries[i].platform.os[0])
            put_platform(w, &x->entries[i].platform);
        json_object_end(w);
    }
    json_array_end(w);
    json_object_end(w);
    return json_writer_steal(w);
}

const char *manifest_layer_media(enum image_format format, const char *compression)
{
    static const struct {
        const char *compression, *docker, *oci;
    } types[] = {
        { "gzip", MEDIA_DOCKER_LAYER, MEDIA_OCI_LAYER_GZIP },
        { "zstd", NULL, MEDIA_OCI_LAYER_ZSTD },
        { "none", "application/vnd.docker.image.rootfs.diff.tar", MEDIA_OCI_LAYER },
    };

    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (strcmp(types[i].compression, compression) == 0)
            return format == IMAGE_FORMAT_DOCKER ? types[i].docker : types[i].oci;
    return NULL;
}

void manifest_release(struct manifest *m)
{
    free(m->layers);
    memset(m, 0, sizeof(*m));
}

void index_release(struct image_index *x)
{
    free(x->entries);
    memset(x, 0, sizeof(*x));
}
