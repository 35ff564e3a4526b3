#include "registry/registry_priv.h"

#include "base/log.h"

#include <string.h>
#include <strings.h>

/* How long a server may take to show by which protocol it is reached. */
#define PROBE_MS 5000

/* ---- the registry ---- */

static void endpoint_free(void *p)
{
    struct endpoint *ep = p;

    free(ep->base);
    free(ep->host);
    free(ep->realm);
    free(ep->service);
    free(ep->used);
    map_free(ep->tokens);
    map_free(ep->anonymous);
    map_free(ep->asking);
    pthread_cond_destroy(&ep->asked);
    pthread_mutex_destroy(&ep->lock);
    free(ep);
}

struct err *registry_new(const struct registry_opts *opts, struct registry **ret)
{
    struct registry *r = xcalloc(1, sizeof(*r));

    r->base = r;
    r->http = opts->http;
    r->auth = opts->auth;
    strs_copy(&r->insecure, &opts->insecure);
    strs_copy(&r->mirrors, &opts->mirrors);
    r->insecure_pull = opts->insecure_pull;
    r->no_mirror_fallback = opts->no_mirror_fallback;
    r->more_pull_tries = opts->more_pull_tries;
    r->more_push_tries = opts->more_push_tries;
    r->endpoints = map_new(endpoint_free);
    r->schemes = map_new(NULL);
    pthread_mutex_init(&r->lock, NULL);
    pthread_mutex_init(&r->probe_lock, NULL);
    *ret = r;
    return NULL;
}

struct registry *registry_with_cancel(struct registry *r, const struct cancel *cancel)
{
    struct registry *view = xcalloc(1, sizeof(*view));

    view->base = r->base;
    view->http = http_with_cancel(r->http, cancel);
    view->auth = r->auth;
    view->insecure = r->insecure; /* borrowed */
    view->mirrors = r->mirrors;
    view->insecure_pull = r->insecure_pull;
    view->no_mirror_fallback = r->no_mirror_fallback;
    view->more_pull_tries = r->more_pull_tries;
    view->more_push_tries = r->more_push_tries;
    return view;
}

void registry_free(struct registry *r)
{
    if (!r)
        return;
    if (r->base != r) {
        http_free(r->http);
        free(r);
        return;
    }
    for (size_t i = 0; i < r->expected.n; i++)
        expected_free(r->expected.items[i]);
    vec_free(&r->expected);
    strs_release(&r->insecure);
    strs_release(&r->mirrors);
    map_free(r->endpoints);
    map_free(r->schemes);
    free(r->kept.repo);
    free(r->kept.location);
    pthread_mutex_destroy(&r->lock);
    pthread_mutex_destroy(&r->probe_lock);
    free(r);
}

/* ---- plain HTTP ---- */

static bool listed(const struct strs *hosts, const char *domain)
{
    for (size_t i = 0; i < hosts->n; i++) {
        const char *scheme = strstr(hosts->items[i], "://");
        const char *name = scheme ? scheme + 3 : hosts->items[i];
        size_t n = strcspn(name, "/");

        if (strlen(domain) == n && strncasecmp(name, domain, n) == 0)
            return true;
    }
    return false;
}

/* A mirror that is written with http:// is one of them. */
static bool is_plain_mirror(const struct registry *r, const char *domain)
{
    for (size_t i = 0; i < r->mirrors.n; i++) {
        const char *eq = strchr(r->mirrors.items[i], '=');
        const char *start = eq && strncmp(eq + 1, "http://", 7) == 0 ? eq + 8 : "";
        size_t n = strcspn(start, "/");

        if (n && strlen(domain) == n && strncasecmp(start, domain, n) == 0)
            return true;
    }
    return false;
}

/* Docker Hub has no plain HTTP, and tokens of Azure never go that way. */
static bool may_be_plain(const struct registry *r, const char *known, const char *domain, bool for_pull)
{
    if (strcmp(known, "docker.io") == 0 || auth_is_azure(known))
        return false;
    return (for_pull && r->insecure_pull) || listed(&r->insecure, domain) || is_plain_mirror(r, domain);
}

