#include "sandbox/rung_priv.h"

#include "base/limits.h"
#include "sandbox/caps_priv.h"
#include "sandbox/scope_priv.h"
#include "sandbox/subid_priv.h"
#include "sys/file.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define ENOUGH_IDS  (ID_RANGE - 1) /* 65534 is "nobody": a range without it is not a full one */
#define MAP_REQUEST 'm'            /* no record of err_write() starts with it */
#define ORDINARY_ID 1000           /* what uid 0 becomes where 0 may not be mapped */

/* ---- what is refused, and the line of YAML that grants it ---- */

#define YAML_SECCOMP                                                                                                   \
    "In the container's securityContext use 'seccompProfile: {type: Localhost, localhostProfile: copyup.json}' "       \
    "with a profile that allows unshare, mount, umount2, pivot_root, chroot and sethostname beside the runtime's "     \
    "defaults, or "                                                                                                    \
    "'seccompProfile: {type: Unconfined}'."
#define YAML_IDS                                                                                                       \
    "For a range of ids: 'hostUsers: false' for the pod with 'runAsUser: 0', or 'runAsUser: 0' with 'capabilities: "   \
    "{add: [SETUID, SETGID, SETFCAP]}' in the container's securityContext."
#define YAML_PROC "In the container's securityContext 'procMount: Unmasked', or 'privileged: true'."
#define YAML_ADMIN                                                                                                     \
    "In the container's securityContext 'privileged: true', or 'capabilities: {add: [SYS_ADMIN]}' with 'runAsUser: "   \
    "0'."
#define YAML_APPARMOR                                                                                                  \
    "In the container's securityContext use 'appArmorProfile: {type: Unconfined}', or Localhost with a profile that "  \
    "allows mount."

static long small_number(const char *path, long otherwise)
{
    AUTO(buf_release) struct buf text = BUF_INIT;
    struct err *e = file_read(path, SIZE_MAX / 2, &text);

    if (e) {
        err_free(e);
        return otherwise;
    }
    return strtol(buf_str(&text), NULL, 10);
}

static bool seccomp_filtered(void)
{
    AUTO(buf_release) struct buf text = BUF_INIT;
    struct err *e = file_read("/proc/self/status", LIMIT_SETTING_FILE_BYTES, &text);
    const char *line = e ? NULL : strstr(buf_str(&text), "\nSeccomp:\t");

    err_free(e);
    return line && line[10] == '2';
}

static struct err *unshare_error(int errnum)
{
    struct err *e = err_sys(errnum, "the pod does not allow user namespaces: unshare was refused");

    e = err_set_kind(e, ERR_POD);
    if (errnum == ENOSPC || errnum == EUSERS)
        return err_hint(e, "The node's sysctl user.max_user_namespaces is %ld: it must be raised (15000 is usual).",
                        small_number("/proc/sys/user/max_user_namespaces", 0));
    if (errnum == EPERM && small_number("/proc/sys/kernel/unprivileged_userns_clone", 1) == 0)
        return err_hint(e, "The node's sysctl kernel.unprivileged_userns_clone is 0: it must be 1.");
    if (errnum == EPERM && seccomp_filtered())
        return err_hint(e, "The pod's seccomp profile refuses it. " YAML_SECCOMP);
    if (errnum == EACCES)
        return err_hint(e, "A security module refuses it. " YAML_APPARMOR);
    return err_hint(e, YAML_SECCOMP);
}

static struct err *mount_error(int errnum, const char *what)
{
    struct err *e = err_set_kind(err_sys(errnum, "the pod does not allow mounts: %s was refused", what), ERR_POD);

    if (errnum == EACCES)
        return err_hint(e, "AppArmor or SELinux refuses it. " YAML_APPARMOR);
    if (errnum == EPERM && small_number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", 0) == 1)
        return err_hint(e, "The node restricts user namespaces by AppArmor. " YAML_APPARMOR);
    return err_hint(e, YAML_SECCOMP);
}

static struct err *map_error(int errnum, const char *file)
{
    struct err *e =
        err_set_kind(err_sys(errnum, "the pod does not allow to map ids: writing %s was refused", file), ERR_POD);

    if (geteuid() == 0)
        return err_hint(
            e, "In the container's securityContext add 'capabilities: {add: [SETUID, SETGID, SETFCAP]}', or run as "
               "another user ('runAsUser: 1000'), or set 'hostUsers: false' for the pod.");
    return err_hint(e, YAML_APPARMOR);
}

/* ---- probes: ids and capabilities ---- */

static struct err *read_map(const char *path, struct id_map *ret)
{
    AUTO(buf_release) struct buf text = BUF_INIT;

