/* push_priv.h - what pushing blobs, manifests and looking before have in common. */
#ifndef REGISTRY_PUSH_PRIV_H
#define REGISTRY_PUSH_PRIV_H

#include "registry/registry_priv.h"

/* Something on its way into a repository. */
struct push {
    struct registry *r;
    struct endpoint *ep;
    const char *repo;
    char *scope;
    const char *digest; /* of the blob; NULL: not known yet. Borrowed */
    uint64_t size;      /* all of it, or what there is so far */
    bool grows;         /* it is, or was, not whole when it was begun to be sent */
    int fd;             /* it begins there at `start` */
    uint64_t start;
    char *location;    /* of the upload session, absolute; NULL = none */
    uint64_t sent;     /* bytes that the session has */
    uint64_t furthest; /* the most that any session of this blob had */
    uint64_t piece;    /* how much to send at once; 0 = all */
    int stuck;         /* breaks of this session without any progress */
    bool distrusted;   /* what the session has did not fit: it cannot be continued */
};

/* repo is borrowed. */
void push_init(struct push *p, struct registry *r, const struct ref *repo);
/* Gives up the session that is still open. */
void push_release(struct push *p);
static inline void push_release_auto(struct push *p)
{
    push_release(p);
}
struct call push_call(const struct push *p, const char *method, const char *url);
/* HEAD. */
MUST_USE struct err *push_has_blob(const struct push *p, const char *digest, bool *ret_found);

/* ---- upload.c ---- */
/* Starts an upload session; POST answered with 202. */
MUST_USE struct err *push_start(struct push *p);
/* Keeps the session for the first upload to that repository, unless one is kept already. */
void push_keep(struct push *p);
/* The session is where that answer says. */
MUST_USE struct err *push_take_location(struct push *p, const struct http_response *a);
/* Sends what the session does not have, and ends it if the digest is known. What breaks goes on, or begins again. */
MUST_USE struct err *push_send(struct push *p);

#endif
