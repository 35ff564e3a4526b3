/* The two documents of a cache entry. What is accepted can be written again, and says the same then. */
#include "cache/cache_priv.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The key that the documents of the corpus have. */
#define KEY "sha256:1111111111111111111111111111111111111111111111111111111111111111"

static void manifest(const char *text, size_t size)
{
    const struct digest key = { KEY };
    struct cache_entry e, again;
    struct descriptor config;
    int64_t written_s, again_s;
    struct err *err = entry_parse(text, size, &key, &e, &written_s, &config);

    if (err) {
        err_free(err);
        return;
    }
    (void)entry_is_fresh(written_s, 0, 1);
    AUTO_FREE char *copy = entry_manifest(&e, &config, written_s);
    err = entry_parse(copy, strlen(copy), &key, &again, &again_s, &config);
    if (err || !digest_equal(&e.layer.digest, &again.layer.digest) || !digest_equal(&e.content, &again.content) ||
        e.layer.size_bytes != again.layer.size_bytes || strcmp(e.created, again.created) != 0)
        abort();
}

static void inputs(const char *text, size_t size)
{
    struct strs list = { 0 };

    err_free(entry_inputs(text, size, &list));
    strs_release(&list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    manifest((const char *)data, size);
    inputs((const char *)data, size);
    return 0;
}
