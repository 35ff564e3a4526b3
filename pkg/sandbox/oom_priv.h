/* oom_priv.h - whose process was it that the kernel killed for memory? It counts such deaths for the whole container,
 * so each change of the number is put down to the RUNs that were there: to one as its own, to several as theirs
 * together. May be used from several threads. */
#ifndef SANDBOX_OOM_PRIV_H
#define SANDBOX_OOM_PRIV_H

#include <stdbool.h>
#include <stdint.h>

struct oom_book;

/* One RUN, from oom_begin() to oom_end(); the memory is the caller's, zeroed. */
struct oom_run {
    bool own;    /* a process was killed while it was the only RUN */
    bool shared; /* one was while others were there, too */
    struct oom_run *next;
};

/* count: the number of such deaths so far (limits_oom_kills()). */
struct oom_book *oom_book_new(uint64_t (*count)(const char *root));
void oom_book_free(struct oom_book *b);
/* A RUN begins, and has ended: nothing of it is alive any more. */
void oom_begin(struct oom_book *b, struct oom_run *r);
void oom_end(struct oom_book *b, struct oom_run *r);

#endif
