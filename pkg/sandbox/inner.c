/* The inner process of a RUN: single-threaded from birth. It makes the namespaces, becomes (or forks) the step's init,
 * which mounts, starts the command, forwards the request to stop, reaps, and ends everything with the command's end. */
#include "sandbox/sandbox.h"

#include "base/limits.h"
#include "sandbox/confine_priv.h"
#include "sandbox/mounts_priv.h"
#include "sandbox/record_priv.h"
#include "sys/file.h"
#include "sys/proc.h"

#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define STOP_MS             2000    /* from TERM to KILL */
#define KILL_MS             10000   /* for killed processes to be gone */
#define SIG_ORPHANED        SIGUSR1 /* the builder is gone: end the step */
#define EXIT_NOT_FOUND      127
#define EXIT_NOT_EXECUTABLE 126
#define DEFAULT_PATH        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static void report_error(const struct err *e)
{
    const char tag = REPORT_ERROR;

    if (write(REPORT_FD, &tag, 1) == 1)
        err_free(err_write(REPORT_FD, e));
}

static void report_result(const struct report_result *r)
{
    char record[1 + sizeof(*r)];

    record[0] = REPORT_RESULT;
    memcpy(record + 1, r, sizeof(*r));
    err_free(file_write_all(REPORT_FD, record, sizeof(record)));
}

/* What the process has beside its orders. */
struct helpers {
    int proc_fd, signal_fd;
    int recorder_fd; /* the supervisor's socket, -1: none */
    pid_t recorder;
};

/* ---- the command ---- */

/* One after the other as execvp(3), but with the command's own PATH and no shell for files without '#!'. */
static struct err *exec_in_path(struct orders *o, const char *program)
{
    const char *path = env_get(&o->env, "PATH");
    int errnum = ENOENT;

    if (!path)
        path = DEFAULT_PATH;
    for (const char *p = path;; p++) {
        size_t len = strcspn(p, ":");
        AUTO_FREE char *file = xasprintf("%.*s%s%s", (int)len, p, len ? "/" : "./", program);

        execve(file, strs_argv(&o->argv), strs_argv(&o->env));
        if (errno == ENOEXEC || (errno == ENOENT && access(file, F_OK) == 0))
            return exec_error(errno, file, NULL);
        if (errno != ENOENT && errno != ENOTDIR)
            errnum = errno;
        p += len;
        if (!*p)
            return exec_error(errnum, program, path);
    }
}

static struct err *exec_command(struct orders *o)
{
    const char *program = o->argv.items[0];

    if (!*program)
        return err_set_exit(err_new(ERR_COMMAND, "cannot run '': the name of the program is empty"), EXIT_NOT_FOUND);
    if (!strchr(program, '/'))
        return exec_in_path(o, program);
    execve(program, strs_argv(&o->argv), strs_argv(&o->env));
    return exec_error(errno, program, NULL);
}

static struct err *become_command(struct orders *o, const struct helpers *h)
{
    sigset_t none;

    setsid();
    if (chdir(o->cwd) < 0)
        return err_set_kind(err_sys(errno, "cannot enter the working directory '%s'", o->cwd), ERR_DOCKERFILE);
    TRY(confine_self(o, h->proc_fd, h->recorder_fd));
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    return exec_command(o);
}

/* ---- the init of the step ---- */

struct init {
    pid_t main, recorder;
    int signal_fd;
    int64_t kill_at; /* INT64_MAX: nobody asked us to stop */
    bool ended, abandoned;
    bool unsupervised; /* the supervisor ended before the command */
    struct report_result result;
};

static void note_end(struct init *in, pid_t pid, int status, const struct rusage *usage)
{
    uint64_t peak = (uint64_t)usage->ru_maxrss * 1024;

    if (pid == in->recorder) {
        in->unsupervised = !in->ended;
        return;
    }
    if (peak > in->result.peak_bytes)
        in->result.peak_bytes = peak;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        in->result.killed = 1;
    if (pid != in->main)
        return;
    in->ended = true;
    in->result.signal = WIFSIGNALED(status) ? (uint32_t)WTERMSIG(status) : 0;
    in->result.exit_code = WIFSIGNALED(status) ? 128 + in->result.signal : (uint32_t)WEXITSTATUS(status);
}

static void reap(struct init *in)
{
    struct rusage usage;
    int status;
    pid_t pid;

    while ((pid = wait4(-1, &status, WNOHANG, &usage)) > 0)
        note_end(in, pid, status, &usage);
}

