/* err_priv.h - what an error value holds; private to base. */
#ifndef BASE_ERR_PRIV_H
#define BASE_ERR_PRIV_H

#include "base/err.h"

/* All owned, NULL where there is none (there always is a message). */
enum err_text { ERR_WHAT, ERR_HINT, ERR_TOKEN, ERR_FILE, ERR_STAGE, ERR_BEFORE, ERR_LINE, ERR_AFTER, ERR_TEXTS };

struct err {
    enum err_kind kind;
    int exit_code; /* of ERR_COMMAND */
    int errnum;    /* 0 = not from the system */
    char *texts[ERR_TEXTS];
    int line, col, width, stage_number; /* as in struct srcpos */
    struct err *cause;                  /* owned */
    struct err *next;                   /* owned: found together with this one */
};

/* The error of the chain that has the place, NULL if none has. */
const struct err *err_placed(const struct err *e);

#endif
