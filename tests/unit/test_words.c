#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above first */
#include <cmocka.h>

#include "base/buf.h"
#include "dockerfile/words.h"

#include <string.h>

static struct vars env_of_tests(void)
{
    struct vars env = { 0 };

    vars_set(&env, "A", "alpha");
    vars_set(&env, "EMPTY", "");
    vars_set(&env, "PATH", "/usr/bin:/bin");
    vars_set(&env, "FILE", "/srv/www/index.tar.gz");
    vars_set(&env, "TWO", "one two");
    vars_set(&env, "PAD", "  x  ");
    vars_set(&env, "DOLLAR", "$A");
    vars_set(&env, "LINES", "l1\nl2");
    vars_set(&env, "STAR", "a*b?c");
    vars_set(&env, "ÄÖ", "umlaut");
    vars_set(&env, "WIN", "C:\\x");
    return env;
}

enum { ESC = '\\', TICK = '`' };

/* Each row is one case; want NULL: must fail. */
static const struct {
    const char *in, *want;
    char escape;
} words[] = {
    { "", "", ESC },
    { "plain", "plain", ESC },
    { "$A", "alpha", ESC },
    { "${A}", "alpha", ESC },
    { "x${A}y$A-z", "xalphayalpha-z", ESC },
    { "$AB", "", ESC },
    { "$UNSET|", "|", ESC },
    { "$", "$", ESC },
    { "a$", "a$", ESC },
    { "$%", "$%", ESC },
    { "$$A", "A", ESC },
    { "$1x", "x", ESC },
    { "$12x", "x", ESC },
    { "$@x$*y$#z", "xyz", ESC },
    { "$ÄÖ!", "umlaut!", ESC },
    { "\\$A", "$A", ESC },
    { "\\\\$A", "\\alpha", ESC },
    { "a\\ b", "a b", ESC },
    { "a\\", "a", ESC },
    { "`$A", "$A", TICK },
    { "\\$A", "\\alpha", TICK },
    { "'$A'", "$A", ESC },
    { "'a\\'", "a\\", ESC },
    { "'it", NULL, ESC },
    { "\"$A b\"", "alpha b", ESC },
    { "\"\\$A\"", "$A", ESC },
    { "\"\\\"\"", "\"", ESC },
    { "\"\\n\"", "\\n", ESC },
    { "\"it's\"", "it's", ESC },
    { "\"a", NULL, ESC },
    { "\"a\\", NULL, ESC },
    { "$DOLLAR", "$A", ESC },
    { "$WIN", "C:\\x", ESC },
    { "${A:-x}", "alpha", ESC },
    { "${EMPTY:-x}", "x", ESC },
    { "${EMPTY-x}", "", ESC },
    { "${U-x}", "x", ESC },
    { "${U:-$A}", "alpha", ESC },
    { "${U:-${V:-${A}}}", "alpha", ESC },
    { "${U:-'}'}", "}", ESC },
    { "${U:-a\\}b}", "a}b", ESC },
    { "${U:-a b}", "a b", ESC },
    { "${A:+x}", "x", ESC },
    { "${EMPTY:+x}", "", ESC },
    { "${EMPTY+x}", "x", ESC },
    { "${U+x}", "", ESC },
    { "${A:?no}", "alpha", ESC },
    { "${U:?no}", NULL, ESC },
    { "${U?no}", NULL, ESC },
    { "${EMPTY?no}", "", ESC },
    { "${EMPTY:?no}", NULL, ESC },
    { "${FILE#/*/}", "www/index.tar.gz", ESC },
    { "${FILE##*/}", "index.tar.gz", ESC },
    { "${FILE%.*}", "/srv/www/index.tar", ESC },
    { "${FILE%%.*}", "/srv/www/index", ESC },
    { "${FILE%/*}", "/srv/www", ESC },
    { "${FILE#nomatch}", "/srv/www/index.tar.gz", ESC },
    { "${FILE#????}", "/www/index.tar.gz", ESC },
    { "${A#*}", "alpha", ESC },
    { "${A##*}", "", ESC },
    { "${A%*}", "alpha", ESC },
    { "${U#x}", "", ESC },
    { "${STAR#a\\*}", "b?c", ESC },
    { "${STAR%\\?c}", "a*b", ESC },
    { "${STAR#a\\x}", NULL, ESC },
    { "${LINES#*l}", "1\nl2", ESC },
    { "${LINES##*l}", "1\nl2", ESC }, /* '*' stays in its line */
    { "${A:#x}", NULL, ESC },
    { "${A/a/_}", "_lpha", ESC },
    { "${A//a/_}", "_lph_", ESC },
    { "${A/l*h/_}", "a_a", ESC },
    { "${A/z/_}", "alpha", ESC },
    { "${A/a/}", "lpha", ESC },
    { "${A//?/x}", "xxxxx", ESC },
    { "${A//*/x}", "x", ESC },
    { "${EMPTY//*/x}", "x", ESC },
    { "${A//p/$TWO}", "alone twoha", ESC },
    { "${PATH//:/\\/}", "/usr/bin\\//bin", ESC },
    { "${PATH/\\//}", "usr/bin:/bin", ESC },
    { "${A//a/<$DOLLAR>}", "<>lph<>", ESC }, /* "$A" is a template's reference to no group */
    { "${A/a}", NULL, ESC },
    { "${A/a/b", NULL, ESC },
    { "${U/a/b}", "", ESC },
    { "${", NULL, ESC },
    { "${}", NULL, ESC },
    { "${A", NULL, ESC },
    { "${A:", NULL, ESC },
    { "${A:-", NULL, ESC },
    { "${A!x}", NULL, ESC },
    { "${A^^}", NULL, ESC },
    { "${:-x}", NULL, ESC },
    { "${{A}}", NULL, ESC },
    { "\"\"", "", ESC },
    { "''", "", ESC },
    { "\"'$A'\"", "'alpha'", ESC },
    { "'\"$A\"'", "\"$A\"", ESC },
    { "a\"b$A\"c'd$A'", "abalphacd$A", ESC },
    { "\\'$A\\'", "'alpha'", ESC },
    { "\\\"$A\\\"", "\"alpha\"", ESC },
    { "\"a\\\\b\"", "a\\b", ESC },
    { "\"\\$A\\\\$A\"", "$A\\alpha", ESC },
    { "\"\\a\"", "\\a", ESC },
    { "'\\'", "\\", ESC },
    { "$A$A", "alphaalpha", ESC },
    { "$A.$A/$A", "alpha.alpha/alpha", ESC },
    { "${A}${A}", "alphaalpha", ESC },
    { "$A_", "", ESC },
    { "${A}_", "alpha_", ESC },
    { "$a", "", ESC },
    { "$EMPTY.", ".", ESC },
    { "$A\\ B", "alpha B", ESC },
    { "-$A-", "-alpha-", ESC },
    { "{$A}", "{alpha}", ESC },
    { "$(A)", "$(A)", ESC },
    { "$'A'", "$A", ESC },
    { "$\"A\"", "$A", ESC },
    { "$\\A", "$A", ESC },
    { "$/A", "$/A", ESC },
    { "$ A", "$ A", ESC },
    { "$=", "$=", ESC },
    { "$-x", "x", ESC },
    { "$?x", "x", ESC },
    { "$!x", "x", ESC },
    { "$0x", "x", ESC },
    { "${A:-$B}", "alpha", ESC },
    { "${U:-}", "", ESC },
    { "${U-}", "", ESC },
    { "${U:+}", "", ESC },
    { "${U:-${EMPTY:-x}}", "x", ESC },
    { "${EMPTY:-\"a b\"}", "a b", ESC },
    { "${U:-\"}\"}", "}", ESC },
    { "${U:-{}}", "{}", ESC },
    { "${U:-a:b}", "a:b", ESC },
    { "${U:-$}", "$", ESC },
    { "${U:-\\$A}", "$A", ESC },
    { "${A:+${U:-y}}", "y", ESC },
    { "${A:+$A$A}", "alphaalpha", ESC },
    { "${A+\"x\"}", "x", ESC },
    { "${U:?}", NULL, ESC },
    { "${U:?a $A}", NULL, ESC },
    { "${EMPTY:+${U:?x}}", NULL, ESC },
    { "${A:=x}", NULL, ESC },
    { "${A=x}", NULL, ESC },
    { "${A:}", NULL, ESC },
    { "${A:1}", NULL, ESC },
    { "${A:1:2}", NULL, ESC },
    { "${#A}", NULL, ESC },
    { "${!A}", NULL, ESC },
    { "${A@Q}", NULL, ESC },
    { "${A,,}", NULL, ESC },
    { "${1}", "", ESC },
    { "${1:-x}", "x", ESC },
    { "${A.B}", NULL, ESC },
    { "${A-B}", "alpha", ESC },
    { "${ A}", NULL, ESC },
    { "${A }", NULL, ESC },
    { "${A#al}", "pha", ESC },
    { "${A##*l}", "pha", ESC },
    { "${A%a}", "alph", ESC },
    { "${A%%p*}", "al", ESC },
    { "${A%x}", "alpha", ESC },
    { "${A#}", "alpha", ESC },
    { "${A%}", "alpha", ESC },
    { "${A#$A}", "", ESC },
    { "${FILE#*/}", "srv/www/index.tar.gz", ESC },
    { "${FILE%%/*}", "", ESC },
    { "${FILE##*.}", "gz", ESC },
    { "${FILE%.tar*}", "/srv/www/index", ESC },
    { "${FILE#/srv}${FILE%.gz}", "/www/index.tar.gz/srv/www/index.tar", ESC },
    { "${PATH%%:*}", "/usr/bin", ESC },
    { "${PATH#*:}", "/bin", ESC },
    { "${TWO% *}", "one", ESC },
    { "${TWO## }", "one two", ESC },
    { "${PAD# }", " x  ", ESC },
    { "${STAR#*\\*}", "b?c", ESC },
    { "${STAR%?}", "a*b?", ESC },
    { "${A/al/AL}", "ALpha", ESC },
    { "${A//l/L}", "aLpha", ESC },
    { "${A/pha}", NULL, ESC },
    { "${A/#al/x}", "alpha", ESC },
    { "${A/%ha/x}", "alpha", ESC },
    { "${A/?/x}", "xlpha", ESC },
    { "${A//[a-l]/x}", "alpha", ESC },
    { "${A/$A/x}", "x", ESC },
    { "${A//a/}", "lph", ESC },
    { "${A/a/$A}", "alphalpha", ESC },
    { "${PATH//\\/usr/}", "/bin:/bin", ESC },
    { "${TWO/ /_}", "one_two", ESC },
    { "${TWO// /}", "onetwo", ESC },
    { "${U//a/b}", "", ESC },
    { "${U%a}", "", ESC },
    { "`$A`", "`alpha`", ESC },
    { "a`b", "a`b", ESC },
    { "%$A%", "%alpha%", TICK },
    { "``", "`", TICK },
    { "`` `", "`` `", ESC },
    { "\"`$A\"", "$A", TICK },
    { "'`$A'", "`$A", TICK },
    { "${U:-`}}", "}", TICK },
    { "a<b", "a<b", ESC },
    { "<< E", "<< E", ESC },
    { "\xff", "\xef\xbf\xbd", ESC },
    { "\xef\xbb\xbfx", "x", ESC },
};

