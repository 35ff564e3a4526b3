/* cache_dir.h - directories that RUN --mount=type=cache keeps in the state directory from build to build, with the
 * locks that its sharing modes ask for: DIR/caches/SPACE/HEX of the key, HEX.1 ... for further private ones, and a lock
 * file beside each. Never part of a layer. A directory belongs to one holder at a time as far as its mode says;
 * different ones may be used by several threads. Modes as the Dockerfile reference has them (RUN --mount=type=cache).
 */
#ifndef STORE_CACHE_DIR_H
#define STORE_CACHE_DIR_H

#include "base/cancel.h"
#include "store/store.h"

#define CACHE_DIR_RECORD ".record" /* the end of the name of a file beside a directory, which goes with it */

enum cache_sharing {
    CACHE_SHARED,  /* by any number at once */
    CACHE_PRIVATE, /* a new one is made if all are in use */
    CACHE_LOCKED,  /* waits until nobody else has it */
};

struct cache_dir_spec { /* all borrowed */
    const char *space;  /* the id mapping in use: files made under another are not shared */
    struct digest key;
    enum cache_sharing sharing;
    /* Fills a new one: an empty directory of mode 0755, which only becomes visible, as `path`, when this has ended
     * well. */
    struct err *(*fill)(void *ctx, const char *dir, const char *path);
    void (*waiting)(void *ctx); /* called once if it has to wait; may be NULL */
    void *ctx;
    const struct cancel *cancel;
};

struct cache_dir;
/* Opens it, made if it is new; waits as the mode says, and no longer once cancel is raised. */
MUST_USE struct err *cache_dir_open(struct store *s, const struct cache_dir_spec *spec, struct cache_dir **ret);
const char *cache_dir_path(const struct cache_dir *c); /* borrowed */
/* Locks a directory as CACHE_SHARED does, by its path, if it is there and nobody else needs it alone; else NULL. */
struct cache_dir *cache_dir_try(const char *path);
/* The same, but as nobody else uses it: to remove it. */
struct cache_dir *cache_dir_try_alone(const char *path);
/* Gives up the lock; the directory stays. NULL is allowed. */
void cache_dir_close(struct cache_dir *c);
DEFINE_CLEANUP(struct cache_dir *, cache_dir_close);

#endif
