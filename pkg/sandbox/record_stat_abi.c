#include "sandbox/record_stat_priv.h"

#include <string.h>

/* The kernel's layouts for 32-bit programs (arch/x86/include/uapi/asm/stat.h, arch/arm/include/uapi/asm/stat.h). On ARM
 * 64-bit numbers are aligned to 8 bytes, on x86 to 4. */
#if defined(__aarch64__)
#define ALIGN_64
#else
#define ALIGN_64 __attribute__((packed, aligned(4)))
#endif

struct stat_32_old {
    uint32_t dev, ino;
    uint16_t mode, nlink, uid, gid;
    uint32_t rdev, size, blksize, blocks;
    uint32_t atime, atime_ns, mtime, mtime_ns, ctime, ctime_ns, unused[2];
};

struct ALIGN_64 stat_32 {
    uint64_t dev;
    uint8_t pad0[4];
    uint32_t ino_low, mode, nlink, uid, gid;
    uint64_t rdev;
    uint8_t pad3[4];
    int64_t size;
    uint32_t blksize;
    uint64_t blocks;
    uint32_t atime, atime_ns, mtime, mtime_ns, ctime, ctime_ns;
    uint64_t ino;
};

#if !defined(__aarch64__)
_Static_assert(sizeof(struct stat_32) == 96, "as i386 has it");
#else
_Static_assert(sizeof(struct stat_32) == 104, "as ARM has it");
#endif
_Static_assert(sizeof(struct stat_32_old) == 64, "as both have it");
_Static_assert(sizeof(struct stat) <= STAT_BYTES_MAX, "the largest");

static uint16_t narrow_id(uint32_t id)
{
    return id > 0xffff ? 65534 : (uint16_t)id;
}

static size_t encode_old(const struct stat *st, char *out)
{
    const struct stat_32_old s = {
        .dev = (uint32_t)st->st_dev,
        .ino = (uint32_t)st->st_ino,
        .mode = (uint16_t)st->st_mode,
        .nlink = (uint16_t)st->st_nlink,
        .uid = narrow_id(st->st_uid),
        .gid = narrow_id(st->st_gid),
        .rdev = (uint32_t)st->st_rdev,
        .size = (uint32_t)st->st_size,
        .blksize = (uint32_t)st->st_blksize,
        .blocks = (uint32_t)st->st_blocks,
        .atime = (uint32_t)st->st_atim.tv_sec,
        .atime_ns = (uint32_t)st->st_atim.tv_nsec,
        .mtime = (uint32_t)st->st_mtim.tv_sec,
        .mtime_ns = (uint32_t)st->st_mtim.tv_nsec,
        .ctime = (uint32_t)st->st_ctim.tv_sec,
        .ctime_ns = (uint32_t)st->st_ctim.tv_nsec,
    };

    memcpy(out, &s, sizeof(s));
    return sizeof(s);
}

static size_t encode_32(const struct stat *st, char *out)
{
    const struct stat_32 s = {
        .dev = st->st_dev,
        .ino_low = (uint32_t)st->st_ino,
        .mode = st->st_mode,
        .nlink = (uint32_t)st->st_nlink,
        .uid = st->st_uid,
        .gid = st->st_gid,
        .rdev = st->st_rdev,
        .size = st->st_size,
        .blksize = (uint32_t)st->st_blksize,
        .blocks = (uint64_t)st->st_blocks,
        .atime = (uint32_t)st->st_atim.tv_sec,
        .atime_ns = (uint32_t)st->st_atim.tv_nsec,
        .mtime = (uint32_t)st->st_mtim.tv_sec,
        .mtime_ns = (uint32_t)st->st_mtim.tv_nsec,
        .ctime = (uint32_t)st->st_ctim.tv_sec,
        .ctime_ns = (uint32_t)st->st_ctim.tv_nsec,
        .ino = st->st_ino,
    };

    memcpy(out, &s, sizeof(s));
    return sizeof(s);
}

size_t stat_encode(const struct stat *st, enum record_abi abi, bool old, char out[STAT_BYTES_MAX])
{
    if (abi == ABI_32)
        return old ? encode_old(st, out) : encode_32(st, out);
    memcpy(out, st, sizeof(*st));
    return sizeof(*st);
}
