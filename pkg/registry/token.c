/* token.c - the token dance: distribution's token and oauth specifications. */
#include "registry/registry_priv.h"

#include "auth/jwt.h"
#include "base/limits.h"
#include "base/log.h"
#include "json/json.h"

#include <string.h>
#include <strings.h>
#include <time.h>

/* The specification's lifetime of a token that names none. */
#define DEFAULT_LIFETIME_S 60
/* A token is renewed that long before its end (or after four fifths of a short life): a request must still fit in. */
#define MARGIN_MS 60000

struct token {
    char *text;
    int64_t lifetime_ms, renew_at_ms; /* CLOCK_BOOTTIME */
};

void token_free(void *p)
{
    struct token *t = p;

    explicit_bzero(t->text, strlen(t->text));
    free(t->text);
    free(t);
}

static void wipe(char *s)
{
    if (s)
        explicit_bzero(s, strlen(s));
    free(s);
}

static void wipe_auto(char **s)
{
    wipe(*s);
}

int64_t token_now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_BOOTTIME, &ts); /* goes on while the machine sleeps, as the token's life does */
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* ---- answers of the token service ---- */

static struct token *token_new(const char *text, int64_t lifetime_s)
{
    struct token *t = xcalloc(1, sizeof(*t));
    int64_t margin = lifetime_s * 200 < MARGIN_MS ? lifetime_s * 200 : MARGIN_MS; /* a fifth */

    t->text = xstrdup(text);
    t->lifetime_ms = lifetime_s * 1000;
    t->renew_at_ms = token_now_ms() + t->lifetime_ms - margin;
    return t;
}

static struct err *parse_token(const struct http_response *a, const char *host, struct token **ret)
{
    AUTO(json_free) struct json *root = NULL;
    int64_t lifetime = 0;

    if (!a->body.len)
        return err_new(ERR_REGISTRY, "the token service of '%s' sent an empty answer", host);
    TRY(err_wrap(json_parse(a->body.data, a->body.len, &root), "cannot read the token for '%s'", host));
    const char *text = json_get_string(root, "token");
    if (!text || !*text)
        text = json_get_string(root, "access_token");
    if (!text || !*text)
        return err_new(ERR_REGISTRY, "the token service of '%s' sent no token", host);
    if (!json_get_int(root, "expires_in", &lifetime) || lifetime <= 0)
        lifetime = jwt_lifetime(text);
    if (lifetime <= 0)
        lifetime = DEFAULT_LIFETIME_S;
    *ret = token_new(text, lifetime);
    return NULL;
}

/* ---- requests to the token service ---- */

static bool is_loopback(const char *host)
{
    return strncmp(host, "127.", 4) == 0 || strncmp(host, "[::1]", 5) == 0 || strncasecmp(host, "localhost", 9) == 0;
}

/* Where the metadata services of nodes live. */
static bool is_link_local(const char *host)
{
    return strncmp(host, "169.254.", 8) == 0 || strncasecmp(host, "[fe80:", 6) == 0 ||
           strncasecmp(host, "[fd00:ec2:", 10) == 0;
}

static bool same_host_name(const char *a, const char *b)
{
    size_t n = strcspn(a, ":/"), m = strcspn(b, ":/");

    return n == m && strncasecmp(a, b, n) == 0;
}

/* A registry must not point us, with credentials, at plain HTTP or at services of the node. Before each question: other
 * answers may have changed the realm while the lock was open. */
static struct err *check_realm(const struct endpoint *ep)
{
    if (!ep->realm)
        return err_new(ERR_REGISTRY, "registry '%s' names no token service", ep->host);
    AUTO_FREE char *realm_host = http_host(ep->realm);
    const char *scheme = strstr(ep->realm, "://");
    const char *host = scheme ? scheme + 3 : "";
    const char *own = strstr(ep->base, "://") + 3;
    AUTO_FREE char *where = http_redact(ep->realm);

    if (strncmp(ep->base, "https:", 6) == 0 && strncasecmp(ep->realm, "https:", 6) != 0)
        return err_new(ERR_REGISTRY, "registry '%s' names a token service that is not https: '%s'", ep->host, where);
    if (!same_host_name(host, own) && (is_link_local(host) || (is_loopback(host) && !is_loopback(own))))
        return err_new(ERR_REGISTRY, "registry '%s' names a token service at a local address: '%s'", ep->host, where);
    if (!auth_realm_allowed(ep->host, realm_host))
        return err_new(ERR_REGISTRY, "registry '%s' names a token service that is not its own: '%s'", ep->host, where);
    return NULL;
}