static void take_signals(struct init *in)
{
    struct signalfd_siginfo info;

    while (read(in->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIG_ORPHANED)
            in->abandoned = true;
        if (info.ssi_signo != SIGTERM || in->kill_at != INT64_MAX)
            continue;
        in->kill_at = proc_now_ms() + STOP_MS;
        kill(-in->main, SIGTERM); /* its whole session: a shell does not pass it on */
        kill(in->main, SIGTERM);  /* it may not have made its session yet */
    }
    reap(in);
}

/* Until the command has ended, or has to. */
static void supervise(struct init *in)
{
    reap(in);
    while (!in->ended && !in->abandoned && !in->unsupervised && proc_now_ms() < in->kill_at) {
        struct pollfd fd = { in->signal_fd, POLLIN, 0 };
        int64_t left = in->kill_at == INT64_MAX ? -1 : in->kill_at - proc_now_ms();

        (void)poll(&fd, 1, left < 0 && in->kill_at != INT64_MAX ? 0 : (int)left);
        take_signals(in);
    }
}

static int block_signals(void)
{
    sigset_t mask;

    sigemptyset(&mask);
    sigaddset(&mask, SIGCHLD);
    sigaddset(&mask, SIGTERM);
    sigaddset(&mask, SIG_ORPHANED);
    sigprocmask(SIG_BLOCK, &mask, NULL);
    return signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
}

static struct err *start_command(struct orders *o, struct helpers *h, struct init *in)
{
    in->main = fork();
    if (in->main < 0)
        return err_sys(errno, "cannot fork");
    if (in->main > 0) {
        close_fd(
            &h->recorder_fd); /* the command has the only end: if it is gone, the supervisor does not wait for it */
        return NULL;
    }
    struct err *e = become_command(o, h);
    report_error(e);
    _exit(err_exit_code(e));
}

static struct err *unsupervised(void)
{
    return err_new(ERR_BUG, "the supervisor of a RUN ended before it");
}

/* The command's processes first: what they do without the supervisor is not what they mean. */
static void end_step(const struct helpers *h)
{
    if (h->recorder > 0)
        (void)proc_end_descendants(h->proc_fd, KILL_MS, proc_is_foreign);
    (void)proc_end_descendants(h->proc_fd, KILL_MS, NULL);
}

/* Runs the step; nothing of it is alive afterwards, except where we are the init of a pid namespace: then our own exit
 * ends the rest. */
static struct err *run_step(struct orders *o, struct helpers *h)
{
    struct init in = { .signal_fd = h->signal_fd, .kill_at = INT64_MAX, .recorder = h->recorder };

    TRY(mounts_enter_root(o, REPORT_FD));
    TRY(start_command(o, h, &in));
    /* The pipe's writers are the command and what it starts: we keep no end of it, nor of its input. */
    close(STDIN_FILENO);
    close(STDOUT_FILENO);
    close(STDERR_FILENO);
    supervise(&in);
    if (!o->fresh_proc)
        end_step(h);
    if (in.unsupervised)
        return unsupervised();
    if (in.ended)
        report_result(&in.result);
    return NULL;
}

/* ---- namespaces ---- */

static void raise_loopback(void)
{
    AUTO_CLOSE int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq request = { .ifr_name = "lo" };

    if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &request) < 0)
        return;
    request.ifr_flags = (short)(request.ifr_flags | IFF_UP);
    (void)ioctl(fd, SIOCSIFFLAGS, &request);
}

/* A small profile may refuse it: that matters only if somebody asked for a name. */
static struct err *set_hostname(const char *name)
{
    const char *usual = *name ? name : SANDBOX_HOSTNAME;

    if (sethostname(usual, strlen(usual)) < 0 && *name)
        return err_sys(errno, "cannot set the host name '%s' of the command", name);
    return NULL;
}

static struct err *make_namespaces(const struct orders *o)
{
    int flags = CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS;

    if (o->no_network)
        flags |= CLONE_NEWNET;
    if (o->fresh_proc)
        flags |= CLONE_NEWPID;
    if (unshare(flags) < 0)
        return err_set_kind(err_sys(errno, "cannot make the namespaces of the command"), ERR_POD);
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return err_set_kind(err_sys(errno, "cannot make the command's mounts private"), ERR_POD);
    TRY(set_hostname(o->hostname));
    if (o->no_network)
        raise_loopback();
    return NULL;
}