static void test_expand(void **state)
{
    struct vars env = env_of_tests();

    (void)state;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        struct words_opts o = { .env = &env, .escape = words[i].escape };
        AUTO_FREE char *got = NULL;
        struct err *e = words_expand(words[i].in, &o, &got);

        if ((e == NULL) != (words[i].want != NULL) || (!e && strcmp(got, words[i].want) != 0))
            fail_msg("'%s' gave '%s'", words[i].in, got ? got : err_message(e));
        err_free(e);
    }
    vars_release(&env);
}

/* want: the words with '|' behind each; NULL: must fail. */
static const struct {
    const char *in, *want;
} splits[] = {
    { "", "" },
    { "a", "a|" },
    { " a  b\tc ", "a|b|c|" },
    { "$TWO", "one|two|" },
    { "x$TWO", "xone|two|" },
    { "$PAD", "x|" },
    { "a${PAD}b", "a|x|b|" },
    { "\"$TWO\"", "one two|" },
    { "'a b' c", "a b|c|" },
    { "a\\ b", "a b|" },
    { "''", "" },
    { "a''b", "ab|" },
    { "${U:-$TWO}", "one|two|" },
    { "${U:-'a b'}", "a|b|" },
    { "80 ${U:-443}", "80|443|" },
    { "80${U:-443}", "443|" }, /* the reference forgets the word around an operand */
    { "<< EOF", "<< EOF|" },
    { "< EOF", "<|EOF|" },
    { "a\xc2\xa0"
      "b",
      "a|b|" },
    { "'a", NULL },
};

