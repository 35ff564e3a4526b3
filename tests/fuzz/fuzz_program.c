/* The beginning of a file: whatever it holds, an interpreter is a path of that line. */
#include "sys/program.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct program p;

    program_parse(data, size, &p);
    size_t n = strnlen(p.interpreter, sizeof(p.interpreter));
    if (n >= sizeof(p.interpreter) || strpbrk(p.interpreter, " \t\n") || (n && (p.arch || n + 2 > size)))
        abort();
    return 0;
}
