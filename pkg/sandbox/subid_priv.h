/* subid_priv.h - subordinate ids: the ranges that /etc/subuid and /etc/subgid grant to a user, and the set-user-id
 * programs newuidmap and newgidmap (Debian: package uidmap) that map them for a process without privilege. Sources:
 * subuid(5), newuidmap(1). One thread. */
#ifndef SANDBOX_SUBID_PRIV_H
#define SANDBOX_SUBID_PRIV_H

#include "base/err.h"
#include "sandbox/idmap_priv.h"

#include <stdint.h>
#include <sys/types.h>

/* The map that a file's text allows the user: inside id 0 is `own`, then all ranges of the user, by name (may be NULL)
 * or number, in the order of the file. Lines that are none are passed over. Pure. */
void subid_map(const char *text, const char *name, uint32_t uid, uint32_t own, struct id_map *ret_map);
/* The name of user `uid` in the text of a passwd file, NULL if it has none; the caller frees. Pure. */
char *subid_user_name(const char *passwd, uint32_t uid);

/* Are there the programs and the ranges, and can the programs gain anything? ERR_POD says what is missing. */
MUST_USE struct err *subid_find(struct id_map *ret_uids, struct id_map *ret_gids);
/* Has the programs write the maps of `child`, a process of ours in a new user namespace. */
MUST_USE struct err *subid_write_maps(pid_t child, const struct id_map *uids, const struct id_map *gids);

#endif
