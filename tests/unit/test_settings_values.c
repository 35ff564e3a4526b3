#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above first */
#include <cmocka.h>

#include "base/buf.h"
#include "settings/tags.h"
#include "settings/values.h"

#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define BAD      (INT64_MIN + 1)

static void test_bool(void **state)
{
    (void)state;
    static const char *const yes[] = { "1", "t", "T", "TRUE", "true", "True" };
    static const char *const no[] = { "0", "f", "F", "FALSE", "false", "False" };
    static const char *const bad[] = { "", "yes", "no", "on", "tRUE", "true ", "2", "01", "truee" };

    for (size_t i = 0; i < 6; i++) {
        bool b = false;
        assert_true(value_bool(yes[i], &b) && b);
        assert_true(value_bool(no[i], &b) && !b);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        bool b;
        if (value_bool(bad[i], &b))
            fail_msg("'%s' is accepted", bad[i]);
    }
}

static const struct {
    const char *text;
    int64_t want;
} ints[] = {
    { "0", 0 },
    { "7", 7 },
    { "+7", 7 },
    { "-7", -7 },
    { "-0", 0 },
    { "0x1f", 31 },
    { "0XAb", 171 },
    { "-0x10", -16 },
    { "010", 8 },
    { "00", 0 },
    { "0o17", 15 },
    { "0b101", 5 },
    { "1_000", 1000 },
    { "0x_1", 1 },
    { "0_7", 7 },
    { "9223372036854775807", INT64_MAX },
    { "-9223372036854775808", INT64_MIN },
    { "9223372036854775808", BAD },
    { "-9223372036854775809", BAD },
    { "", BAD },
    { "-", BAD },
    { "+", BAD },
    { "--1", BAD },
    { "24h", BAD },
    { "1.0", BAD },
    { "1e3", BAD },
    { " 1", BAD },
    { "1 ", BAD },
    { "08", BAD },
    { "0x", BAD },
    { "0b2", BAD },
    { "0xg", BAD },
    { "_1", BAD },
    { "1_", BAD },
    { "1__0", BAD },
    { "abc", BAD },
};

static void test_int(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(ints); i++) {
        int64_t n = BAD;
        bool ok = value_int(ints[i].text, &n);

        if (ok != (ints[i].want != BAD) || n != ints[i].want)
            fail_msg("'%s' gives %lld", ints[i].text, (long long)n);
    }
}

static const struct {
    const char *text;
    int64_t want;
} durations[] = {
    { "0", 0 },
    { "90", 90000 },
    { " 90 ", 90000 },
    { "90s", 90000 },
    { "30m", 1800000 },
    { "2h", 7200000 },
    { "1d", 86400000 },
    { "1w", 604800000 },
    { "250ms", 250 },
    { "1h30m", 5400000 },
    { "1w2d3h4m5s6ms", 788645006 },
    { "1h 30m", 5400000 },
    { "30m1h", 5400000 },
    { "0s", 0 },
    { "", BAD },
    { " ", BAD },
    { "1h30", BAD },
    { "h", BAD },
    { "-1h", BAD },
    { "1.5h", BAD },
    { "1y", BAD },
    { "1H", BAD },
    { "10 20", BAD },
    { "99999999999999999999", BAD },
    { "522w", BAD },
    { "1h,2m", BAD },
};

static void test_duration(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(durations); i++) {
        int64_t ms = BAD;
        bool ok = value_duration(durations[i].text, &ms);

        if (ok != (durations[i].want != BAD) || ms != durations[i].want)
            fail_msg("'%s' gives %lld", durations[i].text, (long long)ms);
    }
}

static const struct {
    const char *text;
    int64_t want;
} sizes[] = {
    { "0", 0 },          { "12", 12 },
    { " 12 ", 12 },      { "1K", 1024 },
    { "1k", 1024 },      { "2M", 2 << 20 },
    { "5G", 5LL << 30 }, { "1T", 1LL << 40 },
    { "1GB", 1 << 30 },  { "1GiB", 1 << 30 },
    { "1mb", 1 << 20 },  { "8388607T", 8388607LL << 40 },
    { "8388608T", BAD }, { "", BAD },
    { "G", BAD },        { "-1", BAD },
    { "1.5G", BAD },     { "1X", BAD },
    { "1Gi", BAD },      { "1B", BAD },
    { "1 G", BAD },      { "99999999999999999999", BAD },
};

static void test_size(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(sizes); i++) {
        int64_t n = BAD;
        bool ok = value_size(sizes[i].text, &n);

        if (ok != (sizes[i].want != BAD) || n != sizes[i].want)
            fail_msg("'%s' gives %lld", sizes[i].text, (long long)n);
    }
}

static char *joined(const struct strs *l)
{
    struct buf b = BUF_INIT;

    for (size_t i = 0; i < l->n; i++)
        buf_printf(&b, "%s%s", i > 0 ? "|" : "", l->items[i]);
    return buf_steal(&b);
}

