#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above first */
#include <cmocka.h>

#include "../fixtures/fixture.h"
#include "cache/cache_priv.h"

#include <fcntl.h>
#include <sys/mman.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define NOW      1790000000
#define HOUR     3600
#define TTL      (336 * HOUR)

static struct fixture fix;

static void must(const char *name, struct err *e)
{
    if (e)
        fail_msg("%s: %s", name, err_message(e));
}

static struct digest digest_of(const char *text)
{
    return digest_bytes(text, strlen(text));
}

/* ---- documents ---- */

static struct cache_entry an_entry(const char *key, const char *content, const char *layer)
{
    struct cache_entry e = { .key = digest_of(key), .content = digest_of(content), .diff_id = digest_of("tar") };

    e.layer = (struct descriptor){ .digest = digest_of(layer), .size_bytes = strlen(layer) };
    (void)snprintf(e.layer.media_type, sizeof(e.layer.media_type), "%s", MEDIA_OCI_LAYER_GZIP);
    (void)snprintf(e.created, sizeof(e.created), "2026-01-02T03:04:05Z");
    return e;
}

static const struct descriptor a_config = {
    MEDIA_OCI_CONFIG, { "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" }, 7
};

static void test_manifest(void **state)
{
    struct cache_entry e = an_entry("key", "content", "layer"), got;
    AUTO_FREE char *text = entry_manifest(&e, &a_config, NOW);
    struct descriptor config;
    int64_t written_s;

    (void)state;
    must("parse", entry_parse(text, strlen(text), &e.key, &got, &written_s, &config));
    assert_string_equal(got.key.text, e.key.text);
    assert_string_equal(got.content.text, e.content.text);
    assert_string_equal(got.diff_id.text, e.diff_id.text);
    assert_string_equal(got.layer.digest.text, e.layer.digest.text);
    assert_string_equal(got.layer.media_type, e.layer.media_type);
    assert_string_equal(got.created, e.created);
    assert_string_equal(config.digest.text, a_config.digest.text);
    assert_int_equal(got.layer.size_bytes, 5);
    assert_int_equal(written_s, NOW);
}

/* A valid manifest with one text replaced by another must be refused. */
static const struct {
    const char *name, *from, *to, *says;
} spoilt[] = {
    { "no entry at all", "annotations", "notes", "no cache entry of this program" },
    { "version", "cache.version\":\"1\"", "cache.version\":\"2\"", "no cache entry of this program" },
    { "layer's kind", MEDIA_OCI_LAYER_GZIP, MEDIA_DOCKER_LAYER, "its layer is a" },
    { "layer's digest", "\"digest\":\"sha256:", "\"digest\":\"sha1:", "sha1" },
    { "two layers", "\"layers\":[{",
      "\"layers\":[{\"mediaType\":\"" MEDIA_OCI_LAYER "\",\"size\":1,\"digest\":\"sha256:"
      "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"},{",
      "2 layers and not one" },
    { "negative size", "\"size\":5", "\"size\":-5", "size" },
    { "no diff id", "cache.diff-id", "cache.diff-ix", "no annotation 'dev.copyup.cache.diff-id'" },
    { "content key", "content-key\":\"sha256:", "content-key\":\"sha256;", "content-key' is wrong" },
    { "time of the layer", "2026-01-02T", "2026-01-02 ", "times" },
    { "time", "image.created\":\"", "image.created\":\"x", "times" },
    { "cut", "}}", "", "JSON" },
};

