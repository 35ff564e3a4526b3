/* What the layer of a step holds, in each comparison mode and with each back end. */
#include "../fixtures/snapshot_place.h"

#define MAX_LAYERS 4

struct layer_case {
    const char *name;
    const char *base[MAX_LAYERS];
    const char *script; /* /bin/sh in the root directory */
    const char *own;    /* then: "PATH UID:GID" lines, as a chown that the sandbox saw */
    const char *want;   /* the layer of that step */
    const char *copy;   /* what it is with the copy back end, where that differs */
    enum snapshot_mode mode;
    const char *ignore;
};

static const struct layer_case cases[] = {
    { .name = "nothing", .base = { BASE }, .script = ":", .want = "" },
    { .name = "from scratch",
      .script = "mkdir -p a/b; echo x > a/b/c",
      .want = "d 755 0:0 a\nd 755 0:0 a/b\nf 644 0:0 a/b/c x\n" },
    { .name = "new file has its directories before it",
      .base = { BASE },
      .script = "echo n > d/sub/n",
      .want = "d 755 0:0 d\nd 755 0:0 d/sub\nf 644 0:0 d/sub/n n\n" },
    { .name = "changed content keeps the owner",
      .base = { BASE },
      .script = "echo 2 > d/y",
      .want = "d 755 0:0 d\nf 644 5:6 d/y 2\n" },
    { .name = "mode", .base = { BASE }, .script = "chmod 4755 f", .want = "f 4755 0:0 f four\n" },
    { .name = "directory mode alone", .base = { BASE }, .script = "chmod 1777 d", .want = "d 1777 0:0 d\n" },
    { .name = "owner alone", .base = { BASE }, .script = ":", .own = "f 9:10", .want = "f 644 9:10 f four\n" },
    { .name = "owner of a directory", .base = { BASE }, .script = ":", .own = "d 3:3", .want = "d 755 3:3 d\n" },
    { .name = "owner of a symlink", .base = { BASE }, .script = ":", .own = "s 9:9", .want = "l 777 9:9 s d/x\n" },
    { .name = "touched symlink keeps its owner",
      .base = { BASE },
      .script = "touch -h s",
      .want = "l 777 7:8 s d/x\n" },
    { .name = "same mode again",
      .base = { BASE },
      .script = "chmod 644 f; chmod 755 d",
      .want = "",
      .copy = "f 644 0:0 f four\n" },
    { .name = "opened for writing only", .base = { BASE }, .script = ": >> f", .want = "" },
    { .name = "same owner again",
      .base = { BASE },
      .script = ":",
      .own = "d/y 5:6",
      .want = "",
      .copy = "d 755 0:0 d\nf 644 5:6 d/y two\n" },
    { .name = "temporary file leaves nothing", .base = { BASE }, .script = "echo > d/tmp; rm d/tmp", .want = "" },
    { .name = "same size and time, other content: full",
      .base = { BASE },
      .script = "echo FOUR | tr -d '\\n' > f; touch -d @1000000000 f",
      .want = "f 644 0:0 f FOUR\n" },
    { .name = "same size and time, other content: redo",
      .base = { BASE },
      .script = "printf FOUR > f; touch -d @1000000000 f",
      .want = "f 644 0:0 f FOUR\n",
      .mode = SNAPSHOT_REDO },
    { .name = "rewritten with the same: full",
      .base = { BASE },
      .script = "printf four > f; touch -d @1000000000 f",
      .want = "",
      .copy = "f 644 0:0 f four\n" },
    { .name = "touched: redo",
      .base = { BASE },
      .script = "touch f",
      .want = "f 644 0:0 f four\n",
      .mode = SNAPSHOT_REDO },
    { .name = "time sees the time alone",
      .base = { BASE },
      .script = "chmod 600 f; echo 1 > d/x",
      .want = "d 755 0:0 d\nf 644 0:0 d/x 1\n",
      .mode = SNAPSHOT_TIME },
    { .name = "replaced by rename is new",
      .base = { BASE },
      .script = "echo r > d/y.new; mv d/y.new d/y",
      .want = "d 755 0:0 d\nf 644 0:0 d/y r\n" },
    { .name = "removed", .base = { BASE }, .script = "rm f", .want = "f 0 0:0 .wh.f\n" },
    { .name = "whiteouts stand before their siblings",
      .base = { BASE },
      .script = "rm d/y; echo a > d/a",
      .want = "d 755 0:0 d\nf 0 0:0 d/.wh.y\nf 644 0:0 d/a a\n" },
    { .name = "whiteouts are no hard links",
      .base = { BASE },
      .script = "rm d/x d/y f",
      .want = "f 0 0:0 .wh.f\nd 755 0:0 d\nf 0 0:0 d/.wh.x\nf 0 0:0 d/.wh.y\n" },
    { .name = "removed tree", .base = { BASE }, .script = "rm -r d", .want = "f 0 0:0 .wh.d\n" },
    { .name = "emptied and made again is opaque",
      .base = { BASE },
      .script = "rm -r d; mkdir d; echo 1 > d/new",
      .want = "d 755 0:0 d\nf 0 0:0 d/.wh..wh..opq\nf 644 0:0 d/new 1\n",
      .copy = "d 755 0:0 d\nf 0 0:0 d/.wh.sub\nf 0 0:0 d/.wh.x\nf 0 0:0 d/.wh.y\nf 644 0:0 d/new 1\n" },
    { .name = "new directory is not opaque",
      .base = { BASE },
      .script = "mkdir -p n/m",
      .want = "d 755 0:0 n\nd 755 0:0 n/m\n" },
    { .name = "made and removed", .base = { BASE }, .script = "mkdir n; echo 1 > n/a; rm -r n", .want = "" },
    { .name = "file becomes directory",
      .base = { BASE },
      .script = "rm f; mkdir f; echo 1 > f/a",
      .want = "d 755 0:0 f\nf 644 0:0 f/a 1\n" },
    { .name = "directory becomes file", .base = { BASE }, .script = "rm -r d; echo 1 > d", .want = "f 644 0:0 d 1\n" },
    { .name = "directory becomes symlink",
      .base = { BASE },
      .script = "rm -r d; ln -s f d",
      .want = "l 777 0:0 d f\n" },
    { .name = "hard links made by the step",
      .base = { BASE },
      .script = "echo 1 > a; ln a b; ln a d/c",
      .want = "f 644 0:0 a 1\nh 644 0:0 b a\nd 755 0:0 d\nh 644 0:0 d/c a\n" },
    { .name = "link to an unchanged file",
      .base = { BASE },
      .script = "ln f g",
      .want = "f 644 0:0 f four\nh 644 0:0 g f\n" },
    { .name = "one name of a lower group",
      .base = { BASE },
      .script = "printf 2 > h1",
      .want = "f 644 0:0 h1 2\n",
      .copy = "f 644 0:0 h1 2\nh 644 0:0 h2 h1\n" },
    {
        .name = "renamed directory",
        .base = { BASE },
        .script = "mv d e",
        .want =
            "f 0 0:0 .wh.d\nd 755 0:0 e\nd 755 0:0 e/sub\nf 600 0:0 e/sub/z three\nf 644 0:0 e/x one\nf 644 5:6 e/y "
            "two\n",
    },
    { .name = "renamed file keeps its owner",
      .base = { BASE },
      .script = "mv d/y y",
      .want = "d 755 0:0 d\nf 0 0:0 d/.wh.y\nf 644 5:6 y two\n" },
    { .name = "fifo is kept, socket is not",
      .base = { BASE },
      .script = "mkfifo -m 640 p; python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"so\")'",
      .want = "p 640 0:0 p\n" },
    { .name = "device of a layer",
      .base = { "d 755 0:0 dev\nc 666 0:4 dev/null 1:3\nb 660 0:6 dev/sda 8:0\n" },
      .script = "chmod 600 dev/null",
      .want = "d 755 0:0 dev\nc 600 0:4 dev/null 1:3\n" },
    { .name = "device untouched",
      .base = { "c 666 0:4 null 1:3\n" },
      .script = "chmod 666 null",
      .want = "",
      .copy = "c 666 0:4 null 1:3\n" },
    { .name = "attributes that no layer holds",
      .base = { BASE "f 644 0:0 g g\nx user.a 1\n" },
      .script =
          "python3 -c 'import os; os.setxattr(\"f\", \"user.k\", b\"v\"); os.setxattr(\"g\", \"user.a\", b\"2\")'",
      .want = "",
      .copy = "f 644 0:0 f four\nf 644 0:0 g g\n" },
    { .name = "attribute removed",
      .base = { "f 644 0:0 g g\nx user.a 1\n" },
      .script = "python3 -c 'import os; os.removexattr(\"g\", \"user.a\")'",
      .want = "",
      .copy = "f 644 0:0 g g\n" },
    {
        .name = "owner of new files",
        .base = { BASE },
        .script = "echo 1 > n; ln -s n l; mkdir m; echo 2 > d/y; touch -h s; chmod 700 d/sub",
        .want = "d 755 0:0 d\nd 700 0:0 d/sub\nf 644 5:6 d/y 2\nl 777 0:0 l n\nd 755 0:0 m\nf 644 0:0 n 1\n"
                "l 777 7:8 s d/x\n",
    },
    { .name = "owner of a name of a lower group",
      .base = { BASE },
      .script = "echo 3 > h1",
      .want = "f 644 0:0 h1 3\n",
      .copy = "f 644 0:0 h1 3\nh 644 0:0 h2 h1\n" },
    { .name = "ignored paths",
      .base = { BASE },
      .script = "echo 1 > d/secret; rm f; mkdir -p t/u; echo 2 > t/u/v; echo 3 > e",
      .ignore = "/d/secret f /t/u/",
      .want = "f 644 0:0 e 3\nd 755 0:0 t\n" },
    { .name = "odd modes",
      .script = "echo 1 > a; chmod 0000 a; mkdir b; echo 2 > b/c; chmod 0 b; umask 077; echo > 'a b'; chmod 7777 'a b'",
      .want = "f 0 0:0 a 1\nf 7777 0:0 a b \nd 0 0:0 b\nf 644 0:0 b/c 2\n" },
    { .name = "layers hide layers",
      .base = { BASE, "d 755 0:0 d\nf 0 0:0 d/.wh.x\nf 0 0:0 .wh.f\n", "d 700 1:1 d\nf 0 0:0 d/.wh..wh..opq\n" },
      .script = "ls d d/x d/sub f >/dev/null 2>&1 && exit 1; test \"$(ls -A d)\" = ''; echo 1 > d/n",
      .want = "d 700 1:1 d\nf 644 0:0 d/n 1\n" },
    { .name = "a layer's own file beside its whiteout stays",
      .base = { BASE, "f 644 0:0 f new\nf 0 0:0 .wh.f\nf 0 0:0 .wh.d\nd 755 0:0 d\nf 644 0:0 d/q q\n" },
      .script = "test \"$(cat f)\" = new && test \"$(ls d)\" = q",
      .want = "" },
    { .name = "a directory that a layer does not name keeps what a lower one says",
      .base = { "d 1777 3:4 tmp\nd 750 1:2 a\nd 711 0:9 a/b\n", "f 644 0:0 a/b/c/x 1\nf 644 0:0 tmp/y 2\n" },
      .script = "test \"$(stat -c %a tmp a a/b a/b/c | tr '\\n' ' ')\" = '1777 750 711 755 ' && echo 1 > a/b/n",
      .want = "d 750 1:2 a\nd 711 0:9 a/b\nf 644 0:0 a/b/n 1\n" },
    { .name = "and a removed one stays away",
      .base = { "d 1777 3:4 tmp\nd 700 1:1 tmp/k\n", "f 0 0:0 .wh.tmp\n", "f 644 0:0 tmp/y 2\n" },
      .script = "test \"$(stat -c %a tmp)\" = 755 && test \"$(ls tmp)\" = y",
      .want = "" },
};

