#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above first */
#include <cmocka.h>

#include "base/buf.h"
#include "base/limits.h"
#include "plan/plan.h"

#include <string.h>

#define COUNT(a)     (sizeof(a) / sizeof((a)[0]))
#define SHA          "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define PATH_DEFAULT "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* The base image of all rows: PATH, a shell variable, a CMD, a user and an ONBUILD where a row asks for it. */
static void make_base(const struct platform *pf, const char *onbuild, struct image_config *ret)
{
    config_init(ret, pf);
    env_set(&ret->env, "PATH", "/bin");
    env_set(&ret->env, "BASE", "b");
    strs_add(&ret->cmd, "sh");
    ret->has_cmd = true;
    ret->workdir = xstrdup("srv");
    AUTO_FREE char *all = xstrdup(onbuild ? onbuild : "");
    char *save = NULL;
    for (char *t = strtok_r(all, "|", &save); t; t = strtok_r(NULL, "|", &save))
        strs_add(&ret->onbuild, t);
}

static void add_list(struct buf *out, const struct strs *l)
{
    for (size_t i = 0; i < l->n; i++)
        buf_printf(out, "%s%s", i ? "|" : "", l->items[i]);
}

static void show_config(const char *what, const struct image_config *c, struct buf *out)
{
    const struct {
        const char *name;
        const struct strs *list;
    } lists[] = { { "cmd", &c->cmd },
                  { "entrypoint", &c->entrypoint },
                  { "ports", &c->exposed_ports },
                  { "volumes", &c->volumes },
                  { "onbuild", &c->onbuild },
                  { "health", &c->healthcheck.test },
                  { "shell", &c->shell },
                  { "cenv", &c->env } };
    const struct {
        const char *name, *text;
    } texts[] = {
        { "cuser", c->user }, { "workdir", c->workdir }, { "signal", c->stop_signal }, { "author", c->author }
    };

    for (size_t i = 0; i < COUNT(lists); i++)
        if (strcmp(what, lists[i].name) == 0)
            add_list(out, lists[i].list);
    for (size_t i = 0; i < COUNT(texts); i++)
        if (strcmp(what, texts[i].name) == 0)
            buf_puts(out, texts[i].text ? texts[i].text : "(null)");
    for (size_t i = 0; strcmp(what, "labels") == 0 && i < c->n_labels; i++)
        buf_printf(out, "%s%s=%s", i ? "|" : "", c->labels[i].name, c->labels[i].value);
}

static void show_source(const struct plan_source *from, const struct plan *p, struct buf *out)
{
    if (from->kind == PLAN_SOURCE_STAGE)
        buf_printf(out, "#%zu", from->index);
    else if (from->kind == PLAN_SOURCE_NAMED)
        buf_printf(out, "@%s", plan_context_place(p, from->index));
    else if (from->kind == PLAN_SOURCE_IMAGE)
        buf_puts(out, from->image);
    else
        buf_puts(out, from->kind == PLAN_SOURCE_CONTEXT ? "context" : "nothing");
}

static void show_mounts(const struct step *st, const struct plan *p, struct buf *out)
{
    static const char *const names[] = { "bind", "cache", "tmpfs", "secret", "ssh" };
    static const char *const sharing[] = { "", " private", " locked" };

    for (size_t i = 0; i < st->n_mounts; i++) {
        const struct step_mount *m = &st->mounts[i];

        buf_printf(out, "%s%s %s%s%s", i ? "; " : "", names[m->m.type], m->target ? m->target : "(none)",
                   m->m.readonly ? " ro" : "", sharing[m->m.sharing]);
        if (m->id)
            buf_printf(out, " id %s", m->id);
        if (m->m.env)
            buf_printf(out, " env %s", m->m.env);
        if (m->m.size_bytes)
            buf_printf(out, " %llu", (unsigned long long)m->m.size_bytes);
        if (m->m.type != DF_MOUNT_BIND && m->m.type != DF_MOUNT_CACHE)
            continue;
        buf_puts(out, " from ");
        show_source(&m->from, p, out);
        if (m->m.source)
            buf_printf(out, ":%s", m->m.source);
    }
}

static void show_env(const struct plan *p, const struct stage_plan *sp, const char *name, struct buf *out)
{
    AUTO(strs_release) struct strs env = { 0 };

    plan_run_env(p, sp, &sp->steps[sp->n_steps - 1], &env);
    const char *value = env_get(&env, name);
    buf_puts(out, value ? value : "(unset)");
}

