#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above first */
#include <cmocka.h>

#include "../../cmd/copyup/report.h"
#include "base/buf.h"
#include "base/limits.h"
#include "sys/file.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define DIGEST   "sha256:5555555555555555555555555555555555555555555555555555555555555555"

static char *tag_items[] = { (char[]){ "1.0" }, (char[]){ "latest" } };

static struct report make_report(size_t n_tags)
{
    return (struct report){ .repo = "shop.azurecr.io/app", .tags = { tag_items, n_tags, n_tags }, .digest = DIGEST };
}

static void test_artifact(void **state)
{
    (void)state;
    struct report r = make_report(2);
    AUTO_FREE char *two = report_artifact(&r);

    assert_string_equal(two, "{\n"
                             "\t\"kind\": \"docker/v1\",\n"
                             "\t\"data\": {\n"
                             "\t\t\"registryType\": \"Docker\",\n"
                             "\t\t\"registryUrl\": \"\",\n"
                             "\t\t\"images\": [\n"
                             "\t\t\t{\n"
                             "\t\t\t\t\"image\": \"shop.azurecr.io/app:1.0\",\n"
                             "\t\t\t\t\"digest\": \"" DIGEST "\"\n"
                             "\t\t\t},\n"
                             "\t\t\t{\n"
                             "\t\t\t\t\"image\": \"shop.azurecr.io/app:latest\",\n"
                             "\t\t\t\t\"digest\": \"" DIGEST "\"\n"
                             "\t\t\t}\n"
                             "\t\t]\n"
                             "\t}\n"
                             "}");
    r.repo = NULL;
    AUTO_FREE char *none = report_artifact(&r);
    assert_non_null(strstr(none, "\t\t\"images\": null\n\t}\n}"));
    r = make_report(1);
    r.portal_url = "https://portal.azure.com/#view/a%2Fb";
    AUTO_FREE char *portal = report_artifact(&r);
    assert_non_null(strstr(portal, "\"registryUrl\": \"https://portal.azure.com/#view/a%2Fb\","));
    r = make_report(1);
    r.repo = "a&b<c>\"";
    AUTO_FREE char *escaped = report_artifact(&r);
    assert_non_null(strstr(escaped, "\"a\\u0026b\\u003cc\\u003e\\\":1.0\""));
}

#define OURS "digest=\"" DIGEST "\"\n"

static const struct {
    const char *name, *tar_path, *existing, *want;
} outputs[] = {
    { "new file", NULL, "", OURS },
    { "archive", "/w/a.tar", "", "IMAGE_TAR_PATH=\"/w/a.tar\"\n" OURS },
    { "special characters", "a\\b\"c!d$e`f\ng\rh", "", "IMAGE_TAR_PATH=\"a\\\\b\\\"c\\!d\\$e\\`f\\ng\\rh\"\n" OURS },
    { "number", "007", "", "IMAGE_TAR_PATH=7\n" OURS },
    { "other variables stay", NULL, "b=\"2\"\na=1\n", "b=\"2\"\na=1\n" OURS },
    { "no line end", NULL, "b=2", "b=2\n" OURS },
    { "ours is replaced", NULL, "a=1\ndigest=\"old\"\nc=3\n", "a=1\nc=3\n" OURS },
    { "ours in other spellings", NULL, "export digest=x\n  digest = y\ndigest: z\n", OURS },
    { "an archive that is no longer written", NULL, "IMAGE_TAR_PATH=\"/old\"\n", OURS },
    { "longer names are others'", NULL, "digest2=1\nmydigest=2\n", "digest2=1\nmydigest=2\n" OURS },
    { "comments and blank lines stay", NULL, "# digest=1\n\n", "# digest=1\n\n" OURS },
};

static void test_outputs(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(outputs); i++) {
        struct report r = make_report(1);

        r.tar_path = outputs[i].tar_path;
        AUTO_FREE char *have = report_outputs(&r, outputs[i].existing);
        if (strcmp(have, outputs[i].want) != 0)
            fail_msg("'%s' gives %s", outputs[i].name, have);
    }
}

/* With a cache it is told whether the image is new; without one a variable of that name is somebody else's. */
static void test_changed(void **state)
{
    struct report r = make_report(1);

    (void)state;
    AUTO_FREE char *others = report_outputs(&r, "changed=yes\n");
    assert_string_equal(others, "changed=yes\n" OURS);
    r.changed = "false";
    AUTO_FREE char *ours = report_outputs(&r, "a=1\nchanged=yes\n");
    assert_string_equal(ours, "a=1\nchanged=\"false\"\n" OURS);
}

static void test_image_digests(void **state)
{
    (void)state;
    struct report r = make_report(2);
    AUTO_FREE char *image = report_image_digest(&r);
    AUTO_FREE char *images = report_image_tag_digests(&r);

    assert_string_equal(image, "shop.azurecr.io/app@" DIGEST "\n");
    assert_string_equal(images, "shop.azurecr.io/app:1.0@" DIGEST "\nshop.azurecr.io/app:latest@" DIGEST "\n");
    r.repo = NULL;
    AUTO_FREE char *no_image = report_image_digest(&r);
    AUTO_FREE char *no_images = report_image_tag_digests(&r);
    assert_string_equal(no_image, "");
    assert_string_equal(no_images, "");
}

static void expect_file(const char *path, const char *want)
{
    struct buf b = BUF_INIT;
    struct stat st;

    assert_null(file_read(path, LIMIT_SETTING_FILE_BYTES, &b));
    assert_string_equal(buf_str(&b), want);
    buf_release(&b);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0644);
}

static void test_write(void **state)
{
    (void)state;
    char dir[] = "/tmp/test_report.XXXXXX";
    struct report r = make_report(1);
    struct settings s = { .digest_file = NULL };

    assert_non_null(mkdtemp(dir));
    AUTO_FREE char *digest = xasprintf("%s/digest", dir);
    AUTO_FREE char *artifact = xasprintf("%s/new/artifact", dir);
    AUTO_FREE char *output = xasprintf("%s/output", dir);
    AUTO_FREE char *parent = xasprintf("%s/new", dir);
    AUTO_FREE char *want = report_artifact(&r);
    assert_null(report_write(&r, &s)); /* nothing is named, nothing is written */
    assert_null(file_write_atomic(output, "a=1\n", 4, 0644));
    s.artifact_file = artifact;
    s.output_file = output;
    s.digest_file = digest;
    strs_add(&s.image_digest_files, "/proc/nowhere/x");
    struct err *e = report_write(&r, &s);
    assert_non_null(e); /* and the others are written all the same */
    assert_non_null(strstr(err_message(e), "PLUGIN_IMAGE_NAME_WITH_DIGEST_FILE"));
    err_free(e);
    expect_file(digest, DIGEST);
    expect_file(artifact, want);
    expect_file(output, "a=1\n" OURS);
    strs_release(&s.image_digest_files);
    assert_int_equal(file_remove_tree(AT_FDCWD, dir) == NULL, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_artifact),      cmocka_unit_test(test_outputs), cmocka_unit_test(test_changed),
        cmocka_unit_test(test_image_digests), cmocka_unit_test(test_write),
    };

    return cmocka_run_group_tests_name("report", tests, NULL, NULL);
}
