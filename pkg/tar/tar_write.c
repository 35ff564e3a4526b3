#include "tar/tar.h"

#include "base/buf.h"
#include "base/limits.h"
#include "tar/ustar_priv.h"

#include <string.h>

struct tar_writer {
    struct sink out;
    uint64_t left;  /* data still to come of the current entry */
    size_t padding; /* zero bytes after that data */
    struct buf pax; /* records of the entry that is being started */
};

struct tar_writer *tar_writer_new(struct sink out)
{
    struct tar_writer *w = xcalloc(1, sizeof(*w));

    w->out = out;
    return w;
}

void tar_writer_free(struct tar_writer *w)
{
    if (!w)
        return;
    buf_release(&w->pax);
    free(w);
}

static size_t count_digits(size_t n)
{
    size_t digits = 1;

    while (n >= 10) {
        n /= 10;
        digits++;
    }
    return digits;
}

/* "LENGTH KEY=VALUE\n", where LENGTH counts itself. */
static void pax_add(struct buf *pax, const char *key, const void *value, size_t len)
{
    size_t rest = strlen(key) + len + 3, total = rest + count_digits(rest);

    if (count_digits(total) > count_digits(rest))
        total = rest + count_digits(total);
    buf_printf(pax, "%zu %s=", total, key);
    buf_add(pax, value, len);
    buf_putc(pax, '\n');
}

static void pax_add_text(struct buf *pax, const char *key, const char *value)
{
    pax_add(pax, key, value, strlen(value));
}

static void pax_add_number(struct buf *pax, const char *key, uint64_t value)
{
    char text[24];

    snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    pax_add_text(pax, key, text);
}

/* Writes v as width - 1 octal digits and a NUL; false (and zero written) if it needs more. */
static bool put_octal(char *field, size_t width, uint64_t v)
{
    bool fits = v >> (3 * (width - 1)) == 0;

    if (!fits)
        v = 0;
    field[width - 1] = '\0';
    for (size_t i = width - 1; i-- > 0; v >>= 3)
        field[i] = (char)('0' + (v & 7));
    return fits;
}

static void put_id(struct buf *pax, char *field, const char *key, uint64_t id)
{
    if (!put_octal(field, 8, id))
        pax_add_number(pax, key, id);
}

static bool is_ascii(const char *s)
{
    for (; *s; s++) {
        if ((unsigned char)*s >= 0x80)
            return false;
    }
    return true;
}

/* What a reader without pax sees of a name that ustar cannot hold. Never empty: libarchive 3.6 loses the pax value
 * then. */
static void put_approximation(char *field, size_t width, const char *s)
{
    for (size_t i = 0; i < width && s[i]; i++)
        field[i] = (char)((unsigned char)s[i] < 0x80 ? s[i] : '_');
}

/* Splits at a slash into prefix and name; the name must not become empty (directories end in a slash). */
static bool put_split(struct ustar_header *h, const char *path, size_t len)
{
    size_t at = len - 1 <= sizeof(h->prefix) ? len - 1 : sizeof(h->prefix) + 1;

    while (at-- > 1) {
        if (path[at] != '/')
            continue;
        if (len - at - 1 > sizeof(h->name))
            return false;
        memcpy(h->prefix, path, at);
        memcpy(h->name, path + at + 1, len - at - 1);
        return true;
    }
    return false;
}

static void put_path(struct buf *pax, struct ustar_header *h, const char *path)
{
    size_t len = strlen(path);
    bool ascii = is_ascii(path);

    if (ascii && len <= sizeof(h->name)) {
        memcpy(h->name, path, len);
        return;
    }
    if (ascii && put_split(h, path, len))
        return;
    put_approximation(h->name, sizeof(h->name), path);
    pax_add_text(pax, "path", path);
}

