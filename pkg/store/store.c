/* DIR/builds/ID/            one build's own directory ...
 * DIR/builds/ID/blobs/HEX   ... with its finished blobs
 * DIR/builds/ID.lock        ... and its lock, held with F_OFD_SETLK as long as the build lives. The lock is made before
 * the directory and removed after it, so a directory whose lock can be had belongs to a dead build. Nothing is synced:
 * what a crash of the node damages is found by size, and by digest where a blob is used. */
#include "store/store.h"

#include "base/log.h"
#include "base/strs.h"
#include "sys/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define LOCK_SUFFIX ".lock"

struct store {
    char *dir, *build_dir;
    char *id; /* of this build */
    int builds_fd, lock_fd;
};

struct blob_writer {
    struct store *store;
    char *path; /* NULL once it was committed */
    int fd;
};

/* --- whose directory is it --- */

/* NULL if nobody else can change what is in it. */
static const char *why_not_private(const struct stat *st)
{
    if (!S_ISDIR(st->st_mode))
        return "it is no directory";
    if (st->st_uid != geteuid())
        return "it belongs to another user";
    if (st->st_mode & (S_IWGRP | S_IWOTH))
        return "others may write to it";
    return NULL;
}

/* Directories made in a setgid directory get its group and the bit; overlayfs refuses to mount where that group has no
 * mapping. */
static struct err *drop_foreign_group(const char *dir, const struct stat *st)
{
    if (st->st_gid != getegid() && chown(dir, (uid_t)-1, getegid()) < 0)
        return err_set_kind(err_sys(errno, "cannot change the group of '%s'", dir), ERR_DISK);
    if ((st->st_mode & S_ISGID) && chmod(dir, st->st_mode & 01777) < 0)
        return err_set_kind(err_sys(errno, "cannot change the mode of '%s'", dir), ERR_DISK);
    return NULL;
}

/* Makes dir with mode 0700 if it is not there, and sees to it that it is ours alone. */
static struct err *make_private(const char *dir)
{
    struct stat st;

    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        return err_set_kind(err_sys(errno, "cannot make directory '%s'", dir), ERR_DISK);
    if (lstat(dir, &st) < 0)
        return err_set_kind(err_sys(errno, "cannot look at '%s'", dir), ERR_DISK);
    const char *why = why_not_private(&st);

    if (why)
        return err_new(ERR_DISK, "cannot use '%s': %s", dir, why);
    return drop_foreign_group(dir, &st);
}

/* The place that is really used: dir if it is ours alone, else (a volume, which belongs to root or to a group) a
 * directory in it. */
static struct err *choose_place(const char *dir, char **ret_place)
{
    struct stat st;

    TRY(file_mkdirs(dir, 0700));
    if (stat(dir, &st) < 0)
        return err_set_kind(err_sys(errno, "cannot look at '%s'", dir), ERR_DISK);
    bool ours = !why_not_private(&st) && !(st.st_mode & S_ISGID) && st.st_gid == getegid();
    AUTO_FREE char *place = ours ? xstrdup(dir) : xasprintf("%s/copyup-%u", dir, (unsigned)geteuid());

    if (!ours)
        TRY(make_private(place));
    *ret_place = steal(&place);
    return NULL;
}

/* A candidate for store_default_dir: NULL if it will do. An own directory is made; a volume must be there. */
static struct err *try_default(const char *dir, bool own)
{
    if (own)
        return make_private(dir);
    struct stat st;

    if (stat(dir, &st) < 0)
        return err_sys(errno, "cannot use '%s'", dir);
    if (!S_ISDIR(st.st_mode))
        return err_new(ERR_DISK, "cannot use '%s': it is no directory", dir);
    if (faccessat(AT_FDCWD, dir, W_OK | X_OK, AT_EACCESS) < 0)
        return err_sys(errno, "cannot write to '%s'", dir);
    return NULL;
}

struct err *store_default_dir(const char *tmpdir, char **ret_dir)
{
    unsigned uid = (unsigned)geteuid();
    AUTO(strs_release) struct strs dirs = { 0 };
    struct err *reasons = NULL;

    strs_add(&dirs, "/copyup");
    if (tmpdir && *tmpdir)
        strs_take(&dirs, xasprintf("%s/copyup-%u", tmpdir, uid));
    strs_take(&dirs, xasprintf("/tmp/copyup-%u", uid));
    for (size_t i = 0; i < dirs.n; i++) {
        struct err *e = try_default(dirs.items[i], i > 0);

        if (!e) {
            err_free(reasons);
            *ret_dir = xstrdup(dirs.items[i]);
            return NULL;
        }
        reasons = err_join(reasons, e);
    }
    return err_hint(err_set_kind(reasons, ERR_DISK), "Mount a volume (emptyDir) at /copyup.");
}

