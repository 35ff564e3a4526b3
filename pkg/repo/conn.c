#include "repo/conn.h"

#include <string.h>

struct err *repo_conn_open(const struct repo_conn_opts *opts, struct repo_conn **ret)
{
    AUTO(repo_conn_close) struct repo_conn *c = xcalloc(1, sizeof(*c));
    const char *remote = opts->address->remote;
    size_t n = strlen(remote);

    c->o = *opts;
    c->fd = -1;
    while (n > 0 && remote[n - 1] == '/')
        n--;
    c->base = xstrndup(remote, n);
    switch (opts->address->transport) {
    case GIT_TRANSPORT_HTTP:
        c->ops = &repo_conn_http;
        break;
    case GIT_TRANSPORT_TCP:
        c->ops = &repo_conn_tcp;
        TRY(repo_tcp_connect(c));
        break;
    case GIT_TRANSPORT_SSH:
        c->ops = &repo_conn_ssh;
        TRY(repo_ssh_connect(c));
        break;
    }
    *ret = steal(&c);
    return NULL;
}

void repo_conn_close(struct repo_conn *c)
{
    if (!c)
        return;
    ssh_run_close(c->ssh);
    close_fd(&c->fd);
    free(c->base);
    free(c);
}
