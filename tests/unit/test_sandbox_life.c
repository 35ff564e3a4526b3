/* How commands and builds are stopped, how they end, and which rung is taken. */
#include "../fixtures/sandbox_root.h"

#include <dirent.h>
#include <pthread.h>
#include <seccomp.h>

/* ---- being stopped ---- */

static void *raise_soon(void *arg)
{
    poll(NULL, 0, 300);
    cancel_raise(arg, CANCEL_SIGNAL);
    return NULL;
}

static struct err *check_cancel(const struct sandbox *sb, void *ctx)
{
    /* Deaf to TERM, and so is its daemon. */
    AUTO_FREE char *script = xasprintf("trap '' TERM; setsid sh -c 'trap \"\" TERM; %s' & %s", sleeper, sleeper);
    const struct command c = { .argv = SH(script) };
    AUTO(buf_release) struct buf out = BUF_INIT;
    struct run_result result;
    int64_t start = proc_now_ms();
    pthread_t thread;

    (void)ctx;
    CHECK(pthread_create(&thread, NULL, raise_soon, sb->cancel) == 0);
    struct err *e = run_command(sb, &c, &out, &result);
    pthread_join(thread, NULL);
    CHECK(e && err_kind(e) == ERR_TERMINATED);
    err_free(e);
    CHECK(proc_now_ms() - start < 8000);
    e = run_command(sb, &c, &out, &result); /* stays raised */
    CHECK(e && err_kind(e) == ERR_TERMINATED);
    err_free(e);
    return NULL;
}

/* Is a process alive whose command line holds the text? */
static bool is_running(const char *text)
{
    DIR *dir = opendir("/proc");
    bool found = false;

    assert_non_null(dir);
    for (struct dirent *d = readdir(dir); d && !found; d = readdir(dir)) {
        char path[300], line[4096];
        (void)snprintf(path, sizeof(path), "/proc/%s/cmdline", d->d_name);
        int fd = d->d_name[0] >= '1' && d->d_name[0] <= '9' ? open(path, O_RDONLY | O_CLOEXEC) : -1;
        ssize_t n = fd < 0 ? 0 : read(fd, line, sizeof(line));

        if (fd >= 0)
            close(fd);
        found = n > 0 && memmem(line, (size_t)n, text, strlen(text)) != NULL;
    }
    closedir(dir);
    return found;
}

static bool wait_until(bool running, const char *text, int ms)
{
    for (int64_t end = proc_now_ms() + ms; proc_now_ms() < end;) {
        if (is_running(text) == running)
            return true;
        poll(NULL, 0, 10);
    }
    return is_running(text) == running;
}

static void test_cancel(void **state)
{
    (void)state;
    in_two_contexts(check_cancel, NULL);
    assert_false(is_running(marker));
}

static struct err *build_sleeping(const struct sandbox *sb, void *ctx)
{
    AUTO_FREE char *script = xasprintf("setsid sh -c '%s' & %s; true", sleeper, sleeper);
    const struct command c = { .argv = SH(script) };
    AUTO(buf_release) struct buf out = BUF_INIT;
    struct run_result result;

    (void)ctx;
    return run_command(sb, &c, &out, &result);
}

/* TERM to the parent while a command runs: the build's error says so, soon, and nothing is left. */
static void test_terminated(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_CONTEXTS; i++) {
        struct context c = contexts[i];
        int report_fd;

        c.build = build_sleeping;
        chown_fixture(c.ordinary || c.subordinate ? ORDINARY : 0);
        pid_t pid = start_context(&c, &report_fd);
        assert_true(wait_until(true, marker, 20000));
        assert_int_equal(kill(pid, i % 2 ? SIGINT : SIGTERM), 0);
        struct err *e = finish_context(pid, report_fd);
        assert_non_null(e);
        assert_int_equal(err_kind(e), ERR_TERMINATED);
        err_free(e);
        assert_false(is_running(marker));
    }
}

static void test_deadline(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_CONTEXTS; i++) {
        struct context c = contexts[i];

        c.build = build_sleeping;
        c.deadline_ms = proc_now_ms() + 700;
        chown_fixture(c.ordinary || c.subordinate ? ORDINARY : 0);
        struct err *e = run_context(&c);
        assert_non_null(e);
        assert_int_equal(err_kind(e), ERR_TIMEOUT);
        err_free(e);
        assert_false(is_running(marker));
    }
}

/* The parent cannot clean up any more: the kernel and the inner process do. */
static void test_parent_killed(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_CONTEXTS; i++) {
        struct context c = contexts[i];
        struct err *e = NULL;
        int report_fd;

        c.build = build_sleeping;
        chown_fixture(c.ordinary || c.subordinate ? ORDINARY : 0);
        pid_t pid = start_context(&c, &report_fd);
        assert_true(wait_until(true, marker, 20000));
        assert_int_equal(kill(pid, SIGKILL), 0);
        struct err *unreadable = err_read(report_fd, &e);
        assert_non_null(unreadable);
        err_free(unreadable);
        close(report_fd);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        if (!wait_until(false, marker, 5000))
            print_error("%s\n", c.name);
        assert_false(is_running(marker));
    }
}

static struct err *build_deaf(const struct sandbox *sb, void *ctx)
{
    (void)sb;
    (void)ctx;
    while (poll(NULL, 0, 1000) <= 0)
        ;
    return NULL;
}

static void test_deaf_build(void **state)
{
    const struct context c = {
        .name = "deaf", .rung = "single", .build = build_deaf, .deadline_ms = proc_now_ms() + 1
    };
    int64_t start = proc_now_ms();

    (void)state;
    struct err *e = run_context(&c);
    assert_non_null(e);
    assert_int_equal(err_kind(e), ERR_TIMEOUT);
    err_free(e);
    assert_true(proc_now_ms() - start < 14000);
}

