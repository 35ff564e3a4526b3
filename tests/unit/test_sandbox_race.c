/* What a second thread, or another RUN, changes while somebody looks: the arguments of a supervised call between the
 * check and the use, and the path of a mount point while it is mounted. */
#include "../fixtures/sandbox_self.h"

#include <linux/openat2.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <utime.h>

#define MARK    "mark"
#define RACE    "race"
#define LOOK_AT "look"
#define SWAP    "swap"
#define ROUNDS  500

/* ---- one path that is two ---- */

/* Two places that differ in one letter: what the user may do all to, and what is root's. */
#define OWN_LETTER   'u'
#define ROOTS_LETTER 'r'
static char own_or_roots[] = "/tmp/u/file", fresh_or_roots[] = "/tmp/u/new", dir_or_roots[] = "/tmp/u/dir";
static volatile sig_atomic_t racing; /* no bool: UBSan of gcc 12 reads a volatile one only once */

static void set_letters(char letter)
{
    *(volatile char *)&own_or_roots[5] = letter;
    *(volatile char *)&fresh_or_roots[5] = letter;
    *(volatile char *)&dir_or_roots[5] = letter;
}

/* Each stays for as long as a supervised call takes, more or less. */
static void *swap_letters(void *arg)
{
    (void)arg;
    for (unsigned i = 0; racing; i++) {
        set_letters(i % 2 ? ROOTS_LETTER : OWN_LETTER);
        for (volatile unsigned k = 0; k < (i * 7919) % 20000; k++)
            ;
    }
    set_letters(OWN_LETTER);
    return NULL;
}

static int n_found;

static void found(const char *what)
{
    if (!n_found++)
        puts(what);
}

