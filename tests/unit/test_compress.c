#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above first */
#include <cmocka.h>

#include "base/buf.h"
#include "tar/compress.h"
#include "tar/decompress.h"

#include "../fixtures/no_threads.h"

#include <bzlib.h>
#include <lzma.h>
#include <string.h>
#include <zlib.h>

static void succeed(struct err *e)
{
    if (!e)
        return;
    err_print(stderr, e);
    err_free(e);
    fail_msg("an error was not expected");
}

static struct err *to_buf(void *ctx, const void *p, size_t n)
{
    buf_add(ctx, p, n);
    return NULL;
}

struct bytes {
    const char *p;
    size_t len, step;
};

static struct err *from_bytes(void *ctx, void *p, size_t n, size_t *ret_len)
{
    struct bytes *b = ctx;
    size_t k = b->len < n ? b->len : n;

    if (b->step && k > b->step)
        k = b->step;
    memcpy(p, b->p, k);
    b->p += k;
    b->len -= k;
    *ret_len = k;
    return NULL;
}

/* Half text-like, half noise, the same in every run. */
static void make_data(struct buf *b, size_t n, bool noise)
{
    uint32_t x = 2463534242u;

    while (b->len < n) {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        if (noise || x % 7 == 0)
            buf_add(b, &x, n - b->len < 4 ? n - b->len : 4);
        else
            buf_putc(b, (char)('a' + x % 13));
    }
}

static struct err *pack(const struct compress_opts *opts, const struct buf *in, size_t step, struct buf *out,
                        struct compress_result *ret)
{
    AUTO(compress_free) struct compressor *c = NULL;

    TRY(compress_new(opts, (struct sink){ to_buf, out }, &c));
    struct sink sink = compress_sink(c);

    for (size_t at = 0; at < in->len; at += step)
        TRY(sink_write(&sink, in->data + at, in->len - at < step ? in->len - at : step));
    return compress_end(c, ret);
}

/* read_size: how much is asked for at once; step: how much the source gives at once (0: all). */
static struct err *unpack(const char *p, size_t n, size_t step, size_t read_size, struct buf *out,
                          const char **ret_kind)
{
    struct bytes b = { p, n, step };
    AUTO(decompress_free) struct decompressor *d = NULL;
    AUTO_FREE char *chunk = xcalloc(read_size, 1);

    TRY(decompress_new((struct source){ from_bytes, &b }, &d));
    *ret_kind = decompress_kind(d);
    struct source source = decompress_source(d);

    for (;;) {
        size_t got;

        TRY(source_read(&source, chunk, read_size, &got));
        if (got == 0)
            return NULL;
        buf_add(out, chunk, got);
    }
}

static void expect_plain(const char *name, const struct buf *packed, const char *kind, const struct buf *plain)
{
    static const size_t sizes[][2] = { { 0, 1 << 20 }, { 1000, 65536 }, { 0, 100 }, { 7, 3000000 } };

    for (size_t i = 0; i < 4; i++) {
        AUTO(buf_release) struct buf got = BUF_INIT;
        const char *got_kind;

        succeed(unpack(packed->len ? packed->data : "", packed->len, sizes[i][0], sizes[i][1], &got, &got_kind));
        if (strcmp(got_kind, kind) != 0)
            fail_msg("case '%s' is %s", name, got_kind);
        if (got.len != plain->len || (got.len && memcmp(got.data, plain->data, got.len) != 0))
            fail_msg("case '%s' (way %zu): %zu bytes came back of %zu", name, i, got.len, plain->len);
    }
}

static const struct {
    const char *name;
    enum compression kind;
    int level;
    const char *as;
} kinds[] = {
    { "none", COMPRESSION_NONE, 0, "none" },   { "gzip", COMPRESSION_GZIP, 0, "gzip" },
    { "gzip 9", COMPRESSION_GZIP, 9, "gzip" }, { "zstd", COMPRESSION_ZSTD, 0, "zstd" },
    { "zstd 7", COMPRESSION_ZSTD, 7, "zstd" },
};
static const size_t sizes[] = { 0, 1, 1 << 20, (1 << 20) + 1, 5500000 };

static void check_result(const char *name, const struct compress_result *r, const struct buf *plain,
                         const struct buf *packed)
{
    struct digest diff_id = digest_bytes(plain->len ? plain->data : "", plain->len);
    struct digest digest = digest_bytes(packed->len ? packed->data : "", packed->len);

    if (!digest_equal(&r->diff_id, &diff_id) || !digest_equal(&r->digest, &digest) || r->size_bytes != packed->len ||
        r->uncompressed_bytes != plain->len)
        fail_msg("case '%s': wrong digests or sizes", name);
}

