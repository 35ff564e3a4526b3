/* Uploads of blobs that grow, and sessions that are given up. */
#include "../fixtures/registry_client.h"

#include <pthread.h>

#define PART 2000000
#define ALL  (3 * PART + 1000)

static int open_uploads(void)
{
    AUTO_FREE char *text = fixture_control(&fix, "GET", "/_uploads", "", 0);

    return atoi(text);
}

static const struct {
    const char *name, *settings;
    const char *log[4]; /* what must be there of the requests */
    const char *error;
    enum err_kind kind;
} grown[] = {
    { "parts",
      "{}",
      { "PATCH /v2/team/app/blobs/uploads/u1?_state=2%3D auth=- range=- crange=0-1999999 len=2000000 -> 202",
        "crange=2000000-3999999 len=2000000 -> 202", "crange=4000000-5999999 len=2000000 -> 202",
        "crange=6000000-6000999 len=1000 -> 202" },
      NULL,
      0 },
    { "a part breaks, and goes on",
      "{'rules':[{'match':'PATCH','skip':1,'eat':500000}]}",
      { "crange=0-1999999 len=2000000 -> 202", "crange=2500000-3999999 len=1500000 -> 202",
        "crange=4000000-5999999 len=2000000 -> 202", "crange=6000000-6000999 len=1000 -> 202" },
      NULL,
      0 },
    { "the session is lost",
      "{'rules':[{'match':'uploads/u1','skip':1,'status':404,'times':-1}]}",
      { "uploads/u4?_state=5%3D auth=- range=- crange=0-3999999 len=4000000 -> 202", "crange=4000000-5999999" },
      NULL,
      0 },
    { "the token ends on the way",
      "{'auth':'bearer','rules':[{'match':'PATCH','skip':2,'expire':true}]}",
      { "crange=4000000-5999999 len=2000000 -> 401", "crange=4000000-5999999 len=2000000 -> 202" },
      NULL,
      0 },
    { "not what was sent",
      "{'rules':[{'match':'PUT','status':400,'body':'{\\\"errors\\\":[{\\\"code\\\":\\\"DIGEST_INVALID\\\"}]}'}]}",
      { "crange=6000000-6000999 len=1000 -> 202", "crange=0-6000999 len=6001000 -> 202" },
      NULL,
      0 },
    { "no right", "{'auth':'bearer','deny_push':true}", { NULL }, "refused push on repository 'team/app'", ERR_AUTH },
    { "a part never arrives",
      "{'rules':[{'match':'PATCH','skip':1,'status':500,'times':-1}]}",
      { "crange=0-1999999 len=2000000 -> 202", "DELETE /v2/team/app/blobs/uploads/" },
      "not available",
      ERR_NETWORK },
};

/* In parts, of which each is only there once the one before was sent. */
static struct err *send_parts(struct upload *up, int fd, const char *data, const struct descriptor *blob)
{
    for (size_t n = PART; n < ALL; n += PART) {
        assert_int_equal(pwrite(fd, data + n - PART, PART, (off_t)(n - PART)), PART);
        TRY(upload_send(up, n));
    }
    assert_int_equal(pwrite(fd, data + 3 * PART, ALL - 3 * PART, 3 * PART), ALL - 3 * PART);
    return upload_end(up, blob);
}

static void check_grown(size_t i)
{
    AUTO(close_client) struct client c;
    AUTO_FREE char *data = content(ALL, 31);
    int fd = memfd_create("blob", MFD_CLOEXEC);
    const struct descriptor blob = describe(data, ALL);
    bool found = false;

    reset(grown[i].settings);
    open_client(&c, USER, fix.port, NULL);
    const struct ref ref = ref_of(&c, "team/app", NULL);
    struct upload *up = upload_new(c.registry, &ref, fd);
    struct err *e = send_parts(up, fd, data, &blob);
    upload_free(up);
    AUTO_FREE char *log = fixture_log(&fix);
    for (size_t k = 0; k < 4 && grown[i].log[k]; k++)
        if (!strstr(log, grown[i].log[k]))
            fail_msg("%s: there is no '%s' in\n%s", grown[i].name, grown[i].log[k], log);
    if (grown[i].error) {
        expect_error(grown[i].name, e, grown[i].kind, grown[i].error);
        return;
    }
    no_error(grown[i].name, e);
    no_error(grown[i].name, registry_has_blob(c.registry, &ref, &blob.digest, &found));
    assert_true(found); /* so the fixture has the very bytes */
}

