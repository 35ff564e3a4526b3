/* save.c - a directory into the repository. */
#include "stash/stash_priv.h"
#include "sys/path.h"

#include <fcntl.h>
#include <string.h>

#define TRIES       5  /* when others write at the same time */
#define SMALL_PACKS 32 /* so many packs that are not half full are made fewer */

struct save {
    const struct stash_opts *o;
    const struct stash_place *place;
    struct stash_stats *stats;
    struct record record;
    struct remote remote; /* as it is there now */
    struct timespec since;
    int dir_fd;
    bool joined; /* what is there holds more than the directory */
    struct scan scan;
    uint64_t sent;
};

static void release(struct save *s)
{
    stash_release(&s->record.x);
    remote_release(&s->remote);
    scan_release(&s->scan);
    close_fd(&s->dir_fd);
}

/* ---- packs of which little is used ---- */

static bool is_small(uint64_t bytes)
{
    return bytes < STASH_PACK_BYTES / 2;
}

static size_t small_packs(const struct stash_index *x)
{
    AUTO_FREE uint64_t *bytes = xcalloc(x->packs.n + 1, sizeof(*bytes));
    AUTO_FREE uint64_t *used = xcalloc(x->packs.n + 1, sizeof(*used));
    size_t n = 0;

    stash_pack_use(x, bytes, used);
    for (size_t i = 0; i < x->packs.n; i++)
        n += is_small(used[i]);
    return n;
}

/* drop[]: packs that are not used, or hardly, or of which there are too many. */
static bool choose_packs(const struct stash_index *x, bool *drop)
{
    AUTO_FREE uint64_t *bytes = xcalloc(x->packs.n + 1, sizeof(*bytes));
    AUTO_FREE uint64_t *used = xcalloc(x->packs.n + 1, sizeof(*used));
    const size_t small = small_packs(x);
    bool any = false;

    stash_pack_use(x, bytes, used);
    for (size_t i = 0; i < x->packs.n; i++) {
        drop[i] = used[i] * 2 < bytes[i] || !used[i] || (small > SMALL_PACKS && is_small(used[i]));
        any = any || drop[i];
    }
    return any;
}

/* The bytes of a file's chunk once more. */
static struct err *move_chunk(const struct save *s, struct packer *p, uint32_t chunk, const char *path, uint64_t offset,
                              uint8_t *data)
{
    const uint32_t len = s->scan.x.chunks.items[chunk].len;
    AUTO_CLOSE int fd = -1;

    TRY(path_open_if_exists(s->dir_fd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, &fd));
    ssize_t n = fd < 0 ? -1 : pread(fd, data, len, (off_t)offset);
    return n == (ssize_t)len ? packer_move(p, chunk, data, len) : NULL;
}

static struct err *move_file(struct save *s, struct packer *p, uint32_t i, const bool *drop, struct buf *path,
                             uint8_t *data)
{
    const struct stash_index *x = &s->scan.x;
    const struct stash_entry e = x->entries.items[i];
    uint64_t offset = 0;

    stash_path(x, i, path);
    for (uint32_t k = 0; stash_has_data(&e) && k < e.n_refs; k++) {
        uint32_t chunk = x->refs.items[e.first_ref + k], pack = x->chunks.items[chunk].pack;

        if (pack < x->packs.n && drop[pack])
            TRY(move_chunk(s, p, chunk, buf_str(path), offset, data));
        offset += x->chunks.items[chunk].len;
    }
    return cancel_check(s->o->cancel);
}

/* Chunks that are still used move from packs that are to go into new ones. */
static struct err *move_chunks(struct save *s, struct packer *p, const bool *drop)
{
    AUTO_FREE uint8_t *data = xcalloc(STASH_CHUNK_MAX_BYTES, 1);
    AUTO(buf_release) struct buf path = BUF_INIT;

    for (uint32_t i = 0; i < s->scan.x.entries.n; i++)
        TRY(move_file(s, p, i, drop, &path, data));
    return packer_end(p);
}

/* What the directory uses can be written anew. */
static struct err *repack(struct save *s)
{
    struct stash_index *x = &s->scan.x;
    AUTO_FREE bool *drop = xcalloc(LIMIT_LAYERS + 1, sizeof(*drop));
    AUTO(packer_free) struct packer *p = packer_new(s->o, x);

    if (!choose_packs(x, drop))
        return NULL;
    TRY(move_chunks(s, p, drop));
    s->sent += packer_sent(p);
    AUTO_FREE uint64_t *bytes = xcalloc(x->packs.n + 1, sizeof(*bytes));
    AUTO_FREE uint64_t *used = xcalloc(x->packs.n + 1, sizeof(*used));
    stash_pack_use(x, bytes, used);
    for (size_t i = 0; i < x->packs.n; i++)
        drop[i] = drop[i] && !used[i];
    stash_drop_packs(x, drop);
    return NULL;
}

static void forget_remote(struct save *s)
{
    remote_release(&s->remote);
    memset(&s->remote, 0, sizeof(s->remote));
}

