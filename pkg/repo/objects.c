#include "repo/objects.h"

#include "base/limits.h"
#include "base/strs.h"
#include "sys/file.h"

#include <git2.h>
#include <git2/sys/alloc.h>
#include <git2/sys/odb_backend.h>
#include <pthread.h>
#include <string.h>

#define WINDOW_BYTES     ((size_t)4 << 20) /* of packs that are mapped */
#define MAPPED_BYTES     ((size_t)32 << 20)
#define CACHE_BYTES      ((ssize_t)8 << 20)
#define STREAM_MIN_BYTES ((size_t)4 << 20) /* larger blobs are not read into memory if that can be helped */

struct repo_objects {
    char *dir; /* DIR/objects */
    const struct cancel *cancel;
    git_odb *odb;
    struct strs packs; /* their paths, without ".pack" */
};

struct repo_pack {
    struct repo_objects *o;
    git_indexer *indexer;
    git_indexer_progress progress;
    uint64_t bytes;
};

/* ---- memory: what a repository makes libgit2 ask for at once has a limit ---- */

static bool too_much(size_t n, size_t size)
{
    return size && n > LIMIT_GIT_MEMORY_BYTES / size;
}

static void *guard_malloc(size_t n, const char *file, int line)
{
    (void)file, (void)line;
    return too_much(n, 1) ? NULL : malloc(n ? n : 1); // NOLINT(clang-analyzer-*)
}

static void *guard_calloc(size_t n, size_t size, const char *file, int line)
{
    (void)file, (void)line;
    return too_much(n, size) ? NULL : calloc(n ? n : 1, size ? size : 1);
}

static void *guard_realloc(void *p, size_t n, const char *file, int line)
{
    (void)file, (void)line;
    return too_much(n, 1) ? NULL : realloc(p, n ? n : 1);
}

static void *guard_reallocarray(void *p, size_t n, size_t size, const char *file, int line)
{
    (void)file, (void)line;
    return too_much(n, size) ? NULL : reallocarray(p, n ? n : 1, size ? size : 1);
}

static void *guard_mallocarray(size_t n, size_t size, const char *file, int line)
{
    return guard_reallocarray(NULL, n, size, file, line);
}

static char *guard_strdup(const char *s, const char *file, int line)
{
    (void)file, (void)line;
    return strdup(s);
}

static char *guard_strndup(const char *s, size_t n, const char *file, int line)
{
    (void)file, (void)line;
    return strndup(s, n);
}

static char *guard_substrdup(const char *s, size_t n, const char *file, int line)
{
    char *copy = too_much(n, 1) ? NULL : guard_malloc(n + 1, file, line);

    if (copy) {
        memcpy(copy, s, n);
        copy[n] = '\0';
    }
    return copy;
}

static void init(void)
{
    static git_allocator guard = { .gmalloc = guard_malloc,
                                   .gcalloc = guard_calloc,
                                   .gstrdup = guard_strdup,
                                   .gstrndup = guard_strndup,
                                   .gsubstrdup = guard_substrdup,
                                   .grealloc = guard_realloc,
                                   .greallocarray = guard_reallocarray,
                                   .gmallocarray = guard_mallocarray,
                                   .gfree = free };

    repo_offline();
    git_libgit2_opts(GIT_OPT_SET_ALLOCATOR, &guard);
    git_libgit2_init();
    git_libgit2_opts(GIT_OPT_SET_MWINDOW_SIZE, WINDOW_BYTES);
    git_libgit2_opts(GIT_OPT_SET_MWINDOW_MAPPED_LIMIT, MAPPED_BYTES);
    git_libgit2_opts(GIT_OPT_SET_CACHE_MAX_SIZE, CACHE_BYTES);
    git_libgit2_opts(GIT_OPT_SET_PACK_MAX_OBJECTS, (size_t)LIMIT_GIT_OBJECTS);
    git_libgit2_opts(GIT_OPT_SET_PACK_MAX_OBJECT_SIZE, (size_t)LIMIT_GIT_MEMORY_BYTES / 2);
}

/* ---- errors ---- */

/* The disk's, else the repository's. */
static struct err *failed(const char *what)
{
    int number = errno;
    const git_error *last = git_error_last();
    const char *text = last && last->message ? last->message : "no reason is given";

    if (last && last->klass == GIT_ERROR_OS &&
        (number == ENOSPC || number == EDQUOT || number == EROFS || number == EIO))
        return err_sys(number, "%s", what);
    if (last && last->klass == GIT_ERROR_NOMEMORY)
        return err_new(ERR_DOCKERFILE, "%s: something in the repository needs more than %d MiB of memory at once", what,
                       LIMIT_GIT_MEMORY_BYTES >> 20);
    return err_new(ERR_DOCKERFILE, "%s: %s", what, text);
}

