/* mounts_priv.h - the file system that a RUN sees: the image's root, /proc, /sys, /dev, resolv.conf, hosts, its own
 * mounts. For the inner process, in its own mount namespace. */
#ifndef SANDBOX_MOUNTS_PRIV_H
#define SANDBOX_MOUNTS_PRIV_H

#include "sandbox/orders_priv.h"

#define SANDBOX_HOSTNAME "buildkitsandbox" /* as BuildKit calls it: some build scripts print or test it */

/* Mounts everything and makes o->root the root directory. Mount points that had to be made in the image's root are told
 * over report_fd (REPORT_MADE) before anything else happens. */
MUST_USE struct err *mounts_enter_root(struct orders *o, int report_fd);

#endif
