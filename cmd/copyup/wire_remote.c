#include "version.h"
#include "wire.h"

#include <string.h>

struct wire_remote {
    struct http *http;
    struct remote *remote;
    const struct progress *progress;
};

static void note(void *ctx, const char *text)
{
    const struct wire_remote *r = ctx;

    r->progress->note(r->progress->ctx, text);
}

struct err *wire_remote(const struct settings *s, const struct wire_run *run, const struct sandbox *sb,
                        const struct store *store, const struct progress *progress, struct wire_remote **ret)
{
    AUTO(wire_remote_free) struct wire_remote *r = xcalloc(1, sizeof(*r));
    const struct http_opts http = {
        .user_agent = "copyup/" COPYUP_VERSION, .ca_file = s->ca_file, .retries = wire_retries(s), .cancel = sb->cancel
    };

    r->progress = progress;
    TRY(http_new(&http, &r->http));
    const struct remote_opts opts = { .http = r->http,
                                      .dir = store_build_dir(store),
                                      .owners = sb->owners,
                                      .secret = wire_find_secret,
                                      .secret_ctx = (void *)run, /* only read */
                                      .note = note,
                                      .note_ctx = r,
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
    free(r);
}
