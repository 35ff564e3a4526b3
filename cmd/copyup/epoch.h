/* epoch.h - SOURCE_DATE_EPOCH that names a context or a source of ADD: its time becomes the number. */
#ifndef COPYUP_EPOCH_H
#define COPYUP_EPOCH_H

#include "plan/plan.h"
#include "remote/remote.h"

/* Call it before the stages are planned. context: the main context if it was fetched, NULL for a directory. Fetches
 * what the plan names; the build takes it from r then. *ret_known is set to false if there is no time: then it is as if
 * it had not been given. Errors as remote.h has them, with place. */
MUST_USE struct err *epoch_settle(struct plan *plan, const struct remote_tree *context, struct remote *r,
                                  bool *ret_known);

#endif
