#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above first */
#include <cmocka.h>

#include "base/buf.h"
#include "oci/platform.h"
#include "oci/ref.h"

#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define HEX64    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* full NULL: must be refused, with familiar in the message. */
static const struct {
    const char *in, *full, *familiar;
} refs[] = {
    { "alpine", "docker.io/library/alpine:latest", "alpine:latest" },
    { "alpine:3.20", "docker.io/library/alpine:3.20", "alpine:3.20" },
    { "team/app", "docker.io/team/app:latest", "team/app:latest" },
    { "docker.io/alpine", "docker.io/library/alpine:latest", "alpine:latest" },
    { "docker.io/library/alpine", "docker.io/library/alpine:latest", "alpine:latest" },
    { "docker.io/library/a/b", "docker.io/library/a/b:latest", "library/a/b:latest" },
    { "index.docker.io/alpine", "docker.io/library/alpine:latest", "alpine:latest" },
    { "index.docker.io/team/app:1", "docker.io/team/app:1", "team/app:1" },
    { "shop.azurecr.io/web", "shop.azurecr.io/web:latest", "shop.azurecr.io/web:latest" },
    { "shop.azurecr.io:443/a/b/c:v1.2-x_y", "shop.azurecr.io:443/a/b/c:v1.2-x_y",
      "shop.azurecr.io:443/a/b/c:v1.2-x_y" },
    { "localhost/app", "localhost/app:latest", "localhost/app:latest" },
    { "localhost:5000/app", "localhost:5000/app:latest", "localhost:5000/app:latest" },
    { "UPPER/app", "UPPER/app:latest", "UPPER/app:latest" },
    { "[::1]:5000/app:t", "[::1]:5000/app:t", "[::1]:5000/app:t" },
    { "host.example:5000", "docker.io/library/host.example:5000", "host.example:5000" },
    { "a.b-c_d__e---f", "docker.io/library/a.b-c_d__e---f:latest", "a.b-c_d__e---f:latest" },
    { "alpine@sha256:" HEX64, "docker.io/library/alpine@sha256:" HEX64, "alpine@sha256:" HEX64 },
    { "x.io/a:1@sha256:" HEX64, "x.io/a:1@sha256:" HEX64, "x.io/a:1@sha256:" HEX64 },
    { "a:_tag", "docker.io/library/a:_tag", "a:_tag" },
    { "a", "docker.io/library/a:latest", "a:latest" },
    { "a1", "docker.io/library/a1:latest", "a1:latest" },
    { "a-b", "docker.io/library/a-b:latest", "a-b:latest" },
    { "a--b", "docker.io/library/a--b:latest", "a--b:latest" },
    { "a.b", "docker.io/library/a.b:latest", "a.b:latest" },
    { "a_b", "docker.io/library/a_b:latest", "a_b:latest" },
    { "a__b", "docker.io/library/a__b:latest", "a__b:latest" },
    { "0", "docker.io/library/0:latest", "0:latest" },
    { "00", "docker.io/library/00:latest", "00:latest" },
    { "a/b/c/d/e", "docker.io/a/b/c/d/e:latest", "a/b/c/d/e:latest" },
    { "a.b/c", "a.b/c:latest", "a.b/c:latest" },
    { "a.b.c/d.e/f_g", "a.b.c/d.e/f_g:latest", "a.b.c/d.e/f_g:latest" },
    { "localhost", "docker.io/library/localhost:latest", "localhost:latest" },
    { "localhost:1", "docker.io/library/localhost:1", "localhost:1" },
    { "localhost/a", "localhost/a:latest", "localhost/a:latest" },
    { "localhost:5000/a/b:c", "localhost:5000/a/b:c", "localhost:5000/a/b:c" },
    { "LOCALHOST/a", "LOCALHOST/a:latest", "LOCALHOST/a:latest" },
    { "Example.com/a", "Example.com/a:latest", "Example.com/a:latest" },
    { "EXAMPLE/a", "EXAMPLE/a:latest", "EXAMPLE/a:latest" },
    { "a.B/c", "a.B/c:latest", "a.B/c:latest" },
    { "host:80/a", "host:80/a:latest", "host:80/a:latest" },
    { "host:080/a", "host:080/a:latest", "host:080/a:latest" },
    { "host:00000/a", "host:00000/a:latest", "host:00000/a:latest" },
    { "10.0.0.1/a", "10.0.0.1/a:latest", "10.0.0.1/a:latest" },
    { "10.0.0.1:5000/a:1", "10.0.0.1:5000/a:1", "10.0.0.1:5000/a:1" },
    { "256.1.1.1/a", "256.1.1.1/a:latest", "256.1.1.1/a:latest" },
    { "[2001:db8::1]/a", "[2001:db8::1]/a:latest", "[2001:db8::1]/a:latest" },
    { "[2001:db8::1]:443/a:1", "[2001:db8::1]:443/a:1", "[2001:db8::1]:443/a:1" },
    { "docker.io/a:1", "docker.io/library/a:1", "a:1" },
    { "docker.io/library/a:1", "docker.io/library/a:1", "a:1" },
    { "docker.io/b/a", "docker.io/b/a:latest", "b/a:latest" },
    { "docker.io/library/b/a", "docker.io/library/b/a:latest", "library/b/a:latest" },
    { "index.docker.io/library/a", "docker.io/library/a:latest", "a:latest" },
    { "registry-1.docker.io/library/a", "registry-1.docker.io/library/a:latest",
      "registry-1.docker.io/library/a:latest" },
    { "docker.io:443/a", "docker.io:443/a:latest", "docker.io:443/a:latest" },
    { "library/a", "docker.io/library/a:latest", "a:latest" },
    { "library/library/a", "docker.io/library/library/a:latest", "library/library/a:latest" },
    { "docker.io", "docker.io/library/docker.io:latest", "docker.io:latest" },
    { "xn--bcher-kva.example/a", "xn--bcher-kva.example/a:latest", "xn--bcher-kva.example/a:latest" },
    { "mcr.example/dotnet/sdk:8.0-alpine3.19", "mcr.example/dotnet/sdk:8.0-alpine3.19",
      "mcr.example/dotnet/sdk:8.0-alpine3.19" },
    { "shop.azurecr.io/team/app:2024.01.31_1-rc.1", "shop.azurecr.io/team/app:2024.01.31_1-rc.1",
      "shop.azurecr.io/team/app:2024.01.31_1-rc.1" },
    { "a:0", "docker.io/library/a:0", "a:0" },
    { "a:A", "docker.io/library/a:A", "a:A" },
    { "a:_", "docker.io/library/a:_", "a:_" },
    { "a:a.b-c_d", "docker.io/library/a:a.b-c_d", "a:a.b-c_d" },
    { "a:1.0.0-rc.1", "docker.io/library/a:1.0.0-rc.1", "a:1.0.0-rc.1" },
    { "a@sha256:" HEX64, "docker.io/library/a@sha256:" HEX64, "a@sha256:" HEX64 },
    { "a:1@sha256:" HEX64, "docker.io/library/a:1@sha256:" HEX64, "a:1@sha256:" HEX64 },
    { "h.example:5000/a/b:1@sha256:" HEX64, "h.example:5000/a/b:1@sha256:" HEX64,
      "h.example:5000/a/b:1@sha256:" HEX64 },
    { "sha256:" HEX64, "docker.io/library/sha256:" HEX64, "sha256:" HEX64 },
    { HEX64 "/a", "docker.io/" HEX64 "/a:latest", HEX64 "/a:latest" },
    { HEX64 ":1", "docker.io/library/" HEX64 ":1", HEX64 ":1" },
    { "", NULL, "empty" },
    { "h.example.:80/a", NULL, "host" },
    { "[fe80::1%eth0]/a", NULL, "host" },
    { "a-.b/c", NULL, "host" },
    { "a:-", NULL, "tag" },
    { "a:.1", NULL, "tag" },
    { "a:1+2", NULL, "tag" },
    { "a:ä", NULL, "tag" },
    { "a:latest:1", NULL, "tag" },
    { "a/b:c/d", NULL, "tag" },
    { "a@sha256:0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF", NULL, "sha256" },
    { "a@sha256:", NULL, "sha256" },
    { "a@SHA256:" HEX64, NULL, "sha256" },
    { "a@md5:0123456789abcdef0123456789abcdef", NULL, "sha256" },
    { "a@sha256:" HEX64 ":1", NULL, "sha256" },
    { "a:@sha256:" HEX64, NULL, "tag" },
    { "@sha256:" HEX64, NULL, "lower" },
    { "a..b", NULL, "lower" },
    { "a._b", NULL, "lower" },
    { "a.b_.c", NULL, "lower" },
    { "a_.b", NULL, "lower" },
    { "_a", NULL, "lower" },
    { ".a", NULL, "lower" },
    { "a.", NULL, "lower" },
    { "a-", NULL, "lower" },
    { "a_", NULL, "lower" },
    { "a/-b", NULL, "lower" },
    { "a/b-", NULL, "lower" },
    { "a/./b", NULL, "lower" },
    { "a/../b", NULL, "lower" },
    { "./a", NULL, "host" },
    { "../a", NULL, "host" },
    { "~/a", NULL, "lower" },
    { "a/b/", NULL, "lower" },
    { "a/B", NULL, "lower" },
    { "A", NULL, "lower" },
    { "aB", NULL, "lower" },
    { "ä", NULL, "lower" },
    { "a\\b", NULL, "lower" },
    { "a?b", NULL, "lower" },
    { "a*b", NULL, "lower" },
    { "a%20b", NULL, "lower" },
    { "user@host/a", NULL, "sha256" },
    { "user:pw@host.example/a", NULL, "host" },
    { "oci://a", NULL, "host" },
    { "docker://a", NULL, "host" },
    { "a:b/c", NULL, "host" },
    { "a,b", NULL, "lower" },
    { HEX64, NULL, "id" },
    { "Alpine", NULL, "lower case" },
    { "x.io/App", NULL, "lower case" },
    { "a:", NULL, "a tag" },
    { "a:.b", NULL, "a tag" },
    { "a:b:c", NULL, "a tag" },
    { "a:b c", NULL, "a tag" },
    { ":b", NULL, "lower case letters" },
    { "a/", NULL, "lower case letters" },
    { "/a", NULL, "lower case letters" },
    { "a//b", NULL, "lower case letters" },
    { "a_/b", NULL, "lower case letters" },
    { "a.-b", NULL, "lower case letters" },
    { "a___b", NULL, "lower case letters" },
    { "-a", NULL, "lower case letters" },
    { "a b", NULL, "lower case letters" },
    { "https://x.io/a", NULL, "host" },
    { "x_y.io/a", NULL, "host" },
    { "-x.io/a", NULL, "host" },
    { "x-.io/a", NULL, "host" },
    { "x..io/a", NULL, "host" },
    { "x.io:/a", NULL, "host" },
    { "x.io:80a/a", NULL, "host" },
    { "[::1/a", NULL, "host" },
    { "[::g]/a", NULL, "host" },
    { "a@", NULL, "sha256" },
    { "a@sha256:12", NULL, "64 hexadecimal" },
    { "a@sha256:" HEX64 "0", NULL, "64 hexadecimal" },
    { "a@sha512:" HEX64 HEX64, NULL, "sha256" },
    { "a@b@sha256:" HEX64, NULL, "sha256" },
};

