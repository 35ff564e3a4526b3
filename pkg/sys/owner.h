/* owner.h - who owns a file of an image. Where a range of ids is mapped the kernel knows (OWNER_REAL). Where only one
 * id is mapped, the owner is recorded at the file (OWNER_RECORDED); no record means 0:0. A record moves with its file:
 * it survives renaming, hard links and the copying up of an overlay.
 *
 * Files and directories carry it in the extended attribute "user.copyup.owner", as "UID:GID[:TYPE:MAJOR:MINOR]". TYPE
 * is c or b: a device node that the kernel did not let us make, kept as an empty regular file - in both modes.
 * Symlinks, fifos and sockets cannot have user.* attributes. Theirs is "security.capability", which means nothing on
 * such a file, may be set by whoever is root of the user namespace, and has room for the two numbers. Where even that
 * is refused (no user namespace), a struct owner_table keeps them by path.
 *
 * The one interface for "owner of this file": nobody else looks at st_uid of an image's file. Thread-safe (the table is
 * not). */
#ifndef SYS_OWNER_H
#define SYS_OWNER_H

#include "base/err.h"
#include "base/map.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

enum owner_mode { OWNER_REAL, OWNER_RECORDED };

#define OWNER_XATTR "user.copyup.owner"

struct owner {
    uint32_t uid, gid;
    mode_t device; /* 0, or S_IFCHR / S_IFBLK: a recorded device node with rdev */
    dev_t rdev;
};

/* ---- the records themselves ---- */

#define OWNER_RECORD_BYTES 64 /* "4294967295:4294967295:c:4294967295:4294967295" and its end */

/* Can a file of this type have user.* attributes? */
static inline bool owner_in_user_xattr(mode_t mode)
{
    return S_ISREG(mode) || S_ISDIR(mode);
}
/* The name of the attribute that holds the record of a file of this type. */
const char *owner_xattr_name(mode_t mode);
/* The record as the value of that attribute; returns its length. */
size_t owner_encode(mode_t mode, const struct owner *o, char out[OWNER_RECORD_BYTES]);
/* False if it is no record: nobody else's attribute is taken for one. */
bool owner_decode(mode_t mode, const char *value, size_t len, struct owner *ret_owner);

/* ---- files ---- */

/* Reads the owner of the open file fd (O_PATH will do) whose fstat is st. *ret_known: false in OWNER_RECORDED if
 * nothing is recorded (ret_owner is then 0:0). */
MUST_USE struct err *owner_get(enum owner_mode mode, int fd, const struct stat *st, struct owner *ret_owner,
                               bool *ret_known);
/* Gives the open file (O_PATH will do) to o. Must come before chmod: changing owners clears setuid bits (OWNER_REAL).
 * *ret_stored false: the file cannot carry a record here; keep it in an owner_table. */
MUST_USE struct err *owner_set(enum owner_mode mode, int fd, const struct stat *st, const struct owner *o,
                               bool *ret_stored);
/* The group that what is made in the directory dir_fd has of itself: that of a setgid directory; otherwise 0. */
MUST_USE struct err *owner_group_inside(enum owner_mode mode, int dir_fd, uint32_t *ret_gid);

/* Owners by path ("a/b/c", no leading '/'), for what cannot carry a record. */
struct owner_table;
struct owner_table *owner_table_new(void);
void owner_table_set(struct owner_table *t, const char *path, const struct owner *o);
/* False if the path is not there. */
bool owner_table_get(const struct owner_table *t, const char *path, struct owner *ret_owner);
/* One record a line, NUL-separated path; a missing file loads as empty. */
MUST_USE struct err *owner_table_save(const struct owner_table *t, int dirfd, const char *name);
MUST_USE struct err *owner_table_load(struct owner_table *t, int dirfd, const char *name);
void owner_table_free(struct owner_table *t);
DEFINE_CLEANUP(struct owner_table *, owner_table_free);

#endif
