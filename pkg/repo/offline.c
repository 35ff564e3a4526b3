/* offline.c - keeps libgit2's own network code out of the program: everything goes through our http and ssh modules,
 * with their certificates, proxies, limits and checks. These symbols stand before the library in the link, so that its
 * objects with TLS (mbedtls), HTTP (http_parser), SSH (libssh2) and GSSAPI (of which Debian has no static library) are
 * not taken. What calls them would be a fetch by libgit2, which nobody starts. The same for regular expressions (pcre2,
 * half a megabyte): they are for diffs and for configuration files, and we read neither. */
#include "repo/objects.h"

#include <stdbool.h>

/* What libgit2 asks at its start: there is nothing to set up. */
int git_mbedtls_stream_global_init(void);
int git_transport_ssh_global_init(void);
/* What it would begin a connection with. */
int git_mbedtls_stream_new(void);
int git_mbedtls_stream_wrap(void);
int git_mbedtls__set_cert_location(void);
int git_smart_subtransport_http(void);
int git_smart_subtransport_ssh(void);
int git_transport_ssh_with_paths(void);
int git_http_auth_negotiate(void);
int git_regexp_compile(void);
int git_regexp_match(void);
int git_regexp_search(void);
void git_regexp_dispose(void);
extern bool git_http__expect_continue;

bool git_http__expect_continue;

#define NOT_HERE(name)                                                                                                 \
    int name(void)                                                                                                     \
    {                                                                                                                  \
        return -1;                                                                                                     \
    }

NOT_HERE(git_mbedtls_stream_new)
NOT_HERE(git_mbedtls_stream_wrap)
NOT_HERE(git_mbedtls__set_cert_location)
NOT_HERE(git_smart_subtransport_http)
NOT_HERE(git_smart_subtransport_ssh)
NOT_HERE(git_transport_ssh_with_paths)
NOT_HERE(git_http_auth_negotiate)
NOT_HERE(git_regexp_compile)
NOT_HERE(git_regexp_match)
NOT_HERE(git_regexp_search)

void git_regexp_dispose(void)
{
}

void repo_offline(void)
{
}

int git_mbedtls_stream_global_init(void)
{
    return 0;
}

int git_transport_ssh_global_init(void)
{
    return 0;
}
