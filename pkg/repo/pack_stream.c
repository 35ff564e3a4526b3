/* pack_stream.c - large files out of a pack without holding them in memory, which libgit2 cannot: the pack's index says
 * where an object is (gitformat-pack(5)); one that is no delta is a plain zlib stream there. Both files were written by
 * libgit2's indexer, which has checked every hash. */
#include "base/limits.h"
#include "repo/objects.h"
#include "repo/parse.h"
#include "sys/file.h"
#include "tar/decompress.h"

#include <endian.h>
#include <fcntl.h>
#include <string.h>

#define INDEX_HEAD   8
#define FANOUT_BYTES (256 * 4)
#define TYPE_BLOB    3

struct span {
    int fd;
    off_t offset;
};

static struct err *read_at(int fd, off_t offset, void *p, size_t n)
{
    ssize_t got = TEMP_FAILURE_RETRY(pread(fd, p, n, offset));

    if (got < 0)
        return err_sys(errno, "cannot read the pack's index");
    return (size_t)got == n ? NULL : err_new(ERR_BUG, "the pack's index ends too early");
}

static struct err *read_u32(int fd, off_t offset, uint32_t *ret)
{
    uint32_t v;

    TRY(read_at(fd, offset, &v, sizeof(v)));
    *ret = be32toh(v);
    return NULL;
}

/* Which place in the sorted list of names the object has. */
static struct err *find(int fd, const unsigned char id[REPO_ID_BYTES], uint32_t *ret_n, uint32_t *ret_place,
                        bool *ret_found)
{
    uint32_t low = 0, high, total;
    off_t names = INDEX_HEAD + FANOUT_BYTES;

    if (id[0] > 0)
        TRY(read_u32(fd, INDEX_HEAD + (id[0] - 1) * 4, &low));
    TRY(read_u32(fd, INDEX_HEAD + id[0] * 4, &high));
    TRY(read_u32(fd, INDEX_HEAD + 255 * 4, &total));
    *ret_found = false;
    while (low < high && high <= total) {
        uint32_t middle = low + (high - low) / 2;
        unsigned char name[REPO_ID_BYTES];

        TRY(read_at(fd, names + (off_t)middle * REPO_ID_BYTES, name, sizeof(name)));
        int order = memcmp(id, name, sizeof(name));
        if (order == 0) {
            *ret_found = true;
            *ret_n = total;
            *ret_place = middle;
            return NULL;
        }
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

/* Offsets of 31 bits stand in one table, larger ones in another behind it. */
static struct err *find_offset(int fd, const struct repo_hash *hash, off_t *ret_offset, bool *ret_found)
{
    unsigned char id[REPO_ID_BYTES];
    uint32_t n = 0, place = 0, small = 0;
    uint64_t large = 0;

    repo_id_of_hash(hash, id);
    TRY(find(fd, id, &n, &place, ret_found));
    if (!*ret_found)
        return NULL;
    off_t crcs = INDEX_HEAD + FANOUT_BYTES + (off_t)n * REPO_ID_BYTES, offsets = crcs + (off_t)n * 4;
    TRY(read_u32(fd, offsets + (off_t)place * 4, &small));
    *ret_offset = small;
    if (!(small & 0x80000000U))
        return NULL;
    TRY(read_at(fd, offsets + (off_t)n * 4 + (off_t)(small & 0x7fffffffU) * 8, &large, sizeof(large)));
    *ret_offset = (off_t)be64toh(large);
    return NULL;
}

static struct err *read_span(void *ctx, void *p, size_t n, size_t *ret_len)
{
    struct span *s = ctx;
    ssize_t got = TEMP_FAILURE_RETRY(pread(s->fd, p, n, s->offset));

    if (got < 0)
        return err_sys(errno, "cannot read the pack");
    s->offset += got;
    *ret_len = (size_t)got;
    return NULL;
}

/* The object's head: its type, and its length in pieces of 7 bits. */
static struct err *read_head(struct span *s, int *ret_type, uint64_t *ret_bytes)
{
    unsigned char c = 0;
    size_t n = 0;

    TRY(read_span(s, &c, 1, &n));
    *ret_type = c >> 4 & 7;
    *ret_bytes = c & 15;
    for (unsigned shift = 4; n == 1 && c & 0x80 && shift < 60; shift += 7) {
        TRY(read_span(s, &c, 1, &n));
        *ret_bytes |= (uint64_t)(c & 0x7f) << shift;
    }
    return NULL;
}

static struct err *copy_out(struct span *s, uint64_t bytes, int to_fd)
{
    const struct source in = { read_span, s };
    AUTO(decompress_free) struct decompressor *d = NULL;
    AUTO_FREE char *chunk = xcalloc(1, 65536);
    size_t n = 1;

    TRY(decompress_new_zlib(in, &d));
    const struct source out = decompress_source(d);
    while (n > 0) {
        TRY(source_read(&out, chunk, 65536, &n));
        if (n > bytes)
            break;
        bytes -= n;
        TRY(file_write_all(to_fd, chunk, n));
    }
    return bytes == 0 && n == 0 ? NULL : err_new(ERR_DOCKERFILE, "the repository is damaged: a file has another size");
}

struct err *repo_pack_stream(const char *pack_path, const struct repo_hash *hash, int to_fd, bool *ret_done,
                             uint64_t *ret_bytes)
{
    AUTO_FREE char *index_path = xasprintf("%s.idx", pack_path), *path = xasprintf("%s.pack", pack_path);
    AUTO_CLOSE int index = open(index_path, O_RDONLY | O_CLOEXEC), pack = open(path, O_RDONLY | O_CLOEXEC);
    struct span s = { .fd = pack };
    uint64_t bytes;
    bool found;
    int type;

    *ret_done = false;
    if (index < 0 || pack < 0)
        return err_sys(errno, "cannot open the pack '%s'", pack_path);
    TRY(find_offset(index, hash, &s.offset, &found));
    if (!found)
        return NULL;
    TRY(read_head(&s, &type, &bytes));
    if (type != TYPE_BLOB)
        return NULL;
    TRY(copy_out(&s, bytes, to_fd));
    *ret_done = true;
    *ret_bytes = bytes;
    return NULL;
}
