#include "sys/net.h"

#include "base/mem.h"
#include "sys/proc.h"

#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

void net_split(const char *host_port, char **ret_host, char **ret_port)
{
    const char *end = *host_port == '[' ? strchr(host_port, ']') : NULL;
    const char *host = end ? host_port + 1 : host_port;
    const char *after = end ? end + 1 : host_port + strcspn(host_port, ":");

    *ret_host = xstrndup(host, (size_t)((end ? end : after) - host));
    *ret_port = xstrdup(*after == ':' ? after + 1 : "");
}

/* Waits until fd is ready, or fails. */
static struct err *wait_for(int fd, short events, int timeout_ms, const struct cancel *cancel)
{
    int64_t end = proc_now_ms() + timeout_ms;

    for (;;) {
        struct pollfd p[2] = { { fd, events, 0 }, { cancel_fd(cancel), POLLIN, 0 } };
        int64_t left = end - proc_now_ms();

        TRY(cancel_check(cancel));
        if (left <= 0)
            return err_new(ERR_NETWORK, "no byte came or went for %d s", timeout_ms / 1000);
        int n = poll(p, 2, (int)left);
        if (n < 0 && errno != EINTR)
            return err_sys(errno, "cannot wait for the network");
        if (n > 0 && p[0].revents)
            return NULL;
    }
}

static struct err *network(int errnum, const char *what)
{
    return err_set_kind(err_sys(errnum, "%s", what), ERR_NETWORK);
}

static struct err *connect_one(const struct addrinfo *a, int timeout_ms, const struct cancel *cancel, int *ret_fd)
{
    AUTO_CLOSE int fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->ai_protocol);
    int error = 0;
    socklen_t len = sizeof(error);

    if (fd < 0)
        return network(errno, "cannot make a socket");
    if (connect(fd, a->ai_addr, a->ai_addrlen) < 0) {
        if (errno != EINPROGRESS)
            return network(errno, "cannot connect");
        TRY(wait_for(fd, POLLOUT, timeout_ms, cancel));
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 || error)
            return network(error ? error : errno, "cannot connect");
    }
    *ret_fd = steal_fd(&fd);
    return NULL;
}

struct err *net_connect(const char *host_port, const char *default_port, int timeout_ms, const struct cancel *cancel,
                        int *ret_fd)
{
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
    AUTO_FREE char *host = NULL, *port = NULL;
    struct addrinfo *list = NULL;
    struct err *e = NULL;

    net_split(host_port, &host, &port);
    int rc = getaddrinfo(host, *port ? port : default_port, &hints, &list);
    if (rc != 0)
        return err_hint(err_new(ERR_NETWORK, "cannot find the host '%s': %s", host, gai_strerror(rc)),
                        "Check the host's name, and that the pod may ask its DNS server.");
    for (const struct addrinfo *a = list; a; a = a->ai_next) {
        err_free(e);
        e = connect_one(a, timeout_ms, cancel, ret_fd);
        if (!e || cancel_reason(cancel) != CANCEL_NONE)
            break;
    }
    freeaddrinfo(list);
    return err_wrap(e, "cannot connect to '%s'", host_port);
}

struct err *net_read(int fd, void *p, size_t n, int timeout_ms, const struct cancel *cancel, size_t *ret_len)
{
    for (;;) {
        ssize_t got = read(fd, p, n);

        if (got >= 0) {
            *ret_len = (size_t)got;
            return NULL;
        }
        if (errno != EAGAIN && errno != EINTR)
            return network(errno, "the connection broke");
        TRY(wait_for(fd, POLLIN, timeout_ms, cancel));
    }
}

struct err *net_write(int fd, const void *p, size_t n, int timeout_ms, const struct cancel *cancel)
{
    while (n > 0) {
        ssize_t put = send(fd, p, n, MSG_NOSIGNAL);

        if (put >= 0) {
            p = (const char *)p + put;
            n -= (size_t)put;
            continue;
        }
        if (errno != EAGAIN && errno != EINTR)
            return network(errno, "the connection broke");
        TRY(wait_for(fd, POLLOUT, timeout_ms, cancel));
    }
    return NULL;
}
