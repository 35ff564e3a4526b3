/* challenge.c - WWW-Authenticate, RFC 7235 section 4.1: challenges and their parameters are separated by the same
 * commas. */
#include "registry/registry.h"

#include <string.h>
#include <strings.h>

static bool is_token_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c));
}

static const char *skip_blank(const char *p)
{
    while (*p == ' ' || *p == '\t')
        p++;
    return p;
}

static const char *skip_separators(const char *p)
{
    while (*p == ' ' || *p == '\t' || *p == ',')
        p++;
    return p;
}

static size_t token_len(const char *p)
{
    size_t n = 0;

    while (is_token_char(p[n]))
        n++;
    return n;
}

/* Reads a quoted string or token; *ret_value is owned by the caller. Returns what follows. */
static const char *read_value(const char *p, char **ret_value)
{
    struct buf value = BUF_INIT;

    if (*p == '"') {
        for (p++; *p && *p != '"'; p++) {
            if (*p == '\\' && p[1])
                p++;
            buf_putc(&value, *p);
        }
        if (*p == '"')
            p++;
    } else { /* some servers send realms and scopes without quotes */
        size_t n = strcspn(p, ", \t");

        buf_add(&value, p, n);
        p += n;
    }
    *ret_value = buf_steal(&value);
    return p;
}

static void take_parameter(struct challenge *c, const char *name, size_t len, char *value)
{
    const struct {
        const char *name;
        char **slot;
    } known[] = { { "realm", &c->realm }, { "service", &c->service }, { "scope", &c->scope }, { "error", &c->error } };

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strlen(known[i].name) == len && strncasecmp(known[i].name, name, len) == 0 && !*known[i].slot) {
            *known[i].slot = value;
            return;
        }
    }
    free(value);
}

static enum challenge_scheme scheme_of(const char *p, size_t len)
{
    if (len == 6 && strncasecmp(p, "Bearer", 6) == 0)
        return CHALLENGE_BEARER;
    return len == 5 && strncasecmp(p, "Basic", 5) == 0 ? CHALLENGE_BASIC : CHALLENGE_NONE;
}

/* Parameters up to the next scheme: a token that no '=' follows. */
static const char *read_parameters(const char *p, struct challenge *c)
{
    for (;;) {
        p = skip_separators(p);
        size_t len = token_len(p);
        const char *equals = skip_blank(p + len);

        if (len == 0 || *equals != '=')
            return p;
        char *value;
        const char *end = read_value(skip_blank(equals + 1), &value);
        take_parameter(c, p, len, value);
        p = end;
    }
}

static bool answerable(const struct challenge *c)
{
    return c->scheme == CHALLENGE_BASIC || (c->scheme == CHALLENGE_BEARER && c->realm && *c->realm);
}

void challenge_parse(const char *header, struct challenge *ret)
{
    *ret = (struct challenge){ .scheme = CHALLENGE_NONE };
    for (const char *p = skip_separators(header); *p; p = skip_separators(p)) {
        size_t len = token_len(p);

        if (len == 0) { /* not the grammar: go on behind it */
            p++;
            continue;
        }
        struct challenge c = { .scheme = scheme_of(p, len) };
        p = read_parameters(p + len, &c);
        if (answerable(&c)) {
            *ret = c;
            return;
        }
        challenge_release(&c);
    }
}

void challenge_release(struct challenge *c)
{
    free(c->realm);
    free(c->service);
    free(c->scope);
    free(c->error);
    *c = (struct challenge){ .scheme = CHALLENGE_NONE };
}
