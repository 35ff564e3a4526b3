/* tar.h - tar streams, entry by entry. Writing is deterministic pax (POSIX.1-2001): the same entries give the same
 * bytes; pax records only where ustar cannot say it; SCHILY.xattr.* for extended attributes; no names of users, no
 * atime or ctime. Reading takes what others write: ustar, pax, GNU, old v7; sparse files; it is bounded by
 * base/limits.h. Follows OCI image-spec layer.md. One thread at a time per reader or writer. */
#ifndef TAR_TAR_H
#define TAR_TAR_H

#include "base/mem.h"
#include "base/sink.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

struct tar_xattr {
    char *name;
    void *value;
    size_t len;
};

struct tar_entry {
    char *path;    /* "a/b/c", no leading '/', directories without trailing '/'; as stored, not yet checked for ".." */
    char *link;    /* target of a symlink or hard link, else NULL */
    bool hardlink; /* link names another entry of this archive (path form as `path`) */
    mode_t mode;   /* type and permission bits; for a hard link the type is S_IFREG */
    uint32_t uid, gid;
    uint64_t size_bytes; /* of the data that follows; 0 unless regular */
    struct timespec mtime;
    unsigned major, minor; /* of devices */
    struct tar_xattr *xattrs;
    size_t n_xattrs; /* the writer sorts them by name */
};
void tar_entry_release(struct tar_entry *e);
static inline void tar_entry_release_auto(struct tar_entry *e)
{
    tar_entry_release(e);
}

struct tar_writer;
struct tar_writer *tar_writer_new(struct sink out);
/* Starts an entry; then exactly size_bytes of data must follow through tar_write_data. mtime is stored as given. */
MUST_USE struct err *tar_write_entry(struct tar_writer *w, const struct tar_entry *e);
MUST_USE struct err *tar_write_data(struct tar_writer *w, const void *p, size_t n);
/* Writes the two zero blocks. */
MUST_USE struct err *tar_writer_end(struct tar_writer *w);
void tar_writer_free(struct tar_writer *w);
DEFINE_CLEANUP(struct tar_writer *, tar_writer_free);

/* Does the file that fd stands at the begin of hold an archive, compressed in any way we know or not? Whatever is wrong
 * with it: then it is none. Moves the offset. */
bool tar_probe(int fd);

struct tar_reader;
/* `in` is the uncompressed stream; it must outlive the reader. */
MUST_USE struct err *tar_reader_new(struct source in, struct tar_reader **ret);
/* The next entry (the caller releases it), or *ret_found = false at the end. Data not read of the entry before is
 * skipped. Damaged archives are ERR_REGISTRY. */
MUST_USE struct err *tar_read_entry(struct tar_reader *r, struct tar_entry *ret_entry, bool *ret_found);
/* Data of the current entry: block of bytes at an offset (holes of sparse files are left out); *ret_len 0 = end.
 * The block is borrowed until the next call. */
MUST_USE struct err *tar_read_data(struct tar_reader *r, const void **ret_p, size_t *ret_len, uint64_t *ret_offset);
/* Where in the stream the data that follows lies: of a file that is not sparse, right after its entry was read, all of
 * it. */
uint64_t tar_reader_offset(const struct tar_reader *r);
void tar_reader_free(struct tar_reader *r);
DEFINE_CLEANUP(struct tar_reader *, tar_reader_free);

#endif
