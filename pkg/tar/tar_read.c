/* An own reader and not libarchive's: a layer must come out as Go's archive/tar reads it (containerd, Docker), down to
 * global pax headers that do not count and links that carry no data, and within our limits; libarchive 3.6 differs
 * there and loses the targets of some links. */
#include "tar/tar.h"

#include "base/buf.h"
#include "base/limits.h"
#include "tar/ext_priv.h"
#include "tar/ustar_priv.h"

#include <string.h>

#define READ_BYTES (128 * 1024)

struct tar_reader {
    struct source in;
    unsigned char *buf; /* READ_BYTES; what is at pos..len was not used yet */
    size_t pos, len;
    bool at_end;     /* of the archive: two zero blocks, or the end of the stream */
    uint64_t offset; /* of what was used, in the stream: for messages */
    struct tar_ext ext;
    /* The current entry: what is stored of it (data, or data with a sparse map in front), and which pieces it is made
     * of. */
    uint64_t left;
    size_t padding;
    struct sparse_map parts;
    size_t part;        /* index of the current piece */
    uint64_t part_used; /* bytes of it that were handed out */
};

/* The old GNU format keeps a sparse map in the header block, and in blocks behind it. */
struct gnu_part {
    char offset[12], len[12];
};
enum { GNU_PARTS = 4, GNU_PARTS_AT = 386, GNU_EXTENDED_AT = 482, GNU_REAL_SIZE_AT = 483 };
enum { GNU_MORE_PARTS = 21, GNU_MORE_EXTENDED_AT = 504 };

void tar_entry_release(struct tar_entry *e)
{
    free(e->path);
    free(e->link);
    for (size_t i = 0; i < e->n_xattrs; i++) {
        free(e->xattrs[i].name);
        free(e->xattrs[i].value);
    }
    free(e->xattrs);
    *e = (struct tar_entry){ 0 };
}

struct err *tar_reader_new(struct source in, struct tar_reader **ret)
{
    struct tar_reader *r = xcalloc(1, sizeof(*r));

    r->in = in;
    r->buf = xcalloc(READ_BYTES, 1);
    *ret = r;
    return NULL;
}

uint64_t tar_reader_offset(const struct tar_reader *r)
{
    return r->offset;
}

void tar_reader_free(struct tar_reader *r)
{
    if (!r)
        return;
    tar_ext_release(&r->ext);
    vec_free(&r->parts);
    free(r->buf);
    free(r);
}

static struct err *damaged(const struct tar_reader *r, const char *what)
{
    return err_new(ERR_REGISTRY, "tar archive is damaged before byte %llu: %s", (unsigned long long)r->offset, what);
}

/* Makes sure that something is in the buffer; if not, the stream is at its end. */
static struct err *fill(struct tar_reader *r)
{
    if (r->pos < r->len)
        return NULL;
    r->pos = r->len = 0;
    return source_read(&r->in, r->buf, READ_BYTES, &r->len);
}

static void use(struct tar_reader *r, size_t n)
{
    r->pos += n;
    r->offset += n;
}

/* Reads up to n bytes; fewer only at the end of the stream. */
static struct err *read_bytes(struct tar_reader *r, void *p, size_t n, size_t *ret_len)
{
    size_t got = 0;

    while (got < n) {
        TRY(fill(r));
        size_t have = r->len - r->pos, step = have < n - got ? have : n - got;

        if (have == 0)
            break;
        memcpy((char *)p + got, r->buf + r->pos, step);
        use(r, step);
        got += step;
    }
    *ret_len = got;
    return NULL;
}

static struct err *read_exactly(struct tar_reader *r, void *p, size_t n)
{
    size_t got = 0;

    TRY(read_bytes(r, p, n, &got));
    return got == n ? NULL : damaged(r, "it ends in the middle");
}

