#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above first */
#include <cmocka.h>

#include "sys/file.h"
#include "sys/image_xattr.h"
#include "sys/owner.h"
#include "sys/path.h"
#include "sys/program.h"

#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

static int tmp_fd = -1;
static char tmp_path[] = "/tmp/copyup-test-sys-XXXXXX";

static int setup(void **state)
{
    (void)state;
    if (!mkdtemp(tmp_path))
        return -1;
    tmp_fd = open(tmp_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return tmp_fd < 0 ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    close(tmp_fd);
    err_free(file_remove_tree(AT_FDCWD, tmp_path));
    return access(tmp_path, F_OK) == 0 ? -1 : 0;
}

static void must(struct err *e)
{
    if (e) {
        err_print(stderr, e);
        err_free(e);
        fail();
    }
}

static const struct {
    const char *in, *out;
} clean_cases[] = {
    { "", "." },           { ".", "." },         { "/", "/" },       { "//", "/" },     { "a", "a" },
    { "a/", "a" },         { "a//b", "a/b" },    { "a/./b", "a/b" }, { "a/../b", "b" }, { "a/..", "." },
    { "../a", "../a" },    { "../..", "../.." }, { "/..", "/" },     { "/../a", "/a" }, { "a/../../b", "../b" },
    { "/a/b/../..", "/" }, { "./a", "a" },       { "a/b/..", "a" },  { "...", "..." },  { "/a/..b", "/a/..b" },
};

static void test_clean(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(clean_cases) / sizeof(clean_cases[0]); i++) {
        AUTO_FREE char *got = path_clean(clean_cases[i].in);

        if (strcmp(got, clean_cases[i].out) != 0)
            fail_msg("path_clean('%s') = '%s', want '%s'", clean_cases[i].in, got, clean_cases[i].out);
    }
}

static void test_mkdirs_and_escape(void **state)
{
    AUTO_CLOSE int root = -1, fd = -1, out = -1;

    (void)state;
    must(path_mkdirs(tmp_fd, "root/a/b", 0755, NULL, NULL, &fd));
    must(path_open(tmp_fd, "root", O_PATH | O_DIRECTORY, 0, &root));
    assert_int_equal(symlinkat("/", root, "up"), 0);
    assert_int_equal(symlinkat("../../../../etc", root, "outside"), 0);
    close_fd(&fd);
    must(path_mkdirs(root, "/up/c", 0700, NULL, NULL, &fd));
    close_fd(&fd);
    must(path_open(tmp_fd, "root/c", O_PATH | O_DIRECTORY, 0, &fd)); /* "/" ended inside the root */
    must(path_open_if_exists(root, "outside/passwd", O_RDONLY, &out));
    assert_int_equal(out, -1);
    must(path_open_if_exists(root, "../../etc/passwd", O_RDONLY, &out));
    assert_int_equal(out, -1);
}

static void test_resolve(void **state)
{
    static const struct {
        const char *path, *real; /* real NULL: too many symlinks */
    } rows[] = {
        { "", "" },
        { "/", "" },
        { "a/b", "a/b" },
        { "/a//./b/", "a/b" },
        { "a/../../x", "x" },
        { "abs", "a/b" },
        { "abs/../c", "a/c" },
        { "up/b", "a/b" },
        { "twice/b", "a/b" },
        { "lost", "no/where" }, /* what is not there stays as it is written */
        { "lost/x", "no/where/x" },
        { "none/x/y", "none/x/y" },
        { "loop/x", NULL },
    };
    AUTO_CLOSE int root = -1, fd = -1;

    (void)state;
    must(path_mkdirs(tmp_fd, "resolve/a/b", 0755, NULL, NULL, &fd));
    must(path_open(tmp_fd, "resolve", O_PATH | O_DIRECTORY, 0, &root));
    assert_int_equal(symlinkat("/a/b", root, "abs"), 0);
    assert_int_equal(symlinkat("../../../a", root, "up"), 0);
    assert_int_equal(symlinkat("up", root, "twice"), 0);
    assert_int_equal(symlinkat("/no/where", root, "lost"), 0);
    assert_int_equal(symlinkat("loop", root, "loop"), 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        AUTO_FREE char *real = NULL;
        struct err *e = path_resolve(root, rows[i].path, &real);

        if (!rows[i].real)
            assert_int_equal(err_errno(e), ELOOP);
        else if (e || strcmp(real, rows[i].real) != 0)
            fail_msg("path_resolve('%s') = '%s', want '%s'", rows[i].path, real, rows[i].real);
        err_free(e);
    }
}

