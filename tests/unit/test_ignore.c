#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above first */
#include <cmocka.h>

#include "base/buf.h"
#include "context/context.h"
#include "context/ignore.h"
#include "sys/file.h"

#include <fcntl.h>
#include <string.h>
#include <time.h>

static struct ignore *parse(const char *text)
{
    struct ignore *g = NULL;
    struct err *e = ignore_parse(text, strlen(text), &g);

    if (e) {
        err_print(stderr, e);
        fail_msg("cannot parse '%s'", text);
    }
    return g;
}

/* One path per row: the file's text, the path, excluded or not. */
static const struct {
    const char *text, *path;
    bool excluded;
} matches[] = {
    { "", "a", false },
    { "target", "target", true },
    { "target", "target/debug/app", true },
    { "target", "src/target", false },
    { "target", "targets", false },
    { "/target", "target/x", true },
    { "./target/", "target/x", true },
    { "src/../target", "target", true },
    { "Target", "target", false },
    { "*.o", "main.o", true },
    { "*.o", "src/main.o", false },
    { "*.o", "dir.o/file", true },
    { "*", "any", true },
    { "*", "any/thing", true },
    { "*/*.o", "src/main.o", true },
    { "*/*.o", "main.o", false },
    { "?.txt", "a.txt", true },
    { "?.txt", "\xC3\xA4.txt", true },
    { "?.txt", "ab.txt", false },
    { "a?b", "a/b", false },
    { "**/*.o", "main.o", true },
    { "**/*.o", "a/b/c/main.o", true },
    { "**/*.o", "a/b/c/main.obj", false },
    { "**/.git", ".git/HEAD", true },
    { "**/.git", "sub/mod/.git", true },
    { "**/.git", "sub/mod/.gitignore", false },
    { "**/.git", "x.git", false },
    { "**git", "x.git", true },
    { "**git", "gitx", false },
    { "**/.git/**", "a/.git/objects/1", true },
    { "**/.git/**", "a/.git", false },
    { "**/.git/**", "a/b.git/x", false },
    { "**/test_*", "deep/down/test_one.c", true },
    { "**/test_*", "deep/my_test_one.c", false },
    { "**/test_*", "deep/test_dir/file", true },
    { "**/a*/b", "x/aa/b", true },
    { "**/a*/b", "x/aa/c/b", false },
    { "docs/**", "docs/a", true },
    { "docs/**", "docs", false },
    { "docs/**", "docs2/a", false },
    { "docs**", "docs2/a", true },
    { "docs/**/draft", "docs/draft", true },
    { "docs/**/draft", "docs/a/b/draft", true },
    { "docs/**/draft", "docs/adraft", false },
    { "a/**/b/**/c", "a/x/b/y/z/c", true },
    { "a/**/b/**/c", "a/x/y/z/c", false },
    { "**/**", "deep/er", true },
    { "**", "x", true },
    { "***", "x", true },
    { "[ab].c", "b.c", true },
    { "[ab].c", "c.c", false },
    { "[^ab].c", "c.c", true },
    { "[^ab].c", "a.c", false },
    { "[a-c]x", "bx", true },
    { "[a-c]x", "dx", false },
    { "[\xCE\xB1-\xCF\x89]x", "\xCE\xB2x", true },
    { "[[:digit:]]x", "7x", true },
    { "[.]env", ".env", true },
    { "[.]env", "xenv", false },
    { "a\\*b", "a*b", true },
    { "a\\*b", "axb", false },
    { "a\\?", "a?", true },
    { "\\d", "7", true }, /* a class of the expression, as in the reference implementation */
    { "a.b", "axb", false },
    { "a+b", "aab", false },
    { "x$", "x$", true },
    { "(x)", "(x)", true },
    { "{a,b}", "a", false },
    { "*.{a}", "x.{a}", true },
    { "^a*", "abc", true },
    { "a]", "a]", true },
    { "a\nb", "b", true },
    { "a\r\nb\r\n", "a", true },
    { "# c\na", "# c", false },
    { " # c", "# c", true },
    { "  a  ", "a", true },
    { "\xEF\xBB\xBF"
      "a",
      "a", true },
    { "a\xC2\xA0", "a", true },
    { "a b", "a b", true },
    { "*\n!keep", "keep", false },
    { "*\n!keep", "keep/deep/er", false },
    { "*\n!keep", "other", true },
    { "*\n! keep", "keep", false },
    { "*\n!/keep", "keep", false },
    { "!keep\n*", "keep", true },
    { "*.md\n!README*.md\nREADME-secret.md", "README.md", false },
    { "*.md\n!README*.md\nREADME-secret.md", "README-secret.md", true },
    { "a\n!a/b\na/b/c", "a/b/d", false },
    { "a\n!a/b\na/b/c", "a/b/c/d", true },
    { ".", "a", false },
    { "..", "a", false },
    { "../x", "x", false },
    { "a*\xFF", "a1\xFF", true },
    { "**/x", "new\nline/x", true },
    { "**/*x", "new\nline/x", false }, /* "**" in an expression stops at a newline */
    { "*x", "new\nx", true },
    /* what an expression makes of the characters that the reference implementation does not escape */
    { "a|b", "a|b", true },
    { "a|b", "a", false },
    { "a*|b", "axyz/q", true },
    { "a*|b", "x/b", true },
    { "a*|b", "xa/c", false },
    { "a*|b|c", "xbx", true },
    { "a*|", "anything", true },
    { "*.{js,ts}", "x.js", false },
    { "*.{js,ts}", "x.{js,ts}", true },
    { "?a{2}", "xaa", true },
    { "?a{2}", "xa", false },
    { "?a{2}", "xaaa", false },
    { "?a{2,}", "xaaaa", true },
    { "?a{1,2}b", "xaab", true },
    { "?a{0}b", "xb", true },
    { "?a{,2}", "xa{,2}", true },
    { "?a{01}", "xa{01}", true },
    { "?[ab]{3}", "xaba", true },
    { "?[ab]{3}", "xabc", false },
    { "src\\bin", "srcin", false },
    { "?\\Bb", "ab", true },
    { "?\\bb", "ab", false },
    { "?\\bb", "-b", true },
    { "?\\x62", "ab", true },
    { "?\\x{62}", "ab", true },
    { "?\\142", "ab", true },
    { "?\\t", "a\t", true },
    { "?\\Qb{2}\\E", "ab{2}", true },
    { "?\\Wz", "a-z", true },
    { "**/x/b*", "q/x/bc", true },
    { "**/x/b*", "qx/bc", false },
    { "**/x/b*", "x/b", true },
    { "**/ab/**/c?", "q/ab/r/s/cd", true },
    { "**/ab/**/c?", "q/abc/r/s/cd", false },
};

