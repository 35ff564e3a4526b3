#include "registry/registry_priv.h"

#include "base/limits.h"
#include "base/log.h"

#include <inttypes.h>
#include <string.h>

static struct call pull_call(struct registry *r, const struct place *at, const char *scope, const char *method,
                             const char *url)
{
    return (struct call){ .r = r,
                          .ep = at->ep,
                          .repo = at->path,
                          .scope = scope,
                          .action = "pull",
                          .rq = { .method = method, .url = url, .body_fd = -1, .more_retries = r->more_pull_tries } };
}

static char *pull_scope(const char *path)
{
    return xasprintf("repository:%s:pull", path);
}

/* ---- manifests ---- */

static void take_media_type(const struct http_response *a, char ret[128])
{
    const char *type = http_header(a, "content-type");
    size_t n = type ? strcspn(type, "; \t") : 0;

    ret[0] = '\0';
    if (n && n < 128) {
        memcpy(ret, type, n);
        ret[n] = '\0';
    }
}

static struct err *take_manifest(const struct place *at, const struct ref *ref, struct http_response *a,
                                 struct fetched_manifest *ret)
{
    struct fetched_manifest m = { .len = a->body.len };
    const char *announced = http_header(a, "docker-content-digest");
    const char *wanted = ref->digest ? ref->digest : announced;

    m.digest = digest_bytes(a->body.len ? a->body.data : "", a->body.len);
    if (wanted && strncmp(wanted, "sha256:", 7) == 0 && strcmp(wanted, m.digest.text) != 0)
        return err_new(ERR_REGISTRY, "the manifest of '%s' is damaged: expected %.*s, got %s", at->path,
                       DIGEST_TEXT_LEN, wanted, m.digest.text);
    take_media_type(a, m.media_type);
    m.text = buf_steal(&a->body);
    *ret = m;
    return NULL;
}

static struct err *get_manifest(struct registry *r, const struct place *at, const struct ref *ref,
                                struct fetched_manifest *ret, bool *ret_found)
{
    const char *name = ref->digest ? ref->digest : ref->tag ? ref->tag : "latest";
    AUTO_FREE char *url = xasprintf("%s/v2/%s/manifests/%s", at->ep->base, at->path, name);
    AUTO_FREE char *scope = pull_scope(at->path);
    struct call c = pull_call(r, at, scope, "GET", url);
    AUTO(http_response_release) struct http_response a = { 0 };

    c.rq.max_body = LIMIT_MANIFEST_BYTES;
    strs_add(&c.rq.headers, "Accept: " MEDIA_ALL);
    struct err *e = call_perform(&c, &a);
    strs_release(&c.rq.headers);
    TRY(e);
    if (a.status == 404) {
        *ret_found = false;
        return NULL;
    }
    if (a.status != 200)
        return call_refused(&c, &a);
    TRY(take_manifest(at, ref, &a, ret));
    *ret_found = true;
    return NULL;
}

struct err *registry_get_manifest(struct registry *r, const struct ref *ref, struct fetched_manifest *ret,
                                  bool *ret_found)
{
    AUTO(places_release) struct places places = { 0 };

    registry_places(r, ref, &places);
    for (size_t i = 0; i < places.n; i++) {
        bool last = i + 1 == places.n, found = false;
        struct err *e = get_manifest(r, &places.items[i], ref, ret, &found);

        if (!e && (found || last)) {
            *ret_found = found;
            return NULL;
        }
        if (last || err_kind(e) == ERR_TERMINATED || err_kind(e) == ERR_TIMEOUT)
            return e;
        log_debug("registry", "mirror %s has no '%s': %s", places.items[i].ep->host, ref->path,
                  e ? err_message(e) : "not found");
        err_free(e);
    }
    return err_new(ERR_BUG, "no place to pull '%s' from", ref->path);
}

void fetched_manifest_release(struct fetched_manifest *m)
{
    free(m->text);
    *m = (struct fetched_manifest){ 0 };
}

/* ---- blobs ---- */

#define LONG_BLOB_BYTES (1024 * 1024)

