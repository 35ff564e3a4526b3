/* Credentials, certificates and what is known about single registries. */
#include "base/limits.h"
#include "settings/settings_priv.h"
#include "settings/values.h"
#include "sys/file.h"
#include "json/json.h"

#include <string.h>
#include <strings.h>
#include <sys/stat.h>

static bool file_exists(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && !S_ISDIR(st.st_mode);
}

static bool is_dir(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static void check_pair(struct reading *r, const char *user_name, const char *user, const char *password_name,
                       const struct secret *password)
{
    if (user && !secret_reveal(password))
        reading_mistake(r, err_new(ERR_SETTING, "%s is set, but %s is not", user_name, password_name));
    if (!user && secret_reveal(password))
        reading_mistake(r, err_new(ERR_SETTING, "%s is set, but %s is not", password_name, user_name));
}

static const char *or_default(const char *origin, const char *name)
{
    return origin ? origin : name;
}

/* Base image credentials need all three. Without a registry, names that are common elsewhere (DOCKER_...) are not ours.
 */
static void check_base(struct reading *r)
{
    struct settings *s = r->s;
    const char *user = reading_origin(r, "PLUGIN_BASE_IMAGE_USERNAME");
    const char *password = reading_origin(r, "PLUGIN_BASE_IMAGE_PASSWORD");
    const char *any = user ? user : password;

    if (s->base_registry && !any)
        reading_mistake(r, err_new(ERR_SETTING,
                                   "%s is set, but PLUGIN_BASE_IMAGE_USERNAME and PLUGIN_BASE_IMAGE_PASSWORD are not",
                                   reading_origin(r, "PLUGIN_BASE_IMAGE_REGISTRY")));
    else if (s->base_registry)
        check_pair(r, or_default(user, "PLUGIN_BASE_IMAGE_USERNAME"), s->base_username,
                   or_default(password, "PLUGIN_BASE_IMAGE_PASSWORD"), &s->base_password);
    else if (any && strncmp(any, "PLUGIN_", 7) == 0)
        reading_mistake(
            r, err_new(ERR_SETTING, "%s is set, but PLUGIN_BASE_IMAGE_REGISTRY, which it is for, is not", any));
    else if (any)
        strs_take(&s->notes, xasprintf("%s is not used: no PLUGIN_BASE_IMAGE_REGISTRY says what it is for", any));
}

static bool add_config(struct reading *r, const char *dir, const char *name)
{
    AUTO_FREE char *path = name ? xasprintf("%s/%s", dir, name) : xstrdup(dir);

    if (!file_exists(path))
        return false;
    if (strs_has(&r->s->docker_configs, path))
        return true;
    if (access(path, R_OK) == 0)
        strs_take(&r->s->docker_configs, steal(&path));
    else
        strs_take(&r->s->notes, xasprintf("the docker configuration '%s' is not used: %s", path, strerror(errno)));
    return true;
}

static struct err *add_named_config(struct reading *r, const char *path)
{
    if (*path == '{') /* most likely with a password in it: not shown */
        return err_new(ERR_SETTING,
                       "PLUGIN_DOCKER_CONFIG must be a path; the text itself belongs into DOCKER_AUTH_CONFIG");
    bool dir = is_dir(path);
    if (!dir && file_exists(path) && access(path, R_OK) != 0)
        return err_set_kind(err_sys(errno, "PLUGIN_DOCKER_CONFIG names '%.200s', which cannot be read", path),
                            ERR_SETTING);
    if (dir ? add_config(r, path, "config.json") || add_config(r, path, ".dockerconfigjson")
            : add_config(r, path, NULL))
        return NULL;
    return err_new(ERR_SETTING,
                   "PLUGIN_DOCKER_CONFIG is '%.200s', but must be a config.json or .dockerconfigjson, or a directory "
                   "with one",
                   path);
}

static void find_configs(struct reading *r)
{
    const char *named = reading_env(r, "PLUGIN_DOCKER_CONFIG"), *dir = reading_env(r, "DOCKER_CONFIG");
    const char *home = reading_env(r, "HOME");

    if (named)
        reading_mistake(r, add_named_config(r, named));
    if (dir)
        add_config(r, dir, "config.json");
    if (home) {
        AUTO_FREE char *docker = xasprintf("%s/.docker", home);
        add_config(r, docker, "config.json");
    }
    add_config(r, "/kaniko/.docker", "config.json");
}

static void check_secrets_dir(struct reading *r)
{
    const char *dir = reading_env(r, "PLUGIN_SECRETS_DIR");

    if (dir && !is_dir(dir))
        reading_mistake(r, err_new(ERR_SETTING, "PLUGIN_SECRETS_DIR is '%.200s', but must be a directory", dir));
}

static void check_document(struct reading *r)
{
    const char *text = secret_reveal(&r->s->docker_auth_config);
    AUTO(json_free) struct json *tree = NULL;

    if (!text)
        return;
    struct err *e = json_parse(text, strlen(text), &tree);
    bool object = !e && json_type(tree) == JSON_OBJECT;
    err_free(e); /* its text may quote what it read */
    if (!object)
        reading_mistake(
            r, err_new(ERR_SETTING, "DOCKER_AUTH_CONFIG is '***', but must be a JSON object as in config.json"));
}

static void check_ca_file(struct reading *r)
{
    struct settings *s = r->s;

    if (!s->ca_file || file_exists(s->ca_file))
        return;
    strs_take(&s->notes,
              xasprintf("%s is not used: there is no file '%.200s'", reading_origin(r, "HARNESS_CA_PATH"), s->ca_file));
    free(s->ca_file);
    s->ca_file = NULL;
}

static void check_certificates(struct reading *r)
{
    const struct strs *list = &r->s->registry_certificates;

    for (size_t i = 0; i < list->n; i++) {
        const char *eq = strchr(list->items[i], '=');
        if (!eq || eq == list->items[i] || !file_exists(eq + 1))
            reading_mistake(r, err_new(ERR_SETTING,
                                       "PLUGIN_REGISTRY_CERTIFICATE has '%.200s', but must be HOST=FILE of a file "
                                       "that exists",
                                       list->items[i]));
    }
}

static void check_map(struct reading *r)
{
    const struct strs *list = &r->s->registry_map;

    for (size_t i = 0; i < list->n; i++) {
        const char *eq = strchr(list->items[i], '=');
        if (!eq || eq == list->items[i] || !eq[1])
            reading_mistake(r, err_new(ERR_SETTING, "%s has '%.200s', but must be HOST=MIRROR;...",
                                       reading_origin(r, "PLUGIN_REGISTRY_MAP"), list->items[i]));
    }
}

static bool client_cert_valid(const char *item)
{
    const char *eq = strchr(item, '='), *comma = eq ? strchr(eq, ',') : NULL;

    if (!comma || eq == item)
        return false;
    AUTO_FREE char *cert = xstrndup(eq + 1, (size_t)(comma - eq - 1));
    return file_exists(cert) && file_exists(comma + 1);
}

/* The list was split at every comma: an item without '=' is the key of the one before it. */
static void check_client_certs(struct reading *r)
{
    struct strs *list = &r->s->registry_client_certs, whole = { 0 };

    for (size_t i = 0; i < list->n; i++) {
        const char *item = list->items[i];
        if (i + 1 < list->n && strchr(item, '=') && !strchr(list->items[i + 1], '=')) {
            strs_take(&whole, xasprintf("%s,%s", item, list->items[i + 1]));
            i++;
        } else {
            strs_add(&whole, item);
        }
    }
    strs_release(list);
    *list = whole;
    for (size_t i = 0; i < list->n; i++)
        if (!client_cert_valid(list->items[i]))
            reading_mistake(r, err_new(ERR_SETTING,
                                       "PLUGIN_REGISTRY_CLIENT_CERT has '%.200s', but must be HOST=CERTIFICATE,KEY of "
                                       "files that exist",
                                       list->items[i]));
}

/* "true" stands for the image's registry: kaniko-acr knows the setting as a switch, kaniko as a list. */
static void resolve_tls_hosts(struct reading *r)
{
    struct settings *s = r->s;
    struct strs hosts = { 0 };

    for (size_t i = 0; i < s->skip_tls_registries.n; i++) {
        const char *item = s->skip_tls_registries.items[i];
        bool on = false;
        if (!value_bool(item, &on))
            strs_add(&hosts, item);
        else if (on && s->registry && !strs_has(&hosts, s->registry))
            strs_add(&hosts, s->registry);
    }
    strs_release(&s->skip_tls_registries);
    s->skip_tls_registries = hosts;
}

static void strip_schemes(struct strs *hosts)
{
    for (size_t i = 0; i < hosts->n; i++) {
        const char *sep = strstr(hosts->items[i], "://"), *host = sep ? sep + 3 : hosts->items[i];
        char *bare = xstrndup(host, strcspn(host, "/"));
        free(hosts->items[i]);
        hosts->items[i] = bare;
    }
}

void settings_check_credentials(struct reading *r)
{
    struct settings *s = r->s;

    check_secrets_dir(r);
    check_pair(r, "PLUGIN_USERNAME", s->username, "PLUGIN_PASSWORD", &s->password);
    check_base(r);
    find_configs(r);
    check_document(r);
    check_ca_file(r);
    check_certificates(r);
    check_client_certs(r);
    check_map(r);
    resolve_tls_hosts(r);
    strip_schemes(&s->skip_tls_registries);
    strip_schemes(&s->insecure_registries);
}
