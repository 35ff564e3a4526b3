/* run_mounts.c - RUN --mount: each mount of the plan becomes a path, a size or bytes for the sandbox. */
#include "base/limits.h"
#include "build/build_priv.h"
#include "build/mount_stash.h"
#include "store/cache_dir.h"
#include "sys/file.h"
#include "sys/path.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define DEFAULT_CACHE_MODE  0755
#define DEFAULT_SECRET_MODE 0400
#define DEFAULT_AGENT_MODE  0600

/* What has to be given back when the RUN has ended. */
struct held {
    char *path, *file; /* file: a copy that is removed */
    struct cover *cover;
    struct cache_dir *cache;
    struct digest cache_key;
    const char *cache_id; /* borrowed from the plan */
    struct agent_server *agent;
};

struct run_mounts {
    struct build *b;
    const struct step *step;
    VEC(struct run_mount) list;
    VEC(size_t) places; /* of each of the list: which mount of the step it is for */
    VEC(struct held) held;
    struct strs env; /* secrets that are variables */
};

static struct held *hold(struct run_mounts *m)
{
    struct held h = { 0 };

    vec_push(&m->held, h);
    return &m->held.items[m->held.n - 1];
}

/* Follows the last call of hold(): the order of both lists is the same as far as it matters. */
static void add_bind(struct run_mounts *m, const struct step_mount *sm, const char *path)
{
    struct held *h = hold(m);

    h->path = xstrdup(path);
    const struct run_mount rm = {
        .kind = RUN_MOUNT_BIND, .source = h->path, .target = sm->target, .readonly = sm->m.readonly
    };
    vec_push(&m->list, rm);
}

/* ---- bind ---- */

static struct err *path_of(int fd, char **ret_path)
{
    char text[LIMIT_PATH_BYTES];
    ssize_t n = readlink(path_of_fd(fd).text, text, sizeof(text) - 1);

    if (n < 0)
        return err_sys(errno, "cannot find the path of a directory");
    text[n] = '\0';
    *ret_path = xstrdup(text);
    return NULL;
}

static struct err *no_source(const struct step_mount *sm)
{
    static const char *const names[] = { [PLAN_SOURCE_CONTEXT] = "the build context",
                                         [PLAN_SOURCE_STAGE] = "the stage",
                                         [PLAN_SOURCE_IMAGE] = "the image",
                                         [PLAN_SOURCE_NAMED] = "the named context",
                                         [PLAN_SOURCE_SCRATCH] = "an empty file system" };

    return err_hint(
        err_new(ERR_DOCKERFILE, "'%s' does not exist in %s", sm->m.source ? sm->m.source : "/", names[sm->from.kind]),
        sm->from.kind == PLAN_SOURCE_CONTEXT ? "Check the mount's source, and .dockerignore."
                                             : "Check the mount's source.");
}

/* The path of the mount's source inside its root, without symlinks; what .dockerignore hides is not there. */
static struct err *find_real(const struct source_root *root, const struct step_mount *sm, char **ret_real)
{
    AUTO_FREE char *clean = path_join("/", sm->m.source ? sm->m.source : "");

    TRY(context_find(root->fd, clean[1] ? clean + 1 : ".", root->ignore, ret_real));
    return *ret_real ? NULL : no_source(sm);
}

/* A file that takes writes: its copy. */
static struct err *copy_file(struct run_mounts *m, int fd, const struct stat *st, char **ret_path)
{
    AUTO_FREE char *path = xasprintf("%s/mounted.%zu.XXXXXX", store_build_dir(m->b->o.store), m->held.n);
    AUTO_CLOSE int from = -1, to = -1;
    struct owner o;
    bool known, stored;

    from = open(path_of_fd(fd).text, O_RDONLY | O_CLOEXEC);
    to = mkostemp(path, O_CLOEXEC);
    if (from < 0 || to < 0)
        return err_sys(errno, "cannot copy a file to mount");
    hold(m)->file = xstrdup(path);
    TRY(file_copy_data(from, to, (uint64_t)st->st_size, m->b->o.cancel));
    TRY(owner_get(m->b->o.sandbox->owners, from, st, &o, &known));
    TRY(owner_set(m->b->o.sandbox->owners, to, st, &o, &stored));
    if (fchmod(to, st->st_mode & 07777) < 0)
        return err_sys(errno, "cannot copy a file's mode");
    *ret_path = steal(&path);
    return NULL;
}

