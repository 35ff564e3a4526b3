/* options.c - "skip=A,B;error=true;experimental=all". */
#include "base/suggest.h"
#include "lint/lint_priv.h"

#include <ctype.h>
#include <string.h>

#define ALL_RULES ((uint32_t)((1u << LINT_RULE_COUNT) - 1))
_Static_assert(LINT_RULE_COUNT < 32, "a set of rules is a number of 32 bits");

enum { MAX_PARTS = 3 }; /* a third one has all the rest, as in BuildKit */

static char *trimmed(const char *p, size_t n)
{
    while (n > 0 && isspace((unsigned char)p[0]))
        p++, n--;
    while (n > 0 && isspace((unsigned char)p[n - 1]))
        n--;
    return xstrndup(p, n);
}

static bool find_rule(const char *id, enum lint_rule *ret)
{
    for (int k = 0; k < LINT_RULE_COUNT; k++) {
        if (strcmp(lint_rules[k].info.id, id) != 0)
            continue;
        *ret = (enum lint_rule)k;
        return true;
    }
    return false;
}

/* "RuleA, RuleB", or "all". */
static uint32_t rule_set(const char *text, struct strs *unknown)
{
    uint32_t set = 0;
    enum lint_rule rule = LINT_CONSISTENT_INSTRUCTION_CASING;

    if (strcmp(text, "all") == 0)
        return ALL_RULES;
    for (const char *p = text;; p++) {
        size_t n = strcspn(p, ",");
        AUTO_FREE char *id = trimmed(p, n);

        if (find_rule(id, &rule))
            set |= 1u << rule;
        else if (!strs_has(unknown, id) && unknown->n < LINT_RULE_COUNT)
            strs_add(unknown, id);
        p += n;
        if (!*p)
            return set;
    }
}

static bool truth(const char *text, bool *ret)
{
    static const char *const yes[] = { "1", "t", "T", "true", "TRUE", "True" };
    static const char *const no[] = { "0", "f", "F", "false", "FALSE", "False" };

    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
        if (strcmp(text, yes[i]) != 0 && strcmp(text, no[i]) != 0)
            continue;
        *ret = strcmp(text, yes[i]) == 0;
        return true;
    }
    return false;
}

static struct err *option_error(const char *part, const char *why)
{
    return err_hint(err_blame(err_new(ERR_DOCKERFILE, "the check option '%s' is wrong: %s", part, why), part),
                    "Options are skip=RULE,... or skip=all, error=true, experimental=RULE,... or experimental=all, "
                    "separated by ';'.");
}

static struct err *parse_part(const char *part, struct lint_options *o, struct strs *unknown)
{
    static const char *const names[] = { "skip", "error", "experimental" };
    const char *equals = strchr(part, '=');

    if (!equals)
        return option_error(part, "it has no '='");
    AUTO_FREE char *name = trimmed(part, (size_t)(equals - part));
    AUTO_FREE char *value = trimmed(equals + 1, strlen(equals + 1));

    if (strcmp(name, "skip") == 0)
        o->skip |= rule_set(value, unknown);
    else if (strcmp(name, "experimental") == 0)
        o->experimental |= rule_set(value, unknown);
    else if (strcmp(name, "error") != 0)
        return suggest_hint(option_error(part, "there is no option of that name"), "", name, names, 3);
    else if (!truth(value, &o->error))
        return option_error(part, "error is true or false");
    return NULL;
}

struct err *lint_options_parse(const char *text, struct lint_options *ret, struct strs *ret_unknown)
{
    AUTO_FREE char *all = trimmed(text, strlen(text));
    struct lint_options o = { 0 };

    char *p = *all ? all : NULL;

    for (int k = 1; p; k++) {
        char *end = k < MAX_PARTS ? strchr(p, ';') : NULL;

        if (end)
            *end = '\0';
        TRY(parse_part(p, &o, ret_unknown));
        p = end ? end + 1 : NULL;
    }
    *ret = o;
    return NULL;
}

void lint_options_merge(struct lint_options *o, const struct lint_options *more)
{
    o->skip |= more->skip;
    o->experimental |= more->experimental;
}