static bool is_loopback(const char *host)
{
    return strncmp(host, "127.", 4) == 0 || strncmp(host, "[::1]", 5) == 0 || strncasecmp(host, "localhost", 9) == 0;
}

static bool is_stop(const struct err *e)
{
    return err_kind(e) == ERR_TERMINATED || err_kind(e) == ERR_TIMEOUT;
}

/* Does something there speak that? Servers of HTTPS answer to plain HTTP with 400 and a word about it. *ret_stopped: it
 * could not be asked. */
static bool speaks(struct registry *r, const char *scheme, const char *domain, bool *ret_stopped)
{
    AUTO_FREE char *url = xasprintf("%s://%s/v2/", scheme, domain);
    AUTO(http_response_release) struct http_response a = { 0 };
    const struct http_request rq = { .method = "GET",
                                     .url = url,
                                     .body_fd = -1,
                                     .no_retry = true,
                                     .connect_timeout_ms = PROBE_MS,
                                     .stall_timeout_ms = PROBE_MS };
    struct err *e = http_perform(r->http, &rq, &a);
    bool answered = !e;

    *ret_stopped |= e && is_stop(e);
    err_free(e);
    return answered && !(a.status == 400 && a.body.len && memmem(a.body.data, a.body.len, "HTTPS", 5));
}

/* As kaniko has it: HTTPS if it is there, else HTTP; the other way round on loopback, where a test's server without TLS
 * could wait for ever for the end of what it takes for a request. */
static const char *find_scheme(struct registry *r, const char *domain, bool *ret_stopped)
{
    const char *first = is_loopback(domain) ? "http" : "https", *second = is_loopback(domain) ? "https" : "http";

    if (speaks(r, first, domain, ret_stopped))
        return first;
    if (speaks(r, second, domain, ret_stopped))
        return second;
    return "http"; /* the request that follows says what is wrong */
}

/* What was found out is kept for the next time. */
static const char *scheme_of(struct registry *r, const char *known, const char *domain, bool for_pull)
{
    bool stopped = false;

    if (!may_be_plain(r, known, domain, for_pull))
        return "https";
    pthread_mutex_lock(&r->base->probe_lock);
    const char *scheme = map_get(r->base->schemes, domain);
    if (!scheme) {
        scheme = find_scheme(r, domain, &stopped);
        log_debug("registry", "%s: %s", domain, scheme);
        if (!stopped)
            map_set(r->base->schemes, domain, (void *)(uintptr_t)scheme);
    }
    pthread_mutex_unlock(&r->base->probe_lock);
    return scheme;
}

/* ---- its servers ---- */

static struct endpoint *endpoint_new(const char *base, const char *domain)
{
    struct endpoint *ep = xcalloc(1, sizeof(*ep));

    ep->base = xstrdup(base);
    ep->host = xstrdup(domain);
    ep->tokens = map_new(token_free);
    ep->anonymous = map_new(NULL);
    ep->asking = map_new(NULL);
    pthread_cond_init(&ep->asked, NULL);
    pthread_mutex_init(&ep->lock, NULL);
    return ep;
}

struct endpoint *registry_endpoint(struct registry *r, const char *domain, bool for_pull)
{
    AUTO_FREE char *known = auth_host(domain);
    bool hub = strcmp(known, "docker.io") == 0;                                   /* by any of its names */
    const char *host = hub ? "docker.io" : auth_is_azure(known) ? known : domain; /* Azure refuses capitals */
    AUTO_FREE char *base =
        xasprintf("%s://%s", scheme_of(r, known, domain, for_pull), hub ? "registry-1.docker.io" : host);

    pthread_mutex_lock(&r->base->lock);
    struct endpoint *ep = map_get(r->base->endpoints, base);
    if (!ep) {
        ep = endpoint_new(base, host);
        map_set(r->base->endpoints, base, ep);
    }
    pthread_mutex_unlock(&r->base->lock);
    return ep;
}

