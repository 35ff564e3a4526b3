/* ignore.h - .dockerignore patterns: cleaned, compiled once, matched as moby/patternmatcher documents it (last match
 * wins, "!" includes again, "**" any depth, a match of a parent excludes what is below). Pure; immutable once made. */
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
/* The pattern that excludes path (borrowed), for messages; NULL if none does. */
const char *ignore_why(const struct ignore *g, const char *path);
/* For a walk: may a directory that is excluded be skipped whole, because no "!" pattern can include something below? */
bool ignore_can_skip_below(const struct ignore *g, const char *dir);
/* The same for patterns that say what to take (COPY --parents): can nothing below dir match one that has no "!"? */
bool ignore_none_below(const struct ignore *g, const char *dir);
/* ignore_excludes() as a walk of a tree does it, where each directory's answer is kept and what is below starts from
 * it: the answers differ from ignore_excludes() where a "!" names a directory that an earlier pattern excluded in part,
 * and builds are judged by these. `parent` is the state of the directory that holds path, NULL at the top; ret_state
 * has ignore_state_size() bytes, aligned as malloc() has it, and is only needed for directories (may be NULL). However
 * many patterns there are, most of them cost a path nothing but a bit. */
size_t ignore_state_size(const struct ignore *g);
bool ignore_excludes_in(const struct ignore *g, const char *path, const unsigned char *parent,
                        unsigned char *ret_state);
void ignore_free(struct ignore *g);
DEFINE_CLEANUP(struct ignore *, ignore_free);

#endif
