/* entra_advice.c - what a refusal of Entra ID means for who runs the step. Its numbers may change: they choose an
 * advice here and decide nothing. */
#include "auth/azure_priv.h"

#include "auth/jwt.h"
#include "oci/error_body.h"

#include <string.h>
#include <time.h>

#define CLOCK_SKEW_S 240 /* Entra ID accepts five minutes */

enum advice {
    ADVICE_SECRET,
    ADVICE_EXPIRED,
    ADVICE_NONE_GIVEN,
    ADVICE_CERTIFICATE,
    ADVICE_ADDRESS,
    ADVICE_TIME,
    ADVICE_FEDERATED,
    ADVICE_TENANT,
    ADVICE_NO_TENANT,
    ADVICE_RESOURCE
};

static const struct {
    int code;
    enum advice advice;
} codes[] = {
    { 7000215, ADVICE_SECRET },     { 7000222, ADVICE_EXPIRED },    { 7000216, ADVICE_NONE_GIVEN },
    { 7000218, ADVICE_NONE_GIVEN }, { 700027, ADVICE_CERTIFICATE }, { 50027, ADVICE_CERTIFICATE },
    { 700023, ADVICE_ADDRESS },     { 700021, ADVICE_ADDRESS },     { 700024, ADVICE_TIME },
    { 700211, ADVICE_FEDERATED },   { 700212, ADVICE_FEDERATED },   { 700213, ADVICE_FEDERATED },
    { 7002138, ADVICE_FEDERATED },  { 70021, ADVICE_FEDERATED },    { 700016, ADVICE_TENANT },
    { 90002, ADVICE_NO_TENANT },    { 500011, ADVICE_RESOURCE },
};

static const char *const texts[] = {
    [ADVICE_SECRET] = "The client secret is wrong: it must be the secret's value, not its id (app registration, "
                      "Certificates & secrets), and belong to this application.",
    [ADVICE_EXPIRED] = "The client secret has expired: make a new one (app registration, Certificates & secrets) and "
                       "store its value.",
    [ADVICE_NONE_GIVEN] = "The application needs a secret, a certificate or a federated credential: give the step one.",
    [ADVICE_CERTIFICATE] = "This certificate must be registered for the application (app registration, Certificates & "
                           "secrets); if it was renewed there, give the step the new one.",
    [ADVICE_ADDRESS] = "Check the application's id, the tenant's and the login service (AZURE_AUTHORITY_HOST): the "
                       "assertion was made for them.",
    [ADVICE_TIME] = "What was sent is too old or too new: check the clock of the node.",
    [ADVICE_FEDERATED] = "The application needs a federated credential with exactly the issuer, subject and audience "
                         "of the token; the case of letters and a slash at the end count.",
    [ADVICE_TENANT] = "The application is not in that tenant: check the application's id and the tenant's.",
    [ADVICE_NO_TENANT] = "The tenant is not known there: check its id, and for another cloud than the public one the "
                         "login service (AZURE_AUTHORITY_HOST).",
    [ADVICE_RESOURCE] = "The tenant does not know the registry service: check the tenant's id and the cloud.",
};

/* The number behind "AADSTS" in what it said, 0 if there is none. */
static int code_of(const char *text)
{
    const char *p = strstr(text, "AADSTS");

    return p ? (int)strtol(p + 6, NULL, 10) : 0;
}

static const char *claim_text(const struct json *claims, const char *name)
{
    const struct json *v = json_get(claims, name);
    const char *s = json_type(v) == JSON_ARRAY ? json_string(json_at(v, 0)) : json_string(v);

    return s ? s : "?";
}

/* Its claims are no secret, and what must be compared. */
static void add_claims(const char *assertion, const struct cloud *cloud, struct buf *out)
{
    AUTO(json_free) struct json *claims = assertion ? jwt_claims(assertion) : NULL;
    int64_t exp = 0;

    if (assertion && !claims)
        buf_puts(out, " What was given is no JWT.");
    if (!claims)
        return;
    buf_printf(out, " The token has the issuer '%.300s', the subject '%.300s' and the audience '%.300s' (usual: '%s').",
               claim_text(claims, "iss"), claim_text(claims, "sub"), claim_text(claims, "aud"), cloud->federation);
    if (json_get_int(claims, "exp", &exp) && exp < time(NULL))
        buf_printf(out, " It ended %lld s ago.", (long long)(time(NULL) - exp));
}

static void add_validity(const struct signer *s, struct buf *out)
{
    int64_t from, until, now = time(NULL);
    unsigned char sum[32];

    if (!s)
        return;
    signer_validity(s, &from, &until);
    signer_thumbprint(s, sum);
    buf_puts(out, " Its SHA-256 thumbprint is ");
    for (size_t i = 0; i < sizeof(sum); i++)
        buf_printf(out, "%02X", sum[i]);
    buf_puts(out, until < now ? ", and it has expired." : from > now ? ", and it is not valid yet." : ".");
}

/* By the server's own clock. */
static void add_clock(const struct http_response *a, struct buf *out)
{
    const char *date = http_header(a, "date");
    struct tm tm = { 0 };

    if (!date || !strptime(date, "%a, %d %b %Y %H:%M:%S GMT", &tm))
        return;
    long long off = (long long)(time(NULL) - timegm(&tm));
    if (off > CLOCK_SKEW_S || off < -CLOCK_SKEW_S)
        buf_printf(out, " The pod's clock is %lld s %s that of the login service.", off < 0 ? -off : off,
                   off < 0 ? "behind" : "ahead of");
}

char *entra_advice(const struct http_response *a, const struct cloud *cloud, const char *assertion,
                   const struct signer *signer)
{
    AUTO(buf_release) struct buf said = BUF_INIT;
    struct buf out = BUF_INIT;
    const char *text = "Check the application's id, the tenant's, and what proves the identity.";

    error_body_describe(a->body.data, a->body.len, http_header(a, "content-type"), &said);
    int code = code_of(buf_str(&said));
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
        if (codes[i].code == code)
            text = texts[codes[i].advice];
    buf_puts(&out, text);
    add_claims(assertion, cloud, &out);
    if (text == texts[ADVICE_CERTIFICATE])
        add_validity(signer, &out);
    add_clock(a, &out);
    return buf_steal(&out);
}
