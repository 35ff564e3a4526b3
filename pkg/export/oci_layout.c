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

static void put_entry(struct json_writer *w, const struct export_image *image, const struct digest *d, const char *name)
{
    json_object_begin(w);
    json_key(w, "mediaType");
    json_put_string(w, image->manifest->format == IMAGE_FORMAT_OCI ? MEDIA_OCI_MANIFEST : MEDIA_DOCKER_MANIFEST);
    json_key(w, "digest");
    json_put_string(w, d->text);
    json_key(w, "size");
    json_put_int(w, (int64_t)strlen(image->manifest_text));
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
static bool is_replaced(const struct json *entry, const struct export_image *image, const struct digest *d)
{
    const char *tag = json_get_string(json_get(entry, "annotations"), REF_NAME);
    const char *digest = json_get_string(entry, "digest");

    if (!tag)
        return digest && strcmp(digest, d->text) == 0;
    for (size_t i = 0; i < image->names.n; i++)
        if (strcmp(tag_of(image->names.items[i]), tag) == 0)
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

static struct err *write_index(const char *dir, const struct export_image *image, const struct digest *d)
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
        if (!is_replaced(json_at(entries, i), image, d))
            json_put_value(w, json_at(entries, i));
    if (image->names.n == 0)
        put_entry(w, image, d, NULL);
    for (size_t i = 0; i < image->names.n; i++)
        put_entry(w, image, d, image->names.items[i]);
    json_array_end(w);
    json_object_end(w);
    AUTO_FREE char *text = json_writer_steal(w);
    return file_write_atomic(path, text, strlen(text), 0644);
}

struct err *export_oci_layout(const char *dir, const struct export_image *image)
{
    const struct manifest *m = image->manifest;
    const struct digest d = digest_bytes(image->manifest_text, strlen(image->manifest_text));
    AUTO_FREE char *blobs = xasprintf("%s/blobs/sha256", dir);
    AUTO_FREE char *layout = xasprintf("%s/oci-layout", dir);

    TRY(file_mkdirs(blobs, 0755));
    for (size_t i = 0; i < m->n_layers; i++)
        TRY(put_layer(dir, image, &m->layers[i]));
    TRY(put_text(dir, &m->config.digest, image->config_text));
    TRY(put_text(dir, &d, image->manifest_text));
    TRY(file_write_atomic(layout, LAYOUT_TEXT, strlen(LAYOUT_TEXT), 0644));
    return write_index(dir, image, &d);
}
