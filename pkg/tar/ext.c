#include "tar/ext_priv.h"

#include "base/limits.h"
#include "tar/ustar_priv.h"

#include <string.h>

void tar_ext_release(struct tar_ext *x)
{
    for (size_t i = 0; i < x->xattrs.n; i++) {
        free(x->xattrs.items[i].name);
        free(x->xattrs.items[i].value);
    }
    vec_free(&x->xattrs);
    free(x->path);
    free(x->link);
    free(x->gnu_path);
    free(x->gnu_link);
    free(x->sparse_name);
    vec_free(&x->parts);
    *x = (struct tar_ext){ 0 };
}

bool tar_parse_decimal(const char *s, size_t n, uint64_t *ret_value)
{
    uint64_t v = 0;

    if (n == 0)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9' || __builtin_mul_overflow(v, 10, &v) ||
            __builtin_add_overflow(v, (uint64_t)(s[i] - '0'), &v))
            return false;
    }
    *ret_value = v;
    return true;
}

struct err *sparse_map_add(struct sparse_map *m, uint64_t offset, uint64_t len)
{
    const struct sparse_part *last = m->n ? &m->items[m->n - 1] : NULL;
    uint64_t end;

    if (m->n >= LIMIT_SPARSE_PARTS)
        return err_new(ERR_REGISTRY, "sparse file has more than %d pieces", LIMIT_SPARSE_PARTS);
    if (__builtin_add_overflow(offset, len, &end) || end > INT64_MAX)
        return err_new(ERR_REGISTRY, "sparse file has a piece beyond any size");
    if (last && offset < last->offset + last->len)
        return err_new(ERR_REGISTRY, "sparse file has pieces that overlap");
    vec_push(m, ((struct sparse_part){ offset, len }));
    return NULL;
}

struct err *sparse_map_check(const struct sparse_map *m, uint64_t size_bytes, uint64_t stored_bytes)
{
    uint64_t sum = 0; /* cannot overflow: pieces do not overlap */

    for (size_t i = 0; i < m->n; i++)
        sum += m->items[i].len;
    if (m->n && m->items[m->n - 1].offset + m->items[m->n - 1].len > size_bytes)
        return err_new(ERR_REGISTRY, "sparse file has a piece beyond its end");
    if (sum != stored_bytes)
        return err_new(ERR_REGISTRY, "sparse file stores %llu bytes but its map names %llu",
                       (unsigned long long)stored_bytes, (unsigned long long)sum);
    return NULL;
}

static struct err *bad_value(const char *key)
{
    return err_new(ERR_REGISTRY, "pax record '%.100s' has a wrong value", key);
}

static struct err *set_text(char **field, const char *key, const char *value, size_t len)
{
    if (memchr(value, '\0', len))
        return bad_value(key);
    if (len > LIMIT_PATH_BYTES)
        return err_new(ERR_REGISTRY, "pax record '%s' is longer than %d bytes", key, LIMIT_PATH_BYTES);
    free(*field);
    *field = len ? xstrndup(value, len) : NULL;
    return NULL;
}

/* An empty value takes an earlier one back; the header's own then counts. */
static struct err *set_number(bool *has, uint64_t *field, const char *key, const char *value, size_t len)
{
    *has = len > 0;
    if (len && !tar_parse_decimal(value, len, field))
        return bad_value(key);
    return NULL;
}

static struct err *set_id(bool *has, uint32_t *field, const char *key, const char *value, size_t len)
{
    uint64_t v = 0;

    TRY(set_number(has, &v, key, value, len));
    if (v > UINT32_MAX - 1) /* -1 means "no change" to chown(2) */
        return bad_value(key);
    *field = (uint32_t)v;
    return NULL;
}

/* "[-]SECONDS[.FRACTION]", any number of decimals; beyond nanoseconds they are cut off. */
static struct err *set_mtime(struct tar_ext *x, const char *key, const char *value, size_t len)
{
    bool negative = len && value[0] == '-';
    const char *s = value + negative, *end = value + len;
    const char *dot = memchr(s, '.', (size_t)(end - s));
    uint64_t seconds;
    long ns = 0, unit = 100000000;

