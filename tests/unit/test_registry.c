#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above first */
#include <cmocka.h>

#include "../fixtures/fixture.h"
#include "registry/registry.h"

#include <pthread.h>
#include <sys/mman.h>

static struct fixture fix;
static const struct strs no_tags;

static char *print(struct err *e)
{
    char *out = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&out, &n);

    if (e)
        err_print(f, e);
    fclose(f);
    err_free(e);
    return out;
}

static void no_error(const char *name, struct err *e)
{
    if (e) {
        AUTO_FREE char *text = print(e);
        fail_msg("%s: %s", name, text);
    }
}

/* e must be of that kind, say that, and hold nothing secret. */
static void expect_error(const char *name, struct err *e, enum err_kind kind, const char *text)
{
    static const char *const secrets[] = { "pass:word", "token1",         "token2",        "sig=",
                                           "_state",    "identity-token", "wrong-password" };

    if (!e)
        fail_msg("%s: no error, expected '%s'", name, text);
    enum err_kind got = err_kind(e);
    AUTO_FREE char *out = print(e);
    if (got != kind || !strstr(out, text))
        fail_msg("%s: expected kind %d and '%s', got kind %d: %s", name, kind, text, got, out);
    for (size_t i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++)
        if (strstr(out, secrets[i]))
            fail_msg("%s: shows a secret: %s", name, out);
}

/* ---- a registry client for the fixture ---- */

enum who { NOBODY, USER, WRONG, IDENTITY, TOKEN };

struct client {
    struct http *http;
    struct auth *auth;
    struct registry *registry;
    char *domain;
};

static void add_who(struct auth *a, const char *domain, enum who who)
{
    AUTO_FREE char *identity = xasprintf("{\"auths\":{\"%s\":{\"identitytoken\":\"identity-token\"}}}", domain);
    AUTO_FREE char *token = xasprintf("{\"auths\":{\"%s\":{\"registrytoken\":\"given-token\"}}}", domain);

    if (who == USER)
        auth_add_basic(a, domain, "user", "pass:word", "the test");
    else if (who == WRONG)
        auth_add_basic(a, domain, "user", "wrong-password", "the test");
    else if (who == IDENTITY)
        no_error("config", auth_add_docker_config(a, identity, strlen(identity), "config.json"));
    else if (who == TOKEN)
        no_error("config", auth_add_docker_config(a, token, strlen(token), "config.json"));
}

static void open_client(struct client *c, enum who who, int port, const char *mirrors)
{
    struct registry_opts o = { 0 };

    c->domain = xasprintf("127.0.0.1:%d", port);
    no_error("http",
             http_new(&(struct http_opts){ .retries = 2, .retry_delay_ms = 10, .ca_file = FIXTURE_CA }, &c->http));
    c->auth = auth_new();
    add_who(c->auth, c->domain, who);
    o.http = c->http;
    o.auth = c->auth;
    if (port != fix.tls_port)
        strs_add(&o.insecure, c->domain);
    if (mirrors) {
        AUTO_FREE char *list = xstrdup(mirrors);
        char *save = NULL;

        for (char *m = strtok_r(list, ",", &save); m; m = strtok_r(NULL, ",", &save)) {
            strs_take(&o.mirrors, xasprintf("docker.io=%s", m));
            strs_add(&o.insecure, m);
        }
        o.no_mirror_fallback = true;
    }
    no_error("registry", registry_new(&o, &c->registry));
    strs_release(&o.insecure);
    strs_release(&o.mirrors);
}

static void close_client(struct client *c)
{
    registry_free(c->registry);
    auth_free(c->auth);
    http_free(c->http);
    free(c->domain);
}
static void close_client_auto(struct client *c)
{
    close_client(c);
}

static struct ref ref_of(const struct client *c, const char *path, const char *tag)
{
    return (struct ref){ .domain = c->domain, .path = (char *)(uintptr_t)path, .tag = (char *)(uintptr_t)tag };
}

static void reset(const char *settings)
{
    free(fixture_control(&fix, "POST", "/_reset", "", 0));
    fixture_set(&fix, settings);
}

