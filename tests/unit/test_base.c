#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above first */
#include <cmocka.h>

#include "base/buf.h"
#include "base/cancel.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/map.h"
#include "base/strs.h"
#include "base/suggest.h"
#include "base/vars.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

/* What err_print() writes; the caller frees it. */
static char *printed(const struct err *e)
{
    char *out = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&out, &n);

    assert_non_null(f);
    err_print(f, e);
    fclose(f);
    return out;
}

static void assert_prints(struct err *e, const char *want)
{
    AUTO_FREE char *out = printed(e);

    assert_string_equal(out, want);
    err_free(e);
}

static void test_err_text(void **state)
{
    const struct srcpos pos = { .file = "Dockerfile", .line = 3, .text = "CPY x y", .col = 1 };
    const struct srcpos outer = { .file = "other", .line = 9 };

    (void)state;
    assert_prints(err_new(ERR_SETTING, "cannot use '%s'", "x"), "error: cannot use 'x'\n");
    struct err *e = err_at(err_new(ERR_DOCKERFILE, "unknown instruction '%s'", "CPY"), &pos);
    e = err_hint(e, "Did you mean %s?", "COPY");
    e = err_at(err_wrap(e, "cannot build image '%s'", "demo:1"), &outer);
    assert_string_equal(err_message(e), "cannot build image 'demo:1'");
    assert_int_equal(err_kind(e), ERR_DOCKERFILE);
    assert_prints(e, "error: cannot build image 'demo:1'\n"
                     "  because: unknown instruction 'CPY'\n"
                     "  at Dockerfile:3\n"
                     ">     3 | CPY x y\n"
                     "        | ^\n"
                     "  hint: Did you mean COPY?\n");
}

static char *printed_place(const struct srcpos *at)
{
    char *out = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&out, &n);

    assert_non_null(f);
    srcpos_print(f, at);
    fclose(f);
    return out;
}