/* Tokens for other scopes may be asked for meanwhile: with the end point's lock, which is open as long as it takes. */
static struct err *perform_unlocked(struct registry *r, struct endpoint *ep, const struct http_request *rq,
                                    struct http_response *ret)
{
    pthread_mutex_unlock(&ep->lock);
    struct err *e = http_perform(r->http, rq, ret);
    pthread_mutex_lock(&ep->lock);
    return e;
}

static struct err *ask_get(struct registry *r, struct endpoint *ep, const char *scope, const struct credential *c,
                           struct http_response *ret)
{
    __attribute__((cleanup(wipe_auto))) char *basic = credential_basic(c);
    AUTO(buf_release) struct buf query = BUF_INIT;

    TRY(check_realm(ep));
    if (ep->service)
        http_form_add(&query, "service", ep->service);
    http_form_add(&query, "scope", scope);
    if (basic)
        http_form_add(&query, "account", c->username);
    AUTO_FREE char *url = xasprintf("%s%c%s", ep->realm, strchr(ep->realm, '?') ? '&' : '?', buf_str(&query));
    struct http_request rq = {
        .method = "GET", .url = url, .authorization = basic, .body_fd = -1, .max_body = LIMIT_TOKEN_BYTES
    };
    return perform_unlocked(r, ep, &rq, ret);
}

static struct err *ask_post(struct registry *r, struct endpoint *ep, const char *scope, const struct credential *c,
                            struct http_response *ret)
{
    struct buf form = BUF_INIT;

    TRY(check_realm(ep));
    http_form_add(&form, "grant_type", c->identity_token ? "refresh_token" : "password");
    http_form_add(&form, "service", ep->service ? ep->service : ep->host);
    http_form_add(&form, "scope", scope);
    http_form_add(&form, "client_id", "copyup");
    if (c->identity_token) {
        http_form_add(&form, "refresh_token", c->identity_token);
    } else {
        http_form_add(&form, "username", c->username);
        http_form_add(&form, "password", c->password);
    }
    AUTO_FREE char *realm = xstrdup(ep->realm);
    pthread_mutex_unlock(&ep->lock);
    struct err *e = http_post_form(r->http, realm, &form, false, ret);
    pthread_mutex_lock(&ep->lock);
    return e;
}

static bool has_password(const struct credential *c)
{
    return c->username && c->password;
}

/* Two forms of one question: the one that fits first, the other where the service does not have it. */
static struct err *ask(struct registry *r, struct endpoint *ep, const char *scope, const struct credential *c,
                       struct http_response *ret)
{
    bool post_first = c->identity_token != NULL;

    TRY(post_first ? ask_post(r, ep, scope, c, ret) : ask_get(r, ep, scope, c, ret));
    if (ret->status != 404 && ret->status != 405)
        return NULL;
    if (!has_password(c))
        return NULL;
    log_debug("registry", "%s: the token service knows no %s, asking by %s", ep->host, post_first ? "POST" : "GET",
              post_first ? "GET" : "POST");
    http_response_release(ret);
    return post_first ? ask_get(r, ep, scope, c, ret) : ask_post(r, ep, scope, c, ret);
}

static bool refused(int status)
{
    return status == 400 || status == 401 || status == 403;
}

static bool only_pull(const char *scope)
{
    return !strstr(scope, "push") && !strstr(scope, "delete");
}

static const char *action_of(const char *scope)
{
    return only_pull(scope) ? "pull" : "push";
}

static struct err *service_error(const struct endpoint *ep, const char *repo, const char *scope,
                                 const struct http_response *a)
{
    AUTO(buf_release) struct buf text = BUF_INIT;
    struct err *e;

    errors_describe(a, &text);
    if (!refused(a->status)) {
        bool temporary = a->status == 408 || a->status == 429 || a->status >= 500;

        e = err_new(temporary ? ERR_NETWORK : ERR_REGISTRY, "status %d%s%s", a->status, text.len ? ": " : "",
                    buf_str(&text));
        return err_wrap(e, "the token service of registry '%s' gave no token for repository '%s'", ep->host, repo);
    }
    AUTO_FREE char *hint = errors_auth_hint(ep, repo, action_of(scope), a);
    e = err_wrap(err_new(ERR_AUTH, "status %d%s%s", a->status, text.len ? ": " : "", buf_str(&text)),
                 "the token service of registry '%s' refused %s on repository '%s'", ep->host, action_of(scope), repo);
    return err_hint(e, "%s", hint);
}

