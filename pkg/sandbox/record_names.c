/* Names: renaming, linking, removing. Records belong to files and go with them. Whoever is not root is checked, and
 * what was checked is done here. */
#include "sandbox/record_calls_priv.h"
#include "sys/path.h"

#include <errno.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A path and its descriptor, in some arguments of a call. */
struct named {
    int dir;
    char path[LIMIT_PATH_BYTES];
};

static int read_named(const struct call *c, int dir_arg, int path_arg, struct named *n)
{
    n->dir = dir_arg == NO_ARG ? AT_FDCWD : arg_int(c, dir_arg);
    return task_read_string(c, c->arg[path_arg], n->path, sizeof(n->path));
}

/* Calls of two names: from in the row's own arguments, to in those from `rest` on. */
static int read_both(const struct call *c, struct named *from, struct named *to)
{
    bool with_dirs = c->row->dir != NO_ARG;
    int rc = read_named(c, c->row->dir, c->row->path, from);

    if (rc == 0)
        rc = read_named(c, with_dirs ? c->row->rest : NO_ARG, c->row->rest + with_dirs, to);
    return rc;
}

static bool ends_in_slash(const char *path)
{
    size_t n = strlen(path);

    return n && path[n - 1] == '/';
}

static int find_place(struct call *c, const struct named *n, struct place *p)
{
    int rc = place_open(c, n->dir, n->path, 0, p);

    if (rc != 0)
        return rc;
    const struct cred_file dir = target_file(&p->dir);
    if (!place_reachable(c, p) || !cred_may(c->cred, &dir, W_OK | X_OK))
        return -EACCES;
    return 0;
}

/* May what stands at p be removed or renamed? Nothing there is allowed: the kernel says so. */
static int check_removal(struct call *c, const struct place *p, struct target *ret)
{
    int fd = openat(p->dir.fd, p->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    int rc = target_look(c, fd, ret);
    if (rc < 0)
        return rc;
    const struct cred_file dir = target_file(&p->dir), f = target_file(ret);
    return cred_may_remove(c->cred, &dir, &f) ? 0 : -EPERM;
}

/* ---- rename ---- */

struct answer record_rename(struct call *c)
{
    AUTO_PLACE struct place from_place = { .dir.fd = -1 }, to_place = { .dir.fd = -1 };
    AUTO_TARGET struct target old = { .fd = -1 }, replaced = { .fd = -1 };
    struct named from = { 0 }, to = { 0 };
    unsigned flags = c->row->fixed & RENAME_WITH_FLAGS ? (unsigned)c->arg[4] : 0;

    record_forget_dirs(c->r);
    record_known_change(c);
    if (record_is_plain_root(c))
        return by_kernel();
    int rc = read_both(c, &from, &to);
    if (rc < 0)
        return with_value(rc);
    if (ends_in_slash(from.path) || ends_in_slash(to.path))
        return by_kernel();
    rc = find_place(c, &from, &from_place);
    if (rc == 0)
        rc = find_place(c, &to, &to_place);
    if (rc == 0)
        rc = check_removal(c, &from_place, &old);
    if (rc == 0)
        rc = check_removal(c, &to_place, &replaced);
    if (rc != 0 || !task_is_waiting(c))
        return not_found(rc ? rc : LEAVE_IT);
    if (syscall(SYS_renameat2, from_place.dir.fd, from_place.name, to_place.dir.fd, to_place.name, flags) < 0)
        rc = -errno;
    return with_value(rc);
}

/* ---- link ---- */

/* fs.protected_hardlinks, as every distribution has it: own files, or plain ones that one may change. */
static bool may_link(const struct call *c, const struct target *t)
{
    const struct cred_file f = target_file(t);

    return cred_owns(c->cred, &f) ||
           (S_ISREG(t->st.st_mode) && !(t->st.st_mode & S_ISUID) &&
            (t->st.st_mode & (S_ISGID | S_IXGRP)) != (S_ISGID | S_IXGRP) && cred_may(c->cred, &f, R_OK | W_OK));
}

struct answer record_link(struct call *c)
{
    AUTO_PLACE struct place p = { .dir.fd = -1 };
    AUTO_TARGET struct target t = { .fd = -1 };
    struct named from = { 0 }, to = { 0 };
    int flags = c->row->flags == NO_ARG ? 0 : arg_int(c, c->row->flags);

    record_known_change(c);
    if (record_is_plain_root(c))
        return by_kernel();
    int rc = read_both(c, &from, &to);
    if (rc < 0)
        return with_value(rc);
    if (!from.path[0])
        return by_kernel();
    rc = target_open_at(c, from.dir, from.path, flags & AT_SYMLINK_FOLLOW, 0, &t);
    if (rc == 0)
        rc = find_place(c, &to, &p);
    if (rc == 0 && !may_link(c, &t))
        rc = -EPERM;
    if (rc != 0 || t.foreign || !task_is_waiting(c))
        return not_found(rc ? rc : LEAVE_IT);
    return with_value(linkat(AT_FDCWD, record_fd_path(t.fd).text, p.dir.fd, p.name, AT_SYMLINK_FOLLOW) < 0 ? -errno
                                                                                                           : 0);
}

/* ---- unlink ---- */

struct answer record_unlink(struct call *c)
{
    AUTO_PLACE struct place p = { .dir.fd = -1 };
    AUTO_TARGET struct target t = { .fd = -1 };
    struct named n = { 0 };
    int flags = c->row->flags == NO_ARG ? (int)c->row->fixed : arg_int(c, c->row->flags);

    if (record_is_plain_root(c))
        return by_kernel();
    int rc = read_named(c, c->row->dir, c->row->path, &n);
    if (rc < 0)
        return with_value(rc);
    if ((flags & ~AT_REMOVEDIR) || (!(flags & AT_REMOVEDIR) && ends_in_slash(n.path)))
        return by_kernel();
    record_forget_dirs(c->r);
    rc = find_place(c, &n, &p);
    if (rc == 0)
        rc = check_removal(c, &p, &t);
    if (rc != 0 || !task_is_waiting(c))
        return not_found(rc ? rc : LEAVE_IT);
    return with_value(unlinkat(p.dir.fd, p.name, flags) < 0 ? -errno : 0);
}
