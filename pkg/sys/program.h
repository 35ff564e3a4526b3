/* program.h - what an executable file is, from its first bytes: an ELF program and the machine it is for (elf(5)), or a
 * script and its interpreter (execve(2)). Machines have the names that images use for architectures. Thread-safe. */
#ifndef SYS_PROGRAM_H
#define SYS_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROGRAM_HEAD_BYTES 256 /* as many as the kernel looks at */

struct program {
    const char *arch;                     /* ELF: "arm64", or "an unknown machine"; else NULL */
    char interpreter[PROGRAM_HEAD_BYTES]; /* script: the path after "#!"; else "" */
};

/* Pure. */
void program_parse(const void *head, size_t n, struct program *ret);
/* What the file is, and what the interpreter of a script is in turn; ret_path: the file that *ret speaks of in the end
 * (the caller frees). False: it cannot be read. Paths are those of the caller's root. */
bool program_find(const char *path, struct program *ret, char **ret_path);
/* The machines that have names. */
struct program_machine {
    uint16_t machine;          /* e_machine */
    unsigned char class, data; /* of e_ident */
    const char *arch;
    const char *uname;  /* what uname(2) calls a kernel for it; NULL: something ambiguous */
    const char *narrow; /* what that kernel usually runs besides, or NULL */
    const char *qemu;   /* what qemu's emulator of it is called, or NULL */
};
const struct program_machine *program_machines(size_t *ret_n);
/* This node's architecture: what its kernel is for. */
const char *program_host_arch(void);
/* Does a kernel of this node's kind usually run such programs without help: its own, and those of 32 bits? */
bool program_is_native(const char *arch);

#endif
