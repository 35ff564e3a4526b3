#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above first */
#include <cmocka.h>

#include "repo/fetch.h"
#include "repo/objects.h"
#include "repo/parse.h"
#include "repo/pkt.h"
#include "sys/file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define H1       "1111111111111111111111111111111111111111"
#define H2       "2222222222222222222222222222222222222222"
#define H256     H1 "111111111111111111111111"

/* "!message" if e is an error, which is freed. */
static bool show_error(struct err *e, struct buf *out)
{
    if (e)
        buf_printf(out, "!%s", err_message(e));
    err_free(e);
    return e != NULL;
}

static void check(const char *row, const char *got, const char *want)
{
    bool same = *want == '!' ? *got == '!' && strstr(got, want + 1) : strcmp(got, want) == 0;

    if (!same)
        fail_msg("%s: got '%s', not '%s'", row, got, want);
}

/* ---- packets ---- */

static struct err *on_packet(void *ctx, enum pkt_kind kind, const char *data, size_t len)
{
    static const char *const marks[] = { "", "|flush", "|delim", "|end" };

    buf_puts(ctx, kind == PKT_DATA ? "|" : marks[kind]);
    buf_add(ctx, data, len);
    return NULL;
}

static void test_packets(void **state)
{
    static const struct {
        const char *in, *want;
    } rows[] = {
        { "0006a\n0000", "|a\n|flush" },
        { "0004", "|" },
        { "00010002", "|delim|end" },
        { "000Aabcdef0009hello", "|abcdef|hello" },
        { "", "" },
        { "0003", "!no length" },
        { "fff1", "!no length" },
        { "<htm", "!'<htm' is no length" },
        { "00\x01g", "!'00?g'" },
        { "0009abc", "!in the middle of a packet" },
        { "00", "!in the middle" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        for (size_t piece = 1; piece < 12; piece++) {
            AUTO(buf_release) struct buf got = BUF_INIT;
            struct pkt_reader r = { .fn = on_packet, .ctx = &got };
            struct err *e = NULL;

            for (size_t at = 0, n = strlen(rows[i].in); at < n && !e; at += piece)
                e = pkt_feed(&r, rows[i].in + at, n - at < piece ? n - at : piece);
            if (!e)
                e = pkt_feed_end(&r);
            if (e)
                buf_clear(&got);
            (void)show_error(e, &got);
            pkt_reader_release(&r);
            check(rows[i].in, buf_str(&got), rows[i].want);
        }
    }
}

static void test_write_packets(void **state)
{
    AUTO(buf_release) struct buf out = BUF_INIT;

    (void)state;
    pkt_add(&out, "want %s\n", "x");
    pkt_delim(&out);
    pkt_flush(&out);
    assert_string_equal(buf_str(&out), "000bwant x\n00010000");
}

/* ---- refs ---- */

static void show_refs(const struct repo_refs *r, const char *ref, struct buf *out)
{
    const struct repo_ref *found = repo_refs_find(r, ref);

    if (!found)
        buf_puts(out, "none");
    else
        buf_printf(out, "%s %.4s%s%.4s", found->name, found->hash.hex, *found->peeled.hex ? " " : "",
                   found->peeled.hex);
    if (r->head)
        buf_printf(out, " head=%s", r->head);
}

static const struct {
    const char *lines[5];
    const char *ref, *want;
} refs_v2[] = {
    { { H1 " HEAD symref-target:refs/heads/main" }, "", "HEAD 1111 head=refs/heads/main" },
    { { H1 " HEAD" }, "HEAD", "HEAD 1111" },
    { { H1 " refs/heads/main" }, "main", "refs/heads/main 1111" },
    { { H1 " refs/tags/v1 peeled:" H2 }, "v1", "refs/tags/v1 1111 2222" },
    { { H1 " refs/tags/v1", H2 " refs/heads/v1" }, "v1", "refs/heads/v1 2222" },
    { { H1 " refs/heads/a", H2 " refs/a" }, "a", "refs/a 2222" },
    { { H1 " refs/heads/refs/heads/a", H2 " refs/heads/a" }, "refs/heads/a", "refs/heads/a 2222" },
    { { H1 " refs/tags/v1", H2 " refs/heads/v1" }, "refs/tags/v1", "refs/tags/v1 1111" },
    { { H1 " refs/heads/main" }, "mai", "none" },
    { { H1 " refs/heads/main x:y unknown" }, "main", "refs/heads/main 1111" },
    { { "unborn HEAD symref-target:refs/heads/main" }, "", "none" },
    { { H1 }, "a", "!is no ref" },
    { { H1 "x refs/heads/a" }, "a", "!is no ref" },
    { { "nonsense" }, "a", "!'nonsense' is no ref" },
    { { H1 " refs/tags/a peeled:x" }, "a", "!is no ref" },
    { { H256 " refs/heads/a" }, "a", "!by SHA-256" },
};

static void test_refs_v2(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(refs_v2); i++) {
        AUTO(repo_refs_release) struct repo_refs r = { .v2 = true };
        AUTO(buf_release) struct buf got = BUF_INIT;
        struct err *e = NULL;

        repo_ref_names(refs_v2[i].ref, &r.wanted);
        for (size_t k = 0; k < COUNT(refs_v2[i].lines) && refs_v2[i].lines[k] && !e; k++)
            e = repo_refs_line_v2(&r, refs_v2[i].lines[k]);
        if (!show_error(e, &got))
            show_refs(&r, refs_v2[i].ref, &got);
        check(refs_v2[i].lines[0], buf_str(&got), refs_v2[i].want);
    }
}

