#include "tar/inflate_table_priv.h"

#include <string.h>

/* RFC 1951, 3.2.5: the least value of each symbol, and how many more bits are added to it. */
static const struct {
    uint16_t least;
    uint8_t more;
} lengths[] = { { 3, 0 },   { 4, 0 },   { 5, 0 },   { 6, 0 },   { 7, 0 },  { 8, 0 },  { 9, 0 },  { 10, 0 },
                { 11, 1 },  { 13, 1 },  { 15, 1 },  { 17, 1 },  { 19, 2 }, { 23, 2 }, { 27, 2 }, { 31, 2 },
                { 35, 3 },  { 43, 3 },  { 51, 3 },  { 59, 3 },  { 67, 4 }, { 83, 4 }, { 99, 4 }, { 115, 4 },
                { 131, 5 }, { 163, 5 }, { 195, 5 }, { 227, 5 }, { 258, 0 } },
  distances[] = { { 1, 0 },     { 2, 0 },     { 3, 0 },     { 4, 0 },      { 5, 1 },      { 7, 1 },
                  { 9, 2 },     { 13, 2 },    { 17, 3 },    { 25, 3 },     { 33, 4 },     { 49, 4 },
                  { 65, 5 },    { 97, 5 },    { 129, 6 },   { 193, 6 },    { 257, 7 },    { 385, 7 },
                  { 513, 8 },   { 769, 8 },   { 1025, 9 },  { 1537, 9 },   { 2049, 10 },  { 3073, 10 },
                  { 4097, 11 }, { 6145, 11 }, { 8193, 12 }, { 12289, 12 }, { 16385, 13 }, { 24577, 13 } };

enum { N_LENGTHS = sizeof(lengths) / sizeof(lengths[0]), N_DISTANCES = sizeof(distances) / sizeof(distances[0]) };
enum { END_OF_BLOCK = 256, FIRST_LENGTH = 257 };

/* The entry of a symbol, but for the bits of its code. */
static uint32_t length_entry(unsigned symbol)
{
    if (symbol < END_OF_BLOCK)
        return ENTRY_LITERAL | symbol << 16;
    if (symbol == END_OF_BLOCK)
        return ENTRY_SPECIAL | ENTRY_END;
    symbol -= FIRST_LENGTH;
    return symbol < N_LENGTHS ? (uint32_t)lengths[symbol].least << 16 | lengths[symbol].more : ENTRY_SPECIAL;
}

static uint32_t distance_entry(unsigned symbol)
{
    return symbol < N_DISTANCES ? (uint32_t)distances[symbol].least << 16 | distances[symbol].more : ENTRY_SPECIAL;
}

static uint32_t order_entry(unsigned symbol)
{
    return symbol << 16;
}

/* A code, and the table that is made of it. */
struct code {
    const uint8_t *bits;
    unsigned n, longest;
    bool whole;                    /* all codes must be used; else there may be none, or one of one bit */
    uint16_t count[CODE_BITS + 1]; /* symbols of so many bits; those that have no entry yet */
    uint16_t sorted[LENGTHS];      /* by bits, then by symbol */
    uint32_t *table;
    unsigned root, size, used; /* size: entries that there is room for */
};

/* Counts and sorts. False: more codes than there can be, or fewer. */
static bool sort_code(struct code *c)
{
    unsigned at[CODE_BITS + 2] = { 0 };
    int left = 1;

    for (unsigned i = 0; i < c->n; i++)
        c->count[c->bits[i]]++;
    c->count[0] = 0;
    for (unsigned len = 1; len <= CODE_BITS; len++) {
        at[len + 1] = at[len] + c->count[len];
        c->longest = c->count[len] ? len : c->longest;
        left = left * 2 - c->count[len];
        if (left < 0)
            return false;
    }
    for (unsigned i = 0; i < c->n; i++)
        if (c->bits[i])
            c->sorted[at[c->bits[i]]++] = (uint16_t)i;
    if (left > 0)
        for (unsigned i = 0; i < 1u << c->root; i++)
            c->table[i] = ENTRY_SPECIAL;
    return left == 0 || (!c->whole && c->longest <= 1);
}

/* How many further bits the table for codes of `len` bits and more that begin alike must be indexed by. */
static unsigned sub_bits(const struct code *c, unsigned len)
{
    unsigned bits = len - c->root;
    int left = 1 << bits;

    for (; bits + c->root < c->longest; bits++, left *= 2) {
        left -= c->count[bits + c->root];
        if (left <= 0)
            break;
    }
    return bits;
}

/* Codes come with their first bit lowest: the next one of the same length. */
static unsigned next_code(unsigned code, unsigned len)
{
    unsigned bit = 1u << (len - 1);

    while (code & bit)
        bit >>= 1;
    return bit ? (code & (bit - 1)) + bit : 0;
}

static void spread(uint32_t *table, unsigned first, unsigned step, unsigned size, uint32_t entry)
{
    for (unsigned i = first; i < size; i += step)
        table[i] = entry;
}

static bool fill_table(struct code *c, uint32_t (*entry_of)(unsigned symbol))
{
    const unsigned root_size = 1u << c->root;
    unsigned code = 0, begin = root_size /* of the codes of the current sub-table; none */, at = 0, size = 0;

    for (unsigned i = 0; i < LENGTHS && c->longest && c->count[c->longest]; i++) {
        unsigned symbol = c->sorted[i], len = c->bits[symbol];
        uint32_t entry = entry_of(symbol) + len + (len << 8);

        if (len <= c->root) {
            spread(c->table, code, 1u << len, root_size, entry);
        } else {
            if ((code & (root_size - 1)) != begin) {
                unsigned bits = sub_bits(c, len);

                begin = code & (root_size - 1);
                at = c->used;
                size = 1u << bits;
                c->used += size;
                if (c->used > c->size)
                    return false;
                c->table[begin] = ENTRY_SPECIAL | ENTRY_SUB | at << 16 | bits << 8;
            }
            spread(c->table + at, code >> c->root, 1u << (len - c->root), size, entry);
        }
        c->count[len]--;
        code = next_code(code, len);
    }
    return true;
}

static bool make_table(struct code *c, uint32_t (*entry_of)(unsigned symbol))
{
    c->used = 1u << c->root;
    return sort_code(c) && fill_table(c, entry_of);
}

bool inflate_make_tables(const uint8_t *bits, unsigned n_lengths, unsigned n_distances, struct inflate_tables *ret)
{
    struct code len = {
        .bits = bits, .n = n_lengths, .table = ret->lengths, .root = LENGTH_ROOT, .size = LENGTH_ENTRIES
    };
    struct code dist = { .bits = bits + n_lengths,
                         .n = n_distances,
                         .table = ret->distances,
                         .root = DISTANCE_ROOT,
                         .size = DISTANCE_ENTRIES };

    return make_table(&len, length_entry) && make_table(&dist, distance_entry);
}

bool inflate_make_order(const uint8_t bits[19], uint32_t ret[ORDER_ENTRIES])
{
    struct code c = { .bits = bits, .n = 19, .whole = true, .table = ret, .root = ORDER_ROOT, .size = ORDER_ENTRIES };

    return make_table(&c, order_entry);
}

void inflate_fixed_tables(struct inflate_tables *ret)
{
    uint8_t bits[LENGTHS + DISTANCES];

    for (unsigned i = 0; i < LENGTHS; i++)
        bits[i] = i < 144 || i >= 280 ? 8 : i < 256 ? 9 : 7;
    memset(bits + LENGTHS, 5, DISTANCES);
    (void)inflate_make_tables(bits, LENGTHS, DISTANCES, ret);
}
