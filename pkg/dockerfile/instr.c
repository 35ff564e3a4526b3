/* instr.c - the table of instructions and what is checked of each. */
#include "base/buf.h"
#include "base/suggest.h"
#include "base/vec.h"
#include "dockerfile/parse.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

enum flag_kind { FLAG_TEXT, FLAG_BOOL, FLAG_MANY };

struct flag_def {
    const char *name;
    enum flag_kind kind;
};

enum form {
    FORM_LINE,          /* the whole rest */
    FORM_WORDS,         /* between blanks */
    FORM_JSON_OR_LINE,  /* exec or shell form */
    FORM_JSON_OR_WORDS, /* a list */
    FORM_QUOTED,        /* name[=value] */
    FORM_PAIRS,         /* name=value ... or name value */
    FORM_HEALTH,        /* NONE, or CMD and exec or shell form */
    FORM_TRIGGER        /* another instruction */
};

/* What stands behind keyword and flags. */
struct args {
    struct strs list;
    bool json;
};

struct instr_def {
    const char *keyword;
    enum form form;
    bool any_flags; /* flags are not looked at, as in the reference */
    bool heredocs;
    struct err *(*take)(struct df_instr *i, struct args *a);
    struct flag_def flags[8];
};

static const struct instr_def defs[DF_KIND_COUNT];

const char *df_keyword(enum df_kind kind)
{
    return defs[kind].keyword;
}

/* ---- what each instruction takes ---- */

static struct err *need_one(const struct df_instr *i, const struct args *a)
{
    if (a->list.n == 1)
        return NULL;
    return err_new(ERR_DOCKERFILE, "%s requires exactly one argument", df_keyword(i->kind));
}

static struct err *need_some(const struct df_instr *i, const struct args *a)
{
    if (a->list.n > 0)
        return NULL;
    return err_new(ERR_DOCKERFILE, "%s requires at least one argument", df_keyword(i->kind));
}

static struct strs take_list(struct args *a)
{
    struct strs list = a->list;

    a->list = (struct strs){ 0 };
    return list;
}

static struct err *take_text(struct df_instr *i, struct args *a)
{
    TRY(need_one(i, a));
    i->arg = xstrdup(a->list.items[0]);
    return NULL;
}

static struct err *take_words(struct df_instr *i, struct args *a)
{
    TRY(need_some(i, a));
    i->words = take_list(a);
    return NULL;
}

static struct err *take_volumes(struct df_instr *i, struct args *a)
{
    TRY(need_some(i, a));
    for (size_t k = 0; k < a->list.n; k++) {
        struct span volume = span_trim(span_of(a->list.items[k]));

        if (volume.n == 0)
            return err_new(ERR_DOCKERFILE, "VOLUME takes no empty path");
        strs_take(&i->words, span_dup(volume));
    }
    return NULL;
}

static struct err *take_shell(struct df_instr *i, struct args *a)
{
    TRY(need_some(i, a));
    if (!a->json)
        return err_hint(
            err_blame(err_new(ERR_DOCKERFILE, "SHELL requires its arguments in JSON form"), a->list.items[0]),
            "Write SHELL [\"/bin/sh\", \"-c\"].");
    i->words = take_list(a);
    return NULL;
}

static struct err *take_command(struct df_instr *i, struct args *a)
{
    i->command.exec = a->json;
    i->command.args = take_list(a);
    return NULL;
}

static struct err *check_one_of(const struct df_instr *i, const char *flag, const char *const *allowed, size_t n)
{
    const char *value = df_flag(i, flag);

    if (!value)
        return NULL;
    for (size_t k = 0; k < n; k++)
        if (strcmp(value, allowed[k]) == 0)
            return NULL;
    struct err *e = err_new(ERR_DOCKERFILE, "'%s' is no value of RUN --%s", value, flag);

    AUTO_FREE char *token = xasprintf("--%s=%s", flag, value);

    return err_blame(suggest_hint(e, "", value, allowed, n), token);
}

static struct err *take_run(struct df_instr *i, struct args *a)
{
    static const char *const networks[] = { "default", "none", "host" };
    static const char *const securities[] = { "sandbox", "insecure" };

