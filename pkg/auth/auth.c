#include "auth/azure_priv.h"

#include "base/base64.h"
#include "base/log.h"

#include <string.h>
#include <strings.h>

/* The order is the priority. A new method is one file and one row. */
static const struct auth_ops *const methods[] = { &auth_given,           &auth_azure_oidc,
                                                  &auth_azure_secret,    &auth_azure_certificate,
                                                  &auth_azure_federated, &auth_docker_config,
                                                  &auth_azure_managed };

struct auth *auth_new(void)
{
    return xcalloc(1, sizeof(struct auth));
}

void auth_wipe(char *s)
{
    if (s)
        explicit_bzero(s, strlen(s));
    free(s);
}

void credential_release(struct credential *c)
{
    auth_wipe(c->username);
    auth_wipe(c->password);
    auth_wipe(c->identity_token);
    auth_wipe(c->registry_token);
    free(c->origin);
    *c = (struct credential){ 0 };
}

static char *copy_or_null(const char *s)
{
    return s ? xstrdup(s) : NULL;
}

void credential_copy(struct credential *dst, const struct credential *src)
{
    dst->username = copy_or_null(src->username);
    dst->password = copy_or_null(src->password);
    dst->identity_token = copy_or_null(src->identity_token);
    dst->registry_token = copy_or_null(src->registry_token);
    dst->origin = copy_or_null(src->origin);
    dst->renewable = src->renewable;
}

char *credential_basic(const struct credential *c)
{
    if (!c->username || !c->password)
        return NULL;
    char *plain = xasprintf("%s:%s", c->username, c->password);
    char *code = base64_encode(plain, strlen(plain));
    char *value = xasprintf("Basic %s", code);
    auth_wipe(plain);
    auth_wipe(code);
    return value;
}

void auth_entry_release(struct auth_entry *e)
{
    free(e->host);
    free(e->path);
    free(e->helper);
    credential_release(&e->credential);
}

void auth_free(struct auth *a)
{
    if (!a)
        return;
    for (size_t i = 0; i < a->entries.n; i++)
        auth_entry_release(&a->entries.items[i]);
    vec_free(&a->entries);
    azure_free(a->azure);
    free(a);
}

/* ---- names of hosts ---- */

static bool is_docker_hub(const char *host)
{
    static const char *const names[] = {
        "docker.io",      "index.docker.io",   "registry-1.docker.io", "registry.hub.docker.com",
        "hub.docker.com", "registry.docker.io"
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(host, names[i]) == 0)
            return true;
    return false;
}

void auth_split_key(const char *key, char **ret_host, char **ret_path)
{
    const char *scheme = strstr(key, "://");
    const char *start = scheme ? scheme + 3 : key;
    size_t host_len = strcspn(start, "/");
    char *host = xstrndup(start, host_len);
    const char *path = start + host_len;

    while (*path == '/')
        path++;
    size_t path_len = strlen(path);
    while (path_len && path[path_len - 1] == '/')
        path_len--;
    /* the API's own prefix, in keys that are URLs */
    if (path_len == 2 && (strncmp(path, "v1", 2) == 0 || strncmp(path, "v2", 2) == 0))
        path_len = 0;
    for (char *p = host; *p; p++)
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p - 'A' + 'a');
    size_t len = strlen(host);
    if (len > 4 && strcmp(host + len - 4, ":443") == 0)
        host[len - 4] = '\0';
    if (is_docker_hub(host)) {
        free(host);
        host = xstrdup("docker.io");
    }
    *ret_host = host;
    *ret_path = xstrndup(path, path_len);
}

char *auth_host(const char *text)
{
    char *host, *path;

    auth_split_key(text, &host, &path);
    free(path);
    return host;
}

/* "*.azurecr.io" stands for one label, as the kubelet has it in pull secrets. */
static bool host_matches(const char *pattern, const char *host)
{
    if (strncmp(pattern, "*.", 2) != 0)
        return strcmp(pattern, host) == 0;
    const char *dot = strchr(host, '.');
    return dot && dot != host && strcmp(dot, pattern + 1) == 0;
}

static bool path_covers(const char *prefix, const char *path)
{
    size_t n = strlen(prefix);

    if (n == 0)
        return true;
    return strncmp(prefix, path, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

/* An exact host beats a pattern, then the longer path wins, then what was given last. */
static bool better(const struct auth_entry *a, const struct auth_entry *b)
{
    bool a_exact = a->host[0] != '*', b_exact = b->host[0] != '*';

    if (a_exact != b_exact)
        return a_exact;
    return strlen(a->path) >= strlen(b->path);
}

const struct auth_entry *auth_match(const struct auth *a, enum auth_source source, const char *host, const char *path)
{
    const struct auth_entry *best = NULL;

    for (size_t i = 0; i < a->entries.n; i++) {
        const struct auth_entry *e = &a->entries.items[i];

        if (e->source == source && host_matches(e->host, host) && path_covers(e->path, path) &&
            (!best || better(e, best)))
            best = e;
    }
    return best;
}

struct err *auth_find(const struct auth *a, const char *host, const char *path, enum auth_use use,
                      struct credential *ret)
{
    AUTO_FREE char *name = auth_host(host);

    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        struct credential found = { 0 };
        bool applies = false;

        TRY(methods[i]->find(a, name, path ? path : "", use, &found, &applies));
        if (!applies)
            continue;
        log_debug("auth", "%s: credentials from %s (%s)", name, found.origin ? found.origin : "?", methods[i]->name);
        *ret = found;
        return NULL;
    }
    log_debug("auth", "%s: no credentials, anonymous", name);
    *ret = (struct credential){ 0 };
    return NULL;
}
