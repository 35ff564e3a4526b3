#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above first */
#include <cmocka.h>

#include "base/buf.h"
#include "plan/key.h"

#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* What a key is made of, as a row changes it. NULL: what all rows have. */
struct input {
    const char *text;   /* the Dockerfile; its last step is the one with the key */
    const char *args;   /* build arguments, NAME=VALUE|... */
    const char *parent; /* any text: its digest is the parent */
    const char *platform;
    const char *settings; /* NAME=VALUE|... */
    const char *files;    /* any text: its digest is that of the step's files */
    const char *base_env; /* NAME=VALUE of the base image */
};

static void split(const char *text, struct strs *ret)
{
    AUTO_FREE char *all = xstrdup(text ? text : "");
    char *save = NULL;

    for (char *t = strtok_r(all, "|", &save); t; t = strtok_r(NULL, "|", &save))
        strs_add(ret, t);
}

static void must(const char *name, struct err *e)
{
    if (e)
        fail_msg("%s: %s", name, err_message(e));
}

/* Calls use with the last step of the input's Dockerfile. */
static void with_step(const char *name, const struct input *in, void (*use)(const struct key_step *, void *), void *ctx)
{
    const char *text = in->text;
    AUTO(strs_release) struct strs settings = { 0 };
    struct plan_opts opts = { 0 };
    AUTO(dockerfile_free) struct dockerfile *df = NULL;
    AUTO(plan_free) struct plan *p = NULL;
    struct image_config base = { 0 };
    struct stage_plan sp = { 0 };
    struct digest sources[4] = { { "" } };
    const char *files = in->files ? in->files : "files";

    split(in->args, &opts.build_args);
    split(in->settings, &settings);
    must(name, platform_parse(in->platform ? in->platform : "linux/amd64", &opts.target_platform));
    opts.build_platform = opts.target_platform;
    must(name, dockerfile_parse("Dockerfile", text, strlen(text), &df));
    must(name, plan_new(df, &opts, &p));
    config_init(&base, &opts.target_platform);
    if (in->base_env)
        strs_add(&base.env, in->base_env);
    must(name, plan_stage(p, p->target, &base, NULL, &sp));
    for (size_t i = 0; i < COUNT(sources); i++)
        sources[i] = digest_bytes(files, strlen(files));
    const char *parent = in->parent ? in->parent : "parent";
    const struct key_step k = { .plan = p,
                                .stage = &sp,
                                .step = &sp.steps[sp.n_steps - 1],
                                .parent = digest_bytes(parent, strlen(parent)),
                                .platform = &opts.target_platform,
                                .settings = &settings,
                                .sources = sources };
    use(&k, ctx);
    stage_plan_release(&sp);
    config_release(&base);
    strs_release(&opts.build_args);
}

static void take_key(const struct key_step *k, void *ctx)
{
    *(struct digest *)ctx = plan_key_step(k);
}

static void take_facts(const struct key_step *k, void *ctx)
{
    plan_key_facts(k, ctx);
}

#define F "FROM base\n"

