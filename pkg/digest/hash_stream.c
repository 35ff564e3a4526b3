#include "digest/hash_stream.h"

#include "base/thread.h"

#include <string.h>

/* A thread costs more than it saves below that. */
#define THREAD_MIN_BYTES (1024 * 1024)
#define BLOCKS           4
#define BLOCK_BYTES      (HASH_STREAM_BYTES / BLOCKS)

struct block {
    size_t len;
    unsigned char data[BLOCK_BYTES];
};

/* Blocks are used in turn: the caller fills number `filled`, the thread hashes number `hashed`. */
struct hash_stream {
    struct hasher *hasher; /* the thread's while it runs */
    bool has_thread;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned long filled, hashed; /* how many there were so far */
    bool ended;                   /* nothing more will come */
    struct block *blocks;
};

static struct block *block_of(struct hash_stream *h, unsigned long number)
{
    return &h->blocks[number % BLOCKS];
}

/* The next full block, or NULL at the end. */
static struct block *wait_for_block(struct hash_stream *h)
{
    pthread_mutex_lock(&h->lock);
    while (h->hashed == h->filled && !h->ended)
        pthread_cond_wait(&h->changed, &h->lock);
    struct block *b = h->hashed < h->filled ? block_of(h, h->hashed) : NULL;
    pthread_mutex_unlock(&h->lock);
    return b;
}

static void *run(void *ctx)
{
    struct hash_stream *h = ctx;
    struct block *b;

    while ((b = wait_for_block(h))) {
        hasher_add(h->hasher, b->data, b->len);
        b->len = 0;
        pthread_mutex_lock(&h->lock);
        if (h->filled - h->hashed++ == BLOCKS)
            pthread_cond_signal(&h->changed);
        pthread_mutex_unlock(&h->lock);
    }
    return NULL;
}

struct hash_stream *hash_stream_new(uint64_t size_bytes)
{
    struct hash_stream *h = xcalloc(1, sizeof(*h));

    h->hasher = hasher_new();
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->changed, NULL);
    if (size_bytes < THREAD_MIN_BYTES)
        return h;
    h->blocks = xcalloc(BLOCKS, sizeof(*h->blocks));
    h->has_thread = thread_start(&h->thread, run, h) == 0;
    return h;
}

/* Hands the block that is being filled over, and waits until the next one is free. */
static void hand_over(struct hash_stream *h)
{
    pthread_mutex_lock(&h->lock);
    if (h->filled++ == h->hashed)
        pthread_cond_signal(&h->changed);
    while (h->filled - h->hashed == BLOCKS)
        pthread_cond_wait(&h->changed, &h->lock);
    pthread_mutex_unlock(&h->lock);
}

void hash_stream_add(struct hash_stream *h, const void *p, size_t n)
{
    const unsigned char *bytes = p;

    if (!h->has_thread)
        hasher_add(h->hasher, p, n);
    while (h->has_thread && n > 0) {
        struct block *b = block_of(h, h->filled);
        size_t room = BLOCK_BYTES - b->len;
        size_t part = n < room ? n : room;

        memcpy(b->data + b->len, bytes, part);
        b->len += part;
        bytes += part;
        n -= part;
        if (b->len == BLOCK_BYTES)
            hand_over(h);
    }
}

/* Everything that was added is hashed then. */
static void join(struct hash_stream *h)
{
    if (!h->has_thread)
        return;
    pthread_mutex_lock(&h->lock);
    if (block_of(h, h->filled)->len)
        h->filled++;
    h->ended = true;
    pthread_cond_signal(&h->changed);
    pthread_mutex_unlock(&h->lock);
    pthread_join(h->thread, NULL);
    h->has_thread = false;
}

struct digest hash_stream_end(struct hash_stream *h)
{
    join(h);
    return hasher_end(h->hasher);
}

void hash_stream_free(struct hash_stream *h)
{
    if (!h)
        return;
    join(h);
    pthread_mutex_destroy(&h->lock);
    pthread_cond_destroy(&h->changed);
    hasher_free(h->hasher);
    free(h->blocks);
    free(h);
}