/* Outside the new pid namespace: forwards the request to stop; ends when the init does. */
static struct err *wait_for_init(pid_t init_pid, const struct helpers *h)
{
    struct init in = { .main = init_pid, .signal_fd = h->signal_fd, .kill_at = INT64_MAX, .recorder = h->recorder };

    close(STDIN_FILENO);
    close(STDOUT_FILENO);
    close(STDERR_FILENO);
    while (!in.ended) {
        struct pollfd fd = { h->signal_fd, POLLIN, 0 };
        struct signalfd_siginfo info;

        (void)poll(&fd, 1, -1);
        while (read(h->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
            if (info.ssi_signo == SIGTERM)
                kill(init_pid, SIGTERM);
        reap(&in);
        if (in.unsupervised)
            kill(init_pid, SIGKILL);
    }
    if (in.unsupervised)
        return unsupervised();
    if (in.result.signal) /* the kernel needed its memory, or somebody on the node killed it */
        report_result(&in.result);
    return NULL;
}

/* A pipe whose other end only the outer process holds: did it die before our death signal was set? */
static bool parent_gone(int life_fd)
{
    struct pollfd fd = { life_fd, POLLIN, 0 };

    return poll(&fd, 1, 0) != 0;
}

static struct err *fork_init(struct orders *o, struct helpers *h)
{
    int life[2];

    if (pipe2(life, O_CLOEXEC) < 0)
        return err_sys(errno, "cannot make a pipe");
    pid_t pid = fork();
    if (pid < 0)
        return err_sys(errno, "cannot fork");
    if (pid > 0) {
        close(life[0]);
        close_fd(&h->recorder_fd);
        return wait_for_init(pid, h);
    }
    close(life[1]);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || parent_gone(life[0]))
        _exit(1);
    close(life[0]);
    h->recorder = 0; /* no child of ours */
    return run_step(o, h);
}

static struct err *read_orders(struct orders *ret)
{
    AUTO(buf_release) struct buf bytes = BUF_INIT;

    struct err *e = file_read_fd(ORDERS_FD, "orders", LIMIT_RUN_ORDERS_BYTES, &bytes);
    close(ORDERS_FD);
    if (!e)
        e = orders_decode(buf_str(&bytes), bytes.len, ret);
    if (bytes.data)
        explicit_bzero(bytes.data, bytes.cap); /* there may be secrets in it */
    return e;
}

/* Signals are blocked and the supervisor is started before there is a pid namespace: it has to see all processes. */
static struct err *get_helpers(const struct orders *o, struct helpers *h)
{
    h->signal_fd = block_signals();
    h->proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (h->signal_fd < 0 || h->proc_fd < 0)
        return err_sys(errno, "cannot open a signal descriptor and '/proc'");
    return o->record ? record_start(o, h->proc_fd, &h->recorder_fd, &h->recorder) : NULL;
}

static struct err *run_all(struct orders *o, struct helpers *h)
{
    if (!o->fresh_proc)
        vec_push(&o->protect, (uint32_t)getpid());
    if (!o->fresh_proc && h->recorder > 0)
        vec_push(&o->protect, (uint32_t)h->recorder);
    TRY(make_namespaces(o));
    return o->fresh_proc ? fork_init(o, h) : run_step(o, h);
}

static struct err *inner_run(struct orders *o)
{
    struct helpers h = { .proc_fd = -1, .signal_fd = -1, .recorder_fd = -1 };

    TRY(read_orders(o));
    /* The builder's death is ours: at once where a pid namespace takes all with it, else after we killed them. */
    (void)prctl(PR_SET_PDEATHSIG, o->fresh_proc ? SIGKILL : SIG_ORPHANED, 0, 0, 0);
    if (!o->fresh_proc && prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
        return err_sys(errno, "cannot become a sub-reaper");
    TRY(get_helpers(o, &h));
    struct err *e = run_all(o, &h);
    if (h.recorder > 0)
        kill(h.recorder, SIGKILL);
    return e;
}

_Noreturn void sandbox_inner_main(int argc, char **argv)
{
    struct orders o = { .root = NULL };

    (void)argc;
    (void)argv;
    /* Nothing that the builder forgot to close reaches the command. */
    if (fcntl(REPORT_FD, F_SETFD, FD_CLOEXEC) < 0 || close_range(REPORT_FD + 1, ~0U, 0) < 0)
        _exit(EXIT_NOT_EXECUTABLE);
    struct err *e = inner_run(&o);
    if (e)
        report_error(e);
    _exit(e ? 1 : 0);
}
