/* Steps in each of the comparison modes, each written twice. */
#include "../fixtures/snapshot_steps.h"

struct change {
    const char *name, *ops;
    const char *full; /* the layer in FULL and REDO */
    const char *time; /* the layer in TIME; NULL: the same */
    uint64_t dropped; /* in FULL */
};

static const struct change changes[] = {
    { "an empty step", "", "", NULL, 0 },
    { "copied up only", "op data/a; op bin/su; op etc/conf", "", NULL, 3 },
    { "a device copied up only", "op dev/null", "", NULL, 1 },
    { "chmod", "cm data/a 640", DATA "f data/a 640 7:8 =aaaa\n", "", 0 },
    { "chmod of a setuid file of two names", "cm bin/su 755", "d bin 755 0:0\nf bin/su 755 0:0 =su\n", "", 0 },
    { "chmod of a directory", "cm data/sub 755", DATA "d data/sub 755 7:8\n", "", 0 },
    { "chmod of a device", "cm dev/null 600", "d dev 755 0:0\nc dev/null 600 0:5 1:3\n", "", 0 },
    { "chmod of a fifo", "cm dev/pipe 644", "d dev 755 0:0\np dev/pipe 644 3:3\n", "", 0 },
    { "same size, time put back", "re data/a AAAA", DATA "f data/a 644 7:8 =AAAA\n", "", 0 },
    { "same bytes, time put back", "re data/a aaaa", "", NULL, 1 },
    { "touch", "to data/b", DATA "f data/b 600 7:8 =bbbb\n", NULL, 0 },
    { "touch of a symlink", "to data/link", DATA "l data/link 777 7:8 a\n", NULL, 0 },
    { "touch of a directory", "to data", "", NULL, 0 },
    { "chown", "co data/a 9:10", DATA "f data/a 644 9:10 =aaaa\n", "", 0 },
    { "chown of a directory", "co data/sub 9:10", DATA "d data/sub 700 9:10\n", "", 0 },
    { "new file", "wr new text", "f new 644 0:0 =text\n", NULL, 0 },
    { "new setuid file", "wr new text;cm new 6711", "f new 6711 0:0 =text\n", NULL, 0 },
    { "new directory", "md new;md new/sub", "d new 755 0:0\nd new/sub 755 0:0\n", NULL, 0 },
    { "new directory in an old one", "md data/new", DATA "d data/new 755 0:0\n", NULL, 0 },
    { "new symlink, new fifo", "ls ../x l;mf p", "l l 777 0:0 ../x\np p 644 0:0\n", NULL, 0 },
    { "overwritten", "wr data/a longer", DATA "f data/a 644 7:8 =longer\n", NULL, 0 },
    { "deleted", "rm data/b", DATA "w data/.wh.b\n", NULL, 0 },
    { "deleted directory", "rm data/sub", DATA "w data/.wh.sub\n", NULL, 0 },
    { "deleted symlink and fifo", "rm data/link;rm dev/pipe", DATA "w data/.wh.link\nd dev 755 0:0\nw dev/.wh.pipe\n",
      NULL, 0 },
    { "deleted at the top", "rm data;rm bin", "w .wh.bin\nw .wh.data\n", NULL, 0 },
    { "made and deleted", "wr data/t text;rm data/t;md t;rm t", "", NULL, 0 },
    { "removed and made again", "rm data/sub;md data/sub", DATA "d data/sub 755 0:0\nw data/sub/.wh..wh..opq\n", NULL,
      0 },
    { "removed, made again and filled", "rm data/sub;md data/sub;wr data/sub/x new",
      DATA "d data/sub 755 0:0\nw data/sub/.wh..wh..opq\nf data/sub/x 644 0:0 =new\n", NULL, 0 },
    { "file becomes directory", "rm data/a;md data/a;wr data/a/f t", DATA "d data/a 755 0:0\nf data/a/f 644 0:0 =t\n",
      NULL, 0 },
    { "directory becomes file", "rm data/sub;wr data/sub t", DATA "f data/sub 644 0:0 =t\n", NULL, 0 },
    { "file becomes symlink", "rm data/a;ls b data/a", DATA "l data/a 777 0:0 b\n", NULL, 0 },
    { "symlink points elsewhere", "rm data/link;ls b data/link", DATA "l data/link 777 0:0 b\n", NULL, 0 },
    { "renamed", "mv data/b data/c", DATA "w data/.wh.b\nf data/c 600 7:8 =bbbb\n", NULL, 0 },
    { "renamed over another", "mv data/b data/a", DATA "w data/.wh.b\nf data/a 600 7:8 =bbbb\n", DATA "w data/.wh.b\n",
      0 },
    { "hard link to an old file", "ln data/a data/a2", DATA "f data/a 644 7:8 =aaaa\nh data/a2 644 7:8 data/a\n",
      DATA "f data/a2 644 7:8 =aaaa\n", 0 },
    { "hard links among new files", "wr n1 t;ln n1 n0;ln n1 data/n2",
      DATA "f data/n2 644 0:0 =t\nh n0 644 0:0 data/n2\nh n1 644 0:0 data/n2\n", NULL, 0 },
    { "whiteouts come first", "wr data/0 t;rm data/b;wr data/z t",
      DATA "w data/.wh.b\nf data/0 644 0:0 =t\nf data/z 644 0:0 =t\n", NULL, 0 },
};

