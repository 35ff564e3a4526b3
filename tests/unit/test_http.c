#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above first */
#include <cmocka.h>

#include "../fixtures/fixture.h"
#include "base/limits.h"
#include "http/http.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <time.h>

static struct fixture fix;

static double now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

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

static void no_error(struct err *e)
{
    if (e) {
        AUTO_FREE char *text = print(e);
        fail_msg("%s", text);
    }
}

/* e must be of that kind and say that. */
static void expect_error(struct err *e, enum err_kind kind, const char *text)
{
    if (!e)
        fail_msg("no error, expected '%s'", text);
    enum err_kind got = err_kind(e);
    AUTO_FREE char *out = print(e);
    if (got != kind || !strstr(out, text))
        fail_msg("expected kind %d and '%s', got kind %d: %s", kind, text, got, out);
}

static struct http *client(struct http_opts o)
{
    struct http *h = NULL;

    o.retry_delay_ms = 10;
    no_error(http_new(&o, &h));
    return h;
}

static char *url_of(int port, const char *path)
{
    return xasprintf("http://127.0.0.1:%d%s", port, path);
}

static struct err *collect(void *ctx, const void *p, size_t n)
{
    buf_add(ctx, p, n);
    return NULL;
}

static void check_data(const struct buf *b, size_t n)
{
    assert_int_equal(b->len, n);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)b->data[i] != ((i * 7 + i / 251) & 255))
            fail_msg("byte %zu is wrong", i);
}

/* ---- pure ---- */

