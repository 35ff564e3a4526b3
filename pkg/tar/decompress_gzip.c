/* Members of at most 1 MiB, as we and eStargz write them, are decoded whole by libdeflate, more than twice as fast as
 * by zlib. How long a member is, is not known before: it is tried, and the first one that does not fit sends the rest
 * of the stream to zlib. So a stream of one large member costs one failed try. */
#include "tar/decompress_priv.h"

#include <libdeflate.h>
#include <string.h>
#include <zlib.h>

enum {
    MEMBER_BYTES = 1024 * 1024,
    IN_BYTES = MEMBER_BYTES + 64 * 1024 /* a member that did not shrink fits as well */
};

struct gzip {
    struct libdeflate_decompressor *whole; /* NULL: zlib does the rest */
    unsigned char *out;                    /* one member; out_pos..out_len was not handed out yet */
    size_t out_pos, out_len;
    z_stream z;
    bool z_made, in_member; /* in_member: zlib is inside a member */
};

static bool gzip_matches(const unsigned char *p, size_t n)
{
    return n >= 3 && p[0] == 0x1f && p[1] == 0x8b && p[2] == 8;
}

static struct err *gzip_open(struct decompressor *d)
{
    struct gzip *g = d->state = xcalloc(1, sizeof(*g));

    if (inflateInit2(&g->z, 16 + MAX_WBITS) != Z_OK)
        return err_new(ERR_POD, "not enough memory to decompress");
    g->z_made = true;
    g->whole = libdeflate_alloc_decompressor();
    if (g->whole)
        g->out = xreallocarray(NULL, MEMBER_BYTES, 1);
    return NULL;
}

static void gzip_close(struct decompressor *d)
{
    struct gzip *g = d->state;

    if (g->z_made)
        inflateEnd(&g->z);
    if (g->whole)
        libdeflate_free_decompressor(g->whole);
    free(g->out);
    free(g);
}

static void give_up_whole(struct gzip *g)
{
    libdeflate_free_decompressor(g->whole);
    g->whole = NULL;
}

/* After a member: another one, zeros that fill up a tape's block, or the end. */
static struct err *next_member(struct decompressor *d, bool *ret_more)
{
    bool zeros = false;

    *ret_more = false;
    for (;; d->in_pos++) {
        TRY(decompress_fill(d));
        if (d->in_pos == d->in_len)
            return NULL;
        if (d->in[d->in_pos])
            break;
        zeros = true;
    }
    if (zeros || d->in[d->in_pos] != 0x1f)
        return decompress_damaged(d, "something else follows");
    *ret_more = true;
    return NULL;
}

/* Decodes the next member as a whole if it is small enough, else leaves it to zlib. */
static struct err *decode_whole(struct decompressor *d, struct gzip *g)
{
    size_t used = 0, got = 0;

    if (d->in_len - d->in_pos < IN_BYTES / 2)
        TRY(decompress_fill_all(d));
    for (int tries = 0; tries < 2; tries++) {
        if (libdeflate_gzip_decompress_ex(g->whole, d->in + d->in_pos, d->in_len - d->in_pos, g->out, MEMBER_BYTES,
                                          &used, &got) == LIBDEFLATE_SUCCESS) {
            d->in_pos += used;
            g->out_pos = 0;
            g->out_len = got;
            return NULL;
        }
        if (d->in_pos == 0)
            break;
        TRY(decompress_fill_all(d)); /* perhaps it was only cut by the end of the buffer */
    }
    give_up_whole(g);
    return NULL;
}

static struct err *inflate_some(struct decompressor *d, struct gzip *g, unsigned char *p, size_t n, size_t *ret_len)
{
    TRY(decompress_fill(d));
    bool no_input = d->in_pos == d->in_len; /* zlib may have something left to give nevertheless */

    g->z.next_in = d->in + d->in_pos;
    g->z.avail_in = (uInt)(d->in_len - d->in_pos);
    g->z.next_out = p;
    g->z.avail_out = n < MEMBER_BYTES ? (uInt)n : MEMBER_BYTES;
    size_t room = g->z.avail_out;
    int rc = inflate(&g->z, Z_NO_FLUSH);

    d->in_pos = d->in_len - g->z.avail_in;
    *ret_len = room - g->z.avail_out;
    if (rc == Z_STREAM_END)
        g->in_member = false;
    else if (rc != Z_OK && rc != Z_BUF_ERROR)
        return decompress_damaged(d, g->z.msg ? g->z.msg : "it cannot be inflated");
    else if (no_input && *ret_len == 0)
        return decompress_truncated(d);
    return NULL;
}

static struct err *begin_member(struct decompressor *d, struct gzip *g, bool *ret_ended)
{
    bool more;

    TRY(next_member(d, &more));
    *ret_ended = !more;
    if (!more)
        return NULL;
    if (g->whole)
        TRY(decode_whole(d, g));
    if (!g->whole) {
        inflateReset(&g->z);
        g->in_member = true;
    }
    return NULL;
}

static struct err *gzip_read(struct decompressor *d, unsigned char *p, size_t n, size_t *ret_len)
{
    struct gzip *g = d->state;
    bool ended = false;

    *ret_len = 0;
    while (!*ret_len && !ended) {
        if (g->out_pos < g->out_len) {
            *ret_len = g->out_len - g->out_pos < n ? g->out_len - g->out_pos : n;
            memcpy(p, g->out + g->out_pos, *ret_len);
            g->out_pos += *ret_len;
        } else if (g->in_member) {
            TRY(inflate_some(d, g, p, n, ret_len));
        } else {
            TRY(begin_member(d, g, &ended));
        }
    }
    return NULL;
}

const struct codec codec_gzip = { "gzip", IN_BYTES, gzip_matches, gzip_open, gzip_read, gzip_close };
