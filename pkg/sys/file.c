#include "sys/file.h"

#include "base/limits.h"
#include "base/mem.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/statvfs.h>

#define READ_CHUNK 65536
#define COPY_CHUNK ((size_t)8 << 20) /* how much is moved between two looks at cancel */

struct err *file_read_fd(int fd, const char *name, size_t max_bytes, struct buf *out)
{
    char chunk[READ_CHUNK];
    size_t start = out->len;

    for (;;) {
        ssize_t n = read(fd, chunk, sizeof(chunk));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_sys(errno, "cannot read '%s'", name);
        if (n == 0)
            return NULL;
        if (out->len - start + (size_t)n > max_bytes)
            return err_new(ERR_SETTING, "'%s' is larger than %zu bytes", name, max_bytes);
        buf_add(out, chunk, (size_t)n);
    }
}

struct err *file_read(const char *path, size_t max_bytes, struct buf *out)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return err_sys(errno, "cannot open '%s'", path);
    return file_read_fd(fd, path, max_bytes, out);
}

struct err *file_write_all(int fd, const void *p, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = write(fd, (const char *)p + done, len - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set_kind(err_sys(errno, "cannot write"), ERR_DISK);
        done += (size_t)n;
    }
    return NULL;
}

static struct err *write_in_place(const char *path, const void *data, size_t len)
{
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);

    if (fd < 0)
        return err_set_kind(err_sys(errno, "cannot write '%s'", path), ERR_DISK);
    return err_wrap(file_write_all(fd, data, len), "cannot write '%s'", path);
}

static char *parent_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    if (!slash)
        return xstrdup(".");
    return slash == path ? xstrdup("/") : xstrndup(path, (size_t)(slash - path));
}

struct err *file_write_atomic(const char *path, const void *data, size_t len, mode_t mode)
{
    AUTO_FREE char *dir = parent_of(path);
    AUTO_FREE char *tmp = xasprintf("%s.XXXXXX", path); /* not our pid: in a pod the next run has the same */
    struct stat st;

    TRY(file_mkdirs(dir, 0755));
    /* a mounted or special file cannot be replaced by a rename */
    if (stat(path, &st) == 0 && (!S_ISREG(st.st_mode) || access(dir, W_OK) != 0))
        return write_in_place(path, data, len);
    AUTO_CLOSE int fd = mkostemp(tmp, O_CLOEXEC);
    if (fd < 0)
        return err_set_kind(err_sys(errno, "cannot write '%s'", path), ERR_DISK);
    struct err *e = file_write_all(fd, data, len);
    if (!e && (fchmod(fd, mode) < 0 || rename(tmp, path) < 0)) {
        int why = errno;

        (void)unlink(tmp);
        if (why == EBUSY) /* a bind mount: Kubernetes mounts single files so */
            return write_in_place(path, data, len);
        return err_set_kind(err_sys(why, "cannot write '%s'", path), ERR_DISK);
    }
    if (e)
        (void)unlink(tmp);
    return err_wrap(e, "cannot write '%s'", path);
}

static struct err *sink_to_fd(void *ctx, const void *p, size_t n)
{
    return file_write_all(*(int *)ctx, p, n);
}

struct sink file_sink(int *fd)
{
    return (struct sink){ sink_to_fd, fd };
}

static struct err *source_from_fd(void *ctx, void *p, size_t n, size_t *ret_len)
{
    for (;;) {
        ssize_t got = read(*(int *)ctx, p, n);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_sys(errno, "cannot read");
        *ret_len = (size_t)got;
        return NULL;
    }
}

struct source file_source(int *fd)
{
    return (struct source){ source_from_fd, fd };
}

struct err *file_mkdirs(const char *path, mode_t mode)
{
    AUTO_FREE char *p = xstrdup(path);

