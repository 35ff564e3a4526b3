/* address.h - texts that name something elsewhere: URLs taken apart, decoded and made fit for messages, and what a
 * source of ADD or a context names: a git repository, an http(s) resource, or a path. Which forms mean which follows
 * BuildKit (frontend/dockerfile 1.26). Pure: nothing is looked up. */
#ifndef ADDRESS_ADDRESS_H
#define ADDRESS_ADDRESS_H

#include "base/err.h"
#include "base/mem.h"

#include <stdbool.h>

/* scheme://user:password@host:port/path?query#fragment. All strings owned; NULL = not there. */
struct address {
    char *scheme;          /* lower case */
    char *user, *password; /* decoded. Secret: never print them */
    char *host;            /* "host[:port]" as written */
    char *path;            /* as written, still encoded; "" or begins with '/' */
    char *query, *fragment;
};

/* Takes a URL apart. False: it has no scheme and "//", or is malformed (control characters, bad port, bad escapes). */
bool address_split(const char *text, struct address *ret);
void address_release(struct address *a);
static inline void address_release_auto(struct address *a)
{
    address_release(a);
}

/* %XX decoded, with plus also '+' as a space. NULL: malformed, or it contains a NUL. The caller frees. */
char *address_decode(const char *s, bool plus);
/* "scheme://host/path[?query]": what is asked for, without the user. The caller frees. */
char *address_request(const struct address *a);
/* The last component of the decoded path, "" if there is none. The caller frees. */
char *address_file_name(const struct address *a);
/* Any text with the passwords of URLs in it replaced by "xxxxx", also a token that stands as a user without a password
 * (http and https only: with ssh it is a name): for the history and messages. The caller frees. */
char *address_redact(const char *text);
/* The host without its port. The caller frees. */
char *address_host_name(const struct address *a);

enum address_kind { ADDRESS_PATH, ADDRESS_HTTP, ADDRESS_GIT };

/* What a source of ADD names. A git URL with a wrong query is ERR_DOCKERFILE. */
MUST_USE struct err *address_kind_of(const char *source, enum address_kind *ret_kind);

#endif
