/* schedule.h - runs tasks that need each other, each once, on several threads. Knows nothing of what they do.
 *
 * A task that is started begins when the one that it starts from is done. One that nobody has started begins when
 * another needs it, in that one's thread. Whoever needs a task that is under way waits for it, and another thread takes
 * its turn; so a pod that allows no more threads is slower and nothing else. After the first failure no task begins,
 * and whoever waits goes on at once. Tasks must not need each other in a circle.
 *
 * Slots bound what is worked on at once: a task takes one for what costs CPU and memory, and has none while it waits
 * for another. Thread-safe: tasks may call everything but schedule_run() and schedule_free(). */
#ifndef BUILD_SCHEDULE_H
#define BUILD_SCHEDULE_H

#include "base/err.h"
#include "base/mem.h"

#include <stdbool.h>

struct schedule;
struct task;

struct schedule_opts {
    int slots; /* >= 1 */
    /* Called once, after the first failure, from the thread that it happened in: to stop what is under way. */
    void (*on_failure)(void *ctx);
    void *ctx;
};
struct schedule *schedule_new(const struct schedule_opts *opts);
/* After schedule_run(), or without it. NULL is allowed. */
void schedule_free(struct schedule *s);
DEFINE_CLEANUP(struct schedule *, schedule_free);

/* Those that are added first begin first. base: what must be done before this one begins, may be NULL. Borrowed. */
struct task *schedule_add(struct schedule *s, struct task *base, struct err *(*work)(void *ctx), void *ctx);
/* It is to be done, and what it starts from. */
void schedule_start(struct task *t);
/* Returns when it is done. An error: it will not be, because something failed; that is not the error to show. */
MUST_USE struct err *schedule_need(struct task *t);
/* Does not wait. */
bool schedule_is_done(const struct task *t);
/* A failure of a task that is still under way, or has ended. Takes e. */
void schedule_fail(struct task *t, struct err *e);
/* What a task ends with whose failure is told already, or that ends because of another's. */
MUST_USE struct err *schedule_stopped(void);

/* Works until all that was started is done, or nothing is under way after a failure. Of several failures the error is
 * that of the task that was added first, as far as it happened before it was stopped. */
MUST_USE struct err *schedule_run(struct schedule *s);

/* An error: something failed, there is nothing to do any more. */
MUST_USE struct err *schedule_take_slot(struct schedule *s);
void schedule_give_slot(struct schedule *s);

#endif
