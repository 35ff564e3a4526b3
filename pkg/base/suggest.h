/* suggest.h - "did you mean": the nearest of a few words. Pure. */
#ifndef BASE_SUGGEST_H
#define BASE_SUGGEST_H

#include "base/err.h"
#include "base/strs.h"

#include <stddef.h>

/* How many letters must be added, left out, changed or swapped with their neighbour to make a into b; upper and lower
 * case are the same. `most` + 1 when it is more, or when one of them is longer than 256 bytes. */
size_t suggest_distance(const char *a, const char *b, size_t most);
/* The option that `word` is probably meant to be, NULL if none is near: one slip in words of up to three letters, two
 * in longer ones. Never `word` itself. Borrowed. */
const char *suggest(const char *word, const char *const *options, size_t n);
/* Adds the hint "Did you mean 'PREFIX...'?", if an option is near. Returns e. */
MUST_USE struct err *suggest_hint(struct err *e, const char *prefix, const char *word, const char *const *options,
                                  size_t n);

#endif
