#include "snapshot/scan_priv.h"

#include "base/limits.h"
#include "snapshot/writer_priv.h"
#include "sys/path.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

/* What a scan keeps of a file. The scan of a directory: the number of its entries, for each one this and its name, in
 * order; then the same for each of its directories. */
struct record {
    uint64_t ino, size, rdev, attributes; /* attributes: a hash, of directories only */
    struct timespec mtime, ctime, birth;  /* birth: zero where the file system has none */
    struct owner owner;
    mode_t mode;
    uint32_t name_len;
};

struct item {
    struct record rec;
    char *name;
};

struct items {
    struct item *items;
    size_t n, cap;
};

static void items_release(struct items *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->items[i].name);
    vec_free(l);
}

static void items_release_auto(struct items *l)
{
    items_release(l);
}

struct scan {
    const struct scan_opts *o;
    const struct commit_opts *commit; /* NULL in the first scan */
    struct layer_writer *w;           /* NULL in the first scan */
    FILE *before, *after;
};

/* ---- the file ---- */

static struct err *scan_damaged(void)
{
    return err_new(ERR_DISK, "the record of what the work tree held is damaged");
}

static struct err *read_items(FILE *f, struct items *ret)
{
    uint64_t n;

    if (fread(&n, sizeof(n), 1, f) != 1)
        return scan_damaged();
    for (; n > 0; n--) {
        struct item it = { 0 };

        if (fread(&it.rec, sizeof(it.rec), 1, f) != 1 || it.rec.name_len > NAME_MAX)
            return scan_damaged();
        it.name = xcalloc(1, it.rec.name_len + 1);
        vec_push(ret, it);
        if (fread(it.name, it.rec.name_len, 1, f) != 1)
            return scan_damaged();
    }
    return NULL;
}

static struct err *write_items(FILE *f, const struct items *l)
{
    uint64_t n = l->n;
    bool ok = fwrite(&n, sizeof(n), 1, f) == 1;

    for (size_t i = 0; ok && i < l->n; i++)
        ok = fwrite(&l->items[i].rec, sizeof(l->items[i].rec), 1, f) == 1 &&
             fwrite(l->items[i].name, l->items[i].rec.name_len, 1, f) == 1;
    return ok ? NULL : err_set_kind(err_sys(errno, "cannot write what the work tree holds"), ERR_DISK);
}

/* Passes over what was recorded of a directory that is gone. */
static struct err *skip_dir(struct scan *s, int depth)
{
    AUTO(items_release) struct items l = { 0 };

    if (depth > LIMIT_WALK_DEPTH)
        return scan_damaged();
    TRY(read_items(s->before, &l));
    for (size_t i = 0; i < l.n; i++)
        if (S_ISDIR(l.items[i].rec.mode))
            TRY(skip_dir(s, depth + 1));
    return NULL;
}

/* ---- looking at one file ---- */

static bool same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool same_owner(const struct owner *a, const struct owner *b)
{
    return a->uid == b->uid && a->gid == b->gid && a->device == b->device && (!a->device || a->rdev == b->rdev);
}

static uint64_t hash_add(uint64_t h, const void *p, size_t n)
{
    const unsigned char *c = p;

    for (size_t i = 0; i < n; i++)
        h = (h ^ c[i]) * 0x100000001b3; /* FNV-1a */
    return h;
}

static struct err *hash_attributes(int dir_fd, const char *name, mode_t mode, uint64_t *ret)
{
    AUTO(tar_entry_release) struct tar_entry e = { 0 };
    uint64_t h = 0xcbf29ce484222325;

    TRY(xattrs_read(dir_fd, name, mode, &e));
    for (size_t i = 0; i < e.n_xattrs; i++) {
        h = hash_add(h, e.xattrs[i].name, strlen(e.xattrs[i].name) + 1);
        h = hash_add(h, &e.xattrs[i].len, sizeof(e.xattrs[i].len));
        h = hash_add(h, e.xattrs[i].value, e.xattrs[i].len);
    }
    *ret = h;
    return NULL;
}

