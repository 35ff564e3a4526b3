#include "sys/image_xattr.h"

#include "sys/path.h"

#include <errno.h>
#include <string.h>
#include <sys/xattr.h>

const char *image_xattr_name(const char *stored)
{
    if (strcmp(stored, CAPABILITY_XATTR_STORED) == 0)
        return CAPABILITY_XATTR;
    return strncmp(stored, COPYUP_XATTR_PREFIX, strlen(COPYUP_XATTR_PREFIX)) == 0 ? NULL : stored;
}

ssize_t image_xattr_get(int fd, const char *name, void *value, size_t size)
{
    ssize_t n = fd_getxattr(fd, name, value, size);

    if (n < 0 && errno == ENODATA && strcmp(name, CAPABILITY_XATTR) == 0)
        n = fd_getxattr(fd, CAPABILITY_XATTR_STORED, value, size);
    return n;
}

int image_xattr_set(int fd, const char *name, const void *value, size_t n)
{
    int rc = fd_setxattr(fd, name, value, n);

    if (rc < 0 && errno == EPERM && strcmp(name, CAPABILITY_XATTR) == 0)
        rc = fd_setxattr(fd, CAPABILITY_XATTR_STORED, value, n);
    return rc;
}

void image_xattr_remove(int fd, const char *name)
{
    (void)fremovexattr(fd, name);
    if (strcmp(name, CAPABILITY_XATTR) == 0)
        (void)fremovexattr(fd, CAPABILITY_XATTR_STORED);
}
