/* stage_root.c - the root file systems of stages: of their layers, or forked from that of the stage below. */
#include "build/build_priv.h"

/* The image that the stage is built on, through the stages between; NULL: nothing. */
static struct base_image *image_below(const struct build *b, size_t index)
{
    while (b->o.plan->stages[index].base == PLAN_BASE_STAGE)
        index = b->o.plan->stages[index].base_stage;
    return b->stages[index]->base;
}

static struct err *unpack_layers(struct build *b, size_t index, size_t from)
{
    const struct layers *layers = &b->stages[index]->layers;
    struct base_image *image = image_below(b, index);

    if (image)
        TRY(base_unpack(b, image));
    return err_wrap(layers_unpack(b, layers->items + from, layers->n - from), "cannot use the layers of earlier steps");
}

static struct err *rootfs_of_layers(struct build *b, size_t index)
{
    struct stage_run *st = b->stages[index];
    AUTO_FREE struct digest *diff_ids = xcalloc(st->layers.n, sizeof(*diff_ids));

    TRY(unpack_layers(b, index, 0));
    for (size_t i = 0; i < st->layers.n; i++)
        diff_ids[i] = st->layers.items[i].diff_id;
    TRY(rootfs_new(b->o.snapshotter, diff_ids, st->layers.n, &st->rootfs));
    st->in_rootfs = st->layers.n;
    return NULL;
}

/* What a step of the base stage made is there already. */
static struct err *fork_from(struct build *b, size_t base_stage, struct stage_run *st)
{
    struct rootfs *from;

    TRY(stage_rootfs(b, base_stage, &from));
    TRY(rootfs_fork(from, &st->rootfs));
    st->in_rootfs = b->stages[base_stage]->layers.n;
    return NULL;
}

/* *ret_made false: the base stage has no root file system either. */
static struct err *rootfs_of_stage(struct build *b, size_t base_stage, struct stage_run *st, bool *ret_made)
{
    struct stage_run *base = b->stages[base_stage];

    pthread_mutex_lock(&base->root_lock);
    *ret_made = base->rootfs != NULL;
    struct err *e = *ret_made ? fork_from(b, base_stage, st) : NULL;
    pthread_mutex_unlock(&base->root_lock);
    return e;
}

static struct err *make_rootfs(struct build *b, size_t index)
{
    const struct plan_stage *ps = &b->o.plan->stages[index];
    bool made = false;

    if (ps->base == PLAN_BASE_STAGE)
        TRY(rootfs_of_stage(b, ps->base_stage, b->stages[index], &made));
    return made ? NULL : rootfs_of_layers(b, index);
}

struct err *stage_rootfs(struct build *b, size_t index, struct rootfs **ret)
{
    struct stage_run *st = b->stages[index];

    if (!st->rootfs)
        TRY(make_rootfs(b, index));
    if (st->in_rootfs < st->layers.n) /* of steps that were not executed */
        TRY(unpack_layers(b, index, st->in_rootfs));
    for (; st->in_rootfs < st->layers.n; st->in_rootfs++)
        TRY(rootfs_push(st->rootfs, &st->layers.items[st->in_rootfs].diff_id));
    *ret = st->rootfs;
    return NULL;
}

struct err *stage_view(struct build *b, size_t index, struct rootfs **ret, int *ret_root_fd)
{
    struct stage_run *st = b->stages[index];

    pthread_mutex_lock(&st->root_lock);
    struct err *e = stage_rootfs(b, index, ret);
    if (!e)
        e = rootfs_view(*ret, ret_root_fd);
    pthread_mutex_unlock(&st->root_lock);
    return e;
}

bool stage_is_here(const struct build *b, size_t index)
{
    struct stage_run *st = b->stages[index];

    if (!schedule_is_done(st->task) || pthread_mutex_trylock(&st->root_lock) != 0)
        return false;
    bool here = st->rootfs && st->in_rootfs == st->layers.n;
    pthread_mutex_unlock(&st->root_lock);
    return here;
}
