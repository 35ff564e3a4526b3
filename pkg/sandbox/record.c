/* The supervisor's process: its beginning, and one call after the other. */
#include "sandbox/record_calls_priv.h"

#include "sandbox/caps_priv.h"
#include "sandbox/confine_priv.h"
#include "sandbox/sandbox.h"

#include <errno.h>
#include <poll.h>
#include <seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS /* Linux 6.6 */
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS      SECCOMP_IOW(4, uint64_t)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP 1UL
#endif

#define CALLS_MAX 1024 /* numbers of system calls that we know are below */
#define N_PASSED  2    /* descriptors in the command's message: the listener, its root directory */

/* Rows by the number of the call: of this architecture, and of its 32-bit programs. */
struct numbers {
    const struct record_row *rows[2][CALLS_MAX];
};

/* ---- the message between command and supervisor ---- */

union passed {
    char bytes[CMSG_SPACE(N_PASSED * sizeof(int))];
    struct cmsghdr align;
};

static struct err *send_fds(int socket_fd, const int fds[N_PASSED])
{
    union passed control = { { 0 } };
    char byte = 'f';
    struct iovec data = { &byte, 1 };
    struct msghdr m = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)
    };
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);

    h->cmsg_level = SOL_SOCKET;
    h->cmsg_type = SCM_RIGHTS;
    h->cmsg_len = CMSG_LEN(N_PASSED * sizeof(int));
    memcpy(CMSG_DATA(h), fds, N_PASSED * sizeof(int));
    if (sendmsg(socket_fd, &m, MSG_NOSIGNAL) != 1)
        return err_sys(errno, "cannot reach the supervisor of the command");
    return NULL;
}

static bool receive_fds(int socket_fd, int fds[N_PASSED])
{
    union passed control = { { 0 } };
    char byte;
    struct iovec data = { &byte, 1 };
    struct msghdr m = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)
    };

    if (recvmsg(socket_fd, &m, MSG_CMSG_CLOEXEC) != 1)
        return false;
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    if (!h || h->cmsg_type != SCM_RIGHTS || h->cmsg_len != CMSG_LEN(N_PASSED * sizeof(int)))
        return false;
    memcpy(fds, CMSG_DATA(h), N_PASSED * sizeof(int));
    return true;
}

struct err *record_attach(int socket_fd, int listener_fd, int root_fd)
{
    const int fds[N_PASSED] = { listener_fd, root_fd };
    char ready;

    TRY(send_fds(socket_fd, fds));
    if (read(socket_fd, &ready, 1) != 1)
        return err_new(ERR_BUG, "the supervisor of the command ended before it began");
    return NULL;
}

/* ---- one call ---- */

static void learn_numbers(struct numbers *n, const struct orders *o)
{
    const uint32_t arch[2] = { seccomp_arch_native(), filter_arch_32() };
    size_t n_rows;
    const struct record_row *rows = record_rows(&n_rows);

    for (int abi = 0; abi < 2; abi++)
        for (size_t i = 0; arch[abi] && i < n_rows; i++) {
            int nr = seccomp_syscall_resolve_name_arch(arch[abi], rows[i].name);

            if (nr >= 0 && nr < CALLS_MAX && record_applies(&rows[i], o) && !n->rows[abi][nr])
                n->rows[abi][nr] = &rows[i];
        }
}

static const struct record_row *find_row(const struct numbers *n, const struct seccomp_data *d,
                                         enum record_abi *ret_abi)
{
    *ret_abi = d->arch == seccomp_arch_native() ? ABI_NATIVE : ABI_32;
    return d->nr >= 0 && d->nr < CALLS_MAX ? n->rows[*ret_abi][d->nr] : NULL;
}

static struct answer ask(struct recorder *r, const struct numbers *numbers, const struct seccomp_notif *req)
{
    struct call c;
    struct cred real;

    memset(&c, 0, offsetof(struct call, path) + 1);
    c.r = r;
    c.id = req->id;
    c.tid = (pid_t)req->pid;
    c.arg = (const uint64_t *)req->data.args;
    c.row = find_row(numbers, &req->data, &c.abi);
    if (!c.row)
        return by_kernel();
    if (r->level == RECORD_DEVICES) {
        if (!task_real_cred(&c, &real))
            return by_kernel();
        c.cred = &real;
        return c.row->fn(&c);
    }
    if (r->pending.n)
        record_do_pending(&c);
    c.mark = task_mark(r, c.tid);
    c.cred = record_cred(r, c.mark);
    if ((c.cred->chrooted || r->elsewhere) && record_enter_root(&c) < 0)
        return with_value(-EACCES);
    return c.row->fn(&c);
}

static void send_answer(const struct recorder *r, uint64_t id, const struct answer *a)
{
    struct seccomp_notif_resp resp = { .id = id };

    if (a->kind == ANSWER_SENT)
        return;
    if (a->kind == ANSWER_KERNEL)
        resp.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    else if (a->value < 0)
        resp.error = (int32_t)a->value;
    else
        resp.val = a->value;
    /* ENOENT: a signal ended the call, or the process */
    (void)ioctl(r->listener_fd, SECCOMP_IOCTL_NOTIF_SEND, &resp);
}

