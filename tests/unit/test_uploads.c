/* Layers that are sent while a build goes on: when, how often, and what is left behind. */
#include "../fixtures/registry_client.h"

#include "../fixtures/no_threads.h"
#include "build/uploads.h"
#include "store/store.h"
#include "sys/file.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>

#define PIECE ((size_t)16 * 1024 * 1024) /* from which size on a layer is sent that grows */
#define SMALL 50000
#define LARGE (PIECE + 5000000)
#define TAIL  3000000 /* what is written of a large layer when it is being sent already */

/* ---- a build's surroundings ---- */

static atomic_int notes;

static void note(void *ctx, const char *text)
{
    (void)ctx;
    notes += strncmp(text, "pushed sha256:", 14) == 0;
}

static const struct progress progress = { .note = note };

struct place {
    struct client c;
    struct store *store;
    struct ref ref;
    struct cancel *stop;
    struct registry *registry;
    struct uploads *uploads;
    char dir[64];
};

static void open_place(struct place *p, const char *settings)
{
    memset(p, 0, sizeof(*p));
    (void)snprintf(p->dir, sizeof(p->dir), "/tmp/uploads-XXXXXX");
    if (!mkdtemp(p->dir))
        abort();
    notes = 0;
    reset(settings);
    open_client(&p->c, NOBODY, fix.port, NULL);
    no_error("store", store_open(p->dir, &p->store));
    p->ref = ref_of(&p->c, "team/app", NULL);
    no_error("cancel", cancel_new(&p->stop));
    p->registry = registry_with_cancel(p->c.registry, p->stop);
    p->uploads = uploads_new(&(struct uploads_opts){ p->registry, &p->ref, p->store, &progress, 2 });
}

static void close_place(struct place *p)
{
    uploads_free(p->uploads);
    registry_free(p->registry);
    cancel_free(p->stop);
    store_close(p->store);
    close_client(&p->c);
    no_error("remove", file_remove_tree(AT_FDCWD, p->dir));
}

static int open_sessions(void)
{
    AUTO_FREE char *text = fixture_control(&fix, "GET", "/_uploads", "", 0);

    return atoi(text);
}

/* A layer on its way into the store. */
struct layer {
    struct blob_writer *file;
    struct growing *growing;
    char *data;
    size_t size;
    struct descriptor blob;
};

static void begin(struct place *p, struct layer *l, size_t size, unsigned seed)
{
    int fd = -1;

    *l = (struct layer){ .data = content(size, seed), .size = size };
    l->blob = describe(l->data, size);
    no_error("file", blob_writer_new(p->store, &l->file));
    no_error("file", blob_writer_share(l->file, &fd));
    l->growing = uploads_grow(p->uploads, fd);
}

static void add(struct layer *l, size_t from, size_t to)
{
    const struct sink file = blob_writer_sink(l->file);

    no_error("write", sink_write(&file, l->data + from, to - from));
    growing_add(l->growing, to - from);
}

static void end(struct layer *l, bool good)
{
    if (good)
        no_error("commit", blob_writer_commit(l->file, &l->blob.digest));
    growing_end(l->growing, good ? &l->blob : NULL);
    blob_writer_free(l->file);
    free(l->data);
}

static void wait_for_log(const char *text, int n)
{
    while (fixture_count(&fix, text) < n)
        usleep(2000);
}

/* ---- the tests ---- */

/* What is sent is known to the push, and is sent once, however many layers it is. */
static void test_whole(void **state)
{
    struct place p;
    struct layer l;
    enum blob_result result = BLOB_EXISTED;

    (void)state;
    open_place(&p, "{}");
    for (int i = 0; i < 3; i++) {
        begin(&p, &l, SMALL, 41);
        add(&l, 0, SMALL);
        end(&l, true);
    }
    uploads_settle(p.uploads);
    assert_true(uploads_find(p.uploads, &l.blob.digest, &result));
    assert_int_equal(result, BLOB_UPLOADED);
    assert_int_equal(notes, 1);
    assert_int_equal(fixture_count(&fix, "HEAD"), 1);
    assert_int_equal(fixture_count(&fix, "PUT"), 1);
    close_place(&p);
}

