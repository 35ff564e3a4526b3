/* restore.c - a directory from the repository: its directories first, then file by file as the packs come, symlinks and
 * further names at the end, so that nothing is ever opened through a symlink. */
#include "stash/stash_priv.h"
#include "sys/file.h"
#include "sys/path.h"
#include "tar/decompress.h"
#include "tar/tar.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/* Where a chunk goes. */
struct target {
    uint32_t entry;
    uint64_t offset;
};

struct restore {
    const struct stash_opts *o;
    struct stash_index *x;
    int dir_fd;
    uint32_t *first; /* of each chunk: its first target; one more at the end */
    struct target *targets;
};

/* ---- which chunk goes where ---- */

static void count_targets(struct restore *r)
{
    const struct stash_index *x = r->x;

    for (size_t i = 0; i < x->entries.n; i++)
        for (uint32_t k = 0; stash_has_data(&x->entries.items[i]) && k < x->entries.items[i].n_refs; k++)
            r->first[x->refs.items[x->entries.items[i].first_ref + k] + 1]++;
    for (size_t c = 0; c < x->chunks.n; c++)
        r->first[c + 1] += r->first[c];
}

static void find_targets(struct restore *r)
{
    const struct stash_index *x = r->x;

    r->first = xcalloc(x->chunks.n + 2, sizeof(*r->first));
    count_targets(r);
    r->targets = xcalloc(r->first[x->chunks.n] + 1, sizeof(*r->targets));
    AUTO_FREE uint32_t *next = xcalloc(x->chunks.n + 1, sizeof(*next));
    memcpy(next, r->first, x->chunks.n * sizeof(*next));
    for (uint32_t i = 0; i < x->entries.n; i++) {
        const struct stash_entry *e = &x->entries.items[i];
        uint64_t offset = 0;

        for (uint32_t k = 0; stash_has_data(e) && k < e->n_refs; k++) {
            uint32_t c = x->refs.items[e->first_ref + k];

            r->targets[next[c]++] = (struct target){ i, offset };
            offset += x->chunks.items[c].len;
        }
    }
}

/* ---- files ---- */

static struct err *set_metadata(const struct restore *r, const struct stash_entry *e, int fd)
{
    const struct owner owner = { .uid = e->uid, .gid = e->gid };
    const struct timespec times[2] = { { .tv_sec = e->used_s }, { .tv_sec = e->mtime_s, .tv_nsec = e->mtime_ns } };
    struct stat st;
    bool stored;

    if (fstat(fd, &st) < 0)
        return err_sys(errno, "cannot look at a file");
    TRY(owner_set(r->o->owners, fd, &st, &owner, &stored));
    if (!S_ISLNK(e->mode) && fchmod(fd, e->mode & 07777) < 0)
        return err_sys(errno, "cannot change a file's mode");
    if ((S_ISLNK(e->mode) ? utimensat(fd, "", times, AT_EMPTY_PATH) : futimens(fd, times)) < 0)
        return err_sys(errno, "cannot set a file's times");
    return NULL;
}

/* The file of an entry, made if it is not there yet. */
static struct err *open_file(const struct restore *r, uint32_t entry, struct buf *path, int *ret_fd)
{
    stash_path(r->x, entry, path);
    return path_open(r->dir_fd, buf_str(path), O_RDWR | O_CREAT | O_NOFOLLOW, 0600, ret_fd);
}

/* A file of one chunk is done when that is written. */
static struct err *end_file(const struct restore *r, uint32_t entry, int fd)
{
    const struct stash_entry *e = &r->x->entries.items[entry];

    return e->n_refs == 1 ? set_metadata(r, e, fd) : NULL;
}

static struct err *write_at(int fd, const void *p, size_t n, uint64_t offset)
{
    for (size_t done = 0; done < n;) {
        ssize_t w = pwrite(fd, (const char *)p + done, n - done, (off_t)(offset + done));

        if (w < 0 && errno != EINTR)
            return err_set_kind(err_sys(errno, "cannot write a file"), ERR_DISK);
        done += w > 0 ? (size_t)w : 0;
    }
    return NULL;
}

static struct err *copy_chunk(const struct restore *r, int from, uint64_t offset, uint32_t len, const struct target *to,
                              struct buf *path)
{
    AUTO_CLOSE int fd = -1;

    TRY(open_file(r, to->entry, path, &fd));
    if (lseek(from, (off_t)offset, SEEK_SET) < 0 || lseek(fd, (off_t)to->offset, SEEK_SET) < 0)
        return err_sys(errno, "cannot copy a part of a file");
    TRY(file_copy_data(from, fd, len, r->o->cancel));
    return end_file(r, to->entry, fd);
}