static void show_step(const char *what, const struct step *st, struct buf *out)
{
    if (strcmp(what, "argv") == 0)
        add_list(out, &st->argv);
    if (strcmp(what, "run") == 0)
        buf_printf(out, "%s in %s%s", st->user, st->cwd, st->network_none ? ", no network" : "");
    if (strcmp(what, "script") == 0)
        buf_printf(out, "%s:%s", st->script_name, st->script);
    if (strcmp(what, "history") == 0)
        buf_puts(out, st->created_by);
    if (strcmp(what, "line") == 0)
        buf_printf(out, "%d", st->line);
    if (strcmp(what, "copy") != 0)
        return;
    add_list(out, &st->sources);
    for (size_t i = 0; i < st->n_files; i++)
        buf_printf(out, "<<%s:%s", st->files[i].name, st->files[i].data);
    buf_printf(out, " -> %s", st->dest);
    if (st->from.kind == PLAN_SOURCE_STAGE)
        buf_printf(out, " stage %zu", st->from.index);
    if (st->from.kind == PLAN_SOURCE_IMAGE)
        buf_printf(out, " image %s", st->from.image);
    if (st->chown)
        buf_printf(out, " chown %s", st->chown);
    if (st->chmod)
        buf_printf(out, " chmod %s", st->chmod);
    if (st->exclude.n)
        buf_printf(out, " exclude %s", st->exclude.items[0]);
    buf_printf(out, "%s%s%s%s", st->link ? " link" : "", st->parents ? " parents" : "",
               st->unpack == 1 ? " unpack" : "", st->remote ? " remote" : "");
    if (st->keep_git_dir == 1)
        buf_puts(out, " keep");
    if (st->checksum)
        buf_printf(out, " %s", st->checksum);
}

struct row {
    const char *text, *what, *want;
    const char *args, *contexts, *onbuild, *target; /* args, contexts: NAME=VALUE|... */
    const char *allow;
};

/* Plans the stages up to `index` as a build does. */
static struct err *plan_chain(const struct plan *p, size_t index, const char *onbuild, struct stage_plan *ret)
{
    const struct plan_stage *ps = &p->stages[index];
    struct image_config base = { 0 };
    struct err *e;

    if (ps->base == PLAN_BASE_STAGE) {
        struct stage_plan below = { 0 };

        TRY(plan_chain(p, ps->base_stage, onbuild, &below));
        e = plan_stage(p, index, &below.config, &below, ret);
        stage_plan_release(&below);
        return e;
    }
    if (ps->base == PLAN_BASE_SCRATCH)
        config_init(&base, &ps->platform);
    else
        make_base(&ps->platform, onbuild, &base);
    e = plan_stage(p, index, &base, NULL, ret);
    config_release(&base);
    return e;
}

static void add_stages(const struct plan *p, struct buf *out)
{
    for (size_t i = 0; i < p->n_stages; i++) {
        const struct plan_stage *s = &p->stages[i];
        char pf[256];

        platform_format(&s->platform, pf, sizeof(pf));
        buf_printf(out, "%s%s%s:", i ? "; " : "", i == p->target ? ">" : "", s->name ? s->name : "-");
        if (s->base == PLAN_BASE_STAGE)
            buf_printf(out, "#%zu", s->base_stage);
        else if (s->base == PLAN_BASE_NAMED)
            buf_printf(out, "@%s", plan_context_place(p, s->base_named));
        else
            buf_puts(out, s->base == PLAN_BASE_SCRATCH ? "scratch" : s->image);
        buf_printf(out, "@%s%s", pf, s->needed ? "" : " unneeded");
    }
}

static void split_bars(const char *text, struct strs *out)
{
    AUTO_FREE char *all = xstrdup(text ? text : "");
    char *save = NULL;

    for (char *a = strtok_r(all, "|", &save); a; a = strtok_r(NULL, "|", &save))
        strs_add(out, a);
}

static void show_epoch(const struct plan_epoch *epoch, struct buf *out)
{
    static const char *const kinds[] = { "none", "", "context", "context ", "" };

    buf_puts(out, kinds[epoch->kind]);
    if (epoch->kind == PLAN_EPOCH_TIME)
        buf_printf(out, "%lld", (long long)epoch->seconds);
    if (epoch->kind == PLAN_EPOCH_NAMED)
        buf_printf(out, "%zu", epoch->named);
    if (epoch->kind == PLAN_EPOCH_SOURCE)
        buf_printf(out, "%s%s%s", epoch->source, epoch->checksum ? " " : "", epoch->checksum ? epoch->checksum : "");
}

static struct err *show(const struct row *r, struct buf *out)
{
    AUTO(dockerfile_free) struct dockerfile *df = NULL;
    AUTO(plan_free) struct plan *p = NULL;
    AUTO(strs_release) struct strs args = { 0 }, contexts = { 0 }, allow = { 0 };
    struct stage_plan sp = { 0 };

