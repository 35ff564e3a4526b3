/* lint_show.c - warnings as text, rules as Markdown. */
#include "lint.h"

#include <string.h>

void lint_show(FILE *out, struct lint *l)
{
    const struct strs *notes = lint_notes(l);
    bool advised[LINT_RULE_COUNT] = { false };
    size_t n = 0;
    const struct lint_warning *w = lint_warnings(l, &n);

    for (size_t k = 0; k < notes->n; k++)
        fprintf(out, "note: %s\n", notes->items[k]);
    for (size_t k = 0; k < n; k++) {
        const struct lint_rule_info *rule = lint_rule_info(w[k].rule);

        fprintf(out, "warning: %s: %s\n", rule->id, w[k].message);
        srcpos_print(out, &w[k].at);
        if (!advised[w[k].rule])
            fprintf(out, "  hint: %s\n", rule->advice);
        advised[w[k].rule] = true;
    }
    if (lint_dropped(l))
        fprintf(out, "warning: and %zu more\n", lint_dropped(l));
}

static const char intro[] =
    "# Checks of Dockerfiles\n"
    "\n"
    "<!-- Printed by `copyup lint --rules`: do not edit. -->\n"
    "\n"
    "copyup checks a Dockerfile as `docker build --check` does: the same rules under the same names, those of\n"
    "dockerfile/1.26. A build shows the warnings once, before its first step, and goes on. Without a build:\n"
    "\n"
    "    copyup lint [--context DIR] [--target STAGE] [--build-arg NAME[=VALUE]]... [--format text|json] [DOCKERFILE]\n"
    "\n"
    "The Dockerfile is the one given (`-` is standard input), else that of `PLUGIN_DOCKERFILE`, else `Dockerfile`; "
    "the\n"
    "context, whose `.dockerignore` counts, is `PLUGIN_CONTEXT` or the working directory. Without a target all stages "
    "are\n"
    "checked. Nothing is fetched, so what a base image sets is not known: rules then keep silent where it might "
    "matter, and\n"
    "the build says the rest.\n"
    "\n"
    "| exit code | |\n"
    "|---|---|\n"
    "| 0 | no warnings |\n"
    "| 1 | warnings, as with `docker build --check` and other linters |\n"
    "| 64 | wrong arguments |\n"
    "| 65 | the Dockerfile is wrong, or there are warnings and `error=true` makes them errors |\n"
    "\n"
    "## Which rules count\n"
    "\n"
    "A line at the top of the Dockerfile, with other parser directives alone above it, is for the whole file:\n"
    "\n"
    "    # check=skip=JSONArgsRecommended,StageNameCasing\n"
    "    # check=skip=all\n"
    "    # check=error=true\n"
    "    # check=skip=JSONArgsRecommended;error=true\n"
    "    # check=experimental=InvalidDefinitionDescription\n"
    "\n"
    "`error=true` makes the build fail with exit code 65, after all warnings were shown and before the first step. "
    "The\n"
    "build argument `BUILDKIT_DOCKERFILE_CHECK` has the same form and replaces that line: `skip=all` for no checks at "
    "all.\n"
    "\n"
    "A comment above an instruction is for this instruction alone; what follows a blank is for people:\n"
    "\n"
    "    # check=skip=SecretsUsedInArgOrEnv -- a name, not a secret\n"
    "    ENV KEY_NAME=release\n"
    "\n"
    "A name of no rule is told and otherwise ignored, because another builder may know it.\n"
    "\n"
    "## JSON\n"
    "\n"
    "`--format=json` prints one object. `version` is 1 and changes when a member changes its meaning or goes; others "
    "may be\n"
    "added.\n"
    "\n"
    "| member | |\n"
    "|---|---|\n"
    "| `version` | 1 |\n"
    "| `dockerfile` | its name, as given |\n"
    "| `strict` | true: warnings are errors |\n"
    "| `warnings` | in the order of lines: `rule`, `message`, `advice`, `line`, `column` and `width` in bytes (0 = the "
    "whole "
    "line), `stage` (null if it has no name), `source` (the line) |\n"
    "| `dropped` | warnings beyond the first 1000, which are only counted |\n"
    "| `notes` | texts |\n"
    "| `errors` | what is wrong with the Dockerfile: `message`, `reasons`, `hint` (or null), `line`, `column`, `width` "
    "(0 = "
    "not known), `stage`, `source` |\n"
    "\n"
    "## Rules\n";

static void print_code(FILE *out, const char *text)
{
    while (*text) {
        size_t n = strcspn(text, "\n");

        fprintf(out, n ? "    %.*s\n" : "%.*s\n", (int)n, text);
        text += n + (text[n] == '\n');
    }
}

void lint_print_rules(FILE *out)
{
    fputs(intro, out);
    for (int k = 0; k < LINT_RULE_COUNT; k++) {
        const struct lint_rule_info *r = lint_rule_info((enum lint_rule)k);

        fprintf(out, "\n### %s%s\n\n%s %s\n\n", r->id, r->experimental ? " (experimental)" : "", r->summary, r->advice);
        print_code(out, r->bad);
        fputs("\nbetter:\n\n", out);
        print_code(out, r->good);
    }
}
