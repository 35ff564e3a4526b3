#include "build/build_priv.h"

#include <pthread.h>

#define MAX_TRANSFERS 4 /* more connections do not make a registry faster; each costs buffers */

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
           pthread_create(&ids[started], NULL, worker, &p) == 0)
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
