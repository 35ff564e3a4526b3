#include "repo/checkout.h"

#include "base/limits.h"
#include "sys/file.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

void repo_files_release(struct repo_files *f)
{
    for (size_t i = 0; i < f->n; i++)
        free(f->items[i].path);
    vec_free(f);
}

void repo_checkout_release(struct repo_checkout *c)
{
    repo_files_release(&c->files);
    repo_files_release(&c->submodules);
    buf_release(&c->path);
}

static struct err *failed(struct repo_checkout *c, const char *what)
{
    const char *path = buf_str(&c->path);

    if (errno == EEXIST)
        return err_new(ERR_DOCKERFILE, "the repository is hostile: it has '%s' twice", path);
    if (errno == ENAMETOOLONG)
        return err_new(ERR_DOCKERFILE, "the repository has a path that is too long: '%.100s...'", path);
    return err_sys(errno, "cannot %s '%s'", what, path);
}

static void remember(struct repo_files *list, const struct repo_checkout *c, const struct repo_entry *e, unsigned mode,
                     uint64_t size)
{
    struct repo_file f = { xstrndup(c->path.data, c->path.len), e->hash, mode, size };

    vec_push(list, f);
}

static struct err *set_time(struct repo_checkout *c, int dir, const char *name)
{
    const struct timespec times[2] = { { .tv_sec = c->mtime_s }, { .tv_sec = c->mtime_s } };

    return utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW) < 0 ? failed(c, "set the time of") : NULL;
}

/* ---- one entry ---- */

static struct err *make_file(struct repo_checkout *c, const struct repo_entry *e, int dir)
{
    bool program = e->kind == REPO_ENTRY_PROGRAM;
    AUTO_CLOSE int fd = openat(dir, e->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    uint64_t bytes = 0;

    if (fd < 0)
        return failed(c, "create");
    TRY(err_wrap(repo_object_write(c->objects, &e->hash, fd, &bytes), "cannot check out '%s'", buf_str(&c->path)));
    if (fchmod(fd, program ? 0755 : 0644) < 0)
        return failed(c, "change the mode of");
    c->bytes += bytes;
    if (c->record)
        remember(&c->files, c, e, program ? 0100755 : 0100644, bytes);
    return set_time(c, dir, e->name);
}

static struct err *make_symlink(struct repo_checkout *c, const struct repo_entry *e, int dir)
{
    __attribute__((cleanup(repo_object_release_auto))) struct repo_object o = { 0 };

    TRY(repo_object_read(c->objects, &e->hash, REPO_KIND_BLOB, LIMIT_PATH_BYTES - 1, &o));
    AUTO_FREE char *target = xstrndup(o.data, o.len);
    if (o.len == 0 || strlen(target) != o.len)
        return err_new(ERR_DOCKERFILE, "the repository is damaged: the symlink '%s' has no target", buf_str(&c->path));
    if (symlinkat(target, dir, e->name) < 0)
        return failed(c, "create");
    if (c->record)
        remember(&c->files, c, e, 0120000, o.len);
    return set_time(c, dir, e->name);
}

static struct err *make_dir(struct repo_checkout *c, const char *name, int dir, int *ret_fd)
{
    int fd = mkdirat(dir, name, 0755) < 0 ? -1 : openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0 || fchmod(fd, 0755) < 0) {
        struct err *e = failed(c, "make the directory");

        close_fd(&fd);
        return e;
    }
    *ret_fd = fd;
    return NULL;
}

static struct err *make_submodule(struct repo_checkout *c, const struct repo_entry *e, int dir)
{
    AUTO_CLOSE int fd = -1;

    TRY(make_dir(c, e->name, dir, &fd));
    remember(&c->submodules, c, e, 0160000, 0);
    if (c->record)
        remember(&c->files, c, e, 0160000, 0);
    return set_time(c, dir, e->name);
}

static struct err *make_tree(struct repo_checkout *c, const struct repo_hash *tree, int fd, int depth);

static struct err *make_subtree(struct repo_checkout *c, const struct repo_entry *e, int dir, int depth)
{
    AUTO_CLOSE int fd = -1;

