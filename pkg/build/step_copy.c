#include "address/address.h"
#include "build/build_priv.h"
#include "build/copy.h"
#include "sys/path.h"
#include "sys/user.h"

#include <fcntl.h>
#include <string.h>

static void note_owner(void *ctx, const char *path, const struct owner *o)
{
    rootfs_note_owner(ctx, path, o);
}

static bool find_owner(void *find_ctx, const char *path, struct owner *ret_owner)
{
    return rootfs_find_owner(find_ctx, path, ret_owner);
}

static bool find_in_context(void *find_ctx, const char *path, struct owner *ret_owner)
{
    return context_find_owner(find_ctx, path, ret_owner);
}

static struct err *copy_all(struct build *b, const struct step *step, int root_fd, struct copy_spec *spec)
{
    struct copy_stats stats;

    if (step->remote)
        TRY(step_add_sources(b, step, root_fd, spec));
    else if (spec->sources.n)
        TRY(copy_into(root_fd, spec, &stats));
    for (size_t i = 0; i < step->n_files; i++) {
        struct copy_spec file = *spec;

        file.sources = (struct strs){ 0 };
        file.inline_name = step->files[i].name;
        file.inline_data = step->files[i].data;
        file.inline_len = strlen(step->files[i].data);
        file.inline_mtime_s = b->o.created_s;
        TRY(copy_into(root_fd, &file, &stats));
    }
    return NULL;
}

static struct err *copy_step(struct build *b, struct rootfs *r, const struct step *step, int root_fd,
                             struct copy_spec *spec)
{
    AUTO(ignore_free) struct ignore *exclude = NULL;
    struct owner chown = { 0 };

    if (step->exclude.n)
        TRY(ignore_from_patterns(&step->exclude, &exclude));
    if (step->chown) {
        TRY(err_wrap(user_lookup_chown(root_fd, step->chown, &chown.uid, &chown.gid), "cannot use --chown=%s",
                     step->chown));
        spec->chown = &chown;
    }
    spec->exclude = exclude;
    spec->ctx = r;
    struct err *e = copy_all(b, step, root_fd, spec);
    spec->chown = NULL;
    spec->exclude = NULL;
    return e;
}

/* What the plan says of the step, and where its files are. */
static struct copy_spec spec_of(const struct build *b, const struct step *step, const struct source_root *source)
{
    return (struct copy_spec){ .from_fd = source->fd,
                               .from_image = source->rootfs || source->owned,
                               .ignore = source->ignore,
                               .sources = step->sources, /* borrowed */
                               .dest = step->dest,
                               .chmod = step->chmod,
                               .add = step->add,
                               .unpack = step->unpack,
                               .parents = step->parents,
                               .link = step->link,
                               .owners = b->o.sandbox->owners,
                               .note_owner = note_owner,
                               .find_owner = source->owned ? find_in_context : find_owner,
                               .find_ctx = source->owned ? (void *)source->owned : source->rootfs,
                               .cancel = b->o.cancel };
}

struct err *step_copy(struct build *b, struct stage_run *st, struct rootfs *r, const struct step *step)
{
    struct source_root source = { .fd = -1 };
    const char *root;
    int root_fd;

    TRY(source_open(b, &step->from, &source));
    struct copy_spec spec = spec_of(b, step, &source);
    TRY(stage_begin_step(b, st));
    TRY(rootfs_begin(r, &root_fd, &root));
    struct err *e = copy_step(b, r, step, root_fd, &spec);
    if (e) {
        rootfs_abort(r);
        return e;
    }
    return layer_end_step(b, st, r);
}

static struct err *check_source(const struct copy_spec *spec, const char *source)
{
    enum address_kind kind;

    TRY(address_kind_of(source, &kind));
    return kind == ADDRESS_PATH ? copy_check_source(spec, source) : NULL;
}

struct err *step_check_context(struct build *b, const struct step *step)
{
    struct source_root source = { .fd = -1 };
    struct err *e = NULL;

    if (step->kind != STEP_COPY || step->from.kind != PLAN_SOURCE_CONTEXT || !step->sources.n)
        return NULL;
    TRY(source_open(b, &step->from, &source));
    const struct copy_spec spec = spec_of(b, step, &source);
    for (size_t i = 0; i < step->sources.n; i++)
        e = err_join(e, df_at_line(b->o.plan->df, step->line, check_source(&spec, step->sources.items[i])));
    return e;
}

