/* scope_priv.h - the kernel's own wall around the signals of a RUN: a Landlock domain (landlock(7), Linux 6.12) from
 * which no process outside can be signalled, traced, or reached by an abstract socket, whatever number it is called by.
 */
#ifndef SANDBOX_SCOPE_PRIV_H
#define SANDBOX_SCOPE_PRIV_H

#include "base/err.h"

/* Puts the calling thread, and what it starts from now on, into a domain of its own; needs CAP_SYS_ADMIN in our user
 * namespace, and to be in the root directory that is to be its. Renames and links below it are as free as before, also
 * for who then makes a domain inside; mounts are refused. There is no way back. An error is ERR_POD: the kernel is
 * older, or it or the pod allows no Landlock. */
MUST_USE struct err *scope_enter(void);

#endif
