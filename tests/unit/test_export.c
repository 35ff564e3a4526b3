#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above first */
#include <cmocka.h>

#include "export/export.h"
#include "sys/file.h"
#include "tar/tar.h"
#include "json/json.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

static void succeed(struct err *e)
{
    if (!e)
        return;
    err_print(stderr, e);
    err_free(e);
    fail_msg("an error was not expected");
}

static int make_dir(void **state)
{
    char *dir = xstrdup("/tmp/test_export-XXXXXX");

    *state = mkdtemp(dir);
    return *state ? 0 : -1;
}

static int remove_dir(void **state)
{
    err_free(file_remove_tree(AT_FDCWD, *state));
    free(*state);
    return 0;
}

static size_t count_entries(const char *path)
{
    DIR *dir = opendir(path);
    size_t n = 0;

    assert_non_null(dir);
    for (struct dirent *d; (d = readdir(dir));)
        n += d->d_name[0] != '.';
    closedir(dir);
    return n;
}

/* --- an image of three layers, of which two are the same --- */

#define CONFIG "{\"architecture\":\"amd64\",\"os\":\"linux\"}"
static const char *const layer_texts[] = { "layer one", "layer two is longer", "layer one" };

struct image {
    struct descriptor layers[3];
    struct manifest manifest;
    struct export_image image;
    char *text;
    size_t cut; /* how many bytes at the end of each layer are missing */
};

static struct descriptor describe(const char *media, const char *text)
{
    struct descriptor d = { .digest = digest_bytes(text, strlen(text)), .size_bytes = strlen(text) };

    snprintf(d.media_type, sizeof(d.media_type), "%s", media);
    return d;
}

static struct err *open_layer(void *ctx, const struct descriptor *blob, int *ret_fd)
{
    const struct image *im = ctx;
    FILE *f = tmpfile();

    for (size_t i = 0; f && i < 3; i++) {
        if (!digest_equal(&im->layers[i].digest, &blob->digest))
            continue;
        fwrite(layer_texts[i], 1, strlen(layer_texts[i]) - im->cut, f);
        rewind(f);
        *ret_fd = dup(fileno(f));
        fclose(f);
        return NULL;
    }
    return err_new(ERR_BUG, "no such layer");
}

static void make_image(struct image *im, enum image_format format, const char *layer_media)
{
    bool oci = format == IMAGE_FORMAT_OCI;

    *im = (struct image){ .manifest = { .format = format,
                                        .config = describe(oci ? MEDIA_OCI_CONFIG : MEDIA_DOCKER_CONFIG, CONFIG),
                                        .layers = im->layers,
                                        .n_layers = 3 } };
    for (size_t i = 0; i < 3; i++)
        im->layers[i] = describe(layer_media, layer_texts[i]);
    im->text = manifest_write(&im->manifest);
    im->image = (struct export_image){ .manifest = &im->manifest,
                                       .manifest_text = im->text,
                                       .config_text = CONFIG,
                                       .time_s = 1700000000,
                                       .open_blob = open_layer,
                                       .ctx = im };
}

static void release_image(struct image *im)
{
    free(im->text);
    strs_release(&im->image.names);
}

static char *read_text(const char *path)
{
    struct buf b = BUF_INIT;

    succeed(file_read(path, 1 << 20, &b));
    return buf_steal(&b);
}

/* --- docker archives --- */

/* "NAME=CONTENT\n" of each member. */
static void list_archive(const char *path, struct buf *out)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY);
    AUTO(tar_reader_free) struct tar_reader *r = NULL;
    bool found = true;

    succeed(tar_reader_new(file_source(&fd), &r));
    for (;;) {
        AUTO(tar_entry_release) struct tar_entry e = { 0 };
        const void *p;
        size_t n;
        uint64_t offset;

        succeed(tar_read_entry(r, &e, &found));
        if (!found)
            return;
        assert_int_equal(e.mode, S_IFREG | 0644);
        assert_int_equal(e.mtime.tv_sec, 1700000000);
        succeed(tar_read_data(r, &p, &n, &offset));
        buf_printf(out, "%s=%.*s\n", e.path, (int)n, (const char *)p);
    }
}

