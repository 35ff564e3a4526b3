/* choose.c - from what an image's name means to the one manifest for a platform, through indexes. */
#include "base/limits.h"
#include "build/build_priv.h"

#include <string.h>

#define SHOWN_PLATFORMS 20

static struct err *no_platform(const char *name, const char *have, const struct platform *wanted)
{
    char text[256];

    platform_format(wanted, text, sizeof(text));
    return err_hint(err_new(ERR_DOCKERFILE, "image '%s' does not exist for %s", name, text), "It exists for: %s.",
                    have);
}

static struct err *none_in_index(const char *name, const struct image_index *x, const struct platform *wanted)
{
    AUTO(strs_release) struct strs have = { 0 };
    AUTO(buf_release) struct buf list = BUF_INIT;
    char text[256];

    for (size_t i = 0; i < x->n_entries; i++) {
        const struct platform *p = &x->entries[i].platform;

        platform_format(p, text, sizeof(text));
        if (p->os[0] && strcmp(p->os, "unknown") != 0 && !strs_has(&have, text))
            strs_add(&have, text);
    }
    for (size_t i = 0; i < have.n && i < SHOWN_PLATFORMS; i++)
        buf_printf(&list, "%s%s", i ? ", " : "", have.items[i]);
    if (have.n > SHOWN_PLATFORMS)
        buf_printf(&list, " and %zu more", have.n - SHOWN_PLATFORMS);
    return no_platform(name, have.n ? buf_str(&list) : "no platform", wanted);
}

/* Replaces an index by what it has for the platform. *ret_more: it was one. */
static struct err *follow(const struct image_docs *from, const struct platform *wanted, struct fetched_manifest *doc,
                          bool *ret_more, bool *ret_sure)
{
    AUTO(index_release) struct image_index index = { 0 };
    enum manifest_kind kind;

    TRY(manifest_kind(doc->media_type, doc->text, doc->len, &kind));
    *ret_more = kind == MANIFEST_INDEX;
    if (kind == MANIFEST_IMAGE)
        return NULL;
    TRY(index_parse(doc->text, doc->len, &index));
    const struct index_entry *entry = index_choose(&index, wanted);
    if (!entry)
        return none_in_index(from->name, &index, wanted);
    *ret_sure = entry->platform.os[0] != '\0';
    fetched_manifest_release(doc);
    return from->get(from->ctx, &entry->desc.digest, doc);
}

struct err *choose_manifest(const struct image_docs *from, const struct platform *wanted, struct manifest *ret,
                            bool *ret_sure)
{
    struct fetched_manifest doc = { 0 };
    bool more = true;
    struct err *e = from->get(from->ctx, NULL, &doc);

    *ret_sure = true;
    for (int depth = 0; !e && more; depth++) {
        if (depth > LIMIT_INDEX_DEPTH)
            e = err_new(ERR_REGISTRY, "image '%s' is an index of indexes, more than %d deep", from->name,
                        LIMIT_INDEX_DEPTH);
        else
            e = follow(from, wanted, &doc, &more, ret_sure);
    }
    if (!e)
        e = manifest_parse(doc.text, doc.len, ret);
    fetched_manifest_release(&doc);
    return e;
}

struct err *choose_check(const char *name, const struct platform *wanted, const struct image_config *c)
{
    char have[256];

    if (platform_matches(wanted, &c->platform))
        return NULL;
    platform_format(&c->platform, have, sizeof(have));
    return no_platform(name, have, wanted);
}
