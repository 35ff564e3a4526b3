#include "repo/files.h"

#include "base/limits.h"
#include "repo/parse.h"
#include "sys/file.h"

#include <fcntl.h>
#include <string.h>

struct files {
    struct repo_conn *c;
    struct repo_objects *o;
    uint64_t *bytes;
    struct strs packs; /* that were not fetched yet: "pack-HASH.pack" */
    bool packs_known;
    uint64_t count;
};

/* ---- small files ---- */

static struct err *keep(void *ctx, const void *p, size_t n)
{
    struct buf *b = ctx;

    if (n > LIMIT_GIT_MODULES_BYTES - b->len)
        return err_new(ERR_REGISTRY, "a file of the git server is larger than %d bytes", LIMIT_GIT_MODULES_BYTES);
    buf_add(b, p, n);
    return NULL;
}

static struct err *read_small(struct repo_conn *c, const char *name, struct buf *out, bool *ret_found)
{
    const struct sink sink = { keep, out };

    return repo_conn_file(c, name, &sink, ret_found);
}

struct err *repo_files_head(struct repo_conn *c, char **ret_name)
{
    AUTO(buf_release) struct buf text = BUF_INIT;
    bool found;

    TRY(read_small(c, "HEAD", &text, &found));
    const char *s = buf_str(&text);
    if (!found || strncmp(s, "ref: ", 5) != 0)
        return err_new(ERR_DOCKERFILE, "the repository '%s' has no default branch", c->o.address->remote);
    *ret_name = xstrndup(s + 5, strcspn(s + 5, " \r\n"));
    return NULL;
}

/* Lines "P pack-HASH.pack". */
static struct err *list_packs(struct files *f)
{
    AUTO(buf_release) struct buf text = BUF_INIT;
    bool found;

    f->packs_known = true;
    TRY(read_small(f->c, "objects/info/packs", &text, &found));
    for (const char *s = found ? buf_str(&text) : ""; *s;) {
        size_t n = strcspn(s, "\n");
        AUTO_FREE char *name = xstrndup(s, n);

        if (strncmp(name, "P pack-", 7) == 0 && !strchr(name, '/') && !strstr(name, ".."))
            strs_add(&f->packs, name + 2);
        s += n + (s[n] == '\n');
    }
    return NULL;
}

/* ---- objects ---- */

struct loose {
    int fd;
    uint64_t bytes;
};

static struct err *take(void *ctx, const void *p, size_t n)
{
    struct loose *l = ctx;

    l->bytes += n;
    if (l->bytes > LIMIT_GIT_PACK_BYTES)
        return err_new(ERR_DOCKERFILE, "an object of the repository is larger than %lld bytes", LIMIT_GIT_PACK_BYTES);
    return file_write_all(l->fd, p, n);
}

static struct err *write_loose(struct files *f, const struct repo_hash *hash, const char *path, bool *ret_found)
{
    AUTO_FREE char *name = xasprintf("objects/%.2s/%s", hash->hex, hash->hex + 2);
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
    struct loose l = { .fd = fd };
    const struct sink sink = { take, &l };

    if (fd < 0)
        return err_sys(errno, "cannot make the file '%s'", path);
    TRY(repo_conn_file(f->c, name, &sink, ret_found));
    *f->bytes += l.bytes;
    return NULL;
}

/* libgit2 checks the hash when it reads it. */
static struct err *fetch_loose(struct files *f, const struct repo_hash *hash, bool *ret_found)
{
    AUTO_FREE char *dir = xasprintf("%s/%.2s", repo_objects_dir(f->o), hash->hex);
    AUTO_FREE char *path = xasprintf("%s/%s", dir, hash->hex + 2);

    TRY(file_mkdirs(dir, 0755));
    struct err *e = write_loose(f, hash, path, ret_found);
    if (e || !*ret_found)
        (void)unlink(path);
    return e;
}

static struct err *fetch_pack(struct files *f, const char *name)
{
    AUTO(repo_pack_free) struct repo_pack *pack = NULL;
    AUTO_FREE char *path = xasprintf("objects/pack/%s", name);
    bool found;

