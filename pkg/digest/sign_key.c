#include "digest/sign_key.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <string.h>

#define MAX_KEY_BITS  16384
#define MAX_PEM_BYTES 65536
#define MAGIC         "openssh-key-v1"

enum kind { KIND_RSA, KIND_ED25519, KIND_ECDSA };

static const struct curve {
    const char *ssh, *openssl;
    const EVP_MD *(*md)(void);
    int bits;
} curves[] = {
    { "nistp256", "prime256v1", EVP_sha256, 256 },
    { "nistp384", "secp384r1", EVP_sha384, 384 },
    { "nistp521", "secp521r1", EVP_sha512, 521 },
};

struct sign_key {
    enum kind kind;
    const struct curve *curve;
    EVP_PKEY *pkey;
};

static struct err *bad_key(const char *why)
{
    return err_hint(err_new(ERR_SETTING, "the SSH key cannot be used: %s", why),
                    "Give a private key in PEM form without a passphrase: RSA, Ed25519 or ECDSA.");
}

/* ---- the wire format ---- */

void ssh_put_u32(struct buf *out, uint32_t v)
{
    const unsigned char bytes[4] = { v >> 24, v >> 16 & 0xff, v >> 8 & 0xff, v & 0xff };

    buf_add(out, bytes, sizeof(bytes));
}

void ssh_put_string(struct buf *out, const void *p, size_t n)
{
    ssh_put_u32(out, (uint32_t)n);
    buf_add(out, p, n);
}

static void put_text(struct buf *out, const char *text)
{
    ssh_put_string(out, text, strlen(text));
}

/* Positive numbers: a zero byte in front of a set sign bit. */
static void put_mpint(struct buf *out, const BIGNUM *n)
{
    unsigned char bytes[MAX_KEY_BITS / 8 + 1] = { 0 };
    int len = BN_num_bytes(n);

    if (len > MAX_KEY_BITS / 8)
        len = 0;
    BN_bn2bin(n, bytes + 1);
    if (len && (bytes[1] & 0x80))
        ssh_put_string(out, bytes, (size_t)len + 1);
    else
        ssh_put_string(out, bytes + 1, (size_t)len);
}

struct cursor {
    const unsigned char *p;
    size_t left;
};

static bool get_u32(struct cursor *c, uint32_t *ret)
{
    if (c->left < 4)
        return false;
    *ret = (uint32_t)c->p[0] << 24 | (uint32_t)c->p[1] << 16 | (uint32_t)c->p[2] << 8 | c->p[3];
    c->p += 4;
    c->left -= 4;
    return true;
}

static bool get_string(struct cursor *c, struct cursor *ret)
{
    uint32_t n;

    if (!get_u32(c, &n) || n > c->left)
        return false;
    *ret = (struct cursor){ c->p, n };
    c->p += n;
    c->left -= n;
    return true;
}

static bool is_text(const struct cursor *c, const char *text)
{
    return c->left == strlen(text) && memcmp(c->p, text, c->left) == 0;
}

/* ---- from numbers to a key ---- */

static struct err *from_params(const char *type, OSSL_PARAM_BLD *bld, struct sign_key *k)
{
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    bool ok = params && ctx && EVP_PKEY_fromdata_init(ctx) == 1 &&
              EVP_PKEY_fromdata(ctx, &k->pkey, EVP_PKEY_KEYPAIR, params) == 1;

    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    return ok ? NULL : bad_key("its numbers do not fit together");
}

static bool get_number(struct cursor *c, BIGNUM **ret)
{
    struct cursor bytes;

    if (!get_string(c, &bytes) || bytes.left > MAX_KEY_BITS / 8 + 1)
        return false;
    *ret = BN_bin2bn(bytes.p, (int)bytes.left, NULL);
    return *ret != NULL;
}

/* n e d iqmp p q */
static struct err *read_rsa(struct cursor *c, struct sign_key *k)
{
    static const char *const names[] = { OSSL_PKEY_PARAM_RSA_N,       OSSL_PKEY_PARAM_RSA_E,
                                         OSSL_PKEY_PARAM_RSA_D,       NULL,
                                         OSSL_PKEY_PARAM_RSA_FACTOR1, OSSL_PKEY_PARAM_RSA_FACTOR2 };
    BIGNUM *n[6] = { NULL };
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    bool ok = bld != NULL;

    for (size_t i = 0; ok && i < 6; i++) {
        ok = get_number(c, &n[i]);
        if (ok && names[i] && i < 3) /* the rest only makes it faster, and OpenSSL finds it by itself */
            ok = OSSL_PARAM_BLD_push_BN(bld, names[i], n[i]) == 1;
    }
    k->kind = KIND_RSA;
    struct err *e = ok ? from_params("RSA", bld, k) : bad_key("it is damaged");
    for (size_t i = 0; i < 6; i++)
        BN_clear_free(n[i]);
    OSSL_PARAM_BLD_free(bld);
    return e;
}

static struct err *read_ed25519(struct cursor *c, struct sign_key *k)
{
    struct cursor public, private;

