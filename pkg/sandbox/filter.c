/* The filter of system calls of a RUN (seccomp(2)): no second sandbox inside this one, nothing that speaks to the
 * node's kernel beyond what a build needs, and no waiting for a disk that nobody will read after a crash. */
#include "sandbox/confine_priv.h"
#include "sandbox/record_priv.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define FILTER_FLAG_WAIT_KILLABLE (1UL << 5) /* SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV */

#define LOW_WORD UINT64_C(0xffffffff) /* pids and flags are 32 bits; libraries leave garbage above */

/* In a throw-away root a crash loses everything anyway: an answer at once instead of milliseconds of disk each. msync
 * is not here: programs use it to ask whether memory is mapped. */
static const char *const without_wait[] = { "fsync",  "fdatasync",       "sync",
                                            "syncfs", "sync_file_range", "sync_file_range2" };

/* What Docker's default profile does not allow a container without extra capabilities. */
static const char *const refused[] = {
    "_sysctl",
    "acct",
    "add_key",
    "bpf",
    "clock_adjtime",
    "clock_settime",
    "create_module",
    "delete_module",
    "fanotify_init",
    "finit_module",
    "fsconfig",
    "fsmount",
    "fsopen",
    "fspick",
    "get_kernel_syms",
    "init_module",
    "io_uring_enter",
    "io_uring_register",
    "io_uring_setup",
    "ioperm",
    "iopl",
    "kcmp",
    "kexec_file_load",
    "kexec_load",
    "keyctl",
    "lookup_dcookie",
    "mount",
    "mount_setattr",
    "move_mount",
    "move_pages",
    "nfsservctl",
    "open_by_handle_at",
    "open_tree",
    "perf_event_open",
    "pivot_root",
    "query_module",
    "quotactl",
    "quotactl_fd",
    "reboot",
    "request_key",
    "setdomainname",
    "sethostname",
    "setns",
    "settimeofday",
    "stime",
    "swapoff",
    "swapon",
    "sysfs",
    "syslog",
    "umount",
    "umount2",
    "unshare",
    "uselib",
    "userfaultfd",
    "ustat",
    "vhangup",
    "vm86",
    "vm86old",
};

static int add_list(scmp_filter_ctx ctx, uint32_t action, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int nr = seccomp_syscall_resolve_name(names[i]);

        if (nr == __NR_SCMP_ERROR)
            continue; /* an older libseccomp, or another architecture's call */
        int rc = seccomp_rule_add(ctx, action, nr, 0);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* clone may make processes and threads, not namespaces; clone3 hides its flags in memory, so it "does not exist": the C
 * libraries then use clone. */
static int add_clone_rules(scmp_filter_ctx ctx)
{
    static const uint64_t flags[] = { CLONE_NEWNS,   CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC,
                                      CLONE_NEWUSER, CLONE_NEWPID,    CLONE_NEWNET };
    int rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);

    for (size_t i = 0; rc == 0 && i < sizeof(flags) / sizeof(flags[0]); i++)
        rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
                              SCMP_A0(SCMP_CMP_MASKED_EQ, flags[i], flags[i]));
    return rc;
}

static int add_argument_rules(scmp_filter_ctx ctx)
{
    int rc = add_clone_rules(ctx);

    if (rc == 0) /* sockets of the hypervisor */
        rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, AF_VSOCK));
    if (rc == 0) /* pretending another kernel is a known way around memory protections */
        rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(personality), 1,
                              SCMP_A0(SCMP_CMP_MASKED_EQ, READ_IMPLIES_EXEC, READ_IMPLIES_EXEC));
    return rc;
}

/* ---- the wall where the command shares our pid namespace and the kernel does not scope its signals ----
 * What it asks of a process that is not its own is the supervisor's to refuse (record_stranger.c). Here is what no
 * supervisor is needed for: the processes that are known beforehand, and what hides the process in memory. */

static int refuse_pid(scmp_filter_ctx ctx, int32_t pid)
{
    static const char *const calls[] = {
        "kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_open"
    };
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < sizeof(calls) / sizeof(calls[0]); i++)
        rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), seccomp_syscall_resolve_name(calls[i]), 1,
                              SCMP_A0(SCMP_CMP_MASKED_EQ, LOW_WORD, (uint32_t)pid));
    return rc;
}

