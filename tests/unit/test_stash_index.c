#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above first */
#include <cmocka.h>

#include "stash/stash_priv.h"

#include <string.h>
#include <sys/stat.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define NOW      1790000000

static void must(const char *name, struct err *e)
{
    AUTO_FREE char *line = e ? err_line(e) : NULL;

    if (e)
        fail_msg("%s: %s", name, line);
}

/* ---- cutting ---- */

static void fill_random(uint8_t *p, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i++) {
        seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
        p[i] = (uint8_t)(seed >> 56);
    }
}

/* Adds the chunks of these bytes; how many of their bytes were new? */
static size_t add_chunks(struct stash_index *x, const uint8_t *p, size_t n)
{
    size_t fresh = 0;

    for (size_t at = 0; at < n;) {
        uint8_t id[STASH_ID_BYTES];
        size_t len = stash_cut(p + at, n - at), before = x->chunks.n;

        assert_true(len > 0 && len <= STASH_CHUNK_MAX_BYTES);
        assert_true(at + len == n || len >= STASH_CHUNK_MIN_BYTES);
        stash_chunk_id(p + at, len, id);
        (void)stash_add_chunk(x, id, (uint32_t)len, 0);
        fresh += x->chunks.n > before ? len : 0;
        at += len;
    }
    return fresh;
}

static void test_cut(void **state)
{
    const size_t n = 24 << 20;
    uint8_t *data = xcalloc(n + 10, 1), *changed = xcalloc(n + 10, 1);
    AUTO(stash_release) struct stash_index x = { 0 };

    (void)state;
    fill_random(data, n, 1);
    assert_int_equal(add_chunks(&x, data, n), n);
    assert_in_range(x.chunks.n, 24 / 4, 24 * 4 + 1);
    memcpy(changed, data, n / 2); /* ten bytes more in the middle */
    memcpy(changed + n / 2 + 10, data + n / 2, n / 2);
    assert_in_range(add_chunks(&x, changed, n + 10), 1, 2 * STASH_CHUNK_MAX_BYTES + 10);
    memset(data, 0, n); /* all the same: at most three kinds of chunks */
    assert_in_range(add_chunks(&x, data, n), 1, 2 * STASH_CHUNK_MAX_BYTES);
    free(data);
    free(changed);
}

/* ---- indexes ---- */

static uint32_t find_path(const struct stash_index *x, const char *name, size_t len)
{
    AUTO(buf_release) struct buf path = BUF_INIT;

    for (uint32_t i = 0; i < x->entries.n; i++) {
        stash_path(x, i, &path);
        if (path.len == len && strncmp(buf_str(&path), name, len) == 0)
            return i;
    }
    fail_msg("'%s' is not there", name);
    return 0;
}

static uint32_t mode_of(char kind)
{
    return kind == 'd' ? S_IFDIR | 0755 : kind == 'l' ? S_IFLNK | 0777 : S_IFREG | 0644;
}

/* "NAME kind value": d; f CONTENT; l TARGET; h FIRST NAME; parents first, brothers sorted. Times are in front:
 * "@SECONDS ". */
static void add_line(struct stash_index *x, const char *line)
{
    struct stash_entry e = { .link = STASH_NONE, .mtime_s = NOW, .used_s = NOW };
    char name[64], kind, value[64] = "";
    uint8_t id[STASH_ID_BYTES];
    int skip = 0;

    if (line[0] == '@')
        (void)sscanf(line, "@%ld %n", &e.mtime_s, &skip);
    e.used_s = e.mtime_s;
    assert_true(sscanf(line + skip, "%63s %c %63s", name, &kind, value) >= 2);
    char *slash = strrchr(name, '/');
    if (slash)
        e.parent = find_path(x, name, (size_t)(slash - name));
    e.name = stash_add_text(x, strcmp(name, ".") == 0 ? "" : slash ? slash + 1 : name);
    e.mode = mode_of(kind);
    if (kind == 'l')
        e.link = stash_add_text(x, value);
    if (kind == 'f' && *value) {
        stash_chunk_id(value, strlen(value), id);
        e.first_ref = (uint32_t)x->refs.n;
        e.n_refs = 1;
        e.size_bytes = strlen(value);
        vec_push(&x->refs, stash_add_chunk(x, id, (uint32_t)strlen(value), 0));
    }
    if (kind == 'h') {
        e.link = find_path(x, value, strlen(value));
        const struct stash_entry *first = &x->entries.items[e.link];
        e.first_ref = first->first_ref;
        e.n_refs = first->n_refs;
        e.size_bytes = first->size_bytes;
    }
    vec_push(&x->entries, e);
}

