#include "digest/digest.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

/* Before anything of OpenSSL runs, also its TLS: no openssl.cnf is ever read (it can name code to load), and no
 * clean-up at exit pulls its tables from under a thread that still works. */
__attribute__((constructor)) static void openssl_without_config(void)
{
    (void)OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, NULL);
}

struct hasher {
    EVP_MD_CTX *ctx;
};

struct hasher *hasher_new(void)
{
    struct hasher *h = xcalloc(1, sizeof(*h));

    h->ctx = EVP_MD_CTX_new();
    if (!h->ctx || EVP_DigestInit_ex(h->ctx, EVP_sha256(), NULL) != 1)
        abort(); /* only for want of memory */
    return h;
}

void hasher_add(struct hasher *h, const void *p, size_t n)
{
    if (EVP_DigestUpdate(h->ctx, p, n) != 1)
        abort();
}

struct digest hasher_end(struct hasher *h)
{
    static const char hex[] = "0123456789abcdef";
    unsigned char sum[32];
    struct digest d = { "sha256:" };

    if (EVP_DigestFinal_ex(h->ctx, sum, NULL) != 1)
        abort();
    for (size_t i = 0; i < sizeof(sum); i++) {
        d.text[7 + 2 * i] = hex[sum[i] >> 4];
        d.text[8 + 2 * i] = hex[sum[i] & 15];
    }
    d.text[DIGEST_TEXT_LEN] = '\0';
    return d;
}

void hasher_free(struct hasher *h)
{
    if (!h)
        return;
    EVP_MD_CTX_free(h->ctx);
    free(h);
}

struct digest digest_bytes(const void *p, size_t n)
{
    AUTO(hasher_free) struct hasher *h = hasher_new();

    hasher_add(h, p, n);
    return hasher_end(h);
}

struct err *digest_parse(const char *s, struct digest *ret_digest)
{
    if (strncmp(s, "sha256:", 7) != 0 || strlen(s) != DIGEST_TEXT_LEN || strspn(s + 7, "0123456789abcdef") != 64)
        return err_new(ERR_REGISTRY, "'%.100s' is not a sha256 digest", s);
    memcpy(ret_digest->text, s, DIGEST_TEXT_LEN + 1);
    return NULL;
}

const char *digest_hex(const struct digest *d)
{
    return d->text + 7;
}

bool digest_equal(const struct digest *a, const struct digest *b)
{
    return strcmp(a->text, b->text) == 0;
}