/* The directory `dir`, which is `real` of the root, without what is ignored and with writes that are dropped. */
static struct err *cover_dir(struct run_mounts *m, const struct source_root *root, const char *real, bool writable,
                             char **dir)
{
    AUTO(strs_release) struct strs hide = { 0 };

    if (root->ignore)
        TRY(context_hidden(root->fd, real, root->ignore, &hide));
    if (!hide.n && !writable)
        return NULL;
    struct held *h = hold(m);
    TRY(cover_new(m->b->o.snapshotter, *dir, &hide, writable, &h->cover));
    free(*dir);
    *dir = xstrdup(cover_path(h->cover));
    return NULL;
}

static struct err *bind_dir(struct run_mounts *m, const struct source_root *root, const struct step_mount *sm,
                            const char *real, int fd)
{
    AUTO_FREE char *path = NULL;

    TRY(path_of(fd, &path));
    TRY(cover_dir(m, root, real, !sm->m.readonly, &path));
    add_bind(m, sm, path);
    return NULL;
}

static struct err *bind_file(struct run_mounts *m, const struct step_mount *sm, int fd, const struct stat *st)
{
    AUTO_FREE char *path = NULL;
    bool own = !sm->m.readonly && S_ISREG(st->st_mode);

    TRY(own ? copy_file(m, fd, st, &path) : path_of(fd, &path));
    add_bind(m, sm, path);
    return NULL;
}

static struct err *mount_bind(struct run_mounts *m, const struct step_mount *sm)
{
    struct source_root root;
    AUTO_FREE char *real = NULL;
    AUTO_CLOSE int fd = -1;
    struct stat st;

    TRY(source_open(m->b, &sm->from, &root));
    TRY(find_real(&root, sm, &real));
    TRY(context_open_real(root.fd, real, O_PATH, &fd));
    if (fstat(fd, &st) < 0)
        return err_sys(errno, "cannot look at '%s'", real);
    return S_ISDIR(st.st_mode) ? bind_dir(m, &root, sm, real, fd) : bind_file(m, sm, fd, &st);
}

/* ---- cache ---- */

static void add_text(struct hasher *h, const char *text)
{
    hasher_add(h, text, strlen(text) + 1); /* its NUL is the frame */
}

/* Two mounts with one key are one directory. */
static struct err *cache_key(struct run_mounts *m, const struct step_mount *sm, struct digest *ret)
{
    AUTO(hasher_free) struct hasher *h = hasher_new();
    const char *space = vars_get(&m->b->o.plan->build_args, "BUILDKIT_CACHE_MOUNT_NS");
    AUTO_FREE char *numbers =
        xasprintf("%lld %lld %lld", (long long)sm->m.mode, (long long)sm->m.uid, (long long)sm->m.gid);

    add_text(h, "copyup cache mount 1");
    add_text(h, space ? space : "");
    add_text(h, sm->id);
    add_text(h, numbers);
    if (sm->from.kind != PLAN_SOURCE_SCRATCH) {
        add_text(h, sm->m.source ? sm->m.source : "");
        TRY(source_identity(m->b, &sm->from, h));
    }
    *ret = hasher_end(h);
    return NULL;
}

struct filling {
    struct run_mounts *m;
    const struct step_mount *sm;
    const struct digest *key;
};

static struct err *fill_from(const struct filling *f, const char *dir)
{
    struct source_root root;
    AUTO_FREE char *real = NULL;
    AUTO_FREE char *path = NULL;
    AUTO_CLOSE int fd = -1;

    TRY(source_open(f->m->b, &f->sm->from, &root));
    TRY(find_real(&root, f->sm, &real));
    TRY(context_open_real(root.fd, real, O_RDONLY | O_DIRECTORY, &fd));
    TRY(path_of(fd, &path));
    return snapshotter_copy_tree(f->m->b->o.snapshotter, path, dir);
}

static struct err *own_dir(const struct filling *f, const char *dir)
{
    const struct df_mount *dm = &f->sm->m;
    const struct owner o = { .uid = dm->uid < 0 ? 0 : (uint32_t)dm->uid, .gid = dm->gid < 0 ? 0 : (uint32_t)dm->gid };
    AUTO_CLOSE int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct stat st;
    bool stored;

    if (fd < 0 || fstat(fd, &st) < 0)
        return err_sys(errno, "cannot open '%s'", dir);
    TRY(owner_set(f->m->b->o.sandbox->owners, fd, &st, &o, &stored));
    return fchmod(fd, dm->mode < 0 ? DEFAULT_CACHE_MODE : (mode_t)dm->mode & 07777) < 0
               ? err_sys(errno, "cannot change the mode of '%s'", dir)
               : NULL;
}

