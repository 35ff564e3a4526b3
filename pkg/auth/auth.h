/* auth.h - from a registry host to credentials: a table of methods, first that applies wins: credentials given for that
 * very host, docker config.json documents, anonymous. Credentials live in memory only. Thread-safe after auth_new's
 * set-up. */
#ifndef AUTH_AUTH_H
#define AUTH_AUTH_H

#include "base/err.h"
#include "base/mem.h"

struct auth;

struct credential {
    char *username, *password; /* NULL = anonymous */
    char *identity_token;      /* an OAuth2 refresh token for the token service, or NULL */
    char *registry_token;      /* a bearer token to use as it is, or NULL */
    char *origin; /* owned; NULL = anonymous; for messages: "PLUGIN_USERNAME"-like text given at set-up, or the config
                     file's path */
};

struct auth *auth_new(void);
/* Credentials for one host ("reg.example:5000"; Docker Hub by any of its names). origin is for messages ("the base
 * image settings"). Strings are copied. */
void auth_add_basic(struct auth *a, const char *host, const char *username, const char *password, const char *origin);
/* A docker config.json or .dockerconfigjson document: auths.HOST.{auth,username,password,identitytoken,registrytoken},
 * or the older .dockercfg without "auths". An entry for which credHelpers or credsStore name a helper program is
 * refused when auth_find() needs it, with a message that says why (no helper programs in the step): what the build does
 * not touch does no harm. */
MUST_USE struct err *auth_add_docker_config(struct auth *a, const char *text, size_t len, const char *origin);
/* What to use for that host; the caller releases it. path ("library/busybox") chooses the longest matching config key.
 */
MUST_USE struct err *auth_find(const struct auth *a, const char *host, const char *path, struct credential *ret);
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
