#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above first */
#include <cmocka.h>

#include "../fixtures/fixture.h"
#include "build/build.h"
#include "build/mount_stash.h"
#include "stash/stash_priv.h"
#include "sys/file.h"
#include "sys/path.h"
#include "tar/tar.h"

#include <fcntl.h>
#include <sys/stat.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define NOW      1790000000
#define DAY      86400
#define MANY     (1ULL << 40)

static struct fixture fix;

static void must(const char *name, struct err *e)
{
    AUTO_FREE char *line = e ? err_line(e) : NULL;

    if (e)
        fail_msg("%s: %s", name, line);
}

struct place {
    struct http *http;
    struct auth *auth;
    struct registry *registry;
    struct ref repo;
    char *domain;
    char home[64];
    struct stash_opts o;
};

static const struct platform platform = { .os = "linux", .arch = "amd64" };

static struct err *one_by_one(int threads, size_t n, struct err *(*work)(void *ctx, size_t i), void *ctx)
{
    (void)threads;
    for (size_t i = 0; i < n; i++)
        TRY(work(ctx, i));
    return NULL;
}

static void open_place(struct place *p)
{
    struct registry_opts o = { 0 };

    free(fixture_control(&fix, "POST", "/_reset", "", 0));
    fixture_set(&fix, "{}");
    *p = (struct place){ .domain = xasprintf("127.0.0.1:%d", fix.port), .home = "/tmp/copyup-stash-XXXXXX" };
    assert_non_null(mkdtemp(p->home));
    must("http", http_new(&(struct http_opts){ .retries = 1, .retry_delay_ms = 10 }, &p->http));
    p->auth = auth_new();
    o.http = p->http;
    o.auth = p->auth;
    strs_add(&o.insecure, p->domain);
    must("registry", registry_new(&o, &p->registry));
    strs_release(&o.insecure);
    p->repo = (struct ref){ .domain = p->domain, .path = (char *)"cache" };
    p->o = (struct stash_opts){ .registry = p->registry,
                                .repo = &p->repo,
                                .platform = &platform,
                                .scratch_dir = p->home,
                                .owners = OWNER_REAL,
                                .max_bytes = MANY,
                                .threads = 1,
                                .transfers = 1,
                                .in_parallel = one_by_one,
                                .now_s = NOW };
}

static void close_place(struct place *p)
{
    err_free(file_remove_tree(AT_FDCWD, p->home));
    registry_free(p->registry);
    auth_free(p->auth);
    http_free(p->http);
    free(p->domain);
}

static void sh(const struct place *p, const char *script)
{
    AUTO_FREE char *command = xasprintf("cd %s && umask 022 && %s", p->home, script);

    if (system(command) != 0) // NOLINT(cert-env33-c,concurrency-mt-unsafe): a test
        fail_msg("'%s' failed", command);
}

/* Names, metadata but ctimes, and contents of both directories are the same. */
static void expect_same(const struct place *p, const char *a, const char *b)
{
    AUTO_FREE char *script = xasprintf("for d in %s %s; do (cd $d && find . -printf '%%p %%y %%m %%U %%G %%T@ %%l "
                                       "%%n\\n' | sort && find . -type f | sort |"
                                       " xargs -r sha256sum) >$d.list || exit 1; done; diff %s.list %s.list",
                                       a, b, a, b);

    sh(p, script);
}

static struct err *save(struct place *p, const char *dir, struct stash_stats *ret)
{
    AUTO_FREE char *path = xasprintf("%s/%s", p->home, dir), *record = xasprintf("%s/%s.record", p->home, dir);
    const struct stash_place place = { "tag", path, record };

    return stash_save(&p->o, &place, ret);
}

static struct err *restore(struct place *p, const char *dir, struct stash_stats *ret)
{
    AUTO_FREE char *path = xasprintf("%s/%s", p->home, dir), *record = xasprintf("%s/%s.record", p->home, dir);
    const struct stash_place place = { "tag", path, record };

    assert_int_equal(mkdir(path, 0755), 0);
    return stash_restore(&p->o, &place, ret);
}

static const char *const tree =
    "mkdir a && cd a && mkdir -m 1777 d && mkdir d/e && echo hello >d/e/f && ln d/e/f g && ln -s d/e/f l && : >empty &&"
    " chmod 4755 d/e/f && head -c 9000000 /dev/urandom >big && cp big big2 && ln big big3 && ln big d/big4 && for i in "
    "$(seq 300); do echo $i >n$i; "
    "done &&"
    " touch -d @1234567890.123456789 empty d/e && chmod 0555 d/e && ln -s nowhere x";