static void test_places(void **state)
{
    static const struct {
        struct srcpos at;
        const char *want;
    } rows[] = {
        { { "F", 3, NULL, 0, 0, "b", "a", NULL, 0 }, "  at F:3\n" },
        { { "F", 3, "COPY --form=x a", 6, 6, "FROM b", "RUN x", "build", 2 },
          "  at F:3, stage 'build'\n"
          "      2 | FROM b\n"
          ">     3 | COPY --form=x a\n"
          "        |      ^~~~~~\n"
          "      4 | RUN x\n" },
        { { "F", 9, "x", 0, 0, "", NULL, NULL, 1 }, "  at F:9, stage 0\n>     9 | x\n" },
        { { "F", 1, "", 1, 1, NULL, NULL, NULL, 0 }, "  at F:1\n>     1 |\n        | ^\n" },
        { { "F", 1, "ab", 9, 1, NULL, NULL, NULL, 0 }, "  at F:1\n>     1 | ab\n" },
        { { "F", 1, "\ta\tb", 4, 9, NULL, NULL, NULL, 0 }, "  at F:1\n>     1 | \ta\tb\n        | \t \t^\n" },
        { { "F", 1, "\303\244\303\266 x\303\274y", 6, 4, NULL, NULL, NULL, 0 },
          "  at F:1\n>     1 | \303\244\303\266 x\303\274y\n        |    ^~~\n" },
        { { "F", 1, "a\033[31m\177\r", 0, 0, NULL, NULL, NULL, 0 }, "  at F:1\n>     1 | a?[31m??\n" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        AUTO_FREE char *out = printed_place(&rows[i].at);

        if (strcmp(out, rows[i].want) != 0)
            fail_msg("row %zu:\n%snot:\n%s", i, out, rows[i].want);
    }
}

/* The mark stays in sight, characters stay whole. */
static void test_long_line(void **state)
{
    AUTO(buf_release) struct buf line = BUF_INIT;
    struct srcpos at = { "F", 1, NULL, 0, 4, NULL, NULL, NULL, 0 };

    (void)state;
    for (int i = 0; i < 1000; i++)
        buf_puts(&line, "\303\244");
    buf_puts(&line, "HERE");
    for (int i = 0; i < 1000; i++)
        buf_puts(&line, "\303\266");
    at.text = buf_str(&line);
    at.col = 2001;
    AUTO_FREE char *out = printed_place(&at);

    assert_true(strlen(out) < 400);
    assert_non_null(strstr(out, "| ...\303\244"));
    assert_non_null(strstr(out, "HERE"));
    assert_non_null(strstr(out, "\303\266...\n"));
    /* behind the dots 30 characters of two bytes */
    AUTO_FREE char *mark = xasprintf("...\n        | %33s^~~~\n", "");
    assert_non_null(strstr(out, mark));
    at.col = 1;
    AUTO_FREE char *first = printed_place(&at);
    assert_non_null(strstr(first, "| \303\244"));
    assert_non_null(strstr(first, "...\n        | ^~\n"));
}

static void test_blame(void **state)
{
    const struct srcpos pos = { "F", 2, "text", 1, 2, "b", "a", "s", 3 };
    struct srcpos at;

    (void)state;
    assert_null(err_blame(NULL, "x"));
    struct err *e = err_new(ERR_DOCKERFILE, "x");

    assert_null(err_token(e));
    assert_null(err_remedy(e));
    assert_false(err_place(e, &at));
    e = err_blame(err_wrap(err_blame(err_hint(e, "Inner."), "inner"), "y"), "outer");
    assert_string_equal(err_token(e), "inner");
    assert_string_equal(err_remedy(e), "Inner.");
    assert_string_equal(err_message(err_reason(e)), "x");
    assert_null(err_reason(err_reason(e)));
    assert_null(err_next(e));
    e = err_join(e, err_new(ERR_BUG, "z"));
    assert_string_equal(err_message(err_next(e)), "z");
    e = err_wrap(err_at(e, &pos), "z");
    assert_true(err_place(e, &at));
    assert_string_equal(at.file, "F");
    assert_string_equal(at.stage, "s");
    assert_string_equal(at.before, "b");
    assert_string_equal(at.after, "a");
    assert_true(at.line == 2 && at.col == 1 && at.width == 2 && at.stage_number == 3);
    err_free(e);
}

static void test_suggest(void **state)
{
    static const char *const words[] = { "RUN", "COPY", "HEALTHCHECK", "build", "a" };
    static const struct {
        const char *word, *want;
    } rows[] = {
        { "RNU", "RUN" },
        { "rn", "RUN" },
        { "CPY", "COPY" },
        { "COPYY", "COPY" },
        { "HEALTCHEK", "HEALTHCHECK" },
        { "biuld", "build" },
        { "BUILD", "build" },
        { "run", "RUN" },
        { "RUN", NULL },
        { "RXY", NULL },
        { "XY", NULL },
        { "HLTHCHK", NULL },
        { "b", NULL },
        { "", NULL },
        { "bild", "build" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *got = suggest(rows[i].word, words, 5);

        if (got != rows[i].want && (!got || !rows[i].want || strcmp(got, rows[i].want) != 0))
            fail_msg("'%s' gave '%s'", rows[i].word, got ? got : "nothing");
    }
    assert_null(suggest_hint(NULL, "", "x", words, 5));
    struct err *e = suggest_hint(err_new(ERR_DOCKERFILE, "x"), "--", "biuld", words, 5);

    assert_string_equal(err_remedy(e), "Did you mean '--build'?");
    err_free(e);
}

static void test_distance(void **state)
{
    char endless[300];

    (void)state;
    assert_int_equal(suggest_distance("PLUGIN_TAGS", "plugin_tags", 2), 0);
    assert_int_equal(suggest_distance("PLUGIN_TAG", "PLUGIN_TAGS", 2), 1);
    assert_int_equal(suggest_distance("PLUGIN_TAGSS", "PLUGIN_TAGS", 2), 1);
    assert_int_equal(suggest_distance("PLUGIN_TGAS", "PLUGIN_TAGS", 2), 1);
    assert_int_equal(suggest_distance("PLUGIN_TUGZ", "PLUGIN_TAGS", 2), 2);
    assert_int_equal(suggest_distance("PLUGIN_ABCD", "PLUGIN_TAGS", 2), 3);
    assert_int_equal(suggest_distance("", "ab", 2), 2);
    assert_int_equal(suggest_distance("abcdef", "uvwxyz", 9), 6);
    memset(endless, 'A', sizeof(endless) - 1);
    endless[sizeof(endless) - 1] = '\0';
    assert_int_equal(suggest_distance(endless, endless, 2), 3);
    endless[256] = '\0';
    assert_int_equal(suggest_distance(endless, endless, 2), 0);
}

static void test_err_null_is_success(void **state)
{
    const struct srcpos pos = { .file = "f", .line = 1 };

    (void)state;
    assert_null(err_wrap(NULL, "x"));
    assert_null(err_at(NULL, &pos));
    assert_null(err_hint(NULL, "x"));
    assert_null(err_set_kind(NULL, ERR_BUG));
    assert_null(err_set_exit(NULL, 3));
    assert_null(err_join(NULL, NULL));
    err_free(NULL);
}

static void test_err_join(void **state)
{
    (void)state;
    struct err *e = err_join(NULL, err_new(ERR_SETTING, "a"));
    e = err_join(e, err_hint(err_new(ERR_AUTH, "b"), "Do c."));
    e = err_join(e, err_new(ERR_BUG, "d"));
    assert_int_equal(err_exit_code(e), 64);
    assert_prints(e, "error: a\nerror: b\n  hint: Do c.\nerror: d\n");
}

static void test_err_exit_codes(void **state)
{
    static const struct {
        enum err_kind kind;
        int set, want;
    } rows[] = {
        { ERR_SETTING, 0, 64 },    { ERR_DOCKERFILE, 0, 65 }, { ERR_NETWORK, 0, 69 },     { ERR_REGISTRY, 0, 69 },
        { ERR_BUG, 0, 70 },        { ERR_POD, 0, 71 },        { ERR_DISK, 0, 74 },        { ERR_AUTH, 0, 77 },
        { ERR_TIMEOUT, 0, 124 },   { ERR_MEMORY, 0, 137 },    { ERR_TERMINATED, 0, 143 }, { ERR_COMMAND, 7, 7 },
        { ERR_COMMAND, 255, 255 }, { ERR_COMMAND, 0, 1 },     { ERR_COMMAND, 256, 1 },    { ERR_SETTING, 7, 64 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct err *e = err_set_exit(err_new(rows[i].kind, "x"), rows[i].set);

        e = err_wrap(e, "outer");
        if (err_exit_code(e) != rows[i].want)
            fail_msg("row %zu: %d, not %d", i, err_exit_code(e), rows[i].want);
        err_free(e);
    }
}

static void test_err_sys(void **state)
{
    static const struct {
        int errnum;
        enum err_kind kind;
    } rows[] = {
        { ENOSPC, ERR_DISK }, { EDQUOT, ERR_DISK }, { EROFS, ERR_DISK }, { EIO, ERR_DISK }, { EPERM, ERR_POD }
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct err *e = err_wrap(err_sys(rows[i].errnum, "cannot write"), "outer");

        assert_int_equal(err_kind(e), rows[i].kind);
        assert_int_equal(err_errno(e), rows[i].errnum);
        e = err_set_kind(e, ERR_NETWORK);
        assert_int_equal(err_kind(e), ERR_NETWORK);
        err_free(e);
    }
    struct err *plain = err_new(ERR_BUG, "x");
    assert_int_equal(err_errno(plain), 0);
    err_free(plain);
    assert_prints(err_sys(ENOENT, "cannot open '%s'", "f"),
                  "error: cannot open 'f'\n  because: No such file or directory\n");
}

static void assert_vars(const struct vars *v, size_t moment, const char *want)
{
    AUTO(strs_release) struct strs list = { 0 };
    AUTO(buf_release) struct buf got = BUF_INIT;

    vars_list(v, moment, &list);
    for (size_t i = 0; i < list.n; i++)
        buf_printf(&got, "%s%s", i ? " " : "", list.items[i]);
    assert_string_equal(buf_str(&got), want);
}

static void test_vars(void **state)
{
    AUTO(vars_release) struct vars v = { 0 };
    AUTO(strs_release) struct strs entries = { 0 };

    (void)state;
    assert_null(vars_get(&v, "A"));
    assert_vars(&v, vars_now(&v), "");
    vars_unset(&v, "A");
    assert_int_equal(vars_now(&v), 0);
    vars_set(&v, "A", "1");
    vars_set(&v, "B", "");
    size_t first = vars_now(&v);
    vars_set(&v, "A", vars_get(&v, "A"));
    vars_set(&v, "AB", "x=y");
    size_t second = vars_now(&v);
    vars_unset(&v, "A");
    vars_set(&v, "B", "2");
    assert_null(vars_get(&v, "A"));
    assert_string_equal(vars_get(&v, "AB"), "x=y");
    assert_string_equal(vars_get(&v, "B"), "2");
    size_t third = vars_now(&v);
    strs_add(&entries, "A=3");
    strs_add(&entries, "BARE");
    strs_add(&entries, "AB=");
    vars_set_all(&v, &entries);
    assert_vars(&v, 0, "");
    assert_vars(&v, 1, "A=1");
    assert_vars(&v, first, "A=1 B=");
    assert_vars(&v, second, "A=1 B= AB=x=y");
    assert_vars(&v, third, "B=2 AB=x=y");
    assert_vars(&v, vars_now(&v), "A=3 B=2 AB= BARE=");
}

/* What the reader gets when the writer sent e; both ends in this process: reports are shorter than a pipe. */
static struct err *through_pipe(const struct err *e)
{
    int fds[2];
    struct err *got = NULL;

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_null(err_write(fds[1], e));
    close(fds[1]);
    assert_null(err_read(fds[0], &got));
    close(fds[0]);
    return got;
}

static void test_err_pipe(void **state)
{
    const struct srcpos pos = { "Dockerfile", 12, "RUN x", 5, 1, "FROM b", "USER u", NULL, 2 };

    (void)state;
    assert_null(through_pipe(NULL));
    struct err *e = err_set_exit(err_new(ERR_COMMAND, "command failed"), 7);
    e = err_hint(err_at(err_wrap(e, "cannot run"), &pos), "Look.");
    e = err_join(e, err_wrap(err_sys(ENOSPC, "no room"), "second"));
    e = err_join(e, err_new(ERR_BUG, "%s", ""));
    struct err *got = through_pipe(e);
    AUTO_FREE char *want = printed(e), *have = printed(got);
    assert_string_equal(have, want);
    assert_int_equal(err_exit_code(got), 7);
    assert_int_equal(err_kind(got), ERR_COMMAND);
    err_free(e);
    err_free(got);

    e = err_wrap(err_sys(EDQUOT, "a"), "b");
    got = through_pipe(e);
    assert_int_equal(err_errno(got), EDQUOT);
    assert_int_equal(err_exit_code(got), 74);
    err_free(e);
    err_free(got);
}

/* The first n bytes of a report, or bytes that are none: always an error of the reading, never a crash. */
static void expect_broken(const char *bytes, size_t n, const char *want)
{
    int fds[2];
    struct err *got = NULL;

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_int_equal(write(fds[1], bytes, n), (ssize_t)n);
    close(fds[1]);
    struct err *e = err_read(fds[0], &got);
    close(fds[0]);
    if (!e)
        fail_msg("%zu bytes were taken for a report", n);
    assert_null(got);
    assert_int_equal(err_kind(e), ERR_BUG);
    assert_non_null(strstr(err_message(e), want));
    err_free(e);
}

static void test_err_pipe_broken(void **state)
{
    char bytes[4096], junk[256];
    int fds[2];

    (void)state;
    struct err *e = err_join(err_hint(err_new(ERR_POD, "some text"), "a hint"), err_new(ERR_BUG, "second"));
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_null(err_write(fds[1], e));
    err_free(e);
    ssize_t len = read(fds[0], bytes, sizeof(bytes));
    close(fds[0]);
    close(fds[1]);
    assert_true(len > 0);
    expect_broken(bytes, 0, "without a report");
    for (ssize_t n = 1; n < len; n++)
        expect_broken(bytes, (size_t)n, "ended");
    memset(junk, 0xff, sizeof(junk));
    expect_broken(junk, sizeof(junk), "ended");
}

static void test_err_write_fails(void **state)
{
    (void)state;
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    struct err *e = err_write(fd, NULL);
    close(fd);
    assert_non_null(e);
    assert_int_equal(err_errno(e), ENOSPC);
    err_free(e);
}

static void test_buf(void **state)
{
    AUTO(buf_release) struct buf b = BUF_INIT;

    (void)state;
    assert_string_equal(buf_str(&b), "");
    for (int i = 0; i < 1000; i++)
        buf_putc(&b, (char)('a' + i % 26));
    assert_int_equal(b.len, 1000);
    assert_int_equal(strlen(buf_str(&b)), 1000);
    buf_clear(&b);
    assert_string_equal(buf_str(&b), "");
    buf_add(&b, "a\0b", 3);
    buf_add(&b, NULL, 0);
    assert_int_equal(b.len, 3);
    assert_memory_equal(b.data, "a\0b", 4);
    buf_clear(&b);
    buf_puts(&b, "x=");
    buf_printf(&b, "%d,%s", 7, "y");
    AUTO_FREE char *s = buf_steal(&b);
    assert_string_equal(s, "x=7,y");
    assert_int_equal(b.len, 0);
    AUTO_FREE char *empty = buf_steal(&b);
    assert_string_equal(empty, "");
}

static void test_strs(void **state)
{
    AUTO(strs_release) struct strs l = { 0 }, copy = { 0 };

    (void)state;
    strs_add(&l, "b");
    strs_take(&l, xstrdup("a"));
    strs_add(&l, "");
    assert_true(strs_has(&l, "a"));
    assert_false(strs_has(&l, "c"));
    strs_sort(&l);
    assert_string_equal(l.items[0], "");
    assert_string_equal(l.items[2], "b");
    char **argv = strs_argv(&l);
    assert_null(argv[3]);
    assert_int_equal(l.n, 3);
    strs_add(&copy, "old");
    strs_copy(&copy, &l);
    assert_int_equal(copy.n, 3);
    assert_string_equal(copy.items[1], "a");
    assert_ptr_not_equal(copy.items[1], l.items[1]);
}

static void test_strs_sort_bytes(void **state)
{
    static const char *const in[] = { "\xc3\xa4", "a", "B", "a b", "aa", "~" };
    static const char *const want[] = { "B", "a", "a b", "aa", "~", "\xc3\xa4" };
    AUTO(strs_release) struct strs l = { 0 };

    (void)state;
    strs_sort(&l);
    for (size_t i = 0; i < sizeof(in) / sizeof(in[0]); i++)
        strs_add(&l, in[i]);
    strs_sort(&l);
    for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++)
        assert_string_equal(l.items[i], want[i]);
}

static void test_env(void **state)
{
    AUTO(strs_release) struct strs env = { 0 };

    (void)state;
    assert_null(env_get(&env, "A"));
    env_set(&env, "A", "1");
    env_set(&env, "AB", "2=3");
    env_set(&env, "B", "");
    assert_string_equal(env_get(&env, "A"), "1");
    assert_string_equal(env_get(&env, "AB"), "2=3");
    assert_string_equal(env_get(&env, "B"), "");
    assert_null(env_get(&env, "C"));
    env_set(&env, "A", "9");
    assert_int_equal(env.n, 3);
    assert_string_equal(env.items[0], "A=9");
}

static int freed;

static void count_free(void *p)
{
    (void)p;
    freed++;
}

static void collect(void *ctx, const char *key, void *value)
{
    buf_printf(ctx, "%s=%s ", key, (const char *)value);
}

static void test_map(void **state)
{
    AUTO(buf_release) struct buf all = BUF_INIT;
    char one[] = "1", two[] = "2", three[] = "3";

    (void)state;
    freed = 0;
    struct map *m = map_new(count_free);
    map_set(m, "z", one);
    map_set(m, "a", two);
    assert_ptr_equal(map_get(m, "z"), one);
    assert_null(map_get(m, "b"));
    map_set(m, "z", one); /* the same value again is not freed */
    assert_int_equal(freed, 0);
    map_set(m, "z", three);
    assert_int_equal(freed, 1);
    map_set(m, "k", one);
    map_each(m, collect, &all);
    assert_string_equal(buf_str(&all), "z=3 a=2 k=1 ");
    map_remove(m, "a");
    map_remove(m, "not there");
    assert_int_equal(freed, 2);
    assert_int_equal(map_count(m), 2);
    map_free(m);
    assert_int_equal(freed, 4);
    map_free(NULL);
}

static void test_map_many(void **state)
{
    AUTO(map_free) struct map *m = map_new(free);
    char key[32];

    (void)state;
    for (int i = 0; i < 5000; i++) {
        snprintf(key, sizeof(key), "key %d", i);
        map_set(m, key, xstrdup(key));
    }
    assert_int_equal(map_count(m), 5000);
    for (int i = 0; i < 5000; i += 7) {
        snprintf(key, sizeof(key), "key %d", i);
        assert_string_equal(map_get(m, key), key);
        map_remove(m, key);
        assert_null(map_get(m, key));
    }
}

static bool readable(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };

    return poll(&p, 1, 0) == 1;
}

static void test_cancel(void **state)
{
    static const struct {
        enum cancel_reason reason;
        enum err_kind kind;
    } rows[] = { { CANCEL_SIGNAL, ERR_TERMINATED },
                 { CANCEL_TIMEOUT, ERR_TIMEOUT },
                 { CANCEL_FAILURE, ERR_TERMINATED } };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct cancel *c = NULL;

        assert_null(cancel_new(&c));
        assert_null(cancel_check(c));
        assert_false(readable(cancel_fd(c)));
        cancel_raise(c, rows[i].reason);
        cancel_raise(c, CANCEL_FAILURE); /* the first reason wins */
        assert_int_equal(cancel_reason(c), rows[i].reason);
        assert_true(readable(cancel_fd(c)));
        assert_true(readable(cancel_fd(c)));
        struct err *e = cancel_check(c);
        assert_non_null(e);
        assert_int_equal(err_kind(e), rows[i].kind);
        err_free(e);
        cancel_free(c);
    }
    assert_null(cancel_check(NULL));
    assert_int_equal(cancel_reason(NULL), CANCEL_NONE);
    assert_int_equal(cancel_fd(NULL), -1);
    cancel_free(NULL);
}

