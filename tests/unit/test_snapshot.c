/* Root file systems of many layers and steps, their forks, and what goes wrong. */
#include "../fixtures/snapshot_place.h"

static void many_layers(const struct place *p)
{
    AUTO(snapshotter_free) struct snapshotter *s = open_snapshotter(p);
    AUTO(rootfs_free) struct rootfs *r = NULL;
    AUTO(rootfs_free) struct rootfs *fork_of = NULL;
    AUTO(buf_release) struct buf tar = BUF_INIT;
    AUTO(buf_release) struct buf text = BUF_INIT;
    AUTO(buf_release) struct buf a = BUF_INIT;
    AUTO(buf_release) struct buf b = BUF_INIT;
    struct digest *ids = xcalloc(500, sizeof(*ids));
    int fd;
    const char *root;

    now = "500 layers";
    for (unsigned i = 0; i < 500; i++) {
        AUTO_FREE char *layer = xasprintf(
            "d 755 0:0 d\nf 644 0:0 d/same %u\nf 644 0:0 d/own%u %u\nf 0 0:0 d/.wh.own%u\nl 777 %u:1 d/s %u\n", i, i, i,
            i > 3 ? i - 3 : 9999, i, i);

        ids[i] = unpack_lines(s, layer);
    }
    must(rootfs_new(s, ids, 500, &r));
    must(rootfs_begin(r, &fd, &root));
    shell(root, "test $(cat d/same) = 499 && test $(ls d | wc -l) = 6 && echo 1 > d/own499 && rm d/own498");
    commit_all(r, &tar);
    print_tar(&tar, &text);
    same("the layer", buf_str(&text), "d 755 0:0 d\nf 0 0:0 d/.wh.own498\nf 644 0:0 d/own499 1\n");
    must(rootfs_fork(r, &fork_of));
    print_rootfs(p, r, &a);
    print_rootfs(p, fork_of, &b);
    same("the fork", buf_str(&b), buf_str(&a));
    if (!strstr(a.data, "l 777 499:1 d/s 499"))
        die("owner of a symlink lost: %s", a.data);
    free(ids);
}

static void many_steps(const struct place *p)
{
    AUTO(snapshotter_free) struct snapshotter *s = open_snapshotter(p);
    AUTO(rootfs_free) struct rootfs *r = NULL;
    struct digest base;
    int fd;
    const char *root;

    now = "70 steps";
    base = unpack_lines(s, BASE);
    must(rootfs_new(s, &base, 1, &r));
    for (int i = 0; i < 70; i++) {
        AUTO(buf_release) struct buf tar = BUF_INIT;
        AUTO_FREE char *script =
            xasprintf("echo %d > d/n%d; rm -f d/n%d; rm -rf e; mkdir e; echo > e/%d", i, i, i - 1, i);

        must(rootfs_begin(r, &fd, &root));
        shell(root, script);
        commit_all(r, &tar);
    }
    AUTO(buf_release) struct buf out = BUF_INIT;
    print_rootfs(p, r, &out);
    same("the root file system", buf_str(&out),
         "d 755 0:0 d\nf 644 0:0 d/n69 69\nd 755 0:0 d/sub\nf 600 0:0 d/sub/z three\nf 644 0:0 d/x one\nf 644 5:6 d/y "
         "two\n"
         "d 755 0:0 e\nf 644 0:0 e/69 \nf 644 0:0 f four\nf 644 0:0 h1 link\nf 644 0:0 h2 link\nl 777 7:8 s d/x\n");
}

