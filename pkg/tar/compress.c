/* Blocks go round a ring: the caller fills them in order, workers compress any filled one, one writer thread hands them
 * to the output in order. Block number i lives in slot i % n_slots; written <= taken <= filled <= written + n_slots. */
#include "tar/compress.h"

#include "base/thread.h"

#include <libdeflate.h>
#include <stdbool.h>
#include <string.h>
#include <zstd.h>

#define BLOCK_BYTES (1024 * 1024) /* part of the format: another size gives other bytes */

struct slot {
    unsigned char *in, *out; /* made when first used */
    size_t in_len, out_len;
    bool done; /* compressed */
};

/* How to compress one block by itself. A coder belongs to one worker. */
struct coder_ops {
    int default_level, max_level;
    size_t (*bound)(void);
    void *(*new)(int level);
    size_t (*run)(void *coder, int level, const struct slot *s, size_t size); /* 0: failed */
    void (*free)(void *coder);
};

struct compressor {
    struct compress_opts opts;
    const struct coder_ops *ops; /* NULL: not compressed, no threads */
    struct sink out;
    struct hasher *diff_hash, *out_hash; /* the caller's; the writer's */
    uint64_t in_bytes, out_bytes;
    bool failed; /* an error was handed to the caller */

    struct slot *slots;
    size_t n_slots, n_workers;
    pthread_t *workers, writer;
    bool writer_runs;
    void *own_coder; /* the caller's, where no worker could be started; else NULL */

    pthread_mutex_t lock;   /* guards all below, and slot.done; a slot's content belongs to whom its number says */
    pthread_cond_t changed; /* any of these changed */
    uint64_t filled, taken, written;
    bool ended, stop;  /* no more blocks come; leave at once */
    struct err *error; /* the first one of a worker or the writer, until it is handed on */
};

/* --- the two formats --- */

static size_t gzip_bound(void)
{
    return libdeflate_gzip_compress_bound(NULL, BLOCK_BYTES);
}

static void *gzip_new(int level)
{
    return libdeflate_alloc_compressor(level);
}

static size_t gzip_run(void *coder, int level, const struct slot *s, size_t size)
{
    (void)level;
    return libdeflate_gzip_compress(coder, s->in, s->in_len, s->out, size);
}

static void gzip_free(void *coder)
{
    libdeflate_free_compressor(coder);
}

static size_t zstd_bound(void)
{
    return ZSTD_compressBound(BLOCK_BYTES);
}

static void *zstd_new(int level)
{
    (void)level;
    return ZSTD_createCCtx();
}

static size_t zstd_run(void *coder, int level, const struct slot *s, size_t size)
{
    size_t n = ZSTD_compressCCtx(coder, s->out, size, s->in, s->in_len, level);

    return ZSTD_isError(n) ? 0 : n;
}

static void zstd_free(void *coder)
{
    ZSTD_freeCCtx(coder);
}

static const struct coder_ops gzip_ops = { 1, 12, gzip_bound, gzip_new, gzip_run, gzip_free };
static const struct coder_ops zstd_ops = { 3, 19, zstd_bound, zstd_new, zstd_run, zstd_free };

/* --- threads --- */

static void lock(struct compressor *c)
{
    pthread_mutex_lock(&c->lock);
}

static void unlock(struct compressor *c)
{
    pthread_mutex_unlock(&c->lock);
}

static void changed(struct compressor *c)
{
    pthread_cond_broadcast(&c->changed);
}

static void wait_change(struct compressor *c)
{
    pthread_cond_wait(&c->changed, &c->lock);
}

/* With the lock held: keeps the first error, stops all threads. */
static void fail(struct compressor *c, struct err *e)
{
    if (c->error)
        err_free(e);
    else
        c->error = e;
    c->stop = true;
    changed(c);
}

static struct slot *slot_of(const struct compressor *c, uint64_t number)
{
    return &c->slots[number % c->n_slots];
}

/* With the lock held: the next block to compress, or NULL when there will be none. */
static struct slot *take(struct compressor *c)
{
    while (!c->stop && c->taken == c->filled && !c->ended)
        wait_change(c);
    if (c->stop || c->taken == c->filled)
        return NULL;
    return slot_of(c, c->taken++);
}