    TRY(file_read(path, LIMIT_SETTING_FILE_BYTES, &text));
    if (!id_map_parse(buf_str(&text), ret))
        return err_new(ERR_POD, "cannot understand '%s'", path);
    return NULL;
}

/* Our own file may carry capabilities as "permitted" only (so that it starts everywhere): make them effective. Such a
 * process is not dumpable, and its /proc files then belong to root. */
static bool raise_caps(uint64_t want)
{
    struct caps c;

    if (!caps_get(&c) || (c.permitted & want) != want)
        return false;
    if ((c.effective & want) == want)
        return true;
    c.effective |= want;
    return caps_set(&c) && prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0;
}

static struct err *probe_full(struct rung_plan *ret)
{
    struct id_map have_uids, have_gids;

    if (!raise_caps(CAP_BIT(CAP_SETUID) | CAP_BIT(CAP_SETGID)))
        return err_hint(err_new(ERR_POD, "no capability to map a range of ids (SETUID, SETGID)"), YAML_IDS);
    bool zero = raise_caps(CAP_BIT(CAP_SETFCAP));
    TRY(read_map("/proc/self/uid_map", &have_uids));
    TRY(read_map("/proc/self/gid_map", &have_gids));
    id_map_full(&have_uids, geteuid(), zero, &ret->uids);
    id_map_full(&have_gids, getegid(), zero, &ret->gids);
    if (ret->uids.ids < ENOUGH_IDS || ret->gids.ids < ENOUGH_IDS)
        return err_hint(err_new(ERR_POD, "the pod's own user namespace has only %u user ids and %u group ids",
                                ret->uids.ids, ret->gids.ids),
                        "The kubelet's user namespaces have 65536 ids a pod: 'hostUsers: false'.");
    return NULL;
}

static struct err *probe_helper(struct rung_plan *ret)
{
    TRY(subid_find(&ret->uids, &ret->gids));
    if (ret->uids.ids < ENOUGH_IDS || ret->gids.ids < ENOUGH_IDS)
        return err_hint(
            err_new(ERR_POD, "the subordinate ids are only %u user ids and %u group ids", ret->uids.ids, ret->gids.ids),
            "Grant 65536 of each in /etc/subuid and /etc/subgid.");
    return NULL;
}

/* What a RUN's own root has, and what the builder needs to make one. */
#define ADMIN_CAPS                                                                                                     \
    (CAP_BIT(CAP_SYS_ADMIN) | CAP_BIT(CAP_SETUID) | CAP_BIT(CAP_SETGID) | CAP_BIT(CAP_CHOWN) |                         \
     CAP_BIT(CAP_DAC_OVERRIDE) | CAP_BIT(CAP_FOWNER) | CAP_BIT(CAP_FSETID) | CAP_BIT(CAP_SYS_CHROOT))

static uint32_t count_ids(const struct id_map *map)
{
    uint64_t n = 0;

    for (size_t i = 0; i < map->n; i++)
        n += map->items[i].count;
    return n < ID_RANGE ? (uint32_t)n : ID_RANGE;
}

static struct err *probe_privileged(struct rung_plan *ret)
{
    if (!raise_caps(ADMIN_CAPS))
        return err_hint(err_new(ERR_POD, "no capability to mount (SYS_ADMIN and those of a container's root)"),
                        YAML_ADMIN);
    TRY(read_map("/proc/self/uid_map", &ret->uids));
    TRY(read_map("/proc/self/gid_map", &ret->gids));
    ret->uids.ids = count_ids(&ret->uids);
    ret->gids.ids = count_ids(&ret->gids);
    if (ret->uids.ids < ENOUGH_IDS || ret->gids.ids < ENOUGH_IDS)
        return err_new(ERR_POD, "the pod's own user namespace has only %u user ids and %u group ids", ret->uids.ids,
                       ret->gids.ids);
    return NULL;
}

static struct err *probe_single(struct rung_plan *ret)
{
    uid_t uid = geteuid();

    if (uid == 0 && !raise_caps(CAP_BIT(CAP_SETFCAP))) {
        if (!raise_caps(CAP_BIT(CAP_SETUID)))
            return err_hint(err_new(ERR_POD, "user 0 without the capability SETFCAP may not be mapped"),
                            "Run as another user ('runAsUser: 1000'), or add 'capabilities: {add: [SETFCAP]}'.");
        uid = ret->switch_uid = ORDINARY_ID;
    }
    id_map_single(uid, &ret->uids);
    id_map_single(getegid(), &ret->gids);
    return NULL;
}

/* ---- entering ---- */

static struct err *write_map(const char *path, const char *text, size_t len)
{
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return map_error(errno, path);
    /* One write is the whole map, by the kernel's rule. */
    if (write(fd, text, len) != (ssize_t)len)
        return map_error(errno, path);
    return NULL;
}

static struct err *write_id_map(const char *path, const struct id_map *map)
{
    AUTO(buf_release) struct buf text = BUF_INIT;