/* ---- the process ---- */

static volatile sig_atomic_t asked_to_end;

static void on_end(int sig)
{
    (void)sig;
    asked_to_end = 1;
}

/* The last process with our filter has ended. So do we when the RUN's init has noticed, and tells us: not before. */
static bool is_over(const struct recorder *r)
{
    struct pollfd fd = { r->listener_fd, 0, 0 };

    return poll(&fd, 1, 0) == 1 && (fd.revents & POLLHUP);
}

static void serve(struct recorder *r, const struct numbers *numbers)
{
    struct seccomp_notif_sizes sizes = { 0 };

    if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) < 0)
        return;
    size_t size =
        sizes.seccomp_notif > sizeof(struct seccomp_notif) ? sizes.seccomp_notif : sizeof(struct seccomp_notif);
    AUTO_FREE struct seccomp_notif *req = xcalloc(1, size);
    while (!asked_to_end) {
        memset(req, 0, size);
        if (ioctl(r->listener_fd, SECCOMP_IOCTL_NOTIF_RECV, req) < 0) {
            if (errno != EINTR && errno != ENOENT)
                return;
            while (errno == ENOENT && is_over(r) && !asked_to_end)
                (void)pause();
            continue;
        }
        const struct answer a = ask(r, numbers, req);
        send_answer(r, req->id, &a);
    }
}

/* Of the inner process nothing stays open: neither its report, whose end is the end of the step, nor what it inherited.
 * 0 to 2 stay taken, so that no descriptor of ours has such a number. */
static bool settle(void)
{
    struct sigaction sa = { .sa_handler = on_end };
    sigset_t mask;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (null < 0)
        return false;
    for (int i = 0; i < 3; i++)
        if (dup2(null, i) < 0)
            return false;
    close(REPORT_FD);
    sigaction(SIGTERM, &sa, NULL);
    sigemptyset(&mask);
    sigaddset(&mask, SIGTERM);
    sigprocmask(SIG_UNBLOCK, &mask, NULL);
    return prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0;
}

static void begin_credentials(struct recorder *r, const struct orders *o)
{
    uint64_t caps = caps_docker_default();
    struct cred c = { .uid = { o->uid, o->uid, o->uid, o->uid }, .gid = { o->gid, o->gid, o->gid, o->gid } };
    uint32_t mark;

    c.caps.bounding = caps;
    if (o->uid == 0)
        c.caps.effective = c.caps.permitted = caps;
    c.n_groups = o->groups.n;
    c.groups = o->groups.items;
    (void)record_intern(r, &c, &mark); /* the first is mark 0 */
    r->all_initial = true;
}

/* A directory of the builder's may be another RUN's at the same time. */
static bool sees_shared_files(const struct orders *o)
{
    for (size_t i = 0; i < o->mounts.n; i++)
        if (o->mounts.items[i].kind == RUN_MOUNT_BIND)
            return true;
    return false;
}

static bool attach(struct recorder *r, int socket_fd)
{
    int fds[N_PASSED];

    if (!receive_fds(socket_fd, fds))
        return false;
    r->listener_fd = fds[0];
    r->root_fd = fds[1];
    /* The caller's processor answers: waking another one costs more than the answer. */
    (void)ioctl(r->listener_fd, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP);
    umask(0);
    if (fchdir(r->root_fd) < 0 || chroot(".") < 0 || fchdir(r->proc_fd) < 0)
        return false;
    return write(socket_fd, "g", 1) == 1;
}

static _Noreturn void supervise(const struct orders *o, int proc_fd, int socket_fd)
{
    struct recorder r = {
        .level = o->record,
        .proc_fd = proc_fd,
        .listener_fd = -1,
        .root_fd = -1,
        .fresh_proc = o->fresh_proc,
        .scoped = o->scoped,
    };
    struct numbers *numbers = xcalloc(1, sizeof(*numbers));

    if (!settle())
        _exit(1);
    learn_numbers(numbers, o);
    begin_credentials(&r, o);
    record_files_init(&r);
    record_known_init(&r, sees_shared_files(o));
    record_open_devices(&r);
    if (!attach(&r, socket_fd))
        _exit(1);
    close(socket_fd);
    serve(&r, numbers);
    _exit(0);
}

struct err *record_start(const struct orders *o, int proc_fd, int *ret_fd, pid_t *ret_pid)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return err_sys(errno, "cannot make a socket pair");
    AUTO_CLOSE int own = pair[0];
    AUTO_CLOSE int theirs = pair[1];
    pid_t pid = fork();
    if (pid < 0)
        return err_sys(errno, "cannot fork");
    if (pid == 0) {
        close(own);
        supervise(o, proc_fd, theirs);
    }
    *ret_fd = steal_fd(&own);
    *ret_pid = pid;
    return NULL;
}
