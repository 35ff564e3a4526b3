#include "oci/config.h"

#include "base/limits.h"
#include "base/map.h"
#include "base/mem.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

void config_init(struct image_config *c, const struct platform *p)
{
    memset(c, 0, sizeof(*c));
    c->platform = *p;
}

static char *copy_text(const char *s)
{
    return s ? xstrdup(s) : NULL;
}

static void *copy_array(const void *items, size_t n, size_t size)
{
    if (n == 0)
        return NULL;
    void *p = xcalloc(n, size);
    memcpy(p, items, n * size);
    return p;
}

static void copy_labels(struct image_config *dst, const struct image_config *src)
{
    dst->labels = copy_array(src->labels, src->n_labels, sizeof(*src->labels));
    for (size_t i = 0; i < src->n_labels; i++) {
        dst->labels[i].name = xstrdup(src->labels[i].name);
        dst->labels[i].value = xstrdup(src->labels[i].value);
    }
}

static void copy_history(struct image_config *dst, const struct image_config *src)
{
    dst->history = copy_array(src->history, src->n_history, sizeof(*src->history));
    for (size_t i = 0; i < src->n_history; i++) {
        const struct history *h = &src->history[i];
        dst->history[i].created = copy_text(h->created);
        dst->history[i].created_by = copy_text(h->created_by);
        dst->history[i].comment = copy_text(h->comment);
        dst->history[i].author = copy_text(h->author);
    }
}

static void copy_list(struct strs *dst, const struct strs *src)
{
    *dst = (struct strs){ 0 };
    strs_copy(dst, src);
}

void config_copy(struct image_config *dst, const struct image_config *src)
{
    struct image_config c = *src; /* numbers and flags; everything owned is replaced below */

    c.created = copy_text(src->created);
    c.author = copy_text(src->author);
    c.user = copy_text(src->user);
    c.workdir = copy_text(src->workdir);
    c.stop_signal = copy_text(src->stop_signal);
    copy_list(&c.os_features, &src->os_features);
    copy_list(&c.env, &src->env);
    copy_list(&c.cmd, &src->cmd);
    copy_list(&c.entrypoint, &src->entrypoint);
    copy_list(&c.shell, &src->shell);
    copy_list(&c.exposed_ports, &src->exposed_ports);
    copy_list(&c.volumes, &src->volumes);
    copy_list(&c.onbuild, &src->onbuild);
    copy_list(&c.healthcheck.test, &src->healthcheck.test);
    c.label_at = NULL;
    copy_labels(&c, src);
    c.diff_ids = copy_array(src->diff_ids, src->n_diff_ids, sizeof(*src->diff_ids));
    copy_history(&c, src);
    config_release(dst);
    *dst = c;
}

static void index_labels(struct image_config *c)
{
    if (c->label_at)
        return;
    c->label_at = map_new(NULL);
    for (size_t i = 0; i < c->n_labels; i++)
        map_set(c->label_at, c->labels[i].name, (void *)(uintptr_t)(i + 1));
}

void config_set_label(struct image_config *c, const char *name, const char *value)
{
    index_labels(c);
    uintptr_t at = (uintptr_t)map_get(c->label_at, name);
    char *copy = xstrdup(value); /* it may be the old one */

    if (at) {
        free(c->labels[at - 1].value);
        c->labels[at - 1].value = copy;
        return;
    }
    c->labels = xreallocarray(c->labels, c->n_labels + 1, sizeof(*c->labels));
    c->labels[c->n_labels++] = (struct label){ xstrdup(name), copy };
    map_set(c->label_at, name, (void *)(uintptr_t)c->n_labels);
}

void config_add_diff_id(struct image_config *c, const struct digest *d)
{
    c->diff_ids = xreallocarray(c->diff_ids, c->n_diff_ids + 1, sizeof(*c->diff_ids));
    c->diff_ids[c->n_diff_ids++] = *d;
}

void config_add_history(struct image_config *c, const char *created, const char *created_by, const char *comment,
                        bool empty_layer)
{
    c->history = xreallocarray(c->history, c->n_history + 1, sizeof(*c->history));
    c->history[c->n_history++] = (struct history){ .created = copy_text(created),
                                                   .created_by = copy_text(created_by),
                                                   .comment = copy_text(comment),
                                                   .empty_layer = empty_layer };
}

/* What an entry without a time gets before the first one that comes after it. */
static const char *first_time(const struct image_config *c)
{
    const char *time = NULL;
    bool gap = false;

    for (size_t i = 0; i < c->n_history; i++) {
        gap = gap || !c->history[i].created;
        if (!c->history[i].created)
            continue;
        time = c->history[i].created;
        if (gap)
            break;
    }
    return time;
}

void config_fill_times(struct image_config *c, const char *now)
{
    const char *time = first_time(c);
    bool gap = false;

    if (!time)
        time = now;
    for (size_t i = 0; i < c->n_history; i++) {
        struct history *h = &c->history[i];

        if (!h->created) {
            gap = true;
            h->created = xstrdup(time);
        } else if (gap) {
            time = h->created;
        }
    }
    if (c->n_history)
        time = c->history[c->n_history - 1].created;
    else if (c->created)
        return;
    char *copy = xstrdup(time);
    free(c->created);
    c->created = copy;
}

void config_release(struct image_config *c)
{
    char *texts[] = { c->created, c->author, c->user, c->workdir, c->stop_signal };
    struct strs *lists[] = { &c->env,     &c->cmd,     &c->entrypoint,       &c->shell,      &c->exposed_ports,
                             &c->volumes, &c->onbuild, &c->healthcheck.test, &c->os_features };

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        free(texts[i]);
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
        strs_release(lists[i]);
    for (size_t i = 0; i < c->n_labels; i++) {
        free(c->labels[i].name);
        free(c->labels[i].value);
    }
    for (size_t i = 0; i < c->n_history; i++) {
        free(c->history[i].created);
        free(c->history[i].created_by);
        free(c->history[i].comment);
        free(c->history[i].author);
    }
    free(c->labels);
    map_free(c->label_at);
    free(c->diff_ids);
    free(c->history);
    memset(c, 0, sizeof(*c));
}

void config_format_time(int64_t seconds, char ret_text[32])
{
    time_t t = seconds;
    struct tm tm;

    /* RFC 3339 has four digits for the year; what does not fit is not a time that anybody meant. */
    if (seconds < -30610224000 || seconds > 253402300799 || !gmtime_r(&t, &tm))
        snprintf(ret_text, 32, "1970-01-01T00:00:00Z");
    else
        strftime(ret_text, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
}
