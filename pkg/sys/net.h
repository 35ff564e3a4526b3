/* net.h - TCP connections for protocols that are not http: connecting, reading and writing with a time limit for each
 * wait and with cancellation. Names are resolved by libc. Thread-safe. */
#ifndef SYS_NET_H
#define SYS_NET_H

#include "base/cancel.h"
#include "base/err.h"

#include <stddef.h>

/* Connects to "host" or "host:port" ("[::1]:port"), trying all its addresses. ERR_NETWORK. */
MUST_USE struct err *net_connect(const char *host_port, const char *default_port, int timeout_ms,
                                 const struct cancel *cancel, int *ret_fd);
/* 1..n bytes, 0 = the other side has ended. ERR_NETWORK after timeout_ms without one. */
MUST_USE struct err *net_read(int fd, void *p, size_t n, int timeout_ms, const struct cancel *cancel, size_t *ret_len);
MUST_USE struct err *net_write(int fd, const void *p, size_t n, int timeout_ms, const struct cancel *cancel);

/* Splits "host:port" as above; either result may be "". The caller frees both. */
void net_split(const char *host_port, char **ret_host, char **ret_port);

#endif
