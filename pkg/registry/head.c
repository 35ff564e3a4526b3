/* head.c - whether a manifest is there, without its bytes. */
#include "registry/registry_priv.h"

#include <string.h>

struct err *registry_find_manifest(struct registry *r, const struct ref *ref, struct digest *ret_digest,
                                   bool *ret_found)
{
    struct endpoint *ep = registry_endpoint(r, ref->domain, false);
    const char *name = ref->digest ? ref->digest : ref->tag;
    AUTO_FREE char *url = xasprintf("%s/v2/%s/manifests/%s", ep->base, ref->path, name);
    AUTO_FREE char *scope = xasprintf("repository:%s:pull,push", ref->path);
    struct call c = { .r = r,
                      .ep = ep,
                      .repo = ref->path,
                      .scope = scope,
                      .action = "push",
                      .rq = { .method = "HEAD", .url = url, .body_fd = -1 } };
    AUTO(http_response_release) struct http_response a = { 0 };
    struct digest d = { "" };

    strs_add(&c.rq.headers,
             "Accept: " MEDIA_OCI_INDEX ", " MEDIA_DOCKER_LIST ", " MEDIA_OCI_MANIFEST ", " MEDIA_DOCKER_MANIFEST);
    struct err *e = call_perform(&c, &a);
    strs_release(&c.rq.headers);
    TRY(e);
    if (a.status != 200 && a.status != 404)
        return call_refused(&c, &a);
    const char *digest = http_header(&a, "docker-content-digest");
    if (a.status == 200 && digest)
        err_free(digest_parse(digest, &d)); /* of another kind: not known then */
    *ret_digest = d;
    *ret_found = a.status == 200;
    return NULL;
}
