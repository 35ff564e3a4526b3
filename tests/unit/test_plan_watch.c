#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above first */
#include <cmocka.h>

#include "base/buf.h"
#include "plan/plan.h"

#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- what a watcher is told ---- */

static void on_base(void *ctx, const struct plan_moment *m)
{
    buf_printf(ctx, "[%zu%s %s", m->stage, m->base_known ? "" : "?", m->config->platform.os);
    buf_printf(ctx, "%s]", m->config->env.n && env_get(&m->config->env, "BASE") ? " BASE" : "");
}

static void on_instr(void *ctx, const struct plan_moment *m)
{
    const char *a = vars_get(m->env, "A");

    buf_printf(ctx, " %s@%d", df_keyword(m->instr->kind), m->instr->line);
    if (a)
        buf_printf(ctx, "(A=%s)", a);
    if (m->args->n)
        buf_printf(ctx, "(%zu args)", m->args->n);
}

static void on_undefined(void *ctx, const struct plan_moment *m, const char *name)
{
    buf_printf(ctx, " !%s@%d", name, m->instr->line);
}

static struct plan_watch watch_into(struct buf *out)
{
    return (struct plan_watch){ out, on_base, on_instr, on_undefined };
}

static const struct plan_row {
    const char *text, *want, *onbuild;
    bool all;
} watched[] = {
    { "FROM a", "[0 linux BASE]", NULL, false },
    { "FROM a\nENV A=1 B=$C\nRUN $D\nUSER $A", "[0 linux BASE] ENV@2 !C@2 RUN@3(A=1) USER@4(A=1)", NULL, false },
    { "FROM a\nENV X=$X$Y$X", "[0 linux BASE] ENV@2 !X@2 !Y@2", NULL, false },
    { "FROM a\nLABEL $X=1 a=$X", "[0 linux BASE] LABEL@2 !X@2 !X@2", NULL, false },
    { "FROM a\nARG X\nUSER $X$Y", "[0 linux BASE] ARG@2 USER@3(1 args) !Y@3", NULL, false },
    { "FROM a\nARG X=$Y Z=$X", "[0 linux BASE] ARG@2 !Y@2", NULL, false },
    { "FROM a\nEXPOSE 80$X", "[0 linux BASE] EXPOSE@2", NULL, false },
    { "FROM a\nCMD $X\nENTRYPOINT [\"$X\"]\nHEALTHCHECK CMD $X\nSHELL [\"$X\"]",
      "[0 linux BASE] CMD@2 ENTRYPOINT@3 HEALTHCHECK@4 SHELL@5", NULL, false },
    { "FROM a\nCOPY --chown=$A --chmod=0$B $C /$D", "[0 linux BASE] COPY@2 !A@2 !B@2 !C@2 !D@2", NULL, false },
    { "FROM a\nCOPY <<E <<'F' /x/\n$A\nE\n$B\nF", "[0 linux BASE] COPY@2 !A@2", NULL, false },
    { "FROM a\nRUN --mount=type=tmpfs,target=/m$A x", "[0 linux BASE] RUN@2 !A@2", NULL, false },
    { "FROM a\nUSER ${A:-x}${B+x}", "[0 linux BASE] USER@2 !A@2 !B@2", NULL, false },
    { "FROM a\nUSER $BUILDKIT_SBOM_SCAN_STAGE", "[0 linux BASE] USER@2", NULL, false },
    { "FROM a\nWORKDIR $A\nVOLUME /$B\nSTOPSIGNAL 9$C", "[0 linux BASE] WORKDIR@2 !A@2 VOLUME@3 !B@3 STOPSIGNAL@4 !C@4",
      NULL, false },
    { "# c\nFROM a\nUSER x", "[0 linux BASE] LABEL@2 !A@2 USER@3", "LABEL a=$A", false },
    { "FROM a AS b\nONBUILD USER $X\nFROM b", "[0 linux BASE] ONBUILD@2[1 linux BASE] USER@3 !X@3", NULL, false },
    { "FROM scratch\nUSER $A", "[0 linux] USER@2 !A@2", NULL, false },
};

