/* cache.h - layers that earlier builds made, by the key of the step that made them, in repositories of a registry.
 *
 * An entry is an OCI image of one layer under the key as its tag, written once. Its manifest says all that a build
 * needs to use it (one request a look-up); its configuration holds the inputs of the key, hashed, so that a later miss
 * can be explained. Knows no instruction and not what keys are made of.
 *
 * Nothing here fails a build: what cannot be read, is not ours, is damaged or too old is a miss, what cannot be written
 * is not there next time; the user is told once per repository. That a blob has the digest it should have is checked by
 * whoever pulls it. Thread-safe; entries are written by a thread of its own while the build goes on. */
#ifndef CACHE_CACHE_H
#define CACHE_CACHE_H

#include "base/mem.h"
#include "base/strs.h"
#include "digest/digest.h"
#include "oci/manifest.h"
#include "oci/ref.h"
#include "registry/registry.h"

#include <stdbool.h>
#include <stdint.h>

struct cache_opts {
    struct registry *registry; /* borrowed */
    const struct ref *repo;    /* read first, and written to; NULL: nothing is written. Copied, as are the others */
    const struct ref *from;    /* only read, in this order */
    size_t n_from;
    int64_t ttl_s; /* older entries are not used */
    int64_t now_s;
    bool renew; /* nothing is read: all entries are written anew */
    void (*warn)(void *ctx, const char *text);
    void *ctx;
};

struct cache;
struct cache *cache_new(const struct cache_opts *opts);
/* Waits for what is being written. */
void cache_free(struct cache *c);
DEFINE_CLEANUP(struct cache *, cache_free);

struct cache_entry {
    struct digest key;
    struct digest content; /* the same step's key by what its files are; `key` again where that is no other */
    struct descriptor layer;
    struct digest diff_id;
    char created[32];       /* RFC 3339: the layer's time in the history of an image */
    const struct ref *repo; /* where its blob is; borrowed from the cache */
};

/* False: there is none that can be used. */
bool cache_find(struct cache *c, const struct digest *key, struct cache_entry *ret);
/* An entry turned out to be of no use (its blob is not there or damaged): it is not found again, and may be written
 * anew. */
void cache_reject(struct cache *c, const struct cache_entry *e);
/* The inputs of an entry, whether it can still be used or not. False: not known. */
bool cache_inputs(struct cache *c, const struct digest *key, struct strs *ret_inputs);

struct cache_put {
    struct cache_entry entry; /* without repo */
    int blob_fd;              /* the layer's file; taken. -1: the blob is in a repository already: */
    const struct ref *blob_repo;
    const struct strs *inputs; /* copied, as are: */
    const char *created_by;
    const struct platform *platform;
};
/* Writes it in the background, under both of its keys. */
void cache_put(struct cache *c, const struct cache_put *p);
/* The repository that is written to; NULL: there is none. Borrowed. */
const struct ref *cache_repo(const struct cache *c);
/* Waits until all is written that was put. */
void cache_flush(struct cache *c);
/* The build was told to stop, and requests with it; now they may be made again (http_set_cancel): writes what could not
 * be written because of that, for at most so long. Nothing is written after that. */
void cache_finish(struct cache *c, int timeout_ms);
/* The repository that this cache has put that blob into, NULL if it has not. Borrowed. */
const struct ref *cache_has_blob(struct cache *c, const struct digest *blob);

/* Small documents by name (a tag), which may be replaced at any time. False: there is none. */
bool cache_get_document(struct cache *c, const char *name, char **ret_text);
void cache_put_document(struct cache *c, const char *name, const char *text);

struct cache_stats {
    size_t looked_up, found, written;
};
void cache_get_stats(struct cache *c, struct cache_stats *ret);

#endif
