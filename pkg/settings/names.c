/* Repository, registry and tags: what the image is called and where it goes. */
#include "base/limits.h"
#include "oci/ref.h"
#include "settings/settings_priv.h"
#include "settings/tags.h"
#include "settings/values.h"
#include "sys/file.h"

#include <string.h>
#include <strings.h>

static const char *skip_scheme(const char *s)
{
    const char *sep = strstr(s, "://");

    return sep ? sep + 3 : s;
}

/* The length of the host that a repository starts with, 0 if it names none. */
static size_t host_len(const char *repo)
{
    size_t n = strcspn(repo, "/");

    if (repo[n] == '\0')
        return 0;
    return strcspn(repo, ".:") < n || (n == 9 && strncmp(repo, "localhost", 9) == 0) ? n : 0;
}

/* PLUGIN_REGISTRY may be written as a URL, or with a path that belongs in front of the repository. */
static char *registry_prefix(const char *registry)
{
    const char *s = skip_scheme(registry);
    size_t n = strlen(s);

    while (n > 0 && s[n - 1] == '/')
        n--;
    return xstrndup(s, n);
}

static void set_text(char **to, char *text)
{
    free(*to);
    *to = text;
}

/* Puts the registry in front of a repository that names none. NULL if there is none to put. */
char *settings_qualified(const char *repo, const char *registry)
{
    if (host_len(repo) > 0)
        return xstrdup(repo);
    if (!registry)
        return NULL;
    AUTO_FREE char *prefix = registry_prefix(registry);
    return xasprintf("%s/%s", prefix, repo);
}

static struct err *check_repo_text(const char *name, const char *repo)
{
    __attribute__((cleanup(ref_release_auto))) struct ref ref = { 0 };

    if (strstr(repo, "://"))
        return err_new(ERR_SETTING, "%s is '%.200s', but must be HOST/NAME without a scheme", name, repo);
    TRY(err_set_kind(err_wrap(ref_parse(repo, &ref), "%s is wrong", name), ERR_SETTING));
    if (ref.tag || ref.digest)
        return err_hint(err_new(ERR_SETTING, "%s is '%.200s', but must have neither tag nor digest", name, repo),
                        "Tags belong into PLUGIN_TAGS.");
    return NULL;
}

static bool has_credentials(const struct settings *s)
{
    return s->username || secret_reveal(&s->password) || secret_reveal(&s->client_secret);
}

/* Where the credentials are for and where the image goes should be one. */
static void check_registry(struct reading *r)
{
    struct settings *s = r->s;
    size_t n = host_len(s->repo);

    if (n == 0)
        return;
    AUTO_FREE char *host = xstrndup(s->repo, n);
    if (s->registry && strcasecmp(s->registry, host) != 0) {
        if (has_credentials(s))
            reading_mistake(
                r, err_new(ERR_SETTING,
                           "PLUGIN_REPO is at '%s', but PLUGIN_REGISTRY, which the credentials are for, is '%s'", host,
                           s->registry));
        else
            strs_take(&s->notes,
                      xasprintf("PLUGIN_REGISTRY '%s' is not used: PLUGIN_REPO is at '%s'", s->registry, host));
    }
    set_text(&s->registry, steal(&host));
}

static void check_repo(struct reading *r)
{
    struct settings *s = r->s;
    AUTO_FREE char *registry = steal(&s->registry); /* as given */

    if (registry) {
        const char *host = skip_scheme(registry);
        s->registry = xstrndup(host, strcspn(host, "/"));
    }
    if (!s->repo)
        return;
    char *repo = settings_qualified(s->repo, registry);
    if (repo)
        set_text(&s->repo, repo);
    else if (!s->no_push)
        reading_mistake(r, err_hint(err_new(ERR_SETTING, "PLUGIN_REPO is '%.200s', which names no registry", s->repo),
                                    "Set PLUGIN_REGISTRY, or write HOST/NAME."));
    struct err *e = check_repo_text("PLUGIN_REPO", s->repo);
    if (e)
        reading_mistake(r, e);
    else
        check_registry(r);
}

