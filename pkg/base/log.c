#include "base/log.h"

#include "base/mem.h"

static enum log_level level = LOG_LEVEL_INFO;

void log_set_level(enum log_level l)
{
    level = l;
}

enum log_level log_get_level(void)
{
    return level;
}

void log_debug(const char *component, const char *fmt, ...)
{
    va_list ap;

    if (level < LOG_LEVEL_DEBUG)
        return;
    va_start(ap, fmt);
    AUTO_FREE char *text = xvasprintf(fmt, ap);
    va_end(ap);
    fprintf(stderr, "debug: %s: %s\n", component, text);
}
