#include "export/export.h"
#include "sys/file.h"
#include "tar/tar.h"
#include "json/json.h"

#include <fcntl.h>
#include <string.h>

#define CHUNK 65536

struct archive {
    struct tar_writer *tar;
    const struct export_image *image;
};

static struct err *add_member(struct archive *a, char *path, uint64_t size)
{
    const struct tar_entry e = {
        .path = path, .mode = S_IFREG | 0644, .size_bytes = size, .mtime.tv_sec = a->image->time_s
    };

    return tar_write_entry(a->tar, &e);
}

static struct err *add_text(struct archive *a, char *path, const char *text)
{
    TRY(add_member(a, path, strlen(text)));
    return tar_write_data(a->tar, text, strlen(text));
}

static char *layer_name(const struct descriptor *d)
{
    const char *ending = strstr(d->media_type, "zstd") ? "tar.zst" : strstr(d->media_type, "gzip") ? "tar.gz" : "tar";

    return xasprintf("%s.%s", digest_hex(&d->digest), ending);
}

static struct err *add_blob(struct archive *a, const struct descriptor *d, int fd)
{
    char chunk[CHUNK];
    uint64_t left = d->size_bytes;

    while (left > 0) {
        ssize_t n = read(fd, chunk, left < CHUNK ? (size_t)left : CHUNK);

        TRY(cancel_check(a->image->cancel));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return err_new(ERR_DISK, "layer %s cannot be read to its end", d->digest.text);
        TRY(tar_write_data(a->tar, chunk, (size_t)n));
        left -= (uint64_t)n;
    }
    return NULL;
}

static struct err *add_layer(struct archive *a, const struct descriptor *d)
{
    AUTO_FREE char *name = layer_name(d);
    AUTO_CLOSE int fd = -1;

    TRY(a->image->open_blob(a->image->ctx, d, &fd));
    TRY(add_member(a, name, d->size_bytes));
    return add_blob(a, d, fd);
}

static bool seen_before(const struct manifest *m, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (digest_equal(&m->layers[k].digest, &m->layers[i].digest))
            return true;
    return false;
}

/* manifest.json of `docker save` */
static char *index_text(const struct export_image *image, const char *config_name)
{
    AUTO(json_writer_free) struct json_writer *w = json_writer_new();

    json_array_begin(w);
    json_object_begin(w);
    json_key(w, "Config");
    json_put_string(w, config_name);
    json_key(w, "RepoTags");
    json_array_begin(w);
    for (size_t i = 0; i < image->names.n; i++)
        json_put_string(w, image->names.items[i]);
    json_array_end(w);
    json_key(w, "Layers");
    json_array_begin(w);
    for (size_t i = 0; i < image->manifest->n_layers; i++) {
        AUTO_FREE char *name = layer_name(&image->manifest->layers[i]);

        json_put_string(w, name);
    }
    json_array_end(w);
    json_object_end(w);
    json_array_end(w);
    return json_writer_steal(w);
}

static struct err *write_archive(struct archive *a)
{
    const struct manifest *m = a->image->manifest;
    AUTO_FREE char *config_name = xasprintf("%s.json", digest_hex(&m->config.digest));
    AUTO_FREE char *text = index_text(a->image, config_name);
    AUTO_FREE char *own_name = xasprintf("%s.manifest.json", digest_hex(&m->config.digest));
    char manifest_name[] = "manifest.json";

    TRY(add_text(a, config_name, a->image->config_text));
    for (size_t i = 0; i < m->n_layers; i++)
        if (!seen_before(m, i))
            TRY(add_layer(a, &m->layers[i]));
    TRY(add_text(a, own_name, a->image->manifest_text)); /* for image_file.h: the archive itself knows no digest */
    TRY(add_text(a, manifest_name, text));
    return tar_writer_end(a->tar);
}

struct err *export_docker_tar(const char *path, const struct export_image *image)
{
    AUTO_FREE char *tmp = xasprintf("%s.XXXXXX", path);
    const char *slash = strrchr(path, '/');
    AUTO_FREE char *dir = slash && slash != path ? xstrndup(path, (size_t)(slash - path)) : NULL;

    if (dir)
        TRY(file_mkdirs(dir, 0755));
    AUTO_CLOSE int fd = mkostemp(tmp, O_CLOEXEC);
    if (fd < 0)
        return err_set_kind(err_sys(errno, "cannot write '%s'", path), ERR_DISK);
    struct archive a = { tar_writer_new(file_sink(&fd)), image };
    struct err *e = write_archive(&a);
    tar_writer_free(a.tar);
    if (!e && (fchmod(fd, 0644) < 0 || rename(tmp, path) < 0))
        e = err_set_kind(err_sys(errno, "cannot write '%s'", path), ERR_DISK);
    if (e)
        (void)unlink(tmp);
    return e;
}
