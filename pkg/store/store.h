/* store.h - the state directory: blobs by digest, this build's own working directory, locks, and cleaning up after
 * builds that died. Several builds may share one state directory at once. Thread-safe. */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/err.h"
#include "base/mem.h"
#include "base/sink.h"
#include "digest/digest.h"

#include <stdbool.h>
#include <stdint.h>

struct store;

/* The first of the usual places that we can write: /copyup, $TMPDIR/copyup-UID, /tmp/copyup-UID (made 0700). The caller
 * frees. None: ERR_DISK that lists what was tried and why not. */
MUST_USE struct err *store_default_dir(const char *tmpdir, char **ret_dir);
/* Opens (makes) the state directory dir: checks that it is a directory of ours, writable, not world-writable; makes
 * this build's own directory inside and locks it; removes the working directories of builds whose lock is free (they
 * died). fsGroup volumes: a subdirectory of our own group without setgid is used (SANDBOX 5). */
MUST_USE struct err *store_open(const char *dir, struct store **ret);
const char *store_dir(const struct store *s);       /* where layers and blobs are kept */
const char *store_build_dir(const struct store *s); /* this build's own; gone after store_close */
/* Removes the build directory. NULL is allowed. */
void store_close(struct store *s);
DEFINE_CLEANUP(struct store *, store_close);

/* Blobs are this build's own: nothing that another build wrote is trusted, and a kept state directory holds unpacked
 * layers alone, not every layer a second time. A blob being written: a temporary file; commit renames it to its digest,
 * free without commit removes it. */
struct blob_writer;
MUST_USE struct err *blob_writer_new(struct store *s, struct blob_writer **ret);
struct sink blob_writer_sink(struct blob_writer *w);
/* Forgets what was written: the blob comes again from its first byte. */
MUST_USE struct err *blob_writer_again(struct blob_writer *w);
/* Another descriptor of the file, for pread() of what is in it so far, now and later. */
MUST_USE struct err *blob_writer_share(const struct blob_writer *w, int *ret_fd);
/* The caller has verified or computed the digest. */
MUST_USE struct err *blob_writer_commit(struct blob_writer *w, const struct digest *d);
void blob_writer_free(struct blob_writer *w);
DEFINE_CLEANUP(struct blob_writer *, blob_writer_free);

/* Opens a blob for reading; *ret_fd = -1 if it is not here. Its size is checked against size_bytes (UINT64_MAX = any):
 * a file of another size is removed and counts as not here. */
MUST_USE struct err *store_open_blob(struct store *s, const struct digest *d, uint64_t size_bytes, int *ret_fd);
/* Keeps small text by name (manifest of a digest and the like): under the digest of its content. */
MUST_USE struct err *store_put_bytes(struct store *s, const void *p, size_t n, struct digest *ret_digest);

#endif
