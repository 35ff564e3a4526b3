/* One thread polls the listening socket and all clients. A client's request is read whole before it is answered or
 * passed on, so a client can hold up only itself. */
#include "agent/agent.h"

#include "base/limits.h"
#include "base/log.h"
#include "sys/file.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define MAX_CLIENTS  64
#define ANSWER_MS    30000 /* for another agent's answer: it may ask its user */
#define HEADER_BYTES 4

struct client {
    int fd, upstream_fd; /* -1: none */
    struct buf in;
};

struct agent_server {
    char *path;
    const struct sign_key *key;
    char *socket;
    int listen_fd, stop_fd;
    pthread_t thread;
    bool running;
    struct client clients[MAX_CLIENTS];
    size_t n_clients;
};

/* ---- sockets ---- */

/* Paths of sockets are short: the directory is named by its descriptor. */
static struct err *socket_address(const char *path, int *ret_dir_fd, struct sockaddr_un *ret)
{
    const char *slash = strrchr(path, '/');
    AUTO_FREE char *dir = slash ? xstrndup(path, slash == path ? 1 : (size_t)(slash - path)) : xstrdup(".");
    int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return err_sys(errno, "cannot open '%s'", dir);
    *ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
    int n = snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d/%s", fd, slash ? slash + 1 : path);
    if (n < 0 || (size_t)n >= sizeof(ret->sun_path)) {
        close(fd);
        return err_new(ERR_SETTING, "the name of the socket '%s' is too long", path);
    }
    *ret_dir_fd = fd;
    return NULL;
}

static struct err *connect_to(const char *path, int *ret_fd)
{
    AUTO_CLOSE int dir_fd = -1;
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address;

    if (fd < 0)
        return err_sys(errno, "cannot make a socket");
    TRY(socket_address(path, &dir_fd, &address));
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return err_sys(errno, "cannot reach the SSH agent at '%s'", path);
    *ret_fd = steal_fd(&fd);
    return NULL;
}

static struct err *listen_at(struct agent_server *a)
{
    AUTO_CLOSE int dir_fd = -1;
    struct sockaddr_un address;

    a->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (a->listen_fd < 0)
        return err_sys(errno, "cannot make a socket");
    TRY(socket_address(a->path, &dir_fd, &address));
    if (bind(a->listen_fd, (struct sockaddr *)&address, sizeof(address)) < 0 || chmod(a->path, 0600) < 0 ||
        listen(a->listen_fd, MAX_CLIENTS) < 0)
        return err_sys(errno, "cannot make the socket '%s'", a->path);
    return NULL;
}

/* ---- requests ---- */

/* How long the message will be that begins so, as far as is known: its length stands in front. */
static size_t message_bytes(const struct buf *in)
{
    const unsigned char *b = (const unsigned char *)in->data;

    if (in->len < HEADER_BYTES)
        return HEADER_BYTES;
    return HEADER_BYTES + ((size_t)b[0] << 24 | (size_t)b[1] << 16 | (size_t)b[2] << 8 | b[3]);
}

/* Adds what is there, up to the end of the message. False: there is no more, or the message is too long. */
static bool read_some(int fd, struct buf *in)
{
    char bytes[4096];
    size_t left = message_bytes(in) - in->len;
    ssize_t n = read(fd, bytes, left < sizeof(bytes) ? left : sizeof(bytes));

    if (n <= 0)
        return n < 0 && (errno == EAGAIN || errno == EINTR);
    buf_add(in, bytes, (size_t)n);
    return message_bytes(in) <= LIMIT_AGENT_BYTES;
}

static bool is_whole(const struct buf *in)
{
    return in->len > HEADER_BYTES && in->len == message_bytes(in);
}

/* From a peer that has to answer; false at its end. */
static bool read_message(int fd, struct buf *out)
{
    while (!is_whole(out)) {
        struct pollfd p = { fd, POLLIN, 0 };

        if (poll(&p, 1, ANSWER_MS) <= 0 || !read_some(fd, out))
            return false;
    }
    return true;
}

