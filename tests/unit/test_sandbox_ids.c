/* Id maps, the orders for a command, and the filters in them. */
#include "base/buf.h"
#include "base/mem.h"
#include "sandbox/confine_priv.h"
#include "sandbox/idmap_priv.h"
#include "sandbox/orders_priv.h"
#include "sandbox/subid_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* ---- id maps ---- */

static void test_id_maps(void **state)
{
    static const struct {
        const char *name, *have;
        uint32_t own;
        bool zero;
        const char *map;
        uint32_t ids;
    } maps[] = {
        { "root of the node", "0 0 4294967295\n", 0, true, "0 0 4294967295\n", 4294967295U },
        { "root, 0 may not be mapped", "0 0 4294967295\n", 0, false, "0 1 4294967294\n", 4294967294U },
        { "pod with its own users", "0 1000000 65536\n", 0, true, "0 0 65536\n", 65536 },
        { "the same without 0", "0 1000000 65536\n", 0, false, "0 1 65535\n", 65535 },
        { "user on a node", "0 0 4294967295\n", 1000, false, "0 1000 1\n1 100000 65535\n", 65536 },
        { "user of a pod with its own users", "0 1000000 65536\n", 1000, false, "0 1000 1\n1 1 999\n1000 1001 64535\n",
          65535 },
        { "the same, 0 may be mapped", "0 1000000 65536\n", 1000, true, "0 1000 1\n1 0 1000\n1001 1001 64535\n",
          65536 },
        { "two extents in the wrong order", "1 100000 65535\n0 1000 1\n", 0, true, "0 0 1\n1 1 65535\n", 65536 },
        { "a hole", "0 5 10\n100 500 20\n", 0, true, "0 0 10\n10 100 20\n", 30 },
        { "one id", "0 1000 1\n", 0, true, "0 0 1\n", 1 },
        { "none but us", "0 1000 1\n", 0, false, "", 0 },
        { "the last id", "0 0 4294967295\n", 4294967294U, false, "0 4294967294 1\n1 100000 65535\n", 65536 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++) {
        AUTO(buf_release) struct buf text = BUF_INIT;
        struct id_map have, map;

        assert_true(id_map_parse(maps[i].have, &have));
        id_map_full(&have, maps[i].own, maps[i].zero, &map);
        id_map_format(&map, &text);
        if (strcmp(buf_str(&text), maps[i].map) != 0 || map.ids != maps[i].ids)
            print_error("%s\n", maps[i].name);
        assert_string_equal(buf_str(&text), maps[i].map);
        assert_int_equal(map.ids, maps[i].ids);
    }
}

static void test_subordinate_ids(void **state)
{
    static const struct {
        const char *name, *text, *user, *map;
    } files[] = {
        { "by name", "a:100000:65536\nme:200000:1000\n", "me", "0 7 1\n1 200000 1000\n" },
        { "by number", "1000:5:6\n", NULL, "0 7 1\n1 5 6\n" },
        { "several, cut at the range", "me:100:10\nx\nme:200:4294967000\n", "me", "0 7 1\n1 100 10\n11 200 65525\n" },
        { "not a prefix", "mean:1:2\n:3:4\n", "me", "0 7 1\n" },
        { "no numbers", "me:x:2\nme:1:\nme:-1:4\nme:1\nme\nme:99999999999:1\nme:4294967295:9\nme:4294967296:1", "me",
          "0 7 1\n" },
        { "no end of line", "me:1:2", "me", "0 7 1\n1 1 2\n" },
        { "empty", "", "me", "0 7 1\n" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        AUTO(buf_release) struct buf out = BUF_INIT;
        struct id_map map;

        subid_map(files[i].text, files[i].user, 1000, 7, &map);
        id_map_format(&map, &out);
        if (strcmp(buf_str(&out), files[i].map) != 0)
            fail_msg("%s: %s", files[i].name, buf_str(&out));
    }
    AUTO_FREE char *name = subid_user_name("root:x:0:0::/:\nme:x:1000:5::/:\n", 1000);
    assert_string_equal(name, "me");
    assert_null(subid_user_name("root:x:0:0\n:x:1000:\nx:1000\n", 1000));
}

static void test_id_map_texts(void **state)
{
    static const char *const bad[] = { "x", "0 0\n", "0 0 1 2\n", "0 0 4294967296\n", "-1 0 1\n", "0  0 1x\n" };
    struct id_map map;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(id_map_parse(bad[i], &map));
    assert_true(id_map_parse("         0       1000          1\n         1     100000      65535\n", &map));
    assert_int_equal(map.n, 2);
    assert_int_equal(map.items[1].outside, 100000);
    assert_true(id_map_parse("", &map));
    assert_int_equal(map.n, 0);
}

/* ---- orders ---- */

static void test_orders(void **state)
{
    AUTO(buf_release) struct buf bytes = BUF_INIT;
    AUTO(buf_release) struct buf again = BUF_INIT;
    struct orders o = { .root = xstrdup("/r"),
                        .cwd = xstrdup(""),
                        .hostname = xstrdup("h"),
                        .uid = 1,
                        .gid = 4294967295U,
                        .no_network = true };
    struct orders back;

    (void)state;
    strs_add(&o.argv, "");
    strs_add(&o.argv, "two words\n");
    strs_add(&o.env, "A=b");
    strs_add(&o.hosts, "::1\ta");
    vec_push(&o.groups, 7U);
    struct order_mount m = { .kind = 1,
                             .source = xstrdup(""),
                             .target = xstrdup("/t"),
                             .tmpfs_bytes = UINT64_MAX,
                             .readonly = true,
                             .data = xstrdup("a"),
                             .len = 2,
                             .mode = 0400,
                             .uid = 5,
                             .gid = 6 };
    vec_push(&o.mounts, m);
    vec_push(&o.protect, 12U);
    o.supervised = (struct order_filter){ xstrdup("a\nb"), 3 };
    orders_encode(&o, &bytes);
    assert_null(orders_decode(bytes.data, bytes.len, &back));
    assert_string_equal(back.hostname, "h");
    assert_string_equal(back.hosts.items[0], "::1\ta");
    orders_encode(&back, &again);
    assert_int_equal(again.len, bytes.len);
    assert_memory_equal(again.data, bytes.data, bytes.len);
    assert_int_equal(back.mounts.items[0].tmpfs_bytes, UINT64_MAX);
    assert_int_equal(back.mounts.items[0].len, 2);
    assert_memory_equal(back.mounts.items[0].data, "a", 2);
    assert_int_equal(back.wall.len, 0);
    assert_int_equal(back.supervised.len, 3);
    assert_memory_equal(back.supervised.data, "a\nb", 3);
    orders_release(&back);
    orders_release(&o);
    for (size_t len = 0; len < bytes.len; len++) { /* every truncation is noticed */
        struct err *e = orders_decode(bytes.data, len, &back);

        assert_non_null(e);
        err_free(e);
    }
    buf_putc(&bytes, 'x');
    struct err *e = orders_decode(bytes.data, bytes.len, &back);
    assert_non_null(e);
    err_free(e);
}

/* ---- filters ---- */

static void test_filters_are_kept(void **state)
{
    static const struct orders kinds[] = {
        { .record = RECORD_DEVICES, .fresh_proc = true }, { .record = RECORD_ROOT, .fresh_proc = true },
        { .record = RECORD_USER, .fresh_proc = true },    { .record = RECORD_USER, .fresh_proc = true, .scoped = true },
        { .record = RECORD_ROOT, .scoped = true },        { .record = RECORD_NONE, .fresh_proc = true },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        AUTO(buf_release) struct buf wall = BUF_INIT;
        AUTO(buf_release) struct buf supervised = BUF_INIT;
        struct orders first = kinds[i], second = kinds[i];

        assert_true(filter_is_common(&first));
        assert_null(filter_give(&first));
        assert_null(filter_give(&second));
        assert_ptr_equal(first.wall.data, second.wall.data);
        assert_null(filter_make(&kinds[i], &wall, &supervised)); /* what the RUN's own process would make */
        assert_int_equal(first.wall.len, wall.len);
        assert_memory_equal(first.wall.data, wall.data, wall.len);
        assert_int_equal(first.supervised.len, supervised.len);
        assert_true((supervised.len > 0) == (kinds[i].record != RECORD_NONE));
        if (supervised.len)
            assert_memory_equal(first.supervised.data, supervised.data, supervised.len);
    }
}

/* Those that name processes are made where the processes are known. */
static void test_filters_of_one_run(void **state)
{
    struct orders o = { .record = RECORD_ROOT };

    (void)state;
    vec_push(&o.protect, 12U);
    assert_false(filter_is_common(&o));
    assert_null(filter_give(&o));
    assert_int_equal(o.wall.len, 0);
    assert_int_equal(o.supervised.len, 0);
    vec_free(&o.protect);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_id_maps),          cmocka_unit_test(test_subordinate_ids),
        cmocka_unit_test(test_id_map_texts),     cmocka_unit_test(test_orders),
        cmocka_unit_test(test_filters_are_kept), cmocka_unit_test(test_filters_of_one_run),
    };

    return cmocka_run_group_tests_name("sandbox ids", tests, NULL, NULL);
}
