/* entra.c - Entra ID's token end point (OAuth 2.0 client credentials): client secret, certificate, federated token. */
#include "auth/azure_priv.h"

#include "base/limits.h"
#include "oci/error_body.h"
#include "sys/file.h"

#include <string.h>

#define ASSERTION_TYPE "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
/* A token is renewed that long before its end; the usual life is about an hour. */
#define MARGIN_S 300

/* One question to the end point. */
struct question {
    const struct cloud *cloud;
    const char *what;     /* "client secret" */
    const char *resource; /* without "/.default" */
    const char *endpoint;
    const char *federated; /* the token of somebody else that is sent, or NULL */
};

static char *authority_of(const struct azure *az, const struct cloud *cloud)
{
    return az->authority ? xstrdup(az->authority) : xasprintf("https://%s", cloud->authorities[0]);
}

char *entra_endpoint(const struct azure *az, const struct cloud *cloud)
{
    AUTO_FREE char *authority = authority_of(az, cloud);

    return xasprintf("%s/%s/oauth2/v2.0/token", authority, az->tenant_id ? az->tenant_id : "organizations");
}

/* ---- answers ---- */

struct err *entra_read_token(const struct http_response *a, const char *where, struct timed_token *ret)
{
    AUTO(json_free) struct json *root = NULL;
    int64_t lifetime = 0;

    if (!a->body.len)
        return err_new(ERR_REGISTRY, "'%s' sent an empty answer instead of a token", where);
    TRY(err_wrap(json_parse(a->body.data, a->body.len, &root), "cannot read the token of '%s'", where));
    const char *text = json_get_string(root, "access_token");
    if (!text || !*text)
        return err_new(ERR_REGISTRY, "'%s' sent no token", where);
    if (!azure_get_seconds(root, "expires_in", &lifetime) || lifetime <= 0)
        lifetime = MARGIN_S;
    *ret = timed_token_new(text, lifetime, MARGIN_S);
    return NULL;
}

/* A resource that this cloud does not have: another may do. */
static bool unknown_resource(const struct http_response *a)
{
    return a->status == 400 && (error_body_has(a->body.data, a->body.len, "invalid_resource") ||
                                error_body_has(a->body.data, a->body.len, "invalid_scope"));
}

static bool temporary(const struct http_response *a)
{
    return a->status == 408 || a->status == 429 || a->status >= 500 ||
           error_body_has(a->body.data, a->body.len, "temporarily_unavailable");
}

static struct err *reason_of(const struct http_response *a, enum err_kind kind)
{
    AUTO(buf_release) struct buf text = BUF_INIT;

    error_body_describe(a->body.data, a->body.len, http_header(a, "content-type"), &text);
    if (!text.len)
        return err_new(kind, "it answered with status %d", a->status);
    return err_new(kind, "status %d: %s", a->status, buf_str(&text));
}

static struct err *refusal(const struct azure *az, const struct question *q, const struct http_response *a)
{
    AUTO_FREE char *where = http_host(q->endpoint);

    if (temporary(a))
        return err_wrap(reason_of(a, ERR_NETWORK), "the login service '%s' is not available", where);
    if (a->status != 400 && a->status != 401 && a->status != 403)
        return err_hint(err_wrap(reason_of(a, ERR_REGISTRY), "'%s' does not answer like a login service", where),
                        "Check the login service's address (AZURE_AUTHORITY_HOST).");
    AUTO_FREE char *hint = entra_advice(a, q->cloud, q->federated, az->signer);
    struct err *e =
        err_wrap(reason_of(a, ERR_AUTH), "Entra ID ('%s') refused the %s of application '%s' in tenant '%s'", where,
                 q->what, az->client_id, az->tenant_id);
    return err_hint(e, "%s", hint);
}

/* ---- questions ---- */

static struct err *ask(struct azure *az, const struct question *q, struct buf *form, struct timed_token *ret,
                       bool *ret_unknown)
{
    AUTO(http_response_release) struct http_response a = { 0 };
    AUTO_FREE char *scope = xasprintf("%s/.default", q->resource);
    AUTO_FREE char *where = http_host(q->endpoint);

    http_form_add(form, "grant_type", "client_credentials");
    http_form_add(form, "client_id", az->client_id);
    http_form_add(form, "scope", scope);
    TRY(err_wrap(http_post_form(az->http, q->endpoint, form, true, &a), "cannot get a token from Entra ID"));
    *ret_unknown = unknown_resource(&a);
    if (a.status != 200)
        return refusal(az, q, &a);
    struct err *e = entra_read_token(&a, where, ret);
    explicit_bzero(a.body.data, a.body.len);
    return e;
}

