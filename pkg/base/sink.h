/* sink.h - where a stream of bytes goes: a file, a hash, a compressor, a socket. A sink takes all n bytes or fails;
 * it may block. `fn` is called from one thread at a time, in order. */
#ifndef BASE_SINK_H
#define BASE_SINK_H

#include "base/err.h"

#include <stddef.h>

struct sink {
    struct err *(*fn)(void *ctx, const void *p, size_t n);
    void *ctx;
};

MUST_USE static inline struct err *sink_write(const struct sink *s, const void *p, size_t n)
{
    return s->fn(s->ctx, p, n);
}

/* Where a stream of bytes comes from: fills p with 1..n bytes, or says 0 = end. Blocks until there is something. */
struct source {
    struct err *(*fn)(void *ctx, void *p, size_t n, size_t *ret_len);
    void *ctx;
};

MUST_USE static inline struct err *source_read(const struct source *s, void *p, size_t n, size_t *ret_len)
{
    return s->fn(s->ctx, p, n, ret_len);
}

#endif
