/* scan.c - a directory as an index. */
#include "base/map.h"
#include "stash/stash_priv.h"
#include "sys/path.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>

struct walk {
    const struct stash_opts *o;
    struct scan *s;
    int dir_fd;
    struct map *inodes; /* of files with several names: "device:number" -> their first entry */
};

static bool is_before(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec != b->tv_sec ? a->tv_sec < b->tv_sec : a->tv_nsec < b->tv_nsec;
}

/* The same file as in the base, and untouched since. */
static bool is_unchanged(const struct scan *s, uint32_t in_base, const struct stash_entry *e, const struct stat *st)
{
    if (in_base == STASH_NONE)
        return false;
    const struct stash_entry *b = &s->base->entries.items[in_base];

    return S_ISREG(b->mode) && b->size_bytes == e->size_bytes && b->mtime_s == e->mtime_s &&
           b->mtime_ns == e->mtime_ns && is_before(&st->st_ctim, &s->since);
}

/* That a directory was read tells nothing: we do that, too. */
static int64_t last_use(const struct walk *w, uint32_t in_base, const struct stat *st)
{
    const struct scan *s = w->s;

    if (in_base == STASH_NONE || !is_before(&st->st_ctim, &s->since) ||
        (S_ISREG(st->st_mode) && !is_before(&st->st_atim, &s->since)))
        return w->o->now_s;
    return s->base->entries.items[in_base].used_s;
}

static struct err *set_link(struct walk *w, int fd, struct stash_entry *e)
{
    char target[LIMIT_PATH_BYTES];
    ssize_t n = readlinkat(fd, "", target, sizeof(target) - 1);

    if (n < 0)
        return err_sys(errno, "cannot read a symlink");
    target[n] = '\0';
    e->link = stash_add_text(&w->s->x, target);
    return NULL;
}

/* Another name of a file that was seen is a link to the first one. */
static void set_first_name(struct walk *w, const struct stat *st, struct stash_entry *e)
{
    if (st->st_nlink < 2)
        return;
    AUTO_FREE char *key = xasprintf("%llu:%llu", (unsigned long long)st->st_dev, (unsigned long long)st->st_ino);
    const uintptr_t first = (uintptr_t)map_get(w->inodes, key);

    if (first)
        e->link = (uint32_t)first;
    else
        map_set(w->inodes, key, (void *)(uintptr_t)w->s->x.entries.n); // NOLINT(performance-no-int-to-ptr)
}

static void push(struct walk *w, const struct stash_entry *e, uint32_t in_base, bool unchanged)
{
    vec_push(&w->s->x.entries, *e);
    vec_push(&w->s->in_base, in_base);
    vec_push(&w->s->unchanged, unchanged);
}

/* One entry, which is open as an O_PATH descriptor; what cannot be kept is left out. */
static struct err *add(struct walk *w, int fd, const char *name, uint32_t parent, uint32_t in_base)
{
    struct stash_entry e = { .parent = parent, .link = STASH_NONE };
    struct owner owner;
    struct stat st;
    bool known;

    if (fstat(fd, &st) < 0)
        return err_sys(errno, "cannot look at '%s'", name);
    TRY(owner_get(w->o->owners, fd, &st, &owner, &known));
    if ((!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode) && !S_ISLNK(st.st_mode)) || owner.device)
        return NULL;
    e.mode = st.st_mode;
    e.uid = owner.uid;
    e.gid = owner.gid;
    e.mtime_s = st.st_mtim.tv_sec;
    e.mtime_ns = (uint32_t)st.st_mtim.tv_nsec;
    e.used_s = last_use(w, in_base, &st);
    e.name = stash_add_text(&w->s->x, name);
    if (S_ISLNK(st.st_mode))
        TRY(set_link(w, fd, &e));
    if (S_ISREG(st.st_mode)) {
        e.size_bytes = (uint64_t)st.st_size;
        set_first_name(w, &st, &e);
    }
    push(w, &e, in_base, is_unchanged(w->s, in_base, &e, &st));
    return NULL;
}

static struct err *add_child(struct walk *w, int dir, const char *name, uint32_t parent)
{
    const struct scan *s = w->s;
    AUTO_CLOSE int fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    uint32_t above = s->in_base.items[parent];

