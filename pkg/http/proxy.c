/* proxy.c - which requests go through a proxy: what the environment says, also where curl reads it more narrowly than
 * other programs of a pod do. */
#include "http/http_priv.h"

#include <string.h>
#include <strings.h>

/* Where the port begins that an entry of NO_PROXY names, if it does: "HOST:443", "[::1]:443", but not "::1". */
static const char *port_in(const char *s, size_t n)
{
    const char *colon = memrchr(s, ':', n);

    if (!colon || colon == s || colon + 1 + strspn(colon + 1, "0123456789") < s + n)
        return NULL;
    return colon[-1] == ']' || !memchr(s, ':', (size_t)(colon - s)) ? colon + 1 : NULL;
}

static bool is_all(const char *s, size_t n)
{
    return n == 1 && *s == '*';
}

/* One entry as curl knows it: not with a star in front, nor with a port or brackets. */
static void add_entry(struct buf *list, const char *s, size_t n, const char *url_port)
{
    const char *port = port_in(s, n);

    if (port) {
        if (strlen(url_port) != (size_t)(s + n - port) || strncmp(port, url_port, strlen(url_port)) != 0)
            return;
        n = (size_t)(port - 1 - s);
    }
    if (n > 2 && strncmp(s, "*.", 2) == 0) {
        s++;
        n--;
    } else if (n > 2 && *s == '[' && s[n - 1] == ']') {
        s++;
        n -= 2;
    }
    if (list->len)
        buf_putc(list, ',');
    buf_add(list, s, n);
}

char *proxy_exceptions(const char *no_proxy, const char *url)
{
    static const char between[] = ", \t";
    AUTO_FREE char *origin = url_origin(url);
    const char *port = origin ? strrchr(origin, ':') + 1 : "";
    struct buf list = BUF_INIT;

    for (const char *s = no_proxy + strspn(no_proxy, between); *s; s += strspn(s, between)) {
        size_t n = strcspn(s, between);

        if (is_all(s, n)) { /* which curl knows alone, but not in a list */
            buf_release(&list);
            return xstrdup("*");
        }
        add_entry(&list, s, n, port);
        s += n;
    }
    return buf_steal(&list);
}

/* curl ignores HTTP_PROXY in capitals for http:// URLs, because in a CGI program a client could set it. We are none,
 * and everything else in a pod follows it. */
void proxy_set(struct transfer *t)
{
    CURL *c = t->worker->easy;
    const char *proxy = getenv("HTTP_PROXY");
    const char *no_proxy = getenv("no_proxy") ? getenv("no_proxy") : getenv("NO_PROXY");
    AUTO_FREE char *list = no_proxy ? proxy_exceptions(no_proxy, t->url) : NULL;

    if (t->rq->no_proxy)
        curl_easy_setopt(c, CURLOPT_PROXY, "");
    else if (strncasecmp(t->url, "http:", 5) == 0 && proxy && *proxy && !getenv("http_proxy"))
        curl_easy_setopt(c, CURLOPT_PROXY, proxy);
    if (list)
        curl_easy_setopt(c, CURLOPT_NOPROXY, list);
}

bool proxy_unreachable(const struct transfer *t, CURLcode code)
{
    AUTO_FREE char *host = http_host(t->url);

    host[strcspn(host, ":")] = '\0';
    /* curl names the host that it could not reach */
    return code == CURLE_COULDNT_CONNECT && !t->rq->no_proxy && *host != '[' &&
           strncasecmp(t->worker->error, "Failed to connect to ", 21) == 0 && !strstr(t->worker->error, host);
}
