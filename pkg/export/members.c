/* members.c - the files of an image on disk by their names: one pass over an archive notes where each lies and hashes
 * it; a directory's are looked at when they are asked for. */
#include "base/limits.h"
#include "export/image_file_priv.h"
#include "sys/file.h"
#include "tar/tar.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define IO_BYTES  65536
#define MAX_LINKS 8

struct member {
    char *link; /* to another member, as `docker save` once did with layers; else NULL */
    uint64_t offset, size_bytes;
    struct digest digest;
};

static void member_free(void *p)
{
    struct member *m = p;

    free(m->link);
    free(m);
}

static struct err *read_extent(void *ctx, void *p, size_t n, size_t *ret_len)
{
    struct extent_reader *r = ctx;
    uint64_t left = r->end - r->at;
    ssize_t got = left ? TEMP_FAILURE_RETRY(pread(r->fd, p, left < n ? (size_t)left : n, (off_t)r->at)) : 0;

    if (got < 0)
        return err_set_kind(err_sys(errno, "cannot read"), ERR_DISK);
    if (got == 0 && left)
        return err_new(ERR_DISK, "a file became shorter while it was being read");
    r->at += (uint64_t)got;
    *ret_len = (size_t)got;
    return NULL;
}

struct source extent_source(struct extent_reader *r)
{
    return (struct source){ read_extent, r };
}

/* ---- an archive ---- */

static struct err *hash_data(const struct image_file *f, struct tar_reader *tar, struct member *m)
{
    AUTO(hasher_free) struct hasher *h = hasher_new();
    const void *p;
    size_t n = 0;
    uint64_t at = 0, expected = 0;

    m->offset = tar_reader_offset(tar);
    for (;;) {
        TRY(cancel_check(f->o.cancel));
        TRY(tar_read_data(tar, &p, &n, &at));
        if (n == 0)
            break;
        if (at != expected)
            return err_new(ERR_SETTING, "it has a sparse file, as no archive of an image has");
        hasher_add(h, p, n);
        expected += n;
    }
    if (expected != m->size_bytes)
        return err_new(ERR_SETTING, "it has a sparse file, as no archive of an image has");
    m->digest = hasher_end(h);
    return NULL;
}

/* Where a link leads, seen from the member that it is. */
static char *link_target(const struct tar_entry *e)
{
    const char *slash = strrchr(e->path, '/'), *to = e->link;
    size_t dir = !e->hardlink && slash ? (size_t)(slash - e->path) : 0;

    while (strncmp(to, "../", 3) == 0) {
        to += 3;
        while (dir > 0 && e->path[dir - 1] != '/')
            dir--;
        dir -= dir > 0;
    }
    return dir ? xasprintf("%.*s/%s", (int)dir, e->path, to) : xstrdup(to);
}

static struct err *take_entry(struct image_file *f, struct tar_reader *tar, const struct tar_entry *e)
{
    struct member *m = xcalloc(1, sizeof(*m));
    struct err *failed = NULL;

    if (e->link)
        m->link = link_target(e);
    m->size_bytes = e->size_bytes;
    if (!m->link)
        failed = err_wrap(hash_data(f, tar, m), "'%s'", e->path);
    if (failed) {
        member_free(m);
        return failed;
    }
    map_set(f->members, e->path, m);
    return NULL;
}

struct err *members_read(struct image_file *f)
{
    struct extent_reader all = { f->fd, 0, UINT64_MAX };
    const off_t size = lseek(f->fd, 0, SEEK_END);
    AUTO(tar_reader_free) struct tar_reader *tar = NULL;
    bool found = true;

    all.end = size > 0 ? (uint64_t)size : 0;
    f->members = map_new(member_free);
    TRY(tar_reader_new(extent_source(&all), &tar));
    while (found) {
        __attribute__((cleanup(tar_entry_release_auto))) struct tar_entry e = { 0 };

        TRY(tar_read_entry(tar, &e, &found));
        if (!found || (!S_ISREG(e.mode) && !S_ISLNK(e.mode)))
            continue;
        if (map_count(f->members) >= LIMIT_IMAGE_MEMBERS)
            return err_new(ERR_SETTING, "it has more than %d files", LIMIT_IMAGE_MEMBERS);
        TRY(take_entry(f, tar, &e));
    }
    return NULL;
}

