/* step.h - the step from its settings: wires the modules together. The only place that knows both settings and modules.
 */
#ifndef COPYUP_STEP_H
#define COPYUP_STEP_H

#include "base/err.h"
#include "settings/settings.h"

/* Builds, pushes or exports, and writes the outputs. Call it before any thread exists. */
MUST_USE struct err *step_main(const struct settings *s);
/* Says what step_main() would do with each step of the Dockerfile, and does nothing. The same rules. */
MUST_USE struct err *step_plan(const struct settings *s);

#endif
