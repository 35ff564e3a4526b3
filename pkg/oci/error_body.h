/* error_body.h - what a registry or token service says when it refuses: {"errors":[{"code","message","detail"}]}
 * (distribution-spec, "Error Codes"), OAuth's {"error","error_description"} (RFC 6749 section 5.2), Azure's
 * {"error":{"code","message"}}, or a line of plain text. Pure; fuzzed. */
#ifndef OCI_ERROR_BODY_H
#define OCI_ERROR_BODY_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

/* Appends it as one line, safe for a terminal and without signatures and tokens; nothing if it is something else (a
 * proxy's HTML page). content_type may be NULL. */
void error_body_describe(const char *body, size_t len, const char *content_type, struct buf *out);
/* Is that code among the document's errors, or its only one? */
bool error_body_has(const char *body, size_t len, const char *code);

#endif
