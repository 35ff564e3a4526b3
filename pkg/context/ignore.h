/* ignore.h - .dockerignore patterns: cleaned, compiled once, matched as moby/patternmatcher documents it (last match wins, "!"
 * includes again, "**" any depth, a match of a parent excludes what is below). Pure; immutable once made. */
#ifndef CONTEXT_IGNORE_H
#define CONTEXT_IGNORE_H

#include "base/err.h"
#include "base/mem.h"
#include "base/strs.h"

#include <stdbool.h>
#include <stddef.h>

struct ignore;

/* Bounded by limits.h. A bad pattern is ERR_DOCKERFILE that quotes it with its line. */
MUST_USE struct err *ignore_parse(const char *text, size_t len, struct ignore **ret);
/* The same from ready patterns (COPY --exclude). */
MUST_USE struct err *ignore_from_patterns(const struct strs *patterns, struct ignore **ret);
/* The cleaned patterns, "!" kept. Borrowed. */
const struct strs *ignore_patterns(const struct ignore *g);
/* Is path ("a/b/c"), or a parent of it, excluded? */
bool ignore_excludes(const struct ignore *g, const char *path);
/* For a walk: may a directory that is excluded be skipped whole, because no "!" pattern can include something below? */
bool ignore_can_skip_below(const struct ignore *g, const char *dir);
void ignore_free(struct ignore *g);
DEFINE_CLEANUP(struct ignore *, ignore_free);

#endif
