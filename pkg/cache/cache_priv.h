/* cache_priv.h - the documents of entries, and the table of stores. */
#ifndef CACHE_CACHE_PRIV_H
#define CACHE_CACHE_PRIV_H

#include "base/buf.h"
#include "base/map.h"
#include "base/sink.h"
#include "base/vec.h"
#include "cache/cache.h"

#include <pthread.h>

/* ---- entry.c: pure ---- */

/* The manifest of an entry under entry->key. The caller frees. */
char *entry_manifest(const struct cache_entry *e, const struct descriptor *config, int64_t written_s);
/* What a manifest says of the entry that should have that key; it must be ours and whole: ERR_REGISTRY with the reason.
 * *ret_written_s: when it was written; *ret_config: the document with its inputs. */
MUST_USE struct err *entry_parse(const char *text, size_t len, const struct digest *key, struct cache_entry *ret,
                                 int64_t *ret_written_s, struct descriptor *ret_config);
/* The configuration of an entry: that of an image with one layer, and the inputs. The caller frees. */
char *entry_config(const struct cache_put *p);
MUST_USE struct err *entry_inputs(const char *text, size_t len, struct strs *ret_inputs);
/* May an entry of that age be used? A clock that is a little ahead does no harm. */
bool entry_is_fresh(int64_t written_s, int64_t now_s, int64_t ttl_s);

/* ---- stores ---- */

/* Where entries are kept. All functions are thread-safe. */
struct store_ops {
    const char *name;
    struct err *(*get)(void *store, const char *tag, struct fetched_manifest *ret, bool *ret_found);
    struct err *(*has)(void *store, const char *tag, bool *ret_found);
    struct err *(*put)(void *store, const char *tag, const char *text);
    struct err *(*get_blob)(void *store, const struct descriptor *d, struct sink out);
    /* fd -1: only if it can be had from `from`, which may be NULL; *ret_there tells. */
    struct err *(*put_blob)(void *store, const struct descriptor *d, int fd, const struct ref *from, bool *ret_there);
    void (*free)(void *store);
};
extern const struct store_ops store_registry;
void *store_registry_new(struct registry *r, const struct ref *repo);

struct cache_store {
    const struct store_ops *ops;
    void *state;
    struct ref repo;
    bool read_off, write_off; /* it failed, and the user was told */
};

struct stopped_job {
    void (*work)(struct cache *c, void *job);
    void *job;
};

struct cache {
    struct cache_store *stores; /* the first is `own`, if that is set */
    size_t n_stores;
    bool own, renew;
    int64_t ttl_s, now_s;
    void (*warn)(void *ctx, const char *text);
    void *ctx;

    pthread_mutex_t lock; /* of all that follows, and of the stores' flags */
    struct cache_stats stats;
    struct map *blobs;               /* digests of the blobs that are in the own repository */
    struct map *stale;               /* keys whose entries are of no use: to be written over */
    struct map *rejected;            /* the same, found out later: not looked up any more */
    VEC(struct stopped_job) stopped; /* what the end of the build kept from being written */
    struct writer *writer;
};
void cache_warn(const struct cache *c, const char *fmt, ...) PRINTF(2, 3);
/* The store failed: it is not asked again, and the user is told once. Takes e. */
void cache_store_failed(struct cache *c, struct cache_store *s, bool writing, struct err *e);
bool cache_store_off(struct cache *c, const struct cache_store *s, bool writing);

/* ---- writer.c: the thread that writes ---- */
struct writer *writer_new(struct cache *c);
/* Queues work(c, job), which takes the job. */
void writer_add(struct writer *w, void (*work)(struct cache *c, void *job), void *job);
void writer_wait(struct writer *w);
/* False: it was not done in that time. */
bool writer_wait_for(struct writer *w, int timeout_ms);
void writer_free(struct writer *w); /* after what is queued */

#endif
