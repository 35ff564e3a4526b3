/* What steps do beside changing files: new files' owners, forks, ends without a layer, many of them. */
#include "../fixtures/snapshot_steps.h"

static struct err *ignored_paths(struct world *w)
{
    AUTO(buf_release) struct buf out = BUF_INIT, text = BUF_INIT;
    AUTO(strs_release) struct strs ignore = { 0 };
    struct commit_opts opts = { .mode = SNAPSHOT_FULL, .clamp_mtime_s = CLAMP_TIME, .ignore = &ignore };
    AUTO(rootfs_free) struct rootfs *r = NULL;
    struct commit_stats stats;
    struct digest base;
    const char *path = NULL;
    int root = -1;

    strs_add(&ignore, "data/sub");
    strs_add(&ignore, "run");
    strs_add(&ignore, "etc/conf");
    TRY(unpack_text(w, base_layer, &base));
    TRY(rootfs_new(w->s, &base, 1, &r));
    TRY(rootfs_begin(r, &root, &path));
    TRY(do_ops(w, root, "md run;wr run/secret t;wr data/sub/x t;wr data/subway t;rm etc/conf;wr etc/confess t"));
    TRY(rootfs_commit(r, &opts, (struct sink){ to_buf, &out }, &stats));
    TRY(layer_text(&out, &text));
    return same_text("ignored", buf_str(&text),
                     DATA "f data/subway 644 0:0 =t\nd etc 755 0:0\nf etc/confess 644 0:0 =t\n");
}

/* Who owns what a step made: what has no record is root's. */
static struct err *new_files(struct world *w)
{
    const bool recorded = w->owners == OWNER_RECORDED;
    AUTO(buf_release) struct buf out = BUF_INIT, text = BUF_INIT;
    const struct commit_opts opts = { .mode = SNAPSHOT_FULL, .clamp_mtime_s = CLAMP_TIME };
    const struct owner noted = { 21, 22, 0, 0 };
    AUTO(rootfs_free) struct rootfs *r = NULL;
    struct commit_stats stats;
    struct owner o = { 0 };
    struct digest base;
    const char *path = NULL;
    int root = -1;

    TRY(unpack_text(w, base_layer, &base));
    TRY(rootfs_new(w->s, &base, 1, &r));
    TRY(rootfs_begin(r, &root, &path));
    TRY(do_ops(w, root, "wr f t;ls f l;ls f m;cm etc/conf 600;rm data/b;wr data/b bbbb"));
    rootfs_note_owner(r, "m", &noted);
    if (!recorded)
        CHECK(fchownat(root, "m", 21, 22, AT_SYMLINK_NOFOLLOW) == 0);
    TRY(rootfs_commit(r, &opts, (struct sink){ to_buf, &out }, &stats));
    TRY(layer_text(&out, &text));
    TRY(same_text("new files", buf_str(&text),
                  DATA "f data/b 644 0:0 =bbbb\nd etc 755 0:0\nf etc/conf 600 0:0 =conf\n"
                       "f f 644 0:0 =t\nl l 777 0:0 f\nl m 777 21:22 f\n"));
    CHECK(!recorded || (rootfs_find_owner(r, "m", &o) && o.uid == 21 && o.gid == 22));
    CHECK(!rootfs_find_owner(r, "no/such", &o));
    return NULL;
}

static struct err *check_content(struct rootfs *r, const char *path, const char *want)
{
    AUTO(buf_release) struct buf content = BUF_INIT;
    AUTO_CLOSE int fd = -1;
    int root = -1;

    TRY(rootfs_view(r, &root));
    TRY(path_open_if_exists(root, path, O_RDONLY, &fd));
    if (!want)
        return fd < 0 ? NULL : err_new(ERR_BUG, "'%s' is there", path);
    if (fd < 0)
        return err_new(ERR_BUG, "'%s' is not there", path);
    TRY(file_read_fd(fd, path, 1000, &content));
    return same_text(path, buf_str(&content), want);
}

static struct err *forked(struct world *w)
{
    AUTO(buf_release) struct buf out = BUF_INIT;
    AUTO(rootfs_free) struct rootfs *r = NULL;
    AUTO(rootfs_free) struct rootfs *twin = NULL;
    struct commit_stats stats;

