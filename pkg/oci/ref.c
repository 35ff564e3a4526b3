#include "oci/ref.h"

#include "base/mem.h"

#include <string.h>

#define DEFAULT_DOMAIN  "docker.io"
#define LEGACY_DOMAIN   "index.docker.io"
#define OFFICIAL_PREFIX "library/"
#define MAX_PATH        255
#define MAX_TAG         128

#define LOWER  "abcdefghijklmnopqrstuvwxyz"
#define UPPER  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"
#define HEX    DIGITS "abcdefABCDEF"

/* One component of a path: [a-z0-9]+ ( "." | "_" | "__" | "-"+ [a-z0-9]+ )* */
static bool component_valid(const char *s, size_t len)
{
    const char *end = s + len;

    for (;;) {
        size_t n = strspn(s, LOWER DIGITS);
        if (n == 0 || s + n > end)
            return false;
        s += n;
        if (s == end)
            return true;
        size_t dashes = strspn(s, "-");
        if (dashes > 0)
            s += dashes;
        else if (*s == '.')
            s++;
        else if (*s == '_')
            s += s[1] == '_' ? 2 : 1;
        else
            return false;
    }
}

static bool path_valid(const char *s)
{
    for (;;) {
        size_t n = strcspn(s, "/");
        if (!component_valid(s, n))
            return false;
        if (s[n] == '\0')
            return true;
        s += n + 1;
    }
}

/* "[2001:db8::1]": only the characters are looked at. Returns the length, 0 if it is none. */
static size_t ipv6_len(const char *s)
{
    size_t n = *s == '[' ? strspn(s + 1, HEX ":") : 0;

    return n > 0 && s[1 + n] == ']' ? n + 2 : 0;
}

/* "my-host.example": labels of letters, digits and inner dashes. */
static size_t host_len(const char *s)
{
    size_t len = strspn(s, LOWER UPPER DIGITS "-.");

    for (size_t at = 0; at <= len;) {
        size_t n = at + strcspn(s + at, ".") < len ? strcspn(s + at, ".") : len - at;
        if (n == 0 || s[at] == '-' || s[at + n - 1] == '-')
            return 0;
        at += n + 1;
    }
    return len;
}

static bool domain_valid(const char *s)
{
    size_t n = *s == '[' ? ipv6_len(s) : host_len(s);

    if (n == 0)
        return false;
    s += n;
    if (*s == '\0')
        return true;
    return *s == ':' && s[1] != '\0' && s[1 + strspn(s + 1, DIGITS)] == '\0';
}

bool ref_tag_valid(const char *tag)
{
    size_t n = strspn(tag, LOWER UPPER DIGITS "_.-");

    return n > 0 && n <= MAX_TAG && tag[n] == '\0' && *tag != '.' && *tag != '-';
}

static bool has_upper(const char *s, size_t len)
{
    return strcspn(s, UPPER) < len;
}

/* Where the registry's name ends: does what stands before the first slash name a host? */
static bool names_host(const char *s, size_t len)
{
    return (len == 9 && strncmp(s, "localhost", 9) == 0) || strcspn(s, ".:") < len || has_upper(s, len);
}

static void split_domain(const char *text, char **ret_domain, char **ret_rest)
{
    size_t len = strcspn(text, "/");

    if (text[len] == '\0' || !names_host(text, len)) {
        *ret_domain = xstrdup(DEFAULT_DOMAIN);
        *ret_rest = xasprintf("%s%s", text[len] == '\0' ? OFFICIAL_PREFIX : "", text);
        return;
    }
    *ret_domain = xstrndup(text, len);
    *ret_rest = xstrdup(text + len + 1);
    if (strcmp(*ret_domain, LEGACY_DOMAIN) == 0) {
        free(*ret_domain);
        *ret_domain = xstrdup(DEFAULT_DOMAIN);
    }
    if (strcmp(*ret_domain, DEFAULT_DOMAIN) == 0 && !strchr(*ret_rest, '/')) {
        char *rest = xasprintf(OFFICIAL_PREFIX "%s", *ret_rest);
        free(*ret_rest);
        *ret_rest = rest;
    }
}

