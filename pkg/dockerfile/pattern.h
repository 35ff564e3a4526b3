/* pattern.h - private to dockerfile: the wildcards of ${v#p} ${v%p} ${v/p/r}: '*' any text, '?' one character, neither
 * a newline; '\' makes *, ? and \ ordinary. All functions append their result to out. */
#ifndef DOCKERFILE_PATTERN_H
#define DOCKERFILE_PATTERN_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>

MUST_USE struct err *pattern_trim_prefix(const char *pattern, const char *value, bool longest, struct buf *out);
MUST_USE struct err *pattern_trim_suffix(const char *pattern, const char *value, bool longest, struct buf *out);
/* The first match, or all. */
MUST_USE struct err *pattern_replace(const char *pattern, const char *value, const char *with, bool all,
                                     struct buf *out);

#endif
