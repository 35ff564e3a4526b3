/* room.c - room on the volume of the state directory, while a build goes on. */
#include "build/build_priv.h"
#include "sys/file.h"

#define FULL_BYTES ((uint64_t)1 << 20) /* what does not fit into that is most of what commands write */

void room_make(const struct build *b)
{
    struct product *p = b->whole;

    if (!p->o.make_room)
        return;
    pthread_mutex_lock(&p->room_lock);
    (void)p->o.make_room(p->o.make_room_ctx, false);
    pthread_mutex_unlock(&p->room_lock);
}

struct err *room_blame(const struct build *b, struct err *e, bool *ret_full)
{
    const char *dir = store_dir(b->o.store);
    uint64_t free_bytes = UINT64_MAX;

    *ret_full = file_free_bytes(dir, &free_bytes) && free_bytes < FULL_BYTES;
    if (!*ret_full)
        return e;
    return err_hint(e,
                    "The volume of the state directory '%s' is full. %.1f MB of it are there, for this build and kept "
                    "from earlier ones. Mount a larger volume, or let less be kept.",
                    dir, (double)file_tree_bytes(dir) / 1e6);
}
