/* spell.c - the ways in which an error's text may spell a secret: as it is, in a JSON string, in a URL or a form, in
 * base64. */
#include "http/http_priv.h"

#include "base/base64.h"

#include <string.h>

/* The base64 of shorter ones would be as short as ordinary words. */
#define BASE64_MIN_BYTES 8

static bool is_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("-._~", c));
}

static void plain(struct buf *out, char c)
{
    buf_putc(out, c);
}

static void json(struct buf *out, char c)
{
    if (c == '"' || c == '\\')
        buf_putc(out, '\\');
    buf_putc(out, c);
}

/* As PHP and others have it. */
static void json_slashes(struct buf *out, char c)
{
    if (c == '/')
        buf_putc(out, '\\');
    json(out, c);
}

/* As Go and .NET have it: what would be special in HTML. */
static void json_html(struct buf *out, char c)
{
    if (strchr("<>&", c) && c)
        buf_printf(out, "\\u%04x", (unsigned)c);
    else
        json(out, c);
}

/* .NET's default: also quotation marks and '+'. */
static void json_dotnet(struct buf *out, char c)
{
    if (strchr("<>&'\"+`", c) && c)
        buf_printf(out, "\\u%04X", (unsigned)c);
    else
        json(out, c);
}

static void percent(struct buf *out, char c)
{
    if (is_unreserved(c))
        buf_putc(out, c);
    else
        buf_printf(out, "%%%02X", (unsigned char)c);
}

static void percent_lower(struct buf *out, char c)
{
    if (is_unreserved(c))
        buf_putc(out, c);
    else
        buf_printf(out, "%%%02x", (unsigned char)c);
}

static void form(struct buf *out, char c)
{
    if (c == ' ')
        buf_putc(out, '+');
    else
        percent(out, c);
}

static void (*const spellings[])(struct buf *out, char c) = { plain,       json,    json_slashes,  json_html,
                                                              json_dotnet, percent, percent_lower, form };

static void add(struct strs *list, char *text)
{
    if (strs_has(list, text)) {
        explicit_bzero(text, strlen(text));
        free(text);
    } else {
        strs_take(list, text);
    }
}

/* Base64 takes three bytes at a time, so it depends on how many stand before: those characters that depend on nothing
 * else. */
static void add_base64(struct strs *list, const char *s, size_t n, size_t before)
{
    struct buf bytes = BUF_INIT;

    for (size_t i = 0; i < before; i++)
        buf_putc(&bytes, 'x');
    buf_add(&bytes, s, n);
    size_t begin = before ? before + 1 : 0;         /* those in front of it also depend on what is before */
    size_t end = bytes.len / 3 * 4 + bytes.len % 3; /* and the one behind it on what comes after */
    char *texts[] = { base64_encode(bytes.data, bytes.len), base64url_encode(bytes.data, bytes.len) };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        add(list, xstrndup(texts[i] + begin, end - begin));
        explicit_bzero(texts[i], strlen(texts[i]));
        free(texts[i]);
    }
    explicit_bzero(bytes.data, bytes.len);
    buf_release(&bytes);
}

void secret_spell(const char *s, size_t n, struct strs *ret)
{
    for (size_t i = 0; i < sizeof(spellings) / sizeof(spellings[0]); i++) {
        struct buf out = BUF_INIT;

        for (size_t k = 0; k < n; k++)
            spellings[i](&out, s[k]);
        add(ret, buf_steal(&out));
    }
    for (size_t before = 0; n >= BASE64_MIN_BYTES && before < 3; before++)
        add_base64(ret, s, n, before);
}