/* Each kind and size, with 1, 2 and 4 threads and three ways of cutting the input: always the same bytes, which come
 * back. */
static void test_round_trip(void **state)
{
    static const struct {
        int threads;
        size_t step;
    } ways[] = { { 1, 1 << 17 }, { 2, 3000000 }, { 4, 777 } };

    (void)state;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]) * 5; i++) {
        AUTO(buf_release) struct buf plain = BUF_INIT, first = BUF_INIT;
        const char *name = kinds[i / 5].name;

        make_data(&plain, sizes[i % 5], i % 2);
        for (size_t w = 0; w < 3; w++) {
            struct compress_opts opts = { kinds[i / 5].kind, kinds[i / 5].level, ways[w].threads, NULL };
            struct compress_result result;
            AUTO(buf_release) struct buf packed = BUF_INIT;

            succeed(pack(&opts, &plain, ways[w].step, &packed, &result));
            check_result(name, &result, &plain, &packed);
            if (w == 0)
                buf_add(&first, packed.data, packed.len);
            else if (first.len != packed.len || (first.len && memcmp(first.data, packed.data, first.len) != 0))
                fail_msg("case '%s' with %d threads gives other bytes", name, ways[w].threads);
        }
        expect_plain(name, &first, kinds[i / 5].as, &plain);
    }
}

/* A pod that allows no more threads: the same bytes, by the caller's own. */
static void test_no_threads(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]) * 5; i++) {
        const struct compress_opts opts = { kinds[i / 5].kind, kinds[i / 5].level, 2, NULL };
        AUTO(buf_release) struct buf plain = BUF_INIT, want = BUF_INIT, packed = BUF_INIT;
        struct compress_result result;

        make_data(&plain, sizes[i % 5], i % 2);
        succeed(pack(&opts, &plain, 3000000, &want, &result));
        const size_t before = forbid_threads();
        struct err *e = pack(&opts, &plain, 3000000, &packed, &result);
        allow_threads(before);
        succeed(e);
        check_result(kinds[i / 5].name, &result, &plain, &packed);
        assert_int_equal(packed.len, want.len);
        assert_true(!want.len || memcmp(packed.data, want.data, want.len) == 0);
    }
}

/* Members are one block each and begin without a time or a name: the framing is part of what a digest covers. */
static void test_gzip_framing(void **state)
{
    AUTO(buf_release) struct buf plain = BUF_INIT, packed = BUF_INIT;
    struct compress_opts opts = { COMPRESSION_GZIP, 0, 2, NULL };
    struct compress_result result;
    size_t at = 0, members = 0;

    (void)state;
    make_data(&plain, (3 << 20) + 5, false);
    succeed(pack(&opts, &plain, 1 << 20, &packed, &result));
    while (at < packed.len) {
        AUTO_FREE unsigned char *out = xcalloc(1 << 20, 1);
        z_stream z = { .next_in = (unsigned char *)packed.data + at,
                       .avail_in = (unsigned)(packed.len - at),
                       .next_out = out,
                       .avail_out = 1 << 20 };

        assert_memory_equal(packed.data + at, "\x1f\x8b\x08\0\0\0\0\0\x04\xff", 10);
        assert_int_equal(inflateInit2(&z, 16 + MAX_WBITS), Z_OK);
        assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
        assert_int_equal(z.total_out, members < 3 ? 1 << 20 : 5);
        at += z.total_in;
        inflateEnd(&z);
        members++;
    }
    assert_int_equal(members, 4);
}

/* A sink that takes some bytes and then fails. */
struct full {
    size_t left;
};

static struct err *to_full(void *ctx, const void *p, size_t n)
{
    struct full *f = ctx;

    (void)p;
    if (n > f->left)
        return err_new(ERR_DISK, "no room");
    f->left -= n;
    return NULL;
}

