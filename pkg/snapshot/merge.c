/* Stacks that need work before they are mounted: too many layers, and layers that do not name all their directories. */
#include "base/limits.h"
#include "snapshot/snapshot_priv.h"
#include "snapshot/writer_priv.h"
#include "sys/file.h"
#include "sys/image_xattr.h"
#include "sys/path.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

static bool is_opaque(int dir_fd)
{
    char c;

    return getxattr(path_of_fd(dir_fd).text, OPAQUE_XATTR, &c, 1) == 1 && c == 'y';
}

static struct err *open_dir_at(int dir_fd, const char *name, int *ret_fd)
{
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return err_sys(errno, "cannot open directory '%s'", name);
    *ret_fd = fd;
    return NULL;
}

/* ---- merging: the layers are applied one after the other, lowest first ---- */

struct merge {
    const struct snapshotter *s;
    enum merge_how how;
    const struct layer *from;
    struct layer *to;
    int to_root;
    struct map *links; /* "dev:ino" of files with several names in `from` -> path of the first in `to` (MERGE_COPY) */
};

static struct err *merge_dir(struct merge *m, int from, int to, const char *path, int depth);

/* The image's attributes of `from` in place of those of `to`. */
static struct err *copy_xattrs(int from, int to, mode_t type)
{
    AUTO(tar_entry_release) struct tar_entry have = { 0 };
    AUTO(tar_entry_release) struct tar_entry want = { 0 };

    TRY(xattrs_read_all(to, type, &have));
    TRY(xattrs_read_all(from, type, &want));
    for (size_t i = 0; i < have.n_xattrs; i++)
        image_xattr_remove(to, have.xattrs[i].name);
    for (size_t i = 0; i < want.n_xattrs; i++)
        if (image_xattr_set(to, want.xattrs[i].name, want.xattrs[i].value, want.xattrs[i].len) < 0)
            return err_sys(errno, "cannot set extended attribute '%s'", want.xattrs[i].name);
    return NULL;
}

static struct err *clear_dir(int fd)
{
    AUTO(names_release) struct names l = { 0 };

    TRY(names_read(fd, &l));
    for (size_t i = 0; i < l.n; i++)
        TRY(file_remove_tree(fd, l.items[i].text));
    return NULL;
}

/* The directory `to`/name, made if there is none. *ret_old: what it was. */
static struct err *target_dir(int to, const char *name, struct stat *ret_old, bool *ret_fresh, int *ret_fd)
{
    *ret_fresh = fstatat(to, name, ret_old, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(ret_old->st_mode);
    if (*ret_fresh) {
        TRY(file_remove_tree(to, name));
        if (mkdirat(to, name, 0700) < 0)
            return err_sys(errno, "cannot make directory '%s'", name);
    }
    return open_dir_at(to, name, ret_fd);
}

static struct err *merge_subdir(struct merge *m, int from, int to, const char *name, const char *path, int depth)
{
    AUTO_CLOSE int sub_from = -1, sub_to = -1;
    struct stat old;
    bool fresh;

    TRY(open_dir_at(from, name, &sub_from));
    TRY(target_dir(to, name, &old, &fresh, &sub_to));
    if (!fresh && is_opaque(sub_from))
        TRY(clear_dir(sub_to));
    TRY(merge_dir(m, sub_from, sub_to, path, depth + 1));
    if (!fresh && map_get(m->from->implicit, path)) {
        const struct timespec times[2] = { old.st_atim, old.st_mtim };

        return futimens(sub_to, times) < 0 ? err_sys(errno, "cannot set the time of '%s'", path) : NULL;
    }
    TRY(copy_xattrs(sub_from, sub_to, S_IFDIR));
    return snapshot_copy_dir_meta(sub_from, sub_to, m->s->owners);
}

static struct err *copy_content(struct merge *m, int from, int to, uint64_t size)
{
    if (size == 0 || ioctl(to, FICLONE, from) == 0)
        return NULL;
    return file_copy_data(from, to, size, m->s->cancel);
}

static struct err *copy_regular(struct merge *m, int from, int to, const char *name, const struct stat *st)
{
    AUTO_CLOSE int in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    AUTO_CLOSE int out = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    const struct timespec times[2] = { st->st_atim, st->st_mtim };
    struct owner o;
    bool known, stored;

