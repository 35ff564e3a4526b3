/* acr.c - a registry's own end point that turns a token of Entra ID into one of the registry: POST /oauth2/exchange
 * (Azure Container Registry's "AAD-OAuth" document). */
#include "auth/azure_priv.h"

#include "auth/jwt.h"
#include "base/log.h"
#include "oci/error_body.h"

#include <string.h>

#define MARGIN_S           300
#define DEFAULT_LIFETIME_S 3600 /* of a token that does not say: it lives three hours */

static struct err *read_answer(const struct http_response *a, const char *host, struct timed_token *ret)
{
    AUTO(json_free) struct json *root = NULL;

    if (!a->body.len)
        return err_new(ERR_REGISTRY, "registry '%s' sent an empty answer instead of a token", host);
    TRY(err_wrap(json_parse(a->body.data, a->body.len, &root), "cannot read the token of registry '%s'", host));
    const char *text = json_get_string(root, "refresh_token");
    if (!text || !*text)
        return err_new(ERR_REGISTRY, "registry '%s' sent no refresh token", host);
    int64_t lifetime = jwt_lifetime(text);
    *ret = timed_token_new(text, lifetime > 0 ? lifetime : DEFAULT_LIFETIME_S, MARGIN_S);
    return NULL;
}

static const char *advice(int status)
{
    if (status == 401 || status == 400)
        return "Check that the identity has a role on this registry (AcrPull or AcrPush; on registries with "
               "repository permissions Container Registry Repository Reader or Writer) and that it belongs to the "
               "registry's tenant. A new role takes up to ten minutes to be seen.";
    if (status == 403)
        return "The registry's network rules may not let this pod in: allow its outgoing address in the registry's "
               "firewall, or reach it through a private endpoint.";
    if (status == 404)
        return "This host does not answer like an Azure registry: check its name.";
    return NULL;
}

static struct err *refusal(const struct azure *az, const struct identity_ops *id, const char *host,
                           const struct http_response *a)
{
    AUTO(buf_release) struct buf text = BUF_INIT;
    AUTO_FREE char *who = azure_describe(az, id);
    bool temporary = a->status == 408 || a->status == 429 || a->status >= 500;
    bool denied = a->status == 400 || a->status == 401 || a->status == 403;
    enum err_kind kind = denied ? ERR_AUTH : temporary ? ERR_NETWORK : ERR_REGISTRY;

    error_body_describe(a->body.data, a->body.len, http_header(a, "content-type"), &text);
    struct err *e = text.len ? err_new(kind, "status %d: %s", a->status, buf_str(&text))
                             : err_new(kind, "it answered with status %d", a->status);
    e = denied ? err_wrap(e, "registry '%s' refused the token of Entra ID for %s", host, who)
               : err_wrap(e, "registry '%s' gave no token for %s", host, who);
    const char *hint = advice(a->status);
    return hint ? err_hint(e, "%s", hint) : e;
}

static struct err *post(struct azure *az, const char *host, const char *token, struct http_response *ret)
{
    AUTO_FREE char *url = xasprintf("https://%s/oauth2/exchange", host);
    AUTO(buf_release) struct buf form = BUF_INIT;

    http_form_add(&form, "grant_type", "access_token");
    http_form_add(&form, "service", host);
    if (az->tenant_id)
        http_form_add(&form, "tenant", az->tenant_id);
    http_form_add(&form, "access_token", token);
    return err_wrap(http_post_form(az->http, url, &form, true, ret), "cannot sign in at registry '%s'", host);
}

/* With a token for that resource. *ret_other: with one for another it may work. */
static struct err *login(struct azure *az, const struct identity_ops *id, const struct cloud *cloud,
                         const char *resource, const char *host, struct timed_token *ret, bool *ret_other)
{
    AUTO(http_response_release) struct http_response a = { 0 };
    const char *token = NULL;

    TRY(azure_token(az, id, cloud, resource, &token, ret_other));
    TRY(post(az, host, token, &a));
    *ret_other = a.status == 400 || a.status == 401;
    if (a.status != 200) {
        azure_forget_token(az, id, resource); /* it may have been the token */
        return refusal(az, id, host, &a);
    }
    struct err *e = read_answer(&a, host, ret);
    explicit_bzero(a.body.data, a.body.len);
    return e;
}

/* Registries take tokens for registries; older ones and some clouds know only those for the resource manager. */
struct err *acr_login(struct azure *az, const struct identity_ops *id, const struct cloud *cloud, const char *host,
                      struct timed_token *ret)
{
    bool other = false, unused;
    struct err *first = login(az, id, cloud, CLOUD_ACR_RESOURCE, host, ret, &other);

    if (!first || !other)
        return first;
    log_debug("auth", "%s: the token for registries was refused, trying the resource manager's", host);
    struct err *second = login(az, id, cloud, cloud->arm_resource, host, ret, &unused);
    if (second && err_kind(second) != ERR_AUTH) { /* the refusal tells more than what came after it */
        err_free(second);
        return first;
    }
    err_free(first);
    return second;
}
