#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above first */
#include <cmocka.h>

#include "base/buf.h"
#include "base/limits.h"
#include "lint/lint.h"

#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- a Dockerfile to its warnings ---- */

struct row {
    enum lint_rule rule;
    const char *text, *lines; /* the lines that this rule warns of: "2,5" */
    const char *args;         /* build arguments, split at '|' */
    const char *ignore;       /* .dockerignore */
    bool rehearse;            /* as `copyup lint`: base images are not known */
    const char *message;      /* part of the first message */
};

struct checked {
    struct dockerfile *df;
    struct plan *plan;
    struct ignore *ignore;
    struct lint *lint;
    struct err *e;
};

static void checked_free(struct checked *c)
{
    lint_free(c->lint);
    plan_free(c->plan);
    ignore_free(c->ignore);
    dockerfile_free(c->df);
    err_free(c->e);
}

/* The base image of all rows; that of the name "...-arm" is for another architecture, "...-shell" has a SHELL. */
static void make_base(const struct plan_stage *stage, struct image_config *ret)
{
    config_init(ret, &stage->platform);
    if (!stage->image)
        return;
    env_set(&ret->env, "PATH", "/bin");
    env_set(&ret->env, "JAVA_HOME", "/java");
    if (strstr(stage->image, "-arm"))
        assert_null(platform_parse("linux/arm64", &ret->platform));
    if (strstr(stage->image, "-none"))
        ret->platform = (struct platform){ 0 };
    if (strstr(stage->image, "-shell"))
        strs_add(&ret->shell, "/bin/bash");
    if (strstr(stage->image, "-onbuild"))
        strs_add(&ret->onbuild, "ENV API_KEY x");
}

static struct err *plan_all(const struct plan *p)
{
    struct stage_plan plans[16] = { 0 };
    struct err *e = NULL;

    assert_true(p->n_stages <= COUNT(plans));
    for (size_t k = 0; !e && k < p->n_stages; k++) {
        const struct plan_stage *ps = &p->stages[k];
        const struct stage_plan *from = ps->base == PLAN_BASE_STAGE ? &plans[ps->base_stage] : NULL;
        struct image_config base = { 0 };

        make_base(ps, &base);
        e = plan_stage(p, k, from ? &from->config : &base, from, &plans[k]);
        config_release(&base);
    }
    for (size_t k = 0; k < p->n_stages; k++)
        stage_plan_release(&plans[k]);
    return e;
}

static void split_bars(const char *text, struct strs *out)
{
    AUTO_FREE char *all = xstrdup(text ? text : "");
    char *save = NULL;

    for (char *a = strtok_r(all, "|", &save); a; a = strtok_r(NULL, "|", &save))
        strs_add(out, a);
}

static struct err *check(const struct row *r, struct checked *c)
{
    AUTO(strs_release) struct strs args = { 0 };

    split_bars(r->args, &args);
    struct plan_opts opts = { .build_args = args };
    TRY(platform_parse("linux/amd64", &opts.target_platform));
    opts.build_platform = opts.target_platform;
    TRY(dockerfile_parse("Dockerfile", r->text, strlen(r->text), &c->df));
    TRY(lint_new(c->df, &opts, &c->lint));
    if (r->ignore)
        TRY(ignore_parse(r->ignore, strlen(r->ignore), &c->ignore));
    lint_set_ignore(c->lint, c->ignore);
    lint_dockerfile(c->lint);
    opts.watch = lint_watch(c->lint);
    TRY(plan_new(c->df, &opts, &c->plan));
    return r->rehearse ? plan_rehearse(c->plan, true, lint_watch(c->lint)) : plan_all(c->plan);
}

/* "Rule:line ..." of all warnings. */
static void add_all(struct lint *l, struct buf *out)
{
    size_t n = 0;
    const struct lint_warning *w = l ? lint_warnings(l, &n) : NULL;

    for (size_t k = 0; k < n; k++)
        buf_printf(out, "%s%s:%d", k ? " " : "", lint_rule_info(w[k].rule)->id, w[k].at.line);
}

static const char *add_lines(struct lint *l, enum lint_rule rule, struct buf *out)
{
    size_t n = 0;
    const struct lint_warning *w = l ? lint_warnings(l, &n) : NULL;
    const char *first = NULL;

    for (size_t k = 0; k < n; k++) {
        if (w[k].rule != rule)
            continue;
        first = first ? first : w[k].message;
        buf_printf(out, "%s%d", out->len ? "," : "", w[k].at.line);
    }
    return first;
}

/* ---- each rule, where it fires and where it does not ---- */