/* n bytes that look different everywhere, for one seed. */
static char *content(size_t n, unsigned seed)
{
    char *p = xcalloc(1, n + 1);
    uint32_t x = seed * 2654435761u + 1;

    for (size_t i = 0; i < n; i++) {
        x = x * 1664525u + 1013904223u;
        p[i] = (char)(x >> 24);
    }
    return p;
}

static struct descriptor describe(const char *p, size_t n)
{
    struct descriptor d = { .media_type = MEDIA_OCI_LAYER_GZIP, .digest = digest_bytes(p, n), .size_bytes = n };

    return d;
}

static int file_of(const char *p, size_t n)
{
    int fd = memfd_create("blob", MFD_CLOEXEC);

    if (fd < 0 || write(fd, p, n) != (ssize_t)n)
        abort();
    return fd;
}

/* The blob's bytes are in that descriptor. */
static struct err *open_again(void *ctx, int *ret_fd, uint64_t *ret_offset)
{
    *ret_offset = 0;
    *ret_fd = dup(*(int *)ctx);
    return *ret_fd < 0 ? err_sys(errno, "cannot duplicate a descriptor") : NULL;
}

static struct err *push_fd(const struct client *c, const struct ref *ref, const struct descriptor *blob, int fd,
                           const char *mount, enum blob_result *ret)
{
    const struct blob_source source = { open_again, &fd };

    return registry_push_blob(c->registry, ref, blob, &source, mount, ret);
}

static struct descriptor give_blob(const char *repo, size_t n, unsigned seed)
{
    AUTO_FREE char *p = content(n, seed);
    AUTO_FREE char *path = xasprintf("/_blob/%s", repo);

    free(fixture_control(&fix, "POST", path, p, n));
    return describe(p, n);
}

static struct err *collect(void *ctx, const void *p, size_t n)
{
    buf_add(ctx, p, n);
    return NULL;
}

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
    assert_int_equal(fixture_count(&fix, "-> 401"), 1);
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
    assert_int_equal(fixture_count(&fix, "-> 401"), 1);

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
    expect_error("by digest", registry_get_manifest(c.registry, &by_digest, &m, &found), ERR_REGISTRY, d.text);

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

/* ---- pulling blobs ---- */

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
    { "wrong bytes", "{'rules':[{'match':'blobs','corrupt':true}]}", 0, "is damaged: expected sha256:", ERR_REGISTRY },
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
        struct err *e = registry_pull_blob(c.registry, &ref, &blob, (struct sink){ collect, &got });
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
    no_error("second mirror", registry_pull_blob(c.registry, &ref, &blob, (struct sink){ collect, &got }));
    assert_int_equal(got.len, 3000);
    no_error("manifest", registry_get_manifest(c.registry, &ref, &m, &found));
    assert_false(found);
    assert_int_equal(fixture_count(&fix, "GET /v2/library/busybox/manifests/latest"), 1);
    expect_error("sink", registry_pull_blob(c.registry, &ref, &blob, (struct sink){ refuse, NULL }), ERR_DISK,
                 "the disk is full");
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
    struct err *e = registry_pull_blob(mapped, &ref, &blob, (struct sink){ collect, &got });
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
    struct err *e = registry_pull_blob(insecure, &ref, &blob, (struct sink){ collect, &got });
    registry_free(insecure);
    no_error("by TLS", e);
    assert_int_equal(fixture_count(&fix, "tls GET /v2/team/app/blobs"), 1);
}

/* ---- pushing blobs ---- */

#define SMALL 5000
#define LARGE 3000000

