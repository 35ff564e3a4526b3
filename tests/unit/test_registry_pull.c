#include "../fixtures/registry_client.h"

static const struct {
    const char *name, *settings;
    int64_t size_change;
    const char *error; /* NULL: the bytes arrive */
    enum err_kind kind;
} pulls[] = {
    { "plain", "{}", 0, NULL, 0 },
    { "bearer", "{'auth':'bearer'}", 0, NULL, 0 },
    { "redirected", "{'auth':'bearer','redirect_blobs':true}", 0, NULL, 0 },
    { "cut twice", "{'rules':[{'match':'blobs','cut':100000},{'match':'blobs','cut':100000}]}", 0, NULL, 0 },
    { "cut at the storage", "{'auth':'bearer','redirect_blobs':true,'rules':[{'match':'sig','cut':100000}]}", 0, NULL,
      0 },
    { "cut, no ranges", "{'ranges':false,'rules':[{'match':'blobs','cut':100000}]}", 0, NULL, 0 },
    { "cut, then the token is too old",
      "{'auth':'bearer','rules':[{'match':'blobs','skip':1,'cut':100000},{'match':'blobs','skip':1,'expire':true}]}", 0,
      NULL, 0 },
    { "signature too old once", "{'auth':'bearer','redirect_blobs':true,'rules':[{'match':'sig','status':503}]}", 0,
      NULL, 0 },
    { "storage refuses", "{'auth':'bearer','redirect_blobs':true,'rules':[{'match':'sig','status':403,'times':-1}]}", 0,
      "it sent us to 'http://127.0.0.1", ERR_AUTH },
    { "wrong bytes once", "{'rules':[{'match':'blobs','corrupt':true}]}", 0, NULL, 0 },
    { "wrong bytes once, then cut", "{'rules':[{'match':'blobs','corrupt':true},{'match':'blobs','cut':100000}]}", 0,
      NULL, 0 },
    { "wrong bytes", "{'rules':[{'match':'blobs','corrupt':true,'times':-1}]}", 0,
      "is damaged: expected sha256:", ERR_REGISTRY },
    { "wrong bytes, the hint", "{'rules':[{'match':'blobs','corrupt':true,'times':-1}]}", 0, "It was fetched 2 times.",
      ERR_REGISTRY },
    { "too long", "{}", -1, "bytes, got at least", ERR_REGISTRY },
    { "too short", "{}", 1, "300001 bytes, got 300000", ERR_REGISTRY },
    { "not there", "{'rules':[{'match':'blobs','status':404}]}", 0, "cannot pull layer sha256:", ERR_REGISTRY },
    { "always cut", "{'rules':[{'match':'blobs','cut':10,'times':-1}]}", 0, "failed", ERR_NETWORK },
    { "down", "{'rules':[{'match':'blobs','status':502,'times':-1}]}", 0, "not available", ERR_NETWORK },
    { "limited", "{'rules':[{'match':'blobs','status':429,'times':-1}]}", 0, "throttles us", ERR_NETWORK },
};

static void test_pull(void **state)
{
    AUTO_FREE char *want = content(300000, 7);

    (void)state;
    for (size_t i = 0; i < sizeof(pulls) / sizeof(pulls[0]); i++) {
        AUTO(close_client) struct client c;
        AUTO(buf_release) struct buf got = BUF_INIT;

        reset(pulls[i].settings);
        open_client(&c, USER, fix.port, NULL);
        struct ref ref = ref_of(&c, "team/app", "1.0");
        struct descriptor blob = give_blob("team/app", 300000, 7);
        blob.size_bytes += (uint64_t)pulls[i].size_change;
        struct err *e = pull_blob(c.registry, &ref, &blob, &got);
        if (pulls[i].error) {
            expect_error(pulls[i].name, e, pulls[i].kind, pulls[i].error);
        } else {
            no_error(pulls[i].name, e);
            if (got.len != 300000 || memcmp(got.data, want, got.len) != 0)
                fail_msg("%s: other bytes", pulls[i].name);
        }
        if (fixture_count(&fix, "storage GET") != fixture_count(&fix, "sig=secret-signature auth=-"))
            fail_msg("%s: the token went to the storage", pulls[i].name);
    }
}

