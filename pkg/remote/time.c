/* time.c - when what was fetched was made, as BuildKit tells it for SOURCE_DATE_EPOCH. */
#include "remote/remote_priv.h"
#include "sys/file.h"
#include "tar/decompress.h"
#include "tar/tar.h"

#include <fcntl.h>
#include <fts.h>

struct newest {
    bool known;
    int64_t s;
};

static void take(struct newest *n, mode_t mode, int64_t s)
{
    if (!S_ISREG(mode) || (n->known && s <= n->s))
        return;
    n->known = true;
    n->s = s;
}

static struct err *read_entries(struct tar_reader *reader, struct newest *n)
{
    bool found = true;

    while (found) {
        AUTO(tar_entry_release) struct tar_entry entry = { 0 };

        TRY(tar_read_entry(reader, &entry, &found));
        if (found && !entry.hardlink)
            take(n, entry.mode, entry.mtime.tv_sec);
    }
    return NULL;
}

static struct err *read_archive(int fd, struct newest *n)
{
    AUTO(decompress_free) struct decompressor *d = NULL;
    AUTO(tar_reader_free) struct tar_reader *reader = NULL;

    TRY(decompress_new(file_source(&fd), &d));
    TRY(tar_reader_new(decompress_source(d), &reader));
    return read_entries(reader, n);
}

/* A file that is no archive, or a damaged one, has no time: ADD takes it as it is. */
static struct err *of_file(const struct remote_tree *t, struct newest *n)
{
    AUTO_FREE char *path = xasprintf("%s/%s", t->dir, t->file);
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return err_sys(errno, "cannot open '%s'", path);
    struct err *e = tar_probe(fd) && lseek(fd, 0, SEEK_SET) == 0 ? read_archive(fd, n) : NULL;
    n->known = n->known && !e;
    err_free(e);
    return NULL;
}

static struct err *of_tree(const struct remote_tree *t, struct newest *n)
{
    char *const roots[] = { (char *)t->dir, NULL };
    FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
    const FTSENT *at = NULL;

    if (!tree)
        return err_sys(errno, "cannot read '%s'", t->dir);
    for (errno = 0; (at = fts_read(tree)); errno = 0)
        if (at->fts_info == FTS_F)
            take(n, at->fts_statp->st_mode, at->fts_statp->st_mtim.tv_sec);
    int error = errno;
    (void)fts_close(tree);
    return error ? err_sys(error, "cannot read '%s'", t->dir) : NULL;
}

struct err *remote_time(const struct remote_tree *t, bool *ret_known, int64_t *ret_s)
{
    struct newest n = { t->has_time, t->time_s };

    if (!n.known)
        TRY(t->file ? of_file(t, &n) : of_tree(t, &n));
    *ret_known = n.known;
    *ret_s = n.s;
    return NULL;
}
