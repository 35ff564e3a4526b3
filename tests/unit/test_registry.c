#include "../fixtures/registry_client.h"

#include <pthread.h>

static const struct strs no_tags;

/* ---- WWW-Authenticate ---- */

static const struct {
    const char *header;
    enum challenge_scheme scheme;
    const char *realm, *service, *scope, *error;
} challenges[] = {
    { "", CHALLENGE_NONE, NULL, NULL, NULL, NULL },
    { "Basic", CHALLENGE_BASIC, NULL, NULL, NULL, NULL },
    { "basic realm=\"a b\"", CHALLENGE_BASIC, "a b", NULL, NULL, NULL },
    { "Bearer realm=\"https://a/t\",service=\"s\",scope=\"repository:a:pull,push\"", CHALLENGE_BEARER, "https://a/t",
      "s", "repository:a:pull,push", NULL },
    { "BEARER scope=\"x y\" , REALM = \"https://a\" ,error=\"insufficient_scope\"", CHALLENGE_BEARER, "https://a", NULL,
      "x y", "insufficient_scope" },
    { "Bearer realm=https://a/t?x=1,service=s", CHALLENGE_BEARER, "https://a/t?x=1", "s", NULL, NULL },
    { "Bearer service=\"s\"", CHALLENGE_NONE, NULL, NULL, NULL, NULL },
    { "Bearer realm=\"\"", CHALLENGE_NONE, NULL, NULL, NULL, NULL },
    { "Bearer service=\"s\", Basic realm=\"r\"", CHALLENGE_BASIC, "r", NULL, NULL, NULL },
    { "Negotiate, Bearer realm=\"https://a\"", CHALLENGE_BEARER, "https://a", NULL, NULL, NULL },
    { "Negotiate YWJj==, Bearer realm=\"https://a\"", CHALLENGE_BEARER, "https://a", NULL, NULL, NULL },
    { "Digest realm=\"Bearer realm=x\", nonce=\"a,b\", Basic realm=\"r\"", CHALLENGE_BASIC, "r", NULL, NULL, NULL },
    { "Basic realm=\"r\", Bearer realm=\"https://a\"", CHALLENGE_BASIC, "r", NULL, NULL, NULL },
    { "Bearer realm=\"a\\\"b\\\\c\"", CHALLENGE_BEARER, "a\"b\\c", NULL, NULL, NULL },
    { "Bearer realm=\"open", CHALLENGE_BEARER, "open", NULL, NULL, NULL },
    { "Bearer realm=\"open\\", CHALLENGE_BEARER, "open\\", NULL, NULL, NULL },
    { "Bearer realm=\"a\",realm=\"b\"", CHALLENGE_BEARER, "a", NULL, NULL, NULL },
    { ",,, Bearer ,realm=\"a\",,service=\"s\",", CHALLENGE_BEARER, "a", "s", NULL, NULL },
    { "\"x\", Basic realm=\"r\"", CHALLENGE_BASIC, "r", NULL, NULL, NULL },
    { "Bearerrealm=\"a\"", CHALLENGE_NONE, NULL, NULL, NULL, NULL },
    { "Bearer\trealm=\"a\"", CHALLENGE_BEARER, "a", NULL, NULL, NULL },
    { "Bearer realm=\"a\",unknown=1,service=s", CHALLENGE_BEARER, "a", "s", NULL, NULL },
};

static bool same(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static void test_challenge(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(challenges) / sizeof(challenges[0]); i++) {
        struct challenge c;

        challenge_parse(challenges[i].header, &c);
        bool good = c.scheme == challenges[i].scheme && same(c.realm, challenges[i].realm) &&
                    same(c.service, challenges[i].service) && same(c.scope, challenges[i].scope) &&
                    same(c.error, challenges[i].error);
        if (!good)
            fail_msg("'%s' gave scheme %d realm '%s'", challenges[i].header, c.scheme, c.realm ? c.realm : "-");
        challenge_release(&c);
    }
}

/* ---- who may pull and push ---- */

