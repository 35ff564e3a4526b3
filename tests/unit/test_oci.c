#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above first */
#include <cmocka.h>

#include "base/buf.h"
#include "base/limits.h"
#include "oci/config.h"
#include "oci/manifest.h"

#include <string.h>

#define COUNT(a)         (sizeof(a) / sizeof((a)[0]))
#define D1               "sha256:1111111111111111111111111111111111111111111111111111111111111111"
#define D2               "sha256:2222222222222222222222222222222222222222222222222222222222222222"
#define CONFIG_DESC      "{\"mediaType\":\"" MEDIA_OCI_CONFIG "\",\"digest\":\"" D1 "\",\"size\":7}"
#define LAYER_DESC(type) "{\"mediaType\":\"" type "\",\"digest\":\"" D2 "\",\"size\":9}"

static void expect_error(const char *name, struct err *e, const char *why)
{
    char *out = NULL;
    size_t n = 0;

    if (!e)
        fail_msg("'%s' is accepted", name);
    FILE *f = open_memstream(&out, &n);
    err_print(f, e);
    fclose(f);
    if (!strstr(out, why))
        fail_msg("'%s' says: %s", name, out);
    if (err_kind(e) != ERR_REGISTRY)
        fail_msg("'%s' is of kind %d", name, (int)err_kind(e));
    free(out);
    err_free(e);
}

/* kind -1: refused. */
static const struct {
    const char *name, *content_type, *text;
    int kind;
} kinds[] = {
    { "docker manifest by header", MEDIA_DOCKER_MANIFEST, "", MANIFEST_IMAGE },
    { "header with a parameter", MEDIA_OCI_INDEX "; charset=utf-8", "", MANIFEST_INDEX },
    { "docker list by header", MEDIA_DOCKER_LIST, "", MANIFEST_INDEX },
    { "OCI manifest by member", NULL, "{\"mediaType\":\"" MEDIA_OCI_MANIFEST "\"}", MANIFEST_IMAGE },
    { "OCI index by member", "application/json", "{\"mediaType\":\"" MEDIA_OCI_INDEX "\"}", MANIFEST_INDEX },
    { "index by its list", NULL, "{\"schemaVersion\":2,\"manifests\":[]}", MANIFEST_INDEX },
    { "manifest by its configuration", NULL, "{\"schemaVersion\":2,\"config\":{}}", MANIFEST_IMAGE },
    { "schema 1 by header", "application/vnd.docker.distribution.manifest.v1+prettyjws", "{}", -1 },
    { "schema 1 by version", NULL, "{\"schemaVersion\":1,\"fsLayers\":[]}", -1 },
    { "something else", NULL, "{\"mediaType\":\"application/x-nonsense\"}", -1 },
    { "nothing known", NULL, "{}", -1 },
    { "no object", NULL, "[]", -1 },
    { "no JSON", "text/html", "<html>", -1 },
};

static void test_kind(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(kinds); i++) {
        enum manifest_kind kind = MANIFEST_IMAGE;
        struct err *e = manifest_kind(kinds[i].content_type, kinds[i].text, strlen(kinds[i].text), &kind);

        if (kinds[i].kind < 0) {
            expect_error(kinds[i].name, e, "");
            continue;
        }
        if (e || (int)kind != kinds[i].kind)
            fail_msg("'%s': %s", kinds[i].name, e ? err_message(e) : "the other kind");
    }
}

