/* tags.h - from versions and commits to tags, as kaniko-acr's PLUGIN_EXPAND_TAG and PLUGIN_AUTO_TAG do. Pure. */
#ifndef SETTINGS_TAGS_H
#define SETTINGS_TAGS_H

#include "base/err.h"
#include "base/strs.h"

#include <stdbool.h>

/* "v1.2.3" -> 1, 1.2, 1.2.3; a pre-release only itself without "v"; what is no semantic version passes as it is. */
void tags_expand(const char *tag, struct strs *tags);
/* The tags of a commit's ref: "refs/tags/v1.2.3" -> 1, 1.2, 1.2.3 (0.x without the 0), any other ref "latest"; with a
 * suffix "TAG-SUFFIX", the suffix itself for "latest". ERR_SETTING if the ref's tag is no version. */
MUST_USE struct err *tags_auto(const char *ref, const char *suffix, struct strs *tags);
/* Does a commit get automatic tags: is it a tag or the default branch? */
bool tags_auto_applies(const char *ref, const char *default_branch);

#endif