static struct err *recorded_owner(struct scan *s, int dir_fd, const char *name, const struct stat *st,
                                  struct owner *ret, bool *ret_known)
{
    AUTO_CLOSE int fd = -1;

    /* with real owners only an empty file may hide a record, of a device */
    if (s->o->owners == OWNER_REAL && !(S_ISREG(st->st_mode) && st->st_size == 0))
        return owner_get(s->o->owners, fd, st, ret, ret_known);
    fd = openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return err_sys(errno, "cannot open '%s'", name);
    return owner_get(s->o->owners, fd, st, ret, ret_known);
}

/* `old`: the same inode as of the last scan, or NULL. */
static struct err *find_owner(struct scan *s, int dir_fd, const char *name, const char *path, const struct stat *st,
                              const struct item *old, struct owner *ret)
{
    bool carries = S_ISREG(st->st_mode) || S_ISDIR(st->st_mode), known;

    TRY(recorded_owner(s, dir_fd, name, st, ret, &known));
    if (known)
        return NULL;
    if (s->o->noted && owner_table_get(s->o->noted, path, ret)) {
        owner_table_set(s->o->specials, path, ret);
        return NULL;
    }
    if (old) {
        *ret = carries ? (struct owner){ 0 } : old->rec.owner;
        return NULL;
    }
    if (!s->commit) { /* the tree as the layers made it */
        (void)owner_table_get(s->o->specials, path, ret);
        return NULL;
    }
    *ret = (struct owner){ 0 };
    if (!carries)
        owner_table_set(s->o->specials, path, ret);
    return NULL;
}

/* An inode number is given again at once to the next new file: what tells the two apart is when they were made. */
static struct err *look_for_birth(int dir_fd, const char *name, const char *path, struct timespec *ret)
{
    struct statx sx;

    if (statx(dir_fd, name, AT_SYMLINK_NOFOLLOW, STATX_BTIME, &sx) < 0)
        return err_sys(errno, "cannot look at '%s'", path);
    *ret = (struct timespec){ 0 };
    if (sx.stx_mask & STATX_BTIME)
        *ret = (struct timespec){ .tv_sec = sx.stx_btime.tv_sec, .tv_nsec = sx.stx_btime.tv_nsec };
    return NULL;
}

static bool is_same_file(const struct record *old, const struct stat *st, const struct timespec *birth)
{
    return old->ino == st->st_ino && (old->mode & S_IFMT) == (st->st_mode & S_IFMT) && same_time(&old->birth, birth);
}

static bool is_untouched(const struct record *old, const struct stat *st)
{
    return old->ino == st->st_ino && old->mode == st->st_mode && same_time(&old->ctime, &st->st_ctim);
}

static struct err *look(struct scan *s, int dir_fd, const char *name, const char *path, const struct item *old,
                        struct record *ret)
{
    struct stat st;
    struct owner noted;
    struct record r = { .name_len = (uint32_t)strlen(name) };

    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return err_sys(errno, "cannot look at '%s'", path);
    TRY(look_for_birth(dir_fd, name, path, &r.birth));
    bool same_file = old && is_same_file(&old->rec, &st, &r.birth);
    if (same_file && is_untouched(&old->rec, &st) && !(s->o->noted && owner_table_get(s->o->noted, path, &noted))) {
        r.owner = old->rec.owner;
        r.attributes = old->rec.attributes;
    } else {
        TRY(find_owner(s, dir_fd, name, path, &st, same_file ? old : NULL, &r.owner));
        if (S_ISDIR(st.st_mode))
            TRY(hash_attributes(dir_fd, name, st.st_mode, &r.attributes));
    }
    r.ino = st.st_ino;
    r.size = (uint64_t)st.st_size;
    r.rdev = st.st_rdev;
    r.mtime = st.st_mtim;
    r.ctime = st.st_ctim;
    r.mode = st.st_mode;
    *ret = r;
    return NULL;
}