static struct err *compress_slot(const struct compressor *c, void *coder, struct slot *s)
{
    size_t bound = c->ops->bound();

    if (!s->out)
        s->out = xreallocarray(NULL, bound, 1);
    s->out_len = c->ops->run(coder, c->opts.level, s, bound);
    return s->out_len ? NULL : err_new(ERR_BUG, "a block of a layer could not be compressed");
}

static void *coder_new(struct compressor *c)
{
    void *coder = c->ops->new (c->opts.level);

    if (!coder)
        fail(c, err_new(ERR_POD, "not enough memory to compress"));
    return coder;
}

/* With the lock held, but not meanwhile. */
static void compress_one(struct compressor *c, void *coder, struct slot *s)
{
    unlock(c);
    struct err *e = compress_slot(c, coder, s);

    lock(c);
    if (e)
        fail(c, e);
    s->done = true;
    changed(c);
}

static void *work(void *ctx)
{
    struct compressor *c = ctx;
    struct slot *s;

    lock(c);
    void *coder = coder_new(c);
    while ((s = take(c)))
        compress_one(c, coder, s);
    unlock(c);
    if (coder)
        c->ops->free(coder);
    return NULL;
}

/* With the lock held: the next block to write, or NULL when there will be none. */
static struct slot *next_done(struct compressor *c)
{
    for (;;) {
        bool any = c->written < c->filled;

        if (c->stop || (!any && c->ended))
            return NULL;
        if (any && slot_of(c, c->written)->done)
            return slot_of(c, c->written);
        wait_change(c);
    }
}

static struct err *write_out(struct compressor *c, const void *p, size_t n)
{
    c->out_bytes += n;
    hasher_add(c->out_hash, p, n);
    return sink_write(&c->out, p, n);
}

/* With the lock held, but not meanwhile. */
static void write_one(struct compressor *c, struct slot *s)
{
    unlock(c);
    struct err *e = write_out(c, s->out, s->out_len);

    lock(c);
    if (e)
        fail(c, e);
    s->done = false;
    s->in_len = 0;
    c->written++;
    changed(c);
}

static void *write_blocks(void *ctx)
{
    struct compressor *c = ctx;
    struct slot *s;

    lock(c);
    while ((s = next_done(c)))
        write_one(c, s);
    unlock(c);
    return NULL;
}

/* Threads start as blocks come: a small layer needs one of each. Where the pod allows no more of them, those there are
 * must do, and in the end the caller: there is no worker without a writer. */
static void start_threads(struct compressor *c)
{
    if (!c->writer_runs)
        c->writer_runs = thread_start(&c->writer, write_blocks, c) == 0;
    if (c->writer_runs && c->n_workers < (size_t)c->opts.threads &&
        thread_start(&c->workers[c->n_workers], work, c) == 0)
        c->n_workers++;
}

/* What no thread does with the block that was just filled; those before it were done the same way. */
static void do_here(struct compressor *c)
{
    struct slot *s;

    lock(c);
    if (!c->n_workers && !c->own_coder)
        c->own_coder = coder_new(c);
    if (!c->n_workers && (s = take(c)))
        compress_one(c, c->own_coder, s);
    if (!c->writer_runs && (s = next_done(c)))
        write_one(c, s);
    unlock(c);
}

/* --- the caller's side --- */

static struct err *check_opts(struct compress_opts *opts, const struct coder_ops *ops)
{
    if (opts->threads < 1)
        return err_new(ERR_BUG, "compression needs at least one thread");
    if (!ops)
        return NULL;
    if (opts->level == 0)
        opts->level = ops->default_level;
    if (opts->level < 0 || opts->level > ops->max_level)
        return err_new(ERR_SETTING, "compression level %d is not in 1..%d", opts->level, ops->max_level);
    return NULL;
}

struct err *compress_new(const struct compress_opts *opts, struct sink out, struct compressor **ret)
{
    const struct coder_ops *ops = opts->kind == COMPRESSION_GZIP   ? &gzip_ops
                                  : opts->kind == COMPRESSION_ZSTD ? &zstd_ops
                                                                   : NULL;
    struct compress_opts own = *opts;

    TRY(check_opts(&own, ops));
    struct compressor *c = xcalloc(1, sizeof(*c));