/* Lets bytes through to the sink and checks them on the way. */
struct check {
    struct sink out;
    struct hasher *hasher;
    uint64_t taken, size;
    bool too_long;
    const char *what, *digest, *repo;
};

static struct err *damaged(const struct check *k, const char *got)
{
    return err_new(ERR_REGISTRY, "%s %s of '%s' is damaged: expected %s, got %s", k->what, k->digest, k->repo,
                   k->digest, got);
}

static struct err *wrong_size(const struct check *k, const char *more, uint64_t got)
{
    return err_new(ERR_REGISTRY, "%s %s of '%s' is damaged: expected %" PRIu64 " bytes, got %s%" PRIu64, k->what,
                   k->digest, k->repo, k->size, more, got);
}

static struct err *check_write(void *ctx, const void *p, size_t n)
{
    struct check *k = ctx;

    k->too_long = n > k->size - k->taken;
    if (k->too_long)
        return wrong_size(k, "at least ", k->taken + n);
    hasher_add(k->hasher, p, n);
    k->taken += n;
    return sink_write(&k->out, p, n);
}

static struct err *pull_from(struct registry *r, const struct place *at, struct check *k)
{
    AUTO_FREE char *url = xasprintf("%s/v2/%s/blobs/%s", at->ep->base, at->path, k->digest);
    AUTO_FREE char *scope = pull_scope(at->path);
    struct call c = pull_call(r, at, scope, "GET", url);
    AUTO(http_response_release) struct http_response a = { 0 };
    const struct sink through = { check_write, k };

    c.rq.out = &through;
    c.rq.long_answer = k->size > LONG_BLOB_BYTES;
    c.taken = &k->taken;
    TRY(call_perform(&c, &a));
    if (a.status == 416 && k->taken && k->taken == k->size)
        return NULL; /* it broke off right behind the last byte */
    return a.status == 200 ? NULL : call_refused(&c, &a);
}

static struct err *check_end(struct check *k)
{
    if (k->taken != k->size)
        return wrong_size(k, "", k->taken);
    struct digest got = hasher_end(k->hasher);
    return strcmp(got.text, k->digest) == 0 ? NULL : damaged(k, got.text);
}

/* Another place helps against what is wrong with a server, not against a full disk or a cancelled build. */
static bool worth_another(const struct err *e)
{
    enum err_kind kind = err_kind(e);

    return kind == ERR_NETWORK || kind == ERR_REGISTRY || kind == ERR_AUTH;
}

struct err *registry_pull_blob(struct registry *r, const struct ref *repo, const struct descriptor *blob,
                               struct sink out)
{
    AUTO(places_release) struct places places = { 0 };
    AUTO(hasher_free) struct hasher *hasher = hasher_new();
    const char *what =
        strstr(blob->media_type, "config") || strstr(blob->media_type, "container.image") ? "config" : "layer";
    struct check k = { .out = out,
                       .hasher = hasher,
                       .size = blob->size_bytes,
                       .what = what,
                       .digest = blob->digest.text,
                       .repo = repo->path };
    struct err *e = NULL;

    registry_places(r, repo, &places);
    for (size_t i = 0; i < places.n; i++) {
        err_free(e);
        e = pull_from(r, &places.items[i], &k); /* goes on where the place before broke off */
        if (!e || !worth_another(e) || k.too_long)
            break;
    }
    TRY(err_wrap(e, "cannot pull %s %s of '%s'", what, blob->digest.text, repo->path));
    return check_end(&k);
}

struct err *registry_has_blob(struct registry *r, const struct ref *repo, const struct digest *d, bool *ret_found)
{
    struct place at = { registry_endpoint(r, repo->domain, true), repo->path };
    AUTO_FREE char *url = xasprintf("%s/v2/%s/blobs/%s", at.ep->base, repo->path, d->text);
    AUTO_FREE char *scope = pull_scope(repo->path);
    struct call c = pull_call(r, &at, scope, "HEAD", url);
    AUTO(http_response_release) struct http_response a = { 0 };

    TRY(call_perform(&c, &a));
    if (a.status != 200 && a.status != 404)
        return call_refused(&c, &a);
    *ret_found = a.status == 200;
    return NULL;
}
