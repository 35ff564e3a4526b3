#include "tar/decompress.h"

#include "tar/decompress_priv.h"

#include <string.h>

enum { MAGIC_BYTES = 6, PLAIN_BYTES = 128 * 1024 };

struct err *decompress_fill_all(struct decompressor *d)
{
    memmove(d->in, d->in + d->in_pos, d->in_len - d->in_pos);
    d->in_len -= d->in_pos;
    d->in_pos = 0;
    while (!d->in_ended && d->in_len < d->in_cap) {
        size_t n;

        TRY(source_read(&d->source, d->in + d->in_len, d->in_cap - d->in_len, &n));
        d->in_len += n;
        d->in_ended = n == 0;
    }
    return NULL;
}

struct err *decompress_fill(struct decompressor *d)
{
    if (d->in_pos < d->in_len || d->in_ended)
        return NULL;
    d->in_pos = d->in_len = 0;
    TRY(source_read(&d->source, d->in, d->in_cap, &d->in_len));
    d->in_ended = d->in_len == 0;
    return NULL;
}

struct err *decompress_damaged(const struct decompressor *d, const char *why)
{
    return err_new(ERR_REGISTRY, "%s data is damaged: %s", d->codec->name, why);
}

struct err *decompress_truncated(const struct decompressor *d)
{
    return decompress_damaged(d, "it ends too early");
}

static struct err *plain_read(struct decompressor *d, unsigned char *p, size_t n, size_t *ret_len)
{
    size_t have = d->in_len - d->in_pos;

    if (have == 0)
        return source_read(&d->source, p, n, ret_len);
    *ret_len = have < n ? have : n;
    memcpy(p, d->in + d->in_pos, *ret_len);
    d->in_pos += *ret_len;
    return NULL;
}

static const struct codec codec_plain = { "none", PLAIN_BYTES, NULL, NULL, plain_read, NULL };

static const struct codec *const codecs[] = { &codec_gzip, &codec_zstd, &codec_bzip2, &codec_xz };

static const struct codec *choose(const unsigned char *p, size_t n)
{
    for (size_t i = 0; i < sizeof(codecs) / sizeof(codecs[0]); i++) {
        if (codecs[i]->matches(p, n))
            return codecs[i];
    }
    return &codec_plain;
}

struct err *decompress_new(struct source in, struct decompressor **ret)
{
    AUTO(decompress_free) struct decompressor *d = xcalloc(1, sizeof(*d));
    unsigned char magic[MAGIC_BYTES];

    d->source = in;
    d->in = magic;
    d->in_cap = sizeof(magic);
    struct err *e = decompress_fill_all(d);

    d->in = NULL; /* the array is ours */
    TRY(e);
    d->codec = choose(magic, d->in_len);
    d->in_cap = d->codec->in_bytes;
    d->in = xreallocarray(NULL, d->in_cap, 1);
    memcpy(d->in, magic, d->in_len);
    if (d->codec->open)
        TRY(d->codec->open(d));
    *ret = steal(&d);
    return NULL;
}

struct err *decompress_new_zlib(struct source in, struct decompressor **ret)
{
    AUTO(decompress_free) struct decompressor *d = xcalloc(1, sizeof(*d));

    d->source = in;
    d->codec = &codec_zlib;
    d->in_cap = d->codec->in_bytes;
    d->in = xreallocarray(NULL, d->in_cap, 1);
    TRY(d->codec->open(d));
    *ret = steal(&d);
    return NULL;
}

static struct err *read_plain(void *ctx, void *p, size_t n, size_t *ret_len)
{
    struct decompressor *d = ctx;

    return d->codec->read(d, p, n, ret_len);
}

struct source decompress_source(struct decompressor *d)
{
    return (struct source){ read_plain, d };
}

const char *decompress_kind(const struct decompressor *d)
{
    return d->codec->name;
}

void decompress_free(struct decompressor *d)
{
    if (!d)
        return;
    if (d->codec && d->codec->close)
        d->codec->close(d);
    free(d->in);
    free(d);
}