/* Lines by breadth: all of a directory before what is below. */
static struct stash_index index_of(const char *pack, const char *const *lines)
{
    struct stash_index x = { 0 };
    const struct stash_pack p = { .blob = digest_bytes(pack, strlen(pack)), .diff_id = digest_bytes("d", 1) };

    (void)stash_add_pack(&x, &p);
    add_line(&x, ". d");
    for (; *lines; lines++)
        add_line(&x, *lines);
    return x;
}

static char *show(const struct stash_index *x)
{
    AUTO(buf_release) struct buf out = BUF_INIT, path = BUF_INIT;

    for (uint32_t i = 1; i < x->entries.n; i++) {
        const struct stash_entry *e = &x->entries.items[i];

        stash_path(x, i, &path);
        buf_printf(&out, "%s%s%s", out.len ? " " : "", buf_str(&path), S_ISDIR(e->mode) ? "/" : "");
        if (S_ISREG(e->mode) && !stash_has_data(e))
            buf_printf(&out, "~%s", stash_text(x, x->entries.items[e->link].name));
        if (stash_has_data(e))
            buf_printf(&out, "=%llu", (unsigned long long)e->size_bytes);
        if (S_ISLNK(e->mode))
            buf_printf(&out, ">%s", stash_text(x, e->link));
    }
    return buf_steal(&out);
}

static struct err *to_buf(void *ctx, const void *p, size_t n)
{
    buf_add(ctx, p, n);
    return NULL;
}

struct text {
    const char *p;
    size_t n;
};

static struct err *from_text(void *ctx, void *p, size_t n, size_t *ret_len)
{
    struct text *t = ctx;
    size_t take = n < t->n ? n : t->n;

    take = take > 7 ? 7 : take; /* in small pieces */
    memcpy(p, t->p, take);
    t->p += take;
    t->n -= take;
    *ret_len = take;
    return NULL;
}

static struct err *reread(const struct stash_index *x, struct stash_index *ret)
{
    AUTO(buf_release) struct buf out = BUF_INIT;
    const struct sink sink = { to_buf, &out };

    must("write", stash_write(x, &sink));
    assert_int_equal(out.len, stash_size(x));
    struct text t = { out.data, out.len };
    const struct source in = { from_text, &t };
    return stash_read(&in, ret);
}

static const char *const some[] = { "a d", "b f hello", "l l b", "a/x f one", "a/y d", "a/y/z f", NULL };

static void test_write_and_read(void **state)
{
    AUTO(stash_release) struct stash_index x = index_of("p", some), got = { 0 };

    (void)state;
    must("read", reread(&x, &got));
    AUTO_FREE char *text = show(&got);
    assert_string_equal(text, "a/ b=5 l>b a/x=3 a/y/ a/y/z=0");
    assert_true(stash_same(&x, &got));
    assert_int_equal(stash_find(&got, 0, "b"), 2);
    assert_int_equal(stash_find(&got, 1, "y"), 5);
    assert_int_equal(stash_find(&got, 1, "b"), STASH_NONE);
    got.entries.items[2].mode = S_IFREG | 0600;
    assert_false(stash_same(&x, &got));
}

