/* context.h - the build context: a directory that we only read, seen through .dockerignore. Thread-safe for reading. */
#ifndef CONTEXT_CONTEXT_H
#define CONTEXT_CONTEXT_H

#include "base/buf.h"
#include "base/mem.h"
#include "base/strs.h"
#include "context/ignore.h"
#include "sys/owner.h"

#include <sys/stat.h>

struct context;

/* Reads the ignore file for a Dockerfile into buf: <dockerfile_path>.dockerignore, else dir/.dockerignore. */
MUST_USE struct err *context_find_ignore(const char *dir, const char *dockerfile_path, struct buf *buf,
                                         bool *ret_found);

/* Opens directory `dir`. `ignore` (may be NULL) is the text of the ignore file in use; context takes a copy. */
MUST_USE struct err *context_open(const char *dir, const char *ignore, size_t ignore_len, struct context **ret);
/* Its root, for sys/path.h. Borrowed. */
int context_fd(const struct context *c);
/* The patterns, NULL if there are none. Borrowed. */
const struct ignore *context_ignore(const struct context *c);
/* Its files have owners of their own (an unpacked archive): read through sys/owner.h, those that cannot carry a record
 * from this table, which must outlive c; `below` is where the context lies in it, "" at its root. Without one all files
 * are root's. */
void context_set_owners(struct context *c, const struct owner_table *owners, const char *below);
bool context_has_owners(const struct context *c);
/* What the table says of path, which is relative to the context. */
bool context_find_owner(const struct context *c, const char *path, struct owner *ret_owner);
void context_free(struct context *c);
DEFINE_CLEANUP(struct context *, context_free);

/* What `path` names below root_fd as `ignore` (may be NULL) leaves it: *ret_path is the path without symlinks ("a/b",
 * "." for the root; the caller frees), NULL if there is nothing. Symlinks are followed inside the root, each step of
 * them must be there too; an excluded directory is there if something below it is included again. */
MUST_USE struct err *context_find(int root_fd, const char *path, const struct ignore *ignore, char **ret_path);
/* Opens the directory `real` (as context_find gives it: no symlinks), or what else it is with flags. */
MUST_USE struct err *context_open_real(int root_fd, const char *real, int flags, int *ret_fd);

/* The paths below the directory `real` ("a/b", the highest of each; parents of what is included again are not among
 * them) that `ignore` leaves out. Appends to ret_paths. */
MUST_USE struct err *context_hidden(int root_fd, const char *real, const struct ignore *ignore, struct strs *ret_paths);

/* Does any component have a wildcard (an escaped one is none)? */
bool context_has_wildcard(const char *pattern);
/* The paths below root_fd ("a/b", no leading '/') that `pattern` (Go filepath.Match, per component; a pattern without
 * wildcards is itself) names and `ignore` (may be NULL) leaves there, sorted by component. Symlinks are followed in the
 * part before the first wildcard (which is then given resolved), and nowhere else. Nothing found = an empty list.
 * ERR_DOCKERFILE for a bad pattern. */
MUST_USE struct err *context_glob(int root_fd, const char *pattern, const struct ignore *ignore,
                                  struct strs *ret_paths);

#endif