static void test_refs(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(refs); i++) {
        __attribute__((cleanup(ref_release_auto))) struct ref r = { 0 };
        struct err *e = ref_parse(refs[i].in, &r);

        if (!refs[i].full) {
            if (!e || !strstr(err_message(e), refs[i].familiar))
                fail_msg("'%s': %s", refs[i].in, e ? err_message(e) : "is accepted");
            assert_int_equal(err_kind(e), ERR_DOCKERFILE);
            err_free(e);
            continue;
        }
        if (e)
            fail_msg("'%s' is refused: %s", refs[i].in, err_message(e));
        ref_default_tag(&r);
        AUTO_FREE char *full = ref_string(&r);
        AUTO_FREE char *familiar = ref_familiar(&r);
        if (strcmp(full, refs[i].full) != 0 || strcmp(familiar, refs[i].familiar) != 0)
            fail_msg("'%s' gives %s, %s", refs[i].in, full, familiar);
    }
}

static void test_ref_lengths(void **state)
{
    (void)state;
    struct ref r = { 0 };
    struct buf b = BUF_INIT;

    for (int i = 0; i < 255; i++)
        buf_putc(&b, 'a');
    AUTO_FREE char *fits = xasprintf("x.io/%s", buf_str(&b));
    AUTO_FREE char *too_long = xasprintf("x.io/a%s", buf_str(&b));
    assert_null(ref_parse(fits, &r));
    ref_release(&r);
    struct err *e = ref_parse(too_long, &r);
    assert_non_null(e);
    assert_non_null(strstr(err_message(e), "255"));
    err_free(e);

    buf_str(&b);
    b.data[128] = '\0';
    assert_true(ref_tag_valid(b.data));
    b.data[128] = 'a';
    b.data[129] = '\0';
    assert_false(ref_tag_valid(b.data));
    assert_false(ref_tag_valid(""));
    assert_false(ref_tag_valid("1.0+build"));
    buf_release(&b);
}

