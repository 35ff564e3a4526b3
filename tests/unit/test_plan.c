#include "../fixtures/plan_rows.h"

static const struct row stages[] = {
    R("FROM a", "stages", ">-:a" ARM),
    R("FROM a AS Build\nFROM scratch\nCOPY --from=bUILD x /", "stages", "build:a" ARM "; >-:scratch" ARM),
    R("FROM a AS b\nFROM b\nFROM c", "stages", "b:a" ARM " unneeded; -:#0" ARM " unneeded; >-:c" ARM),
    R("FROM a AS b\nFROM b AS d\nFROM c", "stages", "b:a" ARM "; >d:#0" ARM "; -:c" ARM " unneeded", .target = "D"),
    R("FROM a AS X\nFROM c AS x\nFROM d", "stages", "x:a" ARM " unneeded; >x:c" ARM "; -:d" ARM " unneeded",
      .target = "X"),
    R("FROM a AS x\nCOPY --from=y f /\nFROM c AS y\nFROM y", "stages", "x:a" ARM " unneeded; y:c" ARM "; >-:#1" ARM),
    R("FROM a\nFROM c\nCOPY --from=0 x /", "stages", "-:a" ARM "; >-:c" ARM),
    R("FROM a\nFROM c\nCOPY --from=a x /", "stages", "-:a" ARM " unneeded; >-:c" ARM),
    R("FROM a AS x\nFROM b AS x\nFROM x", "stages", "x:a" ARM " unneeded; x:b" ARM "; >-:#1" ARM),
    R("FROM --platform=$BUILDPLATFORM a AS b\nFROM b", "stages", "b:a@linux/amd64; >-:#0@linux/amd64"),
    R("FROM --platform=linux/s390x a", "stages", ">-:a@linux/s390x"),
    R("FROM --platform=linux/s390x a AS b\nFROM --platform=linux/386 b", "stages",
      "b:a@linux/s390x; >-:#0@linux/s390x"),
    R("FROM --platform=linux/s390x scratch", "stages", ">-:scratch@linux/arm64"),
    R("FROM --platform=windows/amd64 a AS w\nFROM a", "stages", "w:a@windows/amd64 unneeded; >-:a@linux/arm64"),
    R("ARG V=1\nFROM a:$V", "stages", ">-:a:1" ARM),
    R("ARG V=1\nFROM a:$V", "stages", ">-:a:2" ARM, .args = "V=2"),
    R("ARG V=1\nARG W=x$V\nFROM a:${W:-9}", "stages", ">-:a:x1" ARM),
    R("ARG V\nFROM a:${V:-9}", "stages", ">-:a:9" ARM),
    R("FROM a:$TARGETARCH", "stages", ">-:a:arm64" ARM),
    R("FROM a:$TARGETARCH", "stages", ">-:a:z" ARM, .args = "TARGETARCH=z"),
    R("FROM z AS tool\nFROM a AS b\nONBUILD COPY --from=tool x /\nFROM b", "stages",
      "tool:z" ARM "; b:a" ARM "; >-:#1" ARM),
    R("FROM z AS tool\nFROM a AS b\nONBUILD COPY --from=tool x /", "stages", "tool:z" ARM " unneeded; >b:a" ARM),
    R("FROM z AS bad\nRUN --security=insecure x\nFROM a", "stages", "bad:z" ARM " unneeded; >-:a" ARM),
    R("FROM z AS tool\nFROM a\nRUN --mount=target=/t,from=TOOL x", "stages", "tool:z" ARM "; >-:a" ARM),
    R("FROM z\nFROM a\nRUN --mount=type=cache,target=/t,from=0 x", "stages", "-:z" ARM "; >-:a" ARM),
    R("FROM z AS tool\nFROM a\nRUN --mount=target=/t,from=img x", "stages", "tool:z" ARM " unneeded; >-:a" ARM),
    R("FROM z AS tool\nFROM a AS b\nONBUILD RUN --mount=target=/t,from=tool x\nFROM b", "stages",
      "tool:z" ARM "; b:a" ARM "; >-:#1" ARM),
    R("FROM a", "stages", ">-:other:1" ARM, .contexts = "a=docker-image://other:1"),
    R("FROM docker.io/library/a:latest", "stages", ">-:other" ARM, .contexts = "a=docker-image://other"),
    R("FROM a", "stages", ">-:other" ARM, .contexts = "docker.io/library/a:latest=docker-image://other"),
    R("FROM a:1", "stages", ">-:a:1" ARM, .contexts = "a=docker-image://other"),
    R("FROM a", "stages", ">-:oci-layout:///l:t" ARM, .contexts = "a=oci-layout:///l:t"),
    R("FROM a", "stages", ">-:@/dir" ARM, .contexts = "a=/dir"),
    R("FROM a AS b\nRUN x\nFROM b", "stages", "b:@/dir" ARM "; >-:#0" ARM, .contexts = "b=/dir"),
    R("FROM scratch", "stages", ">-:scratch" ARM, .contexts = "scratch=/dir"),
};

