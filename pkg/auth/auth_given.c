/* auth_given.c - credentials that the settings name for one host. */
#include "auth/auth_priv.h"

void auth_add_basic(struct auth *a, const char *host, const char *username, const char *password, const char *origin)
{
    struct auth_entry e = { .source = AUTH_GIVEN };

    auth_split_key(host, &e.host, &e.path);
    e.credential.username = xstrdup(username);
    e.credential.password = xstrdup(password);
    e.credential.origin = xstrdup(origin);
    vec_push(&a->entries, e);
}

static struct err *find(const struct auth *a, const char *host, const char *path, struct credential *ret,
                        bool *ret_found)
{
    const struct auth_entry *e = auth_match(a, AUTH_GIVEN, host, path);

    if (e)
        credential_copy(ret, &e->credential);
    *ret_found = e != NULL;
    return NULL;
}

const struct auth_ops auth_given = { "given", find };
