#include "sys/file.h"
#include "tar/decompress.h"
#include "tar/tar.h"

#define TAR_BLOCK_BYTES 512

static uint64_t octal_field(const unsigned char *p, size_t n)
{
    uint64_t v = 0;
    size_t i = 0;

    while (i < n && (p[i] == ' ' || p[i] == '\0'))
        i++;
    for (; i < n && p[i] >= '0' && p[i] <= '7'; i++)
        v = v * 8 + (uint64_t)(p[i] - '0');
    return v;
}

/* A tar header is what has a right checksum: the old formats have nothing else. Some writers add signed bytes. */
static bool is_header(const unsigned char block[TAR_BLOCK_BYTES])
{
    const size_t sum_at = 148, sum_len = 8;
    int64_t sum = 0, signed_sum = 0;
    bool any = false;

    for (size_t i = 0; i < TAR_BLOCK_BYTES; i++) {
        bool in_sum = i >= sum_at && i < sum_at + sum_len;

        any = any || block[i];
        sum += in_sum ? ' ' : block[i];
        signed_sum += in_sum ? ' ' : (signed char)block[i];
    }
    int64_t said = (int64_t)octal_field(block + sum_at, sum_len);
    return any && (said == sum || said == signed_sum);
}

bool tar_probe(int fd)
{
    unsigned char block[TAR_BLOCK_BYTES];
    AUTO(decompress_free) struct decompressor *d = NULL;
    struct err *e = decompress_new(file_source(&fd), &d);
    size_t have = 0;

    while (!e && have < sizeof(block)) {
        struct source s = decompress_source(d);
        size_t n = 0;

        e = source_read(&s, block + have, sizeof(block) - have, &n);
        if (n == 0)
            break;
        have += n;
    }
    err_free(e);
    return have == sizeof(block) && is_header(block);
}
