#include "base/cancel.h"

#include "base/mem.h"

#include <stdatomic.h>
#include <stdint.h>
#include <sys/eventfd.h>

struct cancel {
    atomic_int reason;
    int fd;
};

struct err *cancel_new(struct cancel **ret_cancel)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    if (fd < 0)
        return err_sys(errno, "cannot make an event descriptor");
    struct cancel *c = xcalloc(1, sizeof(*c));
    c->fd = fd;
    atomic_init(&c->reason, CANCEL_NONE);
    *ret_cancel = c;
    return NULL;
}

void cancel_raise(struct cancel *c, enum cancel_reason reason)
{
    int expected = CANCEL_NONE;
    const uint64_t one = 1;

    if (atomic_compare_exchange_strong(&c->reason, &expected, (int)reason))
        (void)!write(c->fd, &one, sizeof(one));
}

enum cancel_reason cancel_reason(const struct cancel *c)
{
    return c ? (enum cancel_reason)atomic_load(&c->reason) : CANCEL_NONE;
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
    close(c->fd);
    free(c);
}
