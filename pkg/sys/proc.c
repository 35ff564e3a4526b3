#include "sys/proc.h"

#include "base/vec.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#define STOPPING_ROUNDS 50 /* of a millisecond each */

struct process {
    pid_t pid, parent;
    bool stopped;
    bool dead; /* a zombie: nothing to signal, but its children still count */
};
typedef VEC(struct process) process_list;

int64_t proc_now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* "PID (NAME) STATE PPID ...": NAME may hold anything, ')' too. */
static bool read_stat(int proc_fd, const char *pid, struct process *ret)
{
    char path[64], text[512];
    AUTO_CLOSE int fd = -1;

    if (snprintf(path, sizeof(path), "%s/stat", pid) >= (int)sizeof(path))
        return false;
    fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, text, sizeof(text) - 1);
    if (n <= 0)
        return false;
    text[n] = '\0';
    const char *after = strrchr(text, ')');
    if (!after || strlen(after) < 5)
        return false;
    ret->pid = (pid_t)strtol(pid, NULL, 10);
    ret->dead = after[2] == 'Z' || after[2] == 'X';
    ret->stopped = after[2] == 'T' || after[2] == 't';
    ret->parent = (pid_t)strtol(after + 4, NULL, 10);
    return true;
}

bool proc_is_foreign(int proc_fd, pid_t pid)
{
    struct stat own, other;
    char path[64];

    (void)snprintf(path, sizeof(path), "%d/ns/user", (int)pid);
    if (fstatat(proc_fd, "self/ns/user", &own, 0) < 0 || fstatat(proc_fd, path, &other, 0) < 0)
        return true;
    return own.st_ino != other.st_ino || own.st_dev != other.st_dev;
}

static int by_pid(const void *a, const void *b)
{
    pid_t x = ((const struct process *)a)->pid, y = ((const struct process *)b)->pid;

    return (x > y) - (x < y);
}

static void list_processes(int proc_fd, process_list *out)
{
    int fd = openat(proc_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct process p;

    if (!dir) {
        if (fd >= 0)
            close(fd);
        return;
    }
    for (struct dirent *d = readdir(dir); d; d = readdir(dir))
        if (d->d_name[0] >= '1' && d->d_name[0] <= '9' && read_stat(proc_fd, d->d_name, &p))
            vec_push(out, p);
    closedir(dir);
    if (out->n)
        qsort(out->items, out->n, sizeof(*out->items), by_pid);
}

static bool descends_from(const process_list *all, const struct process *p, pid_t ancestor)
{
    /* The list is not one moment's picture: a cycle is possible on paper, so the steps are bounded. */
    for (size_t steps = 0; p && steps <= all->n; steps++) {
        const struct process key = { .pid = p->parent };

        if (p->parent == ancestor)
            return true;
        p = bsearch(&key, all->items, all->n, sizeof(*all->items), by_pid);
    }
    return false;
}

size_t proc_signal_descendants(int proc_fd, int sig, proc_filter filter)
{
    process_list all = { NULL, 0, 0 };
    size_t count = 0;
    pid_t self = getpid();

    list_processes(proc_fd, &all);
    for (size_t i = 0; i < all.n; i++) {
        const struct process *p = &all.items[i];

        if (p->dead || (sig == SIGSTOP && p->stopped) || p->pid == self || !descends_from(&all, p, self) ||
            (filter && !filter(proc_fd, p->pid)))
            continue;
        count++;
        kill(p->pid, sig);
    }
    vec_free(&all);
    return count;
}

/* A fork bomb at the limit of processes makes a new one for each that is killed. Those that are stopped make none, and
 * keep their places. */
static void stop_descendants(int proc_fd, proc_filter filter)
{
    for (int i = 0; i < STOPPING_ROUNDS && proc_signal_descendants(proc_fd, SIGSTOP, filter) > 0; i++)
        poll(NULL, 0, 1);
}

bool proc_end_descendants(int proc_fd, int64_t limit_ms, proc_filter filter)
{
    int64_t end = proc_now_ms() + limit_ms;

    for (;;) {
        stop_descendants(proc_fd, filter);
        size_t left = proc_signal_descendants(proc_fd, SIGKILL, filter);

        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
        if (left == 0)
            return true;
        if (proc_now_ms() >= end)
            return false;
        poll(NULL, 0, 1);
    }
}
