/* suggest.c - "did you mean": the nearest of a few words. */
#include "dockerfile/parse.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

enum { LONGEST = 32, NEAR = 2 };

static size_t least(size_t a, size_t b, size_t c)
{
    size_t m = a < b ? a : b;

    return m < c ? m : c;
}

/* Levenshtein distance without regard to case; both at most LONGEST long. */
static size_t distance(const char *a, const char *b)
{
    size_t row[LONGEST + 1], n = strlen(b);

    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t above = row[j];
            bool same = tolower((unsigned char)a[i - 1]) == tolower((unsigned char)b[j - 1]);

            row[j] = least(above + 1, row[j - 1] + 1, diagonal + (same ? 0 : 1));
            diagonal = above;
        }
    }
    return row[n];
}

const char *suggest(const char *word, const char *const *options, size_t n)
{
    const char *best = NULL;
    size_t best_distance = NEAR + 1;

    if (strlen(word) > LONGEST)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        size_t d = distance(word, options[i]);

        if (d < best_distance && d < strlen(options[i])) {
            best = options[i];
            best_distance = d;
        }
    }
    return best;
}

struct err *suggest_hint(struct err *e, const char *prefix, const char *word, const char *const *options, size_t n)
{
    const char *near = suggest(word, options, n);

    return near ? err_hint(e, "Did you mean '%s%s'?", prefix, near) : e;
}
