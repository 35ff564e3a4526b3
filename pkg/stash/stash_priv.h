/* stash_priv.h - what the files of this module share. */
#ifndef STASH_STASH_PRIV_H
#define STASH_STASH_PRIV_H

#include "base/limits.h"
#include "stash/index.h"
#include "stash/stash.h"
#include "tar/compress.h"

#include <time.h>

#define STASH_CHUNK_MIN_BYTES (256 << 10) /* a file that is smaller is one chunk */
#define STASH_PACK_BYTES      (32 << 20)  /* of chunks: a pack with so many is closed */

/* ---- index.c, merge.c ---- */

/* Only the entries for which keep[] is set; what is below one that is not must not be kept either. */
void stash_select(struct stash_index *x, const bool *keep);
/* Which entries stay so that the files fit: parts that were not used for the longest time go first. Parts are what the
 * topmost directory holds that holds more than one thing; tools keep whole there what belongs together. No file stays
 * if nothing else helps. False: all fit, and keep[] is as it was. */
bool stash_choose(const struct stash_index *x, uint64_t max_bytes, bool *keep);
void stash_trim(struct stash_index *x, uint64_t max_bytes, struct stash_stats *stats);

/* ---- pack.c: chunks on their way into the repository ---- */
struct packer;
/* Packs and chunks are added to x. */
struct packer *packer_new(const struct stash_opts *o, struct stash_index *x);
/* The chunk's number; its bytes go into the pack under way unless they are in one already. */
MUST_USE struct err *packer_add(struct packer *p, const void *data, size_t len, uint32_t *ret_chunk);
/* Puts the bytes of a chunk that is in a pack already into the pack under way, which is its pack from now on. Nothing
 * happens if they are not its bytes. */
MUST_USE struct err *packer_move(struct packer *p, uint32_t chunk, const void *data, size_t len);
/* Sends the pack under way. */
MUST_USE struct err *packer_end(struct packer *p);
uint64_t packer_sent(const struct packer *p); /* compressed bytes */
void packer_free(struct packer *p);
DEFINE_CLEANUP(struct packer *, packer_free);
void stash_chunk_id(const void *data, size_t len, uint8_t ret[STASH_ID_BYTES]);
/* The id as 64 hexadecimal digits: the name of the chunk in its pack. */
void stash_id_text(const uint8_t id[STASH_ID_BYTES], char ret[2 * STASH_ID_BYTES + 1]);
bool stash_id_parse(const char *text, uint8_t ret[STASH_ID_BYTES]);

/* ---- cut.c: where a file is cut; pure ---- */

/* The length of the first chunk of these bytes, which are a file's rest or at least STASH_CHUNK_MAX_BYTES of it. It
 * depends on the bytes around the cut alone, so that what is put into a file or taken out of it changes few chunks. */
size_t stash_cut(const uint8_t *p, size_t n);

/* ---- scan.c: the directory ---- */

struct scan {
    struct stash_index x;
    const struct stash_index *base; /* what was there before; may be NULL */
    struct timespec since;          /* when that was */
    VEC(uint32_t) in_base;          /* the entry of each entry of x there, or STASH_NONE */
    VEC(bool) unchanged;            /* a file whose chunks are those of the base */
};
/* Names and metadata of all that can be kept. s->base and s->since are given. */
MUST_USE struct err *scan_names(const struct stash_opts *o, int dir_fd, struct scan *s);
/* Leaves out what is too much, as stash_trim(). */
void scan_trim(struct scan *s, uint64_t max_bytes, struct stash_stats *stats);
/* Cuts the files that changed; s->x has the chunks of the repository already. What changes meanwhile is left out. */
MUST_USE struct err *scan_files(const struct stash_opts *o, int dir_fd, struct scan *s, struct packer *p);
void scan_release(struct scan *s);
static inline void scan_release_auto(struct scan *s)
{
    scan_release(s);
}

/* ---- record.c: what of a directory is in the repository, in a file beside it ---- */
struct record {
    struct stash_index x;
    struct timespec since; /* files whose ctime is earlier are as they are there */
    struct digest remote;  /* the document that was the last one then */
    bool found;
    bool damaged; /* that document cannot be restored: there is no index, and nothing of it is to be used */
};
/* Missing or damaged is the same as none. */
void stash_record_read(const char *path, struct record *ret);
/* `since` NULL: now, after all that was done before. x NULL: the document is damaged. */
MUST_USE struct err *stash_record_write(const char *path, const struct stash_index *x, const struct digest *remote,
                                        const struct timespec *since);
/* The time of a file that is changed now, as the file system has it. */
MUST_USE struct err *stash_record_now(const char *path, struct timespec *ret);

/* ---- remote.c: the document in the repository ---- */
struct remote {
    struct stash_index x;
    struct digest digest; /* of the document; "": there is none */
    uint64_t moved;
};
MUST_USE struct err *remote_read(const struct stash_opts *o, const char *tag, struct remote *ret);
/* The digest alone; "": there is none. */
MUST_USE struct err *remote_look(const struct stash_opts *o, const char *tag, struct digest *ret);
MUST_USE struct err *remote_write(const struct stash_opts *o, const char *tag, const struct stash_index *x,
                                  struct remote *ret_written);
/* Receives a blob into a file without a name. */
MUST_USE struct err *remote_fetch(const struct stash_opts *o, const struct descriptor *d, int *ret_fd);
/* Sends a file; *ret_bytes are added if it was not there. */
MUST_USE struct err *remote_send(const struct stash_opts *o, const struct compress_result *r, int fd,
                                 uint64_t *ret_bytes);
/* A file without a name in the scratch directory. */
MUST_USE struct err *remote_temp(const struct stash_opts *o, int *ret_fd);
struct descriptor remote_descriptor(const struct stash_pack *p);
void remote_release(struct remote *r);
static inline void remote_release_auto(struct remote *r)
{
    remote_release(r);
}

#endif