/* Wrong bytes: so many downloads, and both digests are told. */
static void test_damaged(void **state)
{
    static const char always[] = "{'rules':[{'match':'blobs','corrupt':true,'times':-1}]}";

    (void)state;
    for (int more = 0; more < 3; more++) {
        AUTO(close_client) struct client c;
        AUTO(buf_release) struct buf got = BUF_INIT;

        reset(always);
        open_client(&c, NOBODY, fix.port, NULL);
        struct ref ref = ref_of(&c, "team/app", "1.0");
        struct descriptor blob = give_blob("team/app", 2000, 7);
        struct registry *r = persistent(&c, more, 0);
        struct err *e = pull_blob(r, &ref, &blob, &got);
        struct digest wrong = digest_bytes(got.data, got.len);
        AUTO_FREE char *both = xasprintf("expected %s, got %s", blob.digest.text, wrong.text);
        expect_error("damaged", e, ERR_REGISTRY, both);
        assert_int_equal(fixture_count(&fix, "GET /v2/team/app/blobs"), 2 + more);
        reset(always);
        blob = give_blob("team/app", 2000, 7);
        const struct blob_target once = { .out = { collect, &got } };
        expect_error("cannot be taken back", registry_pull_blob(r, &ref, &blob, &once), ERR_REGISTRY, "is damaged");
        assert_int_equal(fixture_count(&fix, "GET /v2/team/app/blobs"), 1);
        registry_free(r);
    }
}

static struct err *refuse(void *ctx, const void *p, size_t n)
{
    (void)ctx, (void)p, (void)n;
    return err_new(ERR_DISK, "the disk is full");
}

static void test_mirrors(void **state)
{
    AUTO_FREE char *mirrors = xasprintf("127.0.0.1:1,127.0.0.1:%d", fix.port);
    AUTO(close_client) struct client c;
    AUTO(buf_release) struct buf got = BUF_INIT;
    struct fetched_manifest m = { 0 };
    bool found = true;

    (void)state;
    reset("{}");
    open_client(&c, NOBODY, fix.port, mirrors);
    struct descriptor blob = give_blob("library/busybox", 3000, 9);
    struct ref ref = { .domain = (char *)(uintptr_t) "docker.io",
                       .path = (char *)(uintptr_t) "library/busybox",
                       .tag = NULL };
    no_error("second mirror", pull_blob(c.registry, &ref, &blob, &got));
    assert_int_equal(got.len, 3000);
    no_error("manifest", registry_get_manifest(c.registry, &ref, &m, &found));
    assert_false(found);
    assert_int_equal(fixture_count(&fix, "GET /v2/library/busybox/manifests/latest"), 1);
    const struct blob_target full = { .out = { refuse, NULL } };
    expect_error("sink", registry_pull_blob(c.registry, &ref, &blob, &full), ERR_DISK, "the disk is full");
}

/* Two mirrors of Docker Hub: both lead to the fixture, under different paths. */
static struct registry *mirrored(const struct client *c)
{
    struct registry_opts o = { .http = c->http, .auth = c->auth, .no_mirror_fallback = true };
    struct registry *r = NULL;

    strs_take(&o.mirrors, xasprintf("docker.io=http://127.0.0.1:%d/bad", fix.port));
    strs_take(&o.mirrors, xasprintf("docker.io=http://127.0.0.1:%d/good", fix.port));
    no_error("registry", registry_new(&o, &r));
    strs_release(&o.mirrors);
    return r;
}

