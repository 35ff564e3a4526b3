#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above first */
#include <cmocka.h>

#include "../../cmd/copyup/lint.h"
#include "base/buf.h"
#include "base/limits.h"
#include "sys/file.h"

#include <string.h>

static char *rules(void)
{
    char *out = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&out, &n);

    lint_print_rules(f);
    fclose(f);
    return out;
}

static void test_docs(void **state)
{
    static const char path[] = "docs/lint.md";
    AUTO_FREE char *markdown = rules();
    AUTO(buf_release) struct buf docs = BUF_INIT;

    (void)state;
    if (access(path, F_OK) != 0)
        skip(); /* the tests run elsewhere */
    if (getenv("UPDATE_DOCS")) {
        FILE *f = fopen(path, "w");

        assert_non_null(f);
        fputs(markdown, f);
        assert_int_equal(fclose(f), 0);
    }
    assert_null(file_read(path, LIMIT_SETTING_FILE_BYTES, &docs));
    if (strcmp(buf_str(&docs), markdown) != 0)
        fail_msg("docs/lint.md is not what the rules say: UPDATE_DOCS=1 build/tests/test_lint_command writes it again");
    for (int k = 0; k < LINT_RULE_COUNT; k++) {
        AUTO_FREE char *title = xasprintf("\n### %s", lint_rule_info((enum lint_rule)k)->id);

        assert_non_null(strstr(markdown, title));
    }
}

/* ---- how warnings are shown ---- */

static struct lint *check(const char *text, struct dockerfile **ret_df)
{
    struct plan_opts opts = { 0 };
    struct lint *l = NULL;

    opts.target_platform = opts.build_platform = platform_host();
    assert_null(dockerfile_parse("Dockerfile", text, strlen(text), ret_df));
    assert_null(lint_new(*ret_df, &opts, &l));
    lint_dockerfile(l);
    return l;
}

static char *shown(struct lint *l)
{
    char *out = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&out, &n);

    lint_show(f, l);
    fclose(f);
    return out;
}

static size_t count(const char *text, const char *part)
{
    size_t n = 0;

    while ((text = strstr(text, part)) != NULL) {
        text++;
        n++;
    }
    return n;
}

static void test_show(void **state)
{
    AUTO(dockerfile_free) struct dockerfile *df = NULL;
    AUTO(lint_free) struct lint *l = check("# check=skip=Nope\nFROM a AS B\nFROM a AS C\n", &df);
    AUTO_FREE char *out = shown(l);
    AUTO_FREE char *advice = xasprintf("  hint: %s\n", lint_rule_info(LINT_STAGE_NAME_CASING)->advice);

    (void)state;
    assert_true(strncmp(out, "note: Dockerfile:1: there is no check 'Nope'\nwarning: StageNameCasing: ", 70) == 0);
    assert_non_null(strstr(out, "  at Dockerfile:2, stage 'b'\n"));
    assert_non_null(strstr(out, ">     3 | FROM a AS C\n        |           ^\n"));
    assert_int_equal(count(out, "warning: "), 2);
    assert_int_equal(count(out, advice), 1); /* once is enough */
}

static void test_show_dropped(void **state)
{
    AUTO(buf_release) struct buf text = BUF_INIT;
    AUTO(dockerfile_free) struct dockerfile *df = NULL;

    (void)state;
    for (int i = 0; i < LIMIT_LINT_WARNINGS + 7; i++)
        buf_printf(&text, "FROM a AS S%d\n", i);
    AUTO(lint_free) struct lint *l = check(buf_str(&text), &df);
    AUTO_FREE char *out = shown(l);
    assert_int_equal(count(out, "warning: StageNameCasing"), LIMIT_LINT_WARNINGS);
    assert_non_null(strstr(out, "warning: and 7 more\n"));
}

/* ---- arguments ---- */

static void test_arguments(void **state)
{
    static const struct {
        const char *argv[5];
        int code;
    } rows[] = {
        { { "--no-such-option" }, 64 },
        { { "--format" }, 64 },
        { { "--format=xml" }, 64 },
        { { "--format", "yaml" }, 64 },
        { { "a", "b" }, 64 },
        { { "--target" }, 64 },
        { { "no/such/Dockerfile" }, 65 },
        { { "--build-arg", "A=1", "no/such/Dockerfile" }, 65 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char name[] = "lint", *argv[7] = { name };
        int argc = 1;

        for (; argc < 6 && rows[i].argv[argc - 1]; argc++)
            argv[argc] = (char *)rows[i].argv[argc - 1];
        int code = lint_main(argc, argv);
        if (code != rows[i].code)
            fail_msg("row %zu (%s): %d, not %d", i, rows[i].argv[0], code, rows[i].code);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_docs),
        cmocka_unit_test(test_show),
        cmocka_unit_test(test_show_dropped),
        cmocka_unit_test(test_arguments),
    };

    return cmocka_run_group_tests_name("lint_command", tests, NULL, NULL);
}
