/* jsonlist.c - the JSON form of arguments. Only a list of strings is of use, but whether a text is JSON at all decides
 * what it means, so all of JSON's grammar is checked. */
#include "base/buf.h"
#include "base/limits.h"
#include "dockerfile/parse.h"

#include <ctype.h>
#include <string.h>

struct json {
    const char *p, *end;
    bool nul; /* a string holds U+0000, which no argument of a program can */
};

static bool value(struct json *j, int depth, struct strs *ret_item, bool *ret_string);

static void blanks(struct json *j)
{
    while (j->p < j->end && (*j->p == ' ' || *j->p == '\t' || *j->p == '\r' || *j->p == '\n'))
        j->p++;
}

static bool take(struct json *j, char c)
{
    if (j->p >= j->end || *j->p != c)
        return false;
    j->p++;
    return true;
}

static bool hex4(struct json *j, int32_t *ret_unit)
{
    int32_t unit = 0;

    if (j->end - j->p < 4)
        return false;
    for (int i = 0; i < 4; i++, j->p++) {
        unsigned char c = (unsigned char)*j->p;

        if (!isxdigit(c))
            return false;
        unit = unit << 4 | (isdigit(c) ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    *ret_unit = unit;
    return true;
}

/* \uXXXX, a pair of them for what needs one; half a pair is U+FFFD. */
static bool unicode_escape(struct json *j, struct buf *out)
{
    int32_t unit = 0, low = 0;

    if (!hex4(j, &unit))
        return false;
    const char *after = j->p;

    if (unit >= 0xd800 && unit < 0xdc00 && take(j, '\\') && take(j, 'u')) {
        if (!hex4(j, &low))
            return false;
        if (low >= 0xdc00 && low < 0xe000) {
            rune_put(out, 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00));
            return true;
        }
    }
    j->p = after;
    j->nul |= unit == 0;
    rune_put(out, unit);
    return true;
}

static bool string(struct json *j, struct buf *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    size_t width = 0;

    while (j->p < j->end && *j->p != '"') {
        if ((unsigned char)*j->p < 0x20)
            return false;
        if (*j->p != '\\') {
            rune_put(out, rune_at(j->p, j->end, &width));
            j->p += width;
            continue;
        }
        if (++j->p >= j->end)
            return false;
        const char *known = *j->p ? strchr(from, *j->p) : NULL;
        char c = *j->p++;

        if (known)
            buf_putc(out, to[known - from]);
        else if (c != 'u' || !unicode_escape(j, out))
            return false;
    }
    return take(j, '"');
}

static bool digits(struct json *j)
{
    const char *start = j->p;

    while (j->p < j->end && isdigit((unsigned char)*j->p))
        j->p++;
    return j->p > start;
}

static bool number(struct json *j)
{
    take(j, '-');
    if (!take(j, '0') && !digits(j))
        return false;
    if (take(j, '.') && !digits(j))
        return false;
    if (take(j, 'e') || take(j, 'E')) {
        if (!take(j, '+'))
            take(j, '-');
        return digits(j);
    }
    return true;
}

static bool word(struct json *j, const char *text)
{
    size_t n = strlen(text);

    if ((size_t)(j->end - j->p) < n || memcmp(j->p, text, n) != 0)
        return false;
    j->p += n;
    return true;
}

static bool object(struct json *j, int depth)
{
    AUTO(buf_release) struct buf key = BUF_INIT;
    bool is_string = false;

    blanks(j);
    if (take(j, '}'))
        return true;
    for (;;) {
        blanks(j);
        buf_clear(&key);
        if (!take(j, '"') || !string(j, &key))
            return false;
        blanks(j);
        if (!take(j, ':') || !value(j, depth, NULL, &is_string))
            return false;
        if (take(j, '}'))
            return true;
        if (!take(j, ','))
            return false;
    }
}

/* From behind the '['. *ret_all_strings says whether every item is a string. */
static bool list(struct json *j, int depth, struct strs *ret_items, bool *ret_all_strings)
{
    *ret_all_strings = true;
    blanks(j);
    if (take(j, ']'))
        return true;
    for (;;) {
        bool is_string = false;

        if (!value(j, depth, ret_items, &is_string))
            return false;
        *ret_all_strings &= is_string;
        if (take(j, ']'))
            return true;
        if (!take(j, ','))
            return false;
    }
}

/* Any value with the blanks around it; a string is added to ret_item, if that is not NULL. */
static bool value(struct json *j, int depth, struct strs *ret_item, bool *ret_string)
{
    AUTO(buf_release) struct buf text = BUF_INIT;
    bool ok = false, unused = false;

    if (depth >= LIMIT_JSON_DEPTH)
        return false;
    blanks(j);
    *ret_string = take(j, '"');
    if (*ret_string) {
        ok = string(j, &text);
        if (ok && ret_item)
            strs_take(ret_item, buf_steal(&text));
    } else if (take(j, '[')) {
        ok = list(j, depth + 1, NULL, &unused);
    } else if (take(j, '{')) {
        ok = object(j, depth + 1);
    } else {
        ok = word(j, "true") || word(j, "false") || word(j, "null") || number(j);
    }
    blanks(j);
    return ok;
}

enum json_list json_list_parse(const char *text, struct strs *ret_items)
{
    struct span s = span_trim_left(span_of(text));
    struct json j = { s.p, s.p + s.n, false };
    struct strs items = { 0 };
    bool all_strings = false;
    enum json_list result = JSON_LIST_NO;

    if (take(&j, '[') && list(&j, 0, &items, &all_strings)) {
        blanks(&j);
        if (j.p == j.end)
            result = !all_strings ? JSON_LIST_NOT_STRINGS : j.nul ? JSON_LIST_NUL : JSON_LIST_OK;
    }
    for (size_t i = 0; result == JSON_LIST_OK && i < items.n; i++)
        strs_add(ret_items, items.items[i]);
    strs_release(&items);
    return result;
}
