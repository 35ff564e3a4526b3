/* platform.h - "os/arch[/variant]" parsed and normalised as containerd does. Pure. */
#ifndef OCI_PLATFORM_H
#define OCI_PLATFORM_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct platform {
    char os[32], arch[32], variant[32], os_version[64]; /* "" = not given */
    char os_features[64];                               /* "+feature+feature", as written in "windows(1.0+feature)" */
};

MUST_USE struct err *platform_parse(const char *text, struct platform *ret_platform);
/* Do images exist for such a system and architecture at all? If not: ERR_DOCKERFILE with what may have been meant. */
MUST_USE struct err *platform_check_known(const struct platform *p);
/* The one this program runs on. */
struct platform platform_host(void);
/* One spelling for each: "linux" if no system is named, "arm64" without "v8", "arm" with "v7". */
void platform_normalize(struct platform *p);
/* "linux/arm64/v8" in its normalised spelling ("linux/arm64" when the variant is the default). */
void platform_format(const struct platform *p, char *ret_text, size_t size);
/* May an image for `image` be used where `wanted` is asked? As containerd decides for one platform: the same system,
 * and the same architecture and variant or one that runs there as well: lower variants, 386 on amd64, arm on arm64. */
bool platform_matches(const struct platform *wanted, const struct platform *image);
/* Of several that match, the better one is the one with the higher rank (exact variant first); 0: it does not match. */
int platform_rank(const struct platform *wanted, const struct platform *image);

#endif
