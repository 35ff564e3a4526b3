/* From what a supervised call names to an open file. The kernel resolves: our root directory is the caller's, so that
 * absolute paths, absolute links and ".." mean what they mean there. Links of /proc that lead into a process are
 * refused to paths, as they would be ours; those of the caller itself are followed by name. */
#include "sandbox/record_priv.h"

#include "sys/path.h"

#include <ctype.h>
#include <errno.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>

/* ---- what the row says ---- */

int record_read_path(struct call *c)
{
    uint64_t address = c->row->path == NO_ARG ? 0 : c->arg[c->row->path];

    c->path[0] = '\0';
    if (c->row->path == NO_ARG)
        return 0;
    if (!address) /* "the descriptor itself" */
        return (record_flags_of(c) & AT_EMPTY_PATH) || (c->row->fixed & NULL_PATH) ? 0 : -EFAULT;
    return task_read_string(c, address, c->path, sizeof(c->path));
}

int record_dir_of(const struct call *c)
{
    return c->row->dir == NO_ARG ? AT_FDCWD : arg_int(c, c->row->dir);
}

int record_flags_of(const struct call *c)
{
    return c->row->flags == NO_ARG ? (int)c->row->fixed : arg_int(c, c->row->flags);
}

/* ---- paths of ours ---- */

static char *put_text(char *at, const char *text, size_t len)
{
    memcpy(at, text, len);
    return at + len;
}

static char *put_number(char *at, unsigned n)
{
    char digits[16];
    size_t i = sizeof(digits);

    do {
        digits[--i] = (char)('0' + n % 10);
        n /= 10;
    } while (n);
    return put_text(at, digits + i, sizeof(digits) - i);
}

/* Not by snprintf(3): it takes longer than the kernel does for the look. */
void record_own_path(const struct call *c, int dir, const char *path, size_t len, const char *last,
                     struct own_path *ret)
{
    char *at = ret->text;

    if (path[0] != '/') {
        at = put_number(at, (unsigned)c->tid);
        at = dir == AT_FDCWD ? put_text(at, "/cwd", 4) : put_number(put_text(at, "/fd/", 4), (unsigned)dir);
        if (len || *last)
            *at++ = '/';
    }
    at = put_text(at, path, len);
    at = put_text(at, last, strlen(last));
    *at = '\0';
}

/* ---- our root directory ---- */

static int change_root(const struct recorder *r, int fd)
{
    if (fchdir(fd) < 0 || chroot(".") < 0 || fchdir(r->proc_fd) < 0)
        return -errno;
    return 0;
}

