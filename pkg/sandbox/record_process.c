/* Other processes: signals to them, and looking into them. To the kernel all processes of a RUN are one user's, so who
 * gave up being root could end or read root's. Here the kernel's rules (kill(2), ptrace(2)) are applied to who they
 * pretend to be. The numbers of processes are the caller's, so they are looked up in the RUN's own /proc. Numbers are
 * arguments, which nobody can change meanwhile: what may be done is left to the kernel. */
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

/* ---- groups of processes ---- */

struct group {
    struct call *c;
    int proc_fd, sig;
    long id; /* of the process group; -1: all but the first process and the caller's own */
    long own;
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

static void count_member(struct group *g, pid_t pid)
{
    const struct cred *target = cred_of(g->c, g->proc_fd, pid);

    if (target && cred_may_signal(g->c->cred, target))
        g->n_allowed++;
    else if (target)
        g->n_refused++;
}

/* A directory of /proc stands for its process as a pidfd does. */
static void signal_member(struct group *g, pid_t pid)
{
    char path[32];
    const struct cred *target = cred_of(g->c, g->proc_fd, pid);

    if (!target || !cred_may_signal(g->c->cred, target))
        return;
    (void)snprintf(path, sizeof(path), "%d", (int)pid);
    AUTO_CLOSE int fd = openat(g->proc_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0)
        (void)syscall(SYS_pidfd_send_signal, fd, g->sig, NULL, 0);
}

static void each_member(struct group *g, void (*fn)(struct group *g, pid_t pid))
{
    int copy = openat(g->proc_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);

    if (!dir) {
        close_fd(&copy);
        return;
    }
    for (struct dirent *d; (d = readdir(dir));) {
        pid_t pid = isdigit((unsigned char)d->d_name[0]) ? (pid_t)strtol(d->d_name, NULL, 10) : 0;

        if (pid > 0 && is_member(g, pid))
            fn(g, pid);
    }
    closedir(dir);
}

/* Of several the kernel reaches those that it may, and it is a failure only if these are none. */
static struct answer signal_group(struct call *c, int pid, int sig)
{
    AUTO_CLOSE int proc_fd = run_proc(c);
    struct group g = { .c = c, .proc_fd = proc_fd, .sig = sig, .id = pid == -1 ? -1 : -(long)pid };

    g.own = task_own_number(c, "\nNStgid:");
    if (pid == 0)
        g.id = task_own_number(c, "\nNSpgid:");
    if (proc_fd < 0 || g.id == 0)
        return with_value(-EPERM);
    each_member(&g, count_member);
    if (g.n_refused == 0)
        return by_kernel();
    if (g.n_allowed == 0)
        return with_value(-EPERM);
    each_member(&g, signal_member);
    return with_value(0);
}

/* ---- the calls ---- */

/* Where the RUNs of stages that are built at the same time see each other's processes, each has a user namespace of its
 * own; to the kernel they are still one user's. */
static bool is_strangers(const struct call *c, pid_t pid)
{
    struct stat own, other;
    char path[64];

    if (c->r->fresh_proc || pid <= 0 || (c->row->fixed & PROCESS_BY_PIDFD))
        return false;
    (void)snprintf(path, sizeof(path), "%d/ns/user", (int)c->tid);
    if (fstatat(c->r->proc_fd, path, &own, 0) < 0)
        return false;
    (void)snprintf(path, sizeof(path), "%d/ns/user", (int)pid);
    return fstatat(c->r->proc_fd, path, &other, 0) == 0 && (own.st_ino != other.st_ino || own.st_dev != other.st_dev);
}

struct answer record_signal(struct call *c)
{
    int sig = arg_int(c, c->row->rest + (c->row->fixed & PROCESS_AND_THREAD ? 2 : 1));
    int pid = arg_int(c, c->row->rest);

    if (is_strangers(c, pid))
        return with_value(-EPERM);
    /* SIGCONT reaches a whole session, whoever its processes are */
    if (cred_has(c->cred, CAP_KILL) || sig == SIGCONT)
        return by_kernel();
    if ((c->row->fixed & PROCESS_OR_GROUP) && pid <= 0)
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
