/* pattern_priv.h - one .dockerignore pattern, compiled, and Go's filepath.Match for one path component. Not for other
 * modules. Pure; immutable once compiled. */
#ifndef CONTEXT_PATTERN_PRIV_H
#define CONTEXT_PATTERN_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct node;

enum pattern_kind {
    PATTERN_EXACT,  /* the path is head */
    PATTERN_PREFIX, /* the path starts with head ("head**") */
    PATTERN_SUFFIX, /* the path ends with tail, or is tail without its '/' ("**tail") */
    PATTERN_BELOW,  /* head stands at the beginning of the path or of one of its components ("**" "/head**") */
    PATTERN_NODES,  /* anything else */
};

struct pattern {
    enum pattern_kind kind;
    bool negated;      /* "!": includes again */
    bool base_only;    /* NODES: "**" "/" and then one component: the last component decides */
    bool star_only;    /* NODES: head, '*', tail and nothing else */
    char *head, *tail; /* literal bytes at the beginning and the end (of the component, if base_only) */
    size_t n_head, n_tail;
    char *need; /* literal bytes that are somewhere in between; NULL = none worth looking for */
    size_t n_need;
    struct node *nodes; /* the whole pattern; first is where the component begins, if base_only */
    size_t n_nodes, first;
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

/* Go's filepath.Match of one component, of a pattern that glob_is_valid() accepts. */
bool glob_is_valid(const char *pattern);
bool glob_has_wildcard(const char *pattern);
bool glob_matches(const char *pattern, const char *name);

/* The next code point of s (n > 0 bytes); what is not UTF-8 counts as one byte of U+FFFD. Returns its length in bytes.
 */
size_t utf8_next(const char *s, size_t n, uint32_t *ret_rune);

#endif
