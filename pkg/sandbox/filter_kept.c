/* The filters that RUNs have in common, made once in the builder. */
#include "sandbox/confine_priv.h"

#include <pthread.h>

struct kept {
    bool made;
    struct buf wall, supervised;
};

static struct kept all[RECORD_USER + 1][2][2]; /* by record, fresh_proc and scoped */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct err *make(struct kept *k, const struct orders *o)
{
    struct err *e = filter_make(o, &k->wall, &k->supervised);

    k->made = !e;
    if (e) {
        buf_release(&k->wall);
        buf_release(&k->supervised);
    }
    return e;
}

struct err *filter_give(struct orders *o)
{
    struct kept *k = &all[o->record][o->fresh_proc][o->scoped];
    struct err *e = NULL;

    if (!filter_is_common(o))
        return NULL;
    pthread_mutex_lock(&lock);
    if (!k->made)
        e = make(k, o);
    pthread_mutex_unlock(&lock);
    if (e)
        return e;
    o->wall = (struct order_filter){ k->wall.data, k->wall.len };
    o->supervised = (struct order_filter){ k->supervised.data, k->supervised.len };
    return NULL;
}
