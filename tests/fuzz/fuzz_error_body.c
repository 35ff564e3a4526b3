/* Answers of registries and token services: any bytes give one line without control characters. */
#include "oci/error_body.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const types[] = { NULL, "text/plain", "application/json", "text/html" };
    AUTO(buf_release) struct buf out = BUF_INIT;

    for (size_t i = 0; i < 4; i++)
        error_body_describe((const char *)data, size, types[i], &out);
    for (size_t i = 0; i < out.len; i++)
        if ((unsigned char)out.data[i] < 0x20 || out.data[i] == 0x7f)
            abort();
    (void)error_body_has((const char *)data, size, "DENIED");
    return 0;
}
