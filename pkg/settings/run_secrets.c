/* run_secrets.c - secrets that a Dockerfile's RUN --mount=type=secret may ask for, read once into memory, and the named
 * contexts. What is missing is a mistake of the settings, told before anything is built. */
#include "base/limits.h"
#include "settings/settings_priv.h"
#include "settings/values.h"
#include "sys/file.h"

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

static struct err *add_secret(struct settings *s, const char *id, const void *data, size_t len)
{
    struct run_secret secret = { 0 };

    if (!*id)
        return err_new(ERR_SETTING, "a secret for RUN has no id");
    for (size_t i = 0; i < s->n_run_secrets; i++)
        if (strcmp(s->run_secrets[i].id, id) == 0)
            return err_new(ERR_SETTING, "the secret '%s' for RUN is given twice", id);
    if (len > LIMIT_SECRET_BYTES)
        return err_new(ERR_SETTING, "the secret '%s' for RUN is larger than %d bytes", id, LIMIT_SECRET_BYTES);
    if (s->n_run_secrets >= LIMIT_SECRETS)
        return err_new(ERR_SETTING, "there are more than %d secrets for RUN", LIMIT_SECRETS);
    secret.id = xstrdup(id);
    secret.data = xcalloc(1, len + 1);
    secret.len = len;
    memcpy(secret.data, data, len);
    s->run_secrets = xreallocarray(s->run_secrets, s->n_run_secrets + 1, sizeof(*s->run_secrets));
    s->run_secrets[s->n_run_secrets++] = secret;
    return NULL;
}

static struct err *from_env(struct reading *r, const char *id, const char *name)
{
    size_t len = strlen(name);

    for (char *const *e = r->environ_entries; *e; e++)
        if (strncmp(*e, name, len) == 0 && (*e)[len] == '=')
            return add_secret(r->s, id, *e + len + 1, strlen(*e + len + 1));
    return err_new(ERR_SETTING, "the secret '%s' for RUN comes from the variable %s, which is not set", id, name);
}

/* As it is, with every newline. */
static struct err *from_file(struct reading *r, const char *id, const char *path)
{
    AUTO(buf_release) struct buf b = BUF_INIT;
    struct err *e = file_read(path, LIMIT_SECRET_BYTES, &b);

    if (!e)
        e = add_secret(r->s, id, buf_str(&b), b.len);
    if (b.data)
        explicit_bzero(b.data, b.cap);
    return err_set_kind(err_wrap(e, "cannot read the secret '%s' for RUN", id), ERR_SETTING);
}

/* A mounted secret: each file is one, by its name. Kubernetes keeps ..data and the like beside them. */
static struct err *from_dir(struct reading *r, const char *dir)
{
    DIR *d = opendir(dir);
    struct err *all = NULL;

    if (!d)
        return err_set_kind(err_sys(errno, "cannot read the directory of secrets '%s'", dir), ERR_SETTING);
    for (struct dirent *e; (e = readdir(d));) { // NOLINT(concurrency-mt-unsafe): a stream of our own
        AUTO_FREE char *path = xasprintf("%s/%s", dir, e->d_name);
        struct stat st;

        if (strncmp(e->d_name, "..", 2) != 0 && stat(path, &st) == 0 && S_ISREG(st.st_mode))
            all = err_join(all, from_file(r, e->d_name, path));
    }
    closedir(d);
    return all;
}

