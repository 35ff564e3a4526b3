#include "sys/image_xattr.h"

#include "sys/path.h"

#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/xattr.h>

/* An access list as the kernel takes it (linux/posix_acl_xattr.h): a version, then entries of tag, rights and id. */
#define ACL_VERSION     2
#define ACL_HEAD_BYTES  4
#define ACL_ENTRY_BYTES 8
#define ACL_ALL_TAGS    0x3f /* one bit each: owner, user, group, named group, mask, others */
#define ACL_NAMED       0x0a

static bool names_ids(const void *value, size_t n)
{
    const unsigned char *p = value;
    uint32_t version;
    bool named = false;

    if (n < ACL_HEAD_BYTES || (n - ACL_HEAD_BYTES) % ACL_ENTRY_BYTES)
        return false;
    memcpy(&version, p, sizeof(version));
    for (size_t at = ACL_HEAD_BYTES; at < n; at += ACL_ENTRY_BYTES) {
        uint16_t tag;

        memcpy(&tag, p + at, sizeof(tag));
        tag = le16toh(tag);
        if (!tag || (tag & (tag - 1)) || (tag & ~ACL_ALL_TAGS))
            return false;
        named = named || (tag & ACL_NAMED);
    }
    return le32toh(version) == ACL_VERSION && named;
}

static bool is_any(const void *value, size_t n)
{
    (void)value;
    (void)n;
    return true;
}

/* What the kernel refuses, with which error, and where it lies instead. */
static const struct {
    const char *name, *stored;
    int refusal;
    bool (*is_good)(const void *value, size_t n);
} refused[] = {
    { CAPABILITY_XATTR, CAPABILITY_XATTR_STORED, EPERM, is_any },
    { "system.posix_acl_access", COPYUP_XATTR_PREFIX "acl_access", EINVAL, names_ids },
    { "system.posix_acl_default", COPYUP_XATTR_PREFIX "acl_default", EINVAL, names_ids },
};
#define N_REFUSED (sizeof(refused) / sizeof(refused[0]))

const char *image_xattr_name(const char *stored)
{
    for (size_t i = 0; i < N_REFUSED; i++)
        if (strcmp(stored, refused[i].stored) == 0)
            return refused[i].name;
    return strncmp(stored, COPYUP_XATTR_PREFIX, strlen(COPYUP_XATTR_PREFIX)) == 0 ? NULL : stored;
}

const char *image_xattr_instead(const char *name, int errnum, const void *value, size_t n)
{
    for (size_t i = 0; i < N_REFUSED; i++)
        if (strcmp(name, refused[i].name) == 0 && errnum == refused[i].refusal && refused[i].is_good(value, n))
            return refused[i].stored;
    return NULL;
}

const char *image_xattr_stored(const char *name)
{
    for (size_t i = 0; i < N_REFUSED; i++)
        if (strcmp(name, refused[i].name) == 0)
            return refused[i].stored;
    return NULL;
}

ssize_t image_xattr_get(int fd, const char *name, void *value, size_t size)
{
    const char *stored = image_xattr_stored(name);
    ssize_t n = fd_getxattr(fd, name, value, size);

    return n < 0 && errno == ENODATA && stored ? fd_getxattr(fd, stored, value, size) : n;
}

int image_xattr_set(int fd, const char *name, const void *value, size_t n)
{
    int rc = fd_setxattr(fd, name, value, n);
    const char *stored = rc < 0 ? image_xattr_instead(name, errno, value, n) : NULL;

    return stored ? fd_setxattr(fd, stored, value, n) : rc;
}

void image_xattr_remove(int fd, const char *name)
{
    const char *stored = image_xattr_stored(name);

    (void)fremovexattr(fd, name);
    if (stored)
        (void)fremovexattr(fd, stored);
}
