/* managed.c - the identity that Azure gives a machine: by the metadata service of a node (IMDS), of App Service, or of
 * an Arc-enabled server. They speak plain HTTP to addresses of the machine itself and are never asked through a proxy.
 */
#include "auth/azure_priv.h"

#include "base/limits.h"
#include "base/log.h"
#include "oci/error_body.h"
#include "sys/file.h"

#include <string.h>
#include <strings.h>
#include <unistd.h>

#define IMDS_URL      "http://169.254.169.254/metadata/identity/oauth2/token"
#define ARC_URL       "http://127.0.0.1:40342/metadata/identity/oauth2/token"
#define ARC_PROGRAM   "/opt/azcmagent/bin/himds"
#define ARC_KEYS      "/var/opt/azcmagent/tokens/"
#define ARC_KEY_MAX   4096 /* bytes, as Microsoft's own libraries have it */
#define PROBE_MS      1000 /* outside of Azure the address is a black hole */
#define ANSWER_MS     10000
#define MANAGED_TRIES 5 /* of answers that say "not yet" */

/* What a request differs in. */
struct service {
    const char *name;
    const char *url, *api_version;
    const char *resource_id_name; /* of the parameter */
    const char *header;           /* "Name: value"; secret in App Service; NULL = "Metadata: true" */
};

static bool is_arc(const struct azure *az)
{
    return (az->identity_endpoint && az->imds_endpoint) || access(ARC_PROGRAM, F_OK) == 0;
}

static struct service service_of(const struct azure *az, const char *header)
{
    if (az->identity_endpoint && az->identity_header)
        return (struct service){ "the App Service identity endpoint", az->identity_endpoint, "2019-08-01", "mi_res_id",
                                 header };
    if (is_arc(az))
        return (struct service){ "the Arc identity service", az->identity_endpoint ? az->identity_endpoint : ARC_URL,
                                 "2020-06-01", "msi_res_id", NULL };
    return (struct service){ "the node's metadata service (IMDS)", IMDS_URL, "2018-02-01", "msi_res_id", NULL };
}

static char *make_url(const struct azure *az, const struct service *s, const char *resource)
{
    AUTO(buf_release) struct buf query = BUF_INIT;

    http_form_add(&query, "api-version", s->api_version);
    http_form_add(&query, "resource", resource);
    if (az->client_id)
        http_form_add(&query, "client_id", az->client_id);
    else if (az->object_id)
        http_form_add(&query, "object_id", az->object_id);
    else if (az->resource_id)
        http_form_add(&query, s->resource_id_name, az->resource_id);
    return xasprintf("%s%c%s", s->url, strchr(s->url, '?') ? '&' : '?', buf_str(&query));
}

static struct err *send(struct azure *az, const struct service *s, const char *url, const char *authorization,
                        bool probe, struct http_response *ret)
{
    struct http_request rq = { .method = "GET",
                               .url = url,
                               .authorization = authorization,
                               .body_fd = -1,
                               .max_body = LIMIT_TOKEN_BYTES,
                               .no_retry = probe,
                               .own_origin = true,
                               .connect_timeout_ms = PROBE_MS,
                               .stall_timeout_ms = ANSWER_MS,
                               .no_proxy = true };

    strs_add(&rq.headers, s->header ? s->header : "Metadata: true");
    struct err *e = http_perform(az->http, &rq, ret);
    strs_release(&rq.headers);
    return e;
}

/* ---- Arc: the server shows that we may read a file that only its privileged programs can ---- */

static struct err *check_key_path(const char *path)
{
    size_t n = strlen(path), dir = strlen(ARC_KEYS);

    if (n > dir + 4 && strncmp(path, ARC_KEYS, dir) == 0 && !strchr(path + dir, '/') &&
        strcmp(path + n - 4, ".key") == 0)
        return NULL;
    return err_new(ERR_REGISTRY, "the Arc identity service names the key file '%.200s', which is not one of " ARC_KEYS,
                   path);
}

static struct err *arc_key(const struct http_response *a, char **ret_authorization)
{
    const char *challenge = http_header(a, "www-authenticate");
    AUTO(buf_release) struct buf key = BUF_INIT;

