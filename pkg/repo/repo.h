/* repo.h - the files of a git repository elsewhere: which commit a name means, its objects, the tree as files, its
 * submodules. Only what is needed is fetched: one commit without its history where the server can do that. */
#ifndef REPO_REPO_H
#define REPO_REPO_H

#include "address/git_address.h"
#include "base/cancel.h"
#include "http/http.h"
#include "ssh/ssh.h"

#include <stdbool.h>
#include <stdint.h>

struct repo_opts { /* borrowed */
    struct http *http;
    const struct ssh_opts *ssh; /* NULL: no SSH */
    const char *work_dir;       /* an empty directory for objects; what stays in it has no use */
    /* The value of Authorization for all http(s) repositories whose URL begins with `scope` (a whole component); user
     * and password of a URL are used without it. NULL = none. Secret. */
    const char *authorization, *scope;
    int retries;   /* of a fetch that broke; each one begins anew */
    int64_t now_s; /* the time of files for mtime=checkout */
    const struct cancel *cancel;
};

struct repo_result {
    char commit[41];
    int64_t time_s; /* of the commit */
    uint64_t bytes; /* of packs that were fetched, submodules included */
};

/* Into the empty directory dest (its path). address: ref, subdir, checksum, submodules and mtime count; without mtime,
 * files get the commit's time. keep_git_dir: with a .git, if there is no subdir. ERR_DOCKERFILE: no such repository,
 * ref or directory, a checksum that does not match, a hostile repository; ERR_AUTH; ERR_NETWORK. */
MUST_USE struct err *repo_fetch(const struct repo_opts *opts, const struct git_address *address, bool keep_git_dir,
                                const char *dest, struct repo_result *ret_result);

#endif
