#include "lint.h"

#include "base/limits.h"
#include "context/context.h"
#include "inputs.h"
#include "sys/file.h"
#include "wire.h"
#include "json/json.h"

#include <string.h>

enum { EXIT_CLEAN = 0, EXIT_WARNINGS = 1 };

static const char usage_text[] =
    "copyup lint: checks a Dockerfile without building it.\n\n"
    "  copyup lint [options] [DOCKERFILE]    DOCKERFILE: a path, or - for standard input;\n"
    "                                        default: PLUGIN_DOCKERFILE, else Dockerfile\n\n"
    "  --context DIR             the build context, for its .dockerignore (default: PLUGIN_CONTEXT, else .)\n"
    "  --target STAGE            check what this stage needs alone (default: all stages)\n"
    "  --build-arg NAME[=VALUE]  as for a build; may be repeated\n"
    "  --format text|json        json: one object, described in docs/lint.md\n"
    "  --rules                   print all rules as Markdown\n\n"
    "Exit codes: 0 no warnings, 1 warnings, 64 wrong arguments,\n"
    "65 the Dockerfile is wrong, or it has warnings and '# check=error=true'.\n";

struct lint_args {
    const char *dockerfile, *context, *target;
    struct strs build_args;
    bool json, rules, help;
};

/* ---- arguments ---- */

static const char *environment(const char *name)
{
    const char *value = getenv(name); // NOLINT(concurrency-mt-unsafe)

    return value && *value ? value : NULL;
}

static struct err *set_format(struct lint_args *a, const char *value)
{
    a->json = strcmp(value, "json") == 0;
    if (!a->json && strcmp(value, "text") != 0)
        return err_new(ERR_SETTING, "--format is text or json, not '%s'", value);
    return NULL;
}

static struct err *set_option(struct lint_args *a, const char *name, const char *value)
{
    if (strcmp(name, "--context") == 0)
        a->context = value;
    else if (strcmp(name, "--target") == 0)
        a->target = value;
    else if (strcmp(name, "--build-arg") == 0)
        wire_build_arg(value, &a->build_args);
    else
        return set_format(a, value);
    return NULL;
}

static bool takes_value(const char *name)
{
    static const char *const names[] = { "--context", "--target", "--build-arg", "--format" };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

/* --name=value, --name value; true in *ret_used: the next argument was the value */
static struct err *take_option(struct lint_args *a, const char *arg, const char *next, bool *ret_used)
{
    AUTO_FREE char *name = xstrndup(arg, strcspn(arg, "="));
    const char *value = arg[strlen(name)] == '=' ? arg + strlen(name) + 1 : NULL;

    *ret_used = false;
    if (strcmp(arg, "--rules") == 0)
        a->rules = true;
    else if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0)
        a->help = true;
    else if (!takes_value(name))
        return err_hint(err_new(ERR_SETTING, "unknown option '%s'", name), "See copyup lint --help.");
    else if (!value && !next)
        return err_new(ERR_SETTING, "'%s' needs a value", name);
    else {
        *ret_used = !value;
        return set_option(a, name, value ? value : next);
    }
    return NULL;
}

static struct err *read_args(int argc, char **argv, struct lint_args *a)
{
    for (int i = 1; i < argc; i++) {
        bool used = false;

        if (argv[i][0] == '-' && argv[i][1])
            TRY(take_option(a, argv[i], argv[i + 1], &used));
        else if (a->dockerfile)
            return err_new(ERR_SETTING, "one Dockerfile at a time: '%s' and '%s'", a->dockerfile, argv[i]);
        else
            a->dockerfile = argv[i];
        i += used;
    }
    a->context = a->context ? a->context : environment("PLUGIN_CONTEXT");
    a->context = a->context ? a->context : ".";
    a->dockerfile = a->dockerfile ? a->dockerfile : environment("PLUGIN_DOCKERFILE");
    a->dockerfile = a->dockerfile ? a->dockerfile : "Dockerfile";
    return NULL;
}

/* ---- checking ---- */

struct lint_run {
    const struct lint_args *args;
    struct dockerfile *df;
    struct ignore *ignore;
    struct lint *lint;
    struct plan *plan;
    struct err *mistakes; /* of the Dockerfile */
};

static struct err *read_text(const struct lint_args *a, char **ret_path, struct buf *text)
{
    *ret_path = inputs_dockerfile_path(a->context, a->dockerfile);
    struct err *e = strcmp(a->dockerfile, "-") == 0 ? file_read_fd(STDIN_FILENO, "-", LIMIT_DOCKERFILE_BYTES, text)
                                                    : file_read(*ret_path, LIMIT_DOCKERFILE_BYTES, text);

    return err_set_kind(err_wrap(e, "cannot read the Dockerfile"), ERR_DOCKERFILE);
}

static struct err *read_ignore(struct lint_run *r, const char *path)
{
    AUTO(buf_release) struct buf text = BUF_INIT;
    bool found = false;

    TRY(context_find_ignore(r->args->context, path, &text, &found));
    return found ? ignore_parse(buf_str(&text), text.len, &r->ignore) : NULL;
}

static struct err *plan_dockerfile(struct lint_run *r, struct plan_opts *opts)
{
    TRY(lint_new(r->df, opts, &r->lint));
    lint_set_ignore(r->lint, r->ignore);
    lint_dockerfile(r->lint);
    TRY(plan_new(r->df, opts, &r->plan));
    TRY(plan_rehearse(r->plan, !opts->target, lint_watch(r->lint)));
    return lint_verdict(r->lint);
}

