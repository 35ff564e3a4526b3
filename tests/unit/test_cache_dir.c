#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above first */
#include <cmocka.h>

#include "store/cache_dir.h"
#include "sys/file.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define N_THREADS 8
#define ROUNDS    50
#define WAIT_MS   60000 /* until a test counts as hung */

/* What several threads that open one cache have in common. */
struct crowd {
    struct store *store;
    struct digest key;
    enum cache_sharing sharing;
    atomic_int filled, inside, most;
    pthread_barrier_t *start; /* they come at the same moment */
    int leave_at;             /* nobody leaves before so many are inside at once; 0: whoever was in may leave */
};

static int make_store(void **state)
{
    static char dir[] = "/tmp/test_cache_dir-XXXXXX";
    struct store *s = NULL;

    (void)snprintf(dir, sizeof(dir), "/tmp/test_cache_dir-XXXXXX");
    if (!mkdtemp(dir) || store_open(dir, &s))
        return -1;
    *state = s;
    return 0;
}

static int remove_store(void **state)
{
    AUTO_FREE char *dir = xstrdup(store_dir(*state));

    store_close(*state);
    err_free(file_remove_tree(AT_FDCWD, dir));
    return 0;
}

static void nap(void)
{
    (void)nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
}

static struct err *fill(void *ctx, const char *dir)
{
    struct crowd *c = ctx;
    AUTO_FREE char *path = xasprintf("%s/filled", dir);

    nap();
    atomic_fetch_add(&c->filled, 1);
    return file_write_atomic(path, "x", 1, 0644);
}

static void note_most(struct crowd *c, int now)
{
    int most = atomic_load(&c->most);

    while (now > most && !atomic_compare_exchange_weak(&c->most, &most, now))
        ;
}

/* Opens, is inside for a while, and leaves. NULL: all was well. */
static void *visit(void *ctx)
{
    struct crowd *c = ctx;
    const struct cache_dir_spec spec = {
        .space = "space", .key = c->key, .sharing = c->sharing, .fill = fill, .ctx = c
    };
    struct cache_dir *d = NULL;

    (void)pthread_barrier_wait(c->start);
    struct err *e = cache_dir_open(c->store, &spec, &d);

    if (e)
        return e;
    AUTO_FREE char *path = xasprintf("%s/filled", cache_dir_path(d));
    bool whole = access(path, F_OK) == 0;
    note_most(c, atomic_fetch_add(&c->inside, 1) + 1);
    for (int i = 0; i < WAIT_MS && atomic_load(&c->most) < c->leave_at; i++)
        nap();
    atomic_fetch_sub(&c->inside, 1);
    cache_dir_close(d);
    return whole ? NULL : err_new(ERR_BUG, "it was seen before it was filled");
}

static void let_in(struct crowd *c)
{
    pthread_barrier_t start;
    pthread_t ids[N_THREADS];

    pthread_barrier_init(&start, NULL, N_THREADS);
    c->start = &start;
    for (int i = 0; i < N_THREADS; i++)
        assert_int_equal(pthread_create(&ids[i], NULL, visit, c), 0);
    for (int i = 0; i < N_THREADS; i++) {
        void *e;

        pthread_join(ids[i], &e);
        if (e)
            err_print(stderr, e);
        assert_null(e);
    }
    pthread_barrier_destroy(&start);
}

static struct digest key_of(const char *what, int round)
{
    AUTO_FREE char *text = xasprintf("%s %d", what, round);

    return digest_bytes(text, strlen(text));
}

/* All are inside at once, though none was there before and one of them had to make it. */
static void test_shared(void **state)
{
    for (int round = 0; round < ROUNDS; round++) {
        struct crowd c = {
            .store = *state, .key = key_of("shared", round), .sharing = CACHE_SHARED, .leave_at = N_THREADS
        };

        let_in(&c);
        assert_int_equal(c.most, N_THREADS);
        assert_int_equal(c.filled, 1);
    }
}

static void test_locked(void **state)
{
    struct crowd c = { .store = *state, .key = key_of("locked", 0), .sharing = CACHE_LOCKED };

    let_in(&c);
    assert_int_equal(c.most, 1);
    assert_int_equal(c.filled, 1);
}

/* All are inside at once, each in one of its own. */
static void test_private(void **state)
{
    struct crowd c = { .store = *state, .key = key_of("private", 0), .sharing = CACHE_PRIVATE, .leave_at = N_THREADS };

    let_in(&c);
    assert_int_equal(c.most, N_THREADS);
    assert_int_equal(c.filled, N_THREADS);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, make_store, remove_store)

int main(void)
{
    const struct CMUnitTest tests[] = { TEST(test_shared), TEST(test_locked), TEST(test_private) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
