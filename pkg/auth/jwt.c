#include "auth/jwt.h"

#include "base/base64.h"

#include <string.h>

struct json *jwt_claims(const char *token)
{
    AUTO(buf_release) struct buf claims = BUF_INIT;
    const char *dot = strchr(token, '.');
    struct json *tree = NULL;

    if (!dot || !base64_decode(dot + 1, strcspn(dot + 1, "."), &claims) || !claims.len)
        return NULL;
    struct err *e = json_parse(claims.data, claims.len, &tree);
    err_free(e); /* then it is no JWT */
    return tree;
}

int64_t jwt_lifetime(const char *token)
{
    AUTO(json_free) struct json *claims = jwt_claims(token);
    int64_t exp = 0, iat = 0;

    if (!json_get_int(claims, "exp", &exp) || !json_get_int(claims, "iat", &iat) || iat < 0 || exp <= iat)
        return 0;
    return exp - iat;
}