/* "[https://]host[:port][/prefix]" */
static void add_mirror(struct registry *r, const char *mirror, const char *path, struct places *out)
{
    const char *scheme = strstr(mirror, "://");
    const char *start = scheme ? scheme + 3 : mirror;
    size_t n = strcspn(start, "/");
    AUTO_FREE char *domain = xstrndup(start, n);
    const char *prefix = start[n] ? start + n + 1 : "";
    size_t prefix_len = strlen(prefix);

    while (prefix_len && prefix[prefix_len - 1] == '/')
        prefix_len--;
    struct place p = { registry_endpoint(r, domain, true), NULL };
    p.path = prefix_len ? xasprintf("%.*s/%s", (int)prefix_len, prefix, path) : xstrdup(path);
    vec_push(out, p);
}

/* The mirror of an entry "HOST=MIRROR" if it is for that host, else NULL. */
static const char *mirror_for(const char *entry, const char *host)
{
    const char *eq = strchr(entry, '=');
    AUTO_FREE char *name = eq ? xstrndup(entry, (size_t)(eq - entry)) : NULL;
    AUTO_FREE char *known = name ? auth_host(name) : NULL;

    return known && strcmp(known, host) == 0 ? eq + 1 : NULL;
}

void registry_places(struct registry *r, const struct ref *ref, struct places *ret)
{
    AUTO_FREE char *host = auth_host(ref->domain);

    for (size_t i = 0; i < r->mirrors.n; i++) {
        const char *mirror = mirror_for(r->mirrors.items[i], host);

        if (mirror)
            add_mirror(r, mirror, ref->path, ret);
    }
    if (ret->n && r->no_mirror_fallback)
        return;
    struct place own = { registry_endpoint(r, ref->domain, true), xstrdup(ref->path) };
    vec_push(ret, own);
}

void places_release(struct places *p)
{
    for (size_t i = 0; i < p->n; i++)
        free(p->items[i].path);
    vec_free(p);
}

/* ---- requests ---- */

static bool is_ours(const struct endpoint *ep, const char *url)
{
    size_t n = strlen(ep->base);

    return strncasecmp(url, ep->base, n) == 0 && (url[n] == '/' || url[n] == '\0');
}

static void wipe_auto(char **s)
{
    if (*s)
        explicit_bzero(*s, strlen(*s));
    free(*s);
}

/* A token that was new when the request began may have ended meanwhile: a download had to be continued, or retries
 * waited. */
#define TOKEN_FRESH_MS 30000
/* Tries of one request without any progress: without a token, with one that turned out to be too old, with a new one,
 * and with another when that ended on the way. */
#define CALL_TRIES 4

static struct err *send(struct call *c, char *authorization, struct http_response *ret)
{
    c->rq.authorization = authorization;
    if (c->taken)
        c->rq.resume_from = *c->taken;
    struct err *e = http_perform(c->r->http, &c->rq, ret);
    c->rq.authorization = NULL;
    return e;
}

/* Has so much time passed that the token may have ended since it was made? */
static bool may_have_ended(const struct grant *g, int64_t began_ms)
{
    int64_t limit = g->lifetime_ms / 2 < TOKEN_FRESH_MS ? g->lifetime_ms / 2 : TOKEN_FRESH_MS;

    return token_now_ms() - began_ms >= limit;
}

/* One try. *ret_again: it was a 401 that a new token may cure. */
static struct err *try_call(struct call *c, struct http_response *ret, bool *ret_again)
{
    struct grant g = { .fresh = true, .lifetime_ms = INT64_MAX };
    bool ours = is_ours(c->ep, c->rq.url);
    uint64_t before = c->taken ? *c->taken : 0;
    int64_t began_ms = token_now_ms();

    *ret_again = false;
    if (ours) /* an upload's Location may lead elsewhere: our token is none of its business */
        TRY(token_authorization(c->r, c->ep, c->repo, c->scope, &g));
    __attribute__((cleanup(wipe_auto))) char *value = g.value;
    TRY(send(c, value, ret));
    if (ret->status != 401 || c->once || !ours || !is_ours(c->ep, ret->url))
        return NULL;
    bool worked = (c->taken && *c->taken > before) || may_have_ended(&g, began_ms);
    bool invalid = false, learned = token_learn(c->ep, ret, c->scope, value, &invalid);
    /* a new one that is said to be invalid: once, servers that are to know it may learn of it a moment later */
    bool doubt = value && g.fresh && invalid && !c->doubted;
    c->doubted |= doubt;
    *ret_again = learned && (!value || !g.fresh || worked || doubt);
    return NULL;
}

