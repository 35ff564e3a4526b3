#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above first */
#include <cmocka.h>

#include "export/export.h"
#include "export/image_file.h"
#include "sys/file.h"
#include "tar/tar.h"
#include "json/json.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *dir; /* of the test */

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
    (void)state;
    dir = xstrdup("/tmp/test_image_file-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    (void)state;
    err_free(file_remove_tree(AT_FDCWD, dir));
    free(dir);
    return 0;
}

static char *path_of(const char *name)
{
    return xasprintf("%s/%s", dir, name);
}

/* ---- an image of two layers ---- */

static const char *const texts[2] = { "the first layer's bytes, as if they were an archive", "and the second's" };

struct image {
    struct buf blobs[2]; /* compressed */
    struct descriptor layers[2];
    struct digest diff_ids[2];
    char *config;
    struct manifest manifest;
    struct export_image out;
    char *text;
};

static struct err *collect(void *ctx, const void *p, size_t n)
{
    buf_add(ctx, p, n);
    return NULL;
}

static struct err *open_layer(void *ctx, const struct descriptor *blob, int *ret_fd)
{
    const struct image *im = ctx;
    AUTO_FREE char *path = path_of("layer");

    for (size_t i = 0; i < 2; i++) {
        if (!digest_equal(&im->layers[i].digest, &blob->digest))
            continue;
        TRY(file_write_atomic(path, im->blobs[i].data, im->blobs[i].len, 0600));
        *ret_fd = open(path, O_RDONLY | O_CLOEXEC);
        return NULL;
    }
    return err_new(ERR_BUG, "no such layer");
}

static void compress_text(struct image *im, size_t i, enum compression kind)
{
    const struct compress_opts o = { .kind = kind, .threads = 1 };
    AUTO(compress_free) struct compressor *c = NULL;
    struct compress_result r;

    succeed(compress_new(&o, (struct sink){ collect, &im->blobs[i] }, &c));
    const struct sink to = compress_sink(c);
    succeed(sink_write(&to, texts[i], strlen(texts[i])));
    succeed(compress_end(c, &r));
    im->diff_ids[i] = r.diff_id;
    im->layers[i].digest = r.digest;
    im->layers[i].size_bytes = r.size_bytes;
}