    if (!get_string(c, &public) || !get_string(c, &private) || public.left != 32 || private.left != 64)
        return bad_key("it is damaged");
    k->kind = KIND_ED25519;
    k->pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, private.p, 32);
    return k->pkey ? NULL : bad_key("it is damaged");
}

/* curve Q d */
static struct err *read_ecdsa(struct cursor *c, struct sign_key *k)
{
    struct cursor name, point;
    BIGNUM *d = NULL;
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    bool ok = bld && get_string(c, &name) && get_string(c, &point) && get_number(c, &d);

    for (size_t i = 0; ok && i < sizeof(curves) / sizeof(curves[0]); i++)
        if (is_text(&name, curves[i].ssh))
            k->curve = &curves[i];
    k->kind = KIND_ECDSA;
    ok = ok && k->curve &&
         OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, k->curve->openssl, 0) == 1 &&
         OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, point.p, point.left) == 1 &&
         OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_PRIV_KEY, d) == 1;
    struct err *e = ok ? from_params("EC", bld, k) : bad_key("it is damaged, or on a curve that is not NIST's");
    BN_clear_free(d);
    OSSL_PARAM_BLD_free(bld);
    return e;
}

/* ---- reading ---- */

static struct err *read_private(struct cursor c, struct sign_key *k)
{
    uint32_t check, again;
    struct cursor type;

    if (!get_u32(&c, &check) || !get_u32(&c, &again) || check != again || !get_string(&c, &type))
        return bad_key("it is damaged");
    if (is_text(&type, "ssh-rsa"))
        return read_rsa(&c, k);
    if (is_text(&type, "ssh-ed25519"))
        return read_ed25519(&c, k);
    if (type.left > 11 && memcmp(type.p, "ecdsa-sha2-", 11) == 0)
        return read_ecdsa(&c, k);
    return bad_key("it is of an unknown kind");
}

static struct err *read_openssh(const unsigned char *data, size_t len, struct sign_key *k)
{
    struct cursor c = { data, len }, cipher, kdf, kdf_options, public, private;
    uint32_t n_keys;

    if (len < sizeof(MAGIC) || memcmp(data, MAGIC, sizeof(MAGIC)) != 0)
        return bad_key("it is damaged");
    c.p += sizeof(MAGIC);
    c.left -= sizeof(MAGIC);
    if (!get_string(&c, &cipher) || !get_string(&c, &kdf) || !get_string(&c, &kdf_options) || !get_u32(&c, &n_keys) ||
        n_keys != 1 || !get_string(&c, &public) || !get_string(&c, &private))
        return bad_key("it is damaged");
    if (!is_text(&cipher, "none"))
        return bad_key("it has a passphrase");
    return read_private(private, k);
}

static int no_passphrase(char *buf, int size, int rwflag, void *ctx)
{
    (void)buf;
    (void)size;
    (void)rwflag;
    *(bool *)ctx = true;
    return -1;
}

static const struct curve *curve_of(const EVP_PKEY *pkey)
{
    char name[64] = "";
    size_t len = 0;

    if (EVP_PKEY_get_group_name(pkey, name, sizeof(name), &len) != 1)
        return NULL;
    for (size_t i = 0; i < sizeof(curves) / sizeof(curves[0]); i++)
        if (strcmp(name, curves[i].openssl) == 0)
            return &curves[i];
    return NULL;
}

static struct err *read_pem(const char *pem, size_t len, struct sign_key *k)
{
    BIO *bio = BIO_new_mem_buf(pem, (int)len);
    bool asked = false;

    k->pkey = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, &asked) : NULL;
    BIO_free(bio);
    if (!k->pkey)
        return bad_key(asked ? "it has a passphrase" : "it is no private key");
    switch (EVP_PKEY_get_base_id(k->pkey)) {
    case EVP_PKEY_RSA:
        k->kind = KIND_RSA;
        return NULL;
    case EVP_PKEY_ED25519:
        k->kind = KIND_ED25519;
        return NULL;
    case EVP_PKEY_EC:
        k->kind = KIND_ECDSA;
        k->curve = curve_of(k->pkey);
        return k->curve ? NULL : bad_key("it is on a curve that is not NIST's");
    default:
        return bad_key("it is of an unknown kind");
    }
}

static struct err *read_any(const char *pem, size_t len, struct sign_key *k)
{
    BIO *bio = BIO_new_mem_buf(pem, (int)len);
    char *name = NULL, *header = NULL;
    unsigned char *data = NULL;
    long n = 0;
    bool ok = bio && PEM_read_bio(bio, &name, &header, &data, &n) == 1;
    struct err *e =
        ok && strcmp(name, "OPENSSH PRIVATE KEY") == 0 ? read_openssh(data, (size_t)n, k) : read_pem(pem, len, k);

    if (ok)
        OPENSSL_cleanse(data, (size_t)n);
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_free(data);
    BIO_free(bio);
    return e;
}

struct err *sign_key_read(const char *pem, size_t len, struct sign_key **ret)
{
    AUTO(sign_key_free) struct sign_key *k = xcalloc(1, sizeof(*k));

