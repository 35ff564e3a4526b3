#include "registry/push_priv.h"

#include "base/limits.h"
#include "base/log.h"

#include <inttypes.h>
#include <string.h>
#include <strings.h>

/* Up to there the blob goes with the closing PUT and saves a request; above it some registries refuse that. */
#define WHOLE_PUT_BYTES ((uint64_t)1024 * 1024)
/* After a break an upload goes on in such pieces. */
#define PIECE_BYTES ((uint64_t)16 * 1024 * 1024)
/* So often a session in which nothing moves is continued before another is begun. */
#define SESSION_TRIES  1
#define PROGRESS_BYTES ((uint64_t)1024 * 1024)
/* A session that was kept for longer may have ended, which would cost more than a new one. */
#define KEPT_UPLOAD_MS 60000

void push_init(struct push *p, struct registry *r, const struct ref *repo)
{
    *p = (struct push){ .r = r, .ep = registry_endpoint(r, repo->domain, false), .repo = repo->path, .fd = -1 };
    p->scope = xasprintf("repository:%s:pull,push", repo->path);
}

void push_release(struct push *p)
{
    close_fd(&p->fd);
    free(p->scope);
    free(p->location);
}

struct call push_call(const struct push *p, const char *method, const char *url)
{
    return (
        struct call){ .r = p->r,
                      .ep = p->ep,
                      .repo = p->repo,
                      .scope = p->scope,
                      .action = "push",
                      .rq = { .method = method, .url = url, .body_fd = -1, .more_retries = p->r->more_push_tries } };
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
struct err *push_abandon(struct push *p)
{
    struct err *e = cancel_upload(p);

    if (e && (err_kind(e) == ERR_TERMINATED || err_kind(e) == ERR_TIMEOUT))
        return e;
    err_free(e);
    return NULL;
}

/* ---- upload ---- */

struct err *push_start(struct push *p)
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

static void give_file(const struct push *p, struct call *c, uint64_t len)
{
    c->rq.body_fd = p->fd;
    c->rq.body_offset = p->start + p->sent;
    c->rq.body_len = (size_t)len;
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
    p->distrusted = a->status == 416 || errors_has(a, "DIGEST_INVALID");
    *ret_again = session_lost(a);
    return NULL;
}

/* One PATCH: all that is left, or a piece of it. */
static struct err *send_piece(struct push *p, bool *ret_again)
{
    struct call c = push_call(p, "PATCH", p->location);
    AUTO(http_response_release) struct http_response a = { 0 };
    uint64_t left = p->blob->size_bytes - p->sent, len = p->piece && p->piece < left ? p->piece : left;

    give_file(p, &c, len);
    if (len < p->blob->size_bytes) /* this header has no unit and no total, unlike its namesake of RFC 7233 */
        strs_take(&c.rq.headers, xasprintf("Content-Range: %" PRIu64 "-%" PRIu64, p->sent, p->sent + len - 1));
    struct err *e = call_perform(&c, &a);
    strs_release(&c.rq.headers);
    *ret_again = e && err_kind(e) == ERR_NETWORK;
    TRY(e);
    if (a.status != 202 && a.status != 201 && a.status != 204) {
        TRY(may_restart(p, &a, ret_again));
        return call_refused(&c, &a);
    }
    p->sent += len;
    return http_header(&a, "location") ? take_location(p, &a) : NULL;
}

static struct err *finish(struct push *p, bool *ret_again)
{
    char separator = strchr(p->location, '?') ? '&' : '?';
    AUTO_FREE char *url = xasprintf("%s%cdigest=%s", p->location, separator, p->blob->digest.text);
    struct call c = push_call(p, "PUT", url);
    AUTO(http_response_release) struct http_response a = { 0 };

