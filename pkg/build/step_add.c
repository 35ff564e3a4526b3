/* step_add.c - the sources of ADD that lie elsewhere: fetched, then copied like any other. */
#include "address/address.h"
#include "build/build_priv.h"
#include "build/copy.h"
#include "remote/remote.h"

#include <fcntl.h>

static struct err *copy_fetched(const struct remote_tree *t, int root_fd, const struct copy_spec *spec)
{
    AUTO_CLOSE int fd = open(t->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char *name = (char *)(t->file ? t->file : ".");
    struct copy_spec s = *spec;
    struct copy_stats stats;

    if (fd < 0)
        return err_sys(errno, "cannot open '%s'", t->dir);
    s.from_fd = fd;
    s.from_image = false;
    s.ignore = NULL;
    s.find_ctx = NULL;
    s.sources = (struct strs){ .items = &name, .n = 1 };
    s.literal = true;
    s.unpack = t->file && spec->unpack == 1; /* an archive from elsewhere is a file, unless --unpack says otherwise */
    return copy_into(root_fd, &s, &stats);
}

static struct err *copy_local(char *source, int root_fd, const struct copy_spec *spec)
{
    struct copy_spec s = *spec;
    struct copy_stats stats;

    s.sources = (struct strs){ .items = &source, .n = 1 };
    return copy_into(root_fd, &s, &stats);
}

static struct err *copy_one(struct build *b, const struct step *step, char *source, int root_fd,
                            const struct copy_spec *spec)
{
    struct remote_tree tree;
    enum address_kind kind;

    TRY(address_kind_of(source, &kind));
    if (kind == ADDRESS_PATH)
        return copy_local(source, root_fd, spec);
    TRY(remote_add(b->o.remote, source, step->checksum, step->keep_git_dir == 1, &tree));
    return copy_fetched(&tree, root_fd, spec);
}

struct err *step_add_sources(struct build *b, const struct step *step, int root_fd, const struct copy_spec *spec)
{
    for (size_t i = 0; i < step->sources.n; i++)
        TRY(copy_one(b, step, step->sources.items[i], root_fd, spec));
    return NULL;
}
