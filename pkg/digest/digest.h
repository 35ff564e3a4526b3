/* digest.h - streaming SHA-256 and content digests "sha256:<64 lower-case hex>" (OCI image-spec descriptor.md,
 * "Digests"). The only module that includes OpenSSL's hash functions. A hasher belongs to one thread at a time. */
#ifndef DIGEST_DIGEST_H
#define DIGEST_DIGEST_H

#include "base/err.h"
#include "base/mem.h"

#include <stdbool.h>
#include <stddef.h>

#define DIGEST_TEXT_LEN 71 /* strlen("sha256:") + 64 */

/* A digest as text, by value; "" = none. */
struct digest {
    char text[DIGEST_TEXT_LEN + 1];
};

struct hasher;

struct hasher *hasher_new(void);
void hasher_add(struct hasher *h, const void *p, size_t n);
/* The digest of all that was added. The hasher can only be freed after it. */
struct digest hasher_end(struct hasher *h);
void hasher_free(struct hasher *h);
DEFINE_CLEANUP(struct hasher *, hasher_free);

struct digest digest_bytes(const void *p, size_t n);
/* Checks that s is "sha256:" and 64 lower-case hex digits; anything else is ERR_REGISTRY. */
MUST_USE struct err *digest_parse(const char *s, struct digest *ret_digest);
/* The 64 hex digits: borrowed from d. */
const char *digest_hex(const struct digest *d);
bool digest_equal(const struct digest *a, const struct digest *b);

#endif
