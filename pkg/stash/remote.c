/* remote.c - the document under a tag: an OCI image whose first layer is the index, and the others are the packs. */
#include "stash/stash_priv.h"
#include "sys/file.h"
#include "tar/decompress.h"
#include "tar/tar.h"
#include "json/json.h"

#include <fcntl.h>
#include <string.h>
#include <time.h>

#define NOTE_VERSION "dev.copyup.mount.version"
#define NOTE_WRITTEN "org.opencontainers.image.created"
#define VERSION      "1"
#define INDEX_NAME   "index"

/* ---- blobs ---- */

struct err *remote_temp(const struct stash_opts *o, int *ret_fd)
{
    AUTO_FREE char *name = xasprintf("%s/stash.XXXXXX", o->scratch_dir);
    int fd = mkostemp(name, O_CLOEXEC);

    if (fd < 0)
        return err_set_kind(err_sys(errno, "cannot make a file in '%s'", o->scratch_dir), ERR_DISK);
    (void)unlink(name);
    *ret_fd = fd;
    return NULL;
}

static struct ref tagged(const struct stash_opts *o, const char *tag)
{
    return (struct ref){ .domain = o->repo->domain, .path = o->repo->path, .tag = (char *)tag }; /* borrowed */
}

struct descriptor remote_descriptor(const struct stash_pack *p)
{
    struct descriptor d = { .media_type = MEDIA_OCI_LAYER_ZSTD, .digest = p->blob, .size_bytes = p->size_bytes };

    return d;
}

static struct err *empty_again(void *ctx)
{
    const int *fd = ctx;

    return ftruncate(*fd, 0) < 0 || lseek(*fd, 0, SEEK_SET) < 0 ? err_sys(errno, "cannot write a file again") : NULL;
}

struct err *remote_fetch(const struct stash_opts *o, const struct descriptor *d, int *ret_fd)
{
    const struct ref repo = tagged(o, NULL);
    AUTO_CLOSE int fd = -1;

    TRY(remote_temp(o, &fd));
    const struct blob_target to = { file_sink(&fd), empty_again, &fd };
    TRY(registry_pull_blob(o->registry, &repo, d, &to));
    if (lseek(fd, 0, SEEK_SET) < 0)
        return err_sys(errno, "cannot read a file again");
    *ret_fd = steal_fd(&fd);
    return NULL;
}

static struct err *open_again(void *ctx, int *ret_fd, uint64_t *ret_offset)
{
    const int *fd = ctx;

    *ret_offset = 0;
    *ret_fd = fcntl(*fd, F_DUPFD_CLOEXEC, 0);
    return *ret_fd < 0 ? err_sys(errno, "cannot read a file again") : NULL;
}

static struct err *send(const struct stash_opts *o, const struct descriptor *d, int fd, uint64_t *ret_bytes)
{
    const struct ref repo = tagged(o, NULL);
    const struct blob_source source = { open_again, &fd };
    enum blob_result result;

    TRY(registry_push_blob(o->registry, &repo, d, &source, NULL, &result));
    if (result == BLOB_UPLOADED)
        *ret_bytes += d->size_bytes;
    return NULL;
}

struct err *remote_send(const struct stash_opts *o, const struct compress_result *r, int fd, uint64_t *ret_bytes)
{
    const struct stash_pack pack = { .blob = r->digest, .size_bytes = r->size_bytes };
    const struct descriptor d = remote_descriptor(&pack);

    return send(o, &d, fd, ret_bytes);
}

/* ---- reading ---- */

/* The data of a tar's file as a source. */
struct member {
    struct tar_reader *tar;
    const char *p;
    size_t len;
};

static struct err *read_member(void *ctx, void *p, size_t n, size_t *ret_len)
{
    struct member *m = ctx;

    if (!m->len) {
        const void *block;
        uint64_t offset;

        TRY(tar_read_data(m->tar, &block, &m->len, &offset));
        m->p = block;
    }
    size_t take = n < m->len ? n : m->len;
    memcpy(p, m->p, take);
    m->p += take;
    m->len -= take;
    *ret_len = take;
    return NULL;
}

static struct err *read_index(int fd, struct stash_index *ret)
{
    AUTO(decompress_free) struct decompressor *d = NULL;
    AUTO(tar_reader_free) struct tar_reader *tar = NULL;
    __attribute__((cleanup(tar_entry_release_auto))) struct tar_entry e = { 0 };
    struct source in = file_source(&fd);
    bool found;

