/* record_priv.h - the supervisor of a RUN: a process beside it that answers the system calls by which a command would
 * notice that all its users are one. Where one id is mapped the kernel knows no other: chown, mknod and set*id fail,
 * and all files belong to root. The RUN's filter (filter.c) hands such calls over (seccomp_unotify(2)); the supervisor
 * keeps who each process pretends to be (cred_priv.h), checks the call as the kernel would, records the owner at the
 * file (sys/owner.h), and answers; or lets the kernel do the call.
 *
 * What is safe: the arguments that a decision is made of are read once, and either the supervisor acts on what it read,
 * or the kernel is left to do the call where its own check is enough. Paths are resolved by the kernel below the
 * caller's own root directory, never through a link of /proc that is the supervisor's; files of /proc, /sys and the
 * like are never opened for the caller. What it is not: a wall. All processes of a RUN are one user to the kernel, and
 * what it lets one of them do is all that any can do; docs/security.md.
 *
 * One process per RUN, one thread; it knows no file outside the RUN's root and dies with the RUN. */
#ifndef SANDBOX_RECORD_PRIV_H
#define SANDBOX_RECORD_PRIV_H

#include "base/limits.h"
#include "base/vec.h"
#include "sandbox/cred_priv.h"
#include "sandbox/orders_priv.h"
#include "sys/owner.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* ---- for the inner process (record.c) ---- */

/* Starts the supervisor as a child of the calling, single-threaded process. *ret_fd: the socket that the command's
 * record_attach() needs. proc_fd: an open /proc of our own pid namespace. */
MUST_USE struct err *record_start(const struct orders *o, int proc_fd, int *ret_fd, pid_t *ret_pid);
/* In the command's process, at the end: gives the supervisor the filter's listener and the command's root directory,
 * and waits until it is ready. Makes no call that is supervised. */
MUST_USE struct err *record_attach(int socket_fd, int listener_fd, int root_fd);
/* In the command's process, before the filter: makes room for the marks by which the supervisor knows a process. */
MUST_USE struct err *record_prepare(void);

/* ---- the table of calls (record_table.c) ---- */

struct recorder;
struct call;

/* What to answer. */
struct answer {
    enum { ANSWER_KERNEL, ANSWER_VALUE, ANSWER_SENT } kind; /* the kernel does it; this is it; it was sent already */
    int64_t value;                                          /* negative: an errno */
};
typedef struct answer (*record_fn)(struct call *c);

#define NO_ARG     (-1)
#define AT_DEVICES (1U << RECORD_DEVICES)
#define AT_ROOT    (1U << RECORD_ROOT)
#define AT_USER    (1U << RECORD_USER)
#define AT_BOTH    (AT_ROOT | AT_USER)
#define AT_ALL     (AT_DEVICES | AT_BOTH)
/* only where the RUN shares the numbers of processes with others; and only where the kernel does not scope its signals
 */
#define IF_SHARED   (1U << 30)
#define IF_UNSCOPED (1U << 31)

/* One supervised system call. The numbers are those of its arguments. */
struct record_row {
    const char *name; /* as libseccomp has it */
    record_fn fn;
    int dir, path, flags; /* of the file it is about: descriptor, path, AT_* flags; NO_ARG = it has none */
    int rest;             /* the first one after those */
    uint32_t fixed;       /* AT_* flags of a call without that argument; what fn wants to know */
    uint32_t levels;      /* AT_*, IF_*: of which RUNs */
    bool ids16;           /* ids of 32-bit callers have 16 bits */
    /* handed over only if (argument & mask) == value; mask 0: always; `other`: only if the argument is not value */
    struct {
        uint8_t arg;
        uint32_t mask, value;
        bool other;
    } when;
};
#define NULL_PATH 0x08000000U /* in `fixed`: a null pointer stands for the descriptor itself */
const struct record_row *record_rows(size_t *ret_n);
/* Is the row one of this RUN's? */
bool record_applies(const struct record_row *row, const struct orders *o);

/* ---- one call ---- */

enum record_abi { ABI_NATIVE, ABI_32 };

struct call {
    struct recorder *r;
    uint64_t id; /* of the notification */
    pid_t tid;
    enum record_abi abi;
    const struct record_row *row;
    const uint64_t *arg; /* six */
    const struct cred *cred;
    uint32_t mark;               /* of cred */
    char path[LIMIT_PATH_BYTES]; /* what record_read_path() read; last, as it is not cleared for each call */
};

