/* builder_args.c - build arguments that tell the builder something instead of the Dockerfile, and those that nobody
 * asked for. */
#include "plan/plan_priv.h"

#include <ctype.h>
#include <string.h>

#define HOSTNAME_ARG  "BUILDKIT_SANDBOX_HOSTNAME"
#define NAMESPACE_ARG "BUILDKIT_CACHE_MOUNT_NS"

static const char *given(const struct plan *p, const char *name)
{
    const char *value = vars_get(&p->build_args, name);

    return value && *value ? value : NULL;
}

const char *plan_hostname(const struct plan *p)
{
    return given(p, HOSTNAME_ARG);
}

/* It becomes a line of /etc/hosts. */
struct err *builder_args_check(const struct plan *p)
{
    const char *name = plan_hostname(p);

    if (!name)
        return NULL;
    for (const char *c = name; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("-._", *c))
            return err_new(ERR_DOCKERFILE, HOSTNAME_ARG "=%s is no host name: it has a '%c'", name, *c);
    if (strlen(name) > 64)
        return err_new(ERR_DOCKERFILE, HOSTNAME_ARG " is longer than the 64 bytes that Linux allows");
    return NULL;
}

char *builder_cache_id(const struct plan *p, const char *id)
{
    const char *space = given(p, NAMESPACE_ARG);

    return space ? xasprintf("%s/%s", space, id) : xstrdup(id);
}

/* ---- notes ---- */

static bool is_true(const char *value)
{
    static const char *const words[] = { "1", "t", "T", "true", "TRUE", "True" };

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcmp(value, words[i]) == 0)
            return true;
    return false;
}

/* Arguments of BuildKit's that can have no effect here. */
static void note_ineffective(const struct plan *p, struct strs *notes)
{
    static const struct {
        const char *name, *why;
        bool is_switch; /* only worth a note if it is on */
    } rows[] = {
        { "BUILDKIT_INLINE_CACHE", "no cache metadata is written into images", true },
        { "BUILDKIT_BUILD_NAME", "there is no history of builds to show it in", false },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *value = given(p, rows[i].name);

        if (value && (!rows[i].is_switch || is_true(value)))
            strs_take(notes, xasprintf("build argument %s has no effect: %s", rows[i].name, rows[i].why));
    }
}

static bool declares(const struct df_instr *i, const char *name)
{
    for (size_t n = 0; i->kind == DF_ARG && n < i->n_pairs; n++)
        if (strcmp(i->pairs[n].name, name) == 0)
            return true;
    return i->trigger && declares(i->trigger, name);
}

static bool is_wanted(const struct plan *p, const char *name)
{
    static const char *const builder[] = {
        HOSTNAME_ARG,
        NAMESPACE_ARG,
        "SOURCE_DATE_EPOCH",
        "BUILDKIT_INLINE_CACHE",
        "BUILDKIT_BUILD_NAME",
        "BUILDKIT_MULTI_PLATFORM",
        "BUILDKIT_CONTEXT_KEEP_GIT_DIR",
        "BUILDKIT_SYNTAX",
        "BUILDKIT_DOCKERFILE_CHECK",
    };

    for (size_t i = 0; i < sizeof(builder) / sizeof(builder[0]); i++)
        if (strcmp(builder[i], name) == 0)
            return true;
    for (size_t k = 0; k < p->df->n_instrs; k++)
        if (declares(&p->df->instrs[k], name))
            return true;
    return vars_is_proxy(name) || vars_get(&p->global_env, name); /* TARGETARCH and the like can be replaced */
}

void plan_notes(const struct plan *p, const struct strs *declared, struct strs *ret_notes)
{
    AUTO(strs_release) struct strs args = { 0 };

    note_ineffective(p, ret_notes);
    vars_list(&p->build_args, vars_now(&p->build_args), &args);
    for (size_t i = 0; i < args.n; i++) {
        AUTO_FREE char *name = xstrndup(args.items[i], strcspn(args.items[i], "="));

        if (!strs_has(declared, name) && !is_wanted(p, name))
            strs_take(ret_notes, xasprintf("build argument '%s' is declared by no ARG of the Dockerfile", name));
    }
}
