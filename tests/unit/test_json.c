#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above first */
#include <cmocka.h>

#include "base/limits.h"
#include "json/json.h"

#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* What comes out when it is parsed and written again. */
static const struct {
    const char *name, *in, *out;
} rewrites[] = {
    { "null", "null", "null" },
    { "true", " true\n", "true" },
    { "false", "false", "false" },
    { "zero", "0", "0" },
    { "negative", "-12", "-12" },
    { "number keeps its spelling", "1.50e+3", "1.50e+3" },
    { "huge number keeps its spelling", "123456789012345678901234567890", "123456789012345678901234567890" },
    { "empty string", "\"\"", "\"\"" },
    { "string", "\"a b\"", "\"a b\"" },
    { "quote and backslash", "\"\\\"\\\\\"", "\"\\\"\\\\\"" },
    { "slash loses its escape", "\"\\/\"", "\"/\"" },
    { "short escapes", "\"\\b\\f\\n\\r\\t\"", "\"\\b\\f\\n\\r\\t\"" },
    { "control character", "\"\\u0001\\u001f\"", "\"\\u0001\\u001f\"" },
    { "no HTML escapes", "\"<a>&\\u003c\"", "\"<a>&<\"" },
    { "escape to UTF-8", "\"\\u00e9\\u20ac\"", "\"\xc3\xa9\xe2\x82\xac\"" },
    { "surrogate pair", "\"\\ud83d\\ude00\"", "\"\xf0\x9f\x98\x80\"" },
    { "DEL is no control character", "\"\x7f\"", "\"\x7f\"" },
    { "empty array", "[ ]", "[]" },
    { "empty object", "{ }", "{}" },
    { "array", "[1, \"a\", null, [true]]", "[1,\"a\",null,[true]]" },
    { "object keeps its order", "{\"b\":1,\"a\":{\"d\":[],\"c\":{}}}", "{\"b\":1,\"a\":{\"d\":[],\"c\":{}}}" },
    { "members of one name", "{\"a\":1,\"a\":2}", "{\"a\":1,\"a\":2}" },
};

static void test_rewrite(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rewrites); i++) {
        AUTO(json_free) struct json *tree = NULL;
        AUTO(json_writer_free) struct json_writer *w = json_writer_new();
        struct err *e = json_parse(rewrites[i].in, strlen(rewrites[i].in), &tree);

        if (e)
            fail_msg("'%s' is refused: %s", rewrites[i].name, err_message(e));
        json_put_value(w, tree);
        AUTO_FREE char *out = json_writer_steal(w);
        if (strcmp(out, rewrites[i].out) != 0)
            fail_msg("'%s' gives %s", rewrites[i].name, out);
    }
}

static const struct {
    const char *name, *in, *why;
} refused[] = {
    { "nothing", "", "JSON" },
    { "blanks", " \n", "JSON" },
    { "text", "nonsense", "byte" },
    { "half a string", "\"abc", "JSON" },
    { "half an object", "{\"a\":1", "JSON" },
    { "half an array", "[1,", "JSON" },
    { "comma at the end", "[1,]", "byte" },
    { "name without quotes", "{a:1}", "byte" },
    { "number as name", "{1:1}", "byte" },
    { "two documents", "{} {}", "byte" },
    { "single quotes", "'a'", "byte" },
    { "bad escape", "\"\\x\"", "byte" },
    { "control character in a string", "\"\x01\"", "byte" },
    { "not UTF-8", "\"\xff\"", "byte" },
    { "NUL in a string", "\"a\\u0000b\"", "NUL" },
    { "NUL in a name", "{\"a\\u0000b\":1}", "NUL" },
    { "comment", "/* x */ 1", "byte" },
};

static void test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(refused); i++) {
        struct json *tree = NULL;
        struct err *e = json_parse(refused[i].in, strlen(refused[i].in), &tree);

        if (!e)
            fail_msg("'%s' is accepted", refused[i].name);
        if (!strstr(err_message(e), refused[i].why))
            fail_msg("'%s' says: %s", refused[i].name, err_message(e));
        assert_int_equal(err_kind(e), ERR_REGISTRY);
        err_free(e);
    }
}