static struct err *fill_cache(void *ctx, const char *dir, const char *path)
{
    const struct filling *f = ctx;
    const struct stashed_mount mount = { f->sm->id, f->key, path };
    bool found;

    TRY(mount_stash_restore(f->m->b->o.mounts, &mount, dir, &found));
    if (found)
        return NULL;
    if (f->sm->from.kind != PLAN_SOURCE_SCRATCH)
        return fill_from(f, dir);
    return own_dir(f, dir);
}

static void tell_waiting(void *ctx)
{
    const struct filling *f = ctx;
    const struct progress *p = f->m->b->o.progress;
    AUTO_FREE char *text = xasprintf("waiting for the cache mount '%s', which another step uses", f->sm->id);

    p->note(p->ctx, text);
}

/* Without from= the source is a path in the cache itself. */
static struct err *inside_cache(const struct step_mount *sm, const char *dir, char **ret_path)
{
    AUTO_CLOSE int root = -1, fd = -1;

    if (sm->from.kind != PLAN_SOURCE_SCRATCH || !sm->m.source || !*sm->m.source) {
        *ret_path = xstrdup(dir);
        return NULL;
    }
    root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return err_sys(errno, "cannot open '%s'", dir);
    TRY(path_open_if_exists(root, sm->m.source, O_PATH, &fd));
    return fd < 0 ? no_source(sm) : path_of(fd, ret_path);
}

/* What this RUN has already: it would wait for itself. NULL: it has not, or wants another one. */
static struct cache_dir *held_cache(const struct run_mounts *m, const struct cache_dir_spec *spec)
{
    for (size_t i = 0; spec->sharing != CACHE_PRIVATE && i < m->held.n; i++)
        if (m->held.items[i].cache && digest_equal(&m->held.items[i].cache_key, &spec->key))
            return m->held.items[i].cache;
    return NULL;
}

static struct err *open_cache(struct run_mounts *m, const struct step_mount *sm, struct cache_dir **ret)
{
    static const enum cache_sharing sharing[] = {
        [DF_SHARING_SHARED] = CACHE_SHARED, [DF_SHARING_PRIVATE] = CACHE_PRIVATE, [DF_SHARING_LOCKED] = CACHE_LOCKED
    };
    struct filling f = { .m = m, .sm = sm };
    struct cache_dir_spec spec = { .space = m->b->o.sandbox->rung,
                                   .sharing = sharing[sm->m.sharing],
                                   .fill = fill_cache,
                                   .waiting = tell_waiting,
                                   .ctx = &f,
                                   .cancel = m->b->o.cancel };

    TRY(cache_key(m, sm, &spec.key));
    f.key = &spec.key;
    *ret = held_cache(m, &spec);
    if (*ret)
        return NULL;
    TRY(cache_dir_open(m->b->o.store, &spec, ret));
    struct held *h = hold(m);
    h->cache = *ret;
    h->cache_key = spec.key;
    h->cache_id = sm->id;
    return NULL;
}

static struct err *mount_cache(struct run_mounts *m, const struct step_mount *sm)
{
    struct cache_dir *cache = NULL;
    AUTO_FREE char *place = NULL, *path = NULL;

    TRY(open_cache(m, sm, &cache));
    place = realpath(cache_dir_path(cache), NULL);
    if (!place)
        return err_sys(errno, "cannot find '%s'", cache_dir_path(cache));
    TRY(inside_cache(sm, place, &path));
    add_bind(m, sm, path);
    return NULL;
}

/* ---- secrets ---- */

static struct err *mount_secret(struct run_mounts *m, const struct step_mount *sm)
{
    const struct df_mount *dm = &sm->m;
    size_t len = 0;
    const void *data = m->b->o.find_secret ? m->b->o.find_secret(m->b->o.ctx, sm->id, &len) : NULL;

