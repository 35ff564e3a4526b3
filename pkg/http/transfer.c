/* transfer.c - one exchange with a server: options, callbacks, the waiting. */
#include "http/http_priv.h"

#include "base/limits.h"
#include "base/log.h"

#include <string.h>
#include <strings.h>
#include <time.h>

/* How much longer than between two bytes a registry may think before it answers an upload: it hashes or moves the blob.
 */
#define COMMIT_PATIENCE   10
#define LONG_UPLOAD_BYTES (256 * 1024)
/* A transfer that creeps is as dead as one that stands: so few bytes in so long a time. */
#define SLOW_BYTES (16 * 1024)
#define SLOW_MS    60000

int64_t http_now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static bool has_body(const struct http_request *rq)
{
    return strcmp(rq->method, "POST") == 0 || strcmp(rq->method, "PUT") == 0 || strcmp(rq->method, "PATCH") == 0;
}

/* Only the first failure counts. */
static void fail(struct transfer *t, struct err *e)
{
    if (t->error)
        err_free(e);
    else
        t->error = e;
}

static long status_of(struct transfer *t)
{
    long status = 0;

    curl_easy_getinfo(t->worker->easy, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

/* ---- the answer's headers ---- */

static size_t on_header(char *line, size_t size, size_t n, void *ctx)
{
    struct transfer *t = ctx;
    size_t len = size * n;

    t->last_ms = http_now_ms();
    if (len >= 5 && strncmp(line, "HTTP/", 5) == 0) { /* a new answer: after 100 Continue, or after a repeat by curl */
        strs_release(&t->r.headers);
        t->header_bytes = 0;
        return len;
    }
    t->header_bytes += len;
    if (len > LIMIT_HTTP_HEADER_BYTES || t->header_bytes > LIMIT_HTTP_HEADERS_BYTES) {
        fail(t, err_new(ERR_REGISTRY, "the server's header lines are longer than %d bytes", LIMIT_HTTP_HEADERS_BYTES));
        return 0;
    }
    size_t end = len;
    while (end > 0 && strchr("\r\n \t", line[end - 1]))
        end--;
    const char *colon = memchr(line, ':', end);
    if (!colon)
        return len;
    const char *value = colon + 1;
    while (value < line + end && (*value == ' ' || *value == '\t'))
        value++;
    char *text = xasprintf("%.*s: %.*s", (int)(colon - line), line, (int)(line + end - value), value);
    for (char *p = text; *p && *p != ':'; p++)
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p - 'A' + 'a');
    strs_take(&t->r.headers, text);
    return len;
}

/* ---- the answer's body ---- */

/* May this answer continue what the sink has? A 206 must start right there; a 200 is the whole again. */
static struct err *check_resumed(struct transfer *t, long status)
{
    const char *etag = http_header(&t->r, "etag");
    const char *range = http_header(&t->r, "content-range");
    unsigned long long start = 0;
    AUTO_FREE char *where = http_redact(t->url);

    if (t->etag && etag && strcmp(t->etag, etag) != 0)
        return err_new(ERR_NETWORK, "'%s' changed while it was being read", where);
    if (status != 206) {
        t->skip = t->delivered;
        return NULL;
    }
    if (!range || sscanf(range, "bytes %llu-", &start) != 1 || start != t->delivered)
        return err_new(ERR_NETWORK, "'%s' broke off, and the server cannot continue it where it ended", where);
    return NULL;
}

static struct err *start_body(struct transfer *t, long status)
{
    const char *etag = http_header(&t->r, "etag");

    t->body_started = true;
    if (t->delivered)
        return check_resumed(t, status);
    free(t->etag);
    t->etag = etag ? xstrdup(etag) : NULL;
    return NULL;
}

static struct err *deliver(struct transfer *t, const char *p, size_t n, long status)
{
    if (!t->body_started)
        TRY(start_body(t, status));
    size_t skip = t->skip < n ? (size_t)t->skip : n;
    t->skip -= skip;
    if (n == skip)
        return NULL;
    TRY(sink_write(t->rq->out, p + skip, n - skip));
    t->delivered += n - skip;
    return NULL;
}

static struct err *keep(struct transfer *t, const char *p, size_t n, long status)
{
    bool good = status >= 200 && status < 300;
    size_t max = good ? (t->rq->max_body ? t->rq->max_body : LIMIT_JSON_BYTES) : LIMIT_HTTP_ERROR_BODY_BYTES;
    size_t room = max - t->r.body.len;

    buf_add(&t->r.body, p, n < room ? n : room);
    if (n <= room)
        return NULL;
    if (!good) {
        t->truncated = true;
        return NULL;
    }
    AUTO_FREE char *where = http_redact(t->url);
    return err_new(ERR_REGISTRY, "the answer of '%s' is larger than %zu bytes", where, max);
}

static size_t on_body(char *p, size_t size, size_t n, void *ctx)
{
    struct transfer *t = ctx;
    size_t len = size * n;
    long status = status_of(t);
    bool good = status >= 200 && status < 300;
    struct err *e = good && t->rq->out ? deliver(t, p, len, status) : keep(t, p, len, status);

    t->last_ms = http_now_ms();
    t->received += len;
    if (e) {
        fail(t, e);
        return 0;
    }
    return t->truncated ? 0 : len;
}

/* ---- the request's body ---- */

static size_t on_send(char *p, size_t size, size_t n, void *ctx)
{
    struct transfer *t = ctx;
    const struct http_request *rq = t->rq;
    size_t room = size * n, left = (size_t)(rq->body_len - t->sent);
    size_t want = room < left ? room : left;
    ssize_t got = (ssize_t)want;

    t->last_ms = http_now_ms();
    if (want == 0)
        return 0;
    if (rq->body_fd < 0)
        memcpy(p, (const char *)rq->body + t->sent, want);
    else
        got = TEMP_FAILURE_RETRY(pread(rq->body_fd, p, want, (off_t)(rq->body_offset + t->sent)));
    if (got <= 0) {
        fail(t, got < 0 ? err_sys(errno, "cannot read the file to upload")
                        : err_new(ERR_DISK, "the file to upload is shorter than it should be"));
        return CURL_READFUNC_ABORT;
    }
    t->sent += (uint64_t)got;
    return (size_t)got;
}

static int on_rewind(void *ctx, curl_off_t offset, int origin)
{
    struct transfer *t = ctx;

    if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > t->rq->body_len)
        return CURL_SEEKFUNC_FAIL;
    t->sent = (uint64_t)offset;
    return CURL_SEEKFUNC_OK;
}

