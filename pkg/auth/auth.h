/* auth.h - from a registry host to credentials: a table of methods (auth.c), first that applies wins. In that order:
 *
 *   1. credentials given for that very host (basic: a user, a service principal, an admin user, a repository's token);
 *   2. for Azure's registries, the identity of the step: an OIDC token, a client secret, a client certificate, a
 *      federated token of the cluster (workload identity);
 *   3. docker config.json documents;
 *   4. for Azure's registries, the machine's managed identity;
 *   5. nothing: anonymous.
 *
 * Azure's identities become tokens of Entra ID, and those a refresh token of the one registry; both are kept until
 * shortly before they expire. They go to Entra ID's login service, to registries and to the resource manager of one
 * cloud, nowhere else, and only by https. Credentials live in memory only. Thread-safe after the set-up. */
#ifndef AUTH_AUTH_H
#define AUTH_AUTH_H

#include "base/err.h"
#include "base/mem.h"
#include "http/http.h"

#include <stdbool.h>

struct auth;

struct credential {
    char *username, *password; /* NULL = anonymous */
    char *identity_token;      /* an OAuth2 refresh token for the token service, or NULL */
    char *registry_token;      /* a bearer token to use as it is, or NULL */
    char *origin;   /* owned; NULL = anonymous; for messages: "PLUGIN_USERNAME"-like text given at set-up, or the config
                       file's path */
    bool renewable; /* made from an identity: auth_refused() may lead to another */
};

struct auth *auth_new(void);
/* Credentials for one host ("reg.example:5000"; Docker Hub by any of its names). origin is for messages ("the base
 * image settings"). Strings are copied. */
void auth_add_basic(struct auth *a, const char *host, const char *username, const char *password, const char *origin);
/* The same for pulls only, where they come before all others. */
void auth_add_basic_pull(struct auth *a, const char *host, const char *username, const char *password,
                         const char *origin);
/* A docker config.json or .dockerconfigjson document: auths.HOST.{auth,username,password,identitytoken,registrytoken},
 * or the older .dockercfg without "auths". An entry for which credHelpers or credsStore name a helper program is
 * refused when auth_find() needs it, with a message that says why (no helper programs in the step): what the build does
 * not touch does no harm. */
MUST_USE struct err *auth_add_docker_config(struct auth *a, const char *text, size_t len, const char *origin);

/* What the step knows of its identity at Azure. NULL or "" = not given; everything is copied. */
struct auth_azure_opts {
    const char *client_id, *tenant_id;
    const char *client_secret;
    const char *certificate; /* PEM or PKCS#12 */
    size_t certificate_len;
    const char *certificate_password;
    bool send_chain;                                 /* the assertion carries the certificates: issuer-based trust */
    const char *oidc_token;                          /* a JWT that is the assertion */
    const char *federated_token_file;                /* a file with one, which is read at each use: it changes */
    const char *object_id, *resource_id;             /* of a managed identity, instead of client_id */
    const char *identity_endpoint, *identity_header; /* of App Service, or with imds_endpoint of Arc */
    const char *imds_endpoint;
    const char *authority; /* "https://login.microsoftonline.com"; default: the cloud of the registry */
};
/* ERR_SETTING if the certificate cannot be used or the authority is no https URL. http is borrowed. */
MUST_USE struct err *auth_add_azure(struct auth *a, struct http *http, const struct auth_azure_opts *o);
/* Before a push to that host: ERR_SETTING if the identity that was given cannot be used there, and nothing else is
 * known for it. */
MUST_USE struct err *auth_check_azure(const struct auth *a, const char *host);
/* Is that host an Azure registry? */
bool auth_is_azure(const char *host);

enum auth_use { AUTH_PULL, AUTH_PUSH };
/* What to use for that host; the caller releases it. path ("library/busybox") chooses the longest matching config key.
 * May ask Entra ID and the registry: refused is ERR_AUTH with what they said, no answer is ERR_NETWORK. */
MUST_USE struct err *auth_find(const struct auth *a, const char *host, const char *path, enum auth_use use,
                               struct credential *ret);
/* The token service refused c: forgets it. True: auth_find() may find another, once. */
bool auth_refused(const struct auth *a, const char *host, const struct credential *c);
/* May credentials for that host be sent to a token service at realm_host? A registry of Azure's is its own. */
bool auth_realm_allowed(const char *host, const char *realm_host);
/* Where Azure's portal shows that registry, as its resource manager knows it by the subscription. Needs an identity. */
MUST_USE struct err *auth_portal_url(const struct auth *a, const char *host, const char *subscription_id,
                                     char **ret_url);
void credential_release(struct credential *c); /* wipes the memory */
static inline void credential_release_auto(struct credential *c)
{
    credential_release(c);
}
/* "Basic BASE64" of name and password, for the Authorization header; NULL if there are none. The caller wipes and
 * frees. */
char *credential_basic(const struct credential *c);
/* The host as it is compared: lower case, without scheme and path, Docker Hub's many names as "docker.io". The caller
 * frees. */
char *auth_host(const char *host);
void auth_free(struct auth *a);
DEFINE_CLEANUP(struct auth *, auth_free);

#endif
