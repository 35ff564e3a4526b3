/* Manifest, index and configuration: what is accepted is written so that it is accepted and written the same again. */
#include "base/mem.h"
#include "oci/config.h"
#include "oci/manifest.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef char *rewrite_fn(const char *text, size_t size);

static char *rewrite_manifest(const char *text, size_t size)
{
    __attribute__((cleanup(manifest_release_auto))) struct manifest m = { 0 };
    struct err *e = manifest_parse(text, size, &m);

    if (e) {
        err_free(e);
        return NULL;
    }
    return manifest_write(&m);
}

static char *rewrite_index(const char *text, size_t size)
{
    __attribute__((cleanup(index_release_auto))) struct image_index x = { 0 };
    const struct platform wanted = platform_host();
    struct err *e = index_parse(text, size, &x);

    if (e) {
        err_free(e);
        return NULL;
    }
    const struct index_entry *entry = index_choose(&x, &wanted);
    if (entry && (entry < x.entries || entry >= x.entries + x.n_entries))
        abort();
    return index_write(&x);
}

static char *rewrite_config(const char *text, size_t size)
{
    __attribute__((cleanup(config_release_auto))) struct image_config c = { 0 }, copy = { 0 };
    struct err *e = config_parse(text, size, &c);

    if (e) {
        err_free(e);
        return NULL;
    }
    config_copy(&copy, &c);
    return config_write(&copy);
}

static void check(rewrite_fn *rewrite, const char *text, size_t size)
{
    AUTO_FREE char *first = rewrite(text, size);

    if (!first)
        return;
    AUTO_FREE char *second = rewrite(first, strlen(first));
    if (!second || strcmp(first, second) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum manifest_kind kind;

    err_free(manifest_kind(NULL, (const char *)data, size, &kind));
    check(rewrite_manifest, (const char *)data, size);
    check(rewrite_index, (const char *)data, size);
    check(rewrite_config, (const char *)data, size);
    return 0;
}