/* ---- options ---- */

static struct err *header_add(struct curl_slist **list, const char *line)
{
    for (const char *p = line; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return err_new(ERR_REGISTRY, "a header for the server would contain a control character");
    struct curl_slist *grown = curl_slist_append(*list, line);
    if (!grown)
        return err_new(ERR_POD, "out of memory");
    *list = grown;
    return NULL;
}

static struct err *make_headers(const struct transfer *t, struct curl_slist **list)
{
    const struct http_request *rq = t->rq;

    for (size_t i = 0; i < rq->headers.n; i++)
        TRY(header_add(list, rq->headers.items[i]));
    if (t->delivered) {
        AUTO_FREE char *range = xasprintf("Range: bytes=%llu-", (unsigned long long)t->delivered);
        TRY(header_add(list, range));
    }
    if (has_body(rq) && rq->body_len <= LONG_UPLOAD_BYTES)
        TRY(header_add(list, "Expect:")); /* a short body is sent at once: to wait for a 100 costs a round trip */
    if (rq->authorization && url_same_origin(rq->url, t->url)) {
        AUTO_FREE char *line = xasprintf("Authorization: %s", rq->authorization);
        TRY(header_add(list, line));
        explicit_bzero(line, strlen(line));
    }
    return NULL;
}

static void free_headers(struct curl_slist *list)
{
    for (struct curl_slist *l = list; l; l = l->next)
        if (strncasecmp(l->data, "Authorization:", 14) == 0)
            explicit_bzero(l->data, strlen(l->data));
    curl_slist_free_all(list);
}

static struct err *find_host(struct transfer *t, const struct host **ret_host)
{
    AUTO_FREE char *name = http_host(t->url);
    struct http *h = t->h;
    struct err *e = NULL;

    pthread_mutex_lock(&h->lock);
    struct host *host = map_get(h->hosts, name);
    if (!host && !t->rq->always_verify)
        host = map_get(h->hosts, "*");
    if (host && host->opts.ca_file && !host->roots.len) {
        if (h->roots.len)
            buf_add(&host->roots, h->roots.data, h->roots.len);
        else if (h->system_roots)
            err_free(
                roots_add_file(h->system_roots, &host->roots)); /* unreadable or empty: the extra file alone then */
        e = roots_add_file(host->opts.ca_file, &host->roots);
        if (e)
            buf_release(&host->roots);
    }
    pthread_mutex_unlock(&h->lock);
    TRY(e);
    *ret_host = host;
    return NULL;
}

static struct err *set_tls(struct transfer *t)
{
    CURL *c = t->worker->easy;
    const struct host *host = NULL;