static void test_stages(void **state)
{
    (void)state;
    run_rows(stages, COUNT(stages));
}

static const struct row mounts[] = {
    R("FROM a\nRUN --mount=target=/t x", "mounts", "bind /t ro from context"),
    R("FROM a\nRUN --mount=type=cache,target=/t,id=i x", "mounts", "cache /t id ns/i from nothing",
      .args = "BUILDKIT_CACHE_MOUNT_NS=ns"),
    R("FROM a\nRUN --mount=type=bind,source=s,dst=/t,rw x", "mounts", "bind /t from context:s"),
    R("FROM a\nWORKDIR /w\nRUN --mount=target=t x", "mounts", "bind /w/t ro from context"),
    R("FROM a\nWORKDIR /w\nRUN --mount=source=s x", "mounts", "bind /w ro from context:s"),
    R("FROM a\nRUN --mount=target=/t,from=img:1 x", "mounts", "bind /t ro from img:1"),
    R("FROM a AS b\nFROM a\nRUN --mount=target=/t,from=b x", "mounts", "bind /t ro from #0"),
    R("FROM a\nRUN --mount=target=/t,from=c x", "mounts", "bind /t ro from @/dir", .contexts = "c=/dir"),
    R("FROM a\nRUN --mount=type=cache,target=/t x", "mounts", "cache /t id /t from nothing"),
    R("FROM a\nWORKDIR /w\nRUN --mount=type=cache,target=t/ x", "mounts", "cache /w/t id t from nothing"),
    R("FROM a\nRUN --mount=type=cache,target=/t,id=i,ro,sharing=locked x", "mounts",
      "cache /t ro locked id i from nothing"),
    R("FROM a\nARG T=/x I=j\nRUN --mount=type=cache,target=$T/y,id=${I} x", "mounts", "cache /x/y id j from nothing"),
    R("FROM a\nRUN --mount=type=tmpfs,target=/t,size=2m x", "mounts", "tmpfs /t 2097152"),
    R("FROM a\nRUN --mount=type=secret,id=s x", "mounts", "secret /run/secrets/s ro id s"),
    R("FROM a\nRUN --mount=type=secret,id=a/s x", "mounts", "secret /run/secrets/s ro id a/s"),
    R("FROM a\nRUN --mount=type=secret,target=/k/s x", "mounts", "secret /k/s ro id s"),
    R("FROM a\nRUN --mount=type=secret,source=q,target=/k/s x", "mounts", "secret /k/s ro id q"),
    R("FROM a\nRUN --mount=type=secret,id=s,env=E x", "mounts", "secret (none) ro id s env E"),
    R("FROM a\nRUN --mount=type=secret,id=s,env=E,target=/t x", "mounts", "secret /t ro id s env E"),
    R("FROM a\nRUN --mount=type=ssh --mount=type=ssh,id=k,target=/s --mount=type=ssh,required x", "mounts",
      "ssh /run/buildkit/ssh_agent.0 ro id default; ssh /s ro id k; ssh /run/buildkit/ssh_agent.2 ro id default"),
};

static void test_mounts(void **state)
{
    (void)state;
    run_rows(mounts, COUNT(mounts));
}

