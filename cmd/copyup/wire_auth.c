/* wire_auth.c - the settings' credentials, for the table of pkg/auth. */
#include "wire.h"

#include "base/base64.h"
#include "base/limits.h"
#include "sys/file.h"

#include <string.h>

static struct err *add_docker_configs(const struct settings *s, struct auth *a)
{
    const char *inline_doc = secret_reveal(&s->docker_auth_config);

    if (inline_doc)
        TRY(err_hint(
            err_set_kind(auth_add_docker_config(a, inline_doc, strlen(inline_doc), "DOCKER_AUTH_CONFIG"), ERR_SETTING),
            "DOCKER_AUTH_CONFIG holds the text of a docker config.json."));
    for (size_t i = 0; i < s->docker_configs.n; i++) {
        AUTO(buf_release) struct buf doc = BUF_INIT;

        TRY(file_read(s->docker_configs.items[i], LIMIT_SETTING_FILE_BYTES, &doc));
        struct err *e = auth_add_docker_config(a, buf_str(&doc), doc.len, s->docker_configs.items[i]);
        explicit_bzero(doc.data, doc.len);
        TRY(err_set_kind(e, ERR_SETTING));
    }
    return NULL;
}

static bool has_identity(const struct settings *s)
{
    return secret_reveal(&s->oidc_token) || secret_reveal(&s->client_secret) || secret_reveal(&s->client_certificate) ||
           s->federated_token_file;
}

/* The id and the secret of an application as user name and password, which only makes sense at Azure's registries and
 * those that imitate them. */
static bool is_direct(const struct settings *s)
{
    return s->client_id && s->username && strcmp(s->username, s->client_id) == 0 && secret_reveal(&s->client_secret) &&
           !s->tenant_id;
}

static struct err *check_look_alike(const struct settings *s)
{
    if (!is_direct(s) || !s->registry || !strstr(s->registry, "azurecr") || auth_is_azure(s->registry))
        return NULL;
    return err_hint(err_new(ERR_SETTING, "'%s' looks like an Azure registry, but is none", s->registry),
                    "Azure's registries are NAME.azurecr.io (NAME.azurecr.us, NAME.azurecr.cn). If it is right, give "
                    "PLUGIN_USERNAME and PLUGIN_PASSWORD.");
}

/* Those of the base images are for pulls. Where they are all there is, they are for the same registry's pushes too. */
static void add_basic(const struct settings *s, struct auth *a)
{
    const char *password = secret_reveal(&s->password), *base = secret_reveal(&s->base_password);
    const char *base_origin = "PLUGIN_BASE_IMAGE_USERNAME and PLUGIN_BASE_IMAGE_PASSWORD";
    bool own = s->registry && s->username && password;

    if (own)
        auth_add_basic(a, s->registry, s->username, password,
                       is_direct(s) ? "CLIENT_ID and CLIENT_SECRET" : "PLUGIN_USERNAME and PLUGIN_PASSWORD");
    if (!s->base_registry || !s->base_username || !base)
        return;
    auth_add_basic_pull(a, s->base_registry, s->base_username, base, base_origin);
    if (!own && !has_identity(s))
        auth_add_basic(a, s->base_registry, s->base_username, base, base_origin);
}

static struct err *add_azure(const struct settings *s, struct http *http, struct auth *a)
{
    const char *certificate = secret_reveal(&s->client_certificate);
    AUTO(buf_release) struct buf plain = BUF_INIT;

    if (certificate && !strstr(certificate, "-----BEGIN "))
        (void)base64_decode(certificate, strlen(certificate), &plain); /* checked with the settings */
    else if (certificate)
        buf_puts(&plain, certificate);
    const struct auth_azure_opts o = {
        .client_id = s->client_id,
        .tenant_id = s->tenant_id,
        .client_secret = secret_reveal(&s->client_secret),
        .certificate = plain.data,
        .certificate_len = plain.len,
        .certificate_password = secret_reveal(&s->client_certificate_password),
        .send_chain = s->send_certificate_chain,
        .oidc_token = secret_reveal(&s->oidc_token),
        .federated_token_file = s->federated_token_file,
        .object_id = s->identity_object_id,
        .resource_id = s->identity_resource_id,
        .identity_endpoint = s->identity_endpoint,
        .identity_header = secret_reveal(&s->identity_header),
        .imds_endpoint = s->imds_endpoint,
        .authority = s->authority_host,
    };
    struct err *e = auth_add_azure(a, http, &o);
    if (plain.data)
        explicit_bzero(plain.data, plain.cap);
    return err_hint(e, "%s",
                    certificate ? "CLIENT_CERTIFICATE holds the certificate, CLIENT_CERTIFICATE_PASSWORD its password, "
                                  "AZURE_AUTHORITY_HOST the login service."
                                : "AZURE_AUTHORITY_HOST holds it.");
}

static struct err *fill(const struct settings *s, struct http *http, struct auth *a)
{
    TRY(check_look_alike(s));
    add_basic(s, a);
    TRY(add_docker_configs(s, a));
    TRY(add_azure(s, http, a));
    if (!s->registry || s->no_push)
        return NULL;
    return auth_check_azure(a, s->registry);
}

struct err *wire_auth(const struct settings *s, struct http *http, struct auth **ret)
{
    AUTO(auth_free) struct auth *a = auth_new();

    TRY(fill(s, http, a));
    *ret = steal(&a);
    return NULL;
}