/* why NULL: accepted, and written as `text` again if that starts with {"schemaVersion". */
static const struct {
    const char *name, *text, *why;
} manifests[] = {
    { "OCI",
      "{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_OCI_MANIFEST "\",\"config\":" CONFIG_DESC
      ",\"layers\":[" LAYER_DESC(MEDIA_OCI_LAYER_GZIP) "," LAYER_DESC(MEDIA_OCI_LAYER_ZSTD) "]}",
      NULL },
    { "Docker",
      "{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_DOCKER_MANIFEST
      "\",\"config\":{\"mediaType\":\"" MEDIA_DOCKER_CONFIG "\",\"digest\":\"" D1
      "\",\"size\":7},\"layers\":[" LAYER_DESC(MEDIA_DOCKER_LAYER) "]}",
      NULL },
    { "foreign layer",
      "{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_OCI_MANIFEST "\",\"config\":" CONFIG_DESC
      ",\"layers\":[" LAYER_DESC("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip") "]}",
      NULL },
    { "no layer",
      "{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_OCI_MANIFEST "\",\"config\":" CONFIG_DESC ",\"layers\":[]}", NULL },
    { "no mediaType, unknown member", " {\"x\":1,\"schemaVersion\":2,\"config\":" CONFIG_DESC ",\"layers\":null}",
      NULL },
    { "schema version", "{\"schemaVersion\":3}", "schema version" },
    { "no configuration", "{\"schemaVersion\":2,\"layers\":[]}", "config" },
    { "an index", "{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_OCI_INDEX "\"}", "of type" },
    { "chart",
      "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"application/vnd.cncf.helm.config.v1+json\",\"digest\":\"" D1
      "\",\"size\":7},\"layers\":[]}",
      "not a container image" },
    { "huge configuration",
      "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"" MEDIA_OCI_CONFIG "\",\"digest\":\"" D1
      "\",\"size\":99999999999},\"layers\":[]}",
      "99999999999 bytes" },
    { "negative size",
      "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"" MEDIA_OCI_CONFIG "\",\"digest\":\"" D1
      "\",\"size\":-1},\"layers\":[]}",
      "size" },
    { "bad digest",
      "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"" MEDIA_OCI_CONFIG
      "\",\"digest\":\"sha256:../../x\",\"size\":1},\"layers\":[]}",
      "not a sha256 digest" },
    { "layers of another type", "{\"schemaVersion\":2,\"config\":" CONFIG_DESC ",\"layers\":{}}", "not a list" },
    { "layer without digest",
      "{\"schemaVersion\":2,\"config\":" CONFIG_DESC ",\"layers\":[{\"mediaType\":\"" MEDIA_OCI_LAYER
      "\",\"size\":1}]}",
      "layer 1" },
    { "layer of an unknown type",
      "{\"schemaVersion\":2,\"config\":" CONFIG_DESC
      ",\"layers\":[" LAYER_DESC(MEDIA_OCI_LAYER) "," LAYER_DESC("application/vnd.in-toto+json") "]}",
      "layer 2" },
    { "encrypted layer",
      "{\"schemaVersion\":2,\"config\":" CONFIG_DESC ",\"layers\":[" LAYER_DESC(MEDIA_OCI_LAYER_GZIP "+encrypted") "]}",
      "no tar layer" },
    { "no object", "[]", "not a JSON object" },
    { "no JSON", "nonsense", "JSON" },
};

static void test_manifest(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(manifests); i++) {
        __attribute__((cleanup(manifest_release_auto))) struct manifest m = { 0 };
        struct err *e = manifest_parse(manifests[i].text, strlen(manifests[i].text), &m);

        if (manifests[i].why) {
            expect_error(manifests[i].name, e, manifests[i].why);
            continue;
        }
        if (e)
            fail_msg("'%s' is refused: %s", manifests[i].name, err_message(e));
        AUTO_FREE char *out = manifest_write(&m);
        if (manifests[i].text[0] == '{' && strcmp(out, manifests[i].text) != 0)
            fail_msg("'%s' is written as %s", manifests[i].name, out);
    }
}

static void test_too_many_layers(void **state)
{
    (void)state;
    struct buf b = BUF_INIT;
    struct manifest m;

    buf_puts(&b, "{\"schemaVersion\":2,\"config\":" CONFIG_DESC ",\"layers\":[0");
    for (int i = 0; i < LIMIT_LAYERS; i++)
        buf_puts(&b, ",0");
    buf_puts(&b, "]}");
    expect_error("layers", manifest_parse(b.data, b.len, &m), "501 layers, more than 500");
    buf_release(&b);
}