    TRY(repo_pack_begin(f->o, &pack));
    const struct sink sink = repo_pack_sink(pack);
    TRY(repo_conn_file(f->c, path, &sink, &found));
    if (!found)
        return err_new(ERR_DOCKERFILE, "the git server lists the pack '%s' but does not have it", name);
    TRY(repo_pack_commit(pack));
    *f->bytes += repo_pack_bytes(pack);
    return NULL;
}

/* Which pack holds what is not known without it: they are taken one after the other. */
static struct err *fetch_packs_for(struct files *f, const struct repo_hash *hash, bool *ret_found)
{
    enum repo_object_kind kind;

    if (!f->packs_known)
        TRY(list_packs(f));
    while (f->packs.n > 0 && !*ret_found) {
        AUTO_FREE char *name = f->packs.items[--f->packs.n];

        TRY(fetch_pack(f, name));
        TRY(repo_object_kind(f->o, hash, &kind, ret_found));
    }
    return NULL;
}

static struct err *need(struct files *f, const struct repo_hash *hash, enum repo_object_kind *ret_kind)
{
    bool found;

    if (++f->count > LIMIT_GIT_FILES)
        return err_new(ERR_DOCKERFILE, "the repository has more than %d files", LIMIT_GIT_FILES);
    TRY(repo_object_kind(f->o, hash, ret_kind, &found));
    if (!found)
        TRY(fetch_loose(f, hash, &found));
    if (!found)
        TRY(fetch_packs_for(f, hash, &found));
    if (!found)
        return err_new(ERR_DOCKERFILE, "the repository has no object %s", hash->hex);
    TRY(repo_object_kind(f->o, hash, ret_kind, &found));
    return found ? NULL : err_new(ERR_DOCKERFILE, "the repository is damaged: the object %s cannot be read", hash->hex);
}

static struct err *need_tree(struct files *f, const struct repo_hash *hash, int depth)
{
    __attribute__((cleanup(repo_object_release_auto))) struct repo_object o = { 0 };
    enum repo_object_kind kind;
    size_t pos = 0;

    if (depth > LIMIT_GIT_DEPTH)
        return err_new(ERR_DOCKERFILE, "the repository has directories more than %d deep", LIMIT_GIT_DEPTH);
    TRY(need(f, hash, &kind));
    TRY(repo_object_read(f->o, hash, REPO_KIND_TREE, LIMIT_GIT_TREE_BYTES, &o));
    for (;;) {
        struct repo_entry e;
        bool found;

        TRY(repo_parse_entry(o.data, o.len, &pos, &e, &found));
        if (!found)
            return NULL;
        if (e.kind == REPO_ENTRY_TREE)
            TRY(need_tree(f, &e.hash, depth + 1));
        else if (e.kind != REPO_ENTRY_SUBMODULE)
            TRY(need(f, &e.hash, &kind));
    }
}

/* From a tag to what it points at, from a commit to its tree; *ret_more: the tag's target is next. */
static struct err *need_step(struct files *f, struct repo_hash *at, bool *ret_more)
{
    __attribute__((cleanup(repo_object_release_auto))) struct repo_object o = { 0 };
    enum repo_object_kind kind = REPO_KIND_BLOB;
    struct repo_commit commit;
    bool tag;

    *ret_more = false;
    TRY(need(f, at, &kind));
    if (kind != REPO_KIND_TAG && kind != REPO_KIND_COMMIT)
        return NULL; /* the caller says that it is none */
    TRY(repo_object_read(f->o, at, kind, LIMIT_GIT_TREE_BYTES, &o));
    if (kind == REPO_KIND_TAG) {
        *ret_more = true;
        return repo_parse_tag(o.data, o.len, at, &tag);
    }
    TRY(repo_parse_commit(o.data, o.len, &commit));
    return need_tree(f, &commit.tree, 0);
}

static struct err *need_commit(struct files *f, const struct repo_hash *hash)
{
    struct repo_hash at = *hash;
    bool more = true;

    for (int n = 0; more && n < LIMIT_GIT_TAGS; n++)
        TRY(need_step(f, &at, &more));
    return NULL;
}

struct err *repo_files_fetch(struct repo_conn *c, struct repo_objects *o, const struct repo_hash *hash, uint64_t *bytes)
{
    struct files f = { .c = c, .o = o, .bytes = bytes };
    struct err *e = need_commit(&f, hash);

    strs_release(&f.packs);
    return e;
}