static void test_grown(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(grown) / sizeof(grown[0]); i++)
        check_grown(i);
}

/* An upload that does not come to its end leaves no session behind, whatever was sent. */
static void test_given_up(void **state)
{
    AUTO(close_client) struct client c;
    AUTO_FREE char *data = content(PART, 32);

    (void)state;
    reset("{}");
    open_client(&c, NOBODY, fix.port, NULL);
    const struct ref ref = ref_of(&c, "team/app", NULL);
    upload_free(upload_new(c.registry, &ref, file_of(data, PART)));
    assert_int_equal(fixture_count(&fix, "/v2/team"), 0);
    struct upload *up = upload_new(c.registry, &ref, file_of(data, PART));
    no_error("send", upload_send(up, PART));
    assert_int_equal(open_uploads(), 1);
    upload_free(up);
    assert_int_equal(open_uploads(), 0);
    assert_int_equal(fixture_count(&fix, "DELETE"), 1);
}

struct raiser {
    struct cancel *cancel;
};

/* Stops the build once bytes are on their way. */
static void *stop_under_way(void *ctx)
{
    const struct raiser *r = ctx;

    while (!fixture_count(&fix, "waits: PATCH"))
        usleep(1000);
    cancel_raise(r->cancel, CANCEL_FAILURE);
    return NULL;
}

static struct err *push_growing(struct registry *r, const struct ref *ref, int fd, const struct descriptor *blob)
{
    AUTO(upload_free) struct upload *up = upload_new(r, ref, dup(fd));

    TRY(upload_send(up, PART));
    return upload_end(up, blob);
}

static struct err *push_whole(struct registry *r, const struct ref *ref, int fd, const struct descriptor *blob)
{
    const struct blob_source source = { open_again, &fd };
    enum blob_result result;

    return registry_push_blob(r, ref, blob, &source, NULL, &result);
}

/* The failure of another part ends a transfer that stands still, and its session with it. */
static void test_stopped(void **state)
{
    struct err *(*const push[])(struct registry *, const struct ref *, int, const struct descriptor *) = { push_growing,
                                                                                                           push_whole };

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        AUTO(close_client) struct client c;
        AUTO_FREE char *data = content(PART, 33);
        AUTO_CLOSE int fd = file_of(data, PART);
        const struct descriptor blob = describe(data, PART);
        struct raiser r = { NULL };
        pthread_t t;

        reset("{'rules':[{'match':'PATCH','delay':20,'times':-1}]}");
        open_client(&c, NOBODY, fix.port, NULL);
        const struct ref ref = ref_of(&c, "team/app", NULL);
        no_error("cancel", cancel_new(&r.cancel));
        struct registry *part = registry_with_cancel(c.registry, r.cancel);
        pthread_create(&t, NULL, stop_under_way, &r);
        expect_error("stopped", push[i](part, &ref, fd, &blob), ERR_TERMINATED, "another part of the build failed");
        pthread_join(t, NULL);
        registry_free(part);
        cancel_free(r.cancel);
        assert_int_equal(open_uploads(), 0);
        fixture_set(&fix, "{}");
        no_error("the registry goes on", push[1](c.registry, &ref, fd, &blob));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grown),
        cmocka_unit_test(test_given_up),
        cmocka_unit_test(test_stopped),
    };

    return cmocka_run_group_tests_name("registry_upload", tests, fixture_begin, fixture_end);
}
