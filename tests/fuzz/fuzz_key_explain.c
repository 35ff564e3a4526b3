/* Facts as a cache gives them, one a line, before and behind a line "--": whatever they are, a text or nothing comes of
 * it, and of two equal lists nothing. */
#include "plan/key.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_FREE char *text = xstrndup((const char *)data, size);
    struct strs before = { 0 }, now = { 0 }, *list = &before;
    char *save = NULL;

    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        if (strcmp(line, "--") == 0)
            list = &now;
        else
            strs_add(list, line);
    }
    free(plan_key_explain(&before, &now));
    AUTO_FREE char *nothing = plan_key_explain(&now, &now);
    if (nothing)
        abort();
    strs_release(&before);
    strs_release(&now);
    return 0;
}
