/* sources.c - what a --from or a FROM names besides stages above it: named contexts, stages by number, images. */
#include "plan/plan_priv.h"

#include "base/suggest.h"
#include "oci/ref.h"

#include <string.h>
#include <strings.h>

#define IMAGE_SCHEME  "docker-image://"
#define LAYOUT_SCHEME "oci-layout://"

/* Names are compared as image names: "alpine", "docker.io/library/alpine:latest" and "alpine:latest" are one. */
static struct err *context_key(const char *name, char **ret_key)
{
    AUTO(ref_release) struct ref ref = { 0 };

    TRY(ref_parse(name, &ref));
    if (ref.tag && strcmp(ref.tag, "latest") == 0 && !ref.digest) {
        free(ref.tag);
        ref.tag = NULL;
    }
    *ret_key = ref_string(&ref);
    return NULL;
}

struct err *plan_set_contexts(struct plan *p, const struct strs *contexts)
{
    for (size_t i = 0; i < contexts->n; i++) {
        const char *entry = contexts->items[i], *eq = strchr(entry, '=');
        AUTO_FREE char *name = eq ? xstrndup(entry, (size_t)(eq - entry)) : xstrdup("");
        AUTO_FREE char *key = NULL;

        struct err *e = eq && eq[1] ? context_key(name, &key) : err_new(ERR_SETTING, "a context without a place");
        TRY(err_set_kind(err_wrap(e, "'%s' cannot be a named context", entry), ERR_SETTING));
        strs_take(&p->opts.contexts, xasprintf("%s=%s", key, eq + 1));
    }
    return NULL;
}

bool plan_find_context(const struct plan *p, const char *name, size_t *ret_index)
{
    AUTO_FREE char *key = NULL;
    struct err *e = p->opts.contexts.n ? context_key(name, &key) : NULL;

    err_free(e); /* what cannot be the name of a context names none */
    for (size_t i = p->opts.contexts.n; key && i-- > 0;) {
        const char *entry = p->opts.contexts.items[i];
        size_t n = strlen(key);

        if (strncmp(entry, key, n) != 0 || entry[n] != '=')
            continue;
        *ret_index = i;
        return true;
    }
    return false;
}

char *plan_context_name(const struct plan *p, size_t index)
{
    const char *entry = p->opts.contexts.items[index];

    return xstrndup(entry, strcspn(entry, "="));
}

const char *plan_context_place(const struct plan *p, size_t index)
{
    return strchr(p->opts.contexts.items[index], '=') + 1;
}

char *plan_context_image(const struct plan *p, size_t index)
{
    const char *place = plan_context_place(p, index);

    if (strncmp(place, IMAGE_SCHEME, strlen(IMAGE_SCHEME)) == 0)
        return xstrdup(place + strlen(IMAGE_SCHEME));
    return strncmp(place, LAYOUT_SCHEME, strlen(LAYOUT_SCHEME)) == 0 ? xstrdup(place) : NULL;
}

const char *plan_near_stage(const struct plan *p, const char *text)
{
    AUTO_FREE const char **names = xcalloc(p->n_stages, sizeof(*names));
    size_t n = 0;

    for (size_t k = 0; k < p->n_stages; k++)
        if (p->stages[k].name)
            names[n++] = p->stages[k].name;
    return suggest(text, names, n);
}

static struct err *suggest_stage(const struct plan *p, const char *text, struct err *e)
{
    const char *near = e ? plan_near_stage(p, text) : NULL;

    return near ? err_hint(e, "Did you mean the stage '%s'?", near) : e;
}

static struct err *image_source(const struct plan *p, const char *text, struct plan_source *ret)
{
    AUTO(ref_release) struct ref ref = { 0 };

    if (text[strspn(text, "0123456789")] == '\0')
        return err_hint(err_new(ERR_DOCKERFILE, "there is no stage %s", text), "Stages are numbered 0 to %zu.",
                        p->n_stages - 1);
    if (strchr(text, '$'))
        return err_hint(err_new(ERR_DOCKERFILE, "variables are not replaced in --from=%s", text),
                        "Write FROM with the variable and AS NAME above, with its ARG before the first FROM, and copy "
                        "from that NAME.");
    struct err *e = err_wrap(ref_parse(text, &ref), "--from=%s is neither a stage nor an image", text);
    TRY(suggest_stage(p, text, e));
    *ret = (struct plan_source){ .kind = PLAN_SOURCE_IMAGE, .image = xstrdup(text) };
    return NULL;
}

struct err *plan_find_source(const struct plan *p, const char *text, struct plan_source *ret)
{
    struct plan_source s = { .kind = PLAN_SOURCE_STAGE };

    if (!plan_find_stage(p, text, &s.index)) {
        if (strcmp(text, "scratch") == 0) {
            s.kind = PLAN_SOURCE_SCRATCH;
        } else if (plan_find_context(p, text, &s.index)) {
            s.image = plan_context_image(p, s.index);
            s.kind = s.image ? PLAN_SOURCE_IMAGE : PLAN_SOURCE_NAMED;
        } else {
            return err_blame(image_source(p, text, ret), text);
        }
    }
    *ret = s;
    return NULL;
}

void plan_source_release(struct plan_source *s)
{
    free(s->image);
    *s = (struct plan_source){ 0 };
}