static void test_ref_copy(void **state)
{
    (void)state;
    __attribute__((cleanup(ref_release_auto))) struct ref a = { 0 }, b = { 0 };

    assert_null(ref_parse("x.io/a:1", &a));
    assert_null(ref_parse("y.io/b@sha256:" HEX64, &b));
    ref_copy(&b, &a);
    AUTO_FREE char *s = ref_string(&b);
    assert_string_equal(s, "x.io/a:1");
    assert_ptr_not_equal(a.path, b.path);
}

/* out NULL: must be refused. */
static const struct {
    const char *in, *os, *arch, *variant, *out;
} platforms[] = {
    { "linux/amd64", "linux", "amd64", "", "linux/amd64" },
    { "Linux/AMD64", "linux", "amd64", "", "linux/amd64" },
    { "linux/x86_64", "linux", "amd64", "", "linux/amd64" },
    { "linux/x86-64/v1", "linux", "amd64", "", "linux/amd64" },
    { "linux/amd64/v3", "linux", "amd64", "v3", "linux/amd64/v3" },
    { "linux/i386", "linux", "386", "", "linux/386" },
    { "linux/aarch64", "linux", "arm64", "", "linux/arm64" },
    { "linux/arm64/v8", "linux", "arm64", "v8", "linux/arm64" },
    { "linux/arm64/8", "linux", "arm64", "v8", "linux/arm64" },
    { "linux/arm64/v9", "linux", "arm64", "v9", "linux/arm64/v9" },
    { "linux/arm", "linux", "arm", "", "linux/arm/v7" },
    { "linux/arm/7", "linux", "arm", "v7", "linux/arm/v7" },
    { "linux/arm/6", "linux", "arm", "v6", "linux/arm/v6" },
    { "linux/armel", "linux", "arm", "v6", "linux/arm/v6" },
    { "linux/armhf", "linux", "arm", "", "linux/arm/v7" },
    { "arm64", "linux", "arm64", "", "linux/arm64" },
    { "s390x", "linux", "s390x", "", "linux/s390x" },
    { "macos/arm64", "darwin", "arm64", "", "darwin/arm64" },
    { "own/board", "own", "board", "", "own/board" },
    { "windows(10.0.1)/amd64", "windows", "amd64", "", "windows(10.0.1)/amd64" },
    { "windows(10.0.1+gpu)/amd64", "windows", "amd64", "", "windows(10.0.1+gpu)/amd64" },
    { "windows(a%2Bb)/amd64", "windows", "amd64", "", "windows(a%2Bb)/amd64" },
    { "linux(+sev)/amd64", "linux", "amd64", "", "linux(+sev)/amd64" },
    { "amd64", "linux", "amd64", "", "linux/amd64" },
    { "386", "linux", "386", "", "linux/386" },
    { "ppc64le", "linux", "ppc64le", "", "linux/ppc64le" },
    { "riscv64", "linux", "riscv64", "", "linux/riscv64" },
    { "mips64le", "linux", "mips64le", "", "linux/mips64le" },
    { "loong64", "linux", "loong64", "", "linux/loong64" },
    { "wasm", "linux", "wasm", "", "linux/wasm" },
    { "x86_64", "linux", "amd64", "", "linux/amd64" },
    { "x86-64", "linux", "amd64", "", "linux/amd64" },
    { "i386", "linux", "386", "", "linux/386" },
    { "aarch64", "linux", "arm64", "", "linux/arm64" },
    { "ARM64", "linux", "arm64", "", "linux/arm64" },
    { "linux/386", "linux", "386", "", "linux/386" },
    { "linux/i386/v1", "linux", "386", "", "linux/386" },
    { "linux/i686", "linux", "i686", "", "linux/i686" },
    { "linux/ppc64le", "linux", "ppc64le", "", "linux/ppc64le" },
    { "linux/riscv64", "linux", "riscv64", "", "linux/riscv64" },
    { "linux/s390x", "linux", "s390x", "", "linux/s390x" },
    { "linux/mips64le", "linux", "mips64le", "", "linux/mips64le" },
    { "linux/loong64", "linux", "loong64", "", "linux/loong64" },
    { "linux/wasm", "linux", "wasm", "", "linux/wasm" },
    { "linux/amd64/v1", "linux", "amd64", "", "linux/amd64" },
    { "linux/amd64/v2", "linux", "amd64", "v2", "linux/amd64/v2" },
    { "linux/amd64/v4", "linux", "amd64", "v4", "linux/amd64/v4" },
    { "linux/x86_64/v3", "linux", "amd64", "v3", "linux/amd64/v3" },
    { "linux/arm64/v7", "linux", "arm64", "v7", "linux/arm64/v7" },
    { "linux/aarch64/v8", "linux", "arm64", "v8", "linux/arm64" },
    { "linux/arm64/v8.1", "linux", "arm64", "v8.1", "linux/arm64/v8.1" },
    { "linux/arm/v5", "linux", "arm", "v5", "linux/arm/v5" },
    { "linux/arm/5", "linux", "arm", "v5", "linux/arm/v5" },
    { "linux/arm/v8", "linux", "arm", "v8", "linux/arm/v8" },
    { "linux/arm/8", "linux", "arm", "v8", "linux/arm/v8" },
    { "linux/armhf/v6", "linux", "arm", "v7", "linux/arm/v7" },
    { "linux/armel/v7", "linux", "arm", "v6", "linux/arm/v6" },
    { "linux/armv7l", "linux", "armv7l", "", "linux/armv7l" },
    { "linux/armv7", "linux", "armv7", "", "linux/armv7" },
    { "linux/arm/V7", "linux", "arm", "v7", "linux/arm/v7" },
    { "linux/ARM/v6", "linux", "arm", "v6", "linux/arm/v6" },
    { "freebsd/amd64", "freebsd", "amd64", "", "freebsd/amd64" },
    { "openbsd/arm64", "openbsd", "arm64", "", "openbsd/arm64" },
    { "wasi/wasm", "wasi", "wasm", "", "wasi/wasm" },
    { "js/wasm", "js", "wasm", "", "js/wasm" },
    { "plan9/386", "plan9", "386", "", "plan9/386" },
    { "darwin/amd64", "darwin", "amd64", "", "darwin/amd64" },
    { "MacOS/x86_64", "darwin", "amd64", "", "darwin/amd64" },
    { "windows/amd64", "windows", "amd64", "", "windows/amd64" },
    { "windows/arm64", "windows", "arm64", "", "windows/arm64" },
    { "windows(10.0.17763)/amd64", "windows", "amd64", "", "windows(10.0.17763)/amd64" },
    { "windows(10.0.17763.1432)/amd64/v2", "windows", "amd64", "v2", "windows(10.0.17763.1432)/amd64/v2" },
    { "windows()/amd64", "windows", "amd64", "", "windows/amd64" },
    { "linux(5.10)/arm/v7", "linux", "arm", "v7", "linux(5.10)/arm/v7" },
    { "linux()/arm64", "linux", "arm64", "", "linux/arm64" },
    { "linux(+a+b)/amd64", "linux", "amd64", "", "linux(+a+b)/amd64" },
    { "linux(+b+a+b)/amd64", "linux", "amd64", "", "linux(+a+b)/amd64" },
    { "linux(1+c%2bd+%61)/amd64", "linux", "amd64", "", "linux(1+a+c%2Bd)/amd64" },
    { "linux(1%20x)/amd64", "linux", "amd64", "", "linux(1 x)/amd64" },
    { "linux/amd_64", "linux", "amd_64", "", "linux/amd_64" },
    { "linux/a.b", "linux", "a.b", "", "linux/a.b" },
    { "linux/amd64/v.1", "linux", "amd64", "v.1", "linux/amd64/v.1" },
    { "amd64", "linux", "amd64", "", "linux/amd64" },
    { "", NULL, NULL, NULL, NULL },
    { "i486", NULL, NULL, NULL, NULL },
    { "arm7", NULL, NULL, NULL, NULL },
    { "linux//amd64", NULL, NULL, NULL, NULL },
    { "//linux", NULL, NULL, NULL, NULL },
    { "linux/amd64//v2", NULL, NULL, NULL, NULL },
    { "linux/amd64/v2/", NULL, NULL, NULL, NULL },
    { "linux/amd64/v2/x/y", NULL, NULL, NULL, NULL },
    { "a/b/c/d", NULL, NULL, NULL, NULL },
    { "linux,amd64", NULL, NULL, NULL, NULL },
    { "linux:amd64", NULL, NULL, NULL, NULL },
    { "linux/amd64,linux/arm64", NULL, NULL, NULL, NULL },
    { "linux/amd64@v2", NULL, NULL, NULL, NULL },
    { "$TARGET", NULL, NULL, NULL, NULL },
    { "${A}/b", NULL, NULL, NULL, NULL },
    { "linux\\amd64", NULL, NULL, NULL, NULL },
    { "li.nux/amd64", NULL, NULL, NULL, NULL },
    { "all", NULL, NULL, NULL, NULL },
    { "local", NULL, NULL, NULL, NULL },
    { "64", NULL, NULL, NULL, NULL },
    { "linux(/amd64", NULL, NULL, NULL, NULL },
    { "linux)/amd64", NULL, NULL, NULL, NULL },
    { "(1)/amd64", NULL, NULL, NULL, NULL },
    { "linux(1)(2)/amd64", NULL, NULL, NULL, NULL },
    { "linux(1)x/amd64", NULL, NULL, NULL, NULL },
    { "linux/amd64(1)", NULL, NULL, NULL, NULL },
    { "linux(a", NULL, NULL, NULL, NULL },
    { "b)/amd64", NULL, NULL, NULL, NULL },
    { "linux(%4)/amd64", NULL, NULL, NULL, NULL },
    { "linux(+%4)/amd64", NULL, NULL, NULL, NULL },
    { "/", NULL, NULL, NULL, NULL },
    { "linux/", NULL, NULL, NULL, NULL },
    { "/amd64", NULL, NULL, NULL, NULL },
    { "linux/amd64/", NULL, NULL, NULL, NULL },
    { "linux/amd64/v2/x", NULL, NULL, NULL, NULL },
    { "linux/am d64", NULL, NULL, NULL, NULL },
    { "linux/*", NULL, NULL, NULL, NULL },
    { "*", NULL, NULL, NULL, NULL },
    { "foo", NULL, NULL, NULL, NULL },
    { "v7", NULL, NULL, NULL, NULL },
    { "windows(1.0/amd64", NULL, NULL, NULL, NULL },
    { "windows1.0)/amd64", NULL, NULL, NULL, NULL },
    { "windows(1+)/amd64", NULL, NULL, NULL, NULL },
    { "windows(1++a)/amd64", NULL, NULL, NULL, NULL },
    { "windows(%zz)/amd64", NULL, NULL, NULL, NULL },
    { "windows(%)/amd64", NULL, NULL, NULL, NULL },
    { "amd64(1)", NULL, NULL, NULL, NULL },
    { "linux/0123456789012345678901234567890123456789", NULL, NULL, NULL, NULL },
};

