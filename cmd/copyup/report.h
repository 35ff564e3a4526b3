/* report.h - what a finished build leaves for later steps: the digest files, the artifact file and the output
 * variables. The texts are pure functions of struct report, in the formats of kaniko-acr; report_write() puts them
 * where the settings say. */
#ifndef COPYUP_REPORT_H
#define COPYUP_REPORT_H

#include "base/err.h"
#include "base/strs.h"
#include "settings/settings.h"

struct report {             /* all borrowed */
    const char *repo;       /* NULL if the image has no name */
    struct strs tags;       /* as pushed; the caller's strings */
    const char *digest;     /* "sha256:..." */
    const char *tar_path;   /* NULL if no archive was written */
    const char *portal_url; /* of the registry; NULL = not known */
    const char *changed;    /* "false": the repository had the image already; NULL = do not say */
};

/* The JSON of PLUGIN_ARTIFACT_FILE: pretty-printed with tabs, no line end. The caller frees. */
char *report_artifact(const struct report *r);
/* DRONE_OUTPUT: `existing` (may be "") with our variables replaced or, sorted, appended; other lines stay as they are.
 * The caller frees. */
char *report_outputs(const struct report *r, const char *existing);
/* "repo@digest", and a line "repo:tag@digest" per tag; "" without a repository. The caller frees. */
char *report_image_digest(const struct report *r);
char *report_image_tag_digests(const struct report *r);
/* Writes every file that the settings name (0644, parents 0755). One that fails does not keep the others from being
 * written; all failures are joined, each naming its setting. */
MUST_USE struct err *report_write(const struct report *r, const struct settings *s);

#endif
