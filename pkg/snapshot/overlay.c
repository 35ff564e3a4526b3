/* The overlay back end: the stack is mounted, a step gets a fresh upper directory, and that is its layer. */
#include "base/log.h"
#include "snapshot/diff_priv.h"
#include "snapshot/mount_priv.h"
#include "snapshot/snapshot_priv.h"
#include "snapshot/writer_priv.h"
#include "sys/file.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/* A stack as one directory, for reading. */
struct view {
    int fd;      /* -1: not open */
    char *mount; /* where it is mounted; NULL if it is a plain directory */
};

struct overlay {
    struct view view;
    char *step, *step_root; /* the step's directory, and where its overlay is mounted */
    int step_fd;
};

static char *below(const char *dir, const char *name)
{
    return xasprintf("%s/%s", dir, name);
}

/* ---- can it work here? ---- */

static struct err *make_file(const char *dir, const char *name)
{
    AUTO_FREE char *path = below(dir, name);
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

    return fd < 0 ? err_set_kind(err_sys(errno, "cannot write '%s'", path), ERR_DISK) : NULL;
}

/* What a build does first and a half-supported overlay cannot: remove a lower file, replace a lower directory. */
static struct err *try_changes(const char *root, const char *upper)
{
    AUTO_FREE char *file = below(root, "file");
    AUTO_FREE char *dir = below(root, "dir");
    AUTO_FREE char *in_dir = below(dir, "file");
    AUTO_FREE char *mark = below(upper, "file");
    struct stat st;

    if (unlink(file) < 0 || unlink(in_dir) < 0)
        return err_sys(errno, "cannot remove a file in an overlay");
    if (rmdir(dir) < 0 || mkdir(dir, 0755) < 0)
        return err_sys(errno, "cannot replace a directory in an overlay");
    if (lstat(mark, &st) < 0 || !is_whiteout(&st))
        return err_new(ERR_POD, "an overlay does not leave whiteouts as expected");
    return NULL;
}

static struct err *try_overlay(const char *dir)
{
    AUTO_FREE char *lower = below(dir, "lower");
    AUTO_FREE char *lower_dir = below(lower, "dir");
    AUTO_FREE char *upper = below(dir, "upper");
    AUTO_FREE char *work = below(dir, "work");
    AUTO_FREE char *root = below(dir, "root");
    AUTO(strs_release) struct strs lowers = { 0 };

    TRY(file_mkdirs(lower_dir, 0755));
    TRY(file_mkdirs(upper, 0755));
    TRY(file_mkdirs(work, 0755));
    TRY(file_mkdirs(root, 0755));
    TRY(make_file(lower, "file"));
    TRY(make_file(lower_dir, "file"));
    strs_add(&lowers, lower);
    TRY(overlay_mount(&(struct overlay_dirs){ &lowers, upper, work }, root));
    struct err *e = try_changes(root, upper);
    overlay_unmount(root);
    return e;
}

/* What helps, by what went wrong. */
static struct err *explain(struct err *e, const char *fs, const char *state_dir)
{
    if (!e)
        return NULL;
    if (err_errno(e) == EPERM)
        return err_hint(e, "The pod may not mount: allow the calls unshare, mount and chroot in its seccomp profile "
                           "(seccompProfile of type Unconfined or Localhost), and Linux must be 5.11 or newer.");
    if (err_errno(e) == EACCES)
        return err_hint(e,
                        "An AppArmor profile refuses mounts (set appArmorProfile of type Unconfined or Localhost), or "
                        "'%s' belongs to a group that is not mapped.",
                        state_dir);
    if (strcmp(fs, "overlay") == 0)
        return err_hint(
            e,
            "'%s' is on the container's own root file system, which is an overlay itself: mount an emptyDir "
            "volume there.",
            state_dir);
    if (err_errno(e) == ENODEV)
        return err_hint(e, "The node's kernel has no overlayfs (module overlay).");
    return err_hint(e,
                    "'%s' is on %s: an emptyDir volume on ext4 or xfs, or one of medium Memory, can carry an overlay.",
                    state_dir, fs);
}

static struct err *overlay_probe(struct snapshotter *s, char **ret_description)
{
    AUTO_FREE char *dir = NULL;
    AUTO_FREE char *fs = snapshot_fs_name(s->state_dir);

    TRY(snapshot_new_dir(s, "probe", &dir));
    struct err *e = try_overlay(dir);
    err_free(file_remove_tree(AT_FDCWD, dir));
    TRY(explain(err_wrap(e, "overlayfs cannot be used on %s", fs), fs, s->state_dir));
    *ret_description = xasprintf("overlay on %s", fs);
    return NULL;
}

/* ---- looking ---- */

static struct err *overlay_open(struct rootfs *r)
{
    struct overlay *o = xcalloc(1, sizeof(*o));

    o->view.fd = o->step_fd = -1;
    r->state = o;
    return layers_fix_implicit(r->s, &r->stack);
}

static struct err *overlay_fork(struct rootfs *from, struct rootfs *r)
{
    (void)from;
    (void)r; /* the stack is all there is */
    return NULL;
}