#define CASING      LINT_CONSISTENT_INSTRUCTION_CASING
#define IGNORED     LINT_COPY_IGNORED_FILE
#define DUPLICATE   LINT_DUPLICATE_STAGE_NAME
#define EXPOSE_HOST LINT_EXPOSE_INVALID_FORMAT
#define PROTO       LINT_EXPOSE_PROTO_CASING
#define AS          LINT_FROM_AS_CASING
#define CONST_FLAG  LINT_FROM_PLATFORM_FLAG_CONST_DISALLOWED
#define BASE        LINT_INVALID_BASE_IMAGE_PLATFORM
#define DEFAULT_ARG LINT_INVALID_DEFAULT_ARG_IN_FROM
#define DESCRIBE    LINT_INVALID_DEFINITION_DESCRIPTION
#define JSON        LINT_JSON_ARGS_RECOMMENDED
#define LEGACY      LINT_LEGACY_KEY_VALUE_FORMAT
#define MAINTAINER  LINT_MAINTAINER_DEPRECATED
#define MULTIPLE    LINT_MULTIPLE_INSTRUCTIONS_DISALLOWED
#define EMPTY_LINE  LINT_NO_EMPTY_CONTINUATION
#define REDUNDANT   LINT_REDUNDANT_TARGET_PLATFORM
#define RESERVED    LINT_RESERVED_STAGE_NAME
#define SECRETS     LINT_SECRETS_USED_IN_ARG_OR_ENV
#define STAGE_NAME  LINT_STAGE_NAME_CASING
#define FROM_ARG    LINT_UNDEFINED_ARG_IN_FROM
#define VAR         LINT_UNDEFINED_VAR
#define WORKDIR     LINT_WORKDIR_RELATIVE_PATH

#define X "# check=experimental=all\n"
#define R(r, t, l, ...)                                                                                                \
    {                                                                                                                  \
        .rule = (r), .text = (t), .lines = (l), __VA_ARGS__                                                            \
    }

