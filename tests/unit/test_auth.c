#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above first */
#include <cmocka.h>

#include "auth/auth.h"
#include "base/base64.h"

#include <string.h>

static char *print(struct err *e)
{
    char *out = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&out, &n);

    if (e)
        err_print(f, e);
    fclose(f);
    err_free(e);
    return out;
}

/* JSON with ' for ", which reads better in C. */
static char *json_of(const char *text)
{
    char *s = xstrdup(text);

    for (char *p = s; *p; p++)
        if (*p == '\'')
            *p = '"';
    return s;
}

static void test_base64(void **state)
{
    static const struct {
        const char *code, *plain;
        bool good;
    } rows[] = {
        { "", "", true },
        { "Zg==", "f", true },
        { "Zm8=", "fo", true },
        { "Zm9v", "foo", true },
        { "Zm9vYg==", "foob", true },
        { "Zm9vYmE=", "fooba", true },
        { "Zg", "f", true },
        { "Zm8", "fo", true },
        { "Pz8_", "???", true },
        { "Pz8/", "???", true },
        { "Zm9v\nYmFy\r\n", "foobar", true },
        { "Z", "", false },
        { "Zg=", "f", false },
        { "Zg==Zg==", "f", false },
        { "Zm 9v", "f", false },
        { "Zm9v!", "foo", false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        AUTO(buf_release) struct buf out = BUF_INIT;
        bool good = base64_decode(rows[i].code, strlen(rows[i].code), &out);

        if (good != rows[i].good || strcmp(buf_str(&out), rows[i].plain) != 0)
            fail_msg("'%s' gave %d '%s'", rows[i].code, good, buf_str(&out));
    }
    for (size_t n = 0; n < 64; n++) {
        unsigned char raw[64];
        AUTO(buf_release) struct buf out = BUF_INIT;

        for (size_t i = 0; i < n; i++)
            raw[i] = (unsigned char)(i * 37 + n * 11 + 200);
        AUTO_FREE char *code = base64_encode(raw, n);
        assert_int_equal(strlen(code), (n + 2) / 3 * 4);
        assert_true(base64_decode(code, strlen(code), &out));
        assert_int_equal(out.len, n);
        if (n)
            assert_memory_equal(out.data, raw, n);
    }
}

static void test_host(void **state)
{
    static const char *const rows[][2] = {
        { "docker.io", "docker.io" },
        { "index.docker.io", "docker.io" },
        { "https://index.docker.io/v1/", "docker.io" },
        { "https://registry-1.docker.io/v2/", "docker.io" },
        { "registry.hub.docker.com", "docker.io" },
        { "Reg.Example:5000", "reg.example:5000" },
        { "https://reg.example", "reg.example" },
        { "reg.example:443", "reg.example" },
        { "http://reg.example:80/", "reg.example:80" },
        { "reg.azurecr.io/team/app", "reg.azurecr.io" },
        { "localhost", "localhost" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        AUTO_FREE char *got = auth_host(rows[i][0]);
        assert_string_equal(got, rows[i][1]);
    }
}

/* dTpw is u:p, YTpiOmM= is a:b:c, Ong= is :x */
static const char config[] = "{'auths':{"
                             "'https://index.docker.io/v1/':{'auth':'dTpw'},"
                             "'reg.example':{'auth':'YTpiOmM='},"
                             "'reg.example/team':{'username':'team','password':'t'},"
                             "'https://reg.example/team/app/':{'username':'app','password':'t'},"
                             "'REG2.example:5000':{'username':'x','password':'y','auth':''},"
                             "'acr.azurecr.io':{'auth':'MDAwOg==','identitytoken':'ident'},"
                             "'tok.example':{'registrytoken':'rt'},"
                             "'*.wild.example':{'username':'w','password':'w'},"
                             "'one.wild.example':{'username':'o','password':'o'},"
                             "'nul.example':{'auth':'dTpwAAAA'},"
                             "'both.example':{'auth':'dTpw'},"
                             "'stored.example':{},"
                             "'empty.example':{'auth':''}},"
                             "'credHelpers':{'help.example':'acr-env','both.example':'gcr'},'HttpHeaders':{'x':'y'}}";

static const struct {
    const char *host, *path;
    const char *user, *password; /* NULL = anonymous, or an error */
    const char *identity, *token, *error;
} finds[] = {
    { "docker.io", "library/busybox", "u", "p", NULL, NULL, NULL },
    { "registry-1.docker.io", "a/b", "u", "p", NULL, NULL, NULL },
    { "reg.example", "other", "a", "b:c", NULL, NULL, NULL },
    { "reg.example", "team", "team", "t", NULL, NULL, NULL },
    { "reg.example", "team/x", "team", "t", NULL, NULL, NULL },
    { "reg.example", "team/app", "app", "t", NULL, NULL, NULL },
    { "reg.example", "team/app/y", "app", "t", NULL, NULL, NULL },
    { "reg.example", "team/application", "team", "t", NULL, NULL, NULL },
    { "reg.example", "teams", "a", "b:c", NULL, NULL, NULL },
    { "REG.example", NULL, "a", "b:c", NULL, NULL, NULL },
    { "reg.example:443", "x", "a", "b:c", NULL, NULL, NULL },
    { "reg.example:444", "x", NULL, NULL, NULL, NULL, NULL },
    { "reg2.example:5000", "x", "x", "y", NULL, NULL, NULL },
    { "acr.azurecr.io", "x", "000", "", "ident", NULL, NULL },
    { "tok.example", "x", NULL, NULL, NULL, "rt", NULL },
    { "two.wild.example", "x", "w", "w", NULL, NULL, NULL },
    { "one.wild.example", "x", "o", "o", NULL, NULL, NULL },
    { "a.b.wild.example", "x", NULL, NULL, NULL, NULL, NULL },
    { "wild.example", "x", NULL, NULL, NULL, NULL, NULL },
    { "nul.example", "x", "u", "p", NULL, NULL, NULL },
    { "both.example", "x", "u", "p", NULL, NULL, NULL },
    { "help.example", "x", NULL, NULL, NULL, NULL, "docker-credential-acr-env" },
    { "stored.example", "x", NULL, NULL, NULL, NULL, NULL },
    { "empty.example", "x", NULL, NULL, NULL, NULL, NULL },
    { "unknown.example", "x", NULL, NULL, NULL, NULL, NULL },
    { "given.example", "team/x", "given", "g", NULL, NULL, NULL },
};

static bool same(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static void check_find(const struct auth *a, size_t i)
{
    AUTO(credential_release) struct credential c = { 0 };
    struct err *e = auth_find(a, finds[i].host, finds[i].path, AUTH_PULL, &c);

    if (finds[i].error) {
        AUTO_FREE char *text = print(e);
        if (!strstr(text, finds[i].error))
            fail_msg("row %zu: %s", i, text);
        return;
    }
    if (e) {
        AUTO_FREE char *text = print(e);
        fail_msg("row %zu: %s", i, text);
    }
    if (!same(c.username, finds[i].user) || !same(c.password, finds[i].password) ||
        !same(c.identity_token, finds[i].identity) || !same(c.registry_token, finds[i].token))
        fail_msg("row %zu (%s/%s): got '%s'", i, finds[i].host, finds[i].path ? finds[i].path : "",
                 c.username ? c.username : "");
    bool anonymous = !finds[i].user && !finds[i].token;
    assert_true(anonymous == (c.origin == NULL));
}

static void test_find(void **state)
{
    AUTO(auth_free) struct auth *a = auth_new();
    AUTO_FREE char *text = json_of(config);

    (void)state;
    assert_null(auth_add_docker_config(a, text, strlen(text), "/secret/config.json"));
    auth_add_basic(a, "https://given.example/v2/", "given", "g", "the settings");
    for (size_t i = 0; i < sizeof(finds) / sizeof(finds[0]); i++)
        check_find(a, i);
    /* what the settings give beats what a config has */
    auth_add_basic(a, "reg.example", "mine", "m", "the settings");
    AUTO(credential_release) struct credential c = { 0 };
    assert_null(auth_find(a, "reg.example", "team/app", AUTH_PULL, &c));
    assert_string_equal(c.username, "mine");
    assert_string_equal(c.origin, "the settings");
    AUTO_FREE char *basic = credential_basic(&c);
    assert_string_equal(basic, "Basic bWluZTpt");
}

static void test_store(void **state)
{
    AUTO(auth_free) struct auth *a = auth_new();
    AUTO_FREE char *text = json_of("{'auths':{'reg.example':{}},'credsStore':'desktop'}");
    AUTO(credential_release) struct credential c = { 0 };

    (void)state;
    assert_null(auth_add_docker_config(a, text, strlen(text), "config.json"));
    struct err *e = auth_find(a, "reg.example", "x", AUTH_PULL, &c);
    assert_non_null(e);
    assert_int_equal(err_kind(e), ERR_AUTH);
    AUTO_FREE char *printed = print(e);
    assert_non_null(strstr(printed, "docker-credential-desktop"));
    assert_null(auth_find(a, "other.example", "x", AUTH_PULL, &c)); /* what the build does not touch does no harm */
    assert_null(c.origin);
}

static void test_documents(void **state)
{
    static const struct {
        const char *text, *error; /* error NULL: accepted */
        const char *user;         /* for reg.example then */
    } rows[] = {
        { "{}", NULL, NULL },
        { "{'auths':{}}", NULL, NULL },
        { "{'auths':null}", NULL, NULL },
        { "{'auths':[]}", NULL, NULL },
        { "{'auths':{'reg.example':null}}", NULL, NULL },
        { "{'auths':{'reg.example':{'username':'u'}}}", NULL, NULL },
        { "{'auths':{'reg.example':{'auth':7,'username':'u','password':'p'}}}", NULL, "u" },
        { "{'reg.example':{'auth':'dTpw','email':'x'}}", NULL, "u" },
        { "{'auths':{'reg.example':{'auth':'dTpw'}},'credsStore':''}", NULL, "u" },
        { "{'auths':{'reg.example':{'auth':'dQ=='}}}", "user:password", NULL },
        { "{'auths':{'reg.example':{'auth':'%%%secret'}}}", "user:password", NULL },
        { "[]", "not a JSON object", NULL },
        { "{", "my.json", NULL },
        { "", "my.json", NULL },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        AUTO(auth_free) struct auth *a = auth_new();
        AUTO_FREE char *text = json_of(rows[i].text);
        AUTO(credential_release) struct credential c = { 0 };
        struct err *e = auth_add_docker_config(a, text, strlen(text), "my.json");

        if (!rows[i].error != !e)
            fail_msg("row %zu: %s", i, e ? err_message(e) : "accepted");
        if (e) {
            assert_int_equal(err_kind(e), ERR_SETTING);
            AUTO_FREE char *printed = print(e);
            if (!strstr(printed, rows[i].error) || strstr(printed, "secret"))
                fail_msg("row %zu: %s", i, printed);
            continue;
        }
        assert_null(auth_find(a, "reg.example", "x", AUTH_PULL, &c));
        if (!same(c.username, rows[i].user))
            fail_msg("row %zu: user '%s'", i, c.username ? c.username : "none");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_base64), cmocka_unit_test(test_host),      cmocka_unit_test(test_find),
        cmocka_unit_test(test_store),  cmocka_unit_test(test_documents),
    };

    return cmocka_run_group_tests_name("auth", tests, NULL, NULL);
}