    for (char *s = p + 1;; s++) {
        if (s[-1] == '\0')
            return NULL;
        if (*s != '/' && *s != '\0')
            continue;
        char c = *s;
        *s = '\0';
        struct stat st;
        if (mkdir(p, mode) < 0 && !(stat(p, &st) == 0 && S_ISDIR(st.st_mode)))
            return err_set_kind(err_sys(errno == EEXIST ? ENOTDIR : errno, "cannot make directory '%s'", p), ERR_DISK);
        *s = c;
        if (c == '\0')
            return NULL;
    }
}

static struct err *remove_below(int dirfd, const char *name, dev_t dev, int depth);

static struct err *remove_entries(int fd, dev_t dev, int depth)
{
    DIR *dir = fdopendir(fd);
    struct err *e = NULL;

    if (!dir) {
        int why = errno;

        close(fd);
        return err_sys(why, "cannot list a directory");
    }
    for (struct dirent *d; !e && (d = readdir(dir));)
        if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
            e = remove_below(fd, d->d_name, dev, depth);
    closedir(dir);
    return e;
}

/* Opens a directory of the same file system, made searchable first; -1 with errno. */
static int open_dir_writable(int dirfd, const char *name, dev_t dev)
{
    struct stat st;

    if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return -1;
    if (st.st_dev != dev) {
        errno = EXDEV;
        return -1;
    }
    if (S_ISDIR(st.st_mode) && (st.st_mode & 0700) != 0700 && fchmodat(dirfd, name, 0700, 0) < 0)
        return -1;
    return openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static struct err *remove_below(int dirfd, const char *name, dev_t dev, int depth)
{
    if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
        return NULL;
    if (errno != EISDIR && errno != EPERM && errno != EACCES)
        return err_sys(errno, "cannot remove '%s'", name);
    if (depth > LIMIT_WALK_DEPTH)
        return err_new(ERR_DISK, "cannot remove '%s': more than %d directories deep", name, LIMIT_WALK_DEPTH);
    int fd = open_dir_writable(dirfd, name, dev);
    if (fd < 0)
        return err_sys(errno, "cannot remove '%s'", name);
    TRY(remove_entries(fd, dev, depth + 1));
    if (unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
        return err_sys(errno, "cannot remove directory '%s'", name);
    return NULL;
}

struct err *file_remove_tree(int dirfd, const char *name)
{
    struct stat st;

    if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? NULL : err_sys(errno, "cannot remove '%s'", name);
    return remove_below(dirfd, name, st.st_dev, 0);
}

static uint64_t bytes_below(int dirfd, const char *name, int depth);

static uint64_t bytes_of_entries(int fd, int depth)
{
    DIR *dir = fdopendir(fd);
    uint64_t sum = 0;

    if (!dir) {
        close(fd);
        return 0;
    }
    for (struct dirent *d; (d = readdir(dir));)
        if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
            sum += bytes_below(fd, d->d_name, depth);
    closedir(dir);
    return sum;
}

static uint64_t bytes_below(int dirfd, const char *name, int depth)
{
    struct stat st;

    if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    int fd = S_ISDIR(st.st_mode) && depth < LIMIT_WALK_DEPTH
                 ? openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
                 : -1;
    return (uint64_t)st.st_blocks * 512 + (fd < 0 ? 0 : bytes_of_entries(fd, depth + 1));
}

uint64_t file_tree_bytes(const char *path)
{
    return bytes_below(AT_FDCWD, path, 0);
}

#define OVERFLOW_ID 65534 /* what an owner is shown as who is not mapped */

static bool is_ours(const struct stat *st)
{
    return st->st_uid == geteuid() || (geteuid() == 0 && st->st_uid != OVERFLOW_ID && st->st_gid != OVERFLOW_ID);
}

static bool ours_below(int dirfd, const char *name, int depth);

static bool entries_are_ours(int fd, int depth)
{
    DIR *dir = fdopendir(fd);
    bool ours = dir != NULL;

    if (!dir)
        close(fd);
    for (struct dirent *d; ours && (d = readdir(dir));)
        if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
            ours = ours_below(fd, d->d_name, depth);
    if (dir)
        closedir(dir);
    return ours;
}

static bool ours_below(int dirfd, const char *name, int depth)
{
    struct stat st;

    if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return false;
    if (!S_ISDIR(st.st_mode))
        return true;
    if (!is_ours(&st) || depth >= LIMIT_WALK_DEPTH)
        return false;
    int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd >= 0 && entries_are_ours(fd, depth + 1);
}

bool file_tree_is_ours(const char *path)
{
    return ours_below(AT_FDCWD, path, 0);
}

/* read + write, for file systems that cannot copy in the kernel */
static struct err *copy_plain(int from, int to, size_t len, size_t *ret_done)
{
    char chunk[READ_CHUNK];
    ssize_t n = read(from, chunk, len < sizeof(chunk) ? len : sizeof(chunk));

    if (n < 0 && errno == EINTR)
        n = 0;
    else if (n < 0)
        return err_sys(errno, "cannot read");
    else if (n == 0)
        return err_new(ERR_DOCKERFILE, "a file became shorter while it was copied");
    TRY(file_write_all(to, chunk, (size_t)n));
    *ret_done = (size_t)n;
    return NULL;
}

static struct err *copy_extent(int from, int to, uint64_t len, bool *in_kernel, const struct cancel *cancel)
{
    while (len > 0) {
        size_t want = len < COPY_CHUNK ? (size_t)len : COPY_CHUNK, done = 0;
        ssize_t n = *in_kernel ? copy_file_range(from, NULL, to, NULL, want, 0) : -1;

        TRY(cancel_check(cancel));
        if (n < 0 && *in_kernel && (errno == ENOSPC || errno == EDQUOT || errno == EIO))
            return err_sys(errno, "cannot write");
        if (n <= 0) {
            *in_kernel = false;
            TRY(copy_plain(from, to, want, &done));
            n = (ssize_t)done;
        }
        len -= (uint64_t)n;
    }
    return NULL;
}

struct err *file_copy_data(int from, int to, uint64_t len, const struct cancel *cancel)
{
    off_t base = lseek(from, 0, SEEK_CUR), out = lseek(to, 0, SEEK_CUR);
    struct stat st;
    bool in_kernel = true;

    if (fstat(from, &st) < 0)
        return err_sys(errno, "cannot copy");
    if (base < 0 || out < 0 || (uint64_t)st.st_blocks * 512 >= len) /* no holes worth looking for */
        return copy_extent(from, to, len, &in_kernel, cancel);
    off_t end = base + (off_t)len, at = base;
    while (at < end) {
        off_t data = lseek(from, at, SEEK_DATA), hole;

        if (data < 0 || data >= end)
            break; /* a hole to the end */
        hole = lseek(from, data, SEEK_HOLE);
        if (hole < 0 || hole > end)
            hole = end;
        if (lseek(from, data, SEEK_SET) < 0 || lseek(to, out + (data - base), SEEK_SET) < 0)
            return err_sys(errno, "cannot copy");
        TRY(copy_extent(from, to, (uint64_t)(hole - data), &in_kernel, cancel));
        at = hole;
    }
    if (fstat(to, &st) == 0 && st.st_size < out + (off_t)len && ftruncate(to, out + (off_t)len) < 0)
        return err_sys(errno, "cannot write");
    if (lseek(from, end, SEEK_SET) < 0 || lseek(to, out + (off_t)len, SEEK_SET) < 0)
        return err_sys(errno, "cannot copy");
    return NULL;
}

bool file_free_bytes(const char *path, uint64_t *ret_bytes)
{
    struct statvfs fs;

    if (statvfs(path, &fs) < 0 || fs.f_blocks == 0)
        return false;
    *ret_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    return true;
}
