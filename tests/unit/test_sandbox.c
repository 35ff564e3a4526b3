/* Commands in a root made of busybox, on each rung, as root and as an ordinary user without any privilege, with an own
 * /proc and without. This program is its own inner process (main). */
#include "sandbox/sandbox.h"

#include "base/buf.h"
#include "base/mem.h"
#include "sandbox/caps_priv.h"
#include "sandbox/idmap_priv.h"
#include "sandbox/orders_priv.h"
#include "sandbox/subid_priv.h"
#include "sys/file.h"
#include "sys/proc.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#define ORDINARY   1000
#define SECRET     "COPYUP_TEST_SECRET=hunter2hunter2"
#define PATH_ENTRY "PATH=/usr/bin:/bin"

/* For code in the build process, where an assertion of cmocka would go nowhere. */
#define CHECK(cond)                                                                                                    \
    do {                                                                                                               \
        if (!(cond))                                                                                                   \
            return err_new(ERR_BUG, "%s:%d: not true: %s", __FILE__, __LINE__, #cond);                                 \
    } while (0)

/* ---- fixture: a root ---- */

static char root_dir[64], mount_source[80];
/* How long our sleepers sleep: the fraction is this run's own, so that no other run's is taken for it. */
static char marker[32], sleeper[40];

static const char *const applets[] = { "sh",       "cat",     "ls",     "id",     "sleep",    "echo", "env",   "kill",
                                       "hostname", "stat",    "touch",  "mount",  "ip",       "rm",   "mkdir", "true",
                                       "grep",     "sync",    "dd",     "wc",     "readlink", "test", "tr",    "chown",
                                       "setsid",   "unshare", "ulimit", "chroot", "rmdir",    "sort", "ps",    "mknod",
                                       "mv",       "chmod",   "head",   "nohup" };

static void put_file(const char *path, const char *text, mode_t mode)
{
    AUTO_FREE char *full = xasprintf("%s%s", root_dir, path);
    int fd = open(full, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_null(file_write_all(fd, text, strlen(text)));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

/* The beginning of a program for z/Architecture, which takes no kernel and no emulator; or of one for this machine. */
static void put_elf(const char *path, bool own)
{
    unsigned char head[20] = { 0x7f, 'E', 'L', 'F', 2, 2, 1, [19] = 22 };
    AUTO_FREE char *full = xasprintf("%s%s", root_dir, path);
    AUTO_CLOSE int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    AUTO_CLOSE int fd = open(full, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0755);

    if (own)
        assert_int_equal(read(self, head, sizeof(head)), sizeof(head));
    assert_null(file_write_all(fd, head, sizeof(head)));
    assert_int_equal(fchmod(fd, 0755), 0);
}

static void put_dir(const char *path)
{
    AUTO_FREE char *full = xasprintf("%s%s", root_dir, path);

    assert_int_equal(mkdir(full, 0755), 0);
}

static void put_busybox(void)
{
    AUTO_FREE char *to = xasprintf("%s/bin/busybox", root_dir);
    AUTO_CLOSE int in = open("/bin/busybox", O_RDONLY | O_CLOEXEC);
    AUTO_CLOSE int out = open(to, O_CREAT | O_WRONLY | O_CLOEXEC, 0755);
    struct stat st;

    assert_true(in >= 0 && out >= 0 && fstat(in, &st) == 0);
    assert_null(file_copy_data(in, out, (uint64_t)st.st_size, NULL));
    for (size_t i = 0; i < sizeof(applets) / sizeof(applets[0]); i++) {
        AUTO_FREE char *link = xasprintf("%s/bin/%s", root_dir, applets[i]);

        assert_int_equal(symlink("busybox", link), 0);
    }
}

static int make_fixture(void **state)
{
    (void)state;
    umask(022);
    (void)snprintf(marker, sizeof(marker), "61.%07d", (int)getpid());
    (void)snprintf(sleeper, sizeof(sleeper), "sleep %s", marker);
    (void)snprintf(root_dir, sizeof(root_dir), "/tmp/test_sandbox.XXXXXX");
    assert_non_null(mkdtemp(root_dir));
    (void)snprintf(mount_source, sizeof(mount_source), "%s.mount", root_dir);
    assert_int_equal(mkdir(mount_source, 0755), 0);
    assert_int_equal(chmod(root_dir, 0755), 0);
    put_dir("/bin");
    put_dir("/etc");
    put_dir("/tmp");
    put_file("/etc/passwd", "root::0:0::/:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n", 0644);
    put_file("/etc/not-a-program", "text\n", 0644);
    put_file("/bin/no-interpreter", "#!/not/there\n", 0755);
    put_file("/bin/no-format", "just words\n", 0755);
    put_elf("/bin/foreign", false);
    put_file("/bin/foreign-script", "#! /bin/foreign -x\n", 0755);
    put_elf("/bin/damaged", true);
    put_busybox();
    assert_int_equal(setenv("COPYUP_TEST_SECRET", strchr(SECRET, '=') + 1, 1), 0);
    return 0;
}

static int remove_fixture(void **state)
{
    (void)state;
    assert_null(file_remove_tree(AT_FDCWD, root_dir));
    assert_null(file_remove_tree(AT_FDCWD, mount_source));
    return 0;
}

/* ---- contexts ---- */

struct context {
    const char *name, *rung;
    bool two_caps;    /* as user 1000 with CAP_SETUID and CAP_SETGID permitted, as a file with "=p" gives them */
    bool ordinary;    /* as user 1000, no capability, no new privileges: else as we are */
    bool subordinate; /* as user 1000 to whom /etc/subuid grants a range */
    bool no_fresh;    /* pretend that the pod's /proc is masked */
    struct err *(*build)(const struct sandbox *sb, void *ctx);
    void *arg;
    int64_t deadline_ms;
};

static struct err *build_in_context(const struct sandbox *sb, void *ctx)
{
    const struct context *c = ctx;
    struct sandbox changed = *sb;

    if (strcmp(sb->rung, c->rung) != 0)
        return err_new(ERR_BUG, "rung '%s' instead of '%s'", sb->rung, c->rung);
    if (c->no_fresh)
        changed.fresh_proc = false;
    return c->build(&changed, c->arg);
}

static void chown_fixture(uid_t id)
{
    AUTO_FREE char *command = NULL;

    for (int i = 0; i < 2; i++) {
        pid_t pid = fork();

        if (pid == 0) {
            char owner[32];

            (void)snprintf(owner, sizeof(owner), "%u:%u", (unsigned)id, (unsigned)id);
            execl("/bin/busybox", "chown", "-hR", owner, i ? mount_source : root_dir, (char *)NULL);
            _exit(1);
        }
        assert_int_equal(waitpid(pid, NULL, 0), pid);
    }
}

static void drop_everything(void)
{
    if (setgroups(0, NULL) < 0 || setresgid(ORDINARY, ORDINARY, ORDINARY) < 0 ||
        setresuid(ORDINARY, ORDINARY, ORDINARY) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0)
        _exit(99);
}

static void keep_two_caps(void)
{
    const uint64_t two = CAP_BIT(CAP_SETUID) | CAP_BIT(CAP_SETGID);
    const struct caps caps = { .permitted = two };

    if (setgroups(0, NULL) < 0 || prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 ||
        setresgid(ORDINARY, ORDINARY, ORDINARY) < 0 || setresuid(ORDINARY, ORDINARY, ORDINARY) < 0 || !caps_set(&caps))
        _exit(99);
}

static void cover_file(const char *path, const char *text)
{
    char copy[] = "/tmp/test_sandbox.file.XXXXXX";
    int fd = mkstemp(copy);

    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) || fchmod(fd, 0644) < 0 || close(fd) < 0 ||
        (access(path, F_OK) < 0 && close(creat(path, 0644)) < 0) || mount(copy, path, NULL, MS_BIND, NULL) < 0 ||
        unlink(copy) < 0)
        _exit(99);
}

/* An image with the package uidmap, and a user in its files. */
static void grant_subordinate_ids(void)
{
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        _exit(99);
    cover_file("/etc/passwd", "root:x:0:0::/:/bin/sh\nbuilder:x:1000:1000::/:/bin/sh\n");
    cover_file("/etc/subuid", "other:200000:65536\nbuilder:300000:65536\n");
    cover_file("/etc/subgid", "1000:400000:1000\nbuilder:500000:65536\n");
    if (setgroups(0, NULL) < 0 || setresgid(ORDINARY, ORDINARY, ORDINARY) < 0 ||
        setresuid(ORDINARY, ORDINARY, ORDINARY) < 0 || prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0)
        _exit(99);
}

static struct err *enter_context(const struct context *c)
{
    const struct sandbox_opts opts = { c->rung, c->deadline_ms ? c->deadline_ms : INT64_MAX };

    return sandbox_enter(&opts, build_in_context, (void *)c);
}

/* The whole of sandbox_enter() in a process of its own, as an unprivileged or a privileged pod would start it: its
 * error comes back over report_fd. */
static pid_t start_context(const struct context *c, int *ret_report_fd)
{
    int report[2];

    assert_int_equal(pipe2(report, O_CLOEXEC), 0);
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (c->ordinary)
            drop_everything();
        if (c->two_caps)
            keep_two_caps();
        if (c->subordinate)
            grant_subordinate_ids();
        struct err *e = enter_context(c);
        _exit(err_write(report[1], e) ? 1 : 0);
    }
    close(report[1]);
    *ret_report_fd = report[0];
    return pid;
}

