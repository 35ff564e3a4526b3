/* push_manifest.c - the last step of a push, and what is looked at before the first one. */
#include "registry/push_priv.h"

#include "base/log.h"
#include "json/json.h"

#include <string.h>

/* How often a manifest is sent again whose blobs the registry says it does not have (yet): replicas need a moment. */
#define MANIFEST_TRIES 5

/* ---- manifests ---- */

static struct err *check_stored(const struct push *p, const struct http_response *a, const struct digest *d)
{
    const char *stored = http_header(a, "docker-content-digest");

    if (!stored || strncmp(stored, "sha256:", 7) != 0 || strcmp(stored, d->text) == 0)
        return NULL;
    return err_new(ERR_REGISTRY, "registry '%s' stored the manifest of '%s' as %.*s instead of %s", p->ep->host,
                   p->repo, DIGEST_TEXT_LEN, stored, d->text);
}

struct document {
    const char *media_type, *text;
    size_t len;
};

/* One PUT. *ret_late: the registry says that it does not have a blob (yet). */
static struct err *put_once(const struct push *p, const char *url, const struct document *doc, const struct digest *d,
                            bool *ret_late)
{
    struct call c = push_call(p, "PUT", url);
    AUTO(http_response_release) struct http_response a = { 0 };

    c.rq.body = doc->text;
    c.rq.body_len = doc->len;
    strs_take(&c.rq.headers, xasprintf("Content-Type: %s", doc->media_type));
    struct err *e = call_perform(&c, &a);
    strs_release(&c.rq.headers);
    TRY(e);
    if (a.status == 201 || a.status == 200)
        return check_stored(p, &a, d);
    *ret_late = errors_has(&a, "MANIFEST_BLOB_UNKNOWN") || errors_has(&a, "BLOB_UNKNOWN");
    return call_refused(&c, &a);
}

struct err *registry_put_manifest(struct registry *r, const struct ref *ref, const char *media_type, const char *text,
                                  size_t len, const struct blobs_again *again, struct digest *ret_digest)
{
    AUTO(push_release) struct push p;
    const struct document doc = { media_type, text, len };
    const struct digest d = digest_bytes(text, len);
    const char *tag = ref->tag ? ref->tag : d.text;

    push_init(&p, r, ref);
    AUTO_FREE char *url = xasprintf("%s/v2/%s/manifests/%s", p.ep->base, p.repo, ref->digest ? ref->digest : tag);
    for (int n = 0;; n++) {
        bool late = false;
        struct err *e = put_once(&p, url, &doc, &d, &late);

        if (!e)
            break;
        if (!late || n + 1 >= MANIFEST_TRIES + r->more_push_tries)
            return e;
        log_debug("registry", "%s: a blob of '%s' is not known yet", p.ep->host, p.repo);
        err_free(e);
        TRY(http_pause(r->http, n, NULL));
        if (again)
            TRY(again->push(again->ctx));
    }
    *ret_digest = d;
    return NULL;
}

/* ---- before a push ---- */

/* Azure's registries tell by an API of their own what may not be changed. */
struct lock_check {
    struct push *p;
    const char *tag; /* NULL = the repository */
};

static struct err *locked(const struct lock_check *k)
{
    const char *host = k->p->ep->host;
    int name = (int)strcspn(host, ".");

    if (!k->tag)
        return err_hint(
            err_new(ERR_AUTH, "the repository '%s' of registry '%s' is locked", k->p->repo, host),
            "Unlock it with 'az acr repository update --name %.*s --repository %s --write-enabled true', or "
            "push elsewhere.",
            name, host, k->p->repo);
    return err_hint(err_new(ERR_AUTH, "the tag '%s' of '%s/%s' is locked", k->tag, host, k->p->repo),
                    "Unlock it with 'az acr repository update --name %.*s --image %s:%s --write-enabled true', or push "
                    "another tag.",
                    name, host, k->p->repo, k->tag);
}

/* {"changeableAttributes":{"writeEnabled":false}}, for a tag inside of "tag". Anything else does not tell. */
static bool says_locked(const struct http_response *a, bool tag)
{
    AUTO(json_free) struct json *root = NULL;
    struct err *e = a->status == 200 && a->body.len ? json_parse(a->body.data, a->body.len, &root) : NULL;
    const struct json *object = tag ? json_get(root, "tag") : root;
    const struct json *write = json_get(json_get(object, "changeableAttributes"), "writeEnabled");

    err_free(e);
    return json_type(write) == JSON_BOOL && !json_get_bool(json_get(object, "changeableAttributes"), "writeEnabled");
}

/* Whoever may not ask learns it at the push. */
static struct err *check_lock(const struct lock_check *k)
{
    AUTO_FREE char *url = k->tag ? xasprintf("%s/acr/v1/%s/_tags/%s", k->p->ep->base, k->p->repo, k->tag)
                                 : xasprintf("%s/acr/v1/%s", k->p->ep->base, k->p->repo);
    AUTO_FREE char *scope = xasprintf("repository:%s:metadata_read", k->p->repo);
    struct call c = push_call(k->p, "GET", url);
    AUTO(http_response_release) struct http_response a = { 0 };

    c.scope = scope;
    c.rq.no_retry = true;
    struct err *e = call_perform(&c, &a);
    if (e && err_kind(e) != ERR_AUTH && err_kind(e) != ERR_NETWORK && err_kind(e) != ERR_REGISTRY)
        return e; /* the build was told to stop */
    bool is_locked = !e && says_locked(&a, k->tag != NULL);
    err_free(e);
    return is_locked ? locked(k) : NULL;
}

static struct err *check_locks(struct push *p, const struct strs *tags)
{
    const struct lock_check all = { p, NULL };

    TRY(check_lock(&all));
    for (size_t i = 0; i < tags->n; i++) {
        const struct lock_check one = { p, tags->items[i] };

        TRY(check_lock(&one));
    }
    return NULL;
}

static struct err *has_tag(const struct push *p, const char *tag, bool *ret_found)
{
    AUTO_FREE char *url = xasprintf("%s/v2/%s/manifests/%s", p->ep->base, p->repo, tag);
    struct call c = push_call(p, "HEAD", url);
    AUTO(http_response_release) struct http_response a = { 0 };

    strs_add(&c.rq.headers, "Accept: " MEDIA_ALL);
    struct err *e = call_perform(&c, &a);
    strs_release(&c.rq.headers);
    TRY(e);
    *ret_found = a.status == 200;
    return a.status == 200 || a.status == 404 ? NULL : call_refused(&c, &a);
}

struct err *registry_missing_tags(struct registry *r, const struct ref *repo, const struct strs *tags, struct strs *ret)
{
    AUTO(push_release) struct push p;

    push_init(&p, r, repo);
    for (size_t i = 0; i < tags->n; i++) {
        bool found = false;

        TRY(err_wrap(has_tag(&p, tags->items[i], &found), "cannot see whether the tag '%s' is there", tags->items[i]));
        if (!found)
            strs_add(ret, tags->items[i]);
    }
    return NULL;
}

struct err *registry_check_push(struct registry *r, const struct ref *repo, const struct strs *tags)
{
    AUTO(push_release) struct push p;

    push_init(&p, r, repo);
    TRY(push_start(&p));
    if (auth_is_azure(p.ep->host))
        TRY(check_locks(&p, tags));
    push_keep(&p);
    return NULL;
}
