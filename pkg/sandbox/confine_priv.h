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
/* Loads the filter of system calls; needs CAP_SYS_ADMIN in our namespace, so that setuid programs still work after it.
 */
MUST_USE struct err *filter_load(const struct orders *o, int recorder_fd);
/* libseccomp's name of the 32-bit architecture whose programs run here, too; 0: none. */
uint32_t filter_arch_32(void);

#endif