static void test_output_fails(void **state)
{
    AUTO(buf_release) struct buf plain = BUF_INIT;

    (void)state;
    make_data(&plain, 1 << 20, true);
    for (size_t i = 0; i < 12; i++) {
        struct full full = { i % 4 * 2500000 };
        struct compress_opts opts = { (enum compression)(i % 3), 0, 1 + (int)(i % 4), NULL };
        AUTO(compress_free) struct compressor *c = NULL;
        struct compress_result result;
        struct err *e = NULL;

        succeed(compress_new(&opts, (struct sink){ to_full, &full }, &c));
        struct sink sink = compress_sink(c);

        for (int n = 0; n < 10 && !e; n++)
            e = sink_write(&sink, plain.data, plain.len);
        if (!e)
            e = compress_end(c, &result);
        if (!e || strcmp(err_message(e), "no room") != 0)
            fail_msg("case %zu: %s", i, e ? err_message(e) : "no error");
        err_free(e);
        e = compress_end(c, &result); /* once failed, always failed */
        assert_non_null(e);
        err_free(e);
    }
}

static void test_not_ended(void **state)
{
    AUTO(buf_release) struct buf plain = BUF_INIT, out = BUF_INIT;

    (void)state;
    make_data(&plain, 3500000, false);
    for (int threads = 1; threads <= 3; threads++) {
        struct compress_opts opts = { COMPRESSION_GZIP, 0, threads, NULL };
        AUTO(compress_free) struct compressor *c = NULL;

        succeed(compress_new(&opts, (struct sink){ to_buf, &out }, &c));
        struct sink sink = compress_sink(c);

        succeed(sink_write(&sink, plain.data, plain.len));
    }
}

static void test_options(void **state)
{
    static const struct {
        struct compress_opts opts;
        enum err_kind kind;
    } bad[] = {
        { { COMPRESSION_GZIP, 13, 1, NULL }, ERR_SETTING }, { { COMPRESSION_GZIP, -1, 1, NULL }, ERR_SETTING },
        { { COMPRESSION_ZSTD, 20, 1, NULL }, ERR_SETTING }, { { COMPRESSION_ZSTD, -7, 1, NULL }, ERR_SETTING },
        { { COMPRESSION_GZIP, 1, 0, NULL }, ERR_BUG },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct compressor *c = NULL;
        struct err *e = compress_new(&bad[i].opts, (struct sink){ to_buf, NULL }, &c);

        if (!e || err_kind(e) != bad[i].kind)
            fail_msg("row %zu", i);
        err_free(e);
    }
}

static void test_cancelled(void **state)
{
    AUTO(buf_release) struct buf plain = BUF_INIT, out = BUF_INIT;
    struct cancel *cancel;
    struct compress_result result;

    (void)state;
    make_data(&plain, 1 << 20, false);
    succeed(cancel_new(&cancel));
    struct compress_opts opts = { COMPRESSION_GZIP, 0, 2, cancel };

    cancel_raise(cancel, CANCEL_SIGNAL);
    struct err *e = pack(&opts, &plain, 1 << 20, &out, &result);

    assert_non_null(e);
    assert_int_equal(err_kind(e), ERR_TERMINATED);
    err_free(e);
    cancel_free(cancel);
}

/* --- what others write --- */

/* With zlib: one member with a name in its header. */
static void add_gzip(struct buf *out, const struct buf *plain)
{
    AUTO_FREE unsigned char *room = xcalloc(plain->len + 10000, 1);
    gz_header header = { .name = (unsigned char *)"layer.tar", .time = 5, .os = 3 };
    z_stream z = { .next_in = (unsigned char *)plain->data,
                   .avail_in = (unsigned)plain->len,
                   .next_out = room,
                   .avail_out = (unsigned)plain->len + 10000 };

    deflateInit2(&z, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
    deflateSetHeader(&z, &header);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    buf_add(out, room, z.total_out);
    deflateEnd(&z);
}

static void add_bzip2(struct buf *out, const struct buf *plain)
{
    unsigned n = (unsigned)plain->len + 100000;
    AUTO_FREE char *room = xcalloc(n, 1);

    assert_int_equal(BZ2_bzBuffToBuffCompress(room, &n, plain->data, (unsigned)plain->len, 1, 0, 0), BZ_OK);
    buf_add(out, room, n);
}

static void add_xz(struct buf *out, const struct buf *plain)
{
    size_t n = 0, size = plain->len + 100000;
    AUTO_FREE unsigned char *room = xcalloc(size, 1);

    assert_int_equal(
        lzma_easy_buffer_encode(0, LZMA_CHECK_CRC64, NULL, (unsigned char *)plain->data, plain->len, room, &n, size),
        LZMA_OK);
    buf_add(out, room, n);
}

static void add_zstd(struct buf *out, const struct buf *plain)
{
    struct compress_opts opts = { COMPRESSION_ZSTD, 0, 1, NULL };
    struct compress_result result;

    succeed(pack(&opts, plain, 1 << 20, out, &result));
}

static void add_our_gzip(struct buf *out, const struct buf *plain)
{
    struct compress_opts opts = { COMPRESSION_GZIP, 0, 1, NULL };
    struct compress_result result;

    succeed(pack(&opts, plain, 1 << 20, out, &result));
}

static const struct {
    const char *kind;
    void (*add)(struct buf *out, const struct buf *plain);
} formats[] = {
    { "gzip", add_gzip }, { "gzip", add_our_gzip }, { "bzip2", add_bzip2 }, { "xz", add_xz }, { "zstd", add_zstd }
};
enum { N_FORMATS = sizeof(formats) / sizeof(formats[0]) };

/* One stream, and two after each other. */
static void test_formats(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_FORMATS; i++) {
        AUTO(buf_release) struct buf plain = BUF_INIT, packed = BUF_INIT;

        make_data(&plain, 1500000, false);
        formats[i].add(&packed, &plain);
        expect_plain(formats[i].kind, &packed, formats[i].kind, &plain);
        formats[i].add(&packed, &plain);
        AUTO_FREE char *copy = xcalloc(plain.len, 1);

        memcpy(copy, plain.data, plain.len);
        buf_add(&plain, copy, plain.len);
        expect_plain("twice", &packed, formats[i].kind, &plain);
    }
}

