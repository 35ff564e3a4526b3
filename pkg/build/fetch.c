/* fetch.c - blobs of layers, from the registry or the layout that they lie in: as files of the store, or straight into
 * being unpacked, so that transfer, decompression and the making of files go on at once, and no layer is written to
 * disk a second time that nobody will read again. */
#include "base/conduit.h"
#include "base/log.h"
#include "base/thread.h"
#include "build/build_priv.h"
#include "sys/file.h"

#include <string.h>

#define TRANSFER_BYTES (1024 * 1024) /* that a transfer may be ahead of what takes it */

static void note_pulled(struct build *b, const struct descriptor *desc)
{
    AUTO_FREE char *note = xasprintf("pulled %.19s, %.1f MB", desc->digest.text, (double)desc->size_bytes / 1e6);

    b->o.progress->note(b->o.progress->ctx, note);
}

/* ---- as a file ---- */

static struct err *write_again(void *ctx)
{
    return blob_writer_again(ctx);
}

static struct err *pull_to_store(struct build *b, const struct ref *repo, const struct descriptor *desc)
{
    AUTO(blob_writer_free) struct blob_writer *w = NULL;

    TRY(blob_writer_new(b->o.store, &w));
    const struct blob_target to = { blob_writer_sink(w), write_again, w };
    TRY(registry_pull_blob(b->o.registry, repo, desc, &to));
    TRY(blob_writer_commit(w, &desc->digest));
    note_pulled(b, desc);
    return NULL;
}

struct err *layer_open(struct build *b, const struct layer *l, int *ret_fd)
{
    TRY(store_open_blob(b->o.store, &l->desc.digest, l->desc.size_bytes, ret_fd));
    if (*ret_fd >= 0)
        return NULL;
    if (!l->origin.path && !l->layout)
        return err_new(ERR_DISK, "layer %s is no longer in the state directory", l->desc.digest.text);
    struct err *e = l->layout ? layout_pull(b, l->layout, &l->desc) : pull_to_store(b, &l->origin, &l->desc);
    cached_failed(b, l, e);
    TRY(e);
    TRY(store_open_blob(b->o.store, &l->desc.digest, l->desc.size_bytes, ret_fd));
    if (*ret_fd < 0)
        return err_new(ERR_DISK, "layer %s vanished from the state directory", l->desc.digest.text);
    return NULL;
}

/* ---- straight into being unpacked ---- */

struct transfer {
    struct build *b;
    const struct layer *l;
    struct conduit *conduit;
    struct sink out;
    struct blob_writer *keep; /* NULL: it is not kept */
    struct err *error;
    bool began;    /* bytes came */
    bool unwanted; /* the reader closed: `error` is a consequence */
};

/* Will the blob be wanted again? Where it can be mounted it need not be sent. */
static bool is_wanted_again(const struct build *b, const struct layer *l)
{
    return b->o.exports || (b->o.push_repo && strcmp(b->o.push_repo->domain, l->origin.domain) != 0);
}

static struct err *pass_on(void *ctx, const void *p, size_t n)
{
    struct transfer *t = ctx;

    t->began = true;
    if (t->keep) {
        struct sink file = blob_writer_sink(t->keep);

        TRY(sink_write(&file, p, n));
    }
    struct err *e = sink_write(&t->out, p, n);

    t->unwanted = e != NULL;
    return e;
}

static struct err *pull_through(struct transfer *t)
{
    struct build *b = t->b;
    const struct blob_target to = { .out = { pass_on, t } };

    if (is_wanted_again(b, t->l))
        TRY(blob_writer_new(b->o.store, &t->keep));
    TRY(registry_pull_blob(b->o.registry, &t->l->origin, &t->l->desc, &to));
    if (t->keep)
        TRY(blob_writer_commit(t->keep, &t->l->desc.digest));
    note_pulled(b, &t->l->desc);
    return NULL;
}

static void *run_transfer(void *ctx)
{
    struct transfer *t = ctx;

    t->error = pull_through(t);
    blob_writer_free(t->keep);
    conduit_end(t->conduit, t->error ? err_new(ERR_NETWORK, "the transfer broke off") : NULL);
    return NULL;
}

static struct err *unpack_file(struct build *b, const struct layer *l)
{
    AUTO_CLOSE int fd = -1;

    TRY(err_wrap(layer_open(b, l, &fd), "cannot pull it"));
    return snapshotter_unpack(b->o.snapshotter, &l->diff_id, file_source(&fd));
}

/* What cannot be unpacked may have been damaged on the way: the rest tells. */
static void drain(struct conduit *c)
{
    const struct source s = conduit_source(c);
    struct err *e = NULL;
    char rest[4096];

    for (size_t n = 1; n && !e;)
        e = source_read(&s, rest, sizeof(rest), &n);
    err_free(e);
}

/* Of the two errors the one that caused the other. What came damaged is fetched once more, as a file. */
static struct err *settle(struct transfer *t, struct err *unpacking)
{
    struct err *pulling = steal(&t->error);

    if (!pulling || t->unwanted) {
        err_free(pulling);
        return unpacking;
    }
    err_free(unpacking);
    if (err_kind(pulling) != ERR_REGISTRY || !t->began)
        return err_wrap(pulling, "cannot pull it");
    log_debug("build", "once more: %s", err_message(pulling));
    err_free(pulling);
    return unpack_file(t->b, t->l);
}

static struct err *unpack_transfer(struct build *b, const struct layer *l)
{
    AUTO(conduit_free) struct conduit *c = conduit_new(TRANSFER_BYTES);
    struct transfer t = { .b = b, .l = l, .conduit = c, .out = conduit_sink(c) };
    pthread_t thread;

    if (thread_start(&thread, run_transfer, &t) != 0)
        return unpack_file(b, l);
    struct err *e = snapshotter_unpack(b->o.snapshotter, &l->diff_id, conduit_source(c));

    if (e && err_kind(e) == ERR_REGISTRY)
        drain(c);
    conduit_close(c);
    pthread_join(thread, NULL);
    return settle(&t, e);
}

struct err *layer_unpack(struct build *b, const struct layer *l)
{
    AUTO_CLOSE int fd = -1;

    if (snapshotter_has_layer(b->o.snapshotter, &l->diff_id))
        return NULL;
    TRY(store_open_blob(b->o.store, &l->desc.digest, l->desc.size_bytes, &fd));
    struct err *e = fd < 0 && l->origin.path ? unpack_transfer(b, l) : unpack_file(b, l);

    cached_failed(b, l, e);
    return e;
}
