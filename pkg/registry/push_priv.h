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
    const struct descriptor *blob;
    int fd; /* the blob begins there at `start` */
    uint64_t start;
    char *location;    /* of the upload session, absolute; NULL = none */
    uint64_t sent;     /* bytes that the session has */
    uint64_t furthest; /* the most that any session of this blob had */
    uint64_t piece;    /* how much to send at once; 0 = all */
    int stuck;         /* breaks of this session without any progress */
    bool distrusted;   /* what the session has did not fit: it cannot be continued */
};

void push_init(struct push *p, struct registry *r, const struct ref *repo);
void push_release(struct push *p);
static inline void push_release_auto(struct push *p)
{
    push_release(p);
}
struct call push_call(const struct push *p, const char *method, const char *url);
/* Starts an upload session; POST answered with 202. */
MUST_USE struct err *push_start(struct push *p);
/* Ends it. Nobody depends on that; only a stop of the build is an error. */
MUST_USE struct err *push_abandon(struct push *p);
/* Keeps the session for the registry's first upload to that repository, or ends it where one is kept already. */
MUST_USE struct err *push_keep(struct push *p);

#endif