/* Plans all stages as a build does. The base image: BASE is set. */
static struct err *plan_all(const struct plan *p, const char *onbuild)
{
    struct stage_plan plans[8] = { 0 };
    struct err *e = NULL;

    for (size_t k = 0; !e && k < p->n_stages; k++) {
        const struct plan_stage *ps = &p->stages[k];
        const struct stage_plan *from = ps->base == PLAN_BASE_STAGE ? &plans[ps->base_stage] : NULL;
        struct image_config base = { 0 };

        config_init(&base, &ps->platform);
        if (ps->base == PLAN_BASE_IMAGE)
            env_set(&base.env, "BASE", "b");
        if (onbuild)
            strs_add(&base.onbuild, onbuild);
        e = plan_stage(p, k, from ? &from->config : &base, from, &plans[k]);
        config_release(&base);
    }
    for (size_t k = 0; k < p->n_stages; k++)
        stage_plan_release(&plans[k]);
    return e;
}

static void make_plan(const char *text, const struct plan_watch *w, struct dockerfile **ret_df, struct plan **ret)
{
    struct plan_opts opts = { .watch = w };

    assert_null(platform_parse("linux/amd64", &opts.target_platform));
    opts.build_platform = opts.target_platform;
    assert_null(dockerfile_parse("Dockerfile", text, strlen(text), ret_df));
    assert_null(plan_new(*ret_df, &opts, ret));
}

static void test_watch(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(watched); i++) {
        AUTO(dockerfile_free) struct dockerfile *df = NULL;
        AUTO(plan_free) struct plan *p = NULL;
        AUTO(buf_release) struct buf out = BUF_INIT;
        const struct plan_watch w = watch_into(&out);

        make_plan(watched[i].text, &w, &df, &p);
        struct err *e = plan_all(p, watched[i].onbuild);
        if (e)
            err_print(stderr, e);
        assert_null(e);
        if (strcmp(buf_str(&out), watched[i].want) != 0)
            fail_msg("%s\ngot:  %s\nwant: %s", watched[i].text, buf_str(&out), watched[i].want);
    }
}

/* ---- without base images ---- */

/* want: the messages, each in front of its place; what the watcher was told follows a bar */
static const struct plan_row rehearsed[] = {
    { "FROM a\nUSER x", "|[0? linux] USER@2", NULL, false },
    { "FROM a\nEXPOSE x\nUSER $X\nEXPOSE y", "'x' is not a port@2|[0? linux] EXPOSE@2 USER@3 !X@3 EXPOSE@4", NULL,
      false },
    { "FROM a\nEXPOSE $X", "|[0? linux] EXPOSE@2", NULL, false },
    { "FROM a\nENV P=$X\nEXPOSE $P\nSTOPSIGNAL no", "|[0? linux] ENV@2 !X@2 EXPOSE@3 STOPSIGNAL@4", NULL, false },
    { "FROM a\nUSER ${X:?}", "|[0? linux] USER@2 !X@2", NULL, false },
    { "FROM a\nUSER ${X", "cannot expand@2|[0? linux] USER@2", NULL, false },
    { "FROM scratch\nENV P=$X\nSTOPSIGNAL no", "'no' is not a signal@3|[0 linux] ENV@2 !X@2 STOPSIGNAL@3", NULL,
      false },
    { "FROM scratch\nUSER ${X:?}", "cannot expand@2|[0 linux] USER@2 !X@2", NULL, false },
    { "FROM a AS b\nENV P=$X\nFROM b\nSTOPSIGNAL $P", "|[0? linux] ENV@2 !X@2[1? linux] STOPSIGNAL@4", NULL, false },
    { "FROM a AS b\nSTOPSIGNAL no\nFROM b\nSTOPSIGNAL no",
      "'no' is not a signal@2|[0? linux] STOPSIGNAL@2[1? linux] STOPSIGNAL@4", NULL, false },
    { "FROM a AS b\nSTOPSIGNAL no\nFROM a\nUSER x", "|[1? linux] USER@4", NULL, false },
    { "FROM a AS b\nSTOPSIGNAL no\nFROM a\nUSER x", "'no' is not a signal@2|[0? linux] STOPSIGNAL@2[1? linux] USER@4",
      NULL, true },
    { "FROM a AS b\nSTOPSIGNAL no\nFROM a\nEXPOSE x",
      "'no' is not a signal@2 'x' is not a port@4|[0? linux] "
      "STOPSIGNAL@2[1? linux] EXPOSE@4",
      NULL, true },
    { "FROM a AS b\nONBUILD STOPSIGNAL no\nFROM b", "cannot execute@3|[0? linux] ONBUILD@2[1? linux] STOPSIGNAL@3",
      NULL, false },
    { "FROM a\nRUN --security=insecure x", "--security=insecure cannot be granted@2|[0? linux]", NULL, true },
};

