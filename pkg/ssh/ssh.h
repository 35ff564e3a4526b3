/* ssh.h - one command on another host by SSH, and its stdin and stdout as a stream: what git needs. Host keys must be
 * known before; the only ways to log in are an agent and one private key. The only module that includes libssh.
 *
 * libssh and not libssh2: Debian's libssh2 signs with RSA keys by SHA-1 alone, which current servers refuse. The user's
 * configuration files are not read. One thread per command. */
#ifndef SSH_SSH_H
#define SSH_SSH_H

#include "base/cancel.h"
#include "base/mem.h"

#include <stdbool.h>
#include <stddef.h>

struct ssh_opts {             /* borrowed */
    const char *agent_socket; /* NULL = none */
    const char *key;          /* a private key as PEM, NULL = none; it is tried first. Secret */
    const char *known_hosts;  /* path of a file as sshd(8) describes it, NULL = none */
    const struct cancel *cancel;
};

struct ssh_run;

/* Connects to host ("name" or "name:port"), checks its key, logs in as user, starts the command. ERR_NETWORK, or
 * ERR_AUTH: an unknown or changed host key (with its fingerprint), or no key that the server takes. */
MUST_USE struct err *ssh_run_open(const struct ssh_opts *opts, const char *host, const char *user, const char *command,
                                  struct ssh_run **ret);
/* 1..n bytes of stdout, 0 = it has ended: then a command that failed is an error with what it wrote to stderr. */
MUST_USE struct err *ssh_run_read(struct ssh_run *r, void *p, size_t n, size_t *ret_len);
MUST_USE struct err *ssh_run_write(struct ssh_run *r, const void *p, size_t n);
void ssh_run_close(struct ssh_run *r);
DEFINE_CLEANUP(struct ssh_run *, ssh_run_close);

#endif
