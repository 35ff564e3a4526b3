#include "publish.h"

#include <sys/resource.h>
#include <time.h>

struct err *publish_tags(const struct publish *p, struct strs *ret_tags)
{
    AUTO(strs_release) struct strs missing = { 0 };

    if (!p->s->skip_existing_tags) {
        strs_copy(ret_tags, &p->s->tags);
        return NULL;
    }
    TRY(registry_missing_tags(wire_registry(p->net), p->repo, &p->s->tags, &missing));
    strs_copy(ret_tags, &missing);
    return NULL;
}

static void tell_existing(const struct publish *p, const struct strs *tags)
{
    for (size_t i = 0; i < p->s->tags.n; i++)
        if (!strs_has(tags, p->s->tags.items[i]))
            progress_line(p->printer, "note: %s/%s:%s is there already and is left alone", p->repo->domain,
                          p->repo->path, p->s->tags.items[i]);
}

struct err *publish_check(const struct publish *p)
{
    AUTO(strs_release) struct strs tags = { 0 };

    if (p->s->skip_push_check)
        return NULL;
    struct err *e = publish_tags(p, &tags);
    if (!e && tags.n)
        e = registry_check_push(wire_registry(p->net), p->repo, &tags);
    return err_wrap(e, "cannot push to '%s/%s'", p->repo->domain, p->repo->path);
}

void publish_show_pushed(const struct publish *p, const struct strs *tags, const struct push_stats *stats)
{
    char sent[32];

    tell_existing(p, tags);
    if (tags->n == 0)
        return;
    progress_size(stats->uploaded_bytes, sent);
    if (stats->unchanged)
        progress_line(p->printer, "unchanged: the repository had this image already, nothing was moved");
    else
        progress_line(p->printer, "blobs: %zu uploaded (%s), %zu mounted, %zu already there", stats->uploaded, sent,
                      stats->mounted, stats->existed);
    for (size_t i = 0; i < tags->n; i++)
        progress_line(p->printer, "pushed: %s/%s:%s", p->repo->domain, p->repo->path, tags->items[i]);
}

void publish_show_done(const struct publish *p)
{
    struct rusage self = { 0 };

    (void)getrusage(RUSAGE_SELF, &self);
    progress_line(p->printer, "done in %lds, peak memory of copyup %ld MiB", (long)(time(NULL) - p->started_s),
                  self.ru_maxrss / 1024);
}

/* The image is pushed: that nobody can say where the portal shows it changes nothing. */
static char *find_portal(const struct publish *p)
{
    char *url = NULL;
    struct err *e = wire_portal_url(p->net, p->s, &url);

    if (e) {
        AUTO_FREE char *why = err_line(e);
        progress_line(p->printer, "warning: the artifact file has no registryUrl: %s", why);
        err_free(e);
    }
    return url;
}

struct err *publish_outputs(const struct publish *p, const struct digest *d, const struct strs *tags,
                            const char *changed)
{
    AUTO_FREE char *portal = find_portal(p);

    return wire_outputs(p->s, d, tags, portal, changed);
}
