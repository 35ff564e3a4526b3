#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above first */
#include <cmocka.h>

#include "base/buf.h"
#include "base/limits.h"
#include "tar/tar.h"

#include <string.h>

/* In the tables what is not named is zero. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

/* --- bytes as sink and source --- */

static struct err *to_buf(void *ctx, const void *p, size_t n)
{
    buf_add(ctx, p, n);
    return NULL;
}

/* Gives `step` bytes at a time, so that every boundary is crossed somewhere. */
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

static void succeed(struct err *e)
{
    if (!e)
        return;
    err_print(stderr, e);
    err_free(e);
    fail_msg("an error was not expected");
}

static void write_one(struct buf *out, const struct tar_entry *e, const void *data)
{
    AUTO(tar_writer_free) struct tar_writer *w = tar_writer_new((struct sink){ to_buf, out });

    succeed(tar_write_entry(w, e));
    if (data)
        succeed(tar_write_data(w, data, e->size_bytes));
    succeed(tar_writer_end(w));
}

/* All entries, each as one line "TYPE MODE UID:GID SIZE MTIME.NS PATH [-> LINK] {XATTR=VALUE} [OFFSET=DATA]...";
 * an error as "error: MESSAGE". */
static void describe_data(struct tar_reader *r, struct buf *out, struct err **e)
{
    const void *p;
    size_t n;
    uint64_t offset, next = 0;
    bool open = false;

    while (!(*e = tar_read_data(r, &p, &n, &offset)) && n) {
        if (!open || offset != next)
            buf_printf(out, "%s%llu=", open ? "] [" : " [", (unsigned long long)offset);
        buf_add(out, p, n);
        open = true;
        next = offset + n;
    }
    if (open)
        buf_putc(out, ']');
}

static void describe_entry(const struct tar_entry *e, struct buf *out)
{
    static const char types[] = "?pc?d?b?-?l";

    buf_printf(out, "%c%c %04o %u:%u %llu %lld.%09ld %s", types[(e->mode & S_IFMT) >> 12], e->hardlink ? 'h' : ' ',
               (unsigned)e->mode & 07777, e->uid, e->gid, (unsigned long long)e->size_bytes, (long long)e->mtime.tv_sec,
               e->mtime.tv_nsec, e->path);
    if (S_ISCHR(e->mode) || S_ISBLK(e->mode))
        buf_printf(out, " %u,%u", e->major, e->minor);
    if (e->link)
        buf_printf(out, " -> %s", e->link);
    for (size_t i = 0; i < e->n_xattrs; i++)
        buf_printf(out, " {%s=%.*s}", e->xattrs[i].name, (int)e->xattrs[i].len, (char *)e->xattrs[i].value);
}

static void describe(const char *p, size_t len, size_t step, struct buf *out)
{
    struct bytes b = { p, len, step };
    AUTO(tar_reader_free) struct tar_reader *r = NULL;
    struct err *e = tar_reader_new((struct source){ from_bytes, &b }, &r);
    bool found = true;

    while (!e && found) {
        AUTO(tar_entry_release) struct tar_entry entry = { 0 };

        e = tar_read_entry(r, &entry, &found);
        if (e || !found)
            break;
        describe_entry(&entry, out);
        describe_data(r, out, &e);
        buf_putc(out, '\n');
    }
    if (e) {
        AUTO_FREE char *text = NULL;
        size_t n;
        FILE *f = open_memstream(&text, &n);

        err_print(f, e);
        fclose(f);
        buf_puts(out, text);
        err_free(e);
    }
}

static void expect(const char *name, struct buf *archive, const char *wanted)
{
    static const size_t steps[] = { 0, 1, 511 };

    for (size_t i = 0; i < 3; i++) {
        AUTO(buf_release) struct buf got = BUF_INIT;

        describe(buf_str(archive), archive->len, steps[i], &got);
        if (strcmp(buf_str(&got), wanted) != 0)
            fail_msg("case '%s' (step %zu):\n got: %s\nwant: %s", name, steps[i], buf_str(&got), wanted);
    }
}

/* --- the writer --- */

#define X10  "xxxxxxxxxx"
#define X50  X10 X10 X10 X10 X10
#define X100 X50 X50
#define X150 X100 X50

static struct tar_xattr two_xattrs[] = { { (char *)"user.z", (char *)"1", 1 },
                                         { (char *)"user.a=%", (char *)"two", 3 } };

