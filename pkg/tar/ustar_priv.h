/* ustar_priv.h - the 512-byte header block that all tar formats share (POSIX.1-2001 pax, "ustar Interchange Format").
 */
#ifndef TAR_USTAR_PRIV_H
#define TAR_USTAR_PRIV_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define TAR_BLOCK 512
#define PAX_XATTR "SCHILY.xattr."

struct ustar_header {
    char name[100];
    char mode[8], uid[8], gid[8], size[12], mtime[12], chksum[8];
    char typeflag;
    char linkname[100];
    char magic[6], version[2];
    char uname[32], gname[32];
    char devmajor[8], devminor[8];
    char prefix[155];
    char pad[12];
};
_Static_assert(sizeof(struct ustar_header) == TAR_BLOCK, "a tar header is one block");

/* The sum of all bytes with the checksum field taken as blanks. Some old writers summed signed chars. */
static inline void ustar_sums(const struct ustar_header *h, int64_t *ret_unsigned, int64_t *ret_signed)
{
    const unsigned char *p = (const unsigned char *)h;
    size_t from = offsetof(struct ustar_header, chksum), to = from + sizeof(h->chksum);

    *ret_unsigned = *ret_signed = 0;
    for (size_t i = 0; i < TAR_BLOCK; i++) {
        int c = i >= from && i < to ? ' ' : p[i];

        *ret_unsigned += c;
        *ret_signed += (signed char)c;
    }
}

/* How many bytes fill up the last block of n bytes. */
static inline size_t ustar_padding(uint64_t n)
{
    return (size_t)(-n & (TAR_BLOCK - 1));
}

#endif