/* Skips n bytes; *ret_left is what the stream was short of. */
static struct err *skip(struct tar_reader *r, uint64_t n, uint64_t *ret_left)
{
    while (n) {
        TRY(fill(r));
        size_t have = r->len - r->pos, step = have < n ? have : (size_t)n;

        if (have == 0)
            break;
        use(r, step);
        n -= step;
    }
    *ret_left = n;
    return NULL;
}

/* Goes to the next header. An archive may lack the padding of its last entry. */
static struct err *finish_entry(struct tar_reader *r)
{
    uint64_t missing = 0;

    TRY(skip(r, r->left, &missing));
    if (missing)
        return damaged(r, "it ends in the middle of a file");
    TRY(skip(r, r->padding, &missing));
    r->left = 0;
    r->padding = 0;
    r->parts.n = r->part = 0;
    r->part_used = 0;
    return NULL;
}

/* --- numbers --- */

/* Base 256: the first byte's high bit is set, the next one is the sign, big-endian two's complement. */
static bool parse_base256(const unsigned char *p, size_t n, int64_t *ret_value)
{
    bool negative = p[0] & 0x40;
    uint64_t v = negative ? ~(uint64_t)0 : 0;

    for (size_t i = 0; i < n; i++) {
        unsigned char c = i ? p[i] : (unsigned char)(negative ? p[0] | 0x80 : p[0] & 0x3f);

        if (v >> 55 != (negative ? 0x1ff : 0))
            return false;
        v = v << 8 | c;
    }
    *ret_value = (int64_t)v;
    return true;
}

/* Octal with blanks or NULs around it; nothing at all is 0. */
static bool parse_octal(const char *p, size_t n, int64_t *ret_value)
{
    uint64_t v = 0;
    size_t i = 0;

    while (i < n && (p[i] == ' ' || p[i] == '\0'))
        i++;
    for (; i < n && p[i] >= '0' && p[i] <= '7'; i++)
        v = v << 3 | (uint64_t)(p[i] - '0'); /* 12 digits at most */
    if (i < n && p[i] != ' ' && p[i] != '\0')
        return false;
    *ret_value = (int64_t)v;
    return true;
}

static struct err *parse_number(struct tar_reader *r, const char *field, size_t n, const char *what, int64_t *ret_value)
{
    bool ok =
        *field & 0x80 ? parse_base256((const unsigned char *)field, n, ret_value) : parse_octal(field, n, ret_value);

    return ok ? NULL : damaged(r, what);
}

static struct err *parse_size(struct tar_reader *r, const char *field, uint64_t *ret_size)
{
    int64_t v = 0;

    TRY(parse_number(r, field, 12, "a size is no number", &v));
    if (v < 0)
        return damaged(r, "a size is negative");
    *ret_size = (uint64_t)v;
    return NULL;
}

static struct err *parse_id(struct tar_reader *r, const char *field, uint32_t *ret_id)
{
    int64_t v = 0;

    TRY(parse_number(r, field, 8, "an owner is no number", &v));
    if (v < 0 || v >= UINT32_MAX)
        return damaged(r, "an owner is out of range");
    *ret_id = (uint32_t)v;
    return NULL;
}

static struct err *parse_device(struct tar_reader *r, const char *field, unsigned *ret_number)
{
    int64_t v = 0;

    TRY(parse_number(r, field, 8, "a device is no number", &v));
    if (v < 0 || v > UINT32_MAX)
        return damaged(r, "a device number is out of range");
    *ret_number = (unsigned)v;
    return NULL;
}

/* --- blocks --- */

/* Reads one block; *ret_found = false at the end of the stream. */
static struct err *read_block(struct tar_reader *r, void *block, bool *ret_found)
{
    size_t got = 0;

    TRY(read_bytes(r, block, TAR_BLOCK, &got));
    if (got && got < TAR_BLOCK)
        return damaged(r, "it ends in the middle of a header");
    *ret_found = got == TAR_BLOCK;
    return NULL;
}

static bool is_zero(const void *block)
{
    const char *p = block;

    return p[0] == '\0' && memcmp(p, p + 1, TAR_BLOCK - 1) == 0;
}

