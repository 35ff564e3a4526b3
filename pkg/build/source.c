/* source.c - the roots that COPY, ADD and mounts take files from. */
#include "build/build_priv.h"

#include <string.h>

/* A bare word after --from that is no stage is more often a misspelt stage than an image. */
static struct err *explain_from(const struct build *b, const char *name, struct err *e)
{
    AUTO(buf_release) struct buf names = BUF_INIT;

    if (!e || strpbrk(name, "/:@.") || err_kind(e) == ERR_TERMINATED || err_kind(e) == ERR_TIMEOUT)
        return e;
    for (size_t i = 0; i < b->o.plan->n_stages; i++)
        if (b->o.plan->stages[i].name)
            buf_printf(&names, "%s%s", names.len ? ", " : "", b->o.plan->stages[i].name);
    e = err_set_kind(err_wrap(e, "--from=%s names no stage, and no image of that name could be used", name),
                     ERR_DOCKERFILE);
    e = err_blame(e, name);
    const char *near = plan_near_stage(b->o.plan, name);
    if (near)
        return err_hint(e, "Did you mean the stage '%s'?", near);
    return err_hint(e, "The named stages are: %s.", names.len ? buf_str(&names) : "none");
}

static struct err *find_image(struct build *b, const struct plan_source *s, struct base_image **ret)
{
    return explain_from(b, s->image, base_get(b, s->image, &b->o.plan->opts.target_platform, ret));
}

static struct err *open_stage(struct build *b, size_t index, struct source_root *ret)
{
    TRY(stage_need(b, index));
    return stage_view(b, index, &ret->rootfs, &ret->fd);
}

static struct err *open_image(struct build *b, const struct plan_source *s, struct source_root *ret)
{
    struct base_image *image;

    TRY(find_image(b, s, &image));
    TRY(base_view(b, image, &ret->fd));
    ret->rootfs = image->rootfs;
    return NULL;
}

/* A directory, or something that is fetched into one. */
static struct err *open_named(struct build *b, size_t index, struct context **ret)
{
    const char *place = plan_context_place(b->o.plan, index);
    AUTO(buf_release) struct buf ignore = BUF_INIT;
    struct remote_tree tree = { .dir = place };
    bool found;

    if (remote_is_context(place))
        TRY(remote_context(b->o.remote, place, false, &tree));
    TRY(context_find_ignore(tree.dir, "", &ignore, &found));
    TRY(context_open(tree.dir, found ? buf_str(&ignore) : NULL, ignore.len, ret));
    context_set_owners(*ret, tree.owners, "");
    return NULL;
}

static struct err *open_context(struct build *b, const struct context *c, struct source_root *ret)
{
    (void)b;
    ret->fd = context_fd(c);
    ret->ignore = context_ignore(c);
    ret->owned = context_has_owners(c) ? c : NULL;
    return NULL;
}

static struct err *open_named_once(struct build *b, size_t index)
{
    const struct strs *contexts = &b->o.plan->opts.contexts;

    if (!b->whole->named)
        b->whole->named = xcalloc(contexts->n, sizeof(struct context *));
    if (b->whole->named[index])
        return NULL;
    AUTO_FREE char *name = plan_context_name(b->o.plan, index);
    return err_wrap(open_named(b, index, &b->whole->named[index]), "cannot use the named context '%s'", name);
}

static struct err *named_context(struct build *b, size_t index, struct source_root *ret)
{
    pthread_mutex_lock(&b->whole->fetch_lock);
    struct err *e = open_named_once(b, index);
    pthread_mutex_unlock(&b->whole->fetch_lock);
    return e ? e : open_context(b, b->whole->named[index], ret);
}

static struct err *open_empty_once(struct build *b, int *ret_fd)
{
    if (!b->whole->empty)
        TRY(rootfs_new(b->o.snapshotter, NULL, 0, &b->whole->empty));
    return rootfs_view(b->whole->empty, ret_fd);
}

static struct err *open_empty(struct build *b, struct source_root *ret)
{
    pthread_mutex_lock(&b->whole->fetch_lock);
    struct err *e = open_empty_once(b, &ret->fd);
    pthread_mutex_unlock(&b->whole->fetch_lock);
    ret->rootfs = b->whole->empty;
    return e;
}

struct err *source_open(struct build *b, const struct plan_source *s, struct source_root *ret)
{
    *ret = (struct source_root){ .fd = -1 };
    switch (s->kind) {
    case PLAN_SOURCE_CONTEXT:
        return open_context(b, b->o.context, ret);
    case PLAN_SOURCE_STAGE:
        return open_stage(b, s->index, ret);
    case PLAN_SOURCE_IMAGE:
        return open_image(b, s, ret);
    case PLAN_SOURCE_NAMED:
        return named_context(b, s->index, ret);
    case PLAN_SOURCE_SCRATCH:
        return open_empty(b, ret);
    }
    return err_new(ERR_BUG, "a source of unknown kind %d", (int)s->kind);
}

struct err *source_identity(struct build *b, const struct plan_source *s, struct hasher *h)
{
    struct base_image *image;

    if (s->kind == PLAN_SOURCE_STAGE) {
        TRY(stage_need(b, s->index));
        const struct layers *layers = &b->stages[s->index]->layers;
        for (size_t i = 0; i < layers->n; i++)
            hasher_add(h, layers->items[i].diff_id.text, strlen(layers->items[i].diff_id.text) + 1);
    } else if (s->kind == PLAN_SOURCE_IMAGE) {
        TRY(find_image(b, s, &image));
        hasher_add(h, image->manifest.config.digest.text, strlen(image->manifest.config.digest.text) + 1);
    } else if (s->kind == PLAN_SOURCE_NAMED) {
        const char *place = plan_context_place(b->o.plan, s->index);

        hasher_add(h, place, strlen(place) + 1);
    }
    return NULL;
}

void sources_release(struct product *p)
{
    for (size_t i = 0; p->named && i < p->plans[0]->opts.contexts.n; i++)
        context_free(p->named[i]);
    free(p->named);
    rootfs_free(p->empty);
}
