#include "../fixtures/settings_env.h"
#include "settings/env_file.h"
#include "sys/file.h"

#include <fcntl.h>

/* want: the entries, joined by '|'; or what the error says. */
static const struct {
    const char *name, *text, *want;
} files[] = {
    { "empty", "", "" },
    { "nothing", "\n  \n# A=1\n\t# B\n", "" },
    { "plain", "A=1\nB_2=two words \nC=\n", "A=1|B_2=two words|C=" },
    { "no last newline", "A=1", "A=1" },
    { "CRLF", "A=1\r\nB='x'\r\n", "A=1|B=x" },
    { "blanks", "  A = 1\nexport B=2\nexport\tC = '3'\n", "A=1|B=2|C=3" },
    { "a name that begins so", "exported=1\n", "exported=1" },
    { "comments", "A=1 # one\nB=2#3\nC='#' # x\nD=\"#\"# y\n", "A=1|B=2#3|C=#|D=#" },
    { "a comment alone", "A= # one\n", "A=" },
    { "as it is", "A='a\\n$B ${C} \"q\"'\n", "A=a\\n$B ${C} \"q\"" },
    { "escapes", "A=\"a\\nb\\tc\\\"d\\\\e\\$F\\'g\"\n", "A=a\nb\tc\"d\\e$F'g" },
    { "several lines", "A=\"one\ntwo\"\nB='x\n\ny'\nC=3\n", "A=one\ntwo|B=x\n\ny|C=3" },
    { "an equals sign", "A=b=c\nD==\n", "A=b=c|D==" },
    { "a lonely dollar", "A=5$\nB=\"$ 5\"\n", "A=5$|B=$ 5" },
    { "twice", "A=1\nA=2\n", "A=1|A=2" },
    { "no name", "A=1\n=2\n", "line 2: it is no NAME=VALUE" },
    { "no value", "A\n", "line 1: it is no NAME=VALUE" },
    { "a digit", "1A=geheim\n", "line 1: it is no NAME=VALUE" },
    { "a dash", "A-B=geheim\n", "line 1: it is no NAME=VALUE" },
    { "YAML", "A: geheim\n", "line 1: it is no NAME=VALUE" },
    { "not closed", "X=1\n\nA='geheim\n", "line 4: the quote ' is not closed" },
    { "not closed either", "A=\"geheim\\", "line 1: the quote \" is not closed" },
    { "more behind", "A='x' geheim\n", "line 1: something follows the closing quote" },
    { "lines are counted inside", "A='1\n2\n3'\nB\n", "line 4: it is no NAME=VALUE" },
    { "a variable", "A=geheim$B\n", "line 1: variables are not replaced" },
    { "a variable in braces", "A=\"geheim${B}\"\n", "line 1: variables are not replaced" },
};

static void test_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(files); i++) {
        AUTO(strs_release) struct strs got = { 0 };
        struct err *e = env_file_parse(files[i].text, &got);
        AUTO_FREE char *text = e ? printed(e) : joined(&got);

        if (strstr(text, "geheim"))
            fail_msg("'%s' tells a value: %s", files[i].name, text);
        if (e ? !strstr(text, files[i].want) : strcmp(text, files[i].want) != 0)
            fail_msg("'%s' gives: %s", files[i].name, text);
        if (!e && strncmp(files[i].want, "line ", 5) == 0)
            fail_msg("'%s' is accepted", files[i].name);
        err_free(e);
    }
}

/* What the environment has comes first; what it lacks comes from the file. */
static void test_loaded(void **state)
{
    char path[] = "/tmp/copyup-env.XXXXXX";
    static const char text[] = "COPYUP_T_A=file\nCOPYUP_T_B='file'\nCOPYUP_T_C=file\n"
                               "COPYUP_T_D=first\nCOPYUP_T_D=last\n";
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    close(fd);
    assert_null(file_write_atomic(path, text, strlen(text), 0600));
    setenv("COPYUP_T_A", "own", 1);
    setenv("COPYUP_T_C", "", 1);
    unsetenv("COPYUP_T_B");
    unsetenv("COPYUP_T_D");
    setenv("PLUGIN_ENV_FILE", path, 1);
    assert_null(settings_load_env_file());
    assert_string_equal(getenv("COPYUP_T_A"), "own");
    assert_string_equal(getenv("COPYUP_T_B"), "file");
    assert_string_equal(getenv("COPYUP_T_C"), "");
    assert_string_equal(getenv("COPYUP_T_D"), "last");
    unlink(path);
    struct err *e = settings_load_env_file();
    assert_non_null(e);
    AUTO_FREE char *said = printed(e);
    assert_non_null(strstr(said, path));
    assert_non_null(strstr(said, "PLUGIN_ENV_FILE"));
    assert_int_equal(err_exit_code(e), 64);
    err_free(e);
    unsetenv("PLUGIN_ENV_FILE");
    assert_null(settings_load_env_file());
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_files), cmocka_unit_test(test_loaded) };

    return cmocka_run_group_tests_name("env_file", tests, NULL, NULL);
}
