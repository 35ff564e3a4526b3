#include "export/image_file_priv.h"

#include "base/limits.h"
#include "sys/file.h"
#include "tar/decompress.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define IO_BYTES 65536

/* ---- the place ---- */

static bool exists(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0;
}

/* A path may have colons itself: the longest one that is there counts. */
static void split_name(struct image_file *f)
{
    for (size_t n = strlen(f->path); n > 0 && !exists(f->path); n--) {
        if (f->path[n - 1] != ':')
            continue;
        AUTO_FREE char *shorter = xstrndup(f->path, n - 1);
        if (!exists(shorter))
            continue;
        f->name = xstrdup(f->path + n);
        free(f->path);
        f->path = steal(&shorter);
        return;
    }
}

static void parse_place(struct image_file *f)
{
    const char *at = strstr(f->o.place, "@sha256:");

    f->path = at && !exists(f->o.place) ? xstrndup(f->o.place, (size_t)(at - f->o.place)) : xstrdup(f->o.place);
    if (at && strlen(f->path) < strlen(f->o.place))
        f->digest = xstrdup(at + 1);
    split_name(f);
}

bool image_file_is_wanted(const struct image_file *f, const char *have)
{
    const char *colon = strrchr(have, ':'), *tag = colon && !strchr(colon, '/') ? colon + 1 : NULL;
    bool bare = !strchr(f->name, '/') && !strchr(f->name, ':'); /* a tag alone, or a name alone */

    if (strcmp(f->name, have) == 0 || (bare && tag && strcmp(f->name, tag) == 0))
        return true;
    size_t n = strlen(f->name);
    return tag && strcmp(tag, "latest") == 0 && strncmp(have, f->name, n) == 0 && have[n] == ':';
}

/* ---- what it consists of ---- */

void image_file_add_blob(struct image_file *f, const struct descriptor *d, struct extent *at)
{
    struct file_blob blob = { *d, *at };

    at->path = NULL;
    if (map_get(f->known, d->digest.text)) {
        free(blob.at.path);
        return;
    }
    map_set(f->known, d->digest.text, f);
    vec_push(&f->blobs, blob);
}

void image_file_add_document(struct image_file *f, const char *media_type, struct buf *text)
{
    struct image_document d = { .len = text->len, .digest = digest_bytes(buf_str(text), text->len) };

    (void)snprintf(d.media_type, sizeof(d.media_type), "%s", media_type);
    d.text = buf_steal(text);
    map_set(f->known, d.digest.text, f);
    vec_push(&f->documents, d);
}

struct err *image_file_scratch(const struct image_file *f, int *ret_fd)
{
    AUTO_FREE char *path = xasprintf("%s/image.XXXXXX", f->o.scratch);
    int fd = mkostemp(path, O_CLOEXEC);

    if (fd < 0)
        return err_set_kind(err_sys(errno, "cannot make a file in '%s'", f->o.scratch), ERR_DISK);
    (void)unlink(path);
    *ret_fd = fd;
    return NULL;
}

/* ---- opening ---- */

static struct err *unpack(struct image_file *f, const struct source *from)
{
    AUTO_FREE char *io = xcalloc(1, IO_BYTES);
    AUTO_CLOSE int out = -1;
    size_t n = 0;

    TRY(image_file_scratch(f, &out));
    const struct sink to = file_sink(&out);
    for (;;) {
        TRY(cancel_check(f->o.cancel));
        TRY(source_read(from, io, IO_BYTES, &n));
        if (n == 0)
            break;
        TRY(sink_write(&to, io, n));
    }
    close_fd(&f->fd);
    f->fd = out;
    out = -1;
    return NULL;
}

/* Members are read from where they lie, which a compressed archive does not allow. */
static struct err *open_archive(struct image_file *f)
{
    AUTO(decompress_free) struct decompressor *d = NULL;

    TRY(decompress_new(file_source(&f->fd), &d));
    if (strcmp(decompress_kind(d), "none") != 0) {
        const struct source plain = decompress_source(d);
        TRY(unpack(f, &plain));
    }
    return members_read(f);
}

static struct err *open_place(struct image_file *f)
{
    struct stat st;

    f->fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (f->fd < 0 || fstat(f->fd, &st) < 0)
        return err_set_kind(err_sys(errno, "cannot open it"), ERR_SETTING);
    if (S_ISREG(st.st_mode))
        return open_archive(f);
    close_fd(&f->fd);
    return S_ISDIR(st.st_mode) ? NULL : err_new(ERR_SETTING, "it is neither a file nor a directory");
}

/* An archive of a newer `docker save` is both; its manifest.json knows the names. What an OCI index says of such an
 * archive is not what was pulled either: layers are there uncompressed. */
static struct err *load(struct image_file *f)
{
    AUTO(buf_release) struct buf text = BUF_INIT;
    bool found = false;

    TRY(open_place(f));
    if (f->members)
        TRY(member_text(f, "manifest.json", LIMIT_MANIFEST_BYTES, &text, &found));
    if (found)
        return image_docker_load(f, buf_str(&text), text.len);
    TRY(member_text(f, "index.json", LIMIT_MANIFEST_BYTES, &text, &found));
    if (found)
        return image_oci_load(f, buf_str(&text), text.len);
    return err_hint(err_new(ERR_SETTING, "it has neither a manifest.json nor an index.json"),
                    "It must be an archive of 'docker save', or an OCI layout as a directory or an archive.");
}

struct err *image_file_open(const struct image_file_opts *opts, struct image_file **ret)
{
    AUTO(image_file_free) struct image_file *f = xcalloc(1, sizeof(*f));

    f->o = *opts;
    f->fd = -1;
    f->known = map_new(NULL);
    parse_place(f);
    f->o.place = NULL;
    TRY(err_wrap(load(f), "cannot read the image '%s'", f->path));
    *ret = steal(&f);
    return NULL;
}

void image_file_free(struct image_file *f)
{
    if (!f)
        return;
    for (size_t i = 0; i < f->blobs.n; i++) {
        if (f->blobs.items[i].at.fd != f->fd)
            close_fd(&f->blobs.items[i].at.fd);
        free(f->blobs.items[i].at.path);
    }
    for (size_t i = 0; i < f->documents.n; i++)
        free(f->documents.items[i].text);
    vec_free(&f->blobs);
    vec_free(&f->documents);
    map_free(f->members);
    map_free(f->known);
    close_fd(&f->fd);
    free(f->path);
    free(f->name);
    free(f->digest);
    free(f);
}

/* ---- asking ---- */

size_t image_file_n_blobs(const struct image_file *f)
{
    return f->blobs.n;
}

const struct descriptor *image_file_blob(const struct image_file *f, size_t i)
{
    return &f->blobs.items[i].desc;
}

struct err *image_file_open_blob(const struct image_file *f, size_t i, int *ret_fd, uint64_t *ret_offset)
{
    const struct extent *at = &f->blobs.items[i].at;
    int fd = at->path ? open(at->path, O_RDONLY | O_CLOEXEC) : fcntl(at->fd, F_DUPFD_CLOEXEC, 3);

    if (fd < 0)
        return err_set_kind(err_sys(errno, "cannot open '%s'", at->path ? at->path : f->path), ERR_DISK);
    *ret_fd = fd;
    *ret_offset = at->offset;
    return NULL;
}

size_t image_file_n_documents(const struct image_file *f)
{
    return f->documents.n;
}

const struct image_document *image_file_document(const struct image_file *f, size_t i)
{
    return &f->documents.items[i];
}
