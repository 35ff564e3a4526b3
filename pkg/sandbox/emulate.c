/* emulate.c - programs of other machines: qemu's user emulators, registered with binfmt_misc for our own user namespace
 * (Linux 6.7: Documentation/admin-guide/binfmt-misc.rst). Nothing on the node changes, and it ends with the build. */
#include "sandbox/sandbox.h"

#include "base/buf.h"
#include "sys/program.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

/* P: the program's own argv[0]; C: setuid works, which opens the file for the emulator; F: the emulator is opened now,
 * so that it works in every root. */
#define FLAGS "PCF"

/* "\x7fELF", class, byte order; type and machine behind the ten bytes that vary. */
static void put_magic(const struct program_machine *m, struct buf *line)
{
    unsigned char magic[EI_NIDENT + 4] = { 0x7f, 'E', 'L', 'F', m->class, m->data }, mask[EI_NIDENT + 4] = { 0 };
    const bool big = m->data == ELFDATA2MSB;

    memset(mask, 0xff, EI_VERSION);
    magic[EI_NIDENT + big] = ET_EXEC;
    mask[EI_NIDENT + !big] = 0xff;
    mask[EI_NIDENT + big] = 0xfe; /* ET_DYN too */
    magic[EI_NIDENT + 2 + big] = (unsigned char)m->machine;
    magic[EI_NIDENT + 2 + !big] = (unsigned char)(m->machine >> 8);
    memset(mask + EI_NIDENT + 2, 0xff, 2);
    for (size_t i = 0; i < sizeof(magic); i++)
        buf_printf(line, "\\x%02x", magic[i]);
    buf_putc(line, ':');
    for (size_t i = 0; i < sizeof(mask); i++)
        buf_printf(line, "\\x%02x", mask[i]);
}

static struct err *add_handler(int register_fd, const struct program_machine *m, const char *emulator)
{
    AUTO(buf_release) struct buf line = BUF_INIT;

    buf_printf(&line, ":copyup-%s:M::", m->arch);
    put_magic(m, &line);
    buf_printf(&line, ":%s:" FLAGS, emulator);
    if (write(register_fd, line.data, line.len) == (ssize_t)line.len)
        return NULL;
    return err_hint(err_set_kind(err_sys(errno, "cannot register '%s'", emulator), ERR_SETTING),
                    "It must be a static program that may be executed where it lies (not on a noexec mount).");
}

/* qemu-NAME-static, as Debian calls it, or qemu-NAME. */
static char *find_emulator(const char *dir, const struct program_machine *m)
{
    static const char *const endings[] = { "-static", "" };

    for (size_t i = 0; m->qemu && i < sizeof(endings) / sizeof(endings[0]); i++) {
        AUTO_FREE char *path = xasprintf("%s/qemu-%s%s", dir, m->qemu, endings[i]);

        if (access(path, X_OK) == 0)
            return steal(&path);
    }
    return NULL;
}

static struct err *add_all(int register_fd, const char *dir, struct buf *ret_archs)
{
    size_t n;
    const struct program_machine *machines = program_machines(&n);

    for (size_t i = 0; i < n; i++) {
        AUTO_FREE char *emulator = program_is_native(machines[i].arch) ? NULL : find_emulator(dir, &machines[i]);

        if (!emulator)
            continue;
        TRY(add_handler(register_fd, &machines[i], emulator));
        buf_printf(ret_archs, "%s%s", ret_archs->len ? ", " : "", machines[i].arch);
    }
    if (ret_archs->len)
        return NULL;
    return err_hint(err_new(ERR_SETTING, "there is no emulator in '%s'", dir),
                    "Static emulators of user programs are called qemu-aarch64-static, qemu-arm-static and so on "
                    "(Debian's package qemu-user-static has them all).");
}

/* Our own instance: the kernel refuses where binfmt_misc is one for all. */
static struct err *mount_own(int *ret_fd)
{
    AUTO_CLOSE int fs = fsopen("binfmt_misc", FSOPEN_CLOEXEC);

    if (fs >= 0 && fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
        *ret_fd = fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    if (*ret_fd >= 0)
        return NULL;
    return err_hint(
        err_set_kind(err_sys(errno, "this node does not let a user namespace have emulators of its own"), ERR_POD),
        "It takes Linux 6.7 with binfmt_misc. On an older one emulators are registered by the node's "
        "administrator, for all pods.");
}

struct err *sandbox_emulate(const char *dir, char **ret_archs, int *ret_fd)
{
    AUTO(buf_release) struct buf archs = BUF_INIT;
    AUTO_CLOSE int mount_fd = -1;

    TRY(mount_own(&mount_fd));
    AUTO_CLOSE int register_fd = openat(mount_fd, "register", O_WRONLY | O_CLOEXEC);
    if (register_fd < 0)
        return err_set_kind(err_sys(errno, "cannot open binfmt_misc"), ERR_POD);
    TRY(add_all(register_fd, dir, &archs));
    *ret_archs = buf_steal(&archs);
    *ret_fd = mount_fd;
    mount_fd = -1;
    return NULL;
}
