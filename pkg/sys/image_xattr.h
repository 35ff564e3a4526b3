/* image_xattr.h - the extended attributes of an image's files, where the kernel may refuse one: only root of a user
 * namespace sets "security.capability", and an access list ("system.posix_acl_...") may name mapped ids only. What was
 * refused lies in an attribute of ours, and is read under its own name. Thread-safe. */
#ifndef SYS_IMAGE_XATTR_H
#define SYS_IMAGE_XATTR_H

#include <stddef.h>
#include <sys/types.h>

#define COPYUP_XATTR_PREFIX     "user.copyup." /* ours alone: never of an image, never of a context */
#define CAPABILITY_XATTR        "security.capability"
#define CAPABILITY_XATTR_STORED COPYUP_XATTR_PREFIX "capability"

/* The name by which an image has what lies under `stored`; NULL: this is ours, and no attribute of the image. */
const char *image_xattr_name(const char *stored);
/* Where a well-formed value lies that was refused with this errno; NULL: it really is refused. */
const char *image_xattr_instead(const char *name, int errnum, const void *value, size_t n);
/* The same whatever the value is; NULL: it is never refused. */
const char *image_xattr_stored(const char *name);
/* fgetxattr(2) by its name in the image; O_PATH will do, as below. */
ssize_t image_xattr_get(int fd, const char *name, void *value, size_t size);
/* Sets an attribute by its name in the image, of an open file (O_PATH will do). 0, or -1 and errno. */
int image_xattr_set(int fd, const char *name, const void *value, size_t n);
/* Removes it, wherever it lies. */
void image_xattr_remove(int fd, const char *name);

#endif
