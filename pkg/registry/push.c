/* push.c - a blob into a repository: is it there, can it be had from another one, must it be sent? */
#include "registry/push_priv.h"

#include <string.h>

void push_init(struct push *p, struct registry *r, const struct ref *repo)
{
    *p = (struct push){ .r = r, .ep = registry_endpoint(r, repo->domain, false), .repo = repo->path, .fd = -1 };
    p->scope = xasprintf("repository:%s:pull,push", repo->path);
}

struct call push_call(const struct push *p, const char *method, const char *url)
{
    return (
        struct call){ .r = p->r,
                      .ep = p->ep,
                      .repo = p->repo,
                      .scope = p->scope,
                      .action = "push",
                      .rq = { .method = method, .url = url, .body_fd = -1, .more_retries = p->r->more_push_tries } };
}

/* ---- existence and mount ---- */

struct err *push_has_blob(const struct push *p, const char *digest, bool *ret_found)
{
    AUTO_FREE char *url = xasprintf("%s/v2/%s/blobs/%s", p->ep->base, p->repo, digest);
    struct call c = push_call(p, "HEAD", url);
    AUTO(http_response_release) struct http_response a = { 0 };

    TRY(call_perform(&c, &a));
    *ret_found = a.status == 200;
    if (a.status == 200 || a.status == 404)
        return NULL;
    /* a HEAD has no body that says why: let the upload fail with a reason */
    if (a.status == 401 || a.status == 403 || a.status == 405)
        return NULL;
    return call_refused(&c, &a);
}

/* POST with mount: 201 = done, 202 = an ordinary upload has begun. */
static struct err *mount(struct push *p, const char *digest, const char *from, bool *ret_mounted)
{
    AUTO_FREE char *name = http_escape(from);
    AUTO_FREE char *url = xasprintf("%s/v2/%s/blobs/uploads/?mount=%s&from=%s", p->ep->base, p->repo, digest, name);
    AUTO_FREE char *scope = xasprintf("%s repository:%s:pull", p->scope, from);
    struct call c = push_call(p, "POST", url);
    AUTO(http_response_release) struct http_response a = { 0 };

    c.scope = scope;
    struct err *e = call_perform(&c, &a);
    if (e && err_kind(e) != ERR_AUTH)
        return e;
    err_free(e); /* no right on the other repository: an ordinary upload then */
    *ret_mounted = a.status == 201;
    return a.status == 202 ? push_take_location(p, &a) : NULL;
}

struct err *registry_push_blob(struct registry *r, const struct ref *repo, const struct descriptor *blob,
                               const struct blob_source *source, const char *mount_from, enum blob_result *ret_result)
{
    AUTO(push_release) struct push p;
    bool found = false, mounted = false;

    push_init(&p, r, repo);
    p.digest = blob->digest.text;
    p.size = blob->size_bytes;
    TRY(push_has_blob(&p, blob->digest.text, &found));
    if (!found && mount_from && strcmp(mount_from, repo->path) != 0)
        TRY(mount(&p, blob->digest.text, mount_from, &mounted));
    if (!found && !mounted) {
        TRY(source->open(source->ctx, &p.fd, &p.start));
        TRY(err_wrap(push_send(&p), "cannot push blob %s to '%s/%s'", blob->digest.text, repo->domain, repo->path));
    }
    *ret_result = found ? BLOB_EXISTED : mounted ? BLOB_MOUNTED : BLOB_UPLOADED;
    return NULL;
}