/* A stored credential that is wrong must not break a pull that needs none. */
static bool ask_anonymously(struct registry *r, struct endpoint *ep, const char *scope, struct http_response *a)
{
    const struct credential nobody = { 0 };
    struct http_response second = { 0 };
    struct err *e = ask_get(r, ep, scope, &nobody, &second);

    if (e || second.status != 200) {
        err_free(e); /* what went wrong with the credentials is to be shown */
        http_response_release(&second);
        return false;
    }
    log_debug("registry", "%s: the credentials were refused, going on without", ep->host);
    http_response_release(a);
    *a = second;
    return true;
}

static enum auth_use use_of(const char *scope)
{
    return only_pull(scope) ? AUTH_PULL : AUTH_PUSH;
}

/* Finds them, and notes for messages whose they are. */
static struct err *find_credential(struct registry *r, struct endpoint *ep, const char *repo, const char *scope,
                                   struct credential *ret)
{
    TRY(auth_find(r->auth, ep->host, repo, use_of(scope), ret));
    free(ep->used);
    if (!ret->origin)
        ep->used = NULL;
    else if (ret->renewable)
        ep->used = xasprintf("The identity of the step was used (%s): check that it", ret->origin);
    else if (!ret->username || ret->identity_token)
        ep->used = xasprintf("The token from %s was used: check that it is still valid and", ret->origin);
    else
        ep->used = xasprintf("The credentials of '%s' from %s were used: check that they are right and", ret->username,
                             ret->origin);
    return NULL;
}

/* With the credentials that there are. A token made of an identity may have ended before its time: another, once.
 * *ret_given: a token that was given as it is, and nothing was asked. The caller wipes and frees it. */
static struct err *ask_as_known(struct registry *r, struct endpoint *ep, const char *repo, const char *scope,
                                struct http_response *a, char **ret_given)
{
    for (int n = 0;; n++) {
        AUTO(credential_release) struct credential c = { 0 };

        TRY(find_credential(r, ep, repo, scope, &c));
        if (c.registry_token) {
            *ret_given = steal(&c.registry_token);
            return NULL;
        }
        TRY(err_wrap(ask(r, ep, scope, &c, a), "cannot get a token for registry '%s'", ep->host));
        if (!refused(a->status))
            return NULL;
        if (n > 0 || !auth_refused(r->auth, ep->host, &c))
            return service_error(ep, repo, scope, a);
        http_response_release(a);
    }
}

static bool is_refusal(const struct err *e)
{
    return err_kind(e) == ERR_AUTH || err_kind(e) == ERR_SETTING;
}

/* A new token: *ret for the cache, or *ret_given. */
static struct err *fetch(struct registry *r, struct endpoint *ep, const char *repo, const char *scope,
                         struct token **ret, char **ret_given)
{
    AUTO(http_response_release) struct http_response a = { 0 };

    const struct credential nobody = { 0 };
    bool anonymous = map_get(ep->anonymous, scope) != NULL;

    TRY(check_realm(ep)); /* also before any credentials are made */
    struct err *e = anonymous ? ask_get(r, ep, scope, &nobody, &a) : ask_as_known(r, ep, repo, scope, &a, ret_given);
    if (e && !anonymous && is_refusal(e) && only_pull(scope) && ask_anonymously(r, ep, scope, &a)) {
        err_free(e);
        e = NULL;
    }
    TRY(e);
    if (*ret_given)
        return NULL;
    if (a.status != 200)
        return service_error(ep, repo, scope, &a);
    e = parse_token(&a, ep->host, ret);
    explicit_bzero(a.body.data, a.body.len);
    return e;
}

/* ---- the cache of one server ---- */

static const struct token *cached(const struct endpoint *ep, const char *scope)
{
    AUTO_FREE char *wider = xasprintf("%s,push", scope);
    const char *tries[] = { scope, wider }; /* a token that may push may pull too */

    for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
        const struct token *t = map_get(ep->tokens, tries[i]);

        if (t && token_now_ms() < t->renew_at_ms)
            return t;
    }
    return NULL;
}

static void keep_token(struct endpoint *ep, const char *scope, struct token *t)
{
    if (map_count(ep->tokens) >= LIMIT_REGISTRY_TOKENS) {
        map_free(ep->tokens);
        ep->tokens = map_new(token_free);
    }
    map_set(ep->tokens, scope, t);
}

/* Of several threads that want a token for one scope one asks for it. */
static struct err *fetch_alone(struct registry *r, struct endpoint *ep, const char *repo, const char *scope,
                               struct token **ret, char **ret_given)
{
    map_set(ep->asking, scope, ep);
    struct err *e = fetch(r, ep, repo, scope, ret, ret_given);
    map_remove(ep->asking, scope);
    pthread_cond_broadcast(&ep->asked);
    return e;
}

