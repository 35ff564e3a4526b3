#include "sys/path.h"

#include "base/buf.h"
#include "base/limits.h"
#include "base/mem.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#define MAX_LINKS 255 /* as BuildKit follows */

/* "." for the root itself: openat2 refuses "" */
static const char *relative(const char *path)
{
    while (*path == '/')
        path++;
    return *path ? path : ".";
}

static int open_in_root(int root_fd, const char *path, int flags, mode_t mode)
{
    struct open_how how = {
        .flags = (uint64_t)(flags | O_CLOEXEC),
        .mode = (flags & (O_CREAT | O_TMPFILE)) ? mode : 0,
        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
    };
    long fd;

    do /* EAGAIN: a rename somewhere raced with ".." */
        fd = syscall(SYS_openat2, root_fd, relative(path), &how, sizeof(how));
    while (fd < 0 && (errno == EAGAIN || errno == EINTR));
    return (int)fd;
}

struct err *path_open(int root_fd, const char *path, int flags, mode_t mode, int *ret_fd)
{
    int fd = open_in_root(root_fd, path, flags, mode);

    if (fd < 0)
        return err_sys(errno, "cannot open '%s'", path);
    *ret_fd = fd;
    return NULL;
}

struct err *path_open_if_exists(int root_fd, const char *path, int flags, int *ret_fd)
{
    int fd = open_in_root(root_fd, path, flags, 0);

    if (fd < 0 && errno != ENOENT && errno != ENOTDIR)
        return err_sys(errno, "cannot open '%s'", path);
    *ret_fd = fd < 0 ? -1 : fd;
    return NULL;
}

struct err *path_open_parent(int root_fd, const char *path, int *ret_dir_fd, char **ret_name)
{
    AUTO_FREE char *clean = path_clean(path);
    const char *rel = relative(clean);
    const char *slash = strrchr(rel, '/');
    AUTO_FREE char *dir = slash ? xstrndup(rel, (size_t)(slash - rel)) : xstrdup(".");

    if (strcmp(rel, ".") == 0 || strcmp(rel, "..") == 0)
        return err_new(ERR_BUG, "'%s' has no parent directory", path);
    TRY(path_open(root_fd, dir, O_PATH | O_DIRECTORY, 0, ret_dir_fd));
    *ret_name = xstrdup(slash ? slash + 1 : rel);
    return NULL;
}

/* Makes root_fd/path, whose parent exists. The mode is set after: the umask belongs to the caller's process. */
static struct err *make_one(int root_fd, const char *path, mode_t mode, path_made_fn *made, void *ctx)
{
    AUTO_CLOSE int dir = -1, fd = -1;
    AUTO_FREE char *name = NULL;
    struct stat parent;

    TRY(path_open_parent(root_fd, path, &dir, &name));
    if (mkdirat(dir, name, mode) < 0)
        return errno == EEXIST ? NULL : err_sys(errno, "cannot make directory '%s'", path);
    fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(dir, &parent) < 0)
        return err_sys(errno, "cannot open directory '%s'", path);
    if (made)
        TRY(made(ctx, dir, fd, path));
    if (fchmod(fd, mode | (parent.st_mode & S_ISGID)) < 0)
        return err_sys(errno, "cannot make directory '%s'", path);
    return NULL;
}

struct err *path_mkdirs(int root_fd, const char *path, mode_t mode, path_made_fn *made, void *ctx, int *ret_fd)
{
    AUTO_FREE char *clean = path_clean(path);
    char *rel = clean;

    while (*rel == '/')
        rel++;
    int fd = open_in_root(root_fd, rel, O_RDONLY | O_DIRECTORY, 0);
    for (char *s = rel; fd < 0 && errno == ENOENT && *s;) {
        s += strcspn(s, "/");
        char c = *s;
        *s = '\0';
        TRY(make_one(root_fd, rel, mode, made, ctx));
        *s = c;
        s += c == '/';
        if (!*s)
            fd = open_in_root(root_fd, rel, O_RDONLY | O_DIRECTORY, 0);
        else
            errno = ENOENT;
    }
    if (fd < 0)
        return err_sys(errno, "cannot make directory '%s'", path);
    *ret_fd = fd;
    return NULL;
}

