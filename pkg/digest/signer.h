/* signer.h - a private RSA key with its certificate, as one PEM text or PKCS#12 file, and its PS256 signatures (RFC
 * 7518 section 3.5): what a client certificate proves itself with. Knows no JWT. Immutable once made: thread-safe. The
 * key stays in OpenSSL's memory and is wiped with it. */
#ifndef DIGEST_SIGNER_H
#define DIGEST_SIGNER_H

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

struct signer;

/* Reads PEM (the key, encrypted or not, and certificates in any order) or PKCS#12 (DER). password may be NULL. Where
 * several certificates are there, the key's own is first and the others are its chain. Errors are ERR_SETTING and show
 * nothing of the content. */
MUST_USE struct err *signer_new(const void *p, size_t n, const char *password, struct signer **ret);
void signer_free(struct signer *s);
DEFINE_CLEANUP(struct signer *, signer_free);

/* SHA-256 of the certificate's DER. */
void signer_thumbprint(const struct signer *s, unsigned char ret[32]);
/* Its validity, seconds since 1970. */
void signer_validity(const struct signer *s, int64_t *ret_from, int64_t *ret_until);
/* Certificates: 0 is the key's own. */
size_t signer_certificates(const struct signer *s);
/* The DER of certificate i; the caller releases ret. */
void signer_certificate_der(const struct signer *s, size_t i, struct buf *ret);
/* RSASSA-PSS with SHA-256, MGF1-SHA-256 and a salt of 32 bytes. */
MUST_USE struct err *signer_sign(const struct signer *s, const void *p, size_t n, struct buf *ret);

#endif
