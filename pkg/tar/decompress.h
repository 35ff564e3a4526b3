/* decompress.h - reads a compressed stream of any kind we know, told by its first bytes: gzip (any number of members),
 * zstd, bzip2, xz, or none of them. Streaming, bounded memory. One thread at a time. */
#ifndef TAR_DECOMPRESS_H
#define TAR_DECOMPRESS_H

#include "base/mem.h"
#include "base/sink.h"

struct decompressor;

/* `in` must outlive it. Damaged or truncated data is ERR_REGISTRY (callers reading context files set their own kind).
 */
MUST_USE struct err *decompress_new(struct source in, struct decompressor **ret);
/* The same for a zlib stream, which is not told by its begin. What follows it is not looked at. */
MUST_USE struct err *decompress_new_zlib(struct source in, struct decompressor **ret);
struct source decompress_source(struct decompressor *d);
/* "gzip", "zstd", "bzip2", "xz" or "none". */
const char *decompress_kind(const struct decompressor *d);
void decompress_free(struct decompressor *d);
DEFINE_CLEANUP(struct decompressor *, decompress_free);

#endif