static inline struct answer by_kernel(void)
{
    return (struct answer){ ANSWER_KERNEL, 0 };
}
static inline struct answer with_value(int64_t v)
{
    return (struct answer){ ANSWER_VALUE, v };
}
/* For what a helper of ours gave: 0, or a negative errno. */
static inline int arg_int(const struct call *c, int i)
{
    return (int)(uint32_t)c->arg[i];
}
static inline bool has_narrow_ids(const struct call *c)
{
    return c->row->ids16 && c->abi == ABI_32;
}
/* An id; 16-bit ones of old calls become ours. */
static inline uint32_t arg_id(const struct call *c, int i)
{
    uint32_t id = (uint32_t)c->arg[i];

    if (!has_narrow_ids(c))
        return id;
    id &= 0xffff;
    return id == 0xffff ? CRED_NO_ID : id;
}
/* Does the caller rule over all files, and make them as root? Then only few things need us. */
bool record_is_plain_root(const struct call *c);
/* Is it, in all that can be asked for, what the kernel takes it for? */
static inline bool record_is_kernels_root(const struct call *c)
{
    return c->mark == 0 && c->cred->uid.real == 0 && c->cred->gid.real == 0;
}

/* ---- the caller's memory and marks (record_task.c) ---- */

/* All: 0, or a negative errno. */
int task_read(const struct call *c, uint64_t address, void *out, size_t n);
int task_read_string(const struct call *c, uint64_t address, char *out, size_t size);
int task_write(const struct call *c, uint64_t address, const void *data, size_t n);
/* The caller's open file `number`, as a descriptor of ours: -EBADF if it has none. */
int task_get_fd(const struct call *c, int number);
/* Is it still the process that asked? To be asked after something of it was opened, before anything is changed. */
bool task_is_waiting(const struct call *c);
mode_t task_umask(const struct call *c);
/* A number of the caller's as it sees it; `name`: "\nNSpid:", "\nNStgid:", "\nNSpgid:". 0: unknown. */
long task_own_number(const struct call *c, const char *name);
/* A short file of a /proc, with a NUL at its end. */
bool task_read_text(int proc_fd, const char *path, char *out, size_t size);
/* Who the kernel takes it for, where that is the truth. */
bool task_real_cred(const struct call *c, struct cred *ret);
/* The same of any process in a /proc: ids and effective capabilities only. */
bool task_real_cred_of(int proc_fd, pid_t pid, struct cred *ret);
/* Tells one program in a process from the next (execve). */
uint64_t task_program(const struct recorder *r, pid_t tid);
/* The marks. A mark is a number that the kernel hands down over fork, clone and execve; 0 is "as the RUN began". */
uint32_t task_mark(const struct recorder *r, pid_t tid);
/* The same of a process or thread by its number in the RUN's /proc. False: there is none. */
bool task_mark_in(const struct recorder *r, int proc_fd, pid_t pid, uint32_t *ret);
int task_set_mark(const struct recorder *r, pid_t tid, uint32_t mark);
/* The credentials behind a mark, and a mark for credentials (-EAGAIN: too many different ones). */
const struct cred *record_cred(const struct recorder *r, uint32_t mark);
int record_intern(struct recorder *r, const struct cred *c, uint32_t *ret_mark);
/* The caller is now `c`; takes it. 0 or a negative errno. */
int record_become(struct call *call, struct cred *c);

/* ---- files (record_path.c, record_file.c) ---- */

/* A file of the caller's, and what a look at it told. */
struct target {
    int fd; /* most often O_PATH */
    struct stat st;
    struct owner owner;
    bool recorded; /* owner comes from a record */
    bool plain;    /* it has neither a record nor file capabilities */
    bool foreign;  /* of /proc, /sys, a pipe...: its owner is what the kernel says */
};
static inline void target_close_auto(struct target *t)
{
    close_fd(&t->fd);
}
#define AUTO_TARGET __attribute__((cleanup(target_close_auto)))

/* No error: what is asked leads through /proc, and is the kernel's to answer. So is what cannot be found: the kernel
 * says why, and some paths below /proc are there for the caller only. */
#define LEAVE_IT 1
static inline struct answer not_found(int rc)
{
    return rc == -EACCES || rc == -EPERM ? (struct answer){ ANSWER_VALUE, rc } : (struct answer){ ANSWER_KERNEL, 0 };
}

/* Makes the caller's root directory ours. Few callers have another one than the RUN's: those behind a chroot(2). */
int record_enter_root(struct call *c);
/* Reads the row's path into c->path; "" for a call without one, or with a null pointer. */
int record_read_path(struct call *c);
/* The row's descriptor (AT_FDCWD if it has none), and its flags. */
int record_dir_of(const struct call *c);
int record_flags_of(const struct call *c);
/* A path of the caller's as one of ours, relative to our working directory, which is /proc: the first `len` bytes of
 * `path` from its descriptor `dir`, and `last` after them. It is not resolved with all care, and for looks only. */
struct own_path {
    char text[LIMIT_PATH_BYTES + 64];
};
void record_own_path(const struct call *c, int dir, const char *path, size_t len, const char *last,
                     struct own_path *ret);