    id_map_format(map, &text);
    return write_map(path, buf_str(&text), text.len);
}

static struct err *unshare_namespaces(void)
{
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
        return unshare_error(errno);
    return NULL;
}

static struct err *enter_full(const struct rung_plan *plan, int sync_fd)
{
    const char request = MAP_REQUEST;
    struct err *served = NULL;

    (void)plan;
    TRY(unshare_namespaces());
    if (write(sync_fd, &request, 1) != 1)
        return err_sys(errno, "cannot reach the parent process");
    TRY(err_read(sync_fd, &served));
    TRY(served);
    if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
        return err_sys(errno, "cannot become user 0 of the new user namespace");
    return NULL;
}

/* No user namespace of our own: what keeps a RUN from the builder is its pid namespace, and that it keeps nothing but a
 * container's usual capabilities. */
static struct err *enter_privileged(const struct rung_plan *plan, int sync_fd)
{
    (void)plan;
    (void)sync_fd;
    if (unshare(CLONE_NEWNS) < 0)
        return unshare_error(errno);
    if (setresgid(0, 0, 0) < 0 || setgroups(0, NULL) < 0 || setresuid(0, 0, 0) < 0)
        return err_sys(errno, "cannot become user 0");
    return NULL;
}

static struct err *enter_single(const struct rung_plan *plan, int sync_fd)
{
    (void)sync_fd;
    if (plan->switch_uid) {
        if (setresuid(plan->switch_uid, plan->switch_uid, plan->switch_uid) < 0)
            return err_sys(errno, "cannot become user %u", (unsigned)plan->switch_uid);
        (void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    }
    TRY(unshare_namespaces());
    TRY(write_map("/proc/self/setgroups", "deny", 4));
    TRY(write_id_map("/proc/self/uid_map", &plan->uids));
    return write_id_map("/proc/self/gid_map", &plan->gids);
}

/* ---- none: files can be copied, but no command can be run ---- */

static struct err *probe_none(struct rung_plan *ret)
{
    id_map_single(geteuid(), &ret->uids);
    id_map_single(getegid(), &ret->gids);
    return NULL;
}

static struct err *enter_none(const struct rung_plan *plan, int sync_fd)
{
    (void)plan;
    (void)sync_fd;
    return NULL;
}

/* ---- who writes the maps ---- */

static struct err *write_own_maps(const struct rung_plan *plan, pid_t child)
{
    char path[64];

    (void)snprintf(path, sizeof(path), "/proc/%d/uid_map", (int)child);
    TRY(write_id_map(path, &plan->uids));
    (void)snprintf(path, sizeof(path), "/proc/%d/gid_map", (int)child);
    return write_id_map(path, &plan->gids);
}

static struct err *have_maps_written(const struct rung_plan *plan, pid_t child)
{
    return subid_write_maps(child, &plan->uids, &plan->gids);
}

/* A user namespace of our own comes before none: it is one more wall around a RUN. */
static const struct rung rungs[] = {
    { "full", "a range of ids is mapped", OWNER_REAL, true, false, probe_full, enter_full, write_own_maps },
    { "helper", "newuidmap maps a range of ids", OWNER_REAL, true, false, probe_helper, enter_full, have_maps_written },
    { "privileged", "the pod's own ids and mounts", OWNER_REAL, true, true, probe_privileged, enter_privileged, NULL },
    { "single", "one id is mapped, owners are recorded", OWNER_RECORDED, true, false, probe_single, enter_single,
      NULL },
    { "none", "no namespaces: no RUN", OWNER_RECORDED, false, false, probe_none, enter_none, NULL },
};
#define N_RUNGS (sizeof(rungs) / sizeof(rungs[0]))

struct err *rung_enter(const struct rung_plan *plan, int sync_fd)
{
    TRY(plan->rung->enter(plan, sync_fd));
    if (plan->rung->namespaces && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return mount_error(errno, "making the mounts private");
    return NULL;
}

struct err *rung_serve_maps(const struct rung_plan *plan, pid_t child, int sync_fd)
{
    char request;
    ssize_t n;

