/* azure.c - from the step's identity to credentials for Azure's registries: the rows of the table of methods, and the
 * tokens that are kept. */
#include "auth/azure_priv.h"

#include "base/log.h"

#include <string.h>
#include <time.h>

/* As user name it says that the password is a token. */
#define NULL_GUID "00000000-0000-0000-0000-000000000000"

/* ---- tokens ---- */

static int64_t now_s(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_BOOTTIME, &ts);
    return ts.tv_sec;
}

void timed_token_release(struct timed_token *t)
{
    auth_wipe(t->text);
    *t = (struct timed_token){ 0 };
}

static void timed_token_free(void *p)
{
    timed_token_release(p);
    free(p);
}

struct timed_token timed_token_new(const char *text, int64_t lifetime_s, int64_t margin_s)
{
    int64_t margin = lifetime_s / 5 < margin_s ? lifetime_s / 5 : margin_s;

    return (struct timed_token){ xstrdup(text), now_s() + lifetime_s - margin };
}

static const struct timed_token *kept(const struct map *m, const char *key)
{
    const struct timed_token *t = map_get(m, key);

    return t && now_s() < t->renew_at ? t : NULL;
}

static const struct timed_token *keep(struct map *m, const char *key, struct timed_token t)
{
    struct timed_token *copy = xcalloc(1, sizeof(*copy));

    *copy = t;
    map_set(m, key, copy);
    return copy;
}

bool azure_get_seconds(const struct json *object, const char *name, int64_t *ret)
{
    const char *text = json_get_string(object, name);
    char *end;

    if (!text)
        return json_get_int(object, name, ret);
    errno = 0;
    long long n = strtoll(text, &end, 10);
    if (end == text || *end || errno)
        return false;
    *ret = n;
    return true;
}

static char *entra_key(const struct identity_ops *id, const char *resource)
{
    return xasprintf("%s|%s", id->name, resource);
}

struct err *azure_token(struct azure *az, const struct identity_ops *id, const struct cloud *cloud,
                        const char *resource, const char **ret_text, bool *ret_unknown)
{
    AUTO_FREE char *key = entra_key(id, resource);
    const struct timed_token *t = kept(az->entra, key);
    struct timed_token made = { 0 };

    *ret_unknown = false;
    if (!t) {
        TRY(id->token(az, cloud, resource, &made, ret_unknown));
        t = keep(az->entra, key, made);
    }
    *ret_text = t->text;
    return NULL;
}

void azure_forget_token(struct azure *az, const struct identity_ops *id, const char *resource)
{
    AUTO_FREE char *key = entra_key(id, resource);

    map_remove(az->entra, key);
}

/* ---- set-up ---- */

static char *copy(const char *s)
{
    return s && *s ? xstrdup(s) : NULL;
}

/* An https URL with nothing but a host in it. */
static struct err *read_authority(const char *text, char **ret)
{
    const char *host = strncmp(text, "https://", 8) == 0 ? text + 8 : NULL;
    size_t n = host ? strcspn(host, "/?#@") : 0;

    if (n == 0 || host[n + strspn(host + n, "/")])
        return err_hint(err_new(ERR_SETTING, "the Azure login service '%.200s' is no https://HOST", text),
                        "It is https://login.microsoftonline.com for most.");
    *ret = xasprintf("https://%.*s", (int)n, host);
    return NULL;
}

static struct err *read_certificate(const struct auth_azure_opts *o, struct signer **ret)
{
    return err_wrap(signer_new(o->certificate, o->certificate_len, o->certificate_password, ret),
                    "cannot use the client certificate");
}

static struct azure *azure_new(struct http *http, const struct auth_azure_opts *o)
{
    struct azure *az = xcalloc(1, sizeof(*az));

    az->http = http;
    az->client_id = copy(o->client_id);
    az->tenant_id = copy(o->tenant_id);
    az->client_secret = copy(o->client_secret);
    az->oidc_token = copy(o->oidc_token);
    az->federated_token_file = copy(o->federated_token_file);
    az->object_id = copy(o->object_id);
    az->resource_id = copy(o->resource_id);
    az->identity_endpoint = copy(o->identity_endpoint);
    az->identity_header = copy(o->identity_header);
    az->imds_endpoint = copy(o->imds_endpoint);
    az->send_chain = o->send_chain;
    az->entra = map_new(timed_token_free);
    az->refresh = map_new(timed_token_free);
    pthread_mutex_init(&az->lock, NULL);
    return az;
}

struct err *auth_add_azure(struct auth *a, struct http *http, const struct auth_azure_opts *o)
{
    azure_free(a->azure);
    a->azure = azure_new(http, o);
    if (o->authority && *o->authority)
        TRY(read_authority(o->authority, &a->azure->authority));
    return o->certificate_len ? read_certificate(o, &a->azure->signer) : NULL;
}

void azure_free(struct azure *az)
{
    if (!az)
        return;
    free(az->client_id);
    free(az->tenant_id);
    auth_wipe(az->client_secret);
    auth_wipe(az->oidc_token);
    free(az->federated_token_file);
    free(az->object_id);
    free(az->resource_id);
    free(az->identity_endpoint);
    auth_wipe(az->identity_header);
    free(az->imds_endpoint);
    free(az->authority);
    signer_free(az->signer);
    map_free(az->entra);
    map_free(az->refresh);
    pthread_mutex_destroy(&az->lock);
    free(az);
}

/* ---- which identity, where ---- */