static const struct {
    const char *name, *settings;
    enum who who;
    const char *pull, *push; /* an error's text, NULL = it works */
} rights[] = {
    { "open", "{}", NOBODY, NULL, NULL },
    { "open, needless credentials", "{}", USER, NULL, NULL },
    { "basic", "{'auth':'basic'}", USER, NULL, NULL },
    { "basic, nobody", "{'auth':'basic'}", NOBODY, "No credentials are known", "No credentials are known" },
    { "basic, wrong", "{'auth':'basic'}", WRONG, "'user' from the test", "'user' from the test" },
    { "bearer", "{'auth':'bearer'}", USER, NULL, NULL },
    { "bearer, access_token", "{'auth':'bearer','token_field':'access_token','expires_in':300}", USER, NULL, NULL },
    { "bearer by POST", "{'auth':'bearer','token_get':false}", USER, NULL, NULL },
    { "bearer, identity token", "{'auth':'bearer','token_get':false}", IDENTITY, NULL, NULL },
    { "bearer, nobody", "{'auth':'bearer'}", NOBODY, "refused pull on repository 'team/app'",
      "No credentials are known" },
    { "bearer, nobody may pull", "{'auth':'bearer','anonymous_pull':true}", NOBODY, NULL,
      "refused push on repository 'team/app'" },
    { "bearer, wrong but anonymous works", "{'auth':'bearer','anonymous_pull':true}", WRONG, NULL,
      "invalid user or password" },
    { "bearer, wrong", "{'auth':'bearer'}", WRONG, "invalid user or password", "refused push" },
    { "bearer, pull only", "{'auth':'bearer','deny_push':true}", USER, NULL, "refused push on repository 'team/app'" },
    { "bearer, a ready token", "{'auth':'bearer'}", TOKEN, "token from config.json", "token from config.json" },
    { "token service of the node", "{'auth':'bearer','realm':'http://169.254.1.1/token'}", USER, "at a local address",
      "at a local address" },
    { "no usable token", "{'auth':'bearer','token_field':'other'}", USER, "sent no token", "sent no token" },
    { "no token service", "{'auth':'bearer','rules':[{'match':'/token','status':500,'times':-1}]}", USER,
      "gave no token", "gave no token" },
};

static void check_right(const char *name, struct err *e, const char *text)
{
    if (!text)
        no_error(name, e);
    else if (strstr(text, "local address") || strstr(text, "sent no"))
        expect_error(name, e, ERR_REGISTRY, text);
    else
        expect_error(name, e, strstr(text, "gave no") ? ERR_NETWORK : ERR_AUTH, text);
}

static void test_rights(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rights) / sizeof(rights[0]); i++) {
        AUTO(close_client) struct client c;
        struct fetched_manifest m = { 0 };
        bool found = true;

        reset(rights[i].settings);
        open_client(&c, rights[i].who, fix.port, NULL);
        struct ref ref = ref_of(&c, "team/app", "1.0");
        check_right(rights[i].name, registry_get_manifest(c.registry, &ref, &m, &found), rights[i].pull);
        if (!rights[i].pull)
            assert_false(found);
        check_right(rights[i].name, registry_check_push(c.registry, &ref, &no_tags), rights[i].push);
    }
}

#define PROBES 1 /* how the server is reached is found out by a request without a token */

static void test_tokens_are_shared(void **state)
{
    AUTO(close_client) struct client c;
    struct descriptor blob;
    bool found = false;

    (void)state;
    reset("{'auth':'bearer','expires_in':300}");
    blob = give_blob("team/app", 1000, 1);
    open_client(&c, USER, fix.port, NULL);
    struct ref ref = ref_of(&c, "team/app", "1.0"), other = ref_of(&c, "team/other", "1.0");
    for (int i = 0; i < 5; i++)
        no_error("has", registry_has_blob(c.registry, &ref, &blob.digest, &found));
    assert_true(found);
    assert_int_equal(fixture_count(&fix, "/token"), 1);
    assert_int_equal(fixture_count(&fix, "-> 401"), 1 + PROBES);
    no_error("other", registry_has_blob(c.registry, &other, &blob.digest, &found));
    assert_false(found);
    assert_int_equal(fixture_count(&fix, "/token"), 2);
    no_error("push", registry_check_push(c.registry, &ref, &no_tags));
    no_error("pull with the token for push", registry_has_blob(c.registry, &ref, &blob.digest, &found));
    assert_int_equal(fixture_count(&fix, "/token"), 3);
    assert_int_equal(fixture_count(&fix, "scope=repository%3Ateam%2Fapp%3Apull&account=user auth=Basic_"), 1);
}

static void test_token_ends(void **state)
{
    AUTO(close_client) struct client c;
    struct descriptor blob;
    bool found = false;

    (void)state;
    reset("{'auth':'bearer','expires_in':1}");
    blob = give_blob("team/app", 1000, 1);
    open_client(&c, USER, fix.port, NULL);
    struct ref ref = ref_of(&c, "team/app", NULL);
    no_error("first", registry_has_blob(c.registry, &ref, &blob.digest, &found));
    usleep(2100000);
    no_error("renewed by the clock", registry_has_blob(c.registry, &ref, &blob.digest, &found));
    assert_int_equal(fixture_count(&fix, "/token"), 2);
    assert_int_equal(fixture_count(&fix, "-> 401"), 1 + PROBES);

    fixture_set(&fix, "{'auth':'bearer','rules':[{'match':'HEAD','skip':1,'expire':true}]}");
    usleep(1100000);
    no_error("lives longer", registry_has_blob(c.registry, &ref, &blob.digest, &found));
    no_error("renewed by a refusal", registry_has_blob(c.registry, &ref, &blob.digest, &found));
    assert_true(found);
    assert_int_equal(fixture_count(&fix, "-> 401"), 1);
    assert_int_equal(fixture_count(&fix, "/token"), 2);
}

