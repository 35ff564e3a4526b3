/* layer_queue.c - the layers of steps. Where the snapshotter can freeze what a step changed, its layer is compressed
 * and hashed, and written to the cache, by a thread of the stage while its next steps go on; in the order of the steps,
 * for each is compared with what is below it. Else it is written at the end of the step. */
#include "build/build_priv.h"

#include "base/thread.h"

#include <string.h>
#include <time.h>

#define GRACE_MS 100 /* a small layer is waited for: its size then stands on the line of its step */

struct layer_job {
    struct frozen *frozen;
    size_t step, at; /* of the plan; which of the stage's layers it is */
    bool goes_early; /* to the repository */
    char *name;      /* of the step, for the user */
    struct digest content;
    struct layer layer; /* once it is done */
    bool late;          /* its step's line was shown before */
};

struct layer_queue {
    struct stage_run *st;
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t lock; /* of all that follows, and of the last three members of jobs */
    pthread_cond_t changed;
    VEC(struct layer_job *) jobs;
    size_t done;
    bool ended, failed;
};

/* ---- one layer ---- */

/* What was finished before another step failed is still worth being in the cache; without one it is of no use. */
static const struct cancel *stop_of(const struct product *p)
{
    return p->o.cache ? p->outer : p->stop;
}

/* What a layer is written from: r in a step, or f. */
struct changes {
    struct rootfs *r;
    struct frozen *f;
    bool goes_early;
};

/* Where the compressed layer goes. */
struct output {
    struct blob_writer *file;
    struct growing *sent; /* NULL: it is not sent yet */
};

static struct err *put_out(void *ctx, const void *p, size_t n)
{
    struct output *out = ctx;
    const struct sink file = blob_writer_sink(out->file);

    TRY(sink_write(&file, p, n));
    growing_add(out->sent, n);
    return NULL;
}

static void tell_new(void *ctx)
{
    growing_is_new(ctx);
}

static struct err *write_changes(const struct build *b, const struct changes *what, struct growing *sent,
                                 struct compressor *c)
{
    struct rootfs *r = what->r;
    struct frozen *f = what->f;
    const struct commit_opts opts = { .mode = b->o.snapshot_mode,
                                      .clamp_mtime_s = b->o.clamp_mtime_s,
                                      .ignore = b->o.ignore_paths,
                                      .cancel = f ? stop_of(b->whole) : NULL,
                                      .is_new = sent ? tell_new : NULL,
                                      .ctx = sent,
                                      .began = b->whole->began };
    struct commit_stats stats;
    struct err *e =
        f ? frozen_write(f, &opts, compress_sink(c), &stats) : rootfs_commit(r, &opts, compress_sink(c), &stats);

    return err_wrap(e, "cannot write the step's layer");
}

static struct err *write_to(const struct build *b, const struct changes *what, struct output *out, struct layer *ret)
{
    AUTO(compress_free) struct compressor *c = NULL;
    struct compress_opts how = b->o.compress;
    struct compress_result result;

    how.cancel = stop_of(b->whole);
    TRY(compress_new(&how, (struct sink){ put_out, out }, &c));
    TRY(write_changes(b, what, out->sent, c));
    TRY(compress_end(c, &result));
    TRY(blob_writer_commit(out->file, &result.digest));
    *ret = (struct layer){ .diff_id = result.diff_id };
    ret->desc.digest = result.digest;
    ret->desc.size_bytes = result.size_bytes; /* its media type follows from the image's format, at the end */
    return NULL;
}

static struct err *write_layer(const struct build *b, const struct changes *what, struct layer *ret)
{
    AUTO(blob_writer_free) struct blob_writer *w = NULL;
    int fd = -1;

    TRY(blob_writer_new(b->o.store, &w));
    if (what->goes_early)
        TRY(blob_writer_share(w, &fd));
    struct output out = { w, what->goes_early ? uploads_grow(b->whole->uploads, fd) : NULL };
    struct err *e = write_to(b, what, &out, ret);

    growing_end(out.sent, e ? NULL : &ret->desc);
    return e;
}

static struct err *write_in_turn(const struct build *b, const struct changes *what, struct layer *ret)
{
    gate_enter(&b->whole->compressors);
    struct err *e = write_layer(b, what, ret);
    gate_leave(&b->whole->compressors);
    return e;
}

/* ---- the queue ---- */

static void tell_late(const struct build *b, const struct layer_job *j)
{
    AUTO_FREE char *note = xasprintf("layer of %s: %.1f MB", j->name, (double)j->layer.desc.size_bytes / 1e6);

    b->o.progress->note(b->o.progress->ctx, note);
}

static struct err *do_job(struct layer_queue *q, struct layer_job *j)
{
    struct build *b = q->st->owner;

    TRY(write_in_turn(b, &(struct changes){ .f = j->frozen, .goes_early = j->goes_early }, &j->layer));
    cached_keep(b, q->st->index, j->step, &j->layer, &j->content);
    return NULL;
}

static void finish_job(struct layer_queue *q, struct layer_job *j, struct err *e)
{
    struct stage_run *st = q->st;
    const struct build *b = st->owner;

    frozen_free(steal(&j->frozen));
    bool failed = e != NULL;
    if (e)
        schedule_fail(st->task, build_about(b, df_at_line(b->o.plan->df, st->plan.steps[j->step].line, e)));
    cached_leave(st->owner, st->index, j->step);
    pthread_mutex_lock(&q->lock);
    q->failed |= failed;
    q->done++;
    bool late = j->late && !failed;
    pthread_cond_broadcast(&q->changed);
    pthread_mutex_unlock(&q->lock);
    if (late)
        tell_late(b, j);
}

