#include "digest/signer_priv.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <string.h>

#define MIN_RSA_BITS 2048 /* what Entra ID takes */

static void free_certificates(struct signer *s)
{
    for (size_t i = 0; i < s->certificates.n; i++)
        X509_free(s->certificates.items[i]);
    vec_free(&s->certificates);
}

void signer_free(struct signer *s)
{
    if (!s)
        return;
    EVP_PKEY_free(s->key);
    free_certificates(s);
    free(s);
}

/* ---- PEM ---- */

struct passphrase {
    const char *text;
    bool asked;
};

static int give_passphrase(char *buf, int size, int rwflag, void *ctx)
{
    struct passphrase *p = ctx;
    size_t n = p->text ? strlen(p->text) : 0;

    (void)rwflag;
    p->asked = true;
    if (!p->text || n > (size_t)size)
        return -1;
    memcpy(buf, p->text, n);
    return (int)n;
}

static struct err *read_pem_key(struct signer *s, const void *p, size_t n, const char *password)
{
    struct passphrase pass = { .text = password };
    BIO *in = BIO_new_mem_buf(p, (int)n);

    s->key = PEM_read_bio_PrivateKey(in, NULL, give_passphrase, &pass);
    BIO_free(in);
    if (s->key)
        return NULL;
    if (pass.asked && !password)
        return err_new(ERR_SETTING, "the private key is encrypted, and no password is given for it");
    if (pass.asked)
        return err_new(ERR_SETTING, "the private key cannot be decrypted: the password is wrong, or its encryption is "
                                    "too old to be supported");
    return err_hint(err_new(ERR_SETTING, "there is no private key in it"),
                    "It must hold both -----BEGIN PRIVATE KEY----- and -----BEGIN CERTIFICATE-----.");
}

static struct err *read_pem(struct signer *s, const void *p, size_t n, const char *password)
{
    TRY(read_pem_key(s, p, n, password));
    BIO *in = BIO_new_mem_buf(p, (int)n);
    X509 *one;
    while ((one = PEM_read_bio_X509(in, NULL, NULL, NULL)))
        vec_push(&s->certificates, one);
    BIO_free(in);
    return NULL;
}

/* ---- both ---- */

/* The key's own certificate to the front; the others keep their order. */
static struct err *order(struct signer *s)
{
    size_t n = s->certificates.n;

    if (n == 0)
        return err_hint(err_new(ERR_SETTING, "there is no certificate in it"),
                        "It must hold the private key and the certificate that was registered for the application.");
    for (size_t i = 0; i < n; i++) {
        X509 *own = s->certificates.items[i];

        if (X509_check_private_key(own, s->key) != 1)
            continue;
        memmove(s->certificates.items + 1, s->certificates.items, i * sizeof(own));
        s->certificates.items[0] = own;
        return NULL;
    }
    return err_new(ERR_SETTING, "its certificate does not belong to its private key");
}

static struct err *check_key(const struct signer *s)
{
    if (EVP_PKEY_get_base_id(s->key) != EVP_PKEY_RSA)
        return err_new(ERR_SETTING, "its key is not an RSA key");
    if (EVP_PKEY_get_bits(s->key) < MIN_RSA_BITS)
        return err_new(ERR_SETTING, "its RSA key has %d bits, but must have %d", EVP_PKEY_get_bits(s->key),
                       MIN_RSA_BITS);
    return NULL;
}

static bool is_pem(const char *p, size_t n)
{
    return memmem(p, n, "-----BEGIN ", 11) != NULL;
}

struct err *signer_new(const void *p, size_t n, const char *password, struct signer **ret)
{
    AUTO(signer_free) struct signer *s = xcalloc(1, sizeof(*s));

    struct err *e = is_pem(p, n) ? read_pem(s, p, n, password) : signer_read_pkcs12(s, p, n, password);
    ERR_clear_error(); /* what was not found is no error of the TLS that follows in this thread */
    TRY(e);
    TRY(order(s));
    TRY(check_key(s));
    *ret = steal(&s);
    return NULL;
}

/* ---- what it is asked ---- */

void signer_thumbprint(const struct signer *s, unsigned char ret[32])
{
    if (X509_digest(s->certificates.items[0], EVP_sha256(), ret, NULL) != 1)
        abort(); /* only for want of memory */
}

static int64_t seconds_of(const ASN1_TIME *t)
{
    struct tm tm = { 0 };

    return ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

void signer_validity(const struct signer *s, int64_t *ret_from, int64_t *ret_until)
{
    *ret_from = seconds_of(X509_get0_notBefore(s->certificates.items[0]));
    *ret_until = seconds_of(X509_get0_notAfter(s->certificates.items[0]));
}

size_t signer_certificates(const struct signer *s)
{
    return s->certificates.n;
}

void signer_certificate_der(const struct signer *s, size_t i, struct buf *ret)
{
    unsigned char *der = NULL;
    int n = i2d_X509(s->certificates.items[i], &der);

    if (n < 0)
        abort(); /* it was read from DER: only for want of memory */
    buf_add(ret, der, (size_t)n);
    OPENSSL_free(der);
}

static bool sign(EVP_MD_CTX *ctx, EVP_PKEY *key, const void *p, size_t n, struct buf *ret)
{
    EVP_PKEY_CTX *pctx = NULL;
    size_t len = 0;

    if (EVP_DigestSignInit(ctx, &pctx, EVP_sha256(), NULL, key) != 1 ||
        EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) != 1 ||
        EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST) != 1 ||
        EVP_DigestSign(ctx, NULL, &len, p, n) != 1)
        return false;
    AUTO_FREE unsigned char *out = xcalloc(1, len);
    if (EVP_DigestSign(ctx, out, &len, p, n) != 1)
        return false;
    buf_add(ret, out, len);
    return true;
}

struct err *signer_sign(const struct signer *s, const void *p, size_t n, struct buf *ret)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good = ctx && sign(ctx, s->key, p, n, ret);

    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return good ? NULL : err_new(ERR_SETTING, "the private key cannot sign");
}