    TRY(decompress_new(in, &d));
    TRY(tar_reader_new(decompress_source(d), &tar));
    TRY(tar_read_entry(tar, &e, &found));
    if (!found || strcmp(e.path, INDEX_NAME) != 0 || !S_ISREG(e.mode))
        return err_new(ERR_REGISTRY, "its first layer is no index");
    struct member m = { .tar = tar };
    const struct source text = { read_member, &m };
    return stash_read(&text, ret);
}

static struct err *check_notes(const char *text, size_t len)
{
    AUTO(json_free) struct json *tree = NULL;

    TRY(json_parse(text, len, &tree));
    const char *version = json_get_string(json_get(tree, "annotations"), NOTE_VERSION);
    if (!version || strcmp(version, VERSION) != 0)
        return err_new(ERR_REGISTRY, "it is no contents of a cache mount of this program");
    return NULL;
}

static bool same_packs(const struct manifest *m, const struct stash_index *x)
{
    bool same = m->n_layers == x->packs.n + 1;

    for (size_t i = 0; same && i < x->packs.n; i++)
        same = digest_equal(&m->layers[i + 1].digest, &x->packs.items[i].blob) &&
               m->layers[i + 1].size_bytes == x->packs.items[i].size_bytes;
    return same;
}

static struct err *read_document(const struct stash_opts *o, const struct fetched_manifest *f, struct remote *ret)
{
    AUTO(manifest_release) struct manifest m = { 0 };
    AUTO_CLOSE int fd = -1;

    TRY(manifest_parse(f->text, f->len, &m));
    TRY(check_notes(f->text, f->len));
    if (!m.n_layers || m.layers[0].size_bytes > LIMIT_STASH_INDEX_BYTES)
        return err_new(ERR_REGISTRY, "it has no index of at most %d bytes", LIMIT_STASH_INDEX_BYTES);
    TRY(remote_fetch(o, &m.layers[0], &fd));
    TRY(read_index(fd, &ret->x));
    if (!same_packs(&m, &ret->x))
        return err_new(ERR_REGISTRY, "its index and its layers do not fit together");
    ret->digest = f->digest;
    ret->moved = f->len + m.layers[0].size_bytes;
    return NULL;
}

struct err *remote_read(const struct stash_opts *o, const char *tag, struct remote *ret)
{
    const struct ref ref = tagged(o, tag);
    struct fetched_manifest f = { 0 };
    struct remote r = { 0 };
    bool found;

    TRY(registry_get_manifest(o->registry, &ref, &f, &found));
    struct err *e = found ? read_document(o, &f, &r) : NULL;
    if (found)
        fetched_manifest_release(&f);
    if (e)
        remote_release(&r);
    else
        *ret = r;
    return e;
}

struct err *remote_look(const struct stash_opts *o, const char *tag, struct digest *ret)
{
    const struct ref ref = tagged(o, tag);
    struct fetched_manifest f = { 0 };
    bool found;

    TRY(registry_get_manifest(o->registry, &ref, &f, &found));
    *ret = found ? f.digest : (struct digest){ "" };
    if (found)
        fetched_manifest_release(&f);
    return NULL;
}

/* ---- writing ---- */

static struct err *to_tar(void *ctx, const void *p, size_t n)
{
    return tar_write_data(ctx, p, n);
}

static struct err *write_index_to(const struct stash_index *x, struct sink out)
{
    AUTO(tar_writer_free) struct tar_writer *tar = tar_writer_new(out);
    const struct tar_entry e = { .path = (char *)INDEX_NAME, .mode = S_IFREG | 0644, .size_bytes = stash_size(x) };
    const struct sink data = { to_tar, tar };

    TRY(tar_write_entry(tar, &e));
    TRY(stash_write(x, &data));
    return tar_writer_end(tar);
}

