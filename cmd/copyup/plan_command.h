/* plan_command.h - copyup plan: what a build would do with each step, as a list on standard output. */
#ifndef COPYUP_PLAN_COMMAND_H
#define COPYUP_PLAN_COMMAND_H

#include "build/build.h"

/* opts and plans: as for product_make(). */
MUST_USE struct err *plan_show(const struct build_opts *opts, const struct plan *const *plans, size_t n_plans);

#endif