/* ---- the store ---- */

struct err *repo_objects_open(const char *dir, const struct cancel *cancel, struct repo_objects **ret)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    AUTO(repo_objects_close) struct repo_objects *o = xcalloc(1, sizeof(*o));
    AUTO_FREE char *pack = xasprintf("%s/objects/pack", dir);

    pthread_once(&once, init);
    o->dir = xasprintf("%s/objects", dir);
    o->cancel = cancel;
    TRY(file_mkdirs(pack, 0755));
    if (git_odb_open(&o->odb, o->dir) < 0)
        return failed("cannot use the directory of git's objects");
    *ret = steal(&o);
    return NULL;
}

const char *repo_objects_dir(const struct repo_objects *o)
{
    return o->dir;
}

void repo_objects_close(struct repo_objects *o)
{
    if (!o)
        return;
    git_odb_free(o->odb);
    strs_release(&o->packs);
    free(o->dir);
    free(o);
}

/* ---- packs ---- */

static int on_progress(const git_indexer_progress *stats, void *ctx)
{
    const struct repo_objects *o = ctx;

    (void)stats;
    return cancel_reason(o->cancel) != CANCEL_NONE;
}

struct err *repo_pack_begin(struct repo_objects *o, struct repo_pack **ret)
{
    AUTO(repo_pack_free) struct repo_pack *p = xcalloc(1, sizeof(*p));
    git_indexer_options opts = { .version = GIT_INDEXER_OPTIONS_VERSION };
    AUTO_FREE char *dir = xasprintf("%s/pack", o->dir);

    p->o = o;
    opts.progress_cb = on_progress;
    opts.progress_cb_payload = o;
    if (git_indexer_new(&p->indexer, dir, 0, NULL, &opts) < 0)
        return failed("cannot store the pack");
    *ret = steal(&p);
    return NULL;
}

static struct err *append(void *ctx, const void *data, size_t n)
{
    struct repo_pack *p = ctx;

    TRY(cancel_check(p->o->cancel));
    if (n > LIMIT_GIT_PACK_BYTES - p->bytes)
        return err_new(ERR_DOCKERFILE, "the repository's pack is larger than %lld bytes", LIMIT_GIT_PACK_BYTES);
    p->bytes += n;
    if (git_indexer_append(p->indexer, data, n, &p->progress) == 0)
        return NULL;
    TRY(cancel_check(p->o->cancel));
    return failed("the pack that the git server sent cannot be used");
}

struct sink repo_pack_sink(struct repo_pack *p)
{
    return (struct sink){ append, p };
}

uint64_t repo_pack_bytes(const struct repo_pack *p)
{
    return p->bytes;
}

struct err *repo_pack_commit(struct repo_pack *p)
{
    if (git_indexer_commit(p->indexer, &p->progress) < 0) {
        TRY(cancel_check(p->o->cancel));
        return failed("the pack that the git server sent cannot be used");
    }
    strs_take(&p->o->packs, xasprintf("%s/pack/pack-%s", p->o->dir, git_indexer_name(p->indexer)));
    return git_odb_refresh(p->o->odb) < 0 ? failed("cannot read the pack") : NULL;
}

void repo_pack_free(struct repo_pack *p)
{
    if (!p)
        return;
    git_indexer_free(p->indexer);
    free(p);
}

/* ---- objects ---- */

static const struct {
    git_object_t type;
    const char *name;
} kinds[] = {
    [REPO_KIND_COMMIT] = { GIT_OBJECT_COMMIT, "commit" },
    [REPO_KIND_TREE] = { GIT_OBJECT_TREE, "tree" },
    [REPO_KIND_BLOB] = { GIT_OBJECT_BLOB, "file" },
    [REPO_KIND_TAG] = { GIT_OBJECT_TAG, "tag" },
};

static struct err *header(struct repo_objects *o, const struct repo_hash *hash, size_t *ret_len, git_object_t *ret_type,
                          git_oid *ret_oid, bool *ret_found)
{
    if (git_oid_fromstr(ret_oid, hash->hex) < 0)
        return failed("not a hash");
    int rc = git_odb_read_header(ret_len, ret_type, o->odb, ret_oid);
    *ret_found = rc == 0;
    return rc == 0 || rc == GIT_ENOTFOUND ? NULL : failed("cannot read the repository");
}