static void test_redact(void **state)
{
    static const char *const rows[][2] = {
        { "https://u:p@host:5000/v2/a?sig=x#f", "https://host:5000/v2/a" },
        { "https://host?x=a/b@c", "https://host" },
        { "http://host/a@b/c", "http://host/a@b/c" },
        { "host/path?q", "host/path" },
        { "", "" },
        { "https://a:b:c@d@host/", "https://host/" },
        { "https://[::1]:80/x#y", "https://[::1]:80/x" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        AUTO_FREE char *got = http_redact(rows[i][0]);
        assert_string_equal(got, rows[i][1]);
    }
}

static void test_escape(void **state)
{
    AUTO_FREE char *got = http_escape("az AZ09-._~:/?&=+%\xc3\xa9");

    (void)state;
    assert_string_equal(got, "az%20AZ09-._~%3A%2F%3F%26%3D%2B%25%C3%A9");
}

static void test_resolve(void **state)
{
    static const struct {
        const char *base, *location, *want;
    } rows[] = {
        { "https://h/v2/a/", "/v2/b?x=1%3D", "https://h/v2/b?x=1%3D" },
        { "https://h:5000/v2/a/?q=1", "b?c", "https://h:5000/v2/a/b?c" },
        { "http://h/v2/a/", "https://other/x?y#z", "https://other/x?y" },
        { "https://h/v2/", "//other:8/x", "https://other:8/x" },
        { "https://h/v2/", "http://h/x", NULL },
        { "https://h/v2/", "ftp://h/x", NULL },
        { "https://h/v2/", "file:///etc/passwd", NULL },
        { "https://h/v2/a?b=1", "?c=2", "https://h/v2/a?c=2" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        AUTO_FREE char *got = NULL;
        struct err *e = http_resolve(rows[i].base, rows[i].location, &got);

        if (rows[i].want)
            no_error(e);
        else if (!e)
            fail_msg("'%s' was not refused", rows[i].location);
        else
            err_free(e);
        if (rows[i].want)
            assert_string_equal(got, rows[i].want);
    }
}

/* ---- against the fixture ---- */

static void test_get(void **state)
{
    AUTO(http_free) struct http *h = client((struct http_opts){ .retries = -1 });
    AUTO_FREE char *url = url_of(fix.port, "/hello");
    AUTO(http_response_release) struct http_response a = { 0 };
    struct http_request rq = { .method = "GET", .url = url, .body_fd = -1 };

    (void)state;
    fixture_set(&fix, "{}");
    no_error(http_perform(h, &rq, &a));
    assert_int_equal(a.status, 200);
    assert_string_equal(http_header(&a, "x-echo"), "yes");
    assert_null(http_header(&a, "x-ech"));
    assert_true(strncmp(a.body.data, "GET 0 sha256:", 13) == 0);
    assert_string_equal(a.url, url);
}

static void test_retries(void **state)
{
    static const struct {
        const char *name, *rules;
        bool no_retry;
        int status, requests;
    } rows[] = {
        { "503 twice", "{'match':'.','status':503,'times':2}", false, 200, 3 },
        { "500 always", "{'match':'.','status':500,'times':-1}", false, 500, 3 },
        { "not asked to", "{'match':'.','status':503,'times':2}", true, 503, 1 },
        { "501 is final", "{'match':'.','status':501,'times':2}", false, 501, 1 },
        { "404 is final", "{'match':'.','status':404,'times':2}", false, 404, 1 },
        { "cut headers", "{'match':'.','eat':0,'times':1}", false, 200, 1 },
        { "date in Retry-After", "{'match':'.','status':429,'headers':{'Retry-After':'Wed, 21 Oct 2015 07:28:00 GMT'}}",
          false, 200, 2 },
    };
    AUTO(http_free) struct http *h = client((struct http_opts){ .retries = 2 });
    AUTO_FREE char *url = url_of(fix.port, "/hello");

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        AUTO_FREE char *set = xasprintf("{'rules':[%s]}", rows[i].rules);
        AUTO(http_response_release) struct http_response a = { 0 };
        struct http_request rq = { .method = "GET", .url = url, .body_fd = -1, .no_retry = rows[i].no_retry };

        fixture_set(&fix, set);
        no_error(http_perform(h, &rq, &a));
        int count = fixture_count(&fix, "GET /hello");
        if (a.status != rows[i].status || count != rows[i].requests)
            fail_msg("%s: status %d after %d requests", rows[i].name, a.status, count);
    }
}

static void check_retry_after(const char *headers)
{
    AUTO(http_free) struct http *h = client((struct http_opts){ .retries = 1 });
    AUTO_FREE char *url = url_of(fix.port, "/hello");
    AUTO(http_response_release) struct http_response a = { 0 };
    struct http_request rq = { .method = "POST", .url = url, .body_fd = -1 };
    AUTO_FREE char *set = xasprintf("{'rules':[{'match':'.','status':429,'headers':{%s}}]}", headers);
    double start = now();

    fixture_set(&fix, set);
    no_error(http_perform(h, &rq, &a));
    assert_int_equal(a.status, 200);
    assert_true(now() - start >= 0.95);
}

static void test_retry_after(void **state)
{
    time_t then;
    struct tm tm;
    char date[80];

    (void)state;
    check_retry_after("'Retry-After':'1'");
    then = time(NULL) + 2; /* of whole seconds: at least one is left */
    strftime(date, sizeof(date), "'Retry-After':'%a, %d %b %Y %H:%M:%S GMT'", gmtime_r(&then, &tm));
    check_retry_after(date);
}

static void test_resume(void **state)
{
    static const struct {
        const char *name, *set, *error;
        int ranged;
    } rows[] = {
        { "by Range", "{'rules':[{'match':'data','cut':100000},{'match':'data','cut':50000}]}", NULL, 2 },
        { "whole again", "{'ranges':false,'rules':[{'match':'data','cut':100000}]}", NULL, 1 },
        { "after 503", "{'rules':[{'match':'data','cut':100000},{'match':'data','status':503}]}", NULL, 2 },
        { "changed",
          "{'rules':[{'match':'data','cut':100000},{'match':'data','status':200,'body':'other','headers':{'ETag':'"
          "other'}}]}",
          "changed while", 1 },
        { "wrong part",
          "{'rules':[{'match':'data','cut':100000},{'match':'data','status':206,'body':'x','headers':{'Content-Range':'"
          "bytes 5-5/9'}}]}",
          "cannot continue", 1 },
        { "never whole", "{'rules':[{'match':'data','cut':100,'times':-1}]}", "failed", 4 },
    };
    AUTO(http_free) struct http *h = client((struct http_opts){ .retries = -1 });
    AUTO_FREE char *url = url_of(fix.port, "/data/300000");

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        AUTO(buf_release) struct buf got = BUF_INIT;
        AUTO(http_response_release) struct http_response a = { 0 };
        const struct sink out = { collect, &got };
        struct http_request rq = { .method = "GET", .url = url, .body_fd = -1, .out = &out };

        fixture_set(&fix, rows[i].set);
        struct err *e = http_perform(h, &rq, &a);
        if (rows[i].error) {
            expect_error(e, ERR_NETWORK, rows[i].error);
        } else {
            no_error(e);
            assert_int_equal(a.status, 200);
            check_data(&got, 300000);
        }
        if (fixture_count(&fix, "range=bytes=") != rows[i].ranged)
            fail_msg("%s: %d requests for a range", rows[i].name, fixture_count(&fix, "range=bytes="));
    }
}

