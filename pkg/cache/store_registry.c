/* store_registry.c - a repository of a registry as a place for entries. */
#include "cache/cache_priv.h"

#include <fcntl.h>
#include <string.h>

struct repository {
    struct registry *registry;
    struct ref ref; /* without tag and digest */
};

void *store_registry_new(struct registry *r, const struct ref *repo)
{
    struct repository *s = xcalloc(1, sizeof(*s));

    s->registry = r;
    ref_copy(&s->ref, repo);
    free(s->ref.tag);
    free(s->ref.digest);
    s->ref.tag = s->ref.digest = NULL;
    return s;
}

static void free_store(void *store)
{
    struct repository *s = store;

    ref_release(&s->ref);
    free(s);
}

/* The reference of a tag; the strings are borrowed. */
static struct ref tagged(const struct repository *s, const char *tag)
{
    return (struct ref){ .domain = s->ref.domain, .path = s->ref.path, .tag = (char *)tag };
}

static struct err *get(void *store, const char *tag, struct fetched_manifest *ret, bool *ret_found)
{
    const struct repository *s = store;
    const struct ref ref = tagged(s, tag);

    return registry_get_manifest(s->registry, &ref, ret, ret_found);
}

static struct err *has(void *store, const char *tag, bool *ret_found)
{
    const struct repository *s = store;
    const struct ref ref = tagged(s, tag);
    struct digest ignored;

    return registry_find_manifest(s->registry, &ref, &ignored, ret_found);
}

static struct err *put(void *store, const char *tag, const char *text)
{
    const struct repository *s = store;
    const struct ref ref = tagged(s, tag);
    struct digest ignored;

    return registry_put_manifest(s->registry, &ref, MEDIA_OCI_MANIFEST, text, strlen(text), NULL, &ignored);
}

static struct err *get_blob(void *store, const struct descriptor *d, struct sink out)
{
    const struct repository *s = store;
    const struct blob_target to = { .out = out }; /* a damaged entry is a miss */

    return registry_pull_blob(s->registry, &s->ref, d, &to);
}

/* The bytes of a blob that may be here already. */
struct bytes {
    int fd;
    bool asked; /* it was not there */
};

static struct err *open_bytes(void *ctx, int *ret_fd, uint64_t *ret_offset)
{
    struct bytes *b = ctx;

    b->asked = true;
    *ret_offset = 0;
    if (b->fd < 0)
        return err_new(ERR_REGISTRY, "the blob is not here");
    *ret_fd = fcntl(b->fd, F_DUPFD_CLOEXEC, 0);
    return *ret_fd < 0 ? err_sys(errno, "cannot read a blob again") : NULL;
}

static struct err *put_blob(void *store, const struct descriptor *d, int fd, const struct ref *from, bool *ret_there)
{
    const struct repository *s = store;
    const char *mount = from && strcmp(from->domain, s->ref.domain) == 0 ? from->path : NULL;
    struct bytes bytes = { .fd = fd };
    const struct blob_source source = { open_bytes, &bytes };
    enum blob_result ignored;
    struct err *e = registry_push_blob(s->registry, &s->ref, d, &source, mount, &ignored);

    *ret_there = !e;
    if (!e || fd >= 0 || !bytes.asked)
        return e;
    err_free(e);
    return NULL;
}

const struct store_ops store_registry = { .name = "registry",
                                          .get = get,
                                          .has = has,
                                          .put = put,
                                          .get_blob = get_blob,
                                          .put_blob = put_blob,
                                          .free = free_store };
