/* The bits that are read ahead stand in one word, which is filled up eight bytes at a time; the window has room behind
 * its end for the longest match, so that the inner loop checks either end once a round. */
#include "tar/inflate_priv.h"

#include "tar/inflate_table_priv.h"

#include <endian.h>
#include <string.h>

enum {
    HISTORY = 32 * 1024, /* how far a match may go back */
    OUTPUT = 160 * 1024, /* what is decoded before it is taken, about */
    WINDOW = HISTORY + OUTPUT,
    LONGEST_MATCH = 258,
    SLACK = LONGEST_MATCH + 64, /* behind the window: a match, bytes before it, and what is copied too much */
    ROUND_BYTES = 32,           /* of input that one round may look at */
    HEADER_BYTES = 640,         /* that the header of a block may have */
    CHUNK = 16,                 /* bytes copied at once */
};

/* The next bits of the stream: n of them at the low end of word. Bits above are what will be read again. */
struct bits {
    uint64_t word;
    unsigned n;
    const unsigned char *in;
};

struct inflate {
    struct inflate_tables tables;
    unsigned char *window;
    size_t given, have; /* window[given..have) was not taken */
    uint64_t word;      /* bits between two calls, fewer than 8 */
    unsigned n_bits;
    enum { BETWEEN_BLOCKS, IN_STORED, IN_CODES, AT_END } state;
    bool last;     /* block */
    size_t stored; /* bytes of a stored block that are still to come */
};

struct inflate *inflate_new(void)
{
    struct inflate *s = xcalloc(1, sizeof(*s));

    s->window = xreallocarray(NULL, WINDOW + SLACK, 1);
    return s;
}

void inflate_reset(struct inflate *s)
{
    s->given = s->have = 0;
    s->word = 0;
    s->n_bits = 0;
    s->state = BETWEEN_BLOCKS;
    s->last = false;
}

void inflate_free(struct inflate *s)
{
    if (!s)
        return;
    free(s->window);
    free(s);
}

const unsigned char *inflate_take(struct inflate *s, size_t n, size_t *ret_len)
{
    const unsigned char *p = s->window + s->given;

    *ret_len = s->have - s->given < n ? s->have - s->given : n;
    s->given += *ret_len;
    return p;
}

/* --- bits --- */

/* At least 56 bits. */
static inline void refill(struct bits *b)
{
    uint64_t next;

    memcpy(&next, b->in, sizeof(next));
    b->word |= le64toh(next) << b->n;
    b->in += (63 - b->n) >> 3;
    b->n |= 56;
}

static inline void drop(struct bits *b, unsigned n)
{
    b->word >>= n;
    b->n -= n;
}

static inline unsigned take(struct bits *b, unsigned n)
{
    unsigned v = (unsigned)(b->word & ((UINT64_C(1) << n) - 1));

    drop(b, n);
    return v;
}

/* Gives whole bytes back to the input. */
static void unread(struct bits *b)
{
    b->in -= b->n >> 3;
    b->n &= 7;
    b->word &= (UINT64_C(1) << b->n) - 1;
}

/* --- the header of a block --- */

/* The lengths of all codes, themselves coded: 16 repeats the one before, 17 and 18 write zeros. */
static bool read_lengths(struct bits *b, const uint32_t *order, unsigned n, uint8_t *ret)
{
    static const struct {
        uint8_t least, bits;
    } repeats[] = { { 3, 2 }, { 3, 3 }, { 11, 7 } };

    for (unsigned i = 0; i < n;) {
        refill(b);
        uint32_t e = order[b->word & (ORDER_ENTRIES - 1)];
        unsigned symbol = entry_value(e);

        if (e & ENTRY_SPECIAL)
            return false;
        drop(b, entry_bits(e));
        if (symbol < 16) {
            ret[i++] = (uint8_t)symbol;
            continue;
        }
        unsigned times = repeats[symbol - 16].least + take(b, repeats[symbol - 16].bits);

        if (times > n - i || (symbol == 16 && i == 0))
            return false;
        memset(ret + i, symbol == 16 ? ret[i - 1] : 0, times);
        i += times;
    }
    return true;
}

static bool read_dynamic(struct inflate *s, struct bits *b)
{
    static const uint8_t places[19] = { 16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15 };
    uint8_t bits[LENGTHS + DISTANCES], order_bits[19] = { 0 };
    uint32_t order[ORDER_ENTRIES];
    unsigned n_lengths = 257 + take(b, 5), n_distances = 1 + take(b, 5), n = 4 + take(b, 4);

    if (n_lengths > 286 || n_distances > 30)
        return false;
    for (unsigned i = 0; i < n; i++) {
        refill(b);
        order_bits[places[i]] = (uint8_t)take(b, 3);
    }
    if (!inflate_make_order(order_bits, order) || !read_lengths(b, order, n_lengths + n_distances, bits))
        return false;
    return bits[256] > 0 && inflate_make_tables(bits, n_lengths, n_distances, &s->tables);
}

static bool read_stored(struct inflate *s, struct bits *b)
{
    drop(b, b->n & 7);
    refill(b);
    unsigned size = take(b, 16), check = take(b, 16);

    s->stored = size;
    unread(b);
    return size == (check ^ 0xffff);
}

static bool read_header(struct inflate *s, struct bits *b)
{
    refill(b);
    s->last = take(b, 1);
    switch (take(b, 2)) {
    case 0:
        s->state = IN_STORED;
        return read_stored(s, b);
    case 1:
        s->state = IN_CODES;
        inflate_fixed_tables(&s->tables);
        return true;
    case 2:
        s->state = IN_CODES;
        return read_dynamic(s, b);
    default:
        return false;
    }
}