static struct err *finish_context(pid_t pid, int report_fd)
{
    struct err *e = NULL, *unreadable = err_read(report_fd, &e);

    close(report_fd);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    return unreadable ? unreadable : e;
}

static struct err *run_context(const struct context *c)
{
    int report_fd;
    pid_t pid = start_context(c, &report_fd);

    return finish_context(pid, report_fd);
}

static const struct context contexts[] = {
    { .name = "full, own /proc", .rung = "full" },
    { .name = "full, the pod's /proc", .rung = "full", .no_fresh = true },
    { .name = "helper, own /proc", .rung = "helper", .subordinate = true },
    { .name = "privileged, own /proc", .rung = "privileged" },
    { .name = "single as root, own /proc", .rung = "single" },
    { .name = "single as user, own /proc", .rung = "single", .ordinary = true },
    { .name = "single as user, the pod's /proc", .rung = "single", .ordinary = true, .no_fresh = true },
};
#define N_CONTEXTS (sizeof(contexts) / sizeof(contexts[0]))

/* Runs build(sb, arg) in every context; prints which failed. */
static void in_contexts(struct err *(*build)(const struct sandbox *, void *), void *arg, size_t step)
{
    bool all = true;

    for (size_t i = 0; i < N_CONTEXTS; i += step) {
        struct context c = contexts[i];

        c.build = build;
        c.arg = arg;
        chown_fixture(c.ordinary || c.subordinate ? ORDINARY : 0);
        struct err *e = run_context(&c);
        if (e) {
            print_error("%s:\n", c.name);
            err_print(stderr, e);
            err_free(e);
            all = false;
        }
    }
    assert_true(all);
}

