/* owner_names.h - a set of file names, to ask cheaply: can a file of this name have a recorded owner? Holds hashes: a
 * yes may be wrong, a no never is. Too many names, or files that nobody looked at, make it the set of all names. One
 * thread at a time. */
#ifndef SYS_OWNER_NAMES_H
#define SYS_OWNER_NAMES_H

#include "base/err.h"
#include "base/mem.h"

#include <stdbool.h>
#include <stddef.h>

#define OWNER_NAMES_SPECIAL "" /* stands for "some fifo or socket", which is asked about by path */

struct owner_names;
struct owner_names *owner_names_new(void);
/* The last component of a path, or a name alone. */
void owner_names_add(struct owner_names *n, const char *path);
void owner_names_add_all(struct owner_names *n);
void owner_names_merge(struct owner_names *to, const struct owner_names *from);
/* Is it the set of all names? */
bool owner_names_are_all(const struct owner_names *n);
bool owner_names_has(const struct owner_names *n, const char *name);
/* As a file. Loading adds; a missing file is the set of all names. */
MUST_USE struct err *owner_names_save(const struct owner_names *n, int dirfd, const char *name);
MUST_USE struct err *owner_names_load(struct owner_names *n, int dirfd, const char *name);
/* The same by descriptor, from its offset on. */
MUST_USE struct err *owner_names_write(const struct owner_names *n, int fd);
MUST_USE struct err *owner_names_read(struct owner_names *n, int fd, const char *name);
void owner_names_free(struct owner_names *n);
DEFINE_CLEANUP(struct owner_names *, owner_names_free);

#endif