/* A part of the build may be stopped alone, and is stopped with the whole. */
static void test_cancel_below(void **state)
{
    struct cancel *whole = NULL, *part = NULL, *other = NULL;

    (void)state;
    assert_null(cancel_new(&whole));
    assert_null(cancel_new_below(whole, &part));
    assert_null(cancel_new_below(whole, &other));
    assert_null(cancel_check(part));
    assert_false(readable(cancel_fd(part)));
    cancel_raise(part, CANCEL_FAILURE);
    assert_int_equal(cancel_reason(part), CANCEL_FAILURE);
    assert_true(readable(cancel_fd(part)));
    assert_int_equal(cancel_reason(whole), CANCEL_NONE);
    assert_int_equal(cancel_reason(other), CANCEL_NONE);
    assert_false(readable(cancel_fd(other)));
    cancel_raise(whole, CANCEL_TIMEOUT);
    assert_int_equal(cancel_reason(part), CANCEL_TIMEOUT);
    assert_int_equal(cancel_reason(other), CANCEL_TIMEOUT);
    assert_true(readable(cancel_fd(other)));
    assert_true(readable(cancel_fd(other)));
    cancel_free(part);
    cancel_free(other);
    cancel_free(whole);
    assert_null(cancel_new_below(NULL, &part));
    assert_int_equal(cancel_reason(part), CANCEL_NONE);
    cancel_free(part);
}

