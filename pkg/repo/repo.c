/* repo.c - from an address to files: which commit, its objects, the tree, the submodules. */
#include "repo/repo.h"

#include "base/base64.h"
#include "base/limits.h"
#include "repo/checkout.h"
#include "repo/fetch.h"
#include "repo/files.h"
#include "repo/gitdir.h"
#include "sys/file.h"
#include "sys/path.h"

#include <fcntl.h>
#include <string.h>
#include <strings.h>

#define MODULES_FILE ".gitmodules"

/* What all repositories of one fetch share. */
struct run {
    const struct repo_opts *o;
    unsigned next_dir;
    uint64_t bytes;
    int64_t time_s;  /* of the commit */
    int64_t mtime_s; /* of all files; INT64_MIN until the first commit says it */
};

/* One repository. */
struct job {
    struct run *run;
    const struct git_address *address;
    const char *hash; /* of a submodule: the commit; else NULL: the address says it */
    int depth;        /* of submodules in submodules */

    char *work; /* the objects are below it */
    struct repo_objects *objects;
    struct repo_refs refs;
    bool whole;             /* fetch the whole history of all branches and tags */
    struct repo_hash asked; /* what is fetched: a commit, or a tag */
    char *ref;              /* its full name; NULL: there was only a hash */
    bool files;             /* the server only has files: the history was not fetched */
    bool shallow;
    struct repo_hash head; /* the commit */
    struct repo_commit commit;
};

static void job_release(struct job *j)
{
    repo_objects_close(j->objects);
    repo_refs_release(&j->refs);
    free(j->work);
    free(j->ref);
}

/* "https://host/repo.git#ref", for messages. The caller frees. */
static char *shown(const struct job *j)
{
    const char *ref = j->hash ? j->hash : j->address->ref;

    return xasprintf("%s%s%s", j->address->remote, *ref ? "#" : "", ref);
}

/* ---- credentials ---- */

static bool in_scope(const char *remote, const char *scope)
{
    size_t n = scope ? strlen(scope) : 0;

    return n > 0 && strncmp(remote, scope, n) == 0 && (scope[n - 1] == '/' || remote[n] == '\0' || remote[n] == '/');
}

/* The caller wipes and frees; NULL = none. */
static char *authorization(const struct job *j)
{
    const struct git_address *a = j->address;
    const struct repo_opts *o = j->run->o;

    if (a->transport != GIT_TRANSPORT_HTTP)
        return NULL;
    if (o->authorization && in_scope(a->remote, o->scope))
        return xstrdup(o->authorization);
    if (!a->user)
        return NULL;
    AUTO_FREE char *pair = xasprintf("%s:%s", a->user, a->password ? a->password : "");
    AUTO_FREE char *encoded = base64_encode(pair, strlen(pair));
    char *value = xasprintf("Basic %s", encoded);
    explicit_bzero(pair, strlen(pair));
    explicit_bzero(encoded, strlen(encoded));
    return value;
}

/* ---- which commit ---- */

/* The hash that is asked for by itself; NULL: a name is. */
static const char *pinned(const struct job *j)
{
    const struct git_address *a = j->address;

    if (j->hash)
        return j->hash;
    if (git_is_hash(a->ref))
        return a->ref;
    return a->fetch_by_commit ? a->checksum : NULL;
}

static bool is_short_hash(const char *ref)
{
    size_t n = strlen(ref);

    return n >= 4 && n < REPO_HASH_LEN && strspn(ref, "0123456789abcdef") == n;
}

static struct err *check_pinned(const struct job *j, const char *hash)
{
    if (strlen(hash) == REPO_HASH_LEN)
        return NULL;
    if (git_is_hash(hash))
        return err_hint(err_new(ERR_DOCKERFILE, "the repository '%s' names its objects by SHA-256", j->address->remote),
                        "Only repositories in the usual SHA-1 format can be fetched.");
    return err_new(ERR_DOCKERFILE, "fetch-by-commit of '%s' needs the whole hash of a commit as checksum",
                   j->address->remote);
}

static bool has_prefix(const struct repo_hash *h, const char *prefix)
{
    return strncasecmp(h->hex, prefix, strlen(prefix)) == 0;
}

/* Neither the object nor the commit that it stands for is the one that was promised. */
static struct err *check_checksum(const struct job *j, const struct repo_hash *a, const struct repo_hash *b)
{
    const char *want = j->hash ? "" : j->address->checksum;
    AUTO_FREE char *what = shown(j);