    TRY(rootfs_new(w->s, NULL, 0, &r));
    TRY(step(w, r, "wr a 1;wr b 1", SNAPSHOT_FULL, &out, &stats));
    TRY(rootfs_fork(r, &twin));
    TRY(step(w, twin, "wr a 2;rm b", SNAPSHOT_FULL, &out, &stats));
    TRY(step(w, r, "wr c 3", SNAPSHOT_FULL, &out, &stats));
    TRY(check_content(r, "a", "1"));
    TRY(check_content(r, "b", "1"));
    TRY(check_content(twin, "a", "2"));
    TRY(check_content(twin, "b", NULL));
    TRY(check_content(twin, "c", NULL));
    rootfs_free(steal(&r)); /* the twin keeps what they share */
    return check_content(twin, "a", "2");
}

static struct err *aborted(struct world *w)
{
    AUTO(buf_release) struct buf out = BUF_INIT, text = BUF_INIT;
    AUTO(rootfs_free) struct rootfs *r = NULL;
    struct commit_stats stats;
    struct digest base;
    const char *path = NULL;
    int root = -1;

    TRY(unpack_text(w, base_layer, &base));
    TRY(rootfs_new(w->s, &base, 1, &r));
    TRY(rootfs_begin(r, &root, &path));
    TRY(do_ops(w, root, "wr lost t;rm data"));
    rootfs_abort(r);
    TRY(check_content(r, "lost", NULL));
    TRY(check_content(r, "data/a", "aaaa"));
    TRY(step(w, r, "wr kept t", SNAPSHOT_FULL, &out, &stats));
    TRY(layer_text(&out, &text));
    return same_text("after an abort", buf_str(&text), "f kept 644 0:0 =t\n");
}

static struct err *refuse(void *ctx, const void *p, size_t n)
{
    (void)ctx;
    (void)p;
    (void)n;
    return err_new(ERR_DISK, "no room");
}

static struct err *failed_commit(struct world *w)
{
    const struct commit_opts opts = { .clamp_mtime_s = CLAMP_TIME };
    AUTO(buf_release) struct buf out = BUF_INIT;
    AUTO(rootfs_free) struct rootfs *r = NULL;
    struct commit_stats stats;
    const char *path = NULL;
    int root = -1;

    TRY(rootfs_new(w->s, NULL, 0, &r));
    TRY(rootfs_begin(r, &root, &path));
    TRY(do_ops(w, root, "wr lost t"));
    struct err *e = rootfs_commit(r, &opts, (struct sink){ refuse, NULL }, &stats);
    bool is_disk = e && err_kind(e) == ERR_DISK;
    err_free(e);
    CHECK(is_disk);
    TRY(check_content(r, "lost", NULL));
    TRY(step(w, r, "wr kept t", SNAPSHOT_FULL, &out, &stats));
    return check_content(r, "kept", "t");
}

#define MANY_LAYERS 130

static struct err *many_layers(struct world *w)
{
    AUTO(buf_release) struct buf out = BUF_INIT, text = BUF_INIT, listing = BUF_INIT;
    AUTO(rootfs_free) struct rootfs *r = NULL;
    struct digest ids[MANY_LAYERS];
    struct commit_stats stats;

