#include "http/http_priv.h"

#include "base/limits.h"
#include "base/log.h"

#include <poll.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <time.h>

#define DEFAULT_CONNECT_TIMEOUT_MS 10000
#define DEFAULT_STALL_TIMEOUT_MS   30000
#define DEFAULT_RETRY_DELAY_MS     1000
/* A download that got so much further has earned its retries anew: long ones break more often. */
#define PROGRESS_BYTES ((uint64_t)1024 * 1024)

/* ---- the client ---- */

static void host_free(void *p)
{
    struct host *host = p;

    free((char *)host->opts.ca_file);
    free((char *)host->opts.client_cert);
    free((char *)host->opts.client_key);
    buf_release(&host->roots);
    free(host);
}

static void share_lock(CURL *c, curl_lock_data data, curl_lock_access access, void *ctx)
{
    struct http *h = ctx;

    (void)c, (void)data, (void)access;
    pthread_mutex_lock(&h->share_lock);
}

static void share_unlock(CURL *c, curl_lock_data data, void *ctx)
{
    struct http *h = ctx;

    (void)c, (void)data;
    pthread_mutex_unlock(&h->share_lock);
}

static void init_curl(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

static struct err *load_roots(struct http *h)
{
    const char *found = roots_find(); /* may be a piece of the environment, which may change */
    AUTO_FREE char *beside = roots_beside();

    h->system_roots = found ? xstrdup(found) : NULL;
    if (!h->ca_file && !beside)
        return NULL;
    if (h->system_roots)
        err_free(roots_add_file(h->system_roots, &h->roots)); /* an empty bundle of the image is none */
    if (beside)
        TRY(roots_add_file(beside, &h->roots));
    return h->ca_file ? roots_add_file(h->ca_file, &h->roots) : NULL;
}

struct err *http_new(const struct http_opts *opts, struct http **ret)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    AUTO(http_free) struct http *h = xcalloc(1, sizeof(*h));

    pthread_once(&once, init_curl);
    h->base = h;
    pthread_mutex_init(&h->lock, NULL);
    pthread_mutex_init(&h->share_lock, NULL);
    h->user_agent = xstrdup(opts->user_agent ? opts->user_agent : "copyup");
    h->ca_file = opts->ca_file && *opts->ca_file ? xstrdup(opts->ca_file) : NULL;
    h->connect_timeout_ms = opts->connect_timeout_ms > 0 ? opts->connect_timeout_ms : DEFAULT_CONNECT_TIMEOUT_MS;
    h->stall_timeout_ms = opts->stall_timeout_ms > 0 ? opts->stall_timeout_ms : DEFAULT_STALL_TIMEOUT_MS;
    h->retries = opts->retries >= 0 ? opts->retries : HTTP_DEFAULT_RETRIES;
    h->retry_delay_ms = opts->retry_delay_ms > 0 ? opts->retry_delay_ms : DEFAULT_RETRY_DELAY_MS;
    h->cancel = opts->cancel;
    h->hosts = map_new(host_free);
    h->share = curl_share_init();
    if (!h->share)
        return err_new(ERR_POD, "out of memory");
    curl_share_setopt(h->share, CURLSHOPT_LOCKFUNC, share_lock);
    curl_share_setopt(h->share, CURLSHOPT_UNLOCKFUNC, share_unlock);
    curl_share_setopt(h->share, CURLSHOPT_USERDATA, h);
    curl_share_setopt(h->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS);
    TRY(load_roots(h));
    *ret = steal(&h);
    return NULL;
}

static void worker_free(struct worker *w)
{
    curl_easy_cleanup(w->easy);
    curl_multi_cleanup(w->multi);
    free(w->origin);
    free(w);
}

void http_free(struct http *h)
{
    if (!h)
        return;
    if (h->base != h) {
        free(h);
        return;
    }
    while (h->idle) {
        struct worker *w = h->idle;

        h->idle = w->next;
        worker_free(w);
    }
    curl_share_cleanup(h->share);
    pthread_mutex_destroy(&h->share_lock);
    pthread_mutex_destroy(&h->lock);
    map_free(h->hosts);
    buf_release(&h->roots);
    free(h->user_agent);
    free(h->ca_file);
    free(h->system_roots);
    free(h);
}

