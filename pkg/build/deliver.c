/* deliver.c - an image's parts into a repository: blobs first, each once and several at a time; then the manifests;
 * then the tags. */
#include "build/build_priv.h"

#include <pthread.h>
#include <string.h>

/* So many blobs at once are asked for and mounted, which moves hardly a byte: a push waits for few answers. */
#define CHECKS 8

struct state {
    const struct delivery *d;
    struct push_stats *stats;
    struct gate uploads;  /* of bytes */
    pthread_mutex_t lock; /* of stats and failure */
    struct err *failure;  /* the first: others may only be its consequence */
    bool again;           /* nothing counts as there any more */
};

void deliver_note(const struct progress *p, const struct descriptor *d)
{
    AUTO_FREE char *note = xasprintf("pushed %.19s, %.1f MB", d->digest.text, (double)d->size_bytes / 1e6);

    p->note(p->ctx, note);
}

static void count(struct state *s, const struct descriptor *d, enum blob_result result)
{
    pthread_mutex_lock(&s->lock);
    s->stats->existed += result == BLOB_EXISTED;
    s->stats->mounted += result == BLOB_MOUNTED;
    s->stats->uploaded += result == BLOB_UPLOADED;
    s->stats->uploaded_bytes += result == BLOB_UPLOADED ? d->size_bytes : 0;
    pthread_mutex_unlock(&s->lock);
}

static bool has_failed(struct state *s)
{
    pthread_mutex_lock(&s->lock);
    bool failed = s->failure != NULL;
    pthread_mutex_unlock(&s->lock);
    return failed;
}

static void fail(struct state *s, struct err *e)
{
    pthread_mutex_lock(&s->lock);
    if (!s->failure)
        s->failure = e;
    else
        err_free(e);
    pthread_mutex_unlock(&s->lock);
}

/* A blob's bytes, which are opened when it turns out that they must be sent. */
struct turn {
    struct state *s;
    const struct blob_source *source;
    bool taken;
};

static struct err *open_in_turn(void *ctx, int *ret_fd, uint64_t *ret_offset)
{
    struct turn *t = ctx;

    if (!t->taken)
        gate_enter(&t->s->uploads);
    t->taken = true;
    TRY(cancel_check(t->s->d->to->cancel));
    if (has_failed(t->s))
        return err_new(ERR_NETWORK, "another blob could not be pushed");
    return t->source->open(t->source->ctx, ret_fd, ret_offset);
}

/* Who waits for his turn knows of a failure when he gets it: he would take all his tries, too. */
static bool push_in_turn(struct state *s, const struct delivery_blob *blob, enum blob_result *ret_result)
{
    const struct push_target *to = s->d->to;
    struct turn turn = { s, &blob->source, false };
    const struct blob_source source = { open_in_turn, &turn };
    struct err *e = registry_push_blob(to->registry, to->repo, &blob->desc, &source, blob->mount_from, ret_result);
    bool good = !e;

    if (e)
        fail(s, e);
    if (turn.taken)
        gate_leave(&s->uploads);
    return good;
}

static struct err *push_one(void *ctx, size_t i)
{
    struct state *s = ctx;
    const struct push_target *to = s->d->to;
    const struct delivery_blob *blob = &s->d->blobs[i];
    enum blob_result result = blob->result;
    bool there = blob->there && !s->again;

    if (has_failed(s) || (!there && !push_in_turn(s, blob, &result)))
        return NULL;
    count(s, &blob->desc, result);
    if (!there && result == BLOB_UPLOADED)
        deliver_note(to->progress, &blob->desc);
    return NULL;
}

static struct err *push_blobs(void *ctx)
{
    struct state *s = ctx;

    TRY(in_parallel(CHECKS, s->d->n_blobs, push_one, s));
    return steal(&s->failure);
}

static struct err *push_again(void *ctx)
{
    struct state *s = ctx;

    s->again = true;
    return push_blobs(s);
}

/* tag NULL: under its digest alone. */
static struct err *put(struct state *s, const struct delivery_document *doc, const char *tag)
{
    const struct push_target *to = s->d->to;
    AUTO(ref_release) struct ref ref = { 0 };
    const struct digest d = digest_bytes(doc->text, doc->len);
    const struct blobs_again again = { push_again, s };
    struct digest got;

    TRY(cancel_check(to->cancel));
    ref_copy(&ref, to->repo);
    free(ref.tag);
    ref.tag = tag ? xstrdup(tag) : NULL;
    ref.digest = tag ? NULL : xstrdup(d.text);
    struct err *e = registry_put_manifest(to->registry, &ref, doc->media_type, doc->text, doc->len, &again, &got);
    return err_wrap(e, "cannot push %s'%s' to '%s/%s'", tag ? "tag " : "manifest ", tag ? tag : d.text,
                    to->repo->domain, to->repo->path);
}

static struct err *put_all(struct state *s)
{
    const struct delivery *d = s->d;
    const struct strs *tags = d->to->tags;

    for (size_t i = 0; i + 1 < d->n_documents; i++)
        TRY(put(s, &d->documents[i], NULL));
    for (size_t i = 0; i < tags->n; i++)
        TRY(put(s, &d->documents[d->n_documents - 1], tags->items[i]));
    return NULL;
}

struct err *deliver(const struct delivery *d, struct push_stats *stats)
{
    struct state s = { .d = d, .stats = stats };

    pthread_mutex_init(&s.lock, NULL);
    gate_init(&s.uploads, transfer_threads(d->to->limits));
    struct err *e = err_wrap(push_blobs(&s), "cannot push to '%s/%s'", d->to->repo->domain, d->to->repo->path);
    if (!e)
        e = put_all(&s);
    gate_release(&s.uploads);
    pthread_mutex_destroy(&s.lock);
    return e;
}