/* The layer says what the root file system became: laid on the same base it gives the same. */
static struct err *check_applied(struct world *w, const struct digest *base, const struct buf *layer, struct rootfs *r)
{
    AUTO(buf_release) struct buf got = BUF_INIT, want = BUF_INIT;
    AUTO(rootfs_free) struct rootfs *again = NULL;
    struct digest ids[2] = { *base };

    TRY(unpack_bytes(w, layer, &ids[1]));
    TRY(rootfs_new(w->s, ids, 2, &again));
    TRY(list_root(w, again, &got));
    TRY(list_root(w, r, &want));
    return same_text("the layer, applied again", buf_str(&got), buf_str(&want));
}

static struct err *check_change(struct world *w, const struct digest *base, enum snapshot_mode mode)
{
    static const char *const names[] = { "FULL", "REDO", "TIME" };
    const struct change *c = w->row;
    const char *want = mode == SNAPSHOT_TIME && c->time ? c->time : c->full;
    AUTO(buf_release) struct buf one = BUF_INIT, two = BUF_INIT, text = BUF_INIT, none = BUF_INIT;
    AUTO(rootfs_free) struct rootfs *r = NULL;
    AUTO(rootfs_free) struct rootfs *twin = NULL;
    struct commit_stats stats = { 0 }, again = { 0 };

    TRY(rootfs_new(w->s, base, 1, &r));
    TRY(rootfs_fork(r, &twin));
    TRY(step(w, r, c->ops, mode, &one, &stats));
    TRY(layer_text(&one, &text));
    TRY(same_text(names[mode], buf_str(&text), want));
    if (mode != SNAPSHOT_TIME)
        CHECK(stats.dropped == c->dropped);
    TRY(step(w, twin, c->ops, mode, &two, &again));
    CHECK(one.len == two.len && memcmp(one.data, two.data, one.len) == 0);
    CHECK(stats.entries == again.entries && (stats.entries == 0) == (*want == '\0'));
    if (mode != SNAPSHOT_TIME)
        TRY(check_applied(w, base, &one, r));
    TRY(step(w, r, "", mode, &none, &stats));
    CHECK(stats.entries == 0 && none.len == 1024);
    return NULL;
}

static struct err *run_change(struct world *w)
{
    struct digest base;

    TRY(unpack_text(w, base_layer, &base));
    for (enum snapshot_mode mode = SNAPSHOT_FULL; mode <= SNAPSHOT_TIME; mode++)
        TRY(check_change(w, &base, mode));
    return NULL;
}

/* ---- the tests ---- */

static void run_all(enum owner_mode owners, size_t *failed)
{
    for (size_t i = 0; i < COUNT(changes); i++)
        run_row(owners, changes[i].name, &changes[i], run_change, failed);
}

int main(void)
{
    return test_rows(run_all);
}
