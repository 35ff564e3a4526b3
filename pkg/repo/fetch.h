/* fetch.h - asking a server for its refs and for a pack of objects (gitprotocol-v2(5), gitprotocol-pack(5)). Not for
 * other modules. */
#ifndef REPO_FETCH_H
#define REPO_FETCH_H

#include "repo/conn.h"
#include "repo/refs.h"

/* Greets the server and fills refs: those in refs->wanted, and what refs->all says. */
MUST_USE struct err *repo_fetch_refs(struct repo_conn *c, struct repo_refs *refs);

struct repo_want {
    const struct repo_hash *hashes;
    size_t n;
    bool whole; /* with the whole history; else this commit alone, where the server can do that */
};
/* The pack's bytes go to `pack`. *ret_shallow: the history is cut at the wanted commits. *ret_unknown: the server does
 * not give one of the hashes; that is no error. */
MUST_USE struct err *repo_fetch_pack(struct repo_conn *c, const struct repo_refs *refs, const struct repo_want *want,
                                     const struct sink *pack, bool *ret_shallow, bool *ret_unknown);

/* ---- what a server's answer is made of; for the tests ---- */

/* A pack in an answer. Feed it packets. */
struct repo_answer {
    const struct sink *pack;
    enum { ANSWER_LINES, ANSWER_PACK } state;
    bool v2, done, shallow, unknown, any;
};
MUST_USE struct err *repo_answer_packet(struct repo_answer *a, int kind, const char *data, size_t len);

#endif
