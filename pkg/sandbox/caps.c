#include "sandbox/caps_priv.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

bool caps_get(struct caps *ret_caps)
{
    struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct d[2] = { { 0 } };

    if (syscall(SYS_capget, &header, d) < 0)
        return false;
    ret_caps->effective = d[0].effective | (uint64_t)d[1].effective << 32;
    ret_caps->permitted = d[0].permitted | (uint64_t)d[1].permitted << 32;
    ret_caps->inheritable = d[0].inheritable | (uint64_t)d[1].inheritable << 32;
    return true;
}

bool caps_set(const struct caps *c)
{
    struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
    const struct __user_cap_data_struct d[2] = {
        { (uint32_t)c->effective, (uint32_t)c->permitted, (uint32_t)c->inheritable },
        { (uint32_t)(c->effective >> 32), (uint32_t)(c->permitted >> 32), (uint32_t)(c->inheritable >> 32) },
    };

    return syscall(SYS_capset, &header, d) == 0;
}

struct err *caps_bound(uint64_t keep)
{
    for (int cap = 0; cap < 64; cap++) {
        int has = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);

        if (has < 0)
            return NULL; /* beyond the kernel's last capability */
        if (has == 1 && !(keep & CAP_BIT(cap)) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
            return err_sys(errno, "cannot drop capability %d", cap);
    }
    return NULL;
}

uint64_t caps_docker_default(void)
{
    return CAP_BIT(CAP_CHOWN) | CAP_BIT(CAP_DAC_OVERRIDE) | CAP_BIT(CAP_FSETID) | CAP_BIT(CAP_FOWNER) |
           CAP_BIT(CAP_MKNOD) | CAP_BIT(CAP_NET_RAW) | CAP_BIT(CAP_SETGID) | CAP_BIT(CAP_SETUID) |
           CAP_BIT(CAP_SETFCAP) | CAP_BIT(CAP_SETPCAP) | CAP_BIT(CAP_NET_BIND_SERVICE) | CAP_BIT(CAP_SYS_CHROOT) |
           CAP_BIT(CAP_KILL) | CAP_BIT(CAP_AUDIT_WRITE);
}
