#include "sandbox/scope_priv.h"

#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/syscall.h>

/* linux/landlock.h of Linux 6.12; the headers that we are built with may be older. */
#define RULE_PATH_BENEATH          1
#define ACCESS_FS_REFER            (UINT64_C(1) << 13)
#define SCOPE_ABSTRACT_UNIX_SOCKET (UINT64_C(1) << 0)
#define SCOPE_SIGNAL               (UINT64_C(1) << 1)

struct scope_ruleset {
    uint64_t handled_access_fs, handled_access_net, scoped;
};
struct scope_path {
    uint64_t allowed_access;
    int32_t parent_fd;
} __attribute__((packed));

static struct err *scope_refused(int errnum)
{
    return err_set_kind(err_sys(errnum, "the kernel does not keep the signals of a RUN apart (Landlock)"), ERR_POD);
}

/* A domain that says nothing of renames and links from one directory to another allows them, but not to a program that
 * then makes a domain for itself: its permission counts only if each domain around it has given the same. So we do. */
static long allow_refer(int ruleset_fd)
{
    AUTO_CLOSE int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    const struct scope_path everywhere = { ACCESS_FS_REFER, root };

    return root < 0 ? -1 : syscall(SYS_landlock_add_rule, ruleset_fd, RULE_PATH_BENEATH, &everywhere, 0);
}

struct err *scope_enter(void)
{
    const struct scope_ruleset rules = { .handled_access_fs = ACCESS_FS_REFER,
                                         .scoped = SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL };
    /* E2BIG or EINVAL before Linux 6.12: what it does not know must be zero */
    AUTO_CLOSE int fd = (int)syscall(SYS_landlock_create_ruleset, &rules, sizeof(rules), 0);

    if (fd < 0 || allow_refer(fd) < 0 || syscall(SYS_landlock_restrict_self, fd, 0) < 0)
        return scope_refused(errno);
    return NULL;
}
