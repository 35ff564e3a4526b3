#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above first */
#include <cmocka.h>

#include "address/address.h"
#include "address/git_address.h"
#include "base/buf.h"

#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- URLs ---- */

/* want NULL: refused. */
static const struct {
    const char *in, *want;
} urls[] = {
    { "http://h", "http h  - -" },
    { "HTTP://h:80/a%20b?c=%zz#d%20e", "http h:80 /a%20b c=%zz d e" },
    { "https://u:p%40@[::1]:5/x?#", "https [::1]:5 /x   u p@" },
    { "https://a@b@h/x", "https h /x - - a@b -" },
    { "ssh://git@h/~x", "ssh h /~x - - git -" },
    { "http://h?q", "http h  q -" },
    { "http://h#f/g", "http h  - f/g" },
    { "://h", NULL },
    { "1http://h", NULL },
    { "http:/h", NULL },
    { "http://", NULL },
    { "http://:80/", NULL },
    { "http://h:8o/", NULL },
    { "http://h:80:80/", NULL },
    { "http://[::1/", NULL },
    { "http://h/%2", NULL },
    { "http://h/%00", NULL },
    { "http://h/#%zz", NULL },
    { "http://h o/", NULL },
    { "http://h/\n", NULL },
    { "http://%41/", NULL },
    { "http://u%zz@h/", NULL },
    { "plain", NULL },
    { "", NULL },
};

static void test_urls(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(urls); i++) {
        AUTO(address_release) struct address a = { 0 };
        AUTO(buf_release) struct buf got = BUF_INIT;
        bool good = address_split(urls[i].in, &a);

        if (good)
            buf_printf(&got, "%s %s %s %s %s", a.scheme, a.host, a.path, a.query ? a.query : "-",
                       a.fragment ? a.fragment : "-");
        if (good && a.user)
            buf_printf(&got, " %s %s", a.user, a.password ? a.password : "-");
        if (good != (urls[i].want != NULL) || (good && strcmp(buf_str(&got), urls[i].want) != 0))
            fail_msg("%s: got '%s'", urls[i].in, buf_str(&got));
    }
}

static const struct {
    const char *in, *name, *request, *host;
} parts[] = {
    { "http://h:1/a/b.txt?x=1#f", "b.txt", "http://h:1/a/b.txt?x=1", "h" },
    { "http://u:p@h/a%2Fb/%C3%A9", "é", "http://h/a%2Fb/%C3%A9", "h" },
    { "http://h/a/", "a", "http://h/a/", "h" },
    { "http://h/", "", "http://h/", "h" },
    { "http://[::1]:8", "", "http://[::1]:8", "::1" },
    { "http://h/a/..", "..", "http://h/a/..", "h" },
};

static void test_parts(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(parts); i++) {
        AUTO(address_release) struct address a = { 0 };

        assert_true(address_split(parts[i].in, &a));
        AUTO_FREE char *name = address_file_name(&a), *request = address_request(&a), *host = address_host_name(&a);
        assert_string_equal(name, parts[i].name);
        assert_string_equal(request, parts[i].request);
        assert_string_equal(host, parts[i].host);
    }
}

static const char *const redacted[][2] = {
    { "https://u:secret@h/x", "https://u:xxxxx@h/x" },
    { "ADD https://u:s@e:t@h/x http://a:b@c d", "ADD https://u:xxxxx@h/x http://a:xxxxx@c d" },
    { "https://token@h/x", "https://xxxxx@h/x" },
    { "git HTTP://token@h/x https://token@i", "git HTTP://xxxxx@h/x https://xxxxx@i" },
    { "https://token:@h/x", "https://xxxxx@h/x" },
    { "https://token:x-oauth-basic@h/x", "https://xxxxx@h/x" },
    { "https://:pw@h/x", "https://:xxxxx@h/x" },
    { "https://:@h/x", "https://:xxxxx@h/x" },
    { "https://@h/x", "https://@h/x" },
    { "https://u:a\"b'c@h", "https://u:xxxxx@h" },
    { "[\"http://a\",\"b@c\"] 'http://d': e@f 'http://g'", "[\"http://a\",\"b@c\"] 'http://d': e@f 'http://g'" },
    { "ssh://git@h/x", "ssh://git@h/x" },
    { "ssh://git:pw@h/x", "ssh://git:xxxxx@h/x" },
    { "https://u:p/w?d#@h/x y@z", "https://u:xxxxx@h/x y@z" },
    { "https://h:80/x@y https://[::1]:80/x@y", "https://h:80/x@y https://[::1]:80/x@y" },
    { "https://h:$PORT/x@y", "https://h:$PORT/x@y" },
    { "https://h/x?a:b@c", "https://h/x?a:b@c" },
    { "[\"http://a:b@c\"]", "[\"http://a:xxxxx@c\"]" },
    { "git@h:x", "git@h:x" },
    { "http://", "http://" },
    { "", "" },
};

static void test_redact(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(redacted); i++) {
        AUTO_FREE char *got = address_redact(redacted[i][0]);

        assert_string_equal(got, redacted[i][1]);
    }
}

