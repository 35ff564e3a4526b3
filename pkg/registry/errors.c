/* errors.c - what a registry says when it refuses: {"errors":[{"code","message","detail"}]}. */
#include "registry/registry_priv.h"

#include "json/json.h"

#include <string.h>

/* Enough to understand it, not enough to fill the log. */
#define SHOWN_ERRORS 3
#define SHOWN_BYTES  400

static void add_clean(struct buf *out, const char *s)
{
    size_t n = strnlen(s, SHOWN_BYTES);

    for (size_t i = 0; i < n; i++)
        buf_putc(out, (unsigned char)s[i] < 0x20 || s[i] == 0x7f ? ' ' : s[i]);
    if (s[n])
        buf_puts(out, "...");
}

static struct json *parse_errors(const struct http_response *a)
{
    struct json *root = NULL;
    struct err *e = a->body.len ? json_parse(a->body.data, a->body.len, &root) : NULL;

    err_free(e); /* a proxy's HTML page, for example */
    return root;
}

/* The detail is free in form: a text, or JSON that often names what was missing. The caller frees; NULL = nothing to
 * add. */
static char *detail_of(const struct json *item, const char *message)
{
    const struct json *detail = json_get(item, "detail");
    const char *text = json_string(detail);

    if (text)
        return *text && (!message || strcmp(text, message) != 0) ? xstrdup(text) : NULL;
    if ((json_type(detail) != JSON_OBJECT && json_type(detail) != JSON_ARRAY) || json_count(detail) == 0)
        return NULL;
    AUTO(json_writer_free) struct json_writer *w = json_writer_new();
    json_put_value(w, detail);
    return json_writer_steal(w);
}

static void describe_one(const struct json *item, struct buf *out)
{
    const char *code = json_get_string(item, "code"), *message = json_get_string(item, "message");
    AUTO_FREE char *detail = detail_of(item, message);

    if (out->len)
        buf_puts(out, "; ");
    if (code)
        add_clean(out, code);
    if (message && *message) {
        buf_puts(out, code ? ": " : "");
        add_clean(out, message);
    }
    if (detail) {
        buf_puts(out, " (");
        add_clean(out, detail);
        buf_puts(out, ")");
    }
}

static bool is_plain_text(const struct http_response *a)
{
    const char *type = http_header(a, "content-type");

    return a->body.len && (!type || strncmp(type, "text/plain", 10) == 0);
}

void errors_describe(const struct http_response *a, struct buf *out)
{
    AUTO(json_free) struct json *root = parse_errors(a);
    const struct json *list = json_get(root, "errors");
    const char *oauth = json_get_string(root, "error_description");

    if (!oauth)
        oauth = json_get_string(root, "error");
    if (!oauth)
        oauth = json_get_string(root, "details"); /* Docker Hub's token service */
    if (json_type(list) == JSON_ARRAY) {
        for (size_t i = 0; i < json_count(list) && i < SHOWN_ERRORS; i++)
            describe_one(json_at(list, i), out);
    } else if (oauth) {
        add_clean(out, oauth);
    } else if (!root && is_plain_text(a)) {
        AUTO_FREE char *line = xstrndup(a->body.data, strcspn(a->body.data, "\r\n"));
        add_clean(out, line);
    }
}

bool errors_has(const struct http_response *a, const char *code)
{
    AUTO(json_free) struct json *root = parse_errors(a);
    const struct json *list = json_get(root, "errors");

    for (size_t i = 0; json_type(list) == JSON_ARRAY && i < json_count(list); i++) {
        const char *have = json_get_string(json_at(list, i), "code");

        if (have && strcmp(have, code) == 0)
            return true;
    }
    return false;
}

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);

    return n >= m && strcmp(s + n - m, end) == 0;
}

static const char *role_for(const char *host, const char *action)
{
    if (!ends_with(host, ".azurecr.io") && !ends_with(host, ".azurecr.us") && !ends_with(host, ".azurecr.cn"))
        return "";
    return strcmp(action, "push") == 0
               ? " On Azure that is the role AcrPush (or Container Registry Repository Writer)."
               : " On Azure that is the role AcrPull (or Container Registry Repository Reader).";
}

char *errors_auth_hint(const struct registry *r, const struct endpoint *ep, const char *repo, const char *action)
{
    AUTO(credential_release) struct credential c = { 0 };
    struct err *e = auth_find(r->auth, ep->host, repo, &c);
    const char *role = role_for(ep->host, action);

    err_free(e); /* it was shown already if it is the reason */
    if (!c.origin)
        return xasprintf("No credentials are known for '%s': give some that may %s, or check the repository's name.%s",
                         ep->host, action, role);
    if (!c.username || c.identity_token)
        return xasprintf("The token from %s was used: check that it is still valid and may %s on '%s'.%s", c.origin,
                         action, repo, role);
    return xasprintf("The credentials of '%s' from %s were used: check that they are right and may %s on '%s'.%s",
                     c.username, c.origin, action, repo, role);
}
