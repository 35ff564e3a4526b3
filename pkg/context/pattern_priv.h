/* pattern_priv.h - one .dockerignore pattern, compiled; which of many could match a path; and Go's filepath.Match for
 * one path component. Not for other modules. Pure; immutable once compiled. */
#ifndef CONTEXT_PATTERN_PRIV_H
#define CONTEXT_PATTERN_PRIV_H

#include "base/vec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum node_kind {
    NODE_CHAR,
    NODE_CLASS,
    NODE_ANY,       /* all but newline */
    NODE_EVERY,     /* all */
    NODE_BEGIN,     /* only at the start of the text; takes nothing, as all that follow */
    NODE_END,       /* only at its end */
    NODE_EDGE,      /* between what is and what is not a letter, digit or '_' of ASCII */
    NODE_NO_EDGE,   /* not there */
    NODE_DIRS,      /* "(.*" "/)?": this node either goes on or enters the next one ... */
    NODE_DIRS_LOOP, /* ... which takes anything and leaves after a '/' */
};

struct range {
    uint32_t lo, hi;
};

struct class
{
    VEC(struct range) ranges;
    bool negated;
};

struct node {
    enum node_kind kind;
    bool optional; /* it may be left out */
    bool repeats;  /* it may come again */
    uint32_t rune;
    struct class *class; /* owned */
};

enum pattern_kind {
    PATTERN_EXACT,  /* the path is head */
    PATTERN_PREFIX, /* the path starts with head ("head**") */
    PATTERN_SUFFIX, /* the path ends with tail, or is tail without its '/' ("**tail") */
    PATTERN_BELOW,  /* dir stands at the beginning of the path or of one of its components ("**" "/dir**") */
    PATTERN_NODES,  /* anything else */
    PATTERN_OR,     /* one of `others` matches */
};

struct pattern {
    enum pattern_kind kind;
    bool negated;      /* "!": includes again */
    bool base_only;    /* NODES: "**" "/" and then one component: the last component decides */
    bool star_only;    /* NODES: head, '*', tail and nothing else */
    char *head, *tail; /* literal bytes at the beginning and the end (of the component, if base_only) */
    size_t n_head, n_tail;
    char *dir; /* BELOW, NODES: literal bytes at the beginning of some component; NULL = none known */
    size_t n_dir;
    char *need; /* literal bytes that are somewhere in between; NULL = none worth looking for */
    size_t n_need;
    VEC(struct node) nodes; /* the whole pattern */
    size_t first;           /* where the component begins, if base_only */
    struct pattern *others; /* owned */
    size_t n_others;
};

/* A path to match, prepared once for all patterns. */
struct subject {
    const char *path, *base; /* base: the last component */
    size_t n_path, n_base;
    bool newline; /* "**" stops at newlines, as the reference implementation does */
};

/* False if the text is not a pattern. text: cleaned, without "!". */
bool pattern_compile(const char *text, struct pattern *ret_pattern);
void pattern_release(struct pattern *p);
struct subject subject_of(const char *path, size_t len);
bool pattern_matches(const struct pattern *p, const struct subject *s);
/* Could a path below directory dir match? Errs on the side of yes. */
bool pattern_reaches_below(const struct pattern *p, const char *dir, size_t len);

/* ---- which of many patterns could match: a few table look-ups per path instead of a look at each pattern ---- */

#define INDEX_WORD_BITS 64

struct pattern_index;

/* The patterns must stay as they are. */
struct pattern_index *pattern_index_new(const struct pattern *patterns, size_t n);
/* Patterns stand in sets of bits, in so many words. */
size_t pattern_index_words(const struct pattern_index *ix);
void pattern_index_free(struct pattern_index *ix);

/* One path asked about. */
struct candidates {
    const struct pattern_index *ix;
    const struct subject *subject;
    const uint64_t *rows[10]; /* a pattern must be in all of them */
};

void candidates_of(const struct pattern_index *ix, const struct subject *s, struct candidates *ret);
/* Word w of the set of patterns that could match; all others do not. dirs: the same word of *ret_dirs for the directory
 * that holds the path, 0 at the top (then the path may have several components). */
uint64_t candidates_word(const struct candidates *c, size_t w, const uint64_t *parent_dirs, uint64_t *ret_dirs);

/* Go's filepath.Match of one component, of a pattern that glob_is_valid() accepts. */
bool glob_is_valid(const char *pattern);
bool glob_has_wildcard(const char *pattern);
bool glob_matches(const char *pattern, const char *name);

/* The next code point of s (n > 0 bytes); what is not UTF-8 counts as one byte of U+FFFD. Returns its length in bytes.
 */
size_t utf8_next(const char *s, size_t n, uint32_t *ret_rune);

#endif
