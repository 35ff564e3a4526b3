#include "oci/error_body.h"

#include "json/json.h"

#include <string.h>
#include <strings.h>

/* Enough to understand it, not enough to fill the log. Azure's descriptions are long, and their end says what to ask
 * support for. */
#define SHOWN_ERRORS 3
#define SHOWN_BYTES  2000

static bool is_token_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("-_.~+/=%", c));
}

/* The length of what must not be shown at s, 0 if it may: a JWT, or the value of a signed URL's parameter. *ret_keep:
 * how much of it is only its name. */
static size_t secret_len(const char *s, size_t *ret_keep)
{
    static const char *const names[] = { "sig=", "_state=", "Bearer ", "access_token=", "refresh_token=" };
    size_t n = 0;

    *ret_keep = 0;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && !*ret_keep; i++)
        if (strncasecmp(s, names[i], strlen(names[i])) == 0)
            *ret_keep = strlen(names[i]);
    if (!*ret_keep && strncmp(s, "eyJ", 3) != 0)
        return 0;
    for (n = *ret_keep; is_token_char(s[n]); n++)
        ;
    return n > *ret_keep + 8 || (*ret_keep && n > *ret_keep) ? n : 0;
}

static void add_clean(struct buf *out, const char *s)
{
    const char *end = s + strnlen(s, SHOWN_BYTES);
    bool more = *end != '\0', blank = false;

    while (s < end) {
        size_t keep, n = secret_len(s, &keep);

        if (n) {
            buf_add(out, s, keep);
            buf_puts(out, "***");
            s += n;
            continue;
        }
        bool control = (unsigned char)*s < 0x20 || *s == 0x7f;
        if (!control || !blank)
            buf_putc(out, control ? ' ' : *s);
        blank = control;
        s++;
    }
    if (more)
        buf_puts(out, "...");
}

static struct json *parse(const char *body, size_t len)
{
    struct json *root = NULL;
    struct err *e = len ? json_parse(body, len, &root) : NULL;

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

/* "invalid_client: AADSTS..." */
static void describe_oauth(const struct json *root, struct buf *out)
{
    const char *code = json_get_string(root, "error"), *text = json_get_string(root, "error_description");

    if (!code && !text)
        code = json_get_string(root, "details"); /* Docker Hub's token service */
    if (code)
        add_clean(out, code);
    if (code && text)
        buf_puts(out, ": ");
    if (text)
        add_clean(out, text);
}

static bool is_plain_text(const char *content_type, size_t len)
{
    return len && (!content_type || strncmp(content_type, "text/plain", 10) == 0);
}

void error_body_describe(const char *body, size_t len, const char *content_type, struct buf *out)
{
    AUTO(json_free) struct json *root = parse(body, len);
    const struct json *list = json_get(root, "errors"), *one = json_get(root, "error");
    struct buf text = BUF_INIT;

    if (json_type(list) == JSON_ARRAY) {
        for (size_t i = 0; i < json_count(list) && i < SHOWN_ERRORS; i++)
            describe_one(json_at(list, i), &text);
    } else if (json_type(one) == JSON_OBJECT) {
        describe_one(one, &text);
    } else if (root) {
        describe_oauth(root, &text);
    } else if (is_plain_text(content_type, len)) {
        AUTO_FREE char *whole = xstrndup(body, len);
        whole[strcspn(whole, "\r\n")] = '\0';
        add_clean(&text, whole);
    }
    buf_puts(out, buf_str(&text));
    buf_release(&text);
}

bool error_body_has(const char *body, size_t len, const char *code)
{
    AUTO(json_free) struct json *root = parse(body, len);
    const struct json *list = json_get(root, "errors");
    const char *only = json_get_string(root, "error");

    if (!only)
        only = json_get_string(json_get(root, "error"), "code");
    if (only && strcmp(only, code) == 0)
        return true;
    for (size_t i = 0; json_type(list) == JSON_ARRAY && i < json_count(list); i++) {
        const char *have = json_get_string(json_at(list, i), "code");

        if (have && strcmp(have, code) == 0)
            return true;
    }
    return false;
}
