/* auth.h - from a registry host to credentials: a table of methods, first that applies wins: credentials given for that very
 * host, docker config.json documents, anonymous. Credentials live in memory only. Thread-safe after auth_new's set-up. */
#ifndef AUTH_AUTH_H
#define AUTH_AUTH_H

#include "base/err.h"
#include "base/mem.h"

struct auth;

struct credential {
    char *username, *password; /* NULL = anonymous */
    char *identity_token;      /* an OAuth2 refresh token for the token service, or NULL */
    const char *origin;        /* for messages: "PLUGIN_USERNAME"-like text given at set-up, or the config file's path */
};

struct auth *auth_new(void);
/* Credentials for one host ("reg.example:5000"; Docker Hub by any of its names). origin is for messages ("the base image
 * settings"). Strings are copied. */
void auth_add_basic(struct auth *a, const char *host, const char *username, const char *password, const char *origin);
/* A docker config.json or .dockerconfigjson document: auths.HOST.{auth,username,password,identitytoken}. credHelpers and credsStore
 * are refused with a message that says why (no helper programs in the step). */
MUST_USE struct err *auth_add_docker_config(struct auth *a, const char *text, size_t len, const char *origin);
/* What to use for that host; the caller releases it. path ("library/busybox") chooses the longest matching config key. */
MUST_USE struct err *auth_find(const struct auth *a, const char *host, const char *path, struct credential *ret);
void credential_release(struct credential *c); /* wipes the memory */
void auth_free(struct auth *a);
DEFINE_CLEANUP(struct auth *, auth_free);

#endif
