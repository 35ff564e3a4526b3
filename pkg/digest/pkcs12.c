/* pkcs12.c - PKCS#12 (RFC 7292): a password over bags with keys and certificates. OpenSSL's own PKCS12_parse() reads
 * none whose certificates are under RC2 with 40 bits unless it may load a module with old algorithms, which a static
 * program cannot: but Windows and Azure Key Vault still make them, so that layer is taken off here. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "digest/signer_priv.h"

#include <openssl/pkcs12.h>
#include <openssl/rc2.h>
#include <string.h>

#define MAX_ITERATIONS 10000000 /* of the key derivation: what a file may cost before it is refused */
#define MAX_DEPTH      4        /* of bags in bags */

/* Some programs take "no password" as none, others as the empty one. */
struct password {
    const char *text;
    int len;
};

/* ---- RC2 ---- */

static int rc2_key_bytes(int nid)
{
    if (nid == NID_pbe_WithSHA1And40BitRC2_CBC)
        return 5;
    return nid == NID_pbe_WithSHA1And128BitRC2_CBC ? 16 : 0;
}

static bool rc2_keys(const PBEPARAM *param, const struct password *pw, int key_bytes, unsigned char key[16],
                     unsigned char iv[8])
{
    int64_t rounds = param->iter ? ASN1_INTEGER_get(param->iter) : 1;
    unsigned char *salt = param->salt->data;
    int salt_len = param->salt->length;

    if (rounds < 1 || rounds > MAX_ITERATIONS)
        return false;
    return PKCS12_key_gen_utf8(pw->text, pw->len, salt, salt_len, PKCS12_KEY_ID, (int)rounds, key_bytes, key,
                               EVP_sha1()) == 1 &&
           PKCS12_key_gen_utf8(pw->text, pw->len, salt, salt_len, PKCS12_IV_ID, (int)rounds, 8, iv, EVP_sha1()) == 1;
}

/* The plain text without its padding; false if the padding shows a wrong key. */
static bool rc2_decrypt(const ASN1_OCTET_STRING *in, const unsigned char *key, int key_bytes, unsigned char iv[8],
                        struct buf *ret)
{
    RC2_KEY schedule;
    size_t n = (size_t)in->length;

    if (n == 0 || n % 8 != 0)
        return false;
    AUTO_FREE unsigned char *out = xcalloc(1, n);
    RC2_set_key(&schedule, key_bytes, key, key_bytes * 8);
    RC2_cbc_encrypt(in->data, out, (long)n, &schedule, iv, RC2_DECRYPT);
    OPENSSL_cleanse(&schedule, sizeof(schedule));
    unsigned char pad = out[n - 1];
    if (pad < 1 || pad > 8)
        return false;
    buf_add(ret, out, n - pad);
    return true;
}

/* Bags of an encrypted part whose cipher OpenSSL does not have; NULL if it is another cipher or does not open. */
static STACK_OF(PKCS12_SAFEBAG) * rc2_bags(const PKCS7 *part, const struct password *pw)
{
    AUTO(buf_release) struct buf plain = BUF_INIT;
    const PKCS7_ENC_CONTENT *enc = part->d.encrypted ? part->d.encrypted->enc_data : NULL;
    unsigned char key[16], iv[8];

    if (!enc || !enc->enc_data || !enc->algorithm || !enc->algorithm->parameter)
        return NULL;
    int key_bytes = rc2_key_bytes(OBJ_obj2nid(enc->algorithm->algorithm));
    PBEPARAM *param = key_bytes ? ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(PBEPARAM), enc->algorithm->parameter) : NULL;
    bool good =
        param && rc2_keys(param, pw, key_bytes, key, iv) && rc2_decrypt(enc->enc_data, key, key_bytes, iv, &plain);
    PBEPARAM_free(param);
    OPENSSL_cleanse(key, sizeof(key));
    if (!good || !plain.len)
        return NULL;
    const unsigned char *p = (const unsigned char *)plain.data;
    return (STACK_OF(PKCS12_SAFEBAG) *)ASN1_item_d2i(NULL, &p, (long)plain.len, ASN1_ITEM_rptr(PKCS12_SAFEBAGS));
}

/* ---- bags ---- */

static void take_key(struct signer *s, EVP_PKEY *key)
{
    if (s->key)
        EVP_PKEY_free(key); /* the first one counts */
    else
        s->key = key;
}