static struct err *ask_tls(const char *settings)
{
    AUTO(close_client) struct client c;
    bool found;
    struct descriptor blob = describe("x", 1);

    reset(settings);
    open_client(&c, USER, fix.tls_port, NULL);
    struct ref ref = ref_of(&c, "team/app", NULL);
    return registry_has_blob(c.registry, &ref, &blob.digest, &found);
}

static void test_realm_must_be_https(void **state)
{
    AUTO_FREE char *set = xasprintf("{'auth':'bearer','realm':'http://127.0.0.1:%d/token'}", fix.port);

    (void)state;
    expect_error("http realm", ask_tls(set), ERR_REGISTRY, "is not https");
    assert_int_equal(fixture_count(&fix, "/token"), 0);
    no_error("https realm", ask_tls("{'auth':'bearer'}"));
    assert_int_equal(fixture_count(&fix, "tls GET /token"), 1);
}

struct asking {
    struct registry *r;
    struct ref ref;
    struct err *error;
};

static void *ask_in_thread(void *ctx)
{
    struct asking *a = ctx;
    const struct descriptor blob = describe("x", 1);
    bool found;

    a->error = registry_has_blob(a->r, &a->ref, &blob.digest, &found);
    return NULL;
}

/* While a token is asked for, another answer names a service that nobody may be sent to. */
static void test_realm_changes(void **state)
{
    AUTO(close_client) struct client c;
    pthread_t t;

    (void)state;
    reset("{'auth':'bearer','rules':[{'match':'GET /token','status':405,'delay':3},"
          "{'match':'HEAD /v2/team/other','status':401,"
          "'headers':{'WWW-Authenticate':'Bearer realm=http://169.254.1.1/token'}}]}");
    open_client(&c, USER, fix.port, NULL);
    struct asking one = { c.registry, ref_of(&c, "team/app", NULL), NULL };
    struct asking other = { c.registry, ref_of(&c, "team/other", NULL), NULL };
    pthread_create(&t, NULL, ask_in_thread, &one);
    while (!fixture_count(&fix, "waits: GET /token"))
        usleep(1000);
    (void)ask_in_thread(&other);
    expect_error("named it", other.error, ERR_AUTH, "refused pull on repository 'team/other'");
    pthread_join(t, NULL);
    expect_error("goes on there", one.error, ERR_REGISTRY, "at a local address");
}

/* ---- manifests ---- */

static const char manifest_text[] = "{\"schemaVersion\":2}";

static void test_manifests(void **state)
{
    AUTO(close_client) struct client c;
    struct fetched_manifest m = { 0 };
    struct digest d = { "" };
    bool found = false;

    (void)state;
    reset("{'auth':'bearer'}");
    open_client(&c, USER, fix.port, NULL);
    struct ref ref = ref_of(&c, "team/app", "1.0");
    no_error("put", registry_put_manifest(c.registry, &ref, MEDIA_OCI_MANIFEST, manifest_text, strlen(manifest_text),
                                          NULL, &d));
    no_error("get", registry_get_manifest(c.registry, &ref, &m, &found));
    assert_true(found);
    assert_string_equal(m.text, manifest_text);
    assert_int_equal(m.len, strlen(manifest_text));
    assert_string_equal(m.media_type, MEDIA_OCI_MANIFEST);
    assert_true(digest_equal(&m.digest, &d));
    fetched_manifest_release(&m);

    struct ref by_digest = ref_of(&c, "team/app", "1.0");
    by_digest.digest = d.text;
    no_error("by digest", registry_get_manifest(c.registry, &by_digest, &m, &found));
    assert_true(found);
    fetched_manifest_release(&m);
    assert_int_equal(fixture_count(&fix, "GET /v2/team/app/manifests/sha256:"), 1);

    fixture_set(&fix, "{'auth':'bearer','rules':[{'match':'manifests','corrupt':true,'times':-1}]}");
    expect_error("by tag", registry_get_manifest(c.registry, &ref, &m, &found), ERR_REGISTRY,
                 "manifest of 'team/app' is damaged");
    assert_int_equal(fixture_count(&fix, "GET /v2/team/app/manifests"), 2);
    expect_error("by digest", registry_get_manifest(c.registry, &by_digest, &m, &found), ERR_REGISTRY, d.text);
    fixture_set(&fix, "{'auth':'bearer','rules':[{'match':'manifests','corrupt':true}]}");
    no_error("damaged once", registry_get_manifest(c.registry, &ref, &m, &found));
    assert_string_equal(m.text, manifest_text);
    fetched_manifest_release(&m);

    struct ref missing = ref_of(&c, "team/app", "2.0");
    no_error("missing", registry_get_manifest(c.registry, &missing, &m, &found));
    assert_false(found);
}