static void test_resume_from(void **state)
{
    AUTO(http_free) struct http *h = client((struct http_opts){ .retries = -1 });
    AUTO_FREE char *url = url_of(fix.port, "/data/1000");
    AUTO(buf_release) struct buf got = BUF_INIT;
    AUTO(http_response_release) struct http_response a = { 0 };
    const struct sink out = { collect, &got };
    struct http_request rq = { .method = "GET", .url = url, .body_fd = -1, .out = &out, .resume_from = 990 };

    (void)state;
    fixture_set(&fix, "{}");
    no_error(http_perform(h, &rq, &a));
    assert_int_equal(got.len, 10);
    assert_int_equal(a.status, 200);
}

static void test_redirects(void **state)
{
    AUTO(http_free) struct http *h = client((struct http_opts){ .retries = 0 });
    AUTO_FREE char *url = url_of(fix.port, "/start");
    AUTO_FREE char *away =
        xasprintf("{'rules':[{'match':'start','status':307,'headers':{'Location':'http://127.0.0.1:%d/there?sig=1'}}]}",
                  fix.storage_port);
    struct http_request rq = { .method = "GET", .url = url, .body_fd = -1, .authorization = "Bearer secret" };
    struct http_response a = { 0 };

    (void)state;
    fixture_set(&fix, away);
    no_error(http_perform(h, &rq, &a));
    assert_int_equal(a.status, 200);
    assert_int_equal(fixture_count(&fix, "registry GET /start auth=Bearer_secret"), 1);
    assert_int_equal(fixture_count(&fix, "storage GET /there?sig=1 auth=-"), 1);
    http_response_release(&a);

    fixture_set(&fix, "{'rules':[{'match':'start','status':302,'headers':{'Location':'/here'}}]}");
    no_error(http_perform(h, &rq, &a));
    assert_int_equal(fixture_count(&fix, "GET /here auth=Bearer_secret"), 1);
    http_response_release(&a);

    fixture_set(&fix, "{'rules':[{'match':'.','status':302,'times':-1,'headers':{'Location':'/start'}}]}");
    expect_error(http_perform(h, &rq, &a), ERR_REGISTRY, "redirects more than 10 times");
    assert_int_equal(fixture_count(&fix, "GET /start"), LIMIT_HTTP_REDIRECTS + 1);

    fixture_set(&fix, "{'rules':[{'match':'start','status':307,'headers':{'Location':'/here'}}]}");
    struct http_request post = { .method = "POST", .url = url, .body = "abc", .body_len = 3, .body_fd = -1 };
    no_error(http_perform(h, &post, &a));
    assert_true(strncmp(a.body.data, "POST 3 ", 7) == 0);
    http_response_release(&a);

    fixture_set(&fix, "{'rules':[{'match':'start','status':302,'headers':{'Location':'/here'}}]}");
    no_error(http_perform(h, &post, &a));
    assert_int_equal(a.status, 302);
    http_response_release(&a);
}

static void test_bounds(void **state)
{
    AUTO(http_free) struct http *h = client((struct http_opts){ .retries = 0 });
    AUTO_FREE char *url = url_of(fix.port, "/data/200000");
    AUTO(http_response_release) struct http_response a = { 0 };
    struct http_request rq = { .method = "GET", .url = url, .body_fd = -1, .max_body = 199999 };

    (void)state;
    fixture_set(&fix, "{}");
    expect_error(http_perform(h, &rq, &a), ERR_REGISTRY, "larger than 199999 bytes");
    rq.max_body = 200000;
    no_error(http_perform(h, &rq, &a));
    check_data(&a.body, 200000);
    http_response_release(&a);

    AUTO_FREE char *big = xcalloc(1, 200001);
    memset(big, 'x', 200000);
    AUTO_FREE char *set = xasprintf("{'rules':[{'match':'.','status':400,'body':'%s'}]}", big);
    fixture_set(&fix, set);
    no_error(http_perform(h, &rq, &a));
    assert_int_equal(a.status, 400);
    assert_int_equal(a.body.len, LIMIT_HTTP_ERROR_BODY_BYTES);
    http_response_release(&a);

    big[70000] = '\0';
    AUTO_FREE char *header = xasprintf("{'rules':[{'match':'.','status':200,'headers':{'X-Long':'%s'}}]}", big);
    fixture_set(&fix, header);
    expect_error(http_perform(h, &rq, &a), ERR_REGISTRY, "header lines are longer");
    /* the control characters of a token that came from outside must not become a header of their own */
    rq.authorization = "Bearer a\r\nX-Evil: 1";
    expect_error(http_perform(h, &rq, &a), ERR_REGISTRY, "control character");
}

