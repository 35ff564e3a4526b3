/* refs.h - what a server says it has: its capabilities and the refs that we asked about, read from the lines of either
 * version of the protocol (gitprotocol-pack(5), gitprotocol-v2(5)) or from info/refs of a server that only has files;
 * and which of them a name means. Pure. */
#ifndef REPO_REFS_H
#define REPO_REFS_H

#include "base/err.h"
#include "base/strs.h"

#include <stdbool.h>

#define REPO_HASH_LEN 40 /* SHA-1, in hex */

struct repo_hash {
    char hex[REPO_HASH_LEN + 1]; /* "" = none */
};

struct repo_ref {
    char *name;
    struct repo_hash hash;
    struct repo_hash peeled; /* what an annotated tag points at */
};

struct repo_refs {
    bool v2;
    struct strs capabilities; /* "name" or "name=value"; of v2: of the server, not of one command */
    struct strs wanted;       /* names to keep; of others nothing is remembered but what `all` says */
    bool all;                 /* keep the hashes of all branches and tags too */
    struct repo_ref *items;
    size_t n, cap;
    char *head; /* what HEAD is a symbol of: "refs/heads/main"; NULL = not said */
};

/* The full names that `ref` may mean, the first one there counts, as BuildKit has it; "" and HEAD: the default branch.
 * Added to names. */
void repo_ref_names(const char *ref, struct strs *names);

/* One line, without its newline: of ls-refs (v2); of the advertisement (v0), whose first one carries the capabilities
 * behind a NUL (len counts them); of info/refs. Unknown lines are passed over. ERR_REGISTRY: no hash, or one that is
 * not SHA-1; too many. */
MUST_USE struct err *repo_refs_line_v2(struct repo_refs *r, const char *line);
MUST_USE struct err *repo_refs_line_v0(struct repo_refs *r, const char *line, size_t len);
MUST_USE struct err *repo_refs_line_file(struct repo_refs *r, const char *line);

/* The kept ref that `ref` means; NULL: there is none. */
const struct repo_ref *repo_refs_find(const struct repo_refs *r, const char *ref);
/* Is there a ref (of the kept ones) with this hash? */
bool repo_refs_has_hash(const struct repo_refs *r, const char *hash);
bool repo_refs_can(const struct repo_refs *r, const char *capability);
/* The value of "capability=value", NULL if it is not there. */
const char *repo_refs_value(const struct repo_refs *r, const char *capability);
void repo_refs_release(struct repo_refs *r);
static inline void repo_refs_release_auto(struct repo_refs *r)
{
    repo_refs_release(r);
}

/* 40 digits in lower case from the begin of s, which must end there with one of `ends` or with the string. */
bool repo_hash_read(const char *s, const char *ends, struct repo_hash *ret);

#endif