static void test_split(void **state)
{
    struct vars env = env_of_tests();

    (void)state;
    for (size_t i = 0; i < sizeof(splits) / sizeof(splits[0]); i++) {
        struct words_opts o = { .env = &env, .escape = ESC };
        struct strs got = { 0 };
        AUTO(buf_release) struct buf joined = BUF_INIT;
        struct err *e = words_split(splits[i].in, &o, &got);

        for (size_t k = 0; k < got.n; k++)
            buf_printf(&joined, "%s|", got.items[k]);
        if ((e == NULL) != (splits[i].want != NULL) || (!e && strcmp(buf_str(&joined), splits[i].want) != 0))
            fail_msg("'%s' gave '%s'", splits[i].in, e ? err_message(e) : buf_str(&joined));
        err_free(e);
        strs_release(&got);
    }
    vars_release(&env);
}

enum mode { RAW_QUOTES, PLAIN_QUOTES, RAW_ESCAPES, KEEP_UNSET };
static const struct {
    enum mode mode;
    const char *in, *want;
} modes[] = {
    { RAW_QUOTES, "'$A' \"$A\"", "'$A' \"alpha\"" },
    { RAW_QUOTES, "\\$A", "$A" },
    { RAW_QUOTES, "it's", NULL },
    { PLAIN_QUOTES, "it's '$A' \"$A\"", "it's 'alpha' \"alpha\"" },
    { PLAIN_QUOTES, "\\${A} \\\\n", "${A} \\n" },
    { RAW_ESCAPES, "\\$A", "\\$A" },
    { RAW_ESCAPES, "\"\\\"\"", "\\\"" },
    { KEEP_UNSET, "$U ${U} ${U:-x} ${U/a/b} $A", "$U ${U} ${U:-x} ${U/a/b} alpha" },
    { KEEP_UNSET, "${U#x}", "${U#x}" },
};

