#include "context/context.h"
#include "context/pattern_priv.h"

#include <string.h>

/* ---- Go's filepath.Match ---- */

/* One end of a range, at *at; false: malformed. */
static bool range_end(const char **at, uint32_t *ret_rune)
{
    const char *s = *at;

    if (!*s || *s == '-' || *s == ']')
        return false;
    if (*s == '\\' && !*++s)
        return false;
    size_t len = utf8_next(s, strlen(s), ret_rune);
    if (len == 1 && (unsigned char)*s >= 0x80)
        return false;
    *at = s + len;
    return **at != '\0';
}

/* The class after '[' at *at; moves behind its ']'. */
static bool read_class(const char **at, uint32_t rune, bool *ret_matched)
{
    bool negated = **at == '^', matched = false;
    uint32_t lo, hi;

    *at += negated;
    for (bool first = true; first || **at != ']'; first = false) {
        if (!range_end(at, &lo))
            return false;
        hi = lo;
        if (**at == '-') {
            ++*at;
            if (!range_end(at, &hi))
                return false;
        }
        matched = matched || (lo <= rune && rune <= hi);
    }
    ++*at;
    *ret_matched = matched != negated;
    return true;
}

bool glob_is_valid(const char *pattern)
{
    bool matched;

    while (*pattern) {
        char c = *pattern++;

        if (c == '\\' && !*pattern++)
            return false;
        if (c == '[' && !read_class(&pattern, 0, &matched))
            return false;
    }
    return true;
}

bool glob_has_wildcard(const char *pattern)
{
    for (; *pattern; pattern++) {
        if (*pattern == '\\' && pattern[1])
            pattern++;
        else if (strchr("*?[", *pattern))
            return true;
    }
    return false;
}

/* Takes one character of name by what is at *at (not '*'). */
static bool match_one(const char **at, const char **name)
{
    uint32_t rune;
    bool matched = true;

    if (!**name || !**at)
        return false;
    size_t len = utf8_next(*name, strlen(*name), &rune);
    if (**at == '[') {
        ++*at;
        if (!read_class(at, rune, &matched))
            return false;
        *name += len;
    } else if (**at == '?') {
        ++*at;
        *name += len;
    } else {
        *at += **at == '\\';
        matched = *(*at)++ == *(*name)++;
    }
    return matched;
}

bool glob_matches(const char *pattern, const char *name)
{
    const char *star = NULL,
               *retry = NULL; /* the last '*' and where what it takes ends: earlier ones need no other try */

    for (;;) {
        if (*pattern == '*') {
            star = ++pattern;
            retry = name;
            continue;
        }
        if (!*pattern && !*name)
            return true;
        if (match_one(&pattern, &name))
            continue;
        if (!star || !*retry)
            return false;
        name = ++retry;
        pattern = star;
    }
}
