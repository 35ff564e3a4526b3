/* inputs.h - the Dockerfile and the build context: from this machine, before anything else happens, or from elsewhere,
 * once there is a network and a place for them. */
#ifndef COPYUP_INPUTS_H
#define COPYUP_INPUTS_H

#include "context/context.h"
#include "dockerfile/dockerfile.h"
#include "remote/remote.h"
#include "settings/settings.h"

/* Does the context lie in a directory here? */
bool inputs_are_here(const struct settings *s);
/* Where the Dockerfile lies: as given, else inside the context; both are in use. The caller frees. */
char *inputs_dockerfile_path(const char *context, const char *dockerfile);
/* Reads the Dockerfile and opens the context: the first for a directory here, the second for everything else; what that
 * fetched belongs to r, *ret_tree is the whole of it. The caller frees the other results, also after an error. */
MUST_USE struct err *inputs_open(const struct settings *s, struct dockerfile **ret_df, struct context **ret_context);
MUST_USE struct err *inputs_fetch(const struct settings *s, struct remote *r, struct dockerfile **ret_df,
                                  struct context **ret_context, struct remote_tree *ret_tree);

#endif