static const struct {
    const char *name, *settings;
    size_t size;
    const char *mount; /* the blob is there already */
    enum blob_result result;
    const char *error;
    enum err_kind kind;
    int posts, patches, puts; /* that were answered */
} pushes[] = {
    { "small", "{}", SMALL, NULL, BLOB_UPLOADED, NULL, 0, 1, 0, 1 },
    { "empty", "{}", 0, NULL, BLOB_UPLOADED, NULL, 0, 1, 0, 1 },
    { "large", "{}", LARGE, NULL, BLOB_UPLOADED, NULL, 0, 1, 1, 1 },
    { "absolute Location", "{'absolute':true}", LARGE, NULL, BLOB_UPLOADED, NULL, 0, 1, 1, 1 },
    { "basic", "{'auth':'basic'}", LARGE, NULL, BLOB_UPLOADED, NULL, 0, 1, 1, 1 },
    { "bearer", "{'auth':'bearer'}", LARGE, NULL, BLOB_UPLOADED, NULL, 0, 1, 1, 1 },
    { "mounted", "{'auth':'bearer'}", SMALL, "team/base", BLOB_MOUNTED, NULL, 0, 1, 0, 0 },
    { "mount not granted", "{'auth':'bearer','mount':false}", SMALL, "team/base", BLOB_UPLOADED, NULL, 0, 1, 0, 1 },
    { "mount not allowed", "{'auth':'bearer','deny_from':['team/base']}", SMALL, "team/base", BLOB_UPLOADED, NULL, 0, 2,
      0, 1 },
    { "token too old at the PATCH", "{'auth':'bearer','rules':[{'match':'PATCH','expire':true}]}", LARGE, NULL,
      BLOB_UPLOADED, NULL, 0, 1, 2, 1 },
    { "token too old at the PUT", "{'auth':'bearer','rules':[{'match':'PUT','expire':true}]}", LARGE, NULL,
      BLOB_UPLOADED, NULL, 0, 1, 1, 2 },
    { "connection lost, goes on", "{'rules':[{'match':'PATCH','eat':1000000}]}", LARGE, NULL, BLOB_UPLOADED, NULL, 0, 1,
      1, 1 },
    { "connection lost, begins again", "{'patch_resume':false,'rules':[{'match':'PATCH','eat':1000000}]}", LARGE, NULL,
      BLOB_UPLOADED, NULL, 0, 2, 1, 1 },
    { "connection lost in a small PUT", "{'rules':[{'match':'PUT','eat':1000,'keep':false}]}", SMALL, NULL,
      BLOB_UPLOADED, NULL, 0, 1, 0, 1 },
    { "503 at the POST", "{'rules':[{'match':'POST','status':503}]}", SMALL, NULL, BLOB_UPLOADED, NULL, 0, 2, 0, 1 },
    { "429 at the POST", "{'rules':[{'match':'POST','status':429,'headers':{'Retry-After':'1'}}]}", SMALL, NULL,
      BLOB_UPLOADED, NULL, 0, 2, 0, 1 },
    { "429 at the PATCH", "{'rules':[{'match':'PATCH','status':429,'headers':{'Retry-After':'1'}}]}", LARGE, NULL,
      BLOB_UPLOADED, NULL, 0, 1, 2, 1 },
    { "416 at the PUT", "{'rules':[{'match':'PUT','status':416}]}", LARGE, NULL, BLOB_UPLOADED, NULL, 0, 2, 2, 2 },
    { "session lost", "{'rules':[{'match':'uploads/u1','status':404,'times':-1}]}", LARGE, NULL, BLOB_UPLOADED, NULL, 0,
      2, 2, 1 },
    { "wrong digest once",
      "{'rules':[{'match':'PUT','status':400,'body':'{\\\"errors\\\":[{\\\"code\\\":\\\"DIGEST_INVALID\\\"}]}'}]}",
      SMALL, NULL, BLOB_UPLOADED, NULL, 0, 2, 0, 2 },
    { "not allowed", "{'auth':'bearer','deny_push':true}", SMALL, NULL, 0, "refused push on repository 'team/app'",
      ERR_AUTH, 0, 0, 0 },
    { "too large", "{'rules':[{'match':'PATCH','status':413,'times':-1}]}", LARGE, NULL, 0, "limits the size",
      ERR_REGISTRY, 1, 1, 0 },
    { "never works", "{'rules':[{'match':'PATCH','status':500,'times':-1}]}", LARGE, NULL, 0,
      "cannot push blob sha256:", ERR_NETWORK, 3, 5, 0 },
    { "no Location", "{'rules':[{'match':'POST','status':202}]}", SMALL, NULL, 0, "without a Location", ERR_REGISTRY, 1,
      0, 0 },
};

/* Requests with that method that the registry answered otherwise than with 401 to somebody without a token. */
static int answered(const char *method)
{
    AUTO_FREE char *text = xasprintf("%s /v2/team/app", method);
    AUTO_FREE char *log = fixture_log(&fix);
    int n = 0;

    for (char *line = log, *end; (end = strchr(line, '\n')); line = end + 1) {
        *end = '\0';
        n += strstr(line, text) && !strstr(line, "auth=- range=- crange=- len=0 -> 401");
    }
    return n;
}