static struct err *check(struct lint_run *r)
{
    struct plan_opts opts = { .build_args = r->args->build_args, .target = r->args->target };
    AUTO(strs_release) struct strs allow = { 0 };
    AUTO(buf_release) struct buf text = BUF_INIT;
    AUTO_FREE char *path = NULL;

    opts.target_platform = opts.build_platform = platform_host();
    strs_add(&allow, "network.host"); /* whether it is granted is a question to the build */
    opts.allow = allow;
    TRY(read_text(r->args, &path, &text));
    TRY(plan_check_syntax(r->args->dockerfile, buf_str(&text), text.len, &opts.build_args));
    TRY(dockerfile_parse(r->args->dockerfile, buf_str(&text), text.len, &r->df));
    TRY(read_ignore(r, path));
    return plan_dockerfile(r, &opts);
}

/* ---- results ---- */

static void put_place(struct json_writer *w, const struct srcpos *at)
{
    json_key(w, "line");
    json_put_int(w, at->line);
    json_key(w, "column");
    json_put_int(w, at->col);
    json_key(w, "width");
    json_put_int(w, at->width);
    json_key(w, "stage");
    json_put_string(w, at->stage);
    json_key(w, "source");
    json_put_string(w, at->text);
}

static void put_text(struct json_writer *w, const char *name, const char *text)
{
    json_key(w, name);
    json_put_string(w, text);
}

static void put_warnings(struct json_writer *w, struct lint *l)
{
    size_t n = 0;
    const struct lint_warning *all = l ? lint_warnings(l, &n) : NULL;

    json_key(w, "warnings");
    json_array_begin(w);
    for (size_t k = 0; k < n; k++) {
        json_object_begin(w);
        put_text(w, "rule", lint_rule_info(all[k].rule)->id);
        put_text(w, "message", all[k].message);
        put_text(w, "advice", lint_rule_info(all[k].rule)->advice);
        put_place(w, &all[k].at);
        json_object_end(w);
    }
    json_array_end(w);
    json_key(w, "dropped");
    json_put_int(w, l ? (int64_t)lint_dropped(l) : 0);
    json_key(w, "notes");
    json_array_begin(w);
    for (size_t k = 0; l && k < lint_notes(l)->n; k++)
        json_put_string(w, lint_notes(l)->items[k]);
    json_array_end(w);
}

static void put_error(struct json_writer *w, const struct err *e)
{
    struct srcpos at = { 0 };

    json_object_begin(w);
    put_text(w, "message", err_message(e));
    json_key(w, "reasons");
    json_array_begin(w);
    for (const struct err *c = err_reason(e); c; c = err_reason(c))
        json_put_string(w, err_message(c));
    json_array_end(w);
    put_text(w, "hint", err_remedy(e));
    (void)err_place(e, &at);
    put_place(w, &at);
    json_object_end(w);
}

static void print_json(const struct lint_run *r)
{
    AUTO(json_writer_free) struct json_writer *w = json_writer_new();

    json_object_begin(w);
    json_key(w, "version");
    json_put_int(w, 1);
    put_text(w, "dockerfile", r->args->dockerfile);
    json_key(w, "strict");
    json_put_bool(w, r->lint && lint_is_strict(r->lint));
    put_warnings(w, r->lint);
    json_key(w, "errors");
    json_array_begin(w);
    for (const struct err *e = r->mistakes; e; e = err_next(e))
        put_error(w, e);
    json_array_end(w);
    json_object_end(w);
    AUTO_FREE char *text = json_writer_steal(w);
    puts(text);
}

static void print_text(const struct lint_run *r, size_t n)
{
    if (r->lint)
        lint_show(stdout, r->lint);
    if (n)
        printf("%s: %zu warning%s\n", r->args->dockerfile, n, n == 1 ? "" : "s");
    else if (!r->mistakes)
        printf("%s: no warnings\n", r->args->dockerfile);
    fflush(stdout);
    if (r->mistakes)
        err_print(stderr, r->mistakes);
}

static int show(const struct lint_run *r)
{
    size_t n = 0;

    if (r->lint)
        (void)lint_warnings(r->lint, &n);
    n += r->lint ? lint_dropped(r->lint) : 0;
    if (r->args->json)
        print_json(r);
    else
        print_text(r, n);
    if (r->mistakes)
        return err_exit_code(r->mistakes);
    return n ? EXIT_WARNINGS : EXIT_CLEAN;
}

static int run(const struct lint_args *a)
{
    struct lint_run r = { .args = a };

    if (a->help) {
        fputs(usage_text, stdout);
        return 0;
    }
    if (a->rules) {
        lint_print_rules(stdout);
        return 0;
    }
    r.mistakes = check(&r);
    int code = show(&r);
    plan_free(r.plan);
    lint_free(r.lint);
    ignore_free(r.ignore);
    dockerfile_free(r.df);
    err_free(r.mistakes);
    return code;
}

int lint_main(int argc, char **argv)
{
    struct lint_args a = { 0 };
    struct err *e = read_args(argc, argv, &a);
    int code = e ? err_exit_code(e) : run(&a);

    if (e)
        err_print(stderr, e);
    err_free(e);
    strs_release(&a.build_args);
    return code;
}