    if (fd < 0)
        return errno == ENOENT ? NULL : err_sys(errno, "cannot open '%s'", name);
    if (s->x.entries.n >= LIMIT_STASH_ENTRIES || s->x.names.len > LIMIT_STASH_NAMES_BYTES - 2 * LIMIT_PATH_BYTES)
        return err_new(ERR_DISK, "it has more than %d files", LIMIT_STASH_ENTRIES);
    return add(w, fd, name, parent, above == STASH_NONE ? STASH_NONE : stash_find(s->base, above, name));
}

static struct err *list(int dir, struct strs *names)
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);

    if (!d) {
        close_fd(&fd);
        return err_sys(errno, "cannot read a directory");
    }
    for (struct dirent *e; (e = readdir(d));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            strs_add(names, e->d_name);
    closedir(d);
    strs_sort(names);
    return NULL;
}

static struct err *add_children(struct walk *w, uint32_t parent, struct buf *path)
{
    AUTO(strs_release) struct strs names = { 0 };
    AUTO_CLOSE int dir = -1;

    stash_path(&w->s->x, parent, path);
    TRY(path_open_if_exists(w->dir_fd, buf_str(path), O_RDONLY | O_DIRECTORY | O_NOFOLLOW, &dir));
    if (dir < 0)
        return NULL;
    TRY(list(dir, &names));
    for (size_t i = 0; i < names.n; i++)
        TRY(add_child(w, dir, names.items[i], parent));
    return cancel_check(w->o->cancel);
}

static struct err *walk_all(struct walk *w)
{
    AUTO(buf_release) struct buf path = BUF_INIT;

    TRY(add(w, w->dir_fd, "", 0, w->s->base ? 0 : STASH_NONE));
    for (uint32_t i = 0; i < w->s->x.entries.n; i++)
        if (S_ISDIR(w->s->x.entries.items[i].mode))
            TRY(add_children(w, i, &path));
    return NULL;
}

struct err *scan_names(const struct stash_opts *o, int dir_fd, struct scan *s)
{
    AUTO(map_free) struct map *inodes = map_new(NULL);
    struct walk w = { .o = o, .s = s, .dir_fd = dir_fd, .inodes = inodes };

    return walk_all(&w);
}

/* Only what keep[] names, in all arrays. */
static void scan_select(struct scan *s, const bool *keep)
{
    size_t n = 0;

    for (size_t i = 0; i < s->x.entries.n; i++) {
        if (!keep[i])
            continue;
        s->in_base.items[n] = s->in_base.items[i];
        s->unchanged.items[n++] = s->unchanged.items[i];
    }
    stash_select(&s->x, keep);
    s->in_base.n = s->unchanged.n = n;
}

void scan_trim(struct scan *s, uint64_t max_bytes, struct stash_stats *stats)
{
    AUTO_FREE bool *keep = xcalloc(s->x.entries.n + 1, sizeof(*keep));
    size_t entries = s->x.entries.n;
    uint64_t bytes = stash_bytes(&s->x);

    if (!stash_choose(&s->x, max_bytes, keep))
        return;
    scan_select(s, keep);
    stats->dropped += bytes - stash_bytes(&s->x);
    stats->dropped_entries += entries - s->x.entries.n;
}

/* ---- what is in the files ---- */

/* The chunks of the base, if the repository still has them. */
static bool take_chunks(struct scan *s, uint32_t i)
{
    const struct stash_entry *b = &s->base->entries.items[s->in_base.items[i]];
    struct stash_entry *e = &s->x.entries.items[i];

    e->first_ref = (uint32_t)s->x.refs.n;
    for (uint32_t k = 0; k < b->n_refs; k++) {
        const struct stash_chunk *c = &s->base->chunks.items[s->base->refs.items[b->first_ref + k]];
        uint32_t at = stash_find_chunk(&s->x, c->id, c->len);

        if (at == STASH_NONE) {
            s->x.refs.n = e->first_ref;
            return false;
        }
        vec_push(&s->x.refs, at);
    }
    e->n_refs = b->n_refs;
    return true;
}

struct reader {
    const struct stash_opts *o;
    struct scan *s;
    struct packer *packer;
    uint8_t *data; /* STASH_CHUNK_MAX_BYTES */
};

/* As much as there is, and fits. */
static struct err *fill_up(int fd, uint8_t *data, size_t *have)
{
    while (*have < STASH_CHUNK_MAX_BYTES) {
        ssize_t n = read(fd, data + *have, STASH_CHUNK_MAX_BYTES - *have);

        if (n < 0 && errno != EINTR)
            return err_sys(errno, "cannot read a file");
        if (n == 0)
            break;
        *have += n > 0 ? (size_t)n : 0;
    }
    return NULL;
}