    split_bars(r->args, &args);
    split_bars(r->contexts, &contexts);
    split_bars(r->allow, &allow);
    struct plan_opts opts = { .build_args = args, .contexts = contexts, .allow = allow, .target = r->target };
    TRY(platform_parse("linux/arm64", &opts.target_platform));
    TRY(platform_parse("linux/amd64", &opts.build_platform));
    TRY(dockerfile_parse("Dockerfile", r->text, strlen(r->text), &df));
    TRY(plan_new(df, &opts, &p));
    if (strcmp(r->what, "stages") == 0) {
        add_stages(p, out);
        return NULL;
    }
    if (strcmp(r->what, "notes") == 0) {
        AUTO(strs_release) struct strs all = { 0 }, declared = { 0 };

        split_bars(r->onbuild, &declared); /* here: the names that its ARGs declare */
        plan_notes(p, &declared, &all);
        for (size_t i = 0; i < all.n; i++)
            buf_printf(out, "%s|", all.items[i]);
        return NULL;
    }
    if (strcmp(r->what, "epoch") == 0) {
        show_epoch(&p->epoch, out);
        return NULL;
    }
    TRY(plan_chain(p, p->target, r->onbuild, &sp));
    show_config(r->what, &sp.config, out);
    if (sp.n_steps && strcmp(r->what, "mounts") == 0)
        show_mounts(&sp.steps[sp.n_steps - 1], p, out);
    if (sp.n_steps && strncmp(r->what, "env:", 4) == 0)
        show_env(p, &sp, r->what + 4, out);
    if (sp.n_steps)
        show_step(r->what, &sp.steps[sp.n_steps - 1], out);
    for (size_t i = 0; strcmp(r->what, "all") == 0 && i < sp.n_steps; i++)
        buf_printf(out, "%s%s", i ? "|" : "", sp.steps[i].display);
    stage_plan_release(&sp);
    return NULL;
}

static void run_rows(const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        AUTO(buf_release) struct buf out = BUF_INIT;
        struct err *e = show(&rows[i], &out);

        if (e)
            err_print(stderr, e);
        if (e || strcmp(buf_str(&out), rows[i].want) != 0)
            fail_msg("%s\n%s: got '%s', want '%s'", rows[i].text, rows[i].what, buf_str(&out), rows[i].want);
    }
}

/* All by name: what a row does not give is NULL. */
#define R(t, k, w, ...)                                                                                                \
    {                                                                                                                  \
        .text = (t), .what = (k), .want = (w), __VA_ARGS__                                                             \
    }
#define ARM "@linux/arm64"

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

