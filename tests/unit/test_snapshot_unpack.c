/* Unpacking: hostile and odd archives, and what they leave on disk; several at once. */
#include "../fixtures/snapshot_place.h"

#include <pthread.h>

static const struct {
    const char *name, *layer;
    const char *want;  /* the tree; NULL: must fail ... */
    const char *error; /* ... with this in the printed error */
} unpack_cases[] = {
    { "dot dot", "f 644 0:0 ../../x 1\n", NULL, "leads outside" },
    { "dot dot inside", "f 644 0:0 a/../../b 1\n", NULL, "leads outside" },
    { "absolute", "f 644 0:0 /etc/x 1\n", "d 755 0:0 etc\nf 644 0:0 etc/x 1\n", NULL },
    { "root entry", "d 700 5:5 .\nd 711 5:5 ./\nf 644 0:0 ./a 1\n", "f 644 0:0 a 1\n", NULL },
    { "through a symlink to outside", "l 777 0:0 out ../../../..\nf 644 0:0 out/made 1\n",
      "f 644 0:0 made 1\nl 777 0:0 out ../../../..\n", NULL },
    { "through an absolute symlink", "d 755 0:0 tgt\nl 777 0:0 out /tgt\nf 644 0:0 out/made 1\n",
      "l 777 0:0 out /tgt\nd 755 0:0 tgt\nf 644 0:0 tgt/made 1\n", NULL },
    { "through a symlink to nothing", "l 777 0:0 var/run /run\nf 644 0:0 var/run/x 1\n",
      "d 755 0:0 run\nf 644 0:0 run/x 1\nd 755 0:0 var\nl 777 0:0 var/run /run\n", NULL },
    { "symlinks in a circle", "l 777 0:0 a b\nl 777 0:0 b a\nf 644 0:0 a/x 1\n", NULL, "too many symlinks" },
    { "over a symlink, not through it", "f 644 0:0 t 1\nl 777 0:0 a t\nf 644 0:0 a 2\n",
      "f 644 0:0 a 2\nf 644 0:0 t 1\n", NULL },
    { "below a file", "f 644 0:0 a 1\nf 644 0:0 a/b 2\n", NULL, "not a directory" },
    { "hard link to outside", "h 644 0:0 a ../../../../etc/passwd\n", NULL, "not in the archive" },
    { "hard link through a symlink", "l 777 0:0 out /etc\nh 644 0:0 a out/hostname\n", NULL, "not in the archive" },
    { "hard link to a directory", "d 755 0:0 d\nh 644 0:0 a d\n", NULL, "not a file" },
    { "hard link to itself", "f 644 0:0 a 1\nh 644 0:0 a a\n", "f 644 0:0 a 1\n", NULL },
    { "hard link to the root", "h 644 0:0 a /\n", NULL, "the root" },
    { "hard link over something", "f 644 0:0 a 1\nd 755 0:0 b\nf 644 0:0 b/c 2\nh 644 0:0 b a\n",
      "f 644 0:0 a 1\nh 644 0:0 b a\n", NULL },
    { "hard link to a symlink", "l 777 3:4 a x\nh 777 3:4 b a\n", "l 777 3:4 a x\nh 777 3:4 b a\n", NULL },
    { "twice", "f 644 0:0 a 1\nf 600 1:1 a 22\n", "f 600 1:1 a 22\n", NULL },
    { "a link is cut, not written through", "f 644 0:0 a 1\nh 644 0:0 b a\nf 644 0:0 b 2\n",
      "f 644 0:0 a 1\nf 644 0:0 b 2\n", NULL },
    { "directory twice", "d 700 1:1 a\nf 644 0:0 a/b 1\nd 755 2:2 a\n", "d 755 2:2 a\nf 644 0:0 a/b 1\n", NULL },
    { "file over directory", "d 755 0:0 a\nf 644 0:0 a/b 1\nf 644 0:0 a 2\n", "f 644 0:0 a 2\n", NULL },
    { "directory over file", "f 644 0:0 a 1\nd 755 0:0 a\nf 644 0:0 a/b 2\n", "d 755 0:0 a\nf 644 0:0 a/b 2\n", NULL },
    { "directory over symlink", "d 755 0:0 t\nl 777 0:0 a t\nf 644 0:0 a/x 1\nd 700 0:0 a\nf 644 0:0 a/y 2\n",
      "d 700 0:0 a\nf 644 0:0 a/y 2\nd 755 0:0 t\nf 644 0:0 t/x 1\n", NULL },
    { "missing parents", "f 644 9:9 a/b/c 1\n", "d 755 0:0 a\nd 755 0:0 a/b\nf 644 9:9 a/b/c 1\n", NULL },
    { "modes",
      "f 4755 3:3 a 1\nd 2775 0:7 b\nf 644 0:0 b/c 1\nd 755 0:0 b/d\nf 0 0:0 e \nd 0 1:1 g\nf 2711 0:9 g/h 2\n",
      "f 4755 3:3 a 1\nd 2775 0:7 b\nf 644 0:0 b/c 1\nd 755 0:0 b/d\nf 0 0:0 e \nd 0 1:1 g\nf 2711 0:9 g/h 2\n", NULL },
    { "attributes",
      "f 755 4:4 a 1\nx user.k v\nx trusted.no 1\nx security.selinux 1\nx com.apple.x 1\nx user.overlay.opaque y\n"
      "x user.copyup.owner 77:77\nd 755 0:0 d\nx user.overlay.opaque y\nx user.j w\n",
      "f 755 4:4 a 1\nx user.k v\nd 755 0:0 d\nx user.j w\n", NULL },
    { "devices and fifos", "c 666 0:5 a 1:3\nb 600 0:0 b 8:1\np 640 1:2 p\nc 0 0:0 z 0:0\n",
      "c 666 0:5 a 1:3\nb 600 0:0 b 8:1\np 640 1:2 p\nc 0 0:0 z 0:0\n", NULL },
    { "whiteout of a bad name", "f 0 0:0 a/.wh...\n", NULL, "not a name" },
    { "whiteout of nothing", "f 0 0:0 .wh.\n", NULL, "not a name" },
    { "whiteout that climbs", "f 0 0:0 .wh..wh..opq/../../x/.wh...\n", NULL, "leads outside" },
    { "files of aufs", "d 700 0:0 .wh..wh.plnk\nf 600 0:0 .wh..wh.plnk/1 1\nf 600 0:0 .wh..wh.aufs \n", "", NULL },
    { "whiteout, then the thing itself", "f 0 0:0 .wh.a\nd 755 0:0 a\nf 0 0:0 .wh.b\nf 644 0:0 b/c 1\n",
      "d 755 0:0 a\nd 755 0:0 b\nf 644 0:0 b/c 1\n", NULL },
};