static void steps_and_forks(const struct place *p)
{
    AUTO(snapshotter_free) struct snapshotter *s = open_snapshotter(p);
    AUTO(rootfs_free) struct rootfs *r = NULL;
    AUTO(rootfs_free) struct rootfs *f = NULL;
    AUTO(buf_release) struct buf one = BUF_INIT;
    AUTO(buf_release) struct buf two = BUF_INIT;
    AUTO(buf_release) struct buf text = BUF_INIT;
    struct digest base;
    int fd;
    const char *root;

    now = "steps and forks";
    base = unpack_lines(s, "f 644 0:0 a 1\n");
    must(rootfs_new(s, &base, 1, &r));
    must(rootfs_begin(r, &fd, &root));
    shell(root, "echo b > b; chmod 751 .");
    rootfs_abort(r);
    must(rootfs_begin(r, &fd, &root));
    shell(root, "test ! -e b && echo c > c && chmod 751 .");
    commit_all(r, &one);
    must(rootfs_fork(r, &f));
    must(rootfs_begin(r, &fd, &root));
    /* the root directory's own mode lives on */
    shell(root, "test $(stat -c %a .) = 751 && rm c && echo d > d");
    commit_all(r, &two);
    print_tar(&two, &text);
    same("the second layer", buf_str(&text), "f 0 0:0 .wh.c\nf 644 0:0 d d\n");
    buf_clear(&text);
    print_rootfs(p, f, &text);
    same("the fork", buf_str(&text), "f 644 0:0 a 1\nf 644 0:0 c c\n");
    buf_clear(&text);
    must(rootfs_begin(f, &fd, &root));
    shell(root, "echo 2 > a");
    commit_all(f, &two);
    print_rootfs(p, r, &text);
    same("the origin", buf_str(&text), "f 644 0:0 a 1\nf 644 0:0 d d\n");
}

/* Layers that come from elsewhere between steps and before them, over what steps made and under it. */
static void pushed_layers(const struct place *p)
{
    AUTO(snapshotter_free) struct snapshotter *s = open_snapshotter(p);
    AUTO(rootfs_free) struct rootfs *r = NULL;
    AUTO(rootfs_free) struct rootfs *f = NULL;
    AUTO(buf_release) struct buf one = BUF_INIT, two = BUF_INIT, text = BUF_INIT;
    struct digest base, first, second;
    int fd;
    const char *root;

    now = "pushed layers";
    base = unpack_lines(s, BASE);
    first = unpack_lines(s, "f 644 0:0 d/x pushed\nf 0 0:0 d/.wh.y\nl 777 3:4 t f\n");
    second = unpack_lines(s, "f 0 0:0 .wh.f\nf 644 0:0 d/made over\nf 644 0:0 d/sub/p new\n");
    must(rootfs_new(s, &base, 1, &r));
    must(rootfs_view(r, &fd));
    must(rootfs_push(r, &first));
    must(rootfs_begin(r, &fd, &root));
    shell(root, "test $(cat d/x) = pushed && test ! -e d/y && echo s > d/made && chmod 700 d");
    commit_all(r, &one);
    must(rootfs_push(r, &second));
    must(rootfs_fork(r, &f));
    must(rootfs_begin(r, &fd, &root));
    shell(root, "test $(cat d/made) = over && test ! -e f && rm d/made && echo l > last");
    commit_all(r, &two);
    print_tar(&two, &text);
    same("the step over a pushed layer", buf_str(&text), "d 700 0:0 d\nf 0 0:0 d/.wh.made\nf 644 0:0 last l\n");
    buf_clear(&text);
    print_rootfs(p, r, &text);
    same("the root file system", buf_str(&text),
         "d 700 0:0 d\nd 755 0:0 d/sub\nf 644 0:0 d/sub/p new\nf 600 0:0 d/sub/z three\nf 644 0:0 d/x pushed\n"
         "f 644 0:0 h1 link\nf 644 0:0 h2 link\nf 644 0:0 last l\nl 777 7:8 s d/x\nl 777 3:4 t f\n");
    buf_clear(&text);
    print_rootfs(p, f, &text);
    if (!strstr(buf_str(&text), "f 644 0:0 d/made over\n") || strstr(buf_str(&text), "last"))
        die("the fork has '%s'", buf_str(&text));
}

