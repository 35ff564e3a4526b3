/* progress.h - what a person sees while the step runs, on stdout: one line a step with its time and the size of its
 * layer, the commands' own output between. Levels: quiet shows results and errors alone. */
#ifndef COPYUP_PROGRESS_H
#define COPYUP_PROGRESS_H

#include "build/build.h"

struct progress_printer {
    bool quiet;
    bool timestamps;
    bool in_line; /* the last output did not end its line */
};

/* Borrows pp. */
struct progress progress_make(struct progress_printer *pp);
/* One line of information, unless quiet. */
void progress_line(struct progress_printer *pp, const char *fmt, ...) PRINTF(2, 3);
/* "1.2 MB", "340 B" (SI units, as registries count). */
void progress_size(uint64_t bytes, char ret_text[32]);

#endif
