/* cache.c - where cached layers are read and written: kaniko's settings, and those of buildx, which name caches as
 * "type=registry,ref=NAME". */
#include "base/buf.h"
#include "oci/ref.h"
#include "settings/settings_priv.h"
#include "settings/values.h"

#include <string.h>

/* "HOST/NAME" of a repository that may have neither host nor tag; an error names the setting. */
static struct err *repository(const struct settings *s, const char *setting, const char *text, char **ret)
{
    AUTO_FREE char *full = settings_qualified(text, s->registry);
    AUTO(ref_release) struct ref ref = { 0 };

    if (!full)
        return err_hint(err_new(ERR_SETTING, "%s has '%.200s', which names no registry", setting, text),
                        "Set PLUGIN_REGISTRY, or write HOST/NAME.");
    if (strstr(full, "://"))
        return err_new(ERR_SETTING, "%s has '%.200s', but must be HOST/NAME without a scheme", setting, text);
    TRY(err_set_kind(err_wrap(ref_parse(full, &ref), "%s is wrong", setting), ERR_SETTING));
    *ret = xasprintf("%s/%s", ref.domain, ref.path);
    return NULL;
}

/* The length of NAME if text is "NAME=..." and NAME a plain word: an attribute, no reference. */
static size_t attribute_len(const char *text)
{
    size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyz.-");

    return text[n] == '=' ? n : 0;
}

static bool has_prefix(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* The repositories that a list names. Of caches of another kind one line tells. */
static void add_repositories(struct reading *r, const char *setting, const char *list, struct strs *ret)
{
    AUTO(strs_release) struct strs pieces = { 0 };
    bool other = false;

    value_list(list, ",", &pieces);
    for (size_t i = 0; i < pieces.n; i++) {
        const char *p = pieces.items[i];
        char *name = NULL;

        if (has_prefix(p, "type=")) {
            other = strcmp(p, "type=registry") != 0;
            if (other)
                strs_take(&r->s->notes,
                          xasprintf("%s has %.100s, which is not used: layers are kept in registries", setting, p));
            continue;
        }
        const char *text = has_prefix(p, "ref=") ? p + 4 : p;
        if (other || (text == p && attribute_len(p)))
            continue;
        struct err *e = repository(r->s, setting, text, &name);
        reading_mistake(r, e);
        if (!e)
            strs_take(ret, name);
    }
}

static void add_all(struct reading *r, const char *setting, const struct strs *lists, struct strs *ret)
{
    AUTO(buf_release) struct buf all = BUF_INIT;

    for (size_t i = 0; i < lists->n; i++) /* what a comma split belongs together */
        buf_printf(&all, "%s%s", i ? "," : "", lists->items[i]);
    add_repositories(r, setting, buf_str(&all), ret);
}

static void set_text(char **to, char *text)
{
    free(*to);
    *to = text;
}

/* Where entries are written: as asked for; without a word, beside the image. */
static void choose_repository(struct reading *r, bool asked)
{
    struct settings *s = r->s;
    AUTO(strs_release) struct strs to = { 0 };
    char *name = NULL;

    add_repositories(r, "PLUGIN_CACHE_TO", s->cache_to ? s->cache_to : "", &to);
    for (size_t i = 0; i < s->export_cache.n; i++)
        add_repositories(r, "PLUGIN_EXPORT_CACHE", s->export_cache.items[i], &to);
    if (s->cache_repo) {
        reading_mistake(r, repository(s, "PLUGIN_CACHE_REPO", s->cache_repo, &name));
        if (name)
            set_text(&s->cache_repo, name);
    } else if (to.n) {
        s->cache_repo = xstrdup(to.items[0]);
    } else if (asked && s->repo) {
        s->cache_repo = xasprintf("%s/cache", s->repo);
    }
}

static void choose_sources(struct reading *r)
{
    struct settings *s = r->s;
    AUTO(strs_release) struct strs all = { 0 };

    add_all(r, "PLUGIN_CACHE_FROM", &s->cache_from, &all);
    for (size_t i = 0; i < s->import_cache.n; i++)
        add_repositories(r, "PLUGIN_IMPORT_CACHE", s->import_cache.items[i], &all);
    strs_release(&s->cache_from);
    for (size_t i = 0; i < all.n; i++)
        if ((!s->cache_repo || strcmp(all.items[i], s->cache_repo) != 0) && !strs_has(&s->cache_from, all.items[i]))
            strs_add(&s->cache_from, all.items[i]);
}

void settings_check_cache(struct reading *r)
{
    struct settings *s = r->s;
    bool asked = s->enable_cache;

    if (s->cache_ttl_h == 0)
        s->cache_ttl_h = 336;
    if (!reading_origin(r, "PLUGIN_ENABLE_CACHE"))
        s->enable_cache = s->cache_from.n || s->import_cache.n || s->cache_to || s->export_cache.n;
    const bool mounts = s->cache_mounts && strcmp(s->cache_mounts, "registry") == 0;
    choose_repository(r, asked || mounts);
    choose_sources(r);
    if (mounts && !s->cache_repo)
        strs_add(&s->notes,
                 "PLUGIN_CACHE_MOUNTS=registry has no effect: neither PLUGIN_CACHE_REPO nor PLUGIN_REPO is set");
    if (!s->enable_cache && !mounts && s->cache_repo && !reading_origin(r, "PLUGIN_ENABLE_CACHE"))
        strs_add(&s->notes, "PLUGIN_CACHE_REPO is not used: PLUGIN_ENABLE_CACHE is not true");
    if (asked && !s->cache_repo && !s->cache_from.n)
        strs_add(&s->notes, "PLUGIN_ENABLE_CACHE has no effect: neither PLUGIN_CACHE_REPO nor PLUGIN_REPO is set");
    s->enable_cache = s->enable_cache && (s->cache_repo || s->cache_from.n);
}
