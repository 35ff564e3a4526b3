#include "http/http_priv.h"

#include <string.h>
#include <strings.h>

/* Frees what curl allocated and gives an own copy. */
static char *part(CURLU *u, CURLUPart what, unsigned flags)
{
    char *p = NULL;

    if (curl_url_get(u, what, &p, flags) != CURLUE_OK)
        return NULL;
    char *copy = xstrdup(p);
    curl_free(p);
    return copy;
}

static CURLU *parse(const char *url)
{
    CURLU *u = curl_url();

    if (u && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK)
        return u;
    curl_url_cleanup(u);
    return NULL;
}

static bool http_scheme(const char *scheme)
{
    return scheme && (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0);
}

static void lower(char *s)
{
    for (; *s; s++)
        if (*s >= 'A' && *s <= 'Z')
            *s = (char)(*s - 'A' + 'a');
}

char *url_origin(const char *url)
{
    CURLU *u = parse(url);

    if (!u)
        return NULL;
    AUTO_FREE char *scheme = part(u, CURLUPART_SCHEME, 0);
    AUTO_FREE char *host = part(u, CURLUPART_HOST, 0);
    AUTO_FREE char *port = part(u, CURLUPART_PORT, CURLU_DEFAULT_PORT);
    curl_url_cleanup(u);
    if (!http_scheme(scheme) || !host || !port)
        return NULL;
    lower(host);
    return xasprintf("%s://%s:%s", scheme, host, port);
}

bool url_same_origin(const char *a, const char *b)
{
    AUTO_FREE char *x = url_origin(a), *y = url_origin(b);

    return x && y && strcmp(x, y) == 0;
}

char *http_host(const char *url)
{
    CURLU *u = parse(url);

    if (!u)
        return xstrdup("");
    AUTO_FREE char *host = part(u, CURLUPART_HOST, 0);
    AUTO_FREE char *port = part(u, CURLUPART_PORT, CURLU_NO_DEFAULT_PORT);
    curl_url_cleanup(u);
    if (!host)
        return xstrdup("");
    lower(host);
    return port ? xasprintf("%s:%s", host, port) : xstrdup(host);
}

char *http_redact(const char *url)
{
    const char *scheme_end = strstr(url, "://");
    const char *start = scheme_end ? scheme_end + 3 : url;
    size_t authority = strcspn(start, "/?#");
    const char *at = memrchr(start, '@', authority);
    const char *host = at ? at + 1 : start;
    size_t len = strcspn(host, "?#");

    return xasprintf("%.*s%.*s", (int)(start - url), url, (int)len, host);
}

char *http_escape(const char *s)
{
    static const char hex[] = "0123456789ABCDEF";
    struct buf out = BUF_INIT;

    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;

        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("-._~", c)) {
            buf_putc(&out, *s);
        } else {
            buf_putc(&out, '%');
            buf_putc(&out, hex[c >> 4]);
            buf_putc(&out, hex[c & 15]);
        }
    }
    return buf_steal(&out);
}

static struct err *check_step(const char *base, const char *url)
{
    AUTO_FREE char *from = url_origin(base), *to = url_origin(url);

    if (!to)
        return err_new(ERR_REGISTRY, "the server sent us to something that is no http or https URL");
    if (from && strncmp(from, "https:", 6) == 0 && strncmp(to, "http:", 5) == 0)
        return err_new(ERR_REGISTRY, "the server sent us from https to plain http ('%s'), which is refused", to);
    return NULL;
}

struct err *http_resolve(const char *base, const char *location, char **ret_url)
{
    CURLU *u = parse(base);
    AUTO_FREE char *url = NULL;

    if (u && curl_url_set(u, CURLUPART_URL, location, 0) == CURLUE_OK) {
        (void)curl_url_set(u, CURLUPART_FRAGMENT, NULL, 0);
        url = part(u, CURLUPART_URL, 0);
    }
    curl_url_cleanup(u);
    AUTO_FREE char *where = http_redact(base);
    if (!url)
        return err_new(ERR_REGISTRY, "'%s' answered with a Location that is no URL", where);
    TRY(err_wrap(check_step(base, url), "cannot follow the answer of '%s'", where));
    *ret_url = steal(&url);
    return NULL;
}