/* Large and small members in turn: libdeflate's part, zlib's part. */
static void test_gzip_mixed(void **state)
{
    AUTO(buf_release)
    struct buf small = BUF_INIT, large = BUF_INIT, packed = BUF_INIT, plain = BUF_INIT, none = BUF_INIT;

    (void)state;
    make_data(&small, 1000, false);
    make_data(&large, 2500000, true);
    buf_str(&none);
    for (int i = 0; i < 6; i++) {
        const struct buf *part = i == 3 ? &large : i == 1 ? &none : &small;

        add_gzip(&packed, part);
        if (part->len)
            buf_add(&plain, part->data, part->len);
    }
    expect_plain("mixed", &packed, "gzip", &plain);
    for (int i = 0; i < 1000; i++)
        buf_putc(&packed, '\0');
    expect_plain("filled up with zeros", &packed, "gzip", &plain);
}

/* A member that is too large to be decoded whole, with a header, and its trailer changed. */
static const struct {
    const char *name, *header; /* the flags and what follows the ten bytes */
    unsigned char flags;
    size_t header_len;
    int crc_by, size_by;
    const char *error; /* NULL: it is right */
} members[] = {
    { "a plain header", "", 0, 0, 0, 0, NULL },
    { "a text flag", "", 1, 0, 0, 0, NULL },
    { "a name", "layer.tar\0", 8, 10, 0, 0, NULL },
    { "extra, name, comment and checksum", "\3\0abcname\0comment\0\1\2", 30, 20, 0, 0, NULL },
    { "an empty name and comment", "\0\0", 24, 2, 0, 0, NULL },
    { "an unknown flag", "", 32, 0, 0, 0, "unknown header" },
    { "a name without an end", NULL, 8, 2000000, 0, 0, "header is too long" },
    { "a wrong checksum", "", 0, 0, 1, 0, "checksum or its length" },
    { "a wrong length", "", 0, 0, 0, 1, "checksum or its length" },
};

static void put_u32(struct buf *out, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        buf_putc(out, (char)(v >> 8 * i));
}

static void put_member(struct buf *out, size_t i, const struct buf *plain)
{
    AUTO(buf_release) struct buf packed = BUF_INIT;
    const unsigned char start[10] = { 0x1f, 0x8b, 8, members[i].flags };

    add_gzip(&packed, plain);
    buf_add(out, start, sizeof(start));
    for (size_t k = 0; k < members[i].header_len; k++)
        buf_putc(out, members[i].header ? members[i].header[k] : 'x');
    buf_add(out, packed.data + 20, packed.len - 28); /* without the header, which has a name, and the trailer */
    put_u32(out, (uint32_t)crc32(0, (unsigned char *)plain->data, (unsigned)plain->len) + (uint32_t)members[i].crc_by);
    put_u32(out, (uint32_t)plain->len + (uint32_t)members[i].size_by);
}

