/* The step's identity at Azure: what belongs together, and what is used of it. */
#include "base/base64.h"
#include "settings/settings_priv.h"

#include <string.h>

static bool has(const struct secret *s)
{
    return secret_reveal(s) != NULL;
}

/* Without a push the identity is for base images at most, and some of those need none. */
static void complain(struct reading *r, struct err *e)
{
    if (!r->s->no_push) {
        reading_mistake(r, e);
        return;
    }
    strs_take(&r->s->notes, err_line(e));
    err_free(e);
}

/* Letters of GUIDs and domain names: these become part of a URL. */
static void check_id(struct reading *r, const char *setting, const char *id)
{
    if (id && id[strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-.")])
        reading_mistake(r, err_new(ERR_SETTING, "%s is '%.200s', but must be an id (or a tenant's domain)",
                                   reading_origin(r, setting), id));
}

/* "certificate" or what else needs both ids. */
static void need_ids(struct reading *r, const char *origin)
{
    const struct settings *s = r->s;

    if (s->client_id && s->tenant_id)
        return;
    complain(r, err_new(ERR_SETTING, "%s is set, but %s%s%s not", origin, s->client_id ? "" : "CLIENT_ID",
                        s->client_id || s->tenant_id ? "" : " and ",
                        s->tenant_id   ? " is"
                        : s->client_id ? "TENANT_ID is"
                                       : "TENANT_ID are"));
}

/* ---- the certificate ---- */

static void read_certificate_path(struct reading *r)
{
    struct settings *s = r->s;
    char *text = NULL;

    if (!s->certificate_path)
        return;
    if (has(&s->client_certificate)) {
        strs_take(&s->notes, xasprintf("AZURE_CLIENT_CERTIFICATE_PATH is not used: %s is set",
                                       reading_origin(r, "CLIENT_CERTIFICATE")));
        return;
    }
    struct err *e = secret_from_file("AZURE_CLIENT_CERTIFICATE_PATH", s->certificate_path, true, &text);
    if (!e && !text)
        e = err_new(ERR_SETTING, "AZURE_CLIENT_CERTIFICATE_PATH names the file '%.200s', which is empty",
                    s->certificate_path);
    reading_mistake(r, e);
    secret_take(&s->client_certificate, text);
}

static void check_certificate(struct reading *r)
{
    struct settings *s = r->s;
    const char *text = secret_reveal(&s->client_certificate);
    const char *origin = reading_origin(r, "CLIENT_CERTIFICATE");
    struct buf plain = BUF_INIT;

    if (!text)
        return;
    origin = origin ? origin : "AZURE_CLIENT_CERTIFICATE_PATH";
    need_ids(r, origin);
    if (!strstr(text, "-----BEGIN ") && !base64_decode(text, strlen(text), &plain))
        reading_mistake(r, err_new(ERR_SETTING,
                                   "%s is '***', but must be PEM text, or the base64 form of PEM text or of a PKCS#12 "
                                   "file",
                                   origin));
    if (plain.data)
        explicit_bzero(plain.data, plain.cap);
    buf_release(&plain);
}

/* ---- the others ---- */

/* Without a tenant the registry takes the id and the secret as user name and password, and asks Entra ID itself. */
static void check_secret(struct reading *r)
{
    struct settings *s = r->s;

    if (!has(&s->client_secret))
        return;
    if (!s->client_id) {
        complain(r, err_new(ERR_SETTING, "%s is set, but CLIENT_ID is not", reading_origin(r, "CLIENT_SECRET")));
        return;
    }
    if (s->tenant_id || s->username || has(&s->password))
        return;
    s->username = xstrdup(s->client_id);
    secret_take(&s->password, xstrdup(secret_reveal(&s->client_secret)));
}

/* The webhook sets the variables for every container of the pod, also where its service account has no identity. */
static void check_federated(struct reading *r)
{
    struct settings *s = r->s;

    if (!s->federated_token_file || (s->client_id && s->tenant_id))
        return;
    strs_take(&s->notes,
              xasprintf("AZURE_FEDERATED_TOKEN_FILE is not used: %s is not set (annotate the service account "
                        "with azure.workload.identity/client-id)",
                        s->client_id ? "AZURE_TENANT_ID" : "AZURE_CLIENT_ID"));
    free(s->federated_token_file);
    s->federated_token_file = NULL;
}

/* Several at once: what is not used is said. The order is that of pkg/auth. */
static void note_unused(struct reading *r)
{
    const struct settings *s = r->s;
    bool given = s->username && reading_origin(r, "PLUGIN_USERNAME");
    const struct {
        bool there;
        const char *origin;
    } all[] = {
        { given, reading_origin(r, "PLUGIN_USERNAME") },
        { has(&s->oidc_token), reading_origin(r, "PLUGIN_OIDC_TOKEN_ID") },
        { has(&s->client_secret), reading_origin(r, "CLIENT_SECRET") },
        { has(&s->client_certificate), reading_origin(r, "CLIENT_CERTIFICATE") },
    };
    const char *first = NULL;

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (!all[i].there || !all[i].origin)
            continue;
        if (first)
            strs_take(&r->s->notes, xasprintf("%s is not used: %s comes first", all[i].origin, first));
        else
            first = all[i].origin;
    }
}

void settings_check_azure(struct reading *r)
{
    struct settings *s = r->s;

    check_id(r, "CLIENT_ID", s->client_id);
    check_id(r, "TENANT_ID", s->tenant_id);
    read_certificate_path(r);
    check_certificate(r);
    if (has(&s->oidc_token))
        need_ids(r, reading_origin(r, "PLUGIN_OIDC_TOKEN_ID"));
    check_secret(r);
    check_federated(r);
    note_unused(r);
}
