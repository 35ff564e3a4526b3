/* Records at files: reading and writing the attributes (sys/owner.h) that hold them, and the first look that tells most
 * files from those that have one. Most calls end with that look, so it is one question to the file system. */
#include "sandbox/record_priv.h"

#include "sys/path.h"

#include <errno.h>
#include <string.h>
#include <sys/xattr.h>

#define NAMES_BYTES 512 /* of a file's attributes; whoever has more is looked at again */

struct path_fd record_fd_path(int fd)
{
    struct path_fd p;

    (void)snprintf(p.text, sizeof(p.text), "self/fd/%d", fd);
    return p;
}

/* ---- the first look ---- */

/* `n`: what listxattr(2) gave. */
static enum glance judge(const char *names, ssize_t n)
{
    if (n < 0)
        return errno == ERANGE ? GLANCE_MARKED : errno == EOPNOTSUPP ? GLANCE_PLAIN : GLANCE_ABSENT;
    for (ssize_t i = 0; i < n; i += (ssize_t)strlen(names + i) + 1)
        if (strcmp(names + i, OWNER_XATTR) == 0 || strcmp(names + i, "security.capability") == 0)
            return GLANCE_MARKED;
    return GLANCE_PLAIN;
}

enum glance record_glance_fd(int fd)
{
    char names[NAMES_BYTES];
    ssize_t n = flistxattr(fd, names, sizeof(names));

    if (n < 0 && errno == EBADF) /* O_PATH */
        n = listxattr(record_fd_path(fd).text, names, sizeof(names));
    return judge(names, n);
}

/* Of a descriptor itself: it is taken, which costs less than the way to it through /proc. */
static enum glance glance_of_fd(const struct call *c, int number)
{
    AUTO_CLOSE int fd = task_get_fd(c, number);

    return fd < 0 ? GLANCE_ABSENT : record_glance_fd(fd);
}

static enum glance glance_at(const struct call *c, bool follow)
{
    struct own_path path;
    char names[NAMES_BYTES];
    const char *p = c->path;

    if (c->path[0] != '/') {
        record_own_path(c, record_dir_of(c), c->path, strlen(c->path), "", &path);
        p = path.text;
    }
    if (!c->path[0])
        follow = true; /* the link in /proc is not what is asked for */
    return judge(names, follow ? listxattr(p, names, sizeof(names)) : llistxattr(p, names, sizeof(names)));
}

enum glance record_glance(const struct call *c, bool follow)
{
    int dir = record_dir_of(c);
    enum glance g;

    if (record_known_plain(c, follow))
        return GLANCE_PLAIN;
    g = !c->path[0] && dir != AT_FDCWD ? glance_of_fd(c, dir) : glance_at(c, follow);
    if (g == GLANCE_PLAIN && record_has_foreign(c->r))
        return GLANCE_MARKED;
    if (g == GLANCE_PLAIN)
        record_known_add(c, follow);
    return g;
}

/* ---- records ---- */

bool record_read(int fd, mode_t mode, struct owner *ret)
{
    char value[OWNER_RECORD_BYTES];
    const char *name = owner_xattr_name(mode);
    ssize_t n = fgetxattr(fd, name, value, sizeof(value));

    if (n < 0 && errno == EBADF)
        n = getxattr(record_fd_path(fd).text, name, value, sizeof(value));
    return n > 0 && owner_decode(mode, value, (size_t)n, ret);
}

int record_write(int fd, mode_t mode, const struct owner *o)
{
    char value[OWNER_RECORD_BYTES];
    const char *name = owner_xattr_name(mode);
    size_t n = owner_encode(mode, o, value);
    int rc = fsetxattr(fd, name, value, n, 0);

    if (rc < 0 && errno == EBADF)
        rc = setxattr(record_fd_path(fd).text, name, value, n, 0);
    return rc < 0 ? -errno : 0;
}
