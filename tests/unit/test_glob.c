#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above first */
#include <cmocka.h>

#include "context/context.h"
#include "context/pattern_priv.h"
#include "sys/file.h"

#include <fcntl.h>
#include <string.h>

static const struct {
    const char *pattern, *name;
    int answer; /* 1 matches, 0 does not, -1 malformed */
} rows[] = {
    { "abc", "abc", 1 },
    { "abc", "ab", 0 },
    { "*", "", 1 },
    { "*", "abc", 1 },
    { "*", ".hidden", 1 },
    { "*c", "abc", 1 },
    { "a*", "a", 1 },
    { "a*b*c", "axxbyyc", 1 },
    { "a*b*c", "axxcyyb", 0 },
    { "*aab", "aaaab", 1 },
    { "a*a*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 0 },
    { "?", "\xE2\x82\xAC", 1 },
    { "?", "", 0 },
    { "a?", "a", 0 },
    { "[a-c]", "b", 1 },
    { "[a-c]", "d", 0 },
    { "[^a-c]", "d", 1 },
    { "[^a-c]", "b", 0 },
    { "[\xC3\xA0-\xC3\xBC]", "\xC3\xA4", 1 },
    { "[]a]", "]", -1 },
    { "[\\]a]", "]", 1 },
    { "[-]", "-", -1 },
    { "[\\-x]", "-", 1 },
    { "[x\\-]", "-", 1 },
    { "[x-]", "x", -1 },
    { "[-x]", "x", -1 },
    { "[a", "a", -1 },
    { "[", "a", -1 },
    { "[^", "a", -1 },
    { "[^bc", "a", -1 },
    { "x[", "y", -1 },
    { "a\\", "a", -1 },
    { "\\*", "*", 1 },
    { "\\*", "a", 0 },
    { "a[", "ab", -1 },
    { "[!a]", "!", 1 },
    { "**", "abc", 1 },
    { "[[]0]", "[0]", 1 },
    { "a", "a", 1 },
    { "a", "A", 0 },
    { "a", "ab", 0 },
    { "a", "", 0 },
    { "", "", 1 },
    { "", "a", 0 },
    { "?", "a", 1 },
    { "?", "ab", 0 },
    { "?\?", "ab", 1 },
    { "?b", "ab", 1 },
    { "?\?", "ä", 0 },
    { "?\??", "ä€x", 1 },
    { "a?c", "abc", 1 },
    { "a?c", "ac", 0 },
    { "*.go", ".go", 1 },
    { "*.go", "x.go", 1 },
    { "*.go", "x.goo", 0 },
    { "*.go", "x.GO", 0 },
    { "*.*", "x", 0 },
    { "*.*", ".x", 1 },
    { ".*", "x", 0 },
    { ".*", ".x", 1 },
    { "*", "a.b.c", 1 },
    { "x*x", "x", 0 },
    { "x*x", "xx", 1 },
    { "x*x", "xax", 1 },
    { "a**b", "ab", 1 },
    { "a**b", "axxb", 1 },
    { "***", "x", 1 },
    { "a*?", "a", 0 },
    { "a*?", "ab", 1 },
    { "?*", "", 0 },
    { "*?*", "b", 1 },
    { "[a]", "a", 1 },
    { "[ab]c", "bc", 1 },
    { "[ab]c", "cc", 0 },
    { "[a-c-e]", "d", -1 },
    { "[a-ce-g]", "d", 0 },
    { "[a-ce-g]", "f", 1 },
    { "[c-a]", "b", 0 },
    { "[a-a]", "a", 1 },
    { "[^a]", "a", 0 },
    { "[!a]", "b", 0 },
    { "[^^]", "^", 0 },
    { "[^^]", "a", 1 },
    { "[\\^a]", "^", 1 },
    { "[a^]", "^", 1 },
    { "[\\]]", "]", 1 },
    { "[\\[]", "[", 1 },
    { "[\\\\]", "\\", 1 },
    { "[a\\-z]", "-", 1 },
    { "[a\\-z]", "m", 0 },
    { "[a\\]b]c", "]c", 1 },
    { "[]", "a", -1 },
    { "[]]", "]", -1 },
    { "[^]a]", "b", -1 },
    { "[a-]", "a", -1 },
    { "[-a]", "a", -1 },
    { "[a-", "b", -1 },
    { "[\\", "a", -1 },
    { "[a\\", "a", -1 },
    { "[a]b]", "ab]", 1 },
    { "[*]", "*", 1 },
    { "[*]", "a", 0 },
    { "[?]", "?", 1 },
    { "[a-z]*", "x1", 1 },
    { "[0-9][0-9]", "42", 1 },
    { "[0-9][0-9]", "4x", 0 },
    { "[а-я]", "ж", 1 },
    { "[^а-я]", "ж", 0 },
    { "[ä]", "ä", 1 },
    { "]", "]", 1 },
    { "a]", "a]", 1 },
    { "a[b", "ab", -1 },
    { "a*[", "ab", -1 },
    { "\\a", "a", 1 },
    { "\\?", "?", 1 },
    { "\\?", "a", 0 },
    { "\\[", "[", 1 },
    { "\\\\", "\\", 1 },
    { "\\\\*", "\\x", 1 },
    { "*\\*", "a*", 1 },
    { "*\\*", "ab", 0 },
    { "a\\b", "ab", 1 },
    { "\\", "x", -1 },
    { "*\\", "a", -1 },
    { "a b", "a b", 1 },
    { "* *", "a b", 1 },
    { "{a,b}", "a", 0 },
    { "{a,b}", "{a,b}", 1 },
    { "(a", "(a", 1 },
    { "a+", "aa", 0 },
    { "^a$", "^a$", 1 },
    { "$A", "$A", 1 },
    { "~", "~", 1 },
};

static void test_match(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int answer = !glob_is_valid(rows[i].pattern) ? -1 : glob_matches(rows[i].pattern, rows[i].name);

        if (answer != rows[i].answer)
            fail_msg("'%s' and '%s': %d", rows[i].pattern, rows[i].name, answer);
    }
}