/* Each is written and read back; `pax` tells whether an extended header was needed. */
static const struct {
    const char *name;
    struct tar_entry e;
    bool pax;
    const char *text;
} written[] = {
#define P (char *)
    { "file", { P "a/b", .mode = S_IFREG | 0644, .mtime = { 1, 0 } }, false, "-  0644 0:0 0 1.000000000 a/b\n" },
    { "suid", { P "a", .mode = S_IFREG | 06755 }, false, "-  6755 0:0 0 0.000000000 a\n" },
    { "directory", { P "d", .mode = S_IFDIR | 01777 }, false, "d  1777 0:0 0 0.000000000 d\n" },
    { "root", { P ".", .mode = S_IFDIR | 0755 }, false, "d  0755 0:0 0 0.000000000 .\n" },
    { "symlink",
      { P "s", .link = P "/x//../y/", .mode = S_IFLNK | 0777 },
      false,
      "l  0777 0:0 0 0.000000000 s -> /x//../y/\n" },
    { "hard link",
      { P "h", .link = P "a/b", .hardlink = true, .mode = S_IFREG | 0644 },
      false,
      "-h 0644 0:0 0 0.000000000 h -> a/b\n" },
    { "char", { P "c", .mode = S_IFCHR | 0666, .major = 1, .minor = 3 }, false, "c  0666 0:0 0 0.000000000 c 1,3\n" },
    { "block",
      { P "b", .mode = S_IFBLK | 0660, .major = 4095, .minor = 1048575 },
      false,
      "b  0660 0:0 0 0.000000000 b 4095,1048575\n" },
    { "fifo", { P "p", .mode = S_IFIFO | 0600 }, false, "p  0600 0:0 0 0.000000000 p\n" },
    { "ids at the limit",
      { P "a", .mode = S_IFREG, .uid = 2097151, .gid = 2097151 },
      false,
      "-  0000 2097151:2097151 0 0.000000000 a\n" },
    { "uid over it", { P "a", .mode = S_IFREG, .uid = 2097152 }, true, "-  0000 2097152:0 0 0.000000000 a\n" },
    { "gid over it", { P "a", .mode = S_IFREG, .gid = 4294967294 }, true, "-  0000 0:4294967294 0 0.000000000 a\n" },
    { "nanoseconds", { P "a", .mode = S_IFREG, .mtime = { 5, 120000000 } }, true, "-  0000 0:0 0 5.120000000 a\n" },
    { "one nanosecond", { P "a", .mode = S_IFREG, .mtime = { 0, 1 } }, true, "-  0000 0:0 0 0.000000001 a\n" },
    { "before 1970", { P "a", .mode = S_IFREG, .mtime = { -86400, 0 } }, true, "-  0000 0:0 0 -86400.000000000 a\n" },
    { "and a bit",
      { P "a", .mode = S_IFREG, .mtime = { -86400, 123456789 } },
      true,
      "-  0000 0:0 0 -86400.123456789 a\n" },
    { "just before", { P "a", .mode = S_IFREG, .mtime = { -1, 999999999 } }, true, "-  0000 0:0 0 -1.999999999 a\n" },
    { "last octal time",
      { P "a", .mode = S_IFREG, .mtime = { 8589934591, 0 } },
      false,
      "-  0000 0:0 0 8589934591.000000000 a\n" },
    { "after it",
      { P "a", .mode = S_IFREG, .mtime = { 8589934592, 0 } },
      true,
      "-  0000 0:0 0 8589934592.000000000 a\n" },
    { "100 bytes", { P X100, .mode = S_IFREG }, false, "-  0000 0:0 0 0.000000000 " X100 "\n" },
    { "101 bytes", { P X100 "y", .mode = S_IFREG }, true, "-  0000 0:0 0 0.000000000 " X100 "y\n" },
    { "prefix", { P X150 "/" X100, .mode = S_IFREG }, false, "-  0000 0:0 0 0.000000000 " X150 "/" X100 "\n" },
    { "prefix of 155", { P X150 "12345/a", .mode = S_IFREG }, false, "-  0000 0:0 0 0.000000000 " X150 "12345/a\n" },
    { "prefix of 156", { P X150 "123456/a", .mode = S_IFREG }, true, "-  0000 0:0 0 0.000000000 " X150 "123456/a\n" },
    { "name of 101", { P "a/" X100 "y", .mode = S_IFREG }, true, "-  0000 0:0 0 0.000000000 a/" X100 "y\n" },
    { "directory of 100", { P X100, .mode = S_IFDIR }, true, "d  0000 0:0 0 0.000000000 " X100 "\n" },
    { "directory of 155", { P X150 "12345", .mode = S_IFDIR }, true, "d  0000 0:0 0 0.000000000 " X150 "12345\n" },
    { "directory with prefix",
      { P X100 "/" X50, .mode = S_IFDIR },
      false,
      "d  0000 0:0 0 0.000000000 " X100 "/" X50 "\n" },
    { "long link", { P "s", .link = P X100 "y", .mode = S_IFLNK }, true, "l  0000 0:0 0 0.000000000 s -> " X100 "y\n" },
    { "link of 100", { P "s", .link = P X100, .mode = S_IFLNK }, false, "l  0000 0:0 0 0.000000000 s -> " X100 "\n" },
    { "not ascii",
      { P "stra\xc3\x9f"
          "e",
        .mode = S_IFREG },
      true,
      "-  0000 0:0 0 0.000000000 stra\xc3\x9f"
      "e\n" },
    { "not utf-8", { P "\xff\xfe", .mode = S_IFREG }, true, "-  0000 0:0 0 0.000000000 \xff\xfe\n" },
    { "link not ascii",
      { P "s", .link = P "\xc3\xa4", .mode = S_IFLNK },
      true,
      "l  0000 0:0 0 0.000000000 s -> \xc3\xa4\n" },
    { "newline", { P "a\nb c", .mode = S_IFREG }, false, "-  0000 0:0 0 0.000000000 a\nb c\n" },
    { "xattrs",
      { P "a", .mode = S_IFREG, .xattrs = two_xattrs, .n_xattrs = 2 },
      true,
      "-  0000 0:0 0 0.000000000 a {user.a=%=two} {user.z=1}\n" },
#undef P
};

