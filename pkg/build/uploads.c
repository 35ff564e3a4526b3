#include "build/uploads.h"

#include "base/log.h"
#include "base/map.h"
#include "base/thread.h"
#include "base/vec.h"
#include "build/build_priv.h"

#include <pthread.h>
#include <string.h>

/* A layer that grows is sent from that size on, in pieces of no less: each costs a round trip. */
#define PIECE_BYTES ((uint64_t)16 * 1024 * 1024)

/* Of a layer. It belongs to its writer, until it is queued; then to the thread that sends it. */
struct growing {
    struct uploads *u;
    struct growing *next;   /* in the queue */
    int fd;                 /* -1: it is read from the store */
    uint64_t ready;         /* bytes in the file */
    struct descriptor blob; /* once it is whole */
    bool whole, dropped, is_new;
    bool sent; /* it is, or was, queued */
};

/* A blob that was queued whole, or sent. */
struct known {
    bool there;
    enum blob_result result;
};

struct uploads {
    struct uploads_opts o;
    pthread_mutex_t lock; /* of all that follows, and of the layers */
    pthread_cond_t changed;
    struct growing *first, **last;
    size_t waiting, idle; /* layers in the queue; threads that wait for one, or will when they have begun */
    VEC(pthread_t) threads;
    bool ended, refused; /* refused: the pod allows no more threads */
    bool failed; /* nothing more is sent: where one upload failed with all its tries, others would, and take long */
    struct map *known; /* digest -> struct known */
};

struct uploads *uploads_new(const struct uploads_opts *opts)
{
    struct uploads *u = xcalloc(1, sizeof(*u));

    u->o = *opts;
    u->last = &u->first;
    u->known = map_new(free);
    pthread_mutex_init(&u->lock, NULL);
    pthread_cond_init(&u->changed, NULL);
    return u;
}

static void growing_free(struct growing *g)
{
    close_fd(&g->fd);
    free(g);
}

/* ---- sending: in a thread, without the lock ---- */

static struct err *open_blob(void *ctx, int *ret_fd, uint64_t *ret_offset)
{
    const struct growing *g = ctx;

    *ret_offset = 0;
    TRY(store_open_blob(g->u->o.store, &g->blob.digest, g->blob.size_bytes, ret_fd));
    return *ret_fd >= 0 ? NULL : err_new(ERR_DISK, "it is no longer in the state directory");
}

static struct err *send_whole(struct growing *g, enum blob_result *ret_result)
{
    const struct uploads_opts *o = &g->u->o;
    const struct blob_source source = { open_blob, g };

    return registry_push_blob(o->registry, o->repo, &g->blob, &source, NULL, ret_result);
}

/* Waits until there is enough to send beside what was. */
static void wait_for_more(struct growing *g, uint64_t sent, uint64_t *ret_ready, bool *ret_whole, bool *ret_dropped)
{
    struct uploads *u = g->u;

    pthread_mutex_lock(&u->lock);
    while (!g->whole && !g->dropped && g->ready - sent < PIECE_BYTES)
        pthread_cond_wait(&u->changed, &u->lock);
    *ret_ready = g->ready;
    *ret_whole = g->whole;
    *ret_dropped = g->dropped;
    pthread_mutex_unlock(&u->lock);
}

static struct err *send_growing(struct growing *g)
{
    AUTO(upload_free) struct upload *up = upload_new(g->u->o.registry, g->u->o.repo, steal_fd(&g->fd));
    bool whole = false, dropped = false;
    uint64_t ready = 0;

    for (;;) {
        wait_for_more(g, ready, &ready, &whole, &dropped);
        if (dropped)
            return err_new(ERR_TERMINATED, "the layer was not finished");
        if (whole)
            return upload_end(up, &g->blob);
        TRY(upload_send(up, ready));
    }
}

/* With the lock held. */
static void settle_known(struct uploads *u, const struct growing *g, const struct err *e, enum blob_result result)
{
    struct known *k;

    if (!g->whole)
        return;
    map_remove(u->known, g->blob.digest.text);
    if (e)
        return;
    k = xcalloc(1, sizeof(*k));
    *k = (struct known){ true, result };
    map_set(u->known, g->blob.digest.text, k);
}

/* One that failed before it was whole goes back to its writer, who is told at its end. */
static void finish(struct growing *g, struct err *e, enum blob_result result)
{
    struct uploads *u = g->u;

    if (e)
        log_debug("build", "a layer is left to the push: %s", err_message(e));
    else if (result == BLOB_UPLOADED)
        deliver_note(u->o.progress, &g->blob);
    pthread_mutex_lock(&u->lock);
    settle_known(u, g, e, result);
    u->failed |= e && !g->dropped;
    bool ours = g->whole || g->dropped;
    g->dropped = true;
    pthread_mutex_unlock(&u->lock);
    err_free(e);
    if (ours)
        growing_free(g);
}

static void send_layer(struct growing *g, bool go)
{
    enum blob_result result = BLOB_UPLOADED;
    struct err *e = NULL;

    if (!go)
        e = err_new(ERR_NETWORK, "another one could not be sent");
    else
        e = g->fd < 0 ? send_whole(g, &result) : send_growing(g);
    finish(g, e, result);
}

