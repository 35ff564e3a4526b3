/* http.h - HTTP requests over libcurl: TLS roots, proxies, retries with back-off, redirects without leaking
 * Authorization, bounded answers, cancellation, redaction of URLs in messages. Knows no registry and no token. The only
 * module that includes curl. Thread-safe: a client may be used by several threads at once (each request takes a handle
 * from its pool). */
#ifndef HTTP_HTTP_H
#define HTTP_HTTP_H

#include "base/buf.h"
#include "base/cancel.h"
#include "base/sink.h"
#include "base/strs.h"

#include <stdbool.h>
#include <stdint.h>

#define HTTP_DEFAULT_RETRIES 4

struct http_opts {
    const char *user_agent;
    const char *ca_file;    /* extra CA bundle, NULL = the system's well-known places (and SSL_CERT_FILE) */
    int connect_timeout_ms; /* 0 = 10 s */
    int stall_timeout_ms;   /* no byte for that long, or next to none in a minute: retry; 0 = 30 s */
    int retries;            /* attempts after the first; < 0 = the default */
    int retry_delay_ms;     /* before the first retry, doubled for each further one; 0 = 1 s */
    const struct cancel *cancel;
};

struct http;
MUST_USE struct err *http_new(const struct http_opts *opts, struct http **ret);
void http_free(struct http *h);
DEFINE_CLEANUP(struct http *, http_free);

/* From now on another one stops requests, also those under way: for what may still be done after the first was raised.
 * It must outlive them. */
void http_set_cancel(struct http *h, const struct cancel *cancel);
/* The same client, with its connections and all that it knows, for requests that end when `cancel` is raised, and not
 * when the client's own is; NULL: by themselves alone. h must outlive it. */
struct http *http_with_cancel(struct http *h, const struct cancel *cancel);

struct http_host_opts {
    bool skip_tls_verify;
    const char *ca_file; /* for this host only */
    const char *client_cert, *client_key;
};
/* TLS options for one "host[:port]" (without the port that its scheme implies), or "*" for all hosts that have none of
 * their own; before the first request. Strings are copied. */
void http_set_host(struct http *h, const char *host, const struct http_host_opts *opts);

struct http_request {
    const char *method; /* "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE" */
    const char *url;
    struct strs headers;       /* "Name: value" */
    const char *authorization; /* value of Authorization, NULL = none; sent to this host only, never after a redirect to
                                  another */
    const void *body;          /* small body, or NULL */
    size_t body_len;
    int body_fd; /* else a file's descriptor: body_len bytes from offset body_offset; -1 = none */
    uint64_t body_offset;
    const struct sink *out; /* where the body of a 2xx answer goes; NULL = kept in response.body */
    uint64_t resume_from;   /* bytes that `out` has already got from an earlier request: only the rest goes there */
    size_t max_body;        /* of a kept body; 0 = LIMIT_JSON_BYTES */
    bool long_answer;       /* the answer's body is large: by HTTP/1.1, which moves it with less work */
    bool no_retry;
    int more_retries;   /* beside the client's */
    bool own_origin;    /* the body is a secret: an answer that leads to another origin is not followed but returned */
    bool always_verify; /* check the certificate also where all hosts ("*") are said to be trusted unchecked */
    int connect_timeout_ms; /* instead of the client's; 0 = the client's */
    int stall_timeout_ms;
    bool no_proxy; /* never through a proxy (metadata services of the node) */
};

struct http_response {
    int status;
    struct buf body; /* kept body: all of it if 2xx, at most LIMIT_HTTP_ERROR_BODY_BYTES of an error, without secrets
                        that the request carried */
    struct strs headers; /* "name: value", names lower-case, of the final answer */
    char *url;           /* where it came from in the end */
};

/* Performs it. An HTTP status is a result (also 4xx, 5xx once retries are used up); errors are ERR_NETWORK (name
 * resolution, connect, TLS, cut body), with what to check, or the sink's own, or cancel's. Retried: 408, 429, 500, 502,
 * 503, 504, connection failures; Retry-After (seconds or a date) is honoured up to 60 s. With `out`, a body that breaks
 * in the middle is resumed by Range where the server allows it, else ERR_NETWORK: the sink never sees a byte twice. */
MUST_USE struct err *http_perform(struct http *h, const struct http_request *rq, struct http_response *ret);
/* The first header of that (lower-case) name, or NULL. Borrowed. */
const char *http_header(const struct http_response *r, const char *name);
void http_response_release(struct http_response *r);
static inline void http_response_release_auto(struct http_response *r)
{
    http_response_release(r);
}
/* Sleeps as long as before retry number `attempt` (0 = the first): exponential with jitter, or what Retry-After of
 * `last` says (may be NULL). For callers that repeat more than one request. Fails only when cancelled. */
MUST_USE struct err *http_pause(const struct http *h, int attempt, const struct http_response *last);
/* The absolute URL of a Location header's value, seen from the URL that it came from. ERR_REGISTRY if it is none, if it
 * leads from https to http, or to another protocol. The caller frees. */
MUST_USE struct err *http_resolve(const char *base, const char *location, char **ret_url);
/* Percent-encodes everything but unreserved characters: for form fields and queries. The caller frees. */
char *http_escape(const char *s);
/* Appends NAME=VALUE, percent-encoded, with '&' in front if something is there. */
void http_form_add(struct buf *form, const char *name, const char *value);
/* POSTs a form that holds secrets, which it wipes and empties: they are sent to that origin only. The answer's body is
 * at most LIMIT_TOKEN_BYTES; the caller wipes it. always_verify: as in a request. */
MUST_USE struct err *http_post_form(struct http *h, const char *url, struct buf *form, bool always_verify,
                                    struct http_response *ret);
/* "host[:port]" of a URL in lower case, without the port that its scheme implies; "" if it is none. The caller frees.
 */
char *http_host(const char *url);
/* The URL without user info, query and fragment: for messages. The caller frees. */
char *http_redact(const char *url);

#endif