struct err *step_copy_sum(struct build *b, const struct step *step, struct copy_sum *sum)
{
    AUTO(ignore_free) struct ignore *exclude = NULL;
    struct source_root source = { .fd = -1 };
    struct copy_stats stats;

    TRY(source_open(b, &step->from, &source));
    struct copy_spec spec = spec_of(b, step, &source);
    if (step->exclude.n)
        TRY(ignore_from_patterns(&step->exclude, &exclude));
    spec.exclude = exclude;
    spec.sum = sum;
    return step->remote ? step_add_sources(b, step, -1, &spec) : copy_into(-1, &spec, &stats);
}

struct err *run_mount_sum(struct build *b, const struct step_mount *sm, struct copy_sum *sum)
{
    struct source_root source = { .fd = -1 };
    char *path = (char *)(sm->m.source && *sm->m.source ? sm->m.source : "/"); /* only read */
    const struct step step = { .sources = { .items = &path, .n = 1 }, .unpack = -1 };
    struct copy_stats stats;

    TRY(source_open(b, &sm->from, &source));
    struct copy_spec spec = spec_of(b, &step, &source);
    spec.literal = true;
    spec.sum = sum;
    return copy_into(-1, &spec, &stats);
}

/* ---- WORKDIR ---- */

struct made_dirs {
    enum owner_mode owners;
    bool of_user; /* owner is USER's */
    struct owner owner;
    struct strs paths; /* from the top down */
};

static struct err *give_dir(void *ctx, int parent_fd, int fd, const char *path)
{
    struct made_dirs *m = ctx;
    struct owner o = m->owner;
    struct stat st;
    bool stored;

    if (fstat(fd, &st) < 0)
        return err_sys(errno, "cannot make directory '%s'", path);
    strs_add(&m->paths, path);
    if (!m->of_user)
        TRY(owner_group_inside(m->owners, parent_fd, &o.gid));
    return owner_set(m->owners, fd, &st, &o, &stored);
}

/* From the deepest up, because making a directory changes its parent's time. */
static struct err *date_dirs(int root_fd, const struct strs *paths, int64_t seconds)
{
    const struct timespec times[2] = { { .tv_sec = seconds }, { .tv_sec = seconds } };

    for (size_t i = paths->n; i-- > 0;) {
        AUTO_CLOSE int fd = -1;

        TRY(path_open(root_fd, paths->items[i], O_RDONLY | O_DIRECTORY, 0, &fd));
        if (futimens(fd, times) < 0)
            return err_sys(errno, "cannot set the time of '%s'", paths->items[i]);
    }
    return NULL;
}

/* A user that the image does not have yet owns nothing: what is made is root's, as in BuildKit. RUN tells of it. */
static struct err *workdir_owner(int root_fd, const char *user, struct owner *ret)
{
    struct err *e = user_lookup_chown(root_fd, user, &ret->uid, &ret->gid);

    if (!e || err_kind(e) != ERR_DOCKERFILE)
        return e;
    err_free(e);
    *ret = (struct owner){ 0 };
    return NULL;
}

/* Only the directories that are made get the time of SOURCE_DATE_EPOCH; files keep theirs. */
static struct err *make_workdir(struct build *b, int root_fd, const struct step *step)
{
    struct made_dirs made = { .owners = b->o.sandbox->owners, .of_user = *step->user };
    AUTO_FREE char *real = NULL;
    AUTO_CLOSE int fd = -1;

    TRY(copy_blame(path_resolve(root_fd, step->dir, &real)));
    if (made.of_user)
        TRY(workdir_owner(root_fd, step->user, &made.owner));
    struct err *e = copy_blame(path_mkdirs(root_fd, real, 0755, give_dir, &made, &fd));
    if (!e && b->o.epoch_set)
        e = date_dirs(root_fd, &made.paths, b->o.created_s);
    strs_release(&made.paths);
    return e;
}

struct err *step_workdir(struct build *b, struct stage_run *st, struct rootfs *r, const struct step *step)
{
    const char *root;
    int root_fd;

    TRY(stage_begin_step(b, st));
    TRY(rootfs_begin(r, &root_fd, &root));
    struct err *e = make_workdir(b, root_fd, step);
    if (e) {
        rootfs_abort(r);
        return e;
    }
    return layer_end_step(b, st, r);
}
