#include "registry/registry_priv.h"

#include "base/limits.h"
#include "base/log.h"

#include <inttypes.h>
#include <string.h>
#include <strings.h>

/* Up to there the blob goes with the closing PUT and saves a request; above it some registries refuse that. */
#define WHOLE_PUT_BYTES ((uint64_t)1024 * 1024)
/* How often a manifest is sent again whose blobs the registry says it does not have (yet): replicas need a moment. */
#define MANIFEST_TRIES 4

/* A blob on its way into a repository. */
struct push {
    struct registry *r;
    struct endpoint *ep;
    const char *repo;
    char *scope;
    const struct descriptor *blob;
    int fd;
    char *location; /* of the upload session, absolute; NULL = none */
    uint64_t sent;  /* bytes that the session has */
};

static void push_init(struct push *p, struct registry *r, const struct ref *repo)
{
    *p = (struct push){ .r = r, .ep = registry_endpoint(r, repo->domain, false), .repo = repo->path, .fd = -1 };
    p->scope = xasprintf("repository:%s:pull,push", repo->path);
}

static void push_release(struct push *p)
{
    free(p->scope);
    free(p->location);
}
static void push_release_auto(struct push *p)
{
    push_release(p);
}

static struct call push_call(const struct push *p, const char *method, const char *url)
{
    return (struct call){ .r = p->r,
                          .ep = p->ep,
                          .repo = p->repo,
                          .scope = p->scope,
                          .action = "push",
                          .rq = { .method = method, .url = url, .body_fd = -1 } };
}

/* ---- existence and mount ---- */

static struct err *has_blob(const struct push *p, const char *digest, bool *ret_found)
{
    AUTO_FREE char *url = xasprintf("%s/v2/%s/blobs/%s", p->ep->base, p->repo, digest);
    struct call c = push_call(p, "HEAD", url);
    AUTO(http_response_release) struct http_response a = { 0 };

    TRY(call_perform(&c, &a));
    *ret_found = a.status == 200;
    if (a.status == 200 || a.status == 404)
        return NULL;
    /* a HEAD has no body that says why: let the upload fail with a reason */
    if (a.status == 401 || a.status == 403 || a.status == 405)
        return NULL;
    return call_refused(&c, &a);
}

/* A registry behind a proxy that ends TLS often gives its Location as http://: same host, so the scheme is ours. */
static struct err *take_location(struct push *p, const struct http_response *a)
{
    const char *location = http_header(a, "location");
    const char *own = strstr(p->ep->base, "://") + 3;
    size_t n = strlen(own);
    char *url = NULL;

    if (!location)
        return err_new(ERR_REGISTRY, "registry '%s' answered an upload to '%s' without a Location", p->ep->host,
                       p->repo);
    if (strncasecmp(location, "http://", 7) == 0 && strncasecmp(location + 7, own, n) == 0 && location[7 + n] == '/')
        location += 7 + n;
    TRY(http_resolve(a->url, location, &url));
    free(p->location);
    p->location = url;
    return NULL;
}

/* POST with mount: 201 = done, 202 = an ordinary upload has begun. */
static struct err *mount(struct push *p, const char *digest, const char *from, bool *ret_mounted)
{
    AUTO_FREE char *name = http_escape(from);
    AUTO_FREE char *url = xasprintf("%s/v2/%s/blobs/uploads/?mount=%s&from=%s", p->ep->base, p->repo, digest, name);
    AUTO_FREE char *scope = xasprintf("%s repository:%s:pull", p->scope, from);
    struct call c = push_call(p, "POST", url);
    AUTO(http_response_release) struct http_response a = { 0 };

    c.scope = scope;
    struct err *e = call_perform(&c, &a);
    if (e && err_kind(e) != ERR_AUTH)
        return e;
    err_free(e); /* no right on the other repository: an ordinary upload then */
    *ret_mounted = a.status == 201;
    return a.status == 202 ? take_location(p, &a) : NULL;
}

