/* question DIR: what the parts cost of which recording an owner consists, in microseconds, one "NAME TIME" a line: a
 * system call that a supervisor is asked about and that it leaves to the kernel, beside one that nobody is asked about;
 * and the supervisor's own looks and records, on files in DIR, each the best of some rounds. tests/bench/owners adds
 * them up. */
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS /* Linux 6.6 */
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS      SECCOMP_IOW(4, uint64_t)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP 1UL
#endif

#define CALLS     50000
#define FILES     500
#define ROUNDS    5
#define LISTENER  100 /* its number in the process that asks */
#define PATH_ROOM 128

static void must(bool good, const char *what)
{
    if (good)
        return;
    perror(what);
    exit(1);
}

static double now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void report(const char *name, double us)
{
    printf("%s %.2f\n", name, us);
    fflush(stdout);
}

/* ---- a question ---- */

/* Asks about getppid. */
static void load_filter(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };
    const unsigned long flags = SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_SPEC_ALLOW;

    must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no_new_privs");
    int fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
    must(fd >= 0 && dup2(fd, LISTENER) == LISTENER, "seccomp");
}

static double time_calls(long call)
{
    double best = 1e9;

    for (int round = 0; round < ROUNDS; round++) {
        double start = now_us();

        for (int i = 0; i < CALLS; i++)
            (void)syscall(call);
        double us = (now_us() - start) / CALLS;
        best = us < best ? us : best;
    }
    return best;
}

static _Noreturn void ask(int ready_fd)
{
    load_filter();
    must(write(ready_fd, "r", 1) == 1, "write");
    report("question", time_calls(SYS_getppid) - time_calls(SYS_getuid));
    (void)pause();
    _exit(0);
}

/* One question after the other, until the process that asks is at its end. */
static void answer(int listener)
{
    for (int left = CALLS * ROUNDS; left > 0; left--) {
        struct seccomp_notif ask = { 0 };

        must(ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &ask) == 0, "receive");
        struct seccomp_notif_resp say = { .id = ask.id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE };
        must(ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &say) == 0, "answer");
    }
}

static int take(int pidfd, int number)
{
    return (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);
}

static pid_t start_asking(int *ret_pidfd)
{
    int ready[2];
    char byte;

    must(pipe(ready) == 0, "pipe");
    pid_t pid = fork();
    must(pid >= 0, "fork");
    if (pid == 0)
        ask(ready[1]);
    close(ready[1]);
    must(read(ready[0], &byte, 1) == 1, "the process that asks");
    *ret_pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    int listener = take(*ret_pidfd, LISTENER);
    must(listener >= 0, "listener");
    (void)ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP);
    answer(listener);
    return pid;
}

/* ---- looks and records ---- */

/* What one look or record is made of. */
struct parts {
    pid_t pid;
    int pidfd, dir_fd;
    int fds[FILES];
    char path[PATH_ROOM];
};

static void read_path(struct parts *p, int i)
{
    char out[PATH_ROOM];
    const struct iovec to = { out, sizeof(out) }, from = { p->path, sizeof(p->path) };

    (void)i;
    must(process_vm_readv(p->pid, &to, 1, &from, 1, 0) == PATH_ROOM, "read");
}

static void take_one(struct parts *p, int i)
{
    (void)i;
    close(take(p->pidfd, p->dir_fd));
}

static void look_at_directory(struct parts *p, int i)
{
    struct stat st;

    (void)i;
    must(fstatat(p->dir_fd, "./d/.", &st, 0) == 0, "stat");
}

static void look_at_file(struct parts *p, int i)
{
    struct stat st;
    char names[512];

    must(fstat(p->fds[i], &st) == 0 && flistxattr(p->fds[i], names, sizeof(names)) >= 0, "look");
}

static void record(struct parts *p, int i)
{
    must(fsetxattr(p->fds[i], "user.copyup.owner", "123:123", 7, 0) == 0, "record");
}

static void change_owner(struct parts *p, int i)
{
    must(fchown(p->fds[i], 123, 123) == 0, "chown");
}

static void make_files(struct parts *p)
{
    for (int i = 0; i < FILES; i++) {
        char name[32];

        (void)snprintf(name, sizeof(name), "d/%d", i);
        (void)unlinkat(p->dir_fd, name, 0);
        p->fds[i] = openat(p->dir_fd, name, O_WRONLY | O_CREAT | O_EXCL, 0600);
        must(p->fds[i] >= 0 && write(p->fds[i], "x", 1) == 1, "make a file");
    }
}

static void measure(struct parts *p, const char *name, void (*part)(struct parts *p, int i))
{
    double best = 1e9;

    for (int round = 0; round < ROUNDS; round++) {
        make_files(p);
        double start = now_us();
        for (int i = 0; i < FILES; i++)
            part(p, i);
        double us = (now_us() - start) / FILES;
        best = us < best ? us : best;
        for (int i = 0; i < FILES; i++)
            close(p->fds[i]);
    }
    report(name, best);
}

int main(int argc, char **argv)
{
    static struct parts p;

    must(argc == 2 && chdir(argv[1]) == 0, "usage: question DIR");
    p.dir_fd = open(".", O_RDONLY | O_DIRECTORY);
    must(p.dir_fd >= 0 && mkdirat(p.dir_fd, "d", 0755) == 0, argv[1]);
    p.pid = start_asking(&p.pidfd);
    measure(&p, "path", read_path);
    measure(&p, "descriptor", take_one);
    measure(&p, "directory", look_at_directory);
    measure(&p, "file", look_at_file);
    measure(&p, "record", record);
    measure(&p, "chown", change_owner);
    kill(p.pid, SIGKILL);
    (void)waitpid(p.pid, NULL, 0);
    return 0;
}