    if (p->sent < p->blob->size_bytes)
        give_file(p, &c, p->blob->size_bytes - p->sent);
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
    bool good = !e && a.status == 204 && range && sscanf(range, "0-%llu", &last) == 1 && last < p->blob->size_bytes;
    err_free(e); /* then the session is no use */
    if (good)
        p->sent = last > 0 ? last + 1 : 0; /* "0-0" is also what an empty session says */
    return good;
}

/* A session that was begun before: one request less. */
static bool take_kept(struct push *p)
{
    struct registry *r = p->r;
    struct kept_upload *kept = &r->kept;

    pthread_mutex_lock(&r->lock);
    bool fits = kept->location && kept->ep == p->ep && strcmp(kept->repo, p->repo) == 0 &&
                token_now_ms() - kept->begun_ms < KEPT_UPLOAD_MS;
    if (fits) {
        p->location = steal(&kept->location);
        p->sent = 0;
    }
    pthread_mutex_unlock(&r->lock);
    return fits;
}

struct err *push_keep(struct push *p)
{
    struct registry *r = p->r;

    pthread_mutex_lock(&r->lock);
    bool full = r->kept.location != NULL;
    if (!full) {
        free(r->kept.repo);
        r->kept = (struct kept_upload){ p->ep, xstrdup(p->repo), steal(&p->location), token_now_ms() };
    }
    pthread_mutex_unlock(&r->lock);
    return full ? push_abandon(p) : NULL;
}

void registry_end_push(struct registry *r)
{
    if (!r->kept.location)
        return;
    const struct ref repo = { .domain = r->kept.ep->host, .path = r->kept.repo };
    AUTO(push_release) struct push p;
    push_init(&p, r, &repo);
    p.location = steal(&r->kept.location);
    err_free(push_abandon(&p));
}

static struct err *upload_once(struct push *p, bool *ret_again)
{
    *ret_again = false;
    if (!p->location && !take_kept(p))
        TRY(push_start(p));
    while (p->blob->size_bytes > WHOLE_PUT_BYTES && p->sent < p->blob->size_bytes)
        TRY(send_piece(p, ret_again));
    return finish(p, ret_again);
}

/* After a failure: has it arrived after all, can the session go on, or must it begin again? From now on in pieces, so
 * that the next break costs one of them. */
static struct err *recover(struct push *p, bool *ret_done)
{
    TRY(has_blob(p, p->blob->digest.text, ret_done));
    if (*ret_done)
        return NULL;
    p->piece = PIECE_BYTES;
    uint64_t before = p->sent;
    if (p->location && !p->distrusted && p->stuck < SESSION_TRIES && can_continue(p)) {
        p->stuck = p->sent > before ? 0 : p->stuck + 1;
        log_debug("registry", "upload of %s goes on at byte %" PRIu64, p->blob->digest.text, p->sent);
        return NULL;
    }
    p->distrusted = false;
    p->stuck = 0;
    free(p->location);
    p->location = NULL;
    return NULL;
}

/* A break costs a try, unless the upload got further than ever before: long ones break more often. */
static struct err *upload(struct push *p)
{
    int tries = LIMIT_UPLOAD_RESTARTS + p->r->more_push_tries;

    for (int n = 0;; n++) {
        bool again = false, done = false;
        struct err *e = upload_once(p, &again);

        if (!e || !again || n >= tries)
            return e;
        log_debug("registry", "upload of %s broke: %s", p->blob->digest.text, err_message(e));
        err_free(e);
        TRY(http_pause(p->r->http, n, NULL));
        TRY(recover(p, &done));
        if (done)
            return NULL;
        if (p->location && p->sent >= p->furthest + PROGRESS_BYTES) {
            p->furthest = p->sent;
            n = -1;
        }
    }
}

struct err *registry_push_blob(struct registry *r, const struct ref *repo, const struct descriptor *blob,
                               const struct blob_source *source, const char *mount_from, enum blob_result *ret_result)
{
    AUTO(push_release) struct push p;
    bool found = false, mounted = false;

    push_init(&p, r, repo);
    p.blob = blob;
    TRY(has_blob(&p, blob->digest.text, &found));
    if (!found && mount_from && strcmp(mount_from, repo->path) != 0)
        TRY(mount(&p, blob->digest.text, mount_from, &mounted));
    if (!found && !mounted) {
        TRY(source->open(source->ctx, &p.fd, &p.start));
        TRY(err_wrap(upload(&p), "cannot push blob %s to '%s/%s'", blob->digest.text, repo->domain, repo->path));
    }
    *ret_result = found ? BLOB_EXISTED : mounted ? BLOB_MOUNTED : BLOB_UPLOADED;
    return NULL;
}
