/* zstd, bzip2 and xz: each by its library's streaming interface, any number of frames or streams one after the other.
 */
#include "base/limits.h"
#include "tar/decompress_priv.h"

#include <bzlib.h>
#include <lzma.h>
#include <string.h>
#include <zstd.h>

enum { IN_BYTES = 128 * 1024 };

static struct err *no_memory(void)
{
    return err_new(ERR_POD, "not enough memory to decompress");
}

/* --- zstd --- */

struct zstd {
    ZSTD_DCtx *ctx;
    bool in_frame;
};

static bool zstd_matches(const unsigned char *p, size_t n)
{
    static const unsigned char frame[] = { 0x28, 0xb5, 0x2f, 0xfd }, skippable[] = { 0x2a, 0x4d, 0x18 };

    return n >= 4 && (memcmp(p, frame, 4) == 0 || ((p[0] & 0xf0) == 0x50 && memcmp(p + 1, skippable, 3) == 0));
}

static struct err *zstd_open(struct decompressor *d)
{
    struct zstd *z = d->state = xcalloc(1, sizeof(*z));

    z->ctx = ZSTD_createDCtx();
    return z->ctx ? NULL : no_memory();
}

static void zstd_close(struct decompressor *d)
{
    struct zstd *z = d->state;

    ZSTD_freeDCtx(z->ctx);
    free(z);
}

static struct err *zstd_read(struct decompressor *d, unsigned char *p, size_t n, size_t *ret_len)
{
    struct zstd *z = d->state;
    ZSTD_outBuffer out = { p, n, 0 };

    while (out.pos == 0) {
        TRY(decompress_fill(d));
        ZSTD_inBuffer in = { d->in, d->in_len, d->in_pos };
        bool no_input = in.pos == in.size;

        if (no_input && !z->in_frame)
            break;
        size_t left = ZSTD_decompressStream(z->ctx, &out, &in);

        if (ZSTD_isError(left))
            return decompress_damaged(d, ZSTD_getErrorName(left));
        d->in_pos = in.pos;
        z->in_frame = left != 0;
        if (no_input && out.pos == 0 && z->in_frame)
            return decompress_truncated(d);
    }
    *ret_len = out.pos;
    return NULL;
}

const struct codec codec_zstd = { "zstd", IN_BYTES, zstd_matches, zstd_open, zstd_read, zstd_close };

/* --- bzip2 --- */

struct bzip2 {
    bz_stream z;
    bool in_stream;
};

static bool bzip2_matches(const unsigned char *p, size_t n)
{
    return n >= 4 && memcmp(p, "BZh", 3) == 0 && p[3] >= '1' && p[3] <= '9';
}

static struct err *bzip2_begin(struct bzip2 *b)
{
    b->z = (bz_stream){ 0 };
    if (BZ2_bzDecompressInit(&b->z, 0, 0) != BZ_OK)
        return no_memory();
    b->in_stream = true;
    return NULL;
}

static struct err *bzip2_open(struct decompressor *d)
{
    struct bzip2 *b = d->state = xcalloc(1, sizeof(*b));

    return bzip2_begin(b);
}

static void bzip2_end(struct bzip2 *b)
{
    if (b->in_stream)
        BZ2_bzDecompressEnd(&b->z);
    b->in_stream = false;
}

static void bzip2_close(struct decompressor *d)
{
    bzip2_end(d->state);
    free(d->state);
}

static struct err *bzip2_some(struct decompressor *d, struct bzip2 *b, unsigned char *p, size_t n, size_t *ret_len)
{
    unsigned room = n < IN_BYTES ? (unsigned)n : IN_BYTES;
    bool no_input = d->in_pos == d->in_len;

    b->z.next_in = (char *)d->in + d->in_pos;
    b->z.avail_in = (unsigned)(d->in_len - d->in_pos);
    b->z.next_out = (char *)p;
    b->z.avail_out = room;
    int rc = BZ2_bzDecompress(&b->z);

    d->in_pos = d->in_len - b->z.avail_in;
    *ret_len = room - b->z.avail_out;
    if (rc == BZ_MEM_ERROR)
        return no_memory();
    if (rc != BZ_OK && rc != BZ_STREAM_END)
        return decompress_damaged(d, "it cannot be decoded");
    if (rc == BZ_STREAM_END)
        bzip2_end(b);
    else if (no_input && *ret_len == 0)
        return decompress_truncated(d);
    return NULL;
}

static struct err *bzip2_read(struct decompressor *d, unsigned char *p, size_t n, size_t *ret_len)
{
    struct bzip2 *b = d->state;

    *ret_len = 0;
    while (*ret_len == 0) {
        TRY(decompress_fill(d));
        if (!b->in_stream) {
            if (d->in_pos == d->in_len)
                return NULL;
            TRY(bzip2_begin(b));
        }
        TRY(bzip2_some(d, b, p, n, ret_len));
    }
    return NULL;
}

const struct codec codec_bzip2 = { "bzip2", IN_BYTES, bzip2_matches, bzip2_open, bzip2_read, bzip2_close };

/* --- xz --- */

struct xz {
    lzma_stream z;
    bool ended;
};

static bool xz_matches(const unsigned char *p, size_t n)
{
    return n >= 6 && memcmp(p,
                            "\xfd"
                            "7zXZ",
                            6) == 0;
}

static struct err *xz_open(struct decompressor *d)
{
    struct xz *x = d->state = xcalloc(1, sizeof(*x));

    x->z = (lzma_stream)LZMA_STREAM_INIT;
    return lzma_stream_decoder(&x->z, LIMIT_XZ_MEMORY_BYTES, LZMA_CONCATENATED) == LZMA_OK ? NULL : no_memory();
}

static void xz_close(struct decompressor *d)
{
    struct xz *x = d->state;

    lzma_end(&x->z);
    free(x);
}

static struct err *xz_error(const struct decompressor *d, lzma_ret rc)
{
    if (rc == LZMA_BUF_ERROR)
        return decompress_truncated(d);
    if (rc == LZMA_MEMLIMIT_ERROR)
        return err_new(ERR_REGISTRY, "xz data needs more than %d MiB of memory", LIMIT_XZ_MEMORY_BYTES >> 20);
    return rc == LZMA_MEM_ERROR ? no_memory() : decompress_damaged(d, "it cannot be decoded");
}

static struct err *xz_read(struct decompressor *d, unsigned char *p, size_t n, size_t *ret_len)
{
    struct xz *x = d->state;

    x->z.next_out = p;
    x->z.avail_out = n;
    while (!x->ended && x->z.avail_out == n) {
        TRY(decompress_fill(d));
        x->z.next_in = d->in + d->in_pos;
        x->z.avail_in = d->in_len - d->in_pos;
        lzma_ret rc = lzma_code(&x->z, d->in_ended ? LZMA_FINISH : LZMA_RUN);

        d->in_pos = d->in_len - x->z.avail_in;
        x->ended = rc == LZMA_STREAM_END;
        if (rc != LZMA_OK && rc != LZMA_STREAM_END)
            return xz_error(d, rc);
    }
    *ret_len = n - x->z.avail_out;
    return NULL;
}

const struct codec codec_xz = { "xz", IN_BYTES, xz_matches, xz_open, xz_read, xz_close };