static const struct row variables[] = {
    R("FROM a\nRUN x", "env:PATH", "/bin"),
    R("FROM scratch\nRUN x", "env:PATH", PATH_DEFAULT),
    R("FROM scratch\nENV PATH=/x:$PATH", "cenv", "PATH=/x:" PATH_DEFAULT),
    R("FROM scratch", "cenv", "PATH=" PATH_DEFAULT),
    R("FROM a\nENV BASE=c NEW=$BASE", "cenv", "PATH=/bin|BASE=c|NEW=b"),
    R("FROM a\nENV A=1\nARG A=2\nRUN x", "env:A", "2"),
    R("FROM a\nARG A=2\nENV A=1\nRUN x", "env:A", "1"),
    R("FROM a\nARG A=2\nENV A=1\nRUN x", "env:A", "1", .args = "A=3"),
    R("FROM a\nENV A=1\nARG A\nRUN x", "env:A", "1"),
    R("FROM a\nENV A=1\nARG A\nRUN x", "env:A", "3", .args = "A=3"),
    R("FROM a\nARG A=2\nENV A=${A:-9}", "cenv", "PATH=/bin|BASE=b|A=2"),
    R("FROM a\nARG A=2", "cenv", "PATH=/bin|BASE=b"),
    R("FROM a\nRUN x\nARG A=2", "env:A", "(unset)"),
    R("FROM a\nRUN x", "env:A", "(unset)", .args = "A=3"),
    R("ARG A=g\nFROM a\nRUN x", "env:A", "(unset)"),
    R("ARG A=g\nFROM a\nARG A\nRUN x", "env:A", "g"),
    R("ARG A=g\nFROM a\nARG A=l\nRUN x", "env:A", "l"),
    R("ARG A=g\nFROM a\nARG A=l\nRUN x", "env:A", "3", .args = "A=3"),
    R("FROM a\nARG A\nRUN x", "env:A", "4", .args = "A=3|A=4"),
    R("FROM a\nARG A=1\nRUN x\nENV A=2\nRUN x", "history", "RUN |1 A=2 /bin/sh -c x # buildkit"),
    R("FROM a AS b\nARG A=1\nFROM b\nARG B=2\nENV A=3\nRUN x", "history", "RUN |2 A=3 B=2 /bin/sh -c x # buildkit"),
    R("FROM a\nRUN x", "history", "RUN |1 Z=1 /bin/sh -c x # buildkit", .onbuild = "ARG Z=1"),
    R("FROM a AS b\nFROM b\nRUN x", "history", "RUN |1 Z=1 /bin/sh -c x # buildkit", .onbuild = "ARG Z=1"),
    R("FROM a\nARG A=1\nARG B=$A-$BASE\nRUN x", "env:B", "1-b"),
    R("FROM a\nARG A='x y'\nRUN x", "env:A", "x y"),
    R("FROM a AS b\nARG A=1\nFROM b\nRUN x", "env:A", "1"),
    R("FROM a AS b\nARG A=1\nFROM a\nRUN x", "env:A", "(unset)"),
    R("FROM a AS b\nENV A=env\nARG A=arg\nRUN x", "env:A", "arg"),
    R("FROM a AS b\nENV A=env\nARG A=arg\nFROM b\nRUN x", "env:A", "env"),
    R("FROM a\nARG TARGETPLATFORM\nRUN x", "env:TARGETPLATFORM", "linux/arm64"),
    R("FROM a\nARG BUILDARCH\nRUN x", "env:BUILDARCH", "amd64"),
    R("FROM a\nRUN x", "env:TARGETARCH", "(unset)"),
    R("FROM a\nARG TARGETSTAGE\nRUN x", "env:TARGETSTAGE", "default"),
    R("FROM a AS end\nARG TARGETSTAGE\nRUN x", "env:TARGETSTAGE", "end"),
    R("FROM a AS one\nARG TARGETSTAGE\nRUN x\nFROM b", "env:TARGETSTAGE", "one", .target = "one"),
    R("FROM a\nARG BUILDKIT_SBOM_SCAN_STAGE=true\nRUN x", "env:BUILDKIT_SBOM_SCAN_STAGE", "(unset)"),
    R("FROM a\nRUN x", "env:http_proxy", "p", .args = "HTTP_PROXY=p"),
    R("FROM a\nRUN x", "env:HTTP_PROXY", "p", .args = "http_proxy=p"),
    R("FROM a\nRUN x", "env:NO_PROXY", "h", .args = "no_proxy=h"),
    R("FROM a\nENV A=\\$BASE", "cenv", "PATH=/bin|BASE=b|A=$BASE"),
    R("FROM a\nENV A='$BASE' B=\"$BASE c\"", "cenv", "PATH=/bin|BASE=b|A=$BASE|B=b c"),
    R("FROM a\nENV A x  $BASE", "cenv", "PATH=/bin|BASE=b|A=x  b"),
};

