/* base64.h - RFC 4648. Pure. */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include "base/buf.h"

#include <stdbool.h>

/* Standard alphabet, padded. The caller frees. */
char *base64_encode(const void *p, size_t n);
/* URL alphabet, not padded, as JWTs have it (RFC 7515). The caller frees. */
char *base64url_encode(const void *p, size_t n);
/* Takes the standard and the URL alphabet, with or without padding, and skips line ends. False if it is anything else;
 * out then holds what was decoded so far. */
bool base64_decode(const char *text, size_t len, struct buf *out);

#endif