static void test_round_trip(void **state)
{
    struct place p;
    struct stash_stats s;

    (void)state;
    open_place(&p);
    sh(&p, tree);
    must("save", save(&p, "a", &s));
    assert_true(s.found);
    assert_in_range(s.moved, 9000000, 9200000); /* the same content travels once */
    must("restore", restore(&p, "b", &s));
    assert_true(s.found);
    assert_in_range(s.moved, 9000000, 9200000);
    expect_same(&p, "a", "b");
    close_place(&p);
}

static void test_difference(void **state)
{
    struct place p;
    struct stash_stats s;

    (void)state;
    open_place(&p);
    sh(&p, tree);
    must("save", save(&p, "a", &s));
    must("restore", restore(&p, "b", &s));
    fixture_set(&fix, "{}");
    must("save", save(&p, "b", &s));
    assert_false(s.found); /* nothing changed: nothing is written */
    assert_int_equal(s.moved, 0);
    assert_int_equal(fixture_count(&fix, "GET"), 2); /* the document and its index */
    assert_int_equal(fixture_count(&fix, "P"), 0);
    sh(&p, "cd b && echo new >new && rm n7 && touch n8 && printf inserted | dd of=big bs=1 seek=4000000 conv=notrunc "
           "2>/dev/null");
    must("save", save(&p, "b", &s));
    assert_true(s.found);
    assert_in_range(s.moved, 1, 5000000); /* a part of the big file */
    must("restore", restore(&p, "c", &s));
    expect_same(&p, "b", "c");
    close_place(&p);
}

/* The same size and time, but written after it was saved. */
static void test_hidden_change(void **state)
{
    struct place p;
    struct stash_stats s;

    (void)state;
    open_place(&p);
    sh(&p, "mkdir a && echo one >a/f && touch -d @1500000000 a/f");
    must("save", save(&p, "a", &s));
    sh(&p, "echo two >a/f && touch -d @1500000000 a/f");
    must("save", save(&p, "a", &s));
    assert_true(s.found);
    must("restore", restore(&p, "b", &s));
    sh(&p, "grep -q two b/f");
    close_place(&p);
}

static void test_two_writers(void **state)
{
    struct place p;
    struct stash_stats s;

    (void)state;
    open_place(&p);
    sh(&p, "mkdir a && echo base >a/base");
    must("save", save(&p, "a", &s));
    must("restore", restore(&p, "b", &s));
    must("restore", restore(&p, "c", &s));
    sh(&p, "echo b >b/b && echo later >c/c && ln c/c c/cc && rm c/base");
    must("save", save(&p, "b", &s));
    must("save", save(&p, "c", &s));
    must("restore", restore(&p, "d", &s));
    sh(&p, "grep -q '^b$' d/b && grep -q later d/c && grep -q base d/base && [ d/c -ef d/cc ]");
    sh(&p, "rm c/c c/cc"); /* what c never had is not removed by it; what it removes may come back */
    must("save", save(&p, "c", &s));
    must("restore", restore(&p, "e", &s));
    sh(&p, "grep -q '^b$' e/b");
    close_place(&p);
}

static void test_limit(void **state)
{
    struct place p;
    struct stash_stats s;

    (void)state;
    open_place(&p);
    sh(&p, "mkdir -p a/old a/new && head -c 5000 /dev/urandom >a/old/f && sleep 0.03");
    must("save", save(&p, "a", &s));
    p.o.now_s += 3 * (int64_t)DAY;
    p.o.max_bytes = 7000;
    sh(&p, "head -c 4000 /dev/urandom >a/new/f");
    must("save", save(&p, "a", &s));
    assert_int_equal(s.dropped, 5000);
    must("restore", restore(&p, "b", &s));
    sh(&p, "[ -f b/new/f ] && [ ! -e b/old/f ]");
    close_place(&p);
}

/* Many saves of little: packs are put together, and what is not used any more goes. */
static void test_packs(void **state)
{
    AUTO(remote_release) struct remote r = { 0 };
    struct place p;
    struct stash_stats s;

    (void)state;
    open_place(&p);
    sh(&p, "mkdir a && echo x >a/keep");
    for (int i = 0; i < 45; i++) {
        AUTO_FREE char *script = xasprintf("echo %d >a/f%d", i, i % 40);

        sh(&p, script);
        must("save", save(&p, "a", &s));
    }
    must("read", remote_read(&p.o, "tag", &r));
    assert_in_range(r.x.packs.n, 1, 34);
    must("restore", restore(&p, "b", &s));
    expect_same(&p, "a", "b");
    sh(&p, "rm a/f*");
    must("save", save(&p, "a", &s));
    remote_release(&r);
    r = (struct remote){ 0 };
    must("read", remote_read(&p.o, "tag", &r));
    assert_int_equal(r.x.packs.n, 1);
    close_place(&p);
}