/* Reads a header; *ret_found = false at the end of the archive: two zero blocks, or nothing more. */
static struct err *read_header(struct tar_reader *r, struct ustar_header *h, bool *ret_found)
{
    bool found = false;
    int64_t sum = 0, sum_unsigned = 0, sum_signed = 0;

    TRY(read_block(r, h, &found));
    if (found && is_zero(h)) {
        TRY(read_block(r, h, &found));
        if (found && !is_zero(h))
            return damaged(r, "it goes on after a block of zeros");
        found = false;
    }
    *ret_found = found;
    if (!found)
        return NULL;
    ustar_sums(h, &sum_unsigned, &sum_signed);
    TRY(parse_number(r, h->chksum, sizeof(h->chksum), "a checksum is no number", &sum));
    return sum == sum_unsigned || sum == sum_signed ? NULL : damaged(r, "a header has a wrong checksum");
}

/* Reads the data of an extension header, NUL-terminated. */
static struct err *read_ext_data(struct tar_reader *r, const struct ustar_header *h, char **ret_text, size_t *ret_len)
{
    uint64_t size = 0, missing = 0;

    TRY(parse_size(r, h->size, &size));
    if (size > LIMIT_PAX_BYTES || (r->ext.bytes += (size_t)size) > LIMIT_PAX_BYTES)
        return err_new(ERR_REGISTRY, "tar archive has an extended header larger than %d bytes", LIMIT_PAX_BYTES);
    AUTO_FREE char *text = xcalloc((size_t)size + 1, 1);

    TRY(read_exactly(r, text, (size_t)size));
    TRY(skip(r, ustar_padding(size), &missing));
    *ret_text = steal(&text);
    *ret_len = (size_t)size;
    return NULL;
}

static struct err *set_gnu_name(struct tar_reader *r, char **field, const char *text)
{
    if (strlen(text) > LIMIT_PATH_BYTES)
        return err_new(ERR_REGISTRY, "tar archive has a name longer than %d bytes", LIMIT_PATH_BYTES);
    if (!*text)
        return damaged(r, "a long name is empty");
    free(*field);
    *field = xstrdup(text);
    return NULL;
}

static struct err *skip_ext(struct tar_reader *r, const struct ustar_header *h)
{
    uint64_t size = 0, missing = 0;

    TRY(parse_size(r, h->size, &size));
    TRY(skip(r, size, &missing));
    if (missing)
        return damaged(r, "it ends in the middle");
    return skip(r, ustar_padding(size), &missing);
}

/* Handles a header that only says something about a later entry. Global ones ('g') and volume labels ('V') count for
 * nothing. */
static struct err *read_ext(struct tar_reader *r, const struct ustar_header *h, bool *ret_was_ext)
{
    AUTO_FREE char *text = NULL;
    size_t len = 0;

    *ret_was_ext = true;
    switch (h->typeflag) {
    case 'x':
    case 'X': /* Solaris */
        TRY(read_ext_data(r, h, &text, &len));
        return err_wrap(tar_ext_parse(&r->ext, text, len), "tar archive is damaged before byte %llu",
                        (unsigned long long)r->offset);
    case 'L':
    case 'K':
        TRY(read_ext_data(r, h, &text, &len));
        return set_gnu_name(r, h->typeflag == 'L' ? &r->ext.gnu_path : &r->ext.gnu_link, text);
    case 'g':
    case 'V':
        return skip_ext(r, h);
    default:
        *ret_was_ext = false;
        return NULL;
    }
}

/* --- one entry --- */

static char *header_path(const struct ustar_header *h)
{
    const char *trailer = (const char *)h + TAR_BLOCK - 4;
    size_t width = memcmp(trailer, "tar", 4) == 0 ? 131 : sizeof(h->prefix); /* star keeps times behind its prefix */
    AUTO_FREE char *name = xstrndup(h->name, strnlen(h->name, sizeof(h->name)));

    if (memcmp(h->magic, "ustar", 6) != 0 || !h->prefix[0])
        return steal(&name);
    return xasprintf("%.*s/%s", (int)strnlen(h->prefix, width), h->prefix, name);
}

