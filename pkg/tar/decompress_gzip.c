/* Members of at most 1 MiB, as we and eStargz write them, are decoded whole by libdeflate. How long a member is, is not
 * known before: it is tried, and the first one that does not fit sends the rest of the stream to our own decoder, which
 * takes it piece by piece. So a stream of one large member costs one failed try. */
#include "tar/decompress_priv.h"
#include "tar/inflate_priv.h"

#include <libdeflate.h>
#include <string.h>

enum {
    MEMBER_BYTES = 1024 * 1024,
    ROOM_BYTES = MEMBER_BYTES + 64 * 1024, /* a member that did not shrink fits as well */
    IN_BYTES = ROOM_BYTES + INFLATE_PAD
};

struct gzip {
    struct libdeflate_decompressor *whole; /* NULL: members are inflated piece by piece */
    unsigned char *out;                    /* one member; out_pos..out_len was not handed out yet */
    size_t out_pos, out_len;
    struct inflate *inflate;
    bool in_member, ended; /* it is inside one; whose data has ended */
    uint32_t crc, bytes;   /* of this member so far */
};

static bool gzip_matches(const unsigned char *p, size_t n)
{
    return n >= 3 && p[0] == 0x1f && p[1] == 0x8b && p[2] == 8;
}

static struct err *gzip_open(struct decompressor *d)
{
    struct gzip *g = d->state = xcalloc(1, sizeof(*g));

    d->in_cap = ROOM_BYTES; /* the rest is what INFLATE_PAD is for */
    g->inflate = inflate_new();
    g->whole = libdeflate_alloc_decompressor();
    if (g->whole)
        g->out = xreallocarray(NULL, MEMBER_BYTES, 1);
    return NULL;
}

static void give_up_whole(struct gzip *g)
{
    if (g->whole)
        libdeflate_free_decompressor(g->whole);
    g->whole = NULL;
    free(g->out);
    g->out = NULL;
}

static void gzip_close(struct decompressor *d)
{
    struct gzip *g = d->state;

    give_up_whole(g);
    inflate_free(g->inflate);
    free(g);
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

/* --- piece by piece --- */

/* Sees to n bytes being in the buffer, if so many are left. */
static struct err *want(struct decompressor *d, size_t n)
{
    return d->in_len - d->in_pos < n && !d->in_ended ? decompress_fill_all(d) : NULL;
}

enum { HAS_CRC = 2, HAS_EXTRA = 4, HAS_NAME = 8, HAS_COMMENT = 16, RESERVED = 224, HEADER_BYTES = 10 };

/* Where the text at `at` has ended; behind n if it does not end before. */
static size_t skip_text(const unsigned char *p, size_t n, size_t at)
{
    const unsigned char *end = at < n ? memchr(p + at, 0, n - at) : NULL;

    return end ? (size_t)(end - p) + 1 : n + 1;
}

/* The length of a member's header (RFC 1952, 2.3); more than n if it does not end in these n bytes. */
static size_t header_length(const unsigned char *p, size_t n)
{
    size_t at = HEADER_BYTES;

    if (n < HEADER_BYTES)
        return n + 1;
    if (p[3] & HAS_EXTRA)
        at = at + 2 <= n ? at + 2 + p[at] + ((size_t)p[at + 1] << 8) : n + 1;
    if (p[3] & HAS_NAME)
        at = skip_text(p, n, at);
    if (p[3] & HAS_COMMENT)
        at = skip_text(p, n, at);
    return at + (p[3] & HAS_CRC ? 2 : 0);
}

static struct err *begin_pieces(struct decompressor *d, struct gzip *g)
{
    TRY(want(d, ROOM_BYTES));
    const unsigned char *p = d->in + d->in_pos;
    size_t n = d->in_len - d->in_pos, length = header_length(p, n);

    if (length > n)
        return d->in_ended ? decompress_truncated(d) : decompress_damaged(d, "its header is too long");
    if (p[1] != 0x8b || p[2] != 8 || p[3] & RESERVED)
        return decompress_damaged(d, "it has an unknown header");
    d->in_pos += length;
    inflate_reset(g->inflate);
    g->in_member = true;
    g->ended = false;
    g->crc = g->bytes = 0;
    return NULL;
}

static uint32_t read_u32(const unsigned char *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* What stands behind the data: its checksum and its length. */
static struct err *end_pieces(struct decompressor *d, struct gzip *g)
{
    TRY(want(d, 8));
    if (d->in_len - d->in_pos < 8)
        return decompress_truncated(d);
    if (read_u32(d->in + d->in_pos) != g->crc)
        return decompress_damaged(d, "its checksum is wrong");
    if (read_u32(d->in + d->in_pos + 4) != g->bytes)
        return decompress_damaged(d, "it has another length than it says");
    d->in_pos += 8;
    g->in_member = false;
    return NULL;
}

/* Decodes some; at the member's end it is checked. */
static struct err *inflate_some(struct decompressor *d, struct gzip *g)
{
    size_t used;

    TRY(want(d, INFLATE_PAD));
    if (d->in_ended)
        memset(d->in + d->in_len, 0, INFLATE_PAD);
    enum inflate_result r = inflate_run(g->inflate, d->in + d->in_pos, d->in_len - d->in_pos, d->in_ended, &used);

    d->in_pos += used;
    if (r == INFLATE_DAMAGED)
        return decompress_damaged(d, "it cannot be inflated");
    g->ended = r == INFLATE_END;
    return r == INFLATE_SHORT ? decompress_truncated(d) : NULL;
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
    return g->whole ? NULL : begin_pieces(d, g);
}

/* What is there already. */
static size_t hand_out(struct gzip *g, unsigned char *p, size_t n)
{
    size_t have = g->out_len - g->out_pos;
    const unsigned char *from = g->out ? g->out + g->out_pos : NULL;

    if (!g->whole) {
        from = inflate_take(g->inflate, n, &have);
        g->crc = libdeflate_crc32(g->crc, from, have);
        g->bytes += (uint32_t)have;
    }
    have = have < n ? have : n;
    if (have)
        memcpy(p, from, have);
    g->out_pos += g->whole ? have : 0;
    return have;
}

static struct err *gzip_read(struct decompressor *d, unsigned char *p, size_t n, size_t *ret_len)
{
    struct gzip *g = d->state;
    bool ended = false;

    while (!(*ret_len = hand_out(g, p, n)) && !ended) {
        if (!g->in_member)
            TRY(begin_member(d, g, &ended));
        else if (g->ended)
            TRY(end_pieces(d, g));
        else
            TRY(inflate_some(d, g));
    }
    return NULL;
}

const struct codec codec_gzip = { "gzip", IN_BYTES, gzip_matches, gzip_open, gzip_read, gzip_close };
