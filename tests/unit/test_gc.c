#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above first */
#include <cmocka.h>

#include "store/cache_dir.h"
#include "store/gc.h"
#include "sys/file.h"
#include "sys/hold.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define NOW      1790000000
#define HOUR     3600

static void must(const char *name, struct err *e)
{
    if (e)
        fail_msg("%s: %s", name, err_message(e));
}

/* ---- holding ---- */

static void test_hold(void **state)
{
    AUTO_FREE char *path = xasprintf("%s/lock", (char *)*state);
    AUTO_CLOSE int a = -1, b = -1, c = -1;

    must("open", hold_open(path, &a));
    must("open", hold_open(path, &b));
    must("open", hold_open(path, &c));
    hold_use(a, "one");
    hold_use(b, "one");
    assert_false(hold_alone(c, "one"));
    assert_true(hold_alone(c, "two"));
    hold_end(a, "one");
    assert_false(hold_alone(c, "one"));
    close_fd(&b);
    assert_true(hold_alone(c, "one"));
    hold_end(c, "one");
    hold_use(a, "one");
}

/* ---- collecting ---- */

/* 'a' to 'h': layers a b c (c of the plain kind), caches d e f (e is the second private one), layer x and cache y of
 * another id mapping. Each holds 100 kB. */
static const struct {
    const char *dir;
    int64_t age_s;
    char name;
    bool cache, second;
} things[] = {
    { "layers/single", 100 * HOUR, 'a', false, false }, { "layers/single", 10 * HOUR, 'b', false, false },
    { "layers/single-plain", HOUR, 'c', false, false }, { "caches/single", 90 * HOUR, 'd', true, false },
    { "caches/single", 20 * HOUR, 'e', true, true },    { "caches/single", 0, 'f', true, false },
    { "layers/full", 1000 * HOUR, 'x', false, false },  { "caches/full", 1000 * HOUR, 'y', true, false },
};

static char *place_of(const char *state_dir, size_t i)
{
    char hex[65];

    memset(hex, things[i].name, 64);
    hex[64] = '\0';
    for (char *p = hex; *p; p++)
        *p = *p > 'f' ? '0' : *p;
    return xasprintf("%s/%s/%s%s", state_dir, things[i].dir, hex, things[i].second ? ".1" : "");
}

