/* writer.c - the thread that writes entries while the build goes on, in the order in which they came. */
#include "base/thread.h"
#include "cache/cache_priv.h"

#include <time.h>

struct job {
    struct job *next;
    void (*work)(struct cache *c, void *job);
    void *data;
};

struct writer {
    struct cache *cache;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct job *first, **last;
    bool busy, ended, has_thread;
    pthread_t thread;
};

static struct job *take(struct writer *w)
{
    struct job *j = w->first;

    if (j) {
        w->first = j->next;
        if (!w->first)
            w->last = &w->first;
    }
    return j;
}

static void do_job(struct writer *w, struct job *j)
{
    j->work(w->cache, j->data);
    free(j);
}

static void *run(void *arg)
{
    struct writer *w = arg;

    pthread_mutex_lock(&w->lock);
    while (!w->ended || w->first) {
        struct job *j = take(w);

        if (!j) {
            pthread_cond_wait(&w->changed, &w->lock);
            continue;
        }
        w->busy = true;
        pthread_mutex_unlock(&w->lock);
        do_job(w, j);
        pthread_mutex_lock(&w->lock);
        w->busy = false;
        pthread_cond_broadcast(&w->changed);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

struct writer *writer_new(struct cache *c)
{
    struct writer *w = xcalloc(1, sizeof(*w));

    w->cache = c;
    w->last = &w->first;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->changed, NULL);
    return w;
}

void writer_add(struct writer *w, void (*work)(struct cache *c, void *job), void *data)
{
    struct job *j = xcalloc(1, sizeof(*j));

    *j = (struct job){ .work = work, .data = data };
    pthread_mutex_lock(&w->lock);
    if (!w->has_thread) /* a build that writes nothing needs none */
        w->has_thread = thread_start(&w->thread, run, w) == 0;
    if (w->has_thread) {
        *w->last = j;
        w->last = &j->next;
        pthread_cond_broadcast(&w->changed);
    }
    pthread_mutex_unlock(&w->lock);
    if (!w->has_thread) /* a pod that allows no more threads still gets its entries */
        do_job(w, j);
}

void writer_wait(struct writer *w)
{
    pthread_mutex_lock(&w->lock);
    while (w->busy || w->first)
        pthread_cond_wait(&w->changed, &w->lock);
    pthread_mutex_unlock(&w->lock);
}

bool writer_wait_for(struct writer *w, int timeout_ms)
{
    struct timespec end;
    int timed_out = 0;

    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += timeout_ms / 1000;
    end.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    end.tv_sec += end.tv_nsec / 1000000000;
    end.tv_nsec %= 1000000000;
    pthread_mutex_lock(&w->lock);
    while ((w->busy || w->first) && !timed_out)
        timed_out = pthread_cond_timedwait(&w->changed, &w->lock, &end);
    bool done = !w->busy && !w->first;
    pthread_mutex_unlock(&w->lock);
    return done;
}

void writer_free(struct writer *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->ended = true;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
    if (w->has_thread)
        pthread_join(w->thread, NULL);
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
    free(w);
}
