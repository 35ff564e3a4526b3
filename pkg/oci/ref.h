/* ref.h - image references: "[host[:port]/]path[:tag][@digest]", normalised as Docker does (docker.io, library/,
 * latest). Grammar: distribution reference/regexp.go's documented grammar. Pure. */
#ifndef OCI_REF_H
#define OCI_REF_H

#include "base/err.h"

#include <stdbool.h>

struct ref {
    char *domain; /* "docker.io", "myreg.azurecr.io:443" */
    char *path;   /* "library/busybox" */
    char *tag;    /* NULL if only a digest (or, before ref_default_tag, nothing) was given */
    char *digest; /* "sha256:..." or NULL */
};

/* Errors are ERR_DOCKERFILE "'...' is not a valid image reference: reason"; callers set their own kind. */
MUST_USE struct err *ref_parse(const char *text, struct ref *ret_ref);
/* Adds the tag "latest" if there is neither tag nor digest. */
void ref_default_tag(struct ref *r);
/* "docker.io/library/busybox:latest"; with digest "name[:tag]@sha256:..". The caller frees. */
char *ref_string(const struct ref *r);
/* As people write it: without docker.io/ and library/. For messages only: "docker.io/a.b/c" gives "a.b/c", which
 * ref_parse() takes for another host, as Docker does. The caller frees. */
char *ref_familiar(const struct ref *r);
/* A valid tag: [A-Za-z0-9_][A-Za-z0-9._-]{0,127}. */
bool ref_tag_valid(const char *tag);
/* dst must be initialised: what it held is released. */
void ref_copy(struct ref *dst, const struct ref *src);
void ref_release(struct ref *r);
static inline void ref_release_auto(struct ref *r)
{
    ref_release(r);
}

#endif