static void test_platforms(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(platforms); i++) {
        struct platform p;
        char out[200];
        struct err *e = platform_parse(platforms[i].in, &p);

        if (!platforms[i].out) {
            if (!e)
                fail_msg("'%s' is accepted", platforms[i].in);
            err_free(e);
            continue;
        }
        if (e)
            fail_msg("'%s' is refused: %s", platforms[i].in, err_message(e));
        platform_format(&p, out, sizeof(out));
        if (strcmp(p.os, platforms[i].os) != 0 || strcmp(p.arch, platforms[i].arch) != 0 ||
            strcmp(p.variant, platforms[i].variant) != 0 || strcmp(out, platforms[i].out) != 0)
            fail_msg("'%s' gives %s|%s|%s, %s", platforms[i].in, p.os, p.arch, p.variant, out);
    }
}

/* What `images` hold, best first for `wanted`; what stands behind '!' must not be taken. */
static const struct {
    const char *wanted, *images;
} ranks[] = {
    { "linux/amd64", "linux/x86_64/v1 linux/386 !linux/amd64/v2 !linux/arm64 !windows/amd64 !linux/386/sse2" },
    { "linux/amd64/v3", "linux/amd64/v3 linux/amd64/v2 linux/amd64 linux/i386 !linux/amd64/v4" },
    { "linux/386", "linux/386 !linux/amd64" },
    { "linux/arm/v7", "linux/arm linux/arm/v6 linux/arm/v5 !linux/arm/v8 !linux/arm64 !linux/arm/v4" },
    { "linux/arm", "linux/arm/v7 linux/arm/6" },
    { "linux/arm/v6", "linux/arm/v6 linux/arm/v5 !linux/arm/v7" },
    { "linux/arm/v5", "linux/arm/v5 !linux/arm/v6" },
    { "linux/arm/odd", "linux/arm/odd !linux/arm/v7" },
    { "linux/arm64",
      "linux/arm64/v8 linux/arm/v8 linux/arm/v7 linux/arm/v6 linux/arm/v5 !linux/arm64/v8.1 !linux/arm64/v9" },
    { "linux/arm64/v8.2", "linux/arm64/v8.2 linux/arm64/v8.1 linux/aarch64 linux/arm/v8 !linux/arm64/v8.3" },
    { "linux/arm64/v9",
      "linux/arm64/v9.0 linux/arm64/v8.5 linux/arm64/v8.1 linux/arm64 linux/arm/v7 !linux/arm64/v8.6" },
    { "linux/arm64/v9.7",
      "linux/arm64/v9.7 linux/arm64/v9.1 linux/arm64/v9 linux/arm64/v8.9 linux/arm64 linux/arm/v5" },
    { "linux/arm64/v9.8", "linux/arm64/v9.8 !linux/arm64 !linux/arm/v7" },
    { "linux/s390x", "linux/s390x !linux/amd64" },
    { "linux/riscv64/a", "linux/riscv64/a !linux/riscv64/b !linux/riscv64" },
};