    if (!*want || has_prefix(a, want) || (*b->hex && has_prefix(b, want)))
        return NULL;
    return err_hint(err_new(ERR_DOCKERFILE, "the checksum of '%s' is %s%s%s, not %s", what, a->hex,
                            *b->hex ? " or " : "", b->hex, want),
                    "Either the branch or tag was moved, or another commit was meant: nothing of it was used.");
}

static void want_names(struct job *j)
{
    repo_refs_release(&j->refs);
    j->refs.all = j->whole;
    if (!pinned(j))
        repo_ref_names(j->address->ref, &j->refs.wanted);
}

static struct err *take_ref(struct job *j, const struct repo_ref *ref)
{
    bool head = strcmp(ref->name, "HEAD") == 0;

    j->asked = ref->hash;
    free(j->ref);
    j->ref = !head ? xstrdup(ref->name) : j->refs.head ? xstrdup(j->refs.head) : NULL;
    return check_checksum(j, &ref->hash, &ref->peeled);
}

static struct err *no_such_ref(const struct job *j)
{
    const char *name = j->address->ref;

    if (!*name)
        return err_new(ERR_DOCKERFILE, "the repository '%s' has no default branch", j->address->remote);
    return err_hint(
        err_new(ERR_DOCKERFILE, "the repository '%s' has no branch, tag or ref '%s'", j->address->remote, name),
        "A commit is named by its whole hash.");
}

/* *ret_later: only the objects can tell. */
static struct err *resolve(struct job *j, bool *ret_later)
{
    const char *hash = pinned(j), *name = j->address->ref;
    const struct repo_ref *ref = hash ? NULL : repo_refs_find(&j->refs, name);

    *ret_later = false;
    if (hash) {
        TRY(check_pinned(j, hash));
        (void)repo_hash_read(hash, "", &j->asked);
        return check_checksum(j, &j->asked, &(struct repo_hash){ 0 });
    }
    if (ref)
        return take_ref(j, ref);
    *ret_later = is_short_hash(name);
    return *ret_later ? NULL : no_such_ref(j);
}

/* ---- its objects ---- */

static struct err *fetch_pack(struct job *j, struct repo_conn *c, const struct repo_want *want, bool *ret_unknown)
{
    AUTO(repo_pack_free) struct repo_pack *pack = NULL;

    TRY(repo_pack_begin(j->objects, &pack));
    const struct sink sink = repo_pack_sink(pack);
    TRY(repo_fetch_pack(c, &j->refs, want, &sink, &j->shallow, ret_unknown));
    if (*ret_unknown)
        return NULL;
    TRY(repo_pack_commit(pack));
    j->run->bytes += repo_pack_bytes(pack);
    return NULL;
}

/* All branches and tags: the commit is somewhere in their history. */
static struct err *fetch_all(struct job *j, struct repo_conn *c)
{
    struct repo_hash *all = xcalloc(j->refs.n + 1, sizeof(*all));
    struct repo_want want = { .hashes = all, .n = j->refs.n, .whole = true };
    bool unknown = j->refs.n == 0;

    for (size_t i = 0; i < j->refs.n; i++)
        all[i] = j->refs.items[i].hash;
    struct err *e = unknown ? NULL : fetch_pack(j, c, &want, &unknown);
    free(all);
    if (!e && unknown)
        e = err_new(ERR_DOCKERFILE, "the repository '%s' is empty", j->address->remote);
    return e;
}

/* *ret_again: it is to be tried once more with the whole history. */
static struct err *talk(struct job *j, struct repo_conn *c, bool *ret_again)
{
    struct repo_want want = { .hashes = &j->asked, .n = 1 };
    bool later, unknown = false;

    *ret_again = false;
    want_names(j);
    TRY(repo_fetch_refs(c, &j->refs));
    TRY(resolve(j, &later));
    if (c->files) {
        j->files = true;
        return later ? no_such_ref(j) : repo_files_fetch(c, j->objects, &j->asked, &j->run->bytes);
    }
    if (j->whole)
        return fetch_all(j, c);
    if (!later)
        TRY(fetch_pack(j, c, &want, &unknown));
    *ret_again = later || unknown;
    return NULL;
}

