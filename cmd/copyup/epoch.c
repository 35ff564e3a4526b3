#include "epoch.h"

static struct err *of_named(const struct plan *plan, struct remote *r, bool *ret_known, int64_t *ret_s)
{
    const char *place = plan_context_place(plan, plan->epoch.named);
    struct remote_tree tree;

    if (!remote_is_context(place))
        return NULL;
    AUTO_FREE char *name = plan_context_name(plan, plan->epoch.named);
    TRY(err_wrap(remote_context(r, place, false, &tree), "cannot use the named context '%s'", name));
    return remote_time(&tree, ret_known, ret_s);
}

static struct err *of_source(const struct plan *plan, struct remote *r, bool *ret_known, int64_t *ret_s)
{
    const struct plan_epoch *epoch = &plan->epoch;
    const struct srcpos pos = df_place(plan->df, epoch->line);
    struct remote_tree tree;

    TRY(err_at(remote_add(r, epoch->source, epoch->checksum, epoch->keep_git_dir, &tree), &pos));
    return remote_time(&tree, ret_known, ret_s);
}

struct err *epoch_settle(struct plan *plan, const struct remote_tree *context, struct remote *r, bool *ret_known)
{
    bool known = false;
    int64_t seconds = 0;

    switch (plan->epoch.kind) {
    case PLAN_EPOCH_NONE:
    case PLAN_EPOCH_TIME:
        return NULL;
    case PLAN_EPOCH_CONTEXT:
        TRY(context ? remote_time(context, &known, &seconds) : NULL);
        break;
    case PLAN_EPOCH_NAMED:
        TRY(of_named(plan, r, &known, &seconds));
        break;
    case PLAN_EPOCH_SOURCE:
        TRY(of_source(plan, r, &known, &seconds));
        break;
    }
    known = known && seconds >= PLAN_EPOCH_MIN && seconds <= PLAN_EPOCH_MAX; /* an archive may say anything */
    plan_set_epoch(plan, known ? &seconds : NULL);
    *ret_known = *ret_known && known;
    return NULL;
}
