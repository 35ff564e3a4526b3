/* upload.c - upload sessions: what is sent in them, and how they go on after a break. The blob is a file that is there,
 * or one that grows while it is sent. */
#include "base/limits.h"
#include "base/log.h"
#include "registry/push_priv.h"

#include <inttypes.h>
#include <string.h>
#include <strings.h>

/* Up to there the blob goes with the closing PUT and saves a request; above it some registries refuse that. */
#define WHOLE_PUT_BYTES ((uint64_t)1024 * 1024)
/* After a break an upload goes on in such pieces. */
#define PIECE_BYTES ((uint64_t)16 * 1024 * 1024)
/* Of a blob that grows no more than that goes at once, however much there is: what a break may cost. */
#define GROWING_PIECE_BYTES ((uint64_t)64 * 1024 * 1024)
/* So long nobody waits for the end of a session that is given up. */
#define ABANDON_MS 2000
/* So often a session in which nothing moves is continued before another is begun. */
#define SESSION_TRIES  1
#define PROGRESS_BYTES ((uint64_t)1024 * 1024)
/* A session that was kept for longer may have ended, which would cost more than a new one. */
#define KEPT_UPLOAD_MS 60000

/* ---- sessions ---- */

/* A registry behind a proxy that ends TLS often gives its Location as http://: same host, so the scheme is ours. */
struct err *push_take_location(struct push *p, const struct http_response *a)
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

/* Also when the build was told to stop. Nobody depends on what comes of it: it may need a right of its own, and
 * sessions end by themselves. */
static void abandon(const struct push *p)
{
    AUTO(registry_free) struct registry *alone = registry_with_cancel(p->r, NULL);
    struct call c = push_call(p, "DELETE", p->location);
    AUTO(http_response_release) struct http_response a = { 0 };

    c.r = alone;
    c.rq.no_retry = true;
    c.rq.connect_timeout_ms = c.rq.stall_timeout_ms = ABANDON_MS;
    c.once = true;
    err_free(call_perform(&c, &a));
}

void push_release(struct push *p)
{
    if (p->location)
        abandon(p);
    close_fd(&p->fd);
    free(p->scope);
    free(p->location);
}

static void forget_session(struct push *p)
{
    free(p->location);
    p->location = NULL;
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
    return push_take_location(p, &a);
}

/* A session that was begun before: one request less. */
static bool take_kept(struct push *p)
{
    struct registry *r = p->r->base;
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

void push_keep(struct push *p)
{
    struct registry *r = p->r->base;

    pthread_mutex_lock(&r->lock);
    if (!r->kept.location) {
        free(r->kept.repo);
        r->kept = (struct kept_upload){ p->ep, xstrdup(p->repo), steal(&p->location), token_now_ms() };
    }
    pthread_mutex_unlock(&r->lock);
}

void registry_end_push(struct registry *r)
{
    pthread_mutex_lock(&r->lock);
    AUTO_FREE char *location = steal(&r->kept.location);
    pthread_mutex_unlock(&r->lock);
    if (!location)
        return;
    const struct ref repo = { .domain = r->kept.ep->host, .path = r->kept.repo }; /* both are a check's alone */
    AUTO(push_release) struct push p;

    push_init(&p, r, &repo);
    p.location = steal(&location);
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

/* One PATCH: all that is left, or a piece of it. A part needs this header, which has no unit and no total, unlike its
 * namesake of RFC 7233. */
static struct err *send_piece(struct push *p, bool *ret_again)
{
    struct call c = push_call(p, "PATCH", p->location);
    AUTO(http_response_release) struct http_response a = { 0 };
    uint64_t left = p->size - p->sent, len = p->piece && p->piece < left ? p->piece : left;

    give_file(p, &c, len);
    if (p->grows || len < p->size)
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
    return http_header(&a, "location") ? push_take_location(p, &a) : NULL;
}

static struct err *finish(struct push *p, bool *ret_again)
{
    char separator = strchr(p->location, '?') ? '&' : '?';
    AUTO_FREE char *url = xasprintf("%s%cdigest=%s", p->location, separator, p->digest);
    struct call c = push_call(p, "PUT", url);
    AUTO(http_response_release) struct http_response a = { 0 };

    if (p->sent < p->size)
        give_file(p, &c, p->size - p->sent);
    struct err *e = call_perform(&c, &a);
    strs_release(&c.rq.headers);
    *ret_again = e && err_kind(e) == ERR_NETWORK;
    TRY(e);
    if (a.status == 201 || a.status == 204) {
        forget_session(p);
        return NULL;
    }
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
        e = push_take_location(p, &a);
    bool good = !e && a.status == 204 && range && sscanf(range, "0-%llu", &last) == 1 && last < p->size;
    err_free(e); /* then the session is no use */
    if (good)
        p->sent = last > 0 ? last + 1 : 0; /* "0-0" is also what an empty session says */
    return good;
}

static struct err *upload_once(struct push *p, bool *ret_again)
{
    *ret_again = false;
    if (!p->location && !take_kept(p))
        TRY(push_start(p));
    while ((p->grows || p->size > WHOLE_PUT_BYTES) && p->sent < p->size)
        TRY(send_piece(p, ret_again));
    return p->digest ? finish(p, ret_again) : NULL;
}

static const char *name_of(const struct push *p)
{
    return p->digest ? p->digest : "a blob that grows";
}

/* After a failure: has it arrived after all, can the session go on, or must it begin again? From now on in pieces, so
 * that the next break costs one of them. */
static struct err *recover(struct push *p, bool *ret_done)
{
    if (p->digest)
        TRY(push_has_blob(p, p->digest, ret_done));
    if (*ret_done)
        return NULL;
    p->piece = PIECE_BYTES;
    uint64_t before = p->sent;
    if (p->location && !p->distrusted && p->stuck < SESSION_TRIES && can_continue(p)) {
        p->stuck = p->sent > before ? 0 : p->stuck + 1;
        log_debug("registry", "upload of %s goes on at byte %" PRIu64, name_of(p), p->sent);
        return NULL;
    }
    p->distrusted = false;
    p->stuck = 0;
    forget_session(p);
    return NULL;
}

/* A break costs a try, unless the upload got further than ever before: long ones break more often. */
struct err *push_send(struct push *p)
{
    int tries = LIMIT_UPLOAD_RESTARTS + p->r->more_push_tries;

    for (int n = 0;; n++) {
        bool again = false, done = false;
        struct err *e = upload_once(p, &again);

        if (!e || !again || n >= tries)
            return e;
        log_debug("registry", "upload of %s broke: %s", name_of(p), err_message(e));
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

/* ---- blobs that grow ---- */

struct upload {
    struct push p;
};

struct upload *upload_new(struct registry *r, const struct ref *repo, int fd)
{
    struct upload *u = xcalloc(1, sizeof(*u));

    push_init(&u->p, r, repo);
    u->p.fd = fd;
    u->p.grows = true;
    u->p.piece = GROWING_PIECE_BYTES;
    return u;
}

struct err *upload_send(struct upload *u, uint64_t size_bytes)
{
    u->p.size = size_bytes;
    return push_send(&u->p);
}

struct err *upload_end(struct upload *u, const struct descriptor *blob)
{
    u->p.digest = blob->digest.text;
    struct err *e = upload_send(u, blob->size_bytes);

    u->p.digest = NULL;
    return e;
}

void upload_free(struct upload *u)
{
    if (!u)
        return;
    push_release(&u->p);
    free(u);
}
