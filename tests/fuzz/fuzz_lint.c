/* Dockerfile text: all rules, with a plan and without base images. */
#include "lint/lint.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use_warnings(struct lint *l, const struct dockerfile *df)
{
    size_t n = 0;
    const struct lint_warning *w = lint_warnings(l, &n);

    for (size_t k = 0; k < n; k++)
        if (!w[k].message || w[k].at.line < 1 || (size_t)w[k].at.line > df->lines.n ||
            (k > 0 && w[k].at.line < w[k - 1].at.line))
            abort();
    err_free(lint_verdict(l));
}

static void lint_all(const struct dockerfile *df, struct ignore *ignore)
{
    AUTO(lint_free) struct lint *l = NULL;
    AUTO(plan_free) struct plan *p = NULL;
    struct plan_opts opts = { 0 };

    opts.target_platform = opts.build_platform = platform_host();
    struct err *e = lint_new(df, &opts, &l);

    if (e) {
        err_free(e);
        return;
    }
    lint_set_ignore(l, ignore);
    lint_dockerfile(l);
    e = plan_new(df, &opts, &p);
    if (!e)
        e = plan_rehearse(p, true, lint_watch(l));
    err_free(e);
    use_warnings(l, df);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(dockerfile_free) struct dockerfile *df = NULL;
    AUTO(ignore_free) struct ignore *ignore = NULL;
    AUTO(strs_release) struct strs unknown = { 0 };
    struct lint_options o;
    char *text = malloc(size + 1);

    memcpy(text, data, size);
    text[size] = '\0';
    err_free(ignore_parse("a\n*.b\n", 6, &ignore));
    err_free(dockerfile_parse("fuzz", text, size, &df));
    if (df)
        lint_all(df, ignore);
    err_free(lint_options_parse(text, &o, &unknown));
    free(text);
    return 0;
}
