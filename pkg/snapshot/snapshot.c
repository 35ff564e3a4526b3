#include "snapshot/snapshot.h"

#include "base/buf.h"
#include "base/conduit.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/map.h"
#include "snapshot/snapshot_priv.h"
#include "snapshot/unpack.h"
#include "sys/file.h"
#include "sys/hold.h"
#include "sys/path.h"
#include "tar/decompress.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

#define AHEAD_BYTES (1024 * 1024) /* decompressed and hashed before it is written */
#define LAYERS_BEFORE_MERGE                                                                                            \
    48                       /* a cold walk costs one look per layer and directory: 20 layers 0.2 s, 128 layers 7 s    \
                              */
#define LAYERS_KEPT_APART 16 /* of the highest; the others become one */

/* Files beside the unpacked layer's "fs". */
#define OWNERS_NAME    "owners"
#define IMPLICIT_NAME  "implicit"
#define WHITEOUTS_NAME "whiteouts"

static const struct snapshot_ops *const backends[] = { &snapshot_overlay, &snapshot_copy };

/* ---- layers ---- */

struct layer *layer_new(char *dir)
{
    struct layer *l = xcalloc(1, sizeof(*l));

    atomic_init(&l->refs, 1);
    l->dir = dir;
    l->owners = owner_table_new();
    l->implicit = map_new(NULL);
    return l;
}

struct layer *layer_ref(struct layer *l)
{
    atomic_fetch_add(&l->refs, 1);
    return l;
}

void layer_free(struct layer *l)
{
    if (!l || atomic_fetch_sub(&l->refs, 1) > 1)
        return;
    owner_table_free(l->owners);
    map_free(l->implicit);
    if (l->made) /* what cannot be removed goes with the build's directory */
        err_free(file_remove_tree(AT_FDCWD, l->made));
    free(l->made);
    free(l->dir);
    free(l);
}