static const struct row config[] = {
    R("FROM a", "workdir", "/srv"),
    R("FROM scratch", "workdir", "/"),
    R("FROM a\nWORKDIR app", "workdir", "/srv/app"),
    R("FROM a\nWORKDIR /app/", "workdir", "/app/"),
    R("FROM a\nWORKDIR /app/", "history", "WORKDIR /app/"),
    R("FROM a\nWORKDIR /app/\nWORKDIR b/", "workdir", "/app/b"),
    R("FROM a\nWORKDIR /app/../x/\nRUN y", "run", " in /x"),
    R("FROM a\nWORKDIR /app/\nCOPY x y", "copy", "x -> /app/y"),
    R("FROM a\nWORKDIR ../..", "workdir", "/"),
    R("FROM a\nWORKDIR /x/../y/./z", "workdir", "/x/../y/./z"),
    R("FROM a\nWORKDIR x/../y/./z/", "workdir", "/srv/y/z"),
    R("FROM a\nWORKDIR /$BASE\nWORKDIR c", "workdir", "/b/c"),
    R("FROM a\nWORKDIR $UNSET", "workdir", "/srv"),
    R("FROM a\nWORKDIR c", "history", "WORKDIR /srv/c"),
    R("FROM a\nUSER $BASE:g", "cuser", "b:g"),
    R("FROM a\nUSER u\nRUN x", "run", "u in /srv"),
    R("FROM a\nRUN --network=none x", "run", " in /srv, no network"),
    R("FROM a\nRUN --network=host x", "run", " in /srv", .allow = "network.host"),
    R("FROM a\nRUN --security=sandbox --network=default x", "run", " in /srv"),
    R("FROM a\nUSER u", "history", "USER u"),
    R("FROM a", "cmd", "sh"),
    R("FROM a\nENTRYPOINT [\"e\"]", "cmd", ""),
    R("FROM a\nCMD c\nENTRYPOINT [\"e\"]", "cmd", "/bin/sh|-c|c"),
    R("FROM a AS b\nCMD c\nFROM b\nENTRYPOINT [\"e\"]", "cmd", ""),
    R("FROM a\nENTRYPOINT e $BASE", "entrypoint", "/bin/sh|-c|e $BASE"),
    R("FROM a\nCMD [\"a\\tb\",\"c\\\"\"]", "history", "CMD [\"a\\tb\" \"c\\\"\"]"),
    R("FROM a\nCMD [\"\\u0007\\u0001\\u007f\\n\"]", "history", "CMD [\"\\a\\x01\\x7f\\n\"]"),
    R("FROM a\nCMD x \"y\"", "history", "CMD [\"/bin/sh\" \"-c\" \"x \\\"y\\\"\"]"),
    R("FROM a\nCMD []", "history", "CMD []"),
    R("FROM a\nENTRYPOINT [\"e\",\"f\"]", "history", "ENTRYPOINT [\"e\" \"f\"]"),
    R("FROM a\nSHELL [\"bash\",\"-c\"]\nCMD x", "cmd", "bash|-c|x"),
    R("FROM a\nSHELL [\"bash\",\"-c\"]\nRUN x  y", "argv", "bash|-c|x  y"),
    R("FROM a\nSHELL [\"bash\",\"-c\"]", "history", "SHELL [bash -c]"),
    R("FROM a AS b\nSHELL [\"bash\",\"-c\"]\nFROM b\nRUN x", "argv", "bash|-c|x"),
    R("FROM a\nHEALTHCHECK --retries=2 CMD x y", "health", "CMD-SHELL|x y"),
    R("FROM a\nHEALTHCHECK CMD [\"x\"]", "health", "CMD|x"),
    R("FROM a\nHEALTHCHECK CMD x  y", "history",
      "HEALTHCHECK {Test:[CMD-SHELL x  y] Interval:0s Timeout:0s StartPeriod:0s StartInterval:0s Retries:0}"),
    R("FROM a\nHEALTHCHECK --interval=1h30m1.5s --timeout=90s --start-period=1ms --start-interval=1500us --retries=3 "
      "CMD [\"x\",\"y\"]",
      "history",
      "HEALTHCHECK {Test:[CMD x y] Interval:1h30m1.5s Timeout:1m30s StartPeriod:1ms StartInterval:1.5ms Retries:3}"),
    R("FROM a\nHEALTHCHECK --interval=2h CMD x\nHEALTHCHECK NONE", "history",
      "HEALTHCHECK {Test:[NONE] Interval:0s Timeout:0s StartPeriod:0s StartInterval:0s Retries:0}"),
    R("FROM a\nHEALTHCHECK CMD x\nHEALTHCHECK NONE", "health", "NONE"),
    R("FROM a\nEXPOSE 80 81/UDP 80", "ports", "80/tcp|81/udp"),
    R("FROM a\nEXPOSE 80-82/udp", "ports", "80/udp|81/udp|82/udp"),
    R("FROM a\nENV P='1 2'\nEXPOSE $P", "ports", "1/tcp|2/tcp"),
    R("FROM a\nEXPOSE 80-81", "history", "EXPOSE [80/tcp 81/tcp]"),
    R("FROM a\nEXPOSE 81 80 2375/UDP", "history", "EXPOSE [2375/udp 80/tcp 81/tcp]"),
    R("FROM a\nEXPOSE 8080:80", "ports", "80/tcp"),
    R("FROM a\nEXPOSE 127.0.0.1:8080:80/udp", "ports", "80/udp"),
    R("FROM a\nEXPOSE 127.0.0.1::80", "ports", "80/tcp"),
    R("FROM a\nEXPOSE [::1]:8080:80", "ports", "80/tcp"),
    R("FROM a\nEXPOSE ::1:8080:80", "ports", "80/tcp"),
    R("FROM a\nEXPOSE 8080-8082:80", "ports", "80/tcp"),
    R("FROM a\nEXPOSE 8080-8081:80-81", "ports", "80/tcp|81/tcp"),
    R("FROM a\nEXPOSE 80/ 0 65535/sctp 090", "ports", "0/tcp|90/tcp|65535/sctp|80/tcp"),
    R("FROM a\nENV P=\nEXPOSE $P", "ports", ""),
    R("FROM a\nVOLUME /a /$BASE", "volumes", "/a|/b"),
    R("FROM a\nVOLUME [\"/a b\",\"/a b\"]", "volumes", "/a b"),
    R("FROM a\nVOLUME /a /b", "history", "VOLUME [/a /b]"),
    R("FROM a\nSTOPSIGNAL SIGRTMIN+15", "signal", "SIGRTMIN+15"),
    R("FROM a\nENV S=9\nSTOPSIGNAL $S", "signal", "9"),
    R("FROM a\nSTOPSIGNAL 200", "signal", "200"),
    R("FROM a\nSTOPSIGNAL -1", "signal", "-1"),
    R("FROM a\nSTOPSIGNAL sigrtmax-14", "signal", "sigrtmax-14"),
    R("FROM a\nSTOPSIGNAL term", "history", "STOPSIGNAL term"),
    R("FROM a\nLABEL $BASE=1 \"x y\"='$BASE' z=\"$BASE\"", "labels", "b=1|x y=$BASE|z=b"),
    R("FROM a\nLABEL a=1 b=2\nLABEL a=3", "labels", "a=3|b=2"),
    R("FROM a\nLABEL a=1 b=\"2 3\"", "history", "LABEL a=1 b=2 3"),
    R("FROM a\nMAINTAINER me $BASE", "author", "me $BASE"),
    R("FROM a\nONBUILD RUN --mount=type=cache,target=/c x", "onbuild", "RUN --mount=type=cache,target=/c x"),
    R("FROM a\nENV A=1 B=$BASE", "history", "ENV A=1 B=b"),
    R("FROM a\nARG A=1 B", "history", "ARG A=1 B"),
    R("FROM a\nARG HTTP_PROXY\nRUN x", "history", "RUN /bin/sh -c x # buildkit", .args = "HTTP_PROXY=http://u:pw@h"),
    R("FROM a\nARG HTTP_PROXY", "history", "ARG HTTP_PROXY", .args = "HTTP_PROXY=http://u:pw@h"),
    R("FROM a\nARG A=1\nARG B\nRUN x", "history", "RUN |2 A=1 B= /bin/sh -c x # buildkit"),
    R("FROM a\nARG A=1\nARG A=2\nRUN [\"x\",\"y\"]", "history", "RUN |1 A=2 x y # buildkit"),
    R("FROM a AS b\nARG A=1\nFROM b\nARG B=2\nRUN x", "history", "RUN |2 A=1 B=2 /bin/sh -c x # buildkit"),
};