static void pop_component(struct buf *out, size_t floor)
{
    while (out->len > floor && out->data[out->len - 1] != '/')
        out->len--;
    if (out->len > floor)
        out->len--; /* the slash */
}

static bool ends_with_dotdot(const struct buf *out)
{
    return out->len >= 2 && out->data[out->len - 1] == '.' && out->data[out->len - 2] == '.' &&
           (out->len == 2 || out->data[out->len - 3] == '/');
}

char *path_clean(const char *path)
{
    AUTO(buf_release) struct buf out = BUF_INIT;
    bool rooted = *path == '/';
    size_t floor = rooted;

    if (rooted)
        buf_putc(&out, '/');
    while (*path) {
        size_t n = strcspn(path, "/");

        if (n == 2 && path[0] == '.' && path[1] == '.') {
            if (out.len > floor && !ends_with_dotdot(&out)) {
                pop_component(&out, floor);
            } else if (!rooted) {
                buf_puts(&out, out.len ? "/.." : "..");
            }
        } else if (n > 0 && !(n == 1 && path[0] == '.')) {
            if (out.len > floor)
                buf_putc(&out, '/');
            buf_add(&out, path, n);
        }
        path += n + (path[n] == '/');
    }
    if (out.len == 0)
        buf_putc(&out, '.');
    (void)buf_str(&out);
    return buf_steal(&out);
}

char *path_join(const char *a, const char *b)
{
    AUTO_FREE char *both = *a ? xasprintf("%s/%s", a, b) : xstrdup(b);

    return path_clean(both);
}

struct path_fd path_of_fd(int fd)
{
    struct path_fd p;

    (void)snprintf(p.text, sizeof(p.text), "/proc/self/fd/%d", fd);
    return p;
}

ssize_t fd_getxattr(int fd, const char *name, void *value, size_t size)
{
    ssize_t n = fgetxattr(fd, name, value, size);

    return n < 0 && errno == EBADF ? getxattr(path_of_fd(fd).text, name, value, size) : n;
}

ssize_t fd_listxattr(int fd, char *list, size_t size)
{
    ssize_t n = flistxattr(fd, list, size);

    return n < 0 && errno == EBADF ? listxattr(path_of_fd(fd).text, list, size) : n;
}

int fd_setxattr(int fd, const char *name, const void *value, size_t size)
{
    int n = fsetxattr(fd, name, value, size, 0);

    return n < 0 && errno == EBADF ? setxattr(path_of_fd(fd).text, name, value, size, 0) : n;
}

/* ---- where a path leads to ---- */

/* If the end of `real` is a symlink, its target goes before `todo`. */
static struct err *follow(int root_fd, struct buf *real, struct buf *todo, int *links)
{
    char target[LIMIT_PATH_BYTES + 1];
    AUTO_CLOSE int fd = -1;
    struct stat st;

    TRY(path_open_if_exists(root_fd, buf_str(real), O_PATH | O_NOFOLLOW, &fd));
    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) < 0)
        return err_sys(errno, "cannot look at '/%s'", buf_str(real));
    if (!S_ISLNK(st.st_mode))
        return NULL;
    ssize_t n = readlinkat(fd, "", target, sizeof(target) - 1);
    if (n < 0 || ++*links > MAX_LINKS || todo->len > (size_t)LIMIT_PATH_BYTES * 4)
        return err_sys(n < 0 ? errno : ELOOP, "cannot follow '/%s'", buf_str(real));
    target[n] = '\0';
    AUTO_FREE char *rest = buf_steal(todo);
    buf_printf(todo, "%s/%s", target, rest);
    pop_component(real, 0);
    if (*target == '/')
        buf_clear(real);
    return NULL;
}

struct err *path_resolve(int root_fd, const char *path, char **ret_real)
{
    AUTO(buf_release) struct buf real = BUF_INIT, todo = BUF_INIT;
    int links = 0;

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
            pop_component(&real, 0);
        } else if (strcmp(name, ".") != 0) {
            buf_printf(&real, "%s%s", real.len ? "/" : "", name);
            TRY(follow(root_fd, &real, &todo, &links));
        }
    }
    *ret_real = buf_steal(&real);
    return NULL;
}
