#include "base/base64.h"

#include <stdint.h>
#include <string.h>

static char *encode(const void *p, size_t n, const char *set, bool pad)
{
    const unsigned char *in = p;
    struct buf out = BUF_INIT;

    for (size_t i = 0; i < n; i += 3) {
        size_t have = n - i < 3 ? n - i : 3;
        uint32_t v = (uint32_t)in[i] << 16;

        if (have > 1)
            v |= (uint32_t)in[i + 1] << 8;
        if (have > 2)
            v |= in[i + 2];
        for (size_t k = 0; k < 4; k++) {
            if (k <= have)
                buf_putc(&out, set[v >> (18 - 6 * k) & 63]);
            else if (pad)
                buf_putc(&out, '=');
        }
    }
    return buf_steal(&out);
}

char *base64_encode(const void *p, size_t n)
{
    return encode(p, n, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", true);
}

char *base64url_encode(const void *p, size_t n)
{
    return encode(p, n, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", false);
}

static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+' || c == '-')
        return 62;
    return c == '/' || c == '_' ? 63 : -1;
}

bool base64_decode(const char *text, size_t len, struct buf *out)
{
    uint32_t v = 0;
    int bits = 0;
    size_t digits = 0, padding = 0;

    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\n' || text[i] == '\r')
            continue;
        if (text[i] == '=') {
            padding++;
            continue;
        }
        int d = value_of(text[i]);
        if (d < 0 || padding)
            return false;
        digits++;
        v = v << 6 | (uint32_t)d;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            buf_putc(out, (char)(v >> bits));
            v &= (1u << bits) - 1;
        }
    }
    return digits % 4 != 1 && (!padding || (digits + padding) % 4 == 0);
}
