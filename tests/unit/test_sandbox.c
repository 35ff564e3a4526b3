/* What commands see and may do, on each rung. */
#include "../fixtures/sandbox_root.h"

#include <dirent.h>
#include <pthread.h>

/* ---- what a command sees and may do ---- */

struct row {
    const char *name;
    struct command command;
    int exit_code;
    const char *output; /* NULL: any */
};

static const struct row rows[] = {
    { "output", { .argv = SH("echo out; echo err >&2") }, 0, "out\nerr\n" },
    { "exit code", { .argv = SH("exit 7") }, 7, "" },
    { "killed", { .argv = SH("kill -9 $$") }, 137, "" },
    { "terminated", { .argv = SH("kill -15 $$") }, 143, "" },
    { "whole environment", { .argv = { "/bin/env", NULL } }, 0, PATH_ENTRY "\nHOME=/root\n" },
    { "found in PATH", { .argv = { "id", "-u", NULL } }, 0, "0\n" },
    { "empty input", { .argv = SH("wc -c; test -t 0 || echo no terminal") }, 0, "0\nno terminal\n" },
    { "script as input", { .argv = { "/bin/sh", NULL }, .input = "echo $((6*7))\n" }, 0, "42\n" },
    { "host name", { .argv = { "hostname", NULL } }, 0, "buildkitsandbox\n" },
    { "umask", { .argv = SH("umask") }, 0, "0022\n" },
    { "working directory", { .argv = SH("pwd"), .cwd = "/made/for/it" }, 0, "/made/for/it\n" },
    { "root directory", { .argv = SH("ls /") }, 0, "bin\ndev\netc\nmade\nproc\nsys\ntmp\n" },
    { "devices",
      { .argv = SH("rm -f /dev/core; ls /dev") },
      0,
      "fd\nfull\nmqueue\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nurandom\nzero\n" },
    { "the kernel's memory as a device, where there is one",
      { .argv = SH("test -e /proc/kcore; shown=$?; test -L /dev/core; test $? = $shown") },
      0,
      "" },
    { "devices work",
      { .argv = SH("echo x >/dev/null && head -c 3 /dev/zero | wc -c; echo y >/dev/shm/y") },
      0,
      "3\n" },
    { "hosts", { .argv = SH("grep -c '^127.0.0.1.*buildkitsandbox' /etc/hosts") }, 0, "1\n" },
    { "hosts cannot be written", { .argv = SH("echo x 2>/dev/null >>/etc/hosts || echo refused") }, 0, NULL },
    { "hosts cannot be removed", { .argv = SH("rm -f /etc/hosts 2>/dev/null || echo refused") }, 0, "refused\n" },
    { "resolv.conf is there", { .argv = SH("test -e /etc/resolv.conf") }, 0, "" },
    { "no stray descriptors", { .argv = SH("echo /proc/self/fd/*") }, 0, NULL },
    { "no mounting", { .argv = SH("mount -t tmpfs x /tmp 2>/dev/null") }, 1, "" },
    { "no namespaces", { .argv = SH("unshare -r true 2>/dev/null") }, 1, "" },
    { "/sys is read-only", { .argv = SH("touch /sys/x 2>/dev/null") }, 1, "" },
    { "sync costs nothing and works",
      { .argv = SH("sync && dd if=/dev/zero of=/tmp/f bs=1 count=1 conv=fsync 2>/dev/null") },
      0,
      "" },
    { "Docker's capabilities",
      { .argv = SH("grep -E 'Cap(Eff|Bnd)' /proc/self/status | tr '\\t' ' '") },
      0,
      "CapEff: 00000000a80425fb\nCapBnd: 00000000a80425fb\n" },
    { "filtered", { .argv = SH("grep Seccomp: /proc/self/status | tr '\\t' ' '") }, 0, "Seccomp: 2\n" },
    { "first to go when memory is short", { .argv = SH("cat /proc/self/oom_score_adj") }, 0, "1000\n" },
    { "no core files", { .argv = SH("ulimit -c; ulimit -n") }, 0, "0\n1024\n" },
    { "chroot works", { .argv = SH("chroot / true") }, 0, "" },
    { "no network: loopback only",
      { .argv = SH("ip -o link | wc -l; ip -o link show lo | grep -c UP"), .network = RUN_NETWORK_NONE },
      0,
      "1\n1\n" },
    { "user 1000", { .argv = SH("id -u; id -g"), .uid = 1000, .gid = 1001 }, 0, "1000\n1001\n" },
    { "user 1000 has no capabilities",
      { .argv = SH("grep CapEff /proc/self/status | tr '\\t' ' '"), .uid = 1000, .gid = 1000 },
      0,
      "CapEff: 0000000000000000\n" },
    { "user 1000 may not mount", { .argv = SH("mount -t tmpfs x /tmp 2>/dev/null"), .uid = 1000, .gid = 1000 }, 1, "" },
    { "a child left in the background", { .argv = SH("(sleep 60 &); echo done") }, 0, "done\n" },
    { "daemons left",
      { .argv = SH("setsid sleep 60 & i=0; while [ $i -lt 50 ]; do (setsid sh -c 'trap \"\" TERM HUP INT; sleep 60 & "
                   "sleep 60' "
                   "&); i=$((i+1)); done; echo done") },
      0,
      "done\n" },
    { "the environment of the builder is out of reach",
      { .argv = SH("cat /proc/[0-9]*/environ 2>/dev/null | grep -c hunter2hunter2") },
      1,
      "0\n" },
    { "so are its root, descriptors and memory",
      { .argv = SH("for p in /proc/[0-9]*; do ls $p/root/ >/dev/null 2>&1 && test ! -e $p/root/bin/no-format && echo "
                   "$p; done; true") },
      0,
      "" },
    { "kill -1 hits nobody else", { .argv = SH("trap '' TERM; kill -TERM -1 2>/dev/null; echo here") }, 0, "here\n" },
};

