/* Dockerfiles of many lines: what takes more than a few steps per line and variable would not come to an end here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above first */
#include <cmocka.h>

#include "base/buf.h"
#include "plan/plan.h"

#include <malloc.h>
#include <string.h>

struct big {
    struct dockerfile *df;
    struct plan *plan;
    struct stage_plan *stages;
};

static void plan_text(const char *text, size_t len, struct big *ret)
{
    struct plan_opts opts = { .target = NULL };
    struct image_config base = { 0 };

    assert_null(platform_parse("linux/amd64", &opts.target_platform));
    opts.build_platform = opts.target_platform;
    config_init(&base, &opts.target_platform);
    assert_null(dockerfile_parse("Dockerfile", text, len, &ret->df));
    assert_null(plan_new(ret->df, &opts, &ret->plan));
    ret->stages = xcalloc(ret->plan->n_stages, sizeof(*ret->stages));
    for (size_t i = 0; i < ret->plan->n_stages; i++) {
        const struct plan_stage *ps = &ret->plan->stages[i];
        const struct stage_plan *below = ps->base == PLAN_BASE_STAGE ? &ret->stages[ps->base_stage] : NULL;

        if (ps->needed)
            assert_null(plan_stage(ret->plan, i, below ? &below->config : &base, below, &ret->stages[i]));
    }
}

static void big_release(struct big *b)
{
    for (size_t i = 0; i < b->plan->n_stages; i++)
        stage_plan_release(&b->stages[i]);
    free(b->stages);
    plan_free(b->plan);
    dockerfile_free(b->df);
}

/* The last step of FROM scratch, then `line` n times with its one %d counted from 0; `last` at the end. */
static struct big plan_lines(const char *first, size_t n, const char *line, const char *last)
{
    AUTO(buf_release) struct buf text = BUF_INIT;
    const char *number = strstr(line, "%d");
    struct big b;

    buf_puts(&text, first);
    for (size_t i = 0; i < n; i++) {
        for (const char *p = line; number && *p; p++) {
            if (strncmp(p, "%d", 2) == 0)
                buf_printf(&text, "%zu", i), p++;
            else
                buf_putc(&text, *p);
        }
        buf_putc(&text, '\n');
    }
    buf_puts(&text, last);
    plan_text(text.data, text.len, &b);
    return b;
}

static const struct stage_plan *target_of(const struct big *b)
{
    return &b->stages[b->plan->target];
}

static void test_variables(void **state)
{
    const size_t n = 20000;
    struct big b = plan_lines("FROM scratch\n", n, "ENV E%d=$E1 A%d=x\nARG E%d", "RUN x\n");
    const struct stage_plan *sp = target_of(&b);
    AUTO(strs_release) struct strs env = { 0 };

    (void)state;
    assert_int_equal(sp->n_steps, 2 * n + 1);
    plan_run_env(b.plan, sp, &sp->steps[2 * n], &env);
    assert_int_equal(env.n, 2 * n + 1);
    assert_int_equal(sp->config.env.n, 2 * n + 1);
    AUTO_FREE char *history = plan_created_by(sp, &sp->steps[2 * n]);
    assert_int_equal(strncmp(history, "RUN |20000 E0= E1= E2=", 22), 0);
    big_release(&b);
}

/* Each RUN has an environment of its own, and all share what they have in common. */
static void test_runs(void **state)
{
    const size_t n = 20000;
    struct big b = plan_lines("FROM scratch\n", n, "ENV E%d=%d\nRUN x", "");
    const struct stage_plan *sp = target_of(&b);

    (void)state;
    for (size_t k = 1; k < 2 * n; k += n / 2) {
        AUTO(strs_release) struct strs env = { 0 };

        plan_run_env(b.plan, sp, &sp->steps[k], &env);
        assert_int_equal(env.n, k / 2 + 2);
    }
    big_release(&b);
}

/* What a RUN sees is not kept for each: of so many that would be gigabytes. */
static void test_memory(void **state)
{
    const size_t n = 20000;
    const size_t before = mallinfo2().uordblks;
    struct big b = plan_lines("FROM scratch\n", n, "ARG A%d=value\nRUN x", "");

    (void)state;
    assert_in_range(mallinfo2().uordblks - before, 0, 64 << 20);
    big_release(&b);
}

static void test_lists(void **state)
{
    const size_t n = 50000;
    struct big b = plan_lines("FROM scratch\n", n, "LABEL l%d=%d\nVOLUME /v%d", "LABEL l0=again\nVOLUME /v1\n");
    const struct image_config *c = &target_of(&b)->config;

    (void)state;
    assert_int_equal(c->n_labels, n);
    assert_string_equal(c->labels[0].value, "again");
    assert_int_equal(c->volumes.n, n);
    big_release(&b);
    b = plan_lines("FROM scratch\n", n, "EXPOSE %d/udp %d/tcp", "");
    assert_int_equal(target_of(&b)->config.exposed_ports.n, 2 * n);
    big_release(&b);
}

static void test_stages(void **state)
{
    const size_t n = 5000;
    struct big b = plan_lines("FROM scratch AS s\n", n, "FROM scratch AS s%d\nCOPY --from=s a b", "FROM s1\n");

    (void)state;
    assert_int_equal(b.plan->n_stages, n + 2);
    assert_int_equal(b.stages[2].n_steps, 1);
    big_release(&b);
    b = plan_lines("FROM scratch AS s0\n", n, "FROM s%d AS s%d1\nFROM scratch AS s%d0", "");
    big_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_variables), cmocka_unit_test(test_runs),   cmocka_unit_test(test_memory),
        cmocka_unit_test(test_lists),     cmocka_unit_test(test_stages),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
