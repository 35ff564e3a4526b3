/* auth_config.c - docker config.json, .dockerconfigjson and the older .dockercfg. */
#include "auth/auth_priv.h"

#include "base/base64.h"
#include "json/json.h"

#include <string.h>

static char *copy_member(const struct json *object, const char *name)
{
    const char *s = json_get_string(object, name);

    return s && *s ? xstrdup(s) : NULL;
}

/* "auth": base64 of user:password; some tools pad it with NULs. */
static struct err *decode_auth(const char *text, const char *key, struct credential *c)
{
    AUTO(buf_release) struct buf plain = BUF_INIT;
    bool good = base64_decode(text, strlen(text), &plain);

    char *s = (char *)buf_str(&plain); /* ends at the first NUL */
    char *colon = strchr(s, ':');
    if (good && colon) {
        *colon = '\0';
        free(c->username);
        free(c->password);
        c->username = xstrdup(s);
        c->password = xstrdup(colon + 1);
    }
    explicit_bzero(plain.data, plain.len);
    if (!good || !colon)
        return err_new(ERR_SETTING, "the member 'auth' of '%s' is not the base64 form of user:password", key);
    return NULL;
}

static struct err *read_credential(const struct json *object, const char *key, struct credential *c)
{
    const char *code = json_get_string(object, "auth");

    c->username = copy_member(object, "username");
    c->password = copy_member(object, "password");
    c->identity_token = copy_member(object, "identitytoken");
    c->registry_token = copy_member(object, "registrytoken");
    if (code && *code)
        TRY(decode_auth(code, key, c));
    return NULL;
}

static bool is_empty(const struct credential *c)
{
    return !(c->username && c->password) && !c->identity_token && !c->registry_token;
}

static struct err *add_entry(struct auth *a, const char *key, const struct json *object, const char *store,
                             const char *origin)
{
    struct auth_entry e = { .source = AUTH_DOCKER_CONFIG };
    struct err *failure = read_credential(object, key, &e.credential);

    if (failure || (is_empty(&e.credential) && !store)) { /* an empty entry means nothing without a store */
        credential_release(&e.credential);
        return failure;
    }
    auth_split_key(key, &e.host, &e.path);
    if (is_empty(&e.credential))
        e.helper = xstrdup(store);
    e.credential.origin = xstrdup(origin);
    vec_push(&a->entries, e);
    return NULL;
}

static void add_helper(struct auth *a, const char *key, const char *helper, const char *origin)
{
    struct auth_entry e = { .source = AUTH_DOCKER_CONFIG };

    auth_split_key(key, &e.host, &e.path);
    e.helper = xstrdup(helper);
    e.credential.origin = xstrdup(origin);
    vec_push(&a->entries, e);
}

/* The older .dockercfg is the map itself. */
static const struct json *find_auths(const struct json *root)
{
    const struct json *auths = json_get(root, "auths");
    const struct json *first = NULL;

    if (auths || json_get(root, "credHelpers") || json_get(root, "credsStore") || json_count(root) == 0)
        return auths;
    (void)json_member(root, 0, &first);
    return json_type(first) == JSON_OBJECT && json_get(first, "auth") ? root : NULL;
}

static struct err *add_all(struct auth *a, const struct json *root, const char *origin)
{
    const struct json *auths = find_auths(root), *helpers = json_get(root, "credHelpers"), *value = NULL;
    const char *store = json_get_string(root, "credsStore");

    if (store && !*store)
        store = NULL;
    /* helpers first: an entry with credentials of its own for the same host comes later and wins */
    for (size_t i = 0; json_type(helpers) == JSON_OBJECT && i < json_count(helpers); i++) {
        const char *key = json_member(helpers, i, &value);
        const char *helper = json_string(value);

        if (helper && *helper)
            add_helper(a, key, helper, origin);
    }
    for (size_t i = 0; json_type(auths) == JSON_OBJECT && i < json_count(auths); i++) {
        const char *key = json_member(auths, i, &value);

        TRY(add_entry(a, key, value, store, origin));
    }
    return NULL;
}

struct err *auth_add_docker_config(struct auth *a, const char *text, size_t len, const char *origin)
{
    AUTO(json_free) struct json *root = NULL;

    TRY(err_set_kind(err_wrap(json_parse(text, len, &root), "cannot read the docker config '%s'", origin),
                     ERR_SETTING));
    if (json_type(root) != JSON_OBJECT)
        return err_new(ERR_SETTING, "the docker config '%s' is not a JSON object", origin);
    return err_wrap(add_all(a, root, origin), "cannot use the docker config '%s'", origin);
}

static struct err *find(const struct auth *a, const char *host, const char *path, enum auth_use use,
                        struct credential *ret, bool *ret_found)
{
    const struct auth_entry *e = auth_match(a, AUTH_DOCKER_CONFIG, host, path);

    (void)use;
    if (e && e->helper)
        return err_hint(
            err_new(ERR_AUTH, "the docker config '%s' wants the credential helper 'docker-credential-%s' for '%s'",
                    e->credential.origin, e->helper, host),
            "No helper programs are run here: put user and password (or a token) for '%s' under \"auths\".", host);
    if (e)
        credential_copy(ret, &e->credential);
    *ret_found = e != NULL;
    return NULL;
}

const struct auth_ops auth_docker_config = { "docker config", find };