struct http *http_with_cancel(struct http *h, const struct cancel *cancel)
{
    struct http *view = xcalloc(1, sizeof(*view));

    view->base = h->base;
    view->cancel = cancel;
    return view;
}

static char *copy_or_null(const char *s)
{
    return s && *s ? xstrdup(s) : NULL;
}

void http_set_host(struct http *h, const char *host, const struct http_host_opts *opts)
{
    struct host *copy = xcalloc(1, sizeof(*copy));

    copy->opts.skip_tls_verify = opts->skip_tls_verify;
    copy->opts.ca_file = copy_or_null(opts->ca_file);
    copy->opts.client_cert = copy_or_null(opts->client_cert);
    copy->opts.client_key = copy_or_null(opts->client_key);
    pthread_mutex_lock(&h->base->lock);
    map_set(h->base->hosts, host, copy);
    pthread_mutex_unlock(&h->base->lock);
}

/* ---- the pool ---- */

static struct worker *worker_new(void)
{
    struct worker *w = xcalloc(1, sizeof(*w));

    w->easy = curl_easy_init();
    w->multi = curl_multi_init();
    if (!w->easy || !w->multi)
        abort(); /* only for want of memory */
    curl_multi_setopt(w->multi, CURLMOPT_MAXCONNECTS, 4L);
    return w;
}

/* An idle handle that was at that place before, else any, else a new one. */
static struct worker *worker_take(struct http *h, const char *origin)
{
    pthread_mutex_lock(&h->lock);
    struct worker **at = &h->idle;
    for (struct worker **p = &h->idle; *p; p = &(*p)->next) {
        if (origin && (*p)->origin && strcmp((*p)->origin, origin) == 0) {
            at = p;
            break;
        }
    }
    struct worker *w = *at;
    if (w)
        *at = w->next;
    pthread_mutex_unlock(&h->lock);
    return w ? w : worker_new();
}

static void worker_give(struct http *h, struct worker *w, char *origin)
{
    free(w->origin);
    w->origin = origin;
    curl_easy_reset(w->easy); /* forgets headers and callbacks, keeps the connections */
    pthread_mutex_lock(&h->lock);
    w->next = h->idle;
    h->idle = w;
    pthread_mutex_unlock(&h->lock);
}

/* ---- retries ---- */

static int with_jitter(int ms)
{
    unsigned random = 0;

    if (getrandom(&random, sizeof(random), GRND_NONBLOCK) < 0)
        random = (unsigned)http_now_ms();
    return ms / 2 + (int)(random % ((unsigned)ms / 2 + 1));
}

/* From a date of HTTP to the next; the server's own clock tells when it is now, if it says. */
static int64_t seconds_until(const struct http_response *a, const char *date)
{
    const char *now = http_header(a, "date");
    time_t from = now ? curl_getdate(now, NULL) : -1, to = curl_getdate(date, NULL);

    return to < 0 ? 0 : (int64_t)to - (int64_t)(from < 0 ? time(NULL) : from);
}

/* Retry-After: seconds, or a date (RFC 9110 section 10.2.3). 0 = it says nothing. */
static int asked_delay_ms(const struct http_response *last)
{
    const char *text = last ? http_header(last, "retry-after") : NULL;
    int64_t s = 0;

    if (!text)
        return 0;
    if (*text && text[strspn(text, "0123456789")] == '\0')
        s = strtoll(text, NULL, 10);
    else
        s = seconds_until(last, text);
    if (s <= 0)
        return 0;
    return s > LIMIT_HTTP_WAIT_MS / 1000 ? LIMIT_HTTP_WAIT_MS : (int)s * 1000;
}

void http_set_cancel(struct http *h, const struct cancel *cancel)
{
    h->cancel = cancel;
}

struct err *http_pause(const struct http *h, int attempt, const struct http_response *last)
{
    int64_t delay = (int64_t)h->base->retry_delay_ms << (attempt < 10 ? attempt : 10);
    int asked = asked_delay_ms(last);
    int64_t end;

