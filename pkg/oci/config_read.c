#include "oci/config.h"

#include "base/limits.h"
#include "base/mem.h"
#include "oci/oci_priv.h"
#include "json/json.h"

#include <string.h>

static bool absent(const struct json *v)
{
    return !v || json_type(v) == JSON_NULL;
}

static struct err *wrong_type(const char *name, const char *wanted)
{
    return err_new(ERR_REGISTRY, "'%s' is not %s", name, wanted);
}

static struct err *read_text(const struct json *in, const char *name, char **text)
{
    const struct json *v = json_get(in, name);

    if (absent(v))
        return NULL;
    if (!json_string(v))
        return wrong_type(name, "a string");
    if (*json_string(v)) {
        free(*text);
        *text = xstrdup(json_string(v));
    }
    return NULL;
}

static struct err *read_list(const struct json *in, const char *name, struct strs *list)
{
    const struct json *v = json_get(in, name);

    if (absent(v))
        return NULL;
    if (json_type(v) != JSON_ARRAY)
        return wrong_type(name, "a list");
    for (size_t i = 0; i < json_count(v); i++) {
        if (!json_string(json_at(v, i)))
            return wrong_type(name, "a list of strings");
        strs_add(list, json_string(json_at(v, i)));
    }
    return NULL;
}

/* {"80/tcp":{},...}: only the names mean something. */
static struct err *read_set(const struct json *in, const char *name, struct strs *list)
{
    const struct json *v = json_get(in, name);

    if (absent(v))
        return NULL;
    if (json_type(v) != JSON_OBJECT)
        return wrong_type(name, "an object");
    for (size_t i = 0; i < json_count(v); i++)
        strs_add(list, json_member(v, i, NULL));
    return NULL;
}

static struct err *read_labels(const struct json *in, struct image_config *c)
{
    const struct json *v = json_get(in, "Labels"), *value = NULL;

    if (absent(v))
        return NULL;
    if (json_type(v) != JSON_OBJECT)
        return wrong_type("Labels", "an object");
    for (size_t i = 0; i < json_count(v); i++) {
        const char *name = json_member(v, i, &value);
        if (!json_string(value))
            return wrong_type("Labels", "an object of strings");
        config_set_label(c, name, json_string(value));
    }
    return NULL;
}

static struct err *read_int(const struct json *in, const char *name, int64_t *number)
{
    const struct json *v = json_get(in, name);

    if (!absent(v) && !json_int(v, number))
        return wrong_type(name, "a whole number");
    return NULL;
}

static struct err *read_healthcheck(const struct json *in, struct healthcheck *h)
{
    const struct json *v = json_get(in, "Healthcheck");

    if (absent(v))
        return NULL;
    if (json_type(v) != JSON_OBJECT)
        return wrong_type("Healthcheck", "an object");
    h->set = true;
    TRY(read_list(v, "Test", &h->test));
    TRY(read_int(v, "Interval", &h->interval_ns));
    TRY(read_int(v, "Timeout", &h->timeout_ns));
    TRY(read_int(v, "StartPeriod", &h->start_period_ns));
    TRY(read_int(v, "StartInterval", &h->start_interval_ns));
    return read_int(v, "Retries", &h->retries);
}

static struct err *read_texts(const struct json *v, struct image_config *c)
{
    TRY(read_text(v, "User", &c->user));
    TRY(read_text(v, "WorkingDir", &c->workdir));
    return read_text(v, "StopSignal", &c->stop_signal);
}

static struct err *read_lists(const struct json *v, struct image_config *c)
{
    TRY(read_list(v, "Env", &c->env));
    TRY(read_list(v, "Cmd", &c->cmd));
    TRY(read_list(v, "Entrypoint", &c->entrypoint));
    TRY(read_list(v, "Shell", &c->shell));
    TRY(read_list(v, "OnBuild", &c->onbuild));
    TRY(read_set(v, "ExposedPorts", &c->exposed_ports));
    return read_set(v, "Volumes", &c->volumes);
}

static struct err *read_run_config(const struct json *t, struct image_config *c)
{
    const struct json *v = json_get(t, "config");

    if (absent(v))
        return NULL;
    if (json_type(v) != JSON_OBJECT)
        return wrong_type("config", "an object");
    TRY(read_texts(v, c));
    TRY(read_lists(v, c));
    TRY(read_labels(v, c));
    TRY(read_healthcheck(v, &c->healthcheck));
    c->has_cmd = json_type(json_get(v, "Cmd")) == JSON_ARRAY;
    c->has_entrypoint = json_type(json_get(v, "Entrypoint")) == JSON_ARRAY;
    return NULL;
}