    for (int i = 0; i < MANY_LAYERS; i++) {
        AUTO_FREE char *layer =
            xasprintf("d d 7%d0 %d:1\nf d/f%d 644 %d:3 =%d\nl d/l%d 777 %d:4 x\nf same 644 0:0 =%d\n"
                      "f d/gone 644 0:0\n",
                      i % 8, i, i, i, i, i, i, i);
        AUTO_FREE char *second = xasprintf("w d/.wh.f%d\nw d/.wh.gone\nf d/f1 600 0:0 =again\n", i - 1);

        TRY(unpack_text(w, i % 10 == 9 ? second : layer, &ids[i]));
    }
    TRY(rootfs_new(w->s, ids, MANY_LAYERS, &r));
    TRY(list_root(w, r, &listing));
    TRY(check_lines(buf_str(&listing),
                    "d d 700 128:1\nf same 644 0:0 =128\nf d/f127 644 127:3 =127\nf d/f0 644 0:3 =0\n"
                    "l d/l3 777 3:4 x\nf d/f1 600 0:0 =again\nl d/l128 777 128:4 x\n"));
    CHECK(!has_path(buf_str(&listing), "d/f8") && !has_path(buf_str(&listing), "d/f128"));
    CHECK(!has_path(buf_str(&listing), "d/gone"));
    TRY(step(w, r, "op d/f0;op same;rm d/f127;cm d/f2 600", SNAPSHOT_FULL, &out, &stats));
    TRY(layer_text(&out, &text));
    return same_text("above many layers", buf_str(&text), "d d 700 128:1\nw d/.wh.f127\nf d/f2 600 2:3 =2\n");
}

static struct err *many_steps(struct world *w)
{
    AUTO(rootfs_free) struct rootfs *r = NULL;

    TRY(rootfs_new(w->s, NULL, 0, &r));
    for (int i = 0; i < 60; i++) {
        AUTO(buf_release) struct buf out = BUF_INIT;
        AUTO_FREE char *ops = xasprintf("wr f%d %d;wr same %d%s", i, i, i, i == 30 ? ";rm f3" : "");
        struct commit_stats stats;

        TRY(step(w, r, ops, SNAPSHOT_FULL, &out, &stats));
    }
    TRY(check_content(r, "same", "59"));
    TRY(check_content(r, "f0", "0"));
    return check_content(r, "f3", NULL);
}

/* Directories of BUILD_DIR that hold files of layers: those of steps, of merged layers, of what layers did not name. */
static struct err *count_made(const struct world *w, size_t *ret)
{
    static const char *const made[] = { "step.", "merged.", "fix." };
    DIR *d = opendir(w->build);

    CHECK(d);
    *ret = 0;
    for (struct dirent *i = readdir(d); i; i = readdir(d))
        for (size_t k = 0; k < COUNT(made); k++)
            *ret += strncmp(i->d_name, made[k], strlen(made[k])) == 0;
    closedir(d);
    return NULL;
}

/* What was made for a root file system goes with it, or with the last fork that needs it. */
static struct err *nothing_stays(struct world *w)
{
    AUTO(rootfs_free) struct rootfs *r = NULL;
    AUTO(rootfs_free) struct rootfs *twin = NULL;
    struct digest ids[2];
    size_t n = 0;

    TRY(unpack_text(w, base_layer, &ids[0]));
    TRY(unpack_text(w, "f data/sub/y 644 0:0 =y\n", &ids[1]));
    TRY(rootfs_new(w->s, ids, 2, &r));
    for (int i = 0; i < 60; i++) {
        AUTO(buf_release) struct buf out = BUF_INIT;
        AUTO_FREE char *ops = xasprintf("wr f%d %d", i, i);
        struct commit_stats stats;

        TRY(step(w, r, ops, SNAPSHOT_FULL, &out, &stats));
    }
    TRY(rootfs_fork(r, &twin));
    rootfs_free(steal(&r));
    TRY(check_content(twin, "f0", "0"));
    TRY(check_content(twin, "data/sub/y", "y"));
    TRY(count_made(w, &n));
    CHECK(n > 0);
    rootfs_free(steal(&twin));
    TRY(count_made(w, &n));
    CHECK(n == 0);
    return NULL;
}

static const struct {
    const char *name;
    scenario_fn fn;
} scenarios[] = {
    { "ignored paths", ignored_paths },
    { "owners of new files", new_files },
    { "fork", forked },
    { "abort", aborted },
    { "failed commit", failed_commit },
    { "130 layers", many_layers },
    { "60 steps", many_steps },
    { "nothing stays", nothing_stays },
};

/* ---- the tests ---- */

static void run_all(enum owner_mode owners, size_t *failed)
{
    for (size_t i = 0; i < COUNT(scenarios); i++)
        run_row(owners, scenarios[i].name, NULL, scenarios[i].fn, failed);
}

int main(void)
{
    return test_rows(run_all);
}
