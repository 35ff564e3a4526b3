/* file.h - plain files and directories of the builder's own: reading whole small files, writing them whole or not at
 * all, making and removing trees. For paths inside an image's root use sys/path.h. Thread-safe. */
#ifndef SYS_FILE_H
#define SYS_FILE_H

#include "base/buf.h"
#include "base/cancel.h"
#include "base/err.h"
#include "base/sink.h"

#include <stdint.h>
#include <sys/stat.h>

/* Appends the file's content to out. Larger than max_bytes: ERR_SETTING that names path and limit.
 * A missing file is an err_sys error with err_errno() == ENOENT. */
MUST_USE struct err *file_read(const char *path, size_t max_bytes, struct buf *out);
/* The same from an open descriptor; name is for messages. */
MUST_USE struct err *file_read_fd(int fd, const char *name, size_t max_bytes, struct buf *out);
/* Writes a temporary file beside path and renames it: readers see the old or the new content. Parents are made (0755).
 * Where the directory is not writable but the file is (mounted file), it is written in place. ERR_DISK on failure. */
MUST_USE struct err *file_write_atomic(const char *path, const void *data, size_t len, mode_t mode);
/* Writes all of it (short writes and EINTR handled). */
MUST_USE struct err *file_write_all(int fd, const void *p, size_t len);
/* A sink that writes to *fd; fd must outlive it. */
struct sink file_sink(int *fd);
/* A source that reads from *fd. */
struct source file_source(int *fd);
/* mkdir -p. Existing directories keep their mode. */
MUST_USE struct err *file_mkdirs(const char *path, mode_t mode);
/* rm -rf of dirfd/name, made writable on the way, without following symlinks or crossing into other mounts.
 * Not there = success. */
MUST_USE struct err *file_remove_tree(int dirfd, const char *name);
/* What a tree takes on its file system, as far as it can be looked at; hard links count each time. */
uint64_t file_tree_bytes(const char *path);
/* May we remove a whole tree? As far as the owners of its directories tell: false if one is not ours, nor of an id that
 * our user namespace maps. */
bool file_tree_is_ours(const char *path);
/* What we may still write to the file system that holds path; false: it does not say. */
bool file_free_bytes(const char *path, uint64_t *ret_bytes);
/* Copies len bytes from one descriptor's offset to the other's, in the kernel where possible; holes stay holes.
 * Tests cancel (may be NULL) between chunks. */
MUST_USE struct err *file_copy_data(int from, int to, uint64_t len, const struct cancel *cancel);

#endif