/* What the repository has is not sent. */
static void test_existing(void **state)
{
    struct place p;
    struct layer l;
    enum blob_result result = BLOB_UPLOADED;

    (void)state;
    open_place(&p, "{}");
    (void)give_blob("team/app", LARGE, 42);
    begin(&p, &l, LARGE, 42);
    add(&l, 0, LARGE);
    end(&l, true);
    uploads_settle(p.uploads);
    assert_true(uploads_find(p.uploads, &l.blob.digest, &result));
    assert_int_equal(result, BLOB_EXISTED);
    assert_int_equal(fixture_count(&fix, "POST"), 0);
    assert_int_equal(notes, 0);
    close_place(&p);
}

/* The first part is at the registry before the rest is written. */
static void test_growing(void **state)
{
    struct place p;
    struct layer l;
    enum blob_result result;
    bool found = false;

    (void)state;
    open_place(&p, "{}");
    begin(&p, &l, LARGE, 43);
    add(&l, 0, PIECE - 1);
    growing_is_new(l.growing);
    assert_int_equal(fixture_count(&fix, "/v2/team"), 0); /* too little so far */
    add(&l, PIECE - 1, LARGE - TAIL);
    wait_for_log("PATCH /v2/team/app/blobs/uploads/u1", 1);
    add(&l, LARGE - TAIL, LARGE);
    end(&l, true);
    uploads_settle(p.uploads);
    assert_true(uploads_find(p.uploads, &l.blob.digest, &result));
    assert_int_equal(fixture_count(&fix, "HEAD"), 0);
    assert_int_equal(fixture_count(&fix, "POST"), 1);
    assert_int_equal(fixture_count(&fix, "PATCH"), 2);
    assert_int_equal(fixture_count(&fix, "PUT"), 1);
    no_error("has", registry_has_blob(p.c.registry, &p.ref, &l.blob.digest, &found));
    assert_true(found);
    close_place(&p);
}

/* One that somebody may have is asked for first. */
static void test_not_new(void **state)
{
    struct place p;
    struct layer l;

    (void)state;
    open_place(&p, "{}");
    begin(&p, &l, LARGE, 44);
    add(&l, 0, LARGE);
    uploads_settle(p.uploads);
    assert_int_equal(fixture_count(&fix, "/v2/team"), 0);
    end(&l, true);
    uploads_settle(p.uploads);
    assert_int_equal(fixture_count(&fix, "HEAD"), 1);
    assert_int_equal(fixture_count(&fix, "PUT"), 1);
    close_place(&p);
}

/* A layer that does not come to its end leaves nothing behind. */
static void test_dropped(void **state)
{
    struct place p;
    struct layer l;

    (void)state;
    open_place(&p, "{}");
    begin(&p, &l, LARGE, 45);
    growing_is_new(l.growing);
    add(&l, 0, LARGE - TAIL);
    wait_for_log("PATCH", 1);
    end(&l, false);
    uploads_settle(p.uploads);
    assert_int_equal(fixture_count(&fix, "DELETE"), 1);
    assert_int_equal(open_sessions(), 0);
    assert_int_equal(notes, 0);
    close_place(&p);
}

static void *stop_under_way(void *ctx)
{
    wait_for_log("waits: PATCH", 1);
    cancel_raise(ctx, CANCEL_FAILURE);
    return NULL;
}

/* The build fails while the registry stands still. */
static void test_stopped(void **state)
{
    struct place p;
    struct layer l;
    enum blob_result result;
    pthread_t t;

    (void)state;
    for (int is_new = 0; is_new < 2; is_new++) {
        open_place(&p, "{'rules':[{'match':'PATCH','delay':20,'times':-1}]}");
        begin(&p, &l, LARGE, 46);
        if (is_new)
            growing_is_new(l.growing);
        pthread_create(&t, NULL, stop_under_way, p.stop);
        add(&l, 0, LARGE);
        end(&l, true);
        uploads_settle(p.uploads);
        pthread_join(t, NULL);
        assert_false(uploads_find(p.uploads, &l.blob.digest, &result));
        assert_int_equal(fixture_count(&fix, "DELETE"), 1);
        assert_int_equal(open_sessions(), 0);
        close_place(&p);
    }
}