static void *raise_timeout(void *c)
{
    cancel_raise(c, CANCEL_TIMEOUT);
    return NULL;
}

static void test_cancel_threads(void **state)
{
    struct cancel *c = NULL;
    pthread_t t[8];

    (void)state;
    assert_null(cancel_new(&c));
    for (int i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&t[i], NULL, raise_timeout, c), 0);
    struct pollfd p = { .fd = cancel_fd(c), .events = POLLIN };
    assert_int_equal(poll(&p, 1, 10000), 1);
    for (int i = 0; i < 8; i++)
        pthread_join(t[i], NULL);
    assert_int_equal(cancel_reason(c), CANCEL_TIMEOUT);
    cancel_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_err_text),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_long_line),
        cmocka_unit_test(test_blame),
        cmocka_unit_test(test_suggest),
        cmocka_unit_test(test_distance),
        cmocka_unit_test(test_err_null_is_success),
        cmocka_unit_test(test_err_join),
        cmocka_unit_test(test_err_exit_codes),
        cmocka_unit_test(test_err_sys),
        cmocka_unit_test(test_vars),
        cmocka_unit_test(test_err_pipe),
        cmocka_unit_test(test_err_pipe_broken),
        cmocka_unit_test(test_err_write_fails),
        cmocka_unit_test(test_buf),
        cmocka_unit_test(test_strs),
        cmocka_unit_test(test_strs_sort_bytes),
        cmocka_unit_test(test_env),
        cmocka_unit_test(test_map),
        cmocka_unit_test(test_map_many),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_cancel_below),
        cmocka_unit_test(test_cancel_threads),
    };

    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