static struct err *bearer(struct registry *r, struct endpoint *ep, const char *repo, const char *scope,
                          struct grant *ret)
{
    __attribute__((cleanup(wipe_auto))) char *given = NULL;
    struct token *made = NULL;

    while (map_get(ep->asking, scope))
        pthread_cond_wait(&ep->asked, &ep->lock);
    const struct token *t = cached(ep, scope);
    ret->fresh = !t;
    if (!t) {
        TRY(fetch_alone(r, ep, repo, scope, &made, &given));
        if (given) {
            ret->value = xasprintf("Bearer %s", given);
            return NULL;
        }
        keep_token(ep, scope, made);
        t = made;
    }
    ret->value = xasprintf("Bearer %s", t->text);
    ret->lifetime_ms = t->lifetime_ms;
    return NULL;
}

static struct err *authorization(struct registry *r, struct endpoint *ep, const char *repo, const char *scope,
                                 struct grant *ret)
{
    AUTO(credential_release) struct credential c = { 0 };

    *ret = (struct grant){ .fresh = true, .lifetime_ms = INT64_MAX };
    if (ep->scheme == CHALLENGE_NONE)
        return NULL;
    if (ep->scheme == CHALLENGE_BEARER)
        return bearer(r, ep, repo, scope, ret);
    TRY(find_credential(r, ep, repo, scope, &c));
    ret->value = c.registry_token ? xasprintf("Bearer %s", c.registry_token) : credential_basic(&c);
    return NULL;
}

struct err *token_authorization(struct registry *r, struct endpoint *ep, const char *repo, const char *scope,
                                struct grant *ret)
{
    pthread_mutex_lock(&ep->lock);
    struct err *e = authorization(r, ep, repo, scope, ret);
    pthread_mutex_unlock(&ep->lock);
    return e;
}

bool token_has_credential(struct registry *r, struct endpoint *ep, const char *repo, const char *scope)
{
    AUTO(credential_release) struct credential c = { 0 };

    pthread_mutex_lock(&ep->lock);
    struct err *e = find_credential(r, ep, repo, scope, &c);
    pthread_mutex_unlock(&ep->lock);
    bool has = !e && c.origin;
    err_free(e);
    return has;
}

/* All WWW-Authenticate lines as one, which is what several lines mean. */
static char *challenges_of(const struct http_response *a)
{
    static const char name[] = "www-authenticate: ";
    struct buf all = BUF_INIT;

    for (size_t i = 0; i < a->headers.n; i++) {
        if (strncmp(a->headers.items[i], name, sizeof(name) - 1) != 0)
            continue;
        if (all.len)
            buf_puts(&all, ", ");
        buf_puts(&all, a->headers.items[i] + sizeof(name) - 1);
    }
    return buf_steal(&all);
}

bool token_set_anonymous(struct endpoint *ep, const char *scope, bool on)
{
    pthread_mutex_lock(&ep->lock);
    bool new = ep->scheme == CHALLENGE_BEARER && ep->used &&only_pull(scope) && !map_get(ep->anonymous, scope);

    if (on && new)
        map_set(ep->anonymous, scope, ep);
    if (!on)
        map_remove(ep->anonymous, scope);
    pthread_mutex_unlock(&ep->lock);
    return new;
}

static void forget(struct endpoint *ep, const char *scope, const char *used)
{
    AUTO_FREE char *wider = xasprintf("%s,push", scope);
    const char *tries[] = { scope, wider };

    if (!used || strncmp(used, "Bearer ", 7) != 0)
        return;
    for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
        const struct token *t = map_get(ep->tokens, tries[i]);

        if (t && strcmp(t->text, used + 7) == 0) /* another thread may have renewed it meanwhile */
            map_remove(ep->tokens, tries[i]);
    }
}

bool token_learn(struct endpoint *ep, const struct http_response *a, const char *scope, const char *used,
                 bool *ret_invalid)
{
    AUTO_FREE char *header = challenges_of(a);
    struct challenge c;

    challenge_parse(header, &c);
    bool answerable = c.scheme != CHALLENGE_NONE;
    *ret_invalid = c.error && strcmp(c.error, "invalid_token") == 0;
    pthread_mutex_lock(&ep->lock);
    forget(ep, scope, used);
    if (answerable) {
        ep->scheme = c.scheme;
        free(ep->realm);
        free(ep->service);
        ep->realm = steal(&c.realm);
        ep->service = steal(&c.service);
    }
    pthread_mutex_unlock(&ep->lock);
    challenge_release(&c);
    return answerable;
}
