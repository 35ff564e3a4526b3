#include "base/vars.h"

#include "base/map.h"

#include <stdint.h>
#include <string.h>

/* The last change of a name; NULL: it was never set. */
static struct vars_change *last_change(const struct vars *v, const char *name)
{
    uintptr_t at = v->last ? (uintptr_t)map_get(v->last, name) : 0;

    return at ? &v->changes.items[at - 1] : NULL;
}

static void add_change(struct vars *v, const char *name, char *text)
{
    struct vars_change *before = last_change(v, name);
    size_t n = v->changes.n, n_names = n ? v->changes.items[n - 1].n_names : 0;
    const struct vars_change change = { text, before ? before->name : n_names, n_names + !before, 0 };

    if (before)
        before->replaced = n + 1;
    vec_push(&v->changes, change);
    if (!v->last)
        v->last = map_new(NULL);
    map_set(v->last, name, (void *)(uintptr_t)(n + 1));
}

void vars_set(struct vars *v, const char *name, const char *value)
{
    add_change(v, name, xasprintf("%s=%s", name, value));
}

void vars_unset(struct vars *v, const char *name)
{
    if (vars_get(v, name))
        add_change(v, name, NULL);
}

void vars_set_all(struct vars *v, const struct strs *entries)
{
    for (size_t i = 0; i < entries->n; i++) {
        const char *text = entries->items[i], *eq = strchr(text, '=');
        AUTO_FREE char *name = eq ? xstrndup(text, (size_t)(eq - text)) : xstrdup(text);

        vars_set(v, name, eq ? eq + 1 : "");
    }
}

const char *vars_get(const struct vars *v, const char *name)
{
    const struct vars_change *change = last_change(v, name);

    return change && change->text ? change->text + strlen(name) + 1 : NULL;
}

size_t vars_now(const struct vars *v)
{
    return v->changes.n;
}

void vars_list(const struct vars *v, size_t moment, struct strs *ret_list)
{
    size_t n_names = moment ? v->changes.items[moment - 1].n_names : 0;
    AUTO_FREE const char **by_name = xcalloc(n_names + 1, sizeof(*by_name));

    for (size_t i = 0; i < moment; i++) {
        const struct vars_change *change = &v->changes.items[i];

        if (!change->replaced || change->replaced > moment)
            by_name[change->name] = change->text;
    }
    for (size_t i = 0; i < n_names; i++)
        if (by_name[i])
            strs_add(ret_list, by_name[i]);
}

void vars_release(struct vars *v)
{
    for (size_t i = 0; i < v->changes.n; i++)
        free(v->changes.items[i].text);
    vec_free(&v->changes);
    map_free(v->last);
    v->last = NULL;
}