static void test_config(void **state)
{
    (void)state;
    run_rows(config, COUNT(config));
}

static const struct row layers[] = {
    R("FROM a\nCOPY x y/", "copy", "x -> /srv/y/"),
    R("FROM a\nCOPY x .", "copy", "x -> /srv/"),
    R("FROM a\nCOPY x y .", "copy", "x|y -> /srv/"),
    R("FROM a\nCOPY x /a/../b", "copy", "x -> /b"),
    R("FROM a\nCOPY x ../b", "copy", "x -> /b"),
    R("FROM a\nCOPY x /", "copy", "x -> /"),
    R("FROM a\nCOPY [\"x y\",\"/z z\"]", "copy", "x y -> /z z"),
    R("FROM a\nCOPY --chown=$BASE:1 --chmod=u+x --exclude=*.$BASE --link x /y", "copy",
      "x -> /y chown b:1 chmod u+x exclude *.$BASE link"),
    R("FROM a\nCOPY --parents --link=false x /y", "copy", "x -> /y parents"),
    R("FROM a\nADD --unpack x /y", "copy", "x -> /y unpack"),
    R("FROM a\nADD http://h/x /y", "copy", "http://h/x -> /y remote"),
    R("FROM a\nADD x http://h/x /y/", "copy", "x|http://h/x -> /y/ remote"),
    R("FROM a\nADD --keep-git-dir https://h/r.git?keep-git-dir=1 /y", "copy",
      "https://h/r.git?keep-git-dir=1 -> /y remote keep"),
    R("FROM a\nADD --checksum=ab https://h/r.git?commit=AB /y", "copy", "https://h/r.git?commit=AB -> /y remote ab"),
    R("FROM a\nADD github.com/a/b /y/", "copy", "github.com/a/b -> /y/"),
    R("FROM a\nARG S=" SHA "\nADD --checksum=$S http://h/x /y", "copy", "http://h/x -> /y remote " SHA),
    R("FROM a\nADD http://u:p@h/x?y=1 /y", "history", "ADD http://u:xxxxx@h/x?y=1 /y # buildkit"),
    R("FROM a\nCOPY --from=busybox:1 x /y", "copy", "x -> /y image busybox:1"),
    R("FROM z AS s\nFROM a\nCOPY --from=S x /y", "copy", "x -> /y stage 0"),
    R("FROM a\nCOPY <<E /y\n$BASE '$BASE' \\$BASE\nE", "copy", "<<E:b 'b' $BASE\n -> /y"),
    R("FROM a\nCOPY <<'E' /y\n$BASE\nE", "copy", "<<E:$BASE\n -> /y"),
    R("FROM a\nCOPY <<-E <<F x /y/\n\tq\n\tE\nr\nF", "copy", "x<<E:q\n<<F:r\n -> /y/"),
    R("FROM a\nRUN <<E\necho $BASE\nE", "argv", "/bin/sh|-c|echo $BASE\n"),
    R("FROM a\nRUN <<E\n#!/bin/awk -f\nx\nE", "script", "E:#!/bin/awk -f\nx\n"),
    R("FROM a\nRUN cat <<E >f\nx\nE", "argv", "/bin/sh|-c|cat <<E >f\nx\nE"),
    R("FROM a\nRUN [\"x\",\"$BASE\"]", "argv", "x|$BASE"),
    R("FROM a\nCOPY x /y", "history", "COPY x /y # buildkit"),
    R("FROM a\nCOPY --from=i --link --parents --exclude=e --chmod=u+x --chown=$BASE:$BASE $BASE x y/", "history",
      "COPY --parents --chown=b:b --chmod=u+x b x y/ # buildkit"),
    R("FROM a\nADD <<E <<F x .\n1\nE\n2\nF", "history", "ADD x <<E <<F . # buildkit"),
    R("FROM a\nRUN <<E\nx\ny\nE", "history", "RUN /bin/sh -c x\ny\n # buildkit"),
    R("FROM a\nRUN <<E\n#!/bin/p\nE", "history", "RUN /bin/sh -c /dev/pipes/E # buildkit"),
    R("FROM a\nRUN z", "all", "RUN x|COPY y /|RUN z", .onbuild = "RUN x|COPY y /"),
    R("FROM a", "onbuild", "", .onbuild = "RUN x"),
    R("# c\nFROM a", "line", "2", .onbuild = "RUN x"),
    R("FROM a\nRUN x", "env:T", "b", .onbuild = "ENV T=$BASE"),
    R("FROM a AS b\nONBUILD RUN x\nRUN y\nFROM b\nRUN z", "all", "RUN x|RUN z"),
    R("FROM a AS b\nONBUILD RUN x\nFROM b AS c\nFROM c\nRUN z", "all", "RUN z"),
};