static void by_chmod(void)
{
    (void)chmod(own_or_roots, 0666);
}
static void by_fchmodat(void)
{
    (void)!fchmodat(AT_FDCWD, own_or_roots, 0666, 0);
}
static void by_chown(void)
{
    (void)!chown(own_or_roots, 1000, 1000);
    (void)!lchown(own_or_roots, 1000, 1000);
}
static void by_truncate(void)
{
    (void)!truncate(own_or_roots, 0);
}
static void by_times(void)
{
    (void)utimensat(AT_FDCWD, own_or_roots, NULL, 0);
    (void)utimes(own_or_roots, NULL);
    (void)utime(own_or_roots, NULL);
}
static void write_and_close(int fd)
{
    if (fd < 0)
        return;
    (void)!write(fd, "mine", 4);
    close(fd);
}
static void by_open(void)
{
    write_and_close(open(own_or_roots, O_WRONLY | O_APPEND));
    write_and_close(creat(own_or_roots, 0666));
}
/* A struct, too, is in memory: its flags are swapped with the path. */
static void by_openat2(void)
{
    struct open_how how = { .flags = O_WRONLY | O_APPEND };

    write_and_close((int)syscall(SYS_openat2, AT_FDCWD, own_or_roots, &how, sizeof(how)));
}
/* What only root may read, and is told by its size alone. */
static void by_read(void)
{
    char text[16];
    int fd = open(own_or_roots, O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text));

    if (n >= 6 && memcmp(text, "secret", 6) == 0)
        found("open: root's file was read");
    if (fd >= 0)
        close(fd);
}
static void by_attribute(void)
{
    (void)setxattr(own_or_roots, "user.mine", "x", 1, 0);
    (void)removexattr(own_or_roots, "user.roots");
}
static void by_create(void)
{
    write_and_close(open(fresh_or_roots, O_CREAT | O_EXCL | O_WRONLY, 0666));
    (void)unlink(fresh_or_roots);
}
static void by_mkdir(void)
{
    (void)mkdir(fresh_or_roots, 0777);
    (void)rmdir(fresh_or_roots);
}
static void by_mknod(void)
{
    (void)mknod(fresh_or_roots, S_IFIFO | 0666, 0);
    (void)unlink(fresh_or_roots);
}
static void by_symlink(void)
{
    (void)!symlink("mine", fresh_or_roots);
    (void)unlink(fresh_or_roots);
}
static void by_link(void)
{
    (void)!link("/tmp/u/file", fresh_or_roots);
    (void)unlink(fresh_or_roots);
}
static void by_rename(void)
{
    write_and_close(open("/tmp/u/moved", O_CREAT | O_WRONLY, 0666));
    (void)rename("/tmp/u/moved", own_or_roots);
    (void)rename(dir_or_roots, "/tmp/u/gone");
    (void)rename("/tmp/u/gone", "/tmp/u/dir");
}
static void by_remove(void)
{
    (void)unlink(own_or_roots);
    write_and_close(open("/tmp/u/file", O_CREAT | O_WRONLY, 0666));
    (void)rmdir(dir_or_roots);
    (void)mkdir("/tmp/u/dir", 0777);
}
static void by_socket(void)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    memcpy(at.sun_path, fresh_or_roots, sizeof(fresh_or_roots));
    for (int i = 0; i < 4; i++) { /* this one is a copy: it swaps by itself */
        at.sun_path[5] = i % 2 ? OWN_LETTER : ROOTS_LETTER;
        (void)bind(fd, (struct sockaddr *)&at, sizeof(at));
    }
    (void)unlink("/tmp/u/new");
    close(fd);
}
static void by_chdir(void)
{
    if (chdir(dir_or_roots) == 0 && access("inside", F_OK) == 0)
        found("chdir: root's directory was entered");
    (void)!chdir("/");
}
static void by_exec(void)
{
    pid_t child = fork();

    if (child == 0) {
        char *const argv[] = { own_or_roots, NULL };

        execve(own_or_roots, argv, argv + 1);
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

static const struct {
    const char *name;
    void (*fn)(void);
    int rounds;
} races[] = {
    { "chmod", by_chmod, ROUNDS },       { "fchmodat", by_fchmodat, ROUNDS }, { "chown", by_chown, ROUNDS },
    { "truncate", by_truncate, ROUNDS }, { "times", by_times, ROUNDS },       { "open", by_open, ROUNDS },
    { "openat2", by_openat2, ROUNDS },   { "read", by_read, ROUNDS },         { "attributes", by_attribute, ROUNDS },
    { "create", by_create, ROUNDS },     { "mkdir", by_mkdir, ROUNDS },       { "mknod", by_mknod, ROUNDS },
    { "symlink", by_symlink, ROUNDS },   { "link", by_link, ROUNDS },         { "rename", by_rename, ROUNDS },
    { "remove", by_remove, ROUNDS },     { "bind", by_socket, ROUNDS },       { "chdir", by_chdir, ROUNDS },
    { "execve", by_exec, 100 },
};

/* In the RUN, as a user: all ways, one after the other. What root had must be as it was: the next RUN looks. */
static int race(void)
{
    pthread_t thread;

    for (size_t i = 0; i < sizeof(races) / sizeof(races[0]); i++) {
        racing = true;
        if (pthread_create(&thread, NULL, swap_letters, NULL) != 0)
            return 1;
        for (int k = 0; k < races[i].rounds; k++)
            races[i].fn();
        racing = false;
        pthread_join(thread, NULL);
    }
    return n_found > 0;
}

/* What no shell can do, as root: an attribute before, and it alone afterwards. */
static int mark(void)
{
    return setxattr("/tmp/r/file", "user.roots", "x", 1, 0) == 0 ? 0 : 1;
}
static int look_at(void)
{
    char value[4];
    bool kept = getxattr("/tmp/r/file", "user.roots", value, sizeof(value)) == 1;
    bool added = getxattr("/tmp/r/file", "user.mine", value, sizeof(value)) >= 0;

    if (!kept || added)
        printf("attributes: %s %s\n", kept ? "" : "root's is gone", added ? "there is another" : "");
    return !kept || added;
}

#define MAKE                                                                                                           \
    "rm -rf /tmp/u /tmp/r; mkdir /tmp/u /tmp/u/dir /tmp/r; mkdir -m 700 /tmp/r/dir; echo x >/tmp/r/dir/inside; "       \
    "echo secret >/tmp/r/file; chmod 600 /tmp/r/file; echo mine >/tmp/u/file; chown -R 1000:1000 /tmp/u; chmod 666 "   \
    "/tmp/u/file; touch -d @1000000000 /tmp/r/file /tmp/r/dir /tmp/r"
#define LOOK                                                                                                           \
    "cat /tmp/r/file; ls /tmp/r /tmp/r/dir; stat -c '%n %F %a %u:%g %s %h %Y' /tmp/r /tmp/r/file /tmp/r/dir; rm -r "   \
    "/tmp/u /tmp/r"
#define AS_IT_WAS "secret\n/tmp/r:\ndir\nfile\n\n/tmp/r/dir:\ninside\n/tmp/r directory 755 0:0 "

static struct err *run_sh(const struct sandbox *sb, const char *script, struct buf *out)
{
    const struct command c = { .argv = SH(script) };
    struct run_result result;

    TRY(run_command(sb, &c, out, &result));
    return result.exit_code == 0 ? NULL : err_new(ERR_BUG, "exit code %d: %s", result.exit_code, buf_str(out));
}

static struct err *check_race(const struct sandbox *sb, void *ctx)
{
    AUTO(buf_release) struct buf out = BUF_INIT;

    (void)ctx;
    TRY(run_sh(sb, MAKE, &out));
    buf_clear(&out);
    TRY(run_self(sb, 0, MARK, NULL));
    TRY(run_self(sb, 1000, RACE, NULL));
    TRY(run_self(sb, 0, LOOK_AT, NULL));
    TRY(run_sh(sb, LOOK, &out));
    if (strncmp(buf_str(&out), AS_IT_WAS, strlen(AS_IT_WAS)) != 0 ||
        !strstr(buf_str(&out), "/tmp/r/file regular file 600 0:0 7 1 1000000000\n/tmp/r/dir directory 700 0:0 ") ||
        !strstr(buf_str(&out), " 1000000000\n/tmp/r/file"))
        return err_new(ERR_BUG, "root's files are not as they were: %s", buf_str(&out));
    return NULL;
}

/* ---- mount points ---- */

#define SWAPPED_RUNS 10

/* In a RUN: a directory and a symlink change places, until told to end. */
static int swap(char **targets)
{
    if ((mkdir("/m/t", 0777) < 0 && errno != EEXIST) || symlink(targets[0], "/m/l") < 0)
        return 1;
    while (access("/m/done", F_OK) < 0)
        for (char **t = targets; *t; t++) {
            (void)!symlink(*t, "/m/n");
            (void)rename("/m/n", "/m/l");
            for (int i = 0; i < 100; i++) /* an even number: the symlink is where it was */
                (void)syscall(SYS_renameat2, AT_FDCWD, "/m/t", AT_FDCWD, "/m/l", 2 /* RENAME_EXCHANGE */);
        }
    return 0;
}

struct swapper {
    const struct sandbox *sb;
    struct strs targets;
    pthread_t thread;
};

static void *run_swapper(void *arg)
{
    const struct swapper *s = arg;

    return run_self(s->sb, 0, SWAP, &s->targets);
}

/* Its mounts lie behind what is swapped. That it fails is no harm. */
static void run_swapped(const struct sandbox *sb, const char *root)
{
    const struct run_mount mounts[] = { { .source = mount_source, .target = "/m" },
                                        { .kind = RUN_MOUNT_TMPFS, .target = "/m/t/tmpfs" },
                                        { .source = mount_source, .target = "/m/t/bind" },
                                        { .kind = RUN_MOUNT_FILE, .target = "/m/t/file", .data = "secret", .len = 6 } };
    AUTO(buf_release) struct buf out = BUF_INIT;
    struct run_spec spec = {
        .root = root, .cwd = "/m/t/cwd", .mounts = mounts, .n_mounts = 4, .output = collect, .ctx = &out
    };
    const char *const argv[] = SH("true");
    struct run_result result;

    for (const char *const *a = argv; *a; a++)
        strs_add(&spec.argv, *a);
    strs_add(&spec.env, PATH_ENTRY);
    err_free(sandbox_run(sb, &spec, &result));
    strs_release(&spec.argv);
    strs_release(&spec.env);
}

static struct err *make_swapped_root(char root[100])
{
    AUTO_FREE char *from = xasprintf("%s/bin/busybox", root_dir);
    AUTO_FREE char *bin = xasprintf("%s/tmp/swapped/bin", root_dir);
    AUTO_FREE char *to = xasprintf("%s/sh", bin);

    (void)snprintf(root, 100, "%s/tmp/swapped", root_dir);
    TRY(file_mkdirs(bin, 0755));
    CHECK(link(from, to) == 0 || errno == EEXIST);
    return NULL;
}

static struct err *is_empty(const char *path)
{
    DIR *dir = opendir(path);
    size_t n = 0;

    CHECK(dir != NULL);
    for (struct dirent *d; (d = readdir(dir));)
        n++;
    closedir(dir);
    return n == 2 ? NULL : err_new(ERR_BUG, "there is something in '%s'", path);
}

/* The builder's own directory of that name must stay as it is: `outside` is where the symlinks lead, from any root but
 * the RUN's. */
static struct err *check_swapped_mounts(const struct sandbox *sb, void *ctx)
{
    AUTO_FREE char *outside = xasprintf("%s.outside", root_dir);
    AUTO_FREE char *done = xasprintf("%s/done", mount_source);
    struct swapper s = { .sb = sb };
    char root[100];
    void *e;

    (void)ctx;
    TRY(make_swapped_root(root));
    CHECK(mkdir(outside, 0777) == 0);
    strs_add(&s.targets, outside);
    strs_take(&s.targets, xasprintf("../../../../../../../..%s", outside));
    strs_take(&s.targets, xasprintf("/proc/1/root%s", outside));
    CHECK(pthread_create(&s.thread, NULL, run_swapper, &s) == 0);
    for (int i = 0; i < SWAPPED_RUNS; i++)
        run_swapped(sb, root);
    err_free(file_write_atomic(done, "", 0, 0644));
    pthread_join(s.thread, &e);
    strs_release(&s.targets);
    TRY((struct err *)e);
    TRY(is_empty(outside));
    CHECK(rmdir(outside) == 0 && unlink(done) == 0);
    AUTO_FREE char *link = xasprintf("%s/l", mount_source);
    AUTO_FREE char *dir = xasprintf("%s/t", mount_source);
    TRY(file_remove_tree(AT_FDCWD, dir));
    return unlink(link) == 0 ? NULL : err_sys(errno, "cannot remove '%s'", link);
}

/* ---- tests ---- */

static void test_races(void **state)
{
    (void)state;
    in_worlds(check_race, contexts, N_CONTEXTS);
    in_worlds(check_race, worlds, N_WORLDS);
}

static void test_swapped_mounts(void **state)
{
    (void)state;
    in_worlds(check_swapped_mounts, contexts, N_CONTEXTS);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_races), cmocka_unit_test(test_swapped_mounts) };
    const char *mode = argc > 1 ? argv[1] : "";
    int code = -1;

    if (strcmp(mode, MARK) == 0)
        code = mark();
    else if (strcmp(mode, RACE) == 0)
        code = race();
    else if (strcmp(mode, LOOK_AT) == 0)
        code = look_at();
    else if (strcmp(mode, SWAP) == 0)
        code = swap(argv + 2);
    return self_test_main(argc, argv, code, tests, sizeof(tests) / sizeof(tests[0]));
}