    TRY(take_command(i, a));
    TRY(check_one_of(i, "network", networks, 3));
    TRY(check_one_of(i, "security", securities, 2));
    for (size_t k = 0; k < i->n_flags; k++) {
        struct err *e = NULL;

        if (strcmp(i->flags[k].name, "mount") == 0)
            e = mount_precheck(i->flags[k].value);
        else if (strcmp(i->flags[k].name, "device") == 0)
            e = device_check(i->flags[k].value);
        if (e)
            return err_blame(err_wrap(e, "RUN --%s=%s is wrong", i->flags[k].name, i->flags[k].value),
                             i->flags[k].value);
    }
    return NULL;
}

static struct err *take_files(struct df_instr *i, struct args *a)
{
    const char *keyword = df_keyword(i->kind);

    if (a->list.n < 2)
        return err_hint(err_new(ERR_DOCKERFILE, "%s requires at least two arguments", keyword),
                        "The last argument is the destination.");
    const char *dest = a->list.items[a->list.n - 1];

    if (df_is_heredoc(dest))
        return err_blame(err_new(ERR_DOCKERFILE, "%s takes no here-document as its destination", keyword), dest);
    i->arg = xstrdup(dest);
    free(a->list.items[--a->list.n]);
    i->words = take_list(a);
    return NULL;
}

static bool is_stage_name(const char *name)
{
    return islower((unsigned char)name[0]) && !name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.")];
}

/* Most often the AS is what is wrong. */
static struct err *from_arguments(const struct args *a)
{
    struct err *e = err_new(ERR_DOCKERFILE, "FROM requires either one or three arguments");
    const char *image = a->list.n ? a->list.items[0] : "";

    for (size_t k = 1; k < a->list.n; k++)
        if (a->list.items[k][0] == '#')
            return err_blame(err_hint(e, "A comment needs a line of its own."), a->list.items[k]);
    if (a->list.n == 2 || a->list.n == 3)
        return err_blame(err_hint(e, "Write FROM %s AS %s.", image, a->list.items[a->list.n - 1]), a->list.items[1]);
    return err_hint(e, "Write FROM IMAGE, or FROM IMAGE AS NAME.");
}

static struct err *take_from(struct df_instr *i, struct args *a)
{
    if (a->list.n != 1 && (a->list.n != 3 || strcasecmp(a->list.items[1], "as") != 0))
        return from_arguments(a);
    i->arg = xstrdup(a->list.items[0]);
    if (a->list.n == 1)
        return NULL;
    i->stage_name = xstrdup(a->list.items[2]);
    for (char *p = i->stage_name; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    if (is_stage_name(i->stage_name))
        return NULL;
    return err_hint(
        err_blame(err_new(ERR_DOCKERFILE, "'%s' cannot be the name of a stage", a->list.items[2]), a->list.items[2]),
        "A name starts with a letter; letters, digits, '-', '_' and '.' may follow.");
}

static void add_pair(struct df_instr *i, char *name, char *value, bool separator)
{
    if ((i->n_pairs & (i->n_pairs - 1)) == 0) /* room for the next power of two */
        i->pairs = xreallocarray(i->pairs, i->n_pairs ? i->n_pairs * 2 : 1, sizeof(*i->pairs));
    i->pairs[i->n_pairs++] = (struct df_pair){ name, value, separator };
}

static struct err *no_name(const struct df_instr *i)
{
    return err_new(ERR_DOCKERFILE, "%s names cannot be blank", df_keyword(i->kind));
}

static struct err *take_arg(struct df_instr *i, struct args *a)
{
    TRY(need_some(i, a));
    for (size_t k = 0; k < a->list.n; k++) {
        const char *word = a->list.items[k], *equals = strchr(word, '=');

        if (equals == word)
            return err_blame(no_name(i), word);
        add_pair(i, xstrndup(word, equals ? (size_t)(equals - word) : strlen(word)),
                 equals ? xstrdup(equals + 1) : NULL, equals != NULL);
    }
    return NULL;
}

/* The pairs are there already: parse_pairs. */
static struct err *take_pairs(struct df_instr *i, struct args *a)
{
    if (i->n_pairs == 0)
        TRY(need_some(i, a));
    for (size_t k = 0; k < i->n_pairs; k++)
        if (!*i->pairs[k].name)
            return err_blame(no_name(i), "=");
    return NULL;
}

static struct err *take_health(struct df_instr *i, struct args *a)
{
    struct df_health health;

