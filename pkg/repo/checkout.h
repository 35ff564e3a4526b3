/* checkout.h - a tree of a repository as files: modes 0644 and 0755, symlinks as they are, empty directories where
 * submodules go. Everything is made new, by names of one component below open directories: nothing in a hostile tree is
 * followed or overwritten. Not for other modules. */
#ifndef REPO_CHECKOUT_H
#define REPO_CHECKOUT_H

#include "base/buf.h"
#include "repo/objects.h"
#include "repo/parse.h"

struct repo_file {
    char *path; /* "a/b", owned */
    struct repo_hash hash;
    unsigned mode; /* git's */
    uint64_t size_bytes;
};
struct repo_files {
    struct repo_file *items;
    size_t n, cap;
};
void repo_files_release(struct repo_files *f);

struct repo_checkout {
    struct repo_objects *objects;
    const struct cancel *cancel;
    int64_t mtime_s;              /* of everything that is made */
    bool record;                  /* fill `files` */
    struct repo_files files;      /* in git's order */
    struct repo_files submodules; /* where they go, and their commits */
    uint64_t count, bytes;
    struct buf path; /* of what is being made */
};

/* Into the empty directory fd. */
MUST_USE struct err *repo_checkout_tree(struct repo_checkout *c, const struct repo_hash *tree, int fd);
void repo_checkout_release(struct repo_checkout *c);

/* The entry `path` ("a/b") of a tree. *ret_found false: there is none. Only directories are gone through; a submodule
 * on the way is found as such, with the number of bytes of path that lead to it. */
MUST_USE struct err *repo_tree_find(struct repo_objects *o, const struct repo_hash *tree, const char *path,
                                    struct repo_entry *ret, size_t *ret_len, bool *ret_found);

#endif