#define ENTRY(type, platform) "{\"mediaType\":\"" type "\",\"digest\":\"" D1 "\",\"size\":3" platform "}"
#define FOR(arch, rest)       ",\"platform\":{\"architecture\":\"" arch "\",\"os\":\"linux\"" rest "}"
#define INDEX(entries)        "{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_OCI_INDEX "\",\"manifests\":[" entries "]}"

/* which: the entry that is chosen for `wanted`, -1 = none. */
static const struct {
    const char *name, *text, *wanted;
    int which;
} indexes[] = {
    { "exact", INDEX(ENTRY(MEDIA_OCI_MANIFEST, FOR("arm64", "")) "," ENTRY(MEDIA_OCI_MANIFEST, FOR("amd64", ""))),
      "linux/amd64", 1 },
    { "variant spelt out", INDEX(ENTRY(MEDIA_OCI_MANIFEST, FOR("arm64", ",\"variant\":\"v8\""))), "linux/arm64", 0 },
    { "the best variant",
      INDEX(ENTRY(MEDIA_OCI_MANIFEST, FOR("arm", ",\"variant\":\"v5\"")) "," ENTRY(
          MEDIA_OCI_MANIFEST, FOR("arm", ",\"variant\":\"v7\"")) "," ENTRY(MEDIA_OCI_MANIFEST,
                                                                           FOR("arm", ",\"variant\":\"v6\""))),
      "linux/arm/v7", 1 },
    { "the next best variant",
      INDEX(ENTRY(MEDIA_OCI_MANIFEST, FOR("arm", ",\"variant\":\"v5\"")) "," ENTRY(MEDIA_OCI_MANIFEST,
                                                                                   FOR("arm", ",\"variant\":\"v7\""))),
      "linux/arm/v6", 0 },
    { "not for us", INDEX(ENTRY(MEDIA_OCI_MANIFEST, FOR("arm64", ""))), "linux/amd64", -1 },
    { "attestation",
      INDEX(ENTRY(MEDIA_OCI_MANIFEST, ",\"platform\":{\"architecture\":\"unknown\",\"os\":\"unknown\"}")),
      "linux/amd64", -1 },
    { "nested index", INDEX(ENTRY(MEDIA_OCI_INDEX, FOR("amd64", ""))), "linux/amd64", 0 },
    { "something else", INDEX(ENTRY("application/vnd.x", FOR("amd64", ""))), "linux/amd64", -1 },
    { "386 for want of amd64",
      INDEX(ENTRY(MEDIA_OCI_MANIFEST, FOR("arm64", "")) "," ENTRY(MEDIA_OCI_MANIFEST, FOR("386", ""))), "linux/amd64",
      1 },
    { "arm for want of arm64",
      INDEX(ENTRY(MEDIA_OCI_MANIFEST, FOR("arm", ",\"variant\":\"v6\"")) "," ENTRY(MEDIA_OCI_MANIFEST,
                                                                                   FOR("arm", ",\"variant\":\"v7\""))),
      "linux/arm64", 1 },
    { "the only one, without platform", INDEX(ENTRY(MEDIA_OCI_MANIFEST, "")), "linux/amd64", 0 },
    { "two without platform", INDEX(ENTRY(MEDIA_OCI_MANIFEST, "") "," ENTRY(MEDIA_OCI_MANIFEST, "")), "linux/amd64",
      0 },
    { "one without platform is the last choice",
      INDEX(ENTRY(MEDIA_OCI_MANIFEST, "") "," ENTRY(MEDIA_OCI_MANIFEST, FOR("amd64", ""))), "linux/amd64", 1 },
    { "empty", INDEX(""), "linux/amd64", -1 },
};

