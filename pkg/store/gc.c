#include "store/gc.h"

#include "base/log.h"
#include "base/vec.h"
#include "store/cache_dir.h"
#include "sys/file.h"
#include "sys/hold.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#define RESERVE_MAX_BYTES (10ULL << 30)
#define HEX_DIGITS        64

struct thing {
    char *path;
    char *hold; /* of a layer: its name in the lock file; NULL: a cache, whose lock is a file beside it */
    int64_t used_s;
    uint64_t bytes;
    bool asked; /* to be removed */
    bool other; /* of another id mapping */
    bool gone;
};

struct gc {
    struct store *s;
    const struct gc_opts *o;
    struct gc_stats *stats;
    int layers_fd;
    VEC(struct thing) things;
};

static uint64_t free_bytes(const struct store *s)
{
    uint64_t bytes;

    return file_free_bytes(store_dir(s), &bytes) ? bytes : UINT64_MAX;
}

uint64_t store_usual_free(const struct store *s)
{
    struct statvfs fs;
    uint64_t tenth = statvfs(store_dir(s), &fs) == 0 ? (uint64_t)fs.f_blocks * fs.f_frsize / 10 : 0;

    return tenth < RESERVE_MAX_BYTES ? tenth : RESERVE_MAX_BYTES;
}

/* ---- what there is ---- */

/* HEX or HEX.N */
static bool is_thing(const char *name)
{
    size_t n = strspn(name, "0123456789abcdef");

    return n == HEX_DIGITS &&
           (!name[n] || (name[n] == '.' && name[n + 1] && !name[n + 1 + strspn(name + n + 1, "0123456789")]));
}

/* A mapping's layers lie in two places: one for each kind of whiteouts. */
static bool is_own_space(const struct gc *g, const char *space)
{
    size_t n = strlen(g->o->space);

    return strncmp(space, g->o->space, n) == 0 && (!space[n] || strcmp(space + n, "-plain") == 0);
}

static void add_thing(struct gc *g, const char *dir, const char *name, const char *space, const char *hold_space)
{
    struct thing t = { .path = xasprintf("%s/%s", dir, name), .other = !is_own_space(g, space) };
    AUTO_FREE char *lock = xasprintf("%s.lock", t.path);
    struct stat st;

    if (stat(hold_space ? t.path : lock, &st) < 0) { /* a cache's lock is touched when it is used, a layer itself */
        free(t.path);
        return;
    }
    t.used_s = st.st_mtim.tv_sec;
    t.hold = hold_space ? xasprintf("%s/%s", hold_space, name) : NULL;
    vec_push(&g->things, t);
}

static void list_space(struct gc *g, const char *kind, const char *space, bool layers)
{
    AUTO_FREE char *dir = xasprintf("%s/%s/%s", store_dir(g->s), kind, space);
    DIR *d = opendir(dir);

    if (!d)
        return;
    for (struct dirent *e; (e = readdir(d));)
        if (is_thing(e->d_name))
            add_thing(g, dir, e->d_name, space, layers ? space : NULL);
    closedir(d);
}

static void list(struct gc *g, const char *kind, bool layers)
{
    AUTO_FREE char *dir = xasprintf("%s/%s", store_dir(g->s), kind);
    DIR *d = opendir(dir);

    if (!d)
        return;
    for (struct dirent *e; (e = readdir(d));)
        if (e->d_name[0] != '.')
            list_space(g, kind, e->d_name, layers);
    closedir(d);
}

static int by_use(const void *a, const void *b)
{
    const struct thing *ta = a, *tb = b;

    if (ta->used_s != tb->used_s)
        return ta->used_s < tb->used_s ? -1 : 1;
    return strcmp(ta->path, tb->path);
}

static void list_all(struct gc *g)
{
    list(g, "layers", true);
    list(g, "caches", false);
    if (g->things.n)
        qsort(g->things.items, g->things.n, sizeof(*g->things.items), by_use);
}

/* ---- removing ---- */