static void own(const struct place *p, struct rootfs *r, int root_fd, const char *text)
{
    while (text && *text) {
        char path[256];
        struct owner o = { 0 };
        struct stat st;
        bool stored;

        if (sscanf(text, "%255s %u:%u", path, &o.uid, &o.gid) != 3)
            die("bad owners '%s'", text);
        AUTO_CLOSE int fd = openat(root_fd, path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        /* what the supervisor of a RUN does: a chown that copies up */
        if (fd < 0 || fstat(fd, &st) < 0 || fchownat(fd, "", 0, 0, AT_EMPTY_PATH) < 0)
            die("cannot open '%s'", path);
        must(owner_set(p->owners, fd, &st, &o, &stored));
        if (!stored)
            rootfs_note_owner(r, path, &o);
        text += strcspn(text, "\n");
        text += *text == '\n';
    }
}

static void split(const char *text, struct strs *out)
{
    while (text && *text) {
        size_t n = strcspn(text, " ");

        strs_take(out, xstrndup(text, n));
        text += n + (text[n] == ' ');
    }
}

static void commit_to(struct rootfs *r, const struct layer_case *c, struct buf *out)
{
    AUTO(strs_release) struct strs ignore = { 0 };
    struct commit_stats stats;

    split(c->ignore, &ignore);
    const struct commit_opts o = { .mode = c->mode, .clamp_mtime_s = INT64_MAX, .ignore = &ignore };
    must(rootfs_commit(r, &o, (struct sink){ to_buf, out }, &stats));
}

/* The same, written only after the next step has changed all that it sees. */
static void freeze_to(struct rootfs *r, const struct layer_case *c, struct buf *out)
{
    AUTO(strs_release) struct strs ignore = { 0 };
    AUTO(frozen_free) struct frozen *f = NULL;
    struct commit_stats stats;
    const char *root;
    int root_fd;

    split(c->ignore, &ignore);
    const struct commit_opts o = { .mode = c->mode, .clamp_mtime_s = INT64_MAX, .ignore = &ignore };
    must(rootfs_freeze(r, &f));
    if (!f) { /* this back end cannot, and the step goes on */
        must(rootfs_commit(r, &o, (struct sink){ to_buf, out }, &stats));
        return;
    }
    must(rootfs_begin(r, &root_fd, &root));
    shell(root, "find . -type f -exec sh -c 'for f; do echo more >> \"$f\"; chmod 0600 \"$f\"; done' - {} + || true; "
                "find . -mindepth 1 -delete; echo > other");
    rootfs_abort(r);
    must(frozen_write(f, &o, (struct sink){ to_buf, out }, &stats));
}

/* The layer on top of its base gives what the step left. */
static void check_again(const struct place *p, struct snapshotter *s, struct rootfs *live, struct digest *ids, size_t n,
                        const struct buf *tar)
{
    AUTO(rootfs_free) struct rootfs *again = NULL;
    AUTO(buf_release) struct buf a = BUF_INIT;
    AUTO(buf_release) struct buf b = BUF_INIT;

    ids[n] = unpack(s, tar);
    must(rootfs_new(s, ids, n + 1, &again));
    print_rootfs(p, live, &a);
    print_rootfs(p, again, &b);
    same("the root file system from the layers", buf_str(&b), buf_str(&a));
}

static const char *wanted(const struct place *p, const struct layer_case *c)
{
    if (c->copy && strcmp(p->backend, "copy") == 0)
        return c->copy;
    return c->want;
}

static void run_case(const struct place *p, struct snapshotter *s, const struct layer_case *c, bool freeze)
{
    AUTO(rootfs_free) struct rootfs *r = NULL;
    AUTO(buf_release) struct buf tar = BUF_INIT;
    AUTO(buf_release) struct buf text = BUF_INIT;
    struct digest ids[MAX_LAYERS + 1];
    size_t n = 0;
    int root_fd;
    const char *root;

    now = c->name;
    for (; n < MAX_LAYERS && c->base[n]; n++)
        ids[n] = unpack_lines(s, c->base[n]);
    must(rootfs_new(s, ids, n, &r));
    must(rootfs_begin(r, &root_fd, &root));
    shell(root, c->script);
    own(p, r, root_fd, c->own);
    if (freeze)
        freeze_to(r, c, &tar);
    else
        commit_to(r, c, &tar);
    print_tar(&tar, &text);
    same("the layer", buf_str(&text), wanted(p, c));
    if (c->mode != SNAPSHOT_TIME && !c->ignore && !strstr(c->script, "socket"))
        check_again(p, s, r, ids, n, &tar);
}

static void layer_cases(const struct place *p)
{
    AUTO(snapshotter_free) struct snapshotter *s = open_snapshotter(p);

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        run_case(p, s, &cases[i], false);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        run_case(p, s, &cases[i], true);
}

/* A state directory on the container's own root file system, as it is in a pod without a volume. */
static void on_an_overlay(const struct place *p)
{
    static const char *const names[] = { "lower", "upper", "work", "root" };
    AUTO_FREE char *options =
        xasprintf("userxattr,lowerdir=%s/lower,upperdir=%s/upper,workdir=%s/work", p->state, p->state, p->state);
    AUTO_FREE char *root = xasprintf("%s/root", p->state);
    struct place on = { .owners = p->owners, .backend = "auto", .state = root };
    struct snapshotter *forced = NULL;

    now = "on an overlay";
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        AUTO_FREE char *dir = xasprintf("%s/%s", p->state, names[i]);

        must(file_mkdirs(dir, 0755));
    }
    if (mount("overlay", root, "overlay", 0, options) < 0)
        die("cannot mount an overlay: %s", strerror(errno));
    AUTO_FREE char *build = xasprintf("%s/forced", root);
    struct err *e = snapshotter_open(
        &(struct snapshotter_opts){
            .state_dir = root, .build_dir = build, .layer_space = "x", .backend = "overlay", .owners = p->owners },
        &forced);
    if (!e || err_kind(e) != ERR_POD)
        die("an overlay on an overlay is not ERR_POD");
    must_fail(e, "mount an emptyDir volume");
    AUTO(snapshotter_free) struct snapshotter *s = open_snapshotter(&on);
    if (strcmp(snapshotter_describe(s), "copy on overlay (overlayfs cannot be used on overlay: Invalid argument)") != 0)
        die("described as '%s'", snapshotter_describe(s));
    on.backend = "copy"; /* which expectations count */
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (strncmp(cases[i].name, "layers hide", 11) == 0 || strncmp(cases[i].name, "a layer's own", 13) == 0)
            run_case(&on, s, &cases[i], false);
}

OVERLAY(layer_cases)
OVERLAY(on_an_overlay)
COPY(layer_cases)
OVERLAY_ON_DISK(layer_cases)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layer_cases),
        cmocka_unit_test(test_on_an_overlay),
        cmocka_unit_test(test_layer_cases_on_disk),
        cmocka_unit_test(test_layer_cases_copy),
    };

    return cmocka_run_group_tests_name("snapshot layers", tests, NULL, NULL);
}