static void view_close(struct view *v)
{
    close_fd(&v->fd);
    if (v->mount)
        overlay_unmount(v->mount);
    free(v->mount);
    v->mount = NULL;
}

static struct err *overlay_push(struct rootfs *r, struct layer *l)
{
    bool fix = map_count(l->implicit) > 0;

    view_close(&((struct overlay *)r->state)->view);
    rootfs_stack(r, l);
    return fix ? layers_fix_implicit(r->s, &r->stack) : NULL;
}

static struct err *open_dir(const char *path, int *ret_fd)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return err_sys(errno, "cannot open '%s'", path);
    *ret_fd = fd;
    return NULL;
}

/* The layers' directories, highest first; at least `min`, filled up with empty ones. An image may have a layer twice,
 * and overlayfs no directory twice: the higher one has and hides all that the lower one does. */
static struct err *list_lowers(struct snapshotter *s, const struct layers *stack, size_t min, struct strs *ret)
{
    for (size_t i = stack->n; i-- > 0;)
        if (!strs_has(ret, stack->items[i]->dir))
            strs_add(ret, stack->items[i]->dir);
    while (ret->n < min) {
        AUTO_FREE char *dir = NULL;

        TRY(snapshot_new_dir(s, "empty", &dir));
        AUTO_FREE char *root = below(dir, "fs");
        TRY(snapshot_make_root(root));
        strs_add(ret, root);
    }
    return NULL;
}

static struct err *view_mount(struct snapshotter *s, const struct layers *stack, struct view *v)
{
    AUTO(strs_release) struct strs lowers = { 0 };
    AUTO_FREE char *target = NULL;

    TRY(list_lowers(s, stack, 2, &lowers));
    TRY(snapshot_new_dir(s, "view", &target));
    TRY(overlay_mount(&(struct overlay_dirs){ .lowers = &lowers }, target));
    v->mount = steal(&target);
    return open_dir(v->mount, &v->fd);
}

/* One layer without marks needs no overlay. */
static struct err *view_open(struct snapshotter *s, const struct layers *stack, struct view *v)
{
    AUTO(strs_release) struct strs lowers = { 0 };

    if (stack->n > 1 || (stack->n == 1 && stack->items[0]->whiteouts))
        return view_mount(s, stack, v);
    TRY(list_lowers(s, stack, 1, &lowers));
    return open_dir(lowers.items[0], &v->fd);
}

static struct err *overlay_view(struct rootfs *r, int *ret_root_fd)
{
    struct overlay *o = r->state;

    if (o->view.fd < 0) {
        TRY(rootfs_compact(r));
        TRY(view_open(r->s, &r->stack, &o->view));
    }
    *ret_root_fd = o->view.fd;
    return NULL;
}

/* ---- steps ---- */

/* The root of the overlay is the upper directory's own: it must look as the root did before. */
static struct err *make_upper(struct rootfs *r, const char *upper)
{
    AUTO_CLOSE int from = -1, to = -1;

    TRY(snapshot_make_root(upper));
    if (r->stack.n == 0)
        return NULL;
    TRY(open_dir(r->stack.items[r->stack.n - 1]->dir, &from));
    TRY(open_dir(upper, &to));
    return snapshot_copy_dir_meta(from, to, r->s->owners);
}

static struct err *start_step(struct rootfs *r, struct overlay *o)
{
    AUTO_FREE char *upper = below(o->step, "upper");
    AUTO_FREE char *work = below(o->step, "work");
    AUTO_FREE char *root = below(o->step, "root");
    AUTO(strs_release) struct strs lowers = { 0 };

    TRY(make_upper(r, upper));
    TRY(file_mkdirs(work, 0755));
    TRY(file_mkdirs(root, 0755));
    TRY(list_lowers(r->s, &r->stack, 1, &lowers));
    TRY(overlay_mount(&(struct overlay_dirs){ &lowers, upper, work }, root));
    o->step_root = steal(&root);
    return open_dir(o->step_root, &o->step_fd);
}

/* The step's overlay goes; its upper directory stays. */
static void unmount_step(struct overlay *o)
{
    close_fd(&o->step_fd);
    if (o->step_root)
        overlay_unmount(o->step_root);
    free(o->step_root);
    o->step_root = NULL;
}

static void drop_step(struct overlay *o)
{
    unmount_step(o);
    if (o->step)
        err_free(file_remove_tree(AT_FDCWD, o->step));
    free(o->step);
    o->step = NULL;
}

static struct err *overlay_begin(struct rootfs *r, int *ret_root_fd, const char **ret_path)
{
    struct overlay *o = r->state;

    view_close(&o->view);
    TRY(rootfs_compact(r));
    TRY(snapshot_new_dir(r->s, "step", &o->step));
    struct err *e = start_step(r, o);
    if (e) {
        drop_step(o);
        return e;
    }
    *ret_root_fd = o->step_fd;
    *ret_path = o->step_root;
    return NULL;
}

static struct err *overlay_freeze(struct rootfs *r, struct frozen **ret)
{
    struct overlay *o = r->state;
    struct frozen *f = xcalloc(1, sizeof(*f));

