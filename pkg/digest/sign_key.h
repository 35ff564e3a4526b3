/* sign_key.h - private keys for SSH's user authentication: reading them, their public half and signatures in SSH's wire
 * format (RFC 4253 6.6, RFC 5656, RFC 8332, RFC 8709; PROTOCOL.key of OpenSSH for "openssh-key-v1"). RSA, Ed25519 and
 * ECDSA on the NIST curves. A key is immutable once read; signing is thread-safe. */
#ifndef DIGEST_SIGN_KEY_H
#define DIGEST_SIGN_KEY_H

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"

#include <stdint.h>

struct sign_key;

/* Reads a PEM text: OpenSSH's, PKCS#8, PKCS#1 or SEC1. One with a passphrase, or anything else: ERR_SETTING that says
 * what to do. No error quotes the text. */
MUST_USE struct err *sign_key_read(const char *pem, size_t len, struct sign_key **ret);
/* The public key blob, appended to out. */
void sign_key_public(const struct sign_key *k, struct buf *out);
/* The signature blob over data, appended to out. rsa_hash_bits: 256 or 512, for RSA keys only. */
MUST_USE struct err *sign_key_sign(const struct sign_key *k, int rsa_hash_bits, const void *data, size_t len,
                                   struct buf *out);
void sign_key_free(struct sign_key *k); /* wipes it */
DEFINE_CLEANUP(struct sign_key *, sign_key_free);

/* The wire format's pieces, in network byte order. */
void ssh_put_u32(struct buf *out, uint32_t v);
void ssh_put_string(struct buf *out, const void *p, size_t n);

#endif