static struct err *check_row(const struct sandbox *sb, const struct row *r)
{
    AUTO(buf_release) struct buf out = BUF_INIT;
    struct run_result result;
    int64_t start = proc_now_ms();

    TRY(err_wrap(run_command(sb, &r->command, &out, &result), "%s", r->name));
    if (result.exit_code != r->exit_code)
        return err_new(ERR_BUG, "%s: exit code %d, output:\n%s", r->name, result.exit_code, buf_str(&out));
    if (r->output && strcmp(buf_str(&out), r->output) != 0)
        return err_new(ERR_BUG, "%s: output:\n%s", r->name, buf_str(&out));
    if (proc_now_ms() - start > 20000)
        return err_new(ERR_BUG, "%s: took %lld ms", r->name, (long long)(proc_now_ms() - start));
    return NULL;
}

static struct err *check_rows(const struct sandbox *sb, void *ctx)
{
    struct err *first = NULL;

    (void)ctx;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct err *e = check_row(sb, &rows[i]);

        if (e && first)
            err_print(stderr, e);
        if (first)
            err_free(e);
        else
            first = e;
    }
    return first;
}

static void test_rows(void **state)
{
    (void)state;
    in_every_context(check_rows, NULL);
}

static struct err *check_real_ids(const struct sandbox *sb, void *ctx)
{
    static const struct row real[] = {
        { "groups", { .argv = SH("id -G"), .uid = 33, .gid = 34, .group = 4444 }, 0, "34 4444\n" },
        { "owners",
          { .argv = SH("touch /tmp/o && chown 12:65534 /tmp/o && stat -c %u:%g /tmp/o && rm /tmp/o") },
          0,
          "12:65534\n" },
        { "not root's files", { .argv = SH("echo x 2>/dev/null >/etc/passwd"), .uid = 1000, .gid = 1000 }, 1, NULL },
        { "set-user-id programs", { .argv = SH("mkdir /s && cat /bin/busybox >/s/su && chmod 4755 /s/su") }, 0, "" },
        { "work", { .argv = SH("/s/su -c 'id -u'"), .uid = 1000, .gid = 1000 }, 0, "0\n" },
        { "removed", { .argv = SH("rm -r /s") }, 0, "" },
    };

    (void)ctx;
    CHECK(sb->n_ids >= 65536 && sb->owners == OWNER_REAL);
    for (size_t i = 0; i < sizeof(real) / sizeof(real[0]); i++)
        TRY(check_row(sb, &real[i]));
    return NULL;
}

static void assert_no_error(struct err *e)
{
    if (e)
        err_print(stderr, e);
    assert_null(e);
}

/* As root, as a user whose range is pieced together from two extents, by newuidmap, and with the pod's own ids; with an
 * own /proc and without. */
