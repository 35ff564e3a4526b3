/* cancel.h - one request to stop, shared by everything that works for one build.
 *
 * main makes it, signal handlers and the deadline raise it; loops over data ask cancel_check() per chunk, waits poll
 * cancel_fd(). It is raised at most once: the first reason wins. Thread-safe; cancel_raise() is async-signal-safe. */
#ifndef BASE_CANCEL_H
#define BASE_CANCEL_H

#include "base/err.h"

enum cancel_reason { CANCEL_NONE, CANCEL_SIGNAL, CANCEL_TIMEOUT, CANCEL_FAILURE };

struct cancel;

MUST_USE struct err *cancel_new(struct cancel **ret_cancel);
/* One that counts as raised when `parent` is, and may be raised by itself: for a part of the build that ends alone.
 * parent must outlive it; its reason goes first. */
MUST_USE struct err *cancel_new_below(const struct cancel *parent, struct cancel **ret_cancel);
/* CANCEL_FAILURE: another part of the build failed; what stops because of it is not the error to show. */
void cancel_raise(struct cancel *c, enum cancel_reason reason);
enum cancel_reason cancel_reason(const struct cancel *c);
/* NULL, or ERR_TERMINATED / ERR_TIMEOUT once it was raised. A NULL cancel is never raised. */
MUST_USE struct err *cancel_check(const struct cancel *c);
/* A descriptor that is readable for ever once it was raised: poll it, do not read it. -1 for a NULL cancel. */
int cancel_fd(const struct cancel *c);
/* NULL is allowed. */
void cancel_free(struct cancel *c);

#endif