    unmount_step(o);
    view_close(&o->view);
    f->s = r->s;
    for (size_t i = 0; i < r->stack.n; i++)
        vec_push(&f->below, layer_ref(r->stack.items[i]));
    f->layer = layer_new(below(o->step, "upper"));
    owner_table_free(f->layer->owners);
    f->layer->owners = steal(&r->step_owners);
    f->layer->whiteouts = true;
    f->layer->made = steal(&o->step);
    vec_push(&r->stack, layer_ref(f->layer));
    *ret = f;
    return NULL;
}

static struct err *overlay_write(struct frozen *f, const struct commit_opts *opts, struct sink out,
                                 struct commit_stats *stats)
{
    struct view v = { .fd = -1 };
    struct err *e = f->below.n > 0 ? view_open(f->s, &f->below, &v) : NULL;

    if (!e)
        e = diff_write(f, v.fd, opts, out, stats);
    view_close(&v);
    return e;
}

static struct err *overlay_commit(struct rootfs *r, const struct commit_opts *opts, struct sink out,
                                  struct commit_stats *stats)
{
    AUTO(frozen_free) struct frozen *f = NULL;

    TRY(overlay_freeze(r, &f));
    struct err *e = overlay_write(f, opts, out, stats);
    if (e)
        layer_free(r->stack.items[--r->stack.n]);
    return e;
}

static void overlay_abort(struct rootfs *r)
{
    drop_step(r->state);
}

static struct owner overlay_find_owner(const struct rootfs *r, const char *path)
{
    return layers_owner(&r->stack, path);
}

static void overlay_release(struct rootfs *r)
{
    struct overlay *o = r->state;

    view_close(&o->view);
    drop_step(o);
    free(o);
    r->state = NULL;
}

/* ---- covers ---- */

/* Makes the directory place/name, which is to be merged with `dir`: it must look like it. */
static struct err *make_like(struct snapshotter *s, const char *place, const char *name, const char *dir)
{
    AUTO_FREE char *path = below(place, name);
    AUTO_CLOSE int from = -1, to = -1;

    TRY(snapshot_make_root(path));
    TRY(open_dir(dir, &from));
    TRY(open_dir(path, &to));
    return snapshot_copy_dir_meta(from, to, s->owners);
}

/* The directories above `path` in the layer of whiteouts, as they are below dir. */
static struct err *make_parents(struct snapshotter *s, const char *layer, const char *dir, const char *path)
{
    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        AUTO_FREE char *parent = xstrndup(path, (size_t)(slash - path));
        AUTO_FREE char *like = below(dir, parent);
        AUTO_FREE char *made = below(layer, parent);

        if (access(made, F_OK) < 0)
            TRY(make_like(s, layer, parent, like));
    }
    return NULL;
}

static struct err *make_whiteouts(struct snapshotter *s, const char *layer, const char *dir, const struct strs *hide)
{
    for (size_t i = 0; i < hide->n; i++) {
        AUTO_FREE char *path = below(layer, hide->items[i]);

        TRY(make_parents(s, layer, dir, hide->items[i]));
        if (mknod(path, S_IFCHR, 0) < 0)
            return err_sys(errno, "cannot hide '%s'", hide->items[i]);
    }
    return NULL;
}

/* A lower layer with what hides parts of dir, if there is anything to hide. */
static struct err *add_hiding(struct snapshotter *s, const char *dir, const struct strs *hide, const char *place,
                              struct strs *lowers)
{
    AUTO_FREE char *hidden = below(place, "hidden");

    if (!hide || !hide->n)
        return NULL;
    TRY(make_like(s, place, "hidden", dir));
    TRY(make_whiteouts(s, hidden, dir, hide));
    strs_add(lowers, hidden);
    return NULL;
}

static struct err *overlay_cover(struct snapshotter *s, const char *dir, const struct strs *hide, bool writable,
                                 const char *place, bool *ret_mounted)
{
    AUTO_FREE char *upper = below(place, "upper");
    AUTO_FREE char *work = below(place, "work");
    AUTO_FREE char *root = below(place, "root");
    AUTO(strs_release) struct strs lowers = { 0 };
    struct overlay_dirs dirs = { .lowers = &lowers };

    TRY(add_hiding(s, dir, hide, place, &lowers));
    strs_add(&lowers, dir);
    if (writable) {
        TRY(make_like(s, place, "upper", dir));
        TRY(file_mkdirs(work, 0755));
        dirs.upper = upper;
        dirs.work = work;
    }
    TRY(overlay_mount(&dirs, root));
    *ret_mounted = true;
    return NULL;
}

const struct snapshot_ops snapshot_overlay = {
    .name = "overlay",
    .overlay_marks = true,
    .probe = overlay_probe,
    .open = overlay_open,
    .fork = overlay_fork,
    .push = overlay_push,
    .view = overlay_view,
    .begin = overlay_begin,
    .commit = overlay_commit,
    .freeze = overlay_freeze,
    .write = overlay_write,
    .abort = overlay_abort,
    .find_owner = overlay_find_owner,
    .release = overlay_release,
    .cover = overlay_cover,
};
