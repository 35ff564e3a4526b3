/* DEFLATE data inside a gzip member, by our decompressor and by zlib: what zlib finds we must find. Of codes that leave
 * something unused, ISA-L takes more than zlib: then both must agree as far as zlib came. */
#include "base/buf.h"
#include "tar/decompress.h"

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

struct input {
    struct buf *member;
    size_t pos, step; /* so many bytes are given each time, in memory of just that size */
};

static struct err *give(void *ctx, void *p, size_t n, size_t *ret_len)
{
    struct input *in = ctx;
    size_t left = in->member->len - in->pos, len = left < n ? left : n;

    len = len < in->step ? len : in->step;
    memcpy(p, in->member->data + in->pos, len);
    in->pos += len;
    *ret_len = len;
    return NULL;
}

static void put_u32(struct buf *out, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        buf_putc(out, (char)(v >> 8 * i));
}

/* With the trailer of what zlib found, if that was whole. */
static void make_member(const uint8_t *data, size_t size, const struct outcome *z, struct buf *ret)
{
    static const unsigned char header[10] = { 0x1f, 0x8b, 8 };

    buf_add(ret, header, sizeof(header));
    buf_add(ret, data, z->whole ? z->used : size);
    if (!z->whole)
        return;
    put_u32(ret, (uint32_t)crc32(0, z->out, (uInt)z->len));
    put_u32(ret, (uint32_t)z->len);
}

static void by_us(struct buf *member, size_t step, size_t room, struct outcome *ret)
{
    AUTO(decompress_free) struct decompressor *d = NULL;
    struct input in = { member, 0, step };
    struct err *e = decompress_new((struct source){ give, &in }, &d);
    struct source s = decompress_source(d);
    size_t n = 1;

    while (!e && n && ret->len < MAX_OUTPUT) {
        size_t left = MAX_OUTPUT - ret->len;

        e = source_read(&s, ret->out + ret->len, left < room ? left : room, &n);
        ret->len += e ? 0 : n;
    }
    ret->whole = !e;
    err_free(e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static unsigned char out[2][MAX_OUTPUT];
    struct outcome z = { .out = out[0] }, us = { .out = out[1] };
    AUTO(buf_release) struct buf member = BUF_INIT;

    by_zlib(data, size, &z);
    make_member(data, size, &z, &member);
    by_us(&member, size % 3 ? 1500 : 7, size % 2 ? 999 : 70000, &us);
    if (z.len == MAX_OUTPUT || us.len == MAX_OUTPUT)
        return 0;
    if (z.whole && (!us.whole || z.len != us.len))
        abort();
    if (memcmp(z.out, us.out, z.len < us.len ? z.len : us.len) != 0)
        abort();
    return 0;
}