static const struct row rows[] = {
    R(CASING, "FROM a\nRUN x\nUSER y", ""),
    R(CASING, "from a\nrun x\nuser y", ""),
    R(CASING, "FROM a\nrun x\nUSER y", "2", .message = "'run' is not written in capital letters"),
    R(CASING, "from a\nRUN x\nuser y", "2", .message = "small letters"),
    R(CASING, "From a\nRUN x", "1"),
    R(CASING, "From a\nrun x\nuser y", "1"),
    R(CASING, "FROM a\nrun x", "2", .message = "capital"), /* as many of each: capitals */
    R(CASING, "arg A\nFROM a\nRUN x", ""),                 /* before the first FROM nobody looks */
    R(CASING, "arg A\narg B\narg C\nFROM a", ""),
    R(CASING, "FROM a\nRUN x\nFROM a\nOnBuild run x", "4"),
    R(CASING, "FROM a\nRUN <<e\nrun x\nuser y\ne\nUSER z", ""),

    R(IGNORED, "FROM a\nCOPY a b c /", "2", .ignore = "b\n", .message = "COPY 'b'"),
    R(IGNORED, "FROM a\nCOPY a /", "", .ignore = "b\n"),
    R(IGNORED, "FROM a\nCOPY a /", ""),
    R(IGNORED, "FROM a\nADD ./d/../b/c /", "2", .ignore = "b\n", .message = "ADD './d/../b/c'"),
    R(IGNORED, "FROM a\nCOPY /b /", "2", .ignore = "b\n"),
    R(IGNORED, "FROM a\nCOPY b /", "", .ignore = "b\n!b/c\n"),
    R(IGNORED, "FROM a\nCOPY . /", "", .ignore = ".*\nb\n"),
    R(IGNORED, "FROM a\nCOPY . /", "2", .ignore = "*\n"),
    R(IGNORED, "FROM a\nCOPY / /", "2", .ignore = "**\n"),
    R(IGNORED, "FROM a\nENV F=b\nCOPY $F /", "3", .ignore = "b\n"),
    R(IGNORED, "FROM a\nCOPY *.log /", "2", .ignore = "*.log\n"),
    R(IGNORED, "FROM z AS s\nFROM a\nCOPY --from=s b /", "", .ignore = "b\n"),
    R(IGNORED, "FROM a\nCOPY --from=i b /", "", .ignore = "b\n"),
    R(IGNORED, "FROM a\nCOPY <<b /x\ny\nb", "", .ignore = "**b\n"),
    R(IGNORED, "FROM a\nCOPY b /", "2", .ignore = "b\n", .rehearse = true),
    R(IGNORED, "FROM a\nCOPY b$X /", "", .ignore = "b\n", .rehearse = true),
    R(IGNORED, "FROM scratch\nCOPY b$X /", "2", .ignore = "b\n", .rehearse = true),

    R(DUPLICATE, "FROM a AS x\nFROM a AS y", ""),
    R(DUPLICATE, "FROM a AS x\nFROM a AS x", "2", .message = "'x', in line 1"),
    R(DUPLICATE, "FROM a AS x\nFROM a AS X", "2"),
    R(DUPLICATE, "FROM a\nFROM a\nFROM a", ""),
    R(DUPLICATE, "FROM a AS x\nFROM a AS y\nFROM a AS y\nFROM a AS x\nFROM a AS x", "3,4,5"),
    R(DUPLICATE, "FROM x AS x", ""),

    R(EXPOSE_HOST, "FROM a\nEXPOSE 80 8080/tcp 53/udp 1000-1010", ""),
    R(EXPOSE_HOST, "FROM a\nEXPOSE 8080:80", "2", .message = "only '80' counts"),
    R(EXPOSE_HOST, "FROM a\nEXPOSE 127.0.0.1:80:80", "2"),
    R(EXPOSE_HOST, "FROM a\nEXPOSE [::1]:8080:80/tcp", "2", .message = "'80/tcp'"),
    R(EXPOSE_HOST, "FROM a\nEXPOSE :80", ""),
    R(EXPOSE_HOST, "FROM a\nEXPOSE ::80", ""),
    R(EXPOSE_HOST, "FROM a\nEXPOSE 127.0.0.1::80", "2"),
    R(EXPOSE_HOST, "FROM a\nENV P=\"80:80 81\"\nEXPOSE $P", "3"),
    R(EXPOSE_HOST, "FROM a\nEXPOSE 80:80 \\\n 81:81", "2,3"),

    R(PROTO, "FROM a\nEXPOSE 80/tcp 81 82/", ""),
    R(PROTO, "FROM a\nEXPOSE 80/TCP", "2"),
    R(PROTO, "FROM a\nEXPOSE 80/tcp 81/Udp", "2", .message = "'81/Udp'"),
    R(PROTO, "FROM a\nENV P=UDP\nEXPOSE 80/$P", "3"),
    R(PROTO, "FROM a\nEXPOSE 8080:80/SCTP", "2"),
    R(PROTO, "FROM a\nENV P=UDP\nEXPOSE 80", ""),

    R(AS, "FROM a AS x", ""),
    R(AS, "from a as x", ""),
    R(AS, "FROM a as x", "1", .message = "'FROM' and 'as'"),
    R(AS, "from a AS x", "1"),
    R(AS, "FROM a As x", "1"),
    R(AS, "from a aS x", "1"),
    R(AS, "From a as x", ""), /* the other rule says it */
    R(AS, "FROM a", ""),
    R(AS, "FROM a \\\n  as \\\n  x", "2"),

    R(CONST_FLAG, "FROM --platform=linux/amd64 a", "1", .message = "'linux/amd64' is fixed"),
    R(CONST_FLAG, "FROM --platform=linux/amd64 a AS x", "1"),
    R(CONST_FLAG, "FROM --platform=linux/amd64 a AS x-amd64", ""),
    R(CONST_FLAG, "FROM --platform=linux/amd64 a AS linux-x", ""),
    R(CONST_FLAG, "FROM --platform=$BUILDPLATFORM a", ""),
    R(CONST_FLAG, "ARG P=linux/amd64\nFROM --platform=$P a", ""),
    R(CONST_FLAG, "FROM --platform=linux/${TARGETARCH} a", ""),
    R(CONST_FLAG, "FROM --platform=arm64 a AS x", "1"),
    R(CONST_FLAG, "FROM a", ""),

    R(BASE, "FROM a", ""),
    R(BASE, "FROM a-arm", "1", .message = "is for linux/arm64, the stage is built for linux/amd64"),
    R(BASE, "FROM --platform=linux/arm64 a-arm", ""),
    R(BASE, "FROM a-arm AS x\nFROM x", "1"),
    R(BASE, "FROM a-none", ""),
    R(BASE, "FROM a-arm", "", .rehearse = true),
    R(BASE, "FROM scratch", ""),

    R(DEFAULT_ARG, "ARG B\nFROM $B", "2", .args = "B=a", .message = "'$B' is empty"),
    R(DEFAULT_ARG, "ARG B=b\nFROM $B", ""),
    R(DEFAULT_ARG, "ARG B=b\nFROM $B", "", .args = "B=c"),
    R(DEFAULT_ARG, "ARG T\nFROM a:$T", "2", .args = "T=1", .message = "is 'a:', which is no image"),
    R(DEFAULT_ARG, "ARG T\nFROM a:${T:-1}", ""),
    R(DEFAULT_ARG, "ARG T\nFROM a${T:+:$T}", ""),
    R(DEFAULT_ARG, "FROM a\nFROM b", ""),
    R(DEFAULT_ARG, "FROM ${TARGETOS}-a", ""),
    R(DEFAULT_ARG, "FROM scratch", ""),
    R(DEFAULT_ARG, "ARG B\nFROM a AS x\nFROM $B\nFROM $B", "3,4", .args = "B=x"),

    R(DESCRIBE, "# here\nFROM a AS x", ""), /* not asked for */
    R(DESCRIBE, X "# c\n\n# here\nFROM a AS x", "5", .message = "'# x ...'"),
    R(DESCRIBE, X "# c\n\n# x is this\nFROM a AS x", ""),
    R(DESCRIBE, X "# c\n\n# here\n\nFROM a AS x", ""),
    R(DESCRIBE, X "# c\n\n# here\n#\nFROM a AS x", ""),
    R(DESCRIBE, X "# c\n\n# here\nFROM a", ""),
    R(DESCRIBE, X "# c\n\n# here\nARG V=1\nFROM a", "5", .message = "'# V ...'"),
    R(DESCRIBE, X "# c\n\n# V is\nARG U=1 V=2\nFROM a", ""),
    R(DESCRIBE, X "# c\n\n# here\nARG U=1 V=2\nFROM a", "5", .message = "'# NAME ...'"),
    R(DESCRIBE, X "# c\n\n# here\n# V is\nARG V=1\nFROM a", ""),
    R(DESCRIBE, X "# c\n\n# V is\n# here\nARG V=1\nFROM a", "6"),
    R(DESCRIBE, X "FROM a\n# here\nRUN x", ""),
    R(DESCRIBE, "# check=experimental=InvalidDefinitionDescription;skip=all\n# c\n\n# here\nFROM a AS x", "5"),
    R(DESCRIBE, "# c\n\n# check=experimental=all\n# here\nFROM a AS x", "5"),
    R(DESCRIBE, X "# c\n\n# Xy\nFROM a AS x", "5"),

    R(JSON, "FROM a\nCMD [\"x\"]\nENTRYPOINT [\"x\"]", ""),
    R(JSON, "FROM a\nCMD x", "2", .message = "CMD in shell form"),
    R(JSON, "FROM a\nENTRYPOINT x", "2"),
    R(JSON, "FROM a\nSHELL [\"/bin/bash\"]\nCMD x\nENTRYPOINT y", ""),
    R(JSON, "FROM a\nCMD x\nSHELL [\"/bin/bash\"]", "2"),
    R(JSON, "FROM a-shell\nCMD x", ""),
    R(JSON, "FROM a-shell AS x\nFROM x\nCMD x", ""),
    R(JSON, "FROM a\nRUN x\nHEALTHCHECK CMD x", ""),
    R(JSON, "FROM a\nONBUILD CMD x", ""),
    R(JSON, "FROM a AS x\nONBUILD CMD x\nFROM x", "3"),
    R(JSON, "FROM a\nCMD x", "2", .rehearse = true),

    R(LEGACY, "FROM a\nENV A=b\nLABEL a=b", ""),
    R(LEGACY, "FROM a\nENV A b", "2", .message = "ENV with a blank"),
    R(LEGACY, "FROM a\nENV A b=c", "2"),
    R(LEGACY, "FROM a\nLABEL a b", "2", .message = "LABEL"),
    R(LEGACY, "FROM a\nARG A", ""),
    R(LEGACY, "FROM a\nENV A=b \\\n  C=d", ""),
    R(LEGACY, "# c\nFROM a-onbuild", "2"),

    R(MAINTAINER, "FROM a\nMAINTAINER x", "2"),
    R(MAINTAINER, "FROM a\nmaintainer x", "2"),
    R(MAINTAINER, "FROM a\nLABEL maintainer=x", ""),
    R(MAINTAINER, "FROM a\nMAINTAINER x\nFROM a\nMAINTAINER y", "2,4"),
    R(MAINTAINER, "FROM a\nRUN MAINTAINER x", ""),
    R(MAINTAINER, "FROM a\n# MAINTAINER x", ""),

    R(MULTIPLE, "FROM a\nCMD [\"x\"]\nENTRYPOINT [\"x\"]\nHEALTHCHECK NONE", ""),
    R(MULTIPLE, "FROM a\nCMD [\"x\"]\nCMD [\"y\"]", "2", .message = "the one in line 3"),
    R(MULTIPLE, "FROM a\nENTRYPOINT [\"x\"]\nRUN z\nENTRYPOINT [\"y\"]", "2"),
    R(MULTIPLE, "FROM a\nHEALTHCHECK CMD x\nHEALTHCHECK NONE", "2"),
    R(MULTIPLE, "FROM a\nCMD [\"x\"]\nCMD [\"y\"]\nCMD [\"z\"]", "2,3"),
    R(MULTIPLE, "FROM a AS x\nCMD [\"x\"]\nFROM x\nCMD [\"y\"]", ""),
    R(MULTIPLE, "FROM a\nCMD [\"x\"]\nONBUILD CMD [\"y\"]", ""),
    R(MULTIPLE, "FROM a\nUSER x\nUSER y", ""),

    R(EMPTY_LINE, "FROM a\nRUN x \\\n\n y", "2", .message = "line 3 is empty"),
    R(EMPTY_LINE, "FROM a\nRUN x \\\n y", ""),
    R(EMPTY_LINE, "FROM a\nRUN x \\\n# c\n y", ""),
    R(EMPTY_LINE, "FROM a\n\nRUN x\n\n", ""),
    R(EMPTY_LINE, "FROM a\nRUN x \\\n  \t\n y \\\n\n z", "2", .message = "line 3"),
    R(EMPTY_LINE, "FROM a\nRUN x \\\n\n", "2"),
    R(EMPTY_LINE, "FROM a\nRUN <<e\n\nx \\\n\ny\ne", ""),
    R(EMPTY_LINE, "# escape=`\nFROM a\nRUN x `\n\n y", "3"),

    R(REDUNDANT, "FROM --platform=$TARGETPLATFORM a", "1"),
    R(REDUNDANT, "FROM --platform=${TARGETPLATFORM} a", "1", .message = "${TARGETPLATFORM}"),
    R(REDUNDANT, "FROM --platform=${TARGETPLATFORM:-linux/arm64} a", "1"),
    R(REDUNDANT, "FROM --platform=$BUILDPLATFORM a", ""),
    R(REDUNDANT, "FROM --platform=linux/amd64 a", ""),
    R(REDUNDANT, "ARG V\nFROM --platform=$TARGETPLATFORM$V a", ""),
    R(REDUNDANT, "FROM --platform=${TARGETPLATFORM%64}64 a", "1"),
    R(REDUNDANT, "FROM --platform=${TARGETPLATFORM/amd/arm} a", ""),
    R(REDUNDANT, "FROM a", ""),

    R(RESERVED, "FROM a AS scratch", "1", .message = "'scratch'"),
    R(RESERVED, "FROM a AS context", "1"),
    R(RESERVED, "FROM a AS Context", "1"),
    R(RESERVED, "FROM scratch", ""),
    R(RESERVED, "FROM scratch AS scratchy", ""),
    R(RESERVED, "FROM a AS x\nFROM x AS contexts", ""),

    R(SECRETS, "FROM a\nARG TOKEN", "2", .message = "ARG 'TOKEN'"),
    R(SECRETS, "FROM a\nENV API_KEY=x", "2", .message = "ENV 'API_KEY'"),
    R(SECRETS, "FROM a\nENV apikey=1 auth=2 x=3", "2,2"),
    R(SECRETS, "FROM a\nARG A_CREDENTIAL CREDENTIALS_B P_PWORD_Q passwd Secret_x", "2,2,2,2,2"),
    R(SECRETS, "FROM a\nENV MONKEY=1 KEYBOARD=2 TOKENS=3 AUTHOR=4 PASSWORDS=5", ""),
    R(SECRETS, "FROM a\nENV PUBLIC_KEY=1 TOKEN_FILE=2 AUTH_VERSION=3 KEY_public=4", ""),
    R(SECRETS, "FROM a\nENV KEY_FILES=1", "2"),
    R(SECRETS, "ARG TOKEN\nFROM a", ""),
    R(SECRETS, "FROM a\nLABEL token=x", ""),
    R(SECRETS, "FROM a\nENV A=TOKEN", ""),
    R(SECRETS, "FROM a\nARG N=KEY\nENV API_$N=1", "3", .message = "'API_KEY'"),
    R(SECRETS, "FROM a-onbuild", "1"),
    R(SECRETS, "# check=skip=SecretsUsedInArgOrEnv\nFROM a\nARG TOKEN", ""),
    R(SECRETS, "FROM a\n# check=skip=SecretsUsedInArgOrEnv // it is none\nARG TOKEN\nARG KEY", "4"),
    R(SECRETS, "FROM a\n# check=skip=all\nARG TOKEN\nARG KEY", "4"),
    R(SECRETS, "FROM a\n# check=skip=all\n#\nARG TOKEN", "4"),
    R(SECRETS, "FROM a\n# check=skip=all\n\nARG TOKEN", ""),
    R(SECRETS, "FROM a\n# why\n# check=skip=all\n# because\nARG TOKEN", ""),

    R(STAGE_NAME, "FROM a AS X", "1", .message = "found as 'x'"),
    R(STAGE_NAME, "FROM a AS x", ""),
    R(STAGE_NAME, "FROM a AS x-Y_z.0", "1"),
    R(STAGE_NAME, "FROM A AS X\nFROM b", "1"),
    R(STAGE_NAME, "FROM a\nFROM b AS y", ""),
    R(STAGE_NAME, "FROM a AS \\\n  X", "2"),

    R(FROM_ARG, "ARG V=1\nFROM a:$V", ""),
    R(FROM_ARG, "FROM a$V", "1", .message = "'V'"),
    R(FROM_ARG, "ARG VERSION=1\nFROM a:1$VERSON", "2", .message = "did you mean 'VERSION'?"),
    R(FROM_ARG, "ARG V\nFROM a$V", ""),
    R(FROM_ARG, "FROM a$TARGETARCH", ""),
    R(FROM_ARG, "FROM a${V:-1}", "1"),
    R(FROM_ARG, "FROM a\nARG V=1\nFROM b$V", "3"),
    R(FROM_ARG, "FROM --platform=linux/amd64$X a", "1"),
    R(FROM_ARG, "FROM a$V", "1", .args = "V=1"),
    R(FROM_ARG, "FROM a${V}${W}", "1,1"),

    R(VAR, "FROM a\nENV A=1\nUSER $A", ""),
    R(VAR, "FROM a\nUSER $A", "2", .message = "the variable 'A' is not set"),
    R(VAR, "FROM a\nUSER $JAVA_HOME", ""),
    R(VAR, "FROM a\nUSER $JAVA_HOMR", "2", .message = "did you mean 'JAVA_HOME'?"),
    R(VAR, "FROM a\nARG A\nUSER $A", ""),
    R(VAR, "FROM a\nLABEL a=$X b=$X c=${X}", "2"),
    R(VAR, "FROM a\nENV A=$X B=$A", "2,2"),
    R(VAR, "FROM a\nENV PYTHONPATH=/x:$PYTHONPATH", "2", .message = "'PYTHONPATH' is not set"),
    R(VAR, "ARG V=1\nFROM a\nUSER $V", "3", .message = "takes an 'ARG V' of its own"),
    R(VAR, "FROM a\nUSER $TARGETARCH", "2", .message = "ARG TARGETARCH"),
    R(VAR, "FROM a\nRUN echo $X\nCMD $X\nEXPOSE 80$X\nHEALTHCHECK CMD $X", ""),
    R(VAR, "FROM a\nCOPY --chown=$U $S /$D", "2,2,2"),
    R(VAR, "FROM a\nCOPY <<e /x\n$X\ne\nCOPY <<'e' /x\n$Y\ne", "3"),
    R(VAR, "FROM a\nUSER \\$X '$Y'", ""),
    R(VAR, "FROM a AS x\nARG A\nENV B=1\nFROM x\nUSER $A$B", ""),
    R(VAR, "FROM a AS x\nENV B=1\nFROM a\nUSER $B", "4"),
    R(VAR, "FROM a\nUSER $X", "", .rehearse = true),
    R(VAR, "FROM a\nENV HOST=1\nUSER $HSOT", "3", .rehearse = true, .message = "did you mean 'HOST'?"),
    R(VAR, "ARG V=1\nFROM a\nUSER $V", "3", .rehearse = true),
    R(VAR, "FROM a\nUSER $TARGETARCH", "2", .rehearse = true),
    R(VAR, "FROM scratch\nUSER $X", "2", .rehearse = true),
    R(VAR, "FROM a\nLABEL a=b \\\n  c=${XY}", "3"),

    R(WORKDIR, "FROM a\nWORKDIR /x\nWORKDIR y", ""),
    R(WORKDIR, "FROM a\nWORKDIR x", "2", .message = "'x'"),
    R(WORKDIR, "FROM a\nWORKDIR x\nWORKDIR y", "2"),
    R(WORKDIR, "FROM a\nENV D=/x\nWORKDIR $D", ""),
    R(WORKDIR, "FROM a\nENV D=x\nWORKDIR $D", "3", .message = "'x'"),
    R(WORKDIR, "FROM a AS x\nWORKDIR /x\nFROM x\nWORKDIR y", ""),
    R(WORKDIR, "FROM a AS x\nWORKDIR /x\nFROM a\nWORKDIR y", "4"),
    R(WORKDIR, "FROM a\nWORKDIR $X", "", .rehearse = true),
    R(WORKDIR, "FROM a\nWORKDIR x", "2", .rehearse = true),
    R(WORKDIR, "FROM a\nCOPY x y", ""),
};

