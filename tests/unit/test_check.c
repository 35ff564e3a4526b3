/* What `copyup check` says of a pod: what is missing, and that its JSON is JSON. The pods themselves: tests/pod. */
#include "../../cmd/copyup/check.h"

#include "base/mem.h"
#include "json/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* ---- a report ---- */

struct pod {
    const char *name;
    struct check_inside inside;
    bool failed;
    const char *lacks[CHECK_LACKS_MAX]; /* the starts of what is said, in this order */
};

#define PLENTY (100ULL << 30)

static const struct pod pods[] = {
    { "all there is",
      { .entered = true,
        .opened = true,
        .rung = "full",
        .can_run = true,
        .fresh_proc = true,
        .snapshots = "overlay on ext4",
        .free_bytes = PLENTY },
      false,
      { NULL } },
    { "the strictest pod that can build",
      { .entered = true,
        .opened = true,
        .rung = "single",
        .can_run = true,
        .recorded = true,
        .snapshots = "overlay on ext4",
        .free_bytes = PLENTY },
      false,
      { "no real owners", "no /proc", "no Landlock" } },
    { "no namespaces, no overlay, a full disk",
      { .entered = true,
        .opened = true,
        .rung = "none",
        .recorded = true,
        .snapshots = "copy on tmpfs (overlay: refused)",
        .free_bytes = 1 << 20 },
      false,
      { "no RUN", "no overlayfs", "little space" } },
    { "a rung that does not work", { .entered = false }, true, { NULL } },
    { "no state directory", { .entered = true, .rung = "full", .can_run = true, .fresh_proc = true }, true, { NULL } },
    { "the strictest pod, on a newer kernel",
      { .entered = true,
        .opened = true,
        .rung = "single",
        .can_run = true,
        .scoped = true,
        .recorded = true,
        .snapshots = "overlay on ext4",
        .free_bytes = PLENTY },
      false,
      { "no real owners", "no /proc" } },
};

static void make_report(const struct pod *p, struct check_report *r)
{
    static const char *const names[] = { "full", "single", "none" };

    *r = (struct check_report){
        .limits = { .memory_bytes = 500 << 20, .cpu_milli = 400, .cpu_limited = true, .pids_max = UINT64_MAX },
        .inside = (struct check_inside *)&p->inside,
        .n_trials = 3
    };
    r->trials = xcalloc(3, sizeof(*r->trials));
    for (size_t i = 0; i < 3; i++)
        r->trials[i] = (struct sandbox_trial){ .name = names[i], .what = "x" };
    r->trials[0].refusal = err_hint(err_new(ERR_POD, "no capability"), "Grant it.");
    if (p->failed)
        r->error = err_hint(err_new(ERR_POD, "it \"fails\""), "Do something.");
}

static void free_report(struct check_report *r)
{
    sandbox_trials_free(r->trials, r->n_trials);
    err_free((struct err *)r->error);
}

/* ---- tests ---- */

static void test_lacks(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(pods) / sizeof(pods[0]); i++) {
        struct check_lack lacks[CHECK_LACKS_MAX];
        struct check_report r;
        size_t n_expected = 0;

        make_report(&pods[i], &r);
        size_t n = check_lacks(&r, lacks);
        while (n_expected < CHECK_LACKS_MAX && pods[i].lacks[n_expected])
            n_expected++;
        if (n != n_expected)
            fail_msg("%s: %zu, not %zu", pods[i].name, n, n_expected);
        for (size_t k = 0; k < n; k++)
            if (strncmp(lacks[k].what, pods[i].lacks[k], strlen(pods[i].lacks[k])) != 0)
                fail_msg("%s: '%s'", pods[i].name, lacks[k].what);
        free_report(&r);
    }
}

static char *shown(void (*show)(FILE *, const struct check_report *), const struct check_report *r)
{
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);

    show(out, r);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void test_json(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(pods) / sizeof(pods[0]); i++) {
        struct check_report r;
        AUTO(json_free) struct json *doc = NULL;

        make_report(&pods[i], &r);
        AUTO_FREE char *text = shown(check_show_json, &r);
        assert_null(json_parse(text, strlen(text), &doc));
        const struct json *sandboxes = json_get(doc, "sandboxes");
        assert_int_equal(json_count(sandboxes), 3);
        assert_string_equal(json_get_string(json_at(sandboxes, 0), "grant"), "Grant it.");
        assert_int_equal(json_get_bool(doc, "canBuild"), !pods[i].failed);
        free_report(&r);
    }
}

static void test_text(void **state)
{
    struct check_report r;

    (void)state;
    make_report(&pods[1], &r);
    AUTO_FREE char *text = shown(check_show_text, &r);
    free_report(&r);
    static const char *const parts[] = { "sandbox: single", "not full",  "Grant it.",
                                         "CPU 400m,",       "1 worker ", "this pod can build\n" };
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        if (!strstr(text, parts[i]))
            fail_msg("'%s' is not in:\n%s", parts[i], text);
    make_report(&pods[2], &r);
    AUTO_FREE char *none = shown(check_show_text, &r);
    free_report(&r);
    assert_non_null(strstr(none, "can build what has no RUN"));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_lacks), cmocka_unit_test(test_json),
                                        cmocka_unit_test(test_text) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
