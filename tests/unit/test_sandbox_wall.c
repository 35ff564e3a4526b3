/* The wall around a RUN where it sees other processes than its own: what it can do to a victim in another RUN and to
 * the builder, by number, and that it can do the same to its own. The attacker is this program, started in the RUN. */
#include "../fixtures/sandbox_self.h"

#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>

#ifndef F_SETSIG
#define F_SETSIG 10
#endif
#define FIOSETOWN_REQUEST 0x8901
#define ATTACK            "attack"
#define OWN               "own"
#define REACH             "reach"
#define IOPRIO_PROCESS    1
#define IOPRIO_GROUP      2
#define IOPRIO_IDLE       (3 << 13)

/* ---- the ways: 0 if it was done ---- */

static long by_kill(pid_t pid)
{
    return kill(pid, SIGKILL);
}
static long by_group(pid_t pid)
{
    return kill(-pid, SIGKILL);
}
static long by_all(pid_t pid)
{
    (void)pid;
    return kill(-1, SIGKILL);
}
static long by_tkill(pid_t pid)
{
    return syscall(SYS_tkill, pid, SIGKILL);
}
static long by_tgkill(pid_t pid)
{
    return syscall(SYS_tgkill, pid, pid, SIGKILL);
}
static long by_queue(pid_t pid)
{
    return sigqueue(pid, SIGKILL, (union sigval){ 0 });
}
static long by_thread_queue(pid_t pid)
{
    siginfo_t info = { .si_signo = SIGKILL, .si_code = SI_QUEUE };

    return syscall(SYS_rt_tgsigqueueinfo, pid, pid, SIGKILL, &info);
}
static long by_pidfd(pid_t pid)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);

    return fd < 0 ? -1 : syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
}
static long by_proc_dir(pid_t pid)
{
    char path[32];

    (void)snprintf(path, sizeof(path), "/proc/%d", (int)pid);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -1 : syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
}

/* The owner of a file gets a signal of choice when the file is ready. That it could be set is no harm yet. */
static long by_owner(int (*set)(int fd, pid_t pid), pid_t pid)
{
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0) /* no pipe: it has no FIOSETOWN */
        return -1;
    (void)fcntl(ends[0], F_SETSIG, SIGKILL);
    long rc = set(ends[0], pid);
    (void)fcntl(ends[0], F_SETFL, O_ASYNC);
    (void)!write(ends[1], "x", 1);
    return rc < 0 ? -1 : 0;
}
static int set_owner(int fd, pid_t pid)
{
    return fcntl(fd, F_SETOWN, pid);
}
static int set_owner_group(int fd, pid_t pid)
{
    return fcntl(fd, F_SETOWN, -pid);
}
static int set_owner_ex(int fd, pid_t pid)
{
    const struct f_owner_ex owner = { F_OWNER_PID, pid };

    return fcntl(fd, F_SETOWN_EX, &owner);
}
static int set_owner_thread(int fd, pid_t pid)
{
    const struct f_owner_ex owner = { F_OWNER_TID, pid };

    return fcntl(fd, F_SETOWN_EX, &owner);
}
static int set_owner_ioctl(int fd, pid_t pid)
{
    return ioctl(fd, FIOSETOWN_REQUEST, &pid);
}
static long by_file_owner(pid_t pid)
{
    return by_owner(set_owner, pid);
}
static long by_file_group(pid_t pid)
{
    return by_owner(set_owner_group, pid);
}
static long by_file_owner_ex(pid_t pid)
{
    return by_owner(set_owner_ex, pid);
}
static long by_file_thread(pid_t pid)
{
    return by_owner(set_owner_thread, pid);
}
static long by_file_ioctl(pid_t pid)
{
    return by_owner(set_owner_ioctl, pid);
}