static void test_real_ids(void **state)
{
    static const struct context real[] = {
        { .name = "root", .rung = "full" },
        { .name = "root, the pod's /proc", .rung = "full", .no_fresh = true },
        { .name = "two extents", .rung = "full", .two_caps = true },
        { .name = "two extents, the pod's /proc", .rung = "full", .two_caps = true, .no_fresh = true },
        { .name = "newuidmap", .rung = "helper", .subordinate = true },
        { .name = "newuidmap, the pod's /proc", .rung = "helper", .subordinate = true, .no_fresh = true },
        { .name = "privileged", .rung = "privileged" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(real) / sizeof(real[0]); i++) {
        struct context c = real[i];

        c.build = check_real_ids;
        chown_fixture(c.two_caps || c.subordinate ? ORDINARY : 0);
        print_message("%s\n", c.name);
        assert_no_error(run_context(&c));
    }
}

/* ---- nothing stays in the image ---- */

static struct err *times_of(const char *path, struct timespec ret[2])
{
    AUTO_FREE char *full = xasprintf("%s%s", root_dir, path);
    struct stat st;

    if (stat(full, &st) < 0)
        return err_sys(errno, "stat %s", full);
    ret[0] = st.st_mtim;
    ret[1].tv_sec = (time_t)st.st_nlink;
    return NULL;
}

static bool is_there(const char *path)
{
    AUTO_FREE char *full = xasprintf("%s%s", root_dir, path);
    struct stat st;

    return lstat(full, &st) == 0;
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static struct err *check_no_traces(const struct sandbox *sb, void *ctx)
{
    const struct run_mount mounts[] = {
        { .source = mount_source, .target = "/new/deep/dir" },
        { .kind = RUN_MOUNT_TMPFS, .target = "/scratch", .tmpfs_bytes = 4096 * 16 },
        { .source = "/dev/null", .target = "/new/file", .readonly = true },
        { .source = mount_source, .target = "/dev/inner", .readonly = true },
        { .source = mount_source, .target = "/scratch/nested", .readonly = true },
    };
    const struct command c = {
        .argv =
            SH("touch /new/deep/dir/x && rm /new/deep/dir/x && touch /scratch/y && cat /new/file && "
               "! touch /dev/inner/z 2>/dev/null && test -d /scratch/nested && grep -c ' /scratch tmpfs' /proc/mounts"),
        .mounts = mounts,
        .n_mounts = 5,
    };
    static const char *const absent[] = { "/etc/hosts", "/etc/resolv.conf", "/new", "/scratch", "/dev/inner" };
    static const char *const kept[] = { "/proc", "/sys", "/dev" };
    AUTO(buf_release) struct buf out = BUF_INIT;
    struct timespec root_before[2], etc_before[2], root_after[2], etc_after[2];
    struct run_result result;

    (void)ctx;
    TRY(times_of("/", root_before));
    TRY(times_of("/etc", etc_before));
    TRY(run_command(sb, &c, &out, &result));
    if (result.exit_code != 0)
        return err_new(ERR_BUG, "exit code %d: %s", result.exit_code, buf_str(&out));
    TRY(times_of("/", root_after));
    TRY(times_of("/etc", etc_after));
    for (size_t i = 0; i < sizeof(absent) / sizeof(absent[0]); i++)
        if (is_there(absent[i]))
            return err_new(ERR_BUG, "'%s' is still there", absent[i]);
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
        if (!is_there(kept[i]))
            return err_new(ERR_BUG, "'%s' is not there any more", kept[i]);
    CHECK(same_time(&root_before[0], &root_after[0]) && root_before[1].tv_sec == root_after[1].tv_sec);
    CHECK(same_time(&etc_before[0], &etc_after[0]));
    return NULL;
}

static void test_no_traces(void **state)
{
    (void)state;
    in_every_context(check_no_traces, NULL);
}

/* What the command itself makes beside a mount point is its own; what the image has stays as it is. */
static struct err *check_kept(const struct sandbox *sb, void *ctx)
{
    const struct run_mount mounts[] = { { .source = mount_source, .target = "/new/dir" } };
    const struct command beside = { .argv = SH("echo kept >/new/file"), .mounts = mounts, .n_mounts = 1 };
    const struct command clean = { .argv = SH("rm -r /new") };
    AUTO(buf_release) struct buf out = BUF_INIT;
    AUTO(buf_release) struct buf hosts = BUF_INIT;
    AUTO_FREE char *path = xasprintf("%s/etc/hosts", root_dir);
    AUTO_FREE char *link = xasprintf("%s/etc/resolv.conf", root_dir);
    struct run_result result;

    (void)ctx;
    TRY(file_write_atomic(path, "mine\n", 5, 0600));
    CHECK(symlink("../run/resolve/stub.conf", link) == 0);
    TRY(run_command(sb, &beside, &out, &result));
    CHECK(result.exit_code == 0 && is_there("/new/file") && !is_there("/new/dir"));
    TRY(file_read(path, 100, &hosts));
    CHECK(strcmp(buf_str(&hosts), "mine\n") == 0);
    CHECK(is_there("/etc/resolv.conf") && !is_there("/run"));
    TRY(run_command(sb, &clean, &out, &result));
    CHECK(unlink(path) == 0 && unlink(link) == 0 && !is_there("/new"));
    return NULL;
}

static void test_kept(void **state)
{
    (void)state;
    in_every_context(check_kept, NULL);
}

/* ---- programs that cannot be started ---- */

static struct err *check_not_started(const struct sandbox *sb, void *ctx)
{
    static const struct {
        const char *program;
        int code;
        const char *text;
    } programs[] = {
        { "no-such-program", 127, "no such program in " PATH_ENTRY },
        { "/bin/missing", 127, "no such file in the image" },
        { "/bin/no-interpreter", 127, "interpreter" },
        { "no-interpreter", 127, "interpreter" },
        { "/etc/not-a-program", 126, "Permission denied" },
        { "/bin", 126, "Permission denied" },
        { "/bin/no-format", 126, "not a program of this platform" },
        { "/bin/foreign", 126, "it is a program for s390x, this node runs " },
        { "/bin/foreign-script", 126, "its interpreter '/bin/foreign' is a program for s390x" },
        { "foreign", 126, "cannot run '/bin/foreign'" },
        { "/bin/damaged", 126, "damaged" },
        { "", 127, "empty" },
    };

    (void)ctx;
    for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
        const struct command c = { .argv = { programs[i].program, "x", NULL } };
        AUTO(buf_release) struct buf out = BUF_INIT;
        struct run_result result;
        struct err *e = run_command(sb, &c, &out, &result);

        CHECK(e != NULL);
        if (err_kind(e) != ERR_COMMAND || err_exit_code(e) != programs[i].code ||
            !strstr(err_message(e), programs[i].text))
            return e;
        err_free(e);
    }
    return NULL;
}

static void test_not_started(void **state)
{
    (void)state;
    in_every_context(check_not_started, NULL);
}

static struct err *check_odd_orders(const struct sandbox *sb, void *ctx)
{
    const struct run_mount over_root = { .source = mount_source, .target = "/" },
                           over_file = { .source = mount_source, .target = "/etc/passwd" };
    AUTO(buf_release) struct buf out = BUF_INIT;
    struct run_result result;
    struct command c = { .argv = SH("true"), .mounts = &over_root, .n_mounts = 1 };
    struct err *e = run_command(sb, &c, &out, &result);

    (void)ctx;
    CHECK(e && err_kind(e) == ERR_DOCKERFILE);
    err_free(e);
    c.mounts = &over_file;
    e = run_command(sb, &c, &out, &result);
    CHECK(e && err_kind(e) == ERR_DOCKERFILE);
    err_free(e);
    c = (struct command){ .argv = SH("true"), .cwd = "/etc/passwd" };
    e = run_command(sb, &c, &out, &result);
    CHECK(e != NULL);
    err_free(e);
    return NULL;
}

static void test_odd_orders(void **state)
{
    (void)state;
    in_every_context(check_odd_orders, NULL);
}

/* ---- much output, many at once, memory ---- */

static void count(void *ctx, const char *p, size_t n)
{
    (void)p;
    *(size_t *)ctx += n;
}

struct one_of_many {
    const struct sandbox *sb;
    char root[100];
    pthread_t thread;
};

static void *run_one_of_many(void *arg)
{
    const struct one_of_many *one = arg;
    const struct sandbox *sb = one->sb;
    size_t total = 0;
    struct run_spec spec = { .root = one->root, .cwd = "/", .output = count, .ctx = &total };
    struct run_result result;

    strs_add(&spec.argv, "/bin/sh");
    strs_add(&spec.argv, "-c");
    strs_add(&spec.argv, "head -c 3000000 /dev/zero"); /* a pipe holds 65536 */
    strs_add(&spec.env, PATH_ENTRY);
    struct err *e = sandbox_run(sb, &spec, &result);
    strs_release(&spec.argv);
    strs_release(&spec.env);
    if (!e && (result.exit_code != 0 || total != 3000000 || result.peak_bytes < 100000))
        e = err_new(ERR_BUG, "exit code %d, %zu bytes, peak %llu", result.exit_code, total,
                    (unsigned long long)result.peak_bytes);
    return e;
}

/* A root of its own: one root is one command's at a time. */
static struct err *make_small_root(struct one_of_many *one, int i)
{
    AUTO_FREE char *from = xasprintf("%s/bin/busybox", root_dir);
    AUTO_FREE char *to = xasprintf("%s/tmp/%d/bin/sh", root_dir, i);
    AUTO_FREE char *bin = xasprintf("%s/tmp/%d/bin", root_dir, i);
    AUTO_FREE char *head = xasprintf("%s/tmp/%d/bin/head", root_dir, i);
    AUTO_FREE char *nap = xasprintf("%s/tmp/%d/bin/sleep", root_dir, i);

    (void)snprintf(one->root, sizeof(one->root), "%s/tmp/%d", root_dir, i);
    TRY(file_mkdirs(bin, 0755));
    CHECK(link(from, to) == 0 && link(from, head) == 0 && link(from, nap) == 0);
    return NULL;
}

static struct err *check_parallel(const struct sandbox *sb, void *ctx)
{
    struct one_of_many many[4];
    struct err *first = NULL;

    (void)ctx;
    for (int i = 0; i < 4; i++) {
        many[i].sb = sb;
        TRY(make_small_root(&many[i], i));
    }
    for (int i = 0; i < 4; i++)
        CHECK(pthread_create(&many[i].thread, NULL, run_one_of_many, &many[i]) == 0);
    for (int i = 0; i < 4; i++) {
        void *e;

        pthread_join(many[i].thread, &e);
        if (first)
            err_free(e);
        else
            first = e;
        TRY(file_remove_tree(AT_FDCWD, many[i].root));
    }
    return first;
}

static void test_parallel(void **state)
{
    (void)state;
    in_every_context(check_parallel, NULL);
}

/* Two commands at once: where they see each other in /proc, that is all they see. */
static void *run_neighbour(void *arg)
{
    const struct one_of_many *one = arg;
    AUTO(buf_release) struct buf out = BUF_INIT;
    struct run_spec spec = { .root = one->root, .cwd = "/", .output = collect, .ctx = &out };
    AUTO_FREE char *env = xasprintf("NEIGHBOUR=%s", marker);
    struct run_result result;

    strs_add(&spec.argv, "/bin/sh");
    strs_add(&spec.argv, "-c");
    strs_add(&spec.argv, "sleep 1.2; true");
    strs_add(&spec.env, PATH_ENTRY);
    strs_add(&spec.env, env);
    struct err *e = sandbox_run(one->sb, &spec, &result);
    strs_release(&spec.argv);
    strs_release(&spec.env);
    return e;
}

static struct err *check_neighbours(const struct sandbox *sb, void *ctx)
{
    AUTO_FREE char *script =
        xasprintf("sleep 0.6; cat /proc/[0-9]*/environ 2>/dev/null | grep -c NEIGHBOUR=%s", marker);
    const struct command look = { .argv = SH(script) };
    AUTO(buf_release) struct buf out = BUF_INIT;
    struct one_of_many one = { .sb = sb };
    struct run_result result;
    void *other;

    (void)ctx;
    TRY(make_small_root(&one, 9));
    CHECK(pthread_create(&one.thread, NULL, run_neighbour, &one) == 0);
    struct err *e = run_command(sb, &look, &out, &result);
    pthread_join(one.thread, &other);
    TRY(e);
    TRY((struct err *)other);
    TRY(file_remove_tree(AT_FDCWD, one.root));
    if (strcmp(buf_str(&out), "0\n") != 0)
        return err_new(ERR_BUG, "the neighbour's environment was read: %s", buf_str(&out));
    return NULL;
}

static void test_neighbours(void **state)
{
    (void)state;
    in_every_context(check_neighbours, NULL);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),     cmocka_unit_test(test_real_ids),    cmocka_unit_test(test_no_traces),
        cmocka_unit_test(test_kept),     cmocka_unit_test(test_not_started), cmocka_unit_test(test_odd_orders),
        cmocka_unit_test(test_parallel), cmocka_unit_test(test_neighbours),
    };

    return sandbox_test_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