static void test_index(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(indexes); i++) {
        __attribute__((cleanup(index_release_auto))) struct image_index x = { 0 };
        struct platform wanted;
        struct err *e = index_parse(indexes[i].text, strlen(indexes[i].text), &x);

        if (e)
            fail_msg("'%s' is refused: %s", indexes[i].name, err_message(e));
        assert_null(platform_parse(indexes[i].wanted, &wanted));
        const struct index_entry *entry = index_choose(&x, &wanted);
        if ((entry ? (int)(entry - x.entries) : -1) != indexes[i].which)
            fail_msg("'%s' chooses %d", indexes[i].name, entry ? (int)(entry - x.entries) : -1);
        AUTO_FREE char *out = index_write(&x);
        if (strcmp(out, indexes[i].text) != 0)
            fail_msg("'%s' is written as %s", indexes[i].name, out);
    }
}

static void test_index_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text, *why;
    } rows[] = {
        { "manifest", "{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_OCI_MANIFEST "\"}", "of type" },
        { "no list", "{\"schemaVersion\":2}", "manifests" },
        { "bad entry", INDEX("{}"), "entry 1" },
    };
    struct image_index x;

    for (size_t i = 0; i < COUNT(rows); i++)
        expect_error(rows[i].name, index_parse(rows[i].text, strlen(rows[i].text), &x), rows[i].why);
}

static void test_layer_media(void **state)
{
    (void)state;
    assert_string_equal(manifest_layer_media(IMAGE_FORMAT_DOCKER, "gzip"), MEDIA_DOCKER_LAYER);
    assert_string_equal(manifest_layer_media(IMAGE_FORMAT_OCI, "zstd"), MEDIA_OCI_LAYER_ZSTD);
    assert_string_equal(manifest_layer_media(IMAGE_FORMAT_OCI, "none"), MEDIA_OCI_LAYER);
    assert_null(manifest_layer_media(IMAGE_FORMAT_DOCKER, "zstd"));
    assert_null(manifest_layer_media(IMAGE_FORMAT_OCI, "lzma"));
}

#define ROOTFS ",\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]}}"