static void test_refs_v0(void **state)
{
    static const char first[] = H1 " HEAD\0side-band-64k  symref=HEAD:refs/heads/main agent=x";
    AUTO(repo_refs_release) struct repo_refs r = { .all = true };

    (void)state;
    repo_ref_names("t", &r.wanted);
    strs_add(&r.wanted, "HEAD");
    assert_null(repo_refs_line_v0(&r, first, sizeof(first) - 1));
    assert_null(repo_refs_line_v0(&r, H1 " refs/heads/main", 56));
    assert_null(repo_refs_line_v0(&r, H2 " refs/tags/t", 52));
    assert_null(repo_refs_line_v0(&r, H1 " refs/tags/t^{}", 55));
    assert_null(repo_refs_line_v0(&r, H1 " refs/pull/1/head", 57));
    assert_null(repo_refs_line_v0(&r, "shallow " H1, 48));
    assert_string_equal(r.head, "refs/heads/main");
    assert_true(repo_refs_can(&r, "side-band-64k") && repo_refs_can(&r, "agent") && !repo_refs_can(&r, "shallow"));
    assert_int_equal(r.n, 3);
    assert_string_equal(repo_refs_find(&r, "t")->peeled.hex, H1);
    assert_true(repo_refs_has_hash(&r, H2) && !repo_refs_has_hash(&r, "3" H2));
}

/* ---- answers ---- */

static struct err *on_pack(void *ctx, const void *p, size_t n)
{
    buf_add(ctx, p, n);
    return NULL;
}

/* Packets: "-" is a flush. */
static const struct {
    bool v2;
    const char *packets[6];
    const char *want;
} answers[] = {
    { true, { "shallow-info", "shallow " H1, "packfile\n", "\1AB", "\2progress", "\1C" }, "ABC shallow" },
    { true, { "packfile\n", "\1AB", "-" }, "AB done" },
    { true, { "ERR upload-pack: not our ref " H1 }, " done unknown" },
    { true, { "ERR go away\x1b[1m\n" }, "!the git server says: go away [1m" },
    { true, { "packfile\n", "\1A", "\3out of\nmemory" }, "!says: out of memory" },
    { true, { "packfile\n", "\7" }, "!unknown band 7" },
    { false, { "shallow " H1, "-", "NAK\n", "\1AB", "-" }, "AB done shallow" },
    { false, { "NAK\n", "\1AB" }, "AB" },
    { false, { "ERR upload-pack: not our ref x" }, " done unknown" },
    { false, { "NAK\n", "\3upload-pack: not our ref " H1 }, " done unknown" },
    { true, { "-" }, " done" },
};

