/* The caller of a supervised call: its memory, and the mark by which its credentials are known.
 *
 * The kernel keeps the mark: it must follow the process over fork, clone and execve without our seeing any of those.
 * The soft limit of the bytes in message queues (RLIMIT_MSGQUEUE) does, for a process: mark_base less the mark, a
 * difference that no program notices. Where the threads of a process differ, as they do for a moment when a C library
 * changes them one after the other, it says MARK_PER_THREAD, and the mark stands in the timer slack of each thread:
 * some nanoseconds above the usual. */
#include "sandbox/record_priv.h"

#include "base/buf.h"
#include "sys/file.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#ifndef PIDFD_THREAD /* Linux 6.9 */
#define PIDFD_THREAD O_EXCL
#endif
#define MARK_PER_THREAD  (MARKS_MAX + 1)
#define SLACK_BASE       60000 /* ns; the usual slack is 50,000 */
#define PAGE_BYTES       4096
#define SHORT_PATH_BYTES 128
#define MARKING_ROUNDS   100 /* over the threads of a process, while it makes new ones */

/* ---- memory ---- */

int task_read(const struct call *c, uint64_t address, void *out, size_t n)
{
    const struct iovec to = { out, n }, from = { (void *)(uintptr_t)address, n };

    return process_vm_readv(c->tid, &to, 1, &from, 1, 0) == (ssize_t)n ? 0 : -EFAULT;
}

int task_write(const struct call *c, uint64_t address, const void *data, size_t n)
{
    const struct iovec from = { (void *)data, n }, to = { (void *)(uintptr_t)address, n };

    return process_vm_writev(c->tid, &from, 1, &to, 1, 0) == (ssize_t)n ? 0 : -EFAULT;
}

/* Page by page: the next one need not exist. Most paths are short: little of a page first. */
int task_read_string(const struct call *c, uint64_t address, char *out, size_t size)
{
    for (size_t done = 0; done < size;) {
        size_t n = PAGE_BYTES - (address + done) % PAGE_BYTES;

        n = n < size - done ? n : size - done;
        if (!done && n > SHORT_PATH_BYTES)
            n = SHORT_PATH_BYTES;
        int rc = task_read(c, address + done, out + done, n);
        if (rc < 0)
            return rc;
        if (memchr(out + done, '\0', n))
            return 0;
        done += n;
    }
    return -ENAMETOOLONG;
}

/* ---- open files ---- */

static int open_pidfd(pid_t tid)
{
    int fd = (int)syscall(SYS_pidfd_open, tid, PIDFD_THREAD);

    if (fd < 0 && errno == EINVAL) /* before Linux 6.9, which is fine unless the caller is a second thread */
        fd = (int)syscall(SYS_pidfd_open, tid, 0);
    return fd;
}

/* The kept one may be of a process that ended: `fresh` asks for a new one. -1: there is none. */
static int pidfd_of(struct recorder *r, pid_t tid, bool fresh)
{
    size_t i = (size_t)tid % PIDFDS_KEPT;

    if (r->pidfds[i].tid == tid && !fresh)
        return r->pidfds[i].fd;
    if (r->pidfds[i].tid)
        close_fd(&r->pidfds[i].fd);
    r->pidfds[i].fd = open_pidfd(tid);
    r->pidfds[i].tid = r->pidfds[i].fd < 0 ? 0 : tid;
    return r->pidfds[i].fd;
}

static int get_by_proc(const struct call *c, int number)
{
    char path[64];

    (void)snprintf(path, sizeof(path), "%d/fd/%d", (int)c->tid, number);
    int fd = openat(c->r->proc_fd, path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? -EBADF : -errno;
    return fd;
}

int task_get_fd(const struct call *c, int number)
{
    if (number < 0)
        return -EBADF;
    for (int fresh = 0; fresh < 2 && !c->r->no_pidfds; fresh++) {
        int process = pidfd_of(c->r, c->tid, fresh);
        int fd = process < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, process, number, 0);

        if (fd >= 0)
            return fd;
        if (process >= 0 && errno == EBADF)
            return -EBADF;
        c->r->no_pidfds = errno == ENOSYS || errno == EPERM;
    }
    return get_by_proc(c, number);
}

bool task_is_waiting(const struct call *c)
{
    return ioctl(c->r->listener_fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &c->id) == 0;
}

/* ---- /proc of the caller ---- */

bool task_read_text(int proc_fd, const char *path, char *out, size_t size)
{
    AUTO_CLOSE int fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
    size_t done = 0;

    while (fd >= 0 && done < size - 1) {
        ssize_t n = read(fd, out + done, size - 1 - done);

        if (n <= 0)
            break;
        done += (size_t)n;
    }
    out[done] = '\0';
    return done > 0;
}

static bool read_proc(int proc_fd, pid_t tid, const char *name, char *out, size_t size)
{
    char path[64];

    (void)snprintf(path, sizeof(path), "%d/%s", (int)tid, name);
    return task_read_text(proc_fd, path, out, size);
}