/* A file's owner gets a signal of choice, SIGKILL too, when the file is ready. */
static int refuse_owner(scmp_filter_ctx ctx, int32_t pid)
{
    static const char *const calls[] = { "fcntl", "fcntl64" };
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < sizeof(calls) / sizeof(calls[0]); i++)
        rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), seccomp_syscall_resolve_name(calls[i]), 2,
                              SCMP_A1(SCMP_CMP_MASKED_EQ, LOW_WORD, F_SETOWN),
                              SCMP_A2(SCMP_CMP_MASKED_EQ, LOW_WORD, (uint32_t)pid));
    return rc;
}

/* The same, but with the process in memory, where a filter cannot see it. */
static int refuse_hidden_owners(scmp_filter_ctx ctx)
{
    static const struct {
        const char *call;
        uint32_t what;
    } ways[] = { { "fcntl", F_SETOWN_EX }, { "fcntl64", F_SETOWN_EX }, { "ioctl", FIOSETOWN }, { "ioctl", SIOCSPGRP } };
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < sizeof(ways) / sizeof(ways[0]); i++)
        rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), seccomp_syscall_resolve_name(ways[i].call), 1,
                              SCMP_A1(SCMP_CMP_MASKED_EQ, LOW_WORD, ways[i].what));
    return rc;
}

static int add_wall(scmp_filter_ctx ctx, const struct orders *o)
{
    int rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(pidfd_send_signal), 0);

    if (rc == 0)
        rc = refuse_hidden_owners(ctx);
    for (size_t i = 0; rc == 0 && i < o->protect.n; i++) {
        int32_t pid = (int32_t)o->protect.items[i];

        for (int32_t sign = 1; rc == 0 && sign >= -1; sign -= 2) { /* if it leads a process group */
            rc = refuse_pid(ctx, sign * pid);
            if (rc == 0)
                rc = refuse_owner(ctx, sign * pid);
        }
    }
    return rc;
}

/* ---- the supervisor's calls ---- */

/* One row; a call that this architecture does not have is no failure. */
static int add_row(scmp_filter_ctx ctx, const struct record_row *row)
{
    int nr = seccomp_syscall_resolve_name(row->name);

    if (nr == __NR_SCMP_ERROR)
        return 0;
    if (row->when.other)
        return seccomp_rule_add(ctx, SCMP_ACT_NOTIFY, nr, 1, SCMP_CMP(row->when.arg, SCMP_CMP_NE, row->when.value));
    if (!row->when.mask)
        return seccomp_rule_add(ctx, SCMP_ACT_NOTIFY, nr, 0);
    return seccomp_rule_add(
        ctx, SCMP_ACT_NOTIFY, nr, 1,
        SCMP_CMP(row->when.arg, SCMP_CMP_MASKED_EQ, (uint64_t)row->when.mask, (uint64_t)row->when.value));
}

static int add_record(scmp_filter_ctx ctx, const struct orders *o)
{
    size_t n;
    const struct record_row *rows = record_rows(&n);
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < n; i++)
        if (record_applies(&rows[i], o)) {
            rc = add_row(ctx, &rows[i]);
            rc = rc == -EEXIST ? 0 : rc;
        }
    return rc;
}

/* Calls that this libseccomp has no name for and that would go past the supervisor; they have the same number
 * everywhere, and all programs do without: fchmodat2, setxattrat, listxattrat, removexattrat. */
static const uint32_t unnamed[] = { 452, 463, 465, 466 };
#define N_UNNAMED (sizeof(unnamed) / sizeof(unnamed[0]))

/* They are refused at the program's beginning. */
static void refuse_unnamed(struct buf *program)
{
    const struct sock_filter load = BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    const struct sock_filter refuse = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS);

    buf_add(program, &load, sizeof(load));
    for (size_t i = 0; i < N_UNNAMED; i++) {
        const struct sock_filter is = BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, unnamed[i], 0, 1);

        buf_add(program, &is, sizeof(is));
        buf_add(program, &refuse, sizeof(refuse));
    }
}

/* ---- all of it ---- */

uint32_t filter_arch_32(void)
{
    switch (seccomp_arch_native()) {
    case SCMP_ARCH_X86_64:
        return SCMP_ARCH_X86;
    case SCMP_ARCH_AARCH64:
        return SCMP_ARCH_ARM;
    default:
        return 0;
    }
}

/* 32-bit programs of a 64-bit image; their absence in libseccomp is no failure. Any other way of calling, x32 above
 * all, does not exist. */
static void add_architectures(scmp_filter_ctx ctx)
{
    if (filter_arch_32())
        (void)seccomp_arch_add(ctx, filter_arch_32());
    (void)seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
}