/* ---- how a build ends ---- */

static struct err *build_daemon(const struct sandbox *sb, void *ctx)
{
    (void)sb;
    (void)ctx;
    if (fork() == 0) {
        setsid();
        if (fork() == 0) {
            execl("/bin/busybox", "sleep", marker, (char *)NULL);
        }
        _exit(0);
    }
    return wait_until(true, marker, 10000) ? err_set_exit(err_new(ERR_COMMAND, "as planned"), 42) : NULL;
}

static void test_build_error(void **state)
{
    const struct context c = { .name = "error", .rung = "single", .build = build_daemon };

    (void)state;
    struct err *e = run_context(&c);
    assert_non_null(e);
    assert_int_equal(err_exit_code(e), 42);
    assert_string_equal(err_message(e), "as planned");
    err_free(e);
    assert_false(is_running(marker));
}

static struct err *build_crash(const struct sandbox *sb, void *ctx)
{
    (void)sb;
    (void)ctx;
    raise(SIGKILL);
    return NULL;
}

static void test_build_crash(void **state)
{
    const struct context c = { .name = "crash", .rung = "single", .build = build_crash };

    (void)state;
    struct err *e = run_context(&c);
    assert_non_null(e);
    assert_int_equal(err_kind(e), ERR_BUG);
    err_free(e);
}

/* As pid 1 of a container: strangers' orphans become ours, and must be reaped without being taken for the build. */
static struct err *build_waits(const struct sandbox *sb, void *ctx)
{
    (void)sb;
    (void)ctx;
    poll(NULL, 0, 300);
    return NULL;
}

static void test_strangers(void **state)
{
    const struct context c = { .name = "strangers", .rung = "single", .build = build_waits };
    int status;

    (void)state;
    pid_t outer = fork();
    if (outer == 0) {
        pid_t lives = fork();

        if (lives == 0) {
            poll(NULL, 0, 60000);
            _exit(0);
        }
        if (fork() == 0)
            _exit(3);
        struct err *e = enter_context(&c);
        bool still_there = kill(lives, 0) == 0;
        bool one_left = waitpid(-1, NULL, WNOHANG) == 0; /* the short one was reaped */
        kill(lives, SIGKILL);
        _exit(!e && still_there && one_left ? 0 : 1);
    }
    assert_int_equal(waitpid(outer, &status, 0), outer);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static struct err *build_nothing(const struct sandbox *sb, void *ctx)
{
    (void)ctx;
    CHECK(sb->describe && *sb->describe && sb->cancel);
    return NULL;
}

/* As a pod with the runtime's default profile has it. */
static void refuse_namespaces(void)
{
    scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);

    if (!f || seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(unshare), 0) < 0 || seccomp_load(f) < 0)
        _exit(99);
    seccomp_release(f);
}

/* Where no command can be run, the reason and the line of YAML are told, as often as they are asked for. */
static struct err *build_no_run(const struct sandbox *sb, void *ctx)
{
    struct run_spec spec = { .root = "/" };
    struct run_result result;

    (void)ctx;
    CHECK(!sb->can_run && sb->owners == OWNER_RECORDED);
    strs_add(&spec.argv, "/bin/true");
    err_free(sandbox_run(sb, &spec, &result));
    struct err *e = sandbox_run(sb, &spec, &result);
    strs_release(&spec.argv);
    return e;
}

static void test_no_namespaces(void **state)
{
    struct context c = { .rung = "none", .build = build_no_run };
    const struct sandbox_opts opts = { "auto", INT64_MAX };
    struct err *e = NULL, *unreadable;
    char *text = NULL;
    size_t len;
    int report[2];

    (void)state;
    assert_int_equal(pipe2(report, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        drop_everything();
        refuse_namespaces();
        _exit(err_write(report[1], sandbox_enter(&opts, build_in_context, &c)) ? 1 : 0);
    }
    close(report[1]);
    unreadable = err_read(report[0], &e);
    assert_null(unreadable);
    close(report[0]);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_non_null(e);
    assert_int_equal(err_exit_code(e), 71);
    FILE *out = open_memstream(&text, &len);
    err_print(out, e);
    (void)fclose(out);
    assert_non_null(strstr(text, "user namespaces"));
    assert_non_null(strstr(text, "seccompProfile"));
    free(text);
    err_free(e);
}

static void test_choice(void **state)
{
    static const struct {
        const char *rung;
        bool ordinary;
        const char *expected;
        int exit_code;
    } choices[] = {
        { "auto", false, "full", 0 }, { "auto", true, "single", 0 },    { "full", true, NULL, 71 },
        { "helper", true, NULL, 71 }, { "privileged", true, NULL, 71 }, { "privileged", false, "privileged", 0 },
        { "none", true, "none", 0 },  { "nonsense", false, NULL, 64 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(choices) / sizeof(choices[0]); i++) {
        const struct sandbox_opts opts = { choices[i].rung, INT64_MAX };
        struct context c = { .rung = choices[i].expected, .build = build_nothing };
        int status;

        pid_t pid = fork();
        if (pid == 0) {
            if (choices[i].ordinary)
                drop_everything();
            struct err *e = sandbox_enter(&opts, build_in_context, &c);
            _exit(e ? err_exit_code(e) : 0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), choices[i].exit_code);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cancel),        cmocka_unit_test(test_terminated), cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_parent_killed), cmocka_unit_test(test_deaf_build), cmocka_unit_test(test_build_error),
        cmocka_unit_test(test_build_crash),   cmocka_unit_test(test_strangers),  cmocka_unit_test(test_no_namespaces),
        cmocka_unit_test(test_choice),
    };

    return sandbox_test_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
