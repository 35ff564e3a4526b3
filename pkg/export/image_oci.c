/* image_oci.c - an OCI image layout (image-spec image-layout.md): all that hangs on one entry of its index, as it is.
 */
#include "base/limits.h"
#include "export/image_file_priv.h"
#include "json/json.h"

#include <string.h>

#define REF_NAME  "org.opencontainers.image.ref.name"
#define FULL_NAME "io.containerd.image.name"
#define MAX_DEPTH 4 /* indexes in indexes */

/* ---- the entry ---- */

static const char *entry_name(const struct json *entry, const char *which)
{
    return json_get_string(json_get(entry, "annotations"), which);
}

static bool is_entry(const struct image_file *f, const struct json *entry)
{
    const char *names[] = { entry_name(entry, REF_NAME), entry_name(entry, FULL_NAME) };
    const char *digest = json_get_string(entry, "digest");

    if (f->digest)
        return digest && strcmp(digest, f->digest) == 0;
    for (size_t i = 0; i < 2; i++)
        if (names[i] && image_file_is_wanted(f, names[i]))
            return true;
    return names[0] && strcmp(names[0], f->name) == 0;
}

static struct err *no_entry(const struct image_file *f, const struct json *list)
{
    AUTO(buf_release) struct buf names = BUF_INIT;

    for (size_t i = 0; i < json_count(list); i++) {
        const struct json *entry = json_at(list, i);
        const char *name = entry_name(entry, REF_NAME), *digest = json_get_string(entry, "digest");

        buf_printf(&names, "%s%s%s", names.len ? ", " : "", name ? ":" : "@", name ? name : digest ? digest : "?");
    }
    struct err *e = f->name || f->digest ? err_new(ERR_SETTING, "it has no image '%s'", f->name ? f->name : f->digest)
                                         : err_new(ERR_SETTING, "it has %zu images", json_count(list));
    return err_hint(e, "Name one behind the path: %s.", names.len ? buf_str(&names) : "there is none");
}

static const struct json *find_entry(const struct image_file *f, const struct json *list)
{
    const struct json *same = json_at(list, 0);

    if (f->name || f->digest) {
        for (size_t i = 0; i < json_count(list); i++)
            if (is_entry(f, json_at(list, i)))
                return json_at(list, i);
        return NULL;
    }
    for (size_t i = 1; i < json_count(list); i++) { /* one image may have several names */
        const char *a = json_get_string(same, "digest"), *b = json_get_string(json_at(list, i), "digest");

        if (!a || !b || strcmp(a, b) != 0)
            return NULL;
    }
    return same;
}

/* ---- all that hangs on it ---- */

static struct err *read_descriptor(const struct json *v, struct descriptor *ret)
{
    const char *digest = json_get_string(v, "digest"), *media = json_get_string(v, "mediaType");
    int64_t size = 0;

    if (!digest || !json_get_int(v, "size", &size) || size < 0)
        return err_new(ERR_REGISTRY, "a descriptor lacks its digest or size");
    *ret = (struct descriptor){ .size_bytes = (uint64_t)size };
    (void)snprintf(ret->media_type, sizeof(ret->media_type), "%s", media ? media : "");
    return digest_parse(digest, &ret->digest);
}

static struct err *check(const struct descriptor *d, const struct extent *at)
{
    if (!digest_equal(&at->digest, &d->digest))
        return err_new(ERR_REGISTRY, "blob %s is damaged: it holds %s", d->digest.text, at->digest.text);
    if (at->size_bytes != d->size_bytes)
        return err_new(ERR_REGISTRY, "blob %s has %llu bytes, but its manifest says %llu", d->digest.text,
                       (unsigned long long)at->size_bytes, (unsigned long long)d->size_bytes);
    return NULL;
}

/* Layers that may not be given away stay where they are. */
static bool is_foreign(const struct descriptor *d)
{
    return strstr(d->media_type, "foreign") || strstr(d->media_type, "nondistributable");
}

static struct err *load_blob(struct image_file *f, const struct json *v)
{
    struct descriptor d = { 0 };
    struct extent at = { .fd = -1 };
    bool found = false;