    if (!challenge || strncasecmp(challenge, "Basic realm=", 12) != 0)
        return err_new(ERR_REGISTRY, "the Arc identity service names no key file");
    TRY(check_key_path(challenge + 12));
    struct err *e = file_read(challenge + 12, ARC_KEY_MAX, &key);
    TRY(err_hint(err_set_kind(err_wrap(e, "cannot read the key of the Arc identity service"), ERR_AUTH),
                 "The step's user must be in the group himds, and " ARC_KEYS " be mounted."));
    *ret_authorization = xasprintf("Basic %s", buf_str(&key));
    explicit_bzero(key.data, key.cap);
    return NULL;
}

static struct err *answer_challenge(struct azure *az, const struct service *s, const char *url, struct http_response *a)
{
    __attribute__((cleanup(auth_wipe_auto))) char *authorization = NULL;

    TRY(arc_key(a, &authorization));
    http_response_release(a);
    return send(az, s, url, authorization, false, a);
}

/* ---- the question ---- */

static bool not_yet(int status)
{
    return status == 404 || status == 410; /* 429 and 5xx were repeated already */
}

static struct err *ask(struct azure *az, const struct service *s, const char *url, struct http_response *ret)
{
    for (int n = 0;; n++) {
        TRY(send(az, s, url, NULL, n == 0, ret));
        if (ret->status == 401 && is_arc(az))
            TRY(answer_challenge(az, s, url, ret));
        bool again = not_yet(ret->status) || ret->status == 429 || ret->status >= 500;
        if (!again || n + 1 >= MANAGED_TRIES)
            return NULL;
        TRY(http_pause(az->http, n, ret));
        http_response_release(ret);
    }
}

/* Did anybody say that there is an identity? If not, its absence is no error. */
static bool expected(const struct azure *az)
{
    return az->client_id || az->object_id || az->resource_id || az->identity_endpoint;
}

static struct err *refusal(const struct azure *az, const struct service *s, const struct http_response *a)
{
    AUTO(buf_release) struct buf text = BUF_INIT;
    bool final = a->status >= 400 && a->status < 500 && a->status != 429 && !not_yet(a->status);
    enum err_kind kind = final ? ERR_AUTH : ERR_NETWORK;

    error_body_describe(a->body.data, a->body.len, http_header(a, "content-type"), &text);
    struct err *e = err_new(kind, "status %d%s%s", a->status, text.len ? ": " : "", buf_str(&text));
    e = err_wrap(e, "%s gave no token", s->name);
    if (!final)
        return e;
    if (expected(az))
        return err_hint(e,
                        "Check that the managed identity is assigned to this machine (with AKS: to the node pool, or "
                        "use workload identity), and its client id, object id or resource id.");
    return err_hint(e,
                    "Name the managed identity by its client id (CLIENT_ID); with several of them the machine cannot "
                    "choose. With none, assign one to the machine or give the step other credentials.");
}

static struct err *managed_token(struct azure *az, const struct cloud *cloud, const char *resource,
                                 struct timed_token *ret, bool *ret_unknown)
{
    AUTO_FREE char *header = az->identity_header ? xasprintf("X-IDENTITY-HEADER: %s", az->identity_header) : NULL;
    const struct service s = service_of(az, header);
    AUTO_FREE char *url = make_url(az, &s, resource);
    AUTO(http_response_release) struct http_response a = { 0 };

    (void)cloud;
    struct err *e = ask(az, &s, url, &a);
    if (header)
        explicit_bzero(header, strlen(header));
    if (e && err_kind(e) == ERR_NETWORK) {
        az->no_managed = !expected(az);
        return err_hint(err_wrap(e, "%s does not answer", s.name),
                        "Outside of Azure there is no managed identity; in a pod a network policy may forbid it.");
    }
    TRY(e);
    *ret_unknown = a.status == 400 && error_body_has(a.body.data, a.body.len, "invalid_resource");
    if (a.status != 200)
        return refusal(az, &s, &a);
    e = entra_read_token(&a, s.name, ret);
    explicit_bzero(a.body.data, a.body.len);
    return e;
}

static bool may_have(const struct azure *az)
{
    return !az->no_managed;
}

const struct identity_ops identity_managed = { "managed identity", may_have, managed_token };