    if (!plan->rung->write_maps)
        return NULL;
    /* A child that failed before asking may have put its report here, or hung up. */
    do
        n = recv(sync_fd, &request, 1, MSG_PEEK);
    while (n < 0 && errno == EINTR);
    if (n != 1 || request != MAP_REQUEST || read(sync_fd, &request, 1) != 1)
        return NULL;
    struct err *result = plan->rung->write_maps(plan, child);
    struct err *sent = err_write(sync_fd, result);
    err_free(result);
    return sent;
}

/* ---- trying ---- */

/* A /proc of an own pid namespace: refused where the pod's own /proc is partly masked. */
static bool can_mount_proc(void)
{
    int status = 1;

    if (unshare(CLONE_NEWPID) < 0)
        return false;
    pid_t pid = fork();
    if (pid == 0)
        _exit(mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) == 0 ? 0 : 1);
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static struct err *try_mounts(void)
{
    if (mount("tmpfs", "/dev", "tmpfs", MS_NOSUID, "mode=755,size=64k") < 0)
        return mount_error(errno, "a tmpfs");
    return NULL;
}

/* What a trial found beside its error: 'y' or 'n' each. */
struct found {
    char fresh, scoped;
};

static bool can_scope(void)
{
    struct err *e = scope_enter();

    err_free(e);
    return !e;
}

static _Noreturn void trial_main(const struct rung_plan *plan, int fd)
{
    struct err *e = rung_enter(plan, fd);
    struct found found;

    bool mounts = plan->rung->namespaces;

    if (!e && mounts)
        e = try_mounts();
    found.fresh = !e && mounts && can_mount_proc() ? 'y' : 'n';
    found.scoped = !e && mounts && can_scope() ? 'y' : 'n';
    if (!e && plan->rung->needs_proc && found.fresh == 'n')
        e = err_hint(
            err_new(ERR_POD, "without a user namespace of its own a RUN needs its own /proc, which this pod refuses"),
            YAML_PROC);
    err_free(err_write(fd, e));
    (void)!write(fd, &found, sizeof(found));
    _exit(0);
}

/* The parent's half of a trial, over a socket pair. */
static struct err *watch_trial(struct rung_plan *plan, pid_t child, int fd)
{
    struct err *e = NULL;
    struct found found;

    TRY(rung_serve_maps(plan, child, fd));
    TRY(err_read(fd, &e));
    if (!e && read(fd, &found, sizeof(found)) == sizeof(found)) {
        plan->fresh_proc = found.fresh == 'y';
        plan->scoped = found.scoped == 'y';
    }
    return e;
}

static struct err *try_rung(const struct rung *r, struct rung_plan *ret_plan)
{
    struct rung_plan plan = { .rung = r };
    int pair[2];

    TRY(r->probe(&plan));
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return err_sys(errno, "cannot make a socket pair");
    pid_t child = fork();
    if (child == 0) {
        close(pair[0]);
        trial_main(&plan, pair[1]);
    }
    close(pair[1]);
    struct err *e = child < 0 ? err_sys(errno, "cannot fork") : watch_trial(&plan, child, pair[0]);
    close(pair[0]);
    if (child > 0)
        (void)waitpid(child, NULL, 0);
    if (!e)
        *ret_plan = plan;
    return e;
}

static struct err *choose_named(const char *name, struct rung_plan *ret_plan, char **ret_why)
{
    for (size_t i = 0; i < N_RUNGS; i++) {
        if (strcmp(rungs[i].name, name) != 0)
            continue;
        TRY(err_wrap(try_rung(&rungs[i], ret_plan), "sandbox '%s' does not work in this pod", name));
        *ret_why = xasprintf("%s (%s), as asked for", name, rungs[i].what);
        return NULL;
    }
    return err_hint(err_new(ERR_SETTING, "unknown sandbox '%s'", name),
                    "Sandboxes are auto, full, helper, privileged, single and none.");
}

/* The innermost line that still says something by itself. */
static void note_refusal(struct buf *out, const struct rung *r, const struct err *e)
{
    buf_printf(out, "%s%s: %s", out->len ? "; " : "", r->name, err_message(e));
}

const struct rung *rung_table(size_t *ret_n)
{
    *ret_n = N_RUNGS;
    return rungs;
}

struct err *rung_try(const struct rung *r, struct rung_plan *ret_plan)
{
    return try_rung(r, ret_plan);
}

struct err *rung_choose(const char *name, struct rung_plan *ret_plan, char **ret_why, struct err **ret_refusal)
{
    AUTO(buf_release) struct buf why_not = BUF_INIT;
    struct err *last = NULL;

    *ret_refusal = NULL;
    if (name && strcmp(name, "auto") != 0)
        return choose_named(name, ret_plan, ret_why);
    for (size_t i = 0; i < N_RUNGS; i++) {
        struct err *e = try_rung(&rungs[i], ret_plan);

        if (!e) {
            *ret_why =
                xasprintf("%s (%s)%s%s", rungs[i].name, rungs[i].what, why_not.len ? "; not " : "", buf_str(&why_not));
            if (rungs[i].namespaces)
                err_free(last);
            else
                *ret_refusal = last; /* the least demanding rung's reason is the one to fix */
            return NULL;
        }
        note_refusal(&why_not, &rungs[i], e);
        err_free(last);
        last = e;
    }
    return err_wrap(last, "this pod cannot run a build: no sandbox works");
}