static void make_image(struct image *im, enum image_format format, enum compression kind)
{
    static const char *const names[] = { "none", "gzip", "zstd" };

    *im = (struct image){ .manifest = { .format = format, .layers = im->layers, .n_layers = 2 } };
    for (size_t i = 0; i < 2; i++) {
        compress_text(im, i, kind);
        (void)snprintf(im->layers[i].media_type, sizeof(im->layers[i].media_type), "%s",
                       manifest_layer_media(format, names[kind]));
    }
    im->config = xasprintf("{\"architecture\":\"amd64\",\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":["
                           "\"%s\",\"%s\"]}}",
                           im->diff_ids[0].text, im->diff_ids[1].text);
    im->manifest.config.digest = digest_bytes(im->config, strlen(im->config));
    im->manifest.config.size_bytes = strlen(im->config);
    (void)snprintf(im->manifest.config.media_type, sizeof(im->manifest.config.media_type), "%s",
                   format == IMAGE_FORMAT_OCI ? MEDIA_OCI_CONFIG : MEDIA_DOCKER_CONFIG);
    im->text = manifest_write(&im->manifest);
    im->out = (struct export_image){ .manifest = &im->manifest,
                                     .manifest_text = im->text,
                                     .config_text = im->config,
                                     .open_blob = open_layer,
                                     .ctx = im };
}

static void release_image(struct image *im)
{
    buf_release(&im->blobs[0]);
    buf_release(&im->blobs[1]);
    free(im->config);
    free(im->text);
    strs_release(&im->out.names);
}

/* ---- archives ---- */

struct archive {
    struct buf bytes;
    struct tar_writer *tar;
};

static void archive_begin(struct archive *a)
{
    *a = (struct archive){ 0 };
    a->tar = tar_writer_new((struct sink){ collect, &a->bytes });
}

static void archive_add(struct archive *a, const char *path, const void *p, size_t n)
{
    const struct tar_entry e = { .path = (char *)(uintptr_t)path, .mode = S_IFREG | 0644, .size_bytes = n };

    succeed(tar_write_entry(a->tar, &e));
    succeed(tar_write_data(a->tar, p, n));
}

static void archive_link(struct archive *a, const char *path, const char *to)
{
    const struct tar_entry e = { .path = (char *)(uintptr_t)path,
                                 .mode = S_IFLNK | 0777,
                                 .link = (char *)(uintptr_t)to };

    succeed(tar_write_entry(a->tar, &e));
}

static void archive_end(struct archive *a, const char *name)
{
    AUTO_FREE char *path = path_of(name);

    succeed(tar_writer_end(a->tar));
    succeed(file_write_atomic(path, a->bytes.data, a->bytes.len, 0644));
    tar_writer_free(a->tar);
    buf_release(&a->bytes);
}

/* As docker made them before version 25: uncompressed layers in directories, links to one that is there already. */
static void docker_archive(const struct image *im, const char *name, const char *first)
{
    struct archive a;
    const char *list = "[{\"Config\":\"config.json\",\"RepoTags\":[\"a/b:1\",\"a/b:latest\"],\"Layers\":[\"l1/"
                       "layer.tar\",\"l2/layer.tar\"]}]";

    archive_begin(&a);
    archive_add(&a, "config.json", im->config, strlen(im->config));
    archive_add(&a, "old/layer.tar", first, strlen(first));
    archive_link(&a, "l1/layer.tar", "../old/layer.tar");
    archive_add(&a, "l2/layer.tar", texts[1], strlen(texts[1]));
    archive_add(&a, "manifest.json", list, strlen(list));
    archive_end(&a, name);
}

/* ---- judging ---- */

static struct err *open_image(const char *place, int format, struct image_file **ret)
{
    AUTO_FREE char *full = path_of(place);
    const struct image_file_opts o = {
        .place = full, .scratch = dir, .format = format, .compress = { .kind = COMPRESSION_GZIP, .threads = 1 }
    };

    return image_file_open(&o, ret);
}

static void check_blob(const struct image_file *f, size_t i)
{
    const struct descriptor *d = image_file_blob(f, i);
    AUTO_FREE char *p = xcalloc(1, d->size_bytes);
    AUTO_CLOSE int fd = -1;
    uint64_t offset = 0;

    succeed(image_file_open_blob(f, i, &fd, &offset));
    assert_int_equal(pread(fd, p, d->size_bytes, (off_t)offset), d->size_bytes);
    const struct digest got = digest_bytes(p, d->size_bytes);
    assert_string_equal(got.text, d->digest.text);
}

static void check_same(const char *place, const struct image *im)
{
    AUTO(image_file_free) struct image_file *f = NULL;

    succeed(open_image(place, -1, &f));
    assert_int_equal(image_file_n_documents(f), 1);
    assert_string_equal(image_file_document(f, 0)->text, im->text);
    assert_string_equal(image_file_document(f, 0)->media_type,
                        im->manifest.format == IMAGE_FORMAT_OCI ? MEDIA_OCI_MANIFEST : MEDIA_DOCKER_MANIFEST);
    assert_int_equal(image_file_n_blobs(f), 3);
    for (size_t i = 0; i < 3; i++)
        check_blob(f, i);
}

static const struct {
    enum image_format format;
    enum compression kind;
} kinds[] = {
    { IMAGE_FORMAT_DOCKER, COMPRESSION_GZIP }, { IMAGE_FORMAT_OCI, COMPRESSION_GZIP },
    { IMAGE_FORMAT_OCI, COMPRESSION_ZSTD },    { IMAGE_FORMAT_OCI, COMPRESSION_NONE },
    { IMAGE_FORMAT_DOCKER, COMPRESSION_NONE },
};

/* What we wrote is pushed as what was built, to the byte. (Uncompressed layers of an archive are compressed.) */
static void test_own(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct image im;
        AUTO_FREE char *tar = xasprintf("%s/%zu.tar", dir, i), *layout = xasprintf("%s/%zu.layout", dir, i);

        make_image(&im, kinds[i].format, kinds[i].kind);
        strs_add(&im.out.names, "reg.example/team/app:1.0");
        succeed(export_docker_tar(tar, &im.out));
        succeed(export_oci_layout(layout, &im.out));
        if (kinds[i].kind != COMPRESSION_NONE)
            check_same(strrchr(tar, '/') + 1, &im);
        check_same(strrchr(layout, '/') + 1, &im);
        AUTO_FREE char *by_tag = xasprintf("%zu.layout:1.0", i);
        check_same(by_tag, &im);
        AUTO_FREE char *by_digest =
            xasprintf("%s@%s", strrchr(layout, '/') + 1, digest_bytes(im.text, strlen(im.text)).text);
        check_same(by_digest, &im);
        release_image(&im);
    }
}