static void set_parent_after(struct stash_index *x)
{
    x->entries.items[4].parent = 5;
}
static void set_parent_file(struct stash_index *x)
{
    x->entries.items[4].parent = 2;
}
static void set_name(struct stash_index *x, uint32_t i, const char *name)
{
    x->entries.items[i].name = stash_add_text(x, name);
}
static void name_dots(struct stash_index *x)
{
    set_name(x, 2, "..");
}
static void name_path(struct stash_index *x)
{
    set_name(x, 4, "x/y");
}
static void name_twice(struct stash_index *x)
{
    set_name(x, 2, "a");
}
static void name_nothing(struct stash_index *x)
{
    set_name(x, 1, "");
}
static void name_outside(struct stash_index *x)
{
    x->entries.items[1].name = 100000;
}
static void target_outside(struct stash_index *x)
{
    x->entries.items[3].link = 100000;
}
static void link_to_dir(struct stash_index *x)
{
    x->entries.items[4].link = 1;
}
static void link_to_later(struct stash_index *x)
{
    x->entries.items[2].link = 4;
}
static void no_chunk(struct stash_index *x)
{
    x->refs.items[0] = 7;
}
static void no_refs(struct stash_index *x)
{
    x->entries.items[2].first_ref = 7;
}
static void many_refs(struct stash_index *x)
{
    x->entries.items[2].n_refs = UINT32_MAX;
}
/* Many files with the same references would be more than can be counted. */
static void refs_of_another(struct stash_index *x)
{
    x->entries.items[4].first_ref = x->entries.items[2].first_ref;
    x->entries.items[4].size_bytes = x->entries.items[2].size_bytes;
}
static void link_with_other_chunks(struct stash_index *x)
{
    x->entries.items[4].link = 2;
    x->entries.items[4].size_bytes = x->entries.items[2].size_bytes;
}
static void other_size(struct stash_index *x)
{
    x->entries.items[2].size_bytes = 6;
}
static void no_pack(struct stash_index *x)
{
    x->chunks.items[0].pack = 1;
}
static void long_chunk(struct stash_index *x)
{
    x->chunks.items[0].len = STASH_CHUNK_MAX_BYTES + 1;
    x->entries.items[2].size_bytes = STASH_CHUNK_MAX_BYTES + 1;
}
static void large_pack(struct stash_index *x)
{
    x->packs.items[0].size_bytes = LIMIT_STASH_PACK_BYTES + 1;
}
static void used_before_time(struct stash_index *x)
{
    x->entries.items[1].used_s = INT64_MIN;
}
static void no_digest(struct stash_index *x)
{
    x->packs.items[0].blob.text[9] = 'X';
}
static void a_device(struct stash_index *x)
{
    x->entries.items[6].mode = S_IFBLK | 0600;
}
static void root_file(struct stash_index *x)
{
    x->entries.items[0].mode = S_IFREG | 0600;
}
static void odd_time(struct stash_index *x)
{
    x->entries.items[1].mtime_ns = 1000000000;
}
static void open_names(struct stash_index *x)
{
    x->names.data[x->names.len - 1] = 'x';
}

static const struct {
    const char *name;
    void (*spoil)(struct stash_index *x);
} spoilt[] = {
    { "parent after its child", set_parent_after },
    { "parent is a file", set_parent_file },
    { "name ..", name_dots },
    { "name with a slash", name_path },
    { "name twice", name_twice },
    { "name empty", name_nothing },
    { "name outside", name_outside },
    { "target outside", target_outside },
    { "link to a directory", link_to_dir },
    { "link to a later one", link_to_later },
    { "chunk that is not there", no_chunk },
    { "refs that are not there", no_refs },
    { "too many refs", many_refs },
    { "refs of another file", refs_of_another },
    { "link with other chunks", link_with_other_chunks },
    { "another size", other_size },
    { "pack that is not there", no_pack },
    { "chunk longer than any", long_chunk },
    { "pack larger than any", large_pack },
    { "used before time", used_before_time },
    { "wrong digest", no_digest },
    { "device", a_device },
    { "root is a file", root_file },
    { "time", odd_time },
    { "names without an end", open_names },
};

static void test_spoilt(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(spoilt); i++) {
        AUTO(stash_release) struct stash_index x = index_of("p", some), got = { 0 };

        spoilt[i].spoil(&x);
        struct err *e = reread(&x, &got);
        if (!e)
            fail_msg("%s: it is accepted", spoilt[i].name);
        assert_int_equal(err_kind(e), ERR_REGISTRY);
        err_free(e);
    }
}

static void test_cut_short(void **state)
{
    AUTO(stash_release) struct stash_index x = index_of("p", some);
    AUTO(buf_release) struct buf out = BUF_INIT;
    const struct sink sink = { to_buf, &out };

    (void)state;
    must("write", stash_write(&x, &sink));
    for (size_t n = 0; n < out.len; n++) {
        AUTO(stash_release) struct stash_index got = { 0 };
        struct text t = { out.data, n };
        const struct source in = { from_text, &t };
        struct err *e = stash_read(&in, &got);

        if (!e)
            fail_msg("%zu of %zu bytes are accepted", n, out.len);
        err_free(e);
    }
}

