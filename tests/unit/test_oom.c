/* Deaths that the kernel counts for the whole container, put down to RUNs. */
#include "sandbox/oom_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define RUNS 3

static uint64_t kills;

static uint64_t count_kills(const char *root)
{
    (void)root;
    return kills;
}

/* A story: 'A'..'C' a RUN begins, 'a'..'c' it ends, '!' a process is killed. What each RUN is told: '-' nothing, 'o'
 * its own, 's' shared, 'b' both. */
static const struct {
    const char *story, *told;
} rows[] = {
    { "Aa", "-" },         { "A!a", "o" },     { "!Aa", "-" }, /* before it */
    { "Aa!Bb", "--" },                                         /* between two */
    { "A!aBb", "o-" },                                         /* one after the other */
    { "AB!ab", "ss" },                                         /* at the same time */
    { "A!Bab", "o-" },                                         /* before the other came */
    { "ABa!b", "-o" },                                         /* after the other went */
    { "ABb!a", "o-" },                                         /* the older one */
    { "A!B!ab", "bs" },                                        /* before, and then */
    { "AB!bCac", "ss-" },                                      /* the third came later */
    { "ABC!cb!a", "bss" }, { "AB!!ab", "ss" },
};

static char told_to(const struct oom_run *r)
{
    if (r->own && r->shared)
        return 'b';
    return r->own ? 'o' : r->shared ? 's' : '-';
}

static void test_stories(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct oom_book *book = oom_book_new(count_kills);
        struct oom_run runs[RUNS] = { { 0 } };
        char told[RUNS + 1] = "";

        for (const char *p = rows[i].story; *p; p++)
            if (*p == '!')
                kills++;
            else if (*p >= 'a')
                oom_end(book, &runs[*p - 'a']);
            else
                oom_begin(book, &runs[*p - 'A']);
        for (size_t k = 0; k < strlen(rows[i].told); k++)
            told[k] = told_to(&runs[k]);
        if (strcmp(told, rows[i].told) != 0)
            fail_msg("%s: %s, not %s", rows[i].story, told, rows[i].told);
        oom_book_free(book);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_stories) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
