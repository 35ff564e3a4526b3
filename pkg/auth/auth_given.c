/* auth_given.c - credentials that the settings name for one host. */
#include "auth/auth_priv.h"

static void add(struct auth *a, enum auth_source source, const char *host, const char *username, const char *password,
                const char *origin)
{
    struct auth_entry e = { .source = source };

    auth_split_key(host, &e.host, &e.path);
    e.credential.username = xstrdup(username);
    e.credential.password = xstrdup(password);
    e.credential.origin = xstrdup(origin);
    vec_push(&a->entries, e);
}

void auth_add_basic(struct auth *a, const char *host, const char *username, const char *password, const char *origin)
{
    add(a, AUTH_GIVEN, host, username, password, origin);
}

void auth_add_basic_pull(struct auth *a, const char *host, const char *username, const char *password,
                         const char *origin)
{
    add(a, AUTH_GIVEN_PULL, host, username, password, origin);
}

static struct err *find(const struct auth *a, const char *host, const char *path, enum auth_use use,
                        struct credential *ret, bool *ret_found)
{
    const struct auth_entry *e = use == AUTH_PULL ? auth_match(a, AUTH_GIVEN_PULL, host, path) : NULL;

    if (!e)
        e = auth_match(a, AUTH_GIVEN, host, path);
    if (e)
        credential_copy(ret, &e->credential);
    *ret_found = e != NULL;
    return NULL;
}

const struct auth_ops auth_given = { "given", find };
