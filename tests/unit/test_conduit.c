#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../fixtures/no_threads.h"
#include "base/conduit.h"
#include "base/thread.h"

#include <string.h>

#define TOTAL 1000000

static unsigned char byte_at(size_t i)
{
    return (unsigned char)(i * 7 + i / 251);
}

/* Who writes, and how much it writes at once. */
struct writer {
    struct conduit *conduit;
    size_t step, total;
    struct err *last;   /* told at the end */
    struct err *failed; /* what writing gave */
};

static struct err *write_all(struct writer *w)
{
    const struct sink sink = conduit_sink(w->conduit);
    AUTO_FREE unsigned char *p = xcalloc(w->step, 1);

    for (size_t at = 0; at < w->total;) {
        size_t n = w->total - at < w->step ? w->total - at : w->step;

        for (size_t i = 0; i < n; i++)
            p[i] = byte_at(at + i);
        TRY(sink_write(&sink, p, n));
        at += n;
    }
    return NULL;
}

static void *run_writer(void *ctx)
{
    struct writer *w = ctx;

    w->failed = write_all(w);
    conduit_end(w->conduit, w->last);
    return NULL;
}

/* Reads at most `most` bytes, `step` at once; returns how many right ones came. */
static size_t read_right(struct source s, size_t step, size_t most, struct err **ret_error)
{
    AUTO_FREE unsigned char *p = xcalloc(step, 1);
    size_t at = 0;

    for (size_t n = 1; n && at < most;) {
        *ret_error = source_read(&s, p, step, &n);
        if (*ret_error)
            break;
        for (size_t i = 0; i < n; i++)
            if (p[i] != byte_at(at + i))
                fail_msg("byte %zu is wrong", at + i);
        at += n;
    }
    return at;
}

static const struct {
    const char *name;
    size_t buffer, write, read;
} ways[] = {
    { "all at once", 2 * TOTAL, TOTAL, TOTAL },     { "a small buffer", 10, TOTAL, TOTAL },
    { "pieces that do not fit", 1000, 333, 77 },    { "a slow reader", 65536, 65536, 100 },
    { "a slow writer", 65536, 100, 65536 },         { "one byte at a time", 1, 1, 1 },
    { "as large as the buffer", 4096, 4096, 4096 },
};

static void test_passes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        AUTO(conduit_free) struct conduit *c = conduit_new(ways[i].buffer);
        struct writer w = { c, ways[i].write, ways[i].buffer == 1 ? 5000 : TOTAL, NULL, NULL };
        struct err *e = NULL;
        pthread_t t;

        assert_int_equal(thread_start(&t, run_writer, &w), 0);
        if (read_right(conduit_source(c), ways[i].read, SIZE_MAX, &e) != w.total || e)
            fail_msg("%s: not all came", ways[i].name);
        pthread_join(t, NULL);
        assert_null(w.failed);
    }
}

static void test_writer_fails(void **state)
{
    AUTO(conduit_free) struct conduit *c = conduit_new(100);
    struct writer w = { c, 33, 5000, err_new(ERR_NETWORK, "the line is dead"), NULL };
    struct err *e = NULL;
    pthread_t t;

    (void)state;
    assert_int_equal(thread_start(&t, run_writer, &w), 0);
    assert_int_equal(read_right(conduit_source(c), 10, SIZE_MAX, &e), 5000); /* what came before the error counts */
    assert_string_equal(err_message(e), "the line is dead");
    err_free(e);
    pthread_join(t, NULL);
}

static void test_reader_closes(void **state)
{
    AUTO(conduit_free) struct conduit *c = conduit_new(100);
    struct writer w = { c, 33, TOTAL, err_new(ERR_NETWORK, "nobody asks for it"), NULL };
    struct err *e = NULL;
    pthread_t t;

    (void)state;
    assert_int_equal(thread_start(&t, run_writer, &w), 0);
    assert_true(read_right(conduit_source(c), 10, 500, &e) >= 500);
    conduit_close(c);
    pthread_join(t, NULL);
    assert_non_null(w.failed);
    err_free(w.failed);
}

/* ---- reading ahead ---- */

struct numbers {
    size_t at, total;
    bool fails; /* at the end */
};

static struct err *read_numbers(void *ctx, void *p, size_t n, size_t *ret_len)
{
    struct numbers *s = ctx;
    size_t left = s->total - s->at;

    if (!left && s->fails)
        return err_new(ERR_DISK, "the end is damaged");
    n = n < left ? n : left;
    for (size_t i = 0; i < n; i++)
        ((unsigned char *)p)[i] = byte_at(s->at + i);
    s->at += n;
    *ret_len = n;
    return NULL;
}

static void test_ahead(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        struct numbers numbers = { 0, 20000, i % 2 };
        AUTO(ahead_free) struct ahead *a = ahead_new((struct source){ read_numbers, &numbers }, ways[i].buffer);
        struct err *e = NULL;

        assert_int_equal(read_right(ahead_source(a), ways[i].read, SIZE_MAX, &e), numbers.total);
        assert_true((e != NULL) == numbers.fails);
        err_free(e);
    }
}

/* In a pod that allows no more threads it is read when it is asked for. */
static void test_no_threads(void **state)
{
    const size_t before = forbid_threads();

    test_ahead(state);
    allow_threads(before);
}

static void test_ahead_unread(void **state)
{
    struct numbers numbers = { 0, SIZE_MAX, false };
    AUTO(ahead_free) struct ahead *a = ahead_new((struct source){ read_numbers, &numbers }, 1000);
    struct err *e = NULL;

    (void)state;
    assert_true(read_right(ahead_source(a), 10, 50, &e) >= 50); /* it goes away in the middle */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_passes), cmocka_unit_test(test_writer_fails), cmocka_unit_test(test_reader_closes),
        cmocka_unit_test(test_ahead),  cmocka_unit_test(test_ahead_unread), cmocka_unit_test(test_no_threads),
    };

    return cmocka_run_group_tests_name("conduit", tests, NULL, NULL);
}