static struct err *send_index(const struct stash_opts *o, const struct stash_index *x, struct stash_pack *ret,
                              uint64_t *ret_bytes)
{
    const struct compress_opts c = { COMPRESSION_ZSTD, .threads = o->threads, .cancel = o->cancel };
    AUTO(compress_free) struct compressor *z = NULL;
    AUTO_CLOSE int fd = -1;
    struct compress_result r;

    TRY(remote_temp(o, &fd));
    TRY(compress_new(&c, file_sink(&fd), &z));
    TRY(write_index_to(x, compress_sink(z)));
    TRY(compress_end(z, &r));
    TRY(remote_send(o, &r, fd, ret_bytes));
    *ret = (struct stash_pack){ .blob = r.digest, .diff_id = r.diff_id, .size_bytes = r.size_bytes };
    return NULL;
}

static void put_text(struct json_writer *w, const char *name, const char *value)
{
    json_key(w, name);
    json_put_string(w, value);
}

static void put_time(struct json_writer *w, const char *name, int64_t seconds)
{
    time_t t = seconds;
    char text[32] = "1970-01-01T00:00:00Z";
    struct tm tm;

    if (gmtime_r(&t, &tm))
        (void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
    put_text(w, name, text);
}

static char *config_text(const struct stash_opts *o, const struct stash_pack *index, const struct stash_index *x)
{
    AUTO(json_writer_free) struct json_writer *w = json_writer_new();

    json_object_begin(w);
    put_text(w, "architecture", o->platform->arch);
    put_time(w, "created", o->now_s);
    put_text(w, "os", o->platform->os);
    json_key(w, "rootfs");
    json_object_begin(w);
    put_text(w, "type", "layers");
    json_key(w, "diff_ids");
    json_array_begin(w);
    json_put_string(w, index->diff_id.text);
    for (size_t i = 0; i < x->packs.n; i++)
        json_put_string(w, x->packs.items[i].diff_id.text);
    json_array_end(w);
    json_object_end(w);
    json_object_end(w);
    return json_writer_steal(w);
}

static void put_descriptor(struct json_writer *w, const struct descriptor *d)
{
    json_object_begin(w);
    put_text(w, "mediaType", d->media_type);
    put_text(w, "digest", d->digest.text);
    json_key(w, "size");
    json_put_int(w, (int64_t)d->size_bytes);
    json_object_end(w);
}

static char *manifest_text(const struct stash_opts *o, const struct descriptor *config, const struct stash_pack *index,
                           const struct stash_index *x)
{
    AUTO(json_writer_free) struct json_writer *w = json_writer_new();
    struct descriptor d = remote_descriptor(index);

    json_object_begin(w);
    json_key(w, "schemaVersion");
    json_put_int(w, 2);
    put_text(w, "mediaType", MEDIA_OCI_MANIFEST);
    json_key(w, "config");
    put_descriptor(w, config);
    json_key(w, "layers");
    json_array_begin(w);
    put_descriptor(w, &d);
    for (size_t i = 0; i < x->packs.n; i++) {
        d = remote_descriptor(&x->packs.items[i]);
        put_descriptor(w, &d);
    }
    json_array_end(w);
    json_key(w, "annotations");
    json_object_begin(w);
    put_text(w, NOTE_VERSION, VERSION);
    put_time(w, NOTE_WRITTEN, o->now_s);
    json_object_end(w);
    json_object_end(w);
    return json_writer_steal(w);
}

static struct err *send_config(const struct stash_opts *o, const char *text, struct descriptor *ret)
{
    AUTO_CLOSE int fd = -1;
    uint64_t ignored = 0;
    struct descriptor d = { .media_type = MEDIA_OCI_CONFIG,
                            .digest = digest_bytes(text, strlen(text)),
                            .size_bytes = strlen(text) };

    TRY(remote_temp(o, &fd));
    TRY(file_write_all(fd, text, strlen(text)));
    TRY(send(o, &d, fd, &ignored));
    *ret = d;
    return NULL;
}

struct err *remote_write(const struct stash_opts *o, const char *tag, const struct stash_index *x,
                         struct remote *ret_written)
{
    const struct ref ref = tagged(o, tag);
    struct stash_pack index;
    struct descriptor config;

    TRY(send_index(o, x, &index, &ret_written->moved));
    AUTO_FREE char *text = config_text(o, &index, x);
    TRY(send_config(o, text, &config));
    AUTO_FREE char *manifest = manifest_text(o, &config, &index, x);
    return registry_put_manifest(o->registry, &ref, MEDIA_OCI_MANIFEST, manifest, strlen(manifest), NULL,
                                 &ret_written->digest);
}

void remote_release(struct remote *r)
{
    stash_release(&r->x);
}