    TRY(need_some(i, a));
    const char *type = a->list.items[0];

    i->health_none = strcasecmp(type, "NONE") == 0;
    if (i->health_none && a->list.n > 1)
        return err_new(ERR_DOCKERFILE, "HEALTHCHECK NONE takes no arguments");
    if (i->health_none)
        return NULL;
    if (strcasecmp(type, "CMD") != 0)
        return err_hint(err_blame(err_new(ERR_DOCKERFILE, "unknown type '%s' of HEALTHCHECK", type), type),
                        "Write HEALTHCHECK CMD COMMAND, or HEALTHCHECK NONE.");
    if (a->list.n < 2)
        return err_new(ERR_DOCKERFILE, "HEALTHCHECK CMD has no command");
    i->command.exec = a->json;
    for (size_t k = 1; k < a->list.n; k++)
        strs_add(&i->command.args, a->list.items[k]);
    return df_parse_health(i, &health);
}

static struct err *take_trigger(struct df_instr *i, struct args *a)
{
    TRY(need_some(i, a));
    const char *keyword = a->list.items[0];

    for (size_t k = 0; k < 3; k++) {
        static const char *const forbidden[] = { "ONBUILD", "MAINTAINER", "FROM" };

        if (strcasecmp(keyword, forbidden[k]) == 0)
            return err_blame(err_new(ERR_DOCKERFILE, "%s cannot stand behind ONBUILD", forbidden[k]), keyword);
    }
    return NULL;
}

/* ---- flags ---- */

static const struct flag_def *find_flag(const struct instr_def *def, const char *name)
{
    for (const struct flag_def *f = def->flags; f->name; f++)
        if (strcmp(f->name, name) == 0)
            return f;
    return NULL;
}

/* The instruction that has the flag, NULL if none has. */
static const char *flag_owner(const char *name)
{
    for (int k = 0; k < DF_KIND_COUNT; k++)
        if (find_flag(&defs[k], name))
            return defs[k].keyword;
    return NULL;
}

static struct err *unknown_flag(const struct instr_def *def, const char *name)
{
    const char *names[8];
    size_t n = 0;

    for (const struct flag_def *f = def->flags; f->name; f++)
        names[n++] = f->name;
    struct err *e = err_new(ERR_DOCKERFILE, "unknown flag '--%s' of %s", name, def->keyword);
    const char *owner = flag_owner(name);

    if (owner)
        return err_hint(e, "--%s is a flag of %s.", name, owner);
    if (n == 0)
        return err_hint(e, "%s has no flags.", def->keyword);
    return suggest_hint(e, "--", name, names, n);
}

static struct err *check_flag(const struct df_instr *i, size_t k)
{
    const struct df_flag *flag = &i->flags[k];
    const struct flag_def *f = find_flag(&defs[i->kind], flag->name);

    if (!f)
        return unknown_flag(&defs[i->kind], flag->name);
    for (size_t before = 0; f->kind != FLAG_MANY && before < k; before++)
        if (strcmp(i->flags[before].name, flag->name) == 0)
            return err_new(ERR_DOCKERFILE, "the flag '--%s' is given twice", flag->name);
    if (f->kind != FLAG_BOOL)
        return flag->has_value ? NULL : err_new(ERR_DOCKERFILE, "the flag '--%s' needs a value", flag->name);
    static const char *const values[] = { "true", "false" };

    if (!flag->has_value || strcasecmp(flag->value, "true") == 0 || strcasecmp(flag->value, "false") == 0)
        return NULL;
    struct err *e = err_new(ERR_DOCKERFILE, "the flag '--%s' is true or false, not '%s'", flag->name, flag->value);