static const struct pair {
    const char *name;
    struct input a, b;
} different[] = {
    { "command", { .text = F "RUN a" }, { .text = F "RUN b" } },
    { "form of the command", { .text = F "RUN a b" }, { .text = F "RUN [\"a\", \"b\"]" } },
    { "boundary of words", { .text = F "RUN [\"ab\", \"c\"]" }, { .text = F "RUN [\"a\", \"bc\"]" } },
    { "number of words", { .text = F "RUN [\"a\"]" }, { .text = F "RUN [\"a\", \"\"]" } },
    { "shell", { .text = F "RUN a" }, { .text = F "SHELL [\"/bin/bash\", \"-c\"]\nRUN a" } },
    { "user", { .text = F "RUN a" }, { .text = F "USER u\nRUN a" } },
    { "directory", { .text = F "RUN a" }, { .text = F "WORKDIR /w\nRUN a" } },
    { "ENV's value", { .text = F "ENV A=1\nRUN a" }, { .text = F "ENV A=2\nRUN a" } },
    { "ENV's name", { .text = F "ENV A=1\nRUN a" }, { .text = F "ENV B=1\nRUN a" } },
    { "boundary of ENV", { .text = F "ENV AB=C\nRUN a" }, { .text = F "ENV A=BC\nRUN a" } },
    { "ENV of the base", { .text = F "RUN a" }, { .text = F "RUN a", .base_env = "A=1" } },
    { "an empty ENV", { .text = F "RUN a" }, { .text = F "ENV A=\nRUN a" } },
    { "ARG", { .text = F "ARG A\nRUN a", .args = "A=1" }, { .text = F "ARG A\nRUN a", .args = "A=2" } },
    { "ARG's default", { .text = F "ARG A=1\nRUN a" }, { .text = F "ARG A=3\nRUN a" } },
    { "a declared platform argument",
      { .text = F "ARG TARGETARCH\nRUN a" },
      { .text = F "ARG TARGETARCH\nRUN a", .platform = "linux/arm64" } },
    { "ENV of a proxy's name", { .text = F "ENV HTTP_PROXY=a\nRUN a" }, { .text = F "ENV HTTP_PROXY=b\nRUN a" } },
    { "parent", { .text = F "RUN a" }, { .text = F "RUN a", .parent = "other" } },
    { "platform", { .text = F "RUN a" }, { .text = F "RUN a", .platform = "linux/arm64" } },
    { "variant", { .text = F "RUN a", .platform = "linux/arm/v6" }, { .text = F "RUN a", .platform = "linux/arm/v7" } },
    { "setting", { .text = F "RUN a", .settings = "epoch=1" }, { .text = F "RUN a", .settings = "epoch=2" } },
    { "boundary of settings", { .text = F "RUN a", .settings = "ab=c" }, { .text = F "RUN a", .settings = "a=bc" } },
    { "network", { .text = F "RUN a" }, { .text = F "RUN --network=none a" } },
    { "script", { .text = F "RUN <<E\n#!/bin/a\nx\nE\n" }, { .text = F "RUN <<E\n#!/bin/a\ny\nE\n" } },
    { "mount", { .text = F "RUN a" }, { .text = F "RUN --mount=type=tmpfs,target=/t a" } },
    { "kind of mount",
      { .text = F "RUN --mount=type=cache,target=/t a" },
      { .text = F "RUN --mount=type=tmpfs,target=/t a" } },
    { "place of a mount",
      { .text = F "RUN --mount=type=cache,id=i,target=/t a" },
      { .text = F "RUN --mount=type=cache,id=i,target=/u a" } },
    { "id of a secret",
      { .text = F "RUN --mount=type=secret,id=a,target=/t a" },
      { .text = F "RUN --mount=type=secret,id=b,target=/t a" } },
    { "files of a mount",
      { .text = F "RUN --mount=type=bind,target=/t a" },
      { .text = F "RUN --mount=type=bind,target=/t a", .files = "other" } },
    { "files", { .text = F "COPY a /b" }, { .text = F "COPY a /b", .files = "other" } },
    { "sources", { .text = F "COPY a /b" }, { .text = F "COPY c /b" } },
    { "order of sources", { .text = F "COPY a c /b/" }, { .text = F "COPY c a /b/" } },
    { "boundary of sources", { .text = F "COPY ab c /d/" }, { .text = F "COPY a bc /d/" } },
    { "a source, or excluded", { .text = F "COPY a c /d/" }, { .text = F "COPY --exclude=c a /d/" } },
    { "destination", { .text = F "COPY a /b" }, { .text = F "COPY a /b/" } },
    { "destination by WORKDIR", { .text = F "WORKDIR /w\nCOPY a b" }, { .text = F "WORKDIR /v\nCOPY a b" } },
    { "ADD", { .text = F "COPY a /b" }, { .text = F "ADD a /b" } },
    { "owner", { .text = F "COPY a /b" }, { .text = F "COPY --chown=1 a /b" } },
    { "mode", { .text = F "COPY --chmod=1 a /b" }, { .text = F "COPY --chown=1 a /b" } },
    { "link", { .text = F "COPY a /b" }, { .text = F "COPY --link a /b" } },
    { "parents", { .text = F "COPY a /b/" }, { .text = F "COPY --parents a /b/" } },
    { "host name", { .text = F "RUN a" }, { .text = F "RUN a", .args = "BUILDKIT_SANDBOX_HOSTNAME=h" } },
    { "unpack", { .text = F "ADD a /b/" }, { .text = F "ADD --unpack=false a /b/" } },
    { "git directory",
      { .text = F "ADD https://h/r.git /b/" },
      { .text = F "ADD --keep-git-dir=true https://h/r.git /b/" } },
    { "ARG in a source",
      { .text = F "ARG A\nCOPY $A /b", .args = "A=1" },
      { .text = F "ARG A\nCOPY $A /b", .args = "A=2" } },
    { "here-document", { .text = F "COPY <<a /b/\n1\na\n" }, { .text = F "COPY <<a /b/\n2\na\n" } },
    { "name of a here-document", { .text = F "COPY <<a /b/\n1\na\n" }, { .text = F "COPY <<b /b/\n1\nb\n" } },
    { "WORKDIR", { .text = F "WORKDIR /a" }, { .text = F "WORKDIR /b" } },
    { "WORKDIR's owner", { .text = F "WORKDIR /a" }, { .text = F "USER u\nWORKDIR /a" } },
}, same[] = {
    { "nothing", { .text = F "RUN a" }, { .text = F "RUN a" } },
    { "comments and blanks", { .text = F "RUN a" }, { .text = "# c\n" F "\n# d\nRUN   a" } },
    { "line", { .text = F "RUN a" }, { .text = "\n\n" F "RUN a" } },
    { "labels", { .text = F "RUN a" }, { .text = F "LABEL a=b\nRUN a" } },
    { "order of labels", { .text = F "LABEL a=b c=d\nRUN a" }, { .text = F "LABEL c=d a=b\nRUN a" } },
    { "CMD and others", { .text = F "RUN a" }, { .text = F "CMD x\nEXPOSE 1\nVOLUME /v\nENTRYPOINT y\nRUN a" } },
    { "order of ENV", { .text = F "ENV A=1 B=2\nRUN a" }, { .text = F "ENV B=2\nENV A=1\nRUN a" } },
    { "ENV of a COPY", { .text = F "COPY a /b" }, { .text = F "ENV A=1\nCOPY a /b" } },
    { "ARG of a COPY", { .text = F "COPY a /b" }, { .text = F "ARG A=1\nCOPY a /b" } },
    { "ARG after the RUN's", { .text = F "ARG A=1\nENV B=2\nRUN a" }, { .text = F "ENV B=2\nARG A=1\nRUN a" } },
    { "an argument that nobody declares", { .text = F "RUN a" }, { .text = F "RUN a", .args = "A=1" } },
    { "a proxy", { .text = F "RUN a" }, { .text = F "RUN a", .args = "HTTP_PROXY=http://u:p@h|no_proxy=x" } },
    { "a declared proxy",
      { .text = F "ARG HTTPS_PROXY\nRUN a", .args = "HTTPS_PROXY=a" },
      { .text = F "ARG HTTPS_PROXY\nRUN a", .args = "HTTPS_PROXY=b" } },
    { "name of the stage", { .text = "FROM base AS x\nRUN a" }, { .text = "FROM base AS y\nRUN a" } },
    { "spelling of WORKDIR", { .text = F "WORKDIR /a/b\nRUN c" }, { .text = F "WORKDIR /a\nWORKDIR b\nRUN c" } },
    { "ARG or text in a source", { .text = F "COPY x /b" }, { .text = F "ARG A=x\nCOPY $A /b" } },
};