static struct err *cut_file(struct reader *r, int fd, struct stash_entry *e, uint64_t *ret_bytes)
{
    uint64_t bytes = 0;
    size_t len = 0;

    for (size_t have = 0;;) {
        uint32_t chunk;

        TRY(fill_up(fd, r->data, &have));
        len = stash_cut(r->data, have);
        if (!len)
            break;
        TRY(packer_add(r->packer, r->data, len, &chunk));
        vec_push(&r->s->x.refs, chunk);
        e->n_refs++;
        bytes += len;
        have -= len;
        memmove(r->data, r->data + len, have);
    }
    *ret_bytes = bytes;
    return NULL;
}

static bool same_stat(const struct stat *a, const struct stat *b)
{
    return a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec && a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
           a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* Reading it here is no use of it. */
static struct err *open_quietly(int dir_fd, const char *path, int *ret_fd)
{
    const int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK;
    struct err *e = path_open_if_exists(dir_fd, path, flags | O_NOATIME, ret_fd);

    if (err_errno(e) != EPERM)
        return e;
    err_free(e); /* it is not ours */
    return path_open_if_exists(dir_fd, path, flags, ret_fd);
}

/* *ret_whole false: somebody changes it. */
static struct err *read_file(struct reader *r, int dir_fd, uint32_t i, const char *path, bool *ret_whole)
{
    struct stash_entry *e = &r->s->x.entries.items[i];
    AUTO_CLOSE int fd = -1;
    struct stat before, after;
    uint64_t bytes = 0;

    *ret_whole = false;
    TRY(open_quietly(dir_fd, path, &fd));
    if (fd < 0 || fstat(fd, &before) < 0 || !S_ISREG(before.st_mode))
        return NULL;
    e->first_ref = (uint32_t)r->s->x.refs.n;
    TRY(cut_file(r, fd, e, &bytes));
    if (r->s->x.refs.n > LIMIT_STASH_CHUNKS)
        return err_new(ERR_DISK, "its files have more than %d pieces", LIMIT_STASH_CHUNKS);
    *ret_whole = fstat(fd, &after) == 0 && same_stat(&before, &after) && bytes == e->size_bytes &&
                 before.st_mtim.tv_sec == e->mtime_s && before.st_mtim.tv_nsec == (long)e->mtime_ns;
    return NULL;
}

static struct err *fill_file(struct reader *r, int dir_fd, uint32_t i, struct buf *path, bool *ret_whole)
{
    struct scan *s = r->s;
    struct stash_entry *e = &s->x.entries.items[i];

    *ret_whole = true;
    TRY(cancel_check(r->o->cancel));
    if (!S_ISREG(e->mode) || e->link != STASH_NONE || (s->unchanged.items[i] && take_chunks(s, i)))
        return NULL;
    stash_path(&s->x, i, path);
    return err_wrap(read_file(r, dir_fd, i, buf_str(path), ret_whole), "cannot read '%s'", buf_str(path));
}

/* Its other names have the same chunks. */
static void fill_links(struct stash_index *x, bool *keep)
{
    for (size_t i = 0; i < x->entries.n; i++) {
        struct stash_entry *e = &x->entries.items[i];

        if (!S_ISREG(e->mode) || e->link == STASH_NONE)
            continue;
        const struct stash_entry *first = &x->entries.items[e->link];
        e->first_ref = first->first_ref;
        e->n_refs = first->n_refs;
        e->size_bytes = first->size_bytes;
        keep[i] = keep[i] && keep[e->link];
    }
}

struct err *scan_files(const struct stash_opts *o, int dir_fd, struct scan *s, struct packer *p)
{
    AUTO_FREE bool *keep = xcalloc(s->x.entries.n + 1, sizeof(*keep));
    AUTO_FREE uint8_t *data = xcalloc(STASH_CHUNK_MAX_BYTES, 1);
    AUTO(buf_release) struct buf path = BUF_INIT;
    struct reader r = { .o = o, .s = s, .packer = p, .data = data };

    for (uint32_t i = 0; i < s->x.entries.n; i++)
        TRY(fill_file(&r, dir_fd, i, &path, &keep[i]));
    fill_links(&s->x, keep);
    scan_select(s, keep);
    return NULL;
}

void scan_release(struct scan *s)
{
    stash_release(&s->x);
    vec_free(&s->in_base);
    vec_free(&s->unchanged);
}
