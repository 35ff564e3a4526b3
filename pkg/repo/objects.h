/* objects.h - a repository's objects on disk: packs come in as a stream, objects go out by hash. The only door to
 * libgit2: its indexer resolves deltas and checks every object's hash (SHA-1 with collision detection), its object
 * database reads them. Its network code is not in the program (offline.c). One thread at a time per struct.
 *
 * Why libgit2 and not git's program: our image holds one static file and no other program. */
#ifndef REPO_OBJECTS_H
#define REPO_OBJECTS_H

#include "base/cancel.h"
#include "base/sink.h"
#include "repo/refs.h"

#include <stdint.h>

enum repo_object_kind { REPO_KIND_COMMIT, REPO_KIND_TREE, REPO_KIND_BLOB, REPO_KIND_TAG };

struct repo_objects;
/* Below dir, which is git's own (dir/objects/...) and made if it is not there. */
MUST_USE struct err *repo_objects_open(const char *dir, const struct cancel *cancel, struct repo_objects **ret);
/* Where they are: "DIR/objects". Borrowed. */
const char *repo_objects_dir(const struct repo_objects *o);
void repo_objects_close(struct repo_objects *o);
DEFINE_CLEANUP(struct repo_objects *, repo_objects_close);

/* A pack that comes in. Without commit nothing of it stays. */
struct repo_pack;
MUST_USE struct err *repo_pack_begin(struct repo_objects *o, struct repo_pack **ret);
struct sink repo_pack_sink(struct repo_pack *p);
uint64_t repo_pack_bytes(const struct repo_pack *p); /* so far */
MUST_USE struct err *repo_pack_commit(struct repo_pack *p);
void repo_pack_free(struct repo_pack *p);
DEFINE_CLEANUP(struct repo_pack *, repo_pack_free);

/* What an object is. *ret_found false: it is not here. */
MUST_USE struct err *repo_object_kind(struct repo_objects *o, const struct repo_hash *hash,
                                      enum repo_object_kind *ret_kind, bool *ret_found);
struct repo_object {
    const char *data;
    size_t len;
    void *handle;
};
/* An object in memory; larger than max_bytes is ERR_DOCKERFILE. */
MUST_USE struct err *repo_object_read(struct repo_objects *o, const struct repo_hash *hash, enum repo_object_kind kind,
                                      size_t max_bytes, struct repo_object *ret);
void repo_object_release(struct repo_object *obj);
static inline void repo_object_release_auto(struct repo_object *obj)
{
    repo_object_release(obj);
}
/* A blob into a file, whatever its size. */
MUST_USE struct err *repo_object_write(struct repo_objects *o, const struct repo_hash *hash, int fd,
                                       uint64_t *ret_bytes);
/* The one commit whose hash begins so; *ret_n says how many there are: 0, 1, or 2 for more. */
MUST_USE struct err *repo_object_by_prefix(struct repo_objects *o, const char *prefix, struct repo_hash *ret,
                                           int *ret_n);

/* The index of a working tree: what git compares the files with. */
struct repo_index_entry {
    const char *path;
    struct repo_hash hash;
    unsigned mode; /* git's: 0100644, 0100755, 0120000, 0160000 */
    uint64_t size_bytes;
};
MUST_USE struct err *repo_index_write(const char *path, const struct repo_index_entry *entries, size_t n);

/* offline.c: does nothing but bring that file into the link, before libgit2. */
void repo_offline(void);

/* pack_stream.c: where a pack holds an object as it is, not as a delta: then it can be read as a stream. */
MUST_USE struct err *repo_pack_stream(const char *pack_path, const struct repo_hash *hash, int to_fd, bool *ret_done,
                                      uint64_t *ret_bytes);

#endif