static void in_every_context(struct err *(*build)(const struct sandbox *, void *), void *arg)
{
    in_contexts(build, arg, 1);
}

/* For what takes seconds: the first and the last differ in everything. */
static void in_two_contexts(struct err *(*build)(const struct sandbox *, void *), void *arg)
{
    in_contexts(build, arg, N_CONTEXTS - 1);
}

/* ---- one command ---- */

static void collect(void *ctx, const char *p, size_t n)
{
    buf_add(ctx, p, n);
}

struct command {
    const char *argv[6];
    uint32_t uid, gid, group; /* group: a supplementary one, 0 = none */
    const char *cwd, *input;
    enum run_network network;
    const struct run_mount *mounts;
    size_t n_mounts;
};

static struct err *run_command(const struct sandbox *sb, const struct command *c, struct buf *out,
                               struct run_result *ret)
{
    uint32_t group = c->group;
    struct run_spec spec = {
        .root = root_dir,
        .cwd = c->cwd ? c->cwd : "/",
        .user = { .uid = c->uid, .gid = c->gid, .groups = &group, .n_groups = c->group ? 1 : 0 },
        .stdin_data = c->input,
        .stdin_len = c->input ? strlen(c->input) : 0,
        .network = c->network,
        .mounts = c->mounts,
        .n_mounts = c->n_mounts,
        .output = collect,
        .ctx = out,
    };

    for (const char *const *a = c->argv; *a; a++)
        strs_add(&spec.argv, *a);
    strs_add(&spec.env, PATH_ENTRY);
    strs_add(&spec.env, "HOME=/root");
    struct err *e = sandbox_run(sb, &spec, ret);
    strs_release(&spec.argv);
    strs_release(&spec.env);
    return e;
}

