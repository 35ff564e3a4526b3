/* copy_sum.c - what the sources of a COPY are, as a digest: the walk is that of the copy itself. */
#include "base/limits.h"
#include "build/copy_priv.h"
#include "plan/key.h"
#include "sys/image_xattr.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#define MAX_FACTS 4000 /* files that are told one by one */
#define MAX_DEPTH 16   /* of the directories that are told instead */

struct record {
    char *path;
    struct digest digest; /* of all but its path */
    dev_t dev;            /* of something with several names */
    ino_t ino;
    bool is_source; /* only says what a source's name leads to */
};

struct copy_sum {
    VEC(struct record) records;
    char *io;
};

struct copy_sum *copy_sum_new(void)
{
    struct copy_sum *s = xcalloc(1, sizeof(*s));

    s->io = xcalloc(1, COPY_IO_BYTES);
    return s;
}

void copy_sum_free(struct copy_sum *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->records.n; i++)
        free(s->records.items[i].path);
    vec_free(&s->records);
    free(s->io);
    free(s);
}

/* ---- one file ---- */

static void add_number(struct hasher *h, uint64_t n)
{
    unsigned char bytes[8];

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)(n >> 8 * i);
    hasher_add(h, bytes, sizeof(bytes));
}

static void add_bytes(struct hasher *h, const void *p, size_t n)
{
    add_number(h, n);
    hasher_add(h, p, n);
}

static struct err *add_content(struct copier *c, int fd, struct hasher *h)
{
    char *io = c->spec->sum->io;
    uint64_t total = 0;

    for (;;) {
        ssize_t n = read(fd, io, COPY_IO_BYTES);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_sys(errno, "cannot read '%s'", c->src.data);
        if (n == 0)
            break;
        TRY(cancel_check(c->spec->cancel));
        hasher_add(h, io, (size_t)n);
        total += (uint64_t)n;
    }
    add_number(h, total);
    return NULL;
}

static void add_xattr(int fd, const char *name, struct hasher *h)
{
    AUTO_FREE char *value = xcalloc(1, LIMIT_XATTR_BYTES);
    ssize_t n = image_xattr_get(fd, name, value, LIMIT_XATTR_BYTES);

    add_bytes(h, name, strlen(name));
    add_bytes(h, value, n < 0 ? 0 : (size_t)n);
}

static void add_xattrs(const struct copier *c, int fd, struct hasher *h)
{
    AUTO(strs_release) struct strs names = { 0 };
    char few[512];
    AUTO_FREE char *many = NULL;
    ssize_t n = flistxattr(fd, few, sizeof(few));
    const char *list = few;

    if (n < 0 && errno == ERANGE) {
        list = many = xcalloc(1, LIMIT_XATTR_BYTES);
        n = flistxattr(fd, many, LIMIT_XATTR_BYTES);
    }
    for (const char *s = list; n > 0 && s < list + n; s += strlen(s) + 1) {
        const char *name = copy_xattr_name(c, s);

        if (name && strcmp(name, "security.capability") == 0) /* the layer gets no other */
            strs_add(&names, name);
    }
    strs_sort(&names);
    add_number(h, names.n);
    for (size_t i = 0; i < names.n; i++)
        add_xattr(fd, names.items[i], h);
}

static struct err *add_status(const struct copier *c, int fd, const struct stat *st, struct hasher *h)
{
    struct owner o;
    mode_t mode = 0;

    TRY(copy_owner(c, fd, st, &o));
    if (!S_ISLNK(st->st_mode))
        TRY(copy_mode(c, st->st_mode, &mode));
    add_number(h, o.device ? o.device : st->st_mode & S_IFMT);
    add_number(h, mode);
    add_number(h, o.uid);
    add_number(h, o.gid);
    if (o.device || S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode))
        add_number(h, o.device ? o.rdev : st->st_rdev);
    return NULL;
}

static struct err *add_target(const struct copier *c, int fd, struct hasher *h)
{
    char target[LIMIT_PATH_BYTES + 1];
    ssize_t n = readlinkat(fd, "", target, sizeof(target));

    if (n < 0)
        return err_sys(errno, "cannot read the symlink '%s'", c->src.data);
    add_bytes(h, target, (size_t)n);
    return NULL;
}

static void add_record(struct copier *c, const struct stat *st, struct hasher *h)
{
    struct record r = { .path = xstrdup(c->src.data ? c->src.data : ""), .digest = hasher_end(h) };

    if (st->st_nlink > 1 && !S_ISDIR(st->st_mode)) {
        r.dev = st->st_dev;
        r.ino = st->st_ino;
    }
    vec_push(&c->spec->sum->records, r);
}

struct err *copy_sum_dir(struct copier *c, int src_fd, const struct stat *st)
{
    AUTO(hasher_free) struct hasher *h = hasher_new();

    TRY(add_status(c, src_fd, st, h));
    add_xattrs(c, src_fd, h);
    add_record(c, st, h);
    return NULL;
}

struct err *copy_sum_entry(struct copier *c, int src_fd, const char *src_name, unsigned char type)
{
    AUTO(hasher_free) struct hasher *h = hasher_new();
    struct stat st;

