/* The parent: enters a rung in a fork, then does nothing but wait for signals, the deadline and the end. */
#include "sandbox/sandbox.h"

#include "base/mem.h"
#include "sandbox/limits.h"
#include "sandbox/oom_priv.h"
#include "sandbox/rung_priv.h"
#include "sys/proc.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define GRACE_MS     8000 /* from the request to stop until SIGKILL */
#define CLEAN_UP_MS  5000 /* for what the build left behind to be gone after SIGKILL */
#define SIG_DEADLINE SIGUSR1

/* ---- the build process ---- */

/* What the handlers below raise. A signal handler can reach nothing but a global. */
static struct cancel *build_cancel;

static void on_signal(int sig)
{
    int saved = errno;

    if (build_cancel)
        cancel_raise(build_cancel, sig == SIG_DEADLINE ? CANCEL_TIMEOUT : CANCEL_SIGNAL);
    errno = saved;
}

static void handle_signals(struct cancel *c, const sigset_t *old_mask)
{
    static const int signals[] = { SIGTERM, SIGINT, SIG_DEADLINE };
    struct sigaction sa = { .sa_handler = on_signal, .sa_flags = SA_RESTART };

    build_cancel = c;
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        sigaction(signals[i], &sa, NULL);
    sigprocmask(SIG_SETMASK, old_mask, NULL);
}

struct child_start {
    const struct rung_plan *plan;
    const char *why;
    const struct err *refusal;
    struct err *(*build)(const struct sandbox *sb, void *ctx);
    void *ctx;
    pid_t parent;
    int sync_fd, report_fd;
    sigset_t old_mask;
};

static uint32_t ids_of(const struct rung_plan *p)
{
    return p->uids.ids < p->gids.ids ? p->uids.ids : p->gids.ids;
}

static struct err *build_in_namespaces(const struct child_start *start)
{
    struct cancel *cancel = NULL;

    TRY(rung_enter(start->plan, start->sync_fd));
    /* After the last change of credentials, which would clear it again. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != start->parent)
        return err_new(ERR_TERMINATED, "the parent process is gone");
    TRY(cancel_new(&cancel));
    handle_signals(cancel, &start->old_mask);
    /* Nobody may look into this memory: it holds the registry's credentials. Maps are written, so /proc/self may close.
     */
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    const struct sandbox sb = {
        .rung = start->plan->rung->name,
        .describe = start->why,
        .owners = start->plan->rung->owners,
        .n_ids = ids_of(start->plan),
        .fresh_proc = start->plan->fresh_proc,
        .scoped = start->plan->scoped,
        .can_run = start->plan->rung->namespaces,
        .refusal = start->refusal,
        .cancel = cancel,
        .oom = oom_book_new(limits_oom_kills),
    };
    struct err *e = start->build(&sb, start->ctx);
    build_cancel = NULL;
    oom_book_free(sb.oom);
    cancel_free(cancel);
    return e;
}

static _Noreturn void child_main(const struct child_start *start)
{
    struct err *e = build_in_namespaces(start);

    fflush(NULL); /* _exit: the parent's buffers and exit handlers are not ours */
    struct err *unsent = err_write(start->report_fd, e);
    _exit(unsent ? 1 : 0);
}

/* ---- the parent ---- */

enum stop { STOP_NONE, STOP_SIGNAL, STOP_DEADLINE, STOP_REPORTED };

struct watch {
    pid_t child;
    int signal_fd, report_fd;
    int64_t deadline; /* of the step, then of the grace time */
    enum stop stop;
    bool killed, reported, ended;
    int status;         /* once ended */
    struct err *result; /* once reported */
};

static void ask_to_stop(struct watch *w, enum stop why)
{
    if (w->stop != STOP_NONE)
        return;
    w->stop = why;
    w->deadline = proc_now_ms() + GRACE_MS;
    kill(w->child, why == STOP_DEADLINE ? SIG_DEADLINE : SIGTERM);
}

static void deadline_passed(struct watch *w)
{
    if (w->stop == STOP_NONE) {
        ask_to_stop(w, STOP_DEADLINE);
        return;
    }
    kill(w->child, SIGKILL);
    w->killed = true;
    w->deadline = INT64_MAX;
}