static void check_requests(size_t i)
{
    const int got[] = { answered("POST"), answered("PATCH"), answered("PUT") };
    const int want[] = { pushes[i].posts, pushes[i].patches, pushes[i].puts };

    if (memcmp(got, want, sizeof(got)) == 0 || (pushes[i].error && pushes[i].kind == ERR_AUTH))
        return;
    AUTO_FREE char *log = fixture_log(&fix);
    fail_msg("%s: POST %d PATCH %d PUT %d\n%s", pushes[i].name, got[0], got[1], got[2], log);
}

static void check_push(size_t i)
{
    AUTO(close_client) struct client c;
    AUTO_FREE char *data = content(pushes[i].size, 21);
    AUTO_CLOSE int fd = file_of(data, pushes[i].size);
    struct descriptor blob = describe(data, pushes[i].size);
    enum blob_result result = BLOB_EXISTED;
    bool found = false;

    reset(pushes[i].settings);
    if (pushes[i].mount)
        (void)give_blob(pushes[i].mount, pushes[i].size, 21);
    open_client(&c, USER, fix.port, NULL);
    struct ref ref = ref_of(&c, "team/app", "1.0");
    struct err *e = push_fd(&c, &ref, &blob, fd, pushes[i].mount, &result);
    check_requests(i);
    if (pushes[i].error) {
        expect_error(pushes[i].name, e, pushes[i].kind, pushes[i].error);
        return;
    }
    no_error(pushes[i].name, e);
    if (result != pushes[i].result)
        fail_msg("%s: result %d", pushes[i].name, result);
    no_error(pushes[i].name, push_fd(&c, &ref, &blob, fd, NULL, &result));
    assert_int_equal(result, BLOB_EXISTED); /* so the fixture has the very bytes */
    no_error(pushes[i].name, registry_has_blob(c.registry, &ref, &blob.digest, &found));
    assert_true(found);
}

static void test_push(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(pushes) / sizeof(pushes[0]); i++)
        check_push(i);
}

static void test_continued_upload(void **state)
{
    AUTO(close_client) struct client c;
    AUTO_FREE char *data = content(LARGE, 22);
    AUTO_CLOSE int fd = file_of(data, LARGE);
    struct descriptor blob = describe(data, LARGE);
    enum blob_result result;

    (void)state;
    reset("{'rules':[{'match':'PATCH','eat':1000000}]}");
    open_client(&c, NOBODY, fix.port, NULL);
    struct ref ref = ref_of(&c, "team/app", NULL);
    no_error("push", push_fd(&c, &ref, &blob, fd, NULL, &result));
    assert_int_equal(fixture_count(&fix, "crange=1000000-2999999 len=2000000 -> 202"), 1);
}

/* What need not be sent is not opened. */
static struct err *must_not_open(void *ctx, int *ret_fd, uint64_t *ret_offset)
{
    (void)ctx, (void)ret_fd, (void)ret_offset;
    return err_new(ERR_BUG, "the blob was opened");
}

static void test_mount_without_file(void **state)
{
    AUTO(close_client) struct client c;
    const struct blob_source none = { must_not_open, NULL };
    enum blob_result result;

    (void)state;
    reset("{'auth':'bearer'}");
    struct descriptor blob = give_blob("team/base", SMALL, 3), missing = describe("nowhere", 7);
    open_client(&c, USER, fix.port, NULL);
    struct ref ref = ref_of(&c, "team/app", NULL);
    expect_error("no source", registry_push_blob(c.registry, &ref, &blob, &none, NULL, &result), ERR_BUG, "was opened");
    expect_error("missing", registry_push_blob(c.registry, &ref, &missing, &none, "team/base", &result), ERR_BUG,
                 "was opened");
    no_error("mount", registry_push_blob(c.registry, &ref, &blob, &none, "team/base", &result));
    assert_int_equal(result, BLOB_MOUNTED);
    no_error("there", registry_push_blob(c.registry, &ref, &blob, &none, "team/base", &result));
    assert_int_equal(result, BLOB_EXISTED);
    assert_int_equal(fixture_count(&fix, "from=team%2Fbase auth=Bearer_"), 2);
}