static void test_atomic_write(void **state)
{
    AUTO_FREE char *path = xasprintf("%s/new/dir/file", tmp_path);
    AUTO(buf_release) struct buf got = BUF_INIT;

    (void)state;
    must(file_write_atomic(path, "one", 3, 0644));
    must(file_write_atomic(path, "second", 6, 0600));
    must(file_read(path, 100, &got));
    assert_string_equal(buf_str(&got), "second");
    struct err *e = file_read(path, 3, &got);
    assert_non_null(e);
    assert_int_equal(err_kind(e), ERR_SETTING);
    err_free(e);
}

static void test_sparse_copy(void **state)
{
    AUTO_CLOSE int from = openat(tmp_fd, "sparse", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    AUTO_CLOSE int to = openat(tmp_fd, "copy", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    struct stat st;
    char c = 0;

    (void)state;
    assert_int_equal(ftruncate(from, 64 << 20), 0);
    assert_int_equal(pwrite(from, "x", 1, 32 << 20), 1);
    must(file_copy_data(from, to, 64 << 20, NULL));
    assert_int_equal(fstat(to, &st), 0);
    assert_int_equal(st.st_size, 64 << 20);
    assert_true(st.st_blocks < 1024); /* the holes are still holes */
    assert_int_equal(pread(to, &c, 1, 32 << 20), 1);
    assert_int_equal(c, 'x');
}

static void test_recorded_owner(void **state)
{
    AUTO_CLOSE int fd = openat(tmp_fd, "owned", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    struct owner o = { .uid = 33, .gid = 4294967294U, .device = S_IFCHR, .rdev = makedev(1, 3) }, got;
    struct stat st;
    bool known, stored;

    (void)state;
    assert_int_equal(fstat(fd, &st), 0);
    must(owner_get(OWNER_RECORDED, fd, &st, &got, &known));
    assert_false(known);
    must(owner_set(OWNER_RECORDED, fd, &st, &o, &stored));
    assert_true(stored);
    must(owner_get(OWNER_RECORDED, fd, &st, &got, &known));
    assert_true(known);
    assert_int_equal(got.uid, 33);
    assert_int_equal(got.gid, 4294967294U);
    assert_int_equal(got.device, S_IFCHR);
    assert_int_equal(got.rdev, makedev(1, 3));
}

/* A symlink keeps its record when it gets another name, and nobody else's attribute is taken for one. */
static void test_recorded_owner_of_special(void **state)
{
    static const mode_t types[] = { S_IFLNK, S_IFIFO };
    const struct owner o = { .uid = 4294967294U, .gid = 44 };

    (void)state;
    assert_int_equal(symlinkat("nowhere", tmp_fd, "special0"), 0);
    assert_int_equal(mknodat(tmp_fd, "special1", S_IFIFO | 0600, 0), 0);
    for (size_t i = 0; i < 2; i++) {
        AUTO_FREE char *name = xasprintf("special%zu", i), *renamed = xasprintf("renamed%zu", i);
        AUTO_CLOSE int fd = openat(tmp_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        struct owner got = { 0 };
        struct stat st;
        bool known, stored;

        assert_int_equal(fstat(fd, &st), 0);
        assert_int_equal(st.st_mode & S_IFMT, types[i]);
        must(owner_get(OWNER_RECORDED, fd, &st, &got, &known));
        assert_false(known);
        must(owner_set(OWNER_RECORDED, fd, &st, &o, &stored));
        assert_true(stored || geteuid() != 0);
        assert_int_equal(renameat(tmp_fd, name, tmp_fd, renamed), 0);
        must(owner_get(OWNER_RECORDED, fd, &st, &got, &known));
        assert_int_equal(known, stored);
        assert_true(!stored || (got.uid == o.uid && got.gid == o.gid && !got.device));
    }
}

/* Whatever the process may set, an attribute is found by the name that it was given. */
static void test_image_xattrs(void **state)
{
    static const struct {
        const char *stored, *name;
    } rows[] = {
        { "user.note", "user.note" },
        { CAPABILITY_XATTR, CAPABILITY_XATTR },
        { CAPABILITY_XATTR_STORED, CAPABILITY_XATTR },
        { "user.copyup.acl_default", "system.posix_acl_default" },
        { OWNER_XATTR, NULL },
    };
    static const char caps[] = "\1\0\0\2\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0"; /* 20 bytes with its end */
    char value[64];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *name = image_xattr_name(rows[i].stored);

        if (!name != !rows[i].name || (name && strcmp(name, rows[i].name) != 0))
            fail_msg("%s: %s", rows[i].stored, name ? name : "none");
    }
    AUTO_CLOSE int fd = openat(tmp_fd, "capable", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    assert_int_equal(image_xattr_set(fd, CAPABILITY_XATTR, caps, sizeof(caps)), 0);
    assert_int_equal(image_xattr_get(fd, CAPABILITY_XATTR, value, sizeof(value)), sizeof(caps));
    image_xattr_remove(fd, CAPABILITY_XATTR);
    assert_int_equal(image_xattr_get(fd, CAPABILITY_XATTR, value, sizeof(value)), -1);
    /* as it lies where it was refused */
    assert_int_equal(fsetxattr(fd, CAPABILITY_XATTR_STORED, caps, sizeof(caps), 0), 0);
    assert_int_equal(image_xattr_get(fd, CAPABILITY_XATTR, value, sizeof(value)), sizeof(caps));
    assert_memory_equal(value, caps, sizeof(caps));
    image_xattr_remove(fd, CAPABILITY_XATTR);
    assert_int_equal(flistxattr(fd, value, sizeof(value)), 0);
}

static void test_refused_xattrs(void **state)
{
#define LIST(tag) "\2\0\0\0\1\0\6\0\377\377\377\377" tag "\0\7\0\41\0\0\0"
    static const struct {
        const char *what, *name;
        int errnum;
        const char *value;
        size_t n;
        bool kept;
    } rows[] = {
        { "capabilities", CAPABILITY_XATTR, EPERM, "any", 3, true },
        { "malformed capabilities", CAPABILITY_XATTR, EINVAL, "any", 3, false },
        { "a user", "system.posix_acl_access", EINVAL, LIST("\2"), 20, true },
        { "a group", "system.posix_acl_default", EINVAL, LIST("\10"), 20, true },
        { "nobody", "system.posix_acl_access", EINVAL, LIST("\4"), 20, false },
        { "an unknown tag", "system.posix_acl_access", EINVAL, LIST("\100"), 20, false },
        { "two tags in one", "system.posix_acl_access", EINVAL, LIST("\3"), 20, false },
        { "half an entry", "system.posix_acl_access", EINVAL, LIST("\2"), 16, false },
        { "another version", "system.posix_acl_access", EINVAL, "\3\0\0\0\2\0\7\0\41\0\0\0", 12, false },
        { "no list", "system.posix_acl_access", EINVAL, "", 0, false },
        { "not the owner", "system.posix_acl_access", EPERM, LIST("\2"), 20, false },
        { "another name", "security.ima", EPERM, "any", 3, false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (!image_xattr_instead(rows[i].name, rows[i].errnum, rows[i].value, rows[i].n) == rows[i].kept)
            fail_msg("%s", rows[i].what);
}

static void test_owner_records(void **state)
{
    static const struct {
        const char *value;
        bool good;
        struct owner o;
    } rows[] = {
        { "0:0", true, { 0 } },
        { "1:2", true, { .uid = 1, .gid = 2 } },
        { "1:2:b:8:1", true, { .uid = 1, .gid = 2, .device = S_IFBLK } },
        { "", false, { 0 } },
        { "1", false, { 0 } },
        { "1:2:x:8:1", false, { 0 } },
        { "1:2:c:8", false, { 0 } },
        { "1111111111111111111111111111111111111111111111111111111111111111:2", false, { 0 } },
    };
    char record[OWNER_RECORD_BYTES];
    struct owner got;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        bool good = owner_decode(S_IFREG, rows[i].value, strlen(rows[i].value), &got);

        if (good != rows[i].good || (good && (got.uid != rows[i].o.uid || got.device != rows[i].o.device)))
            fail_msg("record '%s'", rows[i].value);
    }
    size_t n = owner_encode(S_IFLNK, &(struct owner){ .uid = 7, .gid = 8 }, record);
    assert_true(owner_decode(S_IFLNK, record, n, &got));
    assert_int_equal(got.gid, 8);
    assert_false(owner_decode(S_IFLNK, record, n - 1, &got));
    assert_false(owner_decode(S_IFREG, record, n, &got));
    record[12] ^= 1; /* somebody's capabilities */
    assert_false(owner_decode(S_IFLNK, record, n, &got));
}

static void test_owner_table(void **state)
{
    AUTO(owner_table_free) struct owner_table *t = owner_table_new(), *u = owner_table_new();
    struct owner o = { .uid = 5, .gid = 6 }, got = { 0 };

    (void)state;
    owner_table_set(t, "a b/c\nd", &o);
    must(owner_table_save(t, tmp_fd, "owners"));
    must(owner_table_load(u, tmp_fd, "owners"));
    assert_true(owner_table_get(u, "a b/c\nd", &got));
    assert_int_equal(got.gid, 6);
    assert_false(owner_table_get(u, "a", &got));
    must(owner_table_load(u, tmp_fd, "not there"));
}

static void test_remove_unwritable_tree(void **state)
{
    AUTO_CLOSE int fd = -1;

    (void)state;
    must(path_mkdirs(tmp_fd, "rm/x/y", 0755, NULL, NULL, &fd));
    assert_int_equal(symlinkat("/etc", fd, "link"), 0);
    assert_int_equal(fchmodat(tmp_fd, "rm/x/y", 0, 0), 0);
    assert_int_equal(fchmodat(tmp_fd, "rm/x", 0500, 0), 0);
    must(file_remove_tree(tmp_fd, "rm"));
    must(file_remove_tree(tmp_fd, "rm"));
    assert_int_equal(faccessat(tmp_fd, "rm", F_OK, 0), -1);
    assert_int_equal(access("/etc/passwd", F_OK), 0);
}

/* ---- programs ---- */

#define ELF(class, data, m0, m1)                                                                                       \
    {                                                                                                                  \
        0x7f, 'E', 'L', 'F', class, data, 1, [18] = (m0), [19] = (m1)                                                  \
    }
#define SCRIPT(words, interpreter)                                                                                     \
    {                                                                                                                  \
        { .text = words }, sizeof(words) - 1, NULL, interpreter                                                        \
    }

static const struct {
    union {
        unsigned char head[300];
        char text[300];
    } u;
    size_t len;
    const char *arch, *interpreter;
} programs[] = {
    { { ELF(2, 1, 62, 0) }, 20, "amd64", "" },
    { { ELF(1, 1, 3, 0) }, 20, "386", "" },
    { { ELF(2, 1, 183, 0) }, 20, "arm64", "" },
    { { ELF(1, 1, 40, 0) }, 20, "arm", "" },
    { { ELF(2, 1, 21, 0) }, 20, "ppc64le", "" },
    { { ELF(2, 2, 0, 21) }, 20, "ppc64", "" },
    { { ELF(2, 2, 0, 22) }, 20, "s390x", "" },
    { { ELF(2, 1, 243, 0) }, 20, "riscv64", "" },
    { { ELF(2, 1, 2, 1) }, 20, "loong64", "" },
    { { ELF(2, 1, 0x33, 0x33) }, 20, "an unknown machine", "" },
    { { ELF(9, 9, 62, 0) }, 20, "an unknown machine", "" },
    { { ELF(2, 1, 62, 0) }, 19, NULL, "" },
    SCRIPT("#!/bin/sh\necho", "/bin/sh"),
    SCRIPT("#! \t/usr/bin/env -S a\n", "/usr/bin/env"),
    SCRIPT("#!/bin/sh", "/bin/sh"),
    SCRIPT("#!", ""),
    SCRIPT("#!\n/bin/sh", ""),
    SCRIPT("#!   ", ""),
    SCRIPT("# !/bin/sh", ""),
    SCRIPT("", ""),
    { { .text = "#!/\0b" }, 5, NULL, "/" },
};

static void test_program_parse(void **state)
{
    char longest[600];
    struct program p;

    (void)state;
    for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
        const char *want = programs[i].arch;

        program_parse(programs[i].u.head, programs[i].len, &p);
        if (!want != !p.arch || (want && strcmp(want, p.arch) != 0) ||
            strcmp(p.interpreter, programs[i].interpreter) != 0)
            fail_msg("row %zu gives %s and '%s'", i, p.arch ? p.arch : "nothing", p.interpreter);
    }
    memset(longest, 'x', sizeof(longest));
    memcpy(longest, "#!/", 3);
    program_parse(longest, sizeof(longest), &p);
    assert_int_equal(strlen(p.interpreter), PROGRAM_HEAD_BYTES - 2);
}

static void write_program(const char *name, const char *text)
{
    AUTO_CLOSE int fd = openat(tmp_fd, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0755);

    must(file_write_all(fd, text, strlen(text)));
}

static void test_program_find(void **state)
{
    AUTO_FREE char *file = NULL;
    struct program p;

    (void)state;
    assert_int_equal(fchdir(tmp_fd), 0);
    write_program("outer", "#!inner -x\n");
    write_program("inner", "#!/proc/self/exe\n");
    write_program("circle", "#!circle\n");
    assert_true(program_find("outer", &p, &file));
    assert_string_equal(file, "/proc/self/exe");
    assert_true(p.arch && program_is_native(p.arch));
    assert_false(program_find("circle", &p, &file));
    assert_false(program_find("absent", &p, &file));
    assert_true(program_is_native(program_host_arch()));
    assert_false(program_is_native("an unknown machine"));
    assert_false(program_is_native("s390") && program_is_native("arm"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clean),
        cmocka_unit_test(test_mkdirs_and_escape),
        cmocka_unit_test(test_resolve),
        cmocka_unit_test(test_atomic_write),
        cmocka_unit_test(test_sparse_copy),
        cmocka_unit_test(test_recorded_owner),
        cmocka_unit_test(test_recorded_owner_of_special),
        cmocka_unit_test(test_image_xattrs),
        cmocka_unit_test(test_refused_xattrs),
        cmocka_unit_test(test_owner_records),
        cmocka_unit_test(test_owner_table),
        cmocka_unit_test(test_remove_unwritable_tree),
        cmocka_unit_test(test_program_parse),
        cmocka_unit_test(test_program_find),
    };

    return cmocka_run_group_tests_name("sys", tests, setup, teardown);
}
