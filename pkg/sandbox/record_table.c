/* Which system calls are supervised, in which RUNs, and what their arguments are. A call that is not here is the
 * kernel's alone. Every row costs its callers two switches of processes (10 to 20 us). What unpacking an archive as
 * root does to each file by its descriptor, its mode and its times, is left out where a RUN begins as root, at the
 * price that a process which gave up being root is not refused it either (docs/security.md). */
#include "sandbox/record_calls_priv.h"
#include "sandbox/record_stat_priv.h"

#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define NOFOLLOW       AT_SYMLINK_NOFOLLOW
#define IOPRIO_PROCESS 1 /* linux/ioprio.h */
#define ALWAYS                                                                                                         \
    {                                                                                                                  \
        0, 0, 0, false                                                                                                 \
    }
/* clang-format off */
#define NONE     NO_ARG, NO_ARG, NO_ARG, 0
#define LOW(arg, value) { arg, UINT32_MAX, value, false }
#define NOT(arg, value) { arg, 0, value, true }

#define IDS(name, fn) \
    { name, fn, NONE, 0, AT_BOTH, true, ALWAYS }, { name "32", fn, NONE, 0, AT_BOTH, false, ALWAYS }
#define ONE(name, fn) { name, fn, NONE, 0, AT_BOTH, false, ALWAYS }
/* The number of a process stands at `rest`. */
#define PROCESS(name, fn, rest, fixed) { name, fn, NO_ARG, NO_ARG, NO_ARG, rest, fixed, AT_BOTH, false, ALWAYS }
#define SIGNAL(name, fixed) \
    PROCESS(name, record_signal, 0, fixed), \
    { name, record_signal, NO_ARG, NO_ARG, NO_ARG, 0, fixed, AT_DEVICES | IF_UNSCOPED, false, ALWAYS }
#define SHARED(name, fn, fixed, arg, value) { name, fn, NONE, fixed, AT_ALL | IF_SHARED, false, NOT(arg, value) }
#define OWNER(name) { name, record_file_owner, NONE, 0, AT_ALL | IF_UNSCOPED, false, LOW(1, F_SETOWN) }
#define TRACE(request) { "ptrace", record_look_into, NO_ARG, NO_ARG, NO_ARG, 1, 0, AT_BOTH, false, LOW(0, request) }
#define PRCTL(option) { "prctl", record_prctl, NONE, 0, AT_BOTH, false, LOW(0, option) }
/* A path alone, and with a descriptor before it. */
#define PATH(name, fn, fixed, levels) { name, fn, NO_ARG, 0, NO_ARG, 1, fixed, levels, false, ALWAYS }
#define AT(name, fn, flags, rest, fixed, levels) { name, fn, 0, 1, flags, rest, fixed, levels, false, ALWAYS }
#define FD(name, fn, fixed, levels) { name, fn, 0, NO_ARG, NO_ARG, 1, fixed, levels, false, ALWAYS }
#define OPENS(name, dir, path, flags) { name, record_open, dir, path, NO_ARG, flags, 0, AT_BOTH, false, ALWAYS }
/* mknod(2): devices concern every sandbox, the rest those that record owners. */
#define NODES(name, dir, path, mode) \
    { name, record_mknod, dir, path, NO_ARG, mode, 0, AT_BOTH, false, ALWAYS }, \
    { name, record_mknod, dir, path, NO_ARG, mode, 0, AT_DEVICES, false, { mode, S_IFMT, S_IFCHR, false } }, \
    { name, record_mknod, dir, path, NO_ARG, mode, 0, AT_DEVICES, false, { mode, S_IFMT, S_IFBLK, false } }