static struct err *refuse(void *ctx, const void *p, size_t n)
{
    (void)ctx, (void)p, (void)n;
    return err_new(ERR_DISK, "the disk is full");
}

static void test_sink_error(void **state)
{
    AUTO(http_free) struct http *h = client((struct http_opts){ .retries = -1 });
    AUTO_FREE char *url = url_of(fix.port, "/data/200000");
    struct http_response a = { 0 };
    const struct sink out = { refuse, NULL };
    struct http_request rq = { .method = "GET", .url = url, .body_fd = -1, .out = &out };

    (void)state;
    fixture_set(&fix, "{}");
    expect_error(http_perform(h, &rq, &a), ERR_DISK, "the disk is full");
    assert_int_equal(fixture_count(&fix, "GET"), 1);
}

static void test_upload(void **state)
{
    AUTO(http_free) struct http *h = client((struct http_opts){ .retries = -1 });
    AUTO_FREE char *url = url_of(fix.port, "/up");
    AUTO(http_response_release) struct http_response a = { 0 }, b = { 0 };
    AUTO_CLOSE int fd = memfd_create("x", MFD_CLOEXEC);
    AUTO_FREE char *data = xcalloc(1, 3000000);
    struct http_request rq = {
        .method = "PUT", .url = url, .body_fd = fd, .body_offset = 1000000, .body_len = 2000000
    };
    struct http_request mem = {
        .method = "PUT", .url = url, .body_fd = -1, .body = data + 1000000, .body_len = 2000000
    };

    (void)state;
    for (size_t i = 0; i < 3000000; i++)
        data[i] = (char)(i * 31 >> 3);
    assert_int_equal(write(fd, data, 3000000), 3000000);
    fixture_set(&fix, "{'rules':[{'match':'.','status':503,'times':1},{'match':'.','eat':300000,'times':1}]}");
    no_error(http_perform(h, &rq, &a));
    no_error(http_perform(h, &mem, &b));
    assert_int_equal(a.status, 200);
    assert_string_equal(buf_str(&a.body), buf_str(&b.body));
    assert_true(strncmp(a.body.data, "PUT 2000000 sha256:", 19) == 0);
    rq.body_len = 2000001;
    http_response_release(&a);
    expect_error(http_perform(h, &rq, &a), ERR_DISK, "shorter than it should be");
}

/* Only before a long body is it worth a round trip to hear whether it is welcome. */
static void test_expect(void **state)
{
    AUTO(http_free) struct http *h = client((struct http_opts){ 0 });
    AUTO_FREE char *url = url_of(fix.port, "/up");
    AUTO_FREE char *data = xcalloc(1, 3000000);

    (void)state;
    for (size_t len = 1000; len <= 3000000; len *= 3000) {
        AUTO(http_response_release) struct http_response a = { 0 };
        struct http_request rq = { .method = "PUT", .url = url, .body_fd = -1, .body = data, .body_len = len };

        fixture_set(&fix, "{}");
        no_error(http_perform(h, &rq, &a));
        assert_int_equal(a.status, 200);
        assert_int_equal(fixture_count(&fix, "-> 200"), 1);
        assert_int_equal(fixture_count(&fix, "-> 200 expect"), len > 1000);
    }
}

struct raiser {
    struct cancel *cancel;
};

static void *raise_soon(void *ctx)
{
    struct raiser *r = ctx;

    usleep(200000);
    cancel_raise(r->cancel, CANCEL_SIGNAL);
    return NULL;
}

