#include "sys/owner_names.h"

#include "base/buf.h"
#include "base/limits.h"
#include "sys/file.h"

#include <fcntl.h>
#include <stdint.h>
#include <string.h>

#define FIRST_SLOTS 256

/* Open addressing; 0 is an empty slot. */
struct owner_names {
    uint32_t *slots;
    size_t n, n_slots; /* a power of two */
    bool all;
};

struct owner_names *owner_names_new(void)
{
    return xcalloc(1, sizeof(struct owner_names));
}

static uint32_t hash_name(const char *name)
{
    uint32_t h = 0x811c9dc5;

    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 0x01000193; /* FNV-1a */
    return h ? h : 1;
}

static uint32_t *find_slot(const struct owner_names *n, uint32_t hash)
{
    size_t i = hash & (n->n_slots - 1);

    while (n->slots[i] && n->slots[i] != hash)
        i = (i + 1) & (n->n_slots - 1);
    return &n->slots[i];
}

static void grow(struct owner_names *n)
{
    struct owner_names bigger = { .n = n->n, .n_slots = n->n_slots ? n->n_slots * 2 : FIRST_SLOTS };

    bigger.slots = xcalloc(bigger.n_slots, sizeof(*bigger.slots));
    for (size_t i = 0; i < n->n_slots; i++)
        if (n->slots[i])
            *find_slot(&bigger, n->slots[i]) = n->slots[i];
    free(n->slots);
    *n = bigger;
}

static void add_hash(struct owner_names *n, uint32_t hash)
{
    if (n->all)
        return;
    if (n->n >= LIMIT_OWNER_NAMES) {
        owner_names_add_all(n);
        return;
    }
    if (n->n * 2 >= n->n_slots)
        grow(n);
    uint32_t *slot = find_slot(n, hash);
    n->n += *slot == 0;
    *slot = hash;
}

void owner_names_add(struct owner_names *n, const char *path)
{
    const char *slash = strrchr(path, '/');

    add_hash(n, hash_name(slash ? slash + 1 : path));
}

void owner_names_add_all(struct owner_names *n)
{
    free(n->slots);
    *n = (struct owner_names){ .all = true };
}

void owner_names_merge(struct owner_names *to, const struct owner_names *from)
{
    if (from->all)
        owner_names_add_all(to);
    for (size_t i = 0; i < from->n_slots; i++)
        if (from->slots[i])
            add_hash(to, from->slots[i]);
}

bool owner_names_are_all(const struct owner_names *n)
{
    return n->all;
}

bool owner_names_has(const struct owner_names *n, const char *name)
{
    return n->all || (n->n && *find_slot(n, hash_name(name)));
}

/* ---- as a file: the hashes; a single 0 stands for all names ---- */

struct err *owner_names_write(const struct owner_names *n, int fd)
{
    AUTO(buf_release) struct buf out = BUF_INIT;
    const uint32_t zero = 0;

    if (n->all)
        buf_add(&out, &zero, sizeof(zero));
    for (size_t i = 0; i < n->n_slots; i++)
        if (n->slots[i])
            buf_add(&out, &n->slots[i], sizeof(n->slots[i]));
    return file_write_all(fd, buf_str(&out), out.len);
}

struct err *owner_names_read(struct owner_names *n, int fd, const char *name)
{
    AUTO(buf_release) struct buf in = BUF_INIT;

    TRY(file_read_fd(fd, name, LIMIT_OWNER_NAMES * sizeof(uint32_t), &in));
    if (in.len % sizeof(uint32_t))
        return err_new(ERR_DISK, "'%s' is damaged", name);
    for (size_t at = 0; at < in.len; at += sizeof(uint32_t)) {
        uint32_t hash;

        memcpy(&hash, in.data + at, sizeof(hash));
        if (hash == 0)
            owner_names_add_all(n);
        add_hash(n, hash);
    }
    return NULL;
}

struct err *owner_names_save(const struct owner_names *n, int dirfd, const char *name)
{
    AUTO_CLOSE int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (fd < 0)
        return err_set_kind(err_sys(errno, "cannot write '%s'", name), ERR_DISK);
    return err_wrap(owner_names_write(n, fd), "cannot write '%s'", name);
}

struct err *owner_names_load(struct owner_names *n, int dirfd, const char *name)
{
    AUTO_CLOSE int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0 && errno != ENOENT)
        return err_sys(errno, "cannot open '%s'", name);
    if (fd < 0) {
        owner_names_add_all(n);
        return NULL;
    }
    return owner_names_read(n, fd, name);
}

void owner_names_free(struct owner_names *n)
{
    if (!n)
        return;
    free(n->slots);
    free(n);
}