    c->opts = own;
    c->ops = ops;
    c->out = out;
    c->diff_hash = hasher_new();
    c->out_hash = hasher_new();
    c->n_slots = (size_t)own.threads + 2;
    c->slots = xcalloc(c->n_slots, sizeof(*c->slots));
    c->workers = xcalloc((size_t)own.threads, sizeof(*c->workers));
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->changed, NULL);
    *ret = c;
    return NULL;
}

/* The error to hand on: the first time the one that happened, later that it happened. */
static struct err *take_error(struct compressor *c)
{
    struct err *e = steal(&c->error);

    c->failed = true;
    return e ? e : err_new(ERR_BUG, "compression goes on after it failed");
}

/* The slot that the caller fills, waiting until the writer is done with it. */
static struct err *fillable(struct compressor *c, struct slot **ret_slot)
{
    lock(c);
    while (!c->stop && c->filled == c->written + c->n_slots)
        wait_change(c);
    struct err *e = c->stop ? take_error(c) : NULL;

    unlock(c);
    TRY(e);
    *ret_slot = slot_of(c, c->filled);
    if (!(*ret_slot)->in)
        (*ret_slot)->in = xreallocarray(NULL, BLOCK_BYTES, 1);
    return NULL;
}

static void queue(struct compressor *c)
{
    start_threads(c);
    lock(c);
    c->filled++;
    changed(c);
    unlock(c);
    if (!c->n_workers)
        do_here(c);
}

static struct err *add_blocks(struct compressor *c, const unsigned char *p, size_t n)
{
    while (n) {
        struct slot *s;

        TRY(fillable(c, &s));
        size_t room = BLOCK_BYTES - s->in_len, step = n < room ? n : room;

        memcpy(s->in + s->in_len, p, step);
        s->in_len += step;
        p += step;
        n -= step;
        if (s->in_len < BLOCK_BYTES)
            continue;
        TRY(cancel_check(c->opts.cancel));
        queue(c);
    }
    return NULL;
}

static struct err *add(void *ctx, const void *p, size_t n)
{
    struct compressor *c = ctx;

    if (c->failed)
        return take_error(c);
    hasher_add(c->diff_hash, p, n);
    c->in_bytes += n;
    struct err *e = c->ops ? add_blocks(c, p, n) : write_out(c, p, n);

    c->failed = e != NULL;
    return e;
}

struct sink compress_sink(struct compressor *c)
{
    return (struct sink){ add, c };
}

static void join_threads(struct compressor *c)
{
    for (; c->n_workers; c->n_workers--)
        pthread_join(c->workers[c->n_workers - 1], NULL);
    if (c->writer_runs)
        pthread_join(c->writer, NULL);
    c->writer_runs = false;
}

/* The last block; an empty stream has one as well, for nothing at all is no gzip file. */
static struct err *finish(struct compressor *c)
{
    struct slot *s;

    TRY(cancel_check(c->opts.cancel));
    TRY(fillable(c, &s));
    if (s->in_len || c->filled == 0)
        queue(c);
    lock(c);
    c->ended = true;
    changed(c);
    unlock(c);
    join_threads(c);
    return c->error ? take_error(c) : NULL;
}

struct err *compress_end(struct compressor *c, struct compress_result *ret_result)
{
    if (c->failed)
        return take_error(c);
    if (c->ops)
        TRY(finish(c));
    ret_result->diff_id = hasher_end(c->diff_hash);
    ret_result->digest = hasher_end(c->out_hash);
    ret_result->uncompressed_bytes = c->in_bytes;
    ret_result->size_bytes = c->out_bytes;
    return NULL;
}

void compress_free(struct compressor *c)
{
    if (!c)
        return;
    lock(c);
    c->stop = true;
    changed(c);
    unlock(c);
    join_threads(c);
    for (size_t i = 0; i < c->n_slots; i++) {
        free(c->slots[i].in);
        free(c->slots[i].out);
    }
    if (c->own_coder)
        c->ops->free(c->own_coder);
    free(c->slots);
    free(c->workers);
    hasher_free(c->diff_hash);
    hasher_free(c->out_hash);
    err_free(c->error);
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->changed);
    free(c);
}