/* out NULL: written as it was. */
static const struct {
    const char *name, *in, *out;
} configs[] = {
    { "least", "{\"architecture\":\"amd64\",\"config\":{}" ROOTFS, NULL },
    { "everything",
      "{\"architecture\":\"arm64\",\"author\":\"me\",\"config\":{\"User\":\"app\",\"ExposedPorts\":{\"53/udp\":{},"
      "\"80/tcp\":{}},\"Env\":[\"B=1\",\"A=2\"],\"Entrypoint\":[\"/e\"],\"Cmd\":[\"a\",\"b\"],\"Volumes\":{\"/v\":{}},"
      "\"WorkingDir\":\"/w\",\"Labels\":{\"a\":\"1\",\"b\":\"\"},\"StopSignal\":\"SIGQUIT\",\"Healthcheck\":{\"Test\":["
      "\"CMD\",\"x\"],\"Interval\":1,\"Timeout\":2,\"StartPeriod\":3,\"StartInterval\":4,\"Retries\":5},\"OnBuild\":["
      "\"RUN x\"],\"Shell\":[\"/bin/bash\",\"-c\"]},\"created\":\"2026-01-02T03:04:05Z\",\"history\":[{\"created\":"
      "\"2026-01-02T03:04:05Z\",\"created_by\":\"RUN x\",\"author\":\"me\",\"comment\":\"c\"},{\"empty_layer\":true}],"
      "\"os\":\"linux\",\"os.features\":[\"a\",\"b\"],\"os.version\":\"1\",\"rootfs\":{\"type\":\"layers\",\"diff_"
      "ids\":[\"" D1 "\"]},\"variant\":"
      "\"v8\"}",
      NULL },
    { "sorted, each once",
      "{\"architecture\":\"amd64\",\"config\":{\"ExposedPorts\":{\"9\":{},\"80\":{},\"9\":{}},\"Volumes\":{\"/b\":{},"
      "\"/a\":{}},\"Labels\":{\"b\":\"1\",\"a\":\"2\",\"b\":\"3\"}}" ROOTFS,
      "{\"architecture\":\"amd64\",\"config\":{\"ExposedPorts\":{\"80\":{},\"9\":{}},\"Volumes\":{\"/a\":{},\"/b\":{}},"
      "\"Labels\":{\"a\":\"2\",\"b\":\"3\"}}" ROOTFS },
    { "null and empty are left out",
      "{\"architecture\":\"amd64\",\"created\":null,\"author\":\"\",\"config\":{\"Env\":null,\"Cmd\":[],\"Labels\":{},"
      "\"User\":\"\",\"Healthcheck\":null,\"Volumes\":null},\"history\":[]" ROOTFS,
      "{\"architecture\":\"amd64\",\"config\":{}" ROOTFS },
    { "unknown members do not survive",
      "{\"architecture\":\"amd64\",\"container\":\"x\",\"docker_version\":\"1\",\"config\":{\"Image\":\"x\"}" ROOTFS,
      "{\"architecture\":\"amd64\",\"config\":{}" ROOTFS },
    { "no configuration", "{\"architecture\":\"amd64\"" ROOTFS, "{\"architecture\":\"amd64\",\"config\":{}" ROOTFS },
    { "more history than layers",
      "{\"architecture\":\"amd64\",\"config\":{},\"history\":[{\"created_by\":\"a\"},{\"created_by\":\"b\"}],\"os\":"
      "\"linux\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"" D1 "\"]}}",
      "{\"architecture\":\"amd64\",\"config\":{},\"history\":[{\"created_by\":\"a\"},{\"created_by\":\"b\","
      "\"empty_layer\":true}],\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"" D1 "\"]}}" },
};

static void test_config(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(configs); i++) {
        __attribute__((cleanup(config_release_auto))) struct image_config c = { 0 }, copy = { 0 };
        const char *want = configs[i].out ? configs[i].out : configs[i].in;
        struct err *e = config_parse(configs[i].in, strlen(configs[i].in), &c);

        if (e)
            fail_msg("'%s' is refused: %s", configs[i].name, err_message(e));
        config_copy(&copy, &c);
        AUTO_FREE char *out = config_write(&c);
        AUTO_FREE char *again = config_write(&copy);
        if (strcmp(out, want) != 0)
            fail_msg("'%s' is written as %s", configs[i].name, out);
        assert_string_equal(out, again);
    }
}

static const struct {
    const char *name, *in, *why;
} bad_configs[] = {
    { "list", "[]", "not an object" },
    { "created", "{\"created\":1}", "'created' is not a string" },
    { "os", "{\"os\":1}", "platform" },
    { "endless architecture", "{\"architecture\":\"0123456789012345678901234567890123456789\"}", "platform" },
    { "config", "{\"config\":[]}", "'config' is not an object" },
    { "Env", "{\"config\":{\"Env\":\"A=1\"}}", "'Env' is not a list" },
    { "Env entry", "{\"config\":{\"Env\":[1]}}", "'Env' is not a list of strings" },
    { "Volumes", "{\"config\":{\"Volumes\":[]}}", "'Volumes' is not an object" },
    { "Labels", "{\"config\":{\"Labels\":{\"a\":1}}}", "object of strings" },
    { "Healthcheck", "{\"config\":{\"Healthcheck\":{\"Retries\":\"x\"}}}", "whole number" },
    { "diff_ids", "{\"rootfs\":{\"diff_ids\":{}}}", "'diff_ids' is not a list" },
    { "diff id", "{\"rootfs\":{\"diff_ids\":[\"sha256:1\"]}}", "not a sha256 digest" },
    { "history", "{\"history\":[1]}", "list of objects" },
    { "no JSON", "{", "JSON" },
};