static void test_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(answers); i++) {
        AUTO(buf_release) struct buf pack = BUF_INIT, got = BUF_INIT;
        const struct sink sink = { on_pack, &pack };
        struct repo_answer a = { .pack = &sink, .v2 = answers[i].v2 };
        struct err *e = NULL;

        for (size_t k = 0; k < COUNT(answers[i].packets) && answers[i].packets[k] && !e; k++) {
            const char *p = answers[i].packets[k];

            e = repo_answer_packet(&a, *p == '-' ? PKT_FLUSH : PKT_DATA, p, strlen(p));
        }
        if (!show_error(e, &got))
            buf_printf(&got, "%s%s%s%s", buf_str(&pack), a.done ? " done" : "", a.shallow ? " shallow" : "",
                       a.unknown ? " unknown" : "");
        check(answers[i].packets[0], buf_str(&got), answers[i].want);
    }
}

/* ---- objects ---- */

static void test_commits(void **state)
{
    static const struct {
        const char *in, *want;
    } rows[] = {
        { "tree " H1 "\nparent " H2 "\ncommitter a <b> 12 +0100\n\ntext", "1111 12 parent" },
        { "tree " H1 "\nauthor a <b> 1 +0\ncommitter a <b>c> 99 +0\n\ntree " H2, "1111 99" },
        { "tree " H1 "\n", "1111 0" },
        { "tree " H1 "\ncommitter a <b> -5 +0\n", "1111 0" },
        { "tree " H1 "\ncommitter a <b> 99999999999999999999 +0\n", "1111 0" },
        { "tree " H1 "\ncommitter nobody\n", "1111 0" },
        { "tree " H1, "!without a tree" },
        { "tree 123\n", "!without a tree" },
        { "", "!without a tree" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO(buf_release) struct buf got = BUF_INIT;
        struct repo_commit c;

        if (!show_error(repo_parse_commit(rows[i].in, strlen(rows[i].in), &c), &got))
            buf_printf(&got, "%.4s %lld%s", c.tree.hex, (long long)c.time_s, c.has_parent ? " parent" : "");
        check(rows[i].in, buf_str(&got), rows[i].want);
    }
}

static void test_tags(void **state)
{
    static const struct {
        const char *in, *want;
    } rows[] = {
        { "object " H1 "\ntype commit\ntag x\n\n", "1111" }, { "object " H1 "\ntype tag\n\n", "1111 tag" },
        { "object " H1 "\ntype blob\n\n", "!a commit" },     { "type commit\n\n", "!a commit" },
        { "object 1\ntype commit\n", "!of nothing" },        { "", "!a commit" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO(buf_release) struct buf got = BUF_INIT;
        struct repo_hash h;
        bool tag;

        if (!show_error(repo_parse_tag(rows[i].in, strlen(rows[i].in), &h, &tag), &got))
            buf_printf(&got, "%.4s%s", h.hex, tag ? " tag" : "");
        check(rows[i].in, buf_str(&got), rows[i].want);
    }
}

#define ID "0123456789abcdefghij"

static void test_trees(void **state)
{
    static const struct {
        const char *in;
        size_t len;
        const char *want;
    } rows[] = {
#define T(s) s, sizeof(s) - 1
        { T("100644 a\0" ID "100755 b\0" ID "40000 c\0" ID), "0a 1b 3c " },
        { T("120000 l\0" ID "160000 m\0" ID "100664 n\0" ID "040000 o\0" ID), "2l 4m 0n 3o " },
        { T("100644 .gitmodules\0" ID "100644 .github\0" ID "100644 git\0" ID), "0.gitmodules 0.github 0git " },
        { T(""), "" },
        { T("100644 .git\0" ID), "!'.git'" },
        { T("40000 .GiT\0" ID), "!'.GiT'" },
        { T("40000 .git. \0" ID), "!'.git. '" },
        { T("40000 GIT~1\0" ID), "!'GIT~1'" },
        { T("40000 ..\0" ID), "!'..'" },
        { T("40000 .\0" ID), "!'.'" },
        { T("40000 \0" ID), "!''" },
        { T("100644 a/b\0" ID), "!'a/b'" },
        { T("100644 a\0"
            "short"),
          "!ends too early" },
        { T("100644 a"), "!ends too early" },
        { T("100644"), "!without a mode" },
        { T("x a\0" ID), "!without a mode" },
        { T("100644a\0" ID), "!without a mode" },
        { T("60000 a\0" ID), "!unknown mode" },
        { T("777777777777 a\0" ID), "!without a mode" },
#undef T
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO(buf_release) struct buf got = BUF_INIT;
        struct err *e = NULL;
        bool found = true;

        for (size_t pos = 0; found && !e;) {
            struct repo_entry entry;

            e = repo_parse_entry(rows[i].in, rows[i].len, &pos, &entry, &found);
            if (!e && found)
                buf_printf(&got, "%d%s ", (int)entry.kind, entry.name);
            if (!e && found)
                assert_memory_equal(entry.hash.hex, "3031323334", 10);
        }
        if (e)
            buf_clear(&got);
        (void)show_error(e, &got);
        check(rows[i].in, buf_str(&got), rows[i].want);
    }
}

static void test_modules(void **state)
{
    static const struct {
        const char *in, *want;
    } rows[] = {
        { "[submodule \"a\"]\n\tpath = p/a\n\turl = ../a.git\n", "a p/a ../a.git;" },
        { "[submodule \"a b\\\"c\"]\nPATH=p # x\nurl = \"u;v\" ; y\n", "a b\"c p u;v;" },
        { "[submodule \"a\"]\r\npath = a\r\n[other]\npath = no\n[submodule \"b\"]\nurl=u\n", "a a -;b - u;" },
        { "# c\n[submodule \"a\"]\npath=1\npath=2\nbranch = x\n", "a 2 -;" },
        { "[core]\npath = x\n", "" },
        { "[submodule]\npath = x\n", "" },
        { "", "" },
        { "[submodule \"a", "a - -;" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO(repo_modules_release) struct repo_modules m = { 0 };
        AUTO(buf_release) struct buf got = BUF_INIT;

        assert_null(repo_parse_modules(rows[i].in, strlen(rows[i].in), &m));
        for (size_t k = 0; k < m.n; k++)
            buf_printf(&got, "%s %s %s;", m.items[k].name, m.items[k].path ? m.items[k].path : "-",
                       m.items[k].url ? m.items[k].url : "-");
        check(rows[i].in, buf_str(&got), rows[i].want);
    }
}

/* ---- packs: made by git, in a directory of the test ---- */

struct dirs {
    char top[64];
};

static int make_repo(void **state)
{
    struct dirs *d = xcalloc(1, sizeof(*d));
    AUTO(buf_release) struct buf cmd = BUF_INIT;

    (void)snprintf(d->top, sizeof(d->top), "/tmp/copyup-test-repo-XXXXXX");
    if (!mkdtemp(d->top))
        return -1;
    *state = d;
    /* a large file as it is and one that is a delta to it, a small one, a commit */
    buf_printf(
        &cmd,
        "cd %s && export HOME=%s GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a GIT_COMMITTER_NAME=a "
        "GIT_COMMITTER_EMAIL=a && git init -q w && cd w && head -c 9000000 /dev/urandom > big && cp big delta && "
        "echo x >> delta && echo small > small && git add . && git commit -q -m x && git rev-parse HEAD:big "
        "HEAD:delta HEAD:small HEAD > ../names && echo HEAD | git pack-objects -q --revs --stdout > ../pack",
        d->top, d->top);
    const char *argv[] = { "sh", "-c", buf_str(&cmd), NULL };
    pid_t pid = fork();
    if (pid == 0) {
        execv("/bin/sh", (char **)argv);
        _exit(127);
    }
    int status = -1;
    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0 ? 0 : -1;
}

static int remove_repo(void **state)
{
    struct dirs *d = *state;

    err_free(file_remove_tree(AT_FDCWD, d->top));
    free(d);
    return 0;
}

static struct err *feed_file(struct repo_pack *pack, const char *path, size_t cut, size_t flip)
{
    AUTO(buf_release) struct buf data = BUF_INIT;
    const struct sink sink = repo_pack_sink(pack);

    assert_null(file_read(path, 64 << 20, &data));
    assert_true(data.len > cut + 100);
    if (flip)
        data.data[data.len - flip] ^= 1;
    for (size_t at = 0, n = data.len - cut; at < n; at += 60000)
        TRY(sink_write(&sink, data.data + at, n - at < 60000 ? n - at : 60000));
    return repo_pack_commit(pack);
}

static void check_blob(struct repo_objects *o, const struct dirs *d, const char *hex, const char *name)
{
    AUTO_FREE char *want = xasprintf("%s/w/%s", d->top, name), *got = xasprintf("%s/out", d->top);
    AUTO(buf_release) struct buf a = BUF_INIT, b = BUF_INIT;
    AUTO_CLOSE int fd = open(got, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    struct repo_hash h = { 0 };
    uint64_t bytes = 0;

    memcpy(h.hex, hex, REPO_HASH_LEN);
    assert_null(repo_object_write(o, &h, fd, &bytes));
    assert_null(file_read(want, 64 << 20, &a));
    assert_null(file_read(got, 64 << 20, &b));
    assert_int_equal(bytes, a.len);
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.data, b.data, a.len);
}

static void read_names(const struct dirs *d, char names[4][REPO_HASH_LEN + 1])
{
    AUTO_FREE char *path = xasprintf("%s/names", d->top);
    AUTO(buf_release) struct buf text = BUF_INIT;

    assert_null(file_read(path, 4096, &text));
    for (size_t i = 0; i < 4; i++) {
        memcpy(names[i], text.data + i * (REPO_HASH_LEN + 1), REPO_HASH_LEN);
        names[i][REPO_HASH_LEN] = '\0';
    }
}

static void test_objects(void **state)
{
    const struct dirs *d = *state;
    AUTO_FREE char *dir = xasprintf("%s/good", d->top), *path = xasprintf("%s/pack", d->top);
    AUTO(repo_objects_close) struct repo_objects *o = NULL;
    AUTO(repo_pack_free) struct repo_pack *pack = NULL;
    char names[4][REPO_HASH_LEN + 1];
    struct repo_hash h = { 0 }, found;
    enum repo_object_kind kind;
    bool there;
    int n;

    read_names(d, names);
    assert_null(repo_objects_open(dir, NULL, &o));
    assert_null(repo_pack_begin(o, &pack));
    assert_null(feed_file(pack, path, 0, 0));
    check_blob(o, d, names[0], "big");
    check_blob(o, d, names[1], "delta");
    check_blob(o, d, names[2], "small");
    memcpy(h.hex, names[3], REPO_HASH_LEN);
    assert_null(repo_object_kind(o, &h, &kind, &there));
    assert_true(there && kind == REPO_KIND_COMMIT);
    names[3][9] = '\0';
    assert_null(repo_object_by_prefix(o, names[3], &found, &n));
    assert_true(n == 1 && strcmp(found.hex, h.hex) == 0);
    assert_null(repo_object_by_prefix(o, "0000000000", &found, &n));
    assert_int_equal(n, 0);
    h.hex[0] = h.hex[0] == '0' ? '1' : '0';
    assert_null(repo_object_kind(o, &h, &kind, &there));
    assert_false(there);
}

/* What is cut or changed leaves nothing behind. */
static void test_bad_packs(void **state)
{
    static const size_t cuts[][2] = { { 10, 0 }, { 5000, 0 }, { 0, 1 }, { 0, 60 }, { 0, 400 } };
    const struct dirs *d = *state;
    AUTO_FREE char *path = xasprintf("%s/pack", d->top);

    for (size_t i = 0; i < COUNT(cuts); i++) {
        AUTO_FREE char *dir = xasprintf("%s/bad%zu", d->top, i), *packs = xasprintf("%s/objects/pack", dir);
        AUTO(repo_objects_close) struct repo_objects *o = NULL;
        AUTO(repo_pack_free) struct repo_pack *pack = NULL;

        assert_null(repo_objects_open(dir, NULL, &o));
        assert_null(repo_pack_begin(o, &pack));
        struct err *e = feed_file(pack, path, cuts[i][0], cuts[i][1]);
        assert_non_null(e);
        assert_int_equal(err_kind(e), ERR_DOCKERFILE);
        err_free(e);
        repo_pack_free(pack);
        pack = NULL;
        assert_int_equal(rmdir(packs), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_packets), cmocka_unit_test(test_write_packets), cmocka_unit_test(test_refs_v2),
        cmocka_unit_test(test_refs_v0), cmocka_unit_test(test_answers),       cmocka_unit_test(test_commits),
        cmocka_unit_test(test_tags),    cmocka_unit_test(test_trees),         cmocka_unit_test(test_modules),
    };
    const struct CMUnitTest packs[] = { cmocka_unit_test(test_objects), cmocka_unit_test(test_bad_packs) };

    return cmocka_run_group_tests(tests, NULL, NULL) + cmocka_run_group_tests(packs, make_repo, remove_repo);
}