static struct err *full_disk(void *ctx, const void *q, size_t n)
{
    (void)ctx;
    (void)q;
    (void)n;
    return err_new(ERR_DISK, "no space");
}

static void failed_commit(const struct place *p)
{
    AUTO(snapshotter_free) struct snapshotter *s = open_snapshotter(p);
    AUTO(rootfs_free) struct rootfs *r = NULL;
    AUTO(buf_release) struct buf text = BUF_INIT;
    const struct commit_opts o = { .clamp_mtime_s = INT64_MAX };
    struct commit_stats stats;
    int fd;
    const char *root;

    now = "failed commit";
    must(rootfs_new(s, NULL, 0, &r));
    must(rootfs_begin(r, &fd, &root));
    shell(root, "head -c 100000 /dev/zero > a");
    must_fail(rootfs_commit(r, &o, (struct sink){ full_disk, NULL }, &stats), "no space");
    print_rootfs(p, r, &text);
    same("what is left", buf_str(&text), "");
    must(rootfs_begin(r, &fd, &root));
    rootfs_abort(r);
}

static void note_new(void *ctx)
{
    *(bool *)ctx = true;
}

/* Whether a layer holds something of this build, by the times of its entries. */
static const struct {
    const char *script;
    int64_t clamp_mtime_s;
    bool is_new;
} ages[] = {
    { "echo > a", INT64_MAX, true },
    { "echo > a; touch -d @1000000000 a", INT64_MAX, false },
    { "echo > a; touch -d @4000000000 a", INT64_MAX, false }, /* still to come: it may have been set before */
    { "mkdir d; echo > d/a; touch -d @1000000000 d/a", INT64_MAX, true },
    { "ln -s x a", INT64_MAX, true },
    { "echo > a", 1500000000, false },
};

static void new_entries(const struct place *p)
{
    AUTO(snapshotter_free) struct snapshotter *s = open_snapshotter(p);

    now = "new entries";
    for (size_t i = 0; i < sizeof(ages) / sizeof(ages[0]); i++) {
        AUTO(rootfs_free) struct rootfs *r = NULL;
        AUTO(buf_release) struct buf tar = BUF_INIT;
        bool is_new = false;
        struct commit_opts o = { .clamp_mtime_s = ages[i].clamp_mtime_s, .is_new = note_new, .ctx = &is_new };
        struct commit_stats stats;
        int fd;
        const char *root;

        must(rootfs_new(s, NULL, 0, &r));
        must(rootfs_begin(r, &fd, &root));
        clock_gettime(CLOCK_REALTIME, &o.began);
        o.began.tv_sec -= 60;
        shell(root, ages[i].script);
        must(rootfs_commit(r, &o, (struct sink){ to_buf, &tar }, &stats));
        if (is_new != ages[i].is_new)
            die("'%s' is taken for %s", ages[i].script, is_new ? "new" : "old");
    }
}