static long by_limit(pid_t pid)
{
    const struct rlimit none = { 0, 0 };

    return prlimit(pid, RLIMIT_CPU, &none, NULL);
}
static long by_priority(pid_t pid)
{
    return setpriority(PRIO_PROCESS, (id_t)pid, 19);
}
static long by_group_priority(pid_t pid)
{
    return setpriority(PRIO_PGRP, (id_t)pid, 19);
}
static long by_user_priority(pid_t pid)
{
    (void)pid;
    return setpriority(PRIO_USER, 0, 19);
}
static long by_affinity(pid_t pid)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(0, &set);
    return sched_setaffinity(pid, sizeof(set), &set);
}
static long by_policy(pid_t pid)
{
    const struct sched_param p = { 0 };

    return sched_setscheduler(pid, SCHED_IDLE, &p);
}
static long by_attr(pid_t pid)
{
    const struct {
        uint32_t size, policy;
        uint64_t rest[5];
    } attr = { .size = 48, .policy = SCHED_IDLE };

    return syscall(SYS_sched_setattr, pid, &attr, 0);
}
static long by_disk_priority(pid_t pid)
{
    return syscall(SYS_ioprio_set, IOPRIO_PROCESS, pid, IOPRIO_IDLE);
}
static long by_group_disk_priority(pid_t pid)
{
    return syscall(SYS_ioprio_set, IOPRIO_GROUP, pid, IOPRIO_IDLE);
}
static long by_trace(pid_t pid)
{
    return syscall(SYS_ptrace, 0x4206 /* PTRACE_SEIZE */, pid, NULL, NULL);
}
static long by_memory(pid_t pid)
{
    char byte;
    const struct iovec own = { &byte, 1 }, its = { &byte, 1 };

    return process_vm_readv(pid, &own, 1, &its, 1, 0);
}
static long by_descriptor(pid_t pid)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);

    return fd < 0 ? -1 : syscall(SYS_pidfd_getfd, fd, 0, 0);
}
static long by_root(pid_t pid)
{
    char path[32];

    (void)snprintf(path, sizeof(path), "/proc/%d/root/", (int)pid);
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}
static long by_environment(pid_t pid)
{
    char path[32], byte;

    (void)snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -1 : read(fd, &byte, 1);
}

struct way {
    const char *name;
    long (*fn)(pid_t pid);
    bool may_seem; /* that the call succeeds is no harm: the signal does not arrive */
    bool harmless; /* to the process: it lives on */
};

static const struct way ways[] = {
    { "kill", by_kill, false, false },
    { "kill of a group", by_group, false, false },
    { "kill of all", by_all, true, true },
    { "tkill", by_tkill, false, false },
    { "tgkill", by_tgkill, false, false },
    { "sigqueue", by_queue, false, false },
    { "rt_tgsigqueueinfo", by_thread_queue, false, false },
    { "pidfd_send_signal", by_pidfd, false, false },
    { "pidfd_send_signal to a directory of /proc", by_proc_dir, false, false },
    { "F_SETOWN", by_file_owner, true, false },
    { "F_SETOWN of a group", by_file_group, true, false },
    { "F_SETOWN_EX", by_file_owner_ex, true, false },
    { "F_SETOWN_EX of a thread", by_file_thread, true, false },
    { "FIOSETOWN", by_file_ioctl, true, false },
    { "prlimit", by_limit, false, true },
    { "setpriority", by_priority, false, true },
    { "setpriority of a group", by_group_priority, false, true },
    { "setpriority of a user", by_user_priority, false, true },
    { "sched_setaffinity", by_affinity, false, true },
    { "sched_setscheduler", by_policy, false, true },
    { "sched_setattr", by_attr, false, true },
    { "ioprio_set", by_disk_priority, false, true },
    { "ioprio_set of a group", by_group_disk_priority, false, true },
    { "ptrace", by_trace, false, true },
    { "process_vm_readv", by_memory, false, true },
    { "pidfd_getfd", by_descriptor, false, true },
    { "its root directory", by_root, false, true },
    { "its environment", by_environment, false, true },
};
#define N_WAYS (sizeof(ways) / sizeof(ways[0]))