    TRY(make_dir(c, e->name, dir, &fd));
    return make_tree(c, &e->hash, fd, depth + 1);
}

static struct err *make_entry(struct repo_checkout *c, const struct repo_entry *e, int dir, int depth)
{
    switch (e->kind) {
    case REPO_ENTRY_FILE:
    case REPO_ENTRY_PROGRAM:
        return make_file(c, e, dir);
    case REPO_ENTRY_SYMLINK:
        return make_symlink(c, e, dir);
    case REPO_ENTRY_SUBMODULE:
        return make_submodule(c, e, dir);
    case REPO_ENTRY_TREE:
        return make_subtree(c, e, dir, depth);
    }
    return err_new(ERR_BUG, "an entry of unknown kind");
}

/* ---- a tree ---- */

/* The entry, and back to the directory's path. Trees inside each other many times over grow without end. */
static struct err *visit(struct repo_checkout *c, const struct repo_entry *e, int dir, int depth)
{
    size_t len = c->path.len;

    TRY(cancel_check(c->cancel));
    if (++c->count > LIMIT_GIT_FILES)
        return err_new(ERR_DOCKERFILE, "the repository has more than %d files", LIMIT_GIT_FILES);
    if (len)
        buf_putc(&c->path, '/');
    buf_puts(&c->path, e->name);
    TRY(make_entry(c, e, dir, depth));
    c->path.len = len;
    c->path.data[len] = '\0';
    return NULL;
}

static struct err *make_tree(struct repo_checkout *c, const struct repo_hash *tree, int fd, int depth)
{
    __attribute__((cleanup(repo_object_release_auto))) struct repo_object o = { 0 };
    size_t pos = 0;

    if (depth > LIMIT_GIT_DEPTH)
        return err_new(ERR_DOCKERFILE, "the repository has directories more than %d deep", LIMIT_GIT_DEPTH);
    TRY(repo_object_read(c->objects, tree, REPO_KIND_TREE, LIMIT_GIT_TREE_BYTES, &o));
    for (;;) {
        struct repo_entry e;
        bool found;

        TRY(repo_parse_entry(o.data, o.len, &pos, &e, &found));
        if (!found)
            break;
        TRY(visit(c, &e, fd, depth));
    }
    const struct timespec times[2] = { { .tv_sec = c->mtime_s }, { .tv_sec = c->mtime_s } };
    return futimens(fd, times) < 0 ? failed(c, "set the time of") : NULL;
}

struct err *repo_checkout_tree(struct repo_checkout *c, const struct repo_hash *tree, int fd)
{
    return make_tree(c, tree, fd, 0);
}

/* ---- looking for one entry ---- */

static struct err *find_in(struct repo_objects *o, const struct repo_hash *tree, const char *name, size_t n,
                           struct repo_entry *ret, bool *ret_found)
{
    __attribute__((cleanup(repo_object_release_auto))) struct repo_object obj = { 0 };
    size_t pos = 0;

    TRY(repo_object_read(o, tree, REPO_KIND_TREE, LIMIT_GIT_TREE_BYTES, &obj));
    for (;;) {
        TRY(repo_parse_entry(obj.data, obj.len, &pos, ret, ret_found));
        if (!*ret_found || (strlen(ret->name) == n && strncmp(ret->name, name, n) == 0))
            break;
    }
    ret->name = NULL; /* its text goes with the tree */
    return NULL;
}

struct err *repo_tree_find(struct repo_objects *o, const struct repo_hash *tree, const char *path,
                           struct repo_entry *ret, size_t *ret_len, bool *ret_found)
{
    struct repo_entry at = { .kind = REPO_ENTRY_TREE, .hash = *tree };
    const char *s = path + strspn(path, "/");

    *ret_found = true;
    while (*s && *ret_found && at.kind == REPO_ENTRY_TREE) {
        size_t n = strcspn(s, "/");
        struct repo_hash inside = at.hash;

        TRY(find_in(o, &inside, s, n, &at, ret_found));
        s += n;
        *ret_len = (size_t)(s - path);
        s += strspn(s, "/");
    }
    *ret_found = *ret_found && (!*s || at.kind == REPO_ENTRY_SUBMODULE);
    *ret = at;
    return NULL;
}