    if (type == DT_UNKNOWN && fstatat(src_fd, src_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        type = IFTODT(st.st_mode);
    const int how = type == DT_REG ? O_RDONLY | O_NONBLOCK | O_NOCTTY : O_PATH;
    AUTO_CLOSE int fd = openat(src_fd, src_name, how | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0 || fstat(fd, &st) < 0)
        return err_sys(errno, "cannot open '%s'", c->src.data);
    TRY(add_status(c, fd, &st, h));
    if (S_ISREG(st.st_mode) && type == DT_REG) {
        TRY(add_content(c, fd, h));
        add_xattrs(c, fd, h);
    } else if (S_ISLNK(st.st_mode)) {
        TRY(add_target(c, fd, h));
    }
    add_record(c, &st, h);
    return NULL;
}

void copy_sum_source(struct copy_sum *s, const char *path, const char *real)
{
    const struct record r = { .path = xstrdup(path), .digest = digest_bytes(real, strlen(real)), .is_source = true };

    vec_push(&s->records, r);
}

/* ---- all of them ---- */

static int by_path(const void *a, const void *b)
{
    const struct record *x = a, *y = b;
    int order = strcmp(x->path, y->path);

    if (order == 0)
        order = (int)x->is_source - (int)y->is_source;
    return order ? order : strcmp(x->digest.text, y->digest.text);
}

/* Of several names of one file the first one stands for it. */
static const char *first_name(struct map *inodes, const struct record *r)
{
    char key[64];

    if (!r->ino)
        return "";
    (void)snprintf(key, sizeof(key), "%" PRIxMAX ":%" PRIxMAX, (uintmax_t)r->dev, (uintmax_t)r->ino);
    const char *first = map_get(inodes, key);
    if (first)
        return first;
    map_set(inodes, key, r->path);
    return "";
}

/* The length of the path's first `depth` components. */
static size_t prefix_len(const char *path, size_t depth)
{
    size_t n = 0;

    for (size_t i = 0; i < depth && path[n]; i++) {
        n += path[n] == '/';
        n += strcspn(path + n, "/");
    }
    return n;
}

static bool same_prefix(const char *a, const char *b, size_t depth)
{
    size_t n = prefix_len(a, depth);

    return n == prefix_len(b, depth) && memcmp(a, b, n) == 0;
}

static size_t count_prefixes(const struct copy_sum *s, size_t depth)
{
    size_t n = 0;

    for (size_t i = 0; i < s->records.n; i++)
        n += i == 0 || !same_prefix(s->records.items[i - 1].path, s->records.items[i].path, depth);
    return n;
}

static void add_directory_fact(const struct copy_sum *s, size_t from, size_t to, size_t depth, struct strs *facts)
{
    AUTO(hasher_free) struct hasher *h = hasher_new();
    const char *path = s->records.items[from].path;
    AUTO_FREE char *name = xstrndup(path, prefix_len(path, depth));

    for (size_t i = from; i < to; i++) {
        add_bytes(h, s->records.items[i].path, strlen(s->records.items[i].path));
        hasher_add(h, s->records.items[i].digest.text, DIGEST_TEXT_LEN);
    }
    struct digest d = hasher_end(h);
    plan_key_file_fact(name, &d, facts);
}

/* Too many files: the deepest directories of which there are not. */
static void list_directories(const struct copy_sum *s, struct strs *facts)
{
    size_t depth = MAX_DEPTH, from = 0;

    while (depth > 1 && count_prefixes(s, depth) > MAX_FACTS)
        depth--;
    for (size_t i = 1; i <= s->records.n && facts->n < MAX_FACTS; i++) {
        if (i < s->records.n && same_prefix(s->records.items[from].path, s->records.items[i].path, depth))
            continue;
        add_directory_fact(s, from, i, depth, facts);
        from = i;
    }
}

static void list_facts(const struct copy_sum *s, struct strs *facts)
{
    if (s->records.n > MAX_FACTS) {
        list_directories(s, facts);
        return;
    }
    for (size_t i = 0; i < s->records.n; i++)
        if (!s->records.items[i].is_source)
            plan_key_file_fact(s->records.items[i].path, &s->records.items[i].digest, facts);
}

struct digest copy_sum_end(struct copy_sum *s, struct strs *ret_files)
{
    AUTO(hasher_free) struct hasher *h = hasher_new();
    AUTO(map_free) struct map *inodes = map_new(NULL);

    if (s->records.n)
        qsort(s->records.items, s->records.n, sizeof(*s->records.items), by_path);
    add_bytes(h, "copyup files 1", 14);
    for (size_t i = 0; i < s->records.n; i++) {
        const struct record *r = &s->records.items[i];
        const char *link = first_name(inodes, r);

        add_bytes(h, r->path, strlen(r->path));
        add_number(h, r->is_source);
        hasher_add(h, r->digest.text, DIGEST_TEXT_LEN);
        add_bytes(h, link, strlen(link));
    }
    if (ret_files)
        list_facts(s, ret_files);
    return hasher_end(h);
}