static void test_cancel(void **state)
{
    static const char *const sets[] = {
        "{'rules':[{'match':'.','delay':20,'times':-1}]}",                                  /* no answer */
        "{'rules':[{'match':'.','stall':1000,'times':-1}]}",                                /* in the body */
        "{'rules':[{'match':'.','status':503,'times':-1,'headers':{'Retry-After':'30'}}]}", /* between retries */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
        struct raiser r = { NULL };
        pthread_t t;

        no_error(cancel_new(&r.cancel));
        AUTO_FREE char *url = url_of(fix.port, "/data/100000");
        struct http *h = client((struct http_opts){ .retries = -1, .cancel = r.cancel });
        struct http_request rq = { .method = "GET", .url = url, .body_fd = -1 };
        struct http_response a = { 0 };
        double start = now();
        fixture_set(&fix, sets[i]);
        pthread_create(&t, NULL, raise_soon, &r);
        expect_error(http_perform(h, &rq, &a), ERR_TERMINATED, "told to stop");
        if (now() - start > 1.2)
            fail_msg("case %zu took %.1f s to stop", i, now() - start);
        pthread_join(t, NULL);
        http_free(h);
        cancel_free(r.cancel);
    }
}

/* What ends with a cancel of its own ends alone, and what has none does not end with the client's. */
static void test_own_cancel(void **state)
{
    struct raiser r = { NULL };
    struct http_response a = { 0 };
    struct cancel *all = NULL;
    pthread_t t;

    (void)state;
    no_error(cancel_new(&r.cancel));
    no_error(cancel_new(&all));
    AUTO_FREE char *url = url_of(fix.port, "/data/100000");
    struct http *h = client((struct http_opts){ .retries = -1, .cancel = all });
    struct http *part = http_with_cancel(h, r.cancel), *alone = http_with_cancel(h, NULL);
    const struct http_request rq = { .method = "GET", .url = url, .body_fd = -1 };
    fixture_set(&fix, "{'rules':[{'match':'.','stall':1000}]}");
    pthread_create(&t, NULL, raise_soon, &r);
    expect_error(http_perform(part, &rq, &a), ERR_TERMINATED, "told to stop");
    pthread_join(t, NULL);
    no_error(http_perform(h, &rq, &a));
    http_response_release(&a);
    cancel_raise(all, CANCEL_SIGNAL);
    expect_error(http_perform(h, &rq, &a), ERR_TERMINATED, "told to stop");
    no_error(http_perform(alone, &rq, &a));
    http_response_release(&a);
    http_free(part);
    http_free(alone);
    http_free(h);
    cancel_free(r.cancel);
    cancel_free(all);
}

static void test_stall(void **state)
{
    AUTO(http_free)
    struct http *h = client((struct http_opts){ .retries = 1, .stall_timeout_ms = 300, .connect_timeout_ms = 500 });
    AUTO_FREE char *url = url_of(fix.port, "/data/100000");
    struct http_request rq = { .method = "GET", .url = url, .body_fd = -1 };
    AUTO(http_response_release) struct http_response a = { 0 };

    (void)state;
    fixture_set(&fix, "{'rules':[{'match':'.','stall':1000,'times':1}]}");
    no_error(http_perform(h, &rq, &a));
    check_data(&a.body, 100000);
    http_response_release(&a);
    fixture_set(&fix, "{'rules':[{'match':'.','stall':1000,'times':2}]}");
    expect_error(http_perform(h, &rq, &a), ERR_NETWORK, "no byte came");
}

static void test_unreachable(void **state)
{
    AUTO(http_free) struct http *h = client((struct http_opts){ .retries = 1 });
    struct http_response a = { 0 };
    struct http_request refused = { .method = "GET", .url = "http://127.0.0.1:1/x?secret", .body_fd = -1 };
    struct http_request unknown = { .method = "GET", .url = "http://nowhere.invalid/", .body_fd = -1 };
    struct http_request bad = { .method = "GET", .url = "ftp://host/x", .body_fd = -1 };

    (void)state;
    struct err *e = http_perform(h, &refused, &a);
    if (!e)
        fail_msg("port 1 answered");
    AUTO_FREE char *text = print(e);
    assert_non_null(strstr(text, "GET of 'http://127.0.0.1:1/x' failed"));
    assert_null(strstr(text, "secret"));
    expect_error(http_perform(h, &unknown, &a), ERR_NETWORK, "Could not resolve host");
    expect_error(http_perform(h, &bad, &a), ERR_SETTING, "not an http or https URL");
}