static void test_bad_config(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(bad_configs); i++) {
        struct image_config c;

        expect_error(bad_configs[i].name, config_parse(bad_configs[i].in, strlen(bad_configs[i].in), &c),
                     bad_configs[i].why);
    }
}

static void test_config_build(void **state)
{
    (void)state;
    __attribute__((cleanup(config_release_auto))) struct image_config c;
    struct platform p;
    struct digest d;

    assert_null(platform_parse("linux/amd64", &p));
    config_init(&c, &p);
    config_set_label(&c, "k", "1");
    config_set_label(&c, "k", "2");
    config_set_label(&c, "k", c.labels[0].value);
    assert_null(digest_parse(D2, &d));
    config_add_diff_id(&c, &d);
    config_add_history(&c, NULL, "COPY a b # \"x\"", "note", false);
    c.has_cmd = true; /* CMD [] */
    AUTO_FREE char *out = config_write(&c);
    assert_string_equal(out, "{\"architecture\":\"amd64\",\"config\":{\"Labels\":{\"k\":\"2\"}},\"history\":[{"
                             "\"created_by\":\"COPY a b # \\\"x\\\"\",\"comment\":\"note\"}],\"os\":\"linux\","
                             "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"" D2 "\"]}}");
}

/* in: the times of the history, '-' = none, then what comes of them and of the image's own. */
static const struct {
    const char *name, *in, *out;
} times[] = {
    { "settings on a base", "1 2 - -", "1 2 2 2 = 2" },
    { "a new layer", "1 2 - 9", "1 2 9 9 = 9" },
    { "settings behind a layer", "1 - 8 - 9 -", "1 8 8 8 9 9 = 9" },
    { "settings before all layers", "- - 5", "5 5 5 = 5" },
    { "nothing has a time", "- -", "now now = now" },
    { "no history", "", "= base" },
    { "old entries are kept", "5 3", "5 3 = 3" },
};

static void test_fill_times(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(times); i++) {
        __attribute__((cleanup(config_release_auto))) struct image_config c = { .created = xstrdup("base") };
        AUTO(buf_release) struct buf out = BUF_INIT;
        AUTO_FREE char *in = xstrdup(times[i].in);
        char *save = NULL;

        for (char *t = strtok_r(in, " ", &save); t; t = strtok_r(NULL, " ", &save))
            config_add_history(&c, *t == '-' ? NULL : t, "x", NULL, *t == '-');
        config_fill_times(&c, "now");
        for (size_t k = 0; k < c.n_history; k++)
            buf_printf(&out, "%s ", c.history[k].created);
        buf_printf(&out, "= %s", c.created);
        if (strcmp(buf_str(&out), times[i].out) != 0)
            fail_msg("'%s': %s", times[i].name, buf_str(&out));
    }
}

static void test_time(void **state)
{
    (void)state;
    char text[32];

    config_format_time(0, text);
    assert_string_equal(text, "1970-01-01T00:00:00Z");
    config_format_time(1767323045, text);
    assert_string_equal(text, "2026-01-02T03:04:05Z");
    config_format_time(-1, text);
    assert_string_equal(text, "1969-12-31T23:59:59Z");
    config_format_time(INT64_MIN, text);
    assert_string_equal(text, "1970-01-01T00:00:00Z");
    config_format_time(INT64_MAX, text);
    assert_string_equal(text, "1970-01-01T00:00:00Z");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kind),   cmocka_unit_test(test_manifest),      cmocka_unit_test(test_too_many_layers),
        cmocka_unit_test(test_index),  cmocka_unit_test(test_index_refused), cmocka_unit_test(test_layer_media),
        cmocka_unit_test(test_config), cmocka_unit_test(test_bad_config),    cmocka_unit_test(test_config_build),
        cmocka_unit_test(test_time),   cmocka_unit_test(test_fill_times),
    };

    return cmocka_run_group_tests_name("oci", tests, NULL, NULL);
}