/* --- builds and their locks --- */

/* Opens and locks NAME.lock; *ret_fd = -1 if somebody else has it, or removed it in between. */
static struct err *take_lock(int builds_fd, const char *id, int *ret_fd)
{
    AUTO_FREE char *name = xasprintf("%s" LOCK_SUFFIX, id);
    AUTO_CLOSE int fd = openat(builds_fd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    struct stat mine, there;

    *ret_fd = -1;
    if (fd < 0)
        return err_set_kind(err_sys(errno, "cannot open lock '%s'", name), ERR_DISK);
    if (fcntl(fd, F_OFD_SETLK, &whole) < 0)
        return errno == EAGAIN ? NULL : err_set_kind(err_sys(errno, "cannot lock '%s'", name), ERR_DISK);
    if (fstat(fd, &mine) < 0 || fstatat(builds_fd, name, &there, AT_SYMLINK_NOFOLLOW) < 0 ||
        mine.st_ino != there.st_ino || mine.st_dev != there.st_dev)
        return NULL;
    *ret_fd = steal_fd(&fd);
    return NULL;
}

/* Removes a build's directory, then its lock. The lock must be held. */
static struct err *remove_build(int builds_fd, const char *id)
{
    AUTO_FREE char *lock = xasprintf("%s" LOCK_SUFFIX, id);

    TRY(file_remove_tree(builds_fd, id));
    if (unlinkat(builds_fd, lock, 0) < 0 && errno != ENOENT)
        return err_sys(errno, "cannot remove '%s'", lock);
    return NULL;
}

static struct err *remove_if_dead(int builds_fd, const char *id)
{
    AUTO_CLOSE int fd = -1;

    TRY(take_lock(builds_fd, id, &fd));
    if (fd < 0)
        return NULL;
    log_debug("store", "removing what build %s left behind", id);
    return remove_build(builds_fd, id);
}

static void list_builds(int builds_fd, struct strs *ids)
{
    int fd = openat(builds_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);

    if (!dir) {
        close_fd(&fd);
        return;
    }
    for (struct dirent *d; (d = readdir(dir));) {
        size_t n = strlen(d->d_name), suffix = strlen(LOCK_SUFFIX);

        if (d->d_name[0] == '.')
            continue;
        if (n > suffix && strcmp(d->d_name + n - suffix, LOCK_SUFFIX) == 0)
            n -= suffix;
        AUTO_FREE char *id = xstrndup(d->d_name, n);

        if (!strs_has(ids, id))
            strs_add(ids, id);
    }
    closedir(dir);
}

/* What cannot be removed (another id mapping made it) is no reason not to build. */
static void remove_dead_builds(int builds_fd)
{
    AUTO(strs_release) struct strs ids = { 0 };

    list_builds(builds_fd, &ids);
    for (size_t i = 0; i < ids.n; i++) {
        struct err *e = remove_if_dead(builds_fd, ids.items[i]);

        if (e)
            log_debug("store", "%s", err_message(e));
        err_free(e);
    }
}

static char *random_id(int attempt)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return xasprintf("%llx%08lx-%d-%d", (unsigned long long)now.tv_sec, now.tv_nsec, (int)getpid(), attempt);
}

/* Somebody who cleans may take the lock before we do, and remove it: then the next id. */
static struct err *make_build_dir(struct store *s)
{
    for (int attempt = 0; attempt < 100; attempt++) {
        AUTO_FREE char *id = random_id(attempt);
        AUTO_CLOSE int fd = -1;

        TRY(take_lock(s->builds_fd, id, &fd));
        if (fd < 0)
            continue;
        s->build_dir = xasprintf("%s/builds/%s", s->dir, id);
        s->id = steal(&id);
        s->lock_fd = steal_fd(&fd);
        if (mkdirat(s->builds_fd, s->id, 0700) < 0)
            return err_set_kind(err_sys(errno, "cannot make directory '%s'", s->build_dir), ERR_DISK);
        return NULL;
    }
    return err_new(ERR_DISK, "cannot make a directory in '%s/builds': all names are taken", s->dir);
}

static struct err *make_dirs(struct store *s)
{
    AUTO_FREE char *builds = xasprintf("%s/builds", s->dir);

    TRY(file_mkdirs(builds, 0700));
    s->builds_fd = open(builds, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (s->builds_fd < 0)
        return err_set_kind(err_sys(errno, "cannot open directory '%s'", builds), ERR_DISK);
    TRY(make_build_dir(s));
    AUTO_FREE char *blobs = xasprintf("%s/blobs", s->build_dir);
    return file_mkdirs(blobs, 0700);
}

struct err *store_open(const char *dir, struct store **ret)
{
    AUTO(store_close) struct store *s = xcalloc(1, sizeof(*s));