static void compare(const struct pair *rows, size_t n, bool want)
{
    for (size_t i = 0; i < n; i++) {
        struct digest a, b;

        with_step(rows[i].name, &rows[i].a, take_key, &a);
        with_step(rows[i].name, &rows[i].b, take_key, &b);
        if (digest_equal(&a, &b) != want)
            fail_msg("%s: the keys are %s", rows[i].name, want ? "different" : "the same");
    }
}

static void test_different(void **state)
{
    (void)state;
    compare(different, COUNT(different), false);
}

static void test_same(void **state)
{
    (void)state;
    compare(same, COUNT(same), true);
}

/* No two rows of all share a key unless they are the same input. */
static void test_all_different(void **state)
{
    struct digest keys[COUNT(different)];

    (void)state;
    for (size_t i = 0; i < COUNT(different); i++)
        with_step(different[i].name, &different[i].b, take_key, &keys[i]);
    for (size_t i = 0; i < COUNT(different); i++) {
        for (size_t k = 0; k < i; k++) {
            bool twins = strcmp(different[i].b.text, different[k].b.text) == 0;

            if (!twins && digest_equal(&keys[i], &keys[k]))
                fail_msg("'%s' and '%s' share a key", different[i].name, different[k].name);
        }
    }
}

static void test_image(void **state)
{
    struct descriptor layers[2] = { { .digest = digest_bytes("a", 1) }, { .digest = digest_bytes("b", 1) } };
    struct manifest m = { .config = { .digest = digest_bytes("c", 1) }, .layers = layers, .n_layers = 2 };
    struct digest first = plan_key_image(&m), scratch = plan_key_scratch();

    (void)state;
    assert_false(digest_equal(&first, &scratch));
    m.format = IMAGE_FORMAT_OCI;
    struct digest again = plan_key_image(&m);
    assert_true(digest_equal(&first, &again));
    m.n_layers = 1;
    struct digest shorter = plan_key_image(&m);
    assert_false(digest_equal(&first, &shorter));
    m.n_layers = 2;
    m.config.digest = digest_bytes("d", 1);
    struct digest other = plan_key_image(&m);
    assert_false(digest_equal(&first, &other));
}