static void test_check_push(void **state)
{
    AUTO(close_client) struct client c;

    (void)state;
    reset("{'auth':'bearer','rules':[{'match':'DELETE','status':401,'headers':{'WWW-Authenticate':'Basic'}}]}");
    open_client(&c, USER, fix.port, NULL);
    struct ref ref = ref_of(&c, "team/app", NULL);
    no_error("DELETE needs a right of its own", registry_check_push(c.registry, &ref, &no_tags));
    assert_int_equal(fixture_count(&fix, "DELETE"), 1);
    assert_int_equal(fixture_count(&fix, "/token"), 1);
    no_error("again", registry_check_push(c.registry, &ref, &no_tags));
    assert_int_equal(fixture_count(&fix, "/token"), 1);
}

/* ---- several threads ---- */

struct work {
    struct client *c;
    unsigned seed;
    struct err *error;
};

static struct err *push_and_pull(struct client *c, unsigned seed)
{
    struct ref ref = ref_of(c, "team/app", NULL);

    for (unsigned i = 0; i < 4; i++) {
        size_t n = i % 2 ? SMALL : 1200000;
        AUTO_FREE char *data = content(n, seed * 100 + i);
        AUTO_CLOSE int fd = file_of(data, n);
        AUTO(buf_release) struct buf got = BUF_INIT;
        struct descriptor blob = describe(data, n);
        enum blob_result result;

        TRY(push_fd(c, &ref, &blob, fd, NULL, &result));
        TRY(registry_pull_blob(c->registry, &ref, &blob, (struct sink){ collect, &got }));
        if (result != BLOB_UPLOADED || got.len != n || memcmp(got.data, data, n) != 0)
            return err_new(ERR_BUG, "other bytes came back");
    }
    return NULL;
}

static void *work(void *ctx)
{
    struct work *w = ctx;

    w->error = push_and_pull(w->c, w->seed);
    return NULL;
}

static void test_threads(void **state)
{
    AUTO(close_client) struct client c;
    struct work w[4];
    pthread_t t[4];

    (void)state;
    reset(
        "{'auth':'bearer','redirect_blobs':true,'expires_in':300,'rules':[{'match':'PATCH','skip':2,'expire':true}]}");
    open_client(&c, USER, fix.port, NULL);
    for (size_t i = 0; i < 4; i++) {
        w[i] = (struct work){ &c, (unsigned)i, NULL };
        pthread_create(&t[i], NULL, work, &w[i]);
    }
    for (size_t i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    for (size_t i = 0; i < 4; i++)
        no_error("thread", w[i].error);
    /* One for pushing and one after it was too old: the threads wait for each other's. A pull that comes between the
     * end of the old one and the new one finds neither, and asks for its own narrower scope: once, for it is then kept.
     */
    assert_int_equal(fixture_count(&fix, "pull%2Cpush"), 2);
    assert_in_range(fixture_count(&fix, "/token"), 2, 3);
}

static int start(void **state)
{
    static const char *const proxies[] = { "http_proxy",  "HTTP_PROXY", "https_proxy",
                                           "HTTPS_PROXY", "ALL_PROXY",  "all_proxy" };

    (void)state;
    for (size_t i = 0; i < sizeof(proxies) / sizeof(proxies[0]); i++)
        unsetenv(proxies[i]);
    fixture_start(&fix);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    fixture_stop(&fix);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_challenge),
        cmocka_unit_test(test_rights),
        cmocka_unit_test(test_tokens_are_shared),
        cmocka_unit_test(test_token_ends),
        cmocka_unit_test(test_realm_must_be_https),
        cmocka_unit_test(test_manifests),
        cmocka_unit_test(test_put_manifest),
        cmocka_unit_test(test_pull),
        cmocka_unit_test(test_mirrors),
        cmocka_unit_test(test_map),
        cmocka_unit_test(test_insecure_with_tls),
        cmocka_unit_test(test_blobs_again),
        cmocka_unit_test(test_push),
        cmocka_unit_test(test_continued_upload),
        cmocka_unit_test(test_mount_without_file),
        cmocka_unit_test(test_check_push),
        cmocka_unit_test(test_threads),
    };

    return cmocka_run_group_tests_name("registry", tests, start, stop);
}
