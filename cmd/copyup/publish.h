/* publish.h - what a build and a mere push of an image do alike: look before, say what was pushed, write the outputs.
 */
#ifndef COPYUP_PUBLISH_H
#define COPYUP_PUBLISH_H

#include "oci/ref.h"
#include "progress.h"
#include "wire.h"

struct publish { /* all borrowed */
    const struct settings *s;
    const struct ref *repo; /* without a tag */
    const struct wire_net *net;
    struct progress_printer *printer;
    int64_t started_s;
};

/* The tags that are to be pushed now: all, or those that are not there yet. */
MUST_USE struct err *publish_tags(const struct publish *p, struct strs *ret_tags);
/* May we push? Before anything is made. */
MUST_USE struct err *publish_check(const struct publish *p);
void publish_show_pushed(const struct publish *p, const struct strs *tags, const struct push_stats *stats);
void publish_show_done(const struct publish *p);
/* Digest files, artifact file, output variables, of an image that was pushed with these tags (or would have been). */
MUST_USE struct err *publish_outputs(const struct publish *p, const struct digest *d, const struct strs *tags,
                                     const char *changed);

#endif