static struct err *cancel_upload(struct push *p)
{
    struct call c = push_call(p, "DELETE", p->location);
    AUTO(http_response_release) struct http_response a = { 0 };

    c.rq.no_retry = true;
    c.once = true;
    TRY(call_perform(&c, &a)); /* whatever it answers: it may need a right of its own, and sessions end by themselves */
    return NULL;
}

/* Nobody depends on it; only a stop of the build does not wait. */
static struct err *abandon(struct push *p)
{
    struct err *e = cancel_upload(p);

    if (e && (err_kind(e) == ERR_TERMINATED || err_kind(e) == ERR_TIMEOUT))
        return e;
    err_free(e);
    return NULL;
}

struct err *registry_try_mount(struct registry *r, const struct ref *repo, const struct digest *d,
                               const char *mount_from, bool *ret_found)
{
    AUTO(push_release) struct push p;
    bool found = false;

    push_init(&p, r, repo);
    TRY(has_blob(&p, d->text, &found));
    if (!found && mount_from && strcmp(mount_from, repo->path) != 0) {
        TRY(mount(&p, d->text, mount_from, &found));
        if (p.location)
            TRY(abandon(&p));
    }
    *ret_found = found;
    return NULL;
}

/* ---- upload ---- */

static struct err *start_upload(struct push *p)
{
    AUTO_FREE char *url = xasprintf("%s/v2/%s/blobs/uploads/", p->ep->base, p->repo);
    struct call c = push_call(p, "POST", url);
    AUTO(http_response_release) struct http_response a = { 0 };

    p->sent = 0;
    TRY(call_perform(&c, &a));
    if (a.status != 202)
        return call_refused(&c, &a);
    return take_location(p, &a);
}

struct err *registry_check_push(struct registry *r, const struct ref *repo)
{
    AUTO(push_release) struct push p;

    push_init(&p, r, repo);
    TRY(start_upload(&p));
    return abandon(&p);
}

static void give_file(const struct push *p, struct call *c, uint64_t offset)
{
    c->rq.body_fd = p->fd;
    c->rq.body_offset = offset;
    c->rq.body_len = (size_t)(p->blob->size_bytes - offset);
    c->rq.no_retry = true; /* a server that took a part of it would append the rest twice */
    strs_add(&c->rq.headers, "Content-Type: application/octet-stream");
}

/* Answers that say that this session is lost, but not that the blob is unwelcome. */
static bool session_lost(const struct http_response *a)
{
    return a->status == 404 || a->status == 408 || a->status == 416 || a->status == 429 || a->status == 499 ||
           a->status >= 500 || errors_has(a, "BLOB_UPLOAD_INVALID") || errors_has(a, "BLOB_UPLOAD_UNKNOWN") ||
           errors_has(a, "DIGEST_INVALID");
}

/* Whether to begin again after that answer; waits first as long as it asks us to. */
static struct err *may_restart(struct push *p, const struct http_response *a, bool *ret_again)
{
    if (a->status == 429)
        TRY(http_pause(p->r->http, 0, a));
    *ret_again = session_lost(a);
    return NULL;
}

static struct err *send_rest(struct push *p, bool *ret_again)
{
    struct call c = push_call(p, "PATCH", p->location);
    AUTO(http_response_release) struct http_response a = { 0 };

    give_file(p, &c, p->sent);
    if (p->sent) /* this header has no unit and no total, unlike its namesake of RFC 7233 */
        strs_take(&c.rq.headers, xasprintf("Content-Range: %" PRIu64 "-%" PRIu64, p->sent, p->blob->size_bytes - 1));
    struct err *e = call_perform(&c, &a);
    strs_release(&c.rq.headers);
    *ret_again = e && err_kind(e) == ERR_NETWORK;
    TRY(e);
    if (a.status != 202 && a.status != 201 && a.status != 204) {
        TRY(may_restart(p, &a, ret_again));
        return call_refused(&c, &a);
    }
    p->sent = p->blob->size_bytes;
    return http_header(&a, "location") ? take_location(p, &a) : NULL;
}

