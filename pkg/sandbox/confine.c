#include "sandbox/confine_priv.h"

#include "base/limits.h"
#include "sandbox/caps_priv.h"
#include "sandbox/idmap_priv.h"
#include "sandbox/record_priv.h"
#include "sandbox/scope_priv.h"
#include "sys/file.h"

#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define OPEN_FILES_SOFT 1024   /* Docker's: more makes old programs that close every descriptor slow */
#define OPEN_FILES_HARD 524288 /* Docker's */
#define OOM_FIRST       "1000" /* the command is what the kernel shall kill when memory is short, not the builder */

static void lower_limit(__rlimit_resource_t what, rlim_t soft, rlim_t hard)
{
    struct rlimit r;

    if (getrlimit(what, &r) < 0)
        return;
    r.rlim_max = r.rlim_max < hard ? r.rlim_max : hard;
    r.rlim_cur = r.rlim_max < soft ? r.rlim_max : soft;
    (void)setrlimit(what, &r);
}

static struct err *write_proc(int proc_fd, const char *name, const char *text)
{
    AUTO_CLOSE int fd = openat(proc_fd, name, O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return err_sys(errno, "cannot open '/proc/%s'", name);
    if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
        return err_sys(errno, "cannot write '/proc/%s'", name);
    return NULL;
}

static void set_limits(int proc_fd)
{
    lower_limit(RLIMIT_NOFILE, OPEN_FILES_SOFT, OPEN_FILES_HARD);
    lower_limit(RLIMIT_CORE, 0, RLIM_INFINITY); /* a core file would end up in the layer */
    err_free(write_proc(proc_fd, "self/oom_score_adj", OOM_FIRST));
}

/* Real ids: a range is mapped. Before the filter, which must be loaded while we are still privileged, go the groups;
 * after it, in become_user(), the user. */
static struct err *set_groups(const struct orders *o)
{
    AUTO_FREE gid_t *groups = xcalloc(o->groups.n, sizeof(*groups));

    for (size_t i = 0; i < o->groups.n; i++)
        groups[i] = o->groups.items[i];
    if (setgroups(o->groups.n, groups) < 0)
        return err_sys(errno, "cannot set %zu supplementary groups", o->groups.n);
    if (setresgid(o->gid, o->gid, o->gid) < 0)
        return err_sys(errno, "cannot become group %u", o->gid);
    return NULL;
}

/* ---- a user namespace inside ours ---- */

static struct err *nesting_refused(int errnum)
{
    return err_set_kind(err_sys(errnum, "cannot make the user namespace of the command"), ERR_POD);
}

/* One id is mapped: it stays user 0, whoever the command is to the supervisor. */
static struct err *nest_single(int proc_fd)
{
    if (unshare(CLONE_NEWUSER) < 0)
        return nesting_refused(errno);
    TRY(write_proc(proc_fd, "self/setgroups", "deny"));
    TRY(write_proc(proc_fd, "self/uid_map", "0 0 1"));
    return write_proc(proc_fd, "self/gid_map", "0 0 1");
}

/* Gives `pid` our own ids again: extent by extent, as one that spans two of ours is refused. */
static struct err *map_again(pid_t pid, const char *file, int proc_fd)
{
    AUTO(buf_release) struct buf text = BUF_INIT;
    AUTO_FREE char *own = xasprintf("self/%s", file);
    AUTO_FREE char *other = xasprintf("%d/%s", (int)pid, file);
    AUTO_CLOSE int fd = openat(proc_fd, own, O_RDONLY | O_CLOEXEC);
    struct id_map map;

    if (fd < 0)
        return err_sys(errno, "cannot open '/proc/%s'", own);
    TRY(file_read_fd(fd, own, LIMIT_SETTING_FILE_BYTES, &text));
    if (!id_map_parse(buf_str(&text), &map))
        return err_new(ERR_POD, "cannot understand '/proc/%s'", own);
    for (size_t i = 0; i < map.n; i++)
        map.items[i].outside = map.items[i].inside;
    buf_clear(&text);
    id_map_format(&map, &text);
    return write_proc(proc_fd, other, buf_str(&text));
}

/* The half that stays outside: only there is the right to map more than one id. */
static _Noreturn void map_for(pid_t pid, int proc_fd, int go_fd)
{
    char go;

    if (read(go_fd, &go, 1) != 1)
        _exit(1);
    struct err *e = map_again(pid, "uid_map", proc_fd);
    if (!e)
        e = map_again(pid, "gid_map", proc_fd);
    _exit(e ? 1 : 0);
}

/* The same ids again. */
static struct err *nest_range(int proc_fd)
{
    int go[2], status = 1;
    pid_t self = getpid();

    if (pipe2(go, O_CLOEXEC) < 0)
        return err_sys(errno, "cannot make a pipe");
    pid_t helper = fork();
    if (helper < 0)
        return err_sys(errno, "cannot fork");
    if (helper == 0) {
        close(go[1]);
        map_for(self, proc_fd, go[0]);
    }
    int refused = unshare(CLONE_NEWUSER) < 0 ? errno : 0;
    if (!refused && write(go[1], "m", 1) != 1)
        refused = errno;
    close(go[0]);
    close(go[1]);
    if (waitpid(helper, &status, 0) != helper || refused || status != 0)
        return nesting_refused(refused ? refused : EPERM);
    if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
        return err_sys(errno, "cannot become user 0 of the command's user namespace");
    return NULL;
}

/* Without a pid namespace steps that run at the same time see each other in /proc: a user namespace each keeps their
 * environments, descriptors and memory apart. */
static struct err *nest(const struct orders *o, int proc_fd)
{
    if (o->fresh_proc)
        return NULL;
    return o->n_ids == 1 ? nest_single(proc_fd) : nest_range(proc_fd);
}

/* The walls that the kernel gives. */
static struct err *part_from_others(const struct orders *o, int proc_fd)
{
    TRY(nest(o, proc_fd));
    return o->scoped ? scope_enter() : NULL;
}

static struct err *become_user(const struct orders *o)
{
    if (setresuid(o->uid, o->uid, o->uid) < 0)
        return err_sys(errno, "cannot become user %u", o->uid);
    return NULL;
}

/* execve gives user 0 the bounding set, any other user nothing: only what would be handed on has to go. */
static struct err *drop_inherited(void)
{
    struct caps c;

    if (!caps_get(&c))
        return err_sys(errno, "cannot read the capabilities");
    c.inheritable = 0;
    if (!caps_set(&c))
        return err_sys(errno, "cannot drop the inheritable capabilities");
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    return NULL;
}

struct err *confine_self(const struct orders *o, int proc_fd, int recorder_fd)
{
    set_limits(proc_fd);
    umask(022);
    TRY(part_from_others(o, proc_fd));
    if (o->n_ids > 1)
        TRY(set_groups(o));
    TRY(caps_bound(caps_docker_default()));
    if (o->record)
        TRY(record_prepare());
    if (o->record == RECORD_ROOT || o->record == RECORD_USER) {
        TRY(drop_inherited()); /* from the filter on it would be the pretended ones */
        return filter_load(o, recorder_fd);
    }
    TRY(filter_load(o, recorder_fd));
    if (o->n_ids > 1)
        TRY(become_user(o));
    return drop_inherited();
}