#define SH(script)                                                                                                     \
    {                                                                                                                  \
        "/bin/sh", "-c", script, NULL                                                                                  \
    }

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
      { .argv = SH("ls /dev") },
      0,
      "core\nfd\nfull\nmqueue\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nurandom\nzero\n" },
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
      { .argv = SH("setsid sleep 60 & setsid sh -c 'trap \"\" TERM HUP; sleep 60 & sleep 60' & echo done") },
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

/* ---- id maps ---- */

static void test_id_maps(void **state)
{
    static const struct {
        const char *name, *have;
        uint32_t own;
        bool zero;
        const char *map;
        uint32_t ids;
    } maps[] = {
        { "root of the node", "0 0 4294967295\n", 0, true, "0 0 4294967295\n", 4294967295U },
        { "root, 0 may not be mapped", "0 0 4294967295\n", 0, false, "0 1 4294967294\n", 4294967294U },
        { "pod with its own users", "0 1000000 65536\n", 0, true, "0 0 65536\n", 65536 },
        { "the same without 0", "0 1000000 65536\n", 0, false, "0 1 65535\n", 65535 },
        { "user on a node", "0 0 4294967295\n", 1000, false, "0 1000 1\n1 100000 65535\n", 65536 },
        { "user of a pod with its own users", "0 1000000 65536\n", 1000, false, "0 1000 1\n1 1 999\n1000 1001 64535\n",
          65535 },
        { "the same, 0 may be mapped", "0 1000000 65536\n", 1000, true, "0 1000 1\n1 0 1000\n1001 1001 64535\n",
          65536 },
        { "two extents in the wrong order", "1 100000 65535\n0 1000 1\n", 0, true, "0 0 1\n1 1 65535\n", 65536 },
        { "a hole", "0 5 10\n100 500 20\n", 0, true, "0 0 10\n10 100 20\n", 30 },
        { "one id", "0 1000 1\n", 0, true, "0 0 1\n", 1 },
        { "none but us", "0 1000 1\n", 0, false, "", 0 },
        { "the last id", "0 0 4294967295\n", 4294967294U, false, "0 4294967294 1\n1 100000 65535\n", 65536 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++) {
        AUTO(buf_release) struct buf text = BUF_INIT;
        struct id_map have, map;

        assert_true(id_map_parse(maps[i].have, &have));
        id_map_full(&have, maps[i].own, maps[i].zero, &map);
        id_map_format(&map, &text);
        if (strcmp(buf_str(&text), maps[i].map) != 0 || map.ids != maps[i].ids)
            print_error("%s\n", maps[i].name);
        assert_string_equal(buf_str(&text), maps[i].map);
        assert_int_equal(map.ids, maps[i].ids);
    }
}

static void test_subordinate_ids(void **state)
{
    static const struct {
        const char *name, *text, *user, *map;
    } files[] = {
        { "by name", "a:100000:65536\nme:200000:1000\n", "me", "0 7 1\n1 200000 1000\n" },
        { "by number", "1000:5:6\n", NULL, "0 7 1\n1 5 6\n" },
        { "several, cut at the range", "me:100:10\nx\nme:200:4294967000\n", "me", "0 7 1\n1 100 10\n11 200 65525\n" },
        { "not a prefix", "mean:1:2\n:3:4\n", "me", "0 7 1\n" },
        { "no numbers", "me:x:2\nme:1:\nme:-1:4\nme:1\nme\nme:99999999999:1\nme:4294967295:9\nme:4294967296:1", "me",
          "0 7 1\n" },
        { "no end of line", "me:1:2", "me", "0 7 1\n1 1 2\n" },
        { "empty", "", "me", "0 7 1\n" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        AUTO(buf_release) struct buf out = BUF_INIT;
        struct id_map map;

        subid_map(files[i].text, files[i].user, 1000, 7, &map);
        id_map_format(&map, &out);
        if (strcmp(buf_str(&out), files[i].map) != 0)
            fail_msg("%s: %s", files[i].name, buf_str(&out));
    }
    AUTO_FREE char *name = subid_user_name("root:x:0:0::/:\nme:x:1000:5::/:\n", 1000);
    assert_string_equal(name, "me");
    assert_null(subid_user_name("root:x:0:0\n:x:1000:\nx:1000\n", 1000));
}

static void test_id_map_texts(void **state)
{
    static const char *const bad[] = { "x", "0 0\n", "0 0 1 2\n", "0 0 4294967296\n", "-1 0 1\n", "0  0 1x\n" };
    struct id_map map;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(id_map_parse(bad[i], &map));
    assert_true(id_map_parse("         0       1000          1\n         1     100000      65535\n", &map));
    assert_int_equal(map.n, 2);
    assert_int_equal(map.items[1].outside, 100000);
    assert_true(id_map_parse("", &map));
    assert_int_equal(map.n, 0);
}

/* ---- orders ---- */

static void test_orders(void **state)
{
    AUTO(buf_release) struct buf bytes = BUF_INIT;
    AUTO(buf_release) struct buf again = BUF_INIT;
    struct orders o = { .root = xstrdup("/r"),
                        .cwd = xstrdup(""),
                        .hostname = xstrdup("h"),
                        .uid = 1,
                        .gid = 4294967295U,
                        .no_network = true };
    struct orders back;

    (void)state;
    strs_add(&o.argv, "");
    strs_add(&o.argv, "two words\n");
    strs_add(&o.env, "A=b");
    strs_add(&o.hosts, "::1\ta");
    vec_push(&o.groups, 7U);
    struct order_mount m = { .kind = 1,
                             .source = xstrdup(""),
                             .target = xstrdup("/t"),
                             .tmpfs_bytes = UINT64_MAX,
                             .readonly = true,
                             .data = xstrdup("a"),
                             .len = 2,
                             .mode = 0400,
                             .uid = 5,
                             .gid = 6 };
    vec_push(&o.mounts, m);
    vec_push(&o.protect, 12U);
    orders_encode(&o, &bytes);
    assert_null(orders_decode(bytes.data, bytes.len, &back));
    assert_string_equal(back.hostname, "h");
    assert_string_equal(back.hosts.items[0], "::1\ta");
    orders_encode(&back, &again);
    assert_int_equal(again.len, bytes.len);
    assert_memory_equal(again.data, bytes.data, bytes.len);
    assert_int_equal(back.mounts.items[0].tmpfs_bytes, UINT64_MAX);
    assert_int_equal(back.mounts.items[0].len, 2);
    assert_memory_equal(back.mounts.items[0].data, "a", 2);
    orders_release(&back);
    orders_release(&o);
    for (size_t len = 0; len < bytes.len; len++) { /* every truncation is noticed */
        struct err *e = orders_decode(bytes.data, len, &back);

        assert_non_null(e);
        err_free(e);
    }
    buf_putc(&bytes, 'x');
    struct err *e = orders_decode(bytes.data, bytes.len, &back);
    assert_non_null(e);
    err_free(e);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest pure[] = {
        cmocka_unit_test(test_id_maps),
        cmocka_unit_test(test_id_map_texts),
        cmocka_unit_test(test_subordinate_ids),
        cmocka_unit_test(test_orders),
    };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_choice),      cmocka_unit_test(test_no_namespaces), cmocka_unit_test(test_rows),
        cmocka_unit_test(test_real_ids),    cmocka_unit_test(test_no_traces),     cmocka_unit_test(test_kept),
        cmocka_unit_test(test_not_started), cmocka_unit_test(test_odd_orders),    cmocka_unit_test(test_parallel),
        cmocka_unit_test(test_neighbours),  cmocka_unit_test(test_cancel),        cmocka_unit_test(test_terminated),
        cmocka_unit_test(test_deadline),    cmocka_unit_test(test_parent_killed), cmocka_unit_test(test_deaf_build),
        cmocka_unit_test(test_build_error), cmocka_unit_test(test_build_crash),   cmocka_unit_test(test_strangers),
    };

    if (argc > 1 && strcmp(argv[1], SANDBOX_INNER_COMMAND) == 0)
        sandbox_inner_main(argc, argv);
    int failed = cmocka_run_group_tests(pure, NULL, NULL);
#ifdef __SANITIZE_THREAD__ /* its own thread lives in every process: the kernel then refuses a user namespace */
    (void)tests;
    (void)make_fixture;
    (void)remove_fixture;
    return failed;
#else
    return failed + cmocka_run_group_tests(tests, make_fixture, remove_fixture);
#endif
}