static void test_docker_tar(void **state)
{
    static const struct {
        const char *media, *ending;
    } rows[] = { { MEDIA_DOCKER_LAYER, "tar.gz" }, { MEDIA_OCI_LAYER_ZSTD, "tar.zst" }, { MEDIA_OCI_LAYER, "tar" } };

    for (size_t i = 0; i < 3; i++) {
        AUTO_FREE char *path = xasprintf("%s/%zu/deep/image.tar", (char *)*state, i);
        AUTO(buf_release) struct buf got = BUF_INIT, want = BUF_INIT;
        struct image im;
        struct stat st;

        make_image(&im, IMAGE_FORMAT_DOCKER, rows[i].media);
        strs_add(&im.image.names, "host:5000/a/b:1");
        strs_add(&im.image.names, "a:latest");
        succeed(export_docker_tar(path, &im.image));
        list_archive(path, &got);
        const char *config = digest_hex(&im.manifest.config.digest), *ending = rows[i].ending;
        const char *one = digest_hex(&im.layers[0].digest), *two = digest_hex(&im.layers[1].digest);

        buf_printf(&want, "%s.json=%s\n%s.%s=layer one\n%s.%s=layer two is longer\n", config, CONFIG, one, ending, two,
                   ending);
        buf_printf(&want, "%s.manifest.json=%s\n", config, im.text);
        buf_printf(&want,
                   "manifest.json=[{\"Config\":\"%s.json\",\"RepoTags\":[\"host:5000/a/b:1\",\"a:latest\"],"
                   "\"Layers\":[\"%s.%s\",\"%s.%s\",\"%s.%s\"]}]\n",
                   config, one, ending, two, ending, one, ending);
        assert_string_equal(buf_str(&got), buf_str(&want));
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode, S_IFREG | 0644);
        release_image(&im);
    }
}

/* A failure leaves the directory, and an archive that was there, as they were. */
static void test_docker_tar_fails(void **state)
{
    AUTO_FREE char *path = xasprintf("%s/image.tar", (char *)*state);
    struct image im;

    succeed(file_write_atomic(path, "old", 3, 0600));
    make_image(&im, IMAGE_FORMAT_DOCKER, MEDIA_DOCKER_LAYER);
    im.cut = 1;
    struct err *e = export_docker_tar(path, &im.image);

    assert_non_null(e);
    assert_int_equal(err_kind(e), ERR_DISK);
    err_free(e);
    AUTO_FREE char *text = read_text(path);

    assert_string_equal(text, "old");
    assert_int_equal(count_entries(*state), 1);
    release_image(&im);
}

static void test_cancelled(void **state)
{
    AUTO_FREE char *path = xasprintf("%s/image.tar", (char *)*state);
    AUTO_FREE char *layout = xasprintf("%s/oci", (char *)*state);
    AUTO_FREE char *index = xasprintf("%s/index.json", layout);
    struct cancel *cancel;
    struct image im;
    struct err *e;

    make_image(&im, IMAGE_FORMAT_DOCKER, MEDIA_DOCKER_LAYER);
    succeed(cancel_new(&cancel));
    cancel_raise(cancel, CANCEL_SIGNAL);
    im.image.cancel = cancel;
    e = export_docker_tar(path, &im.image);
    assert_int_equal(err_kind(e), ERR_TERMINATED);
    err_free(e);
    assert_int_equal(count_entries(*state), 0);
    e = export_oci_layout(layout, &im.image);
    assert_int_equal(err_kind(e), ERR_TERMINATED);
    err_free(e);
    assert_int_equal(access(index, F_OK), -1);
    cancel_free(cancel);
    release_image(&im);
}

/* --- OCI layouts --- */

static void expect_blob(const char *dir, const struct digest *d, const char *text)
{
    AUTO_FREE char *path = xasprintf("%s/blobs/sha256/%s", dir, digest_hex(d));
    AUTO_FREE char *got = read_text(path);

    assert_string_equal(got, text);
}

