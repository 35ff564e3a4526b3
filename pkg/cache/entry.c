/* entry.c - the two documents of an entry. */
#include "base/limits.h"
#include "cache/cache_priv.h"
#include "json/json.h"

#include <string.h>
#include <time.h>

#define NOTE_VERSION "dev.copyup.cache.version"
#define NOTE_KEY     "dev.copyup.cache.key"
#define NOTE_CONTENT "dev.copyup.cache.content-key"
#define NOTE_DIFF_ID "dev.copyup.cache.diff-id"
#define NOTE_LAYER   "dev.copyup.cache.layer-created"
#define NOTE_WRITTEN "org.opencontainers.image.created"
#define VERSION      "1"
#define MEMBER       "dev.copyup.cache" /* of the configuration */

#define CLOCK_SKEW_S (24 * 3600)

static void put_text(struct json_writer *w, const char *name, const char *value)
{
    json_key(w, name);
    json_put_string(w, value);
}

static void put_descriptor(struct json_writer *w, const struct descriptor *d)
{
    json_object_begin(w);
    put_text(w, "mediaType", d->media_type);
    put_text(w, "digest", d->digest.text);
    json_key(w, "size");
    json_put_int(w, (int64_t)d->size_bytes);
    json_object_end(w);
}

static void format_time(int64_t seconds, char ret[32])
{
    time_t t = seconds;
    struct tm tm;

    if (!gmtime_r(&t, &tm) || !strftime(ret, 32, "%Y-%m-%dT%H:%M:%SZ", &tm))
        (void)snprintf(ret, 32, "1970-01-01T00:00:00Z");
}

static bool parse_time(const char *text, int64_t *ret_s)
{
    struct tm tm = { 0 };
    const char *end = text && strlen(text) < 32 ? strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm) : NULL;

    if (!end || *end)
        return false;
    *ret_s = timegm(&tm);
    return true;
}

bool entry_is_fresh(int64_t written_s, int64_t now_s, int64_t ttl_s)
{
    return written_s <= now_s + CLOCK_SKEW_S && now_s - written_s <= ttl_s;
}

char *entry_manifest(const struct cache_entry *e, const struct descriptor *config, int64_t written_s)
{
    AUTO(json_writer_free) struct json_writer *w = json_writer_new();
    char written[32];

    format_time(written_s, written);
    json_object_begin(w);
    json_key(w, "schemaVersion");
    json_put_int(w, 2);
    put_text(w, "mediaType", MEDIA_OCI_MANIFEST);
    json_key(w, "config");
    put_descriptor(w, config);
    json_key(w, "layers");
    json_array_begin(w);
    put_descriptor(w, &e->layer);
    json_array_end(w);
    json_key(w, "annotations");
    json_object_begin(w);
    put_text(w, NOTE_CONTENT, e->content.text);
    put_text(w, NOTE_DIFF_ID, e->diff_id.text);
    put_text(w, NOTE_KEY, e->key.text);
    put_text(w, NOTE_LAYER, e->created);
    put_text(w, NOTE_VERSION, VERSION);
    put_text(w, NOTE_WRITTEN, written);
    json_object_end(w);
    json_object_end(w);
    return json_writer_steal(w);
}

static struct err *take_digest(const struct json *notes, const char *name, struct digest *ret)
{
    const char *text = json_get_string(notes, name);

    if (!text)
        return err_new(ERR_REGISTRY, "it has no annotation '%s'", name);
    return err_wrap(digest_parse(text, ret), "its annotation '%s' is wrong", name);
}