static void test_write(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(written) / sizeof(written[0]); i++) {
        AUTO(buf_release) struct buf out = BUF_INIT;

        write_one(&out, &written[i].e, NULL);
        bool pax = out.len > 156 && out.data[156] == 'x';

        if (pax != written[i].pax)
            fail_msg("case '%s': extended header: %d", written[i].name, pax);
        if (out.len != (pax ? 5 : 3) * 512u)
            fail_msg("case '%s': %zu bytes", written[i].name, out.len);
        expect(written[i].name, &out, written[i].text);
    }
}

static void test_write_bytes(void **state)
{
    static const char wanted[] = "27 mtime=1700000000.000005\n";
    struct tar_entry e = {
        .path = (char *)"a", .mode = S_IFREG | 0644, .size_bytes = 3, .mtime = { 1700000000, 5000 }
    };
    AUTO(buf_release) struct buf out = BUF_INIT;

    (void)state;
    write_one(&out, &e, "abc");
    assert_int_equal(out.len, 6 * 512);
    assert_memory_equal(out.data, "PaxHeaders/x\0", 13);
    assert_string_equal(out.data + 100, "0000644"); /* and so on: nothing of the entry */
    assert_string_equal(out.data + 136, "00000000000");
    assert_memory_equal(out.data + 257,
                        "ustar\0"
                        "00",
                        8);
    assert_memory_equal(out.data + 512, wanted, sizeof(wanted));
    assert_string_equal(out.data + 1024, "a");
    assert_string_equal(out.data + 1024 + 124, "00000000003");
    assert_string_equal(out.data + 1024 + 136, "14524770400");
    assert_memory_equal(out.data + 1536, "abc\0", 4);
    for (size_t i = 1539; i < out.len; i++)
        assert_int_equal(out.data[i], 0);
}

static void test_write_misuse(void **state)
{
    AUTO(buf_release) struct buf out = BUF_INIT;
    AUTO(tar_writer_free) struct tar_writer *w = tar_writer_new((struct sink){ to_buf, &out });
    struct tar_entry e = { .path = (char *)"a", .mode = S_IFREG, .size_bytes = 600 };
    struct tar_entry socket = { .path = (char *)"s", .mode = S_IFSOCK };
    struct tar_entry link = { .path = (char *)"l", .mode = S_IFLNK };
    static const char data[601];
    struct err *errors[6] = { NULL };

    (void)state;
    errors[0] = tar_write_entry(w, &socket);
    errors[1] = tar_write_entry(w, &link);
    succeed(tar_write_entry(w, &e));
    errors[2] = tar_write_data(w, data, 601);
    succeed(tar_write_data(w, data, 512));
    errors[3] = tar_writer_end(w);
    errors[4] = tar_write_entry(w, &e);
    succeed(tar_write_data(w, data, 88));
    errors[5] = tar_write_data(w, data, 1);
    succeed(tar_writer_end(w));
    for (size_t i = 0; i < 6; i++) {
        if (!errors[i])
            fail_msg("misuse %zu was accepted", i);
        assert_int_equal(err_kind(errors[i]), ERR_BUG);
        err_free(errors[i]);
    }
}

static void test_write_too_large_header(void **state)
{
    AUTO(buf_release) struct buf out = BUF_INIT;
    AUTO(tar_writer_free) struct tar_writer *w = tar_writer_new((struct sink){ to_buf, &out });
    AUTO_FREE char *big = xcalloc(LIMIT_PAX_BYTES, 1);
    struct tar_xattr x = { (char *)"user.a", big, LIMIT_PAX_BYTES };
    struct tar_entry e = { .path = (char *)"a", .mode = S_IFREG, .xattrs = &x, .n_xattrs = 1 };
    struct err *error = tar_write_entry(w, &e);

    (void)state;
    assert_non_null(error);
    assert_non_null(strstr(err_message(error), "1048576 bytes"));
    err_free(error);
}

