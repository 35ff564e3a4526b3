/* conn.h - one conversation with a git server's upload-pack: by http(s), where each request is a POST of its own; or
 * over a stream of bytes, git:// or ssh. Not for other modules. */
#ifndef REPO_CONN_H
#define REPO_CONN_H

#include "address/git_address.h"
#include "base/buf.h"
#include "base/cancel.h"
#include "base/sink.h"
#include "http/http.h"
#include "ssh/ssh.h"

#include <stdbool.h>

struct repo_conn_opts { /* borrowed */
    const struct git_address *address;
    struct http *http;
    const char *authorization; /* of http; NULL = none */
    const struct ssh_opts *ssh;
    const struct cancel *cancel;
};

struct repo_conn {
    const struct repo_conn_ops *ops;
    struct repo_conn_opts o;
    char *base; /* http: where it is, after redirects; owned */
    bool files; /* http: the server only has files; greet() then gave info/refs */
    int fd;     /* git:// */
    struct ssh_run *ssh;
};

/* Bytes go to `out` until the server has no more to say, or until *done, which out's owner sets. */
struct repo_conn_ops {
    /* What the server says first. */
    struct err *(*greet)(struct repo_conn *c, const struct sink *out, const bool *done);
    struct err *(*ask)(struct repo_conn *c, const struct buf *request, const struct sink *out, const bool *done);
};

MUST_USE struct err *repo_conn_open(const struct repo_conn_opts *opts, struct repo_conn **ret);
/* Of a server with files only: the file `name` below the repository. *ret_found false: it is not there. */
MUST_USE struct err *repo_conn_file(struct repo_conn *c, const char *name, const struct sink *out, bool *ret_found);
void repo_conn_close(struct repo_conn *c);
DEFINE_CLEANUP(struct repo_conn *, repo_conn_close);

extern const struct repo_conn_ops repo_conn_http, repo_conn_tcp, repo_conn_ssh;
MUST_USE struct err *repo_tcp_connect(struct repo_conn *c);
MUST_USE struct err *repo_ssh_connect(struct repo_conn *c);

#endif