/* The tree as a step that makes a new name for everything would tell it: copied to a layer through a commit. */
static void unpack_row(const struct place *p, struct snapshotter *s, size_t i)
{
    AUTO(buf_release) struct buf tar = BUF_INIT;
    AUTO(rootfs_free) struct rootfs *r = NULL;
    AUTO(buf_release) struct buf text = BUF_INIT;

    now = unpack_cases[i].name;
    make_tar(unpack_cases[i].layer, &tar);
    struct digest d = digest_bytes(tar.data, tar.len);
    struct reading b = { &tar, 0 };
    struct err *e = snapshotter_unpack(s, &d, (struct source){ from_buf, &b });
    if (!unpack_cases[i].want) {
        must_fail(e, unpack_cases[i].error);
        if (snapshotter_has_layer(s, &d))
            die("a layer that failed is there");
        return;
    }
    must(e);
    must(rootfs_new(s, &d, 1, &r));
    print_rootfs(p, r, &text);
    /* a tree does not tell links and attributes */
    AUTO(buf_release) struct buf want = BUF_INIT;
    for (const char *t = unpack_cases[i].want; *t; t += strcspn(t, "\n") + 1)
        if (*t != 'x' && *t != 'h')
            buf_add(&want, t, strcspn(t, "\n") + 1);
    AUTO(buf_release) struct buf got = BUF_INIT;
    for (const char *t = buf_str(&text); *t; t += strcspn(t, "\n") + 1) {
        AUTO_FREE char *line = xstrndup(t, strcspn(t, "\n"));
        char path[256], *h;

        sscanf(line, "%*c %*s %*s %255s", path);
        h = xasprintf("h %.*s %s ", (int)(strcspn(line + 2, " ") + 1 + strcspn(strchr(line + 2, ' ') + 1, " ")),
                      line + 2, path);
        if (!strstr(unpack_cases[i].want, h))
            buf_add(&got, t, strcspn(t, "\n") + 1);
        free(h);
    }
    same("the tree", buf_str(&got), buf_str(&want));
}