    x->has_mtime = len > 0;
    if (len == 0)
        return NULL;
    if (!tar_parse_decimal(s, (size_t)((dot ? dot : end) - s), &seconds) || seconds > INT64_MAX - 1)
        return bad_value(key);
    for (const char *p = dot ? dot + 1 : end; p < end; p++, unit /= 10) {
        if (*p < '0' || *p > '9')
            return bad_value(key);
        ns += (*p - '0') * unit;
    }
    x->mtime = (struct timespec){ (time_t)seconds, ns };
    if (negative)
        x->mtime = (struct timespec){ -(time_t)seconds - (ns ? 1 : 0), ns ? 1000000000L - ns : 0 };
    return NULL;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Undoes %XX: all of them (libarchive), or of '=' and '%' only (GNU tar). */
static char *unescape(const char *s, bool all)
{
    char *out = xstrdup(s), *to = out;

    for (; *s; s++) {
        int hi = s[0] == '%' ? hex_digit(s[1]) : -1, lo = hi >= 0 ? hex_digit(s[2]) : -1;
        int c = lo >= 0 ? hi * 16 + lo : 0;

        if (c && (all || c == '=' || c == '%')) {
            *to++ = (char)c;
            s += 2;
        } else {
            *to++ = *s;
        }
    }
    *to = '\0';
    return out;
}

/* Base64 with or without padding; anything else in it is an error. out has room for len bytes. */
static bool decode_base64(const char *s, size_t len, unsigned char *out, size_t *ret_len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t bits = 0;
    int n_bits = 0;
    size_t n = 0;

    while (len && s[len - 1] == '=')
        len--;
    for (size_t i = 0; i < len; i++) {
        const char *d = s[i] ? strchr(digits, s[i]) : NULL;

        if (!d)
            return false;
        bits = bits << 6 | (uint32_t)(d - digits);
        n_bits += 6;
        if (n_bits >= 8) {
            n_bits -= 8;
            out[n++] = (unsigned char)(bits >> n_bits);
        }
    }
    *ret_len = n;
    return true;
}

static struct err *add_xattr(struct tar_ext *x, const char *name, bool base64, const char *value, size_t len)
{
    AUTO_FREE unsigned char *bytes = xcalloc(len + 1, 1);
    size_t n = len;

    if (!*name)
        return err_new(ERR_REGISTRY, "extended attribute without a name");
    if (!base64)
        memcpy(bytes, value, len);
    else if (!decode_base64(value, len, bytes, &n))
        return bad_value(name);
    if (n > LIMIT_XATTR_BYTES)
        return err_new(ERR_REGISTRY, "extended attribute '%.100s' is larger than %d bytes", name, LIMIT_XATTR_BYTES);
    vec_push(&x->xattrs, ((struct tar_xattr){ unescape(name, base64), NULL, n }));
    x->xattrs.items[x->xattrs.n - 1].value = steal(&bytes);
    return NULL;
}

/* GNU.sparse.map of version 0.1: "offset,length,offset,length..." */
static struct err *parse_map(struct tar_ext *x, const char *key, const char *value, size_t len)
{
    const char *s = value, *end = value + len;
    uint64_t v[2];
    int i = 0;

    x->sparse = true;
    x->parts.n = 0;
    while (s < end) {
        const char *comma = memchr(s, ',', (size_t)(end - s));
        const char *stop = comma ? comma : end;

        if (!tar_parse_decimal(s, (size_t)(stop - s), &v[i]))
            return bad_value(key);
        s = comma ? comma + 1 : end;
        if (i++ == 0)
            continue;
        i = 0;
        TRY(sparse_map_add(&x->parts, v[0], v[1]));
    }
    return i ? bad_value(key) : NULL;
}

/* Version 0.0 gives each piece as two records, offset then numbytes. The offset waits as a piece without length. */
static struct err *sparse_pair(struct tar_ext *x, const char *key, bool offset, const char *value, size_t len)
{
    uint64_t v;

