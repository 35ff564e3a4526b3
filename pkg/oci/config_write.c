#include "oci/config.h"

#include "base/mem.h"
#include "oci/oci_priv.h"
#include "json/json.h"

#include <string.h>

void oci_put_text(struct json_writer *w, const char *name, const char *text)
{
    if (!text || !*text)
        return;
    json_key(w, name);
    json_put_string(w, text);
}

static void put_list(struct json_writer *w, const char *name, const struct strs *list)
{
    if (list->n == 0)
        return;
    json_key(w, name);
    json_array_begin(w);
    for (size_t i = 0; i < list->n; i++)
        json_put_string(w, list->items[i]);
    json_array_end(w);
}

static void put_set(struct json_writer *w, const char *name, const struct strs *list)
{
    struct strs sorted = { 0 };

    if (list->n == 0)
        return;
    strs_copy(&sorted, list);
    strs_sort(&sorted);
    json_key(w, name);
    json_object_begin(w);
    for (size_t i = 0; i < sorted.n; i++) {
        if (i > 0 && strcmp(sorted.items[i - 1], sorted.items[i]) == 0)
            continue;
        json_key(w, sorted.items[i]);
        json_object_begin(w);
        json_object_end(w);
    }
    json_object_end(w);
    strs_release(&sorted);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct label *)a)->name, ((const struct label *)b)->name);
}

static void put_labels(struct json_writer *w, const struct image_config *c)
{
    if (c->n_labels == 0)
        return;
    AUTO_FREE struct label *sorted = xcalloc(c->n_labels, sizeof(*sorted)); /* the strings stay c's */
    memcpy(sorted, c->labels, c->n_labels * sizeof(*sorted));
    qsort(sorted, c->n_labels, sizeof(*sorted), by_name);
    json_key(w, "Labels");
    json_object_begin(w);
    for (size_t i = 0; i < c->n_labels; i++) {
        json_key(w, sorted[i].name);
        json_put_string(w, sorted[i].value);
    }
    json_object_end(w);
}

static void put_int(struct json_writer *w, const char *name, int64_t number)
{
    if (number == 0)
        return;
    json_key(w, name);
    json_put_int(w, number);
}

static void put_healthcheck(struct json_writer *w, const struct healthcheck *h)
{
    if (!h->set)
        return;
    json_key(w, "Healthcheck");
    json_object_begin(w);
    put_list(w, "Test", &h->test);
    put_int(w, "Interval", h->interval_ns);
    put_int(w, "Timeout", h->timeout_ns);
    put_int(w, "StartPeriod", h->start_period_ns);
    put_int(w, "StartInterval", h->start_interval_ns);
    put_int(w, "Retries", h->retries);
    json_object_end(w);
}

static void put_run_config(struct json_writer *w, const struct image_config *c)
{
    json_key(w, "config");
    json_object_begin(w);
    oci_put_text(w, "User", c->user);
    put_set(w, "ExposedPorts", &c->exposed_ports);
    put_list(w, "Env", &c->env);
    put_list(w, "Entrypoint", &c->entrypoint);
    put_list(w, "Cmd", &c->cmd);
    put_set(w, "Volumes", &c->volumes);
    oci_put_text(w, "WorkingDir", c->workdir);
    put_labels(w, c);
    oci_put_text(w, "StopSignal", c->stop_signal);
    put_healthcheck(w, &c->healthcheck);
    put_list(w, "OnBuild", &c->onbuild);
    put_list(w, "Shell", &c->shell);
    json_object_end(w);
}

static void put_history(struct json_writer *w, const struct image_config *c)
{
    if (c->n_history == 0)
        return;
    json_key(w, "history");
    json_array_begin(w);
    for (size_t i = 0; i < c->n_history; i++) {
        const struct history *h = &c->history[i];
        json_object_begin(w);
        oci_put_text(w, "created", h->created);
        oci_put_text(w, "created_by", h->created_by);
        oci_put_text(w, "author", h->author);
        oci_put_text(w, "comment", h->comment);
        if (h->empty_layer) {
            json_key(w, "empty_layer");
            json_put_bool(w, true);
        }
        json_object_end(w);
    }
    json_array_end(w);
}

static void put_rootfs(struct json_writer *w, const struct image_config *c)
{
    json_key(w, "rootfs");
    json_object_begin(w);
    json_key(w, "type");
    json_put_string(w, "layers");
    json_key(w, "diff_ids");
    json_array_begin(w);
    for (size_t i = 0; i < c->n_diff_ids; i++)
        json_put_string(w, c->diff_ids[i].text);
    json_array_end(w);
    json_object_end(w);
}

/* The outer members stand in the order of their names, as BuildKit writes them. */
char *config_write(const struct image_config *c)
{
    AUTO(json_writer_free) struct json_writer *w = json_writer_new();

    json_object_begin(w);
    json_key(w, "architecture");
    json_put_string(w, c->platform.arch);
    oci_put_text(w, "author", c->author);
    put_run_config(w, c);
    oci_put_text(w, "created", c->created);
    put_history(w, c);
    json_key(w, "os");
    json_put_string(w, c->platform.os);
    put_list(w, "os.features", &c->os_features);
    oci_put_text(w, "os.version", c->platform.os_version);
    put_rootfs(w, c);
    oci_put_text(w, "variant", c->platform.variant);
    json_object_end(w);
    return json_writer_steal(w);
}
