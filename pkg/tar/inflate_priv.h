/* inflate_priv.h - DEFLATE data (RFC 1951) decoded as it comes, about twice as fast as by zlib: inflating is the
 * longest part of fetching an image. Knows no container: no header, no checksum. Memory: its window, 200 KiB. One
 * thread at a time. */
#ifndef TAR_INFLATE_PRIV_H
#define TAR_INFLATE_PRIV_H

#include "base/mem.h"

#include <stdbool.h>
#include <stddef.h>

/* So many bytes behind the input must be readable, and zero, once the input has ended. */
enum { INFLATE_PAD = 1024 };

enum inflate_result {
    INFLATE_INPUT,   /* more input is wanted than what is left */
    INFLATE_OUTPUT,  /* the window is full: take what it holds */
    INFLATE_END,     /* the last block has ended; what follows was not used */
    INFLATE_DAMAGED, /* that is no DEFLATE data */
    INFLATE_SHORT,   /* the input ended before the data did */
};

struct inflate;
struct inflate *inflate_new(void);
/* Makes it ready for another stream. What was not taken is lost. */
void inflate_reset(struct inflate *s);
/* Decodes from the n bytes at `in`; *ret_used of them are done with. ended: none will follow these. With more input the
 * caller begins where *ret_used left off; fewer than INFLATE_PAD bytes may all be wanted again. All output must have
 * been taken before. */
enum inflate_result inflate_run(struct inflate *s, const unsigned char *in, size_t n, bool ended, size_t *ret_used);
/* At most n bytes of what was decoded. Borrowed until the next inflate_run. */
const unsigned char *inflate_take(struct inflate *s, size_t n, size_t *ret_len);
void inflate_free(struct inflate *s);
DEFINE_CLEANUP(struct inflate *, inflate_free);

#endif
