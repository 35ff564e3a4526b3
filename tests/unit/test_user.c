#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above first */
#include <cmocka.h>

#include "base/buf.h"
#include "sys/file.h"
#include "sys/user.h"

#include <fcntl.h>
#include <string.h>

static char root[] = "/tmp/copyup-test-XXXXXX";
static int root_fd = -1, empty_fd = -1;

static void write_file(const char *name, const char *text)
{
    AUTO_FREE char *path = xasprintf("%s/%s", root, name);

    assert_null(file_write_atomic(path, text, strlen(text), 0644));
}

static int set_up(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(root));
    write_file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"
                             "app:x:1500:1600::/home/app:/bin/sh\r\n"
                             "\n"
                             "   twin:x:1500:1700::/home/twin:/bin/sh\n"
                             "short:x:7\n"
                             "odd:x:abc:def\n"
                             "42:x:4200:4201::/four:/bin/sh");
    write_file("etc/group", "root:x:0:\napp:x:1600:\nwheel:x:10:root,app\naudio:x:11:xapp,app\nlost:x:12:ap\n");
    write_file("empty/file", "");
    root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    empty_fd = openat(root_fd, "empty", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return root_fd < 0 || empty_fd < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    close(root_fd);
    close(empty_fd);
    err_free(file_remove_tree(AT_FDCWD, root));
    return 0;
}

/* "uid:gid groups home", or part of the error after '!'. */
static const struct {
    const char *spec, *ids;
} lookups[] = {
    { "root", "0:0 10, /root" },
    { "app", "1500:1600 10,11, /home/app" },
    { "1500", "1500:1600 10,11, /home/app" },
    { "app:wheel", "1500:10 /home/app" },
    { "app:77", "1500:77 /home/app" },
    { "1500:1600", "1500:1600 /home/app" },
    { "app:", "1500:1600 10,11, /home/app" },
    { ":wheel", "0:10 /root" },
    { "", "0:0 10, /root" },
    { "9999", "9999:0 /" },
    { "9999:9998", "9999:9998 /" },
    { "short", "7:0 /" },
    { "odd", "0:0 /" },
    { "42", "42:0 /" },
    { "nosuch", "!user 'nosuch' is not in the image's /etc/passwd" },
    { "app:nosuch", "!group 'nosuch' is not in the image's /etc/group" },
    { "-1", "!user '-1'" },
    { "2147483648", "!range" },
    { "99999999999", "!user '99999999999'" },
};

static char *describe(struct err *e)
{
    char *text = NULL;
    size_t n;
    FILE *f = open_memstream(&text, &n);

    err_print(f, e);
    fclose(f);
    return text;
}

static void expect_error(const char *spec, struct err *e, const char *part)
{
    AUTO_FREE char *text = describe(e);

    if (err_kind(e) != ERR_DOCKERFILE || !strstr(text, part))
        fail_msg("'%s' gave: %s", spec, text);
    err_free(e);
}

static void test_lookup(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(lookups) / sizeof(lookups[0]); i++) {
        AUTO(buf_release) struct buf b = BUF_INIT;
        struct user_ids ids = { 0 };
        struct err *e = user_lookup(root_fd, lookups[i].spec, &ids);

        if (e && lookups[i].ids[0] == '!') {
            expect_error(lookups[i].spec, e, lookups[i].ids + 1);
            continue;
        }
        assert_null(e);
        buf_printf(&b, "%u:%u ", ids.uid, ids.gid);
        for (size_t j = 0; j < ids.n_groups; j++)
            buf_printf(&b, "%u,", ids.groups[j]);
        buf_printf(&b, "%s%s", ids.n_groups ? " " : "", ids.home);
        user_ids_release(&ids);
        if (strcmp(buf_str(&b), lookups[i].ids) != 0)
            fail_msg("'%s' is %s", lookups[i].spec, buf_str(&b));
    }
}

static const struct {
    const char *spec;
    bool no_root;
    const char *ids;
} chowns[] = {
    { "app", false, "1500:1600" },
    { "app:wheel", false, "1500:10" },
    { "1500", false, "1500:1500" },
    { "1500", true, "1500:1500" },
    { "1:2", true, "1:2" },
    { "0", true, "0:0" },
    { "1:wheel", false, "1:10" },
    { "app:5", false, "1500:5" },
    { "app:", false, "1500:0" },
    { "1:", true, "1:0" },
    { ":", true, "0:0" },
    { "4294967294", true, "4294967294:4294967294" },
    { "4294967295", true, "!user" },
    { "app", true, "!user 'app'" },
    { "1:wheel", true, "!group 'wheel'" },
    { "nosuch", false, "!/etc/passwd" },
    { "0:nosuch", false, "!/etc/group" },
};

static void test_chown(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(chowns) / sizeof(chowns[0]); i++) {
        char text[32];
        uint32_t uid, gid;
        struct err *e = user_lookup_chown(chowns[i].no_root ? -1 : root_fd, chowns[i].spec, &uid, &gid);

        if (e && chowns[i].ids[0] == '!') {
            expect_error(chowns[i].spec, e, chowns[i].ids + 1);
            continue;
        }
        assert_null(e);
        (void)snprintf(text, sizeof(text), "%u:%u", uid, gid);
        if (strcmp(text, chowns[i].ids) != 0)
            fail_msg("'%s' is %s", chowns[i].spec, text);
    }
}

/* No files at all, and a file that would block the reader. */
static void test_odd_roots(void **state)
{
    struct user_ids ids = { 0 };

    (void)state;
    assert_null(user_lookup(empty_fd, "5:6", &ids));
    assert_int_equal(ids.uid, 5);
    assert_int_equal(ids.gid, 6);
    user_ids_release(&ids);
    assert_null(user_lookup(empty_fd, "root:root", &ids)); /* root is root without any file */
    assert_int_equal(ids.uid, 0);
    assert_int_equal(ids.gid, 0);
    user_ids_release(&ids);
    expect_error("name", user_lookup(empty_fd, "app", &ids), "/etc/passwd");
    assert_int_equal(mkdirat(empty_fd, "etc", 0755), 0);
    assert_int_equal(mkfifoat(empty_fd, "etc/passwd", 0644), 0);
    expect_error("fifo", user_lookup(empty_fd, "5", &ids), "not a regular file");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lookup),
        cmocka_unit_test(test_chown),
        cmocka_unit_test(test_odd_roots),
    };

    return cmocka_run_group_tests_name("user", tests, set_up, tear_down);
}