    if (len > MAX_PEM_BYTES)
        return bad_key("it is too long");
    /* Variables often lose the last newline, which PEM wants. */
    AUTO_FREE char *text = xcalloc(1, len + 2);
    memcpy(text, pem, len);
    text[len] = '\n';
    struct err *e = read_any(text, len + 1, k);
    OPENSSL_cleanse(text, len);
    TRY(e);
    *ret = steal(&k);
    return NULL;
}

void sign_key_free(struct sign_key *k)
{
    if (!k)
        return;
    EVP_PKEY_free(k->pkey);
    free(k);
}

/* ---- the public half ---- */

static void put_param(struct buf *out, const struct sign_key *k, const char *name)
{
    BIGNUM *n = NULL;

    if (EVP_PKEY_get_bn_param(k->pkey, name, &n) == 1)
        put_mpint(out, n);
    BN_free(n);
}

static void put_type(struct buf *out, const struct sign_key *k)
{
    AUTO_FREE char *type = xasprintf("ecdsa-sha2-%s", k->curve ? k->curve->ssh : "");

    put_text(out, k->kind == KIND_RSA ? "ssh-rsa" : k->kind == KIND_ED25519 ? "ssh-ed25519" : type);
}

/* An uncompressed point, whatever form the key was written in. */
static void put_point(struct buf *out, const struct sign_key *k)
{
    unsigned char bytes[1 + 2 * 66] = { 4 };
    size_t width = ((size_t)k->curve->bits + 7) / 8;
    BIGNUM *x = NULL, *y = NULL;

    if (EVP_PKEY_get_bn_param(k->pkey, OSSL_PKEY_PARAM_EC_PUB_X, &x) == 1 &&
        EVP_PKEY_get_bn_param(k->pkey, OSSL_PKEY_PARAM_EC_PUB_Y, &y) == 1) {
        BN_bn2binpad(x, bytes + 1, (int)width);
        BN_bn2binpad(y, bytes + 1 + width, (int)width);
    }
    ssh_put_string(out, bytes, 1 + 2 * width);
    BN_free(x);
    BN_free(y);
}

void sign_key_public(const struct sign_key *k, struct buf *out)
{
    unsigned char raw[32] = { 0 };
    size_t n = sizeof(raw);

    put_type(out, k);
    switch (k->kind) {
    case KIND_RSA:
        put_param(out, k, OSSL_PKEY_PARAM_RSA_E);
        put_param(out, k, OSSL_PKEY_PARAM_RSA_N);
        break;
    case KIND_ED25519:
        (void)EVP_PKEY_get_raw_public_key(k->pkey, raw, &n);
        ssh_put_string(out, raw, sizeof(raw));
        break;
    case KIND_ECDSA:
        put_text(out, k->curve->ssh);
        put_point(out, k);
        break;
    }
}

/* ---- signing ---- */

static struct err *sign_raw(const struct sign_key *k, const EVP_MD *md, const void *data, size_t len,
                            unsigned char **ret, size_t *ret_len)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    size_t n = 0;
    bool ok =
        ctx && EVP_DigestSignInit(ctx, NULL, md, NULL, k->pkey) == 1 && EVP_DigestSign(ctx, NULL, &n, data, len) == 1;
    AUTO_FREE unsigned char *sig = xcalloc(1, n + 1);

    ok = ok && EVP_DigestSign(ctx, sig, &n, data, len) == 1;
    EVP_MD_CTX_free(ctx);
    if (!ok)
        return err_new(ERR_SETTING, "the SSH key cannot sign");
    *ret = steal(&sig);
    *ret_len = n;
    return NULL;
}

/* OpenSSL's DER becomes two numbers. */
static struct err *put_ecdsa(struct buf *out, const unsigned char *der, size_t len)
{
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)len);
    AUTO(buf_release) struct buf numbers = BUF_INIT;

    if (!sig)
        return err_new(ERR_BUG, "an ECDSA signature cannot be read");
    put_mpint(&numbers, ECDSA_SIG_get0_r(sig));
    put_mpint(&numbers, ECDSA_SIG_get0_s(sig));
    ssh_put_string(out, buf_str(&numbers), numbers.len);
    ECDSA_SIG_free(sig);
    return NULL;
}

struct err *sign_key_sign(const struct sign_key *k, int rsa_hash_bits, const void *data, size_t len, struct buf *out)
{
    const EVP_MD *md = k->kind == KIND_ED25519 ? NULL
                       : k->kind == KIND_ECDSA ? k->curve->md()
                       : rsa_hash_bits == 512  ? EVP_sha512()
                                               : EVP_sha256();
    AUTO_FREE unsigned char *sig = NULL;
    size_t n = 0;

    TRY(sign_raw(k, md, data, len, &sig, &n));
    if (k->kind == KIND_RSA)
        put_text(out, rsa_hash_bits == 512 ? "rsa-sha2-512" : "rsa-sha2-256");
    else
        put_type(out, k);
    if (k->kind == KIND_ECDSA)
        return put_ecdsa(out, sig, n);
    ssh_put_string(out, sig, n);
    return NULL;
}
