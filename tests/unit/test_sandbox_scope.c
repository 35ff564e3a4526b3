/* A program in a RUN that keeps itself in a Landlock domain, as some unpackers and package managers do: what it allows
 * itself there works, whatever domain is around the RUN. The program is this one. */
#include "../fixtures/sandbox_self.h"

#include <sys/syscall.h>

#define REFER "refer"
/* linux/landlock.h */
#define RULESET_VERSION   1
#define RULE_PATH_BENEATH 1
#define ACCESS_WRITE_FILE (UINT64_C(1) << 1)
#define ACCESS_REFER      (UINT64_C(1) << 13)
#define ABI_WITH_REFER    2

/* ---- in the RUN ---- */

/* May write and rename below `path` only. */
static bool enter_domain(const char *path)
{
    const uint64_t rights = ACCESS_WRITE_FILE | ACCESS_REFER;
    const struct {
        uint64_t allowed_access;
        int32_t parent_fd;
    } __attribute__((packed)) below = { rights, open(path, O_PATH | O_CLOEXEC) };
    int fd = (int)syscall(SYS_landlock_create_ruleset, &rights, sizeof(rights), 0);

    return fd >= 0 && syscall(SYS_landlock_add_rule, fd, RULE_PATH_BENEATH, &below, 0) == 0 &&
           prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && syscall(SYS_landlock_restrict_self, fd, 0) == 0;
}

/* From one directory to the other: a rename, a link, and a name for a file that has none. */
static bool move_about(void)
{
    int unnamed = open("one", O_TMPFILE | O_WRONLY, 0644);
    char path[32];

    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", unnamed);
    return unnamed >= 0 && rename("one/a", "two/a") == 0 && link("two/a", "one/b") == 0 &&
           linkat(AT_FDCWD, path, AT_FDCWD, "two/c", AT_SYMLINK_FOLLOW) == 0;
}

static int refer(const char *path)
{
    if (chdir(path) < 0 || mkdir("refer", 0755) < 0 || chdir("refer") < 0 || mkdir("one", 0755) < 0 ||
        mkdir("two", 0755) < 0 || close(creat("one/a", 0644)) < 0)
        return 2;
    if (enter_domain(".") && move_about() && rename("two", "../two") < 0 && errno == EXDEV)
        return 0;
    printf("in a domain below %s: %s\n", path, strerror(errno));
    return 1;
}

/* ---- in the builder ---- */

/* In the root, and in what is mounted there. */
static struct err *check_refer(const struct sandbox *sb, void *ctx)
{
    static const char *const where[] = { "/tmp", "/m" };
    AUTO_FREE char *in_root = xasprintf("%s/tmp/refer", root_dir);
    AUTO_FREE char *in_mount = xasprintf("%s/refer", mount_source);

    (void)ctx;
    for (size_t i = 0; i < 2; i++) {
        AUTO(strs_release) struct strs args = { 0 };

        TRY(file_remove_tree(AT_FDCWD, i ? in_mount : in_root));
        strs_add(&args, where[i]);
        TRY(run_self(sb, 0, REFER, &args));
    }
    return NULL;
}

static void test_domain_inside(void **state)
{
    (void)state;
    if (syscall(SYS_landlock_create_ruleset, NULL, 0, RULESET_VERSION) < ABI_WITH_REFER) {
        print_message("skipped: the kernel has no Landlock that knows renames (Linux 5.19)\n");
        skip();
    }
    in_worlds(check_refer, worlds, N_WORLDS);
    in_worlds(check_refer, contexts, N_CONTEXTS);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_domain_inside) };
    int code = argc > 2 && strcmp(argv[1], REFER) == 0 ? refer(argv[2]) : -1;

    return self_test_main(argc, argv, code, tests, sizeof(tests) / sizeof(tests[0]));
}
