/* record_calls_priv.h - the functions behind the table of supervised calls (record_table.c). Each answers one system
 * call, or several that differ in the row only. */
#ifndef SANDBOX_RECORD_CALLS_PRIV_H
#define SANDBOX_RECORD_CALLS_PRIV_H

#include "base/buf.h"
#include "sandbox/record_priv.h"

/* record_ids.c */
struct answer record_getuid(struct call *c);
struct answer record_geteuid(struct call *c);
struct answer record_getgid(struct call *c);
struct answer record_getegid(struct call *c);
struct answer record_getresuid(struct call *c);
struct answer record_getresgid(struct call *c);
struct answer record_getgroups(struct call *c);
struct answer record_setuid(struct call *c);
struct answer record_setgid(struct call *c);
struct answer record_setreuid(struct call *c);
struct answer record_setregid(struct call *c);
struct answer record_setresuid(struct call *c);
struct answer record_setresgid(struct call *c);
struct answer record_setfsuid(struct call *c);
struct answer record_setfsgid(struct call *c);
struct answer record_setgroups(struct call *c);
struct answer record_capget(struct call *c);
struct answer record_capset(struct call *c);
struct answer record_prctl(struct call *c);
/* getrlimit, setrlimit, prlimit64 of RLIMIT_MSGQUEUE; row->fixed says which. */
enum { LIMIT_CALL_GET, LIMIT_CALL_SET, LIMIT_CALL_PRLIMIT };
struct answer record_limit_queues(struct call *c);

/* record_stat.c; row->fixed: flags, and in `rest` stands the buffer */
struct answer record_stat(struct call *c);
struct answer record_statx(struct call *c);

/* record_change.c. In row->fixed beside AT_* flags: the form of the times, and whether a size has two words. */
enum times_form {
    TIMES_TIMESPEC = 0x10000000,
    TIMES_TIMESPEC64 = 0x20000000,
    TIMES_TIMEVAL = 0x30000000,
    TIMES_SECONDS = 0x40000000,
    TIMES_FORM = 0x70000000,
};
#define TRUNCATE_TWO_WORDS 0x10000000U
struct answer record_chown(struct call *c);
struct answer record_chmod(struct call *c);
struct answer record_utimes(struct call *c);
struct answer record_truncate(struct call *c);
struct answer record_setxattr(struct call *c);
struct answer record_removexattr(struct call *c);
struct answer record_listxattr(struct call *c);

/* record_make.c */
struct answer record_mkdir(struct call *c);
struct answer record_mknod(struct call *c);
struct answer record_symlink(struct call *c);
struct answer record_bind(struct call *c);
/* Makes and opens a file, as open(2) does with O_CREAT | O_EXCL; with_value(-EEXIST): there is something. */
struct answer record_create(struct call *c, int flags, mode_t mode, const struct place *p);
/* The same with O_TMPFILE; `dir` is the directory itself. */
struct answer record_create_unnamed(struct call *c, int flags, mode_t mode, const struct target *dir);
/* Answers with an open file of ours; `flags` are those of open(2). */
struct answer record_send_fd(struct call *c, int fd, int flags);
/* Does what is made at the row's path belong to root:root anyway? */
bool record_needs_no_owner(const struct call *c);

/* record_open.c. In row->fixed: creat(2). */
#define OPEN_CREATES 0x10000000U
void record_open_devices(struct recorder *r);
struct answer record_open(struct call *c);
struct answer record_openat2(struct call *c);
struct answer record_access(struct call *c);
struct answer record_chdir(struct call *c);

/* record_proc.c: files of /proc that say who the caller is, in our words: an open file to read if c->path is one of its
 * own, else -1. */
int record_proc_view(struct call *c);
/* The text of a status file with these credentials in place of the real ones. Pure. */
void record_status_text(const char *real, const struct cred *c, struct buf *out);

/* record_names.c. Calls of two names have the second in the arguments from `rest` on; in row->fixed: renameat2(2). */
#define RENAME_WITH_FLAGS 0x10000000U
struct answer record_rename(struct call *c);
struct answer record_link(struct call *c);
struct answer record_unlink(struct call *c);

/* record_process.c. In row->fixed: what the argument at `rest` is, beside the number of a process. */
#define PROCESS_BY_PIDFD   0x10000000U
#define PROCESS_OR_GROUP   0x20000000U /* 0 and below: several, as kill(2) has it */
#define PROCESS_THREAD     0x04000000U /* the signal is for one thread */
#define PROCESS_AND_THREAD 0x40000000U /* whose number comes after the process'; without it, stands in its place */
#define PROCESS_WITH_INFO  0x02000000U /* last comes what is sent along */
struct answer record_signal(struct call *c);
/* ptrace(2) at its begin, process_vm_readv(2), pidfd_getfd(2)... */
struct answer record_look_into(struct call *c);

/* record_stranger.c: where a RUN shares the numbers of processes with others, each has a user namespace of its own, by
 * which its processes are known. To the kernel they are all one user's. */
enum whose { WHOSE_CALLERS, WHOSE_RUNS, WHOSE_STRANGERS, WHOSE_NOBODYS };
/* Whose is the process, or thread, of this number? CALLERS: it is its own number or its process', which is nobody
 * else's while it waits for us. RUNS: *ret_fd is a directory of /proc that stands for it, whoever gets the number next.
 */
enum whose record_whose(struct call *c, pid_t pid, int *ret_fd);
/* Is it one of this RUN, what a directory of /proc stands for? */
bool record_is_runs(struct call *c, int fd);
/* Is it ours to keep the RUN's signals apart? */
static inline bool record_is_unscoped(const struct call *c)
{
    return !c->r->fresh_proc && !c->r->scoped;
}
struct answer record_prlimit(struct call *c);
struct answer record_schedule(struct call *c);
/* setpriority(2) and, with the first number of its kinds in row->fixed, ioprio_set(2). */
struct answer record_priority(struct call *c);
struct answer record_file_owner(struct call *c); /* fcntl(2), F_SETOWN */

/* record_exec.c */
struct answer record_exec(struct call *c);
struct answer record_chroot(struct call *c);

/* record_pending.c */
void record_later(struct recorder *r, const struct pending *p);
void record_do_pending(struct call *c);

#endif
