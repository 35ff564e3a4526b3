#include "address/address.h"

#include "address/git_address.h"
#include "base/buf.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

void address_release(struct address *a)
{
    if (a->password)
        explicit_bzero(a->password, strlen(a->password));
    free(a->scheme);
    free(a->user);
    free(a->password);
    free(a->host);
    free(a->path);
    free(a->query);
    free(a->fragment);
    *a = (struct address){ 0 };
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

char *address_decode(const char *s, bool plus)
{
    AUTO(buf_release) struct buf out = BUF_INIT;

    for (; *s; s++) {
        if (*s != '%') {
            buf_putc(&out, plus && *s == '+' ? ' ' : *s);
            continue;
        }
        int high = hex_value(s[1]), low = high < 0 ? -1 : hex_value(s[2]);

        if (low < 0 || high * 16 + low == 0)
            return NULL;
        buf_putc(&out, (char)(high * 16 + low));
        s += 2;
    }
    return buf_steal(&out);
}

static bool is_scheme(const char *s, size_t n)
{
    if (n == 0 || !isalpha((unsigned char)s[0]))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)s[i]) && !strchr("+-.", s[i]))
            return false;
    return true;
}

static char *lower_copy(const char *s, size_t n)
{
    char *copy = xstrndup(s, n);

    for (char *p = copy; *p; p++)
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p - 'A' + 'a');
    return copy;
}

static bool is_host(const char *host)
{
    const char *end = *host == '[' ? strchr(host, ']') : host + strcspn(host, ":");

    if (!end || end == host)
        return false;
    if (*host == '[')
        end++;
    if (*end && (*end != ':' || strspn(end + 1, "0123456789") != strlen(end + 1)))
        return false;
    for (const char *p = host; *p; p++)
        if ((unsigned char)*p <= ' ' || *p == 0x7f || strchr("\"<>\\^`{|}%", *p))
            return false;
    return true;
}

/* user[:password] before the last '@' of the authority. */
static bool split_user(const char *s, size_t n, struct address *a)
{
    AUTO_FREE char *text = xstrndup(s, n);
    char *colon = strchr(text, ':');

    if (colon)
        *colon = '\0';
    a->user = address_decode(text, false);
    a->password = colon ? address_decode(colon + 1, false) : NULL;
    explicit_bzero(text, n);
    return a->user && (!colon || a->password);
}

