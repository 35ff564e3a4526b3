/* hold.h - who uses which of many things by name: a lock file, of which each name has one byte. Several processes may
 * use a thing at once, each open file on its own; who removes it must have it alone. Two names may share a byte, which
 * makes them one. Locks end with their descriptor. Thread-safe. */
#ifndef SYS_HOLD_H
#define SYS_HOLD_H

#include "base/err.h"

#include <stdbool.h>

/* The lock file in a state directory for "layers/SPACE/HEX", by "SPACE/HEX". */
#define HOLD_LAYERS "layers.lock"

/* Opens the lock file, made if it is not there. */
MUST_USE struct err *hold_open(const char *path, int *ret_fd);
/* From now on it is used: waits while somebody has it alone. Where files cannot be locked nobody will ever have it
 * alone.
 */
void hold_use(int fd, const char *name);
/* False: it is used by another open file, or files cannot be locked here. */
bool hold_alone(int fd, const char *name);
void hold_end(int fd, const char *name);

#endif
