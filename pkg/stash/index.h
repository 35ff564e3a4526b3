/* index.h - what a stash holds: entries, their chunks, and the packs that the chunks are in. Entries stand by parent,
 * then by name in byte order; number 0 is the directory itself. So an entry is found by halving, and its parent always
 * stands before it. Pure, but for reading from a source. One thread at a time. */
#ifndef STASH_INDEX_H
#define STASH_INDEX_H

#include "base/buf.h"
#include "base/sink.h"
#include "base/vec.h"
#include "digest/digest.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#define STASH_NONE            UINT32_MAX
#define STASH_ID_BYTES        32
#define STASH_CHUNK_MAX_BYTES (4 << 20)

struct stash_entry {
    uint32_t parent;
    uint32_t name; /* where in names */
    uint32_t mode; /* type and permission bits: regular files, directories and symlinks */
    uint32_t uid, gid;
    uint32_t first_ref, n_refs; /* the chunks of a regular file, in order */
    uint32_t link; /* a symlink's target: where in names; of a regular file the entry whose hard link it is,
                      which stands before it and shares its first_ref and n_refs; else STASH_NONE */
    uint32_t mtime_ns, unused;
    int64_t mtime_s, used_s; /* used_s: when it was last read or changed, as far as that is known */
    uint64_t size_bytes;     /* of a regular file: the sum of its chunks */
};

struct stash_chunk {
    uint8_t id[STASH_ID_BYTES]; /* SHA-256 of its bytes */
    uint32_t len;
    uint32_t pack;
};

struct stash_pack {
    struct digest blob, diff_id;
    uint64_t size_bytes; /* compressed */
};

struct stash_index {
    VEC(struct stash_entry) entries;
    VEC(uint32_t) refs; /* numbers of chunks */
    VEC(struct stash_chunk) chunks;
    VEC(struct stash_pack) packs;
    struct buf names; /* NUL-terminated each */
    uint32_t *slots;  /* a hash table of the chunks */
    size_t n_slots, in_slots;
};

static inline const char *stash_text(const struct stash_index *x, uint32_t at)
{
    return x->names.data + at;
}
uint32_t stash_add_text(struct stash_index *x, const char *text);
/* The child of that name, or STASH_NONE. */
uint32_t stash_find(const struct stash_index *x, uint32_t parent, const char *name);
/* The first child of an entry, and where its children end. */
void stash_children(const struct stash_index *x, uint32_t parent, uint32_t *ret_first, uint32_t *ret_end);
/* "a/b", "" for the directory itself. */
void stash_path(const struct stash_index *x, uint32_t entry, struct buf *ret_path);

/* The chunk of that id and length, or STASH_NONE. */
uint32_t stash_find_chunk(struct stash_index *x, const uint8_t id[STASH_ID_BYTES], uint32_t len);
/* The same, added with that pack if it is not there. */
uint32_t stash_add_chunk(struct stash_index *x, const uint8_t id[STASH_ID_BYTES], uint32_t len, uint32_t pack);
uint32_t stash_add_pack(struct stash_index *x, const struct stash_pack *p);

/* Bytes of all files, hard links once. */
uint64_t stash_bytes(const struct stash_index *x);
/* Is it a file by its first name? */
static inline bool stash_has_data(const struct stash_entry *e)
{
    return S_ISREG(e->mode) && e->link == STASH_NONE;
}
/* The first name of the file that entry i is; of what is no hard link itself. */
static inline uint32_t stash_first_name(const struct stash_entry *e, uint32_t i)
{
    return S_ISREG(e->mode) && e->link != STASH_NONE ? e->link : i;
}
/* Copies packs and chunks of another one, which must be empty of both. */
void stash_copy_chunks(struct stash_index *to, const struct stash_index *from);
/* Both together: of a name that both have, the entry that was changed later; where that is the same, ours. What only
 * `theirs` has is added. */
void stash_merge(const struct stash_index *ours, const struct stash_index *theirs, struct stash_index *ret);
/* Takes out packs for which drop[] is set, and all chunks that are in no pack that stays and in no file. */
void stash_drop_packs(struct stash_index *x, const bool *drop);
/* Bytes of each pack's chunks, and how many of them files have; both of x->packs.n. */
void stash_pack_use(const struct stash_index *x, uint64_t *ret_bytes, uint64_t *ret_used);
/* Do both say the same of the directory, but for how long ago files were used, by less than a day? */
bool stash_same(const struct stash_index *a, const struct stash_index *b);

/* As bytes. What is read is checked whole: ERR_REGISTRY. */
uint64_t stash_size(const struct stash_index *x); /* how many */
MUST_USE struct err *stash_write(const struct stash_index *x, const struct sink *out);
MUST_USE struct err *stash_read(const struct source *in, struct stash_index *ret);
void stash_release(struct stash_index *x);
static inline void stash_release_auto(struct stash_index *x)
{
    stash_release(x);
}

#endif