static void take_shrouded(struct signer *s, const PKCS12_SAFEBAG *bag, const struct password *pw)
{
    PKCS8_PRIV_KEY_INFO *info = PKCS12_decrypt_skey(bag, pw->text, pw->len);

    if (info)
        take_key(s, EVP_PKCS82PKEY(info));
    PKCS8_PRIV_KEY_INFO_free(info);
}

/* Recursion is bounded by MAX_DEPTH. */
static void take_bags(struct signer *s, const STACK_OF(PKCS12_SAFEBAG) * bags, const struct password *pw, int depth)
{
    for (int i = 0; depth < MAX_DEPTH && i < sk_PKCS12_SAFEBAG_num(bags); i++) {
        const PKCS12_SAFEBAG *bag = sk_PKCS12_SAFEBAG_value(bags, i);
        X509 *certificate;

        switch (PKCS12_SAFEBAG_get_nid(bag)) {
        case NID_keyBag:
            take_key(s, EVP_PKCS82PKEY(PKCS12_SAFEBAG_get0_p8inf(bag)));
            break;
        case NID_pkcs8ShroudedKeyBag:
            take_shrouded(s, bag, pw);
            break;
        case NID_certBag:
            certificate = PKCS12_SAFEBAG_get1_cert(bag);
            if (certificate)
                vec_push(&s->certificates, certificate);
            break;
        case NID_safeContentsBag:
            take_bags(s, PKCS12_SAFEBAG_get0_safes(bag), pw, depth + 1);
            break;
        default: /* revocation lists and secrets are not for us */
            break;
        }
    }
}

static struct err *take_part(struct signer *s, PKCS7 *part, const struct password *pw)
{
    STACK_OF(PKCS12_SAFEBAG) *bags = NULL;

    if (PKCS7_type_is_data(part)) {
        bags = PKCS12_unpack_p7data(part);
    } else if (PKCS7_type_is_encrypted(part)) {
        bags = PKCS12_unpack_p7encdata(part, pw->text, pw->len);
        if (!bags)
            bags = rc2_bags(part, pw);
    }
    if (!bags)
        return err_hint(err_new(ERR_SETTING, "a part of the PKCS#12 file is encrypted in a way that is not supported"),
                        "Convert it with 'openssl pkcs12 -legacy -in OLD -nodes', and give the PEM text.");
    take_bags(s, bags, pw, 0);
    sk_PKCS12_SAFEBAG_pop_free(bags, PKCS12_SAFEBAG_free);
    return NULL;
}

/* ---- the file ---- */

/* Its MAC says whether the password is right. */
static struct err *find_password(PKCS12 *file, const char *given, struct password *ret)
{
    const struct password tries[] = { { given, given ? (int)strlen(given) : 0 }, { NULL, 0 }, { "", 0 } };
    size_t n = given && *given ? 1 : sizeof(tries) / sizeof(tries[0]);

    *ret = tries[0];
    if (!PKCS12_mac_present(file))
        return NULL;
    for (size_t i = 0; i < n; i++) {
        if (PKCS12_verify_mac(file, tries[i].text, tries[i].len) == 1) {
            *ret = tries[i];
            return NULL;
        }
    }
    if (given && *given)
        return err_new(ERR_SETTING, "the password of the PKCS#12 file is wrong");
    return err_new(ERR_SETTING, "the PKCS#12 file has a password, and none is given");
}

static struct err *take_all(struct signer *s, PKCS12 *file, const struct password *pw)
{
    STACK_OF(PKCS7) *parts = PKCS12_unpack_authsafes(file);
    struct err *e = NULL;

    if (!parts)
        return err_new(ERR_SETTING, "the PKCS#12 file is damaged");
    for (int i = 0; !e && i < sk_PKCS7_num(parts); i++)
        e = take_part(s, sk_PKCS7_value(parts, i), pw);
    sk_PKCS7_pop_free(parts, PKCS7_free);
    if (!e && !s->key)
        e = err_new(ERR_SETTING, "the PKCS#12 file has no private key that could be read");
    return e;
}

struct err *signer_read_pkcs12(struct signer *s, const unsigned char *p, size_t n, const char *password)
{
    struct password pw;
    PKCS12 *file = d2i_PKCS12(NULL, &p, (long)n);

    if (!file)
        return err_new(ERR_SETTING, "it is neither PEM text nor a PKCS#12 file");
    struct err *e = find_password(file, password, &pw);
    if (!e)
        e = take_all(s, file, &pw);
    PKCS12_free(file);
    return e;
}
