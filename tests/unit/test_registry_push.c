#include "../fixtures/registry_client.h"

#include <pthread.h>

static const struct strs no_tags;

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

/* Each request is sent so many more times, whatever it is for; a broken body too. */
static void test_more_tries(void **state)
{
    static const struct {
        const char *name, *rule, *count;
        size_t size;
        int usual; /* times that it is sent without more tries, if it never works */
    } rows[] = {
        { "throttled", "'match':'POST','status':429", "POST /v2/team/app/blobs", SMALL, 3 },
        { "server error", "'match':'HEAD','status':502", "HEAD /v2/team/app/blobs", SMALL, 3 },
        { "upload", "'match':'PATCH','status':503", "PATCH /v2/team/app/blobs", LARGE, 5 },
    };

    (void)state;
    for (size_t i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++) {
        int more = i % 2 ? 3 : 0;
        AUTO(close_client) struct client c;
        AUTO_FREE char *set = xasprintf("{'rules':[{%s,'times':-1}]}", rows[i / 2].rule);
        AUTO_FREE char *data = content(rows[i / 2].size, 5);
        AUTO_CLOSE int fd = file_of(data, rows[i / 2].size);
        const struct blob_source source = { open_again, &fd };
        struct descriptor blob = describe(data, rows[i / 2].size);
        enum blob_result result;

        reset(set);
        open_client(&c, NOBODY, fix.port, NULL);
        struct registry *r = persistent(&c, 0, more);
        struct ref ref = ref_of(&c, "team/app", NULL);
        expect_error(rows[i / 2].name, registry_push_blob(r, &ref, &blob, &source, NULL, &result), ERR_NETWORK, "");
        registry_free(r);
        if (fixture_count(&fix, rows[i / 2].count) != rows[i / 2].usual + more)
            fail_msg("%s, %d more: %d requests", rows[i / 2].name, more, fixture_count(&fix, rows[i / 2].count));
    }
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
    no_error("check", registry_check_push(c.registry, &ref, &no_tags));
    assert_int_equal(fixture_count(&fix, "DELETE"), 0);
    assert_int_equal(fixture_count(&fix, "/token"), 1);
    no_error("DELETE needs a right of its own", registry_check_push(c.registry, &ref, &no_tags));
    assert_int_equal(fixture_count(&fix, "DELETE"), 1);
    registry_end_push(c.registry);
    assert_int_equal(fixture_count(&fix, "DELETE"), 2);
    registry_end_push(c.registry);
    assert_int_equal(fixture_count(&fix, "DELETE"), 2);
    assert_int_equal(fixture_count(&fix, "/token"), 1);
}

/* The upload that a check began is the first blob's, if that goes to the same repository. */
static void test_kept_upload(void **state)
{
    static const struct {
        const char *name, *settings, *repo;
        int posts, deletes; /* with that of the check, and one without a token */
    } rows[] = {
        { "used", "{}", "team/app", 1, 0 },
        { "with a token", "{'auth':'bearer'}", "team/app", 2, 0 },
        { "another repository", "{}", "team/other", 2, 1 },
        { "ended by the server", "{'rules':[{'match':'uploads/u1','status':404,'times':-1}]}", "team/app", 2, 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        AUTO(close_client) struct client c;
        AUTO_FREE char *data = content(SMALL, 31);
        AUTO_CLOSE int fd = file_of(data, SMALL);
        struct descriptor blob = describe(data, SMALL);
        enum blob_result result;

        reset(rows[i].settings);
        open_client(&c, USER, fix.port, NULL);
        struct ref checked = ref_of(&c, "team/app", NULL), ref = ref_of(&c, rows[i].repo, NULL);
        no_error(rows[i].name, registry_check_push(c.registry, &checked, &no_tags));
        struct registry *whole = c.registry;
        c.registry = registry_with_cancel(whole, NULL); /* as a build has it */
        no_error(rows[i].name, push_fd(&c, &ref, &blob, fd, NULL, &result));
        registry_free(c.registry);
        c.registry = whole;
        registry_end_push(whole);
        int posts = fixture_count(&fix, "POST /v2/"), deletes = fixture_count(&fix, "DELETE /v2/");
        if (result != BLOB_UPLOADED || posts != rows[i].posts || deletes != rows[i].deletes)
            fail_msg("%s: result %d, POST %d, DELETE %d", rows[i].name, result, posts, deletes);
    }
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
        TRY(pull_blob(c->registry, &ref, &blob, &got));
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_push),       cmocka_unit_test(test_continued_upload),
        cmocka_unit_test(test_more_tries), cmocka_unit_test(test_mount_without_file),
        cmocka_unit_test(test_check_push), cmocka_unit_test(test_kept_upload),
        cmocka_unit_test(test_threads),
    };

    return cmocka_run_group_tests_name("registry_push", tests, fixture_begin, fixture_end);
}