static struct err *try_once(struct job *j, bool *ret_again)
{
    AUTO(repo_conn_close) struct repo_conn *c = NULL;
    char *secret = authorization(j);
    const struct repo_conn_opts opts = { .address = j->address,
                                         .http = j->run->o->http,
                                         .authorization = secret,
                                         .ssh = j->run->o->ssh,
                                         .cancel = j->run->o->cancel };
    struct err *e = repo_conn_open(&opts, &c);

    if (!e)
        e = talk(j, c, ret_again);
    if (secret)
        explicit_bzero(secret, strlen(secret));
    free(secret);
    return e;
}

/* A pack that breaks off is of no use: each try begins anew. */
static struct err *get_objects(struct job *j)
{
    bool again = true;

    for (int tries = 0; again;) {
        struct err *e = try_once(j, &again);

        if (e && (err_kind(e) != ERR_NETWORK || tries >= j->run->o->retries))
            return e;
        if (e) {
            err_free(e);
            TRY(http_pause(j->run->o->http, tries++, NULL));
            again = true;
        } else if (again) {
            j->whole = true;
        }
    }
    return NULL;
}

static struct err *not_there(const struct job *j)
{
    AUTO_FREE char *what = shown(j);

    return err_hint(err_new(ERR_DOCKERFILE, "the repository has no commit '%s'", what),
                    "The server may not give commits that no branch or tag leads to.");
}

/* What the short hash stands for. */
static struct err *find_short(struct job *j)
{
    int n;

    if (*j->asked.hex)
        return NULL;
    TRY(repo_object_by_prefix(j->objects, j->address->ref, &j->asked, &n));
    if (n == 0)
        return not_there(j);
    if (n > 1)
        return err_new(ERR_DOCKERFILE, "several objects of '%s' begin with %s", j->address->remote, j->address->ref);
    return NULL;
}

/* From a tag to its commit. */
static struct err *peel(struct job *j)
{
    enum repo_object_kind kind = REPO_KIND_BLOB;

    j->head = j->asked;
    for (int n = 0; n < LIMIT_GIT_TAGS; n++) {
        __attribute__((cleanup(repo_object_release_auto))) struct repo_object o = { 0 };
        struct repo_hash next;
        bool found, tag;

        TRY(repo_object_kind(j->objects, &j->head, &kind, &found));
        if (!found)
            return not_there(j);
        if (kind != REPO_KIND_TAG)
            break;
        TRY(repo_object_read(j->objects, &j->head, kind, LIMIT_GIT_TREE_BYTES, &o));
        TRY(repo_parse_tag(o.data, o.len, &next, &tag));
        j->head = next;
    }
    AUTO_FREE char *what = shown(j);
    return kind == REPO_KIND_COMMIT ? NULL : err_new(ERR_DOCKERFILE, "'%s' is no commit", what);
}

static struct err *read_commit(struct job *j)
{
    __attribute__((cleanup(repo_object_release_auto))) struct repo_object o = { 0 };

    TRY(find_short(j));
    TRY(peel(j));
    TRY(check_checksum(j, &j->asked, &j->head));
    TRY(repo_object_read(j->objects, &j->head, REPO_KIND_COMMIT, LIMIT_GIT_TREE_BYTES, &o));
    TRY(repo_parse_commit(o.data, o.len, &j->commit));
    j->shallow = j->shallow || (j->files && j->commit.has_parent);
    if (j->depth == 0)
        j->run->time_s = j->commit.time_s;
    return NULL;
}

/* ---- submodules ---- */

static struct err *read_modules(const struct job *j, struct repo_modules *ret)
{
    __attribute__((cleanup(repo_object_release_auto))) struct repo_object o = { 0 };
    struct repo_entry e;
    size_t len;
    bool found;

    *ret = (struct repo_modules){ 0 };
    TRY(repo_tree_find(j->objects, &j->commit.tree, MODULES_FILE, &e, &len, &found));
    if (!found || (e.kind != REPO_ENTRY_FILE && e.kind != REPO_ENTRY_PROGRAM))
        return NULL;
    TRY(repo_object_read(j->objects, &e.hash, REPO_KIND_BLOB, LIMIT_GIT_MODULES_BYTES, &o));
    return repo_parse_modules(o.data, o.len, ret);
}

static const struct repo_module *find_module(const struct repo_modules *all, const char *path)
{
    for (size_t i = 0; i < all->n; i++)
        if (all->items[i].path && all->items[i].url && strcmp(all->items[i].path, path) == 0)
            return &all->items[i];
    return NULL;
}

