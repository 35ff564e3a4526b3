/* exec_error.c - why execve() refused a program: its errno alone is often misleading, the file itself tells more. */
#include "base/mem.h"
#include "sandbox/confine_priv.h"
#include "sys/program.h"

#include <string.h>

#define EXIT_NOT_FOUND      127
#define EXIT_NOT_EXECUTABLE 126

/* "cannot run '/x'", or "cannot run '/x': its interpreter '/bin/sh'" where a script was the program. */
static char *what_failed(const char *program, const char *file)
{
    if (strcmp(program, file) == 0)
        return xasprintf("cannot run '%s': it", program);
    return xasprintf("cannot run '%s': its interpreter '%s'", program, file);
}

/* No handler of binfmt_misc took it, and the kernel knows no such format. */
static struct err *foreign_format(const char *what, const char *arch)
{
    return err_hint(err_new(ERR_COMMAND, "%s is a program for %s, this node runs %s and has no emulator for it", what,
                            arch, program_host_arch()),
                    "Compile for %s in a stage on the node's own platform (FROM --platform=$BUILDPLATFORM), have an "
                    "emulator registered on the node (binfmt_misc with the flag F, as qemu-user-static does), or "
                    "give the step emulators of its own.",
                    arch);
}

/* The kernel looked for the handler's own interpreter inside the image. */
static struct err *emulator_missing(const char *what, const char *arch)
{
    return err_hint(err_new(ERR_COMMAND,
                            "%s is a program for %s, this node runs %s, and the emulator that is registered "
                            "for it on the node is not in the image",
                            what, arch, program_host_arch()),
                    "Register it with the flag F (fix binary), which makes it work in every image.");
}

/* What the file says about an ENOEXEC or ENOENT; NULL: nothing. */
static struct err *judge_file(int errnum, const char *program)
{
    AUTO_FREE char *file = NULL;
    struct program p;

    if (!program_find(program, &p, &file) || !p.arch)
        return NULL;
    AUTO_FREE char *what = what_failed(program, file);
    if (errnum == ENOENT)
        return program_is_native(p.arch) ? NULL : emulator_missing(what, p.arch);
    if (strcmp(p.arch, program_host_arch()) != 0)
        return foreign_format(what, p.arch);
    return err_new(ERR_COMMAND, "%s is a program for %s, but damaged or of a kind that the kernel cannot load", what,
                   p.arch);
}

static struct err *judge_errno(int errnum, const char *program)
{
    if (errnum == ENOENT && access(program, F_OK) == 0)
        return err_new(ERR_COMMAND, "cannot run '%s': the interpreter or dynamic loader it needs is not in the image",
                       program);
    if (errnum == ENOENT || errnum == ENOTDIR)
        return err_new(ERR_COMMAND, "cannot run '%s': no such file in the image", program);
    if (errnum == ENOEXEC)
        return err_new(ERR_COMMAND, "cannot run '%s': not a program of this platform, and no '#!' line", program);
    return err_new(ERR_COMMAND, "cannot run '%s': %s", program, strerror(errnum));
}

struct err *exec_error(int errnum, const char *program, const char *path)
{
    int code = errnum == ENOENT || errnum == ENOTDIR ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
    struct err *e = NULL;

    if (path)
        return err_set_exit(err_new(ERR_COMMAND, "cannot run '%s': %s in PATH=%s", program,
                                    code == EXIT_NOT_FOUND ? "no such program" : strerror(errnum), path),
                            code);
    if (errnum == ENOENT || errnum == ENOEXEC)
        e = judge_file(errnum, program);
    if (!e)
        e = judge_errno(errnum, program);
    if (strcmp(program, "/bin/sh") == 0 && errnum == ENOENT && access(program, F_OK) != 0)
        e = err_hint(e, "The image has no shell: use the exec form, RUN [\"program\", \"argument\"].");
    return err_set_exit(e, code);
}