/* ---- a tree ---- */

static char root[] = "/tmp/copyup-test-XXXXXX";
static int root_fd = -1;

static int make_tree(void **state)
{
    static const char *const files[] = { "a.go",   "b.go",    ".h.go",      "sub/x/one",  "sub/y/one", "sub/y/two",
                                         "sub/zz", "out/bin", "out/keep/k", "lit*x/file", "n[0]" };

    (void)state;
    if (!mkdtemp(root))
        return -1;
    root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        AUTO_FREE char *path = xasprintf("%s/%s", root, files[i]);

        err_free(file_write_atomic(path, "x", 1, 0644));
    }
    if (mkdirat(root_fd, "empty", 0755) < 0 || symlinkat("sub", root_fd, "link") < 0 ||
        symlinkat("/sub/y", root_fd, "sub/abs") < 0 || symlinkat("../../..", root_fd, "up") < 0 ||
        symlinkat("gone", root_fd, "dead") < 0 || symlinkat("loop", root_fd, "loop") < 0)
        return -1;
    return 0;
}

static int remove_tree(void **state)
{
    (void)state;
    close(root_fd);
    err_free(file_remove_tree(AT_FDCWD, root));
    return 0;
}

static struct ignore *parse(const char *text)
{
    struct ignore *g = NULL;

    if (text)
        assert_null(ignore_parse(text, strlen(text), &g));
    return g;
}

