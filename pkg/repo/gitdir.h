/* gitdir.h - a .git directory that git can use: the objects that were fetched, HEAD at the commit, an index, the remote
 * without credentials. Not for other modules. */
#ifndef REPO_GITDIR_H
#define REPO_GITDIR_H

#include "address/git_address.h"
#include "repo/checkout.h"

struct repo_gitdir {
    const char *dir;      /* to make: ".../.git", or ".../.git/modules/NAME" */
    const char *objects;  /* a directory with "objects", which goes there */
    const char *worktree; /* seen from dir, as core.worktree; NULL: dir is its .git */
    const struct git_address *address;
    struct repo_hash head;
    const char *ref;           /* the full name of what was fetched; NULL = a commit by its hash */
    struct repo_hash ref_hash; /* of the ref: the tag's, if it is annotated */
    bool shallow;              /* the history ends at head */
    const struct repo_files *files;
    const struct repo_files *submodules; /* paths, and in git_modules their names and URLs */
    const struct repo_modules *modules;
};
MUST_USE struct err *repo_gitdir_write(const struct repo_gitdir *g);

#endif