    TRY(find_host(t, &host));
    const struct buf *roots = host && host->roots.len ? &host->roots : &t->h->roots;
    if (roots->len) {
        struct curl_blob blob = { roots->data, roots->len, CURL_BLOB_NOCOPY };
        curl_easy_setopt(c, CURLOPT_CAINFO_BLOB, &blob);
    } else if (t->h->system_roots) {
        curl_easy_setopt(c, CURLOPT_CAINFO, t->h->system_roots);
    }
    if (!host)
        return NULL;
    if (host->opts.skip_tls_verify) {
        curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    if (host->opts.client_cert)
        curl_easy_setopt(c, CURLOPT_SSLCERT, host->opts.client_cert);
    if (host->opts.client_key)
        curl_easy_setopt(c, CURLOPT_SSLKEY, host->opts.client_key);
    return NULL;
}

static void set_method(struct transfer *t)
{
    CURL *c = t->worker->easy;
    const struct http_request *rq = t->rq;

    if (strcmp(rq->method, "HEAD") == 0) {
        curl_easy_setopt(c, CURLOPT_NOBODY, 1L);
    } else if (has_body(rq)) {
        curl_easy_setopt(c, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(c, CURLOPT_INFILESIZE_LARGE, (curl_off_t)rq->body_len);
        curl_easy_setopt(c, CURLOPT_READFUNCTION, on_send);
        curl_easy_setopt(c, CURLOPT_READDATA, t);
        curl_easy_setopt(c, CURLOPT_SEEKFUNCTION, on_rewind);
        curl_easy_setopt(c, CURLOPT_SEEKDATA, t);
        curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, rq->method);
    } else if (strcmp(rq->method, "GET") != 0) {
        curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, rq->method);
    }
}

static int connect_timeout_ms(const struct transfer *t)
{
    return t->rq->connect_timeout_ms > 0 ? t->rq->connect_timeout_ms : t->h->connect_timeout_ms;
}

/* HTTP/2 where the server has it (TLS tells), but not for what is long: its windows and the copying for them make
 * libcurl's uploads slower by more than half, and cost a download a quarter more work (tests/bench/transfer); and one
 * connection carries one transfer anyway. */
static long http_version(const struct http_request *rq)
{
    return rq->long_answer || rq->body_len > LONG_UPLOAD_BYTES ? CURL_HTTP_VERSION_1_1 : CURL_HTTP_VERSION_2TLS;
}

static void set_common(struct transfer *t)
{
    CURL *c = t->worker->easy;

    curl_easy_setopt(c, CURLOPT_URL, t->url);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_HTTP_VERSION, http_version(t->rq));
    curl_easy_setopt(c, CURLOPT_SHARE, t->h->share);
    /* a push stays with the replica whose address it got first, however long it takes, unless nobody answers there */
    curl_easy_setopt(c, CURLOPT_DNS_CACHE_TIMEOUT, t->fresh_dns ? 0L : -1L);
    curl_easy_setopt(c, CURLOPT_QUICK_EXIT, 1L); /* a cancelled look-up is not waited for */
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)connect_timeout_ms(t));
    curl_easy_setopt(c, CURLOPT_USERAGENT, t->h->user_agent);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, t->worker->error);
    curl_easy_setopt(c, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(c, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(c, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(c, CURLOPT_UPLOAD_BUFFERSIZE, 128L * 1024);
    curl_easy_setopt(c, CURLOPT_BUFFERSIZE, 64L * 1024);
}

/* ---- the waiting ---- */

static int stall_timeout_ms(const struct transfer *t)
{
    return t->rq->stall_timeout_ms > 0 ? t->rq->stall_timeout_ms : t->h->stall_timeout_ms;
}

/* Looks once a window. Waiting for an answer, when nothing is to be moved, is stalled()'s business. */
static bool creeps(struct transfer *t)
{
    int64_t now = http_now_ms();
    uint64_t moved = t->sent + t->received;
    bool moving = t->received > 0 || (has_body(t->rq) && t->sent < t->rq->body_len);

    if (now - t->window_ms < SLOW_MS)
        return false;
    bool slow = moving && moved > t->window_bytes && moved - t->window_bytes < SLOW_BYTES;
    t->window_ms = now;
    t->window_bytes = moved;
    return slow;
}

static bool stalled(struct transfer *t)
{
    int64_t limit = stall_timeout_ms(t);

    if (has_body(t->rq) && t->sent == t->rq->body_len)
        limit *= COMMIT_PATIENCE;
    return http_now_ms() - t->last_ms > limit || creeps(t);
}

static CURLcode result_of(CURLM *multi)
{
    int left;
    CURLMsg *m;

    while ((m = curl_multi_info_read(multi, &left)))
        if (m->msg == CURLMSG_DONE)
            return m->data.result;
    return CURLE_FAILED_INIT;
}

static struct err *run(struct transfer *t, CURLcode *ret_code)
{
    CURLM *multi = t->worker->multi;
    int running = 1;

    for (;;) {
        struct curl_waitfd extra = { cancel_fd(t->asked->cancel), CURL_WAIT_POLLIN, 0 };

        TRY(cancel_check(t->asked->cancel));
        if (curl_multi_perform(multi, &running) != CURLM_OK) {
            *ret_code = CURLE_FAILED_INIT;
            return NULL;
        }
        if (!running)
            break;
        if (stalled(t)) {
            *ret_code = CURLE_OPERATION_TIMEDOUT;
            return NULL;
        }
        if (curl_multi_poll(multi, &extra, extra.fd >= 0 ? 1 : 0, 200, NULL) != CURLM_OK) {
            *ret_code = CURLE_FAILED_INIT;
            return NULL;
        }
    }
    *ret_code = result_of(multi);
    return NULL;
}

static void begin(struct transfer *t)
{
    http_response_release(&t->r);
    t->header_bytes = 0;
    t->sent = t->skip = t->received = t->window_bytes = 0;
    t->body_started = t->truncated = false;
    t->worker->error[0] = '\0';
    t->last_ms = http_now_ms() + connect_timeout_ms(t); /* the connection has a time limit of its own */
    t->window_ms = t->last_ms;
    curl_easy_reset(t->worker->easy);
}

static void trace(const struct transfer *t, CURLcode code, int64_t started_ms)
{
    if (log_get_level() < LOG_LEVEL_DEBUG)
        return;
    AUTO_FREE char *where = http_redact(t->url);
    log_debug("http", "%s %s: %s, status %d, %lld ms", t->rq->method, where, code ? curl_easy_strerror(code) : "ok",
              t->r.status, (long long)(http_now_ms() - started_ms));
}

struct err *transfer_exchange(struct transfer *t, CURLcode *ret_code)
{
    struct curl_slist *headers = NULL;
    CURLcode code = CURLE_FAILED_INIT;
    int64_t started_ms = http_now_ms();

    begin(t);
    set_common(t);
    set_method(t);
    proxy_set(t);
    struct err *e = set_tls(t);
    if (!e)
        e = make_headers(t, &headers);
    if (!e) {
        curl_easy_setopt(t->worker->easy, CURLOPT_HTTPHEADER, headers);
        curl_multi_add_handle(t->worker->multi, t->worker->easy);
        e = run(t, &code);
        t->r.status = (int)status_of(t);
        t->proxy_status = 0;
        curl_easy_getinfo(t->worker->easy, CURLINFO_HTTP_CONNECTCODE, &t->proxy_status);
        curl_multi_remove_handle(t->worker->multi, t->worker->easy);
    }
    free_headers(headers);
    if (!e && t->error)
        e = steal(&t->error);
    if (!e && t->truncated && code == CURLE_WRITE_ERROR)
        code = CURLE_OK; /* enough of an error's text was read */
    if (t->r.status < 200 || t->r.status >= 300)
        scrub_answer(t);
    trace(t, code, started_ms);
    TRY(e);
    if (t->delivered && t->r.status == 206)
        t->r.status = 200; /* the rest of what a 200 began */
    t->r.url = xstrdup(t->url);
    *ret_code = code;
    return NULL;
}

/* ---- failures ---- */

/* A proxy that refuses us, and not because it cannot do otherwise just now. */
static bool refused_by_proxy(const struct transfer *t)
{
    return t->proxy_status >= 400 && t->proxy_status < 500 && t->proxy_status != 408 && t->proxy_status != 429;
}

/* curl's text goes on with the proxy's URL, and its password in it. */
static bool is_bad_proxy(const struct transfer *t)
{
    return strstr(t->worker->error, "nsupported proxy") != NULL;
}

/* The server said in TLS why it does not want us. In TLS 1.3 that comes after the handshake. */
static bool refused_by_tls(const struct transfer *t)
{
    return strstr(t->worker->error, "SSL") && strstr(t->worker->error, " alert ");
}

bool transfer_may_retry(const struct transfer *t, CURLcode code)
{
    if (refused_by_proxy(t) || refused_by_tls(t) || is_bad_proxy(t))
        return false;
    switch ((int)code) {
    case CURLE_SSL_CONNECT_ERROR: /* a reset in the handshake, but not a server that speaks something else */
        return !strstr(t->worker->error, "wrong version number");
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_PARTIAL_FILE:
    case CURLE_HTTP2:        /* the connection was closed or broken inside of its protocol */
    case CURLE_HTTP2_STREAM: /* the server gave this one up */
        return true;
    default:
        return false;
    }
}

bool transfer_unreachable(CURLcode code)
{
    return code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_OPERATION_TIMEDOUT ||
           code == CURLE_SSL_CONNECT_ERROR;
}

static const char *hint_of(const struct transfer *t, CURLcode code)
{
    if (is_bad_proxy(t))
        return "Write HTTPS_PROXY, HTTP_PROXY or ALL_PROXY as http://[USER:PASSWORD@]HOST:PORT, percent-encoded.";
    if (t->proxy_status == 407)
        return "The proxy wants a user and a password, or others: HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT, "
               "percent-encoded.";
    if (refused_by_proxy(t))
        return "The proxy does not let this pod reach that host: allow it there, or name the host in NO_PROXY.";
    if (proxy_unreachable(t, code))
        return "That is the proxy of HTTPS_PROXY, HTTP_PROXY or ALL_PROXY: check its address, and that the pod may "
               "reach it, or name the host in NO_PROXY.";
    if (refused_by_tls(t) && strstr(t->worker->error, "certificate"))
        return "The server wants a client certificate, or another one: give its certificate and key for that host.";
    switch ((int)code) {
    case CURLE_COULDNT_RESOLVE_HOST:
        return "Check the host's name, and that the pod may ask its DNS server.";
    case CURLE_COULDNT_RESOLVE_PROXY:
        return "Check the proxy's name in HTTPS_PROXY or HTTP_PROXY.";
    case CURLE_COULDNT_CONNECT:
    case CURLE_OPERATION_TIMEDOUT:
        return "Check that the pod's network policy or firewall allows the connection, or set HTTPS_PROXY and "
               "NO_PROXY.";
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
        if (!t->h->system_roots && !t->h->roots.len)
            return "No CA certificates were found in this container (SSL_CERT_FILE, "
                   "/etc/ssl/certs/ca-certificates.crt, "
                   "/etc/pki/tls/certs/ca-bundle.crt, /etc/ssl/cert.pem): mount a bundle at one of these places.";
        return "If the server's certificate comes from a private CA, give that CA's certificate to the step.";
    case CURLE_SSL_CONNECT_ERROR:
        if (strstr(t->worker->error, "wrong version number"))
            return "The server speaks plain HTTP on that port: declare the registry insecure, or use its TLS port.";
        return "Check that the server speaks TLS 1.2 or later on that port, and whether it wants a client certificate.";
    case CURLE_SSL_CERTPROBLEM:
        return "Check the client certificate and key that were given for this host (PEM files that belong together).";
    default:
        return NULL;
    }
}

static struct err *reason_of(const struct transfer *t, CURLcode code)
{
    const char *text = t->worker->error[0] ? t->worker->error : curl_easy_strerror(code);

    if (code == CURLE_OPERATION_TIMEDOUT && !t->worker->error[0])
        return err_new(ERR_NETWORK, "no byte came or went for %d s", stall_timeout_ms(t) / 1000);
    if (is_bad_proxy(t))
        return err_new(ERR_SETTING, "the proxy's address is of no form that is known");
    if (code == CURLE_PEER_FAILED_VERIFICATION)
        return err_new(ERR_NETWORK, "the server's TLS certificate cannot be trusted: %s", text);
    return err_new(ERR_NETWORK, "%s", text);
}

struct err *transfer_error(const struct transfer *t, CURLcode code)
{
    AUTO_FREE char *where = http_redact(t->url);
    const char *hint = hint_of(t, code);
    struct err *e = err_wrap(reason_of(t, code), "%s of '%s' failed", t->rq->method, where);

    return hint ? err_hint(e, "%s", hint) : e;
}