static void test_rules(void **state)
{
    size_t fires[LINT_RULE_COUNT] = { 0 }, silent[LINT_RULE_COUNT] = { 0 };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct row *r = &rows[i];
        struct checked c = { 0 };
        AUTO(buf_release) struct buf lines = BUF_INIT;

        c.e = check(r, &c);
        const char *message = add_lines(c.lint, r->rule, &lines);

        if (c.e && err_kind(c.e) != ERR_DOCKERFILE)
            err_print(stderr, c.e);
        if (strcmp(buf_str(&lines), r->lines) != 0)
            fail_msg("%s of\n%s\ngot '%s', want '%s'%s%s", lint_rule_info(r->rule)->id, r->text, buf_str(&lines),
                     r->lines, c.e ? ": " : "", c.e ? err_message(c.e) : "");
        if (r->message && (!message || !strstr(message, r->message)))
            fail_msg("%s of\n%s\nsays '%s', not '%s'", lint_rule_info(r->rule)->id, r->text, message, r->message);
        (*r->lines ? fires : silent)[r->rule]++;
        checked_free(&c);
    }
    for (int k = 0; k < LINT_RULE_COUNT; k++)
        if (fires[k] == 0 || silent[k] == 0 || fires[k] + silent[k] < 6)
            fail_msg("too few rows of %s", lint_rule_info((enum lint_rule)k)->id);
}

