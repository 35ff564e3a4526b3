/* buf.h - a growable byte string. `data` is always NUL-terminated once something was added or buf_str() was called;
 * `len` does not count that NUL. Memory from outside data must be bounded by the caller, or by giving `max`.
 * One thread at a time. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/err.h"
#include "base/mem.h"

#include <stddef.h>

struct buf {
    char *data;
    size_t len, cap;
};
#define BUF_INIT                                                                                                       \
    {                                                                                                                  \
        NULL, 0, 0                                                                                                     \
    }

void buf_add(struct buf *b, const void *p, size_t n);
void buf_puts(struct buf *b, const char *s);
void buf_putc(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF(2, 3);
/* Empties it, keeps the memory. */
void buf_clear(struct buf *b);
/* The text, "" if nothing was added: borrowed, valid until the next change. */
const char *buf_str(struct buf *b);
/* Gives the text away (never NULL) and leaves the buffer empty. The caller frees it. */
char *buf_steal(struct buf *b);
void buf_release(struct buf *b);

static inline void buf_release_auto(struct buf *b)
{
    buf_release(b);
}

#endif