/* --- the reader: archives put together by hand --- */

/* One entry of an archive. size defaults to the length of data; the data of 'x' are lines without their lengths. */
struct piece {
    char flag; /* '~' is the flag NUL; 0 ends the archive without, 'E' with two blocks of zeros */
    const char *name, *data, *link;
    char format; /* 'u'star (default), 'g'nu, '7' */
    const char *size, *uid, *prefix, *dev;
};
#define END                                                                                                            \
    {                                                                                                                  \
        'E'                                                                                                            \
    }

static void put_field(char *block, size_t at, size_t width, const char *text)
{
    if (text)
        memcpy(block + at, text, strlen(text) < width ? strlen(text) : width);
}

static void put_checksum(char *block)
{
    unsigned sum = 0;
    char text[16];

    memset(block + 148, ' ', 8);
    for (size_t i = 0; i < 512; i++)
        sum += (unsigned char)block[i];
    snprintf(text, sizeof(text), "%06o", sum & 0777777);
    memcpy(block + 148, text, 7);
}

static void put_header(struct buf *out, const struct piece *p, size_t len)
{
    char block[512] = { 0 }, size[16];

    snprintf(size, sizeof(size), "%011o", (unsigned)len);
    put_field(block, 0, 100, p->name);
    put_field(block, 100, 8, "0000644");
    put_field(block, 108, 8, p->uid ? p->uid : "0000001");
    put_field(block, 116, 8, "     2 ");
    put_field(block, 124, 12, p->size ? p->size : size);
    put_field(block, 136, 12, "00000000007");
    block[156] = p->flag;
    if (p->flag == '~')
        block[156] = '\0';
    put_field(block, 157, 100, p->link);
    if (p->format == 'g')
        memcpy(block + 257, "ustar  ", 8);
    else if (p->format != '7')
        memcpy(block + 257,
               "ustar\0"
               "00",
               8);
    put_field(block, 329, 8, p->dev);
    put_field(block, 345, 155, p->prefix);
    put_checksum(block);
    buf_add(out, block, 512);
}

/* "KEY=VALUE\n" lines to "LENGTH KEY=VALUE\n" ones. */
static void frame(struct buf *out, const char *lines)
{
    while (*lines) {
        size_t n = strcspn(lines, "\n") + 1, total = n + 2;

        while ((size_t)snprintf(NULL, 0, "%zu", total) + 1 + n != total)
            total++;
        buf_printf(out, "%zu ", total);
        buf_add(out, lines, n);
        lines += n;
    }
}

static void put_archive(struct buf *out, const struct piece *p)
{
    static const char zeros[1024];

    for (; p->flag && p->flag != 'E'; p++) {
        AUTO(buf_release) struct buf data = BUF_INIT;

        if (p->data && p->flag == 'x')
            frame(&data, p->data);
        else if (p->data)
            buf_puts(&data, p->data);
        put_header(out, p, data.len);
        if (data.len)
            buf_add(out, data.data, data.len);
        buf_add(out, zeros, -data.len & 511);
    }
    if (p->flag == 'E')
        buf_add(out, zeros, 1024);
}

#define REST     "0644 1:2 "
#define SPARSE_1 "GNU.sparse.major=1\nGNU.sparse.minor=0\nGNU.sparse.name=big\nGNU.sparse.realsize=10\n"
/* a map that fills its block, for what follows in the same piece */
#define X400 X100 X100 X100 X100