/* ---- the examples of the documentation ---- */

static bool warns(enum lint_rule rule, const char *text)
{
    AUTO_FREE char *whole = xasprintf(X "%s", text);
    AUTO(buf_release) struct buf lines = BUF_INIT;
    const struct row r = { .text = whole, .ignore = "build\n" };
    struct checked c = { 0 };

    c.e = check(&r, &c);
    add_lines(c.lint, rule, &lines);
    checked_free(&c);
    return lines.len > 0;
}

static void test_examples(void **state)
{
    (void)state;
    for (int k = 0; k < LINT_RULE_COUNT; k++) {
        const struct lint_rule_info *info = lint_rule_info((enum lint_rule)k);

        if (k > 0)
            assert_true(strcmp(lint_rule_info((enum lint_rule)(k - 1))->id, info->id) < 0);
        if (!warns((enum lint_rule)k, info->bad))
            fail_msg("the bad example of %s is not found", info->id);
        if (warns((enum lint_rule)k, info->good))
            fail_msg("the good example of %s is found", info->id);
    }
}

/* ---- which rules count ---- */

#define SECRET "FROM a AS X\nARG TOKEN\n"

static const struct {
    const char *text, *args, *want, *note;
    bool fails; /* lint_verdict() */
} options[] = {
    { SECRET, NULL, "StageNameCasing:1 SecretsUsedInArgOrEnv:2", NULL, false },
    { "# check=skip=StageNameCasing\n" SECRET, NULL, "SecretsUsedInArgOrEnv:3", NULL, false },
    { "# check=skip=StageNameCasing, SecretsUsedInArgOrEnv\n" SECRET, NULL, "SecretsUsedInArgOrEnv:3",
      "the list of checks ends at its first blank", false },
    { "# check=skip=StageNameCasing,SecretsUsedInArgOrEnv\n" SECRET, NULL, "", NULL, false },
    { "#check = skip=all\n" SECRET, NULL, "", NULL, false },
    { "# syntax=docker/dockerfile:1\n# check=skip=all\n" SECRET, NULL, "", NULL, false },
    { "# check=error=true\n" SECRET, NULL, "StageNameCasing:2 SecretsUsedInArgOrEnv:3", NULL, true },
    { "# check=error=true;skip=all\n" SECRET, NULL, "", NULL, false },
    { "# check=skip=StageNameCasing;error=1\n" SECRET, NULL, "SecretsUsedInArgOrEnv:3", NULL, true },
    { "# check=error=false\n" SECRET, NULL, "StageNameCasing:2 SecretsUsedInArgOrEnv:3", NULL, false },
    { "# check=error=true\nFROM a\n", NULL, "", NULL, false },
    { "# c\n# check=skip=all\n" SECRET, NULL, "SecretsUsedInArgOrEnv:4", NULL, false }, /* above FROM, no directive */
    { "# check=skip=all\n" SECRET, "BUILDKIT_DOCKERFILE_CHECK=error=true", "StageNameCasing:2 SecretsUsedInArgOrEnv:3",
      NULL, true },
    { "# check=error=true\n" SECRET, "BUILDKIT_DOCKERFILE_CHECK=", "StageNameCasing:2 SecretsUsedInArgOrEnv:3", NULL,
      false },
    { SECRET, "BUILDKIT_DOCKERFILE_CHECK=error=true|BUILDKIT_DOCKERFILE_CHECK= skip = all ", "", NULL, false },
    { "# check=skip=StageNameCasign\n" SECRET, NULL, "StageNameCasing:2 SecretsUsedInArgOrEnv:3",
      "Dockerfile:1: there is no check 'StageNameCasign'; did you mean 'StageNameCasing'?", false },
    { "# check=skip=stagenamecasing\n" SECRET, NULL, "StageNameCasing:2 SecretsUsedInArgOrEnv:3",
      "did you mean 'StageNameCasing'?", false },
    { "# check=skip=SomethingNew\n" SECRET, NULL, "StageNameCasing:2 SecretsUsedInArgOrEnv:3",
      "there is no check 'SomethingNew'", false },
    { SECRET, "BUILDKIT_DOCKERFILE_CHECK=skip=X", "StageNameCasing:1 SecretsUsedInArgOrEnv:2",
      "BUILDKIT_DOCKERFILE_CHECK: there is no check 'X'", false },
    { "FROM a\n# check=skip=Nope\nARG TOKEN\n", NULL, "SecretsUsedInArgOrEnv:3",
      "Dockerfile:2: there is no check 'Nope'", false },
    { "FROM a\n# check=skp=all\nARG TOKEN\n", NULL, "SecretsUsedInArgOrEnv:3", "Dockerfile:2: the check option",
      false },
    { "FROM a\n# check=error=true\nARG TOKEN\n", NULL, "SecretsUsedInArgOrEnv:3", NULL, false },
    { "# check=skip=StageNameCasing;error=true;experimental=A;B\n" SECRET, NULL, "SecretsUsedInArgOrEnv:3",
      "there is no check 'A;B'", true },
};

