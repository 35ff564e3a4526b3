#include "base/mem.h"

#include <string.h>

/* sysexits.h EX_OSERR: DESIGN section 7, "this pod cannot run the build". */
#define MEM_EXIT_CODE 71

static _Noreturn void die_oom(void)
{
    static const char msg[] = "error: out of memory\n";

    (void)!write(STDERR_FILENO, msg, sizeof(msg) - 1);
    _exit(MEM_EXIT_CODE);
}

void *xcalloc(size_t n, size_t size)
{
    void *p = calloc(n ? n : 1, size ? size : 1);

    if (!p)
        die_oom();
    return p;
}

void *xreallocarray(void *p, size_t n, size_t size)
{
    p = reallocarray(p, n ? n : 1, size ? size : 1);
    if (!p)
        die_oom();
    return p;
}

char *xstrdup(const char *s)
{
    return xstrndup(s, strlen(s));
}

char *xstrndup(const char *s, size_t n)
{
    char *p = strndup(s, n);

    if (!p)
        die_oom();
    return p;
}

char *xvasprintf(const char *fmt, va_list ap)
{
    char *s;

    if (vasprintf(&s, fmt, ap) < 0)
        die_oom();
    return s;
}

char *xasprintf(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    char *s = xvasprintf(fmt, ap);
    va_end(ap);
    return s;
}
