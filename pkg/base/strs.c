#include "base/strs.h"

#include <string.h>

void strs_add(struct strs *l, const char *s)
{
    vec_push(l, xstrdup(s));
}

void strs_take(struct strs *l, char *s)
{
    vec_push(l, s);
}

void strs_copy(struct strs *dst, const struct strs *src)
{
    strs_release(dst);
    for (size_t i = 0; i < src->n; i++)
        strs_add(dst, src->items[i]);
}

bool strs_has(const struct strs *l, const char *s)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->items[i], s) == 0)
            return true;
    return false;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void strs_sort(struct strs *l)
{
    if (l->n > 1)
        qsort(l->items, l->n, sizeof(l->items[0]), by_bytes);
}

char **strs_argv(struct strs *l)
{
    vec_push(l, NULL);
    l->n--;
    return l->items;
}

void strs_release(struct strs *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->items[i]);
    vec_free(l);
}

static size_t env_find(const struct strs *env, const char *name)
{
    size_t len = strlen(name);

    for (size_t i = 0; i < env->n; i++)
        if (strncmp(env->items[i], name, len) == 0 && env->items[i][len] == '=')
            return i;
    return env->n;
}

const char *env_get(const struct strs *env, const char *name)
{
    size_t i = env_find(env, name);

    return i < env->n ? env->items[i] + strlen(name) + 1 : NULL;
}

void env_set(struct strs *env, const char *name, const char *value)
{
    size_t i = env_find(env, name);
    char *entry = xasprintf("%s=%s", name, value);

    if (i == env->n) {
        strs_take(env, entry);
        return;
    }
    free(env->items[i]);
    env->items[i] = entry;
}
