/* record.c - the file beside a directory: what of it is in the repository since when. */
#include "stash/stash_priv.h"
#include "sys/file.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define STEP_MAX_MS 50 /* the longest that is known is 10 */

struct head {
    int64_t since_s, since_ns, damaged;
    struct digest remote;
};

static struct err *read_it(int fd, struct record *ret)
{
    struct source in = file_source(&fd);
    struct head h;

    if (read(fd, &h, sizeof(h)) != (ssize_t)sizeof(h))
        return err_new(ERR_DISK, "a record is too short");
    ret->damaged = h.damaged;
    if (!ret->damaged)
        TRY(stash_read(&in, &ret->x));
    h.remote.text[DIGEST_TEXT_LEN] = '\0';
    ret->remote = h.remote;
    ret->since = (struct timespec){ .tv_sec = h.since_s, .tv_nsec = h.since_ns };
    return NULL;
}

void stash_record_read(const char *path, struct record *ret)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    *ret = (struct record){ 0 };
    if (fd < 0)
        return;
    struct err *e = read_it(fd, ret);
    ret->found = !e && !ret->damaged;
    err_free(e);
}

struct err *stash_record_now(const char *path, struct timespec *ret)
{
    AUTO_FREE char *name = xasprintf("%s.XXXXXX", path);
    AUTO_CLOSE int fd = mkostemp(name, O_CLOEXEC);
    struct stat st;

    if (fd < 0)
        return err_set_kind(err_sys(errno, "cannot make a file beside '%s'", path), ERR_DISK);
    (void)unlink(name);
    if (fstat(fd, &st) < 0)
        return err_sys(errno, "cannot look at a file");
    *ret = st.st_ctim;
    return NULL;
}

/* The clock of files goes in steps: what was changed before this is called is earlier than the result. */
static struct err *next_step(const char *path, struct timespec *ret)
{
    struct timespec first;

    TRY(stash_record_now(path, &first));
    *ret = first;
    for (int i = 0; i < STEP_MAX_MS && !memcmp(ret, &first, sizeof(first)); i++) {
        (void)nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
        TRY(stash_record_now(path, ret));
    }
    return NULL;
}

static struct err *write_it(int fd, const struct stash_index *x, const struct digest *remote,
                            const struct timespec *since)
{
    struct head h = { .since_s = since->tv_sec, .since_ns = since->tv_nsec, .damaged = !x, .remote = *remote };
    struct sink out = file_sink(&fd);

    TRY(file_write_all(fd, &h, sizeof(h)));
    return x ? stash_write(x, &out) : NULL;
}

struct err *stash_record_write(const char *path, const struct stash_index *x, const struct digest *remote,
                               const struct timespec *since)
{
    AUTO_FREE char *name = xasprintf("%s.XXXXXX", path);
    struct timespec now;

    if (!since)
        TRY(next_step(path, &now));
    AUTO_CLOSE int fd = mkostemp(name, O_CLOEXEC);
    if (fd < 0)
        return err_set_kind(err_sys(errno, "cannot write '%s'", path), ERR_DISK);
    struct err *e = write_it(fd, x, remote, since ? since : &now);
    if (!e && rename(name, path) < 0)
        e = err_set_kind(err_sys(errno, "cannot write '%s'", path), ERR_DISK);
    if (e)
        (void)unlink(name);
    return e;
}