    return suggest_hint(e, "", flag->value, values, 2);
}

static void set_flags(struct df_instr *i, const struct strs *flags)
{
    i->flags = xcalloc(flags->n + 1, sizeof(*i->flags));
    for (size_t k = 0; k < flags->n; k++) {
        const char *name = flags->items[k] + 2, *equals = strchr(name, '=');

        i->flags[i->n_flags++] =
            (struct df_flag){ .name = xstrndup(name, equals ? (size_t)(equals - name) : strlen(name)),
                              .value = xstrdup(equals ? equals + 1 : ""),
                              .has_value = equals != NULL };
    }
}

static struct err *check_flags(const struct df_instr *i, const struct args *a)
{
    bool health_none = i->kind == DF_HEALTHCHECK && a->list.n > 0 && strcasecmp(a->list.items[0], "NONE") == 0;

    if (defs[i->kind].any_flags || health_none)
        return NULL;
    for (size_t k = 0; k < i->n_flags; k++) {
        struct err *e = check_flag(i, k);

        if (e) {
            AUTO_FREE char *token = xasprintf("--%s", i->flags[k].name);

            return err_blame(e, token);
        }
    }
    return NULL;
}

/* ---- forms of arguments ---- */

static struct err *parse_json_or(enum form otherwise, const char *rest, struct args *a)
{
    switch (json_list_parse(rest, &a->list)) {
    case JSON_LIST_OK:
        a->json = true;
        return NULL;
    case JSON_LIST_NOT_STRINGS:
        return err_new(ERR_DOCKERFILE, "an argument in JSON form must be a list of strings only");
    case JSON_LIST_NUL:
        return err_new(ERR_DOCKERFILE, "an argument in JSON form holds a zero byte");
    case JSON_LIST_NO:
        break;
    }
    if (!*rest)
        return NULL;
    if (otherwise == FORM_WORDS)
        split_blanks(span_of(rest), 0, &a->list);
    else
        strs_add(&a->list, rest);
    return NULL;
}

static struct err *parse_legacy_pair(struct df_instr *i, const char *rest)
{
    struct strs two = { 0 };
    struct err *e = NULL;

    split_blanks(span_of(rest), 2, &two);
    if (two.n == 2)
        add_pair(i, xstrdup(two.items[0]), xstrdup(two.items[1]), false);
    else
        e = err_hint(err_new(ERR_DOCKERFILE, "%s must have two arguments", df_keyword(i->kind)), "Write %s %s=VALUE.",
                     df_keyword(i->kind), rest);
    strs_release(&two);
    return e;
}

/* "name=value ..." if the first word holds a '=', else "name value". */
static struct err *parse_pairs(struct df_instr *i, const char *rest, const struct strs *words)
{
    if (words->n > 0 && !strchr(words->items[0], '='))
        return parse_legacy_pair(i, rest);
    for (size_t k = 0; k < words->n; k++) {
        const char *word = words->items[k], *equals = strchr(word, '=');

        if (!equals)
            return err_hint(err_blame(err_new(ERR_DOCKERFILE, "'%s' has no '='", word), word),
                            "Each argument has the form name=value; a value with blanks needs quotes.");
        add_pair(i, xstrndup(word, (size_t)(equals - word)), xstrdup(equals + 1), true);
    }
    return NULL;
}

/* The first word, then a command. */
static struct err *parse_health(const char *rest, struct args *a)
{
    size_t n = 0;

    while (rest[n] && !isspace((unsigned char)rest[n]))
        n++;
    if (n == 0)
        return NULL;
    struct args command = { 0 };
    struct err *e = parse_json_or(FORM_LINE, rest + n + strspn(rest + n, " \t\n\v\f\r"), &command);

    strs_take(&a->list, xstrndup(rest, n));
    for (size_t k = 0; k < command.list.n; k++)
        strs_add(&a->list, command.list.items[k]);
    a->json = command.json;
    strs_release(&command.list);
    return e;
}

static enum df_kind find_kind(const char *keyword)
{
    int k = 0;

    while (k < DF_KIND_COUNT && strcasecmp(defs[k].keyword, keyword) != 0)
        k++;
    return (enum df_kind)k;
}

static struct err *parse_line(const char *line, char escape, enum df_kind *ret_kind, struct df_instr *ret_instr,
                              struct args *ret_args);

/* The inner keyword; the inner arguments are only looked at as far as the reference does when it meets the ONBUILD. */
static struct err *parse_trigger(const char *rest, char escape, struct df_instr *i, struct args *a)
{
    struct strs head = { 0 };
    struct df_instr inner = { 0 };
    struct args inner_args = { 0 };
    enum df_kind kind = DF_KIND_COUNT;