static void put_link(struct buf *pax, struct ustar_header *h, const char *link)
{
    put_approximation(h->linkname, sizeof(h->linkname), link);
    if (strlen(link) > sizeof(h->linkname) || !is_ascii(link))
        pax_add_text(pax, "linkpath", link);
}

/* Seconds with as many decimals as needed. pax has no floor: -1 s + 250000000 ns is written -0.75. */
static void pax_add_mtime(struct buf *pax, const struct timespec *t)
{
    long long s = t->tv_sec;
    long ns = t->tv_nsec;
    const char *sign = "";
    char text[48];

    if (s < 0) {
        sign = "-";
        s = ns ? -(s + 1) : -s;
        ns = ns ? 1000000000L - ns : 0;
    }
    size_t n = (size_t)snprintf(text, sizeof(text), "%s%llu.%09ld", sign, (unsigned long long)s, ns);

    while (text[n - 1] == '0')
        n--;
    if (text[n - 1] == '.')
        n--;
    pax_add(pax, "mtime", text, n);
}

static void put_mtime(struct buf *pax, struct ustar_header *h, const struct timespec *t)
{
    bool fits = put_octal(h->mtime, sizeof(h->mtime), t->tv_sec < 0 ? 0 : (uint64_t)t->tv_sec);

    if (!fits || t->tv_sec < 0 || t->tv_nsec)
        pax_add_mtime(pax, t);
}

static int compare_xattrs(const void *a, const void *b)
{
    const struct tar_xattr *const *x = a, *const *y = b;

    return strcmp((*x)->name, (*y)->name);
}

/* '=' ends the keyword of a record, so GNU tar writes it (and '%') in hexadecimal; so do we. */
static void add_xattr(struct buf *pax, const struct tar_xattr *x)
{
    struct buf key = BUF_INIT;

    buf_puts(&key, PAX_XATTR);
    for (const char *s = x->name; *s; s++) {
        if (*s == '=' || *s == '%')
            buf_printf(&key, "%%%02X", (unsigned)*s);
        else
            buf_putc(&key, *s);
    }
    pax_add(pax, buf_str(&key), x->value, x->len);
    buf_release(&key);
}

static void put_xattrs(struct buf *pax, const struct tar_entry *e)
{
    const struct tar_xattr **sorted = xcalloc(e->n_xattrs + 1, sizeof(const struct tar_xattr *));

    for (size_t i = 0; i < e->n_xattrs; i++)
        sorted[i] = &e->xattrs[i];
    qsort(sorted, e->n_xattrs, sizeof(const struct tar_xattr *), compare_xattrs);
    for (size_t i = 0; i < e->n_xattrs; i++)
        add_xattr(pax, sorted[i]);
    free(sorted);
}

/* '\0' for what tar cannot hold (sockets). */
static char type_flag(const struct tar_entry *e)
{
    if (e->hardlink)
        return '1';
    switch (e->mode & S_IFMT) {
    case S_IFREG:
        return '0';
    case S_IFLNK:
        return '2';
    case S_IFCHR:
        return '3';
    case S_IFBLK:
        return '4';
    case S_IFDIR:
        return '5';
    case S_IFIFO:
        return '6';
    default:
        return '\0';
    }
}

static void finish_header(struct ustar_header *h)
{
    int64_t sum, unused;

    memcpy(h->magic, "ustar", 6);
    memcpy(h->version, "00", 2);
    ustar_sums(h, &sum, &unused);
    put_octal(h->chksum, sizeof(h->chksum) - 1, (uint64_t)sum);
    h->chksum[7] = ' ';
}

static struct err *write_padding(struct tar_writer *w, size_t n)
{
    static const char zeros[2 * TAR_BLOCK];

    return n ? sink_write(&w->out, zeros, n) : NULL;
}

/* The entry that carries the records. Its name and times are fixed, so that they never make a difference. */
static struct err *write_pax(struct tar_writer *w, const char *path)
{
    struct ustar_header h = { .name = "PaxHeaders/x", .typeflag = 'x' };

