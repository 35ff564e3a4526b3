/* Fake cgroup trees: what limits.h makes of them. */
#include "sandbox/limits.h"

#include "base/mem.h"
#include "sys/file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define CG       "/sys/fs/cgroup"
#define NO_QUOTA 0 /* in the tables: as many as this machine has */

struct file {
    const char *path, *text;
};
struct limits_case {
    const char *name;
    struct file files[8];
    uint64_t memory;
    uint32_t milli; /* NO_QUOTA: no CPU limit */
    int version;
    uint64_t oom_kills;
};

static const struct limits_case cases[] = {
    { "nothing there", { { NULL, NULL } }, UINT64_MAX, NO_QUOTA, 0, 0 },
    { "v2 without limits",
      { { CG "/cgroup.controllers", "cpu memory\n" },
        { CG "/memory.max", "max\n" },
        { CG "/cpu.max", "max 100000\n" } },
      UINT64_MAX,
      NO_QUOTA,
      2,
      0 },
    { "v2 as a pod has it",
      { { CG "/cgroup.controllers", "cpu memory\n" },
        { "/proc/self/cgroup", "0::/\n" },
        { CG "/memory.max", "524288000\n" },
        { CG "/cpu.max", "40000 100000\n" },
        { CG "/memory.events", "low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n" } },
      524288000,
      400,
      2,
      2 },
    { "v2 cpu.max without a period",
      { { CG "/cgroup.controllers", "" }, { CG "/cpu.max", "250000\n" } },
      UINT64_MAX,
      2500,
      2,
      0 },
    { "v2 own group is stricter than the one above",
      { { CG "/cgroup.controllers", "cpu memory\n" },
        { "/proc/self/cgroup", "0::/a/b\n" },
        { CG "/a/memory.max", "1000000\n" },
        { CG "/a/b/memory.max", "900000\n" },
        { CG "/a/b/cpu.max", "300000 100000\n" },
        { CG "/a/cpu.max", "150000 100000\n" } },
      900000,
      1500,
      2,
      0 },
    { "v2 own count of kills, not the one above",
      { { CG "/cgroup.controllers", "memory\n" },
        { "/proc/self/cgroup", "0::/a\n" },
        { CG "/a/memory.events", "oom_kill 1\n" },
        { CG "/memory.events", "oom_kill 9\n" } },
      UINT64_MAX,
      NO_QUOTA,
      2,
      1 },
    { "v2 path of the node, not visible here",
      { { CG "/cgroup.controllers", "memory\n" },
        { "/proc/self/cgroup", "0::/kubepods/pod1/x\n" },
        { CG "/memory.max", "7000000\n" } },
      7000000,
      NO_QUOTA,
      2,
      0 },
    { "v2 path that climbs is not followed",
      { { CG "/cgroup.controllers", "memory\n" },
        { "/proc/self/cgroup", "0::/../..\n" },
        { CG "/memory.max", "7000000\n" },
        { "/sys/memory.max", "1\n" } },
      7000000,
      NO_QUOTA,
      2,
      0 },
    { "v1 as a pod has it",
      { { CG "/memory/memory.limit_in_bytes", "67108864\n" },
        { CG "/memory/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n" },
        { CG "/cpu,cpuacct/cpu.cfs_quota_us", "150000\n" },
        { CG "/cpu,cpuacct/cpu.cfs_period_us", "100000\n" },
        { "/proc/self/cgroup", "4:memory:/kubepods/x\n3:cpu,cpuacct:/kubepods/x\n1:name=systemd:/\n" } },
      67108864,
      1500,
      1,
      1 },
    { "v1 without limits",
      { { CG "/memory/memory.limit_in_bytes", "9223372036854771712\n" }, { CG "/cpu/cpu.cfs_quota_us", "-1\n" } },
      UINT64_MAX,
      NO_QUOTA,
      1,
      0 },
    { "hybrid: v1 controllers beside an empty v2 tree",
      { { CG "/unified/cgroup.controllers", "" },
        { CG "/memory/group/memory.limit_in_bytes", "5000000\n" },
        { "/proc/self/cgroup", "4:memory:/group\n0::/\n" } },
      5000000,
      NO_QUOTA,
      1,
      0 },
    { "v1 controller named like a part of another",
      { { CG "/cpu/right/cpu.cfs_quota_us", "50000\n" },
        { CG "/cpu/wrong/cpu.cfs_quota_us", "10000\n" },
        { "/proc/self/cgroup", "5:cpuset:/wrong\n3:cpuacct,cpu:/right\n" } },
      UINT64_MAX,
      500,
      1,
      0 },
    { "garbage is no limit",
      { { CG "/cgroup.controllers", "" },
        { CG "/memory.max", "lots\n" },
        { CG "/cpu.max", "-5 100000\n" },
        { CG "/memory.events", "oom_kill many\n" } },
      UINT64_MAX,
      NO_QUOTA,
      2,
      0 },
    { "a period of zero is no limit",
      { { CG "/cgroup.controllers", "" }, { CG "/cpu.max", "100 0\n" } },
      UINT64_MAX,
      NO_QUOTA,
      2,
      0 },
    { "a tiny quota is still one",
      { { CG "/cgroup.controllers", "" }, { CG "/cpu.max", "1 100000\n" } },
      UINT64_MAX,
      1,
      2,
      0 },
    { "numbers beyond 64 bits are no limit",
      { { CG "/cgroup.controllers", "" }, { CG "/memory.max", "99999999999999999999999\n" } },
      UINT64_MAX,
      NO_QUOTA,
      2,
      0 },
};