/* Opens what the row names, after record_read_path(): 0, LEAVE_IT or a negative errno. `resolve`: of openat2(2). */
int target_open(struct call *c, bool follow, uint64_t resolve, struct target *t);
/* The same for a path in any argument, with its descriptor. */
int target_open_at(struct call *c, int dir, const char *path, bool follow, uint64_t resolve, struct target *t);
/* What a descriptor of the caller stands for. */
int target_of_fd(struct call *c, int fd, struct target *t);
/* Fills in all but fd, which it takes; closes it on an error. */
int target_look(struct call *c, int fd, struct target *t);

/* The place of a name in a directory. */
struct place {
    struct target dir;
    int from; /* the caller's descriptor that its path started from; ignored if absolute */
    bool absolute;
    char name[NAME_MAX + 1];
};
static inline void place_close_auto(struct place *p)
{
    close_fd(&p->dir.fd);
}
#define AUTO_PLACE __attribute__((cleanup(place_close_auto)))
/* LEAVE_IT also where the last component is no name ("", ".", ".."). Slashes at the end are passed over. */
int place_open(struct call *c, int dir, const char *path, uint64_t resolve, struct place *p);
/* May the caller search the directories on the way to the place's (inclusive)? Those that only a symlink on the way
 * leads through are not looked at. */
bool place_reachable(struct call *c, const struct place *p);
void record_forget_dirs(struct recorder *r);
void record_files_init(struct recorder *r);

struct cred_file target_file(const struct target *t);
/* Gives it a record, if it needs one. 0 or a negative errno. */
int target_give(struct call *c, struct target *t, const struct owner *o);
/* Opens a file that was found by O_PATH. A descriptor or a negative errno. */
int target_reopen(const struct target *t, int flags);

/* Who owns what the caller makes in dir. */
struct owner record_new_owner(const struct call *c, const struct target *dir);
/* After a name was made in `dir`: records the owner. 0 or a negative errno. */
int record_made(struct call *c, const struct place *p, const struct owner *o);

/* Has a file an owner that is kept in our memory only? */
bool record_has_foreign(const struct recorder *r);

/* ---- records at files (record_xattr.c) ---- */

/* What the names of a file's attributes tell. */
enum glance {
    GLANCE_ABSENT, /* it cannot be reached */
    GLANCE_PLAIN,  /* it has no record, nor file capabilities */
    GLANCE_MARKED, /* it may have some */
};
enum glance record_glance_fd(int fd);
/* Of what the row and c->path name. The path is not resolved with all care: a wrong answer here costs time, or an owner
 * of a file that is reached through /proc. */
enum glance record_glance(const struct call *c, bool follow);

/* ---- paths that are known to lead to files without a record (record_known.c) ---- */

/* `shared`: the RUN sees directories that others may change at the same time: nothing is known then. */
void record_known_init(struct recorder *r, bool shared);
/* c->path, an absolute one, was looked at before, and nothing has changed since. */
bool record_known_plain(const struct call *c, bool follow);
/* It was looked at now: GLANCE_PLAIN. */
void record_known_add(const struct call *c, bool follow);
/* A file was given a record. */
void record_known_forget(struct recorder *r);
/* The call gives a name to a file that is there, or makes a symlink, now or once the kernel is left to do it. */
void record_known_change(struct call *c);

/* False: no record. Of an open file; O_PATH will do, as below. */
bool record_read(int fd, mode_t mode, struct owner *ret);
/* 0 or a negative errno. */
int record_write(int fd, mode_t mode, const struct owner *o);
/* "self/fd/N" for calls that take a path: relative to our working directory, which is /proc. */
struct path_fd record_fd_path(int fd);

/* ---- the supervisor ---- */

#define MARKS_MAX           4000
#define PIDFDS_KEPT         16
#define RECORD_DEVICE_COUNT 5

/* Work that waits for the end of the caller's call (record_pending.c): done before its next one is answered. */
struct pending {
    pid_t tid;
    enum { PENDING_PROGRAM, PENDING_SOCKET } kind;
    uint32_t mark;    /* program: what it was before; socket: who made it */
    uint64_t program; /* that began the call */
    int dir_fd;       /* socket: where */
    char name[NAME_MAX + 1];
};

struct recorder {
    enum record_level level;
    int proc_fd, listener_fd, root_fd;
    bool fresh_proc; /* the RUN has a pid namespace of its own */
    bool scoped;     /* the kernel keeps its signals apart */
    struct {
        bool known;
        dev_t dev;
        ino_t ino;
    } namespace;      /* of users: the RUN's, where it has one of its own */
    bool elsewhere;   /* our root directory is not the RUN's for now */
    bool all_initial; /* no process has a mark yet */
    bool no_pidfds;   /* the pod refuses pidfd_getfd(2) */
    struct {
        pid_t tid;
        int fd;
    } pidfds[PIDFDS_KEPT]; /* of the latest callers, by number */
    VEC(struct cred) creds;
    VEC(struct pending) pending;
    struct record_fs *fs; /* file systems seen */
    struct record_dirs *dirs;
    struct record_known *known;
    int device_fds[RECORD_DEVICE_COUNT]; /* O_PATH, -1: not there */
};

#endif