static struct err *check_ids(const struct azure *az, const char *what)
{
    if (az->client_id && az->tenant_id)
        return NULL;
    return err_new(ERR_SETTING, "the %s needs the application's id and its tenant's", what);
}

static struct err *secret_token(struct azure *az, const struct cloud *cloud, const char *resource,
                                struct timed_token *ret, bool *ret_unknown)
{
    AUTO_FREE char *endpoint = entra_endpoint(az, cloud);
    const struct question q = { cloud, identity_secret.name, resource, endpoint, NULL };
    AUTO(buf_release) struct buf form = BUF_INIT;

    http_form_add(&form, "client_secret", az->client_secret);
    return ask(az, &q, &form, ret, ret_unknown);
}

static void add_assertion(struct buf *form, const char *assertion)
{
    http_form_add(form, "client_assertion_type", ASSERTION_TYPE);
    http_form_add(form, "client_assertion", assertion);
}

static struct err *certificate_token(struct azure *az, const struct cloud *cloud, const char *resource,
                                     struct timed_token *ret, bool *ret_unknown)
{
    AUTO_FREE char *endpoint = entra_endpoint(az, cloud);
    const struct question q = { cloud, identity_certificate.name, resource, endpoint, NULL };
    __attribute__((cleanup(auth_wipe_auto))) char *assertion = NULL;
    AUTO(buf_release) struct buf form = BUF_INIT;

    TRY(check_ids(az, q.what));
    TRY(assertion_new(az->signer, az->send_chain, az->client_id, endpoint, &assertion));
    add_assertion(&form, assertion);
    return ask(az, &q, &form, ret, ret_unknown);
}

static struct err *federated(struct azure *az, const struct cloud *cloud, const char *what, const char *assertion,
                             const char *resource, struct timed_token *ret, bool *ret_unknown)
{
    AUTO_FREE char *endpoint = entra_endpoint(az, cloud);
    const struct question q = { cloud, what, resource, endpoint, assertion };
    AUTO(buf_release) struct buf form = BUF_INIT;

    TRY(check_ids(az, what));
    add_assertion(&form, assertion);
    return ask(az, &q, &form, ret, ret_unknown);
}

static struct err *oidc_token(struct azure *az, const struct cloud *cloud, const char *resource,
                              struct timed_token *ret, bool *ret_unknown)
{
    return federated(az, cloud, identity_oidc.name, az->oidc_token, resource, ret, ret_unknown);
}

/* The kubelet replaces the file before its token ends: whatever it holds now. */
static struct err *read_federated(const char *path, char **ret)
{
    struct buf text = BUF_INIT;
    struct err *e = file_read(path, LIMIT_TOKEN_BYTES, &text);
    size_t n = text.len;

    while (n && strchr(" \t\r\n", text.data[n - 1]))
        n--;
    if (!e && (n == 0 || memchr(text.data, '\0', n)))
        e = err_new(ERR_SETTING, "'%s' holds no token", path);
    if (!e)
        *ret = xstrndup(text.data, n);
    if (text.data)
        explicit_bzero(text.data, text.cap);
    buf_release(&text);
    return err_hint(err_set_kind(err_wrap(e, "cannot read the federated token"), ERR_SETTING),
                    "The workload identity webhook mounts it: the pod's label azure.workload.identity/use must be "
                    "\"true\", and the step's user be able to read the file.");
}

static struct err *federated_token(struct azure *az, const struct cloud *cloud, const char *resource,
                                   struct timed_token *ret, bool *ret_unknown)
{
    __attribute__((cleanup(auth_wipe_auto))) char *token = NULL;

    TRY(read_federated(az->federated_token_file, &token));
    return federated(az, cloud, identity_federated.name, token, resource, ret, ret_unknown);
}

/* ---- the identities ---- */

static bool has_oidc(const struct azure *az)
{
    return az->oidc_token != NULL;
}

/* Without a tenant the registry is given the secret itself, which it then takes to Entra ID. */
static bool has_secret(const struct azure *az)
{
    return az->client_secret && az->client_id && az->tenant_id;
}

static bool has_certificate(const struct azure *az)
{
    return az->signer != NULL;
}

static bool has_federated(const struct azure *az)
{
    return az->federated_token_file && az->client_id && az->tenant_id;
}

const struct identity_ops identity_oidc = { "OIDC token", has_oidc, oidc_token };
const struct identity_ops identity_secret = { "client secret", has_secret, secret_token };
const struct identity_ops identity_certificate = { "client certificate", has_certificate, certificate_token };
const struct identity_ops identity_federated = { "federated token (workload identity)", has_federated,
                                                 federated_token };