/* As pid 1 or sub-reaper we get strangers' orphans too. */
static void reap_all(struct watch *w)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid != w->child)
            continue;
        w->ended = true;
        w->status = status;
    }
}

static void take_signals(struct watch *w)
{
    struct signalfd_siginfo info;

    while (read(w->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT)
            ask_to_stop(w, STOP_SIGNAL);
    reap_all(w);
}

static void take_report(struct watch *w)
{
    struct err *unreadable = err_read(w->report_fd, &w->result);

    w->reported = !unreadable;
    err_free(unreadable);
    close_fd(&w->report_fd);
    /* What is left is ending: that must not take for ever. */
    if (w->deadline > proc_now_ms() + GRACE_MS) {
        w->deadline = proc_now_ms() + GRACE_MS;
        if (w->stop == STOP_NONE)
            w->stop = STOP_REPORTED;
    }
}

static int timeout_until(int64_t deadline)
{
    int64_t left = deadline == INT64_MAX ? INT64_MAX : deadline - proc_now_ms();

    if (left == INT64_MAX)
        return -1;
    if (left < 0)
        return 0;
    return left > 3600000 ? 3600000 : (int)left;
}

static void watch_child(struct watch *w)
{
    reap_all(w); /* it may have ended before the signals were blocked */
    while (!w->ended) {
        struct pollfd fds[] = { { w->signal_fd, POLLIN, 0 }, { w->report_fd, POLLIN, 0 } };

        (void)poll(fds, 2, timeout_until(w->deadline));
        if (fds[1].revents)
            take_report(w);
        if (fds[0].revents)
            take_signals(w);
        if (w->deadline != INT64_MAX && proc_now_ms() >= w->deadline)
            deadline_passed(w);
    }
    if (w->report_fd >= 0)
        take_report(w);
}

static void end_leftovers(void)
{
    AUTO_CLOSE int proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (proc_fd >= 0)
        (void)proc_end_descendants(proc_fd, CLEAN_UP_MS,
                                   proc_is_foreign); /* a neighbour that we inherited is not ours */
}

static struct err *without_report(const struct watch *w, uint64_t oom_before)
{
    if (w->killed && w->stop == STOP_DEADLINE)
        return err_new(ERR_TIMEOUT, "the step's time limit was reached, and the build did not stop within %d s",
                       GRACE_MS / 1000);
    if (w->killed || w->stop == STOP_SIGNAL)
        return err_new(ERR_TERMINATED, "the step was told to stop, and the build did not stop within %d s",
                       GRACE_MS / 1000);
    if (WIFSIGNALED(w->status) && WTERMSIG(w->status) == SIGKILL && limits_oom_kills("") > oom_before)
        return err_hint(err_new(ERR_MEMORY, "the build process itself was killed for memory"),
                        "Raise the container's memory limit (resources.limits.memory).");
    if (WIFSIGNALED(w->status))
        return err_new(ERR_BUG, "the build process was killed by signal %d (%s)", WTERMSIG(w->status),
                       strsignal(WTERMSIG(w->status)));
    return err_new(ERR_BUG, "the build process ended with code %d and without a report", WEXITSTATUS(w->status));
}

static struct err *start_child(struct child_start *start, struct watch *w)
{
    int pair[2], report[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return err_sys(errno, "cannot make a socket pair");
    AUTO_CLOSE int sync_fd = pair[0];
    AUTO_CLOSE int child_sync = pair[1];
    if (pipe2(report, O_CLOEXEC) < 0)
        return err_sys(errno, "cannot make a pipe");
    w->report_fd = report[0];
    AUTO_CLOSE int child_report = report[1];
    start->sync_fd = child_sync;
    start->report_fd = child_report;
    start->parent = getpid();
    fflush(NULL);
    w->child = fork();
    if (w->child < 0)
        return err_sys(errno, "cannot fork");
    if (w->child == 0) {
        close(w->signal_fd);
        close(w->report_fd);
        close(sync_fd);
        child_main(start);
    }
    close_fd(&child_sync);
    return rung_serve_maps(start->plan, w->child, sync_fd);
}

static struct err *run_child(struct child_start *start, struct watch *w)
{
    uint64_t oom_before = limits_oom_kills("");
    int dumpable = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
    struct err *e = start_child(start, w);

    /* From here on the secrets in our environment are nobody's business; before, the maps had to be written. */
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    if (w->child > 0) {
        if (e)
            kill(w->child, SIGKILL);
        watch_child(w);
        end_leftovers();
    }
    if (dumpable == 1)
        (void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    close_fd(&w->report_fd);
    if (e) {
        err_free(w->result);
        return e;
    }
    return w->reported ? w->result : without_report(w, oom_before);
}

/* The refusal stays where it is: a build may need it more than once. It is copied as it would be between processes. */
static struct err *copy_of(const struct err *e)
{
    AUTO_CLOSE int fd = memfd_create("refusal", MFD_CLOEXEC);
    struct err *copy = NULL;
    struct err *failed = fd < 0 ? err_sys(errno, "cannot make a file in memory") : err_write(fd, e);

    if (!failed && lseek(fd, 0, SEEK_SET) == 0)
        failed = err_read(fd, &copy);
    if (copy) {
        err_free(failed);
        return copy;
    }
    return failed ? failed : err_new(ERR_POD, "the pod allows no namespaces");
}

struct err *sandbox_no_run(const struct sandbox *sb)
{
    if (!sb->refusal)
        return err_hint(err_new(ERR_POD, "the sandbox '%s' can run no command", sb->rung),
                        "It was asked for with COPYUP_SANDBOX: 'auto' takes the best that the pod allows.");
    return err_wrap(copy_of(sb->refusal), "this pod can run no command: no sandbox works");
}

void sandbox_survey(struct sandbox_trial **ret_trials, size_t *ret_n)
{
    size_t n;
    const struct rung *rungs = rung_table(&n);
    struct sandbox_trial *trials = xcalloc(n, sizeof(*trials));

    for (size_t i = 0; i < n; i++) {
        struct rung_plan plan = { 0 };
        struct err *refusal = rung_try(&rungs[i], &plan);

        trials[i] = (struct sandbox_trial){ .name = rungs[i].name,
                                            .what = rungs[i].what,
                                            .refusal = refusal,
                                            .owners = rungs[i].owners,
                                            .can_run = rungs[i].namespaces,
                                            .fresh_proc = !refusal && plan.fresh_proc,
                                            .scoped = !refusal && plan.scoped,
                                            .n_ids = refusal ? 0 : ids_of(&plan) };
    }
    *ret_trials = trials;
    *ret_n = n;
}

void sandbox_trials_free(struct sandbox_trial *trials, size_t n)
{
    for (size_t i = 0; i < n; i++)
        err_free(trials[i].refusal);
    free(trials);
}

struct err *sandbox_enter(const struct sandbox_opts *opts, struct err *(*build)(const struct sandbox *sb, void *ctx),
                          void *ctx)
{
    struct rung_plan plan;
    AUTO_FREE char *why = NULL;
    struct err *refusal = NULL;
    sigset_t mask;

    TRY(rung_choose(opts->rung, &plan, &why, &refusal));
    struct child_start start = { .plan = &plan, .why = why, .refusal = refusal, .build = build, .ctx = ctx };
    struct watch w = { .deadline = opts->deadline_ms, .report_fd = -1 };
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    sigemptyset(&mask);
    sigaddset(&mask, SIGCHLD);
    sigaddset(&mask, SIGTERM);
    sigaddset(&mask, SIGINT);
    sigaddset(&mask, SIG_DEADLINE); /* for the child: it must not come before its handler */
    sigprocmask(SIG_BLOCK, &mask, &start.old_mask);
    w.signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    struct err *e = w.signal_fd < 0 ? err_sys(errno, "cannot make a signal descriptor") : run_child(&start, &w);
    close_fd(&w.signal_fd);
    sigprocmask(SIG_SETMASK, &start.old_mask, NULL);
    err_free(refusal);
    return e;
}