#define UNKNOWN                                                                                                        \
    "'status':400,'body':'{\\\"errors\\\":[{\\\"code\\\":\\\"MANIFEST_BLOB_UNKNOWN\\\",\\\"message\\\":\\\"blob "      \
    "unknown\\\",\\\"detail\\\":{\\\"digest\\\":\\\"d\\\"}}]}'"

static const struct {
    const char *name, *rules, *error;
    enum err_kind kind;
    int puts;
} manifest_puts[] = {
    { "plain", "", NULL, 0, 1 },
    { "throttled", "{'match':'PUT','status':429}", NULL, 0, 2 },
    { "replica is late", "{'match':'PUT'," UNKNOWN "}", NULL, 0, 2 },
    { "blob missing", "{'match':'PUT','times':-1," UNKNOWN "}",
      "MANIFEST_BLOB_UNKNOWN: blob unknown ({\"digest\":\"d\"})", ERR_REGISTRY, 5 },
    { "stored as something else",
      "{'match':'PUT','status':201,'headers':{'Docker-Content-Digest':'sha256:"
      "0000000000000000000000000000000000000000000000000000000000000000'}}",
      "instead of sha256:", ERR_REGISTRY, 1 },
    { "locked", "{'match':'PUT','status':405,'times':-1}", "may be locked", ERR_REGISTRY, 1 },
    { "down", "{'match':'PUT','status':503,'times':-1}", "not available", ERR_NETWORK, 3 },
    { "page of a proxy", "{'match':'PUT','status':403,'body':'<html>x</html>','headers':{'Content-Type':'text/html'}}",
      "refused push on repository 'team/app'", ERR_AUTH, 1 },
    { "text", "{'match':'PUT','status':418,'body':'short and stout\\nmore','headers':{'Content-Type':'text/plain'}}",
      "status 418: short and stout\n", ERR_REGISTRY, 1 },
};

static void test_put_manifest(void **state)
{
    AUTO(close_client) struct client c;

    (void)state;
    open_client(&c, NOBODY, fix.port, NULL);
    struct ref ref = ref_of(&c, "team/app", "1.0");
    for (size_t i = 0; i < sizeof(manifest_puts) / sizeof(manifest_puts[0]); i++) {
        AUTO_FREE char *set = xasprintf("{'rules':[%s]}", manifest_puts[i].rules);
        struct digest d;

        reset(set);
        struct err *e =
            registry_put_manifest(c.registry, &ref, MEDIA_OCI_MANIFEST, manifest_text, strlen(manifest_text), NULL, &d);
        if (manifest_puts[i].error)
            expect_error(manifest_puts[i].name, e, manifest_puts[i].kind, manifest_puts[i].error);
        else
            no_error(manifest_puts[i].name, e);
        int puts = fixture_count(&fix, "PUT");
        if (puts != manifest_puts[i].puts)
            fail_msg("%s: %d requests", manifest_puts[i].name, puts);
    }
}

static struct err *count_calls(void *ctx)
{
    ++*(int *)ctx;
    return NULL;
}

/* Each time that the registry lacks a blob they are pushed again, before the manifest is. */
static void test_blobs_again(void **state)
{
    AUTO(close_client) struct client c;
    int calls = 0;
    const struct blobs_again again = { count_calls, &calls };
    struct digest d;

    (void)state;
    reset("{'rules':[{'match':'PUT','times':2," UNKNOWN "}]}");
    open_client(&c, NOBODY, fix.port, NULL);
    struct ref ref = ref_of(&c, "team/app", "1.0");
    no_error("put", registry_put_manifest(c.registry, &ref, MEDIA_OCI_MANIFEST, manifest_text, strlen(manifest_text),
                                          &again, &d));
    assert_int_equal(calls, 2);
    assert_int_equal(fixture_count(&fix, "PUT /v2/team/app/manifests"), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_challenge),           cmocka_unit_test(test_rights),
        cmocka_unit_test(test_tokens_are_shared),   cmocka_unit_test(test_token_ends),
        cmocka_unit_test(test_realm_must_be_https), cmocka_unit_test(test_realm_changes),
        cmocka_unit_test(test_manifests),           cmocka_unit_test(test_put_manifest),
        cmocka_unit_test(test_blobs_again),
    };

    return cmocka_run_group_tests_name("registry", tests, fixture_begin, fixture_end);
}