/* "/a/b/" and "./a/b" to "a/b"; the root itself is ".". */
static char *plain_path(const char *s)
{
    for (;;) {
        if (s[0] == '/')
            s++;
        else if (s[0] == '.' && s[1] == '/')
            s += 2;
        else
            break;
    }
    size_t n = strlen(s);

    while (n && s[n - 1] == '/')
        n--;
    return n ? xstrndup(s, n) : xstrdup(".");
}

static struct err *set_names(struct tar_reader *r, const struct ustar_header *h, struct tar_entry *e)
{
    const struct tar_ext *x = &r->ext;
    AUTO_FREE char *own = header_path(h);
    AUTO_FREE char *own_link = xstrndup(h->linkname, strnlen(h->linkname, sizeof(h->linkname)));
    const char *path = x->sparse_name ? x->sparse_name : x->gnu_path ? x->gnu_path : x->path ? x->path : own;
    const char *link = x->gnu_link ? x->gnu_link : x->link ? x->link : own_link;

    e->path = plain_path(path);
    e->hardlink = h->typeflag == '1';
    /* v7 tar knew directories by their names alone */
    if (h->typeflag == '\0' && *path && path[strlen(path) - 1] == '/')
        e->mode = (e->mode & 07777) | S_IFDIR;
    if (!e->hardlink && h->typeflag != '2')
        return NULL;
    if (!*link)
        return damaged(r, "a link has no target");
    e->link = e->hardlink ? plain_path(link) : xstrdup(link);
    return NULL;
}

static struct err *file_type(char typeflag, mode_t *ret_type)
{
    switch (typeflag) {
    case '\0':
    case '0':
    case '1':
    case '7': /* "contiguous" */
    case 'S': /* GNU sparse */
        *ret_type = S_IFREG;
        return NULL;
    case '2':
        *ret_type = S_IFLNK;
        return NULL;
    case '3':
        *ret_type = S_IFCHR;
        return NULL;
    case '4':
        *ret_type = S_IFBLK;
        return NULL;
    case '5':
    case 'D': /* GNU incremental: a directory with a list of names as its data */
        *ret_type = S_IFDIR;
        return NULL;
    case '6':
        *ret_type = S_IFIFO;
        return NULL;
    default:
        return err_new(ERR_REGISTRY, "tar archive has an entry of the unknown type 0x%02x", (unsigned char)typeflag);
    }
}

static struct err *set_device(struct tar_reader *r, const struct ustar_header *h, struct tar_entry *e)
{
    TRY(parse_device(r, h->devmajor, &e->major));
    return parse_device(r, h->devminor, &e->minor);
}

static struct err *set_metadata(struct tar_reader *r, const struct ustar_header *h, struct tar_entry *e)
{
    const struct tar_ext *x = &r->ext;
    int64_t mode = 0, mtime = 0;
    mode_t type = 0;

    TRY(file_type(h->typeflag, &type));
    TRY(parse_number(r, h->mode, sizeof(h->mode), "a mode is no number", &mode));
    TRY(parse_number(r, h->mtime, sizeof(h->mtime), "a time is no number", &mtime));
    TRY(parse_id(r, h->uid, &e->uid));
    TRY(parse_id(r, h->gid, &e->gid));
    e->mode = type | ((mode_t)mode & 07777);
    e->mtime = x->has_mtime ? x->mtime : (struct timespec){ mtime, 0 };
    e->uid = x->has_uid ? x->uid : e->uid;
    e->gid = x->has_gid ? x->gid : e->gid;
    return type == S_IFCHR || type == S_IFBLK ? set_device(r, h, e) : NULL;
}

