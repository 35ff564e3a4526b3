#include "json/json_priv.h"

#include <string.h>

struct json_writer {
    struct buf text;
    bool comma; /* something stands before the next value or key in this array or object */
};

struct json_writer *json_writer_new(void)
{
    return xcalloc(1, sizeof(struct json_writer));
}

static void before_value(struct json_writer *w)
{
    if (w->comma)
        buf_putc(&w->text, ',');
    w->comma = true;
}

static void begin(struct json_writer *w, char c)
{
    before_value(w);
    buf_putc(&w->text, c);
    w->comma = false;
}

static void end(struct json_writer *w, char c)
{
    buf_putc(&w->text, c);
    w->comma = true;
}

void json_object_begin(struct json_writer *w)
{
    begin(w, '{');
}

void json_object_end(struct json_writer *w)
{
    end(w, '}');
}

void json_array_begin(struct json_writer *w)
{
    begin(w, '[');
}

void json_array_end(struct json_writer *w)
{
    end(w, ']');
}

/* The bytes of the UTF-8 character at s, 0 if there is none (RFC 3629: no surrogates, no overlong forms). */
static size_t utf8_len(const unsigned char *s)
{
    static const struct {
        unsigned char first_lo, first_hi, second_lo, second_hi, more;
    } forms[] = {
        { 0x01, 0x7f, 0, 0, 0 },       { 0xc2, 0xdf, 0x80, 0xbf, 1 }, { 0xe0, 0xe0, 0xa0, 0xbf, 2 },
        { 0xe1, 0xec, 0x80, 0xbf, 2 }, { 0xed, 0xed, 0x80, 0x9f, 2 }, { 0xee, 0xef, 0x80, 0xbf, 2 },
        { 0xf0, 0xf0, 0x90, 0xbf, 3 }, { 0xf1, 0xf3, 0x80, 0xbf, 3 }, { 0xf4, 0xf4, 0x80, 0x8f, 3 },
    };

    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        if (s[0] < forms[i].first_lo || s[0] > forms[i].first_hi)
            continue;
        if (forms[i].more > 0 && (s[1] < forms[i].second_lo || s[1] > forms[i].second_hi))
            return 0;
        for (size_t k = 2; k <= forms[i].more; k++)
            if (s[k] < 0x80 || s[k] > 0xbf)
                return 0;
        return 1 + (size_t)forms[i].more;
    }
    return 0;
}

static void put_escaped(struct buf *out, unsigned char c)
{
    static const char names[] = "\"\"\\\\\bb\ff\nn\rr\tt"; /* pairs: character, letter after the backslash */

    for (size_t i = 0; names[i]; i += 2) {
        if ((unsigned char)names[i] == c) {
            buf_putc(out, '\\');
            buf_putc(out, names[i + 1]);
            return;
        }
    }
    buf_printf(out, "\\u%04x", c);
}

static void put_quoted(struct buf *out, const char *text)
{
    const unsigned char *s = (const unsigned char *)text;

    buf_putc(out, '"');
    while (*s) {
        size_t n = utf8_len(s);
        if (n == 0) { /* a document must be UTF-8: bytes that are not become the replacement character, as in Go */
            buf_puts(out, "\xef\xbf\xbd");
            s++;
        } else if (n == 1 && (*s < 0x20 || *s == '"' || *s == '\\')) {
            put_escaped(out, *s++);
        } else {
            buf_add(out, s, n);
            s += n;
        }
    }
    buf_putc(out, '"');
}

void json_key(struct json_writer *w, const char *name)
{
    before_value(w);
    put_quoted(&w->text, name);
    buf_putc(&w->text, ':');
    w->comma = false;
}

void json_put_string(struct json_writer *w, const char *s)
{
    if (!s) {
        json_put_null(w);
        return;
    }
    before_value(w);
    put_quoted(&w->text, s);
}

void json_put_int(struct json_writer *w, int64_t i)
{
    before_value(w);
    buf_printf(&w->text, "%lld", (long long)i);
}

void json_put_bool(struct json_writer *w, bool b)
{
    before_value(w);
    buf_puts(&w->text, b ? "true" : "false");
}

void json_put_null(struct json_writer *w)
{
    before_value(w);
    buf_puts(&w->text, "null");
}

void json_put_value(struct json_writer *w, const struct json *v)
{
    switch (json_type(v)) {
    case JSON_NULL:
        json_put_null(w);
        break;
    case JSON_BOOL:
        json_put_bool(w, v->boolean);
        break;
    case JSON_NUMBER:
        before_value(w);
        buf_puts(&w->text, v->text);
        break;
    case JSON_STRING:
        json_put_string(w, v->text);
        break;
    case JSON_ARRAY:
        json_array_begin(w);
        for (size_t i = 0; i < v->n; i++)
            json_put_value(w, &v->items[i]);
        json_array_end(w);
        break;
    case JSON_OBJECT:
        json_object_begin(w);
        for (size_t i = 0; i < v->n; i++) {
            json_key(w, v->keys[i]);
            json_put_value(w, &v->items[i]);
        }
        json_object_end(w);
        break;
    }
}

char *json_writer_steal(struct json_writer *w)
{
    w->comma = false;
    return buf_steal(&w->text);
}

void json_writer_free(struct json_writer *w)
{
    if (!w)
        return;
    buf_release(&w->text);
    free(w);
}