static bool is_changed(const struct scan *s, const struct record *a, const struct record *b)
{
    if ((a->mode & S_IFMT) != (b->mode & S_IFMT))
        return true;
    if (s->commit->mode == SNAPSHOT_TIME)
        return !S_ISDIR(a->mode) && !same_time(&a->mtime, &b->mtime);
    if (a->mode != b->mode || !same_owner(&a->owner, &b->owner))
        return true;
    if (S_ISDIR(a->mode)) /* its times and inode follow from what happened to its entries */
        return a->attributes != b->attributes;
    /* Any call that changes a file or what is known of it moves the ctime. What was there before is gone, so the file
     * is a change even if it was rewritten with what it held. */
    return a->ino != b->ino || !same_time(&a->ctime, &b->ctime) || !same_time(&a->mtime, &b->mtime) ||
           a->size != b->size;
}

/* ---- the walk ---- */

static struct err *walk(struct scan *s, struct frame *f, bool was_there, int depth);

static char *join(const char *dir, const char *name)
{
    return *dir ? xasprintf("%s/%s", dir, name) : xstrdup(name);
}

static const struct item *find_item(const struct items *l, size_t *at, const char *name)
{
    while (*at < l->n && strcmp(l->items[*at].name, name) < 0)
        (*at)++;
    return *at < l->n && strcmp(l->items[*at].name, name) == 0 ? &l->items[*at] : NULL;
}

static struct err *look_at_all(struct scan *s, const struct frame *f, const struct items *old, struct items *now)
{
    AUTO(names_release) struct names l = { 0 };
    size_t at = 0;

    TRY(names_read(f->fd, &l));
    for (size_t i = 0; i < l.n; i++) {
        AUTO_FREE char *path = join(f->path, l.items[i].text);
        struct item it = { 0 };

        if (strlen(path) >= LIMIT_PATH_BYTES)
            return err_new(ERR_DOCKERFILE, "a path of more than %d bytes: '%.100s...'", LIMIT_PATH_BYTES, path);
        TRY(look(s, f->fd, l.items[i].text, path, find_item(old, &at, l.items[i].text), &it.rec));
        it.name = steal(&l.items[i].text);
        vec_push(now, it);
    }
    return NULL;
}

static struct err *write_removed(struct scan *s, struct frame *f, const struct items *old, const struct items *now)
{
    size_t at = 0;

    for (size_t i = 0; i < old->n; i++) {
        AUTO_FREE char *path = join(f->path, old->items[i].name);

        if (!find_item(now, &at, old->items[i].name) && !S_ISSOCK(old->items[i].rec.mode) &&
            !layer_writer_ignores(s->w, path))
            TRY(layer_write_whiteout(s->w, f, old->items[i].name));
    }
    return NULL;
}

static struct err *visit_dir(struct scan *s, struct frame *up, const struct item *it, const char *path, bool was_dir,
                             bool changed, int depth)
{
    struct frame f = { .up = up, .path = path, .owner = it->rec.owner };
    AUTO_CLOSE int fd = openat(up->fd, it->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0 || fstat(fd, &f.st) < 0)
        return err_sys(errno, "cannot open directory '%s'", path);
    f.fd = fd;
    f.muted = up->muted || layer_writer_ignores(s->w, path);
    if (changed && !f.muted)
        TRY(layer_write_dir(s->w, &f));
    return walk(s, &f, was_dir, depth + 1);
}

static struct err *visit_file(struct scan *s, struct frame *up, const struct item *it, const char *path)
{
    struct file f = { .dir_fd = up->fd, .fd = -1, .name = it->name, .path = path, .owner = it->rec.owner };

    if (S_ISSOCK(it->rec.mode) || layer_writer_ignores(s->w, path))
        return NULL;
    if (fstatat(up->fd, it->name, &f.st, AT_SYMLINK_NOFOLLOW) < 0)
        return err_sys(errno, "cannot look at '%s'", path);
    return layer_write_file(s->w, up, &f);
}

