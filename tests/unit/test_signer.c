#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above first */
#include <cmocka.h>

#include "base/limits.h"
#include "digest/signer.h"
#include "sys/file.h"

#include <string.h>

/* Both hold the same key and certificate; the PKCS#12 file has the password "pass" and its certificate under RC2. */
#define PEM    "tests/fixtures/application.pem"
#define PKCS12 "tests/fixtures/old.p12"

static void read_file(const char *path, struct buf *out)
{
    assert_null(file_read(path, LIMIT_SETTING_FILE_BYTES, out));
}

/* A copy of n bytes on the heap, so that a read behind them is seen. */
static struct err *try_bytes(const char *p, size_t n, const char *password, struct signer **ret)
{
    AUTO_FREE char *copy = n ? xcalloc(1, n) : NULL;

    if (n)
        memcpy(copy, p, n);
    return signer_new(copy ? copy : "", n, password, ret);
}

static void test_forms(void **state)
{
    AUTO(buf_release) struct buf pem = BUF_INIT, p12 = BUF_INIT;
    AUTO(signer_free) struct signer *a = NULL, *b = NULL;
    unsigned char x[32], y[32];
    int64_t from, until;

    (void)state;
    read_file(PEM, &pem);
    read_file(PKCS12, &p12);
    assert_null(try_bytes(pem.data, pem.len, NULL, &a));
    assert_null(try_bytes(p12.data, p12.len, "pass", &b));
    signer_thumbprint(a, x);
    signer_thumbprint(b, y);
    assert_memory_equal(x, y, sizeof(x));
    signer_validity(b, &from, &until);
    assert_true(from > 1600000000 && until > from);
    assert_int_equal(signer_certificates(a), 1);
    AUTO(buf_release) struct buf der = BUF_INIT;
    signer_certificate_der(a, 0, &der);
    assert_true(der.len > 300 && (unsigned char)der.data[0] == 0x30);
}

/* PSS has a random salt: two signatures differ, and both are as long as the key. */
static void test_sign(void **state)
{
    AUTO(buf_release) struct buf pem = BUF_INIT, one = BUF_INIT, two = BUF_INIT;
    AUTO(signer_free) struct signer *s = NULL;

    (void)state;
    read_file(PEM, &pem);
    assert_null(signer_new(pem.data, pem.len, NULL, &s));
    assert_null(signer_sign(s, "text", 4, &one));
    assert_null(signer_sign(s, "text", 4, &two));
    assert_int_equal(one.len, 256);
    assert_int_equal(two.len, 256);
    assert_memory_not_equal(one.data, two.data, 256);
}

static const struct {
    const char *name, *text, *password, *want;
} refused[] = {
    { "nothing", "", NULL, "neither PEM text nor" },
    { "text", "hello", NULL, "neither PEM text nor" },
    { "a certificate alone", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", NULL, "no private key" },
    { "a key that is none", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", NULL, "no private key" },
};

static void test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        struct signer *s = NULL;
        struct err *e = try_bytes(refused[i].text, strlen(refused[i].text), refused[i].password, &s);

        if (!e || err_kind(e) != ERR_SETTING || !strstr(err_message(e), refused[i].want))
            fail_msg("'%s': %s", refused[i].name, e ? err_message(e) : "accepted");
        err_free(e);
    }
}

static void test_passwords(void **state)
{
    static const char *const rows[][2] = {
        { NULL, "has a password, and none is given" },
        { "", "has a password, and none is given" },
        { "Pass", "the password of the PKCS#12 file is wrong" },
    };
    AUTO(buf_release) struct buf p12 = BUF_INIT;

    (void)state;
    read_file(PKCS12, &p12);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct signer *s = NULL;
        struct err *e = signer_new(p12.data, p12.len, rows[i][0], &s);

        assert_non_null(e);
        assert_non_null(strstr(err_message(e), rows[i][1]));
        err_free(e);
    }
}

/* Any damage is an error value, and nothing is read outside. */
static void test_damaged(void **state)
{
    static const char *const files[] = { PEM, PKCS12 };

    (void)state;
    for (size_t f = 0; f < 2; f++) {
        AUTO(buf_release) struct buf all = BUF_INIT;

        read_file(files[f], &all);
        for (size_t i = 0; i < all.len; i += 29) {
            struct signer *s = NULL;

            err_free(try_bytes(all.data, i, "pass", &s));
            signer_free(s);
            s = NULL;
            all.data[i] ^= 0x15;
            err_free(try_bytes(all.data, all.len, "pass", &s));
            all.data[i] ^= 0x15;
            signer_free(s);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),     cmocka_unit_test(test_sign),    cmocka_unit_test(test_refused),
        cmocka_unit_test(test_passwords), cmocka_unit_test(test_damaged),
    };

    return cmocka_run_group_tests_name("signer", tests, NULL, NULL);
}
