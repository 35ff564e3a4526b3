/* vars.h - variables as they change: every assignment is kept, so what the variables were at an earlier moment can be
 * told without a copy for each moment. A lookup takes the same time however many there are. Owns its texts. One thread
 * at a time while it changes, any number of readers else. */
#ifndef BASE_VARS_H
#define BASE_VARS_H

#include "base/strs.h"

#include <stdbool.h>
#include <stddef.h>

struct map;

struct vars_change {
    char *text;      /* NAME=VALUE, NULL: no longer set */
    size_t name;     /* its name's number: 0 was the first one that was ever set */
    size_t n_names;  /* names there were after it */
    size_t replaced; /* 1 + the change that replaced it; 0: it still holds */
};

/* { 0 } has none. */
struct vars {
    VEC(struct vars_change) changes;
    struct map *last; /* name -> its last change, as a pointer of 1 + its index */
};

void vars_set(struct vars *v, const char *name, const char *value);
/* Without a variable of that name nothing happens. */
void vars_unset(struct vars *v, const char *name);
/* The same from a list of NAME=VALUE; an entry without '=' is a name with the value "". */
void vars_set_all(struct vars *v, const struct strs *entries);
/* The value now, NULL: not set. Borrowed, valid until vars_release(). */
const char *vars_get(const struct vars *v, const char *name);
/* A moment: what was set until now. */
size_t vars_now(const struct vars *v);
/* Adds what was set at a moment as NAME=VALUE; each name stands where it was first set. */
void vars_list(const struct vars *v, size_t moment, struct strs *ret_list);
void vars_release(struct vars *v);

static inline void vars_release_auto(struct vars *v)
{
    vars_release(v);
}

#endif
