/* git_address.h - the forms of git repositories' URLs, as BuildKit reads them:
 *
 *     https://host/repo.git#ref:subdir    http(s) only with ".git" at the end of its path
 *     git://host/repo  ssh://user@host/repo  user@host:repo
 *     github.com/owner/repo               a context, never a source of ADD
 *     ...?ref= tag= branch= subdir= checksum= commit= keep-git-dir= submodules= mtime= fetch-by-commit=
 *
 * Pure. */
#ifndef ADDRESS_GIT_ADDRESS_H
#define ADDRESS_GIT_ADDRESS_H

#include "base/err.h"
#include "base/mem.h"

#include <stdbool.h>

enum git_transport { GIT_TRANSPORT_HTTP, GIT_TRANSPORT_TCP, GIT_TRANSPORT_SSH };
enum git_mtime { GIT_MTIME_DEFAULT, GIT_MTIME_COMMIT, GIT_MTIME_CHECKOUT };

struct git_address { /* strings owned */
    enum git_transport transport;
    char *remote;                 /* where it is, without user of http, query and fragment: for requests and messages */
    char *user, *password;        /* decoded; NULL = none. Secret but for ssh's user */
    char *host;                   /* "host[:port]" */
    char *path;                   /* on the server, decoded: "/owner/repo.git", or as scp's form has it */
    char *ref;                    /* "" = the default branch */
    char *subdir;                 /* "" = the whole tree; not cleaned */
    char *checksum;               /* begin of the commit's hash, "" = none */
    int keep_git_dir, submodules; /* -1 = not given */
    bool fetch_by_commit;         /* `checksum` is fetched, `ref` only names it */
    enum git_mtime mtime;
    bool ambiguous; /* github.com/...: could be a path as well */
};

/* *ret_git false: the text names no git repository. One that does but has a query that is wrong or contradicts the
 * fragment: ERR_DOCKERFILE. */
MUST_USE struct err *git_address_parse(const char *text, struct git_address *ret, bool *ret_git);
/* The repository that `url` in .gitmodules means, seen from its parent: absolute, or relative ("./", "../") to it.
 * ERR_DOCKERFILE: a form that is no network address (a local path, another scheme). */
MUST_USE struct err *git_address_submodule(const struct git_address *parent, const char *url, struct git_address *ret);
void git_address_release(struct git_address *a);
static inline void git_address_release_auto(struct git_address *a)
{
    git_address_release(a);
}
/* Is s a whole commit hash in lower case? 40 digits (SHA-1) or 64 (SHA-256). */
bool git_is_hash(const char *s);

#endif
