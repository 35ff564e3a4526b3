/* expect.c - what the first request to a repository would have to wait for, made ready while other things go on. */
#include "registry/registry_priv.h"

#include "base/thread.h"

#include <string.h>

struct expected {
    struct registry *r;
    struct ref repo;
    bool push;
    bool started;
    pthread_t thread;
};

#define VERSION_CHECK "/v2/"

static struct err *check_version(struct registry *r, struct endpoint *ep, const char *scope)
{
    AUTO_FREE char *url = xasprintf("%s" VERSION_CHECK, ep->base);
    AUTO(http_response_release) struct http_response a = { 0 };
    const struct http_request rq = { .method = "GET", .url = url, .body_fd = -1, .no_retry = true };
    bool invalid;

    TRY(http_perform(r->http, &rq, &a));
    if (a.status == 401)
        (void)token_learn(ep, &a, scope, NULL, &invalid);
    return NULL;
}

/* How the server wants to be asked, by what the specification has for it. Once for each server. */
static struct err *learn(struct registry *r, struct endpoint *ep, const char *scope)
{
    pthread_mutex_lock(&ep->lock);
    while (map_get(ep->asking, VERSION_CHECK))
        pthread_cond_wait(&ep->asked, &ep->lock);
    bool known = ep->checked || ep->scheme != CHALLENGE_NONE;
    if (!known)
        map_set(ep->asking, VERSION_CHECK, ep);
    pthread_mutex_unlock(&ep->lock);
    if (known)
        return NULL;
    struct err *e = check_version(r, ep, scope);
    pthread_mutex_lock(&ep->lock);
    ep->checked = true;
    map_remove(ep->asking, VERSION_CHECK);
    pthread_cond_broadcast(&ep->asked);
    pthread_mutex_unlock(&ep->lock);
    return e;
}

static struct err *make_ready(const struct expected *x)
{
    struct endpoint *ep = registry_endpoint(x->r, x->repo.domain, !x->push);
    AUTO_FREE char *scope = xasprintf("repository:%s:%s", x->repo.path, x->push ? "pull,push" : "pull");
    struct grant g = { 0 };

    if (!token_has_credential(x->r, ep, x->repo.path, scope))
        return NULL; /* perhaps nobody asks for any */
    TRY(learn(x->r, ep, scope));
    TRY(token_authorization(x->r, ep, x->repo.path, scope, &g));
    if (g.value)
        explicit_bzero(g.value, strlen(g.value));
    free(g.value);
    return NULL;
}

static void *work(void *arg)
{
    err_free(make_ready(arg)); /* the request itself will say what is wrong */
    return NULL;
}

void registry_expect(struct registry *r, const struct ref *repo, bool push)
{
    struct expected *x = xcalloc(1, sizeof(*x));

    x->r = r->base;
    x->push = push;
    ref_copy(&x->repo, repo);
    x->started = thread_start(&x->thread, work, x) == 0;
    vec_push(&r->base->expected, x);
}

void expected_free(struct expected *x)
{
    if (x->started)
        pthread_join(x->thread, NULL);
    ref_release(&x->repo);
    free(x);
}
