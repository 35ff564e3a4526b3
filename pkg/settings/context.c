/* context.c - where the build context is: a directory, an archive, or something elsewhere; in the forms of kaniko and
 * of docker build. */
#include "address/address.h"
#include "address/git_address.h"
#include "settings/settings_priv.h"
#include "sys/path.h"

#include <string.h>
#include <sys/stat.h>

#define HOW                                                                                                            \
    "PLUGIN_CONTEXT is a directory, a git repository, the http or https URL of an archive or a Dockerfile, or tar:// " \
    "with the path of an archive."

/* The text behind the prefix, NULL if it has another one. */
static const char *after(const char *text, const char *prefix)
{
    size_t n = strlen(prefix);

    return strncmp(text, prefix, n) == 0 ? text + n : NULL;
}

static bool is_dir(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* kaniko's git://host/path#ref[#commit] is fetched by https, or by what GIT_PULL_METHOD says; the second '#' pins the
 * commit. */
static char *kaniko_git(const struct reading *r, const char *rest)
{
    const char *method = reading_env(r, "GIT_PULL_METHOD");
    const char *fragment = strchr(rest, '#'), *pin = fragment ? strchr(fragment + 1, '#') : NULL;
    const char *scheme = method && strcmp(method, "http") == 0 ? "http" : "https";
    AUTO_FREE char *place = xstrndup(rest, strcspn(rest, "?#"));
    size_t n = strlen(place);
    const char *suffix = n > 4 && strcmp(place + n - 4, ".git") == 0 ? "" : ".git";
    const char *tail = rest + n;

    if (!pin)
        return xasprintf("%s://%s%s%s", scheme, place, suffix, tail);
    return xasprintf("%s://%s%s?checksum=%s%.*s", scheme, place, suffix, pin + 1, (int)(pin - fragment), fragment);
}

static struct err *check_url(struct settings *s, const char *url)
{
    AUTO(git_address_release) struct git_address git = { 0 };
    bool is_git = false;

    TRY(err_set_kind(err_wrap(git_address_parse(url, &git, &is_git), "PLUGIN_CONTEXT cannot be used"), ERR_SETTING));
    if (is_git || after(url, "http://") || after(url, "https://")) {
        s->context_url = xstrdup(url);
        return NULL;
    }
    AUTO_FREE char *shown = address_redact(url);
    return err_hint(err_new(ERR_SETTING, "PLUGIN_CONTEXT is '%.200s', which cannot be fetched", shown), HOW);
}

static struct err *check_sub_path(const char *sub)
{
    AUTO_FREE char *clean = sub ? path_clean(sub) : NULL;

    if (!clean || strncmp(clean, "..", 2) != 0 || (clean[2] && clean[2] != '/'))
        return NULL;
    return err_new(ERR_SETTING, "PLUGIN_CONTEXT_SUB_PATH is '%.200s', but must stay inside the context", sub);
}

/* A directory that is here is meant before anything elsewhere, as docker build has it. */
static struct err *check(const struct reading *r, struct settings *s)
{
    const char *text = s->context, *dir = after(text, "dir://"), *tar = after(text, "tar://"),
               *git = after(text, "git://");
    AUTO(git_address_release) struct git_address ignored = { 0 };
    bool is_git = false;

    TRY(check_sub_path(s->context_sub_path));
    if (tar && *tar) {
        s->context_archive = xstrdup(tar);
        return NULL;
    }
    if (git) {
        AUTO_FREE char *url = kaniko_git(r, git);

        return check_url(s, url);
    }
    if (!dir && !is_dir(text)) {
        err_free(git_address_parse(text, &ignored, &is_git));
        if (is_git || strstr(text, "://"))
            return check_url(s, text);
    }
    dir = dir ? dir : text;
    char *joined = path_join(*dir ? dir : ".", s->context_sub_path ? s->context_sub_path : "");
    free(s->context);
    s->context = joined;
    return NULL;
}

void settings_check_context(struct reading *r)
{
    reading_mistake(r, check(r, r->s));
}