static const struct {
    const char *name;
    struct piece pieces[6];
    const char *text;
} archives[] = {
    { "nothing at all", { { 0 } }, "" },
    { "only the end", { END }, "" },
    { "plain", { { '0', "a", "abc" }, END }, "-  " REST "3 7.000000000 a [0=abc]\n" },
    { "no end", { { '0', "a", "abc" } }, "-  " REST "3 7.000000000 a [0=abc]\n" },
    { "more than a block",
      { { '0', "a", X400 X150 }, { '0', "b" }, END },
      "-  " REST "550 7.000000000 a [0=" X400 X150 "]\n-  " REST "0 7.000000000 b\n" },
    { "v7", { { '~', "a", "abc", .format = '7' }, END }, "-  " REST "3 7.000000000 a [0=abc]\n" },
    { "v7 directory", { { '~', "d/", .format = '7' }, END }, "d  " REST "0 7.000000000 d\n" },
    { "v7 has no prefix", { { '0', "a", .prefix = "p", .format = '7' }, END }, "-  " REST "0 7.000000000 a\n" },
    { "gnu neither", { { '0', "a", .prefix = "p", .format = 'g' }, END }, "-  " REST "0 7.000000000 a\n" },
    { "ustar has", { { '0', "a", .prefix = "p/q" }, END }, "-  " REST "0 7.000000000 p/q/a\n" },
    { "contiguous", { { '7', "a", "x" }, END }, "-  " REST "1 7.000000000 a [0=x]\n" },
    { "devices are not looked at", { { '0', "a", .dev = "garbage" }, END }, "-  " REST "0 7.000000000 a\n" },
    { "plain paths",
      { { '5', "./" }, { '5', ".//./d//" }, { '0', "/etc/x" }, { '0', ".x/..." }, END },
      "d  " REST "0 7.000000000 .\nd  " REST "0 7.000000000 d\n-  " REST "0 7.000000000 etc/x\n-  " REST
      "0 7.000000000 .x/...\n" },
    { "dotdot stays", { { '0', "../a/../b" }, END }, "-  " REST "0 7.000000000 ../a/../b\n" },
    { "hard link's target", { { '1', "h", .link = "./a" }, END }, "-h " REST "0 7.000000000 h -> a\n" },
    { "size of a hard link is no data",
      { { '1', "h", .link = "a", .size = "5" }, { '0', "b" }, END },
      "-h " REST "0 7.000000000 h -> a\n-  " REST "0 7.000000000 b\n" },
    { "of a directory neither", { { '5', "d", .size = "1000" }, END }, "d  " REST "0 7.000000000 d\n" },
    { "gnu incremental", { { 'D', "d/", "Yx" }, END }, "d  " REST "0 7.000000000 d\n" },
    { "volume label", { { 'V', "label" }, { '0', "a" }, END }, "-  " REST "0 7.000000000 a\n" },
    { "gnu long name",
      { { 'L', "././@LongLink", "long" }, { '0', "lo" }, { '0', "b" }, END },
      "-  " REST "0 7.000000000 long\n-  " REST "0 7.000000000 b\n" },
    { "gnu long link",
      { { 'K', "x", "far/" }, { '2', "l", .link = "f" }, END },
      "l  " REST "0 7.000000000 l -> far/\n" },
    { "both",
      { { 'K', "x", "far/" }, { 'L', "x", "ab/" }, { '1', "l", .link = "f" }, END },
      "-h " REST "0 7.000000000 ab -> far\n" },
    { "gnu name over pax name",
      { { 'L', "x", "g" }, { 'x', "x", "path=p\n" }, { '0', "a" }, END },
      "-  " REST "0 7.000000000 g\n" },
    { "pax",
      { { 'x', "x",
          "path=p\nuid=300\ngid=4294967294\nmtime=-1.00000001\nSCHILY.xattr.user.x=v\n"
          "SCHILY.xattr.user.%3D%41=w\nLIBARCHIVE.xattr.user.%C3%A4=aGVsbG8=\n" },
        { '0', "a" },
        END },
      "-  0644 300:4294967294 0 -2.999999990 p {user.=%41=w} {user.x=v} {user.\xc3\xa4=hello}\n" },
    { "decimals", { { 'x', "x", "mtime=5.1234567899\n" }, { '0', "a" }, END }, "-  " REST "0 5.123456789 a\n" },
    { "no decimals", { { 'x', "x", "mtime=-5.\n" }, { '0', "a" }, END }, "-  " REST "0 -5.000000000 a\n" },
    { "linkpath",
      { { 'x', "x", "linkpath=\xc3\xa4\n" }, { '2', "a" }, END },
      "l  " REST "0 7.000000000 a -> \xc3\xa4\n" },
    { "size of pax",
      { { 'x', "x", "size=3\n" }, { '0', "a", "abc", .size = "0" }, { '0', "b" }, END },
      "-  " REST "3 7.000000000 a [0=abc]\n-  " REST "0 7.000000000 b\n" },
    { "pax for one entry",
      { { 'x', "x", "path=p\nuid=5\n" }, { '0', "a" }, { '0', "b" }, END },
      "-  0644 5:2 0 7.000000000 p\n-  " REST "0 7.000000000 b\n" },
    { "two headers",
      { { 'x', "x", "path=p\nuid=5\n" }, { 'x', "x", "path=q\n" }, { '0', "a" }, END },
      "-  0644 5:2 0 7.000000000 q\n" },
    { "empty values",
      { { 'x', "x", "path=\nsize=\nuid=\nmtime=\nlinkpath=\nSCHILY.xattr.user.x=\n" }, { '0', "a" }, END },
      "-  " REST "0 7.000000000 a {user.x=}\n" },
    { "last xattr wins",
      { { 'x', "x", "SCHILY.xattr.user.x=1\nLIBARCHIVE.xattr.user.x=Mg\n" }, { '0', "a" }, END },
      "-  " REST "0 7.000000000 a {user.x=2}\n" },
    { "equals in a value", { { 'x', "x", "path=a=b\n" }, { '0', "a" }, END }, "-  " REST "0 7.000000000 a=b\n" },
    { "global header counts for nothing",
      { { 'g', "x", "8 uid=9\n" }, { '0', "a" }, END },
      "-  " REST "0 7.000000000 a\n" },
    { "unknown records",
      { { 'x', "x", "atime=1\ncomment=hello\nVENDOR.x=\n" }, { '0', "a" }, END },
      "-  " REST "0 7.000000000 a\n" },
    { "base-256 uid",
      { { '0', "a", .uid = "\x80\xff\xff\xff\xff\xff\xff\xff" }, END },
      "error: tar archive is damaged before byte 512: an owner is out of range\n" },
    { "base-256 negative uid",
      { { '0', "a", .uid = "\xff\xff\xff\xff\xff\xff\xff\xfe" }, END },
      "error: tar archive is damaged before byte 512: an owner is out of range\n" },
    { "sparse 0.0",
      { { 'x', "x",
          "GNU.sparse.size=10\nGNU.sparse.numblocks=2\nGNU.sparse.offset=1\nGNU.sparse.numbytes=2\n"
          "GNU.sparse.offset=8\nGNU.sparse.numbytes=1\n" },
        { '0', "a", "abc" },
        END },
      "-  " REST "10 7.000000000 a [1=ab] [8=c]\n" },
    { "sparse 0.1",
      { { 'x', "x", "GNU.sparse.size=10\nGNU.sparse.name=big\nGNU.sparse.map=1,2,8,1,10,0\n" },
        { '0', "GNUSparseFile.1/a", "abc" },
        { '0', "b" },
        END },
      "-  " REST "10 7.000000000 big [1=ab] [8=c]\n-  " REST "0 7.000000000 b\n" },
    { "sparse 1.0",
      { { 'x', "x", SPARSE_1 },
        { '0', "x/a",
          "2\n1\n2\n8\n1\n" X400 X100 "!!"
          "abc" },
        { '0', "b" },
        END },
      "-  " REST "10 7.000000000 big [1=ab] [8=c]\n-  " REST "0 7.000000000 b\n" },
    { "sparse without data",
      { { 'x', "x", "GNU.sparse.size=1000000\nGNU.sparse.map=\n" }, { '0', "a" }, END },
      "-  " REST "1000000 7.000000000 a\n" },
    /* what must fail */
    { "unknown type", { { 'Z', "a" } }, "error: tar archive has an entry of the unknown type 0x5a\n" },
    { "multi-volume", { { 'M', "a" } }, "error: tar archive has an entry of the unknown type 0x4d\n" },
    { "link to nothing", { { '2', "a" } }, "error: tar archive is damaged before byte 512: a link has no target\n" },
    { "hard link to nothing",
      { { '1', "a" } },
      "error: tar archive is damaged before byte 512: a link has no target\n" },
    { "not octal",
      { { '0', "a", .size = "00000000009" } },
      "error: cannot read 'a'\n  because: tar archive is damaged before byte 512: a size is no number\n" },
    { "negative size",
      { { '0', "a", .size = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" } },
      "error: cannot read 'a'\n  because: tar archive is damaged before byte 512: a size is negative\n" },
    { "huge size",
      { { '0', "a", .size = "\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" } },
      "error: cannot read 'a'\n  because: tar archive is damaged before byte 512: a size is no number\n" },
    { "garbage device",
      { { '3', "a", .dev = "garbage" } },
      "error: tar archive is damaged before byte 512: a device is no number\n" },
    { "data is short",
      { { '0', "a", .size = "2000" } },
      "-  " REST
      "1024 7.000000000 a\nerror: tar archive is damaged before byte 512: it ends in the middle of a file\n" },
    { "long name is empty", { { 'L', "x" } }, "error: tar archive is damaged before byte 512: a long name is empty\n" },
    { "long name is short",
      { { 'L', "x", .size = "777" } },
      "error: tar archive is damaged before byte 512: it ends in the middle\n" },
    { "huge extended header",
      { { 'x', "x", .size = "4000001" } },
      "error: tar archive has an extended header larger than 1048576 bytes\n" },
    { "extended header without an entry",
      { { 'x', "x", "uid=5\n" } },
      "error: tar archive is damaged before byte 1024: it ends after an extended header\n" },
    { "record too long", { { 'X', "x", "8 uid=5\n9 uid=5\n" } }, "pax record has a wrong length" },
    { "too short", { { 'X', "x", "2 uid=5\n" } }, "pax record has a wrong length" },
    { "no line end", { { 'X', "x", "8 uid=56" } }, "pax record has a wrong length" },
    { "no number", { { 'X', "x", "a uid=5\n" } }, "pax record has a wrong length" },
    { "negative", { { 'X', "x", "-8 uid=5\n" } }, "pax record has a wrong length" },
    { "overflow", { { 'X', "x", "99999999999999999999 uid=5\n" } }, "pax record has a wrong length" },
    { "no equals", { { 'x', "x", "uid\n" } }, "pax record has no keyword" },
    { "no keyword", { { 'x', "x", "=5\n" } }, "pax record has no keyword" },
    { "uid of -1", { { 'x', "x", "uid=4294967295\n" } }, "pax record 'uid' has a wrong value" },
    { "uid is no number", { { 'x', "x", "uid=x\n" } }, "pax record 'uid' has a wrong value" },
    { "size is negative", { { 'x', "x", "size=-1\n" } }, "pax record 'size' has a wrong value" },
    { "time", { { 'x', "x", "mtime=1.x\n" } }, "pax record 'mtime' has a wrong value" },
    { "time without seconds", { { 'x', "x", "mtime=.5\n" } }, "pax record 'mtime' has a wrong value" },
    { "time too large", { { 'x', "x", "mtime=9223372036854775808\n" } }, "pax record 'mtime' has a wrong value" },
    { "not base64", { { 'x', "x", "LIBARCHIVE.xattr.user.x=a b\n" } }, "pax record 'user.x' has a wrong value" },
    { "xattr without a name", { { 'x', "x", "SCHILY.xattr.=1\n" } }, "extended attribute without a name" },
    { "sparse: overlap", { { 'x', "x", "GNU.sparse.size=10\nGNU.sparse.map=1,2,2,1\n" } }, "pieces that overlap" },
    { "sparse: backwards", { { 'x', "x", "GNU.sparse.size=10\nGNU.sparse.map=5,1,1,1\n" } }, "pieces that overlap" },
    { "sparse: beyond any size", { { 'x', "x", "GNU.sparse.map=1,18446744073709551615\n" } }, "beyond any size" },
    { "sparse: odd map", { { 'x', "x", "GNU.sparse.map=1,2,3\n" } }, "'GNU.sparse.map' has a wrong value" },
    { "sparse: half a piece", { { 'x', "x", "GNU.sparse.offset=1\n" } }, "a piece without a length" },
    { "sparse: two offsets", { { 'x', "x", "GNU.sparse.offset=1\nGNU.sparse.offset=2\n" } }, "wrong value" },
    { "sparse: length first", { { 'x', "x", "GNU.sparse.numbytes=1\n" } }, "wrong value" },
    { "sparse: version 2", { { 'x', "x", "GNU.sparse.major=2\n" } }, "unknown version" },
    { "sparse: beyond the end",
      { { 'x', "x", "GNU.sparse.size=2\nGNU.sparse.map=1,2\n" }, { '0', "a", "ab" } },
      "beyond its end" },
    { "sparse: too much data",
      { { 'x', "x", "GNU.sparse.size=9\nGNU.sparse.map=1,2\n" }, { '0', "a", "abc" } },
      "stores 3 bytes but its map names 2" },
    { "sparse: no size", { { 'x', "x", "GNU.sparse.map=1,2\n" }, { '0', "a", "ab" } }, "a sparse file has no size" },
    { "sparse: map is no map",
      { { 'x', "x", SPARSE_1 }, { '0', "a", "1\nx\n" X400 X100 } },
      "a sparse map is no list of numbers" },
    { "sparse: map is cut", { { 'x', "x", SPARSE_1 }, { '0', "a", "2\n1\n" } }, "a sparse map is no list of numbers" },
    { "sparse: map is not filled up",
      { { 'x', "x", SPARSE_1 }, { '0', "a", "0\n" } },
      "a sparse map is not filled up" },
};

static void test_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(archives) / sizeof(archives[0]); i++) {
        AUTO(buf_release) struct buf archive = BUF_INIT;
        const char *want = archives[i].text;

        put_archive(&archive, archives[i].pieces);
        if (!*want || strchr(want, '\n')) {
            expect(archives[i].name, &archive, want);
            continue;
        }
        AUTO(buf_release) struct buf got = BUF_INIT;

        describe(buf_str(&archive), archive.len, 0, &got);
        if (!strstr(buf_str(&got), "error: ") || !strstr(buf_str(&got), want))
            fail_msg("case '%s' gave: %s", archives[i].name, buf_str(&got));
    }
}

