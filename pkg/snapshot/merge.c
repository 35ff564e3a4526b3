/* Stacks that need work before they are mounted: too many layers, and layers that do not name all their directories. */
#include "base/limits.h"
#include "snapshot/snapshot_priv.h"
#include "snapshot/writer_priv.h"
#include "sys/file.h"
#include "sys/path.h"

#include <fcntl.h>
#include <string.h>
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
    enum owner_mode owners;
    const struct cancel *cancel;
    const struct layer *from;
    struct layer *to;
};

static struct err *merge_dir(struct merge *m, int from, int to, const char *path, int depth);

/* The image's attributes of `from` in place of those of `to`. */
static struct err *copy_xattrs(int from, int to)
{
    AUTO(tar_entry_release) struct tar_entry have = { 0 };
    AUTO(tar_entry_release) struct tar_entry want = { 0 };

    TRY(xattrs_read(to, NULL, S_IFDIR, &have));
    TRY(xattrs_read(from, NULL, S_IFDIR, &want));
    for (size_t i = 0; i < have.n_xattrs; i++)
        (void)fremovexattr(to, have.xattrs[i].name);
    for (size_t i = 0; i < want.n_xattrs; i++)
        if (fsetxattr(to, want.xattrs[i].name, want.xattrs[i].value, want.xattrs[i].len, 0) < 0)
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

static struct err *merge_subdir(struct merge *m, int from, int to, const char *name, const char *path, int depth)
{
    AUTO_CLOSE int sub_from = -1, sub_to = -1;
    struct stat st;
    bool fresh = false;

    TRY(open_dir_at(from, name, &sub_from));
    if (fstatat(to, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode)) {
        TRY(file_remove_tree(to, name));
        if (mkdirat(to, name, 0700) < 0)
            return err_sys(errno, "cannot make directory '%s'", path);
        fresh = true;
    }
    TRY(open_dir_at(to, name, &sub_to));
    if (!fresh && is_opaque(sub_from))
        TRY(clear_dir(sub_to));
    const struct timespec times[2] = { st.st_atim, st.st_mtim };
    TRY(merge_dir(m, sub_from, sub_to, path, depth + 1));
    if (!fresh && strs_has(&m->from->implicit, path))
        return futimens(sub_to, times) < 0 ? err_sys(errno, "cannot set the time of '%s'", path) : NULL;
    TRY(copy_xattrs(sub_from, sub_to));
    return snapshot_copy_dir_meta(sub_from, sub_to, m->owners);
}

static struct err *merge_file(struct merge *m, int from, int to, const char *name, const char *path)
{
    struct owner o = { 0 }, old;

    if (linkat(from, name, to, name, 0) < 0) {
        if (errno != EEXIST)
            return err_sys(errno, "cannot link '%s'", path);
        TRY(file_remove_tree(to, name));
        if (linkat(from, name, to, name, 0) < 0)
            return err_sys(errno, "cannot link '%s'", path);
    }
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
    if (is_whiteout(&st))
        return file_remove_tree(to, n->text);
    return merge_file(m, from, to, n->text, path);
}

static struct err *merge_dir(struct merge *m, int from, int to, const char *path, int depth)
{
    AUTO(names_release) struct names l = { 0 };

    TRY(cancel_check(m->cancel));
    if (depth > LIMIT_WALK_DEPTH)
        return err_new(ERR_REGISTRY, "more than %d directories deep: '%.100s...'", LIMIT_WALK_DEPTH, path);
    TRY(names_read(from, &l));
    for (size_t i = 0; i < l.n; i++) {
        AUTO_FREE char *sub = *path ? xasprintf("%s/%s", path, l.items[i].text) : xstrdup(l.items[i].text);

        TRY(merge_entry(m, from, to, &l.items[i], sub, depth));
    }
    return NULL;
}

struct err *layers_merge(const struct layers *stack, size_t n, const char *dir, enum owner_mode owners,
                         const struct cancel *cancel, struct layer **ret)
{
    AUTO(layer_free) struct layer *to = layer_new(xstrdup(dir));
    AUTO_CLOSE int to_fd = -1;

    TRY(open_dir_at(AT_FDCWD, dir, &to_fd));
    for (size_t i = 0; i < n; i++) {
        struct merge m = { .owners = owners, .cancel = cancel, .from = stack->items[i], .to = to };
        AUTO_CLOSE int from_fd = -1;

        TRY(open_dir_at(AT_FDCWD, m.from->dir, &from_fd));
        TRY(merge_dir(&m, from_fd, to_fd, "", 0));
        TRY(snapshot_copy_dir_meta(from_fd, to_fd, owners));
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
        if (!strs_has(&stack->items[i]->implicit, path)) {
            *ret_layer = i;
            return NULL;
        }
    }
    return NULL;
}

/* Makes fix_fd/path as a directory with the metadata that count. Its parent is there. */
static struct err *fix_one(struct snapshotter *s, const struct layers *stack, int fix_fd, const char *path)
{
    AUTO_CLOSE int from_root = -1, from = -1, to = -1;
    size_t layer, highest;

    if (mkdirat(fix_fd, path, 0700) < 0)
        return errno == EEXIST ? NULL : err_sys(errno, "cannot make directory '%s'", path);
    TRY(find_dir(stack, path, &layer, &highest));
    if (layer == stack->n)
        return err_new(ERR_BUG, "'%s' is in no layer", path);
    TRY(open_dir_at(AT_FDCWD, stack->items[layer]->dir, &from_root));
    TRY(path_open(from_root, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, &from));
    TRY(path_open(fix_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, &to));
    TRY(copy_xattrs(from, to));
    return snapshot_copy_dir_meta(from, to, s->owners);
}

static struct err *fix_path(struct snapshotter *s, const struct layers *stack, int fix_fd, const char *path)
{
    AUTO_FREE char *part = xstrdup(path);

    for (char *p = part;; *p++ = '/') {
        p += strcspn(p, "/");
        bool last = !*p;
        *p = '\0';
        TRY(fix_one(s, stack, fix_fd, part));
        if (last)
            return NULL;
    }
}

static struct err *start_fix(struct snapshotter *s, struct layer **fix, int *fix_fd)
{
    AUTO_FREE char *dir = NULL;

    if (*fix)
        return NULL;
    TRY(snapshot_new_dir(s, "fix", &dir));
    AUTO_FREE char *root = xasprintf("%s/fs", dir);
    TRY(snapshot_make_root(root));
    TRY(open_dir_at(AT_FDCWD, root, fix_fd));
    *fix = layer_new(steal(&root));
    return NULL;
}

struct err *layers_fix_implicit(struct snapshotter *s, struct layers *stack)
{
    AUTO(layer_free) struct layer *fix = NULL;
    AUTO_CLOSE int fix_fd = -1;

    for (size_t i = 1; i < stack->n; i++) /* below the lowest there is nothing to hide */
        for (size_t k = 0; k < stack->items[i]->implicit.n; k++) {
            const char *path = stack->items[i]->implicit.items[k];
            size_t layer, highest;

            TRY(cancel_check(s->cancel));
            TRY(find_dir(stack, path, &layer, &highest));
            if (layer == highest)
                continue;
            TRY(start_fix(s, &fix, &fix_fd));
            TRY(fix_path(s, stack, fix_fd, path));
        }
    if (fix)
        vec_push(stack, steal(&fix));
    return NULL;
}
