/* What is built and how: values that must fit together, and what follows from them. */
#include "settings/settings_priv.h"
#include "settings/values.h"

#include <arpa/inet.h>
#include <string.h>

#define HOST_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_"

static void note(struct reading *r, char *text)
{
    strs_take(&r->s->notes, text);
}

/* Do both lists say the same, but for where commas split them? */
static bool are_twins(const struct strs *commas, const struct strs *semicolons)
{
    struct strs split = { 0 };
    bool same;

    for (size_t i = 0; i < semicolons->n; i++)
        value_list(semicolons->items[i], ",", &split);
    same = split.n == commas->n;
    for (size_t i = 0; same && i < split.n; i++)
        same = strcmp(split.items[i], commas->items[i]) == 0;
    strs_release(&split);
    return same;
}

static void choose_build_args(struct reading *r)
{
    struct settings *s = r->s;

    if (s->build_args_new.n == 0)
        return;
    if (s->multiple_build_args || s->build_args.n == 0 || are_twins(&s->build_args, &s->build_args_new))
        strs_copy(&s->build_args, &s->build_args_new);
    else
        note(r, xstrdup("PLUGIN_BUILD_ARGS_NEW is not used: PLUGIN_BUILD_ARGS says something else, and "
                        "PLUGIN_MULTIPLE_BUILD_ARGS is not true"));
}

static void check_build_args(struct reading *r)
{
    struct settings *s = r->s;

    choose_build_args(r);
    for (size_t i = 0; i < s->build_args.n; i++)
        if (s->build_args.items[i][0] == '=') /* the value may be a secret */
            reading_mistake(r, err_new(ERR_SETTING, "a build argument has no name before its '=' (PLUGIN_BUILD_ARGS)"));
    for (size_t i = 0; i < s->build_args_from_env.n; i++) {
        const char *name = s->build_args_from_env.items[i];
        if (strchr(name, '='))
            reading_mistake(
                r,
                err_new(ERR_SETTING, "PLUGIN_BUILD_ARGS_FROM_ENV has an entry with '=', but must be a list of names"));
        else
            strs_add(&s->build_args, name);
    }
}

static void check_labels(struct reading *r)
{
    const struct strs *labels = &r->s->labels;

    for (size_t i = 0; i < labels->n; i++) {
        const char *eq = strchr(labels->items[i], '=');
        if (eq && eq > labels->items[i])
            continue;
        reading_mistake(r,
                        err_hint(err_new(ERR_SETTING, "PLUGIN_CUSTOM_LABELS has '%.200s', but must be NAME=VALUE,...",
                                         labels->items[i]),
                                 "A comma ends a label; values cannot have one."));
    }
}

/* "NAME:ADDRESS", "NAME=ADDRESS", an IPv6 address perhaps in brackets; into a line of /etc/hosts. */
static char *host_line(const char *entry)
{
    AUTO_FREE char *name = xstrndup(entry, strcspn(entry, ":="));
    const char *address = entry + strlen(name) + 1;
    AUTO_FREE char *bare = NULL;
    unsigned char bytes[16];

    if (!*name || !entry[strlen(name)] || strspn(name, HOST_CHARS) != strlen(name))
        return NULL;
    size_t n = strlen(address);
    bool brackets = n > 2 && address[0] == '[' && address[n - 1] == ']';
    bare = brackets ? xstrndup(address + 1, n - 2) : xstrdup(address);
    if (inet_pton(AF_INET, bare, bytes) != 1 && inet_pton(AF_INET6, bare, bytes) != 1)
        return NULL;
    return xasprintf("%s\t%s", bare, name);
}

static void check_add_hosts(struct reading *r)
{
    struct strs *list = &r->s->add_hosts;

    for (size_t i = 0; i < list->n; i++) {
        char *line = host_line(list->items[i]);

        if (!line) {
            reading_mistake(r,
                            err_hint(err_new(ERR_SETTING, "PLUGIN_ADD_HOST has '%.200s', but must be NAME:ADDRESS,...",
                                             list->items[i]),
                                     "The address is one of IPv4 or IPv6; host-gateway has no meaning in a pod."));
            continue;
        }
        free(list->items[i]);
        list->items[i] = line;
    }
}

