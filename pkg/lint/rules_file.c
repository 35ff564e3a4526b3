/* rules_file.c - rules about how the file is written. */
#include "lint/lint_priv.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

static bool has_lower(const char *s)
{
    for (; *s; s++)
        if (islower((unsigned char)*s))
            return true;
    return false;
}

static bool has_upper(const char *s)
{
    for (; *s; s++)
        if (isupper((unsigned char)*s))
            return true;
    return false;
}

/* Word number n from the end of the instruction, 0 is the last. The caller frees. */
static char *word_from_end(const struct df_instr *i, int n)
{
    static const char blanks[] = " \t\v\f\r";
    const char *start = i->text, *end = start + strlen(start);

    for (;; n--) {
        while (end > start && strchr(blanks, end[-1]))
            end--;
        const char *p = end;

        while (p > start && !strchr(blanks, p[-1]))
            p--;
        if (n == 0 || p == start)
            return xstrndup(p, (size_t)(end - p));
        end = p;
    }
}

void rule_consistent_instruction_casing(struct lint *l, const struct lint_at *at)
{
    AUTO_FREE char *keyword = lint_keyword(at->instr);

    if (at->instr < &l->df->instrs[l->first_from] || !(l->lower_case ? has_upper(keyword) : has_lower(keyword)))
        return;
    lint_report(l, LINT_CONSISTENT_INSTRUCTION_CASING, at->instr->line, keyword,
                "'%s' is not written in %s letters as most instructions are", keyword,
                l->lower_case ? "small" : "capital");
}

void rule_from_as_casing(struct lint *l, const struct lint_at *at)
{
    if (!at->instr->stage_name)
        return;
    AUTO_FREE char *from = lint_keyword(at->instr), *as = word_from_end(at->instr, 1);
    bool lower = !has_upper(from), upper = !has_lower(from);

    if ((lower && has_upper(as)) || (upper && has_lower(as)))
        lint_report(l, LINT_FROM_AS_CASING, at->instr->line, as, "'%s' and '%s' are not written in the same case", from,
                    as);
}

void rule_stage_name_casing(struct lint *l, const struct lint_at *at)
{
    if (!at->instr->stage_name)
        return;
    AUTO_FREE char *name = word_from_end(at->instr, 0);

    if (has_upper(name))
        lint_report(l, LINT_STAGE_NAME_CASING, at->instr->line, name,
                    "the stage name '%s' has capital letters: stages are found as '%s'", name, at->instr->stage_name);
}

void rule_duplicate_stage_name(struct lint *l, const struct lint_at *at)
{
    const char *name = at->instr->stage_name;

    if (!name)
        return;
    const struct df_instr *first = map_get(l->stage_names, name);

    if (first) {
        AUTO_FREE char *written = word_from_end(at->instr, 0);

        lint_report(l, LINT_DUPLICATE_STAGE_NAME, at->instr->line, written, "there already is a stage '%s', in line %d",
                    name, first->line);
    } else {
        map_set(l->stage_names, name, (void *)(uintptr_t)at->instr);
    }
}

void rule_reserved_stage_name(struct lint *l, const struct lint_at *at)
{
    const char *name = at->instr->stage_name;

    if (!name || (strcmp(name, "scratch") != 0 && strcmp(name, "context") != 0))
        return;
    AUTO_FREE char *written = word_from_end(at->instr, 0);

    lint_report(l, LINT_RESERVED_STAGE_NAME, at->instr->line, written,
                "'%s' has a meaning of its own and cannot be the name of a stage", name);
}

void rule_maintainer_deprecated(struct lint *l, const struct lint_at *at)
{
    if (at->instr->kind != DF_MAINTAINER)
        return;
    AUTO_FREE char *keyword = lint_keyword(at->instr);

    lint_report(l, LINT_MAINTAINER_DEPRECATED, at->instr->line, keyword, "MAINTAINER is deprecated");
}

void rule_no_empty_continuation(struct lint *l, const struct lint_at *at)
{
    if (at->instr->empty_line)
        lint_report(l, LINT_NO_EMPTY_CONTINUATION, at->instr->line, NULL,
                    "line %d is empty, but the instruction goes on", at->instr->empty_line);
}

/* ---- comments that describe ---- */

static bool describes(const char *comment, const char *name)
{
    size_t n = strcspn(comment, " ");

    return strlen(name) == n && strncmp(comment, name, n) == 0;
}

void rule_invalid_definition_description(struct lint *l, const struct lint_at *at)
{
    const struct df_instr *i = at->instr;
    const char *example = i->kind == DF_FROM ? i->stage_name : i->kind == DF_ARG ? i->pairs[0].name : NULL;

    if (!example || !i->comment || i->comment_line != i->line - 1)
        return;
    bool fits = i->kind == DF_FROM && describes(i->comment, example);
    for (size_t n = 0; i->kind == DF_ARG && n < i->n_pairs; n++)
        fits = fits || describes(i->comment, i->pairs[n].name);
    if (!fits)
        lint_report(l, LINT_INVALID_DEFINITION_DESCRIPTION, i->line, NULL,
                    "the comment above does not begin with the name of what it describes: '# %s ...'",
                    i->n_pairs > 1 ? "NAME" : example);
}
