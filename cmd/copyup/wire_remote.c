#include "sys/file.h"
#include "wire.h"

#include <string.h>

#define DEFAULT_RETRIES 3 /* of a git fetch */

struct wire_remote {
    struct http *http;
    struct ssh_opts ssh;
    char *known_hosts; /* path */
    struct remote *remote;
    const struct progress *progress;
};

static void note(void *ctx, const char *text)
{
    const struct wire_remote *r = ctx;

    r->progress->note(r->progress->ctx, text);
}

/* The first of the usual places; NULL = there is none. The caller frees. */
static char *usual_known_hosts(void)
{
    const char *home = getenv("HOME"); // NOLINT(concurrency-mt-unsafe)
    AUTO_FREE char *own = home && *home ? xasprintf("%s/.ssh/known_hosts", home) : NULL;

    if (own && access(own, R_OK) == 0)
        return steal(&own);
    return access("/etc/ssh/ssh_known_hosts", R_OK) == 0 ? xstrdup("/etc/ssh/ssh_known_hosts") : NULL;
}

/* libssh wants a file. */
static struct err *find_known_hosts(const struct settings *s, const struct store *store, char **ret_path)
{
    const char *given = s->ssh_known_hosts;

    if (!given || !*given) {
        *ret_path = usual_known_hosts();
        return NULL;
    }
    if (!strpbrk(given, " \t\n")) {
        *ret_path = xstrdup(given);
        return access(given, R_OK) == 0
                   ? NULL
                   : err_set_kind(err_sys(errno, "cannot read PLUGIN_SSH_KNOWN_HOSTS '%s'", given), ERR_SETTING);
    }
    AUTO_FREE char *path = xasprintf("%s/known_hosts", store_build_dir(store)), *text = xasprintf("%s\n", given);
    TRY(file_write_atomic(path, text, strlen(text), 0600));
    *ret_path = steal(&path);
    return NULL;
}

static struct err *set_ssh(const struct settings *s, const struct store *store, const struct cancel *cancel,
                           struct wire_remote *r)
{
    const char *agent = getenv("SSH_AUTH_SOCK"); // NOLINT(concurrency-mt-unsafe)

    TRY(find_known_hosts(s, store, &r->known_hosts));
    r->ssh = (struct ssh_opts){ .agent_socket = agent && *agent ? agent : NULL,
                                .key = secret_reveal(&s->ssh_key),
                                .known_hosts = r->known_hosts,
                                .cancel = cancel };
    return NULL;
}

struct err *wire_remote(const struct settings *s, const struct wire_run *run, const struct sandbox *sb,
                        const struct store *store, const struct progress *progress, struct wire_remote **ret)
{
    AUTO(wire_remote_free) struct wire_remote *r = xcalloc(1, sizeof(*r));
    const struct http_opts http = wire_http(s, wire_retries(s), sb->cancel);

    r->progress = progress;
    TRY(http_new(&http, &r->http));
    TRY(set_ssh(s, store, sb->cancel, r));
    const struct remote_opts opts = { .http = r->http,
                                      .dir = store_build_dir(store),
                                      .owners = sb->owners,
                                      .secret = wire_find_secret,
                                      .secret_ctx = (void *)run, /* only read */
                                      .note = note,
                                      .note_ctx = r,
                                      .ssh = &r->ssh,
                                      .retries = wire_retries(s) < 0 ? DEFAULT_RETRIES : wire_retries(s),
                                      .cancel = sb->cancel };
    TRY(remote_new(&opts, &r->remote));
    *ret = steal(&r);
    return NULL;
}

struct remote *wire_remote_get(const struct wire_remote *r)
{
    return r->remote;
}

void wire_remote_free(struct wire_remote *r)
{
    if (!r)
        return;
    remote_free(r->remote);
    http_free(r->http);
    free(r->known_hosts);
    free(r);
}
