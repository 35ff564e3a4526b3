#include "base/map.h"

#include <string.h>
#include <uthash.h>

/* uthash is made of macros that expand to hundreds of branches: sizes say nothing about the code below. */
/* NOLINTBEGIN(readability-function-cognitive-complexity,clang-analyzer-unix.Malloc) */

struct entry {
    UT_hash_handle hh;
    void *value;
    char key[];
};

struct map {
    struct entry *head;
    void (*free_value)(void *);
};

struct map *map_new(void (*free_value)(void *))
{
    struct map *m = xcalloc(1, sizeof(*m));

    m->free_value = free_value;
    return m;
}

static struct entry *find(const struct map *m, const char *key)
{
    struct entry *e;

    HASH_FIND_STR(m->head, key, e);
    return e;
}

void *map_get(const struct map *m, const char *key)
{
    struct entry *e = find(m, key);

    return e ? e->value : NULL;
}

static void drop_value(struct map *m, struct entry *e)
{
    if (m->free_value && e->value)
        m->free_value(e->value);
}

void map_set(struct map *m, const char *key, void *value)
{
    struct entry *e = find(m, key);

    if (e) {
        if (e->value != value)
            drop_value(m, e);
        e->value = value;
        return;
    }
    size_t len = strlen(key) + 1;
    e = xcalloc(1, sizeof(*e) + len);
    memcpy(e->key, key, len);
    e->value = value;
    HASH_ADD_STR(m->head, key, e);
}

void map_remove(struct map *m, const char *key)
{
    struct entry *e = find(m, key);

    if (!e)
        return;
    HASH_DEL(m->head, e);
    drop_value(m, e);
    free(e);
}

size_t map_count(const struct map *m)
{
    return HASH_COUNT(m->head);
}

void map_each(const struct map *m, void (*fn)(void *ctx, const char *key, void *value), void *ctx)
{
    for (struct entry *e = m->head; e; e = e->hh.next)
        fn(ctx, e->key, e->value);
}

void map_free(struct map *m)
{
    struct entry *e, *tmp;

    if (!m)
        return;
    HASH_ITER(hh, m->head, e, tmp) {
        HASH_DEL(m->head, e);
        drop_value(m, e);
        free(e);
    }
    free(m);
}

/* NOLINTEND(readability-function-cognitive-complexity,clang-analyzer-unix.Malloc) */
