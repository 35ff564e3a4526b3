/* gzip (RFC 1952) by ISA-L, which takes it piece by piece and is more than twice as fast as zlib: inflating is the
 * longest part of fetching a base image. ISA-L forgets what it has read of a header that is cut by the end of the
 * input, so headers are passed over here; the trailer is checked by ISA-L. */
#include "tar/decompress_priv.h"

#include <isa-l/igzip_lib.h>
#include <string.h>

enum { IN_BYTES = 128 * 1024, OUT_BYTES = 1 << 30 };
enum { HAS_CRC = 2, HAS_EXTRA = 4, HAS_NAME = 8, HAS_COMMENT = 16, RESERVED = 224, HEADER_BYTES = 10 };

struct gzip {
    struct inflate_state z;
    bool in_member;
};

static bool gzip_matches(const unsigned char *p, size_t n)
{
    return n >= 3 && p[0] == 0x1f && p[1] == 0x8b && p[2] == 8;
}

static struct err *gzip_open(struct decompressor *d)
{
    d->state = xcalloc(1, sizeof(struct gzip));
    return NULL;
}

static void gzip_close(struct decompressor *d)
{
    free(d->state);
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

static struct err *begin_member(struct decompressor *d, struct gzip *g)
{
    TRY(decompress_fill_all(d));
    const unsigned char *p = d->in + d->in_pos;
    size_t n = d->in_len - d->in_pos, length = header_length(p, n);

    if (length > n)
        return d->in_ended ? decompress_truncated(d) : decompress_damaged(d, "its header is too long");
    if (p[1] != 0x8b || p[2] != 8 || p[3] & RESERVED)
        return decompress_damaged(d, "it has an unknown header");
    d->in_pos += length;
    isal_inflate_init(&g->z);
    g->z.crc_flag = ISAL_GZIP_NO_HDR_VER;
    g->in_member = true;
    return NULL;
}

/* At a member's end its checksum and length are compared. */
static struct err *inflate_some(struct decompressor *d, struct gzip *g, unsigned char *p, size_t n, size_t *ret_len)
{
    TRY(decompress_fill(d));
    bool no_input = d->in_pos == d->in_len; /* there may be something left to give nevertheless */
    size_t room = n < OUT_BYTES ? n : OUT_BYTES;

    g->z.next_in = d->in + d->in_pos;
    g->z.avail_in = (uint32_t)(d->in_len - d->in_pos);
    g->z.next_out = p;
    g->z.avail_out = (uint32_t)room;
    int rc = isal_inflate(&g->z);

    d->in_pos = d->in_len - g->z.avail_in;
    *ret_len = room - g->z.avail_out;
    g->in_member = g->z.block_state != ISAL_BLOCK_FINISH;
    if (rc == ISAL_INCORRECT_CHECKSUM)
        return decompress_damaged(d, "its checksum or its length is wrong");
    if (rc != ISAL_DECOMP_OK)
        return decompress_damaged(d, "it cannot be inflated");
    return g->in_member && no_input && !*ret_len ? decompress_truncated(d) : NULL;
}

static struct err *gzip_read(struct decompressor *d, unsigned char *p, size_t n, size_t *ret_len)
{
    struct gzip *g = d->state;
    bool more = true;

    *ret_len = 0;
    while (!*ret_len && more) {
        if (g->in_member) {
            TRY(inflate_some(d, g, p, n, ret_len));
            continue;
        }
        TRY(next_member(d, &more));
        if (more)
            TRY(begin_member(d, g));
    }
    return NULL;
}

const struct codec codec_gzip = { "gzip", IN_BYTES, gzip_matches, gzip_open, gzip_read, gzip_close };