static void check_mistakes(const struct plan_row *row, const char *text, const char *log)
{
    AUTO_FREE char *all = xstrndup(row->want, strcspn(row->want, "|"));
    AUTO_FREE char *want_log = xstrdup(strchr(row->want, '|') + 1);
    const char *rest = text;
    char *save = NULL;
    size_t n = 0, errors = 0;

    for (char *m = strtok_r(all, "@", &save); m; m = strtok_r(NULL, "@", &save)) {
        char *line = strtok_r(NULL, " ", &save);
        AUTO_FREE char *place = xasprintf("at Dockerfile:%s", line);

        rest = strstr(rest, m);
        if (!rest || !(rest = strstr(rest, place)))
            fail_msg("%s\nlacks '%s' %s:\n%s", row->text, m, place, text);
        n++;
    }
    for (const char *p = text; (p = strstr(p, "error: ")); p++)
        errors++;
    if (errors != n || strcmp(log, want_log) != 0)
        fail_msg("%s\ngot: %s\n%s", row->text, text, log);
}

static void test_rehearsal(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rehearsed); i++) {
        const struct plan_row *row = &rehearsed[i];
        AUTO(dockerfile_free) struct dockerfile *df = NULL;
        AUTO(plan_free) struct plan *p = NULL;
        AUTO(buf_release) struct buf out = BUF_INIT;
        AUTO_FREE char *text = xcalloc(1, 8192);
        const struct plan_watch w = watch_into(&out);
        size_t hidden = 0;

        if (strstr(row->text, "--security")) { /* plan_new() refuses it in what is needed: another stage is */
            AUTO_FREE char *two = xasprintf("%s\nFROM a\n", row->text);

            make_plan(two, NULL, &df, &p);
            hidden = p->n_stages - 1;
            p->n_stages = 1;
        } else {
            make_plan(row->text, NULL, &df, &p);
        }
        struct err *e = plan_rehearse(p, row->all, &w);
        FILE *f = fmemopen(text, 8191, "w");

        assert_non_null(f);
        err_print(f, e);
        fclose(f);
        err_free(e);
        check_mistakes(row, text, buf_str(&out));
        err_free(plan_rehearse(p, row->all, NULL));
        p->n_stages += hidden; /* all of them are freed */
    }
}

/* ---- the variables of FROM ---- */

static void test_globals(void **state)
{
    static const char text[] = "ARG A=1\nARG B=$A-$TARGETARCH C\nFROM a AS last\nARG D=2\n";
    AUTO(dockerfile_free) struct dockerfile *df = NULL;
    AUTO(strs_release) struct strs args = { 0 };
    AUTO(vars_release) struct vars env = { 0 };
    struct plan_opts opts = { 0 };

    (void)state;
    assert_null(platform_parse("linux/arm64", &opts.target_platform));
    assert_null(platform_parse("linux/amd64", &opts.build_platform));
    assert_null(dockerfile_parse("Dockerfile", text, strlen(text), &df));
    strs_add(&args, "A=9");
    opts.build_args = args;
    assert_null(plan_globals(df, &opts, &env));
    assert_string_equal(vars_get(&env, "B"), "9-arm64");
    assert_string_equal(vars_get(&env, "BUILDARCH"), "amd64");
    assert_string_equal(vars_get(&env, "TARGETSTAGE"), "last");
    assert_null(vars_get(&env, "C"));
    assert_null(vars_get(&env, "D"));
}

