/* remote.h - what a build takes from elsewhere: files of http(s) servers, trees of git repositories, and contexts that
 * are either. Fetched once per build, each into a directory of its own below the state directory, streamed to disk.
 * Thread-safe; one fetch at a time. Errors name the URL without credentials: ERR_AUTH (refused), ERR_DOCKERFILE (not
 * there, wrong checksum, unusable), ERR_NETWORK, ERR_DISK. The caller adds the place. */
#ifndef REMOTE_REMOTE_H
#define REMOTE_REMOTE_H

#include "address/git_address.h"
#include "base/cancel.h"
#include "http/http.h"
#include "ssh/ssh.h"
#include "sys/owner.h"

#include <stdbool.h>
#include <stdint.h>

struct remote_opts { /* all borrowed, for as long as the struct remote lives */
    struct http *http;
    const char *dir;        /* of this build, exists: everything is made below it */
    enum owner_mode owners; /* how owners in archives are kept */
    /* The value of a build secret, NULL if it was not given. May be NULL. Asked for, with HOST as in the URL:
     * HTTP_AUTH_HEADER_HOST, HTTP_AUTH_TOKEN_HOST; GIT_AUTH_HEADER.HOST, GIT_AUTH_TOKEN.HOST, GIT_AUTH_HEADER,
     * GIT_AUTH_TOKEN. */
    const void *(*secret)(void *ctx, const char *id, size_t *ret_len);
    void *secret_ctx;
    /* Told in one line what was fetched. May be NULL. */
    void (*note)(void *ctx, const char *text);
    void *note_ctx;
    const struct ssh_opts *ssh; /* for git by SSH; NULL: it is refused */
    int retries;                /* of a git fetch that broke */
    const struct cancel *cancel;
};

struct remote;
MUST_USE struct err *remote_new(const struct remote_opts *opts, struct remote **ret);
void remote_free(struct remote *r);
DEFINE_CLEANUP(struct remote *, remote_free);

/* What was fetched. Borrowed: valid until remote_free. Nobody may write to it. */
struct remote_tree {
    const char *dir;                  /* its files lie in this directory */
    const char *file;                 /* the one file in it that was fetched as it is; NULL: a tree */
    const char *commit;               /* of a git tree: the whole hash; else NULL */
    bool has_time;                    /* it is known when it was made: */
    int64_t time_s;                   /* of the commit, Last-Modified */
    const struct owner_table *owners; /* of an unpacked archive: owners by path of what cannot carry a record; its other
                                         owners are read through sys/owner.h. NULL: all files are root's */
};

/* A file, as ADD takes it: mode 0600, its time Last-Modified or 1970. checksum: NULL or "" = none, else
 * "sha256:..."; what does not match is gone before anybody sees it. */
MUST_USE struct err *remote_file(struct remote *r, const char *url, const char *checksum, struct remote_tree *ret);

/* A tree of a repository, as ADD takes it: modes 0644 and 0755, symlinks, submodules; the subdirectory is the tree's
 * root then. keep_git_dir: with a usable .git, if the address has no subdirectory. */
MUST_USE struct err *remote_git(struct remote *r, const struct git_address *a, bool keep_git_dir,
                                struct remote_tree *ret);

/* A source of ADD that is one of these, with the values of its flags: checksum NULL or "" = none. */
MUST_USE struct err *remote_add(struct remote *r, const char *source, const char *checksum, bool keep_git_dir,
                                struct remote_tree *ret);
/* What SOURCE_DATE_EPOCH takes from it: its time; without one that of the newest file of an archive, packed or not.
 * *ret_known false: it has none. Any thread. */
MUST_USE struct err *remote_time(const struct remote_tree *t, bool *ret_known, int64_t *ret_s);

/* Does the text name a context elsewhere, in any form that remote_context takes? What is a path here does not. */
bool remote_is_context(const char *text);
/* A context by what names it: a git URL, an http(s) URL of an archive (plain, gzip, bzip2, xz, zstd), which is unpacked
 * then; or of any other file, which is then alone in its directory as `file` = "context". */
MUST_USE struct err *remote_context(struct remote *r, const char *text, bool keep_git_dir, struct remote_tree *ret);
/* The same from an archive that is open (a local file, stdin); name is for messages. */
MUST_USE struct err *remote_unpack(struct remote *r, int fd, const char *name, struct remote_tree *ret);

#endif