static const struct record_row rows[] = {
    /* who am I, and who am I to be */
    IDS("getuid", record_getuid), IDS("geteuid", record_geteuid), IDS("getgid", record_getgid),
    IDS("getegid", record_getegid), IDS("getresuid", record_getresuid), IDS("getresgid", record_getresgid),
    IDS("getgroups", record_getgroups), IDS("setuid", record_setuid), IDS("setgid", record_setgid),
    IDS("setreuid", record_setreuid), IDS("setregid", record_setregid), IDS("setresuid", record_setresuid),
    IDS("setresgid", record_setresgid), IDS("setfsuid", record_setfsuid), IDS("setfsgid", record_setfsgid),
    IDS("setgroups", record_setgroups),
    ONE("capget", record_capget), ONE("capset", record_capset),
    PRCTL(PR_GET_KEEPCAPS), PRCTL(PR_SET_KEEPCAPS), PRCTL(PR_GET_SECUREBITS), PRCTL(PR_SET_SECUREBITS),
    PRCTL(PR_CAPBSET_READ), PRCTL(PR_CAPBSET_DROP), PRCTL(PR_CAP_AMBIENT), PRCTL(PR_GET_NO_NEW_PRIVS),
    PRCTL(PR_SET_NO_NEW_PRIVS),
    { "getrlimit", record_limit_queues, NONE, LIMIT_CALL_GET, AT_BOTH, false, LOW(0, RLIMIT_MSGQUEUE) },
    { "ugetrlimit", record_limit_queues, NONE, LIMIT_CALL_GET, AT_BOTH, false, LOW(0, RLIMIT_MSGQUEUE) },
    { "setrlimit", record_limit_queues, NONE, LIMIT_CALL_SET, AT_BOTH, false, LOW(0, RLIMIT_MSGQUEUE) },
    { "prlimit64", record_prlimit, NONE, LIMIT_CALL_PRLIMIT, AT_BOTH, false, LOW(1, RLIMIT_MSGQUEUE) },

    /* what is this file's owner */
    { "stat", record_stat, NO_ARG, 0, NO_ARG, 1, STAT_OLD, AT_BOTH, false, ALWAYS },
    { "lstat", record_stat, NO_ARG, 0, NO_ARG, 1, NOFOLLOW | STAT_OLD, AT_BOTH, false, ALWAYS },
    { "fstat", record_stat, 0, NO_ARG, NO_ARG, 1, STAT_OLD, AT_BOTH, false, ALWAYS },
    PATH("stat64", record_stat, 0, AT_BOTH), PATH("lstat64", record_stat, NOFOLLOW, AT_BOTH),
    FD("fstat64", record_stat, 0, AT_BOTH), AT("fstatat64", record_stat, 3, 2, 0, AT_BOTH),
    AT("newfstatat", record_stat, 3, 2, 0, AT_BOTH), AT("statx", record_statx, 2, 4, 0, AT_BOTH),

    /* changes */
    { "chown", record_chown, NO_ARG, 0, NO_ARG, 1, 0, AT_BOTH, true, ALWAYS },
    { "lchown", record_chown, NO_ARG, 0, NO_ARG, 1, NOFOLLOW, AT_BOTH, true, ALWAYS },
    { "fchown", record_chown, 0, NO_ARG, NO_ARG, 1, 0, AT_BOTH, true, ALWAYS },
    PATH("chown32", record_chown, 0, AT_BOTH), PATH("lchown32", record_chown, NOFOLLOW, AT_BOTH),
    FD("fchown32", record_chown, 0, AT_BOTH), AT("fchownat", record_chown, 4, 2, 0, AT_BOTH),
    PATH("chmod", record_chmod, 0, AT_BOTH), FD("fchmod", record_chmod, 0, AT_USER),
    AT("fchmodat", record_chmod, NO_ARG, 2, 0, AT_BOTH),
    PATH("utime", record_utimes, TIMES_SECONDS, AT_USER), PATH("utimes", record_utimes, TIMES_TIMEVAL, AT_USER),
    AT("futimesat", record_utimes, NO_ARG, 2, TIMES_TIMEVAL | NULL_PATH, AT_USER),
    AT("utimensat", record_utimes, 3, 2, TIMES_TIMESPEC | NULL_PATH, AT_USER),
    AT("utimensat_time64", record_utimes, 3, 2, TIMES_TIMESPEC64 | NULL_PATH, AT_USER),
    PATH("truncate", record_truncate, 0, AT_BOTH),
    PATH("truncate64", record_truncate, TRUNCATE_TWO_WORDS, AT_BOTH),
    PATH("setxattr", record_setxattr, 0, AT_BOTH), PATH("lsetxattr", record_setxattr, NOFOLLOW, AT_BOTH),
    FD("fsetxattr", record_setxattr, 0, AT_BOTH),
    PATH("removexattr", record_removexattr, 0, AT_BOTH), PATH("lremovexattr", record_removexattr, NOFOLLOW, AT_BOTH),
    FD("fremovexattr", record_removexattr, 0, AT_BOTH),
    PATH("listxattr", record_listxattr, 0, AT_BOTH), PATH("llistxattr", record_listxattr, NOFOLLOW, AT_BOTH),
    FD("flistxattr", record_listxattr, 0, AT_BOTH),

    /* what is made */
    PATH("mkdir", record_mkdir, 0, AT_BOTH), AT("mkdirat", record_mkdir, NO_ARG, 2, 0, AT_BOTH),
    NODES("mknod", NO_ARG, 0, 1), NODES("mknodat", 0, 1, 2),
    { "symlink", record_symlink, NO_ARG, 1, NO_ARG, 2, 0, AT_BOTH, false, ALWAYS },
    { "symlinkat", record_symlink, 1, 2, NO_ARG, 3, 0, AT_BOTH, false, ALWAYS },
    ONE("bind", record_bind),

    /* opening */
    OPENS("open", NO_ARG, 0, 1), OPENS("openat", 0, 1, 2),
    { "creat", record_open, NO_ARG, 0, NO_ARG, 1, OPEN_CREATES, AT_BOTH, false, ALWAYS },
    AT("openat2", record_openat2, NO_ARG, 2, 0, AT_BOTH),
    { "access", record_access, NO_ARG, 0, NO_ARG, 1, 0, AT_BOTH, false, ALWAYS },
    AT("faccessat", record_access, NO_ARG, 2, 0, AT_BOTH), AT("faccessat2", record_access, 3, 2, 0, AT_BOTH),
    PATH("chdir", record_chdir, 0, AT_BOTH), FD("fchdir", record_chdir, 0, AT_USER),

    /* names */
    PATH("rename", record_rename, 0, AT_BOTH),
    { "renameat", record_rename, 0, 1, NO_ARG, 2, 0, AT_BOTH, false, ALWAYS },
    { "renameat2", record_rename, 0, 1, NO_ARG, 2, RENAME_WITH_FLAGS, AT_BOTH, false, ALWAYS },
    PATH("link", record_link, 0, AT_BOTH), AT("linkat", record_link, 4, 2, 0, AT_BOTH),
    PATH("unlink", record_unlink, 0, AT_BOTH), PATH("rmdir", record_unlink, AT_REMOVEDIR, AT_BOTH),
    AT("unlinkat", record_unlink, 2, 3, 0, AT_BOTH),

    /* other processes */
    SIGNAL("kill", PROCESS_OR_GROUP), SIGNAL("tkill", PROCESS_THREAD),
    SIGNAL("tgkill", PROCESS_THREAD | PROCESS_AND_THREAD), SIGNAL("rt_sigqueueinfo", PROCESS_WITH_INFO),
    SIGNAL("rt_tgsigqueueinfo", PROCESS_THREAD | PROCESS_AND_THREAD | PROCESS_WITH_INFO),
    PROCESS("pidfd_send_signal", record_signal, 0, PROCESS_BY_PIDFD),
    TRACE(PTRACE_ATTACH), TRACE(PTRACE_SEIZE),
    PROCESS("process_vm_readv", record_look_into, 0, 0), PROCESS("process_vm_writev", record_look_into, 0, 0),
    PROCESS("pidfd_getfd", record_look_into, 0, PROCESS_BY_PIDFD),
    SHARED("prlimit64", record_prlimit, LIMIT_CALL_PRLIMIT, 0, 0),
    SHARED("sched_setaffinity", record_schedule, 0, 0, 0), SHARED("sched_setscheduler", record_schedule, 0, 0, 0),
    SHARED("sched_setparam", record_schedule, 0, 0, 0), SHARED("sched_setattr", record_schedule, 0, 0, 0),
    SHARED("setpriority", record_priority, PRIO_PROCESS, 0, PRIO_PROCESS),
    SHARED("setpriority", record_priority, PRIO_PROCESS, 1, 0),
    SHARED("ioprio_set", record_priority, IOPRIO_PROCESS, 0, IOPRIO_PROCESS),
    SHARED("ioprio_set", record_priority, IOPRIO_PROCESS, 1, 0),
    OWNER("fcntl"), OWNER("fcntl64"),

    /* programs and roots */
    PATH("execve", record_exec, 0, AT_BOTH), AT("execveat", record_exec, 4, 2, 0, AT_BOTH),
    ONE("chroot", record_chroot),
};
/* clang-format on */

bool record_applies(const struct record_row *row, const struct orders *o)
{
    return (row->levels & (1U << o->record)) && (!(row->levels & (IF_SHARED | IF_UNSCOPED)) || !o->fresh_proc) &&
           (!(row->levels & IF_UNSCOPED) || !o->scoped);
}

const struct record_row *record_rows(size_t *ret_n)
{
    *ret_n = sizeof(rows) / sizeof(rows[0]);
    return rows;
}