    TRY(read_descriptor(v, &d));
    if (map_get(f->known, d.digest.text))
        return NULL;
    AUTO_FREE char *name = xasprintf("blobs/sha256/%s", digest_hex(&d.digest));
    TRY(member_find(f, name, &at, &found));
    if (!found && is_foreign(&d))
        return NULL;
    if (!found)
        return err_new(ERR_REGISTRY, "blob %s is missing", d.digest.text);
    struct err *e = check(&d, &at);
    if (!e)
        image_file_add_blob(f, &d, &at);
    free(at.path);
    return e;
}

static struct err *load_document(struct image_file *f, const struct descriptor *d, int depth);

static struct err *load_children(struct image_file *f, const struct json *list, int depth)
{
    if (json_count(list) > LIMIT_INDEX_ENTRIES)
        return err_new(ERR_REGISTRY, "an index has more than %d entries", LIMIT_INDEX_ENTRIES);
    for (size_t i = 0; i < json_count(list); i++) {
        struct descriptor d = { 0 };

        TRY(read_descriptor(json_at(list, i), &d));
        TRY(load_document(f, &d, depth + 1));
    }
    return NULL;
}

static struct err *load_blobs(struct image_file *f, const struct json *doc)
{
    const struct json *layers = json_get(doc, "layers");

    if (json_count(layers) > LIMIT_LAYERS)
        return err_new(ERR_REGISTRY, "a manifest has more than %d layers", LIMIT_LAYERS);
    if (json_get(doc, "config"))
        TRY(load_blob(f, json_get(doc, "config")));
    for (size_t i = 0; i < json_count(layers); i++)
        TRY(load_blob(f, json_at(layers, i)));
    return NULL;
}

static struct err *read_document(const struct image_file *f, const struct descriptor *d, struct buf *text)
{
    AUTO_FREE char *name = xasprintf("blobs/sha256/%s", digest_hex(&d->digest));
    bool found = false;

    TRY(member_text(f, name, LIMIT_MANIFEST_BYTES, text, &found));
    if (!found)
        return err_new(ERR_REGISTRY, "the manifest %s is missing", d->digest.text);
    const struct extent at = { .digest = digest_bytes(buf_str(text), text->len), .size_bytes = text->len };
    return check(d, &at);
}

/* What it names comes first: a registry takes a document only then. */
static struct err *load_document(struct image_file *f, const struct descriptor *d, int depth)
{
    AUTO(buf_release) struct buf text = BUF_INIT;
    AUTO(json_free) struct json *doc = NULL;
    enum manifest_kind kind;

    if (map_get(f->known, d->digest.text))
        return NULL;
    if (depth > MAX_DEPTH)
        return err_new(ERR_REGISTRY, "its indexes are nested more than %d deep", MAX_DEPTH);
    TRY(read_document(f, d, &text));
    TRY(manifest_kind(d->media_type[0] ? d->media_type : NULL, buf_str(&text), text.len, &kind));
    TRY(json_parse(buf_str(&text), text.len, &doc));
    TRY(kind == MANIFEST_INDEX ? load_children(f, json_get(doc, "manifests"), depth) : load_blobs(f, doc));
    const char *media = json_get_string(doc, "mediaType");
    const char *fallback = kind == MANIFEST_INDEX ? MEDIA_OCI_INDEX : MEDIA_OCI_MANIFEST;
    image_file_add_document(f, media ? media : d->media_type[0] ? d->media_type : fallback, &text);
    return NULL;
}

struct err *image_oci_load(struct image_file *f, const char *index_text, size_t len)
{
    AUTO(json_free) struct json *index = NULL;
    struct descriptor top = { 0 };

    TRY(err_wrap(json_parse(index_text, len, &index), "its 'index.json'"));
    const struct json *list = json_get(index, "manifests"), *entry = find_entry(f, list);
    if (!entry)
        return no_entry(f, list);
    TRY(read_descriptor(entry, &top));
    return load_document(f, &top, 0);
}