static void test_options(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(options); i++) {
        const struct row r = { .text = options[i].text, .args = options[i].args };
        struct checked c = { 0 };
        AUTO(buf_release) struct buf all = BUF_INIT;

        c.e = check(&r, &c);
        if (c.e)
            err_print(stderr, c.e);
        assert_null(c.e);
        add_all(c.lint, &all);
        struct err *verdict = lint_verdict(c.lint);
        const struct strs *notes = lint_notes(c.lint);

        if (strcmp(buf_str(&all), options[i].want) != 0 || (verdict != NULL) != options[i].fails)
            fail_msg("%s\ngot '%s'%s", options[i].text, buf_str(&all), verdict ? ", an error" : "");
        if (options[i].note ? notes->n != 1 || !strstr(notes->items[0], options[i].note) : notes->n != 0)
            fail_msg("%s\nnotes: %s", options[i].text, notes->n ? notes->items[0] : "none");
        err_free(verdict);
        checked_free(&c);
    }
}

static const struct {
    const char *text, *args;
    enum err_kind kind;
    const char *message, *hint;
} wrong[] = {
    { "# check=skip\nFROM a", NULL, ERR_DOCKERFILE, "it has no '='", "Options are" },
    { "# check=skpi=all\nFROM a", NULL, ERR_DOCKERFILE, "'skpi=all'", "Did you mean 'skip'?" },
    { "# check=error=ture\nFROM a", NULL, ERR_DOCKERFILE, "error is true or false", "Options are" },
    { "# check=error=true;\nFROM a", NULL, ERR_DOCKERFILE, "it has no '='", "Options are" },
    { "FROM a", "BUILDKIT_DOCKERFILE_CHECK=nope", ERR_SETTING, "BUILDKIT_DOCKERFILE_CHECK", "Options are" },
};

