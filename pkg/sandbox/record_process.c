/* Other processes: signals to them, and looking into them. To the kernel all processes of a RUN are one user's, so who
 * gave up being root could end or read root's. Here the kernel's rules (kill(2), ptrace(2)) are applied to who they
 * pretend to be. The numbers of processes are the caller's, so they are looked up in the RUN's own /proc. Numbers are
 * arguments, which nobody can change meanwhile: what may be done is left to the kernel.
 *
 * Not so where the RUN shares the numbers with others, and the kernel does not scope its signals: between our answer
 * and the kernel's work a number could become another's. There the supervisor sends the signal itself. */
#include "sandbox/record_calls_priv.h"

#include "sys/file.h"

#include <ctype.h>
#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* ---- one process ---- */

static int run_proc(const struct call *c)
{
    return openat(c->r->root_fd, "proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Who a process of the RUN is; NULL: there is none of this number. */
static const struct cred *cred_of(const struct call *c, int proc_fd, pid_t pid)
{
    static const struct cred of_init = { .uid = { 0 } }; /* our own process, whoever the RUN began as */
    uint32_t mark;

    if (pid == 1 && c->r->fresh_proc)
        return &of_init;
    return task_mark_in(c->r, proc_fd, pid, &mark) ? record_cred(c->r, mark) : NULL;
}

static const struct cred *cred_of_number(const struct call *c, pid_t pid)
{
    AUTO_CLOSE int proc_fd = run_proc(c);

    return proc_fd < 0 ? NULL : cred_of(c, proc_fd, pid);
}

/* A pidfd of the caller's. Its number is ours: of a process outside of the RUN it would be one without a mark. */
static const struct cred *cred_of_pidfd(const struct call *c, int number)
{
    char path[64], text[1024];
    int fd = task_get_fd(c, number);

    if (fd < 0)
        return NULL;
    (void)snprintf(path, sizeof(path), "self/fdinfo/%d", fd);
    bool known = task_read_text(c->r->proc_fd, path, text, sizeof(text));
    close_fd(&fd);
    const char *line = known ? strstr(text, "\nPid:") : NULL;
    long pid = line ? strtol(line + 5, NULL, 10) : 0;
    return pid > 0 ? record_cred(c->r, task_mark(c->r, (pid_t)pid)) : NULL;
}

static const struct cred *cred_of_argument(const struct call *c)
{
    int number = arg_int(c, c->row->rest);

    return c->row->fixed & PROCESS_BY_PIDFD ? cred_of_pidfd(c, number) : cred_of_number(c, number);
}

/* ---- one process, where the numbers are shared ---- */

#define INFO_BYTES_32 24 /* of a siginfo that a program of 32 bits queues: three numbers, who it is, a value */

/* What rt_sigqueueinfo(2) and the like send along. */
static int read_info(const struct call *c, siginfo_t *ret)
{
    uint64_t address = c->arg[c->row->rest + (c->row->fixed & PROCESS_AND_THREAD ? 3 : 2)];
    int narrow[INFO_BYTES_32 / sizeof(int)];

    memset(ret, 0, sizeof(*ret));
    if (c->abi == ABI_NATIVE)
        return task_read(c, address, ret, sizeof(*ret));
    int rc = task_read(c, address, narrow, sizeof(narrow));
    if (rc < 0)
        return rc;
    ret->si_signo = narrow[0];
    ret->si_errno = narrow[1];
    ret->si_code = narrow[2];
    ret->si_pid = narrow[3];
    ret->si_uid = (uid_t)narrow[4];
    ret->si_int = narrow[5];
    return 0;
}

/* To a thread: of the process that `fd` stands for, or it is the kernel's ESRCH. */
static long signal_thread(const struct call *c, int fd, int sig, siginfo_t *info)
{
    int tid = arg_int(c, c->row->rest + (c->row->fixed & PROCESS_AND_THREAD ? 1 : 0));
    char text[1024];
    const char *line = task_read_text(fd, "status", text, sizeof(text)) ? strstr(text, "\nTgid:") : NULL;
    pid_t process = line ? (pid_t)strtol(line + strlen("\nTgid:"), NULL, 10) : 0;

    if (process <= 0) {
        errno = ESRCH;
        return -1;
    }
    return info ? syscall(SYS_rt_tgsigqueueinfo, process, tid, sig, info) : syscall(SYS_tgkill, process, tid, sig);
}

static struct answer send_signal(const struct call *c, int fd, int sig)
{
    siginfo_t info, *queued = NULL;

    if (c->row->fixed & PROCESS_WITH_INFO) {
        int rc = read_info(c, &info);

        if (rc < 0)
            return with_value(rc);
        info.si_signo = sig; /* as the calls do, and pidfd_send_signal(2) demands */
        queued = &info;
    }
    long rc = c->row->fixed & PROCESS_THREAD ? signal_thread(c, fd, sig, queued)
                                             : syscall(SYS_pidfd_send_signal, fd, sig, queued, 0);
    return with_value(rc < 0 ? -errno : 0);
}

/* SIGCONT reaches a whole session, whoever its processes are: which one is not looked at. What is not there any more is
 * for the kernel to say. */
static bool may_signal(const struct call *c, int proc_fd, pid_t pid, int sig)
{
    struct cred real;
    const struct cred *target = &real;

    if (sig == SIGCONT || cred_has(c->cred, CAP_KILL))
        return true;
    if (c->r->level == RECORD_DEVICES) {
        if (!task_real_cred_of(proc_fd, pid, &real))
            return true;
    } else {
        target = cred_of(c, proc_fd, pid);
    }
    return !target || cred_may_signal(c->cred, target);
}

static struct answer signal_shared(struct call *c, pid_t pid, int sig)
{
    AUTO_CLOSE int fd = -1;

    switch (record_whose(c, pid, &fd)) {
    case WHOSE_CALLERS:
        return by_kernel();
    case WHOSE_RUNS:
        return may_signal(c, c->r->proc_fd, pid, sig) ? send_signal(c, fd, sig) : with_value(-EPERM);
    case WHOSE_STRANGERS:
        return with_value(-EPERM);
    case WHOSE_NOBODYS:
        break;
    }
    return with_value(-ESRCH);
}

/* ---- groups of processes ---- */

#define SIGNAL_ROUNDS 20 /* over all processes, while the group makes new ones */

struct group {
    struct call *c;
    int proc_fd, sig;
    long id; /* of the process group; -1: all but the first process and the caller's own */
    long own;
    VEC(pid_t) seen;
    size_t n_allowed, n_refused;
};

static bool is_member(const struct group *g, pid_t pid)
{
    char path[64], text[1024];

    if (g->id == -1)
        return pid > 1 && pid != g->own;
    (void)snprintf(path, sizeof(path), "%d/stat", (int)pid);
    /* "PID (NAME) STATE PARENT GROUP ..." */
    const char *end = task_read_text(g->proc_fd, path, text, sizeof(text)) ? strrchr(text, ')') : NULL;
    for (int i = 0; end && i < 3; i++)
        end = strchr(end + 1, ' ');
    return end && strtol(end, NULL, 10) == g->id;
}

static bool is_new(struct group *g, pid_t pid)
{
    for (size_t i = 0; i < g->seen.n; i++)
        if (g->seen.items[i] == pid)
            return false;
    vec_push(&g->seen, pid);
    return true;
}

static void count_member(struct group *g, pid_t pid, int fd)
{
    (void)fd;
    if (may_signal(g->c, g->proc_fd, pid, g->sig))
        g->n_allowed++;
    else
        g->n_refused++;
}

/* A directory of /proc stands for its process as a pidfd does. */
static void signal_member(struct group *g, pid_t pid, int fd)
{
    bool allowed = may_signal(g->c, g->proc_fd, pid, g->sig) &&
                   (syscall(SYS_pidfd_send_signal, fd, g->sig, NULL, 0) == 0 || errno != EPERM);

    g->n_allowed += allowed;
    g->n_refused += !allowed;
}

static bool is_runs(const struct group *g, int fd)
{
    return g->c->r->fresh_proc || record_is_runs(g->c, fd);
}

/* Those that it has not seen yet. */
static void each_member(struct group *g, void (*fn)(struct group *g, pid_t pid, int fd))
{
    int copy = openat(g->proc_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);

    if (!dir) {
        close_fd(&copy);
        return;
    }
    for (struct dirent *d; (d = readdir(dir));) {
        pid_t pid = isdigit((unsigned char)d->d_name[0]) ? (pid_t)strtol(d->d_name, NULL, 10) : 0;

        if (pid <= 0 || !is_member(g, pid))
            continue;
        AUTO_CLOSE int fd = openat(g->proc_fd, d->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0 && is_runs(g, fd) && is_new(g, pid))
            fn(g, pid, fd);
    }
    closedir(dir);
}

static void signal_each(struct group *g)
{
    size_t before = SIZE_MAX;

    g->seen.n = g->n_allowed = g->n_refused = 0;
    for (int i = 0; i < SIGNAL_ROUNDS && g->seen.n != before; i++) {
        before = g->seen.n;
        each_member(g, signal_member);
    }
}

/* Of several the kernel reaches those that it may, and it is a failure only if these are none. The caller's own group
 * has no stranger in it. */
static struct answer signal_members(struct group *g, bool kernel_may)
{
    if (kernel_may) {
        each_member(g, count_member);
        if (g->n_refused == 0)
            return by_kernel();
    }
    signal_each(g);
    if (g->n_allowed)
        return with_value(0);
    return with_value(g->n_refused ? -EPERM : -ESRCH);
}

static struct answer signal_group(struct call *c, int pid, int sig)
{
    AUTO_CLOSE int proc_fd = run_proc(c);
    struct group g = { .c = c, .proc_fd = proc_fd, .sig = sig, .id = pid == -1 ? -1 : -(long)pid };
    long own_group = task_own_number(c, "\nNSpgid:");

    g.own = task_own_number(c, "\nNStgid:");
    if (pid == 0)
        g.id = own_group;
    if (proc_fd < 0 || g.id == 0)
        return with_value(-EPERM);
    struct answer a = signal_members(&g, !record_is_unscoped(c) || g.id == own_group);
    vec_free(&g.seen);
    return a;
}

/* ---- the calls ---- */

struct answer record_signal(struct call *c)
{
    int sig = arg_int(c, c->row->rest + (c->row->fixed & PROCESS_AND_THREAD ? 2 : 1));
    int pid = arg_int(c, c->row->rest);
    bool several = (c->row->fixed & PROCESS_OR_GROUP) && pid <= 0;
    bool unscoped = record_is_unscoped(c);

    if (unscoped && !several)
        return signal_shared(c, pid, sig);
    if ((!unscoped || pid == 0) && (cred_has(c->cred, CAP_KILL) || sig == SIGCONT))
        return by_kernel();
    if (several)
        return signal_group(c, pid, sig);
    const struct cred *target = cred_of_argument(c);
    return !target || cred_may_signal(c->cred, target) ? by_kernel() : with_value(-EPERM);
}

struct answer record_look_into(struct call *c)
{
    if (record_is_plain_root(c))
        return by_kernel();
    const struct cred *target = cred_of_argument(c);
    return !target || cred_may_trace(c->cred, target) ? by_kernel() : with_value(-EPERM);
}
