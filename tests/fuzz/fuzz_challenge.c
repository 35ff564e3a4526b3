/* WWW-Authenticate: any text gives a challenge that we can answer, or none; its strings are inside the text's bounds.
 */
#include "registry/registry.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_FREE char *text = xstrndup((const char *)data, size);
    struct challenge c;

    challenge_parse(text, &c);
    if (c.scheme == CHALLENGE_BEARER && (!c.realm || !*c.realm))
        abort();
    if (c.scheme == CHALLENGE_NONE && (c.realm || c.service || c.scope || c.error))
        abort();
    if (c.realm && strlen(c.realm) > size)
        abort();
    challenge_release(&c);
    return 0;
}
