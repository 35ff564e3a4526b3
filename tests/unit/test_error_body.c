#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above first */
#include <cmocka.h>

#include "oci/error_body.h"

#include <string.h>

static const struct {
    const char *type, *body, *want;
} rows[] = {
    { "application/json", "{\"errors\":[{\"code\":\"DENIED\",\"message\":\"no\"}]}", "DENIED: no" },
    { NULL, "{\"errors\":[{\"code\":\"A\",\"message\":\"a\"},{\"code\":\"B\"}]}", "A: a; B" },
    { NULL, "{\"errors\":[{\"code\":\"A\",\"message\":\"a\",\"detail\":[{\"Action\":\"pull\"}]}]}",
      "A: a ([{\"Action\":\"pull\"}])" },
    { NULL, "{\"errors\":[{\"message\":\"a\",\"detail\":\"a\"}]}", "a" },
    { NULL, "{\"errors\":[]}", "" },
    { NULL, "{\"errors\":[{\"code\":\"1\"},{\"code\":\"2\"},{\"code\":\"3\"},{\"code\":\"4\"}]}", "1; 2; 3" },
    { NULL, "{\"error\":\"invalid_client\",\"error_description\":\"AADSTS7000215: Wrong.\\r\\nTrace ID: 1\"}",
      "invalid_client: AADSTS7000215: Wrong. Trace ID: 1" },
    { NULL, "{\"error\":{\"code\":\"AuthorizationFailed\",\"message\":\"no role\"}}", "AuthorizationFailed: no role" },
    { NULL, "{\"details\":\"incorrect username or password\"}", "incorrect username or password" },
    { NULL, "{}", "" },
    { "text/plain; charset=utf-8", "404 page not found\nmore", "404 page not found" },
    { "text/html", "<html>", "" },
    { NULL, "plain", "plain" },
    { NULL, "", "" },
    { NULL, "\x1b[31mred\x7f", " [31mred " },
    { NULL, "{\"error\":\"got eyJhbGciOi.abc-DEF_.xyz, wanted\"}", "got ***, wanted" },
    { NULL, "{\"error\":\"at https://x/y?se=1&sig=abc%2Fdef%3D&sp=r\"}", "at https://x/y?se=1&sig=***&sp=r" },
    { NULL, "{\"error\":\"Bearer abcdefgh is wrong\"}", "Bearer *** is wrong" },
    { NULL, "{\"error\":\"_state=abc\"}", "_state=***" },
    { NULL, "{\"error\":\"sig= eyJ\"}", "sig= eyJ" },
};

static void test_describe(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        AUTO(buf_release) struct buf out = BUF_INIT;

        error_body_describe(rows[i].body, strlen(rows[i].body), rows[i].type, &out);
        if (strcmp(buf_str(&out), rows[i].want) != 0)
            fail_msg("%s: '%s'", rows[i].body, buf_str(&out));
    }
}

static void test_long(void **state)
{
    AUTO(buf_release) struct buf body = BUF_INIT, out = BUF_INIT;

    (void)state;
    for (int i = 0; i < 3000; i++)
        buf_putc(&body, 'x');
    error_body_describe(body.data, body.len, "text/plain", &out);
    assert_int_equal(out.len, 2003);
    assert_string_equal(out.data + 2000, "...");
}

static void test_has(void **state)
{
    static const char *const bodies[] = { "{\"errors\":[{\"code\":\"A\"},{\"code\":\"B\"}]}", "{\"error\":\"B\"}",
                                          "{\"error\":{\"code\":\"B\"}}" };

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        assert_true(error_body_has(bodies[i], strlen(bodies[i]), "B"));
        assert_false(error_body_has(bodies[i], strlen(bodies[i]), "C"));
    }
    assert_false(error_body_has("B", 1, "B"));
    assert_false(error_body_has(NULL, 0, "B"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_describe),
        cmocka_unit_test(test_long),
        cmocka_unit_test(test_has),
    };

    return cmocka_run_group_tests_name("error body", tests, NULL, NULL);
}
