/* err.h - error values: what failed, where, why, and what to do about it.
 *
 * A function that can fail returns `struct err *`: NULL means success, else the
 * caller owns the error and must return it (TRY, err_wrap), or handle it and
 * err_free() it. Out parameters (`ret_...`) are written on success only.
 *
 * Only cmd/ prints errors. Everything below returns them. An expected outcome
 * (blob not there, cache miss) is a `bool *ret_found`, not an error.
 *
 * Threads: an error belongs to one thread at a time; the functions share nothing.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Who can fix it. Decides the exit code (err_exit_code) and whether a retry makes sense. */
enum err_kind {
    ERR_SETTING,    /* 64: a setting or secret is missing or wrong */
    ERR_DOCKERFILE, /* 65: the Dockerfile, its base images' names or the build context is wrong */
    ERR_NETWORK,    /* 69: network, registry or token service unavailable: may succeed later */
    ERR_REGISTRY,   /* 69: the registry answered something wrong or refused; no retry helps */
    ERR_BUG,        /* 70: a bug in this program */
    ERR_POD,        /* 71: the pod or node does not allow or lacks something */
    ERR_DISK,       /* 74: disk full, state directory or an output file unusable */
    ERR_AUTH,       /* 77: credentials missing or refused */
    ERR_TIMEOUT,    /* 124: the step's own time limit was reached */
    ERR_MEMORY,     /* 137: a RUN was killed for memory */
    ERR_TERMINATED, /* 143: told to stop by a signal */
    ERR_COMMAND,    /* a RUN failed: err_set_exit() says with which code */
    ERR_KIND_COUNT
};

/* A place in a text that the user wrote. Borrowed strings; errors copy them. */
struct srcpos {
    const char *file;           /* "Dockerfile"; NULL = no place known */
    int line;                   /* 1-based */
    const char *text;           /* that source line, may be NULL */
    int col;                    /* 1-based byte column to mark in text, 0 = none */
    int width;                  /* bytes to mark from there on; 0 counts as 1 */
    const char *before, *after; /* the lines around it, may be NULL */
    const char *stage;          /* the build stage's name, may be NULL */
    int stage_number;           /* which stage it is if it has no name: 1 is the first, 0 = do not say */
};

struct err;

#define MUST_USE     __attribute__((warn_unused_result))
#define PRINTF(a, b) __attribute__((format(printf, a, b)))

/* Makes an error. The message: lower case, no full stop, names the object in
 * single quotes: "cannot open file '%s'". */
MUST_USE struct err *err_new(enum err_kind kind, const char *fmt, ...) PRINTF(2, 3) __attribute__((returns_nonnull));

/* As err_new, with strerror(errnum) as the reason. The kind follows from errnum: ENOSPC, EDQUOT,
 * EROFS, EIO are ERR_DISK, all others ERR_POD; err_set_kind() overrides. */
MUST_USE struct err *err_sys(int errnum, const char *fmt, ...) PRINTF(2, 3) __attribute__((returns_nonnull));

/* Puts a message in front: "what we were doing", with e as the reason.
 * Takes e; keeps its kind, exit code and place. NULL stays NULL. */
MUST_USE struct err *err_wrap(struct err *e, const char *fmt, ...) PRINTF(2, 3);

/* Adds the place, unless a more precise one is already there. Returns e; NULL stays NULL. */
MUST_USE struct err *err_at(struct err *e, const struct srcpos *pos);

/* Says which piece of the source, as it is written there, is wrong: whoever knows the place can then point at it. The
 * innermost one counts. Returns e; NULL stays NULL. */
MUST_USE struct err *err_blame(struct err *e, const char *token);

/* Adds what the user can do, as a full sentence, beside hints already given deeper. Returns e; NULL stays NULL. */
MUST_USE struct err *err_hint(struct err *e, const char *fmt, ...) PRINTF(2, 3);

/* Changes the kind: for a caller that knows better whose fault it is. Returns e; NULL stays NULL. */
MUST_USE struct err *err_set_kind(struct err *e, enum err_kind kind);

/* Sets the exit code of an ERR_COMMAND (1..255). Returns e. */
MUST_USE struct err *err_set_exit(struct err *e, int code);

/* Joins two errors that were found together (settings report all mistakes at once): b is printed after a.
 * Either may be NULL. Kind and exit code are a's. */
MUST_USE struct err *err_join(struct err *a, struct err *b);

enum err_kind err_kind(const struct err *e);
/* The errno given to err_sys anywhere in the chain (innermost wins), 0 if none. */
int err_errno(const struct err *e);
/* The process exit code for it: 1..255. */
int err_exit_code(const struct err *e);
/* The outermost message: borrowed, valid as long as e. */
const char *err_message(const struct err *e);
/* The piece of the source given to err_blame (the innermost), NULL if none. Borrowed. */
const char *err_token(const struct err *e);
/* Why, NULL: it was not said; and the error that was joined to it, NULL: it is the last. Borrowed. */
const struct err *err_reason(const struct err *e);
const struct err *err_next(const struct err *e);
/* Its place; false if it has none. The strings are borrowed, valid as long as e. */
bool err_place(const struct err *e, struct srcpos *ret_place);
/* The remedy (the outermost), NULL if none. Borrowed. */
const char *err_remedy(const struct err *e);
void err_print(FILE *out, const struct err *e);
/* "what: reason: reason", for a line in which it is not the end of everything. The caller frees. */
char *err_line(const struct err *e);
/* "  at FILE:LINE, stage 'NAME'" and below it the line with its neighbours and a mark: what err_print shows of a place.
 * Control characters are not passed on, long lines are cut around what is marked. */
void srcpos_print(FILE *out, const struct srcpos *at);
void err_free(struct err *e);

/* Sends e (NULL = success) as one record over a pipe to another process, and reads it there. The reader
 * must get the whole record or end of file: an empty stream is ERR_BUG "ended without a report".
 * err_read: *ret_err gets the error of the other side (or NULL); the return value is a failure of the reading. */
MUST_USE struct err *err_write(int fd, const struct err *e);
MUST_USE struct err *err_read(int fd, struct err **ret_err);

/* Returns the error of expr to the caller, if it is one. */
#define TRY(expr)                                                                                                      \
    do {                                                                                                               \
        struct err *try_err_ = (expr);                                                                                 \
        if (try_err_)                                                                                                  \
            return try_err_;                                                                                           \
    } while (0)

#endif