/* The chunk that the tar stands at, into all files that have it. */
static struct err *write_chunk(const struct restore *r, struct tar_reader *tar, uint32_t chunk, struct buf *path)
{
    const struct target *t = &r->targets[r->first[chunk]], *end = &r->targets[r->first[chunk + 1]];
    const uint32_t len = r->x->chunks.items[chunk].len;
    AUTO_CLOSE int fd = -1;
    uint64_t bytes = 0;

    if (t == end)
        return NULL;
    TRY(open_file(r, t->entry, path, &fd));
    for (size_t n = 1; n;) {
        const void *p;
        uint64_t offset;

        TRY(tar_read_data(tar, &p, &n, &offset));
        TRY(write_at(fd, p, n, t->offset + offset));
        bytes += n;
    }
    if (bytes != len)
        return err_new(ERR_REGISTRY, "a chunk has %llu bytes and not %u", (unsigned long long)bytes, len);
    TRY(end_file(r, t->entry, fd));
    for (const struct target *more = t + 1; more < end; more++)
        TRY(copy_chunk(r, fd, t->offset, len, more, path));
    return NULL;
}

static uint32_t chunk_of(const struct restore *r, const struct tar_entry *e)
{
    uint8_t id[STASH_ID_BYTES];

    if (!S_ISREG(e->mode) || e->size_bytes > UINT32_MAX || !stash_id_parse(e->path, id))
        return STASH_NONE;
    return stash_find_chunk(r->x, id, (uint32_t)e->size_bytes);
}

/* A pack's tar, which may not be longer than any that we write. */
struct unpacked {
    struct source in;
    uint64_t left;
};

static struct err *read_unpacked(void *ctx, void *p, size_t n, size_t *ret_len)
{
    struct unpacked *u = ctx;

    TRY(source_read(&u->in, p, n, ret_len));
    if (*ret_len > u->left)
        return err_new(ERR_REGISTRY, "a pack has more than %d MiB", LIMIT_STASH_TAR_BYTES >> 20);
    u->left -= *ret_len;
    return NULL;
}

static struct err *read_pack(const struct restore *r, size_t pack, int fd)
{
    AUTO(decompress_free) struct decompressor *d = NULL;
    AUTO(tar_reader_free) struct tar_reader *tar = NULL;
    AUTO(buf_release) struct buf path = BUF_INIT;

    TRY(decompress_new(file_source(&fd), &d));
    struct unpacked text = { decompress_source(d), LIMIT_STASH_TAR_BYTES };
    const struct source in = { read_unpacked, &text };
    TRY(tar_reader_new(in, &tar));
    for (bool found = true; found;) {
        __attribute__((cleanup(tar_entry_release_auto))) struct tar_entry e = { 0 };

        TRY(tar_read_entry(tar, &e, &found));
        uint32_t chunk = found ? chunk_of(r, &e) : STASH_NONE;
        if (chunk != STASH_NONE && r->x->chunks.items[chunk].pack == pack)
            TRY(write_chunk(r, tar, chunk, &path));
        TRY(cancel_check(r->o->cancel));
    }
    return NULL;
}

static struct err *get_pack(void *ctx, size_t i)
{
    const struct restore *r = ctx;
    const struct descriptor d = remote_descriptor(&r->x->packs.items[i]);
    AUTO_CLOSE int fd = -1;

    TRY(remote_fetch(r->o, &d, &fd));
    return read_pack(r, i, fd);
}

/* ---- the rest ---- */

static struct err *make_dirs(const struct restore *r)
{
    AUTO(buf_release) struct buf path = BUF_INIT;

    for (uint32_t i = 1; i < r->x->entries.n; i++) {
        if (!S_ISDIR(r->x->entries.items[i].mode))
            continue;
        stash_path(r->x, i, &path);
        if (mkdirat(r->dir_fd, buf_str(&path), 0700) < 0)
            return err_sys(errno, "cannot make directory '%s'", buf_str(&path));
    }
    return NULL;
}

static struct err *make_link(const struct restore *r, const struct stash_entry *e, const char *path)
{
    AUTO(buf_release) struct buf first = BUF_INIT;
    AUTO_CLOSE int fd = -1;

    if (!S_ISLNK(e->mode)) {
        stash_path(r->x, e->link, &first);
        return linkat(r->dir_fd, buf_str(&first), r->dir_fd, path, 0) < 0 ? err_sys(errno, "cannot link '%s'", path)
                                                                          : NULL;
    }
    if (symlinkat(stash_text(r->x, e->link), r->dir_fd, path) < 0)
        return err_sys(errno, "cannot make symlink '%s'", path);
    fd = openat(r->dir_fd, path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? err_sys(errno, "cannot open '%s'", path) : set_metadata(r, e, fd);
}

/* Files with no chunk or several; every chunk of theirs must have come. */
static struct err *finish_file(const struct restore *r, uint32_t i, struct buf *path)
{
    const struct stash_entry *e = &r->x->entries.items[i];
    AUTO_CLOSE int fd = -1;
    struct stat st;