static void test_gzip_members(void **state)
{
    AUTO(buf_release) struct buf plain = BUF_INIT;

    (void)state;
    make_data(&plain, 1500000, false);
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        AUTO(buf_release) struct buf packed = BUF_INIT, got = BUF_INIT;
        const char *kind;

        put_member(&packed, i, &plain);
        if (!members[i].error) {
            expect_plain(members[i].name, &packed, "gzip", &plain);
            continue;
        }
        struct err *e = unpack(packed.data, packed.len, 0, 65536, &got, &kind);

        if (!e || !strstr(err_message(e), members[i].error))
            fail_msg("%s: %s", members[i].name, e ? err_message(e) : "no error");
        err_free(e);
    }
}

static void test_not_compressed(void **state)
{
    static const char *const texts[] = { "",
                                         "a",
                                         "\x1f\x8b",
                                         "BZh0 is no bzip2",
                                         "PK\x03\x04",
                                         "\x28\xb5\x2f",
                                         "\xfd"
                                         "7zX" };

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        AUTO(buf_release) struct buf b = BUF_INIT;

        buf_puts(&b, texts[i]);
        expect_plain(texts[i], &b, "none", &b);
    }
}

/* A kind's data cut anywhere is an error, never a shorter result that looks whole. */
static void test_truncated(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_FORMATS; i++) {
        AUTO(buf_release) struct buf plain = BUF_INIT, packed = BUF_INIT;

        make_data(&plain, 20000, false);
        formats[i].add(&packed, &plain);
        for (size_t n = 6; n < packed.len; n += 1 + packed.len / 300) {
            AUTO(buf_release) struct buf got = BUF_INIT;
            const char *kind;
            struct err *e = unpack(packed.data, n, 0, 65536, &got, &kind);

            if (!e || err_kind(e) != ERR_REGISTRY)
                fail_msg("%s cut at %zu of %zu", formats[i].kind, n, packed.len);
            err_free(e);
        }
    }
}

/* A flipped bit in the data is found by the format's check sum. Our zstd frames have none: layers are checked by
 * digest. */
static void test_damaged(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_FORMATS - 1; i++) {
        AUTO(buf_release) struct buf plain = BUF_INIT, packed = BUF_INIT;

        make_data(&plain, 20000, false);
        formats[i].add(&packed, &plain);
        for (size_t at = 64; at < packed.len; at += 1 + packed.len / 100) {
            AUTO(buf_release) struct buf got = BUF_INIT;
            const char *kind;

            packed.data[at] ^= 0x10;
            struct err *e = unpack(packed.data, packed.len, 0, 65536, &got, &kind);

            packed.data[at] ^= 0x10;
            if (!e)
                fail_msg("%s: damage at %zu of %zu", formats[i].kind, at, packed.len);
            assert_int_equal(err_kind(e), ERR_REGISTRY);
            err_free(e);
        }
    }
}

static void test_trailing(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_FORMATS; i++) {
        AUTO(buf_release) struct buf plain = BUF_INIT, packed = BUF_INIT, got = BUF_INIT;
        const char *kind;

        make_data(&plain, 2000, false);
        formats[i].add(&packed, &plain);
        buf_puts(&packed, "something else");
        struct err *e = unpack(packed.data, packed.len, 0, 65536, &got, &kind);

        if (!e)
            fail_msg("%s: what follows was not noticed", formats[i].kind);
        err_free(e);
    }
}

static struct err *from_error(void *ctx, void *p, size_t n, size_t *ret_len)
{
    (void)ctx, (void)p, (void)n, (void)ret_len;
    return err_new(ERR_NETWORK, "cut off");
}

static void test_source_fails(void **state)
{
    struct decompressor *d = NULL;
    struct err *e = decompress_new((struct source){ from_error, NULL }, &d);

    (void)state;
    assert_non_null(e);
    assert_int_equal(err_kind(e), ERR_NETWORK);
    err_free(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),   cmocka_unit_test(test_no_threads),     cmocka_unit_test(test_gzip_framing),
        cmocka_unit_test(test_output_fails), cmocka_unit_test(test_not_ended),      cmocka_unit_test(test_options),
        cmocka_unit_test(test_cancelled),    cmocka_unit_test(test_formats),        cmocka_unit_test(test_gzip_mixed),
        cmocka_unit_test(test_gzip_members), cmocka_unit_test(test_not_compressed), cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_damaged),      cmocka_unit_test(test_trailing),       cmocka_unit_test(test_source_fails),
    };

    return cmocka_run_group_tests_name("compress", tests, NULL, NULL);
}