static int prepare_filter(scmp_filter_ctx ctx)
{
    add_architectures(ctx);
    return seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a tree instead of a list */
}

static int add_wall_rules(scmp_filter_ctx ctx, const struct orders *o)
{
    int rc = prepare_filter(ctx);

    if (rc == 0)
        rc = add_list(ctx, SCMP_ACT_ERRNO(0), without_wait, sizeof(without_wait) / sizeof(without_wait[0]));
    if (rc == 0)
        rc = add_list(ctx, SCMP_ACT_ERRNO(EPERM), refused, sizeof(refused) / sizeof(refused[0]));
    if (rc == 0)
        rc = add_argument_rules(ctx);
    if (rc == 0 && !filter_is_common(o))
        rc = add_wall(ctx, o);
    return rc;
}

static int add_record_rules(scmp_filter_ctx ctx, const struct orders *o)
{
    int rc = prepare_filter(ctx);

    return rc == 0 ? add_record(ctx, o) : rc;
}

/* The program of these rules, behind what is in *program. */
static struct err *make_program(int (*add_rules)(scmp_filter_ctx ctx, const struct orders *o), const struct orders *o,
                                struct buf *program)
{
    AUTO_CLOSE int fd = memfd_create("filter", MFD_CLOEXEC);
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
    int rc = !ctx ? -ENOMEM : fd < 0 ? -errno : add_rules(ctx, o);

    if (rc == 0)
        rc = seccomp_export_bpf(ctx, fd);
    seccomp_release(ctx);
    if (rc < 0 || lseek(fd, 0, SEEK_SET) < 0)
        return err_sys(rc < 0 ? -rc : errno, "cannot make the filter of system calls");
    return file_read_fd(fd, "filter", BPF_MAXINSNS * sizeof(struct sock_filter), program);
}

bool filter_is_common(const struct orders *o)
{
    return o->fresh_proc || o->scoped;
}

struct err *filter_make(const struct orders *o, struct buf *wall, struct buf *supervised)
{
    struct err *e = make_program(add_wall_rules, o, wall);

    if (!e && o->record) {
        refuse_unnamed(supervised);
        e = make_program(add_record_rules, o, supervised);
    }
    return err_set_kind(e, ERR_POD);
}

/* ---- loading ---- */

/* `flags`: beside the one that every container runtime gives: before Linux 5.16 a filter else slows down all of the
 * program's memory. -1: refused. */
static int load(const struct order_filter *f, unsigned long flags)
{
    const struct sock_fprog program = { (unsigned short)(f->len / sizeof(struct sock_filter)),
                                        (struct sock_filter *)(void *)f->data };

    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags | SECCOMP_FILTER_FLAG_SPEC_ALLOW, &program);
}

static struct err *load_refused(void)
{
    return err_sys(errno, "cannot load the filter of system calls");
}

static struct err *load_with_listener(const struct order_filter *f, int recorder_fd)
{
    AUTO_CLOSE int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (root < 0)
        return err_sys(errno, "cannot open the root directory");
    /* a call that the supervisor has begun is not interrupted, so that nothing is done twice (Linux 5.19) */
    AUTO_CLOSE int listener = load(f, SECCOMP_FILTER_FLAG_NEW_LISTENER | FILTER_FLAG_WAIT_KILLABLE);
    if (listener < 0 && errno == EINVAL)
        listener = load(f, SECCOMP_FILTER_FLAG_NEW_LISTENER);
    if (listener < 0)
        return load_refused();
    return record_attach(recorder_fd, listener, root);
}

/* Two filters, of which the stricter answer counts: what the wall refuses the supervisor cannot allow. */
static struct err *load_both(const struct orders *o, const struct order_filter *wall,
                             const struct order_filter *supervised, int recorder_fd)
{
    if (load(wall, 0) < 0)
        return load_refused();
    return o->record ? load_with_listener(supervised, recorder_fd) : NULL;
}

struct err *filter_load(const struct orders *o, int recorder_fd)
{
    AUTO(buf_release) struct buf wall = BUF_INIT;
    AUTO(buf_release) struct buf supervised = BUF_INIT;

    if (o->wall.len)
        return err_set_kind(load_both(o, &o->wall, &o->supervised, recorder_fd), ERR_POD);
    TRY(filter_make(o, &wall, &supervised));
    const struct order_filter made[] = { { wall.data, wall.len }, { supervised.data, supervised.len } };
    return err_set_kind(load_both(o, &made[0], &made[1], recorder_fd), ERR_POD);
}