/* The same of a directory that never knew what others had saved. */
static void test_joined_packs(void **state)
{
    AUTO(remote_release) struct remote r = { 0 };
    struct place p;
    struct stash_stats s;

    (void)state;
    open_place(&p);
    sh(&p, "mkdir a b && echo theirs >b/theirs");
    must("save", save(&p, "b", &s));
    for (int i = 0; i < 45; i++) {
        AUTO_FREE char *script = xasprintf("rm -f a.record && echo %d >a/f%d", i, i);

        sh(&p, script);
        must("save", save(&p, "a", &s));
    }
    must("read", remote_read(&p.o, "tag", &r));
    assert_in_range(r.x.packs.n, 1, 36);
    must("restore", restore(&p, "c", &s));
    sh(&p, "grep -q theirs c/theirs && rm c/theirs && for f in c/*; do cmp $f a/${f#c/} || exit 1; done");
    close_place(&p);
}

static const struct {
    const char *name, *rules;
} faults[] = {
    { "index gone", "{'rules': [{'match': 'GET /v2/cache/blobs', 'status': 404, 'times': 9}]}" },
    { "pack gone", "{'rules': [{'match': 'GET /v2/cache/blobs', 'status': 404, 'times': 9, 'skip': 1}]}" },
    { "pack damaged", "{'rules': [{'match': 'GET /v2/cache/blobs', 'corrupt': true, 'times': 9, 'skip': 1}]}" },
    { "none of ours", "{'rules': [{'match': 'GET /v2/cache/manifests', 'status': 200, 'body': '{}', 'times': 2}]}" },
};

static void test_damaged(void **state)
{
    struct place p;
    struct stash_stats s;

    (void)state;
    open_place(&p);
    sh(&p, "mkdir a && echo x >a/f");
    must("save", save(&p, "a", &s));
    for (size_t i = 0; i < COUNT(faults); i++) {
        fixture_set(&fix, faults[i].rules);
        struct err *e = restore(&p, "b", &s);

        if (!e)
            fail_msg("%s: it is restored", faults[i].name);
        err_free(e);
        sh(&p, "rm -r b");
    }
    must("save", save(&p, "a", &s)); /* what is there is of no use: it is written anew */
    fixture_set(&fix, "{}");
    must("restore", restore(&p, "b", &s));
    close_place(&p);
}

/* The document is there, and a pack of it is not: who found that writes all anew. */
static void test_pack_gone(void **state)
{
    AUTO(remote_release) struct remote r = { 0 };
    struct place p;
    struct stash_stats s;

    (void)state;
    open_place(&p);
    sh(&p, "mkdir a && echo x >a/f");
    must("save", save(&p, "a", &s));
    must("read", remote_read(&p.o, "tag", &r));
    AUTO_FREE char *rules = xasprintf("{'rules': [{'match': 'GET /v2/cache/blobs/%s', 'status': 404, 'times': 99}]}",
                                      r.x.packs.items[0].blob.text);
    fixture_set(&fix, rules);
    struct err *e = restore(&p, "b", &s);
    assert_int_equal(err_kind(e), ERR_REGISTRY);
    err_free(e);
    sh(&p, "rm -r b && mkdir b && echo x >b/f && echo y >b/g");
    must("save", save(&p, "b", &s));
    must("restore", restore(&p, "c", &s));
    expect_same(&p, "b", "c");
    close_place(&p);
}

/* A pack of nothing but zeros. */
static struct stash_pack zeros(struct place *p, uint64_t size_bytes)
{
    static const char block[1 << 20];
    const struct compress_opts c = { COMPRESSION_ZSTD, .threads = 1 };
    const struct tar_entry e = { .path = (char *)"zeros", .mode = S_IFREG | 0644, .size_bytes = size_bytes };
    AUTO(compress_free) struct compressor *z = NULL;
    AUTO_CLOSE int fd = -1;
    struct compress_result r;
    uint64_t sent = 0;

    must("file", remote_temp(&p->o, &fd));
    must("compress", compress_new(&c, file_sink(&fd), &z));
    AUTO(tar_writer_free) struct tar_writer *tar = tar_writer_new(compress_sink(z));
    must("entry", tar_write_entry(tar, &e));
    for (uint64_t at = 0; at < size_bytes; at += sizeof(block))
        must("zeros", tar_write_data(tar, block, sizeof(block)));
    must("end", tar_writer_end(tar));
    must("compress", compress_end(z, &r));
    must("send", remote_send(&p->o, &r, fd, &sent));
    return (struct stash_pack){ .blob = r.digest, .diff_id = r.diff_id, .size_bytes = r.size_bytes };
}