    if (!stash_has_data(e))
        return NULL;
    if (e->n_refs == 0)
        TRY(open_file(r, i, path, &fd));
    else
        stash_path(r->x, i, path);
    if (fstatat(r->dir_fd, buf_str(path), &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode) ||
        (uint64_t)st.st_size != e->size_bytes)
        return err_new(ERR_REGISTRY, "the file '%s' is in no pack", buf_str(path));
    if (e->n_refs == 1)
        return NULL;
    if (fd < 0)
        TRY(open_file(r, i, path, &fd));
    return set_metadata(r, e, fd);
}

static struct err *make_links(const struct restore *r, struct buf *path)
{
    for (uint32_t i = 1; i < r->x->entries.n; i++) {
        const struct stash_entry *e = &r->x->entries.items[i];

        if (S_ISDIR(e->mode) || stash_has_data(e))
            continue;
        stash_path(r->x, i, path);
        TRY(make_link(r, e, buf_str(path)));
    }
    return NULL;
}

/* At the end: making what is below has changed their times. */
static struct err *finish_dirs(const struct restore *r, struct buf *path)
{
    for (uint32_t i = (uint32_t)r->x->entries.n; i-- > 0;) {
        AUTO_CLOSE int fd = -1;

        if (!S_ISDIR(r->x->entries.items[i].mode))
            continue;
        stash_path(r->x, i, path);
        TRY(path_open(r->dir_fd, buf_str(path), O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, &fd));
        TRY(set_metadata(r, &r->x->entries.items[i], fd));
    }
    return NULL;
}

static struct err *finish(const struct restore *r)
{
    AUTO(buf_release) struct buf path = BUF_INIT;

    for (uint32_t i = 1; i < r->x->entries.n; i++)
        TRY(finish_file(r, i, &path));
    TRY(make_links(r, &path));
    return finish_dirs(r, &path);
}

static struct err *check_space(const struct restore *r, const char *dir)
{
    const uint64_t bytes = stash_bytes(r->x);
    uint64_t free_bytes;

    if (file_free_bytes(dir, &free_bytes) && bytes > free_bytes)
        return err_new(ERR_DISK, "it needs %llu MiB, more than are free", (unsigned long long)(bytes >> 20));
    return NULL;
}

static struct err *restore_all(struct restore *r)
{
    find_targets(r);
    (void)stash_find_chunk(r->x, (const uint8_t[STASH_ID_BYTES]){ 0 },
                           0); /* its table is made, before there are threads */
    TRY(make_dirs(r));
    TRY(r->o->in_parallel(r->o->transfers, r->x->packs.n, get_pack, r));
    return finish(r);
}

static struct err *restore_into(const struct stash_opts *o, const struct stash_place *p, struct remote *remote,
                                struct stash_stats *ret)
{
    AUTO_CLOSE int dir = open(p->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct restore r = { .o = o, .x = &remote->x, .dir_fd = dir };

    if (dir < 0)
        return err_sys(errno, "cannot open '%s'", p->dir);
    TRY(check_space(&r, p->dir));
    struct err *e = restore_all(&r);
    free(r.first);
    free(r.targets);
    TRY(e);
    ret->found = true;
    ret->entries = remote->x.entries.n - 1;
    ret->bytes = stash_bytes(&remote->x);
    ret->moved = remote->moved;
    for (size_t i = 0; i < remote->x.packs.n; i++)
        ret->moved += remote->x.packs.items[i].size_bytes;
    return stash_record_write(p->record, &remote->x, &remote->digest, NULL);
}

/* What is saved later must not build on it. */
static void mark_damaged(const struct stash_place *p, const struct digest *document)
{
    err_free(stash_record_write(p->record, NULL, document, NULL));
}

struct err *stash_restore(const struct stash_opts *o, const struct stash_place *p, struct stash_stats *ret)
{
    AUTO(remote_release) struct remote remote = { 0 };

    *ret = (struct stash_stats){ 0 };
    (void)unlink(p->record); /* of a directory that was here before */
    TRY(remote_read(o, p->tag, &remote));
    if (!remote.digest.text[0])
        return NULL;
    struct err *e = restore_into(o, p, &remote, ret);
    if (e && err_kind(e) == ERR_REGISTRY)
        mark_damaged(p, &remote.digest);
    return e;
}
