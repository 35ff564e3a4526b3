/* signer_priv.h - what reading PEM and PKCS#12 have in common. */
#ifndef DIGEST_SIGNER_PRIV_H
#define DIGEST_SIGNER_PRIV_H

#include "base/vec.h"
#include "digest/signer.h"

#include <openssl/evp.h>
#include <openssl/x509.h>

struct signer {
    EVP_PKEY *key;
    VEC(X509 *) certificates; /* the key's own first, once signer_new has returned */
};

/* pkcs12.c: what is in it goes to s. */
MUST_USE struct err *signer_read_pkcs12(struct signer *s, const unsigned char *p, size_t n, const char *password);

#endif
