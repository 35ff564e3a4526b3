/* sandbox.h - what this pod allows us: user namespaces, id maps, mounts; and running a command inside an image's root.
 *
 * main calls sandbox_enter() first, before any thread exists: it picks the best rung (a row of the table: probe,
 * enter), makes the user and mount namespace, and runs `build` in a child there, while the parent forwards signals,
 * keeps the deadline and reaps. Inside the child, sandbox_run() runs one command (RUN) in namespaces of its own through
 * a fresh
 * `/proc/self/exe` (see sandbox_inner_main). Sources: user_namespaces(7), seccomp(2), pivot_root(2). */
#ifndef SANDBOX_SANDBOX_H
#define SANDBOX_SANDBOX_H

#include "base/cancel.h"
#include "base/strs.h"
#include "sys/owner.h"
#include "sys/user.h"

#include <stdbool.h>
#include <stdint.h>

struct sandbox_opts {
    const char
        *rung; /* "auto", or the name of one (COPYUP_SANDBOX; sandbox_survey() lists them); impossible: ERR_POD */
    int64_t deadline_ms; /* CLOCK_MONOTONIC milliseconds; INT64_MAX = none */
};

/* What the child is told; borrowed for its lifetime. */
struct sandbox {
    const char *rung;       /* "full", "helper", "privileged", "single", "none" */
    const char *describe;   /* one line for the log: which rung and why not a better one */
    enum owner_mode owners; /* OWNER_REAL with a full range, else OWNER_RECORDED */
    uint32_t n_ids;         /* ids 0..n_ids-1 are mapped */
    bool fresh_proc;        /* a RUN gets its own pid namespace and /proc */
    bool scoped;            /* the kernel keeps the signals of a RUN apart: a Landlock domain each */
    bool can_run;           /* false on rung "none": sandbox_no_run() says why */
    const struct err *refusal;
    struct cancel *cancel; /* raised by TERM/INT (forwarded by the parent) and by the deadline */
    struct oom_book *oom;  /* who was killed for memory; shared by all RUNs */
};

/* What each rung needs and why this pod does not give it, best first: for a report. */
struct sandbox_trial {
    const char *name, *what; /* static */
    struct err *refusal;     /* NULL: it works */
    enum owner_mode owners;
    bool can_run, fresh_proc, scoped; /* as in struct sandbox */
    uint32_t n_ids;
};
/* Tries all of them, as sandbox_enter() does until one works; ends and leaves nothing behind. */
void sandbox_survey(struct sandbox_trial **ret_trials, size_t *ret_n);
void sandbox_trials_free(struct sandbox_trial *trials, size_t n);

/* Runs build(sb, ctx) in the namespaces; its error travels back as the return value here. The parent never prints. At
 * the end nothing that the build started is alive. On TERM or INT, or at the deadline, the child's cancel is raised; a
 * child that does not come back within a grace time (8 s) is killed. The last rung always works, but runs no
 * command. */
MUST_USE struct err *sandbox_enter(const struct sandbox_opts *opts,
                                   struct err *(*build)(const struct sandbox *sb, void *ctx), void *ctx);

/* On rung "none", where nothing can be mounted and no command be run: the ERR_POD that says why, and which line of pod
 * YAML would change it. */
struct err *sandbox_no_run(const struct sandbox *sb);

/* From now on commands of other machines run in qemu's user emulators (static ones, qemu-ARCH-static or qemu-ARCH in
 * `dir`), for this build alone, as long as *ret_fd is open. *ret_archs: for which, as images name them (the caller
 * frees). ERR_POD: the kernel has one binfmt_misc for the whole node (before Linux 6.7); ERR_SETTING: no emulator
 * there, or one that cannot be used. What the node has registered counts no more. */
MUST_USE struct err *sandbox_emulate(const char *dir, char **ret_archs, int *ret_fd);

enum run_network { RUN_NETWORK_DEFAULT, RUN_NETWORK_NONE };

enum run_mount_kind {
    RUN_MOUNT_BIND,  /* of source */
    RUN_MOUNT_TMPFS, /* a fresh one */
    RUN_MOUNT_FILE   /* a file of `data`, in memory only */
};

/* A mount into the root of a RUN: made as a mount point inside, gone afterwards. Those with fewer path components come
 * first. */
struct run_mount { /* all borrowed */
    enum run_mount_kind kind;
    const char *source; /* path as the builder sees it, without symlinks */
    const char *target; /* inside the root */
    bool readonly;
    uint64_t tmpfs_bytes; /* size limit of a tmpfs; 0 = the kernel's own */
    const void *data;     /* of a file */
    size_t len;
    uint32_t mode, uid, gid; /* of a file */
};

struct run_spec {
    const char *root;         /* writable root directory (a mounted snapshot) */
    struct strs argv, env;    /* the whole environment of the command */
    const char *hostname;     /* NULL: the usual one */
    const struct strs *hosts; /* lines of /etc/hosts before all others, or NULL */
    const char *cwd;          /* inside the root; made 0755 if missing */
    struct user_ids user;     /* borrowed */
    const void *stdin_data;   /* a here-document script, or NULL: /dev/null */
    size_t stdin_len;
    enum run_network network;
    const struct run_mount *mounts;
    size_t n_mounts;
    /* The command's stdout and stderr, together, as they come; called from the thread that called sandbox_run. */
    void (*output)(void *ctx, const char *p, size_t n);
    void *ctx;
};

/* It failed, and the kernel killed a process of the container for memory while it ran (often a child of the shell). */
enum run_oom {
    RUN_OOM_NO,
    RUN_OOM_MAYBE, /* of one of several RUNs; nothing says that it was this one's */
    RUN_OOM_YES    /* no other ran, or one of its processes is known to have been killed */
};

struct run_result {
    int exit_code; /* 0..255; 128+N if killed by signal N */
    int signal;    /* 0, or what killed it */
    enum run_oom oom;
    uint64_t peak_bytes; /* peak resident size of the largest process of the step, 0 if unknown */
};

/* Runs a command and waits for it; what it started and left running is killed. A non-zero exit is a result, not an
 * error; a program that is not there or not executable is ERR_COMMAND with exit code 127 or 126, as a shell says it.
 * Raising sb->cancel ends it (TERM, then KILL after 2 s) and gives cancel_check()'s error. What was mounted or made for
 * the run's sake (/dev, /proc, resolv.conf, mount points that did not exist) is gone from the root afterwards. May be
 * called from several threads, for different roots. */
MUST_USE struct err *sandbox_run(const struct sandbox *sb, const struct run_spec *spec, struct run_result *ret_result);

/* The entry point of the internal sub-command: main() calls it when argv[1] is SANDBOX_INNER_COMMAND. Does not return.
 */
#define SANDBOX_INNER_COMMAND "__run"
_Noreturn void sandbox_inner_main(int argc, char **argv);

#endif
