#include "context/context.h"

#include "base/limits.h"
#include "sys/file.h"
#include "sys/path.h"

#include <fcntl.h>
#include <string.h>

struct context {
    int fd;
    struct ignore *ignore;
    const struct owner_table *owners;
    char *below;
};

struct err *context_open(const char *dir, const char *ignore, size_t ignore_len, struct context **ret)
{
    AUTO(context_free) struct context *c = xcalloc(1, sizeof(*c));

    c->fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (c->fd < 0)
        return err_set_kind(err_sys(errno, "cannot open the build context '%s'", dir), ERR_DOCKERFILE);
    if (ignore)
        TRY(ignore_parse(ignore, ignore_len, &c->ignore));
    *ret = steal(&c);
    return NULL;
}

int context_fd(const struct context *c)
{
    return c->fd;
}

const struct ignore *context_ignore(const struct context *c)
{
    return c->ignore;
}

void context_set_owners(struct context *c, const struct owner_table *owners, const char *below)
{
    free(c->below);
    c->owners = owners;
    c->below = path_join("/", below);
}

bool context_has_owners(const struct context *c)
{
    return c->owners != NULL;
}

bool context_find_owner(const struct context *c, const char *path, struct owner *ret_owner)
{
    AUTO_FREE char *full = path_join(c->below, path);

    return owner_table_get(c->owners, full + 1, ret_owner);
}

void context_free(struct context *c)
{
    if (!c)
        return;
    close_fd(&c->fd);
    ignore_free(c->ignore);
    free(c->below);
    free(c);
}

/* Reads an ignore file that may be missing. It is opened inside `root`: a link in the context must not show other
 * files. */
static struct err *read_ignore(const char *root, const char *name, struct buf *buf, bool *ret_found)
{
    AUTO_CLOSE int root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd = -1;
    struct stat st;

    if (root_fd < 0) {
        *ret_found = false;
        return errno == ENOENT || errno == ENOTDIR ? NULL : err_sys(errno, "cannot open '%s'", root);
    }
    TRY(path_open_if_exists(root_fd, name, O_RDONLY | O_NONBLOCK, &fd));
    *ret_found = fd >= 0;
    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return err_new(ERR_DOCKERFILE, "'%s' is not a regular file", name);
    return file_read_fd(fd, name, LIMIT_IGNORE_FILE_BYTES, buf);
}

struct err *context_find_ignore(const char *dir, const char *dockerfile_path, struct buf *buf, bool *ret_found)
{
    AUTO_FREE char *path = xasprintf("%s.dockerignore", dockerfile_path);
    AUTO_FREE char *clean_dir = path_clean(dir), *clean_path = path_clean(path);
    size_t n = strlen(clean_dir);
    bool found = false;
    const char *root, *name;

    /* a Dockerfile elsewhere was named by the user: its own directory bounds its ignore file */
    char *slash = strrchr(clean_path, '/');
    if (strncmp(clean_path, clean_dir, n) == 0 && clean_path[n] == '/') {
        root = clean_dir;
        name = clean_path + n + 1;
    } else if (slash) {
        *slash = '\0';
        root = slash == clean_path ? "/" : clean_path;
        name = slash + 1;
    } else {
        root = ".";
        name = clean_path;
    }
    TRY(read_ignore(root, name, buf, &found));
    if (!found)
        TRY(read_ignore(dir, ".dockerignore", buf, &found));
    *ret_found = found;
    return NULL;
}