static struct err *take_notes(const struct json *notes, const struct digest *key, struct cache_entry *e,
                              int64_t *ret_written_s)
{
    const char *version = json_get_string(notes, NOTE_VERSION), *created = json_get_string(notes, NOTE_LAYER);
    int64_t ignored;

    if (!version || strcmp(version, VERSION) != 0)
        return err_new(ERR_REGISTRY, "it is no cache entry of this program");
    TRY(take_digest(notes, NOTE_KEY, &e->key));
    if (!digest_equal(&e->key, key))
        return err_new(ERR_REGISTRY, "it is the entry of another key");
    TRY(take_digest(notes, NOTE_CONTENT, &e->content));
    TRY(take_digest(notes, NOTE_DIFF_ID, &e->diff_id));
    if (!parse_time(created, &ignored) || !parse_time(json_get_string(notes, NOTE_WRITTEN), ret_written_s))
        return err_new(ERR_REGISTRY, "its times cannot be read");
    (void)snprintf(e->created, sizeof(e->created), "%s", created);
    return NULL;
}

struct err *entry_parse(const char *text, size_t len, const struct digest *key, struct cache_entry *ret,
                        int64_t *ret_written_s, struct descriptor *ret_config)
{
    AUTO(manifest_release) struct manifest m = { 0 };
    AUTO(json_free) struct json *tree = NULL;
    struct cache_entry e = { 0 };

    TRY(manifest_parse(text, len, &m));
    TRY(json_parse(text, len, &tree));
    TRY(take_notes(json_get(tree, "annotations"), key, &e, ret_written_s));
    if (m.n_layers != 1)
        return err_new(ERR_REGISTRY, "it has %zu layers and not one", m.n_layers);
    if (strcmp(m.layers[0].media_type, MEDIA_OCI_LAYER_GZIP) != 0 &&
        strcmp(m.layers[0].media_type, MEDIA_OCI_LAYER_ZSTD) != 0 &&
        strcmp(m.layers[0].media_type, MEDIA_OCI_LAYER) != 0)
        return err_new(ERR_REGISTRY, "its layer is a '%s'", m.layers[0].media_type);
    e.layer = m.layers[0];
    *ret_config = m.config;
    *ret = e;
    return NULL;
}

static void put_history(struct json_writer *w, const struct cache_put *p)
{
    json_key(w, "history");
    json_array_begin(w);
    json_object_begin(w);
    put_text(w, "created", p->entry.created);
    put_text(w, "created_by", p->created_by);
    json_object_end(w);
    json_array_end(w);
}

static void put_rootfs(struct json_writer *w, const struct cache_put *p)
{
    json_key(w, "rootfs");
    json_object_begin(w);
    put_text(w, "type", "layers");
    json_key(w, "diff_ids");
    json_array_begin(w);
    json_put_string(w, p->entry.diff_id.text);
    json_array_end(w);
    json_object_end(w);
}

static void put_inputs(struct json_writer *w, const struct strs *inputs)
{
    json_key(w, MEMBER);
    json_object_begin(w);
    json_key(w, "inputs");
    json_array_begin(w);
    for (size_t i = 0; i < inputs->n; i++)
        json_put_string(w, inputs->items[i]);
    json_array_end(w);
    json_object_end(w);
}

char *entry_config(const struct cache_put *p)
{
    AUTO(json_writer_free) struct json_writer *w = json_writer_new();

    json_object_begin(w);
    put_text(w, "architecture", p->platform->arch);
    put_text(w, "created", p->entry.created);
    put_inputs(w, p->inputs);
    put_history(w, p);
    put_text(w, "os", p->platform->os);
    put_rootfs(w, p);
    json_object_end(w);
    return json_writer_steal(w);
}

struct err *entry_inputs(const char *text, size_t len, struct strs *ret_inputs)
{
    AUTO(json_free) struct json *tree = NULL;

    TRY(json_parse(text, len, &tree));
    const struct json *inputs = json_get(json_get(tree, MEMBER), "inputs");
    if (json_type(inputs) != JSON_ARRAY)
        return err_new(ERR_REGISTRY, "it has no inputs");
    for (size_t i = 0; i < json_count(inputs); i++) {
        const char *input = json_string(json_at(inputs, i));

        if (input)
            strs_add(ret_inputs, input);
    }
    return NULL;
}
