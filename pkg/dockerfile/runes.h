/* runes.h - private to dockerfile: UTF-8 code points and their classes, as the reference implementation sees them.
 * Bytes that are no UTF-8 read as U+FFFD, one each. */
#ifndef DOCKERFILE_RUNES_H
#define DOCKERFILE_RUNES_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RUNE_END (-1)
#define RUNE_BAD 0xfffd
#define RUNE_BOM 0xfeff

struct df_range {
    uint32_t first, last;
};
extern const struct df_range df_letters[], df_digits[];
extern const size_t n_df_letters, n_df_digits;

/* The code point at p, RUNE_END if p == end; *ret_width gets its bytes. */
int32_t rune_at(const char *p, const char *end, size_t *ret_width);
void rune_put(struct buf *out, int32_t rune);
bool rune_is_space(int32_t rune);
bool rune_is_letter(int32_t rune);
bool rune_is_digit(int32_t rune);

/* A part of a text. */
struct span {
    const char *p;
    size_t n;
};
struct span span_of(const char *text);
struct span span_trim_left(struct span s);
struct span span_trim(struct span s);
char *span_dup(struct span s);

#endif
