#include "base/suggest.h"

#include <ctype.h>
#include <string.h>

enum { LONGEST = 256, SHORT_WORD = 3 };

static bool same(char a, char b)
{
    return tolower((unsigned char)a) == tolower((unsigned char)b);
}

static size_t least(size_t a, size_t b, size_t c)
{
    size_t m = a < b ? a : b;

    return m < c ? m : c;
}

/* The usual table of prefixes, of which three rows are kept. */
size_t suggest_distance(const char *a, const char *b, size_t most)
{
    size_t rows[3][LONGEST + 1];
    size_t n = strlen(a), m = strlen(b);

    if (n > LONGEST || m > LONGEST || n > m + most || m > n + most)
        return most + 1;
    for (size_t k = 0; k <= m; k++)
        rows[0][k] = k;
    for (size_t i = 1; i <= n; i++) {
        size_t *row = rows[i % 3];
        const size_t *above = rows[(i - 1) % 3], *above2 = rows[(i + 1) % 3];

        row[0] = i;
        for (size_t k = 1; k <= m; k++) {
            row[k] = least(above[k] + 1, row[k - 1] + 1, above[k - 1] + !same(a[i - 1], b[k - 1]));
            if (i > 1 && k > 1 && same(a[i - 1], b[k - 2]) && same(a[i - 2], b[k - 1]) && above2[k - 2] + 1 < row[k])
                row[k] = above2[k - 2] + 1;
        }
    }
    return rows[n % 3][m] <= most ? rows[n % 3][m] : most + 1;
}

const char *suggest(const char *word, const char *const *options, size_t n)
{
    const char *best = NULL;
    size_t most = strlen(word) <= SHORT_WORD ? 1 : 2;

    for (size_t i = 0; i < n; i++) {
        size_t d = suggest_distance(word, options[i], most);

        if (d > most || d >= strlen(options[i]) || strcmp(word, options[i]) == 0 || (best && d == most))
            continue;
        best = options[i];
        most = d;
    }
    return best;
}

struct err *suggest_hint(struct err *e, const char *prefix, const char *word, const char *const *options, size_t n)
{
    const char *near = e ? suggest(word, options, n) : NULL;

    return near ? err_hint(e, "Did you mean '%s%s'?", prefix, near) : e;
}
