/* A zlib stream (RFC 1950), of which the reader knows that it is one: git's packs hold nothing else. */
#include "tar/decompress_priv.h"

#include <zlib.h>

enum { IN_BYTES = 64 * 1024, OUT_BYTES = 1024 * 1024 };

struct state {
    z_stream z;
    bool ended;
};

static struct err *open_stream(struct decompressor *d)
{
    struct state *s = d->state = xcalloc(1, sizeof(*s));

    return inflateInit(&s->z) == Z_OK ? NULL : err_new(ERR_POD, "not enough memory to decompress");
}

static void close_stream(struct decompressor *d)
{
    struct state *s = d->state;

    inflateEnd(&s->z);
    free(s);
}

static struct err *read_some(struct decompressor *d, unsigned char *p, size_t n, size_t *ret_len)
{
    struct state *s = d->state;

    *ret_len = 0;
    while (!*ret_len && !s->ended) {
        TRY(decompress_fill(d));
        bool no_input = d->in_pos == d->in_len;
        size_t room = n < OUT_BYTES ? n : OUT_BYTES;

        s->z.next_in = d->in + d->in_pos;
        s->z.avail_in = (uInt)(d->in_len - d->in_pos);
        s->z.next_out = p;
        s->z.avail_out = (uInt)room;
        int rc = inflate(&s->z, Z_NO_FLUSH);

        d->in_pos = d->in_len - s->z.avail_in;
        *ret_len = room - s->z.avail_out;
        s->ended = rc == Z_STREAM_END;
        if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR)
            return decompress_damaged(d, s->z.msg ? s->z.msg : "it cannot be inflated");
        if (no_input && !*ret_len && !s->ended)
            return decompress_truncated(d);
    }
    return NULL;
}

const struct codec codec_zlib = { "zlib", IN_BYTES, NULL, open_stream, read_some, close_stream };