/* What a mirror has wrong comes from the next place. */
static void test_damaged_mirror(void **state)
{
    AUTO(close_client) struct client c;
    AUTO(buf_release) struct buf got = BUF_INIT;
    struct ref ref = { .domain = (char *)(uintptr_t) "docker.io", .path = (char *)(uintptr_t) "library/busybox" };

    (void)state;
    reset("{'rules':[{'match':'/bad/','corrupt':true,'times':-1}]}");
    open_client(&c, NOBODY, fix.port, NULL);
    struct descriptor blob = give_blob("bad/library/busybox", 3000, 9);
    (void)give_blob("good/library/busybox", 3000, 9);
    struct registry *r = mirrored(&c);
    struct err *e = pull_blob(r, &ref, &blob, &got);
    registry_free(r);
    no_error("from the next", e);
    assert_int_equal(got.len, 3000);
    assert_int_equal(fixture_count(&fix, "/bad/"), 1);
    assert_int_equal(fixture_count(&fix, "/good/"), 1);
}

/* What a mirror does not have comes from the next place, too. */
static void test_mirror_without_it(void **state)
{
    AUTO(close_client) struct client c;
    struct fetched_manifest m = { 0 };
    struct digest d;
    bool found = false;

    (void)state;
    reset("{}");
    open_client(&c, NOBODY, fix.port, NULL);
    struct ref there = ref_of(&c, "good/library/busybox", "1");
    struct ref ref = { .domain = (char *)(uintptr_t) "docker.io",
                       .path = (char *)(uintptr_t) "library/busybox",
                       .tag = (char *)(uintptr_t) "1" };
    no_error("put", registry_put_manifest(c.registry, &there, MEDIA_OCI_MANIFEST, "{}", 2, NULL, &d));
    struct registry *r = mirrored(&c);
    struct err *e = registry_get_manifest(r, &ref, &m, &found);
    registry_free(r);
    no_error("from the next", e);
    assert_true(found);
    assert_string_equal(m.text, "{}");
    fetched_manifest_release(&m);
    assert_int_equal(fixture_count(&fix, "GET /v2/bad/library/busybox/manifests/1"), 1);
}

/* A registry of another name, with a path in front; plain because it is written so. */
static void test_map(void **state)
{
    AUTO(close_client) struct client c;
    AUTO(buf_release) struct buf got = BUF_INIT;
    struct registry_opts o = { .no_mirror_fallback = true };
    struct registry *mapped = NULL;

    (void)state;
    reset("{}");
    open_client(&c, NOBODY, fix.port, NULL);
    struct descriptor blob = give_blob("mirror/of/team/app", 3000, 9);
    o.http = c.http;
    o.auth = c.auth;
    strs_add(&o.mirrors, "other.example=nowhere.example");
    strs_take(&o.mirrors, xasprintf("Reg.Example=http://127.0.0.1:%d/mirror/of/", fix.port));
    no_error("registry", registry_new(&o, &mapped));
    strs_release(&o.mirrors);
    struct ref ref = { .domain = (char *)(uintptr_t) "reg.example", .path = (char *)(uintptr_t) "team/app" };
    struct err *e = pull_blob(mapped, &ref, &blob, &got);
    registry_free(mapped);
    no_error("by the map", e);
    assert_int_equal(got.len, 3000);
}

/* A host that may be plain is asked by HTTPS if it has that, whichever is tried first. */
static void test_insecure_with_tls(void **state)
{
    AUTO(close_client) struct client c;
    AUTO(buf_release) struct buf got = BUF_INIT;
    struct registry_opts o = { .insecure_pull = true };
    struct registry *insecure = NULL;

    (void)state;
    reset("{}");
    open_client(&c, NOBODY, fix.tls_port, NULL);
    struct descriptor blob = give_blob("team/app", 3000, 9);
    o.http = c.http;
    o.auth = c.auth;
    no_error("registry", registry_new(&o, &insecure));
    struct ref ref = ref_of(&c, "team/app", NULL);
    struct err *e = pull_blob(insecure, &ref, &blob, &got);
    registry_free(insecure);
    no_error("by TLS", e);
    assert_int_equal(fixture_count(&fix, "tls GET /v2/team/app/blobs"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pull),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_mirrors),
        cmocka_unit_test(test_damaged_mirror),
        cmocka_unit_test(test_mirror_without_it),
        cmocka_unit_test(test_map),
        cmocka_unit_test(test_insecure_with_tls),
    };

    return cmocka_run_group_tests_name("registry_pull", tests, fixture_begin, fixture_end);
}