int record_enter_root(struct call *c)
{
    struct recorder *r = c->r;
    char path[32];

    if (!c->cred->chrooted && !r->elsewhere)
        return 0;
    if (!c->cred->chrooted) {
        r->elsewhere = false;
        return change_root(r, r->root_fd);
    }
    (void)snprintf(path, sizeof(path), "%d/root", (int)c->tid);
    AUTO_CLOSE int fd = openat(r->proc_fd, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    r->elsewhere = true;
    return change_root(r, fd);
}

/* ---- where a path starts ---- */

static int open_of_caller(const struct call *c, const char *what)
{
    AUTO_FREE char *path = xasprintf("%d/%s", (int)c->tid, what);
    int fd = openat(c->r->proc_fd, path, O_PATH | O_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

static int open_base(const struct call *c, int dir)
{
    return dir == AT_FDCWD ? open_of_caller(c, "cwd") : task_get_fd(c, dir);
}

static bool skip_prefix(const char **path, const char *prefix)
{
    size_t n = strlen(prefix);

    if (strncmp(*path, prefix, n) != 0)
        return false;
    *path += n;
    return true;
}

/* "/dev/fd/3", "/proc/self/cwd/x", "/dev/stdout": links into the caller itself. An O_PATH descriptor of what the link
 * leads to, or -1; *path becomes the rest, without leading slashes. */
static int enter_own_proc(const struct call *c, const char **path)
{
    static const char *const standard[] = { "/dev/stdin", "/dev/stdout", "/dev/stderr" };
    const char *p = *path;

    for (int i = 0; i < 3; i++)
        if (strcmp(p, standard[i]) == 0) {
            *path = "";
            return task_get_fd(c, i);
        }
    bool fds = skip_prefix(&p, "/dev/fd/");
    bool own = !fds && (skip_prefix(&p, "/proc/self/") || skip_prefix(&p, "/proc/thread-self/"));
    if (own)
        fds = skip_prefix(&p, "fd/");
    size_t n = strcspn(p, "/");
    AUTO_FREE char *name = xstrndup(p, n);
    int fd = -1;
    if (fds && n && n < 8 && strspn(name, "0123456789") == n)
        fd = task_get_fd(c, (int)strtol(name, NULL, 10));
    else if (own && !fds && (strcmp(name, "cwd") == 0 || strcmp(name, "root") == 0 || strcmp(name, "exe") == 0))
        fd = open_of_caller(c, name);
    if (fd >= 0)
        *path = p + n + strspn(p + n, "/");
    return fd < 0 ? -1 : fd;
}

static int open_below(int base, const char *path, int flags, uint64_t resolve)
{
    struct open_how how = { .flags = (uint64_t)(flags | O_PATH | O_CLOEXEC),
                            .resolve = resolve | RESOLVE_NO_MAGICLINKS };
    int fd = (int)syscall(SYS_openat2, base, path, &how, sizeof(how));

    if (fd >= 0)
        return fd;
    /* a loop of links and a link of /proc look alike: the kernel will tell the caller which it is */
    return errno == ELOOP ? LEAVE_IT : -errno;
}

/* Is it a link of the caller's /proc, as /dev/stdout is one? */
static int follow_own_link(struct call *c, int base, const char *path)
{
    char text[64];
    AUTO_CLOSE int link = open_below(base, path, O_NOFOLLOW, 0);
    ssize_t n = link > LEAVE_IT ? readlinkat(link, "", text, sizeof(text) - 1) : -1;

    if (n <= 0)
        return LEAVE_IT;
    text[n] = '\0';
    const char *rest = text;
    int fd = enter_own_proc(c, &rest);
    if (fd >= 0 && *rest) {
        close(fd);
        return LEAVE_IT;
    }
    return fd < 0 ? LEAVE_IT : fd;
}

/* An O_PATH descriptor, LEAVE_IT, or a negative errno. No descriptor is 1: standard output is kept open. */
static int open_path(struct call *c, int dir, const char *path, int flags, uint64_t resolve)
{
    AUTO_CLOSE int base = path[0] == '/' ? enter_own_proc(c, &path) : -1;
    if (base >= 0 && !*path)
        return flags & O_NOFOLLOW ? LEAVE_IT : steal_fd(&base);
    if (path[0] != '/' && base < 0)
        base = open_base(c, dir);
    if (path[0] != '/' && base < 0)
        return base;
    int fd = open_below(base < 0 ? AT_FDCWD : base, path, flags, resolve);
    if (fd == LEAVE_IT && !(flags & O_NOFOLLOW))
        fd = follow_own_link(c, base < 0 ? AT_FDCWD : base, path);
    return fd;
}

/* ---- targets ---- */

int target_of_fd(struct call *c, int fd, struct target *t)
{
    int own = task_get_fd(c, fd);

    return own < 0 ? own : target_look(c, own, t);
}

int target_open_at(struct call *c, int dir, const char *path, bool follow, uint64_t resolve, struct target *t)
{
    int fd = open_path(c, dir, path, follow ? 0 : O_NOFOLLOW, resolve);

    return fd <= LEAVE_IT ? fd : target_look(c, fd, t);
}

int target_open(struct call *c, bool follow, uint64_t resolve, struct target *t)
{
    int dir = record_dir_of(c);

    if (!c->path[0]) {
        if (c->row->path != NO_ARG && c->arg[c->row->path] && !(record_flags_of(c) & AT_EMPTY_PATH))
            return -ENOENT;
        if (dir != AT_FDCWD)
            return target_of_fd(c, dir, t);
        return c->row->fixed & NULL_PATH ? -EFAULT : target_open_at(c, dir, ".", true, 0, t);
    }
    return target_open_at(c, dir, c->path, follow, resolve, t);
}

/* ---- places ---- */

/* Splits `text` at its last component; NULL: that is none that can be made or removed. *ret_parent: "." if there is no
 * slash. Slashes at the end do not count. */
static const char *split(char *text, const char **ret_parent)
{
    size_t n = strlen(text);

    while (n > 1 && text[n - 1] == '/')
        text[--n] = '\0';
    char *slash = strrchr(text, '/');
    const char *name = slash ? slash + 1 : text;
    if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return NULL;
    *ret_parent = !slash ? "." : slash == text ? "/" : text;
    if (slash)
        *slash = '\0';
    return name;
}

int place_open(struct call *c, int dir, const char *path, uint64_t resolve, struct place *p)
{
    char text[LIMIT_PATH_BYTES];
    const char *parent;

    (void)snprintf(text, sizeof(text), "%s", path);
    const char *name = split(text, &parent);
    if (!name)
        return LEAVE_IT;
    if (strlen(name) > NAME_MAX)
        return -ENAMETOOLONG;
    memcpy(p->name, name, strlen(name) + 1);
    p->from = dir;
    p->absolute = path[0] == '/';
    int fd = open_path(c, dir, parent, O_DIRECTORY, resolve);
    return fd <= LEAVE_IT ? fd : target_look(c, fd, &p->dir);
}
