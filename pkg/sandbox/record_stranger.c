/* Processes that are not the RUN's own. In a pod that allows no /proc and so no pid namespace of a RUN's own, it can
 * name the builder's processes and those of RUNs that are built at the same time, which are the same user's to the
 * kernel. Each RUN has a user namespace of its own there, and what asks something of a process in another one is
 * refused: limits and scheduling, and, where the kernel does not do it (scope_priv.h), signals (record_process.c) and
 * the owners of files that send some. Memory, environment and descriptors the kernel refuses itself. */
#include "sandbox/record_calls_priv.h"

#include "sys/file.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* ---- whose is it? ---- */

/* The caller's is the RUN's: a RUN can make no other. */
static bool learn_namespace(struct call *c)
{
    struct stat st;
    char path[64];

    if (c->r->namespace.known)
        return true;
    (void)snprintf(path, sizeof(path), "%d/ns/user", (int)c->tid);
    if (fstatat(c->r->proc_fd, path, &st, 0) < 0 || !task_is_waiting(c))
        return false;
    c->r->namespace.dev = st.st_dev;
    c->r->namespace.ino = st.st_ino;
    c->r->namespace.known = true;
    return true;
}

bool record_is_runs(struct call *c, int fd)
{
    struct stat st;

    return learn_namespace(c) && fstatat(fd, "ns/user", &st, 0) == 0 && st.st_dev == c->r->namespace.dev &&
           st.st_ino == c->r->namespace.ino;
}

enum whose record_whose(struct call *c, pid_t pid, int *ret_fd)
{
    char path[32];

    if (pid <= 0)
        return WHOSE_NOBODYS;
    if (pid == c->tid || pid == task_own_number(c, "\nNStgid:"))
        return WHOSE_CALLERS;
    (void)snprintf(path, sizeof(path), "%d", (int)pid);
    AUTO_CLOSE int fd = openat(c->r->proc_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? WHOSE_NOBODYS : WHOSE_STRANGERS;
    if (!record_is_runs(c, fd))
        return WHOSE_STRANGERS;
    *ret_fd = steal_fd(&fd);
    return WHOSE_RUNS;
}

/* For what at worst slows down a process that gets the number meanwhile: the kernel does it. */
static struct answer unless_strangers(struct call *c, pid_t pid)
{
    AUTO_CLOSE int fd = -1;

    switch (record_whose(c, pid, &fd)) {
    case WHOSE_STRANGERS:
        return with_value(-EPERM);
    case WHOSE_NOBODYS:
        return with_value(-ESRCH);
    case WHOSE_CALLERS:
    case WHOSE_RUNS:
        break;
    }
    return by_kernel();
}

/* ---- limits ---- */

static bool may_limit(const struct call *c, pid_t pid)
{
    struct cred real;
    uint32_t mark;

    if (c->r->level == RECORD_DEVICES)
        return task_real_cred_of(c->r->proc_fd, pid, &real) && cred_may_limit(c->cred, &real);
    return task_mark_in(c->r, c->r->proc_fd, pid, &mark) && cred_may_limit(c->cred, record_cred(c->r, mark));
}

/* A limit can end a process (RLIMIT_CPU): nothing may happen to who gets the number meanwhile. */
static struct answer limit_process(const struct call *c, pid_t pid)
{
    uint64_t old[2], wanted[2]; /* struct rlimit64 */
    int rc = c->arg[2] ? task_read(c, c->arg[2], wanted, sizeof(wanted)) : 0;

    if (rc < 0)
        return with_value(rc);
    if (syscall(SYS_prlimit64, pid, arg_int(c, 1), c->arg[2] ? wanted : NULL, old) < 0)
        return with_value(-errno);
    return with_value(c->arg[3] ? task_write(c, c->arg[3], old, sizeof(old)) : 0);
}

struct answer record_prlimit(struct call *c)
{
    AUTO_CLOSE int fd = -1;
    pid_t pid = arg_int(c, 0);

    if (c->r->level != RECORD_DEVICES && arg_int(c, 1) == RLIMIT_MSGQUEUE)
        return record_limit_queues(c);
    if (c->r->fresh_proc || pid == 0)
        return by_kernel();
    switch (record_whose(c, pid, &fd)) {
    case WHOSE_CALLERS:
        return by_kernel();
    case WHOSE_RUNS:
        return may_limit(c, pid) ? limit_process(c, pid) : with_value(-EPERM);
    case WHOSE_STRANGERS:
        return with_value(-EPERM);
    case WHOSE_NOBODYS:
        break;
    }
    return with_value(-ESRCH);
}

/* ---- scheduling ---- */

struct answer record_schedule(struct call *c)
{
    return unless_strangers(c, arg_int(c, 0));
}

struct answer record_priority(struct call *c)
{
    int kind = arg_int(c, 0) - (int)c->row->fixed + PRIO_PROCESS;
    pid_t who = arg_int(c, 1);

    if (kind == PRIO_USER) /* in all RUNs */
        return with_value(-EPERM);
    if (who == 0 || (kind == PRIO_PGRP && who == task_own_number(c, "\nNSpgid:")))
        return by_kernel();
    /* a group lies in one session, and a session in one RUN: so its first process tells */
    return unless_strangers(c, who);
}

/* ---- files that send signals ---- */

/* Only the caller itself and its group: the kernel keeps these, not their numbers. */
struct answer record_file_owner(struct call *c)
{
    int owner = arg_int(c, 2);
    long own = owner < 0 ? task_own_number(c, "\nNSpgid:") : task_own_number(c, "\nNStgid:");

    return owner == 0 || (owner < 0 ? -(long)owner : owner) == own ? by_kernel() : with_value(-EPERM);
}
