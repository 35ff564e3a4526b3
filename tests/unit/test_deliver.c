/* A push of several blobs: what happens to the others when one fails. */
#include "../fixtures/registry_client.h"

#include "build/build_priv.h"

#define BLOBS 8
#define SIZE  1000

static void note(void *ctx, const char *text)
{
    (void)ctx;
    (void)text;
}

static const struct progress progress = { .note = note };

struct blob {
    char *data;
    bool lost; /* it cannot be read */
};

static struct err *open_blob(void *ctx, int *ret_fd, uint64_t *ret_offset)
{
    const struct blob *b = ctx;

    if (b->lost)
        return err_new(ERR_DISK, "the blob is lost");
    *ret_fd = file_of(b->data, SIZE);
    *ret_offset = 0;
    return NULL;
}

static struct err *push(const struct client *c, const struct blob *blobs, struct push_stats *stats)
{
    static char *tag[] = { (char *)"a" };
    const struct strs tags = { .items = tag, .n = 1 };
    const struct ref repo = ref_of(c, "team/app", NULL);
    const struct limits limits = { .memory_bytes = UINT64_MAX, .cpu_milli = 400, .pids_max = UINT64_MAX };
    const struct push_target to = { c->registry, &repo, &tags, &limits, &progress, NULL };
    const struct delivery_document document = { MEDIA_OCI_MANIFEST, "{}", 2 };
    struct delivery_blob list[BLOBS];

    for (size_t i = 0; i < BLOBS; i++)
        list[i] = (struct delivery_blob){ .desc = describe(blobs[i].data, SIZE),
                                          .source = { open_blob, (void *)(uintptr_t)&blobs[i] } };
    return deliver(&(struct delivery){ &to, list, BLOBS, &document, 1 }, stats);
}

static void make_blobs(struct blob *blobs)
{
    for (unsigned i = 0; i < BLOBS; i++)
        blobs[i] = (struct blob){ content(SIZE, i), false };
}

static void free_blobs(struct blob *blobs)
{
    for (size_t i = 0; i < BLOBS; i++)
        free(blobs[i].data);
}

/* Those that wait for their turn are not begun after one has failed: each would take all its tries. */
static void test_refused(void **state)
{
    AUTO(close_client) struct client c;
    struct push_stats stats = { 0 };
    struct blob blobs[BLOBS];

    (void)state;
    make_blobs(blobs);
    reset("{'rules':[{'match':'POST','status':403,'delay':0.5,'times':-1}]}");
    open_client(&c, NOBODY, fix.port, NULL);
    expect_error("refused", push(&c, blobs, &stats), ERR_AUTH, "refused push on repository 'team/app'");
    assert_in_range(fixture_count(&fix, "POST /v2/team/app/blobs/uploads/ auth"), 1, 2);
    assert_int_equal(stats.uploaded, 0);
    free_blobs(blobs);
}

/* The error of the one that failed is told, not that another one was not sent because of it. */
static void test_first_error(void **state)
{
    AUTO(close_client) struct client c;
    struct push_stats stats = { 0 };
    struct blob blobs[BLOBS];

    (void)state;
    make_blobs(blobs);
    open_client(&c, NOBODY, fix.port, NULL);
    for (size_t i = 0; i < BLOBS; i++) {
        reset("{}");
        blobs[i].lost = true;
        expect_error("lost", push(&c, blobs, &stats), ERR_DISK, "the blob is lost");
        blobs[i].lost = false;
        assert_int_equal(fixture_count(&fix, "manifests"), 0);
    }
    stats = (struct push_stats){ 0 };
    no_error("all", push(&c, blobs, &stats));
    assert_int_equal(stats.uploaded + stats.existed, BLOBS);
    free_blobs(blobs);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_refused), cmocka_unit_test(test_first_error) };

    return cmocka_run_group_tests_name("deliver", tests, fixture_begin, fixture_end);
}
