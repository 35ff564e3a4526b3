/* remote_priv.h - what the files of this module share. */
#ifndef REMOTE_REMOTE_PRIV_H
#define REMOTE_REMOTE_PRIV_H

#include "address/address.h"
#include "base/map.h"
#include "remote/remote.h"

#include <pthread.h>

/* One thing that was fetched. Strings owned. */
struct fetched {
    char *dir, *file, *commit;
    struct owner_table *owners;
    bool has_time;
    int64_t time_s;
};

struct remote {
    struct remote_opts o;
    char *dir; /* o.dir "/remote" */
    pthread_mutex_t lock;
    struct map *done; /* what was asked for -> struct fetched */
    unsigned next_id;
};

/* remote.c: a new, empty directory (0755). The caller frees the path. */
MUST_USE struct err *remote_make_dir(struct remote *r, char **ret_dir);
void remote_tell(const struct remote *r, const char *fmt, ...) PRINTF(2, 3);
/* The secret without the line end that files have, NULL if it was not given. The caller wipes and frees. */
char *remote_secret(const struct remote *r, const char *id);

/* download.c: url to dir/name. */
struct download {
    const struct address *address;
    const char *shown; /* for messages */
    const char *dir, *name;
    const char *checksum; /* NULL = none */
};
/* Sets f's time if the server says one. */
MUST_USE struct err *remote_download(struct remote *r, const struct download *d, struct fetched *f);
/* What the file of that URL is called. The caller frees. */
char *remote_file_name(const struct address *a);

/* archive.c: below f->dir, with f->owners. */
MUST_USE struct err *remote_extract(struct remote *r, int fd, const char *name, struct fetched *f);

/* git_tree.c */
MUST_USE struct err *remote_checkout(struct remote *r, const struct git_address *a, bool keep_git_dir,
                                     struct fetched *f);

#endif