    if (!data && dm->required)
        return err_hint(err_new(ERR_DOCKERFILE, "there is no secret '%s', which the mount requires", sm->id),
                        "Give it to the step: PLUGIN_SECRETS_FROM_ENV=%s=VARIABLE or PLUGIN_SECRETS_FROM_FILE=%s=FILE.",
                        sm->id, sm->id);
    if (!data)
        return NULL; /* as BuildKit: there is no file and no variable */
    if (dm->env && *dm->env) {
        if (memchr(data, '\0', len))
            return err_new(ERR_DOCKERFILE, "the secret '%s' holds NUL bytes, which a variable cannot", sm->id);
        strs_take(&m->env, xasprintf("%s=%.*s", dm->env, (int)len, (const char *)data));
    }
    const struct run_mount rm = { .kind = RUN_MOUNT_FILE,
                                  .target = sm->target,
                                  .readonly = true,
                                  .data = data,
                                  .len = len,
                                  .mode = dm->mode < 0 ? DEFAULT_SECRET_MODE : (uint32_t)dm->mode & 07777,
                                  .uid = dm->uid < 0 ? 0 : (uint32_t)dm->uid,
                                  .gid = dm->gid < 0 ? 0 : (uint32_t)dm->gid };
    if (sm->target)
        vec_push(&m->list, rm);
    return NULL;
}

/* ---- the others ---- */

/* A socket of its own, with the owner and mode that the mount asks for. */
static struct err *start_agent(struct run_mounts *m, const struct step_mount *sm, const struct agent_upstream *upstream)
{
    const struct df_mount *dm = &sm->m;
    AUTO_FREE char *name = xasprintf("agent.%u", atomic_fetch_add(&m->b->whole->next_name, 1));
    struct held *h = hold(m);

    TRY(agent_start(store_build_dir(m->b->o.store), name, upstream, &h->agent));
    const char *path = agent_path(h->agent);
    uid_t uid = dm->uid < 0 ? 0 : (uid_t)dm->uid;
    gid_t gid = dm->gid < 0 ? 0 : (gid_t)dm->gid;
    /* With one mapped id the command is that id, whatever it is called. */
    if (m->b->o.sandbox->owners == OWNER_REAL && chown(path, uid, gid) < 0)
        return err_sys(errno, "cannot give a socket to %u:%u", uid, gid);
    if (chmod(path, dm->mode < 0 ? DEFAULT_AGENT_MODE : (mode_t)dm->mode & 07777) < 0)
        return err_sys(errno, "cannot change a socket's mode");
    return NULL;
}

static struct err *mount_agent(struct run_mounts *m, const struct step_mount *sm)
{
    struct agent_upstream upstream = { 0 };
    AUTO_FREE char *path = NULL;
    bool found = m->b->o.find_agent && m->b->o.find_agent(m->b->o.ctx, sm->id, &upstream);

    if (!found && sm->m.required)
        return err_hint(err_new(ERR_DOCKERFILE, "there is no SSH agent '%s', which the mount requires", sm->id),
                        "Give the step SSH_AUTH_SOCK, or a key with PLUGIN_SSH_AGENT_KEY; both have the id 'default'.");
    if (!found)
        return NULL;
    TRY(start_agent(m, sm, &upstream));
    path = realpath(agent_path(m->held.items[m->held.n - 1].agent), NULL);
    if (!path)
        return err_sys(errno, "cannot find a socket");
    add_bind(m, sm, path);
    m->list.items[m->list.n - 1].readonly = false;
    if (!env_get(&m->env, "SSH_AUTH_SOCK"))
        env_set(&m->env, "SSH_AUTH_SOCK", sm->target);
    return NULL;
}

static struct err *mount_tmpfs(struct run_mounts *m, const struct step_mount *sm)
{
    const struct run_mount rm = {
        .kind = RUN_MOUNT_TMPFS, .target = sm->target, .readonly = sm->m.readonly, .tmpfs_bytes = sm->m.size_bytes
    };

    vec_push(&m->list, rm);
    return NULL;
}

/* A here-document with #! is a program: it is there for the time of the RUN. */
static void mount_script(struct run_mounts *m, const struct step *step)
{
    struct held *h = hold(m);

    h->path = xasprintf("/dev/pipes/%s", step->script_name);
    const struct run_mount rm = { .kind = RUN_MOUNT_FILE,
                                  .target = h->path,
                                  .readonly = true,
                                  .data = step->script,
                                  .len = strlen(step->script),
                                  .mode = 0755 };
    vec_push(&m->list, rm);
}

static struct err *add_mount(struct run_mounts *m, size_t place)
{
    static struct err *(*const by_type[])(struct run_mounts *, const struct step_mount *) = {
        [DF_MOUNT_BIND] = mount_bind,     [DF_MOUNT_CACHE] = mount_cache, [DF_MOUNT_TMPFS] = mount_tmpfs,
        [DF_MOUNT_SECRET] = mount_secret, [DF_MOUNT_SSH] = mount_agent,
    };
    static const char *const names[] = { [DF_MOUNT_BIND] = "bind",
                                         [DF_MOUNT_CACHE] = "cache",
                                         [DF_MOUNT_TMPFS] = "tmpfs",
                                         [DF_MOUNT_SECRET] = "secret",
                                         [DF_MOUNT_SSH] = "ssh" };
    const struct step_mount *sm = &m->step->mounts[place];