static void test_tls(void **state)
{
    AUTO_FREE char *url = xasprintf("https://127.0.0.1:%d/hello", fix.tls_port);
    AUTO_FREE char *host = xasprintf("127.0.0.1:%d", fix.tls_port);
    AUTO_FREE char *plain = xasprintf("https://127.0.0.1:%d/hello", fix.port);
    struct http_request rq = { .method = "GET", .url = url, .body_fd = -1 };
    struct http_request to_plain = { .method = "GET", .url = plain, .body_fd = -1 };
    struct http_response a = { 0 };
    struct http *h = client((struct http_opts){ .retries = 1 });

    (void)state;
    fixture_set(&fix, "{}");
    expect_error(http_perform(h, &rq, &a), ERR_NETWORK, "certificate cannot be trusted");
    assert_int_equal(fixture_count(&fix, "GET"), 0);
    expect_error(http_perform(h, &to_plain, &a), ERR_NETWORK, "speaks plain HTTP");
    http_set_host(h, host, &(struct http_host_opts){ .skip_tls_verify = true });
    no_error(http_perform(h, &rq, &a));
    http_response_release(&a);
    AUTO_FREE char *down =
        xasprintf("{'rules':[{'match':'.','status':302,'headers':{'Location':'http://127.0.0.1:%d/x'}}]}", fix.port);
    fixture_set(&fix, down);
    expect_error(http_perform(h, &rq, &a), ERR_REGISTRY, "from https to plain http");
    http_free(h);

    h = client((struct http_opts){ .retries = 0, .ca_file = FIXTURE_CA });
    no_error(http_perform(h, &rq, &a));
    http_response_release(&a);
    http_free(h);

    h = client((struct http_opts){ .retries = 0 });
    http_set_host(h, host, &(struct http_host_opts){ .ca_file = FIXTURE_CA });
    no_error(http_perform(h, &rq, &a));
    http_response_release(&a);
    http_free(h);

    h = client((struct http_opts){ .retries = 0 });
    http_set_host(h, "*", &(struct http_host_opts){ .ca_file = "/nowhere.pem" });
    expect_error(http_perform(h, &rq, &a), ERR_SETTING, "/nowhere.pem");
    http_free(h);
    expect_error(http_new(&(struct http_opts){ .ca_file = "tests/fixtures/faulty_registry.py" }, &h), ERR_SETTING,
                 "holds no certificate");
}

static void test_proxy(void **state)
{
    AUTO_FREE char *proxy = url_of(fix.storage_port, "");
    AUTO(http_free) struct http *h = client((struct http_opts){ .retries = 0 });
    struct http_request rq = { .method = "GET", .url = "http://reg.example/hello", .body_fd = -1 };
    AUTO(http_response_release) struct http_response a = { 0 }, b = { 0 };

    (void)state;
    fixture_set(&fix, "{}");
    setenv("HTTP_PROXY", proxy, 1);
    no_error(http_perform(h, &rq, &a));
    assert_int_equal(fixture_count(&fix, "storage GET http://reg.example/hello"), 1);
    AUTO_FREE char *direct = url_of(fix.port, "/direct");
    rq.url = direct;
    rq.no_proxy = true;
    no_error(http_perform(h, &rq, &b));
    assert_int_equal(fixture_count(&fix, "registry GET /direct"), 1);
    unsetenv("HTTP_PROXY");
}

/* In `list`, P is the port of the server. */
static const struct {
    const char *host, *list;
    bool direct;
} exceptions[] = {
    { "127.0.0.1", "", false },
    { "127.0.0.1", "*", true },
    { "127.0.0.1", "a.b , *", true },
    { "127.0.0.1", "a.b,*:1", false },
    { "127.0.0.1", "127.0.0.1", true },
    { "127.0.0.1", "127.0.0.1:P", true },
    { "127.0.0.1", "127.0.0.1:1, 127.0.0.1:", false },
    { "127.0.0.1", "::1, [::1]:P, [::1], *., :, 10.0.0.0/8", false },
    { "127.0.0.1", " a ,\t127.0.0.0/8 ", true },
    { "localhost", "*.localhost:P", true },
    { "localhost", ".localhost", true },
    { "localhost", "localhost:P", true },
    { "localhost", "ocalhost,127.0.0.1", false },
};