static void test_variables(void **state)
{
    (void)state;
    run_rows(variables, COUNT(variables));
}

/* what "epoch": what SOURCE_DATE_EPOCH was found to be, and what a stage sees of it. */
static const struct row epochs[] = {
    R("FROM a", "epoch", "none"),
    R("FROM a", "epoch", "5", .args = "SOURCE_DATE_EPOCH=5"),
    R("FROM a", "epoch", "-5", .args = "SOURCE_DATE_EPOCH=-5"),
    R("ARG SOURCE_DATE_EPOCH=7\nFROM a", "epoch", "7"),
    R("ARG X=8\nARG SOURCE_DATE_EPOCH=${X}\nFROM a", "epoch", "8"),
    R("ARG SOURCE_DATE_EPOCH=7\nFROM a", "epoch", "5", .args = "SOURCE_DATE_EPOCH=5"),
    R("ARG SOURCE_DATE_EPOCH=7\nFROM a", "epoch", "none", .args = "SOURCE_DATE_EPOCH="),
    R("ARG SOURCE_DATE_EPOCH\nFROM a", "epoch", "none"),
    R("FROM a\nARG SOURCE_DATE_EPOCH=7", "epoch", "none"),
    R("FROM a", "epoch", "context", .args = "SOURCE_DATE_EPOCH=context"),
    R("FROM a AS src", "epoch", "context 0", .args = "SOURCE_DATE_EPOCH=src", .contexts = "src=dir"),
    R("ARG SOURCE_DATE_EPOCH=context\nFROM a", "epoch", "context"),
    R("ARG SOURCE_DATE_EPOCH=src\nFROM scratch AS Src\nADD https://h/x.tar /\nFROM a", "epoch", "https://h/x.tar"),
    R("ARG SOURCE_DATE_EPOCH=src\nARG V=1\nFROM scratch AS src\nARG V\nARG W=2\nADD https://h/$V$W /\nFROM a", "epoch",
      "https://h/12"),
    R("FROM scratch AS src\nARG V=1\nADD --checksum=sha256:$V https://h/x /\nFROM a", "epoch", "https://h/x sha256:1",
      .args = "SOURCE_DATE_EPOCH=src"),
    R("FROM scratch AS src\nARG V=1\nADD https://h/$V.git#$SOURCE_DATE_EPOCH /\nFROM a", "epoch", "https://h/3.git#",
      .args = "SOURCE_DATE_EPOCH=SRC|V=3"),
    R("FROM a\nARG SOURCE_DATE_EPOCH\nRUN x", "env:SOURCE_DATE_EPOCH", "5", .args = "SOURCE_DATE_EPOCH=+5"),
    R("ARG SOURCE_DATE_EPOCH=7\nFROM a\nARG SOURCE_DATE_EPOCH\nRUN x", "env:SOURCE_DATE_EPOCH", "7"),
    R("ARG SOURCE_DATE_EPOCH=7\nFROM a\nRUN x", "env:SOURCE_DATE_EPOCH", "(unset)"),
};

static void test_epochs(void **state)
{
    (void)state;
    run_rows(epochs, COUNT(epochs));
}

/* When the time of a context or of a source is known, stages see the number; or nothing. */
static void test_set_epoch(void **state)
{
    (void)state;
    static const char text[] = "ARG SOURCE_DATE_EPOCH=9\nFROM scratch\nARG SOURCE_DATE_EPOCH\n";
    const int64_t seconds = 1700000000;

    for (int known = 0; known < 2; known++) {
        AUTO(dockerfile_free) struct dockerfile *df = NULL;
        AUTO(plan_free) struct plan *p = NULL;
        struct plan_opts opts = { .target = NULL };
        struct image_config base = { 0 };
        struct stage_plan sp = { 0 };

        assert_null(platform_parse("linux/amd64", &opts.target_platform));
        strs_add(&opts.build_args, "SOURCE_DATE_EPOCH=context");
        assert_null(dockerfile_parse("Dockerfile", text, strlen(text), &df));
        assert_null(plan_new(df, &opts, &p));
        plan_set_epoch(p, known ? &seconds : NULL);
        assert_int_equal(p->epoch.kind, known ? PLAN_EPOCH_TIME : PLAN_EPOCH_NONE);
        config_init(&base, &opts.target_platform);
        assert_null(plan_stage(p, 0, &base, NULL, &sp));
        const char *value = vars_get(&sp.env, "SOURCE_DATE_EPOCH");
        if (known)
            assert_string_equal(value, "1700000000");
        else
            assert_null(value);
        stage_plan_release(&sp);
        config_release(&base);
        strs_release(&opts.build_args);
    }
}