static void test_wrong_options(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(wrong); i++) {
        const struct row r = { .text = wrong[i].text, .args = wrong[i].args };
        struct checked c = { 0 };
        char text[2048] = "";

        c.e = check(&r, &c);
        assert_non_null(c.e);
        FILE *f = fmemopen(text, sizeof(text) - 1, "w");
        assert_non_null(f);
        err_print(f, c.e);
        fclose(f);
        assert_int_equal(err_kind(c.e), wrong[i].kind);
        if (!strstr(text, wrong[i].message) || !strstr(text, wrong[i].hint) ||
            (wrong[i].kind == ERR_DOCKERFILE) != (strstr(text, "at Dockerfile:1") != NULL))
            fail_msg("%s\ngot %s", wrong[i].text, text);
        checked_free(&c);
    }
}

/* ---- the whole ---- */

static void test_verdict(void **state)
{
    const struct row r = { .text = "# check=error=true\n" SECRET "ARG KEY\n" };
    struct checked c = { 0 };

    (void)state;
    c.e = check(&r, &c);
    assert_null(c.e);
    assert_true(lint_is_strict(c.lint));
    struct err *e = lint_verdict(c.lint);
    assert_non_null(e);
    assert_int_equal(err_exit_code(e), 65);
    assert_non_null(strstr(err_message(e), "3 warnings"));
    assert_non_null(strstr(err_remedy(e), "skip=SecretsUsedInArgOrEnv,StageNameCasing"));
    err_free(e);
    checked_free(&c);
}