    s->builds_fd = s->lock_fd = -1;
    TRY(err_wrap(choose_place(dir, &s->dir), "cannot use state directory '%s'", dir));
    TRY(err_wrap(make_dirs(s), "cannot use state directory '%s'", dir));
    remove_dead_builds(s->builds_fd);
    *ret = steal(&s);
    return NULL;
}

const char *store_dir(const struct store *s)
{
    return s->dir;
}

const char *store_build_dir(const struct store *s)
{
    return s->build_dir;
}

void store_close(struct store *s)
{
    if (!s)
        return;
    if (s->lock_fd >= 0) {
        struct err *e = remove_build(s->builds_fd, s->id);

        if (e) /* the next build tries again */
            log_debug("store", "%s", err_message(e));
        err_free(e);
    }
    close_fd(&s->lock_fd);
    close_fd(&s->builds_fd);
    free(s->id);
    free(s->build_dir);
    free(s->dir);
    free(s);
}

/* --- blobs --- */

static char *blob_path(const struct store *s, const struct digest *d)
{
    return xasprintf("%s/blobs/%s", s->build_dir, digest_hex(d));
}

struct err *blob_writer_new(struct store *s, struct blob_writer **ret)
{
    AUTO(blob_writer_free) struct blob_writer *w = xcalloc(1, sizeof(*w));

    w->store = s;
    w->path = xasprintf("%s/blob-XXXXXX", s->build_dir);
    w->fd = mkostemp(w->path, O_CLOEXEC);
    if (w->fd < 0) {
        free(steal(&w->path));
        return err_set_kind(err_sys(errno, "cannot make a file in '%s'", s->build_dir), ERR_DISK);
    }
    *ret = steal(&w);
    return NULL;
}

struct sink blob_writer_sink(struct blob_writer *w)
{
    return file_sink(&w->fd);
}

struct err *blob_writer_again(struct blob_writer *w)
{
    if (ftruncate(w->fd, 0) < 0 || lseek(w->fd, 0, SEEK_SET) < 0)
        return err_set_kind(err_sys(errno, "cannot empty '%s'", w->path), ERR_DISK);
    return NULL;
}

struct err *blob_writer_share(const struct blob_writer *w, int *ret_fd)
{
    int fd = fcntl(w->fd, F_DUPFD_CLOEXEC, 0);

    if (fd < 0)
        return err_set_kind(err_sys(errno, "cannot read '%s'", w->path), ERR_DISK);
    *ret_fd = fd;
    return NULL;
}

struct err *blob_writer_commit(struct blob_writer *w, const struct digest *d)
{
    AUTO_FREE char *path = blob_path(w->store, d);

    if (close(steal_fd(&w->fd)) < 0)
        return err_set_kind(err_sys(errno, "cannot write '%s'", w->path), ERR_DISK);
    if (rename(w->path, path) < 0)
        return err_set_kind(err_sys(errno, "cannot rename '%s' to '%s'", w->path, path), ERR_DISK);
    free(steal(&w->path));
    return NULL;
}

void blob_writer_free(struct blob_writer *w)
{
    if (!w)
        return;
    close_fd(&w->fd);
    if (w->path)
        unlink(w->path);
    free(w->path);
    free(w);
}

struct err *store_open_blob(struct store *s, const struct digest *d, uint64_t size_bytes, int *ret_fd)
{
    AUTO_FREE char *path = blob_path(s, d);
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct stat st;

    *ret_fd = -1;
    if (fd < 0)
        return errno == ENOENT ? NULL : err_set_kind(err_sys(errno, "cannot open blob '%s'", path), ERR_DISK);
    if (fstat(fd, &st) < 0)
        return err_set_kind(err_sys(errno, "cannot look at blob '%s'", path), ERR_DISK);
    if (size_bytes != UINT64_MAX && (uint64_t)st.st_size != size_bytes) {
        log_debug("store", "blob %s has %lld bytes and not %llu: removed", d->text, (long long)st.st_size,
                  (unsigned long long)size_bytes);
        unlink(path);
        return NULL;
    }
    *ret_fd = steal_fd(&fd);
    return NULL;
}

struct err *store_put_bytes(struct store *s, const void *p, size_t n, struct digest *ret_digest)
{
    struct digest d = digest_bytes(p, n);
    AUTO_CLOSE int fd = -1;

    TRY(store_open_blob(s, &d, n, &fd));
    if (fd < 0) {
        AUTO(blob_writer_free) struct blob_writer *w = NULL;

        TRY(blob_writer_new(s, &w));
        struct sink sink = blob_writer_sink(w);

        TRY(sink_write(&sink, p, n));
        TRY(blob_writer_commit(w, &d));
    }
    *ret_digest = d;
    return NULL;
}
