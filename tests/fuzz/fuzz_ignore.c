#include "context/ignore.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first line is a path, the rest the ignore file; both ways of asking must agree at the top, and a directory that
 * may be skipped must hold nothing that is included. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(ignore_free) struct ignore *g = NULL;
    const uint8_t *nl = memchr(data, '\n', size);
    size_t n = nl ? (size_t)(nl - data) : size;
    AUTO_FREE char *path = xstrndup((const char *)data, n);
    struct err *e = ignore_parse((const char *)data + n, size - n, &g);

    if (!e) {
        AUTO_FREE unsigned char *state = xcalloc(1, ignore_state_size(g) + 1);
        bool excluded = ignore_excludes_in(g, path, NULL, state);

        if (!strchr(path, '/') && excluded != ignore_excludes(g, path))
            __builtin_trap();
        AUTO_FREE char *below = xasprintf("%s/x", path);
        if (*path && excluded && ignore_can_skip_below(g, path) && !ignore_excludes_in(g, below, state, NULL))
            __builtin_trap();
    }
    err_free(e);
    return 0;
}