    if (in < 0 || out < 0)
        return err_sys(errno, "cannot copy '%s'", name);
    TRY(copy_content(m, in, out, (uint64_t)st->st_size));
    TRY(owner_get(m->s->owners, in, st, &o, &known));
    if (known)
        TRY(owner_set(m->s->owners, out, st, &o, &stored));
    TRY(copy_xattrs(in, out, S_IFREG));
    if (fchmod(out, st->st_mode & 07777) < 0 || futimens(out, times) < 0)
        return err_sys(errno, "cannot copy the mode and time of '%s'", name);
    return NULL;
}

/* The record of an owner, where there is one, or the kernel's own. */
static struct err *copy_special_owner(struct merge *m, int from, int to, const char *name, const struct stat *st)
{
    AUTO_CLOSE int in = openat(from, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    AUTO_CLOSE int out = openat(to, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    struct owner o;
    bool known, stored;

    if (in < 0 || out < 0)
        return err_sys(errno, "cannot open '%s'", name);
    TRY(owner_get(m->s->owners, in, st, &o, &known));
    return known ? owner_set(m->s->owners, out, st, &o, &stored) : NULL;
}

static int make_special(int from, int to, const char *name, const struct stat *st)
{
    char target[LIMIT_PATH_BYTES];

    if (!S_ISLNK(st->st_mode))
        return mknodat(to, name, st->st_mode, st->st_rdev);
    ssize_t n = readlinkat(from, name, target, sizeof(target) - 1);
    if (n < 0)
        return -1;
    target[n] = '\0';
    return symlinkat(target, to, name);
}

static struct err *copy_special(struct merge *m, int from, int to, const char *name, const struct stat *st)
{
    const struct timespec times[2] = { st->st_atim, st->st_mtim };

    if (make_special(from, to, name, st) < 0)
        return err_sys(errno, "cannot copy '%s'", name);
    TRY(err_wrap(copy_special_owner(m, from, to, name, st), "cannot copy the owner of '%s'", name));
    if (!S_ISLNK(st->st_mode) && fchmodat(to, name, st->st_mode & 07777, 0) < 0)
        return err_sys(errno, "cannot copy the mode of '%s'", name);
    if (utimensat(to, name, times, AT_SYMLINK_NOFOLLOW) < 0)
        return err_sys(errno, "cannot copy the time of '%s'", name);
    return NULL;
}

static struct err *copy_file(struct merge *m, int from, int to, const char *name, const char *path)
{
    struct stat st;

    if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return err_sys(errno, "cannot look at '%s'", path);
    if (S_ISSOCK(st.st_mode))
        return NULL;
    TRY(file_remove_tree(to, name));
    if (st.st_nlink > 1) {
        AUTO_FREE char *key = xasprintf("%llu:%llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
        const char *first = map_get(m->links, key);

        if (first && linkat(m->to_root, first, to, name, 0) == 0)
            return NULL;
        map_set(m->links, key, xstrdup(path));
    }
    if (S_ISREG(st.st_mode))
        return copy_regular(m, from, to, name, &st);
    return copy_special(m, from, to, name, &st);
}

static struct err *link_file(int from, int to, const char *name, const char *path)
{
    if (linkat(from, name, to, name, 0) == 0)
        return NULL;
    if (errno == EEXIST) {
        TRY(file_remove_tree(to, name));
        if (linkat(from, name, to, name, 0) == 0)
            return NULL;
    }
    return err_sys(errno, "cannot link '%s'", path);
}

static struct err *merge_file(struct merge *m, int from, int to, const char *name, const char *path)
{
    struct owner o = { 0 }, old;

    TRY(m->how == MERGE_COPY ? copy_file(m, from, to, name, path) : link_file(from, to, name, path));
    if (owner_table_get(m->from->owners, path, &o) || owner_table_get(m->to->owners, path, &old))
        owner_table_set(m->to->owners, path, &o);
    return NULL;
}

static struct err *merge_entry(struct merge *m, int from, int to, const struct name *n, const char *path, int depth)
{
    struct stat st = { .st_mode = DTTOIF(n->type) };

    if ((n->type == DT_UNKNOWN || n->type == DT_CHR) && fstatat(from, n->text, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return err_sys(errno, "cannot look at '%s'", path);
    if (S_ISDIR(st.st_mode))
        return merge_subdir(m, from, to, n->text, path, depth);
    if (m->s->ops->overlay_marks && is_whiteout(&st))
        return file_remove_tree(to, n->text);
    return merge_file(m, from, to, n->text, path);
}

/* Whiteouts kept as files: they come first, as the directory's own files may have the same names. */
static struct err *apply_plain_marks(struct merge *m, int to, struct names *l)
{
    if (m->s->ops->overlay_marks)
        return NULL;
    for (size_t i = 0; i < l->n; i++) {
        char *name = l->items[i].text;

        if (strncmp(name, WHITEOUT_PREFIX, strlen(WHITEOUT_PREFIX)) != 0)
            continue;
        if (strcmp(name, WHITEOUT_OPAQUE) == 0)
            TRY(clear_dir(to));
        else
            TRY(file_remove_tree(to, name + strlen(WHITEOUT_PREFIX)));
        free(name);
        l->items[i].text = NULL;
    }
    return NULL;
}

static struct err *merge_dir(struct merge *m, int from, int to, const char *path, int depth)
{
    AUTO(names_release) struct names l = { 0 };

    TRY(cancel_check(m->s->cancel));
    if (depth > LIMIT_WALK_DEPTH)
        return err_new(ERR_REGISTRY, "more than %d directories deep: '%.100s...'", LIMIT_WALK_DEPTH, path);
    TRY(names_read(from, &l));
    TRY(apply_plain_marks(m, to, &l));
    for (size_t i = 0; i < l.n; i++) {
        const char *name = l.items[i].text;
        AUTO_FREE char *sub = name && *path ? xasprintf("%s/%s", path, name) : xstrdup(name ? name : "");

        if (name)
            TRY(merge_entry(m, from, to, &l.items[i], sub, depth));
    }
    return NULL;
}

static struct err *merge_layer(struct merge *m)
{
    AUTO_CLOSE int from = -1;

    TRY(open_dir_at(AT_FDCWD, m->from->dir, &from));
    TRY(merge_dir(m, from, m->to_root, "", 0));
    return snapshot_copy_dir_meta(from, m->to_root, m->s->owners);
}

struct err *layers_merge(const struct snapshotter *s, const struct layers *stack, size_t n, const char *dir,
                         enum merge_how how, struct layer **ret)
{
    AUTO(layer_free) struct layer *to = layer_new(xstrdup(dir));
    AUTO_CLOSE int to_fd = -1;

    TRY(open_dir_at(AT_FDCWD, dir, &to_fd));
    for (size_t i = 0; i < n; i++) {
        AUTO(map_free) struct map *links = map_new(free);
        struct merge m = { s, how, stack->items[i], to, to_fd, links };

        TRY(merge_layer(&m));
    }
    *ret = steal(&to);
    return NULL;
}

/* ---- directories that a layer did not name ---- */

enum found { FOUND_NOTHING, FOUND_DIR, FOUND_OTHER };

/* What a layer has at path. *ret_ends: it hides whatever lower layers have there. */
static struct err *look(int layer_fd, const char *path, bool *ret_ends, enum found *ret)
{
    AUTO_FREE char *part = xstrdup(path);

    *ret_ends = false;
    for (char *s = part;; *s++ = '/') {
        AUTO_CLOSE int fd = -1;
        struct stat st;

        s += strcspn(s, "/");
        bool last = !*s;
        *s = '\0';
        TRY(path_open_if_exists(layer_fd, part, O_PATH | O_NOFOLLOW, &fd));
        if (fd < 0) {
            *ret = FOUND_NOTHING;
            return NULL;
        }
        if (fstat(fd, &st) < 0)
            return err_sys(errno, "cannot look at '%s'", part);
        if (!S_ISDIR(st.st_mode)) {
            *ret_ends = true;
            *ret = FOUND_OTHER;
            return NULL;
        }
        *ret_ends = *ret_ends || is_opaque(fd);
        if (last) {
            *ret = FOUND_DIR;
            return NULL;
        }
    }
}

/* The layer whose directory `path` has the metadata that counts: the highest that names it, else the highest that has
 * it. *ret_highest: the layer that overlayfs would take them from. Both are stack->n if it is no directory. */
static struct err *find_dir(const struct layers *stack, const char *path, size_t *ret_layer, size_t *ret_highest)
{
    bool ends = false;

    *ret_layer = *ret_highest = stack->n;
    for (size_t i = stack->n; i-- > 0 && !ends;) {
        AUTO_CLOSE int fd = -1;
        enum found found = FOUND_NOTHING;

        TRY(open_dir_at(AT_FDCWD, stack->items[i]->dir, &fd));
        TRY(look(fd, path, &ends, &found));
        if (found != FOUND_DIR)
            continue;
        if (*ret_highest == stack->n)
            *ret_layer = *ret_highest = i;
        if (!map_get(stack->items[i]->implicit, path)) {
            *ret_layer = i;
            return NULL;
        }
    }
    return NULL;
}

struct fix {
    struct snapshotter *s;
    const struct layers *stack;
    struct layer *layer; /* NULL until there is something to fix */
    int fd;              /* its root */
    struct err *e;
};

/* Makes `path` in the new layer, with the metadata that count. Its parent is there. */
static struct err *fix_one(struct fix *f, const char *path)
{
    AUTO_CLOSE int from_root = -1, from = -1, to = -1;
    size_t layer, highest;

    if (mkdirat(f->fd, path, 0700) < 0)
        return errno == EEXIST ? NULL : err_sys(errno, "cannot make directory '%s'", path);
    TRY(find_dir(f->stack, path, &layer, &highest));
    if (layer == f->stack->n)
        return err_new(ERR_BUG, "'%s' is in no layer", path);
    TRY(open_dir_at(AT_FDCWD, f->stack->items[layer]->dir, &from_root));
    TRY(path_open(from_root, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, &from));
    TRY(path_open(f->fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, &to));
    TRY(copy_xattrs(from, to, S_IFDIR));
    return snapshot_copy_dir_meta(from, to, f->s->owners);
}

static struct err *fix_path(struct fix *f, const char *path)
{
    AUTO_FREE char *part = xstrdup(path);

    for (char *p = part;; *p++ = '/') {
        p += strcspn(p, "/");
        bool last = !*p;
        *p = '\0';
        TRY(fix_one(f, part));
        if (last)
            return NULL;
    }
}

static struct err *start_fix(struct fix *f)
{
    AUTO_FREE char *dir = NULL;

    TRY(snapshot_new_dir(f->s, "fix", &dir));
    AUTO_FREE char *root = xasprintf("%s/fs", dir);
    TRY(snapshot_make_root(root));
    TRY(open_dir_at(AT_FDCWD, root, &f->fd));
    f->layer = layer_new(steal(&root));
    f->layer->made = steal(&dir);
    return NULL;
}

static struct err *check_path(struct fix *f, const char *path)
{
    size_t layer, highest;

    TRY(cancel_check(f->s->cancel));
    TRY(find_dir(f->stack, path, &layer, &highest));
    if (layer == highest)
        return NULL;
    if (!f->layer)
        TRY(start_fix(f));
    return fix_path(f, path);
}

static void check_each(void *ctx, const char *path, void *value)
{
    struct fix *f = ctx;

    (void)value;
    if (!f->e)
        f->e = check_path(f, path);
}

struct err *layers_fix_implicit(struct snapshotter *s, struct layers *stack)
{
    struct fix f = { .s = s, .stack = stack, .fd = -1 };

    for (size_t i = 1; i < stack->n; i++) /* below the lowest there is nothing to hide */
        map_each(stack->items[i]->implicit, check_each, &f);
    close_fd(&f.fd);
    if (f.layer && !f.e)
        vec_push(stack, steal(&f.layer));
    layer_free(f.layer);
    return f.e;
}
