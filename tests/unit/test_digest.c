#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above first */
#include <cmocka.h>

#include "digest/digest.h"
#include "digest/hash_stream.h"

#include <string.h>

#define EMPTY "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define ABC   "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define HEX63 "a7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

static void test_known(void **state)
{
    (void)state;
    /* FIPS 180-4 examples */
    struct digest empty = digest_bytes("", 0), abc = digest_bytes("abc", 3), again = digest_bytes("abc", 3);
    assert_string_equal(empty.text, EMPTY);
    assert_string_equal(abc.text, ABC);
    assert_string_equal(digest_hex(&abc), ABC + 7);
    assert_true(digest_equal(&abc, &again));
    assert_false(digest_equal(&abc, &empty));
}

/* However the bytes are cut into pieces, the digest is that of the whole: a million times 'a', FIPS 180-4. */
static void test_pieces(void **state)
{
    static const size_t sizes[] = { 1, 63, 64, 65, 4096, 1000000 };
    static char a[1000000];

    (void)state;
    memset(a, 'a', sizeof(a));
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        AUTO(hasher_free) struct hasher *h = hasher_new();

        for (size_t done = 0; done < sizeof(a);) {
            size_t n = sizeof(a) - done < sizes[i] ? sizeof(a) - done : sizes[i];

            hasher_add(h, a + done, n);
            done += n;
        }
        struct digest d = hasher_end(h);
        assert_string_equal(d.text, "sha256:cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    }
}

/* In a thread or not, in pieces of any size, around the borders of what waits for the thread. */
static void test_stream(void **state)
{
    static const size_t totals[] = { 0,
                                     1,
                                     HASH_STREAM_BYTES / 4 - 1,
                                     HASH_STREAM_BYTES / 4,
                                     HASH_STREAM_BYTES,
                                     HASH_STREAM_BYTES + 1,
                                     5 * HASH_STREAM_BYTES + 12345 };
    static const size_t pieces[] = { 1000, 16384, HASH_STREAM_BYTES / 4, 2 * HASH_STREAM_BYTES + 7 };
    static const uint64_t announced[] = { 0, 1 << 30 };
    static unsigned char data[5 * HASH_STREAM_BYTES + 12345];

    (void)state;
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (unsigned char)(i * 7 + i / 251);
    for (size_t row = 0; row < 7 * 4 * 2; row++) {
        size_t total = totals[row % 7], piece = pieces[row / 7 % 4];
        AUTO(hash_stream_free) struct hash_stream *h = hash_stream_new(announced[row / 28]);

        for (size_t done = 0; done < total; done += piece)
            hash_stream_add(h, data + done, total - done < piece ? total - done : piece);
        struct digest want = digest_bytes(data, total), got = hash_stream_end(h);
        if (!digest_equal(&want, &got))
            fail_msg("%zu bytes in pieces of %zu: %s", total, piece, got.text);
    }
    for (size_t i = 0; i < 2; i++) { /* given up in the middle */
        AUTO(hash_stream_free) struct hash_stream *h = hash_stream_new(announced[i]);

        hash_stream_add(h, data, sizeof(data));
    }
}

static void test_parse(void **state)
{
    static const struct {
        const char *name, *text;
        int good;
    } rows[] = {
        { "plain", ABC, 1 },
        { "empty", "", 0 },
        { "no algorithm", HEX63 "b", 0 },
        { "other algorithm", "sha512:b" HEX63, 0 },
        { "upper case", "sha256:B" HEX63, 0 },
        { "upper case algorithm", "SHA256:b" HEX63, 0 },
        { "not hex", "sha256:g" HEX63, 0 },
        { "too short", "sha256:" HEX63, 0 },
        { "too long", "sha256:bb" HEX63, 0 },
        { "blank in front", " " ABC, 0 },
        { "newline behind", ABC "\n", 0 },
        { "slashes", "sha256:../../../../../../../../../../../../../../../../../../../../etc", 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct digest d = { "untouched" };
        struct err *e = digest_parse(rows[i].text, &d);

        if (rows[i].good && (e || strcmp(d.text, rows[i].text) != 0))
            fail_msg("'%s' was refused", rows[i].name);
        if (!rows[i].good && (!e || err_kind(e) != ERR_REGISTRY || strcmp(d.text, "untouched") != 0))
            fail_msg("'%s' was accepted", rows[i].name);
        err_free(e);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known),
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_stream),
        cmocka_unit_test(test_parse),
    };

    return cmocka_run_group_tests_name("digest", tests, NULL, NULL);
}
