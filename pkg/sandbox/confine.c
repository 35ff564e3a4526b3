#include "sandbox/confine_priv.h"

#include "sandbox/caps_priv.h"
#include "sys/file.h"

#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

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

/* One id is mapped: a namespace inside ours in which that id has the wanted number. */
static struct err *nest_user(const struct orders *o, int proc_fd)
{
    char text[64];

    if (unshare(CLONE_NEWUSER) < 0)
        return err_set_kind(err_sys(errno, "cannot make a user namespace for user %u", o->uid), ERR_POD);
    TRY(write_proc(proc_fd, "self/setgroups", "deny"));
    (void)snprintf(text, sizeof(text), "%u 0 1", o->uid);
    TRY(write_proc(proc_fd, "self/uid_map", text));
    (void)snprintf(text, sizeof(text), "%u 0 1", o->gid);
    return write_proc(proc_fd, "self/gid_map", text);
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

struct err *confine_self(const struct orders *o, int proc_fd)
{
    bool nested = o->single_id && o->uid != 0;

    set_limits(proc_fd);
    umask(022);
    if (nested)
        TRY(nest_user(o, proc_fd));
    else if (!o->single_id)
        TRY(set_groups(o));
    TRY(caps_bound(caps_docker_default()));
    TRY(filter_load(o));
    if (!o->single_id)
        TRY(become_user(o));
    return drop_inherited();
}
