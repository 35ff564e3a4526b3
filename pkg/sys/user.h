/* user.h - names of users and groups as an image's /etc/passwd and /etc/group give them. Never the pod's own, never NSS
 * (which would load code from the image). Follows what Docker does for USER and --chown. Thread-safe. */
#ifndef SYS_USER_H
#define SYS_USER_H

#include "base/err.h"
#include "base/strs.h"

#include <stdint.h>

struct user_ids {
    uint32_t uid, gid;
    uint32_t *groups; /* supplementary groups, n_groups of them; owned */
    size_t n_groups;
    char *home; /* from passwd, "/" if the user is not there; owned */
};

/* For RUN and USER: "name|uid[:name|gid]". A user without an entry gets gid 0; with ":group" only that group and no
 * supplementary ones. An unknown name is ERR_DOCKERFILE that says which file was looked at. */
MUST_USE struct err *user_lookup(int root_fd, const char *spec, struct user_ids *ret_ids);
/* For --chown: as above, but without ":group" the gid is that of the uid's number (Docker: "--chown=1000" is 1000:1000,
 * "--chown=name" takes name's primary group); "name:" has gid 0. Numbers need no files in the image; root_fd may then
 * be -1. */
MUST_USE struct err *user_lookup_chown(int root_fd, const char *spec, uint32_t *ret_uid, uint32_t *ret_gid);
void user_ids_release(struct user_ids *ids);

#endif