/* What is there and is of no use is as if it was not. */
static struct err *look(struct save *s)
{
    forget_remote(s);
    struct err *e = remote_read(s->o, s->place->tag, &s->remote);
    if (e && err_kind(e) != ERR_REGISTRY)
        return e;
    err_free(e);
    if (s->record.damaged && digest_equal(&s->remote.digest, &s->record.remote))
        forget_remote(s);
    return NULL;
}

/* ---- what is written ---- */

static void drop_unused(struct stash_index *x)
{
    AUTO_FREE uint64_t *bytes = xcalloc(x->packs.n + 1, sizeof(*bytes));
    AUTO_FREE uint64_t *used = xcalloc(x->packs.n + 1, sizeof(*used));
    AUTO_FREE bool *drop = xcalloc(x->packs.n + 1, sizeof(*drop));

    stash_pack_use(x, bytes, used);
    for (size_t i = 0; i < x->packs.n; i++)
        drop[i] = !used[i];
    stash_drop_packs(x, drop);
}

/* Others have written since the directory was restored: what they have is kept, too. */
static struct err *join(struct save *s, struct stash_index *ret)
{
    stash_merge(&s->scan.x, &s->remote.x, ret);
    stash_trim(ret, s->o->max_bytes, s->stats);
    drop_unused(ret);
    if (ret->packs.n > LIMIT_LAYERS - 1 || ret->entries.n > LIMIT_STASH_ENTRIES || ret->refs.n > LIMIT_STASH_CHUNKS ||
        ret->names.len > LIMIT_STASH_NAMES_BYTES)
        return err_new(ERR_DISK, "what several builds have put together is too much: more than %d files or %d packs",
                       LIMIT_STASH_ENTRIES, LIMIT_LAYERS - 1);
    return NULL;
}

/* Writes x, unless it is there; *ret_overwritten: what is there now is another's. */
static struct err *put(struct save *s, const struct stash_index *x, bool *ret_overwritten)
{
    struct remote written = { 0 };
    struct digest now;

    *ret_overwritten = false;
    if (s->remote.digest.text[0] && stash_same(x, &s->remote.x))
        return NULL;
    TRY(remote_write(s->o, s->place->tag, x, &written));
    s->sent += written.moved;
    s->stats->found = true;
    TRY(remote_look(s->o, s->place->tag, &now));
    *ret_overwritten = !digest_equal(&now, &written.digest);
    s->remote.digest = written.digest;
    return NULL;
}

/* Each save that is joined with what others have adds packs: what is in the directory is put together here, too. */
static struct err *put_joined(struct save *s, bool *ret_overwritten)
{
    AUTO(stash_release) struct stash_index both = { 0 };

    if (small_packs(&s->remote.x) > SMALL_PACKS)
        TRY(repack(s));
    TRY(join(s, &both));
    s->joined = true;
    return put(s, &both, ret_overwritten);
}

static struct err *put_own(struct save *s, bool *ret_overwritten)
{
    TRY(repack(s));
    return put(s, &s->scan.x, ret_overwritten);
}

static bool others_wrote(const struct save *s)
{
    return s->remote.digest.text[0] && !digest_equal(&s->remote.digest, &s->record.remote);
}

static struct err *put_until_there(struct save *s)
{
    bool again = true;

    TRY(others_wrote(s) ? put_joined(s, &again) : put_own(s, &again));
    for (int i = 1; again && i < TRIES; i++) {
        TRY(look(s));
        TRY(put_joined(s, &again));
    }
    return NULL;
}

/* ---- all of it ---- */

static struct err *scan_all(struct save *s)
{
    AUTO(packer_free) struct packer *p = packer_new(s->o, &s->scan.x);

    s->scan.base = s->record.found ? &s->record.x : NULL;
    s->scan.since = s->record.since;
    TRY(scan_names(s->o, s->dir_fd, &s->scan));
    scan_trim(&s->scan, s->o->max_bytes, s->stats);
    stash_copy_chunks(&s->scan.x, &s->remote.x);
    TRY(scan_files(s->o, s->dir_fd, &s->scan, p));
    TRY(packer_end(p));
    s->sent += packer_sent(p);
    return NULL;
}

static struct err *save(struct save *s)
{
    stash_record_read(s->place->record, &s->record);
    s->dir_fd = open(s->place->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->dir_fd < 0)
        return err_sys(errno, "cannot open '%s'", s->place->dir);
    TRY(stash_record_now(s->place->record, &s->since));
    TRY(look(s));
    TRY(scan_all(s));
    TRY(put_until_there(s));
    s->stats->entries = s->scan.x.entries.n - 1;
    s->stats->bytes = stash_bytes(&s->scan.x);
    s->stats->moved = s->sent;
    /* What the directory does not hold was not removed from it: next time it is taken in again. */
    const struct digest none = { "" };
    return stash_record_write(s->place->record, &s->scan.x, s->joined ? &none : &s->remote.digest, &s->since);
}

struct err *stash_save(const struct stash_opts *o, const struct stash_place *p, struct stash_stats *ret)
{
    struct save s = { .o = o, .place = p, .stats = ret, .dir_fd = -1 };

    *ret = (struct stash_stats){ 0 };
    struct err *e = save(&s);
    release(&s);
    return e;
}