static void gzip_file(const char *from, const char *to)
{
    AUTO_FREE char *in = path_of(from), *out = path_of(to);
    AUTO(buf_release) struct buf plain = BUF_INIT, packed = BUF_INIT;
    const struct compress_opts o = { .kind = COMPRESSION_GZIP, .threads = 1 };
    AUTO(compress_free) struct compressor *c = NULL;
    struct compress_result r;

    succeed(file_read(in, 1 << 20, &plain));
    succeed(compress_new(&o, (struct sink){ collect, &packed }, &c));
    const struct sink to_sink = compress_sink(c);
    succeed(sink_write(&to_sink, plain.data, plain.len));
    succeed(compress_end(c, &r));
    succeed(file_write_atomic(out, packed.data, packed.len, 0644));
}

static void test_docker_archive(void **state)
{
    static const char *const places[] = { "d.tar", "d.tar.gz", "d.tar:a/b:1", "d.tar:1", "d.tar:a/b", "d.tar:latest" };
    struct image docker, oci;

    (void)state;
    make_image(&docker, IMAGE_FORMAT_DOCKER, COMPRESSION_GZIP);
    make_image(&oci, IMAGE_FORMAT_OCI, COMPRESSION_GZIP);
    docker_archive(&docker, "d.tar", texts[0]);
    gzip_file("d.tar", "d.tar.gz");
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
        check_same(places[i], &docker);
    AUTO(image_file_free) struct image_file *f = NULL;
    succeed(open_image("d.tar", IMAGE_FORMAT_OCI, &f));
    assert_string_equal(image_file_document(f, 0)->text, oci.text);
    release_image(&docker);
    release_image(&oci);
}

/* An index of two images that share a layer, as an archive; and with an attestation, whose layer is no archive. */
static void test_index(void **state)
{
    struct image im;
    struct archive a;
    AUTO(image_file_free) struct image_file *f = NULL;
    const char *extra = "{\"in-toto\":true}";
    const struct digest extra_digest = digest_bytes(extra, strlen(extra));

    (void)state;
    make_image(&im, IMAGE_FORMAT_OCI, COMPRESSION_GZIP);
    AUTO_FREE char *other =
        xasprintf("{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_OCI_MANIFEST "\",\"config\":{\"mediaType\":\"%s\","
                  "\"digest\":\"%s\",\"size\":%zu},\"layers\":[{\"mediaType\":\"application/vnd.in-toto+json\","
                  "\"digest\":\"%s\",\"size\":%zu}]}",
                  MEDIA_OCI_CONFIG, im.manifest.config.digest.text, (size_t)im.manifest.config.size_bytes,
                  extra_digest.text, strlen(extra));
    const struct digest d[2] = { digest_bytes(im.text, strlen(im.text)), digest_bytes(other, strlen(other)) };
    AUTO_FREE char *index = xasprintf("{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_OCI_INDEX
                                      "\",\"manifests\":[{\"mediaType\":\"" MEDIA_OCI_MANIFEST
                                      "\",\"digest\":\"%s\",\"size\":%zu},{\"mediaType\":\"" MEDIA_OCI_MANIFEST
                                      "\",\"digest\":\"%s\",\"size\":%zu}]}",
                                      d[0].text, strlen(im.text), d[1].text, strlen(other));
    const struct digest top = digest_bytes(index, strlen(index));
    AUTO_FREE char *list = xasprintf("{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"" MEDIA_OCI_INDEX
                                     "\",\"digest\":\"%s\",\"size\":%zu}]}",
                                     top.text, strlen(index));
    const struct {
        const char *hex, *text;
        size_t len;
    } blobs[] = { { digest_hex(&d[0]), im.text, strlen(im.text) },
                  { digest_hex(&d[1]), other, strlen(other) },
                  { digest_hex(&top), index, strlen(index) },
                  { digest_hex(&extra_digest), extra, strlen(extra) },
                  { digest_hex(&im.manifest.config.digest), im.config, strlen(im.config) },
                  { digest_hex(&im.layers[0].digest), im.blobs[0].data, im.blobs[0].len },
                  { digest_hex(&im.layers[1].digest), im.blobs[1].data, im.blobs[1].len } };

    archive_begin(&a);
    archive_add(&a, "oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}", 30);
    archive_add(&a, "index.json", list, strlen(list));
    for (size_t i = 0; i < sizeof(blobs) / sizeof(blobs[0]); i++) {
        AUTO_FREE char *path = xasprintf("blobs/sha256/%s", blobs[i].hex);
        archive_add(&a, path, blobs[i].text, blobs[i].len);
    }
    archive_end(&a, "index.tar");
    succeed(open_image("index.tar", -1, &f));
    assert_int_equal(image_file_n_documents(f), 3);
    assert_string_equal(image_file_document(f, 0)->text, im.text);
    assert_string_equal(image_file_document(f, 1)->text, other);
    assert_string_equal(image_file_document(f, 2)->text, index);
    assert_string_equal(image_file_document(f, 2)->media_type, MEDIA_OCI_INDEX);
    assert_int_equal(image_file_n_blobs(f), 4);
    for (size_t i = 0; i < 4; i++)
        check_blob(f, i);
    release_image(&im);
}

