/* layout.c - base images from an OCI layout directory (image-spec image-layout.md): "DIRECTORY[:TAG][@DIGEST]". */
#include "base/limits.h"
#include "build/build_priv.h"
#include "sys/file.h"
#include "json/json.h"

#include <fcntl.h>
#include <string.h>

#define LAYOUT_IO_BYTES 65536
#define REF_NAME        "org.opencontainers.image.ref.name"

struct place {
    char *dir, *tag, *digest; /* tag and digest may be NULL */
};

static void place_release(struct place *p)
{
    free(p->dir);
    free(p->tag);
    free(p->digest);
}

/* A tag stands behind the last ':' of the last component. */
static void place_parse(const char *text, struct place *ret)
{
    const char *at = strstr(text, "@sha256:");
    AUTO_FREE char *name = at ? xstrndup(text, (size_t)(at - text)) : xstrdup(text);
    const char *slash = strrchr(name, '/'), *colon = strchr(slash ? slash : name, ':');

    ret->digest = at ? xstrdup(at + 1) : NULL;
    ret->tag = colon && colon[1] ? xstrdup(colon + 1) : NULL;
    ret->dir = colon ? xstrndup(name, (size_t)(colon - name)) : xstrdup(name);
}

static struct err *read_blob(const char *dir, const struct digest *d, size_t max, struct buf *out)
{
    AUTO_FREE char *path = xasprintf("%s/blobs/sha256/%s", dir, digest_hex(d));

    TRY(file_read(path, max, out));
    struct digest got = digest_bytes(buf_str(out), out->len);
    if (!digest_equal(&got, d))
        return err_new(ERR_DOCKERFILE, "'%s' holds %s, not %s", path, got.text, d->text);
    return NULL;
}

/* ---- index.json ---- */

static const char *entry_tag(const struct json *entry)
{
    const struct json *notes = json_get(entry, "annotations");
    const char *name = notes ? json_get_string(notes, REF_NAME) : NULL;
    const char *colon = name ? strrchr(name, ':') : NULL;

    return colon && !strchr(colon, '/') ? colon + 1 : name;
}

static bool entry_matches(const struct json *entry, const struct place *p, const char *tag)
{
    const char *digest = json_get_string(entry, "digest"), *have = entry_tag(entry);

    if (p->digest)
        return digest && strcmp(digest, p->digest) == 0;
    return have && strcmp(have, tag) == 0;
}

static struct err *no_entry(const struct json *list, const struct place *p)
{
    AUTO(buf_release) struct buf tags = BUF_INIT;

    for (size_t i = 0; i < json_count(list); i++) {
        const char *tag = entry_tag(json_at(list, i));

        if (tag)
            buf_printf(&tags, "%s%s", tags.len ? ", " : "", tag);
    }
    return err_hint(err_new(ERR_DOCKERFILE, "the OCI layout '%s' has no image '%s'", p->dir,
                            p->digest ? p->digest
                            : p->tag  ? p->tag
                                      : "latest"),
                    "Its tags are: %s.", tags.len ? buf_str(&tags) : "none");
}

/* The one asked for; without a tag the only one, or "latest". */
static struct err *find_entry(const struct json *list, const struct place *p, struct digest *ret)
{
    size_t n = json_count(list);

    for (size_t i = 0; i < n; i++) {
        const struct json *entry = json_at(list, i);
        bool only = n == 1 && !p->tag && !p->digest;
        const char *digest = json_get_string(entry, "digest");

        if (!only && !entry_matches(entry, p, p->tag ? p->tag : "latest"))
            continue;
        if (!digest)
            return err_new(ERR_DOCKERFILE, "the OCI layout '%s' has an entry without a digest", p->dir);
        return digest_parse(digest, ret);
    }
    /* A digest that the index does not name may be one of its blobs all the same. */
    return p->digest ? digest_parse(p->digest, ret) : no_entry(list, p);
}

