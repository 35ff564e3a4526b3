/* auth_priv.h - the table of methods and what they share. */
#ifndef AUTH_AUTH_PRIV_H
#define AUTH_AUTH_PRIV_H

#include "auth/auth.h"
#include "base/vec.h"

#include <stdbool.h>

enum auth_source { AUTH_GIVEN_PULL, AUTH_GIVEN, AUTH_DOCKER_CONFIG };

/* Credentials for one host, or a part of its repositories. Strings owned. */
struct auth_entry {
    enum auth_source source;
    char *host;   /* as auth_host() makes it; "*.suffix" in a config matches one label */
    char *path;   /* "" = all repositories, else "team/app": that repository and those below */
    char *helper; /* a helper program would have the credentials */
    struct credential credential;
};

struct azure;
struct auth {
    VEC(struct auth_entry) entries;
    struct azure *azure; /* NULL = none was given */
};

/* One way to come by credentials. *ret_found false: it does not apply to that host. */
struct auth_ops {
    const char *name;
    struct err *(*find)(const struct auth *a, const char *host, const char *path, enum auth_use use,
                        struct credential *ret, bool *ret_found);
};
extern const struct auth_ops auth_given;
extern const struct auth_ops auth_docker_config;
extern const struct auth_ops auth_azure_oidc, auth_azure_secret, auth_azure_certificate, auth_azure_federated,
    auth_azure_managed;

/* The entry of that source with the longest path that covers host and path, or NULL. Borrowed. */
const struct auth_entry *auth_match(const struct auth *a, enum auth_source source, const char *host, const char *path);
void credential_copy(struct credential *dst, const struct credential *src);
/* Splits "https://reg.example/v1/" or "reg.example/team" into host and path; both are the caller's to free. */
void auth_split_key(const char *key, char **ret_host, char **ret_path);
void auth_entry_release(struct auth_entry *e);
/* Frees a secret text (may be NULL), its memory wiped. */
void auth_wipe(char *s);
static inline void auth_wipe_auto(char **s)
{
    auth_wipe(*s);
}

#endif
