/* uploads.h - layers on their way into the repository that their image will be pushed to, while the build goes on.
 *
 * A layer is sent as soon as it is written; a large one while it is still being compressed, if it is sure that nobody
 * can have it yet: its digest, by which the repository could be asked, is not known before its end. Nothing depends on
 * what comes of it: what could not be sent, and all after it, is sent by the push at the end, with its errors.
 * Thread-safe; up to so many threads of its own. Where the pod allows no more of them, all is left to the push. */
#ifndef BUILD_UPLOADS_H
#define BUILD_UPLOADS_H

#include "base/mem.h"
#include "build/build.h"

#include <stdbool.h>
#include <stdint.h>

struct uploads_opts {
    struct registry *registry; /* its requests end when the build fails; all are borrowed */
    const struct ref *repo;
    struct store *store; /* has the layers */
    const struct progress *progress;
    int threads;
};
struct uploads;
struct uploads *uploads_new(const struct uploads_opts *opts);
/* Waits for what is under way. NULL is allowed, here and below: then nothing is sent. */
void uploads_free(struct uploads *u);
/* Waits until all has been sent, or could not be. */
void uploads_settle(struct uploads *u);
/* Did that blob get there? */
bool uploads_find(struct uploads *u, const struct digest *d, enum blob_result *ret_result);

/* A layer that is being written: by one thread, but for growing_is_new(). */
struct growing;
/* fd: its file, read with pread(); taken. NULL if u is. */
struct growing *uploads_grow(struct uploads *u, int fd);
/* It holds something of this very build: nobody has it. Any thread. */
void growing_is_new(struct growing *g);
/* So many more bytes are in the file, and stay as they are. */
void growing_add(struct growing *g, size_t n);
/* It is whole, and in the store. blob NULL: it will never be. Frees g. */
void growing_end(struct growing *g, const struct descriptor *blob);

#endif