    if (w->pax.len > LIMIT_PAX_BYTES)
        return err_new(ERR_DOCKERFILE, "extended attributes of '%s' are larger than %d bytes together", path,
                       LIMIT_PAX_BYTES);
    put_octal(h.mode, sizeof(h.mode), 0644);
    put_octal(h.uid, sizeof(h.uid), 0);
    put_octal(h.gid, sizeof(h.gid), 0);
    put_octal(h.size, sizeof(h.size), w->pax.len);
    put_octal(h.mtime, sizeof(h.mtime), 0);
    put_octal(h.devmajor, sizeof(h.devmajor), 0);
    put_octal(h.devminor, sizeof(h.devminor), 0);
    finish_header(&h);
    TRY(sink_write(&w->out, &h, sizeof(h)));
    TRY(sink_write(&w->out, w->pax.data, w->pax.len));
    return write_padding(w, ustar_padding(w->pax.len));
}

static struct err *fill_header(struct tar_writer *w, const struct tar_entry *e, struct ustar_header *h)
{
    bool device = S_ISCHR(e->mode) || S_ISBLK(e->mode);
    uint64_t size = h->typeflag == '0' ? e->size_bytes : 0;

    put_octal(h->mode, sizeof(h->mode), e->mode & 07777);
    put_id(&w->pax, h->uid, "uid", e->uid);
    put_id(&w->pax, h->gid, "gid", e->gid);
    if (!put_octal(h->size, sizeof(h->size), size))
        pax_add_number(&w->pax, "size", size);
    put_mtime(&w->pax, h, &e->mtime);
    if (e->link)
        put_link(&w->pax, h, e->link);
    /* Linux has 12 bits of major and 20 of minor numbers: they always fit */
    if (!put_octal(h->devmajor, sizeof(h->devmajor), device ? e->major : 0) ||
        !put_octal(h->devminor, sizeof(h->devminor), device ? e->minor : 0))
        return err_new(ERR_BUG, "device number %u:%u of '%s' does not fit into a tar header", e->major, e->minor,
                       e->path);
    put_xattrs(&w->pax, e);
    finish_header(h);
    w->left = size;
    w->padding = ustar_padding(size);
    return NULL;
}

struct err *tar_write_entry(struct tar_writer *w, const struct tar_entry *e)
{
    struct ustar_header h = { .typeflag = type_flag(e) };

    if (w->left)
        return err_new(ERR_BUG, "tar entry '%s' begins before the one before it is complete", e->path);
    if (!h.typeflag)
        return err_new(ERR_BUG, "tar entry '%s' is of a type that tar cannot hold (mode %o)", e->path,
                       (unsigned)e->mode);
    if ((h.typeflag == '1' || h.typeflag == '2') && (!e->link || !*e->link))
        return err_new(ERR_BUG, "tar entry '%s' is a link without a target", e->path);
    buf_clear(&w->pax);
    AUTO_FREE char *path = xasprintf("%s%s", e->path, h.typeflag == '5' ? "/" : "");

    put_path(&w->pax, &h, path);
    TRY(fill_header(w, e, &h));
    if (w->pax.len)
        TRY(write_pax(w, e->path));
    return sink_write(&w->out, &h, sizeof(h));
}

struct err *tar_write_data(struct tar_writer *w, const void *p, size_t n)
{
    if (n > w->left)
        return err_new(ERR_BUG, "a tar entry got more data than its size says");
    if (n == 0)
        return NULL;
    TRY(sink_write(&w->out, p, n));
    w->left -= n;
    return w->left ? NULL : write_padding(w, w->padding);
}

struct err *tar_writer_end(struct tar_writer *w)
{
    if (w->left)
        return err_new(ERR_BUG, "a tar archive ends before its last entry is complete");
    return write_padding(w, (size_t)2 * TAR_BLOCK);
}
