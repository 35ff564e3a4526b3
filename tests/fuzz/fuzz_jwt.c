/* What a token says of itself: any text is a JWT with claims, or none. */
#include "auth/jwt.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_FREE char *text = xstrndup((const char *)data, size);
    AUTO(json_free) struct json *claims = jwt_claims(text);

    if (jwt_lifetime(text) < 0 || (!claims && jwt_lifetime(text) != 0))
        abort();
    return 0;
}