/* what "notes": what the user is told of the build arguments, one after the other. */
static const struct row notes[] = {
    R("FROM a\nARG A", "notes", "", .args = "A=1"),
    R("ARG A\nFROM a", "notes", "", .args = "A=1"),
    R("FROM a\nONBUILD ARG A", "notes", "", .args = "A=1"),
    R("FROM a AS x\nARG A\nFROM b", "notes", "", .args = "A=1"),
    R("FROM a", "notes", "", .args = "http_proxy=p|NO_PROXY=n|TARGETARCH=z|TARGETSTAGE=z|SOURCE_DATE_EPOCH=1"),
    R("FROM a", "notes", "", .args = "BUILDKIT_SANDBOX_HOSTNAME=h|BUILDKIT_CACHE_MOUNT_NS=n|BUILDKIT_SYNTAX=s"),
    R("FROM a\nARG AB\nENV A=1", "notes", "build argument 'A' is declared by no ARG of the Dockerfile|",
      .args = "A=1|AB=2"),
    R("FROM a", "notes", "build argument 'C' is declared by no ARG of the Dockerfile|", .args = "B=1|C=1",
      .onbuild = "A|B"),
    R("FROM a", "notes", "build argument 'BUILDKIT_NONE' is declared by no ARG of the Dockerfile|",
      .args = "BUILDKIT_NONE=1"),
    R("FROM a", "notes",
      "build argument BUILDKIT_INLINE_CACHE has no effect: no cache metadata is written into images|",
      .args = "BUILDKIT_INLINE_CACHE=1"),
    R("FROM a", "notes", "", .args = "BUILDKIT_INLINE_CACHE=0|BUILDKIT_BUILD_NAME="),
};

static void test_notes(void **state)
{
    (void)state;
    run_rows(notes, COUNT(notes));
}

/* ---- two platforms ---- */

static struct err *plan_for(const struct dockerfile *df, const char *platform, const char *args, struct plan **ret)
{
    struct plan_opts opts = { .target_given = true };

    TRY(platform_parse(platform, &opts.target_platform));
    TRY(platform_parse("linux/amd64", &opts.build_platform));
    split_bars(args, &opts.build_args);
    strs_add(&opts.contexts, "dir=/dir");
    strs_add(&opts.contexts, "img=docker-image://x");
    struct err *e = plan_new(df, &opts, ret);
    strs_release(&opts.build_args);
    strs_release(&opts.contexts);
    return e;
}