static char *replace(const char *text, const char *from, const char *to)
{
    const char *at = strstr(text, from);

    assert_non_null(at);
    return xasprintf("%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
}

static void expect_refused(const char *name, const char *text, const struct digest *key, const char *says)
{
    struct cache_entry got;
    struct descriptor config;
    int64_t written_s;
    struct err *e = entry_parse(text, strlen(text), key, &got, &written_s, &config);

    if (!e)
        fail_msg("%s: it is accepted", name);
    AUTO_FREE char *line = err_line(e);
    if (!strstr(line, says))
        fail_msg("%s: '%s' does not say '%s'", name, line, says);
    err_free(e);
}

static void test_spoilt(void **state)
{
    struct cache_entry e = an_entry("key", "content", "layer");
    const struct digest other = digest_of("other");
    AUTO_FREE char *good = entry_manifest(&e, &a_config, NOW);

    (void)state;
    for (size_t i = 0; i < COUNT(spoilt); i++) {
        AUTO_FREE char *text = replace(good, spoilt[i].from, spoilt[i].to);

        expect_refused(spoilt[i].name, text, &e.key, spoilt[i].says);
    }
    expect_refused("another key", good, &other, "the entry of another key");
}

static void test_age(void **state)
{
    static const struct {
        int64_t age_s, ttl_s;
        bool want;
    } rows[] = {
        { 0, TTL, true },          { TTL, TTL, true },         { TTL + 1, TTL, false },
        { -HOUR, TTL, true },                                  /* the writer's clock is ahead */
        { -24 * HOUR, TTL, true }, { -25 * HOUR, TTL, false }, /* no clock is that wrong: such an entry would live for
                                                                  ever */
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        if (entry_is_fresh(NOW - rows[i].age_s, NOW, rows[i].ttl_s) != rows[i].want)
            fail_msg("age %lld s: not as expected", (long long)rows[i].age_s);
}

/* ---- repositories ---- */

struct place {
    struct http *http;
    struct auth *auth;
    struct registry *registry;
    struct ref repo, other;
    char *domain, *warnings;
};

static void note_warning(void *ctx, const char *text)
{
    struct place *p = ctx;
    char *both = xasprintf("%s%s\n", p->warnings ? p->warnings : "", text);

    free(p->warnings);
    p->warnings = both;
}

static void open_place(struct place *p)
{
    struct registry_opts o = { 0 };

    *p = (struct place){ .domain = xasprintf("127.0.0.1:%d", fix.port) };
    must("http", http_new(&(struct http_opts){ .retries = 1, .retry_delay_ms = 10 }, &p->http));
    p->auth = auth_new();
    o.http = p->http;
    o.auth = p->auth;
    strs_add(&o.insecure, p->domain);
    must("registry", registry_new(&o, &p->registry));
    strs_release(&o.insecure);
    p->repo = (struct ref){ .domain = p->domain, .path = (char *)"cache" };
    p->other = (struct ref){ .domain = p->domain, .path = (char *)"other" };
}

static void close_place(struct place *p)
{
    registry_free(p->registry);
    auth_free(p->auth);
    http_free(p->http);
    free(p->domain);
    free(p->warnings);
}

static struct cache *open_cache(struct place *p, int64_t now_s)
{
    const struct cache_opts o = {
        .registry = p->registry, .repo = &p->repo, .ttl_s = TTL, .now_s = now_s, .warn = note_warning, .ctx = p
    };

    return cache_new(&o);
}

static int file_with(const char *text)
{
    int fd = memfd_create("layer", MFD_CLOEXEC);

    assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    return fd;
}

static void put(struct cache *c, const struct cache_entry *e, const char *layer)
{
    struct strs inputs = { 0 };
    const struct platform platform = { .os = "linux", .arch = "amd64" };

    strs_add(&inputs, "arg 12345678 A");
    const struct cache_put p = {
        .entry = *e, .blob_fd = file_with(layer), .inputs = &inputs, .created_by = "RUN x", .platform = &platform
    };
    cache_put(c, &p);
    strs_release(&inputs);
}

static void fill(struct place *p, const struct cache_entry *e, const char *layer, int64_t now_s)
{
    AUTO(cache_free) struct cache *c = open_cache(p, now_s);

    put(c, e, layer);
}

static void expect_warnings(const char *name, struct place *p, const char *want)
{
    const char *have = p->warnings ? p->warnings : "";

    if (want ? !strstr(have, want) : *have)
        fail_msg("%s: the warnings are '%s', expected '%s'", name, have, want ? want : "none");
    free(p->warnings);
    p->warnings = NULL;
}

static void reset(const char *settings)
{
    free(fixture_control(&fix, "POST", "/_reset", "", 0));
    fixture_set(&fix, settings);
}

static void test_put_and_find(void **state)
{
    struct cache_entry e = an_entry("key", "content", "layer"), got;
    AUTO(strs_release) struct strs inputs = { 0 };
    struct cache_stats stats;
    struct place p;

    (void)state;
    reset("{}");
    open_place(&p);
    fill(&p, &e, "layer", NOW);
    struct cache *c = open_cache(&p, NOW + HOUR);
    fixture_set(&fix, "{}");
    assert_true(cache_find(c, &e.key, &got));
    assert_int_equal(fixture_count(&fix, "GET"), 1); /* one request a look-up */
    assert_string_equal(got.layer.digest.text, e.layer.digest.text);
    assert_string_equal(got.content.text, e.content.text);
    assert_string_equal(got.repo->path, "cache");
    assert_true(cache_find(c, &e.content, &got)); /* under both keys */
    assert_string_equal(got.key.text, e.content.text);
    assert_true(cache_inputs(c, &e.key, &inputs));
    assert_int_equal(inputs.n, 1);
    assert_string_equal(inputs.items[0], "arg 12345678 A");
    const struct digest nothing = digest_of("nothing");
    assert_false(cache_find(c, &nothing, &got));
    assert_non_null(cache_has_blob(c, &e.layer.digest));
    assert_null(cache_has_blob(c, &nothing));
    cache_get_stats(c, &stats);
    assert_int_equal(stats.looked_up, 3);
    assert_int_equal(stats.found, 2);
    cache_free(c);
    expect_warnings("put and find", &p, NULL);
    close_place(&p);
}

/* The second of two writers leaves the first one's entry. */
static void test_written_once(void **state)
{
    struct cache_entry first = an_entry("key", "key", "first"), second = an_entry("key", "key", "second"), got;
    struct place p;

    (void)state;
    reset("{}");
    open_place(&p);
    fill(&p, &first, "first", NOW);
    fill(&p, &second, "second", NOW);
    AUTO(cache_free) struct cache *c = open_cache(&p, NOW);
    assert_true(cache_find(c, &first.key, &got));
    assert_string_equal(got.layer.digest.text, first.layer.digest.text);
    expect_warnings("written once", &p, NULL);
    cache_free(steal(&c));
    close_place(&p);
}

/* What is of no use is a miss, and the next writer replaces it. */
static void test_replaced(void **state)
{
    struct cache_entry old = an_entry("key", "key", "old"), new = an_entry("key", "key", "new"), got;
    struct place p;

    (void)state;
    reset("{}");
    open_place(&p);
    fill(&p, &old, "old", NOW - TTL - HOUR);
    struct cache *c = open_cache(&p, NOW);
    assert_false(cache_find(c, &old.key, &got)); /* too old */
    put(c, &new, "new");
    cache_free(c);
    c = open_cache(&p, NOW);
    assert_true(cache_find(c, &old.key, &got));
    assert_string_equal(got.layer.digest.text, new.layer.digest.text);
    cache_reject(c, &got);
    assert_false(cache_find(c, &old.key, &got)); /* its blob turned out to be damaged */
    put(c, &old, "old");
    cache_free(c);
    c = open_cache(&p, NOW);
    assert_true(cache_find(c, &old.key, &got));
    assert_string_equal(got.layer.digest.text, old.layer.digest.text);
    cache_free(c);
    expect_warnings("replaced", &p, NULL);
    close_place(&p);
}

static void test_foreign(void **state)
{
    static const char image[] =
        "{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_OCI_MANIFEST "\",\"config\":{\"mediaType\":"
        "\"" MEDIA_OCI_CONFIG "\",\"digest\":\"sha256:0123456789abcdef0123456789abcdef0123456789"
        "abcdef0123456789abcdef\",\"size\":3},\"layers\":[]}";
    struct cache_entry e = an_entry("key", "key", "layer"), got;
    struct digest ignored;
    struct place p;

    (void)state;
    reset("{}");
    open_place(&p);
    const struct ref ref = { .domain = p.domain,
                             .path = (char *)"cache",
                             .tag = (char *)(uintptr_t)digest_hex(&e.key) };
    must("image", registry_put_manifest(p.registry, &ref, MEDIA_OCI_MANIFEST, image, strlen(image), NULL, &ignored));
    struct cache *c = open_cache(&p, NOW);
    assert_false(cache_find(c, &e.key, &got));
    expect_warnings("foreign", &p, "is not used: it is no cache entry of this program");
    put(c, &e, "layer");
    cache_flush(c);
    cache_free(c);
    c = open_cache(&p, NOW);
    assert_true(cache_find(c, &e.key, &got));
    cache_free(c);
    expect_warnings("foreign", &p, NULL);
    close_place(&p);
}

/* Whatever the registry does: a miss, at most one warning a repository, and no waiting for further answers. */
static const struct {
    const char *name, *settings, *reads, *writes; /* warnings, NULL: none */
} troubles[] = {
    { "no right to read", "{'rules':[{'match':'GET .*/manifests/','status':403,'times':99}]}", "cannot be read", NULL },
    { "no right to write", "{'rules':[{'match':'POST ','status':403,'times':99}]}", NULL, "cannot be written" },
    { "throttled", "{'rules':[{'match':'GET .*/manifests/','status':429,'times':99}]}", "cannot be read", NULL },
    { "throttled writes", "{'rules':[{'match':'PUT .*/manifests/','status':429,'times':99}]}", NULL,
      "cannot be written" },
    { "a server error", "{'rules':[{'match':'GET .*/manifests/','status':500,'times':99}]}", "cannot be read", NULL },
    { "a damaged manifest", "{'rules':[{'match':'GET .*/manifests/','corrupt':true,'times':2}]}", "is not used", NULL },
    { "a manifest that ends early", "{'rules':[{'match':'GET .*/manifests/','cut':9,'times':99}]}", "cannot be read",
      NULL },
    { "no repository", "{'rules':[{'match':'GET .*/manifests/','status':404,'times':99}]}", NULL, NULL },
};

static void one_trouble(size_t i)
{
    struct cache_entry e = an_entry("key", "key", "layer"), f = an_entry("key2", "key2", "layer2"), got;
    struct place p;

    reset("{}");
    open_place(&p);
    fill(&p, &e, "layer", NOW);
    fixture_set(&fix, troubles[i].settings);
    struct cache *c = open_cache(&p, NOW);
    bool found = cache_find(c, &e.key, &got);
    if (found != (troubles[i].writes != NULL))
        fail_msg("%s: the entry is%s found", troubles[i].name, found ? "" : " not");
    expect_warnings(troubles[i].name, &p, troubles[i].reads);
    (void)cache_find(c, &f.key, &got);
    put(c, &f, "layer2");
    put(c, &f, "layer2");
    cache_free(c);
    expect_warnings(troubles[i].name, &p, troubles[i].writes);
    close_place(&p);
}

static void test_troubles(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(troubles); i++)
        one_trouble(i);
}

/* Repositories that are only read, in their order; the own one comes first. */
static void test_further_repositories(void **state)
{
    struct cache_entry e = an_entry("key", "key", "layer"), got;
    struct place p;

    (void)state;
    reset("{}");
    open_place(&p);
    fill(&p, &e, "layer", NOW);
    const struct cache_opts o = {
        .registry = p.registry, .repo = &p.other, .from = &p.repo, .n_from = 1, .ttl_s = TTL, .now_s = NOW
    };
    struct cache *c = cache_new(&o);
    assert_true(cache_find(c, &e.key, &got));
    assert_string_equal(got.repo->path, "cache");
    /* under another key there: the blob is mounted, no byte is sent */
    struct cache_entry alias = got;
    struct strs inputs = { 0 };
    const struct platform platform = { .os = "linux", .arch = "amd64" };
    const struct cache_put put_alias = { .entry = alias,
                                         .blob_fd = -1,
                                         .blob_repo = got.repo,
                                         .inputs = &inputs,
                                         .created_by = "x",
                                         .platform = &platform };
    fixture_set(&fix, "{}");
    cache_put(c, &put_alias);
    cache_flush(c);
    assert_int_equal(fixture_count(&fix, "mount="), 1);
    cache_free(c);
    const struct cache_opts own = { .registry = p.registry, .repo = &p.other, .ttl_s = TTL, .now_s = NOW };
    c = cache_new(&own);
    assert_true(cache_find(c, &e.key, &got));
    assert_string_equal(got.repo->path, "other");
    cache_free(c);
    close_place(&p);
}

/* Nothing is read, and what is there is written over. */
static void test_renewed(void **state)
{
    struct cache_entry old = an_entry("key", "key", "old"), new = an_entry("key", "key", "new"), got;
    struct place p;

    (void)state;
    reset("{}");
    open_place(&p);
    fill(&p, &old, "old", NOW);
    const struct cache_opts o = { .registry = p.registry, .repo = &p.repo, .ttl_s = TTL, .now_s = NOW, .renew = true };
    struct cache *c = cache_new(&o);
    assert_false(cache_find(c, &old.key, &got));
    put(c, &new, "new");
    cache_free(c);
    c = open_cache(&p, NOW);
    assert_true(cache_find(c, &old.key, &got));
    assert_string_equal(got.layer.digest.text, new.layer.digest.text);
    cache_free(c);
    close_place(&p);
}

static void test_documents(void **state)
{
    struct place p;
    char *text = NULL;

    (void)state;
    reset("{}");
    open_place(&p);
    struct cache *c = open_cache(&p, NOW);
    assert_false(cache_get_document(c, "last", &text));
    cache_put_document(c, "last", "one");
    cache_put_document(c, "last", "two");
    cache_flush(c);
    assert_true(cache_get_document(c, "last", &text));
    assert_string_equal(text, "two");
    free(text);
    cache_free(c);
    close_place(&p);
}

/* What the end of a build kept from being written is written in the time that is left, and nothing after it. */
static void test_finish(void **state)
{
    struct cache_entry e = an_entry("key", "key", "layer"), late = an_entry("late", "late", "late"), got;
    struct cancel *stop;
    struct place p;

    (void)state;
    reset("{}");
    open_place(&p);
    must("cancel", cancel_new(&stop));
    cancel_raise(stop, CANCEL_SIGNAL);
    http_set_cancel(p.http, stop);
    struct cache *c = open_cache(&p, NOW);
    put(c, &e, "layer");
    cache_put_document(c, "last", "text");
    cache_flush(c);
    assert_int_equal(fixture_count(&fix, "PUT"), 0);
    http_set_cancel(p.http, NULL);
    cache_finish(c, 5000);
    put(c, &late, "late");
    cache_free(c);
    c = open_cache(&p, NOW);
    assert_true(cache_find(c, &e.key, &got));
    assert_false(cache_find(c, &late.key, &got));
    cache_free(c);
    expect_warnings("finish", &p, NULL);
    /* without the chance to finish nothing is left over */
    http_set_cancel(p.http, stop);
    c = open_cache(&p, NOW);
    put(c, &late, "late");
    cache_free(c);
    close_place(&p);
    cancel_free(stop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_manifest),
        cmocka_unit_test(test_spoilt),
        cmocka_unit_test(test_age),
        cmocka_unit_test(test_put_and_find),
        cmocka_unit_test(test_written_once),
        cmocka_unit_test(test_replaced),
        cmocka_unit_test(test_foreign),
        cmocka_unit_test(test_troubles),
        cmocka_unit_test(test_further_repositories),
        cmocka_unit_test(test_renewed),
        cmocka_unit_test(test_documents),
        cmocka_unit_test(test_finish),
    };

    fixture_start(&fix);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fixture_stop(&fix);
    return failed;
}
