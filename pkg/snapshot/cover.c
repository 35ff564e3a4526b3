#include "base/vec.h"
#include "snapshot/mount_priv.h"
#include "snapshot/snapshot_priv.h"
#include "sys/file.h"

#include <fcntl.h>

struct cover {
    char *place, *root;
    bool mounted;
};

struct err *snapshotter_copy_tree(struct snapshotter *s, const char *from, const char *to)
{
    AUTO(layer_free) struct layer *source = layer_new(xstrdup(from));
    AUTO(layer_free) struct layer *copy = NULL;
    struct layers stack = { 0 };

    vec_push(&stack, source);
    struct err *e = layers_merge(s, &stack, 1, to, MERGE_COPY, &copy);
    vec_free(&stack);
    return e;
}

struct err *cover_new(struct snapshotter *s, const char *dir, const struct strs *hide, bool writable,
                      struct cover **ret)
{
    AUTO(cover_free) struct cover *c = xcalloc(1, sizeof(*c));

    TRY(snapshot_new_dir(s, "cover", &c->place));
    c->root = xasprintf("%s/root", c->place);
    TRY(file_mkdirs(c->root, 0755));
    TRY(err_wrap(s->ops->cover(s, dir, hide, writable, c->place, &c->mounted), "cannot prepare a view of '%s'", dir));
    *ret = steal(&c);
    return NULL;
}

const char *cover_path(const struct cover *c)
{
    return c->root;
}

void cover_free(struct cover *c)
{
    if (!c)
        return;
    if (c->mounted)
        overlay_unmount(c->root);
    if (c->place)
        err_free(file_remove_tree(AT_FDCWD, c->place));
    free(c->place);
    free(c->root);
    free(c);
}