    x->sparse = true;
    if (!tar_parse_decimal(value, len, &v) || x->half_part == offset)
        return bad_value(key);
    x->half_part = offset;
    if (offset)
        return sparse_map_add(&x->parts, v, 0);
    uint64_t start = x->parts.items[--x->parts.n].offset;

    return sparse_map_add(&x->parts, start, v);
}

static struct err *sparse_record(struct tar_ext *x, const char *key, const char *value, size_t len)
{
    const char *what = key + strlen("GNU.sparse.");
    uint64_t v;

    if (strcmp(what, "name") == 0)
        return set_text(&x->sparse_name, key, value, len);
    if (strcmp(what, "map") == 0)
        return parse_map(x, key, value, len);
    if (strcmp(what, "offset") == 0 || strcmp(what, "numbytes") == 0)
        return sparse_pair(x, key, *what == 'o', value, len);
    if (strcmp(what, "size") == 0 || strcmp(what, "realsize") == 0)
        return set_number(&x->has_sparse_size, &x->sparse_size, key, value, len);
    if (strcmp(what, "major") != 0)
        return NULL; /* minor and numblocks say nothing that we need */
    if (!tar_parse_decimal(value, len, &v) || v > 1)
        return err_new(ERR_REGISTRY, "sparse file of an unknown version");
    x->sparse_in_data = v == 1;
    x->sparse = x->sparse || x->sparse_in_data;
    return NULL;
}

static struct err *apply(struct tar_ext *x, const char *key, const char *value, size_t len)
{
    static const char libarchive[] = "LIBARCHIVE.xattr.";

    if (strcmp(key, "path") == 0)
        return set_text(&x->path, key, value, len);
    if (strcmp(key, "linkpath") == 0)
        return set_text(&x->link, key, value, len);
    if (strcmp(key, "size") == 0)
        return set_number(&x->has_size, &x->size_bytes, key, value, len);
    if (strcmp(key, "uid") == 0)
        return set_id(&x->has_uid, &x->uid, key, value, len);
    if (strcmp(key, "gid") == 0)
        return set_id(&x->has_gid, &x->gid, key, value, len);
    if (strcmp(key, "mtime") == 0)
        return set_mtime(x, key, value, len);
    if (strncmp(key, PAX_XATTR, strlen(PAX_XATTR)) == 0)
        return add_xattr(x, key + strlen(PAX_XATTR), false, value, len);
    if (strncmp(key, libarchive, strlen(libarchive)) == 0)
        return add_xattr(x, key + strlen(libarchive), true, value, len);
    if (strncmp(key, "GNU.sparse.", 11) == 0)
        return sparse_record(x, key, value, len);
    return NULL; /* names of users, other times, comments, what others invented */
}

/* One record "LENGTH KEY=VALUE\n" at *s; moves *s behind it. */
static struct err *parse_record(struct tar_ext *x, const char **s, const char *end)
{
    const char *space = memchr(*s, ' ', (size_t)(end - *s));
    uint64_t len = 0;

    if (!space || !tar_parse_decimal(*s, (size_t)(space - *s), &len) || len > (size_t)(end - *s) ||
        len < (size_t)(space - *s) + 3 || (*s)[len - 1] != '\n')
        return err_new(ERR_REGISTRY, "pax record has a wrong length");
    const char *key = space + 1, *stop = *s + len - 1;
    const char *equals = memchr(key, '=', (size_t)(stop - key));

    if (!equals || equals == key || memchr(key, '\0', (size_t)(equals - key)))
        return err_new(ERR_REGISTRY, "pax record has no keyword");
    AUTO_FREE char *name = xstrndup(key, (size_t)(equals - key));

    *s = stop + 1;
    return apply(x, name, equals + 1, (size_t)(stop - equals - 1));
}

struct err *tar_ext_parse(struct tar_ext *x, const char *text, size_t len)
{
    const char *s = text, *end = text + len;

    while (s < end)
        TRY(parse_record(x, &s, end));
    if (x->half_part)
        return err_new(ERR_REGISTRY, "sparse file has a piece without a length");
    return NULL;
}