/* With the lock held: the next one to do, NULL when there will be none. After a failure they are only dropped. */
static struct layer_job *next_job(struct layer_queue *q)
{
    while (q->done == q->jobs.n && !q->ended)
        pthread_cond_wait(&q->changed, &q->lock);
    return q->done < q->jobs.n ? q->jobs.items[q->done] : NULL;
}

static void *run(void *arg)
{
    struct layer_queue *q = arg;
    struct layer_job *j;

    pthread_mutex_lock(&q->lock);
    while ((j = next_job(q))) {
        bool go = !q->failed;

        pthread_mutex_unlock(&q->lock);
        finish_job(q, j, go ? do_job(q, j) : NULL);
        pthread_mutex_lock(&q->lock);
    }
    pthread_mutex_unlock(&q->lock);
    return NULL;
}

static struct layer_queue *queue_of(struct stage_run *st)
{
    struct layer_queue *q = st->queue;

    if (q)
        return q;
    q = st->queue = xcalloc(1, sizeof(*q));
    q->st = st;
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->changed, NULL);
    q->has_thread = thread_start(&q->thread, run, q) == 0;
    return q;
}

/* With the lock held. */
static void wait_a_little(struct layer_queue *q)
{
    struct timespec end;
    size_t n = q->jobs.n;

    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_nsec += GRACE_MS * 1000000L;
    end.tv_sec += end.tv_nsec / 1000000000;
    end.tv_nsec %= 1000000000;
    while (q->done < n && pthread_cond_timedwait(&q->changed, &q->lock, &end) == 0)
        ;
}

/* Puts it at the end; waits while too many are waiting. */
static void add_job(struct layer_queue *q, struct layer_job *j)
{
    pthread_mutex_lock(&q->lock);
    while (q->jobs.n - q->done >= SNAPSHOT_MAX_FROZEN)
        pthread_cond_wait(&q->changed, &q->lock);
    bool alone = q->jobs.n == q->done;
    vec_push(&q->jobs, j);
    pthread_cond_broadcast(&q->changed);
    if (alone)
        wait_a_little(q);
    j->late = q->done < q->jobs.n;
    pthread_mutex_unlock(&q->lock);
}

static void show_size(struct stage_run *st, const struct layer *l)
{
    st->now.has_layer = true;
    st->now.layer_bytes = l->desc.size_bytes;
}

/* ---- a stage's layers ---- */

struct err *layer_end_step(struct build *b, struct stage_run *st, struct rootfs *r)
{
    struct layer l = { 0 };

    if (!st->layer_ends) {
        rootfs_carry(r);
        return NULL;
    }
    TRY(rootfs_freeze(r, &st->frozen));
    if (!st->frozen) {
        struct err *e = write_in_turn(b, &(struct changes){ .r = r, .goes_early = st->goes_early }, &l);

        if (e) {
            rootfs_abort(r); /* if it did not get so far */
            return e;
        }
        show_size(st, &l);
    }
    vec_push(&st->layers, l);
    st->in_rootfs++;
    return NULL;
}

bool layer_keep(struct build *b, struct stage_run *st, size_t step)
{
    struct layer_job *j;
    struct digest content;

    if (!st->layer_ends)
        return false;
    cached_content(b, st->index, step, &content);
    if (!st->frozen) {
        cached_keep(b, st->index, step, &st->layers.items[st->layers.n - 1], &content);
        return false;
    }
    struct layer_queue *q = queue_of(st);
    j = xcalloc(1, sizeof(*j));
    *j = (struct layer_job){ .frozen = steal(&st->frozen), .step = step, .at = st->layers.n - 1, .content = content };
    j->goes_early = st->goes_early;
    j->name = xasprintf("[%s %zu/%zu]", st->now.stage, st->now.number, st->now.total);
    if (q->has_thread) {
        add_job(q, j);
    } else { /* a pod that allows no more threads */
        vec_push(&q->jobs, j);
        finish_job(q, j, q->failed ? NULL : do_job(q, j));
    }
    pthread_mutex_lock(&q->lock);
    if (!j->late && !q->failed)
        show_size(st, &j->layer);
    pthread_mutex_unlock(&q->lock);
    return true;
}

static void queue_free(struct layer_queue *q)
{
    for (size_t i = 0; i < q->jobs.n; i++) {
        frozen_free(q->jobs.items[i]->frozen);
        free(q->jobs.items[i]->name);
        free(q->jobs.items[i]);
    }
    vec_free(&q->jobs);
    pthread_cond_destroy(&q->changed);
    pthread_mutex_destroy(&q->lock);
    free(q);
}

struct err *layers_settle(struct stage_run *st)
{
    struct layer_queue *q = steal(&st->queue);

    if (!q)
        return NULL;
    pthread_mutex_lock(&q->lock);
    q->ended = true;
    pthread_cond_broadcast(&q->changed);
    pthread_mutex_unlock(&q->lock);
    if (q->has_thread)
        pthread_join(q->thread, NULL);
    bool failed = q->failed;
    for (size_t i = 0; !failed && i < q->jobs.n; i++)
        st->layers.items[q->jobs.items[i]->at] = q->jobs.items[i]->layer;
    queue_free(q);
    return failed ? schedule_stopped() : NULL;
}