    if (delay > LIMIT_HTTP_WAIT_MS / 2)
        delay = LIMIT_HTTP_WAIT_MS / 2;
    end = http_now_ms() + (asked ? asked : with_jitter((int)delay));
    for (;;) {
        int64_t left = end - http_now_ms();
        struct pollfd p = { cancel_fd(h->cancel), POLLIN, 0 };

        TRY(cancel_check(h->cancel));
        if (left <= 0)
            return NULL;
        (void)poll(&p, 1, (int)left); /* poll skips descriptor -1; EINTR only makes us look again */
    }
}

static bool status_may_retry(int status)
{
    return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 || status == 504;
}

/* ---- redirects ---- */

static bool stays(const char *url, const char *location)
{
    AUTO_FREE char *next = NULL;
    struct err *e = http_resolve(url, location, &next);
    bool good = !e && url_same_origin(url, next);

    err_free(e); /* what cannot be followed is returned */
    return good;
}

static bool is_redirect(const struct transfer *t)
{
    int status = t->r.status;
    const char *location = http_header(&t->r, "location");

    if (!location || (t->rq->own_origin && !stays(t->url, location)))
        return false;
    if (status == 307 || status == 308)
        return true;
    /* to these a client answers with GET, which is not what was asked for an upload: let the caller see them */
    return (status == 301 || status == 302 || status == 303) &&
           (strcmp(t->rq->method, "GET") == 0 || strcmp(t->rq->method, "HEAD") == 0);
}

/* One attempt: the request and the redirects from it. Starts at the original URL each time, as signed ones expire. */
static struct err *attempt(struct transfer *t, CURLcode *ret_code)
{
    free(t->url);
    t->url = xstrdup(t->rq->url);
    for (int n = 0; n <= LIMIT_HTTP_REDIRECTS; n++) {
        char *next = NULL;

        TRY(transfer_exchange(t, ret_code));
        if (*ret_code != CURLE_OK || !is_redirect(t))
            return NULL;
        TRY(http_resolve(t->url, http_header(&t->r, "location"), &next));
        free(t->url);
        t->url = next;
    }
    AUTO_FREE char *where = http_redact(t->rq->url);
    return err_new(ERR_REGISTRY, "'%s' redirects more than %d times", where, LIMIT_HTTP_REDIRECTS);
}

static struct err *perform(struct transfer *t)
{
    int retries = t->rq->no_retry ? 0 : t->h->retries + t->rq->more_retries;
    uint64_t before = t->delivered;

    for (int n = 0;; n++) {
        CURLcode code = CURLE_OK;

        TRY(attempt(t, &code));
        bool again = code == CURLE_OK ? status_may_retry(t->r.status) : transfer_may_retry(t, code);
        if (t->delivered - before > PROGRESS_BYTES)
            n = 0;
        before = t->delivered;
        if (!again || n >= retries)
            return code == CURLE_OK ? NULL : transfer_error(t, code);
        t->fresh_dns = transfer_unreachable(code);
        TRY(http_pause(t->asked, n, &t->r));
    }
}

struct err *http_perform(struct http *h, const struct http_request *rq, struct http_response *ret)
{
    AUTO_FREE char *origin = url_origin(rq->url);
    struct transfer t = { .h = h->base, .asked = h, .rq = rq, .delivered = rq->resume_from };

    if (!origin) {
        AUTO_FREE char *where = http_redact(rq->url);
        return err_new(ERR_SETTING, "'%s' is not an http or https URL", where);
    }
    TRY(cancel_check(h->cancel));
    t.worker = worker_take(t.h, origin);
    struct err *e = perform(&t);
    worker_give(t.h, t.worker, steal(&origin));
    free(t.url);
    free(t.etag);
    err_free(t.error);
    if (e) {
        http_response_release(&t.r);
        return e;
    }
    *ret = t.r;
    return NULL;
}

/* ---- answers ---- */

const char *http_header(const struct http_response *r, const char *name)
{
    size_t len = strlen(name);

    for (size_t i = 0; i < r->headers.n; i++)
        if (strncmp(r->headers.items[i], name, len) == 0 && r->headers.items[i][len] == ':')
            return r->headers.items[i] + len + 2;
    return NULL;
}

void http_response_release(struct http_response *r)
{
    buf_release(&r->body);
    strs_release(&r->headers);
    free(r->url);
    *r = (struct http_response){ 0 };
}
