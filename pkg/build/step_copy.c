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

struct err *step_copy(struct build *b, struct stage_run *st, struct rootfs *r, const struct step *step)
{
    struct copy_spec spec = { .sources = step->sources, /* borrowed */
                              .dest = step->dest,
                              .chmod = step->chmod,
                              .add = step->add,
                              .unpack = step->unpack,
                              .parents = step->parents,
                              .link = step->link,
                              .owners = b->o.sandbox->owners,
                              .note_owner = note_owner,
                              .cancel = b->o.cancel };
    struct source_root source = { .fd = -1 };
    const char *root;
    int root_fd;

    TRY(source_open(b, &step->from, &source));
    spec.from_fd = source.fd;
    spec.from_image = source.rootfs || source.owned;
    spec.find_owner = source.owned ? find_in_context : find_owner;
    spec.find_ctx = source.owned ? (void *)source.owned : source.rootfs;
    spec.ignore = source.ignore;
    TRY(rootfs_begin(r, &root_fd, &root));
    struct err *e = copy_step(b, r, step, root_fd, &spec);
    if (e) {
        rootfs_abort(r);
        return e;
    }
    return stage_commit(b, st, r);
}

/* ---- WORKDIR ---- */

struct made {
    enum owner_mode owners;
    struct owner owner;
    struct strs paths; /* from the top down */
};

static struct err *give_dir(void *ctx, int fd, const char *path)
{
    struct made *m = ctx;
    struct stat st;
    bool stored;

    if (fstat(fd, &st) < 0)
        return err_sys(errno, "cannot make directory '%s'", path);
    strs_add(&m->paths, path);
    return owner_set(m->owners, fd, &st, &m->owner, &stored);
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

/* Only the directories that are made get the time of SOURCE_DATE_EPOCH; files keep theirs. */
static struct err *make_workdir(struct build *b, int root_fd, const struct step *step)
{
    struct made made = { .owners = b->o.sandbox->owners };
    AUTO_FREE char *real = NULL;
    AUTO_CLOSE int fd = -1;

    TRY(copy_blame(path_resolve(root_fd, step->dir, &real)));
    if (*step->user)
        TRY(user_lookup_chown(root_fd, step->user, &made.owner.uid, &made.owner.gid));
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

    TRY(rootfs_begin(r, &root_fd, &root));
    struct err *e = make_workdir(b, root_fd, step);
    if (e) {
        rootfs_abort(r);
        return e;
    }
    return stage_commit(b, st, r);
}
