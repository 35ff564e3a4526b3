#include "sandbox/idmap_priv.h"

#include <string.h>

#define SUBORDINATE_FIRST 100000 /* where useradd starts handing out ranges: no account of a node lives there */

static bool parse_number(const char **text, uint32_t *ret)
{
    char *end;

    *text += strspn(*text, " \t");
    if (**text < '0' || **text > '9')
        return false;
    errno = 0;
    unsigned long long v = strtoull(*text, &end, 10);
    if (errno || v > UINT32_MAX)
        return false;
    *text = end;
    *ret = (uint32_t)v;
    return true;
}

bool id_map_parse(const char *text, struct id_map *ret_map)
{
    struct id_map map = { .n = 0 };

    while (*text && map.n < ID_EXTENTS_MAX) {
        struct id_extent e;

        if (!parse_number(&text, &e.inside) || !parse_number(&text, &e.outside) || !parse_number(&text, &e.count))
            return false;
        text += strspn(text, " \t");
        if (*text && *text != '\n')
            return false;
        text += *text == '\n';
        map.items[map.n++] = e;
    }
    *ret_map = map;
    return true;
}

void id_map_format(const struct id_map *map, struct buf *out)
{
    for (size_t i = 0; i < map->n; i++)
        buf_printf(out, "%u %u %u\n", map->items[i].inside, map->items[i].outside, map->items[i].count);
}

void id_map_single(uint32_t own, struct id_map *ret_map)
{
    *ret_map = (struct id_map){ .items = { { 0, own, 1 } }, .n = 1, .ids = 1 };
}

/* Appends outside ids [first, end) as the next inside ids, as far as there is room for `most` in all. */
static void take(struct id_map *map, uint64_t first, uint64_t end, uint32_t most)
{
    uint64_t room = most - map->ids, count = end > first ? end - first : 0;

    if (count > room)
        count = room;
    if (count == 0 || map->n == ID_EXTENTS_MAX)
        return;
    map->items[map->n++] = (struct id_extent){ map->ids, (uint32_t)first, (uint32_t)count };
    map->ids += (uint32_t)count;
}

/* Takes [first, end) without the id `skip`. */
static void take_without(struct id_map *map, uint64_t first, uint64_t end, uint64_t skip, uint32_t most)
{
    if (skip < first || skip >= end) {
        take(map, first, end, most);
        return;
    }
    take(map, first, skip, most);
    take(map, skip + 1, end, most);
}

static uint64_t end_of(const struct id_extent *e)
{
    return (uint64_t)e->inside + e->count;
}

static bool has_subordinate_range(const struct id_map *have)
{
    for (size_t i = 0; i < have->n; i++)
        if (have->items[i].inside <= SUBORDINATE_FIRST && end_of(&have->items[i]) >= SUBORDINATE_FIRST + ID_RANGE)
            return true;
    return false;
}

/* Takes what exists from id `first` on, lowest first. The kernel lists extents in the writer's order: so search each
 * time. */
static void take_existing(struct id_map *map, const struct id_map *have, uint64_t first, uint64_t skip, uint32_t most)
{
    for (;;) {
        const struct id_extent *next = NULL;

        for (size_t i = 0; i < have->n; i++)
            if (end_of(&have->items[i]) > first && (!next || have->items[i].inside < next->inside))
                next = &have->items[i];
        if (!next || map->ids == most)
            return;
        take_without(map, next->inside > first ? next->inside : first, end_of(next), skip, most);
        first = end_of(next);
    }
}

void id_map_full(const struct id_map *have, uint32_t own, bool may_map_zero, struct id_map *ret_map)
{
    struct id_map map = { .n = 0 };

    if (own == 0) { /* one extent "0 0 N" instead of two */
        take_existing(&map, have, may_map_zero ? 0 : 1, UINT64_MAX, UINT32_MAX);
        *ret_map = map;
        return;
    }
    take(&map, own, (uint64_t)own + 1, ID_RANGE);
    if (has_subordinate_range(have))
        take(&map, SUBORDINATE_FIRST, SUBORDINATE_FIRST + ID_RANGE, ID_RANGE);
    else
        take_existing(&map, have, may_map_zero ? 0 : 1, own, ID_RANGE);
    *ret_map = map;
}
