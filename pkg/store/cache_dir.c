#include "store/cache_dir.h"

#include "base/limits.h"
#include "sys/file.h"
#include "sys/hold.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>

#define WAIT_MS 100 /* between two looks at a lock that another build holds */

struct cache_dir {
    char *path;
    int lock_fd;
};

/* F_RDLCK, F_WRLCK: a lock of the open file, so that threads of one build exclude each other too. */
static bool try_lock(int fd, short type)
{
    struct flock lock = { .l_type = type, .l_whence = SEEK_SET };

    return fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

static struct err *pause_a_little(const struct cache_dir_spec *spec)
{
    struct pollfd stop = { cancel_fd(spec->cancel), POLLIN, 0 };

    (void)poll(&stop, 1, WAIT_MS);
    return cancel_check(spec->cancel);
}

static struct err *lock_wait(const struct cache_dir_spec *spec, int fd, short type)
{
    for (bool told = false; !try_lock(fd, type); told = true) {
        if (errno != EAGAIN && errno != EACCES)
            return err_set_kind(err_sys(errno, "cannot lock a cache directory"), ERR_DISK);
        if (!told && spec->waiting)
            spec->waiting(spec->ctx);
        TRY(pause_a_little(spec));
    }
    return NULL;
}

static struct err *open_lock(const char *dir, int *ret_fd)
{
    AUTO_FREE char *path = xasprintf("%s.lock", dir);

    return hold_open(path, ret_fd);
}

static struct err *make_dir(struct store *s, const struct cache_dir_spec *spec, const char *path)
{
    AUTO_FREE char *made = xasprintf("%s/%s.cache", store_build_dir(s), strrchr(path, '/') + 1);

    if (mkdir(made, 0755) < 0 || chmod(made, 0755) < 0)
        return err_set_kind(err_sys(errno, "cannot make directory '%s'", made), ERR_DISK);
    struct err *e = spec->fill ? spec->fill(spec->ctx, made, path) : NULL;
    if (!e && rename(made, path) < 0)
        e = err_set_kind(err_sys(errno, "cannot make directory '%s'", path), ERR_DISK);
    if (e)
        err_free(file_remove_tree(AT_FDCWD, made));
    return e;
}

/* Gets the lock that the mode asks for if the directory is there; else the lock of whoever makes it, *ret_make. Who
 * waited for another one to make it must not go on waiting until that one is done with it. */
static struct err *lock_what_is_there(const struct cache_dir_spec *spec, const struct cache_dir *c, short type,
                                      bool *ret_make)
{
    for (*ret_make = false; !*ret_make;) {
        TRY(lock_wait(spec, c->lock_fd, type));
        if (access(c->path, F_OK) == 0)
            return NULL;
        (void)try_lock(c->lock_fd, F_UNLCK); /* two readers that both want to write would wait for each other */
        *ret_make = try_lock(c->lock_fd, F_WRLCK);
        if (!*ret_make)
            TRY(pause_a_little(spec));
    }
    return NULL;
}

/* Whoever finds nothing makes it, and is alone meanwhile. */
static struct err *lock_and_make(struct store *s, const struct cache_dir_spec *spec, struct cache_dir *c)
{
    short type = spec->sharing == CACHE_SHARED ? F_RDLCK : F_WRLCK;
    bool make;

    TRY(lock_what_is_there(spec, c, type, &make));
    if (!make)
        return NULL;
    if (access(c->path, F_OK) < 0)
        TRY(make_dir(s, spec, c->path));
    return lock_wait(spec, c->lock_fd, type);
}

static struct err *open_number(struct store *s, const struct cache_dir_spec *spec, const char *dir, size_t number,
                               struct cache_dir **ret)
{
    AUTO(cache_dir_close) struct cache_dir *c = xcalloc(1, sizeof(*c));

    c->lock_fd = -1;
    c->path = number ? xasprintf("%s/%s.%zu", dir, digest_hex(&spec->key), number)
                     : xasprintf("%s/%s", dir, digest_hex(&spec->key));
    TRY(open_lock(c->path, &c->lock_fd));
    if (spec->sharing == CACHE_PRIVATE && !try_lock(c->lock_fd, F_WRLCK))
        return NULL; /* in use: *ret stays as it is */
    TRY(lock_and_make(s, spec, c));
    (void)futimens(c->lock_fd, NULL); /* when it was last used */
    *ret = steal(&c);
    return NULL;
}

struct err *cache_dir_open(struct store *s, const struct cache_dir_spec *spec, struct cache_dir **ret)
{
    AUTO_FREE char *dir = xasprintf("%s/caches/%s", store_dir(s), spec->space);
    struct cache_dir *c = NULL;

    TRY(err_set_kind(file_mkdirs(dir, 0700), ERR_DISK));
    for (size_t i = 0; !c && i < LIMIT_PRIVATE_CACHES; i++)
        TRY(open_number(s, spec, dir, i, &c));
    if (!c)
        return err_new(ERR_DISK, "%d private caches of one id are in use at once", LIMIT_PRIVATE_CACHES);
    *ret = c;
    return NULL;
}

static struct cache_dir *try_dir(const char *path, short type)
{
    AUTO(cache_dir_close) struct cache_dir *c = xcalloc(1, sizeof(*c));

    c->lock_fd = -1;
    c->path = xstrdup(path);
    struct err *e = open_lock(path, &c->lock_fd);
    const bool locked = !e && try_lock(c->lock_fd, type) && access(path, F_OK) == 0;
    err_free(e);
    return locked ? steal(&c) : NULL;
}

struct cache_dir *cache_dir_try(const char *path)
{
    return try_dir(path, F_RDLCK);
}

struct cache_dir *cache_dir_try_alone(const char *path)
{
    return try_dir(path, F_WRLCK);
}

const char *cache_dir_path(const struct cache_dir *c)
{
    return c->path;
}

void cache_dir_close(struct cache_dir *c)
{
    if (!c)
        return;
    close_fd(&c->lock_fd);
    free(c->path);
    free(c);
}