/* Those that were given; the machine's own comes after the docker configurations. Also the order of auth.c. */
static const struct identity_ops *const given_identities[] = { &identity_oidc, &identity_secret, &identity_certificate,
                                                               &identity_federated };

static const struct identity_ops *given_identity(const struct azure *az)
{
    for (size_t i = 0; az && i < sizeof(given_identities) / sizeof(given_identities[0]); i++)
        if (given_identities[i]->given(az))
            return given_identities[i];
    return NULL;
}

const struct identity_ops *azure_identity(const struct azure *az)
{
    const struct identity_ops *id = given_identity(az);

    if (id)
        return id;
    return az && identity_managed.given(az) ? &identity_managed : NULL;
}

char *azure_describe(const struct azure *az, const struct identity_ops *id)
{
    const char *who = az->client_id ? az->client_id : az->object_id ? az->object_id : az->resource_id;

    return who ? xasprintf("the %s of '%s'", id->name, who) : xasprintf("the %s", id->name);
}

/* The cloud that the login service belongs to, if it is a known one: its tokens are worth nothing elsewhere. */
static const struct cloud *authority_cloud(const struct azure *az)
{
    AUTO_FREE char *host = az->authority ? http_host(az->authority) : NULL;

    return host ? cloud_of_authority(host) : NULL;
}

/* NULL: the identity is not for that host. */
static const struct cloud *cloud_for(const struct azure *az, const char *host)
{
    const struct cloud *cloud = cloud_of_registry(host), *own = authority_cloud(az);

    return own && own != cloud ? NULL : cloud;
}

bool auth_is_azure(const char *host)
{
    AUTO_FREE char *name = auth_host(host);

    return cloud_of_registry(name) != NULL;
}

bool auth_realm_allowed(const char *host, const char *realm_host)
{
    AUTO_FREE char *name = auth_host(host), *realm = auth_host(realm_host);

    return !cloud_of_registry(name) || cloud_same_registry(name, realm);
}

struct err *auth_check_azure(const struct auth *a, const char *host)
{
    AUTO_FREE char *name = auth_host(host);
    const struct identity_ops *id = given_identity(a->azure);
    const struct cloud *cloud = cloud_of_registry(name);

    if (!id || cloud_for(a->azure, name) || auth_match(a, AUTH_GIVEN, name, "") ||
        auth_match(a, AUTH_DOCKER_CONFIG, name, ""))
        return NULL;
    if (!cloud)
        return err_hint(err_new(ERR_SETTING, "'%s' is not an Azure registry: the %s is not for it", name, id->name),
                        "Azure's registries are NAME.azurecr.io (NAME.azurecr.us, NAME.azurecr.cn); another registry "
                        "needs a user name and a password.");
    return err_hint(err_new(ERR_SETTING, "the registry '%s' belongs to %s, but the login service '%s' to %s", name,
                            cloud->name, a->azure->authority, authority_cloud(a->azure)->name),
                    "The login service of %s is https://%s.", cloud->name, cloud->authorities[0]);
}

/* ---- the methods ---- */

static struct err *refresh_token(struct azure *az, const struct identity_ops *id, const struct cloud *cloud,
                                 const char *host, struct credential *ret)
{
    const struct timed_token *t = kept(az->refresh, host);
    struct timed_token made = { 0 };

    if (!t) {
        TRY(acr_login(az, id, cloud, host, &made));
        t = keep(az->refresh, host, made);
    }
    ret->username = xstrdup(NULL_GUID);
    ret->password = xstrdup(t->text);
    ret->identity_token = xstrdup(t->text);
    ret->origin = azure_describe(az, id);
    ret->renewable = true;
    return NULL;
}

static struct err *find(const struct auth *a, const struct identity_ops *id, const char *host, struct credential *ret,
                        bool *ret_found)
{
    struct azure *az = a->azure;
    const struct cloud *cloud = az ? cloud_for(az, host) : NULL;

    *ret_found = false;
    if (!cloud)
        return NULL;
    pthread_mutex_lock(&az->lock);
    bool given = id->given(az);
    struct err *e = given ? refresh_token(az, id, cloud, host, ret) : NULL;
    if (e && id == &identity_managed && az->no_managed) { /* nobody said that there should be one */
        log_debug("auth", "no managed identity: %s", err_message(e));
        err_free(e);
        e = NULL;
        given = false;
    }
    pthread_mutex_unlock(&az->lock);
    TRY(e);
    *ret_found = given;
    return NULL;
}

bool auth_refused(const struct auth *a, const char *host, const struct credential *c)
{
    AUTO_FREE char *name = auth_host(host);
    struct azure *az = a->azure;

    if (!az || !c->renewable || !c->identity_token)
        return false;
    pthread_mutex_lock(&az->lock);
    const struct timed_token *t = map_get(az->refresh, name);
    if (t && strcmp(t->text, c->identity_token) == 0) /* another thread may have renewed it meanwhile */
        map_remove(az->refresh, name);
    pthread_mutex_unlock(&az->lock);
    return true;
}

#define AZURE_METHOD(id)                                                                                               \
    static struct err *find_##id(const struct auth *a, const char *host, const char *path, enum auth_use use,          \
                                 struct credential *ret, bool *ret_found)                                              \
    {                                                                                                                  \
        (void)path, (void)use;                                                                                         \
        return find(a, &identity_##id, host, ret, ret_found);                                                          \
    }                                                                                                                  \
    const struct auth_ops auth_azure_##id = { #id, find_##id }

AZURE_METHOD(oidc);
AZURE_METHOD(secret);
AZURE_METHOD(certificate);
AZURE_METHOD(federated);
AZURE_METHOD(managed);
