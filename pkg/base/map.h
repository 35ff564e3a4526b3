/* map.h - a hash table from strings to pointers (uthash inside; it stays in map.c). Keys are copied; values belong to
 * the caller unless a free function was given. Iteration follows insertion order. One thread at a time. */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "base/mem.h"

#include <stddef.h>

struct map;

/* free_value may be NULL. */
struct map *map_new(void (*free_value)(void *));
/* The value, or NULL. */
void *map_get(const struct map *m, const char *key);
/* Adds or replaces (the old value is freed if the map owns values). */
void map_set(struct map *m, const char *key, void *value);
void map_remove(struct map *m, const char *key);
size_t map_count(const struct map *m);
/* Calls fn for each entry; fn must not change the map. */
void map_each(const struct map *m, void (*fn)(void *ctx, const char *key, void *value), void *ctx);
void map_free(struct map *m);
DEFINE_CLEANUP(struct map *, map_free);

#endif
