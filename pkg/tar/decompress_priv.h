/* decompress_priv.h - what the formats of decompress.h share: the input buffer and a table of functions for each. */
#ifndef TAR_DECOMPRESS_PRIV_H
#define TAR_DECOMPRESS_PRIV_H

#include "tar/decompress.h"

#include <stdbool.h>

struct codec {
    const char *name;
    size_t in_bytes; /* size of the input buffer */
    bool (*matches)(const unsigned char *p, size_t n);
    struct err *(*open)(struct decompressor *d);
    /* Gives 1..n bytes, or *ret_len = 0 at the end of the stream; must see to the stream being whole. */
    struct err *(*read)(struct decompressor *d, unsigned char *p, size_t n, size_t *ret_len);
    void (*close)(struct decompressor *d); /* also of what open left half-made */
};

struct decompressor {
    struct source source;
    const struct codec *codec;
    unsigned char *in; /* in_pos..in_len was not used yet */
    size_t in_pos, in_len, in_cap;
    bool in_ended; /* the source has no more */
    void *state;   /* the codec's */
};

extern const struct codec codec_gzip, codec_zstd, codec_bzip2, codec_xz;
extern const struct codec codec_zlib; /* never guessed */

/* Makes sure that something is in the buffer, unless the source has ended. */
MUST_USE struct err *decompress_fill(struct decompressor *d);
/* Moves what is left to the front and fills the buffer to its end, or to the end of the source. */
MUST_USE struct err *decompress_fill_all(struct decompressor *d);
MUST_USE struct err *decompress_damaged(const struct decompressor *d, const char *why);
MUST_USE struct err *decompress_truncated(const struct decompressor *d);

#endif
