#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above first */
#include <cmocka.h>

#include "store/store.h"
#include "sys/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

static void succeed(struct err *e)
{
    if (!e)
        return;
    err_print(stderr, e);
    err_free(e);
    fail_msg("an error was not expected");
}

/* A directory of its own for each test. */
static int make_dir(void **state)
{
    char *dir = xstrdup("/tmp/test_store-XXXXXX");

    *state = mkdtemp(dir);
    return *state ? 0 : -1;
}

static int remove_dir(void **state)
{
    err_free(file_remove_tree(AT_FDCWD, *state));
    free(*state);
    return 0;
}

static size_t count_entries(const char *path)
{
    DIR *dir = opendir(path);
    size_t n = 0;

    assert_non_null(dir);
    for (struct dirent *d; (d = readdir(dir));)
        n += d->d_name[0] != '.';
    closedir(dir);
    return n;
}

static size_t count_builds(const char *state_dir)
{
    AUTO_FREE char *builds = xasprintf("%s/builds", state_dir);

    return count_entries(builds);
}

static void put_blob(struct store *s, const char *text, struct digest *ret_digest)
{
    AUTO(blob_writer_free) struct blob_writer *w = NULL;

    succeed(blob_writer_new(s, &w));
    struct sink sink = blob_writer_sink(w);

    succeed(sink_write(&sink, text, strlen(text)));
    *ret_digest = digest_bytes(text, strlen(text));
    succeed(blob_writer_commit(w, ret_digest));
}

static void expect_blob(struct store *s, const struct digest *d, uint64_t size, const char *text)
{
    AUTO_CLOSE int fd = -1;
    char got[100] = "";

    succeed(store_open_blob(s, d, size, &fd));
    if ((fd >= 0) != (text != NULL))
        fail_msg("blob is %shere", fd >= 0 ? "" : "not ");
    if (text) {
        assert_int_equal(read(fd, got, sizeof(got) - 1), strlen(text));
        assert_string_equal(got, text);
    }
}

static void test_build_dir(void **state)
{
    AUTO(store_close) struct store *a = NULL, *b = NULL;
    struct stat st;

    succeed(store_open(*state, &a));
    succeed(store_open(*state, &b));
    assert_string_equal(store_dir(a), *state);
    assert_string_not_equal(store_build_dir(a), store_build_dir(b));
    assert_int_equal(stat(store_build_dir(a), &st), 0);
    assert_int_equal(st.st_mode, S_IFDIR | 0700);
    assert_int_equal(count_builds(*state), 4);
    AUTO_FREE char *deep = xasprintf("%s/x/y", store_build_dir(a));

    succeed(file_mkdirs(deep, 0700));
    *strrchr(deep, '/') = '\0';
    assert_int_equal(chmod(deep, 0), 0); /* as overlayfs leaves its work directory */
    store_close(steal(&a));
    assert_int_equal(count_builds(*state), 2);
    assert_int_equal(stat(store_build_dir(b), &st), 0);
}

/* A build that is killed, and what the next one finds of it. */
static void test_dead_build(void **state)
{
    AUTO(store_close) struct store *s = NULL;
    int pipe_fds[2], status;
    char c;

    assert_int_equal(pipe(pipe_fds), 0);
    pid_t pid = fork();

    if (pid == 0) {
        struct store *own = NULL;

        err_free(store_open(*state, &own));
        if (write(pipe_fds[1], own ? "y" : "n", 1) == 1)
            pause();
        _exit(1);
    }
    assert_int_equal(read(pipe_fds[0], &c, 1), 1);
    assert_int_equal(c, 'y');
    succeed(store_open(*state, &s));
    assert_int_equal(count_builds(*state), 4); /* it lives: nothing is touched */
    store_close(steal(&s));
    assert_int_equal(count_builds(*state), 2);
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    assert_int_equal(count_builds(*state), 2);
    succeed(store_open(*state, &s));
    assert_int_equal(count_builds(*state), 2); /* only ours */
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}

/* A directory without a lock, and a lock without a directory: traces of a build killed while it started or ended. */
static void test_traces(void **state)
{
    AUTO_FREE char *dir = xasprintf("%s/builds/trace/work", (char *)*state);
    AUTO_FREE char *lock = xasprintf("%s/builds/other.lock", (char *)*state);
    AUTO(store_close) struct store *s = NULL;

    succeed(file_mkdirs(dir, 0700));
    succeed(file_write_atomic(lock, "", 0, 0600));
    chmod(dir, 0);
    succeed(store_open(*state, &s));
    assert_int_equal(count_builds(*state), 2);
}

/* Builds that begin and end all the time, in several processes: each has its own directory as long as it lives. */
static void test_many_builds(void **state)
{
    int failed = 0;

    for (int i = 0; i < 4; i++) {
        pid_t pid = fork();

        if (pid > 0)
            continue;
        for (int n = 0; n < 40; n++) {
            struct store *s = NULL;
            struct err *e = store_open(*state, &s);
            struct digest d;

            for (int k = 0; !e && k < 3; k++)
                e = store_put_bytes(s, &n, sizeof(n), &d);
            if (e)
                err_print(stderr, e);
            if (e || access(store_build_dir(s), W_OK) < 0)
                _exit(1);
            store_close(s);
        }
        _exit(0);
    }
    for (int i = 0; i < 4; i++) {
        int status = 1;

        wait(&status);
        failed += status != 0;
    }
    assert_int_equal(failed, 0);
    assert_int_equal(count_builds(*state), 0);
}