static void test_matches(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(matches) / sizeof(matches[0]); i++) {
        AUTO(ignore_free) struct ignore *g = parse(matches[i].text);

        if (ignore_excludes(g, matches[i].path) != matches[i].excluded)
            fail_msg("'%s' and '%s'", matches[i].text, matches[i].path);
    }
}

static const struct {
    const char *text, *cleaned, *error;
} texts[] = {
    { "/a/../b/\n\n#c\n!./d/\n  !  /e", "b|!d|!e|", NULL },
    { "**/", "**|", NULL },
    { "/", "/|", NULL },
    { "!", NULL, "illegal exclusion pattern '!' in line 1" },
    { "a\n\n!  ", NULL, "in line 3" },
    { "ok\n[a", NULL, "malformed pattern '[a' in line 2" },
    { "\\", NULL, "malformed" },
    { "a\\", NULL, "malformed" },
    { "[]a]", NULL, "malformed" },
    { "[a-]", NULL, "malformed" },
    { "[z-a]*", NULL, "malformed" },
    { "x*\\q", NULL, "malformed" },
    { "x*{2}", NULL, "malformed" },
    { "?a{2}{3}", NULL, "malformed" },
    { "?a{2,1}", NULL, "malformed" },
    { "?a{1001}", NULL, "malformed" },
    { "?|{2}", NULL, "malformed" },
    { "?\\x6g", NULL, "malformed" },
    { "?\\x{110000}", NULL, "malformed" },
    { "?\\8", NULL, "malformed" },
    { "?\\1", NULL, "malformed" },
    { "?\\u", NULL, "malformed" },
};

