/* agent.h - an SSH agent for RUN --mount=type=ssh: a socket that leads to another agent, or that answers with one key
 * held in memory (draft-ietf-sshm-ssh-agent: identities and signatures; everything else is refused). Each server has a
 * thread of its own; start and stop it from one thread. */
#ifndef AGENT_AGENT_H
#define AGENT_AGENT_H

#include "base/err.h"
#include "base/mem.h"
#include "digest/sign_key.h"

struct agent_upstream {         /* borrowed; one of both */
    const char *socket;         /* path of another agent */
    const struct sign_key *key; /* NULL: there is only the socket */
};

struct agent_server;
/* Makes the socket dir/name, mode 0600, and answers there until agent_stop(). dir may be of any length. */
MUST_USE struct err *agent_start(const char *dir, const char *name, const struct agent_upstream *upstream,
                                 struct agent_server **ret);
const char *agent_path(const struct agent_server *a); /* borrowed */
/* Ends it and removes the socket. */
void agent_stop(struct agent_server *a);

/* One request of an agent's client (without its length) to the answer, with its length: never fails. Pure. */
void agent_answer(const struct sign_key *key, const void *request, size_t len, struct buf *out);

#endif
