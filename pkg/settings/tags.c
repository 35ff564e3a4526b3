#include "settings/tags.h"

#include "settings/values.h"

#include <ctype.h>
#include <string.h>

#define TAG_REF  "refs/tags/"
#define HEAD_REF "refs/heads/"

static bool has_prefix(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

/* Digits without a leading zero. Returns their number, 0 if there is no such number. */
static size_t number_len(const char *s)
{
    size_t n = strspn(s, "0123456789");

    return n > 1 && *s == '0' ? 0 : n;
}

/* Dot-separated identifiers of letters, digits and dashes. Numbers have no leading zero where strict. */
static size_t identifiers_len(const char *s, bool strict)
{
    const char *start = s;

    for (;;) {
        size_t n = 0;
        while (isalnum((unsigned char)s[n]) || s[n] == '-')
            n++;
        if (n == 0)
            return 0;
        if (strict && n > 1 && *s == '0' && strspn(s, "0123456789") == n)
            return 0;
        s += n;
        if (*s != '.')
            return (size_t)(s - start);
        s++;
    }
}

/* A semantic version, minor and patch may be missing (then without what follows the patch). */
struct version {
    int len[3]; /* of the numbers at major, minor, patch; NULL = missing */
    const char *number[3];
    const char *pre, *build; /* with their '-' and '+', "" = none */
    int pre_len;
};

static bool parse_version(const char *s, struct version *v)
{
    memset(v, 0, sizeof(*v));
    v->pre = v->build = "";
    for (int i = 0; i < 3; i++) {
        size_t n = number_len(s);
        if (n == 0 || n > 100)
            return false;
        v->number[i] = s;
        v->len[i] = (int)n;
        s += n;
        if (*s == '\0')
            return true;
        if (i < 2 && *s++ != '.')
            return false;
    }
    if (*s == '-') {
        size_t n = identifiers_len(s + 1, true);
        if (n == 0)
            return false;
        v->pre = s;
        v->pre_len = (int)n + 1;
        s += n + 1;
    }
    if (*s == '+') {
        size_t n = identifiers_len(s + 1, false);
        if (n == 0)
            return false;
        v->build = s;
        s += n + 1;
    }
    return *s == '\0';
}

void tags_expand(const char *tag, struct strs *tags)
{
    AUTO_FREE char *text = xstrdup(tag);
    struct version v;

    for (char *s = text; *s; s++)
        if (*s == '_') /* versions have none */
            *s = '-';
    if (!parse_version(*text == 'v' ? text + 1 : text, &v)) {
        strs_add(tags, tag);
        return;
    }
    if (*v.pre) { /* only the full release gets the short tags */
        strs_add(tags, *text == 'v' ? text + 1 : text);
        return;
    }
    for (int i = 1; i < 3; i++) {
        if (!v.number[i]) {
            v.number[i] = "0";
            v.len[i] = 1;
        }
    }
    strs_take(tags, xasprintf("%.*s%s", v.len[0], v.number[0], v.build));
    strs_take(tags, xasprintf("%.*s.%.*s%s", v.len[0], v.number[0], v.len[1], v.number[1], v.build));
    strs_take(tags, xasprintf("%.*s.%.*s.%.*s%s", v.len[0], v.number[0], v.len[1], v.number[1], v.len[2], v.number[2],
                              v.build));
}

/* The three numbers of an automatic tag may have leading zeros; a sign cannot be (it would be a pre-release). */
struct numbers {
    char *part[3]; /* as written */
    int64_t value[3];
};

static void numbers_release(struct numbers *n)
{
    for (int i = 0; i < 3; i++)
        free(n->part[i]);
}

static const char *parse_numbers(const char *text, struct numbers *n)
{
    const char *s = text;

    for (int i = 0; i < 3; i++) {
        size_t len = i < 2 ? strcspn(s, ".") : strlen(s);
        if (i < 2 && s[len] == '\0')
            return "it has not three numbers";
        n->part[i] = xstrndup(s, len);
        const char *digits = n->part[i] + strspn(n->part[i], "0");
        if (len == 0 || strspn(n->part[i], "0123456789") != len || strlen(digits) > 18)
            return "its parts are not all numbers";
        n->value[i] = strtoll(n->part[i], NULL, 10);
        s += len + 1;
    }
    return NULL;
}

static const char *version_tags(const char *version, struct strs *tags)
{
    AUTO_FREE char *text = xstrdup(version);
    struct numbers n = { .part = { NULL } };
    char *build = strchr(text, '+');

    if (build)
        *build++ = '\0';
    char *pre = strchr(text, '-');
    if (pre)
        *pre++ = '\0';
    const char *why = parse_numbers(text, &n);
    const char *allowed = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-";
    if (!why && ((pre && pre[strspn(pre, allowed)]) || (build && build[strspn(build, allowed)])))
        why = "what follows the numbers has other characters than letters, digits, '.' and '-'";
    if (!why && ((pre && *pre) || (build && *build))) {
        strs_take(tags, xasprintf("%lld.%lld.%lld%s%s%s%s", (long long)n.value[0], (long long)n.value[1],
                                  (long long)n.value[2], pre && *pre ? "-" : "", pre ? pre : "",
                                  build && *build ? "+" : "", build ? build : ""));
    } else if (!why) {
        if (n.value[0] != 0)
            strs_add(tags, n.part[0]);
        strs_take(tags, xasprintf("%s.%s", n.part[0], n.part[1]));
        strs_take(tags, xasprintf("%s.%s.%s", n.part[0], n.part[1], n.part[2]));
    }
    numbers_release(&n);
    return why;
}

struct err *tags_auto(const char *ref, const char *suffix, struct strs *tags)
{
    __attribute__((cleanup(strs_release_auto))) struct strs plain = { 0 };

    if (has_prefix(ref, TAG_REF)) {
        const char *version = ref + strlen(TAG_REF);
        const char *why = version_tags(*version == 'v' ? version + 1 : version, &plain);
        if (why)
            return err_new(ERR_SETTING, "the commit '%.200s' is no semantic version: %s", ref, why);
    } else {
        strs_add(&plain, "latest");
    }
    for (size_t i = 0; i < plain.n; i++) {
        if (!suffix || !*suffix)
            strs_add(tags, plain.items[i]);
        else if (strcmp(plain.items[i], "latest") == 0)
            strs_add(tags, suffix);
        else
            strs_take(tags, xasprintf("%s-%s", plain.items[i], suffix));
    }
    return NULL;
}

bool tags_auto_applies(const char *ref, const char *default_branch)
{
    if (has_prefix(ref, TAG_REF))
        return true;
    return strcmp(has_prefix(ref, HEAD_REF) ? ref + strlen(HEAD_REF) : ref, default_branch) == 0;
}
