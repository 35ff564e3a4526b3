/* No text is more than refused, and a key that is read can be listed and asked to sign. */
#include "agent/agent.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(sign_key_free) struct sign_key *key = NULL;
    AUTO(buf_release) struct buf out = BUF_INIT;
    struct err *e = sign_key_read((const char *)data, size, &key);

    if (e) {
        err_free(e);
        return 0;
    }
    agent_answer(key, "\x0b", 1, &out);
    agent_answer(key, data, size, &out);
    return 0;
}