/* ---- git ---- */

static void show(const struct git_address *a, struct buf *out)
{
    static const char *const transports[] = { "http", "tcp", "ssh" };

    buf_printf(out, "%s %s", transports[a->transport], a->remote);
    if (*a->ref)
        buf_printf(out, " ref=%s", a->ref);
    if (*a->subdir)
        buf_printf(out, " subdir=%s", a->subdir);
    if (*a->checksum)
        buf_printf(out, " checksum=%s", a->checksum);
    if (a->keep_git_dir >= 0)
        buf_printf(out, " keep=%d", a->keep_git_dir);
    if (a->submodules >= 0)
        buf_printf(out, " submodules=%d", a->submodules);
    if (a->fetch_by_commit)
        buf_puts(out, " by-commit");
    if (a->mtime != GIT_MTIME_DEFAULT)
        buf_puts(out, a->mtime == GIT_MTIME_COMMIT ? " mtime=commit" : " mtime=checkout");
    if (a->ambiguous)
        buf_puts(out, " ambiguous");
}

/* want: "!text" = an error that says text; NULL = no repository. */
static const struct {
    const char *in, *want;
} gits[] = {
    { "https://h/r.git", "http https://h/r.git" },
    { "http://h:8080/a/r.git#v1", "http http://h:8080/a/r.git ref=v1" },
    { "HTTPS://H/r.git", "http https://H/r.git" },
    { "https://u:p@h/r.git#a/b:c/d", "http https://h/r.git ref=a/b subdir=c/d" },
    { "https://h/r.git#:/d", "http https://h/r.git subdir=d" },
    { "https://h/r.git#v:d:e", "http https://h/r.git ref=v subdir=d:e" },
    { "https://h/r%2Egit", "http https://h/r%2Egit" },
    { "git://h/r", "tcp git://h/r" },
    { "ssh://git@h:22/r", "ssh ssh://git@h:22/r" },
    { "ssh://git:pw@h/r", "ssh ssh://git@h/r" },
    { "git@h:o/r", "ssh git@h:o/r" },
    { "git@h:o/r.git#v1:d", "ssh git@h:o/r.git ref=v1 subdir=d" },
    { "me_1@h.x:r?subdir=/d#v", "ssh me_1@h.x:r ref=v subdir=/d" },
    { "git@h:r#a?b", "ssh git@h:r ref=a?b" },
    { "github.com/o/r", "http https://github.com/o/r ambiguous" },
    { "github.com/o/r?tag=v1", "http https://github.com/o/r ref=refs/tags/v1 ambiguous" },
    { "https://h/r.git?ref=v1&subdir=/s", "http https://h/r.git ref=v1 subdir=/s" },
    { "https://h/r.git?ref=a%2Fb+c", "!a space" },
    { "https://h/r.git?subdir=s#v1", "http https://h/r.git ref=v1 subdir=s" },
    { "https://h/r.git?ref=v1#v1", "http https://h/r.git ref=v1" },
    { "https://h/r.git?branch=b", "http https://h/r.git ref=refs/heads/b" },
    { "https://h/r.git?branch=refs/heads/b", "http https://h/r.git ref=refs/heads/b" },
    { "https://h/r.git?checksum=ABCdef", "http https://h/r.git checksum=ABCdef" },
    { "https://h/r.git?commit=abc", "http https://h/r.git checksum=abc" },
    { "https://h/r.git?commit=abc&checksum=abc", "http https://h/r.git checksum=abc" },
    { "https://h/r.git?keep-git-dir&submodules=f", "http https://h/r.git keep=1 submodules=0" },
    { "https://h/r.git?keep-git-dir=0&submodules=", "http https://h/r.git keep=0 submodules=1" },
    { "https://h/r.git?mtime=commit", "http https://h/r.git mtime=commit" },
    { "https://h/r.git?mtime=checkout", "http https://h/r.git mtime=checkout" },
    { "https://h/r.git?fetch-by-commit&commit=ab#b", "http https://h/r.git ref=b checksum=ab by-commit" },
    { "https://h/r.git?", "http https://h/r.git" },
    { "https://h/r.git?a;b&%zz=1", "http https://h/r.git" },
    { "https://h/r.git?ref=v1#v2", "!given twice: 'v2' and 'v1'" },
    { "https://h/r.git?tag=v1&ref=v2", "!given twice" },
    { "https://h/r.git?tag=v1&branch=v1", "!a branch and a tag" },
    { "https://h/r.git?subdir=a#v:b", "!subdir is given twice" },
    { "https://h/r.git?commit=a&checksum=b", "!checksum is given twice" },
    { "https://h/r.git?ref=v1&ref=v1", "!several values for 'ref'" },
    { "https://h/r.git?ref", "!no value for 'ref'" },
    { "https://h/r.git?no=1", "!unknown key 'no'" },
    { "https://h/r.git?keep-git-dir=yes", "!keep-git-dir=yes" },
    { "https://h/r.git?mtime=now", "!mtime=now" },
    { "https://h/r.git?checksum=xyz", "!'xyz' is not the begin" },
    { "https://h/r.git#-x", "!begins with '-'" },
    { "https://h/r.git#a%0Ab", "!a control character" },
    { "https://h/r.git/", NULL },
    { "https://h/r", NULL },
    { "https://h/r.git.x", NULL },
    { "https://h/r.git:#b", NULL },
    { "ftp://h/r.git", NULL },
    { "git+https://h/r.git", NULL },
    { "./x.git", NULL },
    { "../git@h:x", NULL },
    { "h/o/r.git", NULL },
    { "dir/file", NULL },
    { "a b@h:c", NULL },
    { "@h:c", NULL },
    { "git@:c", NULL },
    { "file.txt", NULL },
    { "", NULL },
};

