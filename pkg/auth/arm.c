/* arm.c - where Azure's portal shows a registry: the resource manager knows its id by subscription and name. */
#include "auth/azure_priv.h"

#include "base/limits.h"
#include "oci/error_body.h"

#include <string.h>

#define PORTAL_PATH "/#view/Microsoft_Azure_ContainerRegistries/TagMetadataBlade/registryId/"

/* "/" as %2F and a blank as '+', as Go's QueryEscape has it. */
static char *escape_id(const char *id)
{
    AUTO_FREE char *code = http_escape(id);
    struct buf out = BUF_INIT;

    for (const char *p = code; *p; p++) {
        bool blank = strncmp(p, "%20", 3) == 0;

        buf_putc(&out, blank ? '+' : *p);
        p += blank ? 2 : 0;
    }
    return buf_steal(&out);
}

static struct err *check_subscription(const char *id)
{
    size_t n = strspn(id, "0123456789abcdefABCDEF-");

    if (n == 36 && id[n] == '\0')
        return NULL;
    return err_hint(err_new(ERR_SETTING, "'%.100s' is not a subscription's id", id),
                    "It has the form 00000000-0000-0000-0000-000000000000; a subscription's name cannot be used.");
}

static char *first_url(const struct cloud *cloud, const char *subscription, const char *host)
{
    return xasprintf(
        "https://%s/subscriptions/%s/resources?$filter=resourceType%%20eq%%20%%27Microsoft.ContainerRegistry"
        "/registries%%27%%20and%%20name%%20eq%%20%%27%.*s%%27&api-version=2021-04-01&$select=id",
        cloud->arm_host, subscription, (int)strcspn(host, "."), host);
}

static struct err *refusal(const struct cloud *cloud, const struct http_response *a)
{
    AUTO(buf_release) struct buf text = BUF_INIT;
    bool denied = a->status == 401 || a->status == 403;

    error_body_describe(a->body.data, a->body.len, http_header(a, "content-type"), &text);
    struct err *e = err_new(denied ? ERR_AUTH : ERR_REGISTRY, "'%s' answered with status %d%s%s", cloud->arm_host,
                            a->status, text.len ? ": " : "", buf_str(&text));
    return denied ? err_hint(e, "The identity needs the role Reader on the registry.") : e;
}

/* One page; *ret_next is the following one's URL, or NULL. */
static struct err *get_page(struct azure *az, const struct cloud *cloud, const char *url, const char *authorization,
                            char **ret_id, char **ret_next)
{
    AUTO(http_response_release) struct http_response a = { 0 };
    AUTO(json_free) struct json *root = NULL;
    const struct http_request rq = {
        .method = "GET", .url = url, .authorization = authorization, .body_fd = -1, .always_verify = true
    };

    TRY(http_perform(az->http, &rq, &a));
    if (a.status != 200)
        return refusal(cloud, &a);
    TRY(json_parse(a.body.data ? a.body.data : "", a.body.len, &root));
    const char *id = json_get_string(json_at(json_get(root, "value"), 0), "id");
    const char *next = json_get_string(root, "nextLink");
    *ret_id = id ? xstrdup(id) : NULL;
    *ret_next = next && *next ? xstrdup(next) : NULL;
    return NULL;
}

/* The token goes to the resource manager and nowhere else, whatever a page says. */
static struct err *check_next(const struct cloud *cloud, const char *next)
{
    AUTO_FREE char *host = http_host(next);

    if (strncmp(next, "https://", 8) == 0 && strcmp(host, cloud->arm_host) == 0)
        return NULL;
    return err_new(ERR_REGISTRY, "'%s' sends us to another host", cloud->arm_host);
}

static struct err *find_id(struct azure *az, const struct cloud *cloud, const char *url, const char *authorization,
                           char **ret_id)
{
    AUTO_FREE char *at = xstrdup(url);

    for (int n = 0; n < LIMIT_ARM_PAGES; n++) {
        char *next = NULL;

        TRY(get_page(az, cloud, at, authorization, ret_id, &next));
        free(at);
        at = next;
        if (*ret_id || !at)
            return NULL;
        TRY(check_next(cloud, at));
    }
    return err_new(ERR_REGISTRY, "'%s' gives more than %d pages", cloud->arm_host, LIMIT_ARM_PAGES);
}

static struct err *portal_url(struct azure *az, const struct identity_ops *id, const struct cloud *cloud,
                              const char *host, const char *subscription, char **ret_url)
{
    AUTO_FREE char *first = first_url(cloud, subscription, host);
    AUTO_FREE char *resource = NULL;
    const char *token = NULL;
    bool unused;

    TRY(azure_token(az, id, cloud, cloud->arm_resource, &token, &unused));
    __attribute__((cleanup(auth_wipe_auto))) char *authorization = xasprintf("Bearer %s", token);
    TRY(find_id(az, cloud, first, authorization, &resource));
    if (!resource)
        return err_hint(err_new(ERR_REGISTRY, "the subscription has no registry of that name that we may see"),
                        "Check the subscription's id; the identity needs the role Reader on the registry.");
    AUTO_FREE char *code = escape_id(resource);
    *ret_url = xasprintf("https://%s" PORTAL_PATH "%s", cloud->portal, code);
    return NULL;
}

struct err *auth_portal_url(const struct auth *a, const char *host, const char *subscription_id, char **ret_url)
{
    AUTO_FREE char *name = auth_host(host);
    const struct cloud *cloud = cloud_of_registry(name);
    const struct identity_ops *id = azure_identity(a->azure);

    TRY(check_subscription(subscription_id));
    if (!cloud)
        return err_new(ERR_SETTING, "'%s' is not an Azure registry", name);
    if (!id)
        return err_new(ERR_SETTING, "only an identity of Entra ID may ask the resource manager");
    pthread_mutex_lock(&a->azure->lock);
    struct err *e = portal_url(a->azure, id, cloud, name, subscription_id, ret_url);
    pthread_mutex_unlock(&a->azure->lock);
    return err_wrap(e, "cannot look up registry '%s' in subscription '%s'", name, subscription_id);
}
