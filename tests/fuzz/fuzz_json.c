/* What parses is written, parses again, and is then written the same. */
#include "json/json.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *rewrite(const char *text, size_t size)
{
    AUTO(json_free) struct json *tree = NULL;
    AUTO(json_writer_free) struct json_writer *w = json_writer_new();
    struct err *e = json_parse(text, size, &tree);

    if (e) {
        err_free(e);
        return NULL;
    }
    json_put_value(w, tree);
    return json_writer_steal(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_FREE char *first = rewrite((const char *)data, size);

    if (!first)
        return 0;
    AUTO_FREE char *second = rewrite(first, strlen(first));
    if (!second || strcmp(first, second) != 0)
        abort();
    return 0;
}
