/* http_priv.h - what the files of this module share: the client, one exchange, URLs, CA certificates. */
#ifndef HTTP_HTTP_PRIV_H
#define HTTP_HTTP_PRIV_H

#include "base/map.h"
#include "http/http.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdint.h>

/* A handle with the connections it keeps open. It belongs to one thread from worker_take() to worker_give(). */
struct worker {
    CURLM *multi;
    CURL *easy;
    char error[CURL_ERROR_SIZE];
    char *origin; /* where it was last: the connection to there is probably still open */
    struct worker *next;
};

struct host {
    struct http_host_opts opts; /* strings owned */
    struct buf roots;           /* read at the first use if opts.ca_file is set */
};

struct http {
    struct http *base; /* itself; or the client that this is a view of, and then all but `cancel` is there */
    char *user_agent, *ca_file;
    int connect_timeout_ms, stall_timeout_ms, retries, retry_delay_ms;
    _Atomic(const struct cancel *) cancel;
    char *system_roots; /* the bundle that was found, NULL = none */
    struct buf roots;   /* system and extra bundle; empty if there is no extra one: curl reads the file itself then */
    CURLSH *share;      /* DNS answers, for all handles */
    pthread_mutex_t share_lock;
    pthread_mutex_t lock; /* of idle and hosts */
    struct worker *idle;
    struct map *hosts;
};

/* One request with all its attempts. */
struct transfer {
    struct http *h;
    const struct http *asked; /* h, or a view of it: whose cancel ends the transfer */
    const struct http_request *rq;
    struct worker *worker;
    char *url;              /* of this exchange; owned */
    struct http_response r; /* of this exchange */
    size_t header_bytes;
    long proxy_status; /* what a proxy answered to CONNECT; 0 = there was none */
    uint64_t sent;     /* bytes of the body given to curl */
    uint64_t received; /* bytes of the answer's body */
    int64_t window_ms; /* since when, and how many bytes were moved until then: to see what creeps */
    uint64_t window_bytes;
    uint64_t delivered; /* bytes given to the sink, over all attempts */
    uint64_t skip;      /* bytes of this answer that the sink has already */
    char *etag;         /* of the answer whose bytes the sink has; owned */
    bool body_started, truncated;
    bool fresh_dns;    /* the address known so far did not answer */
    int64_t last_ms;   /* when a byte last moved */
    struct err *error; /* of a callback; not worth a retry */
};

/* Makes one exchange, without redirects and retries. *ret_code CURLE_OK: t->r is the answer. The error is one that no
 * retry helps: the sink's, a setting, cancellation. */
MUST_USE struct err *transfer_exchange(struct transfer *t, CURLcode *ret_code);
/* The failure `code` as an error. */
MUST_USE struct err *transfer_error(const struct transfer *t, CURLcode code);
bool transfer_may_retry(const struct transfer *t, CURLcode code);
/* Is it the address where nobody answers, and not a connection that broke? */
bool transfer_unreachable(CURLcode code);

/* ---- scrub.c ---- */
/* Takes what the request carried of secrets (authorisation, keys in headers, signatures in the URL, fields of a form)
 * out of the answer's body, which is an error's text. */
void scrub_answer(struct transfer *t);

/* ---- proxy.c ---- */
/* Tells curl of the environment's proxies what it does not see by itself. */
void proxy_set(struct transfer *t);
/* NO_PROXY as curl takes it, for a request to that URL: the entries that name another port are left out. The caller
 * frees. */
char *proxy_exceptions(const char *no_proxy, const char *url);
/* Was it the proxy where nobody answers? */
bool proxy_unreachable(const struct transfer *t, CURLcode code);

/* ---- spell.c ---- */
/* Appends the ways in which a text may spell a secret: plain, as JSON, percent-encoded, in base64. They are as secret.
 */
void secret_spell(const char *s, size_t n, struct strs *ret);

/* ---- roots.c ---- */
/* The first well-known CA bundle that can be read, or NULL. */
const char *roots_find(void);
/* A bundle of that name in the program's own directory, for images that bring none, or NULL. The caller frees. */
#define ROOTS_BESIDE "ca-certificates.crt"
char *roots_beside(void);
MUST_USE struct err *roots_add_file(const char *path, struct buf *out);

/* ---- url.c ---- */
/* "scheme://host:port" with the port always there; NULL if it is no http(s) URL. The caller frees. */
char *url_origin(const char *url);
bool url_same_origin(const char *a, const char *b);

int64_t http_now_ms(void);

#endif
