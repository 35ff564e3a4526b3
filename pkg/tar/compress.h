/* compress.h - turns a tar stream into a layer blob: compresses in parallel and computes both digests on the way.
 *
 * gzip: independent members of 1 MiB of input (libdeflate), concatenated; zstd: independent frames of 1 MiB. The
 * framing is fixed, so the bytes depend on the input and the level alone, never on threads, CPU or limits. Memory:
 * (threads + 2) blocks in, as many out. One thread writes; the workers are the module's own. Where the pod allows no
 * more threads, the caller's does it all. */
#ifndef TAR_COMPRESS_H
#define TAR_COMPRESS_H

#include "base/cancel.h"
#include "base/sink.h"
#include "digest/digest.h"

#include <stdint.h>

enum compression { COMPRESSION_NONE, COMPRESSION_GZIP, COMPRESSION_ZSTD };

struct compress_opts {
    enum compression kind;
    int level;   /* gzip 1..12, zstd 1..19; 0 = the default: 1 and 3 */
    int threads; /* >= 1 */
    const struct cancel *cancel;
};

struct compress_result {
    struct digest diff_id; /* of the uncompressed bytes */
    struct digest digest;  /* of what went to the output */
    uint64_t size_bytes, uncompressed_bytes;
};

struct compressor;

/* The compressed bytes go to `out`, called from one thread at a time. */
MUST_USE struct err *compress_new(const struct compress_opts *opts, struct sink out, struct compressor **ret);
/* The sink for the uncompressed bytes; borrowed from c. */
struct sink compress_sink(struct compressor *c);
/* Flushes everything, or gives the first error that happened anywhere. */
MUST_USE struct err *compress_end(struct compressor *c, struct compress_result *ret_result);
/* At any time; without compress_end the output is incomplete. */
void compress_free(struct compressor *c);
DEFINE_CLEANUP(struct compressor *, compress_free);

#endif
