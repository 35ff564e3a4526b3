/* files.h - the objects of one commit from a server that only has files ("dumb" http, gitprotocol-http(5)): each object
 * is a file of its own, or is in one of the packs. Not for other modules. */
#ifndef REPO_FILES_H
#define REPO_FILES_H

#include "repo/conn.h"
#include "repo/objects.h"

/* What HEAD says: the name of the default branch. The caller frees. */
MUST_USE struct err *repo_files_head(struct repo_conn *c, char **ret_name);
/* The commit (or the tag that leads to one), its trees and files. *bytes grows by what came. */
MUST_USE struct err *repo_files_fetch(struct repo_conn *c, struct repo_objects *o, const struct repo_hash *hash,
                                      uint64_t *bytes);

#endif