static void check_single(struct reading *r)
{
    struct settings *s = r->s;

    s->single_snapshot = s->single_snapshot || s->squash;
    if (s->single_snapshot && s->enable_cache)
        note(r, xstrdup("PLUGIN_ENABLE_CACHE is not used: with PLUGIN_SINGLE_SNAPSHOT no step has a layer of its own"));
}

static void check_allow(struct reading *r)
{
    const struct strs *list = &r->s->allow;

    for (size_t i = 0; i < list->n; i++)
        if (strcmp(list->items[i], "network.host") != 0)
            reading_mistake(
                r, err_hint(err_new(ERR_SETTING, "PLUGIN_ALLOW has '%.100s', which cannot be granted", list->items[i]),
                            "Only network.host can: a build in a pod has no privileges and no devices."));
}

static bool text_is(const char *text, const char *word)
{
    return text && strcmp(text, word) == 0;
}

static void check_format(struct reading *r)
{
    struct settings *s = r->s;
    bool zstd = text_is(s->compression, "zstd");

    if (zstd && text_is(s->image_format, "docker"))
        reading_mistake(r, err_new(ERR_SETTING,
                                   "PLUGIN_COMPRESSION is zstd, but an image in docker format (PLUGIN_IMAGE_FORMAT) "
                                   "has gzip layers only"));
    if (text_is(s->compression, "none") && s->compression_level > 0)
        reading_mistake(r, err_new(ERR_SETTING, "PLUGIN_COMPRESSION_LEVEL is %lld, but PLUGIN_COMPRESSION is none",
                                   (long long)s->compression_level));
    else if (!zstd && s->compression_level > 12)
        reading_mistake(r, err_new(ERR_SETTING, "PLUGIN_COMPRESSION_LEVEL is %lld, but gzip has levels from 1 to 12",
                                   (long long)s->compression_level));
    if (s->compression_level < 0)
        s->compression_level = 0;
    if (!s->image_format)
        s->image_format = xstrdup(zstd ? "oci" : "");
}

static void check_push_only(struct reading *r)
{
    const struct settings *s = r->s;

    if (s->source_tar_path && !s->push_only)
        strs_add(&r->s->notes, "PLUGIN_SOURCE_TAR_PATH is not used: PLUGIN_PUSH_ONLY is not true");
    if (!s->push_only)
        return;
    if (s->tar_path)
        strs_add(&r->s->notes, "PLUGIN_TAR_PATH is not used: PLUGIN_PUSH_ONLY makes no image");
    if (s->oci_layout_path)
        strs_add(&r->s->notes, "PLUGIN_OCI_LAYOUT_PATH is not used: PLUGIN_PUSH_ONLY makes no image");
    if (!s->source_tar_path)
        reading_mistake(r, err_new(ERR_SETTING, "PLUGIN_PUSH_ONLY needs PLUGIN_SOURCE_TAR_PATH: the archive to push"));
    if (s->no_push)
        reading_mistake(
            r, err_new(ERR_SETTING, "PLUGIN_PUSH_ONLY and PLUGIN_NO_PUSH are both true: nothing would be done"));
    if (!s->repo)
        reading_mistake(r, err_new(ERR_SETTING, "PLUGIN_PUSH_ONLY needs PLUGIN_REPO: where to push"));
}

static void check_effects(struct reading *r)
{
    for (size_t i = 0; i < settings_table_len; i++) {
        const struct setting *row = &settings_table[i];
        if (row->effect == SETTING_REFUSED && reading_asks(r, row))
            reading_mistake(r, err_new(ERR_SETTING, "%s cannot be used: %s", r->origins[i], row->why));
    }
}

void settings_check(struct reading *r)
{
    settings_check_context(r);
    check_build_args(r);
    check_labels(r);
    settings_check_platforms(r);
    check_allow(r);
    check_add_hosts(r);
    check_single(r);
    check_format(r);
    check_push_only(r);
    check_effects(r);
    if (text_is(r->s->verbosity, "warning"))
        memcpy(r->s->verbosity, "warn", 5);
}