static int compare_xattrs(const void *a, const void *b)
{
    const struct tar_xattr *const *x = a, *const *y = b;
    int c = strcmp((*x)->name, (*y)->name);

    return c ? c : (*x > *y) - (*x < *y); /* in the order of the archive */
}

/* Sorted by name; of several with one name the last wins. */
static void set_xattrs(struct tar_ext *x, struct tar_entry *e)
{
    size_t n = x->xattrs.n;

    if (n == 0)
        return;
    AUTO_FREE struct tar_xattr **sorted = xcalloc(n, sizeof(struct tar_xattr *));

    for (size_t i = 0; i < n; i++)
        sorted[i] = &x->xattrs.items[i];
    qsort(sorted, n, sizeof(struct tar_xattr *), compare_xattrs);
    e->xattrs = xcalloc(n, sizeof(*e->xattrs));
    for (size_t i = 0; i < n; i++) {
        if (i + 1 < n && strcmp(sorted[i]->name, sorted[i + 1]->name) == 0)
            continue;
        e->xattrs[e->n_xattrs++] = *sorted[i];
        *sorted[i] = (struct tar_xattr){ 0 };
    }
}

/* --- data and sparse maps --- */

static struct err *add_gnu_parts(struct tar_reader *r, const char *p, size_t n)
{
    const struct gnu_part *parts = (const void *)p;

    for (size_t i = 0; i < n && parts[i].offset[0]; i++) {
        uint64_t offset = 0, len = 0;

        TRY(parse_size(r, parts[i].offset, &offset));
        TRY(parse_size(r, parts[i].len, &len));
        TRY(sparse_map_add(&r->parts, offset, len));
    }
    return NULL;
}

static struct err *read_gnu_map(struct tar_reader *r, const struct ustar_header *h, struct tar_entry *e)
{
    const char *p = (const char *)h;
    char block[TAR_BLOCK];
    bool more = p[GNU_EXTENDED_AT];

    TRY(parse_size(r, p + GNU_REAL_SIZE_AT, &e->size_bytes));
    TRY(add_gnu_parts(r, p + GNU_PARTS_AT, GNU_PARTS));
    for (size_t blocks = 0; more; blocks++) {
        if (blocks > LIMIT_SPARSE_PARTS / GNU_MORE_PARTS)
            return err_new(ERR_REGISTRY, "sparse file has more than %d pieces", LIMIT_SPARSE_PARTS);
        TRY(read_exactly(r, block, sizeof(block)));
        TRY(add_gnu_parts(r, block, GNU_MORE_PARTS));
        more = block[GNU_MORE_EXTENDED_AT];
    }
    return NULL;
}

/* A line with a decimal number from the entry's data. */
static struct err *read_map_line(struct tar_reader *r, uint64_t *ret_value)
{
    char digits[24];
    size_t n = 0;

    for (;;) {
        if (r->left == 0 || n == sizeof(digits))
            return damaged(r, "a sparse map is no list of numbers");
        TRY(read_exactly(r, &digits[n], 1));
        r->left--;
        if (digits[n] == '\n')
            break;
        n++;
    }
    return tar_parse_decimal(digits, n, ret_value) ? NULL : damaged(r, "a sparse map is no list of numbers");
}

/* Version 1.0: the number of pieces, then offset and length of each, filled up to a whole block. */
static struct err *read_data_map(struct tar_reader *r)
{
    uint64_t stored = r->left, n, offset, len, missing;

    TRY(read_map_line(r, &n));
    for (uint64_t i = 0; i < n; i++) {
        TRY(read_map_line(r, &offset));
        TRY(read_map_line(r, &len));
        TRY(sparse_map_add(&r->parts, offset, len));
    }
    uint64_t fill_up = ustar_padding(stored - r->left);

    if (fill_up > r->left)
        return damaged(r, "a sparse map is not filled up");
    TRY(skip(r, fill_up, &missing));
    r->left -= fill_up;
    return missing ? damaged(r, "it ends in the middle of a file") : NULL;
}

