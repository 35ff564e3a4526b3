/* What the files of a COPY add to the key of its step: rows of two trees that differ in one thing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above first */
#include <cmocka.h>

#include "base/strs.h"
#include "build/copy.h"
#include "sys/file.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- trees: words apart by ';', as "f NAME MODE CONTENT" ---- */

static void set_attribute(int fd, const char *name, const char *attribute, const void *value, size_t n)
{
    int f = openat(fd, name, O_RDONLY | O_CLOEXEC);

    assert_int_equal(fsetxattr(f, attribute, value, n, 0), 0);
    close(f);
}

static void make_one(int fd, char kind, const char *name, const char *a, const char *b)
{
    const struct timespec times[2] = { { .tv_sec = 1000000000 }, { .tv_sec = 1000000000 } };
    const mode_t mode = (mode_t)strtoul(a, NULL, 8);

    if (kind == 'd') {
        assert_int_equal(mkdirat(fd, name, 0755) | fchmodat(fd, name, mode, 0), 0);
    } else if (kind == 'f') {
        int f = openat(fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

        assert_int_equal(write(f, b, strlen(b)), strlen(b));
        assert_int_equal(fchmod(f, mode), 0);
        close(f);
    } else if (kind == 'l') {
        assert_int_equal(symlinkat(a, fd, name), 0);
    } else if (kind == 'h') {
        assert_int_equal(linkat(fd, a, fd, name, 0), 0);
    } else if (kind == 'p') {
        assert_int_equal(mkfifoat(fd, name, mode), 0);
    } else if (kind == 't') {
        assert_int_equal(utimensat(fd, name, times, AT_SYMLINK_NOFOLLOW), 0);
    } else if (kind == 'o') {
        assert_int_equal(fchownat(fd, name, (uid_t)strtoul(a, NULL, 10), (gid_t)strtoul(b, NULL, 10), 0), 0);
    } else if (kind == 'x') {
        set_attribute(fd, name, a, b, strlen(b));
    } else if (kind == 'c') {
        const struct vfs_cap_data cap = { .magic_etc = VFS_CAP_REVISION_2,
                                          .data = { { .permitted = (uint32_t)strtoul(a, NULL, 10) } } };

        set_attribute(fd, name, "security.capability", &cap, sizeof(cap));
    }
}

static void make_tree(int fd, const char *text)
{
    AUTO_FREE char *copy = xstrdup(text);
    char *save = NULL;

    for (char *one = strtok_r(copy, ";", &save); one; one = strtok_r(NULL, ";", &save)) {
        char *rest = NULL, *kind = strtok_r(one, " ", &rest), *name = strtok_r(NULL, " ", &rest);
        char *a = strtok_r(NULL, " ", &rest), *b = strtok_r(NULL, " ", &rest);

        make_one(fd, *kind, name, a ? a : "", b ? b : "");
    }
}

/* ---- sums ---- */

struct tree {
    const char *files, *sources; /* names apart by '|'; NULL: "d" */
    bool image;                  /* its owners and attributes count */
    bool as_root;                /* only root can make it */
};

static struct digest sum_of(const char *name, const struct tree *t)
{
    char dir[] = "/tmp/copyup-sum-XXXXXX";
    AUTO(copy_sum_free) struct copy_sum *sum = copy_sum_new();
    AUTO_FREE char *sources = xstrdup(t->sources ? t->sources : "d");
    struct copy_stats stats = { 0 };
    char *save = NULL;

    assert_non_null(mkdtemp(dir));
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    make_tree(fd, t->files);
    struct copy_spec spec = { .from_fd = fd, .dest = "/n/", .unpack = -1, .from_image = t->image, .sum = sum };
    for (char *s = strtok_r(sources, "|", &save); s; s = strtok_r(NULL, "|", &save))
        strs_add(&spec.sources, s);
    struct err *e = copy_into(-1, &spec, &stats);
    if (e)
        fail_msg("%s: %s", name, err_message(e));
    strs_release(&spec.sources);
    close(fd);
    assert_null(file_remove_tree(AT_FDCWD, dir));
    return copy_sum_end(sum, NULL);
}

#define D "d d 0755;"

static const struct pair {
    const char *name;
    struct tree a, b;
} different[] = {
    { "content", { .files = D "f d/a 0644 1" }, { .files = D "f d/a 0644 2" } },
    { "mode", { .files = D "f d/a 0644 1" }, { .files = D "f d/a 0755 1" } },
    { "mode of a directory", { .files = D "d d/a 0755" }, { .files = D "d d/a 0700" } },
    { "set-user-id", { .files = D "f d/a 0755 1" }, { .files = D "f d/a 4755 1" } },
    { "name", { .files = D "f d/a 0644 1" }, { .files = D "f d/b 0644 1" } },
    { "boundary of names", { .files = D "d d/a 0755;f d/a/bc 0644 1" }, { .files = D "d d/ab 0755;f d/ab/c 0644 1" } },
    { "boundary of name and content", { .files = D "f d/ab 0644 c" }, { .files = D "f d/a 0644 bc" } },
    { "boundary of contents", { .files = D "f d/a 0644 12;f d/b 0644 3" }, { .files = D "f d/a 0644 1;f d/b 0644 23" } },
    { "contents exchanged", { .files = D "f d/a 0644 1;f d/b 0644 2" }, { .files = D "f d/a 0644 2;f d/b 0644 1" } },
    { "one more, empty", { .files = D "f d/a 0644 1" }, { .files = D "f d/a 0644 1;f d/b 0644" } },
    { "an empty directory", { .files = D "f d/a 0644 1" }, { .files = D "f d/a 0644 1;d d/b 0755" } },
    { "kind: directory or file", { .files = D "d d/a 0755" }, { .files = D "f d/a 0755" } },
    { "kind: file or symlink", { .files = D "f d/a 0777 b" }, { .files = D "l d/a b" } },
    { "link target", { .files = D "l d/a b" }, { .files = D "l d/a c" } },
    { "one file or two", { .files = D "f d/a 0644 1;h d/b d/a" }, { .files = D "f d/a 0644 1;f d/b 0644 1" } },
    { "which are one file", { .files = D "f d/a 0644 1;h d/b d/a;f d/c 0644 1" }, { .files = D "f d/a 0644 1;f d/b 0644 1;h d/c d/a" } },
    { "a source's name", { .files = D "f d/a 0644 1", .sources = "d/a" }, { .files = D "f d/b 0644 1", .sources = "d/b" } },
    { "owner in an image", { .files = D "f d/a 0644 1", .image = true }, { .files = D "f d/a 0644 1;o d/a 5 0", .image = true, .as_root = true } },
    { "group in an image", { .files = D "f d/a 0644 1", .image = true }, { .files = D "f d/a 0644 1;o d/a 0 5", .image = true, .as_root = true } },
    { "file capability in an image",
      { .files = D "f d/a 0755 1;c d/a 1", .image = true },
      { .files = D "f d/a 0755 1;c d/a 2", .image = true, .as_root = true } },
    { "a file capability or none",
      { .files = D "f d/a 0755 1", .image = true },
      { .files = D "f d/a 0755 1;c d/a 1", .image = true, .as_root = true } },
}, same[] = {
    { "nothing", { .files = D "f d/a 0644 1" }, { .files = D "f d/a 0644 1" } }, /* in another place each time */
    { "times", { .files = D "f d/a 0644 1;l d/b a" }, { .files = D "f d/a 0644 1;l d/b a;t d/a;t d/b;t d" } },
    { "order of making", { .files = D "f d/a 0644 1;f d/b 0644 2" }, { .files = D "f d/b 0644 2;f d/a 0644 1" } },
    { "what lies beside", { .files = D "f d/a 0644 1" }, { .files = D "f d/a 0644 1;f e 0644 2" } },
    { "mode of the directory whose content is copied",
      { .files = D "f d/a 0644 1" },
      { .files = "d d 0700;f d/a 0644 1" } },
    { "an attribute that no layer gets",
      { .files = D "f d/a 0644 1;x d/a user.x 1", .image = true },
      { .files = D "f d/a 0644 1;x d/a user.x 2", .image = true } },
    { "owner in a context", { .files = D "f d/a 0644 1" }, { .files = D "f d/a 0644 1;o d/a 5 7", .as_root = true } },
};

static void compare(const struct pair *rows, size_t n, bool want)
{
    for (size_t i = 0; i < n; i++) {
        if (rows[i].b.as_root && geteuid() != 0)
            continue;
        const struct digest a = sum_of(rows[i].name, &rows[i].a), b = sum_of(rows[i].name, &rows[i].b);

        if (digest_equal(&a, &b) != want)
            fail_msg("%s: the sums are %s", rows[i].name, want ? "different" : "the same");
    }
}

static void test_different(void **state)
{
    (void)state;
    compare(different, COUNT(different), false);
}

static void test_same(void **state)
{
    (void)state;
    compare(same, COUNT(same), true);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_different), cmocka_unit_test(test_same) };

    (void)umask(022);
    return cmocka_run_group_tests_name("copy_sum", tests, NULL, NULL);
}