static void test_git(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(gits); i++) {
        AUTO(git_address_release) struct git_address a = { 0 };
        AUTO(buf_release) struct buf got = BUF_INIT;
        bool is_git = false;
        struct err *e = git_address_parse(gits[i].in, &a, &is_git);

        if (e)
            buf_printf(&got, "!%s", err_message(e));
        else if (is_git)
            show(&a, &got);
        err_free(e);
        const char *want = gits[i].want ? gits[i].want : "";
        bool same = *want == '!' ? got.len && strstr(got.data, want + 1) != NULL : strcmp(buf_str(&got), want) == 0;
        if (!same)
            fail_msg("%s: got '%s', not '%s'", gits[i].in, buf_str(&got), want);
    }
}

static void test_credentials(void **state)
{
    AUTO(git_address_release) struct git_address a = { 0 };
    bool is_git;

    (void)state;
    assert_null(git_address_parse("https://jo%40:p%3A@h:1/a%20b/r.git", &a, &is_git));
    assert_string_equal(a.user, "jo@");
    assert_string_equal(a.password, "p:");
    assert_string_equal(a.host, "h:1");
    assert_string_equal(a.path, "/a b/r.git");
    assert_null(strstr(a.remote, "jo"));
}

/* want NULL: refused. */
static const struct {
    const char *parent, *url, *want;
} submodules[] = {
    { "https://u:p@h/o/r.git", "../s.git", "http https://h/o/s.git" },
    { "https://h/o/r.git", "./s", "http https://h/o/r.git/s" },
    { "https://h/o/r.git", "../../x/s", "http https://h/x/s" },
    { "https://h/o/r.git", "../../../../s", "http https://h/s" },
    { "git@h:o/r", "../s", "ssh git@h:o/s" },
    { "git@h:r", "../s", "ssh git@h:s" },
    { "git@h:r", "../../../s", "ssh git@h:s" },
    { "ssh://git@h/o/r", "../s", "ssh ssh://git@h/o/s" },
    { "git://h/o/r", "../s", "tcp git://h/o/s" },
    { "https://h/r.git", "https://x/any", "http https://x/any" },
    { "https://h/r.git", "git@x:any", "ssh git@x:any" },
    { "https://h/r.git", "/etc", NULL },
    { "https://h/r.git", "file:///etc", NULL },
    { "https://h/r.git", "ext::sh -c x", NULL },
    { "https://h/r.git", "-x", NULL },
    { "https://h/r.git", "", NULL },
    { "https://h/r.git", "local", NULL },
};

static void test_submodules(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(submodules); i++) {
        AUTO(git_address_release) struct git_address parent = { 0 }, a = { 0 };
        AUTO(buf_release) struct buf got = BUF_INIT;
        bool is_git;

        assert_null(git_address_parse(submodules[i].parent, &parent, &is_git));
        struct err *e = git_address_submodule(&parent, submodules[i].url, &a);
        if (!e)
            show(&a, &got);
        err_free(e);
        if (strcmp(buf_str(&got), submodules[i].want ? submodules[i].want : "") != 0)
            fail_msg("%s + %s: got '%s'", submodules[i].parent, submodules[i].url, buf_str(&got));
    }
}

static void test_kinds(void **state)
{
    static const struct {
        const char *in;
        enum address_kind kind;
    } rows[] = {
        { "https://h/x", ADDRESS_HTTP },
        { "http://h/x.git", ADDRESS_GIT },
        { "https://[bad", ADDRESS_HTTP },
        { "git@h:x", ADDRESS_GIT },
        { "github.com/o/r", ADDRESS_PATH },
        { "ftp://h/x", ADDRESS_PATH },
        { "http:/h/x", ADDRESS_PATH },
        { "https://h/r.git#b", ADDRESS_GIT },
        { "a/b.git", ADDRESS_PATH },
        { "ssh://h/x", ADDRESS_GIT },
        { "", ADDRESS_PATH },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        enum address_kind kind;

        assert_null(address_kind_of(rows[i].in, &kind));
        if (kind != rows[i].kind)
            fail_msg("%s: kind %d", rows[i].in, (int)kind);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_urls),  cmocka_unit_test(test_parts),       cmocka_unit_test(test_redact),
        cmocka_unit_test(test_git),   cmocka_unit_test(test_credentials), cmocka_unit_test(test_submodules),
        cmocka_unit_test(test_kinds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
