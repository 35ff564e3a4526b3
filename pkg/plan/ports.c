/* ports.c - the words of EXPOSE. BuildKit takes what `docker run -p` takes, [IP:][HOST:]PORT[-LAST][/PROTOCOL], and
 * keeps the container's ports; so do we, with the same checks. */
#include "plan/plan_priv.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>

struct port_range {
    unsigned first, last;
};

static struct err *bad_port(const char *word, const char *why)
{
    return err_hint(err_blame(err_new(ERR_DOCKERFILE, "'%s' is not a port: %s", word, why), word),
                    "Write PORT, PORT/tcp, PORT/udp or FIRST-LAST/PROTOCOL with ports up to 65535.");
}

static bool port_number(const char *text, size_t len, unsigned *ret_port)
{
    unsigned n = 0;
    size_t i = len > 1 && *text == '+';

    for (; i < len; i++) {
        if (!isdigit((unsigned char)text[i]) || n > 65535)
            return false;
        n = n * 10 + (unsigned)(text[i] - '0');
    }
    *ret_port = n;
    return len > 0 && n <= 65535;
}

/* "80", "8000-8010" */
static bool port_range(const char *text, size_t len, struct port_range *ret)
{
    const char *dash = memchr(text, '-', len);
    size_t n = dash ? (size_t)(dash - text) : len;

    if (!port_number(text, n, &ret->first))
        return false;
    ret->last = ret->first;
    return !dash || (port_number(dash + 1, len - n - 1, &ret->last) && ret->last >= ret->first);
}

/* The address before "HOST:PORT"; an IPv6 one may stand in brackets. */
static bool is_address(const char *text, size_t len)
{
    AUTO_FREE char *ip = xstrndup(text, len);
    unsigned char addr[16];
    char *p = ip;

    if (*p == '[' && len > 1 && ip[len - 1] == ']') {
        ip[len - 1] = '\0';
        p++;
    }
    return inet_pton(AF_INET, p, addr) == 1 || inet_pton(AF_INET6, p, addr) == 1;
}

/* What stands before the container's port: it names nothing in an image, but must be right. */
static struct err *check_host(const char *word, size_t len, const struct port_range *ports)
{
    const char *colon = memrchr(word, ':', len);
    const char *host = colon ? colon + 1 : word;
    size_t host_len = len - (size_t)(host - word);
    struct port_range range;

    if (colon && colon > word && !is_address(word, (size_t)(colon - word)))
        return bad_port(word, "what stands before the first ':' is no IP address");
    if (host_len == 0)
        return NULL;
    if (!port_range(host, host_len, &range))
        return bad_port(word, "the host's port is wrong");
    if (ports->first != ports->last && ports->last - ports->first != range.last - range.first)
        return bad_port(word, "the ranges of the host's and the container's ports differ in length");
    return NULL;
}

static bool is_protocol(const char *text, char ret_proto[8])
{
    size_t len = strlen(text);

    if (len >= 8)
        return false;
    for (size_t i = 0; i <= len; i++)
        ret_proto[i] = (char)tolower((unsigned char)text[i]);
    if (len == 0)
        memcpy(ret_proto, "tcp", 4);
    return strcmp(ret_proto, "tcp") == 0 || strcmp(ret_proto, "udp") == 0 || strcmp(ret_proto, "sctp") == 0;
}

struct err *ports_parse(const char *word, struct strs *ports)
{
    const char *colon = strrchr(word, ':'), *port = colon ? colon + 1 : word;
    size_t len = strcspn(port, "/");
    struct port_range range = { 0, 0 };
    char proto[8];

    if (!is_protocol(port[len] ? port + len + 1 : "", proto))
        return bad_port(word, "the protocol must be tcp, udp or sctp");
    if (!port_range(port, len, &range))
        return bad_port(word, "the container's port is wrong");
    if (colon)
        TRY(check_host(word, (size_t)(colon - word), &range));
    for (unsigned p = range.first; p <= range.last; p++)
        strs_take(ports, xasprintf("%u/%s", p, proto));
    return NULL;
}