struct err *repo_object_kind(struct repo_objects *o, const struct repo_hash *hash, enum repo_object_kind *ret_kind,
                             bool *ret_found)
{
    git_object_t type = GIT_OBJECT_INVALID;
    bool found = false;
    git_oid oid;
    size_t len;

    TRY(header(o, hash, &len, &type, &oid, &found));
    for (size_t i = 0; found && i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (kinds[i].type == type)
            *ret_kind = (enum repo_object_kind)i;
    *ret_found = found;
    return NULL;
}

static struct err *check(const struct repo_hash *hash, enum repo_object_kind kind, bool found, git_object_t type)
{
    if (!found)
        return err_new(ERR_DOCKERFILE, "the repository is damaged: the %s %s is missing", kinds[kind].name, hash->hex);
    if (type != kinds[kind].type)
        return err_new(ERR_DOCKERFILE, "the repository is damaged: %s is no %s", hash->hex, kinds[kind].name);
    return NULL;
}

struct err *repo_object_read(struct repo_objects *o, const struct repo_hash *hash, enum repo_object_kind kind,
                             size_t max_bytes, struct repo_object *ret)
{
    git_object_t type = GIT_OBJECT_INVALID;
    git_odb_object *object = NULL;
    size_t len = 0;
    bool found = false;
    git_oid oid;

    TRY(header(o, hash, &len, &type, &oid, &found));
    TRY(check(hash, kind, found, type));
    if (len > max_bytes)
        return err_new(ERR_DOCKERFILE, "the %s %s of the repository is larger than %zu bytes", kinds[kind].name,
                       hash->hex, max_bytes);
    if (git_odb_read(&object, o->odb, &oid) < 0)
        return failed("cannot read the repository");
    *ret = (struct repo_object){ git_odb_object_data(object), git_odb_object_size(object), object };
    return NULL;
}

void repo_object_release(struct repo_object *obj)
{
    git_odb_object_free(obj->handle);
    *obj = (struct repo_object){ 0 };
}

/* From a pack that holds it whole, if there is one. */
static struct err *try_stream(struct repo_objects *o, const struct repo_hash *hash, int fd, bool *ret_done,
                              uint64_t *ret_bytes)
{
    *ret_done = false;
    for (size_t i = 0; i < o->packs.n && !*ret_done; i++)
        TRY(repo_pack_stream(o->packs.items[i], hash, fd, ret_done, ret_bytes));
    return NULL;
}

struct err *repo_object_write(struct repo_objects *o, const struct repo_hash *hash, int fd, uint64_t *ret_bytes)
{
    AUTO(repo_object_release) struct repo_object obj = { 0 };
    git_object_t type = GIT_OBJECT_INVALID;
    bool found = false, done = false;
    size_t len = 0;
    git_oid oid;

    TRY(header(o, hash, &len, &type, &oid, &found));
    TRY(check(hash, REPO_KIND_BLOB, found, type));
    if (len >= STREAM_MIN_BYTES)
        TRY(try_stream(o, hash, fd, &done, ret_bytes));
    if (done)
        return NULL;
    TRY(repo_object_read(o, hash, REPO_KIND_BLOB, LIMIT_GIT_MEMORY_BYTES / 2, &obj));
    *ret_bytes = obj.len;
    return file_write_all(fd, obj.data, obj.len);
}

struct err *repo_object_by_prefix(struct repo_objects *o, const char *prefix, struct repo_hash *ret, int *ret_n)
{
    git_oid begin, oid;
    size_t n = strlen(prefix);
    char hex[GIT_OID_HEXSZ + 1];

    if (n < GIT_OID_MINPREFIXLEN || n > GIT_OID_HEXSZ || git_oid_fromstrn(&begin, prefix, n) < 0) {
        *ret_n = 0;
        return NULL;
    }
    int rc = git_odb_exists_prefix(&oid, o->odb, &begin, n);
    if (rc != 0 && rc != GIT_ENOTFOUND && rc != GIT_EAMBIGUOUS)
        return failed("cannot read the repository");
    *ret_n = rc == 0 ? 1 : rc == GIT_ENOTFOUND ? 0 : 2;
    if (rc == 0) {
        git_oid_tostr(hex, sizeof(hex), &oid);
        memcpy(ret->hex, hex, sizeof(hex));
    }
    return NULL;
}

/* ---- the index ---- */

struct err *repo_index_write(const char *path, const struct repo_index_entry *entries, size_t n)
{
    git_index *index = NULL;
    bool good = git_index_open(&index, path) == 0;

    for (size_t i = 0; good && i < n; i++) {
        git_index_entry e = { .mode = entries[i].mode,
                              .file_size = (uint32_t)entries[i].size_bytes,
                              .path = entries[i].path };

        good = git_oid_fromstr(&e.id, entries[i].hash.hex) == 0 && git_index_add(index, &e) == 0;
    }
    good = good && git_index_write(index) == 0;
    struct err *e = good ? NULL : failed("cannot write git's index");
    git_index_free(index);
    return e;
}