static struct err *parse_repeated(const char *first, const char *unit, size_t n)
{
    struct buf text = BUF_INIT;
    struct json *tree = NULL;

    buf_puts(&text, first);
    for (size_t i = 0; i < n; i++)
        buf_puts(&text, unit);
    buf_puts(&text, "]");
    struct err *e = json_parse(text.data, text.len, &tree);
    json_free(tree);
    buf_release(&text);
    return e;
}

static void test_limits(void **state)
{
    (void)state;
    struct err *e = parse_repeated("", "[", LIMIT_JSON_DEPTH + 1);
    assert_non_null(e);
    assert_non_null(strstr(err_message(e), "nested deeper"));
    err_free(e);
    e = parse_repeated("", "[", LIMIT_JSON_DEPTH);
    assert_non_null(e); /* only because it ends too early */
    assert_null(strstr(err_message(e), "nested deeper"));
    err_free(e);
    assert_null(parse_repeated("[0", ",0", LIMIT_JSON_VALUES - 2));
    e = parse_repeated("[0", ",0", LIMIT_JSON_VALUES);
    assert_non_null(e);
    assert_non_null(strstr(err_message(e), "more values"));
    err_free(e);
}

static void test_get(void **state)
{
    (void)state;
    static const char text[] = "{\"s\":\"x\",\"n\":-7,\"f\":1.5,\"big\":99999999999999999999,\"t\":true,\"z\":null,"
                               "\"a\":[1,2],\"o\":{\"k\":\"v\"},\"s\":\"last\"}";
    AUTO(json_free) struct json *t = NULL;
    int64_t n = 42;

    assert_null(json_parse(text, strlen(text), &t));
    assert_string_equal(json_get_string(t, "s"), "last");
    assert_null(json_get_string(t, "n"));
    assert_null(json_get_string(t, "missing"));
    assert_null(json_get_string(NULL, "s"));
    assert_true(json_get_int(t, "n", &n));
    assert_int_equal(n, -7);
    assert_false(json_get_int(t, "f", &n));
    assert_false(json_get_int(t, "big", &n));
    assert_false(json_get_int(t, "s", &n));
    assert_int_equal(n, -7);
    assert_true(json_get_bool(t, "t"));
    assert_false(json_get_bool(t, "n"));
    assert_int_equal(json_type(json_get(t, "z")), JSON_NULL);
    assert_non_null(json_get(t, "z"));
    assert_null(json_get(t, "y"));
    assert_int_equal(json_count(json_get(t, "a")), 2);
    assert_int_equal(json_count(json_get(t, "s")), 0);
    assert_null(json_at(json_get(t, "a"), 2));
    assert_null(json_at(t, 0));
    const struct json *v = NULL;
    assert_string_equal(json_member(json_get(t, "o"), 0, &v), "k");
    assert_string_equal(json_string(v), "v");
    assert_null(json_member(json_get(t, "o"), 1, &v));
    assert_null(json_member(json_get(t, "a"), 0, &v));
}

static void test_write(void **state)
{
    (void)state;
    AUTO(json_writer_free) struct json_writer *w = json_writer_new();

    json_object_begin(w);
    json_key(w, "a");
    json_array_begin(w);
    json_put_int(w, INT64_MIN);
    json_put_bool(w, true);
    json_put_string(w, NULL);
    json_object_begin(w);
    json_object_end(w);
    json_put_string(w, "bad \xff\xc3 \xed\xa0\x80.");
    json_array_end(w);
    json_key(w, "b\n");
    json_put_null(w);
    json_object_end(w);
    AUTO_FREE char *out = json_writer_steal(w);
    assert_string_equal(out, "{\"a\":[-9223372036854775808,true,null,{},\"bad \xef\xbf\xbd\xef\xbf\xbd "
                             "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd.\"],\"b\\n\":null}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rewrite), cmocka_unit_test(test_refused), cmocka_unit_test(test_limits),
        cmocka_unit_test(test_get),     cmocka_unit_test(test_write),
    };

    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
