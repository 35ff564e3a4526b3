/* copyup: builds a Dockerfile without privilege and pushes the image. Without arguments it runs the step from the
 * environment; pkg/README.md is the map. */
#include "address/address.h"
#include "base/err.h"
#include "base/log.h"
#include "check.h"
#include "lint.h"
#include "sandbox/sandbox.h"
#include "settings/settings.h"
#include "step.h"
#include "version.h"
#include "wire.h"

#include <errno.h>
#include <string.h>

static int usage(void)
{
    printf("copyup %s: builds a Dockerfile without privilege and pushes the image.\n\n"
           "  copyup              runs the step that the environment describes\n"
           "  copyup lint         checks a Dockerfile without building it: copyup lint --help\n"
           "  copyup check        says what this pod allows a build, and what to grant: copyup check --help\n"
           "  copyup plan         says which steps would be executed, which are in the cache, and why not\n"
           "  copyup settings     prints every setting as Markdown\n"
           "  copyup --help       this text and every setting\n"
           "  copyup --version    the version\n\n",
           COPYUP_VERSION);
    settings_print_help(stdout);
    return 0;
}

static int markdown(void)
{
    settings_print_markdown(stdout);
    return 0;
}

static int version(void)
{
    puts("copyup " COPYUP_VERSION);
    return 0;
}

/* What a setting or a Dockerfile says is repeated as it is: passwords in URLs are left out here, whoever wrote it. */
static void print_error(const struct err *e)
{
    char *text = NULL;
    size_t n;
    FILE *out = open_memstream(&text, &n);

    if (!out)
        abort();
    err_print(out, e);
    fclose(out);
    AUTO_FREE char *shown = address_redact(text);
    fputs(shown, stderr);
    free(text);
}

static int report(struct err *e)
{
    if (!e)
        return 0;
    if (err_errno(e) == ENOSPC || err_errno(e) == EDQUOT)
        e = err_hint(e,
                     "The volume of the state directory or of an output file is full: give it more space (sizeLimit of "
                     "the emptyDir, ephemeral-storage of the step).");
    fflush(stdout);
    print_error(e);
    int code = err_exit_code(e);
    err_free(e);
    return code;
}

static struct err *run_step(struct err *(*run)(const struct settings *s))
{
    AUTO(settings_free) struct settings *s = NULL;

    TRY(settings_load_env_file());
    TRY(settings_read(environ, &s));
    log_set_level((enum log_level)wire_log_level(s));
    return run(s);
}

static int plan(void)
{
    return report(run_step(step_plan));
}

static const struct {
    const char *name;
    int (*run)(void);
} commands[] = {
    { "--help", usage },    { "-h", usage },          { "help", usage }, { "--version", version },
    { "version", version }, { "settings", markdown }, { "plan", plan },
};

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], SANDBOX_INNER_COMMAND) == 0)
        sandbox_inner_main(argc, argv);
    if (argc > 1 && strcmp(argv[1], "lint") == 0)
        return lint_main(argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "check") == 0)
        return check_main(argc - 1, argv + 1);
    for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run();
    if (argc > 1)
        return report(err_hint(err_new(ERR_SETTING, "unknown command '%s'", argv[1]), "See copyup --help."));
    return report(run_step(step_main));
}
