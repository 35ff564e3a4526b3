#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above first */
#include <cmocka.h>

#include "auth/auth.h"
#include "auth/cloud.h"
#include "auth/jwt.h"
#include "base/base64.h"

#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* What goes over the wire is tested by tests/azure. */

static const struct {
    const char *host, *suffix; /* suffix NULL: no registry of Azure's */
} registries[] = {
    { "shop.azurecr.io", ".azurecr.io" },
    { "shop.azurecr.us", ".azurecr.us" },
    { "shop.azurecr.cn", ".azurecr.cn" },
    { "shop-a1.azurecr.io", ".azurecr.io" },
    { "shop.westeurope.geo.azurecr.io", ".azurecr.io" },
    { "azurecr.io", NULL },
    { ".azurecr.io", NULL },
    { "a..azurecr.io", NULL },
    { "shopazurecr.io", NULL },
    { "shop.azurecr.io.", NULL },
    { "shop.azurecr.io:444", NULL },
    { "shop.azurecr.io.example", NULL },
    { "shop.azurecr.io@example", NULL },
    { "example/shop.azurecr.io", NULL },
    { "example?.azurecr.io", NULL },
    { "Shop.azurecr.io", NULL }, /* auth_host() makes it lower case first */
    { "shop.azurecr.com", NULL },
    { "azurecr.io.azurecr.example", NULL },
    { "127.0.0.1", NULL },
    { "", NULL },
};

static void test_registries(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(registries); i++) {
        const struct cloud *c = cloud_of_registry(registries[i].host);
        const char *want = registries[i].suffix;

        if (!c != !want || (c && strcmp(c->registry_suffix, want) != 0))
            fail_msg("'%s': %s", registries[i].host, c ? c->name : "none");
    }
    assert_true(auth_is_azure("https://SHOP.azurecr.io:443/v2/"));
    assert_false(auth_is_azure("shop.azurecr.io.example"));
}

static void test_authorities(void **state)
{
    (void)state;
    assert_ptr_equal(cloud_of_authority("login.microsoftonline.com"), cloud_of_registry("a.azurecr.io"));
    assert_ptr_equal(cloud_of_authority("login.microsoftonline.us"), cloud_of_registry("a.azurecr.us"));
    assert_ptr_equal(cloud_of_authority("login.partner.microsoftonline.cn"), cloud_of_registry("a.azurecr.cn"));
    assert_null(cloud_of_authority("login.microsoftonline.com.example"));
    assert_null(cloud_of_authority("xlogin.microsoftonline.com"));
}

static const struct {
    const char *host, *realm;
    bool allowed;
} realms[] = {
    { "shop.azurecr.io", "shop.azurecr.io", true },
    { "shop.westeurope.geo.azurecr.io", "shop.azurecr.io", true },
    { "shop.azurecr.io", "shop.azurecr.io:443", true },
    { "shop.azurecr.io", "shop2.azurecr.io", false },
    { "shop.azurecr.io", "shop.azurecr.us", false },
    { "shop.azurecr.io", "auth.example", false },
    { "shop.azurecr.io", "shop.azurecr.io.example", false },
    { "docker.io", "auth.docker.io", true },
    { "reg.example:5000", "auth.example", true },
};

static void test_realms(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(realms); i++)
        if (auth_realm_allowed(realms[i].host, realms[i].realm) != realms[i].allowed)
            fail_msg("'%s' and '%s'", realms[i].host, realms[i].realm);
}

static char *jwt_of(const char *claims)
{
    AUTO_FREE char *code = base64url_encode(claims, strlen(claims));

    return xasprintf("eyJh.%s.sig", code);
}

static void test_jwt(void **state)
{
    static const struct {
        const char *claims;
        int64_t lifetime;
    } rows[] = {
        { "{\"iat\":1000,\"exp\":5500}", 4500 },
        { "{\"exp\":5500}", 0 },
        { "{\"iat\":9,\"exp\":9}", 0 },
        { "{\"iat\":-1,\"exp\":9}", 0 },
        { "{\"iat\":\"1\",\"exp\":2}", 0 },
        { "[]", 0 },
        { "no json", 0 },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO_FREE char *token = jwt_of(rows[i].claims);

        if (jwt_lifetime(token) != rows[i].lifetime)
            fail_msg("%s: %lld", rows[i].claims, (long long)jwt_lifetime(token));
    }
    assert_null(jwt_claims("opaque"));
    assert_null(jwt_claims(""));
    assert_null(jwt_claims("."));
    assert_null(jwt_claims("a.%%%.c"));
}

static void expect(struct err *e, const char *text)
{
    if (!e || err_kind(e) != ERR_SETTING || !strstr(err_message(e), text))
        fail_msg("expected '%s', got %s", text, e ? err_message(e) : "nothing");
    err_free(e);
}

/* What can be said before anybody is asked. */
static void test_check(void **state)
{
    static const struct auth_azure_opts secret = { .client_id = "c", .tenant_id = "t", .client_secret = "s" };
    struct auth_azure_opts o = secret;
    AUTO(http_free) struct http *h = NULL;
    AUTO(auth_free) struct auth *a = auth_new();

    (void)state;
    assert_null(http_new(&(struct http_opts){ 0 }, &h));
    assert_null(auth_check_azure(a, "reg.example")); /* there is no identity */
    assert_null(auth_add_azure(a, h, &o));
    assert_null(auth_check_azure(a, "shop.azurecr.io"));
    expect(auth_check_azure(a, "reg.example"), "'reg.example' is not an Azure registry");
    auth_add_basic(a, "reg.example", "u", "p", "the test");
    assert_null(auth_check_azure(a, "reg.example"));
    o.authority = "https://login.microsoftonline.us/";
    assert_null(auth_add_azure(a, h, &o));
    assert_null(auth_check_azure(a, "shop.azurecr.us"));
    expect(auth_check_azure(a, "shop.azurecr.io"), "to Azure US Government");
    o.authority = "https://login.private.example"; /* a cloud of its own may have registries of any */
    assert_null(auth_add_azure(a, h, &o));
    assert_null(auth_check_azure(a, "shop.azurecr.io"));
    static const char *const wrong[] = { "http://login.example", "login.example", "https://",
                                         "https://a/b",          "https://u@a",   "https://a?b" };
    for (size_t i = 0; i < COUNT(wrong); i++) {
        o.authority = wrong[i];
        expect(auth_add_azure(a, h, &o), "is no https://HOST");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_registries), cmocka_unit_test(test_authorities), cmocka_unit_test(test_realms),
        cmocka_unit_test(test_jwt),        cmocka_unit_test(test_check),
    };

    return cmocka_run_group_tests_name("azure", tests, NULL, NULL);
}
