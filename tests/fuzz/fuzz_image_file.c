/* A file of any bytes is read as an image: it is one, of which every blob is what its digest says, or it is refused. */
#include "export/image_file.h"
#include "sys/file.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void check_blob(const struct image_file *f, size_t i)
{
    const struct descriptor *d = image_file_blob(f, i);
    AUTO_FREE char *p = xcalloc(1, d->size_bytes);
    AUTO_CLOSE int fd = -1;
    uint64_t offset = 0;
    struct err *e = image_file_open_blob(f, i, &fd, &offset);

    if (e || pread(fd, p, d->size_bytes, (off_t)offset) != (ssize_t)d->size_bytes)
        abort();
    const struct digest got = digest_bytes(p, d->size_bytes);
    if (!digest_equal(&got, &d->digest))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_CLOSE int fd = memfd_create("image", MFD_CLOEXEC);
    AUTO_FREE char *path = xasprintf("/proc/self/fd/%d", fd);
    const struct image_file_opts o = {
        .place = path, .scratch = "/tmp", .format = -1, .compress = { .kind = COMPRESSION_GZIP, .threads = 1 }
    };
    AUTO(image_file_free) struct image_file *f = NULL;
    struct err *e = fd < 0 ? err_sys(errno, "no file in memory") : file_write_all(fd, data, size);

    if (!e)
        e = image_file_open(&o, &f);
    if (!e && image_file_n_documents(f) == 0)
        abort();
    for (size_t i = 0; !e && i < image_file_n_blobs(f); i++)
        check_blob(f, i);
    err_free(e);
    return 0;
}
