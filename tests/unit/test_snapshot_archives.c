/* Layers as others write them: what becomes of each, and which must be refused. */
#include "../fixtures/snapshot_world.h"

struct archive {
    const char *name;
    const char *layers[3]; /* lowest first */
    const char *want;      /* lines that must stand in the root file system, each once; NULL: the last one is refused */
    const char *absent;    /* a path that must not be there */
};

static const struct archive archives[] = {
    { "all kinds", { base_layer }, base_layer, NULL },
    { "whiteout of a file", { base_layer, "w data/.wh.a\n" }, "f data/b 600 7:8 =bbbb\n", "data/a" },
    { "whiteout of a directory", { base_layer, "w .wh.data\n" }, "d bin 755 0:0\n", "data" },
    { "whiteout and new file",
      { base_layer, "w data/.wh.a\nf data/a 600 1:1 =new\n" },
      "f data/a 600 1:1 =new\n",
      NULL },
    { "new file and whiteout",
      { base_layer, "f data/a 600 1:1 =new\nw data/.wh.a\n" },
      "f data/a 600 1:1 =new\n",
      NULL },
    { "whiteout of nothing", { base_layer, "w data/.wh.zero\n" }, DATA, "data/zero" },
    { "opaque",
      { base_layer, "d data 755 7:8\nw data/.wh..wh..opq\nf data/n 644 0:0 =n\n" },
      "f data/n 644 0:0 =n\n",
      "data/a" },
    { "opaque at the end",
      { base_layer, "d data 755 7:8\nf data/n 644 0:0 =n\nw data/.wh..wh..opq\n" },
      "f data/n 644 0:0 =n\n",
      "data/a" },
    { "opaque, and a layer above",
      { base_layer, "d data 755 7:8\nw data/.wh..wh..opq\n", "f data/b 644 0:0 =2\n" },
      DATA "f data/b 644 0:0 =2\n",
      "data/a" },
    { "aufs' own files", { base_layer, "w .wh..wh.aufs\nw .wh..wh.plnk\n" }, DATA, ".wh..wh.aufs" },
    { "a directory that is not named",
      { base_layer, "f data/sub/y 644 0:0 =y\n" },
      DATA "d data/sub 700 7:8\nf data/sub/y 644 0:0 =y\n",
      NULL },
    { "named twice", { "f a 644 0:0 =1\nf a 600 1:2 =22\n" }, "f a 600 1:2 =22\n", NULL },
    { "file, then directory",
      { "f a 644 0:0 =1\nd a 700 1:2\nf a/b 644 0:0 =2\n" },
      "d a 700 1:2\nf a/b 644 0:0 =2\n",
      NULL },
    { "directory, then file", { "d a 755 0:0\nf a/b 644 0:0 =2\nf a 644 0:0 =1\n" }, "f a 644 0:0 =1\n", "a/b" },
    { "directory that nobody may write",
      { "d a 555 0:0\nf a/b 444 0:0 =2\n" },
      "d a 555 0:0\nf a/b 444 0:0 =2\n",
      NULL },
    { "symlink on the way", { "d real 755 0:0\nl s 777 0:0 real\nf s/f 644 0:0 =1\n" }, "f real/f 644 0:0 =1\n", NULL },
    { "attributes of the builder's",
      { "f a 644 0:0 @user.copyup.owner=5:5\nf b 644 0:0 @user.overlay.opaque=y\n" },
      "f a 644 0:0\nf b 644 0:0\n",
      NULL },
    { "dot and slashes", { "f ./a//b 644 0:0 =1\n" }, "f a/b 644 0:0 =1\n", NULL },
    { "absolute", { "f /a 644 0:0 =1\n" }, "f a 644 0:0 =1\n", NULL },
    { "symlinks outside stay what they are",
      { "l s 777 0:0 ../../..\nl t 777 0:0 /etc\n" },
      "l s 777 0:0 ../../..\nl t 777 0:0 /etc\n",
      NULL },
    { "through a symlink that goes up", { "l s 777 0:0 ../../../..\nf s/f 644 0:0 =1\n" }, "f f 644 0:0 =1\n", NULL },
    { "through an absolute symlink", { "l s 777 0:0 /d\nf s/f 644 0:0 =1\n" }, "f d/f 644 0:0 =1\n", NULL },
    { "over a symlink", { "l s 777 0:0 /etc/passwd\nf s 644 0:0 =1\n" }, "f s 644 0:0 =1\n", NULL },
    { "hard link to a symlink", { "f f 644 0:0 =1\nl s 777 0:0 f\nh t 777 0:0 s\n" }, "l t 777 0:0 f\n", NULL },
    { "up and away", { "f ../x 644 0:0 =1\n" }, NULL, NULL },
    { "up in the middle", { "d a 755 0:0\nf a/../x 644 0:0 =1\n" }, NULL, NULL },
    { "up at the end", { "d a/.. 755 0:0\n" }, NULL, NULL },
    { "up, a whiteout", { base_layer, "w ../.wh.x\n" }, NULL, NULL },
    { "up, a link", { "l ../x 777 0:0 /\n" }, NULL, NULL },
    { "names with dots only",
      { "f ... 644 0:0 =1\nf ..a 644 0:0 =2\nf a.. 644 0:0 =3\n" },
      "f ... 644 0:0 =1\nf ..a 644 0:0 =2\nf a.. 644 0:0 =3\n",
      NULL },
    { "whiteout of '..'", { base_layer, "w data/.wh...\n" }, NULL, NULL },
    { "whiteout of nothing named", { base_layer, "w data/.wh.\n" }, NULL, NULL },
    { "hard link to a missing file", { "h a 644 0:0 b\n" }, NULL, NULL },
    { "hard link into a missing directory", { "h a 644 0:0 no/such/b\n" }, NULL, NULL },
    { "hard link to a directory", { "d d 755 0:0\nh a 644 0:0 d\n" }, NULL, NULL },
    { "hard link to the root", { "h a 644 0:0 /\n" }, NULL, NULL },
    { "hard link below a file", { "f f 644 0:0 =1\nh a 644 0:0 f/b\n" }, NULL, NULL },
    { "hard link outside, up", { "h a 644 0:0 ../../../outside/file\n" }, NULL, NULL },
    { "hard link outside, through a symlink", { "l s 777 0:0 ../../../outside\nh a 644 0:0 s/file\n" }, NULL, NULL },
    { "below a file", { "f f 644 0:0 =1\nf f/g 644 0:0 =1\n" }, NULL, NULL },
    { "below a symlink loop", { "l s 777 0:0 t\nl t 777 0:0 s\nf s/f 644 0:0 =1\n" }, NULL, NULL },
    { "malformed capabilities", { "f f 644 0:0 =1 @security.capability=x\n" }, NULL, NULL },
};