static void test_no_proxy(void **state)
{
    AUTO_FREE char *proxy = url_of(fix.storage_port, "");

    (void)state;
    setenv("HTTP_PROXY", proxy, 1);
    for (size_t i = 0; i < sizeof(exceptions) / sizeof(exceptions[0]); i++) {
        AUTO(http_free) struct http *h = client((struct http_opts){ .retries = 0 });
        AUTO_FREE char *url = xasprintf("http://%s:%d/hello", exceptions[i].host, fix.port);
        const char *list = exceptions[i].list, *port = strchr(list, 'P');
        AUTO_FREE char *full =
            port ? xasprintf("%.*s%d%s", (int)(port - list), list, fix.port, port + 1) : xstrdup(list);
        AUTO(http_response_release) struct http_response a = { 0 };

        fixture_set(&fix, "{}");
        setenv("NO_PROXY", full, 1);
        no_error(http_perform(h, &(struct http_request){ .method = "GET", .url = url, .body_fd = -1 }, &a));
        if (fixture_count(&fix, "registry GET /hello") != exceptions[i].direct)
            fail_msg("%s with %s", url, full);
    }
    unsetenv("HTTP_PROXY");
    unsetenv("NO_PROXY");
}

/* What an error's text repeats of the request. In `says`, ' is ". */
static const struct {
    const char *name, *authorization, *header, *query, *form, *says, *want;
} echoes[] = {
    { "bearer", "Bearer abc.def-1", NULL, "", NULL, "no abc.def-1, and no Bearer abc.def-1.",
      "no ***, and no Bearer ***." },
    { "basic", "Basic dTpwYSJzcw==", NULL, "", NULL, "dTpwYSJzcw== is u and pa\\\\\\'ss", "*** is u and ***" },
    { "a key", NULL, "X-Key: 1234567", "", NULL, "your 1234567", "your ***" },
    { "no key", NULL, "Accept: text/plain", "", NULL, "not text/plain", "not text/plain" },
    { "signature", NULL, NULL, "?se=1&sig=abcdefghijklmnop%2Fq", NULL,
      "se=1&sig=abcdefghijklmnop%2Fq, abcdefghijklmnop/q", "se=1&sig=***, ***" },
    { "a NUL in a signature", NULL, NULL, "?sig=%00abcdefghijklmnop&s=secret-before%00and-after", NULL,
      "a %00abcdefghijklmnop b secret-before c secret-before%00and-after", "a *** b *** c ***" },
    { "form", NULL, NULL, "", "grant_type=password&client_secret=a%2Bbcd&scope=all", "password a%2Bbcd a+bcd all",
      "password *** *** all" },
    { "one in another", NULL, NULL, "", "client_secret=abcd&password=abcd-and-more", "abcd abcd-and-more", "*** ***" },
    { "JSON as Go has it", NULL, NULL, "", "password=a%3Cb%26c", "a\\\\u003cb\\\\u0026c", "***" },
    { "JSON as .NET has it", NULL, NULL, "", "password=ab%2Bcd%27e", "ab\\\\u002Bcd\\\\u0027e", "***" },
    { "percent-encoded", "Basic dTpwYSJzcw==", NULL, "", NULL, "u:pa%22ss u:pa%22ss", "u:*** u:***" },
    { "percent-encoded in small letters", NULL, "X-Key: ab/cd", "", NULL, "ab%2fcd", "***" },
    { "form", NULL, NULL, "", "password=with%20blank", "with+blank", "***" },
    { "base64", NULL, "X-Key: geheimes-wort", "", NULL, "Z2VoZWltZXMtd29ydA== Z2VoZWltZXMtd29ydA", "***A== ***A" },
    { "base64 with something before", NULL, "X-Key: geheimes-wort", "", NULL,
      "dTpnZWhlaW1lcy13b3J0 YTp1OmdlaGVpbWVzLXdvcnQ=", "dTp*** YTp1Om***Q=" },
    { "short", "Bearer a", NULL, "", NULL, "a bad token", "a bad token" },
};