static bool send_all(int fd, const char *p, size_t len)
{
    for (size_t done = 0; done < len;) {
        struct pollfd ready = { fd, POLLOUT, 0 };
        ssize_t n = poll(&ready, 1, ANSWER_MS) > 0 ? send(fd, p + done, len - done, MSG_NOSIGNAL) : -1;

        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    return true;
}

/* Each client has a connection of its own: agents may keep state for one. */
static bool ask_upstream(struct agent_server *a, struct client *c, struct buf *out)
{
    struct err *e = c->upstream_fd < 0 ? connect_to(a->socket, &c->upstream_fd) : NULL;

    if (e) {
        log_debug("agent", "%s", err_message(e));
        err_free(e);
        return false;
    }
    return send_all(c->upstream_fd, buf_str(&c->in), c->in.len) && read_message(c->upstream_fd, out);
}

/* Takes what is there; answers if it is a whole request. False: the client is to be dropped. */
static bool serve(struct agent_server *a, struct client *c)
{
    AUTO(buf_release) struct buf answer = BUF_INIT;
    bool ok = true;

    if (!read_some(c->fd, &c->in))
        return false;
    if (!is_whole(&c->in))
        return message_bytes(&c->in) > HEADER_BYTES || c->in.len < HEADER_BYTES; /* an empty message is none */
    if (a->key)
        agent_answer(a->key, c->in.data + HEADER_BYTES, c->in.len - HEADER_BYTES, &answer);
    else
        ok = ask_upstream(a, c, &answer);
    buf_clear(&c->in);
    return ok && send_all(c->fd, buf_str(&answer), answer.len);
}

static void drop_client(struct agent_server *a, size_t i)
{
    struct client *c = &a->clients[i];

    close_fd(&c->fd);
    close_fd(&c->upstream_fd);
    buf_release(&c->in);
    a->clients[i] = a->clients[--a->n_clients];
}

static void accept_client(struct agent_server *a)
{
    int fd = accept4(a->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0)
        return;
    if (a->n_clients == MAX_CLIENTS) {
        close(fd);
        return;
    }
    a->clients[a->n_clients++] = (struct client){ .fd = fd, .upstream_fd = -1 };
}

static void *run(void *arg)
{
    struct agent_server *a = arg;

    for (;;) {
        struct pollfd fds[MAX_CLIENTS + 2] = { { a->stop_fd, POLLIN, 0 }, { a->listen_fd, POLLIN, 0 } };
        size_t n = a->n_clients;

        for (size_t i = 0; i < n; i++)
            fds[i + 2] = (struct pollfd){ a->clients[i].fd, POLLIN, 0 };
        if (poll(fds, n + 2, -1) < 0 && errno != EINTR)
            break;
        if (fds[0].revents)
            break;
        for (size_t i = n; i-- > 0;) /* from the end: dropping one moves the last */
            if (fds[i + 2].revents && !serve(a, &a->clients[i]))
                drop_client(a, i);
        if (fds[1].revents)
            accept_client(a);
    }
    return NULL;
}

/* ---- start and stop ---- */

struct err *agent_start(const char *dir, const char *name, const struct agent_upstream *upstream,
                        struct agent_server **ret)
{
    struct agent_server *a = xcalloc(1, sizeof(*a));

    a->path = xasprintf("%s/%s", dir, name);
    a->key = upstream->key;
    a->socket = upstream->socket ? xstrdup(upstream->socket) : NULL;
    a->listen_fd = -1;
    a->stop_fd = eventfd(0, EFD_CLOEXEC);
    struct err *e = a->stop_fd < 0 ? err_sys(errno, "cannot make an event descriptor") : listen_at(a);
    int rc = e ? 0 : pthread_create(&a->thread, NULL, run, a);
    if (rc)
        e = err_sys(rc, "cannot start a thread");
    a->running = !e;
    if (e) {
        agent_stop(a);
        return e;
    }
    *ret = a;
    return NULL;
}

const char *agent_path(const struct agent_server *a)
{
    return a->path;
}

void agent_stop(struct agent_server *a)
{
    if (!a)
        return;
    if (a->running && eventfd_write(a->stop_fd, 1) == 0)
        pthread_join(a->thread, NULL);
    while (a->n_clients)
        drop_client(a, a->n_clients - 1);
    close_fd(&a->listen_fd);
    close_fd(&a->stop_fd);
    (void)unlink(a->path);
    free(a->path);
    free(a->socket);
    free(a);
}