    TRY(err_wrap(by_type[sm->m.type](m, sm), "cannot prepare the %s mount at '%s'", names[sm->m.type],
                 sm->target ? sm->target : "(variable)"));
    while (m->places.n < m->list.n)
        vec_push(&m->places, place);
    return NULL;
}

/* ---- in which order ---- */

struct cache_place {
    struct digest key;
    size_t place;
};

static int by_key(const void *a, const void *b)
{
    const struct cache_place *x = a, *y = b;
    int order = strcmp(x->key.text, y->key.text);

    return order ? order : (x->place > y->place) - (x->place < y->place);
}

/* All steps that run at once take the locks of caches in one order, or two could wait for each other. */
static struct err *add_caches(struct run_mounts *m)
{
    AUTO_FREE struct cache_place *caches = xcalloc(m->step->n_mounts + 1, sizeof(*caches));
    size_t n = 0;

    for (size_t i = 0; i < m->step->n_mounts; i++) {
        if (m->step->mounts[i].m.type != DF_MOUNT_CACHE)
            continue;
        caches[n].place = i;
        TRY(cache_key(m, &m->step->mounts[i], &caches[n++].key));
    }
    qsort(caches, n, sizeof(*caches), by_key);
    for (size_t i = 0; i < n; i++)
        TRY(add_mount(m, caches[i].place));
    return NULL;
}

/* As they stand in the instruction: of two at one place the later one counts. */
static void restore_order(struct run_mounts *m)
{
    for (size_t i = 1; i < m->list.n; i++) {
        for (size_t k = i; k > 0 && m->places.items[k - 1] > m->places.items[k]; k--) {
            const struct run_mount mount = m->list.items[k];
            const size_t place = m->places.items[k];

            m->list.items[k] = m->list.items[k - 1];
            m->places.items[k] = m->places.items[k - 1];
            m->list.items[k - 1] = mount;
            m->places.items[k - 1] = place;
        }
    }
}

struct err *run_mounts_new(struct build *b, const struct step *step, struct run_mounts **ret)
{
    AUTO(run_mounts_free) struct run_mounts *m = xcalloc(1, sizeof(*m));

    m->b = b;
    m->step = step;
    TRY(add_caches(m));
    for (size_t i = 0; i < step->n_mounts; i++)
        if (step->mounts[i].m.type != DF_MOUNT_CACHE)
            TRY(add_mount(m, i));
    restore_order(m);
    if (step->script)
        mount_script(m, step);
    *ret = steal(&m);
    return NULL;
}

void run_mounts_keep(const struct run_mounts *m)
{
    for (size_t i = 0; i < m->held.n; i++) {
        const struct held *h = &m->held.items[i];

        if (!h->cache)
            continue;
        const struct stashed_mount mount = { h->cache_id, &h->cache_key, cache_dir_path(h->cache) };
        mount_stash_add(m->b->o.mounts, &mount);
    }
}

const struct run_mount *run_mounts_list(const struct run_mounts *m, size_t *ret_n)
{
    *ret_n = m->list.n;
    return m->list.items;
}

void run_mounts_env(const struct run_mounts *m, struct strs *env)
{
    for (size_t i = 0; i < m->env.n; i++) {
        AUTO_FREE char *name = xstrndup(m->env.items[i], strcspn(m->env.items[i], "="));

        env_set(env, name, strchr(m->env.items[i], '=') + 1);
    }
}

void run_mounts_free(struct run_mounts *m)
{
    if (!m)
        return;
    for (size_t i = m->held.n; i-- > 0;) {
        struct held *h = &m->held.items[i];

        if (h->file)
            (void)unlink(h->file);
        cover_free(h->cover);
        cache_dir_close(h->cache);
        agent_stop(h->agent);
        free(h->path);
        free(h->file);
    }
    for (size_t i = 0; i < m->env.n; i++)
        explicit_bzero(m->env.items[i], strlen(m->env.items[i]));
    strs_release(&m->env);
    vec_free(&m->list);
    vec_free(&m->places);
    vec_free(&m->held);
    free(m);
}
