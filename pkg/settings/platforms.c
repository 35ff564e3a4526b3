/* platforms.c - PLUGIN_PLATFORM: each must be one that can be built here, and none twice. */
#include "oci/platform.h"
#include "settings/settings_priv.h"

#include <string.h>

static struct err *check_one(const char *text, struct platform *ret)
{
    TRY(platform_parse(text, ret));
    platform_normalize(ret);
    TRY(platform_check_known(ret));
    if (strcmp(ret->os, "windows") == 0)
        return err_hint(err_new(ERR_SETTING, "images for Windows cannot be built"),
                        "Their layers and commands need a Windows node.");
    return NULL;
}

static struct err *check_twice(const struct settings *s, size_t i)
{
    char text[256], other[256];
    struct platform p;

    TRY(check_one(s->platforms.items[i], &p));
    platform_format(&p, text, sizeof(text));
    for (size_t k = 0; k < i; k++) {
        struct err *e = check_one(s->platforms.items[k], &p);

        err_free(e); /* it was said */
        platform_format(&p, other, sizeof(other));
        if (!e && strcmp(text, other) == 0)
            return err_hint(err_new(ERR_SETTING, "'%s' and '%s' are one platform, %s", s->platforms.items[k],
                                    s->platforms.items[i], text),
                            "Name each platform once.");
    }
    return NULL;
}

void settings_check_platforms(struct reading *r)
{
    const struct settings *s = r->s;

    for (size_t i = 0; i < s->platforms.n; i++) {
        struct err *e = check_twice(s, i);

        reading_mistake(r,
                        err_set_kind(err_wrap(e, "PLUGIN_PLATFORM has '%.100s'", s->platforms.items[i]), ERR_SETTING));
    }
    if (s->platforms.n > 1 && s->tar_path)
        reading_mistake(r,
                        err_hint(err_new(ERR_SETTING,
                                         "PLUGIN_TAR_PATH cannot be used with the %zu platforms of PLUGIN_PLATFORM: a "
                                         "docker archive holds one image",
                                         s->platforms.n),
                                 "Use PLUGIN_OCI_LAYOUT_PATH, which holds them all, or build each platform in a step "
                                 "of its own."));
}
