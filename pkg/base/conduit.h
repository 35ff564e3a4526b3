/* conduit.h - a stream between two threads: what one writes into the sink the other reads from the source, through a
 * buffer of fixed size. Whoever is faster waits. Each end belongs to one thread at a time. */
#ifndef BASE_CONDUIT_H
#define BASE_CONDUIT_H

#include "base/mem.h"
#include "base/sink.h"

#include <stdbool.h>

struct conduit;
struct conduit *conduit_new(size_t buffer_bytes);
/* The writer's end. Fails once the reader has closed. */
struct sink conduit_sink(struct conduit *c);
/* The writer has written all. e: or why it cannot go on, which the reader gets once it has read what was written
 * before; taken. */
void conduit_end(struct conduit *c, struct err *e);
/* The reader's end. */
struct source conduit_source(struct conduit *c);
/* The reader wants no more. */
void conduit_close(struct conduit *c);
/* Both ends are out of use. */
void conduit_free(struct conduit *c);
DEFINE_CLEANUP(struct conduit *, conduit_free);

/* A source that is read by a thread of its own, `buffer_bytes` ahead of whoever reads from here: both work at once. */
struct ahead;
/* Where the pod allows no further thread, it is read when it is asked for. `in` is not used otherwise until ahead_free.
 */
struct ahead *ahead_new(struct source in, size_t buffer_bytes);
struct source ahead_source(struct ahead *a);
/* Waits for the thread, which reads no further. */
void ahead_free(struct ahead *a);
DEFINE_CLEANUP(struct ahead *, ahead_free);

#endif
