/* runes.c - see runes.h */
#include "dockerfile/runes.h"

#include <string.h>

static bool continues(const char *p, const char *end)
{
    return p < end && ((unsigned char)*p & 0xc0) == 0x80;
}

/* Bytes that the lead byte announces, 0 if it can be none; the smallest code point of that length in *ret_min. */
static size_t announced(unsigned char lead, int32_t *ret_min)
{
    if (lead >= 0xc2 && lead <= 0xdf) {
        *ret_min = 0x80;
        return 2;
    }
    if ((lead & 0xf0) == 0xe0) {
        *ret_min = 0x800;
        return 3;
    }
    if (lead >= 0xf0 && lead <= 0xf4) {
        *ret_min = 0x10000;
        return 4;
    }
    return 0;
}

int32_t rune_at(const char *p, const char *end, size_t *ret_width)
{
    *ret_width = p < end ? 1 : 0;
    if (p >= end)
        return RUNE_END;
    unsigned char lead = (unsigned char)*p;

    if (lead < 0x80)
        return lead;
    int32_t min = 0;
    size_t n = announced(lead, &min);

    if (n == 0)
        return RUNE_BAD;
    int32_t rune = lead & (0xff >> (n + 1));

    for (size_t i = 1; i < n; i++) {
        if (!continues(p + i, end))
            return RUNE_BAD;
        rune = rune << 6 | ((unsigned char)p[i] & 0x3f);
    }
    if (rune < min || rune > 0x10ffff || (rune >= 0xd800 && rune <= 0xdfff))
        return RUNE_BAD;
    *ret_width = n;
    return rune;
}

void rune_put(struct buf *out, int32_t rune)
{
    if (rune < 0 || rune > 0x10ffff || (rune >= 0xd800 && rune <= 0xdfff))
        rune = RUNE_BAD;
    if (rune < 0x80) {
        buf_putc(out, (char)rune);
        return;
    }
    char b[4];
    size_t n = rune < 0x800 ? 2 : rune < 0x10000 ? 3 : 4;

    for (size_t i = n - 1; i > 0; i--, rune >>= 6)
        b[i] = (char)(0x80 | (rune & 0x3f));
    b[0] = (char)((0xf00 >> n & 0xff) | rune);
    buf_add(out, b, n);
}

bool rune_is_space(int32_t rune)
{
    if (rune < 0x80)
        return rune == ' ' || (rune >= '\t' && rune <= '\r');
    return rune == 0x85 || rune == 0xa0 || rune == 0x1680 || (rune >= 0x2000 && rune <= 0x200a) || rune == 0x2028 ||
           rune == 0x2029 || rune == 0x202f || rune == 0x205f || rune == 0x3000;
}

static bool in_table(const struct df_range *table, size_t n, uint32_t rune)
{
    size_t low = 0;

    while (low < n) {
        size_t mid = low + (n - low) / 2;

        if (rune > table[mid].last)
            low = mid + 1;
        else if (rune < table[mid].first)
            n = mid;
        else
            return true;
    }
    return false;
}

bool rune_is_letter(int32_t rune)
{
    if (rune < 0x80)
        return (rune >= 'a' && rune <= 'z') || (rune >= 'A' && rune <= 'Z');
    return in_table(df_letters, n_df_letters, (uint32_t)rune);
}

bool rune_is_digit(int32_t rune)
{
    if (rune < 0x80)
        return rune >= '0' && rune <= '9';
    return in_table(df_digits, n_df_digits, (uint32_t)rune);
}

struct span span_of(const char *text)
{
    return (struct span){ text, strlen(text) };
}

struct span span_trim_left(struct span s)
{
    size_t width = 0;

    while (s.n > 0 && rune_is_space(rune_at(s.p, s.p + s.n, &width))) {
        s.p += width;
        s.n -= width;
    }
    return s;
}

struct span span_trim(struct span s)
{
    s = span_trim_left(s);
    while (s.n > 0) {
        size_t start = s.n - 1, width = 0;

        while (start > 0 && s.n - start < 4 && ((unsigned char)s.p[start] & 0xc0) == 0x80)
            start--;
        int32_t rune = rune_at(s.p + start, s.p + s.n, &width);

        if (!rune_is_space(rune) || start + width != s.n)
            break;
        s.n = start;
    }
    return s;
}

char *span_dup(struct span s)
{
    return xstrndup(s.n ? s.p : "", s.n);
}