/* ---- what is wrong ---- */

static void expect(const char *place, enum err_kind kind, const char *text)
{
    struct image_file *f = NULL;
    struct err *e = open_image(place, -1, &f);
    char *out = NULL;
    size_t len = 0;

    if (!e)
        fail_msg("%s: an error was expected", place);
    FILE *to = open_memstream(&out, &len);
    err_print(to, e);
    fclose(to);
    if (err_kind(e) != kind || !strstr(out, text))
        fail_msg("%s: kind %d: %s lacks '%s'", place, (int)err_kind(e), out, text);
    free(out);
    err_free(e);
}

static void write_file(const char *name, const char *text)
{
    AUTO_FREE char *path = path_of(name);

    succeed(file_write_atomic(path, text, strlen(text), 0644));
}

static void list_archive(const char *name, const char *manifest)
{
    struct archive a;

    archive_begin(&a);
    archive_add(&a, "manifest.json", manifest, strlen(manifest));
    archive_end(&a, name);
}

static void test_refused(void **state)
{
    struct image im;

    (void)state;
    make_image(&im, IMAGE_FORMAT_DOCKER, COMPRESSION_GZIP);
    docker_archive(&im, "lie.tar", "other bytes than the configuration says");
    expect("lie.tar", ERR_REGISTRY, "layer 1 is damaged: its content is sha256:");
    docker_archive(&im, "good.tar", texts[0]);
    expect("good.tar:a/c", ERR_SETTING, "it has no image 'a/c'");
    expect("good.tar:a/c", ERR_SETTING, "Name one behind the path: :a/b:1, :a/b:latest.");
    expect("nowhere.tar", ERR_SETTING, "No such file or directory");
    write_file("text", "this is a text of more than a few bytes, but certainly no archive");
    expect("text", ERR_REGISTRY, "cannot read the image");
    list_archive("two.tar", "[{\"Config\":\"a\",\"RepoTags\":[\"a:1\"]},{\"Config\":\"b\",\"RepoTags\":null}]");
    expect("two.tar", ERR_SETTING, "it has 2 images");
    list_archive("none.tar", "[{\"Config\":\"config.json\",\"Layers\":[]}]");
    expect("none.tar", ERR_REGISTRY, "its configuration ('config.json') is missing");
    list_archive("noname.tar", "[{\"Layers\":[7]}]");
    expect("noname.tar", ERR_REGISTRY, "its configuration ('') is missing");
    list_archive("nojson.tar", "[{");
    expect("nojson.tar", ERR_REGISTRY, "not valid JSON");
    release_image(&im);
}

static void test_damaged_layout(void **state)
{
    struct image im;
    AUTO_FREE char *layout = path_of("layout");

    (void)state;
    make_image(&im, IMAGE_FORMAT_OCI, COMPRESSION_GZIP);
    strs_add(&im.out.names, "app:1.0");
    succeed(export_oci_layout(layout, &im.out));
    expect("layout:2.0", ERR_SETTING, "Name one behind the path: :1.0.");
    AUTO_FREE char *blob = xasprintf("layout/blobs/sha256/%s", digest_hex(&im.layers[1].digest));
    AUTO_FREE char *good = xasprintf("%s/%s", dir, blob);
    write_file(blob, "something else");
    expect("layout", ERR_REGISTRY, "is damaged: it holds sha256:");
    assert_int_equal(unlink(good), 0);
    expect("layout", ERR_REGISTRY, "is missing");
    write_file("layout/index.json", "{\"manifests\":[]}");
    expect("layout", ERR_SETTING, "it has 0 images");
    write_file("layout/index.json", "{\"manifests\":[{\"digest\":\"sha256:../../../etc/passwd\",\"size\":1}]}");
    expect("layout", ERR_REGISTRY, "digest");
    AUTO_FREE char *index = path_of("layout/index.json");
    assert_int_equal(unlink(index), 0);
    expect("layout", ERR_SETTING, "neither a manifest.json nor an index.json");
    release_image(&im);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_own, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_docker_archive, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_index, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_refused, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_damaged_layout, make_dir, remove_dir),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