static struct err *visit(struct scan *s, struct frame *f, const struct item *old, const struct item *it, int depth)
{
    AUTO_FREE char *path = join(f->path, it->name);
    bool changed = !f->muted && (!old || is_changed(s, &old->rec, &it->rec));
    bool was_dir = old && S_ISDIR(old->rec.mode);

    if (S_ISDIR(it->rec.mode))
        return visit_dir(s, f, it, path, was_dir, changed, depth);
    if (was_dir)
        TRY(skip_dir(s, depth));
    return changed ? visit_file(s, f, it, path) : NULL;
}

/* Both lists in one order: the recorded directories come out of the file in that order, too. */
static struct err *visit_all(struct scan *s, struct frame *f, const struct items *old, const struct items *now,
                             int depth)
{
    size_t o = 0, n = 0;

    while (o < old->n || n < now->n) {
        int order = o == old->n ? 1 : n == now->n ? -1 : strcmp(old->items[o].name, now->items[n].name);

        if (order < 0) {
            if (S_ISDIR(old->items[o].rec.mode))
                TRY(skip_dir(s, depth));
            o++;
            continue;
        }
        TRY(visit(s, f, order == 0 ? &old->items[o] : NULL, &now->items[n], depth));
        o += order == 0;
        n++;
    }
    return NULL;
}

static struct err *walk(struct scan *s, struct frame *f, bool was_there, int depth)
{
    AUTO(items_release) struct items old = { 0 };
    AUTO(items_release) struct items now = { 0 };

    TRY(cancel_check(s->o->cancel));
    if (depth > LIMIT_WALK_DEPTH)
        return err_new(ERR_DOCKERFILE, "more than %d directories deep: '%.100s...'", LIMIT_WALK_DEPTH, f->path);
    if (was_there)
        TRY(read_items(s->before, &old));
    TRY(look_at_all(s, f, &old, &now));
    TRY(write_items(s->after, &now));
    if (!f->muted)
        TRY(write_removed(s, f, &old, &now));
    return visit_all(s, f, &old, &now, depth);
}

static void close_file(FILE **f)
{
    if (*f)
        fclose(*f);
}

static struct err *open_file(const char *path, const char *mode, FILE **ret)
{
    *ret = fopen(path, mode);
    return *ret ? NULL : err_set_kind(err_sys(errno, "cannot open '%s'", path), ERR_DISK);
}

static struct err *finish(struct scan *s)
{
    if (fflush(s->after) != 0)
        return err_set_kind(err_sys(errno, "cannot write what the work tree holds"), ERR_DISK);
    return NULL;
}

struct err *scan_first(int root_fd, const char *after, const struct scan_opts *opts)
{
    struct frame root = { .path = "", .fd = root_fd, .muted = true };
    __attribute__((cleanup(close_file))) FILE *out = NULL;

    TRY(open_file(after, "we", &out));
    struct scan s = { .o = opts, .after = out };
    TRY(walk(&s, &root, false, 0));
    return finish(&s);
}

struct err *scan_changes(int root_fd, const char *before, const char *after, const struct scan_opts *opts,
                         const struct commit_opts *commit, struct sink out, struct commit_stats *stats)
{
    AUTO(layer_writer_free) struct layer_writer *w = layer_writer_new(commit, out, opts->cancel, stats);
    __attribute__((cleanup(close_file))) FILE *in_file = NULL;
    __attribute__((cleanup(close_file))) FILE *out_file = NULL;
    struct frame root = { .path = "", .fd = root_fd };

    TRY(open_file(before, "re", &in_file));
    TRY(open_file(after, "we", &out_file));
    struct scan s = { opts, commit, w, in_file, out_file };
    TRY(walk(&s, &root, true, 0));
    TRY(finish(&s));
    return layer_writer_end(w);
}