/* Volumes: not ours alone, or with a group that is handed on. */
static void test_volumes(void **state)
{
    static const struct {
        const char *name;
        mode_t mode;
        gid_t gid; /* 0: leave it */
        bool sub;
    } volumes[] = {
        { "own", 0700, 0, false },        { "readable", 0755, 0, false },      { "emptyDir", 0777, 0, true },
        { "sticky", 01777, 0, true },     { "group", 0770, 0, true },          { "setgid", 02755, 0, true },
        { "fsGroup", 02775, 2000, true }, { "other group", 0755, 2000, true },
    };

    for (size_t i = 0; i < sizeof(volumes) / sizeof(volumes[0]); i++) {
        AUTO_FREE char *dir = xasprintf("%s/%s", (char *)*state, volumes[i].name);
        AUTO(store_close) struct store *s = NULL;
        struct stat st;

        succeed(file_mkdirs(dir, 0700));
        if (volumes[i].gid && chown(dir, (uid_t)-1, volumes[i].gid) < 0)
            continue; /* only root may */
        assert_int_equal(chmod(dir, volumes[i].mode), 0);
        succeed(store_open(dir, &s));
        if ((strcmp(store_dir(s), dir) != 0) != volumes[i].sub)
            fail_msg("volume '%s' is used at %s", volumes[i].name, store_dir(s));
        assert_int_equal(stat(store_build_dir(s), &st), 0);
        if (st.st_gid != getegid() || (st.st_mode & S_ISGID))
            fail_msg("volume '%s' hands on its group", volumes[i].name);
        store_close(steal(&s));
        succeed(store_open(dir, &s)); /* and the second time */
    }
}

static void test_refused(void **state)
{
    AUTO_FREE char *file = xasprintf("%s/file", (char *)*state);
    AUTO_FREE char *below = xasprintf("%s/file/x", (char *)*state);
    AUTO_FREE char *shared = xasprintf("%s/shared", (char *)*state);
    AUTO_FREE char *trap = xasprintf("%s/shared/copyup-%u", (char *)*state, (unsigned)geteuid());
    const char *const dirs[] = { file, below, shared };

    succeed(file_write_atomic(file, "", 0, 0600));
    succeed(file_mkdirs(shared, 0755));
    assert_int_equal(chmod(shared, 0777), 0);
    assert_int_equal(symlink("/tmp", trap), 0);
    for (size_t i = 0; i < 3; i++) {
        struct store *s = NULL;
        struct err *e = store_open(dirs[i], &s);

        if (!e || err_kind(e) != ERR_DISK || !strstr(err_message(e), dirs[i]))
            fail_msg("'%s': %s", dirs[i], e ? err_message(e) : "accepted");
        err_free(e);
    }
}

static void test_blobs(void **state)
{
    AUTO(store_close) struct store *s = NULL;
    struct digest d, other = digest_bytes("x", 1), put;
    struct stat st;

    succeed(store_open(*state, &s));
    expect_blob(s, &other, UINT64_MAX, NULL);
    put_blob(s, "hello", &d);
    expect_blob(s, &d, 5, "hello");
    expect_blob(s, &d, UINT64_MAX, "hello");
    put_blob(s, "hello", &d); /* again */
    expect_blob(s, &d, 5, "hello");
    AUTO_FREE char *path = xasprintf("%s/blobs/%s", store_build_dir(s), digest_hex(&d));

    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode, S_IFREG | 0600);
    assert_int_equal(truncate(path, 3), 0);
    expect_blob(s, &d, 5, NULL);
    assert_int_equal(stat(path, &st), -1);
    succeed(store_put_bytes(s, "hello", 5, &put));
    assert_true(digest_equal(&d, &put));
    expect_blob(s, &d, 5, "hello");
    store_close(steal(&s));
    succeed(store_open(*state, &s)); /* another build has blobs of its own */
    expect_blob(s, &d, 5, NULL);
}

static void test_blob_not_committed(void **state)
{
    AUTO(store_close) struct store *s = NULL;
    AUTO(blob_writer_free) struct blob_writer *w = NULL;

    succeed(store_open(*state, &s));
    succeed(blob_writer_new(s, &w));
    struct sink sink = blob_writer_sink(w);

    succeed(sink_write(&sink, "x", 1));
    assert_int_equal(count_entries(store_build_dir(s)), 2);
    blob_writer_free(steal(&w));
    assert_int_equal(count_entries(store_build_dir(s)), 1);
    AUTO_FREE char *blobs = xasprintf("%s/blobs", store_build_dir(s));

    assert_int_equal(count_entries(blobs), 0);
}

static void test_default_dir(void **state)
{
    AUTO_FREE char *dir = NULL;
    AUTO_FREE char *wanted = xasprintf("%s/copyup-%u", (char *)*state, (unsigned)geteuid());
    struct stat st;

    if (access("/copyup", F_OK) == 0)
        skip(); /* somebody has it here: it comes first */
    succeed(store_default_dir(*state, &dir));
    assert_string_equal(dir, wanted);
    assert_int_equal(stat(dir, &st), 0);
    assert_int_equal(st.st_mode, S_IFDIR | 0700);
    /* not if somebody else could have prepared it */
    assert_int_equal(chmod(wanted, 0777), 0);
    free(steal(&dir));
    succeed(store_default_dir(*state, &dir));
    assert_string_not_equal(dir, wanted);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, make_dir, remove_dir)
    const struct CMUnitTest tests[] = {
        TEST(test_build_dir),   TEST(test_dead_build), TEST(test_traces), TEST(test_many_builds),
        TEST(test_volumes),     TEST(test_refused),    TEST(test_blobs),  TEST(test_blob_not_committed),
        TEST(test_default_dir),
    };

    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