/* Where a tree goes, and with which .git. */
struct place {
    const char *dest;
    const char *subdir;   /* "" = the whole tree */
    const char *git_dir;  /* NULL: none is kept */
    const char *worktree; /* see gitdir.h */
};

static struct err *fetch_one(struct run *run, const struct git_address *a, const char *hash, int depth,
                             const struct place *place, struct repo_hash *ret_head);

/* The name becomes a directory below .git/modules. */
static bool is_safe_name(const char *name)
{
    AUTO_FREE char *clean = path_clean(name);

    return *name && *name != '/' && strcmp(clean, name) == 0 && strcmp(clean, "..") != 0 &&
           strncmp(clean, "../", 3) != 0;
}

/* ".git" of a submodule is a file that leads to its directory; that one knows the way back. */
static struct err *link_git_dir(const struct place *parent, const char *path, const struct repo_module *m,
                                const char *dest, char **ret_git_dir, char **ret_worktree)
{
    AUTO(buf_release) struct buf up = BUF_INIT, back = BUF_INIT;
    AUTO_FREE char *file = xasprintf("%s/.git", dest);

    if (!is_safe_name(m->name))
        return err_new(ERR_DOCKERFILE, "the repository is hostile: a submodule is called '%.100s'", m->name);
    for (const char *p = path; p; p = strchr(p, '/'), p = p ? p + 1 : NULL)
        buf_puts(&up, "../");
    buf_puts(&back, "../../../");
    for (const char *p = strchr(m->name, '/'); p; p = strchr(p + 1, '/'))
        buf_puts(&back, "../");
    *ret_git_dir = xasprintf("%s/modules/%s", parent->git_dir, m->name);
    *ret_worktree = xasprintf("%s%s", buf_str(&back), path);
    AUTO_FREE char *text = xasprintf("gitdir: %s.git/modules/%s\n", up.data, m->name);
    return file_write_atomic(file, text, strlen(text), 0644);
}

static struct err *fetch_submodule(struct job *j, const struct repo_modules *modules, const struct place *place,
                                   const struct repo_file *sub)
{
    AUTO_FREE char *full = *place->subdir ? path_join(place->subdir, sub->path) : xstrdup(sub->path);
    AUTO_FREE char *dest = path_join(place->dest, sub->path), *git_dir = NULL, *worktree = NULL;
    const struct repo_module *m = find_module(modules, full);
    AUTO(git_address_release) struct git_address a = { 0 };
    struct repo_hash head;

    if (!m)
        return err_hint(err_new(ERR_DOCKERFILE, MODULES_FILE " does not say where the submodule '%s' comes from", full),
                        "Without submodules: ?submodules=false in the URL.");
    TRY(git_address_submodule(j->address, m->url, &a));
    /* one level is kept like git keeps it; what is deeper has no .git */
    if (place->git_dir && !place->worktree)
        TRY(link_git_dir(place, sub->path, m, dest, &git_dir, &worktree));
    const struct place inside = { dest, "", git_dir, worktree };
    return err_wrap(fetch_one(j->run, &a, sub->hash.hex, j->depth + 1, &inside, &head),
                    "cannot fetch the submodule '%s'", full);
}

/* ---- the tree ---- */

static struct err *write_git_dir(const struct job *j, const struct place *place, const struct repo_checkout *c,
                                 const struct repo_modules *modules)
{
    const struct repo_gitdir g = { .dir = place->git_dir,
                                   .objects = j->work,
                                   .worktree = place->worktree,
                                   .address = j->address,
                                   .head = j->head,
                                   .ref = j->ref,
                                   .ref_hash = j->asked,
                                   .shallow = j->shallow,
                                   .files = &c->files,
                                   .submodules = &c->submodules,
                                   .modules = modules };

    return repo_gitdir_write(&g);
}

static struct err *fill(struct job *j, const struct repo_hash *tree, const struct place *place, struct repo_checkout *c)
{
    AUTO(repo_modules_release) struct repo_modules modules = { 0 };
    AUTO_CLOSE int fd = open(place->dest, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return err_sys(errno, "cannot open '%s'", place->dest);
    TRY(repo_checkout_tree(c, tree, fd));
    if (j->address->submodules == 0)
        repo_files_release(&c->submodules);
    if (c->submodules.n)
        TRY(read_modules(j, &modules));
    if (place->git_dir)
        TRY(write_git_dir(j, place, c, &modules));
    for (size_t i = 0; i < c->submodules.n; i++)
        TRY(fetch_submodule(j, &modules, place, &c->submodules.items[i]));
    return NULL;
}

static struct err *check_out(struct job *j, const struct repo_hash *tree, const struct place *place)
{
    struct repo_checkout c = {
        .objects = j->objects, .cancel = j->run->o->cancel, .mtime_s = j->run->mtime_s, .record = place->git_dir != NULL
    };
    struct err *e = fill(j, tree, place, &c);

