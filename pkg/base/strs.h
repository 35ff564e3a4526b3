/* strs.h - a list of owned strings: argv, environments, tags. `items` is not NULL-terminated; strs_argv() makes it so.
 */
#ifndef BASE_STRS_H
#define BASE_STRS_H

#include "base/vec.h"

#include <stdbool.h>

struct strs {
    char **items;
    size_t n, cap;
};

/* Adds a copy of s. */
void strs_add(struct strs *l, const char *s);
/* Adds s itself: the list frees it. */
void strs_take(struct strs *l, char *s);
/* Replaces the content of dst by copies of src's strings. */
void strs_copy(struct strs *dst, const struct strs *src);
bool strs_has(const struct strs *l, const char *s);
/* Byte order. */
void strs_sort(struct strs *l);
/* The strings followed by NULL; borrowed, valid until the next change. */
char **strs_argv(struct strs *l);
void strs_release(struct strs *l);

/* An environment list of NAME=VALUE entries: the value of NAME (borrowed) or NULL; set replaces in place or appends. */
const char *env_get(const struct strs *env, const char *name);
void env_set(struct strs *env, const char *name, const char *value);

static inline void strs_release_auto(struct strs *l)
{
    strs_release(l);
}

#endif