static bool is_dir(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* "ID=WHERE"; alone it is both. */
static const char *split(const char *entry, char **ret_id)
{
    const char *eq = strchr(entry, '=');

    *ret_id = eq ? xstrndup(entry, (size_t)(eq - entry)) : xstrdup(entry);
    return eq ? eq + 1 : entry;
}

static struct err *from_file_entry(struct reading *r, const char *entry)
{
    AUTO_FREE char *id = NULL;
    const char *path = split(entry, &id);

    if (path == entry && is_dir(path))
        return from_dir(r, path);
    const char *slash = path == entry ? strrchr(path, '/') : NULL;
    return from_file(r, slash ? slash + 1 : id, path);
}

/* "id=ID[,src=FILE][,env=VARIABLE]", as docker build --secret has it. */
static struct err *from_option(struct reading *r, const char *option)
{
    AUTO(strs_release) struct strs fields = { 0 };
    const char *id = NULL, *path = NULL, *name = NULL;

    value_list(option, ",", &fields);
    for (size_t i = 0; i < fields.n; i++) {
        char *eq = strchr(fields.items[i], '=');

        if (!eq)
            return err_new(ERR_SETTING, "PLUGIN_SECRET has '%.200s', but must be id=ID[,src=FILE|,env=VARIABLE]",
                           option);
        *eq = '\0';
        if (strcmp(fields.items[i], "id") == 0)
            id = eq + 1;
        else if (strcmp(fields.items[i], "src") == 0 || strcmp(fields.items[i], "source") == 0)
            path = eq + 1;
        else if (strcmp(fields.items[i], "env") == 0)
            name = eq + 1;
        else if (strcmp(fields.items[i], "type") != 0)
            return err_new(ERR_SETTING, "PLUGIN_SECRET has an option '%.200s', but knows id, src, env and type",
                           fields.items[i]);
    }
    if (!id)
        return err_new(ERR_SETTING, "PLUGIN_SECRET has an entry without id=");
    if (path)
        return from_file(r, id, path);
    return from_env(r, id, name ? name : id);
}

void settings_check_run_secrets(struct reading *r)
{
    struct settings *s = r->s;

    for (size_t i = 0; i < s->secrets_from_env.n; i++) {
        AUTO_FREE char *id = NULL;
        const char *name = split(s->secrets_from_env.items[i], &id);

        reading_mistake(r, from_env(r, id, name));
    }
    for (size_t i = 0; i < s->secrets_from_file.n; i++)
        reading_mistake(r, from_file_entry(r, s->secrets_from_file.items[i]));
    for (size_t i = 0; i < s->secret_options.n; i++)
        reading_mistake(r, from_option(r, s->secret_options.items[i]));
}

void run_secrets_free(struct settings *s)
{
    for (size_t i = 0; i < s->n_run_secrets; i++) {
        explicit_bzero(s->run_secrets[i].data, s->run_secrets[i].len);
        free(s->run_secrets[i].data);
        free(s->run_secrets[i].id);
    }
    free(s->run_secrets);
}

/* ---- named contexts ---- */

static bool is_remote(const char *place)
{
    return (strstr(place, "://") && strncmp(place, "oci-layout://", 13) != 0) || strncmp(place, "git@", 4) == 0;
}

/* A directory, given as kaniko gives it or as docker build does. */
static struct err *check_build_context(char **entry)
{
    char *eq = strchr(*entry, '=');

    if (!eq || eq == *entry || !eq[1])
        return err_new(ERR_SETTING, "PLUGIN_BUILD_CONTEXTS has '%.200s', but must be NAME=PLACE", *entry);
    if (strncmp(eq + 1, "dir://", 6) == 0)
        memmove(eq + 1, eq + 7, strlen(eq + 7) + 1);
    if (is_remote(eq + 1) || strncmp(eq + 1, "oci-layout://", 13) == 0 || is_dir(eq + 1))
        return NULL;
    return err_hint(err_new(ERR_SETTING, "PLUGIN_BUILD_CONTEXTS has '%.200s', but there is no such directory", *entry),
                    "A context is a directory, docker-image://REFERENCE, oci-layout://DIRECTORY[:TAG], a Git "
                    "repository or the https address of an archive.");
}

void settings_check_build_contexts(struct reading *r)
{
    for (size_t i = 0; i < r->s->build_contexts.n; i++)
        reading_mistake(r, check_build_context(&r->s->build_contexts.items[i]));
}