/* Only SHA-256: the registry client cannot verify anything else. */
static const char *digest_problem(const char *digest)
{
    if (strncmp(digest, "sha256:", 7) != 0)
        return "the digest's algorithm must be sha256";
    if (strspn(digest + 7, DIGITS "abcdef") != 64 || digest[7 + 64] != '\0')
        return "a sha256 digest has 64 hexadecimal digits in lower case";
    return NULL;
}

/* Cuts ":tag" and "@digest" off rest and checks every part; NULL if all is well. */
static const char *parts_problem(struct ref *r, char *rest)
{
    char *at = strchr(rest, '@');

    if (at) {
        *at = '\0';
        r->digest = xstrdup(at + 1);
    }
    char *colon = strchr(rest, ':');
    if (colon) {
        *colon = '\0';
        r->tag = xstrdup(colon + 1);
    }
    r->path = xstrdup(rest);
    if (has_upper(rest, strlen(rest)))
        return "the repository's name must be in lower case";
    if (!domain_valid(r->domain))
        return "the registry's name is no host[:port]";
    if (!path_valid(r->path))
        return "the repository's name may have lower case letters and digits with single separators . _ __ - between "
               "them, in parts split by '/'";
    if (strlen(r->path) > MAX_PATH)
        return "the repository's name is longer than 255 characters";
    if (r->tag && !ref_tag_valid(r->tag))
        return "a tag has 1 to 128 letters, digits or . _ - and starts with none of . -";
    return r->digest ? digest_problem(r->digest) : NULL;
}

static const char *ref_problem(const char *text, struct ref *r)
{
    AUTO_FREE char *rest = NULL;

    if (*text == '\0')
        return "it is empty";
    if (strlen(text) == 64 && strspn(text, DIGITS "abcdef") == 64)
        return "64 hexadecimal digits could be an image's id";
    split_domain(text, &r->domain, &rest);
    return parts_problem(r, rest);
}

struct err *ref_parse(const char *text, struct ref *ret_ref)
{
    struct ref r = { 0 };
    const char *why = ref_problem(text, &r);

    if (why) {
        ref_release(&r);
        return err_new(ERR_DOCKERFILE, "'%.300s' is not a valid image reference: %s", text, why);
    }
    *ret_ref = r;
    return NULL;
}

void ref_default_tag(struct ref *r)
{
    if (!r->tag && !r->digest)
        r->tag = xstrdup("latest");
}

static char *join(const char *prefix, const char *path, const struct ref *r)
{
    return xasprintf("%s%s%s%s%s%s", prefix, path, r->tag ? ":" : "", r->tag ? r->tag : "", r->digest ? "@" : "",
                     r->digest ? r->digest : "");
}

char *ref_string(const struct ref *r)
{
    AUTO_FREE char *prefix = xasprintf("%s/", r->domain);

    return join(prefix, r->path, r);
}

char *ref_familiar(const struct ref *r)
{
    const char *path = r->path;

    if (strcmp(r->domain, DEFAULT_DOMAIN) != 0)
        return ref_string(r);
    if (strncmp(path, OFFICIAL_PREFIX, strlen(OFFICIAL_PREFIX)) == 0 && !strchr(path + strlen(OFFICIAL_PREFIX), '/'))
        path += strlen(OFFICIAL_PREFIX);
    return join("", path, r);
}

static char *copy_text(const char *s)
{
    return s ? xstrdup(s) : NULL;
}

void ref_copy(struct ref *dst, const struct ref *src)
{
    struct ref r = { copy_text(src->domain), copy_text(src->path), copy_text(src->tag), copy_text(src->digest) };

    ref_release(dst);
    *dst = r;
}

void ref_release(struct ref *r)
{
    free(r->domain);
    free(r->path);
    free(r->tag);
    free(r->digest);
    memset(r, 0, sizeof(*r));
}