static void set_age(const char *path, int64_t age_s)
{
    const struct timespec times[2] = { { .tv_sec = NOW - age_s }, { .tv_sec = NOW - age_s } };

    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void make_things(const char *state_dir)
{
    static char data[100000];

    for (size_t i = 0; i < COUNT(things); i++) {
        AUTO_FREE char *place = place_of(state_dir, i), *file = xasprintf("%s/fs/file", place);
        AUTO_FREE char *lock = xasprintf("%s.lock", place), *record = xasprintf("%s" CACHE_DIR_RECORD, place);

        must("make", file_write_atomic(file, data, sizeof(data), 0644));
        if (things[i].cache) {
            must("lock", file_write_atomic(lock, "", 0, 0600));
            must("record", file_write_atomic(record, "x", 1, 0600));
            set_age(lock, things[i].age_s);
        }
        set_age(place, things[i].age_s);
    }
}

static char *show_things(const char *state_dir)
{
    char *out = xcalloc(COUNT(things) + 1, 1), *p = out;

    for (size_t i = 0; i < COUNT(things); i++) {
        AUTO_FREE char *place = place_of(state_dir, i), *record = xasprintf("%s" CACHE_DIR_RECORD, place);

        if (access(place, F_OK) == 0)
            *p++ = things[i].name;
        else
            assert_int_not_equal(access(record, F_OK), 0); /* it goes with its directory */
    }
    return out;
}

static const struct {
    const char *name;
    int64_t max_age_s;
    uint64_t max_bytes, free_bytes;
    const char *used; /* by another build */
    const char *want;
} rows[] = {
    { "nothing to do", INT64_MAX, UINT64_MAX, 0, "", "abcdefxy" },
    { "age", 50 * HOUR, UINT64_MAX, 0, "", "bcef" },
    { "age, in use", 50 * HOUR, UINT64_MAX, 0, "ad", "abcdef" },
    { "exactly so old", 90 * HOUR, UINT64_MAX, 0, "", "bcdef" },
    { "size", INT64_MAX, 450000, 0, "", "bcef" },
    { "size, the oldest in use", INT64_MAX, 450000, 0, "a", "abcf" },
    { "size fits", INT64_MAX, 10000000, 0, "", "abcdefxy" },
    { "room, as much as can be had", INT64_MAX, UINT64_MAX, UINT64_MAX, "", "" },
    { "room, all in use", INT64_MAX, UINT64_MAX, UINT64_MAX, "abcdef", "abcdef" },
    { "room, all in use, of the other mapping too", INT64_MAX, UINT64_MAX, UINT64_MAX, "abcdefxy", "abcdefxy" },
    { "room enough", INT64_MAX, UINT64_MAX, 1, "", "abcdefxy" },
};

/* Takes what another build would: returns descriptors in fds. */
static size_t use(const char *state_dir, const char *names, int *layers_fd, struct cache_dir **caches)
{
    AUTO_FREE char *lock = xasprintf("%s/" HOLD_LAYERS, state_dir);
    size_t n = 0;

    must("lock", hold_open(lock, layers_fd));
    for (size_t i = 0; i < COUNT(things); i++) {
        AUTO_FREE char *place = place_of(state_dir, i);

        if (!strchr(names, things[i].name))
            continue;
        if (things[i].cache)
            caches[n++] = cache_dir_try(place);
        else
            hold_use(*layers_fd, strstr(place, "layers/") + strlen("layers/"));
    }
    return n;
}

static void test_collect(void **state)
{
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO_FREE char *dir = xasprintf("%s/%zu", (char *)*state, i);
        AUTO(store_close) struct store *s = NULL;
        AUTO_CLOSE int layers_fd = -1;
        struct cache_dir *caches[COUNT(things)];
        struct gc_stats stats;
        const struct gc_opts o = { "single", NOW, rows[i].max_age_s, rows[i].max_bytes, rows[i].free_bytes, false };

        must("open", store_open(dir, &s));
        make_things(store_dir(s));
        size_t n = use(store_dir(s), rows[i].used, &layers_fd, caches);
        store_gc(s, &o, &stats);
        AUTO_FREE char *have = show_things(store_dir(s));
        if (strcmp(have, rows[i].want) != 0)
            fail_msg("%s: '%s' is left, not '%s'", rows[i].name, have, rows[i].want);
        assert_int_equal(stats.removed, COUNT(things) - strlen(have));
        while (n)
            cache_dir_close(caches[--n]);
    }
}

/* A directory of an id that is not mapped keeps the whole layer from being removed. */
static void test_not_ours(void **state)
{
    AUTO(store_close) struct store *s = NULL;
    struct gc_opts o = { "single", NOW, HOUR, UINT64_MAX, UINT64_MAX, false };
    struct gc_stats stats;
    size_t x = COUNT(things) - 2;

    if (geteuid() != 0)
        skip(); /* must be root, to give a directory away */
    must("open", store_open(*state, &s));
    make_things(store_dir(s));
    AUTO_FREE char *place = place_of(store_dir(s), x), *fs = xasprintf("%s/fs", place);
    assert_int_equal(chown(fs, 65534, 65534), 0);
    store_gc(s, &o, &stats);
    AUTO_FREE char *have = show_things(store_dir(s));
    assert_string_equal(have, "x");
    assert_int_equal(stats.not_ours, 1);
    assert_int_equal(stats.not_ours_bytes, 0); /* a build asks before each RUN: not all of it is to be read each time */
    o.measure = true;
    store_gc(s, &o, &stats);
    assert_int_equal(stats.not_ours, 1);
    assert_in_range(stats.not_ours_bytes, 100000, 200000);
}

static int make_dir(void **state)
{
    char *dir = xstrdup("/tmp/test_gc-XXXXXX");

    *state = mkdtemp(dir);
    return *state ? 0 : -1;
}

static int remove_dir(void **state)
{
    err_free(file_remove_tree(AT_FDCWD, *state));
    free(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_hold, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_collect, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_not_ours, make_dir, remove_dir),
    };

    return cmocka_run_group_tests_name("gc", tests, NULL, NULL);
}