static void test_list(void **state)
{
    (void)state;
    static const struct {
        const char *text, *separators, *want;
    } rows[] = {
        { "a", ",", "a" },         { "a,b", ",", "a|b" }, { " a , b ", ",", "a|b" },
        { ",a,,b,", ",", "a|b" },  { "", ",", "" },       { " , ", ",", "" },
        { "a,b;c", ";", "a,b|c" }, { "a b", ",", "a b" }, { "a\r\nb\n", ",\n", "a|b" },
        { "\ta\t", ",", "a" },
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        __attribute__((cleanup(strs_release_auto))) struct strs l = { 0 };
        value_list(rows[i].text, rows[i].separators, &l);
        AUTO_FREE char *have = joined(&l);
        if (strcmp(have, rows[i].want) != 0)
            fail_msg("'%s' gives %s", rows[i].text, have);
    }
}

static const struct {
    const char *tag, *want;
} expanded[] = {
    { "v4.5.6", "4|4.5|4.5.6" },
    { "4.5.6", "4|4.5|4.5.6" },
    { "0.1.2", "0|0.1|0.1.2" },
    { "4", "4|4.0|4.0.0" },
    { "v4.5", "4|4.5|4.5.0" },
    { "4.5.6-beta.2", "4.5.6-beta.2" },
    { "v4.5.6-beta", "4.5.6-beta" },
    { "4.5.6_beta", "4.5.6-beta" },
    { "4.5.6+linux_arm", "4+linux-arm|4.5+linux-arm|4.5.6+linux-arm" },
    { "4.5.6-b+c", "4.5.6-b+c" },
    { "latest", "latest" },
    { "v", "v" },
    { "vv1", "vv1" },
    { "4.5-beta", "4.5-beta" },
    { "4.05.6", "4.05.6" },
    { "4.5.6.7", "4.5.6.7" },
    { "4.5.", "4.5." },
    { "4.5.6-", "4.5.6-" },
    { "4.5.6-01", "4.5.6-01" },
    { "4.5.6+", "4.5.6+" },
    { "4.5.6-a..b", "4.5.6-a..b" },
    { "1_2_3", "1_2_3" },
    { "", "" },
};

static void test_expand(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(expanded); i++) {
        __attribute__((cleanup(strs_release_auto))) struct strs l = { 0 };
        tags_expand(expanded[i].tag, &l);
        AUTO_FREE char *have = joined(&l);
        if (strcmp(have, expanded[i].want) != 0)
            fail_msg("'%s' gives %s", expanded[i].tag, have);
    }
}

/* want NULL: refused. */
static const struct {
    const char *ref, *suffix, *want;
} automatic[] = {
    { "refs/heads/main", "", "latest" },
    { "refs/heads/main", NULL, "latest" },
    { "refs/heads/main", "arm", "arm" },
    { "refs/tags/v2.3.4", "", "2|2.3|2.3.4" },
    { "refs/tags/2.3.4", "arm", "2-arm|2.3-arm|2.3.4-arm" },
    { "refs/tags/v0.3.4", "", "0.3|0.3.4" },
    { "refs/tags/v2.03.004", "", "2|2.03|2.03.004" },
    { "refs/tags/v2.3.4-rc.1", "", "2.3.4-rc.1" },
    { "refs/tags/v02.3.4-rc", "", "2.3.4-rc" },
    { "refs/tags/v2.3.4+b", "arm", "2.3.4+b-arm" },
    { "refs/tags/v2.3.4-", "", "2|2.3|2.3.4" },
    { "refs/tags/release", "", NULL },
    { "refs/tags/v2.3", "", NULL },
    { "refs/tags/v2.3.x", "", NULL },
    { "refs/tags/v2..4", "", NULL },
    { "refs/tags/v2.3.4-a_b", "", NULL },
    { "refs/tags/v99999999999999999999.1.1", "", NULL },
    { "", "", "latest" },
};

static void test_automatic(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(automatic); i++) {
        __attribute__((cleanup(strs_release_auto))) struct strs l = { 0 };
        struct err *e = tags_auto(automatic[i].ref, automatic[i].suffix, &l);

        if (!e != !!automatic[i].want)
            fail_msg("'%s' is %s", automatic[i].ref, e ? "refused" : "accepted");
        if (e) {
            err_free(e);
            assert_int_equal(l.n, 0);
            continue;
        }
        AUTO_FREE char *have = joined(&l);
        if (strcmp(have, automatic[i].want) != 0)
            fail_msg("'%s' gives %s", automatic[i].ref, have);
    }
}

static void test_applies(void **state)
{
    (void)state;
    assert_true(tags_auto_applies("refs/tags/anything", "main"));
    assert_true(tags_auto_applies("refs/heads/main", "main"));
    assert_true(tags_auto_applies("main", "main"));
    assert_false(tags_auto_applies("refs/heads/dev", "main"));
    assert_false(tags_auto_applies("refs/heads/main", ""));
    assert_false(tags_auto_applies("refs/pull/1/head", "main"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bool),      cmocka_unit_test(test_int),     cmocka_unit_test(test_duration),
        cmocka_unit_test(test_size),      cmocka_unit_test(test_list),    cmocka_unit_test(test_expand),
        cmocka_unit_test(test_automatic), cmocka_unit_test(test_applies),
    };

    return cmocka_run_group_tests_name("settings_values", tests, NULL, NULL);
}