/* ---- in the RUN ---- */

/* A process that was not ours to signal was not there for us, either way; one that is gone is ESRCH. */
static bool is_alive(pid_t pid)
{
    return access("/proc", F_OK) == 0 && (kill(pid, 0) == 0 || errno != ESRCH);
}

/* argv: processes that this RUN must not be able to do anything to. */
static int attack(char **argv)
{
    int bad = 0;

    for (size_t i = 0; i < N_WAYS; i++)
        for (char **a = argv; *a; a++) {
            pid_t pid = (pid_t)strtol(*a, NULL, 10);
            long rc = ways[i].fn(pid);
            bool done = rc >= 0 && !ways[i].may_seem, alive = is_alive(pid);

            if (done || !alive)
                printf("%s of %d: %s%s\n", ways[i].name, (int)pid, done ? "allowed" : "refused",
                       alive ? "" : ", and it ended");
            bad |= done || !alive;
        }
    return bad;
}

/* The kernel refuses these, or our filter does, also between the processes of a RUN on some rung. */
static bool is_refused_to_all(const struct way *w, const char *mode)
{
    if (w->fn == by_all || w->fn == by_user_priority)
        return true; /* not about one process */
    return strcmp(mode, "unscoped") == 0 && (w->fn == by_pidfd || w->fn == by_proc_dir || w->may_seem);
}

/* What may be done to one's own child, in a group of its own, which ends by it or lives on. */
static int check_own(const struct way *w)
{
    int status, ends[2];
    char byte;

    if (pipe(ends) < 0)
        return 1;
    pid_t child = fork();
    if (child == 0) {
        setpgid(0, 0);
        (void)!write(ends[1], "r", 1);
        poll(NULL, 0, 20000);
        _exit(9);
    }
    if (read(ends[0], &byte, 1) != 1)
        return 1;
    long rc = w->fn(child);
    if (w->harmless)
        kill(child, SIGKILL);
    waitpid(child, &status, 0);
    close(ends[0]);
    close(ends[1]);
    if (rc >= 0 && WIFSIGNALED(status))
        return 0;
    printf("%s of a child: %ld (%s), status %x\n", w->name, rc, strerror(errno), (unsigned)status);
    return 1;
}

static volatile sig_atomic_t got_value;

static void on_value(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)context;
    got_value = info->si_value.sival_int;
}

/* A queued value arrives, whatever number its signal has in memory, and a signal of a file at who owns it: oneself. */
static int check_values(void)
{
    struct sigaction sa = { .sa_sigaction = on_value, .sa_flags = SA_SIGINFO };
    siginfo_t value = { .si_code = SI_QUEUE };
    int status, ends[2], ready[2];
    char byte;

    sigaction(SIGUSR1, &sa, NULL);
    if (pipe(ready) < 0 || pipe(ends) < 0)
        return 1;
    pid_t child = fork();
    if (child == 0) {
        (void)!write(ready[1], "r", 1);
        for (int i = 0; i < 2000 && !got_value; i++)
            poll(NULL, 0, 10);
        _exit(got_value);
    }
    if (read(ready[0], &byte, 1) != 1)
        return 1;
    value.si_int = 42;
    long rc = syscall(SYS_rt_sigqueueinfo, child, SIGUSR1, &value);
    waitpid(child, &status, 0);
    if (rc < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 42) {
        printf("rt_sigqueueinfo: %ld, status %x\n", rc, (unsigned)status);
        return 1;
    }
    if (fcntl(ends[0], F_SETOWN, getpid()) < 0 || fcntl(ends[0], F_SETSIG, SIGUSR1) < 0 ||
        fcntl(ends[0], F_SETFL, O_ASYNC) < 0 || write(ends[1], "x", 1) != 1) {
        printf("F_SETOWN to itself: %s\n", strerror(errno));
        return 1;
    }
    return 0;
}

