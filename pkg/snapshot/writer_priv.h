/* writer_priv.h - writes changed files as a layer: entries with their parent directories before them, whiteouts, hard
 * links. Decides nothing: the back ends say what changed. One thread. */
#ifndef SNAPSHOT_WRITER_PRIV_H
#define SNAPSHOT_WRITER_PRIV_H

#include "base/cancel.h"
#include "snapshot/snapshot_priv.h"

/* A directory on the way from the root to what is being looked at. */
struct frame {
    struct frame *up; /* NULL: the root, which is never an entry */
    const char *path; /* "a/b", "" for the root */
    int fd;           /* O_RDONLY | O_DIRECTORY */
    struct stat st;
    struct owner owner;
    bool written;
    bool muted; /* nothing below is to be written */
};

/* A file: its directory, its name, and what is known of it. */
struct file {
    int dir_fd;
    int fd; /* a regular file that is open for reading, at its beginning; -1: it is not open. Borrowed */
    const char *name, *path;
    struct stat st;
    struct owner owner;
};

struct layer_writer;
struct layer_writer *layer_writer_new(const struct commit_opts *opts, struct sink out, const struct cancel *cancel,
                                      struct commit_stats *stats);
/* Is this path left out, with all below? */
bool layer_writer_ignores(const struct layer_writer *w, const char *path);
/* Writes the directories down to f that were not written yet. */
MUST_USE struct err *layer_write_dir(struct layer_writer *w, struct frame *f);
/* `up`: the directory that holds it. */
MUST_USE struct err *layer_write_file(struct layer_writer *w, struct frame *up, const struct file *f);
/* "Nothing is there any more": up->path/name. */
MUST_USE struct err *layer_write_whiteout(struct layer_writer *w, struct frame *up, const char *name);
/* "Nothing that was below f is there any more". */
MUST_USE struct err *layer_write_opaque(struct layer_writer *w, struct frame *f);
MUST_USE struct err *layer_writer_end(struct layer_writer *w);
void layer_writer_free(struct layer_writer *w);
DEFINE_CLEANUP(struct layer_writer *, layer_writer_free);

/* The extended attributes that a layer holds, sorted by name; *e gets them. Only files and directories have any. */
MUST_USE struct err *xattrs_read(int dir_fd, const char *name, mode_t type, struct tar_entry *e);
/* The same of an open file (O_PATH will do). */
MUST_USE struct err *xattrs_read_fd(int fd, mode_t type, struct tar_entry *e);
/* All that a RUN can see of them: what base images' layers hold besides, and what RUNs set. */
MUST_USE struct err *xattrs_read_all(int fd, mode_t type, struct tar_entry *e);
/* The names in a directory but "." and "..", sorted by bytes, with their types as far as the file system tells. */
struct names {
    struct name {
        char *text;
        unsigned char type; /* DT_* */
    } * items;
    size_t n, cap;
};
MUST_USE struct err *names_read(int dir_fd, struct names *ret);
void names_release(struct names *n);
static inline void names_release_auto(struct names *n)
{
    names_release(n);
}
/* Have both files the same content? Their sizes are equal. */
MUST_USE struct err *content_equal(const struct file *a, const struct file *b, const struct cancel *cancel,
                                   bool *ret_equal);

#endif
