#include "base/limits.h"
#include "remote/remote_priv.h"
#include "snapshot/unpack.h"
#include "sys/file.h"
#include "tar/decompress.h"

#include <fcntl.h>
#include <string.h>

static void note_owner(void *ctx, const char *path, const struct owner *o)
{
    owner_table_set(ctx, path, o);
}

/* The archive is what the user named: nothing that is wrong with it is a registry's fault. */
static struct err *blame(struct err *e, const char *name)
{
    if (e && err_kind(e) == ERR_REGISTRY)
        e = err_set_kind(e, ERR_DOCKERFILE);
    return err_wrap(e, "cannot unpack the context '%s'", name);
}

static struct err *unpack(struct remote *r, int fd, struct fetched *f)
{
    AUTO(decompress_free) struct decompressor *d = NULL;
    const struct unpack_opts opts = {
        .owners = r->o.owners, .chmod = -1, .note_owner = note_owner, .ctx = f->owners, .cancel = r->o.cancel
    };
    AUTO_CLOSE int root = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (root < 0)
        return err_sys(errno, "cannot open '%s'", f->dir);
    TRY(decompress_new(file_source(&fd), &d));
    return unpack_tar(decompress_source(d), root, "/", &opts);
}

struct err *remote_extract(struct remote *r, int fd, const char *name, struct fetched *f)
{
    f->owners = owner_table_new();
    return blame(unpack(r, fd, f), name);
}
