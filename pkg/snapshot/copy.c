/* The copy back end, for file systems that cannot carry an overlay: the layers are copied into one work tree once; what
 * a step changed is found by a scan of its metadata, which is kept for the next step. */
#include "snapshot/scan_priv.h"
#include "sys/file.h"
#include "sys/path.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>

/* Coarser than the kernel's clock for file times (a tick is 1 to 10 ms): what changes after it has another ctime. */
#define CLOCK_TICK_NS (20 * 1000 * 1000)

struct copy {
    struct layer *tree; /* the work tree with the owners of its symlinks and the like; NULL: not made yet */
    char *scan;         /* file: what the tree held after the last step; NULL: not scanned yet */
    int fd;             /* of the tree */
    bool changed;       /* a step was committed: the layers do not make this tree any more */
    bool spoiled;       /* a step ended without being committed, and its changes are in the tree */
};

static struct err *try_attributes(struct snapshotter *s, const char *dir)
{
    if (s->owners == OWNER_REAL)
        return NULL;
    if (setxattr(dir, OWNER_XATTR, "0:0", 3, 0) < 0)
        return err_hint(
            err_sys(errno, "'%s' cannot hold extended attributes, which record the owners of files", s->state_dir),
            "An emptyDir volume on ext4 or xfs as state directory can.");
    return NULL;
}

static struct err *copy_probe(struct snapshotter *s, char **ret_description)
{
    AUTO_FREE char *dir = NULL;
    AUTO_FREE char *fs = snapshot_fs_name(s->state_dir);

    TRY(snapshot_new_dir(s, "probe", &dir));
    struct err *e = try_attributes(s, dir);
    err_free(file_remove_tree(AT_FDCWD, dir));
    TRY(e);
    *ret_description = xasprintf("copy on %s", fs);
    return NULL;
}

static struct err *copy_open(struct rootfs *r)
{
    struct copy *c = xcalloc(1, sizeof(*c));

    c->fd = -1;
    r->state = c;
    return NULL;
}

static void drop_tree(struct copy *c)
{
    close_fd(&c->fd);
    if (c->tree)
        err_free(file_remove_tree(AT_FDCWD, c->tree->dir));
    layer_free(c->tree);
    c->tree = NULL;
    if (c->scan)
        (void)unlink(c->scan);
    free(c->scan);
    c->scan = NULL;
}

static struct err *fill_tree(struct rootfs *r, const struct layers *from)
{
    struct copy *c = r->state;
    AUTO_FREE char *dir = NULL;

    TRY(snapshot_new_dir(r->s, "tree", &dir));
    TRY(layers_merge(r->s, from, from->n, dir, MERGE_COPY, &c->tree));
    c->fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return c->fd < 0 ? err_sys(errno, "cannot open '%s'", dir) : NULL;
}

static struct err *need_tree(struct rootfs *r)
{
    struct copy *c = r->state;

    if (c->spoiled && c->changed)
        return err_new(ERR_BUG, "a step did not end well, and the copy back end cannot go back");
    if (c->spoiled)
        drop_tree(c);
    c->spoiled = false;
    return c->tree ? NULL : fill_tree(r, &r->stack);
}

static struct err *copy_fork(struct rootfs *from, struct rootfs *r)
{
    struct copy *c = from->state;
    struct copy *to = r->state;

    if (!c->changed)
        return NULL; /* the layers are enough */
    TRY(need_tree(from));
    to->changed = true;
    return fill_tree(r, &(struct layers){ .items = &c->tree, .n = 1 });
}

/* The tree with the layer over it becomes the tree. */
static struct err *cover_tree(struct rootfs *r, struct layer *l)
{
    struct copy *c = r->state;
    struct copy old = { .fd = -1 };
    struct layer *items[] = { c->tree, l };

    old.tree = steal(&c->tree);
    old.scan = steal(&c->scan);
    close_fd(&c->fd);
    struct err *e = fill_tree(r, &(struct layers){ .items = items, .n = 2 });
    drop_tree(&old);
    layer_free(l);
    return e;
}

static struct err *copy_push(struct rootfs *r, struct layer *l)
{
    struct copy *c = r->state;
    struct err *e = c->changed ? need_tree(r) : NULL;

    if (e) {
        layer_free(l);
        return e;
    }
    if (c->changed)
        return cover_tree(r, l);
    drop_tree(c); /* the layers make the tree, when it is needed */
    rootfs_stack(r, l);
    return NULL;
}

static struct err *copy_view(struct rootfs *r, int *ret_root_fd)
{
    struct copy *c = r->state;

    TRY(need_tree(r));
    *ret_root_fd = c->fd;
    return NULL;
}

static char *new_scan(struct rootfs *r)
{
    return xasprintf("%s/scan.%u", r->s->build_dir, atomic_fetch_add(&r->s->next_id, 1));
}

static struct err *copy_begin(struct rootfs *r, int *ret_root_fd, const char **ret_path)
{
    struct copy *c = r->state;

    TRY(need_tree(r));
    if (!c->scan) {
        AUTO_FREE char *scan = new_scan(r);

        TRY(scan_first(
            c->fd, scan,
            &(struct scan_opts){ .owners = r->s->owners, .cancel = r->s->cancel, .specials = c->tree->owners }));
        c->scan = steal(&scan);
    }
    (void)nanosleep(&(struct timespec){ .tv_nsec = CLOCK_TICK_NS }, NULL);
    *ret_root_fd = c->fd;
    *ret_path = c->tree->dir;
    return NULL;
}

static struct err *copy_commit(struct rootfs *r, const struct commit_opts *opts, struct sink out,
                               struct commit_stats *stats)
{
    struct copy *c = r->state;
    AUTO_FREE char *scan = new_scan(r);
    const struct scan_opts o = { r->s->owners, r->s->cancel, c->tree->owners, r->step_owners };
    struct err *e = scan_changes(c->fd, c->scan, scan, &o, opts, out, stats);

    if (e) {
        c->spoiled = true;
        (void)unlink(scan);
        return e;
    }
    c->changed = true;
    (void)unlink(c->scan);
    free(c->scan);
    c->scan = steal(&scan);
    return NULL;
}

static void copy_abort(struct rootfs *r)
{
    struct copy *c = r->state;

    c->spoiled = true;
}

static struct owner copy_find_owner(const struct rootfs *r, const char *path)
{
    const struct copy *c = r->state;
    struct owner o = { 0 };

    if (c->tree)
        (void)owner_table_get(c->tree->owners, path, &o);
    return o;
}

static void copy_release(struct rootfs *r)
{
    drop_tree(r->state);
    free(r->state);
    r->state = NULL;
}

static struct err *copy_cover(struct snapshotter *s, const char *dir, const struct strs *hide, bool writable,
                              const char *place, bool *ret_mounted)
{
    AUTO_FREE char *root = xasprintf("%s/root", place);

    (void)writable; /* a copy always is */
    *ret_mounted = false;
    TRY(snapshotter_copy_tree(s, dir, root));
    for (size_t i = 0; hide && i < hide->n; i++) {
        AUTO_FREE char *path = xasprintf("%s/%s", root, hide->items[i]);

        TRY(file_remove_tree(AT_FDCWD, path));
    }
    return NULL;
}

const struct snapshot_ops snapshot_copy = {
    .name = "copy",
    .probe = copy_probe,
    .open = copy_open,
    .fork = copy_fork,
    .push = copy_push,
    .view = copy_view,
    .begin = copy_begin,
    .commit = copy_commit,
    .abort = copy_abort,
    .find_owner = copy_find_owner,
    .release = copy_release,
    .cover = copy_cover,
};