/* ---- why ---- */

static const struct why {
    const char *name;
    struct input before, now;
    const char *want; /* NULL: nothing */
} whys[] = {
    { "nothing", { .text = F "RUN a" }, { .text = F "RUN a" }, NULL },
    { "command", { .text = F "RUN a" }, { .text = F "RUN b" }, "the command changed" },
    { "ARG by name",
      { .text = F "ARG A\nRUN a", .args = "A=secret1" },
      { .text = F "ARG A\nRUN a", .args = "A=secret2" },
      "ARG 'A' changed" },
    { "several",
      { .text = F "ENV A=1 B=2 C=3\nRUN a" },
      { .text = F "ENV A=1 B=3\nRUN a" },
      "2 of 4 ENVs changed: 'B', 'C'" },
    { "two kinds",
      { .text = F "ENV A=1\nRUN a" },
      { .text = F "ENV A=2\nUSER u\nRUN a" },
      "ENV 'A' changed; the user changed" },
    { "parent", { .text = F "RUN a" }, { .text = F "RUN a", .parent = "x" }, "what it is built on changed" },
    { "new", { .text = F "RUN a" }, { .text = F "ENV A=1\nRUN a" }, "ENV 'A' is new" },
    { "what is below is of no interest if there is another cause",
      { .text = F "RUN a" },
      { .text = F "RUN b", .parent = "x" },
      "the command changed" },
    { "setting",
      { .text = F "RUN a", .settings = "compression=gzip" },
      { .text = F "RUN a", .settings = "compression=zstd" },
      "setting 'compression' changed" },
    { "here-document",
      { .text = F "COPY <<a /b/\n1\na\n" },
      { .text = F "COPY <<a /b/\n2\na\n" },
      "here-document 'a' changed" },
};

static void test_explain(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(whys); i++) {
        AUTO(strs_release) struct strs before = { 0 }, now = { 0 };

        with_step(whys[i].name, &whys[i].before, take_facts, &before);
        with_step(whys[i].name, &whys[i].now, take_facts, &now);
        AUTO_FREE char *text = plan_key_explain(&before, &now);
        if ((text == NULL) != (whys[i].want == NULL) || (text && strcmp(text, whys[i].want) != 0))
            fail_msg("%s: '%s', expected '%s'", whys[i].name, text ? text : "(nothing)",
                     whys[i].want ? whys[i].want : "(nothing)");
        for (size_t k = 0; k < now.n; k++)
            if (strstr(now.items[k], "secret"))
                fail_msg("%s: a value is in the facts: %s", whys[i].name, now.items[k]);
    }
}

static void test_explain_files(void **state)
{
    AUTO(strs_release) struct strs before = { 0 }, now = { 0 };
    struct digest one = digest_bytes("1", 1), two = digest_bytes("2", 1);

    (void)state;
    plan_key_base_fact("alpine:3", &one, &before);
    plan_key_base_fact("alpine:3", &two, &now);
    plan_key_file_fact("same", &one, &before);
    plan_key_file_fact("same", &one, &now);
    plan_key_file_fact("a b", &one, &before);
    plan_key_file_fact("a b", &two, &now);
    plan_key_file_fact("new\n", &two, &now);
    AUTO_FREE char *text = plan_key_explain(&before, &now);
    AUTO_FREE char *want =
        xasprintf("the base image 'alpine:3' changed from %.8s to %.8s; 2 of 3 files changed: 'a b', "
                  "'new\\x0a'",
                  digest_hex(&one), digest_hex(&two));
    assert_string_equal(text, want);
}

/* What was stored may be anything. */
static void test_explain_garbage(void **state)
{
    AUTO(strs_release) struct strs before = { 0 }, now = { 0 };

    (void)state;
    strs_add(&before, "");
    strs_add(&before, "content");
    strs_add(&before, "content ");
    strs_add(&before, "content 1234");
    strs_add(&before, "unknown 1234 x");
    AUTO_FREE char *text = plan_key_explain(&before, &now);
    assert_string_equal(text, "file '' is gone");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_different),       cmocka_unit_test(test_same),    cmocka_unit_test(test_all_different),
        cmocka_unit_test(test_image),           cmocka_unit_test(test_explain), cmocka_unit_test(test_explain_files),
        cmocka_unit_test(test_explain_garbage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
