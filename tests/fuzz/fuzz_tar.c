/* Reads an archive to its end; what the reader promises must hold for any bytes. */
#include "base/limits.h"
#include "tar/tar.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct bytes {
    const uint8_t *p;
    size_t len;
};

static struct err *from_bytes(void *ctx, void *p, size_t n, size_t *ret_len)
{
    struct bytes *b = ctx;
    size_t k = b->len < n ? b->len : n;

    if (k)
        memcpy(p, b->p, k);
    b->p += k;
    b->len -= k;
    *ret_len = k;
    return NULL;
}

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void check_entry(const struct tar_entry *e)
{
    check(e->path && *e->path && *e->path != '/' && strlen(e->path) <= LIMIT_PATH_BYTES + 1);
    check(!e->hardlink || S_ISREG(e->mode));
    check((e->hardlink || S_ISLNK(e->mode)) == (e->link && *e->link));
    check(S_ISREG(e->mode) || e->size_bytes == 0);
    check(e->mtime.tv_nsec >= 0 && e->mtime.tv_nsec < 1000000000);
    for (size_t i = 0; i < e->n_xattrs; i++) {
        check(e->xattrs[i].len <= LIMIT_XATTR_BYTES && *e->xattrs[i].name);
        check(i == 0 || strcmp(e->xattrs[i - 1].name, e->xattrs[i].name) < 0);
    }
}

static struct err *read_data(struct tar_reader *r, uint64_t size_bytes, size_t stored)
{
    const void *p;
    size_t n;
    uint64_t offset, end = 0, sum = 0;

    for (;;) {
        TRY(tar_read_data(r, &p, &n, &offset));
        if (n == 0)
            return NULL;
        check(offset >= end && offset + n <= size_bytes);
        end = offset + n;
        sum += n;
        check(sum <= stored); /* no more comes out than was put in */
    }
}

static struct err *read_all(struct tar_reader *r, size_t size)
{
    for (size_t n = 0;; n++) {
        AUTO(tar_entry_release) struct tar_entry e = { 0 };
        bool found;

        check(n <= size / 512);
        TRY(tar_read_entry(r, &e, &found));
        if (!found)
            return NULL;
        check_entry(&e);
        if (n % 3) /* and sometimes it is left unread */
            TRY(read_data(r, e.size_bytes, size));
    }
}

static void run(const uint8_t *data, size_t size)
{
    struct bytes b = { data, size };
    AUTO(tar_reader_free) struct tar_reader *r = NULL;

    err_free(tar_reader_new((struct source){ from_bytes, &b }, &r));
    err_free(read_all(r, size));
}

/* Writes the right checksum into each block that may be a header: else chance would hardly ever get past it. */
static void mend(uint8_t *data, size_t size)
{
    for (size_t at = 0; at + 512 <= size; at += 512) {
        uint8_t *field = data + at + 148;
        unsigned sum = 0;

        if (field[0] < '0' || field[0] > '7')
            continue;
        memset(field, ' ', 8);
        for (size_t i = 0; i < 512; i++)
            sum += data[at + i];
        for (size_t i = 6; i-- > 0; sum >>= 3)
            field[i] = (uint8_t)('0' + (sum & 7));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_FREE uint8_t *copy = xcalloc(size + 1, 1);

    run(data, size);
    if (size)
        memcpy(copy, data, size);
    mend(copy, size);
    run(copy, size);
    return 0;
}
