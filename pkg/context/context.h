/* context.h - the build context: a directory that we only read, seen through .dockerignore. Thread-safe for reading. */
#ifndef CONTEXT_CONTEXT_H
#define CONTEXT_CONTEXT_H

#include "base/cancel.h"
#include "base/mem.h"
#include "base/strs.h"
#include "context/ignore.h"

#include <sys/stat.h>

struct context;

/* Opens directory `dir`. `ignore` (may be NULL) is the text of the ignore file in use; context takes a copy. */
MUST_USE struct err *context_open(const char *dir, const char *ignore, size_t ignore_len, struct context **ret);
/* Its root, for sys/path.h. Borrowed. */
int context_fd(const struct context *c);
/* The patterns, NULL if there are none. Borrowed. */
const struct ignore *context_ignore(const struct context *c);
void context_free(struct context *c);
DEFINE_CLEANUP(struct context *, context_free);

/* The paths below root_fd ("a/b", no leading '/') that `pattern` (Go filepath.Match, per component; a pattern without wildcards
 * is itself) names and `ignore` (may be NULL) does not exclude, sorted. Symlinks in the directory part are followed inside the
 * root. Nothing found = an empty list. ERR_DOCKERFILE for a bad pattern. */
MUST_USE struct err *context_glob(int root_fd, const char *pattern, const struct ignore *ignore, struct strs *ret_paths);

#endif