    repo_checkout_release(&c);
    return e;
}

/* The subdirectory, which may lie in a submodule. */
static struct err *check_out_below(struct job *j, const struct place *place)
{
    AUTO(repo_modules_release) struct repo_modules modules = { 0 };
    struct repo_entry e = { 0 };
    size_t len = 0;
    bool found;

    TRY(repo_tree_find(j->objects, &j->commit.tree, place->subdir, &e, &len, &found));
    if (found && e.kind == REPO_ENTRY_TREE)
        return check_out(j, &e.hash, place);
    AUTO_FREE char *path = xstrndup(place->subdir, len), *what = shown(j);
    if (!found || e.kind != REPO_ENTRY_SUBMODULE || j->address->submodules == 0)
        return err_new(ERR_DOCKERFILE, "'%s' has no directory '%s'", what, place->subdir);
    TRY(read_modules(j, &modules));
    struct repo_file sub = { .path = (char *)"", .hash = e.hash };
    const struct repo_module *m = find_module(&modules, path);
    AUTO(git_address_release) struct git_address a = { 0 };
    struct repo_hash head;
    if (!m)
        return err_new(ERR_DOCKERFILE, MODULES_FILE " does not say where the submodule '%s' comes from", path);
    TRY(git_address_submodule(j->address, m->url, &a));
    const char *rest = place->subdir + len + strspn(place->subdir + len, "/");
    const struct place inside = { place->dest, rest, NULL, NULL };
    return err_wrap(fetch_one(j->run, &a, sub.hash.hex, j->depth + 1, &inside, &head),
                    "cannot fetch the submodule '%s'", path);
}

/* ---- one repository ---- */

static struct err *prepare(struct job *j)
{
    j->work = xasprintf("%s/%u", j->run->o->work_dir, j->run->next_dir++);
    if (j->depth > LIMIT_GIT_NESTING)
        return err_new(ERR_DOCKERFILE, "submodules are more than %d deep", LIMIT_GIT_NESTING);
    if (j->run->next_dir > LIMIT_GIT_SUBMODULES)
        return err_new(ERR_DOCKERFILE, "there are more than %d submodules", LIMIT_GIT_SUBMODULES);
    return repo_objects_open(j->work, j->run->o->cancel, &j->objects);
}

static void set_mtime(struct job *j)
{
    if (j->run->mtime_s == INT64_MIN)
        j->run->mtime_s = j->address->mtime == GIT_MTIME_CHECKOUT ? j->run->o->now_s : j->commit.time_s;
}

static struct err *do_job(struct job *j, const struct place *place)
{
    TRY(prepare(j));
    TRY(get_objects(j));
    TRY(read_commit(j));
    set_mtime(j);
    return *place->subdir ? check_out_below(j, place) : check_out(j, &j->commit.tree, place);
}

static struct err *fetch_one(struct run *run, const struct git_address *a, const char *hash, int depth,
                             const struct place *place, struct repo_hash *ret_head)
{
    struct job j = { .run = run, .address = a, .hash = hash, .depth = depth };
    struct err *e = do_job(&j, place);

    *ret_head = j.head;
    if (!e) /* the objects are not needed any more: the disk may be small */
        e = file_remove_tree(AT_FDCWD, j.work);
    job_release(&j);
    return e;
}

struct err *repo_fetch(const struct repo_opts *opts, const struct git_address *address, bool keep_git_dir,
                       const char *dest, struct repo_result *ret_result)
{
    struct run run = { .o = opts, .mtime_s = INT64_MIN };
    AUTO_FREE char *clean = path_join("/", address->subdir), *git_dir = xasprintf("%s/.git", dest);
    const struct place place = { dest, clean + 1, keep_git_dir && !clean[1] ? git_dir : NULL, NULL };
    struct repo_hash head;

    TRY(fetch_one(&run, address, NULL, 0, &place, &head));
    memcpy(ret_result->commit, head.hex, sizeof(ret_result->commit));
    ret_result->time_s = run.time_s;
    ret_result->bytes = run.bytes;
    return NULL;
}