static void unpack_rows(const struct place *p)
{
    AUTO(snapshotter_free) struct snapshotter *s = open_snapshotter(p);

    for (size_t i = 0; i < sizeof(unpack_cases) / sizeof(unpack_cases[0]); i++)
        unpack_row(p, s, i);
}

static void wrong_digest(const struct place *p)
{
    AUTO(snapshotter_free) struct snapshotter *s = open_snapshotter(p);
    AUTO(buf_release) struct buf tar = BUF_INIT;
    struct digest d = digest_bytes("x", 1);

    now = "wrong digest";
    make_tar("f 644 0:0 a 1\n", &tar);
    struct reading b = { &tar, 0 };
    struct err *e = snapshotter_unpack(s, &d, (struct source){ from_buf, &b });
    if (!e || err_kind(e) != ERR_REGISTRY)
        die("a wrong digest is not ERR_REGISTRY");
    must_fail(e, d.text);
    if (snapshotter_has_layer(s, &d))
        die("a wrong layer is there");
}

struct racer {
    struct snapshotter *s;
    const struct buf *tar;
    struct digest id;
};

static void *race(void *arg)
{
    struct racer *r = arg;
    struct reading b = { r->tar, 0 };

    return snapshotter_unpack(r->s, &r->id, (struct source){ from_buf, &b });
}

/* Several unpack the same layer: one wins, none fails. */
static void races(const struct place *p)
{
    AUTO(snapshotter_free) struct snapshotter *s = open_snapshotter(p);
    AUTO(buf_release) struct buf tar = BUF_INIT;
    pthread_t threads[8];

    now = "races";
    make_tar(BASE, &tar);
    struct racer r = { s, &tar, digest_bytes(tar.data, tar.len) };
    for (size_t i = 0; i < 8; i++)
        if (pthread_create(&threads[i], NULL, race, &r) != 0)
            die("no thread");
    for (size_t i = 0; i < 8; i++) {
        void *e;

        pthread_join(threads[i], &e);
        must(e);
    }
    AUTO(rootfs_free) struct rootfs *root = NULL;
    AUTO(buf_release) struct buf text = BUF_INIT;
    must(rootfs_new(s, &r.id, 1, &root));
    print_rootfs(p, root, &text);
    if (!strstr(buf_str(&text), "f 644 5:6 d/y two\n"))
        die("the layer is %s", buf_str(&text));
    AUTO_FREE char *left = xasprintf("%s/build.%d", p->state, (int)getpid());
    DIR *d = opendir(left);
    for (struct dirent *e; (e = readdir(d));)
        if (strncmp(e->d_name, "unpack", 6) == 0)
            die("'%s' was left behind", e->d_name);
    closedir(d);
}

OVERLAY(unpack_rows)
OVERLAY(wrong_digest)
OVERLAY(races)
COPY(unpack_rows)
COPY(wrong_digest)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unpack_rows),      cmocka_unit_test(test_wrong_digest),      cmocka_unit_test(test_races),
        cmocka_unit_test(test_unpack_rows_copy), cmocka_unit_test(test_wrong_digest_copy),
    };

    return cmocka_run_group_tests_name("snapshot unpack", tests, NULL, NULL);
}