static void test_places(void **state)
{
    const struct row r = { .text = "FROM a AS one\nLABEL a=b \\\n   c=${NOPE}\nFROM a AS Two\n" };
    struct checked c = { 0 };
    size_t n = 0;

    (void)state;
    c.e = check(&r, &c);
    assert_null(c.e);
    const struct lint_warning *w = lint_warnings(c.lint, &n);
    assert_int_equal(n, 2);
    assert_true(w[0].at.line == 3 && w[0].at.col == 6 && w[0].at.width == 6);
    assert_string_equal(w[0].at.stage, "one");
    assert_true(w[1].at.line == 4 && w[1].at.col == 11 && w[1].at.width == 3);
    assert_string_equal(w[1].at.stage, "two");
    checked_free(&c);
}

/* Many warnings are counted, not kept; a large file takes no long time. */
static void test_many(void **state)
{
    AUTO(buf_release) struct buf text = BUF_INIT;
    struct checked c = { 0 };
    size_t n = 0;

    (void)state;
    buf_puts(&text, "FROM a\n");
    for (int i = 0; i < 20000; i++)
        buf_printf(&text, "ENV N%d $UNSET%d\n", i, i);
    const struct row r = { .text = buf_str(&text) };
    c.e = check(&r, &c);
    assert_null(c.e);
    (void)lint_warnings(c.lint, &n);
    assert_int_equal(n, LIMIT_LINT_WARNINGS);
    assert_int_equal(n + lint_dropped(c.lint), 40000);
    checked_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),         cmocka_unit_test(test_examples), cmocka_unit_test(test_options),
        cmocka_unit_test(test_wrong_options), cmocka_unit_test(test_verdict),  cmocka_unit_test(test_places),
        cmocka_unit_test(test_many),
    };

    return cmocka_run_group_tests_name("lint", tests, NULL, NULL);
}