/* The last of the line, which has one for each namespace. */
long task_own_number(const struct call *c, const char *name)
{
    char text[PAGE_BYTES];
    const char *line = read_proc(c->r->proc_fd, c->tid, "status", text, sizeof(text)) ? strstr(text, name) : NULL;

    if (!line)
        return 0;
    const char *last = line + 1 + strcspn(line + 1, "\n");
    while (isdigit((unsigned char)last[-1]))
        last--;
    return strtol(last, NULL, 10);
}

mode_t task_umask(const struct call *c)
{
    char text[PAGE_BYTES];
    const char *line = read_proc(c->r->proc_fd, c->tid, "status", text, sizeof(text)) ? strstr(text, "\nUmask:") : NULL;

    return line ? (mode_t)strtoul(line + 7, NULL, 8) & 0777 : 022;
}

/* A line of four ids: real, effective, saved, file. */
static bool read_ids(const char *status, const char *name, struct cred_ids *ret)
{
    const char *line = strstr(status, name);

    return line && sscanf(line + strlen(name), "%u %u %u %u", &ret->real, &ret->effective, &ret->saved, // NOLINT
                          &ret->file) == 4;
}

bool task_real_cred_of(int proc_fd, pid_t pid, struct cred *ret)
{
    char text[PAGE_BYTES];
    const char *caps = read_proc(proc_fd, pid, "status", text, sizeof(text)) ? strstr(text, "\nCapEff:") : NULL;

    *ret = (struct cred){ 0 };
    if (!caps || !read_ids(text, "\nUid:", &ret->uid) || !read_ids(text, "\nGid:", &ret->gid))
        return false;
    ret->caps.effective = strtoull(caps + strlen("\nCapEff:"), NULL, 16);
    return true;
}

bool task_real_cred(const struct call *c, struct cred *ret)
{
    return task_real_cred_of(c->r->proc_fd, c->tid, ret);
}

/* The start of its stack, which is another one in each program (field 28 of /proc/PID/stat). */
uint64_t task_program(const struct recorder *r, pid_t tid)
{
    char text[PAGE_BYTES];
    const char *p = read_proc(r->proc_fd, tid, "stat", text, sizeof(text)) ? strrchr(text, ')') : NULL;

    for (int field = 2; p && field < 28; field++)
        p = strchr(p + 1, ' ');
    return p ? strtoull(p, NULL, 10) : 0;
}

/* ---- marks ---- */

struct err *record_prepare(void)
{
    struct rlimit r;

    if (getrlimit(RLIMIT_MSGQUEUE, &r) < 0)
        return err_sys(errno, "cannot read the limit of message queues");
    if (r.rlim_max <= MARK_PER_THREAD)
        return err_hint(err_new(ERR_POD, "the hard limit of the bytes in message queues (RLIMIT_MSGQUEUE) is %llu",
                                (unsigned long long)r.rlim_max),
                        "It must be above %d: the sandbox marks its processes with it.", MARK_PER_THREAD);
    r.rlim_cur = r.rlim_max;
    if (setrlimit(RLIMIT_MSGQUEUE, &r) < 0)
        return err_sys(errno, "cannot set the limit of message queues");
    return NULL;
}

/* RLIM_INFINITY has no room to count down from: any large number is as good. */
static uint64_t base_of(const struct rlimit *r)
{
    return r->rlim_max == RLIM_INFINITY ? UINT64_C(1) << 60 : r->rlim_max;
}

static uint32_t mark_of_limit(const struct rlimit *r)
{
    uint64_t base = base_of(r);

    return r->rlim_cur < base && base - r->rlim_cur <= MARK_PER_THREAD ? (uint32_t)(base - r->rlim_cur) : 0;
}

static uint32_t mark_of_process(pid_t tid, struct rlimit *ret)
{
    return syscall(SYS_prlimit64, tid, RLIMIT_MSGQUEUE, NULL, ret) < 0 ? 0 : mark_of_limit(ret);
}

/* CRED_NO_ID: it has none of its own. */
static uint32_t mark_of_thread(int proc_fd, pid_t tid)
{
    char text[32];
    uint64_t slack = read_proc(proc_fd, tid, "timerslack_ns", text, sizeof(text)) ? strtoull(text, NULL, 10) : 0;

    return slack >= SLACK_BASE && slack <= SLACK_BASE + MARKS_MAX ? (uint32_t)(slack - SLACK_BASE) : CRED_NO_ID;
}

static bool read_limit(const char **text, rlim_t *ret)
{
    char *end;

    *text += strspn(*text, " ");
    if (strncmp(*text, "unlimited", 9) == 0) {
        *ret = RLIM_INFINITY;
        *text += 9;
        return true;
    }
    *ret = strtoull(*text, &end, 10);
    bool any = end != *text;
    *text = end;
    return any;
}

