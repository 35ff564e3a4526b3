#include "sys/program.h"

#include "base/mem.h"
#include "sys/file.h"

#include <elf.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#ifndef EM_LOONGARCH
#define EM_LOONGARCH 258 /* younger than Debian 12's header */
#endif
#define MAX_INTERPRETERS 5 /* as the kernel follows */

#define LE64 ELFCLASS64, ELFDATA2LSB
#define BE64 ELFCLASS64, ELFDATA2MSB
#define LE32 ELFCLASS32, ELFDATA2LSB
#define BE32 ELFCLASS32, ELFDATA2MSB

static const struct program_machine machines[] = {
    { EM_X86_64, LE64, "amd64", "x86_64", "386", "x86_64" },
    { EM_386, LE32, "386", "i686", NULL, "i386" },
    { EM_AARCH64, LE64, "arm64", "aarch64", "arm", "aarch64" },
    { EM_ARM, LE32, "arm", "armv7l", NULL, "arm" },
    { EM_ARM, BE32, "armbe", "armv7b", NULL, "armeb" },
    { EM_PPC64, LE64, "ppc64le", "ppc64le", NULL, "ppc64le" },
    { EM_PPC64, BE64, "ppc64", "ppc64", "ppc", "ppc64" },
    { EM_PPC, BE32, "ppc", "ppc", NULL, "ppc" },
    { EM_S390, BE64, "s390x", "s390x", "s390", "s390x" },
    { EM_S390, BE32, "s390", "s390", NULL, NULL },
    { EM_RISCV, LE64, "riscv64", "riscv64", NULL, "riscv64" },
    { EM_RISCV, LE32, "riscv", "riscv32", NULL, "riscv32" },
    { EM_LOONGARCH, LE64, "loong64", "loongarch64", NULL, "loongarch64" },
    { EM_MIPS, LE64, "mips64le", NULL, NULL, "mips64el" }, /* uname does not tell the byte order */
    { EM_MIPS, BE64, "mips64", "mips64", "mips", "mips64" },
    { EM_MIPS, LE32, "mipsle", NULL, NULL, "mipsel" },
    { EM_MIPS, BE32, "mips", "mips", NULL, "mips" },
    { EM_SPARCV9, BE64, "sparc64", "sparc64", "sparc", "sparc64" },
    { EM_SPARC, BE32, "sparc", "sparc", NULL, "sparc" },
};

#define COUNT (sizeof(machines) / sizeof(machines[0]))

const struct program_machine *program_machines(size_t *ret_n)
{
    *ret_n = COUNT;
    return machines;
}

static const char *elf_arch(const unsigned char *head)
{
    const unsigned char *m = head + offsetof(Elf64_Ehdr, e_machine); /* in both classes at the same place */
    bool big = head[EI_DATA] == ELFDATA2MSB;
    uint16_t machine = (uint16_t)(big ? m[0] << 8 | m[1] : m[1] << 8 | m[0]);

    for (size_t i = 0; i < COUNT; i++)
        if (machines[i].machine == machine && machines[i].class == head[EI_CLASS] && machines[i].data == head[EI_DATA])
            return machines[i].arch;
    return "an unknown machine";
}

void program_parse(const void *head, size_t n, struct program *ret)
{
    const char *text = head, *end;

    *ret = (struct program){ .arch = NULL };
    if (n >= offsetof(Elf64_Ehdr, e_version) && memcmp(head, ELFMAG, SELFMAG) == 0)
        ret->arch = elf_arch(head);
    if (n < 3 || memcmp(text, "#!", 2) != 0)
        return;
    if (n > PROGRAM_HEAD_BYTES)
        n = PROGRAM_HEAD_BYTES;
    end = memchr(text, '\n', n);
    if (end)
        n = (size_t)(end - text);
    for (text += 2, n -= 2; n && (*text == ' ' || *text == '\t'); text++)
        n--;
    for (size_t i = 0; i < n && text[i] && text[i] != ' ' && text[i] != '\t'; i++)
        ret->interpreter[i] = text[i];
}

static bool read_head(const char *path, struct program *ret)
{
    unsigned char head[PROGRAM_HEAD_BYTES];
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    ssize_t n = fd < 0 ? -1 : read(fd, head, sizeof(head));

    if (n < 0)
        return false;
    program_parse(head, (size_t)n, ret);
    return true;
}

bool program_find(const char *path, struct program *ret, char **ret_path)
{
    AUTO_FREE char *at = xstrdup(path);

    for (int depth = 0; depth <= MAX_INTERPRETERS; depth++) {
        if (!read_head(at, ret))
            return false;
        if (!ret->interpreter[0]) {
            *ret_path = steal(&at);
            return true;
        }
        free(at);
        at = xstrdup(ret->interpreter);
    }
    return false;
}

const char *program_host_arch(void)
{
    struct utsname u;

    for (size_t i = 0; uname(&u) == 0 && i < COUNT; i++)
        if (machines[i].uname && strcmp(machines[i].uname, u.machine) == 0)
            return machines[i].arch;
    return "an unknown machine";
}

bool program_is_native(const char *arch)
{
    const char *host = program_host_arch();

    for (size_t i = 0; i < COUNT; i++)
        if (strcmp(machines[i].arch, host) == 0)
            return strcmp(arch, host) == 0 || (machines[i].narrow && strcmp(arch, machines[i].narrow) == 0);
    return false;
}
