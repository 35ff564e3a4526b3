/* cut.c - content-defined chunks: a hash that rolls over the last 64 bytes decides where to cut ("Gear", Xia et al.
 * 2014). */
#include "stash/stash_priv.h"

#include <pthread.h>

#define CUT_MASK 0xfffff00000000000ULL /* 20 bits: chunks of 1 MiB beyond the minimum on average */

static uint64_t gear[256];
static pthread_once_t gear_once = PTHREAD_ONCE_INIT;

/* Any numbers will do that are the same for ever: splitmix64. */
static void fill_gear(void)
{
    uint64_t state = 0x636f7079757031ULL;

    for (int i = 0; i < 256; i++) {
        uint64_t z = (state += 0x9e3779b97f4a7c15ULL);

        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
        gear[i] = z ^ (z >> 31);
    }
}

size_t stash_cut(const uint8_t *p, size_t n)
{
    size_t end = n < STASH_CHUNK_MAX_BYTES ? n : STASH_CHUNK_MAX_BYTES;
    uint64_t h = 0;

    pthread_once(&gear_once, fill_gear);
    if (n <= STASH_CHUNK_MIN_BYTES)
        return n;
    for (size_t i = STASH_CHUNK_MIN_BYTES - 64; i < end; i++) {
        h = (h << 1) + gear[p[i]];
        if (i >= STASH_CHUNK_MIN_BYTES && !(h & CUT_MASK))
            return i + 1;
    }
    return end;
}
