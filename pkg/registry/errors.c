/* errors.c - what a registry's refusal means for the user. */
#include "registry/registry_priv.h"

#include "oci/error_body.h"

#include <string.h>

void errors_describe(const struct http_response *a, struct buf *out)
{
    error_body_describe(a->body.data, a->body.len, http_header(a, "content-type"), out);
}

bool errors_has(const struct http_response *a, const char *code)
{
    return error_body_has(a->body.data, a->body.len, code);
}

static const char *role_for(const char *host, const char *action)
{
    if (!auth_is_azure(host))
        return "";
    return strcmp(action, "push") == 0
               ? " On Azure that is the role AcrPush, or on registries with repository permissions (ABAC) Container "
                 "Registry Repository Writer; a new role takes up to ten minutes to be seen."
               : " On Azure that is the role AcrPull, or on registries with repository permissions (ABAC) Container "
                 "Registry Repository Reader; a new role takes up to ten minutes to be seen.";
}

/* Azure's registries say so when their network rules keep us out. */
static bool is_firewall(const struct http_response *a)
{
    return a->status == 403 && a->body.len && memmem(a->body.data, a->body.len, "client with IP", 14) != NULL;
}

char *errors_auth_hint(const struct endpoint *ep, const char *repo, const char *action, const struct http_response *a)
{
    const char *role = role_for(ep->host, action);

    if (is_firewall(a))
        return xstrdup("The registry's network rules do not let this pod in: allow its outgoing address in the "
                       "registry's firewall, or reach it through a private endpoint.");
    if (!ep->used)
        return xasprintf("No credentials are known for '%s': give some that may %s, or check the repository's name.%s",
                         ep->host, action, role);
    return xasprintf("%s may %s on '%s'.%s", ep->used, action, repo, role);
}