/* Credentials that have no right on a repository must not keep us from what anybody may pull. */
static struct err *try_anonymously(struct call *c, struct http_response *refusal)
{
    AUTO(http_response_release) struct http_response second = { 0 };
    bool again = false;

    if (c->once || !is_ours(c->ep, refusal->url) || !token_set_anonymous(c->ep, c->scope, true))
        return NULL;
    struct err *e = try_call(c, &second, &again);
    if (!e && second.status != 401 && second.status != 403) {
        log_debug("registry", "%s: '%s' needs no credentials, and ours may not pull it", c->ep->host, c->repo);
        http_response_release(refusal);
        *refusal = second;
        memset(&second, 0, sizeof(second));
        return NULL;
    }
    (void)token_set_anonymous(c->ep, c->scope, false);
    if (e && !is_stop(e)) {
        err_free(e); /* what our credentials got is to be shown */
        e = NULL;
    }
    return e;
}

struct err *call_perform(struct call *c, struct http_response *ret)
{
    bool again = true;

    for (int n = 0; again && n < CALL_TRIES; n++) {
        uint64_t before = c->taken ? *c->taken : 0;

        if (ret->status)
            http_response_release(ret);
        TRY(try_call(c, ret, &again));
        if (c->taken && *c->taken > before)
            n = 0;
    }
    return ret->status == 401 ? try_anonymously(c, ret) : NULL;
}

static struct err *refused_access(const struct call *c, const struct http_response *a, struct err *reason)
{
    pthread_mutex_lock(&c->ep->lock);
    AUTO_FREE char *hint = errors_auth_hint(c->ep, c->repo, c->action, a);
    pthread_mutex_unlock(&c->ep->lock);
    struct err *e = err_set_kind(reason, ERR_AUTH);

    e = err_wrap(e, "registry '%s' refused %s on repository '%s'", c->ep->host, c->action, c->repo);
    return err_hint(e, "%s", hint);
}

static struct err *unavailable(const struct call *c, const struct http_response *a, struct err *reason)
{
    bool hub = strcmp(c->ep->host, "docker.io") == 0;
    struct err *e = err_set_kind(reason, ERR_NETWORK);

    if (a->status != 429)
        return err_wrap(e, "registry '%s' is not available for repository '%s'", c->ep->host, c->repo);
    e = err_wrap(e, "registry '%s' throttles us on repository '%s'", c->ep->host, c->repo);
    return err_hint(e, "%s",
                    hub ? "Docker Hub limits anonymous pulls: give credentials for it, or use a mirror."
                        : "Try again later, or run fewer builds at once.");
}

static struct err *rejected(const struct call *c, const struct http_response *a, struct err *reason)
{
    struct err *e;

    if (a->status == 404 && errors_has(a, "NAME_UNKNOWN"))
        return err_wrap(reason, "registry '%s' has no repository '%s'", c->ep->host, c->repo);
    e = err_wrap(reason, "registry '%s' rejected %s on repository '%s'", c->ep->host, c->action, c->repo);
    if (a->status == 405)
        return err_hint(e, "The repository or tag may be locked, or the registry be read-only.");
    if (a->status == 413)
        return err_hint(e, "A proxy before the registry limits the size of requests: raise its limit.");
    return e;
}

struct err *call_refused(const struct call *c, const struct http_response *a)
{
    AUTO(buf_release) struct buf text = BUF_INIT;
    bool elsewhere = a->url && !is_ours(c->ep, a->url);

    errors_describe(a, &text);
    struct err *reason = text.len ? err_new(ERR_REGISTRY, "status %d: %s", a->status, buf_str(&text))
                                  : err_new(ERR_REGISTRY, "it answered with status %d", a->status);
    if (elsewhere) {
        AUTO_FREE char *where = http_redact(a->url);
        reason = err_wrap(reason, "it sent us to '%s'", where);
    }
    if (a->status == 401 || a->status == 403)
        return refused_access(c, a, reason);
    if (a->status == 408 || a->status == 429 || a->status >= 500)
        return unavailable(c, a, reason);
    return rejected(c, a, reason);
}
