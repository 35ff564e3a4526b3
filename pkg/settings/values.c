#include "settings/values.h"

#include "base/mem.h"

#include <ctype.h>
#include <string.h>

bool value_bool(const char *text, bool *ret)
{
    static const char *const words[2][6] = { { "0", "f", "F", "FALSE", "false", "False" },
                                             { "1", "t", "T", "TRUE", "true", "True" } };

    for (int b = 0; b < 2; b++) {
        for (int i = 0; i < 6; i++) {
            if (strcmp(text, words[b][i]) == 0) {
                *ret = b == 1;
                return true;
            }
        }
    }
    return false;
}

static int digit_value(char c)
{
    if (isdigit((unsigned char)c))
        return c - '0';
    if (isalpha((unsigned char)c))
        return tolower((unsigned char)c) - 'a' + 10;
    return 99;
}

/* Skips the prefix that names the base. */
static unsigned number_base(const char **s)
{
    static const struct {
        char letter;
        unsigned base;
    } prefixes[] = { { 'x', 16 }, { 'o', 8 }, { 'b', 2 } };

    if (**s != '0' || (*s)[1] == '\0')
        return 10;
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        if (tolower((unsigned char)(*s)[1]) == prefixes[i].letter) {
            *s += 2;
            return prefixes[i].base;
        }
    }
    (*s)++;
    return 8;
}

bool value_int(const char *text, int64_t *ret)
{
    const char *s = text;
    bool negative = *s == '-';
    uint64_t n = 0, max = negative ? (uint64_t)INT64_MAX + 1 : INT64_MAX;

    if (*s == '-' || *s == '+')
        s++;
    const char *first = s;
    unsigned base = number_base(&s);
    bool separated = s > first; /* an underscore may follow a prefix */
    bool digits = false;
    for (; *s; s++) {
        if (*s == '_') {
            if (!separated)
                return false;
            separated = false;
            continue;
        }
        unsigned d = (unsigned)digit_value(*s);
        if (d >= base || n > (max - d) / base)
            return false;
        n = n * base + d;
        digits = separated = true;
    }
    if (!digits || !separated)
        return false;
    *ret = negative ? (int64_t)(0 - n) : (int64_t)n;
    return true;
}

/* Milliseconds of the unit at *s, which is skipped; 0 if there is none. */
static int64_t duration_unit(const char **s)
{
    static const struct {
        const char *name;
        int64_t ms;
    } units[] = { { "ms", 1 }, { "w", 604800000 }, { "d", 86400000 }, { "h", 3600000 }, { "m", 60000 }, { "s", 1000 } };

    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        size_t n = strlen(units[i].name);
        if (strncmp(*s, units[i].name, n) == 0) {
            *s += n;
            return units[i].ms;
        }
    }
    return 0;
}

bool value_size(const char *text, int64_t *ret_bytes)
{
    static const char units[] = "KMGT";
    const char *s = text + strspn(text, " "), *start = s;
    int64_t n = 0;
    int shift = 0;

    for (; isdigit((unsigned char)*s); s++) {
        if (n > (INT64_MAX - 9) / 10)
            return false;
        n = n * 10 + (*s - '0');
    }
    if (s == start)
        return false;
    const char *unit = *s ? strchr(units, toupper((unsigned char)*s)) : NULL;
    if (unit) {
        shift = 10 * (int)(unit - units + 1);
        s += s[1] == 'i' && s[2] == 'B' ? 3 : s[1] == 'B' || s[1] == 'b' ? 2 : 1;
    }
    if (s[strspn(s, " ")] || n > INT64_MAX >> shift)
        return false;
    *ret_bytes = n << shift;
    return true;
}

bool value_duration(const char *text, int64_t *ret_ms)
{
    const int64_t most = 3650LL * 86400000;
    const char *s = text + strspn(text, " ");
    int64_t total = 0;

    if (*s == '\0')
        return false;
    while (*s) {
        int64_t n = 0;
        const char *start = s;
        for (; isdigit((unsigned char)*s); s++) {
            n = n * 10 + (*s - '0');
            if (n > most)
                return false;
        }
        if (s == start)
            return false;
        bool plain = start == text + strspn(text, " ") && s[strspn(s, " ")] == '\0';
        int64_t unit = plain ? 1000 : duration_unit(&s);
        if (unit == 0 || n > (most - total) / unit)
            return false;
        total += n * unit;
        s += strspn(s, " ");
    }
    *ret_ms = total;
    return true;
}

void value_list(const char *text, const char *separators, struct strs *list)
{
    static const char blanks[] = " \t\r\n";

    for (const char *s = text;; s++) {
        size_t len = strcspn(s, separators);
        const char *from = s, *to = s + len;
        while (from < to && strchr(blanks, *from))
            from++;
        while (to > from && strchr(blanks, to[-1]))
            to--;
        if (to > from)
            strs_take(list, xstrndup(from, (size_t)(to - from)));
        s += len;
        if (*s == '\0')
            return;
    }
}
