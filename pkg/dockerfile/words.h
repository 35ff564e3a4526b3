/* words.h - expansion of variables and quotes in Dockerfile words, as BuildKit's shell lexer: $v ${v} ${v:-w} ${v-w}
 * ${v:+w}
 * ${v+w} ${v:?w} ${v?w} ${v#p} ${v##p} ${v%p} ${v%%p} ${v/p/r} ${v//p/r}. Pure.
 *
 * Which instruction needs what: words of instructions: the file's escape. EXPOSE: words_split. The bodies of
 * here-documents of COPY and ADD (if df_heredoc.expand): escape '\\' whatever the file says, plain_quotes. */
#ifndef DOCKERFILE_WORDS_H
#define DOCKERFILE_WORDS_H

#include "base/err.h"
#include "base/strs.h"
#include "base/vars.h"

#include <stdbool.h>

struct words_opts {
    const struct vars *env; /* NULL = none */
    char escape;            /* '\\' or '`' */
    bool raw_quotes;        /* keep quotes, what is in single quotes is not expanded */
    bool plain_quotes;      /* quotes are characters like all others (here-document bodies) */
    bool raw_escapes;       /* keep escapes */
    bool keep_unset;        /* $names that are not set stay as written */
    struct strs *unmatched; /* if not NULL: names that were used but not set are added (each once,
                             * up to LIMIT_UNSET_NAMES) */
};

/* One word: the text after expansion; the caller frees. Errors are ERR_DOCKERFILE without a place. */
MUST_USE struct err *words_expand(const char *text, const struct words_opts *opts, char **ret_text);
/* Splits into words on unquoted blanks; unquoted variables that hold blanks split too. Appends to ret_words. */
MUST_USE struct err *words_split(const char *text, const struct words_opts *opts, struct strs *ret_words);

#endif