/* ---- threads and queue: with the lock held ---- */

static struct growing *take(struct uploads *u)
{
    while (!u->first && !u->ended)
        pthread_cond_wait(&u->changed, &u->lock);
    struct growing *g = u->first;

    if (!g)
        return NULL;
    u->first = g->next;
    if (!u->first)
        u->last = &u->first;
    u->waiting--;
    return g;
}

static void *run(void *arg)
{
    struct uploads *u = arg;
    struct growing *g;

    pthread_mutex_lock(&u->lock);
    while ((g = take(u))) {
        bool go = !u->failed;

        u->idle--;
        pthread_mutex_unlock(&u->lock);
        send_layer(g, go);
        pthread_mutex_lock(&u->lock);
        u->idle++;
        pthread_cond_broadcast(&u->changed);
    }
    pthread_mutex_unlock(&u->lock);
    return NULL;
}

/* Is there a thread that would take one more layer at once? */
static bool has_free_thread(struct uploads *u)
{
    pthread_t id;

    if (u->idle > u->waiting)
        return true;
    if (u->refused || u->threads.n >= (size_t)u->o.threads)
        return false;
    u->refused = thread_start(&id, run, u) != 0;
    if (u->refused)
        return false;
    vec_push(&u->threads, id);
    u->idle++;
    return true;
}

static void queue(struct uploads *u, struct growing *g)
{
    g->sent = true;
    *u->last = g;
    u->last = &g->next;
    u->waiting++;
    pthread_cond_broadcast(&u->changed);
}

/* False: it need not be sent, or nobody can. */
static bool queue_whole(struct uploads *u, struct growing *g)
{
    const char *digest = g->blob.digest.text;

    if (map_get(u->known, digest) || (!has_free_thread(u) && !u->threads.n))
        return false;
    close_fd(&g->fd);
    map_set(u->known, digest, xcalloc(1, sizeof(struct known)));
    queue(u, g);
    return true;
}

/* ---- for the writer ---- */

struct growing *uploads_grow(struct uploads *u, int fd)
{
    struct growing *g = u ? xcalloc(1, sizeof(*g)) : NULL;

    if (!g) {
        close_fd(&fd);
        return NULL;
    }
    g->u = u;
    g->fd = fd;
    return g;
}

void growing_is_new(struct growing *g)
{
    pthread_mutex_lock(&g->u->lock);
    g->is_new = true;
    pthread_mutex_unlock(&g->u->lock);
}

void growing_add(struct growing *g, size_t n)
{
    struct uploads *u = g ? g->u : NULL;

    if (!u)
        return;
    pthread_mutex_lock(&u->lock);
    g->ready += n;
    if (g->sent)
        pthread_cond_broadcast(&u->changed);
    else if (g->is_new && !u->failed && g->ready >= PIECE_BYTES && has_free_thread(u))
        queue(u, g);
    pthread_mutex_unlock(&u->lock);
}

/* With the lock held. Whose is it now? */
static bool end_growing(struct growing *g, const struct descriptor *blob)
{
    bool lost = g->sent && g->dropped; /* its thread gave it up */

    g->whole = blob != NULL;
    g->dropped |= !blob;
    if (blob)
        g->blob = *blob;
    if (g->sent && !lost) {
        pthread_cond_broadcast(&g->u->changed);
        return false;
    }
    return lost || !blob || !queue_whole(g->u, g);
}

void growing_end(struct growing *g, const struct descriptor *blob)
{
    struct uploads *u = g ? g->u : NULL;

    if (!u)
        return;
    pthread_mutex_lock(&u->lock);
    bool ours = end_growing(g, blob);
    pthread_mutex_unlock(&u->lock);
    if (ours)
        growing_free(g);
}

/* ---- for the push ---- */

void uploads_settle(struct uploads *u)
{
    if (!u)
        return;
    pthread_mutex_lock(&u->lock);
    while (u->waiting || u->idle < u->threads.n)
        pthread_cond_wait(&u->changed, &u->lock);
    pthread_mutex_unlock(&u->lock);
}

bool uploads_find(struct uploads *u, const struct digest *d, enum blob_result *ret_result)
{
    if (!u)
        return false;
    pthread_mutex_lock(&u->lock);
    const struct known *k = map_get(u->known, d->text);
    bool there = k && k->there;
    if (there)
        *ret_result = k->result;
    pthread_mutex_unlock(&u->lock);
    return there;
}

void uploads_free(struct uploads *u)
{
    if (!u)
        return;
    pthread_mutex_lock(&u->lock);
    u->ended = true;
    pthread_cond_broadcast(&u->changed);
    pthread_mutex_unlock(&u->lock);
    for (size_t i = 0; i < u->threads.n; i++)
        pthread_join(u->threads.items[i], NULL);
    vec_free(&u->threads);
    map_free(u->known);
    pthread_cond_destroy(&u->changed);
    pthread_mutex_destroy(&u->lock);
    free(u);
}
