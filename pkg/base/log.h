/* log.h - debug messages by component. Library code logs nothing above debug: it returns errors; results and warnings
 * are printed by cmd/. The level is the only global state of the program: set once at start, before any thread. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/err.h"

enum log_level { LOG_LEVEL_QUIET, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG, LOG_LEVEL_TRACE };

void log_set_level(enum log_level level);
enum log_level log_get_level(void);
/* One line "debug: COMPONENT: text" on stderr, whole (no interleaving), if the level is debug or trace. Thread-safe.
 * Never a secret, never a header or a URL with a query. */
void log_debug(const char *component, const char *fmt, ...) PRINTF(2, 3);

#endif