static const struct {
    const char *pattern, *ignore, *found; /* found NULL: must fail */
} globs[] = {
    { "*.go", NULL, ".h.go a.go b.go " },
    { "/*.go", NULL, ".h.go a.go b.go " },
    { "../*.go", NULL, ".h.go a.go b.go " },
    { "a.go", NULL, "a.go " },
    { "missing", NULL, "" },
    { "*.c", NULL, "" },
    { ".", NULL, ". " },
    { "/", NULL, ". " },
    { "sub/", NULL, "sub " },
    { "sub/*/one", NULL, "sub/x/one sub/y/one " },
    { "sub/*/*", NULL, "sub/x/one sub/y/one sub/y/two " },
    { "sub/*", NULL, "sub/abs sub/x sub/y sub/zz " },
    { "s*/zz", NULL, "sub/zz " },
    { "link/z*", NULL, "sub/zz " },  /* before the wildcard links are followed ... */
    { "l*/zz", NULL, "" },           /* ... and after it they are not */
    { "link/zz", NULL, "link/zz " }, /* without one the path is itself */
    { "sub/abs/o*", NULL, "sub/y/one " },
    { "up/a*", NULL, "a.go " },
    { "**/one", NULL, "" }, /* one element only */
    { "sub/**/one", NULL, "sub/x/one sub/y/one " },
    { "lit\\*x/f*", NULL, "" }, /* no wildcard before: the backslash is a character */
    { "n[[]0]", NULL, "n[0] " },
    { "d*", NULL, "dead " },
    { "dead", NULL, "" },
    { "loop", NULL, NULL },
    { "a.go/x", NULL, "" },
    { "a.go/*", NULL, "" },
    { "[", NULL, NULL },
    { "*.go", "a.go", ".h.go b.go " },
    { "a.go", "a.go", "" },
    { "out", "out", "" },
    { "out", "out\n!out/keep", "out " },
    { "out/*", "out\n!out/keep", "out/keep " },
    { "o*/*", "out/*\n!out/keep/k", "out/keep " },
    { "out", "out\n!out/other", "" },
    { "link/zz", "link", "" },
    { "link/zz", "sub/zz", "" },
    { "link/zz", "sub/x", "link/zz " },
    { "*", "*", "" },
    { "*", "*\n!empty\n!n*", "empty n[0] " },
};

static void test_glob(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(globs) / sizeof(globs[0]); i++) {
        AUTO(ignore_free) struct ignore *g = parse(globs[i].ignore);
        AUTO(strs_release) struct strs found = { 0 };
        AUTO(buf_release) struct buf all = BUF_INIT;
        struct err *e = context_glob(root_fd, globs[i].pattern, g, &found);

        for (size_t j = 0; j < found.n; j++)
            buf_printf(&all, "%s ", found.items[j]);
        if (!e != !!globs[i].found || (globs[i].found && strcmp(buf_str(&all), globs[i].found) != 0))
            fail_msg("'%s' without '%s' found '%s'", globs[i].pattern, globs[i].ignore, buf_str(&all));
        if (e)
            assert_int_equal(err_kind(e), ERR_DOCKERFILE);
        err_free(e);
    }
}

static void test_find(void **state)
{
    static const struct {
        const char *path, *real;
    } finds[] = {
        { "link/y/one", "sub/y/one" },
        { "sub/abs/two", "sub/y/two" },
        { "up", "." },
        { "up/up/a.go", "a.go" },
        { "dead", NULL },
        { "link/../a.go", "a.go" },
        { "a.go/", "a.go" },
        { "", "." },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(finds) / sizeof(finds[0]); i++) {
        AUTO_FREE char *real = NULL;

        assert_null(context_find(root_fd, finds[i].path, NULL, &real));
        if (!real != !finds[i].real || (real && strcmp(real, finds[i].real) != 0))
            fail_msg("'%s' is '%s'", finds[i].path, real);
    }
}

static void test_open(void **state)
{
    AUTO(context_free) struct context *c = NULL, *none = NULL;
    struct err *e;

    (void)state;
    assert_null(context_open(root, "*.go", 4, &c));
    assert_true(context_fd(c) >= 0);
    assert_true(ignore_excludes(context_ignore(c), "a.go"));
    e = context_open("/nonexistent/x", NULL, 0, &none);
    assert_non_null(e);
    assert_int_equal(err_kind(e), ERR_DOCKERFILE);
    err_free(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_match),
        cmocka_unit_test(test_glob),
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_open),
    };

    return cmocka_run_group_tests_name("glob", tests, make_tree, remove_tree);
}