/* A child dies of "kill -1", we do not. */
static int check_all(void)
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        setsid();
        poll(NULL, 0, 20000);
        _exit(9);
    }
    long rc = kill(-1, SIGKILL);
    waitpid(child, &status, 0);
    if (rc == 0 && WIFSIGNALED(status))
        return 0;
    printf("kill of all: %ld, status %x\n", rc, (unsigned)status);
    return 1;
}

static int own(const char *mode)
{
    int bad = check_values() | check_all();

    for (size_t i = 0; i < N_WAYS; i++)
        if (!is_refused_to_all(&ways[i], mode))
            bad |= check_own(&ways[i]);
    return bad;
}

/* An abstract socket, which needs no file and is as the network. Exit code 0: it could not be reached. */
static int reach(const char *name)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name));

    memcpy(to.sun_path + 1, name, strlen(name));
    if (fd < 0)
        return 2;
    if (connect(fd, (struct sockaddr *)&to, len) == 0)
        return 1;
    return errno == EPERM ? 0 : 2;
}

/* ---- in the builder ---- */

#define VICTIM "echo $$ $PPID >/m/new && mv /m/new /m/pid; until test -e /m/done; do sleep 0.1; done; echo alive"

struct victim {
    const struct sandbox *sb;
    char root[100];
    struct buf out;
    struct run_result result;
    pthread_t thread;
};

static void *run_victim(void *arg)
{
    struct victim *v = arg;
    const struct run_mount mount = { .source = mount_source, .target = "/m" };
    struct run_spec spec = {
        .root = v->root, .cwd = "/", .mounts = &mount, .n_mounts = 1, .output = collect, .ctx = &v->out
    };
    const char *const argv[] = SH(VICTIM);

    for (const char *const *a = argv; *a; a++)
        strs_add(&spec.argv, *a);
    strs_add(&spec.env, PATH_ENTRY);
    struct err *e = sandbox_run(v->sb, &spec, &v->result);
    strs_release(&spec.argv);
    strs_release(&spec.env);
    return e;
}

static struct err *make_victims_root(struct victim *v)
{
    static const char *const names[] = { "sh", "sleep", "mv", "test" };
    AUTO_FREE char *from = xasprintf("%s/bin/busybox", root_dir);

    (void)snprintf(v->root, sizeof(v->root), "%s/tmp/victim", root_dir);
    AUTO_FREE char *bin = xasprintf("%s/bin", v->root);
    TRY(file_mkdirs(bin, 0755));
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        AUTO_FREE char *to = xasprintf("%s/%s", bin, names[i]);

        CHECK(link(from, to) == 0 || errno == EEXIST);
    }
    return NULL;
}

static void *nap(void *arg)
{
    *(pid_t *)arg = (pid_t)syscall(SYS_gettid);
    poll(NULL, 0, 600000);
    return NULL;
}

static void add_number(struct strs *out, long n)
{
    strs_take(out, xasprintf("%ld", n));
}

/* The supervisor, and whatever else the victim's inner process has started. */
static void add_children(struct strs *out, long parent)
{
    AUTO(buf_release) struct buf text = BUF_INIT;
    AUTO_FREE char *path = xasprintf("/proc/%ld/task/%ld/children", parent, parent);
    struct err *e = file_read(path, 4096, &text);

    err_free(e);
    if (!text.len)
        return;
    buf_putc(&text, '\0');
    for (char *p = strtok(text.data, " "); p; p = strtok(NULL, " "))
        strs_add(out, p);
}

/* The victim, all that keeps it, and the builder with a thread of its own. */
static struct err *find_targets(struct strs *out)
{
    AUTO_FREE char *path = xasprintf("%s/pid", mount_source);
    AUTO(buf_release) struct buf text = BUF_INIT;
    static pid_t napping;
    pthread_t thread;
    char *end;

