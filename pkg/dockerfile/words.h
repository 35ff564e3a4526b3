/* words.h - expansion of variables and quotes in Dockerfile words, as BuildKit's shell lexer: $v ${v} ${v:-w} ${v-w} ${v:+w}
 * ${v+w} ${v:?w} ${v?w} ${v#p} ${v##p} ${v%p} ${v%%p} ${v/p/r} ${v//p/r}. Pure. */
#ifndef DOCKERFILE_WORDS_H
#define DOCKERFILE_WORDS_H

#include "base/err.h"
#include "base/strs.h"

#include <stdbool.h>

struct words_opts {
    const struct strs *env; /* NAME=VALUE entries; looked up by name */
    char escape;            /* '\\' or '`' */
    bool raw_quotes;        /* keep quotes (here-document bodies) */
    bool raw_escapes;       /* keep escapes */
    struct strs *unmatched; /* if not NULL: names that were used but not set are added (each once) */
};

/* One word: the text after expansion; the caller frees. Errors are ERR_DOCKERFILE without a place. */
MUST_USE struct err *words_expand(const char *text, const struct words_opts *opts, char **ret_text);
/* Splits into words on unquoted blanks; unquoted variables that hold blanks split too. Appends to ret_words. */
MUST_USE struct err *words_split(const char *text, const struct words_opts *opts, struct strs *ret_words);

#endif
