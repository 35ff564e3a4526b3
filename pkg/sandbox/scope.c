#include "sandbox/scope_priv.h"

#include "sys/file.h"

#include <errno.h>
#include <stdint.h>
#include <sys/syscall.h>

/* linux/landlock.h of Linux 6.12; the headers that we are built with may be older. */
#define SCOPE_ABSTRACT_UNIX_SOCKET (UINT64_C(1) << 0)
#define SCOPE_SIGNAL               (UINT64_C(1) << 1)

struct scope_ruleset {
    uint64_t handled_access_fs, handled_access_net, scoped;
};

static struct err *scope_refused(int errnum)
{
    return err_set_kind(err_sys(errnum, "the kernel does not keep the signals of a RUN apart (Landlock)"), ERR_POD);
}

struct err *scope_enter(void)
{
    const struct scope_ruleset rules = { .scoped = SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL };
    /* E2BIG or EINVAL before Linux 6.12: what it does not know must be zero */
    AUTO_CLOSE int fd = (int)syscall(SYS_landlock_create_ruleset, &rules, sizeof(rules), 0);

    if (fd < 0 || syscall(SYS_landlock_restrict_self, fd, 0) < 0)
        return scope_refused(errno);
    return NULL;
}