static void check_destination(struct reading *r)
{
    struct settings *s = r->s;

    if (s->repo || s->no_push || s->push_only)
        return;
    if (!s->tar_path && !s->oci_layout_path) {
        reading_mistake(
            r, err_hint(err_new(ERR_SETTING, "PLUGIN_REPO is not set: nothing says where the image goes"),
                        "Set PLUGIN_REPO, PLUGIN_TAR_PATH or PLUGIN_OCI_LAYOUT_PATH, or PLUGIN_NO_PUSH=true to "
                        "build only."));
        return;
    }
    s->no_push = true;
    strs_add(&s->notes, "PLUGIN_REPO is not set: nothing is pushed");
}

/* Tags from the working directory's file .tags, where a step before this one may leave them. */
static struct err *read_tags_file(struct strs *tags)
{
    struct stat st;
    struct buf b = BUF_INIT;

    if (stat(".tags", &st) != 0 || !S_ISREG(st.st_mode))
        return NULL;
    struct err *e = file_read(".tags", LIMIT_SETTING_FILE_BYTES, &b);
    if (!e)
        value_list(buf_str(&b), ",\n", tags);
    buf_release(&b);
    return err_set_kind(err_wrap(e, "PLUGIN_TAGS is not set and its file cannot be read"), ERR_SETTING);
}

static struct err *no_automatic_tag(struct settings *s, struct err *why)
{
    AUTO_FREE char *text = xasprintf("the commit '%.200s' gets no automatic tag", s->commit_ref ? s->commit_ref : "");

    if (strcmp(s->auto_tag_skip, "ok") != 0) {
        struct err *e = why ? err_wrap(why, "PLUGIN_AUTO_TAG is true, but %s", text)
                            : err_new(ERR_SETTING, "PLUGIN_AUTO_TAG is true, but %s", text);
        return err_hint(e, "PLUGIN_AUTO_TAG_SKIP=ok ends the step with success then.");
    }
    err_free(why);
    s->skip_build = steal(&text);
    return NULL;
}

static struct err *automatic_tags(struct settings *s, bool user_tags)
{
    const char *ref = s->commit_ref ? s->commit_ref : "", *branch = s->default_branch ? s->default_branch : "";

    if (user_tags)
        return err_new(
            ERR_SETTING,
            "PLUGIN_AUTO_TAG does not work with tags that are given (PLUGIN_TAGS or the file .tags): '%.100s'",
            s->tags.items[0]);
    if (!tags_auto_applies(ref, branch))
        return no_automatic_tag(s, NULL);
    struct err *e = tags_auto(ref, s->auto_tag_suffix, &s->tags);
    return e ? no_automatic_tag(s, e) : NULL;
}

static void expand_tags(struct settings *s)
{
    struct strs all = { 0 };

    for (size_t i = 0; i < s->tags.n; i++)
        tags_expand(s->tags.items[i], &all);
    strs_release(&s->tags);
    s->tags = all;
}

static void drop_duplicates(struct strs *list)
{
    struct strs once = { 0 };

    for (size_t i = 0; i < list->n; i++)
        if (!strs_has(&once, list->items[i]))
            strs_add(&once, list->items[i]);
    strs_release(list);
    *list = once;
}

static void check_tag_texts(struct reading *r)
{
    struct settings *s = r->s;

    for (size_t i = 0; i < s->tags.n; i++) {
        if (ref_tag_valid(s->tags.items[i]))
            continue;
        reading_mistake(
            r, err_new(ERR_SETTING,
                       "%s gives the tag '%.200s', but a tag has 1 to 128 letters, digits or . _ - and starts with "
                       "none of . -",
                       s->auto_tag ? "PLUGIN_AUTO_TAG" : "PLUGIN_TAGS", s->tags.items[i]));
    }
}

static void check_tags(struct reading *r)
{
    struct settings *s = r->s;

    if (s->tags.n == 0)
        reading_mistake(r, read_tags_file(&s->tags));
    bool user_tags = s->tags.n > 0;
    if (s->auto_tag && s->expand_tag)
        reading_mistake(
            r, err_new(ERR_SETTING, "PLUGIN_AUTO_TAG and PLUGIN_EXPAND_TAG are both true: only one can make tags"));
    if (s->auto_tag)
        reading_mistake(r, automatic_tags(s, user_tags));
    else if (s->expand_tag)
        expand_tags(s);
    if (s->tags.n == 0)
        strs_add(&s->tags, "latest");
    drop_duplicates(&s->tags);
    check_tag_texts(r);
}

void settings_check_names(struct reading *r)
{
    check_repo(r);
    check_destination(r);
    settings_check_cache(r);
    check_tags(r);
}
