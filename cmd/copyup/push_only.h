/* push_only.h - the step without a build: an image that lies on disk is pushed. */
#ifndef COPYUP_PUSH_ONLY_H
#define COPYUP_PUSH_ONLY_H

#include "publish.h"

/* p->net is not set yet. Call it before any thread exists. Errors as step_main(). */
MUST_USE struct err *push_only(const struct publish *p, int64_t deadline_ms);

#endif
