/* oci_priv.h - what the documents of this module have in common. */
#ifndef OCI_OCI_PRIV_H
#define OCI_OCI_PRIV_H

#include "oci/platform.h"
#include "json/json.h"

/* The members "os", "architecture", "variant" and "os.version" of v; those that are not there become "". false: one is
 * no text or too long. */
bool oci_copy_platform(const struct json *v, struct platform *p);
/* A member, unless the text is empty or NULL. */
void oci_put_text(struct json_writer *w, const char *name, const char *text);

#endif