/* In one step out of everybody's sight, then for good. */
static bool take_away(struct gc *g, const char *path)
{
    AUTO_FREE char *away = xasprintf("%s/gone.%zu", store_build_dir(g->s), g->stats->removed);

    if (rename(path, away) < 0)
        return false;
    struct err *e = file_remove_tree(AT_FDCWD, away);
    if (e) /* the next build tries again */
        log_debug("store", "%s", err_message(e));
    err_free(e);
    return true;
}

static bool remove_layer(struct gc *g, const struct thing *t)
{
    if (g->layers_fd < 0 || !hold_alone(g->layers_fd, t->hold))
        return false;
    bool gone = take_away(g, t->path);
    hold_end(g->layers_fd, t->hold);
    return gone;
}

static bool remove_cache(struct gc *g, const struct thing *t)
{
    AUTO(cache_dir_close) struct cache_dir *c = cache_dir_try_alone(t->path);
    AUTO_FREE char *record = xasprintf("%s" CACHE_DIR_RECORD, t->path);

    if (!c)
        return false;
    (void)unlink(record);
    return take_away(g, t->path);
}

/* Whole or not at all: half a layer would be taken for a whole one. */
static bool is_removable(struct gc *g, const struct thing *t)
{
    if (!t->other || file_tree_is_ours(t->path))
        return true;
    g->stats->not_ours++;
    if (g->o->measure)
        g->stats->not_ours_bytes += file_tree_bytes(t->path);
    return false;
}

static bool remove_thing(struct gc *g, struct thing *t)
{
    const bool again = t->asked;

    t->asked = true;
    if (again || !is_removable(g, t))
        return false;
    t->gone = t->hold ? remove_layer(g, t) : remove_cache(g, t);
    if (t->gone) {
        log_debug("store", "removed '%s', last used %lld s ago", t->path, (long long)(g->o->now_s - t->used_s));
        g->stats->removed++;
    }
    return t->gone;
}

/* ---- how much ---- */

static uint64_t count_all(struct gc *g)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < g->things.n; i++) {
        struct thing *t = &g->things.items[i];

        if (!t->gone)
            t->bytes = file_tree_bytes(t->path);
        sum += t->gone ? 0 : t->bytes;
    }
    return sum;
}

static void remove_old(struct gc *g)
{
    for (size_t i = 0; i < g->things.n; i++)
        if (g->o->now_s - g->things.items[i].used_s > g->o->max_age_s)
            (void)remove_thing(g, &g->things.items[i]);
}

static void remove_too_much(struct gc *g)
{
    const bool counted = g->o->max_bytes != UINT64_MAX;
    uint64_t sum = counted ? count_all(g) : 0;

    for (size_t i = 0; i < g->things.n; i++) {
        struct thing *t = &g->things.items[i];
        bool enough = (!counted || sum <= g->o->max_bytes) && free_bytes(g->s) >= g->o->free_bytes;

        if (enough)
            break;
        if (!t->gone && remove_thing(g, t))
            sum -= counted ? t->bytes : 0;
    }
}

void store_gc(struct store *s, const struct gc_opts *o, struct gc_stats *ret)
{
    struct gc g = { .s = s, .o = o, .stats = ret, .layers_fd = -1 };
    AUTO_FREE char *lock = xasprintf("%s/" HOLD_LAYERS, store_dir(s));
    const uint64_t before = free_bytes(s);

    *ret = (struct gc_stats){ 0 };
    list_all(&g);
    if (g.things.n) {
        err_free(hold_open(lock, &g.layers_fd));
        remove_old(&g);
        remove_too_much(&g);
        close_fd(&g.layers_fd);
    }
    const uint64_t after = free_bytes(s);
    ret->freed_bytes = ret->removed && after > before ? after - before : 0;
    for (size_t i = 0; i < g.things.n; i++) {
        free(g.things.items[i].path);
        free(g.things.items[i].hold);
    }
    vec_free(&g.things);
}