static struct err *read_sparse(struct tar_reader *r, const struct ustar_header *h, struct tar_entry *e)
{
    struct tar_ext *x = &r->ext;

    if (h->typeflag == 'S') {
        TRY(read_gnu_map(r, h, e));
    } else {
        if (!x->has_sparse_size)
            return damaged(r, "a sparse file has no size");
        e->size_bytes = x->sparse_size;
        if (x->sparse_in_data) {
            TRY(read_data_map(r));
        } else {
            r->parts = x->parts;
            x->parts = (struct sparse_map){ 0 };
        }
    }
    if (e->size_bytes > INT64_MAX)
        return damaged(r, "a sparse file is larger than any file");
    return err_wrap(sparse_map_check(&r->parts, e->size_bytes, r->left), "tar archive is damaged before byte %llu",
                    (unsigned long long)r->offset);
}

/* Links, devices, directories and fifos never have data, whatever their size field says. */
static bool has_data(char typeflag)
{
    return typeflag == '\0' || !strchr("123456", typeflag);
}

static struct err *begin_data(struct tar_reader *r, const struct ustar_header *h, struct tar_entry *e)
{
    uint64_t size = 0;

    TRY(parse_size(r, h->size, &size));
    if (r->ext.has_size)
        size = r->ext.size_bytes;
    if (size > INT64_MAX)
        return damaged(r, "a file is larger than any file");
    if (!has_data(h->typeflag))
        return NULL;
    r->left = size;
    r->padding = ustar_padding(size);
    if (h->typeflag == 'S' || (r->ext.sparse && S_ISREG(e->mode)))
        return read_sparse(r, h, e);
    if (!S_ISREG(e->mode))
        return NULL;
    e->size_bytes = size;
    return sparse_map_add(&r->parts, 0, size);
}

static struct err *make_entry(struct tar_reader *r, const struct ustar_header *h, struct tar_entry *e)
{
    TRY(set_metadata(r, h, e));
    TRY(set_names(r, h, e));
    set_xattrs(&r->ext, e);
    return err_wrap(begin_data(r, h, e), "cannot read '%.200s'", e->path);
}

struct err *tar_read_entry(struct tar_reader *r, struct tar_entry *ret_entry, bool *ret_found)
{
    struct ustar_header h;
    struct tar_entry e __attribute__((cleanup(tar_entry_release_auto))) = { 0 };
    bool found = !r->at_end, was_ext = found;

    TRY(finish_entry(r));
    tar_ext_release(&r->ext);
    while (was_ext) {
        TRY(read_header(r, &h, &found));
        if (!found)
            break;
        TRY(read_ext(r, &h, &was_ext));
    }
    if (found)
        TRY(make_entry(r, &h, &e));
    else if (r->ext.bytes)
        return damaged(r, "it ends after an extended header");
    r->at_end = !found;
    *ret_entry = e;
    *ret_found = found;
    e = (struct tar_entry){ 0 };
    return NULL;
}

struct err *tar_read_data(struct tar_reader *r, const void **ret_p, size_t *ret_len, uint64_t *ret_offset)
{
    while (r->part < r->parts.n && r->part_used == r->parts.items[r->part].len) {
        r->part++;
        r->part_used = 0;
    }
    *ret_p = r->buf;
    *ret_len = 0;
    *ret_offset = 0;
    if (r->part == r->parts.n)
        return NULL;
    TRY(fill(r));
    const struct sparse_part *part = &r->parts.items[r->part];
    size_t have = r->len - r->pos;
    size_t n = have < part->len - r->part_used ? have : (size_t)(part->len - r->part_used);

    if (have == 0)
        return damaged(r, "it ends in the middle of a file");
    *ret_p = r->buf + r->pos;
    *ret_len = n;
    *ret_offset = part->offset + r->part_used;
    use(r, n);
    r->part_used += n;
    r->left -= n;
    return NULL;
}
