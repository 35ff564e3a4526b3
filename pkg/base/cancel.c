#include "base/cancel.h"

#include "base/mem.h"

#include <stdatomic.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct cancel {
    atomic_int reason;
    const struct cancel *parent; /* may be NULL */
    int event_fd;
    int fd; /* what is polled: event_fd, or an epoll of that and the parent's */
};

struct err *cancel_new(struct cancel **ret_cancel)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    if (fd < 0)
        return err_sys(errno, "cannot make an event descriptor");
    struct cancel *c = xcalloc(1, sizeof(*c));
    c->event_fd = c->fd = fd;
    atomic_init(&c->reason, CANCEL_NONE);
    *ret_cancel = c;
    return NULL;
}

static bool watch(int epoll_fd, int fd)
{
    struct epoll_event e = { .events = EPOLLIN };

    return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e) == 0;
}

struct err *cancel_new_below(const struct cancel *parent, struct cancel **ret_cancel)
{
    struct cancel *c = NULL;
    int fd = epoll_create1(EPOLL_CLOEXEC);

    if (fd < 0)
        return err_sys(errno, "cannot make an event descriptor");
    struct err *e = cancel_new(&c);
    if (!e && (!watch(fd, c->event_fd) || (parent && !watch(fd, parent->fd))))
        e = err_sys(errno, "cannot watch an event descriptor");
    if (e) {
        cancel_free(c);
        close(fd);
        return e;
    }
    c->parent = parent;
    c->fd = fd;
    *ret_cancel = c;
    return NULL;
}

void cancel_raise(struct cancel *c, enum cancel_reason reason)
{
    int expected = CANCEL_NONE;
    const uint64_t one = 1;

    if (atomic_compare_exchange_strong(&c->reason, &expected, (int)reason))
        (void)!write(c->event_fd, &one, sizeof(one));
}

enum cancel_reason cancel_reason(const struct cancel *c)
{
    enum cancel_reason above = c && c->parent ? cancel_reason(c->parent) : CANCEL_NONE;

    if (!c || above != CANCEL_NONE)
        return above;
    return (enum cancel_reason)atomic_load(&c->reason);
}

struct err *cancel_check(const struct cancel *c)
{
    switch (cancel_reason(c)) {
    case CANCEL_NONE:
        return NULL;
    case CANCEL_TIMEOUT:
        return err_new(ERR_TIMEOUT, "the step's time limit was reached");
    case CANCEL_SIGNAL:
        return err_new(ERR_TERMINATED, "the step was told to stop");
    case CANCEL_FAILURE:
        return err_new(ERR_TERMINATED, "stopped because another part of the build failed");
    }
    return NULL;
}

int cancel_fd(const struct cancel *c)
{
    return c ? c->fd : -1;
}

void cancel_free(struct cancel *c)
{
    if (!c)
        return;
    if (c->fd != c->event_fd)
        close(c->fd);
    close(c->event_fd);
    free(c);
}