static const struct {
    const char *name;
    const char *ours[8], *theirs[8], *want;
} merges[] = {
    { "both the same", { "a f one" }, { "a f one" }, "a=3" },
    { "new ones of both", { "a f one" }, { "b f three" }, "a=3 b=5" },
    { "the later one stays: ours", { "@20 a f one" }, { "@10 a f three" }, "a=3" },
    { "the later one stays: theirs", { "@10 a f one" }, { "@20 a f three" }, "a=5" },
    { "in directories", { "d d", "d/a f one" }, { "d d", "d/b f three" }, "d/ d/a=3 d/b=5" },
    { "directory of theirs", { "a f one" }, { "d d", "d/e d", "d/e/b f three" }, "a=3 d/ d/e/ d/e/b=5" },
    { "a file here, a later directory there", { "@10 d f one" }, { "@20 d d", "d/b f x" }, "d/ d/b=1" },
    { "a directory here, a later file there", { "@10 d d", "d/b f x" }, { "@20 d f one" }, "d=3" },
    { "a later directory here", { "@20 d d", "d/b f x" }, { "@10 d f one" }, "d/ d/b=1" },
    { "symlinks", { "l l one" }, { "m l two" }, "l>one m>two" },
    { "a link whose first name is ours now", { "@9 a f one" }, { "@8 a f three", "b h a", "c h a" }, "a=3 b=5 c~b" },
    { "nothing here", { NULL }, { "a f one" }, "a=3" },
};

static void test_merge(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(merges); i++) {
        AUTO(stash_release) struct stash_index a = index_of("a", merges[i].ours), b = index_of("b", merges[i].theirs);
        AUTO(stash_release) struct stash_index both = { 0 }, got = { 0 };

        stash_merge(&a, &b, &both);
        must(merges[i].name, reread(&both, &got));
        AUTO_FREE char *text = show(&got);
        if (strcmp(text, merges[i].want) != 0)
            fail_msg("%s: '%s', not '%s'", merges[i].name, text, merges[i].want);
        assert_int_equal(got.packs.n, 2);
    }
}

static const struct {
    const char *name;
    const char *lines[10];
    uint64_t max;
    const char *want;
} trims[] = {
    { "it fits", { "a f one", "b f two" }, 6, "a=3 b=3" },
    { "the oldest goes", { "@20 a f one", "@10 b f two" }, 5, "a=3" },
    { "two go", { "@20 a f one", "@10 b f two", "@30 c f four" }, 4, "c=4" },
    { "a directory goes whole", { "@10 a d", "@30 b f x", "@10 a/1 f one", "@20 a/2 f two" }, 6, "b=1" },
    { "used by its latest file", { "@10 a d", "@30 b f x", "@10 a/1 f one", "@40 a/2 f two" }, 6, "a/ a/1=3 a/2=3" },
    { "below what stands alone",
      { "@9 a d", "@9 a/b d", "@10 a/b/c d", "@30 a/b/d d", "@10 a/b/c/1 f one", "@30 a/b/d/2 f two" },
      5,
      "a/ a/b/ a/b/d/ a/b/d/2=3" },
    { "a link whose first name goes",
      { "@10 a d", "@30 b d", "@10 a/1 f one", "@10 a/2 f four", "@30 b/3 h a/1", "@30 b/4 h a/1" },
      3,
      "b/ b/3=3 b/4~3" },
    { "nothing fits", { "a f one", "b f two" }, 2, "" },
    { "one file that does not fit", { "a f one" }, 2, "" },
};

static void test_trim(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(trims); i++) {
        AUTO(stash_release) struct stash_index x = index_of("a", trims[i].lines), got = { 0 };
        struct stash_stats stats = { 0 };
        uint64_t before = stash_bytes(&x);

        stash_trim(&x, trims[i].max, &stats);
        must(trims[i].name, reread(&x, &got));
        AUTO_FREE char *text = show(&got);
        if (strcmp(text, trims[i].want) != 0)
            fail_msg("%s: '%s', not '%s'", trims[i].name, text, trims[i].want);
        assert_int_equal(stats.dropped, before - stash_bytes(&got));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cut),       cmocka_unit_test(test_write_and_read), cmocka_unit_test(test_spoilt),
        cmocka_unit_test(test_cut_short), cmocka_unit_test(test_merge),          cmocka_unit_test(test_trim),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
