#include "registry/registry_priv.h"

#include "base/log.h"

#include <string.h>
#include <strings.h>
#include <time.h>

/* ---- the registry and its servers ---- */

static void endpoint_free(void *p)
{
    struct endpoint *ep = p;

    free(ep->base);
    free(ep->host);
    free(ep->realm);
    free(ep->service);
    free(ep->used);
    map_free(ep->tokens);
    pthread_mutex_destroy(&ep->lock);
    free(ep);
}

struct err *registry_new(const struct registry_opts *opts, struct registry **ret)
{
    struct registry *r = xcalloc(1, sizeof(*r));

    r->http = opts->http;
    r->auth = opts->auth;
    strs_copy(&r->insecure, &opts->insecure);
    strs_copy(&r->mirrors, &opts->mirrors);
    r->insecure_pull = opts->insecure_pull;
    r->no_mirror_fallback = opts->no_mirror_fallback;
    r->endpoints = map_new(endpoint_free);
    pthread_mutex_init(&r->lock, NULL);
    *ret = r;
    return NULL;
}

void registry_free(struct registry *r)
{
    if (!r)
        return;
    strs_release(&r->insecure);
    strs_release(&r->mirrors);
    map_free(r->endpoints);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

static bool is_insecure(const struct registry *r, const char *domain, bool for_pull)
{
    if (for_pull && r->insecure_pull && strcmp(domain, "docker.io") != 0) /* Docker Hub has no plain HTTP */
        return true;
    for (size_t i = 0; i < r->insecure.n; i++) {
        const char *scheme = strstr(r->insecure.items[i], "://");
        const char *name = scheme ? scheme + 3 : r->insecure.items[i];
        size_t n = strcspn(name, "/");

        if (strlen(domain) == n && strncasecmp(name, domain, n) == 0)
            return true;
    }
    return false;
}

static struct endpoint *endpoint_new(const char *base, const char *domain)
{
    struct endpoint *ep = xcalloc(1, sizeof(*ep));

    ep->base = xstrdup(base);
    ep->host = xstrdup(domain);
    ep->tokens = map_new(token_free);
    pthread_mutex_init(&ep->lock, NULL);
    return ep;
}

struct endpoint *registry_endpoint(struct registry *r, const char *domain, bool for_pull)
{
    AUTO_FREE char *known = auth_host(domain);
    bool hub = strcmp(known, "docker.io") == 0; /* by any of its names */
    AUTO_FREE char *base = xasprintf("%s://%s", is_insecure(r, domain, for_pull) ? "http" : "https",
                                     hub ? "registry-1.docker.io" : domain);

    pthread_mutex_lock(&r->lock);
    struct endpoint *ep = map_get(r->endpoints, base);
    if (!ep) {
        ep = endpoint_new(base, hub ? "docker.io" : domain);
        map_set(r->endpoints, base, ep);
    }
    pthread_mutex_unlock(&r->lock);
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

void registry_places(struct registry *r, const struct ref *ref, struct places *ret)
{
    AUTO_FREE char *host = auth_host(ref->domain);
    bool mirrored = r->mirrors.n && strcmp(host, "docker.io") == 0;

    for (size_t i = 0; mirrored && i < r->mirrors.n; i++)
        add_mirror(r, r->mirrors.items[i], ref->path, ret);
    if (mirrored && r->no_mirror_fallback)
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
#define TOKEN_FRESH_S 30

static int64_t now_s(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_BOOTTIME, &ts);
    return ts.tv_sec;
}

static struct err *send(struct call *c, char *authorization, struct http_response *ret)
{
    c->rq.authorization = authorization;
    if (c->taken)
        c->rq.resume_from = *c->taken;
    struct err *e = http_perform(c->r->http, &c->rq, ret);
    c->rq.authorization = NULL;
    return e;
}

/* One try. *ret_again: it was a 401 that a new token may cure. */
static struct err *try_call(struct call *c, struct http_response *ret, bool *ret_again)
{
    __attribute__((cleanup(wipe_auto))) char *value = NULL;
    bool fresh = true, ours = is_ours(c->ep, c->rq.url);
    uint64_t before = c->taken ? *c->taken : 0;

    *ret_again = false;
    if (ours) /* an upload's Location may lead elsewhere: our token is none of its business */
        TRY(token_authorization(c->r, c->ep, c->repo, c->scope, &value, &fresh));
    int64_t began_s = now_s();
    TRY(send(c, value, ret));
    if (ret->status != 401 || c->once || !ours || !is_ours(c->ep, ret->url))
        return NULL;
    bool worked = (c->taken && *c->taken > before) || now_s() - began_s > TOKEN_FRESH_S;
    bool learned = token_learn(c->ep, ret, c->scope, value);
    *ret_again = learned && (!value || !fresh || worked);
    return NULL;
}

struct err *call_perform(struct call *c, struct http_response *ret)
{
    bool again = true;

    /* at most: without a token, with one that turned out to be too old, with a new one, with another when that ended on
     * the way */
    for (int n = 0; again && n < 4; n++) {
        if (n > 0)
            http_response_release(ret);
        TRY(try_call(c, ret, &again));
    }
    return NULL;
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