static void test_layers(void **state)
{
    (void)state;
    run_rows(layers, COUNT(layers));
}

/* want: text of the printed error */
static const struct row errors[] = {
    R("ARG A", "", "no FROM"),
    R("ARG A=1\nARG SOURCE_DATE_EPOCH=not-a-time\nFROM a", "", "Dockerfile:2"),
    R("FROM a", "", "SOURCE_DATE_EPOCH=12x cannot be used", .args = "SOURCE_DATE_EPOCH=12x"),
    R("FROM a", "", "SOURCE_DATE_EPOCH=253402300800 cannot", .args = "SOURCE_DATE_EPOCH=253402300800"),
    R("FROM a", "", "cannot be used", .args = "SOURCE_DATE_EPOCH=99999999999999999999"),
    R("FROM a AS s\nADD https://h/x /", "", "must be FROM scratch", .args = "SOURCE_DATE_EPOCH=s"),
    R("FROM scratch AS s", "", "exactly one remote ADD", .args = "SOURCE_DATE_EPOCH=s"),
    R("FROM scratch AS s\nCOPY x /", "", "not COPY", .args = "SOURCE_DATE_EPOCH=s"),
    R("FROM scratch AS s\nADD x /", "", "must have a URL", .args = "SOURCE_DATE_EPOCH=s"),
    R("FROM scratch AS s\nADD https://h/x https://h/y /z/", "", "one remote source", .args = "SOURCE_DATE_EPOCH=s"),
    R("FROM scratch AS s\nADD https://h/x /\nADD https://h/y /", "", "Dockerfile:3", .args = "SOURCE_DATE_EPOCH=s"),
    R("FROM scratch AS s\nADD <<E /x\ny\nE", "", "one remote source", .args = "SOURCE_DATE_EPOCH=s"),
    R("FROM a AS build", "", "there is no stage 'x'", .target = "x"),
    R("FROM a AS build", "", "named stages are: build", .target = "x"),
    R("FROM a", "", "no stage '0'", .target = "0"),
    R("FROM a AS x", "", "Numbers are no targets", .target = "0"),
    R("FROM a AS t\nCOPY --from=b f /\nFROM a AS b\nFROM t", "", "stage of line 3 above"),
    R("FROM a AS t\nCOPY --from=1 f /\nFROM a AS b\nFROM t", "", "Dockerfile:2"),
    R("FROM a AS t\nRUN --mount=from=b,target=/b f\nFROM a AS b\nFROM t", "", "stage that comes later"),
    R("FROM a AS x\nFROM b\nCOPY --from=x f /\nFROM c AS x\nFROM b\nCOPY --from=1 f /", "", "stage of line 4 above"),
    R("FROM a AS x\nCOPY --from=x f /\nFROM a", "", "stage that it stands in"),
    R("FROM a AS x\nCOPY --from=y f /\nFROM a AS y\nCOPY --from=x f /\nFROM a", "", "stage 'x' needs itself"),
    R("FROM a AS x\nCOPY --from=7 f /\nFROM a", "", "there is no stage 7"),
    R("FROM a AS x\nCOPY --from=$y f /\nFROM a", "", "variables are not replaced"),
    R("FROM a AS x\nCOPY --from=Y:: f /\nFROM a", "", "neither a stage nor an image"),
    R("FROM a AS first\nRUN x\nFROM a AS later", "", "stage that comes later", .onbuild = "COPY --from=later x /",
      .target = "first"),
    R("FROM $X", "", "Dockerfile:1"),
    R("FROM A:b:c", "", "Dockerfile:1"),
    R("FROM --platform=$X a", "", "--platform is empty"),
    R("FROM --platform=nonsense scratch", "", "not a valid platform"),
    R("FROM a AS b\nFROM --platform=x/y/z/0 b", "", "not a valid platform"),
    R("FROM --platform=windows/amd64 a", "", "a stage for Windows cannot be built"),
    R("FROM --platform=windows/amd64 a AS w\nFROM b\nCOPY --from=w / /", "", "a stage for Windows cannot be built"),
    R("FROM a AS x\nCOPY --from=x y /", "", "stage that it stands in"),
    R("FROM a AS x\nCOPY --from=y y /\nFROM x AS y\nRUN x", "", "stage that comes later"),
    R("FROM a AS x\nCOPY --from=1 y /\nFROM b\nFROM x", "", "stage of line 3 above"),
    R("FROM a\n\nRUN --mount=type=tmpfs,target=/ x", "", "Dockerfile:3"),
    R("FROM a\nRUN --mount=type=tmpfs,target=/ x", "", "root directory"),
    R("FROM a\nRUN --mount=from=7,target=/c x", "", "there is no stage 7"),
    R("FROM a\nRUN --mount=from=B:c:d,target=/c x", "", "neither a stage nor an image"),
    R("FROM a AS x\nRUN --mount=from=x,target=/c x", "", "stage that it stands in"),
    R("FROM a AS x\nRUN --mount=from=y,target=/c x\nFROM b AS y\nFROM x", "", "stage that comes later"),
    R("FROM a\nRUN --security=insecure x", "", "--security"),
    R("FROM a\nRUN --security=insecure x", "", "--security", .allow = "network.host"),
    R("FROM a\nRUN --device=v.com/c=d x", "", "no part of the stable"),
    R("FROM a", "", "is no host name", .args = "BUILDKIT_SANDBOX_HOSTNAME=a b"),
    R("FROM a", "", "64 bytes",
      .args = "BUILDKIT_SANDBOX_HOSTNAME=a123456789a123456789a123456789a123456789a123456789a123456789a1234"),
    R("FROM a\nRUN --network=host x", "", "--network=host"),
    R("FROM a\nADD --checksum=" SHA " x /", "", "needs a source of http"),
    R("FROM a\nADD --checksum=" SHA " http://h/x http://h/y /", "", "a single source"),
    R("FROM a\nADD --checksum=" SHA " http://h/x <<E /\n1\nE", "", "a single source"),
    R("FROM a\nADD --checksum=sha256:0 http://h/x /", "", "--checksum=sha256:0"),
    R("FROM a\nADD --checksum=sha512:00 http://h/x /", "", "sha256: and 64 digits"),
    R("FROM a\nCOPY https://u:pw@h/x /", "", "COPY cannot fetch 'https://u:xxxxx@h/x'"),
    R("FROM a\nENV U=https://h/x\nCOPY $U /", "", "Dockerfile:3"),
    R("FROM a\nCOPY git@h:r.git /", "", "COPY cannot fetch"),
    R("FROM a\nADD https://h/r.git?no=1 /", "", "unknown key 'no'"),
    R("FROM a\nADD --keep-git-dir=false https://h/r.git?keep-git-dir=1 /", "", "contradict each other"),
    R("FROM a\nADD --checksum=abc https://h/r.git?checksum=ab /", "", "different commits"),
    R("FROM a\nADD --checksum=" SHA " https://h/r.git /", "", "is no commit hash"),
    R("FROM a\nCOPY --from=2 x /", "", "there is no stage 2"),
    R("ARG V=1\nFROM a\nCOPY --from=a:$V x /", "", "variables are not replaced"),
    R("FROM a\nCOPY --from=Not/An:image: x /", "", "neither a stage nor an image"),
    R("FROM a\nCOPY a b /c", "", "several sources"),
    R("FROM a\nCOPY a b /c", "", "        |          ^~\n"),
    R("FROM a\nCOPY --chmod=x a /c", "", "'x' is no mode"),
    R("FROM a\nENV M=u+q\nCOPY --chmod=$M a /c", "", "Dockerfile:3"),
    R("FROM a AS build", "", "Did you mean 'build'? Its named", .target = "biuld"),
    R("FROM a AS build\nFROM b\nCOPY --from=buil: x /", "", "Did you mean the stage 'build'?"),
    R("FROM a AS b\nRUN \\\n --security=insecure x", "", "Dockerfile:3, stage 'b'"),
    R("FROM a\nEXPOSE 80 \\\n  70000", "", ">     3 |   70000\n        |   ^~~~~\n"),
    R("FROM a\nLABEL a=b c=${X/}", "", "        |             ^~~~~\n"),
    R("FROM a\nRUN --mount=type=cahce,target=/x true", "", "        |             ^~~~~~~~~~\n"),
    R("FROM a\nRUN --mount=type=cache,tagret=/x true", "", "Did you mean 'target'?"),
    R("FROM a\nRUN --mount=type=cache,target=/x,sharing=lock x", "", "Did you mean 'locked'?"),
    R("FROM --platform=linux/a/b/c/d a", "", "        |                 ^~~~~~~~~~~~~\n"),
    R("FROM a\nENV D=/c\nCOPY a b $D", "", "Dockerfile:3"),
    R("FROM a\nEXPOSE 70000", "", "'70000' is not a port"),
    R("FROM a\nEXPOSE 9-8", "", "'9-8'"),
    R("FROM a\nEXPOSE 80/icmp", "", "'80/icmp'"),
    R("FROM a\nEXPOSE x", "", "Dockerfile:2"),
    R("FROM a\nEXPOSE 8080:", "", "the container's port"),
    R("FROM a\nEXPOSE /tcp", "", "the container's port"),
    R("FROM a\nEXPOSE 80-", "", "the container's port"),
    R("FROM a\nEXPOSE 80/tcp/udp", "", "the protocol"),
    R("FROM a\nEXPOSE x:80", "", "the host's port"),
    R("FROM a\nEXPOSE 70000:80", "", "the host's port"),
    R("FROM a\nEXPOSE 8080-8082:80-81", "", "differ in length"),
    R("FROM a\nEXPOSE 8080:80-81", "", "differ in length"),
    R("FROM a\nEXPOSE host:8080:80", "", "no IP address"),
    R("FROM a\nEXPOSE 1.2.3:8080:80", "", "no IP address"),
    R("FROM a\nEXPOSE 99999999999999999999", "", "the container's port"),
    R("FROM a\nSTOPSIGNAL SIGX", "", "'SIGX' is not a signal"),
    R("FROM a\nSTOPSIGNAL 0", "", "'0'"),
    R("FROM a\nSTOPSIGNAL 9x", "", "'9x'"),
    R("FROM a\nSTOPSIGNAL RTMIN+01", "", "'RTMIN+01'"),
    R("FROM a\nSTOPSIGNAL RTMIN-1", "", "'RTMIN-1'"),
    R("FROM a\nSTOPSIGNAL RTMIN+16", "", "'RTMIN+16'"),
    R("FROM a\nSTOPSIGNAL RTMAX+1", "", "'RTMAX+1'"),
    R("FROM a\nVOLUME $X", "", "empty path"),
    R("FROM a\nENV A=${X:?must be set}", "", "must be set"),
    R("FROM a\nRUN x", "", "ONBUILD RUN --security=insecure x", .onbuild = "RUN --security=insecure x"),
    R("\nFROM a\nRUN x", "", "'ONBUILD NOPE x' of the base of line 2", .onbuild = "NOPE x"),
    R("FROM a AS b\nONBUILD RUN --security=insecure x\nFROM b", "", "Dockerfile:3"),
};

static void test_errors(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(errors); i++) {
        AUTO(buf_release) struct buf out = BUF_INIT;
        struct err *e = show(&errors[i], &out);
        char text[4096] = "";

        if (!e)
            fail_msg("%s\nis accepted", errors[i].text);
        FILE *f = fmemopen(text, sizeof(text) - 1, "w");
        assert_non_null(f);
        err_print(f, e);
        assert_int_equal(fclose(f), 0);
        assert_int_equal(err_kind(e), ERR_DOCKERFILE);
        err_free(e);
        if (!strstr(text, errors[i].want))
            fail_msg("%s\ngot: %s\nwant: %s", errors[i].text, text, errors[i].want);
    }
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
        cmocka_unit_test(test_same_stages), cmocka_unit_test(test_stages),      cmocka_unit_test(test_mounts),
        cmocka_unit_test(test_variables),   cmocka_unit_test(test_config),      cmocka_unit_test(test_layers),
        cmocka_unit_test(test_errors),      cmocka_unit_test(test_epochs),      cmocka_unit_test(test_set_epoch),
        cmocka_unit_test(test_notes),       cmocka_unit_test(test_deep_stages),
    };

    return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
