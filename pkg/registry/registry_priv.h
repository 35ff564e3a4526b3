/* registry_priv.h - servers with their tokens, requests that carry them, and what a refusal means. */
#ifndef REGISTRY_REGISTRY_PRIV_H
#define REGISTRY_REGISTRY_PRIV_H

#include "base/map.h"
#include "base/vec.h"
#include "registry/registry.h"

#include <pthread.h>

/* What we can read. */
#define MEDIA_ALL MEDIA_OCI_INDEX ", " MEDIA_DOCKER_LIST ", " MEDIA_OCI_MANIFEST ", " MEDIA_DOCKER_MANIFEST

struct expected;

/* One server reached by one protocol, and what it told us about authentication. Lives as long as the registry. */
struct endpoint {
    char *base;           /* "https://registry-1.docker.io" */
    char *host;           /* "docker.io": its name for credentials and messages */
    pthread_mutex_t lock; /* of the following */
    enum challenge_scheme scheme;
    char *realm, *service;
    struct map *tokens;    /* scope set -> struct token */
    struct map *anonymous; /* scope sets that our credentials do not have, but perhaps anybody */
    bool checked;          /* it was asked how it wants to be asked */
    struct map *asking;    /* a set: scope sets that a token is being asked for, and that check */
    pthread_cond_t asked;  /* one less is */
    char *used;            /* whose credentials were used last, as the beginning of a hint; NULL = nobody's */
};

/* An upload that was begun to see whether that is allowed: the first blob for that repository goes there. */
struct kept_upload {
    struct endpoint *ep;
    char *repo;
    char *location; /* NULL = there is none */
    int64_t begun_ms;
};

struct registry {
    struct registry *base; /* itself; or what this is a view of, with an http of its own: what follows `auth` is
                              borrowed from there, from `lock` on it is not there */
    struct http *http;
    struct auth *auth;
    struct strs insecure, mirrors;
    bool insecure_pull, no_mirror_fallback;
    int more_pull_tries, more_push_tries;
    pthread_mutex_t lock; /* of endpoints and kept */
    struct map *endpoints;
    struct kept_upload kept;
    pthread_mutex_t probe_lock;      /* of schemes; held while a server is asked */
    struct map *schemes;             /* domain that may be reached by plain HTTP -> "http" or "https" */
    VEC(struct expected *) expected; /* of the one thread that may call registry_expect() */
};

/* A request on behalf of a repository. */
struct call {
    struct registry *r;
    struct endpoint *ep;
    const char *repo;   /* path on that server; borrowed */
    const char *scope;  /* for the token service; borrowed */
    const char *action; /* "pull" or "push", for messages */
    struct http_request rq;
    bool once;             /* a refusal is the answer: no new token for it */
    bool doubted;          /* a new token was called invalid, and another asked for */
    const uint64_t *taken; /* bytes that rq.out got, if there is one: a repeated request goes on there */
};

/* The server for that domain ("docker.io", "reg:5000"). */
struct endpoint *registry_endpoint(struct registry *r, const char *domain, bool for_pull);
/* Where to pull ref's repository from: mirrors first. Both lists are the caller's (vec_free, free of the paths). */
struct place {
    struct endpoint *ep;
    char *path;
};
struct places {
    struct place *items;
    size_t n, cap;
};
void registry_places(struct registry *r, const struct ref *ref, struct places *ret);
void places_release(struct places *p);
static inline void places_release_auto(struct places *p)
{
    places_release(p);
}

/* Sends it with the authorisation that the server wants: learns the challenge of a 401, gets and renews tokens. */
MUST_USE struct err *call_perform(struct call *c, struct http_response *ret);
/* The answer as an error: kind by status, the registry's own text as the reason. */
MUST_USE struct err *call_refused(const struct call *c, const struct http_response *a);

/* ---- token.c ---- */
/* What a request is sent with. */
struct grant {
    char *value;         /* of Authorization; NULL = none is needed as far as we know; wiped and freed by the caller */
    bool fresh;          /* it was made just now, or is all there is: a refusal is final */
    int64_t lifetime_ms; /* of the token, INT64_MAX = not known to end */
};
MUST_USE struct err *token_authorization(struct registry *r, struct endpoint *ep, const char *repo, const char *scope,
                                         struct grant *ret);
/* Are there credentials for that server? */
bool token_has_credential(struct registry *r, struct endpoint *ep, const char *repo, const char *scope);
int64_t token_now_ms(void);
/* Learns from the challenges of a 401 to a request that carried `used` (NULL = nothing), and forgets that token. False:
 * there is no challenge that we could answer. *ret_invalid: the token is no good, which is not a matter of rights. */
bool token_learn(struct endpoint *ep, const struct http_response *a, const char *scope, const char *used,
                 bool *ret_invalid);
/* The credentials have no right to that. From now on it is asked for without any: false if it was already, or is more
 * than a pull. `on` false: as before. */
bool token_set_anonymous(struct endpoint *ep, const char *scope, bool on);
void token_free(void *p);

/* ---- expect.c ---- */
void expected_free(struct expected *x); /* waits for its thread */

/* ---- errors.c ---- */
/* Appends "CODE: message" of an error document, or the first line of a plain text, made safe for a terminal. */
void errors_describe(const struct http_response *a, struct buf *out);
/* Is that code among the document's errors? */
bool errors_has(const struct http_response *a, const char *code);
/* What to do about a 401 or 403: depends on whether there were credentials. Called under the end point's lock. The
 * caller frees. */
char *errors_auth_hint(const struct endpoint *ep, const char *repo, const char *action, const struct http_response *a);

#endif