/* Opens layer->dir/path as far as it is there, not through symlinks of the last component; -1 if not. */
static int open_in_layer(const struct layer *l, const char *path)
{
    AUTO_CLOSE int root = open(l->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fd = -1;

    if (root >= 0)
        err_free(path_open_if_exists(root, path, O_PATH | O_NOFOLLOW, &fd));
    return fd;
}

struct owner layers_owner(const struct layers *stack, const char *path)
{
    struct owner o = { 0 };

    for (size_t i = stack->n; i-- > 0;) {
        AUTO_CLOSE int fd = open_in_layer(stack->items[i], path);

        if (fd < 0)
            continue;
        (void)owner_table_get(stack->items[i]->owners, path, &o);
        break;
    }
    return o;
}

/* ---- the back ends ---- */

struct err *snapshot_new_dir(struct snapshotter *s, const char *what, char **ret_path)
{
    AUTO_FREE char *path = xasprintf("%s/%s.%u", s->build_dir, what, atomic_fetch_add(&s->next_id, 1));

    if (mkdir(path, 0755) < 0 || chmod(path, 0755) < 0)
        return err_set_kind(err_sys(errno, "cannot make directory '%s'", path), ERR_DISK);
    *ret_path = steal(&path);
    return NULL;
}

char *snapshot_fs_name(const char *path)
{
    static const struct {
        unsigned long magic;
        const char *name;
    } known[] = {
        { 0xEF53, "ext4" },      { 0x58465342, "xfs" },  { 0x01021994, "tmpfs" }, { 0x794c7630, "overlay" },
        { 0x9123683E, "btrfs" }, { 0x6969, "nfs" },      { 0xFF534D42, "cifs" },  { 0xFE534D42, "smb" },
        { 0x65735546, "fuse" },  { 0x2FC12FC1, "zfs" },  { 0xF2F52010, "f2fs" },  { 0x01021997, "9p" },
        { 0x00C36400, "ceph" },  { 0x5346544E, "ntfs" },
    };
    struct statfs fs;

    if (statfs(path, &fs) < 0)
        return xstrdup("an unknown file system");
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (known[i].magic == (unsigned long)fs.f_type)
            return xstrdup(known[i].name);
    return xasprintf("file system %#lx", (unsigned long)fs.f_type);
}

static struct err *choose_forced(struct snapshotter *s, const char *name)
{
    for (size_t i = 0; i < sizeof(backends) / sizeof(backends[0]); i++)
        if (strcmp(backends[i]->name, name) == 0) {
            s->ops = backends[i];
            return err_wrap(s->ops->probe(s, &s->description), "cannot keep root file systems with '%s'", name);
        }
    return err_new(ERR_SETTING, "'%s' is not a snapshotter: overlay, copy", name);
}

/* "overlayfs cannot be used on nfs: Invalid argument" */
static void add_reason(struct buf *out, const struct err *e)
{
    buf_printf(out, "%s%s", out->len ? ", " : "", err_message(e));
    if (err_errno(e))
        buf_printf(out, ": %s", strerror(err_errno(e)));
}

static struct err *choose(struct snapshotter *s)
{
    AUTO(buf_release) struct buf why = BUF_INIT;
    struct err *all = NULL;

    for (size_t i = 0; i < sizeof(backends) / sizeof(backends[0]); i++) {
        AUTO_FREE char *description = NULL;

        s->ops = backends[i];
        struct err *e = s->ops->probe(s, &description);
        if (!e) {
            s->description = all ? xasprintf("%s (%s)", description, buf_str(&why)) : steal(&description);
            err_free(all);
            return NULL;
        }
        add_reason(&why, e);
        all = err_join(all, err_wrap(e, "cannot keep root file systems with '%s'", s->ops->name));
    }
    return all;
}

static struct err *open_layers_lock(struct snapshotter *s, const char *state_dir)
{
    AUTO_FREE char *path = xasprintf("%s/" HOLD_LAYERS, state_dir);

    return hold_open(path, &s->layers_fd);
}

struct err *snapshotter_open(const struct snapshotter_opts *opts, struct snapshotter **ret)
{
    AUTO(snapshotter_free) struct snapshotter *s = xcalloc(1, sizeof(*s));

    s->state_dir = xstrdup(opts->state_dir);
    s->build_dir = xstrdup(opts->build_dir);
    s->owners = opts->owners;
    s->layers_fd = -1;
    s->cancel = opts->cancel;
    TRY(file_mkdirs(s->build_dir, 0755));
    if (strcmp(opts->backend, "auto") == 0)
        TRY(choose(s));
    else
        TRY(choose_forced(s, opts->backend));
    s->space_dir =
        xasprintf("%s/layers/%s%s", opts->state_dir, opts->layer_space, s->ops->overlay_marks ? "" : "-plain");
    TRY(file_mkdirs(s->space_dir, 0755));
    TRY(open_layers_lock(s, opts->state_dir));
    log_debug("snapshot", "%s", s->description);
    *ret = steal(&s);
    return NULL;
}

const char *snapshotter_describe(const struct snapshotter *s)
{
    return s->description;
}

void snapshotter_set_cancel(struct snapshotter *s, const struct cancel *cancel)
{
    s->cancel = cancel;
}

void snapshotter_free(struct snapshotter *s)
{
    if (!s)
        return;
    free(s->state_dir);
    free(s->build_dir);
    free(s->space_dir);
    close_fd(&s->layers_fd);
    free(s->description);
    free(s);
}

/* ---- unpacking ---- */

static char *layer_path(const struct snapshotter *s, const struct digest *diff_id, const char *name)
{
    return xasprintf("%s/%s%s%s", s->space_dir, digest_hex(diff_id), name ? "/" : "", name ? name : "");
}

/* As long as this build lives nobody removes it. */
static void hold_layer(const struct snapshotter *s, const struct digest *diff_id)
{
    AUTO_FREE char *name = xasprintf("%s/%s", strrchr(s->space_dir, '/') + 1, digest_hex(diff_id));

    hold_use(s->layers_fd, name);
}

bool snapshotter_has_layer(const struct snapshotter *s, const struct digest *diff_id)
{
    AUTO_FREE char *path = layer_path(s, diff_id, "fs"), *dir = layer_path(s, diff_id, NULL);

    hold_layer(s, diff_id);
    if (access(path, F_OK) < 0)
        return false;
    (void)utimensat(AT_FDCWD, dir, NULL, 0); /* when it was last used */
    return true;
}

/* A source that hashes what passes. */
struct hashing {
    struct source in;
    struct hasher *hasher;
};

static struct err *hashing_read(void *ctx, void *p, size_t n, size_t *ret_len)
{
    struct hashing *h = ctx;

    TRY(source_read(&h->in, p, n, ret_len));
    hasher_add(h->hasher, p, *ret_len);
    return NULL;
}

/* What unpacking told. */
struct notes {
    struct owner_table *owners;
    struct map *implicit;
    bool whiteouts;
};

static void note_owner(void *ctx, const char *path, const struct owner *o)
{
    struct notes *n = ctx;
    struct owner old;

    /* 0:0 is what has no record: only said where an earlier entry of that path said something else */
    if (o->uid || o->gid || owner_table_get(n->owners, path, &old))
        owner_table_set(n->owners, path, o);
}

static void note_implicit(void *ctx, const char *path, bool implicit)
{
    struct notes *n = ctx;

    if (implicit)
        map_set(n->implicit, path, n);
    else
        map_remove(n->implicit, path);
}

static void note_whiteout(void *ctx)
{
    struct notes *n = ctx;

    n->whiteouts = true;
}

static void add_path(void *ctx, const char *path, void *value)
{
    (void)value;
    buf_puts(ctx, path);
    buf_putc(ctx, '\0');
}

static struct err *save_notes(const struct notes *n, const char *dir)
{
    AUTO_CLOSE int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    AUTO_FREE char *implicit = xasprintf("%s/%s", dir, IMPLICIT_NAME);
    AUTO_FREE char *whiteouts = xasprintf("%s/%s", dir, WHITEOUTS_NAME);
    AUTO(buf_release) struct buf paths = BUF_INIT;

    if (fd < 0)
        return err_sys(errno, "cannot open '%s'", dir);
    TRY(owner_table_save(n->owners, fd, OWNERS_NAME));
    if (n->whiteouts)
        TRY(file_write_atomic(whiteouts, "", 0, 0644));
    map_each(n->implicit, add_path, &paths);
    return paths.len ? file_write_atomic(implicit, paths.data, paths.len, 0644) : NULL;
}

struct err *snapshot_make_root(const char *path)
{
    const struct timespec epoch[2] = { { 0 }, { 0 } };

    if (mkdir(path, 0755) < 0 || chmod(path, 0755) < 0 || utimensat(AT_FDCWD, path, epoch, 0) < 0)
        return err_set_kind(err_sys(errno, "cannot make directory '%s'", path), ERR_DISK);
    return NULL;
}

static struct err *unpack_stream(struct snapshotter *s, struct source in, const char *dir, struct notes *notes)
{
    AUTO_FREE char *fs = xasprintf("%s/fs", dir);
    char rest[4096];
    size_t n = 1;
    const struct unpack_opts opts = {
        .owners = s->owners,
        .whiteouts = true,
        .plain_marks = !s->ops->overlay_marks,
        .chmod = -1,
        .note_owner = note_owner,
        .note_implicit = note_implicit,
        .note_whiteout = note_whiteout,
        .ctx = notes,
        .cancel = s->cancel,
    };

    TRY(snapshot_make_root(fs));
    AUTO_CLOSE int root = open(fs, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return err_sys(errno, "cannot open '%s'", fs);
    TRY(unpack_tar(in, root, "/", &opts));
    while (n > 0) /* what stands behind the end of the archive belongs to the digest */
        TRY(source_read(&in, rest, sizeof(rest), &n));
    return save_notes(notes, dir);
}

/* Into a directory of this build, which gets its place when all of it is there and is what was asked for. */
static struct err *unpack_into(struct snapshotter *s, const struct digest *diff_id, struct source blob, const char *dir)
{
    AUTO(decompress_free) struct decompressor *d = NULL;
    AUTO(owner_table_free) struct owner_table *owners = owner_table_new();
    AUTO(map_free) struct map *implicit = map_new(NULL);
    struct notes notes = { .owners = owners, .implicit = implicit };
    AUTO(hasher_free) struct hasher *hasher = hasher_new();
    AUTO_FREE char *place = layer_path(s, diff_id, NULL);

    TRY(decompress_new(blob, &d));
    struct hashing in = { decompress_source(d), hasher };
    AUTO(ahead_free) struct ahead *ahead = ahead_new((struct source){ hashing_read, &in }, AHEAD_BYTES);
    TRY(unpack_stream(s, ahead_source(ahead), dir, &notes));
    struct digest got = hasher_end(hasher);
    if (!digest_equal(&got, diff_id))
        return err_new(ERR_REGISTRY, "the layer's content is %s, not %s", got.text, diff_id->text);
    if (rename(dir, place) < 0 && errno != EEXIST && errno != ENOTEMPTY)
        return err_set_kind(err_sys(errno, "cannot make directory '%s'", place), ERR_DISK);
    return NULL;
}

struct err *snapshotter_unpack(struct snapshotter *s, const struct digest *diff_id, struct source blob)
{
    AUTO_FREE char *dir = NULL;

    hold_layer(s, diff_id);
    TRY(snapshot_new_dir(s, "unpack", &dir));
    struct err *e = unpack_into(s, diff_id, blob, dir);
    err_free(file_remove_tree(AT_FDCWD, dir)); /* nothing is there if it got its place */
    return err_wrap(e, "cannot unpack layer %s", diff_id->text);
}

/* ---- stacks ---- */

static struct err *load_implicit(struct layer *l, const char *path)
{
    AUTO(buf_release) struct buf in = BUF_INIT;

    if (access(path, F_OK) < 0)
        return NULL;
    TRY(file_read(path, LIMIT_OWNER_TABLE_BYTES, &in));
    for (size_t at = 0; at < in.len; at += strlen(in.data + at) + 1)
        map_set(l->implicit, in.data + at, l);
    return NULL;
}

static struct err *layer_load(struct snapshotter *s, const struct digest *diff_id, struct layer **ret)
{
    AUTO(layer_free) struct layer *l = layer_new(layer_path(s, diff_id, "fs"));
    AUTO_FREE char *dir = layer_path(s, diff_id, NULL);
    AUTO_FREE char *implicit = layer_path(s, diff_id, IMPLICIT_NAME);
    AUTO_FREE char *whiteouts = layer_path(s, diff_id, WHITEOUTS_NAME);

    l->whiteouts = access(whiteouts, F_OK) == 0;
    AUTO_CLOSE int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_new(ERR_BUG, "layer %s is used before it was unpacked", diff_id->text);
    TRY(owner_table_load(l->owners, fd, OWNERS_NAME));
    TRY(load_implicit(l, implicit));
    *ret = steal(&l);
    return NULL;
}

struct err *rootfs_compact(struct rootfs *r)
{
    AUTO_FREE char *dir = NULL;
    struct layer *merged = NULL;

    if (r->stack.n <= LAYERS_BEFORE_MERGE)
        return NULL;
    size_t n = r->stack.n - LAYERS_KEPT_APART;
    TRY(snapshot_new_dir(r->s, "merged", &dir));
    TRY(layers_merge(r->s, &r->stack, n, dir, MERGE_LINK, &merged));
    merged->made = steal(&dir);
    for (size_t i = 0; i < n; i++)
        layer_free(r->stack.items[i]);
    memmove(r->stack.items + 1, r->stack.items + n, LAYERS_KEPT_APART * sizeof(*r->stack.items));
    r->stack.items[0] = merged;
    r->stack.n = 1 + LAYERS_KEPT_APART;
    return NULL;
}

struct err *snapshot_copy_dir_meta(int from, int to, enum owner_mode owners)
{
    struct stat st;
    struct owner o;
    bool known, stored;

    if (fstat(from, &st) < 0)
        return err_sys(errno, "cannot look at a directory");
    TRY(owner_get(owners, from, &st, &o, &known));
    TRY(owner_set(owners, to, &st, &o, &stored));
    const struct timespec times[2] = { st.st_atim, st.st_mtim };
    if (fchmod(to, st.st_mode & 07777) < 0 || futimens(to, times) < 0)
        return err_sys(errno, "cannot copy the mode and time of a directory");
    return NULL;
}

/* ---- root file systems ---- */

static struct rootfs *rootfs_alloc(struct snapshotter *s)
{
    struct rootfs *r = xcalloc(1, sizeof(*r));

    r->s = s;
    return r;
}

/* An opaque root: overlayfs does not look at that mark there. */
static bool hides_all(const struct layer *l)
{
    char c;

    return getxattr(l->dir, OPAQUE_XATTR, &c, 1) == 1 && c == 'y';
}

static void drop_layers(struct rootfs *r)
{
    for (size_t i = 0; i < r->stack.n; i++)
        layer_free(r->stack.items[i]);
    vec_free(&r->stack);
}

void rootfs_stack(struct rootfs *r, struct layer *l)
{
    if (hides_all(l))
        drop_layers(r);
    vec_push(&r->stack, l);
}

struct err *rootfs_new(struct snapshotter *s, const struct digest *diff_ids, size_t n, struct rootfs **ret)
{
    AUTO(rootfs_free) struct rootfs *r = rootfs_alloc(s);

    for (size_t i = 0; i < n; i++) {
        struct layer *l = NULL;

        TRY(layer_load(s, &diff_ids[i], &l));
        rootfs_stack(r, l);
    }
    TRY(s->ops->open(r));
    *ret = steal(&r);
    return NULL;
}

struct err *rootfs_fork(struct rootfs *from, struct rootfs **ret)
{
    AUTO(rootfs_free) struct rootfs *r = rootfs_alloc(from->s);

    for (size_t i = 0; i < from->stack.n; i++)
        vec_push(&r->stack, layer_ref(from->stack.items[i]));
    TRY(from->s->ops->open(r));
    TRY(from->s->ops->fork(from, r));
    *ret = steal(&r);
    return NULL;
}

struct err *rootfs_push(struct rootfs *r, const struct digest *diff_id)
{
    struct layer *l = NULL;

    if (r->step_owners)
        return err_new(ERR_BUG, "a layer is put on a root file system with a step under way");
    TRY(layer_load(r->s, diff_id, &l));
    return err_wrap(r->s->ops->push(r, l), "cannot add a layer to the root file system");
}

struct err *rootfs_view(struct rootfs *r, int *ret_root_fd)
{
    return err_wrap(r->s->ops->view(r, ret_root_fd), "cannot show the root file system");
}

struct err *rootfs_begin(struct rootfs *r, int *ret_root_fd, const char **ret_path)
{
    if (r->step_owners && !r->carried)
        return err_new(ERR_BUG, "a step of this root file system has not ended yet");
    if (!r->carried) {
        TRY(err_wrap(r->s->ops->begin(r, &r->step_fd, &r->step_path), "cannot prepare the root file system"));
        r->step_owners = owner_table_new();
    }
    r->carried = false;
    *ret_root_fd = r->step_fd;
    *ret_path = r->step_path;
    return NULL;
}

void rootfs_carry(struct rootfs *r)
{
    r->carried = r->step_owners != NULL;
}

void rootfs_note_owner(struct rootfs *r, const char *path, const struct owner *o)
{
    if (r->step_owners)
        owner_table_set(r->step_owners, path, o);
}

bool rootfs_find_owner(const struct rootfs *r, const char *path, struct owner *ret_owner)
{
    struct owner o = r->s->ops->find_owner(r, path);

    *ret_owner = o;
    return o.uid || o.gid;
}

static void end_step(struct rootfs *r)
{
    owner_table_free(r->step_owners);
    r->step_owners = NULL;
    r->carried = false;
}

struct err *rootfs_commit(struct rootfs *r, const struct commit_opts *opts, struct sink out,
                          struct commit_stats *ret_stats)
{
    struct commit_stats stats = { 0 };

    if (!r->step_owners)
        return err_new(ERR_BUG, "there is no step to end");
    struct err *e = r->s->ops->commit(r, opts, out, &stats);
    end_step(r);
    if (!e)
        *ret_stats = stats;
    return err_wrap(e, "cannot write the changes as a layer");
}

struct err *rootfs_freeze(struct rootfs *r, struct frozen **ret)
{
    struct frozen *f = NULL;

    if (!r->step_owners)
        return err_new(ERR_BUG, "there is no step to end");
    if (r->s->ops->freeze) {
        struct err *e = r->s->ops->freeze(r, &f);

        end_step(r);
        TRY(err_wrap(e, "cannot keep the changes"));
    }
    *ret = f;
    return NULL;
}

struct err *frozen_write(struct frozen *f, const struct commit_opts *opts, struct sink out,
                         struct commit_stats *ret_stats)
{
    struct commit_stats stats = { 0 };

    TRY(err_wrap(f->s->ops->write(f, opts, out, &stats), "cannot write the changes as a layer"));
    *ret_stats = stats;
    return NULL;
}

void frozen_free(struct frozen *f)
{
    if (!f)
        return;
    for (size_t i = 0; i < f->below.n; i++)
        layer_free(f->below.items[i]);
    vec_free(&f->below);
    layer_free(f->layer);
    free(f);
}

void rootfs_abort(struct rootfs *r)
{
    if (!r->step_owners)
        return;
    r->s->ops->abort(r);
    end_step(r);
}

void rootfs_free(struct rootfs *r)
{
    if (!r)
        return;
    rootfs_abort(r);
    if (r->state)
        r->s->ops->release(r);
    drop_layers(r);
    free(r);
}