static void test_modes(void **state)
{
    struct vars env = env_of_tests();

    (void)state;
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        struct words_opts o = { .env = &env,
                                .escape = ESC,
                                .raw_quotes = modes[i].mode == RAW_QUOTES,
                                .plain_quotes = modes[i].mode == PLAIN_QUOTES,
                                .raw_escapes = modes[i].mode == RAW_ESCAPES,
                                .keep_unset = modes[i].mode == KEEP_UNSET };
        AUTO_FREE char *got = NULL;
        struct err *e = words_expand(modes[i].in, &o, &got);

        if ((e == NULL) != (modes[i].want != NULL) || (!e && strcmp(got, modes[i].want) != 0))
            fail_msg("'%s' gave '%s'", modes[i].in, got ? got : err_message(e));
        err_free(e);
    }
    vars_release(&env);
}

static void test_unmatched(void **state)
{
    struct vars env = env_of_tests();
    struct strs unmatched = { 0 };
    struct words_opts o = { .env = &env, .escape = ESC, .unmatched = &unmatched };
    AUTO_FREE char *got = NULL;

    (void)state;
    assert_null(words_expand("$A $X ${Y:-$Z} $X '$Q'", &o, &got));
    assert_int_equal(unmatched.n, 3);
    assert_string_equal(unmatched.items[0], "X");
    assert_string_equal(unmatched.items[1], "Z");
    assert_string_equal(unmatched.items[2], "Y");
    vars_release(&env);
    strs_release(&unmatched);
}

static void test_nesting_is_bounded(void **state)
{
    struct buf deep = BUF_INIT;
    struct words_opts o = { .escape = ESC };
    char *got = NULL;

    (void)state;
    for (int i = 0; i < 100000; i++)
        buf_puts(&deep, "${x:-");
    for (int i = 0; i < 100000; i++)
        buf_putc(&deep, '}');
    struct err *e = words_expand(buf_str(&deep), &o, &got);

    assert_non_null(e);
    err_free(e);
    buf_release(&deep);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_expand),
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_modes),
        cmocka_unit_test(test_unmatched),
        cmocka_unit_test(test_nesting_is_bounded),
    };

    return cmocka_run_group_tests_name("words", tests, NULL, NULL);
}
