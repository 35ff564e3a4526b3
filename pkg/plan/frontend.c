/* frontend.c - `# syntax=` and BUILDKIT_SYNTAX. BuildKit runs the image that they name to read the Dockerfile; here the
 * Dockerfile language is built in, in all versions of docker/dockerfile up to 1.26, and nothing else can be run. */
#include "oci/ref.h"
#include "plan/plan_priv.h"

#include <string.h>

#define SYNTAX_ARG "BUILDKIT_SYNTAX"

/* Docker's own, from Docker Hub or from a registry that has a copy: whatever tag or digest. */
static bool is_built_in(const struct ref *ref)
{
    static const char *const names[] = { "docker/dockerfile", "docker/dockerfile-upstream" };
    const size_t len = strlen(ref->path);

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        size_t n = strlen(names[i]);

        if (len >= n && strcmp(ref->path + len - n, names[i]) == 0 && (len == n || ref->path[len - n - 1] == '/'))
            return true;
    }
    return false;
}

static struct err *check_frontend(const char *name)
{
    AUTO(ref_release) struct ref ref = { 0 };
    struct err *e = ref_parse(name, &ref);

    if (e)
        e = err_wrap(e, "'%s' is no frontend", name);
    else if (!is_built_in(&ref))
        e = err_new(ERR_DOCKERFILE, "'%s' is another frontend than docker/dockerfile", name);
    return err_hint(e, "The Dockerfile language is built in and frontend images are not run: write the file in it, and "
                       "name docker/dockerfile:1 or nothing.");
}

/* The last one counts, as of all build arguments. */
static const char *syntax_arg(const struct strs *args)
{
    size_t n = strlen(SYNTAX_ARG "=");

    for (size_t k = args->n; k-- > 0;)
        if (strncmp(args->items[k], SYNTAX_ARG "=", n) == 0)
            return args->items[k] + n;
    return NULL;
}

struct err *plan_check_syntax(const char *name, const char *text, size_t len, const struct strs *build_args)
{
    const char *given = syntax_arg(build_args);
    int line = 0;

    if (given && given[strspn(given, " ")]) {
        given += strspn(given, " ");
        AUTO_FREE char *frontend = xstrndup(given, strcspn(given, " "));

        return err_set_kind(err_wrap(check_frontend(frontend), "the build argument " SYNTAX_ARG " cannot be used"),
                            ERR_SETTING);
    }
    AUTO_FREE char *syntax = dockerfile_syntax(text, len, &line);
    return syntax ? dockerfile_at_line(name, text, len, line, err_blame(check_frontend(syntax), syntax)) : NULL;
}