static void test_globals_wrong(void **state)
{
    static const char text[] = "ARG A=${B:?no}\nFROM a\n";
    AUTO(dockerfile_free) struct dockerfile *df = NULL;
    const struct plan_opts opts = { 0 };
    struct vars env = { 0 };
    struct srcpos at;

    (void)state;
    assert_null(dockerfile_parse("Dockerfile", text, strlen(text), &df));
    struct err *e = plan_globals(df, &opts, &env);
    assert_non_null(e);
    assert_true(err_place(e, &at) && at.line == 1 && at.col == 7);
    assert_int_equal(env.changes.n, 0);
    err_free(e);
}

/* ---- frontends ---- */

static void test_syntax(void **state)
{
    static const struct {
        const char *text, *arg;
        enum err_kind kind; /* ERR_KIND_COUNT: accepted */
    } rows[] = {
        { "FROM a", NULL, ERR_KIND_COUNT },
        { "# syntax=docker/dockerfile:1\nFROM a", NULL, ERR_KIND_COUNT },
        { "#syntax = docker/dockerfile\nFROM a", NULL, ERR_KIND_COUNT },
        { "# syntax=docker/dockerfile:1.4.0-labs\nFROM a", NULL, ERR_KIND_COUNT },
        { "# syntax=docker.io/docker/dockerfile:experimental\nFROM a", NULL, ERR_KIND_COUNT },
        { "# syntax=docker/dockerfile-upstream:master\nFROM a", NULL, ERR_KIND_COUNT },
        { "# syntax=docker/dockerfile:1@sha256:"
          "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\nFROM a",
          NULL, ERR_KIND_COUNT },
        { "# syntax=mirror.example.com:5000/hub/docker/dockerfile:1\nFROM a", NULL, ERR_KIND_COUNT },
        { "#!/bin/x\n# syntax=docker/dockerfile:1 more words\nFROM a", NULL, ERR_KIND_COUNT },
        { "# c\n# syntax=other\nFROM a", NULL, ERR_KIND_COUNT }, /* a comment */
        { "# syntax=dockerfile:1\nFROM a", NULL, ERR_DOCKERFILE },
        { "# syntax=docker/dockerfile2\nFROM a", NULL, ERR_DOCKERFILE },
        { "# syntax=mydocker/dockerfile\nFROM a", NULL, ERR_DOCKERFILE },
        { "# syntax=docker/Dockerfile:1\nFROM a", NULL, ERR_DOCKERFILE },
        { "# escape=`\n# syntax=other/frontend\nnonsense", NULL, ERR_DOCKERFILE },
        { "# syntax=other/frontend\nFROM a", "BUILDKIT_SYNTAX=docker/dockerfile:1", ERR_KIND_COUNT },
        { "# syntax=other/frontend\nFROM a", "BUILDKIT_SYNTAX=", ERR_DOCKERFILE },
        { "FROM a", "BUILDKIT_SYNTAX=other/frontend", ERR_SETTING },
        { "# syntax=docker/dockerfile:1\nFROM a", "BUILDKIT_SYNTAX= other/frontend x=y", ERR_SETTING },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO(strs_release) struct strs args = { 0 };
        struct srcpos at;

        if (rows[i].arg)
            strs_add(&args, rows[i].arg);
        struct err *e = plan_check_syntax("D", rows[i].text, strlen(rows[i].text), &args);
        if ((e ? err_kind(e) : ERR_KIND_COUNT) != rows[i].kind)
            fail_msg("%s %s: %s", rows[i].text, rows[i].arg, e ? err_message(e) : "accepted");
        if (e && rows[i].kind == ERR_DOCKERFILE && (!err_place(e, &at) || at.col == 0 || !err_remedy(e)))
            fail_msg("%s: no place or no remedy", rows[i].text);
        err_free(e);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_watch),         cmocka_unit_test(test_rehearsal), cmocka_unit_test(test_globals),
        cmocka_unit_test(test_globals_wrong), cmocka_unit_test(test_syntax),
    };

    return cmocka_run_group_tests_name("plan_watch", tests, NULL, NULL);
}