/* "TAG@DIGEST " of each entry of the index, in order; "-" for no tag. */
static void expect_index(const char *dir, const char *want)
{
    AUTO_FREE char *path = xasprintf("%s/index.json", dir);
    AUTO_FREE char *text = read_text(path);
    AUTO(json_free) struct json *tree = NULL;
    AUTO(buf_release) struct buf got = BUF_INIT;
    int64_t version = 0;

    succeed(json_parse(text, strlen(text), &tree));
    assert_true(json_get_int(tree, "schemaVersion", &version) && version == 2);
    const struct json *entries = json_get(tree, "manifests");

    for (size_t i = 0; i < json_count(entries); i++) {
        const struct json *entry = json_at(entries, i);
        const char *tag = json_get_string(json_get(entry, "annotations"), "org.opencontainers.image.ref.name");

        buf_printf(&got, "%s@%.12s ", tag ? tag : "-", json_get_string(entry, "digest"));
    }
    if (strcmp(buf_str(&got), want) != 0)
        fail_msg("index is: %s\n  want: %s\n  text: %s", buf_str(&got), want, text);
}

static void test_oci_layout(void **state)
{
    AUTO_FREE char *dir = xasprintf("%s/x/oci", (char *)*state);
    AUTO_FREE char *layout = xasprintf("%s/oci-layout", dir);
    AUTO_FREE char *index = xasprintf("%s/index.json", dir);
    AUTO_FREE char *blobs = xasprintf("%s/blobs/sha256", dir);
    AUTO(buf_release) struct buf want = BUF_INIT;
    struct image im;

    make_image(&im, IMAGE_FORMAT_OCI, MEDIA_OCI_LAYER_GZIP);
    struct digest d = digest_bytes(im.text, strlen(im.text));

    strs_add(&im.image.names, "host/a:1");
    succeed(export_oci_layout(dir, &im.image));
    AUTO_FREE char *layout_text = read_text(layout);
    AUTO_FREE char *index_text = read_text(index);

    assert_string_equal(layout_text, "{\"imageLayoutVersion\":\"1.0.0\"}");
    buf_printf(
        &want,
        "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\"manifests\":[{\"mediaType\":"
        "\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"%s\",\"size\":%zu,\"annotations\":{"
        "\"io.containerd.image.name\":\"host/a:1\",\"org.opencontainers.image.ref.name\":\"1\"}}]}",
        d.text, strlen(im.text));
    assert_string_equal(index_text, buf_str(&want));
    expect_blob(dir, &d, im.text);
    expect_blob(dir, &im.manifest.config.digest, CONFIG);
    expect_blob(dir, &im.layers[0].digest, layer_texts[0]);
    expect_blob(dir, &im.layers[1].digest, layer_texts[1]);
    assert_int_equal(count_entries(blobs), 4);
    release_image(&im);
}

/* What was there stays, unless it has the same name. */
static void test_oci_layout_added(void **state)
{
    struct image a, b;
    AUTO(buf_release) struct buf want = BUF_INIT;

    make_image(&a, IMAGE_FORMAT_OCI, MEDIA_OCI_LAYER_GZIP);
    make_image(&b, IMAGE_FORMAT_DOCKER, MEDIA_DOCKER_LAYER);
    struct digest da = digest_bytes(a.text, strlen(a.text)), db = digest_bytes(b.text, strlen(b.text));

    strs_add(&a.image.names, "host/a:1");
    strs_add(&a.image.names, "host/a:2");
    succeed(export_oci_layout(*state, &a.image));
    succeed(export_oci_layout(*state, &a.image)); /* again: nothing more */
    buf_printf(&want, "1@%.12s 2@%.12s ", da.text, da.text);
    expect_index(*state, buf_str(&want));
    strs_add(&b.image.names, "host/b:2");
    succeed(export_oci_layout(*state, &b.image));
    buf_clear(&want);
    buf_printf(&want, "1@%.12s 2@%.12s ", da.text, db.text);
    expect_index(*state, buf_str(&want));
    strs_release(&a.image.names);
    succeed(export_oci_layout(*state, &a.image)); /* without a name */
    succeed(export_oci_layout(*state, &a.image));
    buf_printf(&want, "-@%.12s ", da.text);
    expect_index(*state, buf_str(&want));
    release_image(&a);
    release_image(&b);
}