static struct err *read_index(const struct place *p, struct digest *ret)
{
    AUTO_FREE char *path = xasprintf("%s/index.json", p->dir);
    AUTO(buf_release) struct buf text = BUF_INIT;
    AUTO(json_free) struct json *tree = NULL;

    TRY(file_read(path, LIMIT_MANIFEST_BYTES, &text));
    TRY(json_parse(buf_str(&text), text.len, &tree));
    const struct json *list = json_get(tree, "manifests");
    if (!list || json_type(list) != JSON_ARRAY)
        return err_new(ERR_DOCKERFILE, "'%s' is no index of an OCI layout", path);
    return find_entry(list, p, ret);
}

/* ---- the image ---- */

struct layout_image {
    const struct place *place;
    const struct digest *top; /* what index.json names */
};

static struct err *get_document(void *ctx, const struct digest *d, struct fetched_manifest *ret)
{
    const struct layout_image *image = ctx;
    AUTO(buf_release) struct buf text = BUF_INIT;

    TRY(read_blob(image->place->dir, d ? d : image->top, LIMIT_MANIFEST_BYTES, &text));
    *ret = (struct fetched_manifest){ .len = text.len, .digest = d ? *d : *image->top };
    ret->text = buf_steal(&text);
    return NULL;
}

static struct err *fetch(struct base_image *base, const struct place *p, const struct platform *platform)
{
    AUTO(buf_release) struct buf text = BUF_INIT;
    struct digest top;
    struct layout_image image = { p, &top };
    const struct image_docs docs = { p->dir, get_document, &image };
    bool sure;

    TRY(read_index(p, &top));
    TRY(choose_manifest(&docs, platform, &base->manifest, &sure));
    TRY(read_blob(p->dir, &base->manifest.config.digest, LIMIT_CONFIG_BYTES, &text));
    TRY(config_parse(buf_str(&text), text.len, &base->config));
    if (base->config.n_diff_ids != base->manifest.n_layers)
        return err_new(ERR_DOCKERFILE, "the manifest has %zu layers, the configuration %zu", base->manifest.n_layers,
                       base->config.n_diff_ids);
    base->layout = xstrdup(p->dir);
    return sure ? NULL : choose_check(p->dir, platform, &base->config);
}

struct err *layout_fetch(struct base_image *base, const char *place, const struct platform *platform)
{
    struct place p = { 0 };

    place_parse(place, &p);
    struct err *e = fetch(base, &p, platform);
    place_release(&p);
    return err_set_kind(err_wrap(e, "cannot use the OCI layout '%s'", place), ERR_DOCKERFILE);
}

struct err *layout_pull(struct build *b, const char *layout, const struct descriptor *desc)
{
    AUTO_FREE char *path = xasprintf("%s/blobs/sha256/%s", layout, digest_hex(&desc->digest));
    AUTO(blob_writer_free) struct blob_writer *w = NULL;
    AUTO(hasher_free) struct hasher *h = hasher_new();
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    AUTO_FREE char *io = xcalloc(1, LAYOUT_IO_BYTES);
    size_t n = 1;

    if (fd < 0)
        return err_set_kind(err_sys(errno, "cannot open '%s'", path), ERR_DOCKERFILE);
    TRY(blob_writer_new(b->o.store, &w));
    const struct source from = file_source(&fd);
    const struct sink to = blob_writer_sink(w);
    while (n > 0) {
        TRY(cancel_check(b->o.cancel));
        TRY(source_read(&from, io, LAYOUT_IO_BYTES, &n));
        hasher_add(h, io, n);
        TRY(sink_write(&to, io, n));
    }
    struct digest got = hasher_end(h);
    if (!digest_equal(&got, &desc->digest))
        return err_new(ERR_DOCKERFILE, "'%s' holds %s, not %s", path, got.text, desc->digest.text);
    return blob_writer_commit(w, &desc->digest);
}