static void test_read_numbers(void **state)
{
    AUTO(buf_release) struct buf archive = BUF_INIT;
    char block[512] = { 0 };

    (void)state;
    memcpy(block, "a", 1);
    memcpy(block + 100, " 644  \0 ", 8);
    memcpy(block + 108, "\x80\0\0\0\0\x20\0\0", 8);
    memcpy(block + 116, "        ", 8);
    memcpy(block + 136, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe", 12); /* -2 */
    put_checksum(block);
    buf_add(&archive, block, 512);
    expect("base 256 and blanks", &archive, "-  0644 2097152:0 0 -2.000000000 a\n");
}

/* The old GNU format: a map in the header, and a block of more. */
static void test_read_gnu_sparse(void **state)
{
    AUTO(buf_release) struct buf archive = BUF_INIT;
    struct piece p = { 'S', "a", .format = 'g', .size = "6" };
    char more[512] = { 0 };

    (void)state;
    put_header(&archive, &p, 0);
    for (size_t i = 0; i < 4; i++)
        snprintf(archive.data + 386 + 24 * i, 24, "%011o%c%011o", (unsigned)(i * 2), '\0', 1u);
    archive.data[482] = 1;
    memcpy(archive.data + 483, "00000000144", 12);
    put_checksum(archive.data);
    snprintf(more, 24, "%011o%c%011o", 0100u, '\0', 2u);
    buf_add(&archive, more, 512);
    buf_add(&archive, "abcdef", 6);
    expect("old gnu", &archive, "-  " REST "100 7.000000000 a [0=a] [2=b] [4=c] [6=d] [64=ef]\n");
}

/* Each cut of an archive is an error, or gives whole entries only; no cut crashes. */
static void test_read_truncated(void **state)
{
    static const struct piece pieces[] = { { 'x', "x", SPARSE_1 },
                                           { '0', "x/a",
                                             "2\n1\n2\n8\n1\n" X400 X100 "!!"
                                             "abc" },
                                           { 'L', "x", "long" },
                                           { '0', "b", "data" },
                                           { 0 } };
    AUTO(buf_release) struct buf archive = BUF_INIT;

    (void)state;
    put_archive(&archive, pieces);
    for (size_t n = 0; n < archive.len; n++) {
        AUTO(buf_release) struct buf got = BUF_INIT;

        describe(archive.data, n, 0, &got);
        bool error = strstr(buf_str(&got), "error: ") != NULL;
        size_t data_of_b = archive.len - 512;
        /* whole entries: none, after the sparse file (with or without padding), after the padding-less end of b */
        bool whole = n == 0 || (n >= 512 * 3 + 515 && n <= 512 * 5) || n >= data_of_b + 4;

        if (error == whole)
            fail_msg("cut at %zu of %zu: %s", n, archive.len, buf_str(&got));
    }
}

/* A flipped bit of a header is found, wherever it is. */
static void test_read_checksum(void **state)
{
    static const struct piece pieces[] = { { '0', "a" }, END };
    AUTO(buf_release) struct buf archive = BUF_INIT;

    (void)state;
    put_archive(&archive, pieces);
    for (size_t i = 0; i < 512; i++) {
        AUTO(buf_release) struct buf got = BUF_INIT;

        archive.data[i] ^= 1;
        describe(archive.data, archive.len, 0, &got);
        archive.data[i] ^= 1;
        if (i != 155 && !strstr(buf_str(&got), "checksum"))
            fail_msg("byte %zu: %s", i, buf_str(&got));
    }
}

/* Extension headers are bounded together, and so are the pieces of a sparse file. */
static void test_read_limits(void **state)
{
    AUTO(buf_release) struct buf archive = BUF_INIT, got = BUF_INIT;
    AUTO_FREE char *text = xcalloc(LIMIT_PAX_BYTES, 1);
    struct piece p = { 'X', "x", text };

    (void)state;
    memset(text, 'x', 600000);
    memcpy(text, "600000 comment=", 15);
    text[599999] = '\n';
    const struct piece twice[] = { p, p, { '0', "a" }, { 0 } };

    put_archive(&archive, twice + 1);
    describe(archive.data, archive.len, 0, &got);
    assert_string_equal(buf_str(&got), "-  " REST "0 7.000000000 a\n");
    buf_clear(&got);
    buf_clear(&archive);
    put_archive(&archive, twice);
    describe(archive.data, archive.len, 0, &got);
    assert_non_null(strstr(buf_str(&got), "larger than 1048576 bytes"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_write),
        cmocka_unit_test(test_write_bytes),
        cmocka_unit_test(test_write_misuse),
        cmocka_unit_test(test_write_too_large_header),
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_read_numbers),
        cmocka_unit_test(test_read_gnu_sparse),
        cmocka_unit_test(test_read_truncated),
        cmocka_unit_test(test_read_checksum),
        cmocka_unit_test(test_read_limits),
    };

    return cmocka_run_group_tests_name("tar", tests, NULL, NULL);
}