/* A blob of another size is what an interrupted copy left: it is written anew. */
static void test_oci_layout_mended(void **state)
{
    struct image im;

    make_image(&im, IMAGE_FORMAT_OCI, MEDIA_OCI_LAYER_GZIP);
    AUTO_FREE char *path = xasprintf("%s/blobs/sha256/%s", (char *)*state, digest_hex(&im.layers[1].digest));

    succeed(file_write_atomic(path, "lay", 3, 0644));
    succeed(export_oci_layout(*state, &im.image));
    expect_blob(*state, &im.layers[1].digest, layer_texts[1]);
    release_image(&im);
}

static void test_oci_layout_fails(void **state)
{
    AUTO_FREE char *index = xasprintf("%s/index.json", (char *)*state);
    AUTO_FREE char *blobs = xasprintf("%s/blobs/sha256", (char *)*state);
    struct image im;
    struct err *e;

    make_image(&im, IMAGE_FORMAT_OCI, MEDIA_OCI_LAYER_GZIP);
    im.cut = 2;
    e = export_oci_layout(*state, &im.image);
    assert_non_null(e);
    err_free(e);
    assert_int_equal(count_entries(blobs), 0);
    assert_int_equal(access(index, F_OK), -1);
    im.cut = 0;
    succeed(file_write_atomic(index, "no json", 7, 0644));
    e = export_oci_layout(*state, &im.image);
    assert_non_null(e);
    assert_non_null(strstr(err_message(e), "is not an image index"));
    err_free(e);
    release_image(&im);
}

/* Two images of which all is in the layout, and the index that names them; index.json names the index. */
static void test_oci_index(void **state)
{
    static const char text[] = "the index";
    const struct digest d = digest_bytes(text, strlen(text));
    AUTO_FREE char *path = xasprintf("%s/index.json", (char *)*state);
    AUTO_FREE char *blobs = xasprintf("%s/blobs/sha256", (char *)*state);
    AUTO(buf_release) struct buf want = BUF_INIT;
    struct image a, b;

    make_image(&a, IMAGE_FORMAT_OCI, MEDIA_OCI_LAYER_GZIP);
    make_image(&b, IMAGE_FORMAT_OCI, MEDIA_OCI_LAYER);
    const struct export_image images[] = { a.image, b.image };
    struct export_index index = { .images = images, .n_images = 2, .text = text, .format = IMAGE_FORMAT_OCI };
    struct digest da = digest_bytes(a.text, strlen(a.text)), db = digest_bytes(b.text, strlen(b.text));

    strs_add(&index.names, "host/a:1");
    succeed(export_oci_index(*state, &index));
    buf_printf(&want, "1@%.12s ", d.text);
    expect_index(*state, buf_str(&want));
    AUTO_FREE char *json = read_text(path);
    assert_non_null(strstr(json, "\"mediaType\":\"" MEDIA_OCI_INDEX "\",\"digest\""));
    expect_blob(*state, &d, text);
    expect_blob(*state, &da, a.text);
    expect_blob(*state, &db, b.text);
    expect_blob(*state, &a.layers[1].digest, layer_texts[1]);
    assert_int_equal(count_entries(blobs), 6); /* two layers, one configuration, three documents */
    strs_release(&index.names);
    index.format = IMAGE_FORMAT_DOCKER;
    succeed(export_oci_index(*state, &index));
    AUTO_FREE char *unnamed = read_text(path);
    assert_non_null(strstr(unnamed, "\"mediaType\":\"" MEDIA_DOCKER_LIST "\""));
    release_image(&a);
    release_image(&b);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, make_dir, remove_dir)
    const struct CMUnitTest tests[] = {
        TEST(test_docker_tar),       TEST(test_docker_tar_fails),  TEST(test_cancelled),        TEST(test_oci_layout),
        TEST(test_oci_layout_added), TEST(test_oci_layout_mended), TEST(test_oci_layout_fails), TEST(test_oci_index),
    };

    return cmocka_run_group_tests_name("export", tests, NULL, NULL);
}