    CHECK(pthread_create(&thread, NULL, nap, &napping) == 0);
    for (int i = 0; i < 2000 && (access(path, F_OK) < 0 || !*(volatile pid_t *)&napping); i++)
        poll(NULL, 0, 10);
    TRY(file_read(path, 100, &text));
    long victim = strtol(buf_str(&text), &end, 10), parent = strtol(end, NULL, 10);
    CHECK(victim > 1 && parent > 1 && napping > 1);
    add_number(out, victim);
    add_number(out, parent);
    add_children(out, parent);
    add_number(out, getpid());
    add_number(out, getppid());
    add_number(out, napping);
    return NULL;
}

static struct err *attack_as_both(const struct sandbox *sb)
{
    AUTO(strs_release) struct strs args = { 0 };

    TRY(find_targets(&args));
    TRY(run_self(sb, 0, ATTACK, &args));
    return run_self(sb, 1000, ATTACK, &args);
}

static struct err *remove_names(void)
{
    AUTO_FREE char *pid = xasprintf("%s/pid", mount_source);
    AUTO_FREE char *done = xasprintf("%s/done", mount_source);

    (void)unlink(pid);
    (void)unlink(done);
    return NULL;
}

static struct err *check_strangers(const struct sandbox *sb, void *ctx)
{
    struct victim v = { .sb = sb };
    AUTO_FREE char *done = xasprintf("%s/done", mount_source);
    void *of_victim;

    (void)ctx;
    TRY(remove_names());
    TRY(make_victims_root(&v));
    CHECK(pthread_create(&v.thread, NULL, run_victim, &v) == 0);
    struct err *e = attack_as_both(sb);
    err_free(file_write_atomic(done, "", 0, 0644));
    pthread_join(v.thread, &of_victim);
    if (!e)
        e = of_victim;
    if (!e && (v.result.exit_code != 0 || strcmp(buf_str(&v.out), "alive\n") != 0))
        e = err_new(ERR_BUG, "the victim: exit code %d, '%s'", v.result.exit_code, buf_str(&v.out));
    buf_release(&v.out);
    return e;
}

static struct err *check_own_processes(const struct sandbox *sb, void *ctx)
{
    AUTO(strs_release) struct strs args = { 0 };

    (void)ctx;
    strs_add(&args, sb->fresh_proc || sb->scoped ? "scoped" : "unscoped");
    TRY(run_self(sb, 0, OWN, &args));
    return run_self(sb, 1000, OWN, &args);
}

static struct err *check_abstract_socket(const struct sandbox *sb, void *ctx)
{
    AUTO(strs_release) struct strs args = { 0 };
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int n = snprintf(at.sun_path + 1, sizeof(at.sun_path) - 1, "copyup-%s", marker);

    (void)ctx;
    if (!sb->scoped)
        return NULL; /* docs/security.md says so */
    CHECK(bind(fd, (struct sockaddr *)&at, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n)) == 0);
    CHECK(listen(fd, 1) == 0);
    strs_add(&args, at.sun_path + 1);
    return run_self(sb, 0, REACH, &args);
}

/* ---- tests ---- */

static void test_strangers(void **state)
{
    (void)state;
    in_worlds(check_strangers, worlds, N_WORLDS);
}

static void test_own_processes(void **state)
{
    (void)state;
    in_worlds(check_own_processes, worlds, N_WORLDS);
    in_worlds(check_own_processes, contexts, N_CONTEXTS);
}

static void test_abstract_sockets(void **state)
{
    (void)state;
    in_worlds(check_abstract_socket, worlds, N_WORLDS);
    in_worlds(check_abstract_socket, contexts, N_CONTEXTS);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_strangers), cmocka_unit_test(test_own_processes),
                                        cmocka_unit_test(test_abstract_sockets) };
    int code = -1;

    if (argc > 2 && strcmp(argv[1], ATTACK) == 0)
        code = attack(argv + 2);
    else if (argc > 2 && strcmp(argv[1], OWN) == 0)
        code = own(argv[2]);
    else if (argc > 2 && strcmp(argv[1], REACH) == 0)
        code = reach(argv[2]);
    return self_test_main(argc, argv, code, tests, sizeof(tests) / sizeof(tests[0]));
}
