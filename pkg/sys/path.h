/* path.h - paths inside a root directory that somebody else filled. Every access to an image's or a context's files
 * goes through here: openat2(2) with RESOLVE_IN_ROOT, so that "..", absolute symlinks and symlink races end inside the
 * root. Paths may be given with or without a leading '/'; "" and "/" are the root itself. Thread-safe. */
#ifndef SYS_PATH_H
#define SYS_PATH_H

#include "base/err.h"

#include <stdbool.h>
#include <sys/stat.h>

/* Opens root_fd/path following symlinks inside the root; flags as open(2) (O_CLOEXEC is added; O_NOFOLLOW applies to
 * the last component). Errors are err_sys with err_errno() set (ENOENT, ENOTDIR, ELOOP ...); the message names the
 * path. */
MUST_USE struct err *path_open(int root_fd, const char *path, int flags, mode_t mode, int *ret_fd);
/* As path_open, but a missing path (ENOENT, ENOTDIR) is *ret_fd = -1 and no error. */
MUST_USE struct err *path_open_if_exists(int root_fd, const char *path, int flags, int *ret_fd);
/* Opens the directory that holds path's last component (symlinks before it are followed inside the root) and gives that
 * component's name (malloc'ed; the caller frees). The root itself has no name: ERR_BUG. */
MUST_USE struct err *path_open_parent(int root_fd, const char *path, int *ret_dir_fd, char **ret_name);
/* The path without symlinks that `path` leads to inside the root, without a leading '/' ("" = the root); what does not
 * exist stays as it is written, also behind a symlink that leads nowhere. Too many symlinks: err_errno() is ELOOP. The
 * caller frees. */
MUST_USE struct err *path_resolve(int root_fd, const char *path, char **ret_real);
/* mkdir -p inside the root: makes what is missing with `mode` (not reduced by the umask) and calls made(ctx, fd, path)
 * for each directory it made (made may be NULL). A symlink to a directory on the way is followed. As with mkdir, what
 * lies in a setgid directory is setgid; its group is made's to give. Returns the directory. */
typedef struct err *path_made_fn(void *ctx, int parent_fd, int fd, const char *path);
MUST_USE struct err *path_mkdirs(int root_fd, const char *path, mode_t mode, path_made_fn *made, void *ctx,
                                 int *ret_fd);
/* Lexical cleaning as Go's path.Clean: "a//b/./c/.." -> "a/b"; "" -> "."; keeps a leading '/'. The caller frees. */
char *path_clean(const char *path);
/* path_clean(a + "/" + b); an absolute b does not replace a. The caller frees. */
char *path_join(const char *a, const char *b);
/* "/proc/self/fd/N" for calls that take no descriptor (xattrs of O_PATH descriptors). */
struct path_fd {
    char text[40];
};
struct path_fd path_of_fd(int fd);

/* fgetxattr() and so on for every open file. One that is open for reading or writing costs less than an O_PATH one. */
ssize_t fd_getxattr(int fd, const char *name, void *value, size_t size);
ssize_t fd_listxattr(int fd, char *list, size_t size);
int fd_setxattr(int fd, const char *name, const void *value, size_t size);

#endif
