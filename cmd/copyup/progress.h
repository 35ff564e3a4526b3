/* progress.h - what a person sees while the step runs, on stdout: one line a step with its time and the size of its
 * layer, the commands' own output between. While several steps run at once, each line of their
 * output is whole and names its stage. Levels: quiet shows results and errors alone. */
#ifndef COPYUP_PROGRESS_H
#define COPYUP_PROGRESS_H

#include "base/buf.h"
#include "base/vec.h"
#include "build/build.h"

#include <pthread.h>

/* A step in progress. */
struct progress_open {
    const char *stage; /* the pointer tells which it is */
    struct buf line;   /* output that waits for the end of its line */
};

struct progress_printer {
    pthread_mutex_t lock; /* one line at a time */
    bool quiet;
    bool timestamps;
    bool in_line; /* the last output did not end its line */
    VEC(struct progress_open) open;
};

void progress_init(struct progress_printer *pp, bool quiet, bool timestamps);
/* Borrows pp. */
struct progress progress_make(struct progress_printer *pp);
/* One line of information, unless quiet. */
void progress_line(struct progress_printer *pp, const char *fmt, ...) PRINTF(2, 3);
/* "1.2 MB", "340 B" (SI units, as registries count). */
void progress_size(uint64_t bytes, char ret_text[32]);

#endif
