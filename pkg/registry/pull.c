#include "registry/registry_priv.h"

#include "base/limits.h"
#include "base/log.h"
#include "digest/hash_stream.h"

#include <inttypes.h>
#include <string.h>

/* How often what came whole, but with wrong bytes, is fetched again. */
#define DAMAGED_TRIES 1

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
                                 struct fetched_manifest *ret, bool *ret_damaged)
{
    struct fetched_manifest m = { .len = a->body.len };
    const char *announced = http_header(a, "docker-content-digest");
    const char *wanted = ref->digest ? ref->digest : announced;

    m.digest = digest_bytes(a->body.len ? a->body.data : "", a->body.len);
    *ret_damaged = wanted && strncmp(wanted, "sha256:", 7) == 0 && strcmp(wanted, m.digest.text) != 0;
    if (*ret_damaged)
        return err_new(ERR_REGISTRY, "the manifest of '%s' is damaged: expected %.*s, got %s", at->path,
                       DIGEST_TEXT_LEN, wanted, m.digest.text);
    take_media_type(a, m.media_type);
    m.text = buf_steal(&a->body);
    *ret = m;
    return NULL;
}

static struct err *get_manifest_once(struct registry *r, const struct place *at, const struct ref *ref,
                                     struct fetched_manifest *ret, bool *ret_found, bool *ret_damaged)
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
    TRY(take_manifest(at, ref, &a, ret, ret_damaged));
    *ret_found = true;
    return NULL;
}

static struct err *get_manifest(struct registry *r, const struct place *at, const struct ref *ref,
                                struct fetched_manifest *ret, bool *ret_found)
{
    for (int n = 0;; n++) {
        bool damaged = false;
        struct err *e = get_manifest_once(r, at, ref, ret, ret_found, &damaged);

        if (!damaged || n >= DAMAGED_TRIES + r->more_pull_tries)
            return e;
        log_debug("registry", "once more: %s", err_message(e));
        err_free(e);
        TRY(http_pause(r->http, n, NULL));
    }
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
        if (last || (e && (err_kind(e) == ERR_TERMINATED || err_kind(e) == ERR_TIMEOUT)))
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

/* One blob on its way here: lets bytes through to the sink and checks them. */
struct pull {
    struct registry *r;
    struct places places;
    size_t at; /* the place that the last bytes came from */
    const struct blob_target *to;
    struct hash_stream *hash;
    uint64_t taken, size;
    bool damaged; /* what came is not the blob */
    int fetched;  /* how often it was begun */
    const char *what, *digest, *repo;
};

static struct err *damaged(struct pull *k, const char *expected, const char *got)
{
    struct err *e = err_new(ERR_REGISTRY, "%s %s of '%s' is damaged: expected %s, got %s", k->what, k->digest, k->repo,
                            expected, got);

    k->damaged = true;
    if (k->fetched < 2)
        return e;
    return err_hint(e,
                    "It was fetched %d times. Either the registry's copy is damaged, or something on the way (a proxy, "
                    "a mirror) changes what it sends.",
                    k->fetched);
}

static struct err *wrong_size(struct pull *k, const char *more, uint64_t got)
{
    AUTO_FREE char *expected = xasprintf("%" PRIu64 " bytes", k->size);
    AUTO_FREE char *came = xasprintf("%s%" PRIu64, more, got);

    return damaged(k, expected, came);
}

static struct err *check_write(void *ctx, const void *p, size_t n)
{
    struct pull *k = ctx;

    if (n > k->size - k->taken)
        return wrong_size(k, "at least ", k->taken + n);
    hash_stream_add(k->hash, p, n);
    k->taken += n;
    return sink_write(&k->to->out, p, n);
}

static struct err *check_end(struct pull *k)
{
    if (k->taken != k->size)
        return wrong_size(k, "", k->taken);
    struct digest got = hash_stream_end(k->hash);
    return strcmp(got.text, k->digest) == 0 ? NULL : damaged(k, k->digest, got.text);
}

static struct err *pull_from(struct pull *k, const struct place *at)
{
    AUTO_FREE char *url = xasprintf("%s/v2/%s/blobs/%s", at->ep->base, at->path, k->digest);
    AUTO_FREE char *scope = pull_scope(at->path);
    struct call c = pull_call(k->r, at, scope, "GET", url);
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

/* Another place helps against what is wrong with a server, not against a full disk or a cancelled build. */
static bool worth_another(const struct err *e)
{
    enum err_kind kind = err_kind(e);

    return kind == ERR_NETWORK || kind == ERR_REGISTRY || kind == ERR_AUTH;
}

/* From the place where we are, or those behind it: one goes on where the one before broke off. */
static struct err *pull_once(struct pull *k)
{
    hash_stream_free(k->hash);
    k->hash = hash_stream_new(k->size);
    k->taken = 0;
    k->damaged = false;
    k->fetched++;
    for (;;) {
        struct err *e = pull_from(k, &k->places.items[k->at]);

        if (!e)
            return check_end(k);
        if (k->at + 1 == k->places.n || !worth_another(e) || k->damaged)
            return k->damaged ? e : err_wrap(e, "cannot pull %s %s of '%s'", k->what, k->digest, k->repo);
        k->at++;
        err_free(e);
    }
}

/* Wrong bytes are fetched once more: from the next place if there is one, else as often as it is worth. */
static struct err *pull(struct pull *k)
{
    for (int n = 0;;) {
        struct err *e = pull_once(k);

        if (!k->damaged || !k->to->again)
            return e;
        if (k->at + 1 < k->places.n)
            k->at++;
        else if (n++ >= DAMAGED_TRIES + k->r->more_pull_tries)
            return e;
        log_debug("registry", "once more: %s", err_message(e));
        err_free(e);
        TRY(http_pause(k->r->http, n, NULL));
        TRY(k->to->again(k->to->ctx));
    }
}

struct err *registry_pull_blob(struct registry *r, const struct ref *repo, const struct descriptor *blob,
                               const struct blob_target *to)
{
    const char *type = blob->media_type;
    struct pull k = { .r = r,
                      .to = to,
                      .size = blob->size_bytes,
                      .what = strstr(type, "config") || strstr(type, "container.image") ? "config" : "layer",
                      .digest = blob->digest.text,
                      .repo = repo->path };

    registry_places(r, repo, &k.places);
    struct err *e = pull(&k);
    hash_stream_free(k.hash);
    places_release(&k.places);
    return e;
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
