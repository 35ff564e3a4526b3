#include "build/build_priv.h"
#include "sys/file.h"

#include <fcntl.h>
#include <string.h>

static const char *meaning(int code)
{
    switch (code) {
    case 126:
        return "126 means: the command was found but could not be executed. Check its permissions and its #! line, "
               "and that it is for this node's architecture.";
    case 127:
        return "127 means: command not found. Check that the image has it and that PATH names its directory.";
    case 137:
        return "137 means: killed (SIGKILL), often for want of memory.";
    case 139:
        return "139 means: crashed (SIGSEGV), often a binary of another architecture or a damaged library.";
    case 143:
        return "143 means: ended by SIGTERM.";
    default:
        return NULL;
    }
}

static struct err *memory_error(const struct build *b, const struct step *step, const struct run_result *r)
{
    AUTO(buf_release) struct buf limit = BUF_INIT;

    if (b->o.limits->memory_bytes != UINT64_MAX)
        buf_printf(&limit, " of %llu MiB", (unsigned long long)(b->o.limits->memory_bytes >> 20));
    struct err *e =
        err_new(ERR_MEMORY, "'%s' was killed: the pod's memory limit%s was reached (its largest process used %llu MiB)",
                step->display, buf_str(&limit), (unsigned long long)(r->peak_bytes >> 20));
    return err_hint(e, "Raise resources.limits.memory of the step, or let the command use less (fewer parallel jobs).");
}

/* The last word on an exit code. */
static struct err *hint_at(struct err *e, const struct run_result *r)
{
    const char *hint = meaning(r->exit_code);

    if (r->oom == RUN_OOM_MAYBE)
        return err_hint(
            e, "While it ran the kernel killed a process for memory. It may have been one of this RUN's, or of "
               "another one that ran at the same time. If so, raise resources.limits.memory of the step.");
    return hint ? err_hint(e, "%s", hint) : e;
}

static struct err *check_result(const struct build *b, const struct step *step, const struct run_result *r)
{
    if (r->oom == RUN_OOM_YES)
        return memory_error(b, step, r);
    if (r->exit_code == 0)
        return NULL;
    struct err *e = r->signal ? err_new(ERR_COMMAND, "'%s' was killed by signal %d (%s)", step->display, r->signal,
                                        strsignal(r->signal)) // NOLINT(concurrency-mt-unsafe)
                              : err_new(ERR_COMMAND, "'%s' failed with exit code %d", step->display, r->exit_code);
    bool full;

    e = room_blame(b, err_set_exit(e, r->exit_code), &full);
    return full ? e : hint_at(e, r);
}

static void show_output(void *ctx, const char *p, size_t n)
{
    const struct stage_run *st = ctx;
    const struct progress *progress = st->owner->o.progress;

    progress->output(progress->ctx, &st->now, p, n);
}

static void set_env(const struct build *b, const struct stage_run *st, const struct step *step,
                    const struct user_ids *user, const struct run_mounts *mounts, struct strs *ret_env)
{
    plan_run_env(b->o.plan, &st->plan, step, ret_env);
    if (!env_get(ret_env, "HOME"))
        env_set(ret_env, "HOME", user->home);
    run_mounts_env(mounts, ret_env);
}

static void wipe_env(struct strs *env)
{
    for (size_t i = 0; i < env->n; i++) /* there may be secrets in it */
        explicit_bzero(env->items[i], strlen(env->items[i]));
    strs_release(env);
}

static struct err *run_command(struct build *b, struct stage_run *st, const struct step *step, const char *root,
                               const struct user_ids *user, const struct run_mounts *mounts)
{
    struct run_spec spec = { .root = root,
                             .argv = step->argv, /* borrowed: sandbox_run only reads them */
                             .cwd = step->cwd,
                             .hostname = plan_hostname(b->o.plan),
                             .hosts = b->o.hosts,
                             .user = *user,
                             .network = step->network_none ? RUN_NETWORK_NONE : RUN_NETWORK_DEFAULT,
                             .output = show_output,
                             .ctx = st };
    struct run_result result;

    spec.mounts = run_mounts_list(mounts, &spec.n_mounts);
    set_env(b, st, step, user, mounts, &spec.env);
    struct err *e = sandbox_run(b->o.sandbox, &spec, &result);
    wipe_env(&spec.env);
    return e ? e : check_result(b, step, &result);
}

/* Another architecture may be emulated, and exec tells; another system's calls would be misunderstood. */
static struct err *check_os(const struct platform *p)
{
    if (!p->os[0] || strcmp(p->os, "linux") == 0)
        return NULL;
    return err_hint(err_new(ERR_DOCKERFILE, "a RUN for %s cannot be executed on Linux", p->os),
                    "Run the command in a stage for Linux, and copy what it makes.");
}

struct err *step_run(struct build *b, struct stage_run *st, struct rootfs *r, const struct step *step)
{
    AUTO(run_mounts_free) struct run_mounts *mounts = NULL;
    struct user_ids user = { 0 };
    const char *root;
    int root_fd;

    TRY(check_os(&st->config.platform));
    TRY(run_mounts_new(b, step, &mounts)); /* which may wait for other steps */
    TRY(stage_begin_step(b, st));
    room_make(b);
    TRY(rootfs_begin(r, &root_fd, &root));
    struct err *e = user_lookup(root_fd, *step->user ? step->user : "0", &user);
    if (!e)
        e = run_command(b, st, step, root, &user, mounts);
    user_ids_release(&user);
    if (!e)
        run_mounts_keep(mounts);
    if (e) {
        rootfs_abort(r);
        return e;
    }
    return layer_end_step(b, st, r);
}