static struct err *check_refused(struct world *w, const char *text)
{
    AUTO(buf_release) struct buf layer = BUF_INIT;
    struct digest id;
    size_t n = 1;

    TRY(make_layer(text, &layer));
    struct err *e = unpack_bytes(w, &layer, &id);
    if (!e)
        return err_new(ERR_BUG, "it is not refused");
    if (err_kind(e) != ERR_REGISTRY)
        return err_wrap(e, "it is not the registry's fault");
    err_free(e);
    CHECK(!snapshotter_has_layer(w->s, &id));
    TRY(count_names(w->build, &n));
    CHECK(n == 0);
    return NULL;
}

static struct err *run_archive(struct world *w)
{
    const struct archive *a = w->row;
    AUTO(buf_release) struct buf listing = BUF_INIT;
    AUTO(rootfs_free) struct rootfs *r = NULL;
    struct digest ids[COUNT(a->layers)];
    size_t n = 0;

    for (; n < COUNT(a->layers) && a->layers[n]; n++) {
        bool last = n + 1 == COUNT(a->layers) || !a->layers[n + 1];

        if (last && !a->want)
            return check_refused(w, a->layers[n]);
        TRY(unpack_text(w, a->layers[n], &ids[n]));
    }
    TRY(rootfs_new(w->s, ids, n, &r));
    TRY(list_root(w, r, &listing));
    TRY(check_lines(buf_str(&listing), a->want));
    if (a->absent && has_path(buf_str(&listing), a->absent))
        return err_new(ERR_BUG, "'%s' is there:\n%s", a->absent, buf_str(&listing));
    return NULL;
}

/* ---- damage ---- */

static struct err *wrong_diff_id(struct world *w)
{
    AUTO(buf_release) struct buf layer = BUF_INIT;
    AUTO_FREE char *layers = xasprintf("%s/state/layers/test", w->top);
    struct reading in = { &layer, 0 };
    struct digest id = digest_bytes("x", 1);
    size_t n = 1;

    TRY(make_layer(base_layer, &layer));
    struct err *e = snapshotter_unpack(w->s, &id, (struct source){ from_buf, &in });
    bool is_refused = e && err_kind(e) == ERR_REGISTRY;
    err_free(e);
    CHECK(is_refused);
    CHECK(!snapshotter_has_layer(w->s, &id));
    TRY(count_names(layers, &n));
    CHECK(n == 0);
    TRY(count_names(w->build, &n));
    CHECK(n == 0);
    return NULL;
}

static struct err *cut_archive(struct world *w)
{
    AUTO(buf_release) struct buf layer = BUF_INIT;
    struct digest id;

    TRY(make_layer("f a 644 0:0 =some bytes\n", &layer));
    layer.len = 515;
    struct err *e = unpack_bytes(w, &layer, &id);
    bool is_refused = e && err_kind(e) == ERR_REGISTRY;
    err_free(e);
    CHECK(is_refused && !snapshotter_has_layer(w->s, &id));
    return NULL;
}

static struct err *unpacked_twice(struct world *w)
{
    AUTO(buf_release) struct buf listing = BUF_INIT;
    AUTO(rootfs_free) struct rootfs *r = NULL;
    struct digest id;

    TRY(unpack_text(w, base_layer, &id));
    TRY(unpack_text(w, base_layer, &id));
    CHECK(snapshotter_has_layer(w->s, &id));
    TRY(rootfs_new(w->s, &id, 1, &r));
    TRY(list_root(w, r, &listing));
    return check_lines(buf_str(&listing), base_layer);
}

static const struct {
    const char *name;
    scenario_fn fn;
} scenarios[] = {
    { "wrong diff id", wrong_diff_id },
    { "cut archive", cut_archive },
    { "unpacked twice", unpacked_twice },
};

/* ---- the tests ---- */

static void run_all(enum owner_mode owners, size_t *failed)
{
    for (size_t i = 0; i < COUNT(archives); i++)
        run_row(owners, archives[i].name, &archives[i], run_archive, failed);
    for (size_t i = 0; i < COUNT(scenarios); i++)
        run_row(owners, scenarios[i].name, NULL, scenarios[i].fn, failed);
}

int main(void)
{
    return test_rows(run_all);
}
