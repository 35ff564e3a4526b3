#include "sandbox/oom_priv.h"

#include "base/mem.h"

#include <pthread.h>
#include <stddef.h>

struct oom_book {
    pthread_mutex_t lock;
    uint64_t (*count)(const char *root);
    uint64_t seen;
    struct oom_run *running;
};

struct oom_book *oom_book_new(uint64_t (*count)(const char *root))
{
    struct oom_book *b = xcalloc(1, sizeof(*b));

    pthread_mutex_init(&b->lock, NULL);
    b->count = count;
    return b;
}

void oom_book_free(struct oom_book *b)
{
    if (!b)
        return;
    pthread_mutex_destroy(&b->lock);
    free(b);
}

/* What was killed since somebody last came or went. */
static void note_kills(struct oom_book *b)
{
    uint64_t now = b->count("");
    bool alone = b->running && !b->running->next;

    for (struct oom_run *r = b->running; r && now > b->seen; r = r->next) {
        r->own = r->own || alone;
        r->shared = r->shared || !alone;
    }
    b->seen = now;
}

void oom_begin(struct oom_book *b, struct oom_run *r)
{
    pthread_mutex_lock(&b->lock);
    note_kills(b);
    r->next = b->running;
    b->running = r;
    pthread_mutex_unlock(&b->lock);
}

void oom_end(struct oom_book *b, struct oom_run *r)
{
    struct oom_run **at = &b->running;

    pthread_mutex_lock(&b->lock);
    note_kills(b);
    while (*at && *at != r)
        at = &(*at)->next;
    if (*at)
        *at = r->next;
    pthread_mutex_unlock(&b->lock);
}
