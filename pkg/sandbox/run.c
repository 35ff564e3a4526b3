/* The builder's half of a RUN: starts the inner process, passes its output on, stops it when told to, cleans up after
 * it. */
#include "sandbox/sandbox.h"

#include "base/limits.h"
#include "sandbox/confine_priv.h"
#include "sandbox/oom_priv.h"
#include "sandbox/orders_priv.h"
#include "sys/file.h"
#include "sys/path.h"
#include "sys/proc.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define OUTPUT_CHUNK   65536
#define BACKSTOP_MS    15000 /* the inner process kills after 2 s and waits 10 s; after this it is killed itself */
#define FIRST_SPARE_FD 10    /* above every number that the inner process gives a meaning */

struct made {
    uint64_t dev, ino;
    char *path;
};

struct run {
    const struct run_spec *spec;
    const struct cancel *cancel;
    pid_t pid;
    int output_fd, report_fd; /* -1 once at their end */
    int64_t kill_at;
    bool stopping;
    VEC(struct made) made;
    bool has_result;
    int status; /* once it ended */
    struct report_result result;
    struct err *error; /* the first that the inner process reported */
};

/* ---- orders ---- */

static enum record_level record_level(const struct sandbox *sb, const struct run_spec *spec)
{
    if (sb->owners == OWNER_REAL)
        return RECORD_DEVICES;
    return spec->user.uid == 0 ? RECORD_ROOT : RECORD_USER;
}

