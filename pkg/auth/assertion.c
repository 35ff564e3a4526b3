/* assertion.c - the JWT by which an application shows that it has the private key of its certificate (RFC 7521, 7523;
 * Microsoft's "certificate credentials" names header and claims). */
#include "auth/azure_priv.h"

#include "base/base64.h"

#include <string.h>
#include <sys/random.h>
#include <time.h>

#define LIFETIME_S 600

/* A random UUID (RFC 4122 section 4.4): an assertion is good once. */
static void make_id(char ret[37])
{
    unsigned char r[16];

    if (getrandom(r, sizeof(r), 0) != (ssize_t)sizeof(r))
        abort(); /* so few bytes are never cut short */
    r[6] = (unsigned char)((r[6] & 15) | 0x40);
    r[8] = (unsigned char)((r[8] & 63) | 0x80);
    (void)snprintf(ret, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", r[0], r[1], r[2],
                   r[3], r[4], r[5], r[6], r[7], r[8], r[9], r[10], r[11], r[12], r[13], r[14], r[15]);
}

static void put_text(struct json_writer *w, const char *name, const char *value)
{
    json_key(w, name);
    json_put_string(w, value);
}

static void put_chain(struct json_writer *w, const struct signer *s)
{
    json_key(w, "x5c");
    json_array_begin(w);
    for (size_t i = 0; i < signer_certificates(s); i++) {
        AUTO(buf_release) struct buf der = BUF_INIT;

        signer_certificate_der(s, i, &der);
        AUTO_FREE char *code = base64_encode(der.data, der.len);
        json_put_string(w, code);
    }
    json_array_end(w);
}

static char *encoded(struct json_writer *w)
{
    AUTO_FREE char *text = json_writer_steal(w);

    return base64url_encode(text, strlen(text));
}

static char *make_header(const struct signer *s, bool send_chain)
{
    AUTO(json_writer_free) struct json_writer *w = json_writer_new();
    unsigned char sum[32];

    signer_thumbprint(s, sum);
    AUTO_FREE char *thumbprint = base64url_encode(sum, sizeof(sum));
    json_object_begin(w);
    put_text(w, "alg", "PS256");
    put_text(w, "typ", "JWT");
    put_text(w, "x5t#S256", thumbprint);
    if (send_chain)
        put_chain(w, s);
    json_object_end(w);
    return encoded(w);
}

static char *make_claims(const char *client_id, const char *endpoint)
{
    AUTO(json_writer_free) struct json_writer *w = json_writer_new();
    int64_t now = time(NULL);
    char id[37];

    make_id(id);
    json_object_begin(w);
    put_text(w, "aud", endpoint);
    put_text(w, "iss", client_id);
    put_text(w, "sub", client_id);
    put_text(w, "jti", id);
    json_key(w, "nbf");
    json_put_int(w, now);
    json_key(w, "iat");
    json_put_int(w, now);
    json_key(w, "exp");
    json_put_int(w, now + LIFETIME_S);
    json_object_end(w);
    return encoded(w);
}

struct err *assertion_new(const struct signer *s, bool send_chain, const char *client_id, const char *endpoint,
                          char **ret)
{
    AUTO_FREE char *header = make_header(s, send_chain), *claims = make_claims(client_id, endpoint);
    AUTO_FREE char *input = xasprintf("%s.%s", header, claims);
    AUTO(buf_release) struct buf signature = BUF_INIT;

    TRY(signer_sign(s, input, strlen(input), &signature));
    AUTO_FREE char *code = base64url_encode(signature.data, signature.len);
    *ret = xasprintf("%s.%s", input, code);
    return NULL;
}