static void test_texts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        AUTO(ignore_free) struct ignore *g = NULL;
        AUTO(buf_release) struct buf all = BUF_INIT;
        struct err *e = ignore_parse(texts[i].text, strlen(texts[i].text), &g);

        if (texts[i].error) {
            AUTO_FREE char *printed = NULL;
            size_t n;
            FILE *f = open_memstream(&printed, &n);

            err_print(f, e);
            fclose(f);
            if (!e || err_kind(e) != ERR_DOCKERFILE || !strstr(printed, texts[i].error))
                fail_msg("'%s' gave: %s", texts[i].text, printed);
            err_free(e);
            continue;
        }
        assert_null(e);
        for (size_t j = 0; j < ignore_patterns(g)->n; j++)
            buf_printf(&all, "%s|", ignore_patterns(g)->items[j]);
        assert_string_equal(buf_str(&all), texts[i].cleaned);
    }
    struct ignore *none = NULL;
    struct err *e = ignore_parse("a\0b", 3, &none);
    assert_non_null(e);
    err_free(e);
}

/* A walk keeps each directory's answer: here both ways of asking differ. */
static void test_walk(void **state)
{
    AUTO(ignore_free) struct ignore *g = parse("a/b\n!a");
    AUTO_FREE unsigned char *a = xcalloc(1, ignore_state_size(g)), *b = xcalloc(1, ignore_state_size(g));

    (void)state;
    assert_false(ignore_excludes(g, "a/b"));
    assert_false(ignore_excludes_in(g, "a", NULL, a));
    assert_true(ignore_excludes_in(g, "a/b", a, b));
    assert_true(ignore_excludes_in(g, "a/b/c", b, NULL));
    assert_false(ignore_excludes_in(g, "a/c", a, NULL));
}

/* More patterns than fit into a word, each with one path of its own; a later one that includes wins. */
static void test_many(void **state)
{
    AUTO(buf_release) struct buf text = BUF_INIT;

    (void)state;
    for (int i = 0; i < 300; i++)
        buf_printf(&text, "**/a%d\nb/%d*\n*c%d\n**/d%d/x*\n", i, i, i, i);
    buf_puts(&text, "!**/a?7\n!b/*7\n");
    AUTO(ignore_free) struct ignore *g = parse(buf_str(&text));
    AUTO_FREE unsigned char *up = xcalloc(1, ignore_state_size(g)), *d = xcalloc(1, ignore_state_size(g));
    assert_false(ignore_excludes_in(g, "b", NULL, up));
    for (int i = 0; i < 300; i++) {
        char path[32];

        (void)snprintf(path, sizeof(path), "b/a%d", i);
        assert_int_equal(ignore_excludes_in(g, path, up, NULL), i % 10 != 7);
        (void)snprintf(path, sizeof(path), "b/%d", i);
        assert_int_equal(ignore_excludes_in(g, path, up, NULL), i % 10 != 7);
        (void)snprintf(path, sizeof(path), "xc%d", i);
        assert_true(ignore_excludes_in(g, path, NULL, NULL));
        (void)snprintf(path, sizeof(path), "b/d%d", i);
        assert_false(ignore_excludes_in(g, path, up, d));
        (void)snprintf(path, sizeof(path), "b/d%d/xyz", i);
        assert_true(ignore_excludes_in(g, path, d, NULL));
        (void)snprintf(path, sizeof(path), "b/d%d/zx", i);
        assert_false(ignore_excludes_in(g, path, d, NULL));
    }
}

static const struct {
    const char *text, *dir;
    bool can_skip, none;
} below[] = {
    { "a", "a", true, true },
    { "a/b", "a", true, false },
    { "ab", "a", true, true },
    { "*\n!keep/x", "keep", false, false },
    { "*\n!keep/x", "other", true, false },
    { "*\n!keep/x", "kee", true, false },
    { "*\n!**/x", "other", false, false },
    { "*\n!k*/x", "keep", false, false },
    { "*\n!k*/x", "other", true, false },
    { "*\n!a/*/c", "a/b", false, false },
    { "*\n!a/b/**", "a/b", false, false },
    { "*\n!a/b/**", "a/bc", true, false },
    { "src/*/x", "src", true, false },
    { "src/*/x", "lib", true, true },
};

static void test_below(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(below) / sizeof(below[0]); i++) {
        AUTO(ignore_free) struct ignore *g = parse(below[i].text);

        if (ignore_can_skip_below(g, below[i].dir) != below[i].can_skip ||
            ignore_none_below(g, below[i].dir) != below[i].none)
            fail_msg("'%s' below '%s'", below[i].text, below[i].dir);
    }
}

