/* The same bytes by our decoder, in pieces, and by zlib: both must find the same data and the same end, or both none.
 */
#include "tar/inflate_priv.h"

#include <stdint.h>
#include <string.h>
#include <zlib.h>

#define MAX_OUTPUT (4 * 1024 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
    bool whole;
    size_t used, len; /* of the input, of the output */
    unsigned char *out;
};

static void by_zlib(const uint8_t *data, size_t size, struct outcome *ret)
{
    z_stream z = {
        .next_in = (unsigned char *)data, .avail_in = (uInt)size, .next_out = ret->out, .avail_out = MAX_OUTPUT
    };

    if (inflateInit2(&z, -MAX_WBITS) != Z_OK)
        abort();
    ret->whole = inflate(&z, Z_FINISH) == Z_STREAM_END;
    ret->used = size - z.avail_in;
    ret->len = MAX_OUTPUT - z.avail_out;
    inflateEnd(&z);
}

static void take_all(struct inflate *s, struct outcome *ret)
{
    for (size_t n = 1; n;) {
        const unsigned char *p = inflate_take(s, 999, &n);

        if (n > MAX_OUTPUT - ret->len)
            n = MAX_OUTPUT - ret->len;
        memcpy(ret->out + ret->len, p, n);
        ret->len += n;
    }
}

/* `step`: how many bytes more it is given each time. What it sees lies in memory of just that size. */
static void by_us(const uint8_t *data, size_t size, size_t step, struct outcome *ret)
{
    AUTO(inflate_free) struct inflate *s = inflate_new();
    enum inflate_result r = INFLATE_INPUT;
    size_t end = 0;

    while (r == INFLATE_INPUT || r == INFLATE_OUTPUT) {
        size_t used;

        if (r == INFLATE_INPUT)
            end = size - end < step ? size : end + step;
        bool ended = end == size;
        AUTO_FREE unsigned char *in = xcalloc(end - ret->used + (ended ? INFLATE_PAD : 0) + 1, 1);

        memcpy(in + 1, data + ret->used, end - ret->used);
        r = inflate_run(s, in + 1, end - ret->used, ended, &used);
        ret->used += used;
        take_all(s, ret);
        if (ret->len == MAX_OUTPUT)
            break;
    }
    ret->whole = r == INFLATE_END;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static unsigned char out[2][MAX_OUTPUT];
    struct outcome a = { .out = out[0] }, b = { .out = out[1] };

    by_zlib(data, size, &a);
    by_us(data, size, size % 3 ? 1500 : 100000, &b);
    if (a.len == MAX_OUTPUT || b.len == MAX_OUTPUT)
        return 0;
    if (a.whole != b.whole || (a.whole && (a.used != b.used || a.len != b.len)))
        abort();
    if (memcmp(a.out, b.out, a.len < b.len ? a.len : b.len) != 0)
        abort();
    return 0;
}