static void write_tree(const char *root, const struct limits_case *c)
{
    for (const struct file *f = c->files; f->path; f++) {
        AUTO_FREE char *path = xasprintf("%s%s", root, f->path);
        AUTO_FREE char *dir = xstrndup(path, (size_t)(strrchr(path, '/') - path));

        assert_null(file_mkdirs(dir, 0755));
        assert_null(file_write_atomic(path, f->text, strlen(f->text), 0644));
    }
}

static bool check_case(const struct limits_case *c)
{
    char root[] = "/tmp/test_limits.XXXXXX";
    struct limits l;

    assert_non_null(mkdtemp(root));
    write_tree(root, c);
    limits_read(root, &l);
    uint64_t kills = limits_oom_kills(root);
    assert_null(file_remove_tree(AT_FDCWD, root));
    bool good = l.memory_bytes == c->memory && l.version == c->version && kills == c->oom_kills &&
                l.cpu_limited == (c->milli != NO_QUOTA) && (c->milli == NO_QUOTA || l.cpu_milli == c->milli) &&
                (l.cpu_limited || l.cpu_milli >= 1000);
    if (!good)
        print_error("%s: memory %llu, cpu %u (%d), version %d, kills %llu\n", c->name,
                    (unsigned long long)l.memory_bytes, l.cpu_milli, l.cpu_limited, l.version,
                    (unsigned long long)kills);
    return good;
}

static void test_trees(void **state)
{
    bool all = true;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        all = check_case(&cases[i]) && all;
    assert_true(all);
}

/* The strictest of all levels counts, in either version. */
static void test_pids(void **state)
{
    static const struct {
        const char *name;
        struct limits_case tree;
        uint64_t expected;
    } trees[] = {
        { "v2",
          { "",
            { { CG "/cgroup.controllers", "pids" },
              { "/proc/self/cgroup", "0::/a/b\n" },
              { CG "/a/pids.max", "20\n" },
              { CG "/a/b/pids.max", "max\n" } },
            0,
            0,
            2,
            0 },
          20 },
        { "v1",
          { "",
            { { "/proc/self/cgroup", "3:pids:/p\n" },
              { CG "/pids/pids.max", "900\n" },
              { CG "/pids/p/pids.max", "1024\n" } },
            0,
            0,
            0,
            0 },
          900 },
        { "none",
          { "", { { CG "/cgroup.controllers", "pids" }, { CG "/pids.max", "max\n" } }, 0, 0, 2, 0 },
          UINT64_MAX },
        { "nonsense",
          { "", { { CG "/cgroup.controllers", "pids" }, { CG "/pids.max", "-3x\n" } }, 0, 0, 2, 0 },
          UINT64_MAX },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(trees) / sizeof(trees[0]); i++) {
        char root[] = "/tmp/test_limits.XXXXXX";
        struct limits l;

        assert_non_null(mkdtemp(root));
        write_tree(root, &trees[i].tree);
        limits_read(root, &l);
        assert_null(file_remove_tree(AT_FDCWD, root));
        if (l.pids_max != trees[i].expected)
            fail_msg("%s: %llu", trees[i].name, (unsigned long long)l.pids_max);
    }
}

static void test_threads(void **state)
{
    const uint64_t none = UINT64_MAX, mib = 1 << 20;
    const struct {
        uint32_t milli;
        uint64_t memory, pids;
        int threads;
    } rows[] = {
        { 0, none, none, 1 },
        { 1, none, none, 1 },
        { 400, none, none, 1 },
        { 1000, none, none, 1 },
        { 1001, none, none, 2 },
        { 1500, none, none, 2 },
        { 2000, none, none, 2 },
        { 16000, none, none, 16 },
        { 16001, none, none, 16 },
        { 4000000000U, none, none, 16 },
        /* memory for fewer */
        { 16000, 500 * mib, none, 16 },
        { 16000, 100 * mib, none, 8 },
        { 2000, 100 * mib, none, 2 },
        { 16000, 30 * mib, none, 2 },
        { 16000, 1, none, 1 },
        { 16000, 0, none, 1 },
        /* processes for fewer */
        { 16000, none, 100, 16 },
        { 16000, none, 20, 5 },
        { 400, none, 20, 1 },
        { 16000, none, 3, 1 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct limits l = { .cpu_milli = rows[i].milli,
                                  .memory_bytes = rows[i].memory,
                                  .pids_max = rows[i].pids };

        if (limits_threads(&l) != rows[i].threads)
            fail_msg("row %zu: %d threads", i, limits_threads(&l));
    }
}

/* A process of its own, for limits cannot be raised again. It ends with 0 if the limit was seen. */
static int see_rlimit(__rlimit_resource_t what, rlim_t value)
{
    const struct rlimit r = { value, value };
    struct limits l;
    pid_t pid = fork();
    int status = 0;

    if (pid == 0) {
        if (setrlimit(what, &r) < 0)
            _exit(2);
        limits_read("", &l);
        _exit((what == RLIMIT_NPROC ? l.pids_max : l.memory_bytes) <= value ? 0 : 1);
    }
    assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
    return status;
}

static void test_rlimits(void **state)
{
    (void)state;
    assert_int_equal(see_rlimit(RLIMIT_DATA, 300 << 20), 0);
    assert_int_equal(see_rlimit(RLIMIT_NPROC, 77), 0);
}

/* Whatever this machine is: the answer is one that a program can work with. */
static void test_this_machine(void **state)
{
    struct limits l;

    (void)state;
    limits_read("", &l);
    assert_true(l.memory_bytes > 1024 * 1024);
    assert_true(l.cpu_milli > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_trees), cmocka_unit_test(test_threads),
                                        cmocka_unit_test(test_pids), cmocka_unit_test(test_rlimits),
                                        cmocka_unit_test(test_this_machine) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