/* want: per stage, is it the same for linux/amd64 and linux/arm64? */
static const struct {
    const char *text, *want, *args;
} pairs[] = {
    { "FROM a\nRUN x", "-", NULL },
    { "FROM --platform=$BUILDPLATFORM a\nRUN x", "=", NULL },
    { "FROM --platform=linux/s390x a\nRUN x", "=", NULL },
    { "FROM --platform=$TARGETPLATFORM a\nRUN x", "-", NULL },
    { "FROM scratch\nCOPY x y", "=", NULL },
    { "FROM --platform=$BUILDPLATFORM a\nARG TARGETARCH\nRUN x", "-", NULL },
    { "FROM --platform=$BUILDPLATFORM a\nARG TARGETARCH\nRUN x", "=", "TARGETARCH=x" },
    { "FROM --platform=$BUILDPLATFORM a\nARG TARGETARCH=own\nRUN x", "=", NULL },
    { "FROM --platform=$BUILDPLATFORM a\nARG BUILDARCH TARGETSTAGE\nRUN x", "=", NULL },
    { "ARG V=v-$TARGETARCH\nFROM --platform=$BUILDPLATFORM a\nARG V\nRUN x", "-", NULL },
    { "ARG V=v-$TARGETARCH\nFROM --platform=$BUILDPLATFORM a:$V", "-", NULL },
    { "FROM --platform=$BUILDPLATFORM a AS b\nRUN x\nFROM b\nFROM b\nARG TARGETOS TARGETVARIANT\nFROM b\nARG "
      "TARGETPLATFORM",
      "===-", NULL },
    { "FROM --platform=$BUILDPLATFORM a AS b\nARG TARGETARCH\nFROM b\nCOPY x y", "--", NULL },
    { "FROM --platform=$BUILDPLATFORM a AS b\nRUN x\nFROM a\nCOPY --from=b x y", "=-", NULL },
    { "FROM a AS t\nRUN x\nFROM scratch\nCOPY --from=t x y", "--", NULL },
    { "FROM --platform=$BUILDPLATFORM a AS b\nFROM scratch\nCOPY --from=b x y\nCOPY --from=0 x y", "==", NULL },
    { "FROM scratch\nCOPY --from=image x y", "-", NULL },
    { "FROM scratch\nCOPY --from=dir x y", "=", NULL },
    { "FROM scratch\nCOPY --from=img x y", "-", NULL },
    { "FROM dir\nCOPY x y", "=", NULL },
    { "FROM a AS t\nFROM --platform=$BUILDPLATFORM a\nRUN --mount=from=t,target=/t x", "--", NULL },
    { "FROM --platform=$BUILDPLATFORM a\nRUN --mount=from=image,target=/t x", "-", NULL },
    { "FROM --platform=$BUILDPLATFORM a\nRUN --mount=type=cache,target=/t x", "=", NULL },
    { "FROM --platform=$BUILDPLATFORM a AS b\nONBUILD ARG TARGETARCH\nFROM b\nRUN x", "=-", NULL },
    { "FROM --platform=$BUILDPLATFORM a AS b\nONBUILD COPY --from=image x y\nFROM b", "=-", NULL },
    { "FROM --platform=$BUILDPLATFORM a AS amd64\nFROM --platform=$BUILDPLATFORM b AS arm64\nFROM $TARGETARCH", "==-",
      NULL },
};

static void test_same_stages(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(pairs); i++) {
        AUTO(dockerfile_free) struct dockerfile *df = NULL;
        AUTO(plan_free) struct plan *a = NULL, *b = NULL;
        AUTO(buf_release) struct buf got = BUF_INIT;
        struct err *e = dockerfile_parse("Dockerfile", pairs[i].text, strlen(pairs[i].text), &df);

        if (!e)
            e = plan_for(df, "linux/amd64", pairs[i].args, &a);
        if (!e)
            e = plan_for(df, "linux/arm64", pairs[i].args, &b);
        if (e)
            fail_msg("%s: %s", pairs[i].text, err_message(e));
        for (size_t k = 0; k < a->n_stages; k++)
            buf_putc(&got, plan_same_stage(a, b, k) ? '=' : '-');
        if (strcmp(buf_str(&got), pairs[i].want) != 0)
            fail_msg("%s: got %s, want %s", pairs[i].text, buf_str(&got), pairs[i].want);
    }
}

static void test_deep_stages(void **state)
{
    (void)state;
    for (size_t n = LIMIT_STAGE_DEPTH; n <= LIMIT_STAGE_DEPTH + 1; n++) {
        AUTO(dockerfile_free) struct dockerfile *df = NULL;
        AUTO(plan_free) struct plan *p = NULL;
        AUTO(buf_release) struct buf text = BUF_INIT;
        const struct plan_opts opts = { .target = NULL };

        buf_puts(&text, "FROM scratch AS s0\n");
        for (size_t i = 1; i < n; i++) /* each needs the one above */
            buf_printf(&text, "FROM s%zu AS s%zu\n", i - 1, i);
        assert_null(dockerfile_parse("Dockerfile", buf_str(&text), text.len, &df));
        struct err *e = plan_new(df, &opts, &p);
        assert_int_equal(e != NULL, n > LIMIT_STAGE_DEPTH);
        err_free(e);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stages),      cmocka_unit_test(test_mounts),      cmocka_unit_test(test_variables),
        cmocka_unit_test(test_epochs),      cmocka_unit_test(test_set_epoch),   cmocka_unit_test(test_notes),
        cmocka_unit_test(test_same_stages), cmocka_unit_test(test_deep_stages),
    };

    return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
