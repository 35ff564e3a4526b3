#include "base/limits.h"
#include "export/export.h"
#include "sys/file.h"
#include "json/json.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define LAYOUT_TEXT "{\"imageLayoutVersion\":\"1.0.0\"}"
#define REF_NAME    "org.opencontainers.image.ref.name"
#define FULL_NAME   "io.containerd.image.name"

static char *blob_path(const char *dir, const struct digest *d)
{
    return xasprintf("%s/blobs/sha256/%s", dir, digest_hex(d));
}

static bool have_blob(const char *path, uint64_t size)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == size;
}

static struct err *put_text(const char *dir, const struct digest *d, const char *text)
{
    AUTO_FREE char *path = blob_path(dir, d);

    if (have_blob(path, strlen(text)))
        return NULL;
    return file_write_atomic(path, text, strlen(text), 0644);
}

static struct err *copy_blob(const struct export_image *image, const struct descriptor *d, int to)
{
    AUTO_CLOSE int from = -1;

    TRY(image->open_blob(image->ctx, d, &from));
    return file_copy_data(from, to, d->size_bytes, image->cancel);
}

static struct err *put_layer(const char *dir, const struct export_image *image, const struct descriptor *d)
{
    AUTO_FREE char *path = blob_path(dir, &d->digest);
    AUTO_FREE char *tmp = xasprintf("%s.XXXXXX", path);

    if (have_blob(path, d->size_bytes))
        return NULL;
    AUTO_CLOSE int fd = mkostemp(tmp, O_CLOEXEC);
    if (fd < 0)
        return err_set_kind(err_sys(errno, "cannot write '%s'", path), ERR_DISK);
    struct err *e = copy_blob(image, d, fd);
    if (!e && (fchmod(fd, 0644) < 0 || rename(tmp, path) < 0))
        e = err_set_kind(err_sys(errno, "cannot write '%s'", path), ERR_DISK);
    if (e)
        (void)unlink(tmp);
    return e;
}

/* ---- index.json ---- */

static const char *tag_of(const char *name)
{
    const char *colon = strrchr(name, ':');

    return colon && !strchr(colon, '/') ? colon + 1 : name;
}

/* What index.json is to name. */
struct top {
    const char *media_type, *text;
    struct digest digest;
    const struct strs *names;
};

static void put_entry(struct json_writer *w, const struct top *top, const char *name)
{
    json_object_begin(w);
    json_key(w, "mediaType");
    json_put_string(w, top->media_type);
    json_key(w, "digest");
    json_put_string(w, top->digest.text);
    json_key(w, "size");
    json_put_int(w, (int64_t)strlen(top->text));
    if (name) {
        json_key(w, "annotations");
        json_object_begin(w);
        json_key(w, FULL_NAME);
        json_put_string(w, name);
        json_key(w, REF_NAME);
        json_put_string(w, tag_of(name));
        json_object_end(w);
    }
    json_object_end(w);
}

/* Is this entry of the index that was there taken over by one of ours: the same tag, or the same image without a name?
 */
static bool is_replaced(const struct json *entry, const struct top *top)
{
    const char *tag = json_get_string(json_get(entry, "annotations"), REF_NAME);
    const char *digest = json_get_string(entry, "digest");

    if (!tag)
        return digest && strcmp(digest, top->digest.text) == 0;
    for (size_t i = 0; i < top->names->n; i++)
        if (strcmp(tag_of(top->names->items[i]), tag) == 0)
            return true;
    return false;
}

static struct err *read_index(const char *path, struct json **ret_tree)
{
    AUTO(buf_release) struct buf text = BUF_INIT;

    if (access(path, F_OK) != 0)
        return NULL;
    TRY(file_read(path, LIMIT_JSON_BYTES, &text));
    return err_set_kind(err_wrap(json_parse(buf_str(&text), text.len, ret_tree), "'%s' is not an image index", path),
                        ERR_SETTING);
}

static struct err *write_index(const char *dir, const struct top *top)
{
    AUTO_FREE char *path = xasprintf("%s/index.json", dir);
    AUTO(json_free) struct json *old = NULL;
    AUTO(json_writer_free) struct json_writer *w = json_writer_new();

    TRY(read_index(path, &old));
    const struct json *entries = json_get(old, "manifests");
    json_object_begin(w);
    json_key(w, "schemaVersion");
    json_put_int(w, 2);
    json_key(w, "mediaType");
    json_put_string(w, MEDIA_OCI_INDEX);
    json_key(w, "manifests");
    json_array_begin(w);
    for (size_t i = 0; i < json_count(entries); i++)
        if (!is_replaced(json_at(entries, i), top))
            json_put_value(w, json_at(entries, i));
    if (top->names->n == 0)
        put_entry(w, top, NULL);
    for (size_t i = 0; i < top->names->n; i++)
        put_entry(w, top, top->names->items[i]);
    json_array_end(w);
    json_object_end(w);
    AUTO_FREE char *text = json_writer_steal(w);
    return file_write_atomic(path, text, strlen(text), 0644);
}

/* ---- the whole ---- */

/* Everything but index.json. */
static struct err *put_image(const char *dir, const struct export_image *image)
{
    const struct manifest *m = image->manifest;
    const struct digest d = digest_bytes(image->manifest_text, strlen(image->manifest_text));

    for (size_t i = 0; i < m->n_layers; i++)
        TRY(put_layer(dir, image, &m->layers[i]));
    TRY(put_text(dir, &m->config.digest, image->config_text));
    return put_text(dir, &d, image->manifest_text);
}

static struct err *make_layout(const char *dir)
{
    AUTO_FREE char *blobs = xasprintf("%s/blobs/sha256", dir);

    return file_mkdirs(blobs, 0755);
}

static struct err *finish(const char *dir, struct top *top)
{
    AUTO_FREE char *layout = xasprintf("%s/oci-layout", dir);

    top->digest = digest_bytes(top->text, strlen(top->text));
    TRY(file_write_atomic(layout, LAYOUT_TEXT, strlen(LAYOUT_TEXT), 0644));
    return write_index(dir, top);
}

struct err *export_oci_layout(const char *dir, const struct export_image *image)
{
    bool oci = image->manifest->format == IMAGE_FORMAT_OCI;
    struct top top = { .media_type = oci ? MEDIA_OCI_MANIFEST : MEDIA_DOCKER_MANIFEST,
                       .text = image->manifest_text,
                       .names = &image->names };

    TRY(make_layout(dir));
    TRY(put_image(dir, image));
    return finish(dir, &top);
}

struct err *export_oci_index(const char *dir, const struct export_index *index)
{
    bool oci = index->format == IMAGE_FORMAT_OCI;
    const struct digest d = digest_bytes(index->text, strlen(index->text));
    struct top top = { .media_type = oci ? MEDIA_OCI_INDEX : MEDIA_DOCKER_LIST,
                       .text = index->text,
                       .names = &index->names };

    TRY(make_layout(dir));
    for (size_t i = 0; i < index->n_images; i++)
        TRY(put_image(dir, &index->images[i]));
    TRY(put_text(dir, &d, index->text));
    return finish(dir, &top);
}