static void test_from_patterns(void **state)
{
    AUTO(strs_release) struct strs patterns = { 0 }, wrong = { 0 };
    AUTO(ignore_free) struct ignore *g = NULL;

    (void)state;
    strs_add(&patterns, "*.txt");
    strs_add(&patterns, " sub/./x ");
    strs_add(&patterns, "!keep.txt");
    strs_add(&wrong, "!");
    assert_null(ignore_from_patterns(&patterns, &g));
    assert_true(ignore_excludes(g, "a.txt"));
    assert_true(ignore_excludes(g, "sub/x"));
    assert_false(ignore_excludes(g, "keep.txt"));
    AUTO(ignore_free) struct ignore *none = NULL;
    struct err *e = ignore_from_patterns(&wrong, &none);
    assert_non_null(e);
    assert_int_equal(err_kind(e), ERR_DOCKERFILE);
    err_free(e);
}

/* Patterns that make a backtracking matcher hang, and many of them: 200 patterns x 100,000 paths in seconds, not
 * minutes. */
static void test_cost(void **state)
{
    AUTO(buf_release) struct buf text = BUF_INIT;
    char evil[256];
    struct timespec t0, t1;
    size_t excluded = 0;

    (void)state;
    buf_puts(&text, "a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b\n**/a/**/a/**/a/**/a/**/a/**/b\n");
    for (int i = 0; i < 50; i++)
        buf_printf(&text, "dir%d\n**/name%d\n**/*.e%d\nsrc%d/*.tmp\n", i, i, i, i);
    AUTO(ignore_free) struct ignore *g = parse(buf_str(&text));
    memset(evil, 'a', sizeof(evil) - 1);
    evil[sizeof(evil) - 1] = '\0';
    assert_false(ignore_excludes_in(g, evil, NULL, NULL));
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t0);
    for (int i = 0; i < 100000; i++) {
        char path[80];

        (void)snprintf(path, sizeof(path), "packages/module%d/source/file%d.e%d", i % 100, i, i % 60);
        excluded += ignore_excludes_in(g, path, NULL, NULL);
    }
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t1);
    assert_in_range(excluded, 83000, 84000);
    assert_in_range(t1.tv_sec - t0.tv_sec, 0, 10); /* 0.1 s; sanitizers need more */
}

static void write_file(const char *dir, const char *name, const char *text)
{
    AUTO_FREE char *path = xasprintf("%s/%s", dir, name);

    assert_null(file_write_atomic(path, text, strlen(text), 0644));
}

static void test_find_ignore(void **state)
{
    char dir[] = "/tmp/copyup-test-XXXXXX";
    AUTO(buf_release) struct buf b = BUF_INIT;
    bool found = true;

    (void)state;
    assert_non_null(mkdtemp(dir));
    AUTO_FREE char *ctx = xasprintf("%s/ctx", dir), *inside = xasprintf("%s/ctx/sub/Dockerfile", dir);
    AUTO_FREE char *outside = xasprintf("%s/other/Dockerfile", dir), *link = xasprintf("%s/ctx/.dockerignore", dir);
    assert_null(file_mkdirs(ctx, 0755));
    assert_null(context_find_ignore(ctx, inside, &b, &found));
    assert_false(found);
    write_file(dir, "ctx/.dockerignore", "general");
    assert_null(context_find_ignore(ctx, inside, &b, &found));
    assert_true(found);
    assert_string_equal(buf_str(&b), "general");
    write_file(dir, "ctx/sub/Dockerfile.dockerignore", "");
    write_file(dir, "other/Dockerfile.dockerignore", "outside");
    buf_clear(&b);
    assert_null(context_find_ignore(ctx, inside, &b, &found));
    assert_true(found);
    assert_string_equal(buf_str(&b), "");
    assert_null(context_find_ignore(ctx, outside, &b, &found));
    assert_string_equal(buf_str(&b), "outside");
    /* a link of the context ends inside it */
    assert_int_equal(unlink(link), 0);
    assert_int_equal(symlink("/etc/passwd", link), 0);
    buf_clear(&b);
    assert_null(context_find_ignore(ctx, "nowhere/Dockerfile", &b, &found));
    assert_false(found);
    assert_null(file_remove_tree(AT_FDCWD, dir));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matches),       cmocka_unit_test(test_texts),       cmocka_unit_test(test_walk),
        cmocka_unit_test(test_many),          cmocka_unit_test(test_below),       cmocka_unit_test(test_cost),
        cmocka_unit_test(test_from_patterns), cmocka_unit_test(test_find_ignore),
    };

    return cmocka_run_group_tests_name("ignore", tests, NULL, NULL);
}
