#include "base/limits.h"
#include "build/copy_priv.h"
#include "sys/file.h"
#include "sys/path.h"

#include <fcntl.h>
#include <string.h>

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

struct err *copy_resolve(const struct copier *c, const char *path, char **ret_real)
{
    if (!c->link)
        return copy_blame(path_resolve(c->to_fd, path, ret_real));
    AUTO_FREE char *clean = path_join("/", path);
    *ret_real = xstrdup(clean + 1);
    return NULL;
}

/* A directory that no source has: root's, or --chown's. */
static struct err *own_implied(void *ctx, int parent_fd, int fd, const char *path)
{
    const struct copier *c = ctx;
    struct owner o = { 0 };
    struct stat st;
    bool stored;

    if (fstat(fd, &st) < 0)
        return err_sys(errno, "cannot make directory '%s'", path);
    if (c->spec->chown)
        o = *c->spec->chown;
    else
        TRY(owner_group_inside(c->spec->owners, parent_fd, &o.gid));
    return owner_set(c->spec->owners, fd, &st, &o, &stored);
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
    TRY(own_implied((void *)c, dir, *fd, path));
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