/* Times, clamped; capabilities; a big sparse file. */
static void details(const struct place *p)
{
    static const unsigned char cap[20] = { 1, 0, 0, 2, 0, 4 }; /* VFS_CAP_REVISION_2, cap_net_bind_service */
    AUTO(snapshotter_free) struct snapshotter *s = open_snapshotter(p);
    AUTO(rootfs_free) struct rootfs *r = NULL;
    AUTO(buf_release) struct buf tar = BUF_INIT;
    const struct commit_opts o = { .clamp_mtime_s = 1500000000 };
    struct commit_stats stats;
    int fd;
    const char *root;

    now = "details";
    must(rootfs_new(s, NULL, 0, &r));
    must(rootfs_begin(r, &fd, &root));
    shell(root, "truncate -s 3000000 a; printf x >> a; touch -d @1234567890.123456789 a; echo > b");
    AUTO_CLOSE int b = openat(fd, "b", O_RDONLY | O_CLOEXEC);
    if (b < 0 || fsetxattr(b, "security.capability", cap, sizeof(cap), 0) < 0)
        die("cannot set a capability: %s", strerror(errno));
    must(rootfs_commit(r, &o, (struct sink){ to_buf, &tar }, &stats));
    if (stats.entries != 2 || stats.file_bytes != 3000002 || stats.whiteouts || stats.dropped)
        die("statistics are wrong");
    struct reading bytes = { &tar, 0 };
    AUTO(tar_reader_free) struct tar_reader *t = NULL;
    struct tar_entry ea = { 0 }, eb = { 0 };
    bool found;
    must(tar_reader_new((struct source){ from_buf, &bytes }, &t));
    must(tar_read_entry(t, &ea, &found));
    must(tar_read_entry(t, &eb, &found));
    if (ea.mtime.tv_sec != 1234567890 || ea.mtime.tv_nsec != 123456789)
        die("time to the nanosecond is lost");
    if (eb.mtime.tv_sec != 1500000000 || eb.mtime.tv_nsec != 0)
        die("time is not clamped");
    if (eb.n_xattrs != 1 || eb.xattrs[0].len != sizeof(cap) || memcmp(eb.xattrs[0].value, cap, sizeof(cap)) != 0)
        die("capability is not as it was set");
    tar_entry_release(&ea);
    tar_entry_release(&eb);

    struct digest d = unpack(s, &tar);
    AUTO(rootfs_free) struct rootfs *again = NULL;
    struct stat st;
    unsigned char back[64];
    must(rootfs_new(s, &d, 1, &again));
    must(rootfs_view(again, &fd));
    if (fstatat(fd, "a", &st, 0) < 0 || st.st_size != 3000001 || st.st_mtim.tv_nsec != 123456789)
        die("unpacked file differs");
    AUTO_CLOSE int c = openat(fd, "b", O_RDONLY | O_CLOEXEC);
    if (fgetxattr(c, "security.capability", back, sizeof(back)) != sizeof(cap) || memcmp(back, cap, sizeof(cap)) != 0)
        die("unpacked capability differs");
}

static void bad_backend(const struct place *p)
{
    struct snapshotter *s = NULL;
    AUTO_FREE char *build = xasprintf("%s/build", p->state);
    struct err *e = snapshotter_open(
        &(struct snapshotter_opts){
            .state_dir = p->state, .build_dir = build, .layer_space = "x", .backend = "zfs", .owners = p->owners },
        &s);

    now = "bad back end";
    if (!e || err_kind(e) != ERR_SETTING)
        die("an unknown back end is not ERR_SETTING");
    must_fail(e, "'zfs' is not a snapshotter");
}

OVERLAY(many_layers)
OVERLAY(many_steps)
OVERLAY(steps_and_forks)
OVERLAY(pushed_layers)
OVERLAY(failed_commit)
OVERLAY(new_entries)
OVERLAY(details)
OVERLAY(bad_backend)
COPY(many_layers)
COPY(many_steps)
COPY(steps_and_forks)
COPY(pushed_layers)
COPY(new_entries)
COPY(details)
OVERLAY_ON_DISK(details)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_layers),          cmocka_unit_test(test_many_steps),
        cmocka_unit_test(test_steps_and_forks),      cmocka_unit_test(test_pushed_layers),
        cmocka_unit_test(test_failed_commit),        cmocka_unit_test(test_details),
        cmocka_unit_test(test_bad_backend),          cmocka_unit_test(test_details_on_disk),
        cmocka_unit_test(test_many_layers_copy),     cmocka_unit_test(test_many_steps_copy),
        cmocka_unit_test(test_steps_and_forks_copy), cmocka_unit_test(test_pushed_layers_copy),
        cmocka_unit_test(test_details_copy),         cmocka_unit_test(test_new_entries),
        cmocka_unit_test(test_new_entries_copy),
    };

    return cmocka_run_group_tests_name("snapshot", tests, NULL, NULL);
}