static struct err *finish(struct push *p, bool *ret_again)
{
    char separator = strchr(p->location, '?') ? '&' : '?';
    AUTO_FREE char *url = xasprintf("%s%cdigest=%s", p->location, separator, p->blob->digest.text);
    struct call c = push_call(p, "PUT", url);
    AUTO(http_response_release) struct http_response a = { 0 };

    if (p->sent < p->blob->size_bytes)
        give_file(p, &c, p->sent);
    struct err *e = call_perform(&c, &a);
    strs_release(&c.rq.headers);
    *ret_again = e && err_kind(e) == ERR_NETWORK;
    TRY(e);
    if (a.status == 201 || a.status == 204)
        return NULL;
    TRY(may_restart(p, &a, ret_again));
    return call_refused(&c, &a);
}

/* Asks how much of a broken upload arrived. False: it must begin again. */
static bool can_continue(struct push *p)
{
    struct call c = push_call(p, "GET", p->location);
    AUTO(http_response_release) struct http_response a = { 0 };
    struct err *e = call_perform(&c, &a);
    unsigned long long last = 0;
    const char *range = e ? NULL : http_header(&a, "range");

    if (!e && a.status == 204 && range && http_header(&a, "location"))
        e = take_location(p, &a);
    bool good =
        !e && a.status == 204 && range && sscanf(range, "0-%llu", &last) == 1 && last > 0 && last < p->blob->size_bytes;
    err_free(e); /* then the session is no use */
    if (good)
        p->sent = last + 1;
    return good;
}

static struct err *upload_once(struct push *p, bool *ret_again)
{
    *ret_again = false;
    if (!p->location)
        TRY(start_upload(p));
    if (p->blob->size_bytes > WHOLE_PUT_BYTES && p->sent < p->blob->size_bytes)
        TRY(send_rest(p, ret_again));
    return finish(p, ret_again);
}

/* After a failure: has it arrived after all, can the session go on, or must it begin again? */
static struct err *recover(struct push *p, bool *ret_done)
{
    TRY(has_blob(p, p->blob->digest.text, ret_done));
    if (*ret_done)
        return NULL;
    if (p->sent < p->blob->size_bytes && can_continue(p)) {
        log_debug("registry", "upload of %s goes on at byte %" PRIu64, p->blob->digest.text, p->sent);
        return NULL;
    }
    free(p->location);
    p->location = NULL;
    return NULL;
}

static struct err *upload(struct push *p)
{
    for (int n = 0;; n++) {
        bool again = false, done = false;
        struct err *e = upload_once(p, &again);

        if (!e || !again || n >= LIMIT_UPLOAD_RESTARTS)
            return e;
        log_debug("registry", "upload of %s broke: %s", p->blob->digest.text, err_message(e));
        err_free(e);
        TRY(http_pause(p->r->http, n, NULL));
        TRY(recover(p, &done));
        if (done)
            return NULL;
    }
}

struct err *registry_push_blob(struct registry *r, const struct ref *repo, const struct descriptor *blob, int fd,
                               const char *mount_from, enum blob_result *ret_result)
{
    AUTO(push_release) struct push p;
    bool found = false, mounted = false;

    push_init(&p, r, repo);
    p.blob = blob;
    p.fd = fd;
    TRY(has_blob(&p, blob->digest.text, &found));
    if (!found && mount_from && strcmp(mount_from, repo->path) != 0)
        TRY(mount(&p, blob->digest.text, mount_from, &mounted));
    if (!found && !mounted)
        TRY(err_wrap(upload(&p), "cannot push blob %s to '%s/%s'", blob->digest.text, repo->domain, repo->path));
    *ret_result = found ? BLOB_EXISTED : mounted ? BLOB_MOUNTED : BLOB_UPLOADED;
    return NULL;
}

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
                                  size_t len, struct digest *ret_digest)
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
        if (!late || n + 1 >= MANIFEST_TRIES)
            return e;
        err_free(e);
        TRY(http_pause(r->http, n, NULL));
    }
    *ret_digest = d;
    return NULL;
}
