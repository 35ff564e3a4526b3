/* rung_priv.h - the ladder: ways to get a user and a mount namespace, best first. A rung is a row of a table. */
#ifndef SANDBOX_RUNG_PRIV_H
#define SANDBOX_RUNG_PRIV_H

#include "base/err.h"
#include "sandbox/idmap_priv.h"
#include "sys/owner.h"

#include <sys/types.h>

/* What a rung is going to do; made by its probe. */
struct rung_plan {
    const struct rung *rung;
    uid_t switch_uid; /* give up uid 0, which may not be mapped here, for this one first; 0 = no */
    struct id_map uids, gids;
    bool fresh_proc, scoped; /* found by the trial */
};

struct rung {
    const char *name;
    const char *what; /* for the log */
    enum owner_mode owners;
    bool namespaces; /* false: nothing can be mounted, no command can be run */
    bool needs_proc; /* works only where a RUN gets a pid namespace and a /proc of its own */
    /* Do our ids and capabilities allow it? Fills the plan; an error says what is missing. No side effect. */
    struct err *(*probe)(struct rung_plan *ret_plan);
    /* In a fork of the process that is to live in the namespaces; sync_fd is a socket to the parent's
     * rung_serve_maps(). */
    struct err *(*enter)(const struct rung_plan *plan, int sync_fd);
    /* Of a map with several extents: only a process that stays in the outer namespace may write it, so `enter` asks for
     * it. NULL: `enter` needs nobody. */
    struct err *(*write_maps)(const struct rung_plan *plan, pid_t child);
};

/* Picks a rung: the named one, or the first that works. Each is tried for real in a child that goes away. *ret_why: one
 * line for the log, malloc'ed. *ret_refusal: why it is not one with namespaces, NULL if it is; the caller frees. */
MUST_USE struct err *rung_choose(const char *name, struct rung_plan *ret_plan, char **ret_why,
                                 struct err **ret_refusal);
/* All rungs, best first, and one tried by itself. */
const struct rung *rung_table(size_t *ret_n);
MUST_USE struct err *rung_try(const struct rung *r, struct rung_plan *ret_plan);
/* Enters the plan's namespaces in the calling process (single-threaded) and makes the mounts private. */
MUST_USE struct err *rung_enter(const struct rung_plan *plan, int sync_fd);
/* The parent's half: writes the maps of `child` when it asks. Returns when the child has entered or failed. */
MUST_USE struct err *rung_serve_maps(const struct rung_plan *plan, pid_t child, int sync_fd);

#endif
