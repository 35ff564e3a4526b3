/* Decompresses any bytes, up to some output: small inputs may blow up, but the memory in use must not. */
#include "tar/decompress.h"

#include <stdint.h>
#include <string.h>

#define MAX_OUTPUT (8 * 1024 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct bytes {
    const uint8_t *p;
    size_t len;
};

static struct err *from_bytes(void *ctx, void *p, size_t n, size_t *ret_len)
{
    struct bytes *b = ctx;
    size_t k = b->len < n ? b->len : n;

    if (k > 300)
        k = 300;
    if (k)
        memcpy(p, b->p, k);
    b->p += k;
    b->len -= k;
    *ret_len = k;
    return NULL;
}

static struct err *read_all(struct bytes *b, char *chunk, size_t chunk_size)
{
    AUTO(decompress_free) struct decompressor *d = NULL;
    size_t n = 1;

    TRY(decompress_new((struct source){ from_bytes, b }, &d));
    struct source source = decompress_source(d);

    for (size_t sum = 0; n && sum < MAX_OUTPUT; sum += n) {
        TRY(source_read(&source, chunk, chunk_size, &n));
        if (n > chunk_size)
            abort();
    }
    return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char chunk[65536];
    struct bytes b = { data, size };

    err_free(read_all(&b, chunk, size % 2 ? sizeof(chunk) : 777));
    return 0;
}