/* --- the data of a block --- */

static inline uint32_t look_up(const uint32_t *table, unsigned root, uint64_t word)
{
    uint32_t e = table[word & ((1u << root) - 1)];

    if (__builtin_expect((e & (ENTRY_SPECIAL | ENTRY_SUB)) == (ENTRY_SPECIAL | ENTRY_SUB), 0))
        e = table[entry_value(e) + (word >> root & ((1u << entry_code_bits(e)) - 1))];
    return e;
}

/* The value of a length or distance, with the bits that are added to it. */
static inline unsigned take_value(struct bits *b, uint32_t e)
{
    unsigned all = entry_bits(e);
    uint64_t word = b->word & ((UINT64_C(1) << all) - 1);

    drop(b, all);
    return entry_value(e) + (unsigned)(word >> entry_code_bits(e));
}

/* May write up to CHUNK bytes more. */
static inline unsigned char *copy_match(unsigned char *out, unsigned len, unsigned distance)
{
    const unsigned char *from = out - distance;
    unsigned char *end = out + len;

    if (distance >= CHUNK) {
        do {
            memcpy(out, from, CHUNK);
            out += CHUNK;
            from += CHUNK;
        } while (out < end);
    } else if (distance == 1) {
        memset(out, *from, len);
    } else {
        do
            *out++ = *from++;
        while (out < end);
    }
    return end;
}

/* Codes until the block ends, the window is full or the input comes near `limit`. */
static enum inflate_result read_codes(struct inflate *s, struct bits *io, const unsigned char *limit)
{
    const uint32_t *lengths = s->tables.lengths, *distances = s->tables.distances;
    unsigned char *out = s->window + s->have, *full = s->window + WINDOW;
    enum inflate_result result = INFLATE_OUTPUT;
    struct bits b = *io;

    while (out < full) {
        if (b.in >= limit) {
            result = INFLATE_INPUT;
            break;
        }
        refill(&b);
        uint32_t e = look_up(lengths, LENGTH_ROOT, b.word);
        for (int i = 0; i < 2 && e & ENTRY_LITERAL; i++) { /* 30 bits at most: the next code is here as well */
            *out++ = (unsigned char)(e >> 16);
            drop(&b, entry_bits(e));
            e = look_up(lengths, LENGTH_ROOT, b.word);
        }
        if (e & ENTRY_LITERAL) {
            *out++ = (unsigned char)(e >> 16);
            drop(&b, entry_bits(e));
            continue;
        }
        if (e & ENTRY_SPECIAL) {
            drop(&b, entry_bits(e));
            result = e & ENTRY_END ? INFLATE_END : INFLATE_DAMAGED;
            break;
        }
        unsigned len = take_value(&b, e);
        refill(&b);
        e = look_up(distances, DISTANCE_ROOT, b.word);
        unsigned distance = take_value(&b, e);
        if (e & ENTRY_SPECIAL || distance > (size_t)(out - s->window)) {
            result = INFLATE_DAMAGED;
            break;
        }
        out = copy_match(out, len, distance);
    }
    s->have = (size_t)(out - s->window);
    *io = b;
    return result;
}

static enum inflate_result copy_stored(struct inflate *s, struct bits *b, const unsigned char *end)
{
    size_t room = WINDOW > s->have ? WINDOW - s->have : 0, there = b->in < end ? (size_t)(end - b->in) : 0;
    size_t n = s->stored;

    n = n < room ? n : room;
    n = n < there ? n : there;
    memcpy(s->window + s->have, b->in, n);
    b->in += n;
    s->have += n;
    s->stored -= n;
    if (!s->stored)
        return INFLATE_END;
    return n == room ? INFLATE_OUTPUT : INFLATE_INPUT;
}

/* --- all of it --- */

/* Makes room: what matches may refer to stays. */
static void slide(struct inflate *s)
{
    if (s->have < WINDOW)
        return;
    memmove(s->window, s->window + s->have - HISTORY, HISTORY);
    s->have = s->given = HISTORY;
}

static enum inflate_result run_block(struct inflate *s, struct bits *b, const unsigned char *end, bool ended)
{
    const unsigned char *readable = ended ? end + INFLATE_PAD : end;
    enum inflate_result r = INFLATE_END;

    if (s->state == BETWEEN_BLOCKS) {
        if (readable - b->in < HEADER_BYTES)
            return ended ? INFLATE_SHORT : INFLATE_INPUT;
        r = read_header(s, b) ? INFLATE_END : INFLATE_DAMAGED;
    }
    if (r == INFLATE_END)
        r = s->state == IN_STORED ? copy_stored(s, b, end) : read_codes(s, b, readable - ROUND_BYTES);

    if (b->in - (b->n >> 3) > end) /* there are only zeros of ours */
        return INFLATE_SHORT;
    if (r != INFLATE_END)
        return r;
    s->state = s->last ? AT_END : BETWEEN_BLOCKS;
    return r;
}

enum inflate_result inflate_run(struct inflate *s, const unsigned char *in, size_t n, bool ended, size_t *ret_used)
{
    struct bits b = { s->word, s->n_bits, in };
    const unsigned char *end = in + n;
    enum inflate_result r = INFLATE_END;

    *ret_used = 0;
    slide(s);
    if (!ended && n < INFLATE_PAD)
        return INFLATE_INPUT;
    while (s->state != AT_END && r == INFLATE_END)
        r = run_block(s, &b, end, ended);
    if (r == INFLATE_SHORT || (r == INFLATE_INPUT && ended))
        return INFLATE_SHORT;
    unread(&b);
    s->word = b.word;
    s->n_bits = b.n;
    *ret_used = (size_t)(b.in - in);
    return r;
}