    if (!*rest)
        return NULL;
    split_blanks(span_of(rest), 2, &head);
    strs_add(&a->list, head.items[0]);
    strs_release(&head);
    if (find_kind(a->list.items[0]) == DF_ONBUILD)
        return NULL; /* take_trigger refuses it; going on would nest as deep as the line is long */
    struct err *e = parse_line(rest, escape, &kind, &inner, &inner_args);

    i->takes_heredocs = kind != DF_KIND_COUNT && defs[kind].heredocs && !inner_args.json;
    instr_release(&inner);
    strs_release(&inner_args.list);
    return e;
}

static struct err *parse_args(const char *rest, char escape, struct df_instr *i, struct args *a)
{
    switch (defs[i->kind].form) {
    case FORM_LINE:
        if (*rest)
            strs_add(&a->list, rest);
        return NULL;
    case FORM_WORDS:
        if (*rest)
            split_blanks(span_of(rest), 0, &a->list);
        return NULL;
    case FORM_JSON_OR_LINE:
        return parse_json_or(FORM_LINE, rest, a);
    case FORM_JSON_OR_WORDS:
        return parse_json_or(FORM_WORDS, rest, a);
    case FORM_QUOTED:
        split_quoted(rest, escape, &a->list);
        return NULL;
    case FORM_PAIRS:
        split_quoted(rest, escape, &a->list);
        return parse_pairs(i, rest, &a->list);
    case FORM_HEALTH:
        return parse_health(rest, a);
    case FORM_TRIGGER:
        return parse_trigger(rest, escape, i, a);
    }
    return NULL;
}

/* Keyword, flags and arguments; an unknown keyword is no error here. */
static struct err *parse_line(const char *line, char escape, enum df_kind *ret_kind, struct df_instr *ret_instr,
                              struct args *ret_args)
{
    struct strs head = { 0 }, flags = { 0 };
    struct span rest = { "", 0 };
    struct err *e = NULL;

    split_blanks(span_trim(span_of(line)), 2, &head);
    *ret_kind = find_kind(head.items[0]);
    if (head.n == 2)
        split_flags(span_of(head.items[1]), escape, &flags, &rest);
    if (*ret_kind != DF_KIND_COUNT) {
        AUTO_FREE char *text = span_dup(rest);

        ret_instr->kind = *ret_kind;
        set_flags(ret_instr, &flags);
        e = parse_args(text, escape, ret_instr, ret_args);
    }
    strs_release(&head);
    strs_release(&flags);
    return e;
}

static struct err *unknown_keyword(const char *line)
{
    struct span word = span_trim(span_of(line));
    const char *names[DF_KIND_COUNT];
    size_t n = 0;

    while (n < word.n && !isspace((unsigned char)word.p[n]))
        n++;
    for (int k = 0; k < DF_KIND_COUNT; k++)
        names[k] = defs[k].keyword;
    AUTO_FREE char *keyword = xstrndup(n ? word.p : "", n);
    struct err *e = err_blame(err_new(ERR_DOCKERFILE, "unknown instruction '%.100s'", keyword), keyword);

    if (strncmp(keyword, "//", 2) == 0)
        return err_hint(e, "A comment begins with '#'.");

    return suggest_hint(e, "", keyword, names, DF_KIND_COUNT);
}

struct err *instr_parse(const char *line, char escape, struct df_instr *ret_instr)
{
    enum df_kind kind = DF_KIND_COUNT;
    struct args args = { 0 };
    struct err *e = parse_line(line, escape, &kind, ret_instr, &args);

