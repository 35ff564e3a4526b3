#include "base/thread.h"
#include "build/build_priv.h"

#define MAX_TRANSFERS   4 /* more connections do not make a registry faster; each costs buffers */
#define MIN_STAGES      2 /* commands also wait for network and disk: one CPU is enough for two */
#define OWN_MEMORY      ((uint64_t)64 << 20)
#define COMPRESS_MEMORY ((uint64_t)32 << 20)  /* of our own, for all that are under way */
#define COMPRESS_BLOCK  ((uint64_t)2 << 20)   /* in and out, see tar/compress.h */
#define STAGE_MEMORY    ((uint64_t)512 << 20) /* what a stage's command may want, as compilers and bundlers do */

struct pool {
    pthread_mutex_t lock;
    size_t next, n;
    struct err *error;
    struct err *(*work)(void *ctx, size_t i);
    void *ctx;
};

static bool take(struct pool *p, size_t *ret_i)
{
    pthread_mutex_lock(&p->lock);
    bool more = !p->error && p->next < p->n;
    if (more)
        *ret_i = p->next++;
    pthread_mutex_unlock(&p->lock);
    return more;
}

static void *worker(void *arg)
{
    struct pool *p = arg;
    size_t i;

    while (take(p, &i)) {
        struct err *e = p->work(p->ctx, i);

        pthread_mutex_lock(&p->lock);
        if (!p->error)
            p->error = e;
        else
            err_free(e); /* a consequence, or a second cause: one is enough to act on */
        pthread_mutex_unlock(&p->lock);
    }
    return NULL;
}

struct err *in_parallel(int threads, size_t n, struct err *(*work)(void *ctx, size_t i), void *ctx)
{
    struct pool p = { .n = n, .work = work, .ctx = ctx };
    pthread_t ids[16];
    int started = 0;

    pthread_mutex_init(&p.lock, NULL);
    while (started < threads - 1 && started < 16 && (size_t)started + 1 < n &&
           thread_start(&ids[started], worker, &p) == 0)
        started++;
    worker(&p); /* also here: a pod that allows no more threads still gets its work done */
    for (int i = 0; i < started; i++)
        pthread_join(ids[i], NULL);
    pthread_mutex_destroy(&p.lock);
    return p.error;
}

int transfer_threads(const struct limits *limits)
{
    int threads = limits_threads(limits);

    return threads < 2 ? 2 : threads > MAX_TRANSFERS ? MAX_TRANSFERS : threads;
}

/* Where memory is short, one after the other is what always works: commands that are killed for memory cost more. */
int stage_slots(const struct limits *limits)
{
    int by_cpu = limits_threads(limits);
    uint64_t memory = limits->memory_bytes > OWN_MEMORY ? limits->memory_bytes - OWN_MEMORY : 0;
    uint64_t by_memory = memory / STAGE_MEMORY;

    by_cpu = by_cpu < MIN_STAGES ? MIN_STAGES : by_cpu;
    if (by_memory < 1)
        return 1;
    return by_memory < (uint64_t)by_cpu ? (int)by_memory : by_cpu;
}

int compress_room(int threads)
{
    uint64_t each = ((uint64_t)(threads < 1 ? 1 : threads) + 2) * COMPRESS_BLOCK;
    uint64_t n = COMPRESS_MEMORY / each;

    return n < 1 ? 1 : (int)n;
}

/* ---- gates ---- */

void gate_init(struct gate *g, int room)
{
    pthread_mutex_init(&g->lock, NULL);
    pthread_cond_init(&g->changed, NULL);
    g->room = room;
}

void gate_release(struct gate *g)
{
    pthread_cond_destroy(&g->changed);
    pthread_mutex_destroy(&g->lock);
}

void gate_enter(struct gate *g)
{
    pthread_mutex_lock(&g->lock);
    while (g->room == 0)
        pthread_cond_wait(&g->changed, &g->lock);
    g->room--;
    pthread_mutex_unlock(&g->lock);
}

void gate_leave(struct gate *g)
{
    pthread_mutex_lock(&g->lock);
    g->room++;
    pthread_cond_signal(&g->changed);
    pthread_mutex_unlock(&g->lock);
}

/* ---- claims ---- */

struct err *claim(struct product *p, struct map *set, const char *name)
{
    struct err *e = NULL;

    pthread_mutex_lock(&p->lock);
    while (!(e = cancel_check(p->stop)) && map_get(set, name))
        pthread_cond_wait(&p->changed, &p->lock);
    if (!e)
        map_set(set, name, p);
    pthread_mutex_unlock(&p->lock);
    return e;
}

void unclaim(struct product *p, struct map *set, const char *name)
{
    pthread_mutex_lock(&p->lock);
    map_remove(set, name);
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
}