static void test_echoes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(echoes) / sizeof(echoes[0]); i++) {
        AUTO(http_free) struct http *h = client((struct http_opts){ .retries = 0 });
        AUTO_FREE char *url = xasprintf("http://127.0.0.1:%d/x%s", fix.port, echoes[i].query);
        AUTO_FREE char *set = xasprintf("{'rules':[{'match':'x','status':400,'body':'%s'}]}", echoes[i].says);
        AUTO(buf_release) struct buf form = BUF_INIT;
        struct http_request rq = {
            .method = "GET", .url = url, .body_fd = -1, .authorization = echoes[i].authorization
        };
        AUTO(http_response_release) struct http_response a = { 0 };

        fixture_set(&fix, set);
        if (echoes[i].header)
            strs_add(&rq.headers, echoes[i].header);
        if (echoes[i].form) {
            buf_puts(&form, echoes[i].form);
            no_error(http_post_form(h, url, &form, false, &a));
        } else {
            no_error(http_perform(h, &rq, &a));
        }
        strs_release(&rq.headers);
        if (strcmp(buf_str(&a.body), echoes[i].want) != 0)
            fail_msg("%s: %s", echoes[i].name, buf_str(&a.body));
    }
}

/* A secret across the pieces in which curl gives a body, and one that is cut where no more of it is kept. */
static void test_long_echo(void **state)
{
    static const size_t places[] = { 16 * 1024 - 5, LIMIT_HTTP_ERROR_BODY_BYTES - 8 };

    (void)state;
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        AUTO(http_free) struct http *h = client((struct http_opts){ .retries = 0 });
        AUTO_FREE char *url = url_of(fix.port, "/x");
        AUTO_FREE char *filler = xreallocarray(NULL, places[i] + 1, 1);
        struct http_request rq = {
            .method = "GET", .url = url, .body_fd = -1, .authorization = "Bearer geheimes-wort"
        };
        AUTO(http_response_release) struct http_response a = { 0 };

        memset(filler, '.', places[i]);
        filler[places[i]] = '\0';
        AUTO_FREE char *set =
            xasprintf("{'rules':[{'match':'x','status':400,'body':'%sgeheimes-wort, %s'}]}", filler, filler);
        fixture_set(&fix, set);
        no_error(http_perform(h, &rq, &a));
        assert_true(a.body.len > places[i]);
        assert_null(strstr(buf_str(&a.body), "gehe"));
        assert_memory_equal(a.body.data + places[i], "***", 3);
    }
}

static void *many(void *ctx)
{
    struct http *h = ctx;
    AUTO_FREE char *url = url_of(fix.port, "/data/5000");

    for (int i = 0; i < 10; i++) {
        struct http_response a = { 0 };
        struct http_request rq = { .method = "GET", .url = url, .body_fd = -1 };
        struct err *e = http_perform(h, &rq, &a);

        bool good = !e && a.body.len == 5000;
        err_free(e);
        http_response_release(&a);
        if (!good)
            return ctx;
    }
    return NULL;
}

static void test_threads(void **state)
{
    AUTO(http_free) struct http *h = client((struct http_opts){ .retries = 0 });
    pthread_t t[6];
    void *bad = NULL;

    (void)state;
    fixture_set(&fix, "{}");
    for (size_t i = 0; i < 6; i++)
        pthread_create(&t[i], NULL, many, h);
    for (size_t i = 0; i < 6; i++) {
        void *r = NULL;

        pthread_join(t[i], &r);
        bad = r ? r : bad;
    }
    assert_null(bad);
    assert_int_equal(fixture_count(&fix, "GET /data/5000"), 60);
}

static int start(void **state)
{
    (void)state;
    for (const char *const *p = (const char *const[]){ "http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY",
                                                       "ALL_PROXY", "all_proxy", NULL };
         *p; p++)
        unsetenv(*p);
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
        cmocka_unit_test(test_redact), cmocka_unit_test(test_escape),      cmocka_unit_test(test_resolve),
        cmocka_unit_test(test_get),    cmocka_unit_test(test_retries),     cmocka_unit_test(test_retry_after),
        cmocka_unit_test(test_resume), cmocka_unit_test(test_resume_from), cmocka_unit_test(test_redirects),
        cmocka_unit_test(test_bounds), cmocka_unit_test(test_sink_error),  cmocka_unit_test(test_upload),
        cmocka_unit_test(test_cancel), cmocka_unit_test(test_own_cancel),  cmocka_unit_test(test_stall),
        cmocka_unit_test(test_expect), cmocka_unit_test(test_unreachable), cmocka_unit_test(test_tls),
        cmocka_unit_test(test_proxy),  cmocka_unit_test(test_no_proxy),    cmocka_unit_test(test_threads),
        cmocka_unit_test(test_echoes), cmocka_unit_test(test_long_echo),
    };

    return cmocka_run_group_tests_name("http", tests, start, stop);
}
