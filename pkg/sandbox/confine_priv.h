/* confine_priv.h - what the process of a RUN may do, and as whom: limits, capabilities, system calls, ids. */
#ifndef SANDBOX_CONFINE_PRIV_H
#define SANDBOX_CONFINE_PRIV_H

#include "sandbox/orders_priv.h"

/* Makes the calling process what the command is to be; only execve is left to do. proc_fd: an open /proc whose self/ is
 * us. recorder_fd: the supervisor's socket, if the orders want one. There is no way back. */
MUST_USE struct err *confine_self(const struct orders *o, int proc_fd, int recorder_fd);
/* exec_error.c: why the program could not be started, with a shell's exit code. path: the PATH that it was looked for
 * in, NULL if it was named with a '/'. To be called in the image's root. */
struct err *exec_error(int errnum, const char *program, const char *path);
/* Are the filters the same for all RUNs that differ in neither record, fresh_proc nor scoped? Else they name processes.
 */
bool filter_is_common(const struct orders *o);
/* Makes the filters of a RUN (orders.wall, orders.supervised), which takes a millisecond; adds each to its buffer. */
MUST_USE struct err *filter_make(const struct orders *o, struct buf *wall, struct buf *supervised);
/* Puts common ones, made once and kept, into the orders: borrowed, as long as the program runs. Thread-safe. */
MUST_USE struct err *filter_give(struct orders *o);
/* Loads the filters of system calls, and makes them if the orders have none; needs CAP_SYS_ADMIN in our namespace: not
 * "no new privileges", so that setuid programs of the image work where the pod lets them. */
MUST_USE struct err *filter_load(const struct orders *o, int recorder_fd);
/* libseccomp's name of the 32-bit architecture whose programs run here, too; 0: none. */
uint32_t filter_arch_32(void);

#endif
