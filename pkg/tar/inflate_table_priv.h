/* inflate_table_priv.h - Huffman codes of DEFLATE (RFC 1951, 3.2) as tables that are indexed by the next bits of the
 * stream. Pure. */
#ifndef TAR_INFLATE_TABLE_PRIV_H
#define TAR_INFLATE_TABLE_PRIV_H

#include <stdbool.h>
#include <stdint.h>

/* An entry: what the next bits mean. Bits 0-5: how many of them it takes, with those that are added to the value. Bits
 * 8-11: how many of these are the code. Bits 16-30: the value: a byte, or the least length or distance. */
#define ENTRY_LITERAL (1u << 31)
#define ENTRY_SPECIAL (1u << 15) /* one of these, or a code that means nothing */
#define ENTRY_SUB     (1u << 14) /* a longer code: its further bits are looked up at `value`; bits 8-11: how many */
#define ENTRY_END     (1u << 13) /* the block ends */

static inline unsigned entry_bits(uint32_t e)
{
    return e & 63;
}

static inline unsigned entry_code_bits(uint32_t e)
{
    return e >> 8 & 15;
}

static inline unsigned entry_value(uint32_t e)
{
    return e >> 16 & 0x7fff;
}

enum { LENGTHS = 288, DISTANCES = 32, CODE_BITS = 15 };
/* How many bits are looked up at once; most codes have no more. The sizes have room for the tables of further bits. */
enum { LENGTH_ROOT = 11, DISTANCE_ROOT = 8, ORDER_ROOT = 7 };
enum { LENGTH_ENTRIES = 4096, DISTANCE_ENTRIES = 1024, ORDER_ENTRIES = 1 << ORDER_ROOT };

struct inflate_tables {
    uint32_t lengths[LENGTH_ENTRIES]; /* and literals */
    uint32_t distances[DISTANCE_ENTRIES];
};

/* The tables of fixed codes. */
void inflate_fixed_tables(struct inflate_tables *ret);
/* From the lengths in bits of each code (0: it is not used): n_lengths of them, then n_distances. False: they are no
 * code. */
bool inflate_make_tables(const uint8_t *bits, unsigned n_lengths, unsigned n_distances, struct inflate_tables *ret);
/* The code that the lengths of codes are written in. Values are the symbols. */
bool inflate_make_order(const uint8_t bits[19], uint32_t ret[ORDER_ENTRIES]);

#endif