static void test_rank(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(ranks); i++) {
        AUTO_FREE char *all = xstrdup(ranks[i].images);
        char *save = NULL;
        int before = 1000;
        struct platform w, p;

        assert_null(platform_parse(ranks[i].wanted, &w));
        for (char *t = strtok_r(all, " ", &save); t; t = strtok_r(NULL, " ", &save)) {
            assert_null(platform_parse(t + (*t == '!'), &p));
            int rank = platform_rank(&w, &p);
            if (*t == '!' ? rank != 0 : rank <= 0 || rank > before)
                fail_msg("'%s' for '%s' has rank %d", t, ranks[i].wanted, rank);
            if (platform_matches(&w, &p) != (rank > 0))
                fail_msg("'%s' for '%s' matches otherwise", t, ranks[i].wanted);
            before = *t == '!' ? before : rank - 1; /* each is worse than the one before it */
        }
    }
}

static void test_normalize(void **state)
{
    (void)state;
    struct platform p = { .arch = "aarch64", .variant = "V8" };

    platform_normalize(&p);
    assert_string_equal(p.os, "linux");
    assert_string_equal(p.arch, "arm64");
    assert_string_equal(p.variant, "");
    p = (struct platform){ .os = "Linux", .arch = "ARM" };
    platform_normalize(&p);
    assert_string_equal(p.os, "linux");
    assert_string_equal(p.variant, "v7");
    struct platform host = platform_host();
    assert_string_equal(host.os, "linux");
    assert_true(host.arch[0] != '\0');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refs),      cmocka_unit_test(test_ref_lengths), cmocka_unit_test(test_ref_copy),
        cmocka_unit_test(test_platforms), cmocka_unit_test(test_rank),        cmocka_unit_test(test_normalize),
    };

    return cmocka_run_group_tests_name("oci_ref", tests, NULL, NULL);
}
