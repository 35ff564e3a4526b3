#include "base/limits.h"
#include "build/copy_priv.h"
#include "sys/file.h"
#include "sys/path.h"

#include <fcntl.h>
#include <string.h>

#define MAX_LINKS 255 /* as BuildKit follows */

struct err *copy_blame(struct err *e)
{
    switch (err_errno(e)) {
    case ENOTDIR:
    case EISDIR:
    case EEXIST:
    case ELOOP:
    case ENAMETOOLONG:
        return err_set_kind(e, ERR_DOCKERFILE);
    default:
        return e;
    }
}

size_t copy_push(struct buf *path, const char *name)
{
    size_t len = path->len;

    if (len)
        buf_putc(path, '/');
    buf_puts(path, name);
    return len;
}

void copy_pop(struct buf *path, size_t len)
{
    path->len = len;
    if (path->data)
        path->data[len] = '\0';
}

static void pop_component(struct buf *path)
{
    const char *slash = path->len ? memrchr(path->data, '/', path->len) : NULL;

    copy_pop(path, slash ? (size_t)(slash - path->data) : 0);
}

/* If the end of `real` is a symlink, its target goes before `todo`. */
static struct err *follow(const struct copier *c, struct buf *real, struct buf *todo, int *links)
{
    char target[LIMIT_PATH_BYTES + 1];
    AUTO_CLOSE int fd = -1;
    struct stat st;

    TRY(path_open_if_exists(c->to_fd, real->data, O_PATH | O_NOFOLLOW, &fd));
    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) < 0)
        return err_sys(errno, "cannot look at '/%s'", real->data);
    if (!S_ISLNK(st.st_mode))
        return NULL;
    ssize_t n = readlinkat(fd, "", target, sizeof(target) - 1);
    if (n < 0 || ++*links > MAX_LINKS || todo->len > (size_t)LIMIT_PATH_BYTES * 4)
        return err_sys(n < 0 ? errno : ELOOP, "cannot follow '/%s'", real->data);
    target[n] = '\0';
    AUTO_FREE char *rest = buf_steal(todo);
    buf_printf(todo, "%s/%s", target, rest);
    pop_component(real);
    if (*target == '/')
        copy_pop(real, 0);
    return NULL;
}

struct err *copy_resolve(const struct copier *c, const char *path, char **ret_real)
{
    AUTO(buf_release) struct buf real = BUF_INIT, todo = BUF_INIT;
    int links = 0;

    if (c->link) {
        AUTO_FREE char *clean = path_join("/", path);

        *ret_real = xstrdup(clean + 1);
        return NULL;
    }
    buf_puts(&todo, path);
    for (;;) {
        const char *s = buf_str(&todo);
        size_t skip = strspn(s, "/"), n = strcspn(s + skip, "/");
        AUTO_FREE char *name = xstrndup(s + skip, n);
        AUTO_FREE char *rest = xstrdup(s + skip + n);

        if (!n)
            break;
        buf_clear(&todo);
        buf_puts(&todo, rest);
        if (strcmp(name, "..") == 0) {
            pop_component(&real);
        } else if (strcmp(name, ".") != 0) {
            (void)copy_push(&real, name);
            TRY(copy_blame(follow(c, &real, &todo, &links)));
        }
    }
    *ret_real = buf_steal(&real);
    return NULL;
}

/* A directory that no source has: root's, or --chown's. */
static struct err *own_implied(void *ctx, int fd, const char *path)
{
    static const struct owner root = { 0 };
    const struct copier *c = ctx;
    struct stat st;
    bool stored;

    if (fstat(fd, &st) < 0)
        return err_sys(errno, "cannot make directory '%s'", path);
    return owner_set(c->spec->owners, fd, &st, c->spec->chown ? c->spec->chown : &root, &stored);
}

/* One directory of the way, in a root that counts as empty. */
static struct err *link_one(const struct copier *c, const char *path, mode_t mode, int *fd)
{
    AUTO_FREE char *name = NULL;
    AUTO_CLOSE int dir = -1;

    close_fd(fd);
    TRY(path_open_parent(c->to_fd, path, &dir, &name));
    *fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (*fd < 0 && (errno == ENOTDIR || errno == ELOOP) && unlinkat(dir, name, 0) < 0)
        return err_sys(errno, "cannot replace '/%s'", path);
    if (*fd < 0 && mkdirat(dir, name, 0700) == 0)
        *fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (*fd < 0)
        return err_sys(errno, "cannot make directory '/%s'", path);
    TRY(own_implied((void *)c, *fd, path));
    return fchmod(*fd, mode) < 0 ? err_sys(errno, "cannot make directory '/%s'", path) : NULL;
}

/* --link makes a layer of its own: the directories on the way are in it, with the mode that they would have in an empty
 * root. */
static struct err *link_mkdirs(const struct copier *c, const char *real, mode_t mode, int *ret_fd)
{
    AUTO_CLOSE int fd = -1;

    if (!*real)
        return path_open(c->to_fd, "/", O_RDONLY | O_DIRECTORY, 0, ret_fd);
    for (const char *end = real + strcspn(real, "/");; end += 1 + strcspn(end + 1, "/")) {
        AUTO_FREE char *path = xstrndup(real, (size_t)(end - real));

        TRY(link_one(c, path, mode, &fd));
        if (!*end)
            break;
    }
    *ret_fd = steal_fd(&fd);
    return NULL;
}

struct err *copy_mkdirs(const struct copier *c, const char *real, mode_t mode, int *ret_fd)
{
    if (c->link)
        return copy_blame(link_mkdirs(c, real, mode, ret_fd));
    return copy_blame(path_mkdirs(c->to_fd, real, mode, own_implied, (void *)c, ret_fd));
}

struct err *copy_clear(const struct copier *c, int dir_fd, const char *name)
{
    if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT)
        return NULL;
    if (errno != EISDIR)
        return err_sys(errno, "cannot replace '/%s'", c->dst.data);
    if (c->link)
        return file_remove_tree(dir_fd, name);
    return err_new(ERR_DOCKERFILE, "cannot replace the directory '/%s' with a file", c->dst.data);
}