static bool split(const char *text, struct address *a)
{
    const char *colon = strchr(text, ':');

    if (!colon || strncmp(colon, "://", 3) != 0 || !is_scheme(text, (size_t)(colon - text)))
        return false;
    for (const char *p = text; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            return false;
    const char *authority = colon + 3, *path = authority + strcspn(authority, "/?#");
    const char *at = memrchr(authority, '@', (size_t)(path - authority));
    const char *host = at ? at + 1 : authority, *end = path + strcspn(path, "?#");

    a->scheme = lower_copy(text, (size_t)(colon - text));
    a->host = xstrndup(host, (size_t)(path - host));
    a->path = xstrndup(path, (size_t)(end - path));
    if (*end == '?') {
        const char *query = end + 1;

        end = query + strcspn(query, "#");
        a->query = xstrndup(query, (size_t)(end - query));
    }
    a->fragment = *end == '#' ? address_decode(end + 1, false) : NULL;
    AUTO_FREE char *decoded = address_decode(a->path, false);
    return is_host(a->host) && decoded && (*end != '#' || a->fragment) &&
           (!at || split_user(authority, (size_t)(at - authority), a));
}

bool address_split(const char *text, struct address *ret)
{
    struct address a = { 0 };

    if (!split(text, &a)) {
        address_release(&a);
        return false;
    }
    *ret = a;
    return true;
}

char *address_request(const struct address *a)
{
    return xasprintf("%s://%s%s%s%s", a->scheme, a->host, a->path, a->query ? "?" : "", a->query ? a->query : "");
}

char *address_file_name(const struct address *a)
{
    char *path = address_decode(a->path, false);
    size_t len = strlen(path);

    while (len > 0 && path[len - 1] == '/')
        path[--len] = '\0';
    char *slash = strrchr(path, '/'), *name = xstrdup(slash ? slash + 1 : path);
    free(path);
    return name;
}

/* The length of a URL in a text: to a blank, or to a quotation mark that closes. */
static size_t url_len(const char *s)
{
    size_t n = 0;

    for (;; n++) {
        n += strcspn(s + n, " \t\n\"'");
        if ((s[n] != '"' && s[n] != '\'') || strchr(" \t\n,:;.)]}", s[n + 1])) /* strchr also finds the end */
            return n;
    }
}

static size_t authority_len(const char *s)
{
    size_t n = strcspn(s, "/?#"), most = url_len(s);

    return n < most ? n : most;
}

/* The '@' behind the user info, NULL = there is none. A password that ought to be encoded may hold a '/': what stands
 * behind the colon is then no port. */
static const char *user_info_end(const char *authority)
{
    size_t n = authority_len(authority);
    const char *at = memrchr(authority, '@', n);
    const char *colon = memchr(authority, ':', n);

    if (at || !colon || *authority == '[')
        return at;
    bool port = colon[1] == '$' || colon + 1 + strspn(colon + 1, "0123456789") == authority + n;
    return port ? NULL : memrchr(authority, '@', url_len(authority));
}

static bool is_over_http(const char *text, const char *separator)
{
    size_t n = (size_t)(separator - text);

    return (n >= 4 && strncasecmp(separator - 4, "http", 4) == 0) ||
           (n >= 5 && strncasecmp(separator - 5, "https", 5) == 0);
}

/* Where the secret begins in the user info up to `at`: at the password, or at a user who is a token: he has no password
 * with http, or what GitHub takes for none. For ssh he is a mere name. NULL = nothing is secret. */
static const char *find_secret(const char *user, const char *at, bool over_http)
{
    static const char no_password[] = "x-oauth-basic";
    const char *colon = memchr(user, ':', (size_t)(at - user));

    if (!colon)
        return over_http && at > user ? user : NULL;
    size_t n = (size_t)(at - colon - 1);
    bool token = n == 0 || (n == strlen(no_password) && strncmp(colon + 1, no_password, n) == 0);
    return token && colon > user ? user : colon + 1;
}

/* Adds the URL that begins at s without what is secret in it; returns where it stopped. */
static const char *redact_one(struct buf *out, const char *s)
{
    const char *separator = strstr(s, "://");

    if (!separator) {
        buf_puts(out, s);
        return s + strlen(s);
    }
    const char *authority = separator + 3;
    const char *at = user_info_end(authority);
    const char *secret = at ? find_secret(authority, at, is_over_http(s, separator)) : NULL;
    const char *end = at ? at : authority;

    buf_add(out, s, (size_t)((secret ? secret : end) - s));
    if (secret)
        buf_puts(out, "xxxxx");
    size_t rest = authority_len(end);
    buf_add(out, end, rest);
    return end + rest;
}

char *address_redact(const char *text)
{
    struct buf out = BUF_INIT;

    while (*text)
        text = redact_one(&out, text);
    return buf_steal(&out);
}

char *address_host_name(const struct address *a)
{
    const char *end = *a->host == '[' ? strchr(a->host, ']') : NULL;

    if (end)
        return xstrndup(a->host + 1, (size_t)(end - a->host - 1));
    return xstrndup(a->host, strcspn(a->host, ":"));
}

struct err *address_kind_of(const char *source, enum address_kind *ret_kind)
{
    AUTO(git_address_release) struct git_address git = { 0 };
    bool is_git;

    TRY(git_address_parse(source, &git, &is_git));
    if (is_git && !git.ambiguous)
        *ret_kind = ADDRESS_GIT;
    else if (strncmp(source, "http://", 7) == 0 || strncmp(source, "https://", 8) == 0)
        *ret_kind = ADDRESS_HTTP;
    else
        *ret_kind = ADDRESS_PATH;
    return NULL;
}
