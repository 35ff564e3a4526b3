/* conn_stream.c - git over a stream of bytes: git:// (gitprotocol-pack(5), "Git Transport") and SSH. */
#include "repo/conn.h"
#include "sys/net.h"

#include <string.h>

#define PORT       "9418"
#define TIMEOUT_MS 60000

/* What differs between the two: NULL end of file is *ret_len 0. */
static struct err *stream_read(struct repo_conn *c, void *p, size_t n, size_t *ret_len)
{
    if (c->ssh)
        return ssh_run_read(c->ssh, p, n, ret_len);
    return net_read(c->fd, p, n, TIMEOUT_MS, c->o.cancel, ret_len);
}

static struct err *stream_write(struct repo_conn *c, const struct buf *b)
{
    if (c->ssh)
        return ssh_run_write(c->ssh, b->data, b->len);
    return net_write(c->fd, b->data, b->len, TIMEOUT_MS, c->o.cancel);
}

static struct err *pump(struct repo_conn *c, const struct sink *out, const bool *done)
{
    char chunk[32768];
    size_t n = 1;

    while (!*done && n > 0) {
        TRY(stream_read(c, chunk, sizeof(chunk), &n));
        if (n > 0)
            TRY(sink_write(out, chunk, n));
    }
    return NULL;
}

static struct err *ask(struct repo_conn *c, const struct buf *request, const struct sink *out, const bool *done)
{
    TRY(stream_write(c, request));
    return pump(c, out, done);
}

/* ---- git:// ---- */

static struct err *tcp_greet(struct repo_conn *c, const struct sink *out, const bool *done)
{
    static const char version[] = "\0version=2"; /* in a place where old servers do not look */
    const struct git_address *a = c->o.address;
    AUTO(buf_release) struct buf line = BUF_INIT, request = BUF_INIT;

    buf_printf(&line, "git-upload-pack %s", a->path);
    buf_putc(&line, '\0');
    buf_printf(&line, "host=%s", a->host);
    buf_putc(&line, '\0');
    buf_add(&line, version, sizeof(version));
    buf_printf(&request, "%04zx", line.len + 4);
    buf_add(&request, line.data, line.len);
    TRY(stream_write(c, &request));
    return pump(c, out, done);
}

struct err *repo_tcp_connect(struct repo_conn *c)
{
    return net_connect(c->o.address->host, PORT, TIMEOUT_MS / 3, c->o.cancel, &c->fd);
}

const struct repo_conn_ops repo_conn_tcp = { tcp_greet, ask };

/* ---- ssh ---- */

/* In single quotes for the other side's shell, as git does it. */
static void quote(struct buf *out, const char *s)
{
    buf_putc(out, '\'');
    for (; *s; s++) {
        if (*s == '\'' || *s == '!')
            buf_printf(out, "'\\%c'", *s);
        else
            buf_putc(out, *s);
    }
    buf_putc(out, '\'');
}

struct err *repo_ssh_connect(struct repo_conn *c)
{
    const struct git_address *a = c->o.address;
    const char *path = strstr(a->remote, "://") && strncmp(a->path, "/~", 2) == 0 ? a->path + 1 : a->path;
    AUTO(buf_release) struct buf command = BUF_INIT;

    if (!c->o.ssh)
        return err_new(ERR_DOCKERFILE, "'%s': SSH is not possible here", a->remote);
    buf_puts(&command, "git-upload-pack ");
    quote(&command, path);
    return ssh_run_open(c->o.ssh, a->host, a->user ? a->user : "git", buf_str(&command), &c->ssh);
}

static struct err *ssh_greet(struct repo_conn *c, const struct sink *out, const bool *done)
{
    return pump(c, out, done);
}

const struct repo_conn_ops repo_conn_ssh = { ssh_greet, ask };