    if (!e && kind == DF_KIND_COUNT)
        e = unknown_keyword(line);
    if (!e) {
        ret_instr->text = span_dup(span_trim(span_of(line)));
        ret_instr->takes_heredocs |= defs[kind].heredocs && !args.json;
        e = check_flags(ret_instr, &args);
    }
    if (!e)
        e = defs[kind].take(ret_instr, &args);
    strs_release(&args.list);
    return e;
}

void instr_release(struct df_instr *i)
{
    free(i->text);
    free(i->check);
    free(i->comment);
    for (size_t k = 0; k < i->n_flags; k++) {
        free(i->flags[k].name);
        free(i->flags[k].value);
    }
    free(i->flags);
    for (size_t k = 0; k < i->n_heredocs; k++)
        heredoc_release(&i->heredocs[k]);
    free(i->heredocs);
    strs_release(&i->command.args);
    strs_release(&i->words);
    free(i->arg);
    for (size_t k = 0; k < i->n_pairs; k++) {
        free(i->pairs[k].name);
        free(i->pairs[k].value);
    }
    free(i->pairs);
    free(i->stage_name);
    df_instr_free(i->trigger);
    *i = (struct df_instr){ 0 };
}

static const struct instr_def defs[DF_KIND_COUNT] = {
    [DF_ADD] = { "ADD",
                 FORM_JSON_OR_WORDS,
                 false,
                 true,
                 take_files,
                 { { "chown", FLAG_TEXT },
                   { "chmod", FLAG_TEXT },
                   { "link", FLAG_BOOL },
                   { "keep-git-dir", FLAG_BOOL },
                   { "checksum", FLAG_TEXT },
                   { "unpack", FLAG_BOOL },
                   { "exclude", FLAG_MANY } } },
    [DF_ARG] = { "ARG", FORM_QUOTED, true, false, take_arg, { { 0 } } },
    [DF_CMD] = { "CMD", FORM_JSON_OR_LINE, false, false, take_command, { { 0 } } },
    [DF_COPY] = { "COPY",
                  FORM_JSON_OR_WORDS,
                  false,
                  true,
                  take_files,
                  { { "chown", FLAG_TEXT },
                    { "from", FLAG_TEXT },
                    { "chmod", FLAG_TEXT },
                    { "link", FLAG_BOOL },
                    { "exclude", FLAG_MANY },
                    { "parents", FLAG_BOOL } } },
    [DF_ENTRYPOINT] = { "ENTRYPOINT", FORM_JSON_OR_LINE, false, false, take_command, { { 0 } } },
    [DF_ENV] = { "ENV", FORM_PAIRS, false, false, take_pairs, { { 0 } } },
    [DF_EXPOSE] = { "EXPOSE", FORM_WORDS, false, false, take_words, { { 0 } } },
    [DF_FROM] = { "FROM", FORM_WORDS, false, false, take_from, { { "platform", FLAG_TEXT } } },
    [DF_HEALTHCHECK] = { "HEALTHCHECK",
                         FORM_HEALTH,
                         false,
                         false,
                         take_health,
                         { { "interval", FLAG_TEXT },
                           { "timeout", FLAG_TEXT },
                           { "start-period", FLAG_TEXT },
                           { "start-interval", FLAG_TEXT },
                           { "retries", FLAG_TEXT } } },
    [DF_LABEL] = { "LABEL", FORM_PAIRS, false, false, take_pairs, { { 0 } } },
    [DF_MAINTAINER] = { "MAINTAINER", FORM_LINE, false, false, take_text, { { 0 } } },
    [DF_ONBUILD] = { "ONBUILD", FORM_TRIGGER, false, false, take_trigger, { { 0 } } },
    [DF_RUN] = { "RUN",
                 FORM_JSON_OR_LINE,
                 false,
                 true,
                 take_run,
                 { { "mount", FLAG_MANY },
                   { "network", FLAG_TEXT },
                   { "security", FLAG_TEXT },
                   { "device", FLAG_MANY } } },
    [DF_SHELL] = { "SHELL", FORM_JSON_OR_LINE, false, false, take_shell, { { 0 } } },
    [DF_STOPSIGNAL] = { "STOPSIGNAL", FORM_LINE, true, false, take_text, { { 0 } } },
    [DF_USER] = { "USER", FORM_LINE, false, false, take_text, { { 0 } } },
    [DF_VOLUME] = { "VOLUME", FORM_JSON_OR_WORDS, false, false, take_volumes, { { 0 } } },
    [DF_WORKDIR] = { "WORKDIR", FORM_LINE, false, false, take_text, { { 0 } } },
};