static const struct member *resolve(const struct image_file *f, const char *name)
{
    const struct member *m = map_get(f->members, name);

    for (int n = 0; m && m->link; n++)
        m = n < MAX_LINKS ? map_get(f->members, m->link) : NULL;
    return m;
}

struct ending {
    const char *text, *found;
    size_t skip;
};

static void compare_ending(void *ctx, const char *key, void *value)
{
    struct ending *e = ctx;
    size_t n = strlen(key), m = strlen(e->text);

    (void)value;
    if (e->found || n < m || strcmp(key + n - m, e->text) != 0)
        return;
    if (e->skip)
        e->skip--;
    else
        e->found = key;
}

const char *member_ending(const struct image_file *f, const char *ending, size_t n)
{
    struct ending e = { .text = ending, .skip = n };

    if (f->members)
        map_each(f->members, compare_ending, &e);
    return e.found;
}

/* ---- a directory ---- */

static struct err *hash_file(const struct image_file *f, int fd, struct extent *at)
{
    AUTO(hasher_free) struct hasher *h = hasher_new();
    AUTO_FREE char *io = xcalloc(1, IO_BYTES);
    struct extent_reader all = { fd, 0, at->size_bytes };
    const struct source from = extent_source(&all);
    size_t n = 0;

    for (;;) {
        TRY(cancel_check(f->o.cancel));
        TRY(source_read(&from, io, IO_BYTES, &n));
        if (n == 0)
            break;
        hasher_add(h, io, n);
    }
    at->digest = hasher_end(h);
    return NULL;
}

/* Only names that we make ourselves come here: fixed ones, and digests that were checked. */
static struct err *find_file(const struct image_file *f, const char *name, struct extent *ret, bool *ret_found)
{
    AUTO_FREE char *path = xasprintf("%s/%s", f->path, name);
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;

    *ret_found = false;
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return NULL;
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_set_kind(err_sys(errno, "cannot open '%s'", path), ERR_SETTING);
    if (!S_ISREG(st.st_mode))
        return err_new(ERR_SETTING, "'%s' is not a file", path);
    *ret = (struct extent){ .fd = -1, .size_bytes = (uint64_t)st.st_size };
    TRY(err_wrap(hash_file(f, fd, ret), "'%s'", path));
    ret->path = steal(&path);
    *ret_found = true;
    return NULL;
}

/* ---- both ---- */

struct err *member_find(const struct image_file *f, const char *name, struct extent *ret, bool *ret_found)
{
    if (f->fd < 0)
        return find_file(f, name, ret, ret_found);
    const struct member *m = resolve(f, name);

    *ret_found = m != NULL;
    if (m)
        *ret = (struct extent){ .fd = f->fd, .offset = m->offset, .size_bytes = m->size_bytes, .digest = m->digest };
    return NULL;
}

static struct err *read_text(const char *name, int fd, const struct extent *at, size_t max, struct buf *out)
{
    struct extent_reader r = { fd, at->offset, at->offset + at->size_bytes };
    const struct source from = extent_source(&r);
    char io[4096];
    size_t n = 0;

    if (at->size_bytes > max)
        return err_new(ERR_SETTING, "its '%s' is larger than %zu bytes", name, max);
    for (;;) {
        TRY(source_read(&from, io, sizeof(io), &n));
        if (n == 0)
            return NULL;
        buf_add(out, io, n);
    }
}

struct err *member_text(const struct image_file *f, const char *name, size_t max, struct buf *out, bool *ret_found)
{
    struct extent at = { .fd = -1 };
    AUTO_CLOSE int own = -1;

    TRY(member_find(f, name, &at, ret_found));
    AUTO_FREE char *path = at.path;
    if (!*ret_found)
        return NULL;
    if (path && (own = open(path, O_RDONLY | O_CLOEXEC)) < 0)
        return err_set_kind(err_sys(errno, "cannot open '%s'", path), ERR_SETTING);
    return read_text(name, path ? own : at.fd, &at, max, out);
}
