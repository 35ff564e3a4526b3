/* record_stat_priv.h - struct stat as the callers of the different system calls know it. Pure. */
#ifndef SANDBOX_RECORD_STAT_PRIV_H
#define SANDBOX_RECORD_STAT_PRIV_H

#include "sandbox/record_priv.h"

#include <stddef.h>
#include <sys/stat.h>

#define STAT_BYTES_MAX 256
#define STAT_OLD       0x40000000U /* in record_row.fixed: a 32-bit caller's stat, not its stat64 */

/* Writes st in the caller's form; returns its length. Numbers that do not fit are cut off, as no call that is answered
 * here would fail for them. */
size_t stat_encode(const struct stat *st, enum record_abi abi, bool old, char out[STAT_BYTES_MAX]);

#endif
