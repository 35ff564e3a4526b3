/* What a RUN may ask for by its mounts: secrets and SSH agents. */
#include "wire.h"

#include <string.h>

#define DEFAULT_AGENT "default" /* the id of a mount that names none */

struct wire_run {
    const struct settings *s;
    struct sign_key *key; /* NULL: none was given */
};

struct err *wire_run_new(const struct settings *s, struct wire_run **ret)
{
    AUTO(wire_run_free) struct wire_run *r = xcalloc(1, sizeof(*r));
    const char *pem = secret_reveal(&s->ssh_key);

    r->s = s;
    if (pem)
        TRY(err_wrap(sign_key_read(pem, strlen(pem), &r->key), "PLUGIN_SSH_AGENT_KEY is wrong"));
    *ret = steal(&r);
    return NULL;
}

void wire_run_free(struct wire_run *r)
{
    if (!r)
        return;
    sign_key_free(r->key);
    free(r);
}

const void *wire_find_secret(void *ctx, const char *id, size_t *ret_len)
{
    const struct settings *s = ((const struct wire_run *)ctx)->s;

    for (size_t i = 0; i < s->n_run_secrets; i++) {
        if (strcmp(s->run_secrets[i].id, id) != 0)
            continue;
        *ret_len = s->run_secrets[i].len;
        return s->run_secrets[i].data;
    }
    return NULL;
}

static bool find_agent(void *ctx, const char *id, struct agent_upstream *ret)
{
    const struct wire_run *r = ctx;
    const char *path = getenv("SSH_AUTH_SOCK"); // NOLINT(concurrency-mt-unsafe)

    if (strcmp(id, DEFAULT_AGENT) != 0 || (!r->key && (!path || !*path)))
        return false;
    *ret = r->key ? (struct agent_upstream){ .key = r->key } : (struct agent_upstream){ .socket = path };
    return true;
}

void wire_run_opts(struct wire_run *r, struct build_opts *o)
{
    o->find_secret = wire_find_secret;
    o->find_agent = find_agent;
    o->ctx = r;
}
