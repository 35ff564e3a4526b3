/* parse.h - what is inside git's objects (gitformat): commits, tags, trees; and .gitmodules. From hostile repositories:
 * bounded, and nothing that could lead out of a directory gets through. Pure. */
#ifndef REPO_PARSE_H
#define REPO_PARSE_H

#include "base/err.h"
#include "repo/refs.h"

#include <stdint.h>

#define REPO_ID_BYTES 20

struct repo_commit {
    struct repo_hash tree;
    bool has_parent;
    int64_t time_s; /* the committer's */
};
MUST_USE struct err *repo_parse_commit(const char *data, size_t len, struct repo_commit *ret);
/* What an annotated tag points at; is it a commit (or another tag)? */
MUST_USE struct err *repo_parse_tag(const char *data, size_t len, struct repo_hash *ret_target, bool *ret_tag);

enum repo_entry_kind { REPO_ENTRY_FILE, REPO_ENTRY_PROGRAM, REPO_ENTRY_SYMLINK, REPO_ENTRY_TREE, REPO_ENTRY_SUBMODULE };

struct repo_entry {
    enum repo_entry_kind kind;
    const char *name; /* borrowed from the tree's data; one component, not "." or "..", no form of ".git" */
    struct repo_hash hash;
};
/* The entry at *pos, which moves behind it; *ret_found false at the end. */
MUST_USE struct err *repo_parse_entry(const char *data, size_t len, size_t *pos, struct repo_entry *ret,
                                      bool *ret_found);

struct repo_module { /* strings owned; NULL = not said */
    char *name, *path, *url;
};
struct repo_modules {
    struct repo_module *items;
    size_t n, cap;
};
/* Sections [submodule "NAME"] with path and url, as git-config(5) writes them. Other things are passed over. */
MUST_USE struct err *repo_parse_modules(const char *text, size_t len, struct repo_modules *ret);
void repo_modules_release(struct repo_modules *m);
static inline void repo_modules_release_auto(struct repo_modules *m)
{
    repo_modules_release(m);
}

struct repo_hash repo_hash_of_id(const unsigned char id[REPO_ID_BYTES]);
void repo_id_of_hash(const struct repo_hash *h, unsigned char ret_id[REPO_ID_BYTES]);

#endif
