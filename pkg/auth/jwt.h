/* jwt.h - what a JWT says of itself, for messages and times: it is not verified, and nothing is decided by it. Pure;
 * fuzzed. */
#ifndef AUTH_JWT_H
#define AUTH_JWT_H

#include "json/json.h"

/* The claims of a token, NULL if it is no JWT. The caller frees. */
struct json *jwt_claims(const char *token);
/* exp - iat in seconds; 0 if it does not say. */
int64_t jwt_lifetime(const char *token);

#endif
