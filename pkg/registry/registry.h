/* registry.h - the distribution API (OCI distribution-spec, Docker registry HTTP API V2): token dance, pull, mount,
 * push. Knows repositories, manifests and blobs; no Dockerfiles, no local files but the blobs it is given. Thread-safe:
 * blobs may be pulled and pushed by several threads at once; tokens are shared and renewed before they expire. */
#ifndef REGISTRY_REGISTRY_H
#define REGISTRY_REGISTRY_H

#include "auth/auth.h"
#include "base/sink.h"
#include "http/http.h"
#include "oci/manifest.h"
#include "oci/ref.h"

#include <stdbool.h>
#include <stdint.h>

struct registry_opts {
    struct http *http;    /* borrowed */
    struct auth *auth;    /* borrowed */
    struct strs insecure; /* hosts ("host[:port]") that may be reached by plain HTTP, where they have no HTTPS */
    bool insecure_pull;   /* the same for every host we pull from. Never: Docker Hub, Azure's registries */
    struct strs mirrors;  /* "HOST=[http[s]://]MIRROR[/PREFIX]": tried in order before HOST ("docker.io") */
    bool no_mirror_fallback;
    int more_pull_tries, more_push_tries; /* beside what http and we do anyway */
};

struct registry;
MUST_USE struct err *registry_new(const struct registry_opts *opts, struct registry **ret);
/* The same registry, with its tokens, for requests that end when `cancel` is raised, and not when http's own is; NULL:
 * by themselves alone. (The exchange of Azure's credentials is auth's, and ends with http's.) r must outlive it. */
struct registry *registry_with_cancel(struct registry *r, const struct cancel *cancel);
void registry_free(struct registry *r);
DEFINE_CLEANUP(struct registry *, registry_free);

/* There will soon be requests to that repository: in a thread of its own learns how its server wants to be asked, and
 * gets the token. Nothing is done for a server that there are no credentials for. What fails is told by the requests
 * themselves. By one thread; the registry's end waits for it. */
void registry_expect(struct registry *r, const struct ref *repo, bool push);

struct fetched_manifest {
    char *text; /* exactly the bytes that the digest is of; owned */
    size_t len;
    char media_type[128];
    struct digest digest;
};
/* GET of a manifest by tag or digest, verified against it or what the registry says it is; wrong bytes are fetched once
 * more. *ret_found false: 404. Authentication refused: ERR_AUTH naming action and repository. */
MUST_USE struct err *registry_get_manifest(struct registry *r, const struct ref *ref, struct fetched_manifest *ret,
                                           bool *ret_found);
void fetched_manifest_release(struct fetched_manifest *m);
/* HEAD of a manifest by tag or digest, at the registry that is pushed to. *ret_digest is "" where the answer does not
 * tell it. */
MUST_USE struct err *registry_find_manifest(struct registry *r, const struct ref *ref, struct digest *ret_digest,
                                            bool *ret_found);
/* Where a blob goes. */
struct blob_target {
    struct sink out;
    /* Takes back all that `out` got: it was damaged, and comes again from the first byte. NULL: that cannot be done. */
    struct err *(*again)(void *ctx);
    void *ctx; /* of again */
};
/* Streams a blob, verified. What has the wrong size or digest is fetched again, from another mirror if there is one;
 * in the end that is ERR_REGISTRY with both digests (after the bytes went out: the caller discards them). */
MUST_USE struct err *registry_pull_blob(struct registry *r, const struct ref *repo, const struct descriptor *blob,
                                        const struct blob_target *to);
/* HEAD of a blob. */
MUST_USE struct err *registry_has_blob(struct registry *r, const struct ref *repo, const struct digest *d,
                                       bool *ret_found);
/* May we push there? Starts an upload: ERR_AUTH if refused. At Azure's registries also whether the repository or one of
 * the tags is locked. Pushes nothing: for before the build. The upload is kept for the first blob that is pushed there
 * soon; after an error there is none. */
MUST_USE struct err *registry_check_push(struct registry *r, const struct ref *repo, const struct strs *tags);
/* Cancels what a check began and no blob used: for when nothing more is pushed. */
void registry_end_push(struct registry *r);

/* Which of the tags are not there yet: ret gets copies. */
MUST_USE struct err *registry_missing_tags(struct registry *r, const struct ref *repo, const struct strs *tags,
                                           struct strs *ret);

enum blob_result { BLOB_EXISTED, BLOB_MOUNTED, BLOB_UPLOADED };
/* Where a blob's bytes are: opened only if they must be sent. */
struct blob_source {
    /* The descriptor is the caller's; the blob begins at that offset. Another thread may read from it too. */
    struct err *(*open)(void *ctx, int *ret_fd, uint64_t *ret_offset);
    void *ctx;
};
/* Puts a blob into repo: HEAD, then cross-repository mount from `mount_from` (path in the same registry; NULL = none),
 * then upload. A broken upload goes on where it ended, as far as the registry kept what it got. */
MUST_USE struct err *registry_push_blob(struct registry *r, const struct ref *repo, const struct descriptor *blob,
                                        const struct blob_source *source, const char *mount_from,
                                        enum blob_result *ret_result);
/* A blob that is sent while its file still grows, by one thread: nobody asks whether it is there already. What breaks
 * goes on as with registry_push_blob(); after an error that upload is lost. */
struct upload;
/* Takes fd; repo is borrowed. Nothing is sent yet. */
struct upload *upload_new(struct registry *r, const struct ref *repo, int fd);
/* Sends the file up to there, which does not change any more. */
MUST_USE struct err *upload_send(struct upload *u, uint64_t size_bytes);
/* Sends the rest; the blob is there then. */
MUST_USE struct err *upload_end(struct upload *u, const struct descriptor *blob);
/* Before it has ended: gives it up. NULL is allowed. */
void upload_free(struct upload *u);
DEFINE_CLEANUP(struct upload *, upload_free);
/* Called when the registry says that it does not have a blob of the manifest: to push again what is missing. */
struct blobs_again {
    struct err *(*push)(void *ctx);
    void *ctx;
};
/* PUT of a manifest under tag or digest ref->tag / ref->digest; checks Docker-Content-Digest if the answer has it.
 * again may be NULL. */
MUST_USE struct err *registry_put_manifest(struct registry *r, const struct ref *ref, const char *media_type,
                                           const char *text, size_t len, const struct blobs_again *again,
                                           struct digest *ret_digest);

/* WWW-Authenticate (RFC 7235): the first challenge we can answer. Pure; fuzzed. */
enum challenge_scheme { CHALLENGE_NONE, CHALLENGE_BASIC, CHALLENGE_BEARER };
struct challenge {
    enum challenge_scheme scheme;
    char *realm, *service, *scope, *error; /* NULL = not there */
};
void challenge_parse(const char *header, struct challenge *ret);
void challenge_release(struct challenge *c);

#endif
