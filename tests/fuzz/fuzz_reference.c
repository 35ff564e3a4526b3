/* A reference or platform that is accepted is written so that it is accepted again, as the same one. */
#include "base/mem.h"
#include "oci/platform.h"
#include "oci/ref.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_reference(const char *text)
{
    __attribute__((cleanup(ref_release_auto))) struct ref r = { 0 }, again = { 0 };
    struct err *e = ref_parse(text, &r);

    if (e) {
        err_free(e);
        return;
    }
    AUTO_FREE char *full = ref_string(&r);
    AUTO_FREE char *familiar = ref_familiar(&r);
    e = ref_parse(full, &again);
    if (e)
        abort();
    AUTO_FREE char *full_again = ref_string(&again);
    /* The familiar form is for people: "docker.io/a.b/c" becomes "a.b/c", which reads as another host. Docker does so.
     */
    if (strcmp(full, full_again) != 0 || strlen(familiar) > strlen(full))
        abort();
}

static void check_platform(const char *text)
{
    struct platform p, again;
    char out[512], out_again[512];
    struct err *e = platform_parse(text, &p);

    if (e) {
        err_free(e);
        return;
    }
    platform_format(&p, out, sizeof(out));
    if (!platform_matches(&p, &p))
        abort();
    e = platform_parse(out, &again);
    if (e) { /* only an escaped version may have become too long */
        err_free(e);
        return;
    }
    platform_format(&again, out_again, sizeof(out_again));
    if (strcmp(out, out_again) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_FREE char *text = xstrndup((const char *)data, size);

    check_reference(text);
    check_platform(text);
    return 0;
}
