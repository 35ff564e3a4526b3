/* A ring: byte number i of the stream lies at i % size. The lock guards the numbers; the bytes between them belong to
 * one end alone, so they are copied without it. */
#include "base/conduit.h"

#include "base/thread.h"

#include <stdint.h>
#include <string.h>

struct conduit {
    char *ring;
    size_t size;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t written, read;
    bool ended, closed; /* by the writer, by the reader */
    struct err *error;  /* the reader's, once it has read all */
};

struct conduit *conduit_new(size_t buffer_bytes)
{
    struct conduit *c = xcalloc(1, sizeof(*c));

    c->ring = xreallocarray(NULL, buffer_bytes, 1);
    c->size = buffer_bytes;
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->changed, NULL);
    return c;
}

void conduit_free(struct conduit *c)
{
    if (!c)
        return;
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->lock);
    err_free(c->error);
    free(c->ring);
    free(c);
}

/* Bytes from number `at` on that lie in one piece, up to `most`. */
static size_t in_one_piece(const struct conduit *c, uint64_t at, uint64_t most)
{
    size_t straight = c->size - (size_t)(at % c->size);

    return most < straight ? (size_t)most : straight;
}

/* --- the writer's end --- */

/* Where the next bytes go, waiting for room. */
static struct err *get_room(struct conduit *c, char **ret_p, size_t *ret_len)
{
    pthread_mutex_lock(&c->lock);
    while (!c->closed && c->written - c->read == c->size)
        pthread_cond_wait(&c->changed, &c->lock);
    bool closed = c->closed;
    size_t n = in_one_piece(c, c->written, c->size - (c->written - c->read));
    pthread_mutex_unlock(&c->lock);
    *ret_p = c->ring + c->written % c->size;
    *ret_len = n;
    return closed ? err_new(ERR_BUG, "nobody reads what is written") : NULL;
}

static void put_room(struct conduit *c, size_t n)
{
    pthread_mutex_lock(&c->lock);
    c->written += n;
    pthread_cond_signal(&c->changed);
    pthread_mutex_unlock(&c->lock);
}

static struct err *write_some(void *ctx, const void *p, size_t n)
{
    struct conduit *c = ctx;

    for (const char *from = p; n > 0;) {
        char *to;
        size_t room;

        TRY(get_room(c, &to, &room));
        room = room < n ? room : n;
        memcpy(to, from, room);
        put_room(c, room);
        from += room;
        n -= room;
    }
    return NULL;
}

struct sink conduit_sink(struct conduit *c)
{
    return (struct sink){ write_some, c };
}

void conduit_end(struct conduit *c, struct err *e)
{
    pthread_mutex_lock(&c->lock);
    c->ended = true;
    c->error = e;
    pthread_cond_signal(&c->changed);
    pthread_mutex_unlock(&c->lock);
}

/* --- the reader's end --- */

static struct err *read_some(void *ctx, void *p, size_t n, size_t *ret_len)
{
    struct conduit *c = ctx;
    struct err *e = NULL;

    pthread_mutex_lock(&c->lock);
    while (!c->ended && c->written == c->read)
        pthread_cond_wait(&c->changed, &c->lock);
    size_t len = in_one_piece(c, c->read, c->written - c->read);
    if (!len)
        e = steal(&c->error);
    pthread_mutex_unlock(&c->lock);
    TRY(e);
    len = len < n ? len : n;
    memcpy(p, c->ring + c->read % c->size, len);
    pthread_mutex_lock(&c->lock);
    c->read += len;
    pthread_cond_signal(&c->changed);
    pthread_mutex_unlock(&c->lock);
    *ret_len = len;
    return NULL;
}

struct source conduit_source(struct conduit *c)
{
    return (struct source){ read_some, c };
}

void conduit_close(struct conduit *c)
{
    pthread_mutex_lock(&c->lock);
    c->closed = true;
    pthread_cond_signal(&c->changed);
    pthread_mutex_unlock(&c->lock);
}

/* --- reading ahead --- */

struct ahead {
    struct source in;
    struct conduit *conduit; /* NULL: there is no thread */
    pthread_t thread;
};

static struct err *read_all(struct ahead *a)
{
    for (;;) {
        char *p;
        size_t room, n;

        TRY(get_room(a->conduit, &p, &room));
        TRY(source_read(&a->in, p, room, &n));
        if (!n)
            return NULL;
        put_room(a->conduit, n);
    }
}

static void *read_ahead(void *ctx)
{
    struct ahead *a = ctx;

    conduit_end(a->conduit, read_all(a));
    return NULL;
}

struct ahead *ahead_new(struct source in, size_t buffer_bytes)
{
    struct ahead *a = xcalloc(1, sizeof(*a));

    a->in = in;
    a->conduit = conduit_new(buffer_bytes);
    if (thread_start(&a->thread, read_ahead, a) != 0) {
        conduit_free(a->conduit);
        a->conduit = NULL;
    }
    return a;
}

struct source ahead_source(struct ahead *a)
{
    return a->conduit ? conduit_source(a->conduit) : a->in;
}

void ahead_free(struct ahead *a)
{
    if (!a)
        return;
    if (a->conduit) {
        conduit_close(a->conduit);
        pthread_join(a->thread, NULL);
        conduit_free(a->conduit);
    }
    free(a);
}
