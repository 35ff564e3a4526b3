#include "build/mount_stash.h"

#include "build/build_priv.h"
#include "store/cache_dir.h"
#include "sys/file.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

struct added {
    char *id, *path, *tag;
};

struct mount_stash {
    struct stash_opts o;
    const struct progress *progress;
    pthread_mutex_t lock; /* of what follows */
    VEC(struct added) added;
    bool silent; /* the registry did not answer when something was to be restored: it is not waited for again */
};

struct mount_stash *mount_stash_new(const struct stash_opts *opts, const struct progress *progress)
{
    struct mount_stash *s = xcalloc(1, sizeof(*s));

    s->o = *opts;
    s->o.in_parallel = in_parallel;
    s->progress = progress;
    pthread_mutex_init(&s->lock, NULL);
    return s;
}

void mount_stash_free(struct mount_stash *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->added.n; i++) {
        free(s->added.items[i].id);
        free(s->added.items[i].path);
        free(s->added.items[i].tag);
    }
    vec_free(&s->added);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

/* As with BuildKit a mount is one for all platforms of a build; machines of different kinds do not share it, as
 * BuildKit's builders do not: tools keep programs and objects there. */
static char *tag_of(const struct mount_stash *s, const struct digest *key)
{
    return xasprintf("mount-%s-%s", s->o.platform->arch, digest_hex(key));
}

static void say(const struct mount_stash *s, const char *fmt, ...) PRINTF(2, 3);
static void say(const struct mount_stash *s, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    AUTO_FREE char *text = xvasprintf(fmt, ap);
    va_end(ap);
    s->progress->note(s->progress->ctx, text);
}

static double mb(uint64_t bytes)
{
    return (double)bytes / 1e6;
}

/* ---- restoring ---- */

static struct err *empty(const char *dir)
{
    TRY(err_set_kind(file_remove_tree(AT_FDCWD, dir), ERR_DISK));
    if (mkdir(dir, 0755) < 0 || chmod(dir, 0755) < 0)
        return err_set_kind(err_sys(errno, "cannot make directory '%s'", dir), ERR_DISK);
    return NULL;
}

static bool is_stop(const struct err *e)
{
    return err_kind(e) == ERR_TERMINATED || err_kind(e) == ERR_TIMEOUT;
}

static bool is_silent(struct mount_stash *s)
{
    pthread_mutex_lock(&s->lock);
    const bool silent = s->silent;
    pthread_mutex_unlock(&s->lock);
    return silent;
}

static struct err *restore(struct mount_stash *s, const struct stash_place *p, struct stash_stats *ret)
{
    if (is_silent(s)) {
        (void)unlink(p->record); /* of a directory that was here before */
        return err_new(ERR_NETWORK, "the registry did not answer before");
    }
    struct err *e = stash_restore(&s->o, p, ret);
    pthread_mutex_lock(&s->lock);
    s->silent = s->silent || (e && err_kind(e) == ERR_NETWORK);
    pthread_mutex_unlock(&s->lock);
    return e;
}

struct err *mount_stash_restore(struct mount_stash *s, const struct stashed_mount *m, const char *dir, bool *ret_found)
{
    struct stash_stats stats = { 0 };

    *ret_found = false;
    if (!s)
        return NULL;
    AUTO_FREE char *tag = tag_of(s, m->key), *record = xasprintf("%s" CACHE_DIR_RECORD, m->path);
    const struct stash_place place = { tag, dir, record };
    struct err *e = restore(s, &place, &stats);
    if (e && is_stop(e))
        return e;
    if (e) {
        AUTO_FREE char *why = err_line(e);

        say(s, "warning: the cache mount '%s' begins empty, it cannot be restored: %s", m->id, why);
        err_free(e);
        return empty(dir);
    }
    *ret_found = stats.found;
    if (stats.found)
        say(s, "cache mount '%s': %zu files, %.1f MB restored, %.1f MB received", m->id, stats.entries, mb(stats.bytes),
            mb(stats.moved));
    return NULL;
}

/* ---- saving ---- */

void mount_stash_add(struct mount_stash *s, const struct stashed_mount *m)
{
    bool there = false;

    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; !there && i < s->added.n; i++)
        there = strcmp(s->added.items[i].path, m->path) == 0;
    if (!there) {
        const struct added a = { xstrdup(m->id), xstrdup(m->path), tag_of(s, m->key) };

        vec_push(&s->added, a);
    }
    pthread_mutex_unlock(&s->lock);
}

static void tell_saved(const struct mount_stash *s, const char *id, const struct stash_stats *stats)
{
    if (stats->dropped)
        say(s,
            "note: the cache mount '%s' holds more than the %.1f MB that are kept: what was not used for the longest "
            "time, %.1f MB in %zu files, is not saved",
            id, mb(s->o.max_bytes), mb(stats->dropped), stats->dropped_entries);
    if (stats->found)
        say(s, "cache mount '%s': %zu files, %.1f MB saved, %.1f MB sent", id, stats->entries, mb(stats->bytes),
            mb(stats->moved));
}

/* False: the registry does not answer. */
static bool save_one(const struct mount_stash *s, const struct added *a)
{
    AUTO(cache_dir_close) struct cache_dir *held = cache_dir_try(a->path);
    AUTO_FREE char *record = xasprintf("%s" CACHE_DIR_RECORD, a->path);
    const struct stash_place place = { a->tag, a->path, record };
    struct stash_stats stats;

    if (!held) /* who uses it alone now will save it */
        return true;
    struct err *e = stash_save(&s->o, &place, &stats);
    if (!e) {
        tell_saved(s, a->id, &stats);
    } else if (!is_stop(e)) {
        AUTO_FREE char *why = err_line(e);

        say(s, "warning: the cache mount '%s' is not saved: %s", a->id, why);
    }
    const bool answers = !e || err_kind(e) != ERR_NETWORK;
    err_free(e);
    return answers;
}

void mount_stash_save(struct mount_stash *s)
{
    bool answers = true;

    for (size_t i = 0; s && i < s->added.n; i++) {
        const struct added *a = &s->added.items[i];

        if (answers)
            answers = save_one(s, a);
        else
            say(s, "warning: the cache mount '%s' is not saved either", a->id);
    }
}