/* After a failure nothing more is asked for or sent. */
static void check_given_up(struct place *p)
{
    struct layer l;
    enum blob_result result;
    AUTO_FREE char *before = fixture_log(&fix);

    begin(p, &l, LARGE, 49);
    growing_is_new(l.growing);
    add(&l, 0, LARGE);
    end(&l, true);
    uploads_settle(p->uploads);
    assert_false(uploads_find(p->uploads, &l.blob.digest, &result));
    AUTO_FREE char *after = fixture_log(&fix);
    assert_string_equal(before, after);
}

/* What the registry refuses is left to the push; so is the rest of a layer that was on its way. */
static void test_refused(void **state)
{
    static const char *const sets[] = {
        "{'rules':[{'match':'POST','status':403,'times':-1}]}",
        "{'rules':[{'match':'PATCH','status':403,'times':-1}]}",
        "{'rules':[{'match':'PUT','status':403,'times':-1}]}",
    };
    struct place p;
    struct layer l;
    enum blob_result result;

    (void)state;
    for (size_t i = 0; i < 2 * sizeof(sets) / sizeof(sets[0]); i++) {
        open_place(&p, sets[i / 2]);
        begin(&p, &l, LARGE, 47);
        if (i % 2)
            growing_is_new(l.growing);
        add(&l, 0, LARGE - TAIL);
        if (i % 2)
            wait_for_log("POST", 1);
        add(&l, LARGE - TAIL, LARGE);
        end(&l, true);
        uploads_settle(p.uploads);
        assert_false(uploads_find(p.uploads, &l.blob.digest, &result));
        assert_int_equal(open_sessions(), 0);
        check_given_up(&p);
        close_place(&p);
    }
}

/* Two large ones and many small ones, by two threads. */
static void test_many(void **state)
{
    struct place p;
    struct layer large[3], small;
    enum blob_result result;

    (void)state;
    open_place(&p, "{}");
    for (unsigned i = 0; i < 3; i++) {
        begin(&p, &large[i], LARGE, 50 + i);
        growing_is_new(large[i].growing);
        add(&large[i], 0, LARGE - TAIL);
    }
    for (unsigned i = 0; i < 20; i++) {
        begin(&p, &small, SMALL, 60 + i % 10);
        add(&small, 0, SMALL);
        end(&small, true);
    }
    for (unsigned i = 0; i < 3; i++) {
        add(&large[i], LARGE - TAIL, LARGE);
        end(&large[i], true);
    }
    uploads_settle(p.uploads);
    for (unsigned i = 0; i < 3; i++)
        assert_true(uploads_find(p.uploads, &large[i].blob.digest, &result));
    assert_int_equal(fixture_count(&fix, "PUT"), 13);
    assert_int_equal(notes, 13);
    assert_int_equal(open_sessions(), 0);
    close_place(&p);
}

/* A pod that allows no more threads leaves all to the push, as does a build that pushes nothing. */
static void test_nobody(void **state)
{
    struct place p;
    struct layer l;
    enum blob_result result;

    (void)state;
    for (int none = 0; none < 2; none++) {
        open_place(&p, "{}");
        if (none) {
            uploads_free(p.uploads);
            p.uploads = NULL;
        }
        size_t before = forbid_threads();
        begin(&p, &l, LARGE, 48);
        if (l.growing)
            growing_is_new(l.growing);
        add(&l, 0, LARGE);
        end(&l, true);
        uploads_settle(p.uploads);
        allow_threads(before);
        assert_false(uploads_find(p.uploads, &l.blob.digest, &result));
        assert_int_equal(fixture_count(&fix, "/v2/team"), 0);
        close_place(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),   cmocka_unit_test(test_existing), cmocka_unit_test(test_growing),
        cmocka_unit_test(test_not_new), cmocka_unit_test(test_dropped),  cmocka_unit_test(test_stopped),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_many),     cmocka_unit_test(test_nobody),
    };

    return cmocka_run_group_tests_name("uploads", tests, fixture_begin, fixture_end);
}
