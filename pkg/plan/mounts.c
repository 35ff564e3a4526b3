/* mounts.c - RUN --mount with its variables replaced and its defaults applied, as the Dockerfile reference has them. */
#include "plan/plan_priv.h"

#include <string.h>

#define SECRETS_DIR "/run/secrets"
#define AGENT_PATH  "/run/buildkit/ssh_agent"

static bool given(const char *text)
{
    return text && *text;
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

/* A secret that becomes a variable is a file only if a target is given too. */
static char *default_target(const struct step_mount *m, size_t n_agents)
{
    if (m->m.type == DF_MOUNT_SECRET)
        return given(m->m.env) ? NULL : xasprintf(SECRETS_DIR "/%s", last_part(m->id));
    return m->m.type == DF_MOUNT_SSH ? xasprintf(AGENT_PATH ".%zu", n_agents) : xstrdup("");
}

/* Of a cache: its target as written, cleaned. */
static char *target_id(const char *target)
{
    AUTO_FREE char *clean = path_workdir("/", target);

    return xstrdup(*target == '/' ? clean : clean + 1);
}

static char *cache_id(const struct plan *p, const struct df_mount *m)
{
    AUTO_FREE char *id = given(m->id) ? xstrdup(m->id) : target_id(given(m->target) ? m->target : "");

    return builder_cache_id(p, id);
}

static char *mount_id(const struct plan *p, const struct df_mount *m)
{
    switch (m->type) {
    case DF_MOUNT_CACHE:
        return cache_id(p, m);
    case DF_MOUNT_SECRET:
        return xstrdup(given(m->source) ? m->source : given(m->id) ? m->id : last_part(m->target));
    case DF_MOUNT_SSH:
        return xstrdup(given(m->id) ? m->id : "default");
    case DF_MOUNT_BIND:
    case DF_MOUNT_TMPFS:
        break;
    }
    return NULL;
}

static struct err *mount_target(const struct stage_state *s, struct step_mount *m, size_t n_agents)
{
    AUTO_FREE char *text = given(m->m.target) ? xstrdup(m->m.target) : default_target(m, n_agents);

    if (!text)
        return NULL;
    m->target = path_workdir(state_workdir_now(s), text);
    if (strcmp(m->target, "/") == 0)
        return err_hint(err_new(ERR_DOCKERFILE, "a mount cannot be at the root directory"), "Give it a target.");
    return NULL;
}

static struct err *mount_source(const struct stage_state *s, struct step_mount *m)
{
    if (m->m.type == DF_MOUNT_CACHE && !given(m->m.from))
        m->from.kind = PLAN_SOURCE_SCRATCH;
    if (!given(m->m.from))
        return NULL;
    TRY(plan_find_source(s->plan, m->m.from, &m->from));
    return needs_earlier(s->plan, s->index, &m->from, m->m.from);
}

static struct err *add_mount(const struct stage_state *s, const char *text, size_t n_agents, struct step_mount *m)
{
    const struct words_opts opts = state_words(s);
    struct err *e = df_expand_mount(text, &opts, &m->m);

    state_take_undefined(s, true);
    TRY(e);
    m->id = mount_id(s->plan, &m->m);
    TRY(mount_source(s, m));
    return err_wrap(mount_target(s, m, n_agents), "RUN --mount=%s cannot be used", text);
}

struct err *state_mounts(const struct stage_state *s, const struct df_instr *i, struct step *st)
{
    size_t n_agents = 0;

    if (i->n_flags)
        st->mounts = xcalloc(i->n_flags, sizeof(*st->mounts));
    for (size_t f = 0; f < i->n_flags; f++) {
        struct step_mount *m = &st->mounts[st->n_mounts];

        if (strcmp(i->flags[f].name, "mount") != 0)
            continue;
        st->n_mounts++;
        TRY(add_mount(s, i->flags[f].value, n_agents, m));
        n_agents += m->m.type == DF_MOUNT_SSH;
    }
    return NULL;
}

void step_mounts_release(struct step *st)
{
    for (size_t i = 0; i < st->n_mounts; i++) {
        df_mount_release(&st->mounts[i].m);
        plan_source_release(&st->mounts[i].from);
        free(st->mounts[i].target);
        free(st->mounts[i].id);
    }
    free(st->mounts);
    st->mounts = NULL;
    st->n_mounts = 0;
}