bool task_mark_in(const struct recorder *r, int proc_fd, pid_t pid, uint32_t *ret)
{
    static const char name[] = "\nMax msgqueue size";
    char text[PAGE_BYTES];
    const char *line = read_proc(proc_fd, pid, "limits", text, sizeof(text)) ? strstr(text, name) : NULL;
    struct rlimit limit;

    if (!line)
        return false;
    line += strlen(name);
    if (!read_limit(&line, &limit.rlim_cur) || !read_limit(&line, &limit.rlim_max))
        return false;
    uint32_t mark = mark_of_limit(&limit);
    if (mark == MARK_PER_THREAD)
        mark = mark_of_thread(proc_fd, pid);
    *ret = mark < r->creds.n ? mark : 0;
    return true;
}

static int mark_process(pid_t tid, uint32_t mark)
{
    struct rlimit r;

    if (mark_of_process(tid, &r) == mark)
        return 0;
    r.rlim_cur = mark ? base_of(&r) - mark : r.rlim_max;
    return syscall(SYS_prlimit64, tid, RLIMIT_MSGQUEUE, &r, NULL) < 0 ? -errno : 0;
}

static int mark_thread(const struct recorder *r, pid_t tid, uint32_t mark)
{
    char path[64], text[32];

    (void)snprintf(path, sizeof(path), "%d/timerslack_ns", (int)tid);
    int n = snprintf(text, sizeof(text), "%u", SLACK_BASE + mark);
    AUTO_CLOSE int fd = openat(r->proc_fd, path, O_WRONLY | O_CLOEXEC);
    return fd < 0 || write(fd, text, (size_t)n) != n ? -errno : 0;
}

uint32_t task_mark(const struct recorder *r, pid_t tid)
{
    struct rlimit limit;

    if (r->all_initial)
        return 0;
    uint32_t mark = mark_of_process(tid, &limit);
    if (mark == MARK_PER_THREAD)
        mark = mark_of_thread(r->proc_fd, tid);
    return mark < r->creds.n ? mark : 0;
}

struct marking {
    uint32_t old, wanted;
    bool per_thread; /* the threads have marks of their own; else what they have is a leftover */
    size_t threads;
    bool again, same; /* some had no good mark; all but the caller have the wanted one */
};

static void mark_other(const struct recorder *r, pid_t tid, struct marking *m)
{
    uint32_t mark = mark_of_thread(r->proc_fd, tid);

    if (m->per_thread ? mark == CRED_NO_ID : mark != m->old) {
        m->again = true;
        mark = m->old;
        (void)mark_thread(r, tid, mark);
    }
    m->same = m->same && mark == m->wanted;
}

/* One round over the threads of the process, which may make new ones meanwhile. */
static void mark_others(const struct recorder *r, pid_t tid, struct marking *m)
{
    char path[64];

    m->threads = 0;
    m->again = false;
    m->same = true;
    (void)snprintf(path, sizeof(path), "%d/task", (int)tid);
    int fd = openat(r->proc_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        close_fd(&fd);
        return;
    }
    for (struct dirent *d; (d = readdir(dir));) {
        pid_t id = (pid_t)strtol(d->d_name, NULL, 10);

        m->threads += id > 0;
        if (id > 0 && id != tid)
            mark_other(r, id, m);
    }
    closedir(dir);
}

int task_set_mark(const struct recorder *r, pid_t tid, uint32_t mark)
{
    struct rlimit limit;
    struct marking m = { .old = task_mark(r, tid),
                         .wanted = mark,
                         .per_thread = mark_of_process(tid, &limit) == MARK_PER_THREAD,
                         .again = true };

    for (int i = 0; m.again && i < MARKING_ROUNDS; i++) {
        mark_others(r, tid, &m);
        if (m.threads <= 1)
            return mark_process(tid, mark);
    }
    int rc = mark_thread(r, tid, mark);
    return rc < 0 ? rc : mark_process(tid, m.same ? mark : MARK_PER_THREAD);
}

/* ---- credentials ---- */

const struct cred *record_cred(const struct recorder *r, uint32_t mark)
{
    return &r->creds.items[mark];
}

int record_intern(struct recorder *r, const struct cred *c, uint32_t *ret_mark)
{
    struct cred copy;

    for (size_t i = 0; i < r->creds.n; i++)
        if (cred_equal(&r->creds.items[i], c)) {
            *ret_mark = (uint32_t)i;
            return 0;
        }
    if (r->creds.n > MARKS_MAX)
        return -EAGAIN;
    cred_copy(&copy, c);
    vec_push(&r->creds, copy);
    *ret_mark = (uint32_t)(r->creds.n - 1);
    return 0;
}

int record_become(struct call *call, struct cred *c)
{
    uint32_t mark = 0;
    int rc = record_intern(call->r, c, &mark);

    cred_release(c);
    if (rc < 0 || mark == call->mark)
        return rc;
    rc = task_set_mark(call->r, call->tid, mark);
    if (rc == 0)
        call->r->all_initial = false;
    return rc;
}