/* Strings are borrowed, the lists of numbers and mounts are ours. */
static void fill_orders(const struct sandbox *sb, const struct run_spec *spec, struct orders *o)
{
    *o = (struct orders){
        .root = (char *)spec->root, /* not changed: only encoded */
        .cwd = (char *)(spec->cwd && spec->cwd[0] ? spec->cwd : "/"),
        .hostname = (char *)(spec->hostname ? spec->hostname : ""),
        .argv = spec->argv,
        .env = spec->env,
        .hosts = spec->hosts ? *spec->hosts : (struct strs){ 0 },
        .uid = spec->user.uid,
        .gid = spec->user.gid,
        .fresh_proc = sb->fresh_proc,
        .scoped = sb->scoped,
        .no_network = spec->network == RUN_NETWORK_NONE,
        .n_ids = sb->n_ids,
        .record = record_level(sb, spec),
    };
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

/* In the kernel's order. The primary group is one of the supplementary ones, as in BuildKit: a process that changes its
 * group keeps what it could read. */
static void fill_groups(const struct user_ids *user, struct orders *o)
{
    vec_push(&o->groups, user->gid);
    for (size_t i = 0; i < user->n_groups; i++)
        if (user->groups[i] != user->gid)
            vec_push(&o->groups, user->groups[i]);
    qsort(o->groups.items, o->groups.n, sizeof(*o->groups.items), by_number);
}

static void fill_lists(const struct run_spec *spec, struct orders *o)
{
    const uint32_t protect[] = { (uint32_t)getpid(), (uint32_t)getppid(), (uint32_t)getpgrp() };

    fill_groups(&spec->user, o);
    for (size_t i = 0; i < sizeof(protect) / sizeof(protect[0]); i++)
        vec_push(&o->protect, protect[i]);
}

static void fill_mounts(const struct run_spec *spec, struct orders *o)
{
    for (size_t i = 0; i < spec->n_mounts; i++) {
        const struct run_mount *m = &spec->mounts[i];
        const struct order_mount om = { .kind = m->kind,
                                        .source = (char *)(m->source ? m->source : ""),
                                        .target = (char *)m->target,
                                        .tmpfs_bytes = m->tmpfs_bytes,
                                        .readonly = m->readonly,
                                        .data = (char *)m->data,
                                        .len = m->len,
                                        .mode = m->mode,
                                        .uid = m->uid,
                                        .gid = m->gid };

        vec_push(&o->mounts, om);
    }
}

static struct err *encode_orders(const struct sandbox *sb, const struct run_spec *spec, struct buf *out)
{
    struct orders o;

    fill_orders(sb, spec, &o);
    fill_lists(spec, &o);
    fill_mounts(spec, &o);
    struct err *e = filter_give(&o);
    if (!e)
        orders_encode(&o, out);
    vec_free(&o.groups);
    vec_free(&o.mounts);
    vec_free(&o.protect);
    TRY(e);
    if (out->len > LIMIT_RUN_ORDERS_BYTES)
        return err_new(ERR_DOCKERFILE, "arguments and environment of a RUN are %zu bytes, more than %d", out->len,
                       LIMIT_RUN_ORDERS_BYTES);
    return NULL;
}

/* An unnamed file in memory that reads from its start. */
static struct err *memory_file(const char *name, const void *data, size_t len, int *ret_fd)
{
    AUTO_CLOSE int fd = memfd_create(name, MFD_CLOEXEC);

    if (fd < 0)
        return err_sys(errno, "cannot make a file in memory");
    TRY(file_write_all(fd, data, len));
    if (lseek(fd, 0, SEEK_SET) < 0)
        return err_sys(errno, "cannot rewind a file in memory");
    *ret_fd = steal_fd(&fd);
    return NULL;
}

static struct err *open_stdin(const struct run_spec *spec, int *ret_fd)
{
    if (spec->stdin_data)
        return memory_file("script", spec->stdin_data, spec->stdin_len, ret_fd);
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_sys(errno, "cannot open '/dev/null'");
    *ret_fd = fd;
    return NULL;
}

/* ---- start ---- */

/* Moves a descriptor out of the way of the fixed numbers: dup2 in the child must not close what it needs next. */
static struct err *move_up(int *fd)
{
    int up = fcntl(*fd, F_DUPFD_CLOEXEC, FIRST_SPARE_FD);

    if (up < 0)
        return err_sys(errno, "cannot duplicate a descriptor");
    close(*fd);
    *fd = up;
    return NULL;
}

static int prepare_spawn(posix_spawn_file_actions_t *actions, posix_spawnattr_t *attr, const int fds[4])
{
    static const int numbers[][2] = { { 0, 0 }, { 1, 1 }, { 1, 2 }, { 2, ORDERS_FD }, { 3, REPORT_FD } };
    sigset_t none, all;
    int rc = 0;

    sigemptyset(&none);
    sigfillset(&all);
    for (size_t i = 0; rc == 0 && i < sizeof(numbers) / sizeof(numbers[0]); i++)
        rc = posix_spawn_file_actions_adddup2(actions, fds[numbers[i][0]], numbers[i][1]);
    if (rc == 0)
        rc = posix_spawnattr_setsigmask(attr, &none);
    if (rc == 0)
        rc = posix_spawnattr_setsigdefault(attr, &all);
    if (rc == 0)
        rc = posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
    return rc;
}

/* fds: input, output, orders, report. posix_spawn: the builder has threads. */
static struct err *spawn_inner(const int fds[4], pid_t *ret_pid)
{
    char *argv[] = { (char *)"copyup", (char *)SANDBOX_INNER_COMMAND, NULL };
    char *env[] = { NULL };
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    int rc = posix_spawn_file_actions_init(&actions);

    if (rc != 0)
        return err_sys(rc, "cannot prepare to start a process");
    rc = posix_spawnattr_init(&attr);
    if (rc == 0) {
        rc = prepare_spawn(&actions, &attr, fds);
        if (rc == 0)
            rc = posix_spawn(ret_pid, "/proc/self/exe", &actions, &attr, argv, env);
        posix_spawnattr_destroy(&attr);
    }
    posix_spawn_file_actions_destroy(&actions);
    return rc ? err_sys(rc, "cannot start the process of a RUN") : NULL;
}

static struct err *start_with(struct run *r, int in_fd, int orders_fd)
{
    int output[2], report[2];

    if (pipe2(output, O_CLOEXEC) < 0)
        return err_sys(errno, "cannot make a pipe");
    r->output_fd = output[0];
    AUTO_CLOSE int output_end = output[1];
    if (pipe2(report, O_CLOEXEC) < 0)
        return err_sys(errno, "cannot make a pipe");
    r->report_fd = report[0];
    AUTO_CLOSE int report_end = report[1];
    if (fcntl(r->output_fd, F_SETFL, O_NONBLOCK) < 0)
        return err_sys(errno, "cannot prepare a pipe");
    TRY(move_up(&output_end));
    TRY(move_up(&report_end));
    const int fds[4] = { in_fd, output_end, orders_fd, report_end };
    return spawn_inner(fds, &r->pid);
}

static struct err *start(struct run *r, const struct sandbox *sb)
{
    AUTO(buf_release) struct buf orders = BUF_INIT;
    AUTO_CLOSE int in_fd = -1;
    AUTO_CLOSE int orders_fd = -1;

    struct err *e = encode_orders(sb, r->spec, &orders);
    if (!e)
        e = memory_file("orders", orders.data, orders.len, &orders_fd);
    if (orders.data) /* there may be secrets in it */
        explicit_bzero(orders.data, orders.len);
    TRY(e);
    TRY(open_stdin(r->spec, &in_fd));
    TRY(move_up(&orders_fd));
    TRY(move_up(&in_fd));
    return start_with(r, in_fd, orders_fd);
}

/* ---- while it runs ---- */

/* Passes on what is there; false at the end. */
static bool pass_output(struct run *r)
{
    char chunk[OUTPUT_CHUNK];
    ssize_t n = read(r->output_fd, chunk, sizeof(chunk));

    if (n < 0)
        return errno == EINTR || errno == EAGAIN;
    if (n > 0 && r->spec->output)
        r->spec->output(r->spec->ctx, chunk, (size_t)n);
    return n > 0;
}

static bool read_record(int fd, void *p, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = read(fd, (char *)p + done, len - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    return true;
}

static bool take_made(struct run *r)
{
    struct report_made record;

    if (!read_record(r->report_fd, &record, sizeof(record)) || record.path_len > LIMIT_PATH_BYTES)
        return false;
    struct made m = { record.dev, record.ino, xcalloc(1, record.path_len + 1) };
    if (!read_record(r->report_fd, m.path, record.path_len)) {
        free(m.path);
        return false;
    }
    vec_push(&r->made, m);
    return true;
}

static bool take_error(struct run *r)
{
    struct err *reported = NULL, *unreadable = err_read(r->report_fd, &reported);

    if (r->error)
        err_free(reported);
    else
        r->error = reported;
    err_free(unreadable);
    return !unreadable;
}

/* One record; false at the end. */
static bool take_report(struct run *r)
{
    char tag;

    if (!read_record(r->report_fd, &tag, 1))
        return false;
    switch (tag) {
    case REPORT_ERROR:
        return take_error(r);
    case REPORT_MADE:
        return take_made(r);
    case REPORT_RESULT:
        r->has_result = read_record(r->report_fd, &r->result, sizeof(r->result));
        return r->has_result;
    default:
        return false;
    }
}

static void stop(struct run *r)
{
    r->stopping = true;
    r->kill_at = proc_now_ms() + BACKSTOP_MS;
    kill(r->pid, SIGTERM);
}

/* The report's end is the step's end: no command holds it, only the inner process and the step's init. */
static void watch(struct run *r)
{
    while (r->report_fd >= 0) {
        struct pollfd fds[] = { { r->output_fd, POLLIN, 0 },
                                { r->report_fd, POLLIN, 0 },
                                { r->stopping ? -1 : cancel_fd(r->cancel), POLLIN, 0 } };
        int64_t left = r->kill_at == INT64_MAX ? -1 : r->kill_at - proc_now_ms();

        (void)poll(fds, 3, left < 0 && r->kill_at != INT64_MAX ? 0 : (int)left);
        if (fds[0].revents && !pass_output(r))
            close_fd(&r->output_fd);
        if (fds[1].revents && !take_report(r))
            close_fd(&r->report_fd);
        if (fds[2].revents)
            stop(r);
        if (proc_now_ms() >= r->kill_at) {
            kill(r->pid, SIGKILL);
            r->kill_at = INT64_MAX;
        }
    }
}

static void drain_output(struct run *r)
{
    char chunk[OUTPUT_CHUNK];
    ssize_t n;

    while (r->output_fd >= 0 && (n = read(r->output_fd, chunk, sizeof(chunk))) > 0)
        if (r->spec->output)
            r->spec->output(r->spec->ctx, chunk, (size_t)n);
    close_fd(&r->output_fd);
}

/* ---- afterwards ---- */

/* Removes a mount point that we made, if it is still the same and empty, without moving its directory's times. */
static void unmake(int root_fd, const struct made *m)
{
    AUTO_CLOSE int parent = -1;
    AUTO_FREE char *name = NULL;
    struct stat st, dir_st;
    struct err *e = path_open_parent(root_fd, m->path, &parent, &name);

    err_free(e);
    if (e)
        return; /* the command removed the directory above it */
    AUTO_CLOSE int dir_fd = openat(parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0 || fstat(dir_fd, &dir_st) < 0 || fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return;
    if (st.st_dev != m->dev || st.st_ino != m->ino || (!S_ISDIR(st.st_mode) && st.st_size != 0))
        return;
    if (unlinkat(dir_fd, name, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0) < 0)
        return; /* the command put something beside the mount point: then the directory is its own */
    const struct timespec times[2] = { dir_st.st_atim, dir_st.st_mtim };
    (void)futimens(dir_fd, times);
}

static void unmake_all(struct run *r)
{
    AUTO_CLOSE int root_fd = open(r->spec->root, O_PATH | O_DIRECTORY | O_CLOEXEC);

    for (size_t i = r->made.n; i > 0; i--) {
        if (root_fd >= 0)
            unmake(root_fd, &r->made.items[i - 1]);
        free(r->made.items[i - 1].path);
    }
    vec_free(&r->made);
}

/* Without a report the inner process was killed: for memory, or by somebody on the node. */
static struct err *judge_silence(struct run *r, int status)
{
    if (!WIFSIGNALED(status))
        return err_new(ERR_BUG, "the process of a RUN ended with code %d and without a report", WEXITSTATUS(status));
    if (WTERMSIG(status) != SIGKILL)
        return err_new(ERR_BUG, "the process of a RUN was killed by signal %d (%s)", WTERMSIG(status),
                       strsignal(WTERMSIG(status)));
    r->result = (struct report_result){ .exit_code = 128 + SIGKILL, .signal = SIGKILL, .killed = 1 };
    return NULL;
}

static struct err *judge(struct run *r, int status)
{
    struct err *stopped = cancel_check(r->cancel);

    if (stopped) {
        err_free(r->error);
        return stopped;
    }
    if (r->error)
        return r->error;
    return r->has_result ? NULL : judge_silence(r, status);
}

/* Where a RUN begins, and it is not there: it is the user's, as in BuildKit. */
struct cwd_owner {
    enum owner_mode owners;
    struct owner owner;
};

static struct err *own_cwd(void *ctx, int parent_fd, int fd, const char *path)
{
    const struct cwd_owner *c = ctx;
    struct stat st;
    bool stored;

    (void)parent_fd;
    if (fstat(fd, &st) < 0)
        return err_sys(errno, "cannot look at '%s'", path);
    return owner_set(c->owners, fd, &st, &c->owner, &stored);
}

static struct err *make_cwd(const struct sandbox *sb, const struct run_spec *spec)
{
    struct cwd_owner own = { sb->owners, { .uid = spec->user.uid, .gid = spec->user.gid } };
    AUTO_CLOSE int root_fd = open(spec->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    AUTO_CLOSE int dir_fd = -1;

    if (root_fd < 0)
        return err_sys(errno, "cannot open '%s'", spec->root);
    if (!spec->cwd || !spec->cwd[0])
        return NULL;
    return err_wrap(path_mkdirs(root_fd, spec->cwd, 0755, own_cwd, &own, &dir_fd),
                    "cannot make the working directory '%s'", spec->cwd);
}

/* A shell gives the exit code of what it started: it stands for a process that we did not reap. */
static enum run_oom oom_of(const struct report_result *result, const struct oom_run *kills)
{
    bool killed = result->killed || result->exit_code == 128 + SIGKILL;

    if (result->exit_code == 0 || (!kills->own && !kills->shared))
        return RUN_OOM_NO;
    return kills->own || killed ? RUN_OOM_YES : RUN_OOM_MAYBE;
}

static void wait_for_end(struct run *r)
{
    watch(r);
    while (waitpid(r->pid, &r->status, 0) < 0 && errno == EINTR)
        ;
    drain_output(r);
    unmake_all(r);
}

static struct err *take_result(struct run *r, const struct oom_run *kills, struct run_result *ret)
{
    TRY(judge(r, r->status));
    *ret = (struct run_result){
        .exit_code = (int)r->result.exit_code,
        .signal = (int)r->result.signal,
        .peak_bytes = r->result.peak_bytes,
        .oom = oom_of(&r->result, kills),
    };
    return NULL;
}

struct err *sandbox_run(const struct sandbox *sb, const struct run_spec *spec, struct run_result *ret_result)
{
    struct run r = { .spec = spec, .cancel = sb->cancel, .output_fd = -1, .report_fd = -1, .kill_at = INT64_MAX };
    struct oom_run kills = { 0 };

    TRY(cancel_check(sb->cancel));
    if (!sb->can_run)
        return sandbox_no_run(sb);
    if (spec->argv.n == 0)
        return err_new(ERR_BUG, "a RUN without a command");
    TRY(make_cwd(sb, spec));
    oom_begin(sb->oom, &kills);
    struct err *e = start(&r, sb);
    if (!e)
        wait_for_end(&r);
    oom_end(sb->oom, &kills);
    if (!e)
        return take_result(&r, &kills, ret_result);
    close_fd(&r.output_fd);
    close_fd(&r.report_fd);
    return e;
}