/* A small pack that becomes large is not read to its end. */
static void test_large_pack(void **state)
{
    AUTO(remote_release) struct remote r = { 0 }, written = { 0 };
    struct place p;
    struct stash_stats s;

    (void)state;
    open_place(&p);
    sh(&p, "mkdir a && echo x >a/f");
    must("save", save(&p, "a", &s));
    must("read", remote_read(&p.o, "tag", &r));
    r.x.packs.items[0] = zeros(&p, LIMIT_STASH_TAR_BYTES);
    must("write", remote_write(&p.o, "tag", &r.x, &written));
    struct err *e = restore(&p, "b", &s);
    assert_int_equal(err_kind(e), ERR_REGISTRY);
    AUTO_FREE char *line = err_line(e);
    err_free(e);
    if (!strstr(line, "more than 512 MiB"))
        fail_msg("%s", line);
    close_place(&p);
}

static void count_note(void *ctx, const char *text)
{
    (void)text;
    ++*(int *)ctx;
}

/* Another build writes between our writing and our looking. */
static void test_overwritten(void **state)
{
    struct place p;
    struct stash_stats s;

    (void)state;
    open_place(&p);
    sh(&p, "mkdir a b && echo x >a/f && echo y >b/g");
    must("save", save(&p, "b", &s));
    AUTO_FREE char *theirs = fixture_control(&fix, "GET", "/v2/cache/manifests/tag", "", 0);
    AUTO_FREE char *rules = xasprintf("{\"rules\": [{\"match\": \"GET /v2/cache/manifests\", \"status\": 404},"
                                      "{\"match\": \"GET /v2/cache/manifests\", \"status\": 200, \"body\": %s,"
                                      " \"headers\": {\"Content-Type\": \"" MEDIA_OCI_MANIFEST "\"}, \"times\": 2}]}",
                                      "\"@\"");
    char *at = strchr(rules, '@');
    AUTO(buf_release) struct buf settings = BUF_INIT;

    buf_add(&settings, rules, (size_t)(at - rules));
    for (const char *c = theirs; *c; c++) {
        if (*c == '"')
            buf_putc(&settings, '\\');
        buf_putc(&settings, *c);
    }
    buf_puts(&settings, at + 1);
    free(fixture_control(&fix, "POST", "/_set", settings.data, settings.len));
    must("save", save(&p, "a", &s));
    fixture_set(&fix, "{}");
    must("restore", restore(&p, "c", &s));
    sh(&p, "[ -f c/f ] && [ -f c/g ]");
    close_place(&p);
}

/* A registry that does not answer costs its time once, not for each mount. */
static void test_silent_registry(void **state)
{
    const struct progress progress = { .note = count_note, .ctx = &(int){ 0 } };
    const struct digest keys[] = { digest_bytes("1", 1), digest_bytes("2", 1) };
    struct place p;
    bool found;

    (void)state;
    open_place(&p);
    AUTO_FREE char *path = xasprintf("%s/c", p.home), *dir = xasprintf("%s/new", p.home);
    AUTO(mount_stash_free) struct mount_stash *m = mount_stash_new(&p.o, &progress);
    fixture_set(&fix, "{'rules': [{'match': '/v2/cache/', 'status': 503, 'times': 99}]}");
    sh(&p, "mkdir new c c2");
    for (size_t i = 0; i < COUNT(keys); i++) {
        AUTO_FREE char *own = xasprintf("%s%s", path, i ? "2" : "");
        const struct stashed_mount mount = { "id", &keys[i], own };

        must("restore", mount_stash_restore(m, &mount, dir, &found));
        assert_false(found);
        mount_stash_add(m, &mount);
    }
    assert_int_equal(fixture_count(&fix, "GET /v2/cache/"), 2); /* with one more try */
    mount_stash_save(m);
    assert_int_equal(fixture_count(&fix, "GET /v2/cache/"), 4);
    assert_int_equal(*(int *)progress.ctx, 4);
    close_place(&p);
}

static int start(void **state)
{
    (void)state;
    fixture_start(&fix);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    fixture_stop(&fix);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),  cmocka_unit_test(test_difference),   cmocka_unit_test(test_hidden_change),
        cmocka_unit_test(test_two_writers), cmocka_unit_test(test_limit),        cmocka_unit_test(test_packs),
        cmocka_unit_test(test_damaged),     cmocka_unit_test(test_overwritten),  cmocka_unit_test(test_pack_gone),
        cmocka_unit_test(test_large_pack),  cmocka_unit_test(test_joined_packs), cmocka_unit_test(test_silent_registry),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