static struct err *read_rootfs(const struct json *t, struct image_config *c)
{
    const struct json *rootfs = json_get(t, "rootfs"), *list = json_get(rootfs, "diff_ids");

    if (absent(list))
        return NULL;
    if (json_type(list) != JSON_ARRAY)
        return wrong_type("diff_ids", "a list");
    if (json_count(list) > LIMIT_LAYERS)
        return err_new(ERR_REGISTRY, "it has %zu layers, more than %d", json_count(list), LIMIT_LAYERS);
    for (size_t i = 0; i < json_count(list); i++) {
        struct digest d;
        const char *text = json_string(json_at(list, i));
        if (!text)
            return wrong_type("diff_ids", "a list of strings");
        TRY(digest_parse(text, &d));
        config_add_diff_id(c, &d);
    }
    return NULL;
}

static struct err *read_history_entry(const struct json *v, struct history *h)
{
    if (json_type(v) != JSON_OBJECT)
        return wrong_type("history", "a list of objects");
    TRY(read_text(v, "created", &h->created));
    TRY(read_text(v, "created_by", &h->created_by));
    TRY(read_text(v, "comment", &h->comment));
    TRY(read_text(v, "author", &h->author));
    h->empty_layer = json_get_bool(v, "empty_layer");
    return NULL;
}

/* Entries that claim more layers than there are: the last ones cannot have made any (BuildKit reads it so, too). */
static void mend_history(struct image_config *c)
{
    size_t with_layer = 0;

    for (size_t i = 0; i < c->n_history; i++) {
        if (c->history[i].empty_layer)
            continue;
        if (with_layer == c->n_diff_ids)
            c->history[i].empty_layer = true;
        else
            with_layer++;
    }
}

static struct err *read_history(const struct json *t, struct image_config *c)
{
    const struct json *list = json_get(t, "history");

    if (absent(list))
        return NULL;
    if (json_type(list) != JSON_ARRAY)
        return wrong_type("history", "a list");
    for (size_t i = 0; i < json_count(list); i++) {
        config_add_history(c, NULL, NULL, NULL, false);
        TRY(read_history_entry(json_at(list, i), &c->history[i]));
    }
    mend_history(c);
    return NULL;
}

bool oci_copy_platform(const struct json *v, struct platform *p)
{
    struct platform out = { .os = "" };
    const struct {
        const char *name;
        char *to;
        size_t size;
    } parts[] = { { "os", out.os, sizeof(out.os) },
                  { "architecture", out.arch, sizeof(out.arch) },
                  { "variant", out.variant, sizeof(out.variant) },
                  { "os.version", out.os_version, sizeof(out.os_version) } };

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        const struct json *member = json_get(v, parts[i].name);
        const char *text = json_string(member);
        if ((!text && !absent(member)) || (text && strlen(text) >= parts[i].size))
            return false;
        if (text)
            memcpy(parts[i].to, text, strlen(text) + 1);
    }
    *p = out;
    return true;
}

static struct err *read_all(const struct json *t, struct image_config *c)
{
    if (json_type(t) != JSON_OBJECT)
        return wrong_type("the document", "an object");
    if (!oci_copy_platform(t, &c->platform))
        return err_new(ERR_REGISTRY, "its platform ('os', 'architecture', 'variant') is not usable");
    TRY(read_list(t, "os.features", &c->os_features));
    TRY(read_text(t, "created", &c->created));
    TRY(read_text(t, "author", &c->author));
    TRY(read_run_config(t, c));
    TRY(read_rootfs(t, c));
    return read_history(t, c);
}

struct err *config_parse(const char *text, size_t len, struct image_config *ret_config)
{
    AUTO(json_free) struct json *t = NULL;
    struct image_config c = { .created = NULL };

    if (len > LIMIT_CONFIG_BYTES)
        return err_new(ERR_REGISTRY, "the image configuration has %zu bytes, more than %d", len, LIMIT_CONFIG_BYTES);
    TRY(err_wrap(json_parse(text, len, &t), "cannot read the image configuration"));
    struct err *e = read_all(t, &c);
    if (e) {
        config_release(&c);
        return err_wrap(e, "cannot read the image configuration");
    }
    *ret_config = c;
    return NULL;
}
