/* lint.h - `copyup lint`: checks a Dockerfile without building it; and how warnings are shown, there and in a build. */
#ifndef COPYUP_LINT_H
#define COPYUP_LINT_H

#include "lint/lint.h"

#include <stdio.h>

/* The sub-command, from its own name on; the result is the exit code: 0 no warnings, 1 warnings, 65 the Dockerfile is
 * wrong or its warnings are errors, 64 wrong arguments. */
int lint_main(int argc, char **argv);
/* Every note and warning with its place; what to do is said once a rule. */
void lint_show(FILE *out, struct lint *l);
/* All rules with examples, as Markdown: docs/lint.md. */
void lint_print_rules(FILE *out);

#endif
