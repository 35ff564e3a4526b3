#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above first */
#include <cmocka.h>

#include "base/buf.h"
#include "base/limits.h"
#include "dockerfile/dockerfile.h"
#include "dockerfile/words.h"

#include <string.h>
#include <time.h>

/* ---- an instruction as one line of text, for the tables ---- */

static void put_list(struct buf *out, const struct strs *l)
{
    for (size_t i = 0; i < l->n; i++)
        buf_printf(out, "(%s)", l->items[i]);
}

static void put_instr(struct buf *out, const struct df_instr *i)
{
    buf_printf(out, "%s@%d-%d", df_keyword(i->kind), i->line, i->end_line);
    for (size_t k = 0; k < i->n_flags; k++)
        buf_printf(out, " --%s%s%s", i->flags[k].name, i->flags[k].has_value ? "=" : "", i->flags[k].value);
    if (i->command.exec)
        buf_puts(out, " exec");
    if (i->health_none)
        buf_puts(out, " none");
    if (i->words.n + i->command.args.n > 0)
        buf_putc(out, ' ');
    put_list(out, &i->words);
    put_list(out, &i->command.args);
    for (size_t k = 0; k < i->n_pairs; k++)
        buf_printf(out, " %s%s%s", i->pairs[k].name,
                   i->pairs[k].separator ? "="
                   : i->pairs[k].value   ? "~"
                                         : "",
                   i->pairs[k].value ? i->pairs[k].value : "");
    if (i->arg)
        buf_printf(out, " [%s]", i->arg);
    if (i->stage_name)
        buf_printf(out, " as %s", i->stage_name);
    for (size_t k = 0; k < i->n_heredocs; k++)
        buf_printf(out, " %s<<%s%s%s:%d{%s}", i->heredocs[k].fd, i->heredocs[k].chomp ? "-" : "", i->heredocs[k].name,
                   i->heredocs[k].expand ? "" : "!", i->heredocs[k].line, i->heredocs[k].content);
    if (i->trigger) {
        buf_puts(out, " -> ");
        put_instr(out, i->trigger);
    }
}

static void put_file(struct buf *out, const struct dockerfile *df)
{
    for (size_t k = 0; k < df->n_instrs; k++) {
        if (k)
            buf_puts(out, "; ");
        put_instr(out, &df->instrs[k]);
    }
}

static void put_error(struct buf *out, const struct err *e)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);

    err_print(f, e);
    fclose(f);
    buf_puts(out, text);
    free(text);
}

/* ---- lines, directives, here-documents: whole files ---- */

static const struct {
    const char *text, *want;
} files[] = {
    { "FROM a", "FROM@1-1 [a]" },
    { "from a\n", "FROM@1-1 [a]" },
    { "\xef\xbb\xbf"
      "FROM a\n",
      "FROM@1-1 [a]" },
    { "\n# c\n  FROM a  \n\t# c\n", "FROM@3-3 [a]" },
    { "FROM a\r\nUSER b\r\n", "FROM@1-1 [a]; USER@2-2 [b]" },
    { "FROM \\\n a\n", "FROM@1-2 [a]" },
    { "FROM a\nRUN x \\ \t\n  y\n", "FROM@1-1 [a]; RUN@2-3 (x   y)" },
    { "FROM a\nRUN x \\\n# c\n\n  # d\n y\nUSER b", "FROM@1-1 [a]; RUN@2-6 (x  y); USER@7-7 [b]" },
    { "FROM a\nRUN x \\\\\nUSER b", "FROM@1-1 [a]; RUN@2-2 (x \\\\); USER@3-3 [b]" },
    { "FROM a\nRUN x \\", "FROM@1-1 [a]; RUN@2-2 (x)" },
    { "\\\nFROM a", "FROM@1-2 [a]" },
    { "# escape=`\nFROM a\nRUN x `\n y\nRUN c:\\", "FROM@2-2 [a]; RUN@3-4 (x  y); RUN@5-5 (c:\\)" },
    { "#ESCAPE = ` \n# syntax=s\nFROM a\nUSER `\nb", "FROM@3-3 [a]; USER@4-5 [b]" },
    { "# c\n# escape=`\nFROM a\nRUN x `\nRUN y", "FROM@3-3 [a]; RUN@4-4 (x `); RUN@5-5 (y)" },
    { "ARG a\nFROM b", "ARG@1-1 a; FROM@2-2 [b]" },
    { "ARG a", "ARG@1-1 a" },
    { "FROM a\nRUN <<E\nx\nE\nUSER b", "FROM@1-1 [a]; RUN@2-4 (<<E) <<E:3{x\n}; USER@5-5 [b]" },
    { "FROM a\nRUN <<'E'\nE", "FROM@1-1 [a]; RUN@2-3 (<<'E') <<E!:3{}" },
    { "FROM a\nRUN <<-E\n\t\tx\n\t y\n\tE", "FROM@1-1 [a]; RUN@2-5 (<<-E) <<-E:3{x\n y\n}" },
    { "FROM a\nRUN cat <<A 3<<\"B\" >x\n1\nA\n2\nB",
      "FROM@1-1 [a]; RUN@2-6 (cat <<A 3<<\"B\" >x) <<A:3{1\n} 3<<B!:5{2\n}" },
    { "FROM a\nCOPY <<A b <<C /d/\n# no comment\nA\n \\\nC",
      "FROM@1-1 [a]; COPY@2-6 (<<A)(b)(<<C) [/d/] <<A:3{# no comment\n} <<C:5{ \\\n}" },
    { "FROM a\nRUN \\\n <<E\nx\nE", "FROM@1-1 [a]; RUN@2-5 (<<E) <<E:4{x\n}" },
    { "FROM a\nRUN <<E\r\nx\r\nE\r\n", "FROM@1-1 [a]; RUN@2-4 (<<E) <<E:3{x\r\n}" },
    { "FROM a\nRUN << E\nE", "FROM@1-1 [a]; RUN@2-3 (<< E) <<E:3{}" },
    { "FROM a\nRUN echo \"<<E\" $((1<<2)) <<<x", "FROM@1-1 [a]; RUN@2-2 (echo \"<<E\" $((1<<2)) <<<x)" },
    { "FROM a\nRUN echo it's <<E", "FROM@1-1 [a]; RUN@2-2 (echo it's <<E)" },
    { "FROM a\nRUN [\"<<E\"]", "FROM@1-1 [a]; RUN@2-2 exec (<<E)" },
    { "FROM a\nCMD <<E", "FROM@1-1 [a]; CMD@2-2 (<<E)" },
    { "FROM a\nONBUILD RUN <<E\nx\nE\nUSER b",
      "FROM@1-1 [a]; ONBUILD@2-4 [RUN <<E\nx\nE] <<E:3{x\n} -> RUN@2-4 (<<E) <<E:3{x\n}; USER@5-5 [b]" },
};

static void test_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        AUTO(dockerfile_free) struct dockerfile *df = NULL;
        AUTO(buf_release) struct buf got = BUF_INIT;
        struct err *e = dockerfile_parse("Dockerfile", files[i].text, strlen(files[i].text), &df);

        if (e)
            put_error(&got, e);
        else
            put_file(&got, df);
        if (strcmp(buf_str(&got), files[i].want) != 0)
            fail_msg("'%s' gave\n%s\nnot\n%s", files[i].text, buf_str(&got), files[i].want);
        err_free(e);
    }
}

/* ---- one instruction on line 2 ---- */

static const struct {
    const char *line, *want; /* want without the keyword's place; NULL: must fail */
} instrs[] = {
    { "ADD a b /c/", " (a)(b) [/c/]" },
    { "ADD --checksum=x --keep-git-dir --unpack=false --exclude=a --exclude=b u /c",
      " --checksum=x --keep-git-dir --unpack=false --exclude=a --exclude=b (u) [/c]" },
    { "ADD [\"a b\", \"c\"]", " (a b) [c]" },
    { "ADD [\"a b\", c]", " ([\"a)(b\",) [c]]" },
    { "ADD a", NULL },
    { "ADD [1, \"a\"]", NULL },
    { "ADD --from=x a b", NULL },
    { "ADD --link= a b", NULL },
    { "ADD --link=yes a b", NULL },
    { "ARG a", " a" },
    { "ARG a=1 b c=\"x y\" d=", " a=1 b c=\"x y\" d=" },
    { "ARG a=x\\ y", " a=x\\ y" },
    { "ARG", NULL },
    { "ARG =x", NULL },
    { "CMD x  y", " (x  y)" },
    { "CMD [\"x\", \"y z\"]", " exec (x)(y z)" },
    { "CMD [ ]", " exec" },
    { "CMD", "" },
    { "CMD [\"\\u0041\\ud83d\\ude00\\/\\n\"]", " exec (A\xf0\x9f\x98\x80/\n)" },
    { "CMD ['x']", " (['x'])" },
    { "CMD [\"x\",]", " ([\"x\",])" },
    { "CMD [\"x\"] y", " ([\"x\"] y)" },
    { "CMD [\"x\", 1]", NULL },
    { "CMD [\"x\", {\"a\": [null, -1.5e3]}]", NULL },
    { "CMD [\"x\", 01]", " ([\"x\", 01])" },
    { "CMD [\"\\u0000\"]", NULL },
    { "CMD --x y", NULL },
    { "COPY --from=b --chown=1:2 --chmod=u+x --link --parents --exclude=*.o a b",
      " --from=b --chown=1:2 --chmod=u+x --link --parents --exclude=*.o (a) [b]" },
    { "COPY --link --link a b", NULL },
    { "COPY --from a b", NULL },
    { "COPY --checksum=x a b", NULL },
    { "COPY --chown='a b' --from=\"c\"d a b", " --chown=a b --from=cd (a) [b]" },
    { "COPY -- --a b", " (--a) [b]" },
    { "COPY a <<E", NULL },
    { "ENTRYPOINT [\"a\"]", " exec (a)" },
    { "ENTRYPOINT a b", " (a b)" },
    { "ENV a=b c=\"d e\" f=g\\ h i='j'", " a=b c=\"d e\" f=g\\ h i='j'" },
    { "ENV a b=c d", " a~b=c d" },
    { "ENV a   \"b\"", " a~\"b\"" },
    { "ENV a=b c", NULL },
    { "ENV a", NULL },
    { "ENV", NULL },
    { "ENV =a", NULL },
    { "EXPOSE 80 443/udp", " (80)(443/udp)" },
    { "EXPOSE", NULL },
    { "FROM b AS Name1", " [b] as name1" },
    { "FROM --platform=$P b as n_a.b-c", " --platform=$P [b] as n_a.b-c" },
    { "FROM b c", NULL },
    { "FROM b IS c", NULL },
    { "FROM b AS 1c", NULL },
    { "FROM b AS c/d", NULL },
    { "FROM", NULL },
    { "FROM --platform b", NULL },
    { "HEALTHCHECK NONE", " none" },
    { "HEALTHCHECK none", " none" },
    { "HEALTHCHECK NONE x", NULL },
    { "HEALTHCHECK --interval=1s NONE", " --interval=1s none" },
    { "HEALTHCHECK cmd  x y", " (x y)" },
    { "HEALTHCHECK --interval=5s --timeout=1m --start-period=1h --start-interval=1ms --retries=3 CMD [\"x\"]",
      " --interval=5s --timeout=1m --start-period=1h --start-interval=1ms --retries=3 exec (x)" },
    { "HEALTHCHECK CMD", NULL },
    { "HEALTHCHECK CMD []", NULL },
    { "HEALTHCHECK x", NULL },
    { "HEALTHCHECK", NULL },
    { "HEALTHCHECK --interval=5 CMD x", NULL },
    { "HEALTHCHECK --interval=1us CMD x", NULL },
    { "HEALTHCHECK --retries=-1 CMD x", NULL },
    { "HEALTHCHECK --retries=x CMD x", NULL },
    { "HEALTHCHECK --what=1s CMD x", NULL },
    { "LABEL \"a b\"=c d='e f'", " \"a b\"=c d='e f'" },
    { "LABEL a b c", " a~b c" },
    { "LABEL a=b c", NULL },
    { "MAINTAINER a b", " [a b]" },
    { "MAINTAINER", NULL },
    { "ONBUILD RUN  x", " [RUN  x] -> RUN@2-2 (x)" },
    { "ONBUILD copy --from=s a b", " [copy --from=s a b] -> COPY@2-2 --from=s (a) [b]" },
    { "ONBUILD ENV a", NULL },
    { "ONBUILD COPY a", " [COPY a]" }, /* found when a build starts from the image */
    { "ONBUILD ONBUILD RUN x", NULL },
    { "ONBUILD FROM b", NULL },
    { "ONBUILD maintainer b", NULL },
    { "ONBUILD", NULL },
    { "ONBUILD --x RUN y", NULL },
    { "RUN", "" },
    { "RUN x && y", " (x && y)" },
    { "RUN --mount=type=cache,target=/c --mount=type=bind --network=none --security=sandbox x",
      " --mount=type=cache,target=/c --mount=type=bind --network=none --security=sandbox (x)" },
    { "RUN --mount=type=cache,\"id=a b\" x", " --mount=type=cache,id=a b (x)" },
    { "RUN --mount= x", NULL },
    { "RUN --mount=a\\\"b x", NULL },
    { "RUN --mount=from=$A x", NULL },
    { "RUN --network=lan x", NULL },
    { "RUN --security=none x", NULL },
    { "RUN --device=a,required x", " --device=a,required (x)" },
    { "RUN --device=a,b x", NULL },
    { "RUN --user=x y", NULL },
    { "SHELL [\"a\", \"-c\"]", " (a)(-c)" },
    { "SHELL a -c", NULL },
    { "SHELL []", NULL },
    { "STOPSIGNAL 9", " [9]" },
    { "STOPSIGNAL", NULL },
    { "USER a:b", " [a:b]" },
    { "USER --x a", NULL },
    { "USER", NULL },
    { "VOLUME /a /b", " (/a)(/b)" },
    { "VOLUME [\"/a b\", \" /c \"]", " (/a b)(/c)" },
    { "VOLUME [\"\"]", NULL },
    { "VOLUME", NULL },
    { "WORKDIR /a b", " [/a b]" },
    { "WORKDIR", NULL },
    { "NOSUCH x", NULL },
    { "RUN <<E", NULL },
};

static void test_instrs(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(instrs) / sizeof(instrs[0]); i++) {
        AUTO(dockerfile_free) struct dockerfile *df = NULL;
        AUTO(buf_release) struct buf got = BUF_INIT;
        AUTO_FREE char *text = xasprintf("FROM a\n%s\n", instrs[i].line);
        struct err *e = dockerfile_parse("Dockerfile", text, strlen(text), &df);

        if (e)
            put_error(&got, e);
        else
            put_instr(&got, &df->instrs[1]);
        const char *fields = e ? NULL : strstr(buf_str(&got), "@2-2");

        if (e ? instrs[i].want != NULL : !instrs[i].want || strcmp(fields + 4, instrs[i].want) != 0)
            fail_msg("'%s' gave\n%s\nnot\n%s", instrs[i].line, buf_str(&got), instrs[i].want);
        if (e && (err_kind(e) != ERR_DOCKERFILE || !strstr(buf_str(&got), "Dockerfile:2")))
            fail_msg("'%s' failed without its place: %s", instrs[i].line, buf_str(&got));
        err_free(e);
    }
}

/* ---- messages ---- */

static const struct {
    const char *text;
    const char *parts[4]; /* all must be in the printed error */
} messages[] = {
    { "FROM a\nRUNN x\n", { "'RUNN'", "Dockerfile:2", "RUNN x", "'RUN'" } },
    { "FROM a\n\nCOPY \\\n --form=b \\\n c d\n", { "--form", "Dockerfile:4", " --form=b", "'--from'" } },
    { "FROM a\nUSER --x y\n", { "--x", "USER has no flags" } },
    { "FROM a\nRUN <<EOF\nx\n", { "'EOF'", "Dockerfile:2", "has no end" } },
    { "FROM a\nRUN --network=hosts x\n", { "'hosts'", "'host'" } },
    { "FROM a\nENV a=b \\\n  c=d e\n", { "'e'", "name=value" } },
    { "FROM a\nSHELL x\n", { "JSON", "[\"/bin/sh\", \"-c\"]" } },
    { "RUN x\nFROM a\n", { "Dockerfile:1", "before the first FROM" } },
    { "", { "no instructions" } },
    { "# only\n\n", { "no instructions" } },
    { "# escape=x\nFROM a\n", { "Dockerfile:1", "escape" } },
    { "# syntax=a\n# syntax=b\nFROM a\n", { "Dockerfile:2", "syntax" } },
    { "FROM a\nFROM b AS 9\n", { "'9'", "Dockerfile:2", "starts with a letter" } },
    { "FROM a AS one\nFROM b\nCOPY x\n", { "Dockerfile:3, stage 1", "      2 | FROM b", ">     3 | COPY x" } },
    { "FROM a AS one\nCOPY x\nFROM b\n", { "Dockerfile:2, stage 'one'", "      3 | FROM b" } },
    { "FROM a\nCOPY x\n", { "Dockerfile:2\n" } },
    { "FROM a\nCOPY --form=b --from=c d e\n", { ">     2 |", "        |      ^~~~~~\n" } },
    { "FROM busybox build\n", { "FROM busybox AS build", "        |              ^~~~~" } },
    { "FROM a-b AS B-A x AS y\n", { "one or three", "Write FROM IMAGE, or" } },
    { "FROM a:9 AS 9\n", { "        |             ^\n" } },
    { "FROM a\n// a comment\n", { "'//'", "A comment begins with '#'" } },
    { "FROM a # the base\n", { "A comment needs a line of its own" } },
    { "FROM a\nADD --from=b c d\n", { "'--from' of ADD", "--from is a flag of COPY" } },
    { "FROM a\nCOPY --link=fasle b c\n", { "true or false", "'false'", "--link" } },
    { "FROM a\nRUN --network=nnoe true\n", { "'none'", "        |     ^~~~~~~~~~~~~~\n" } },
};

static void test_messages(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
        AUTO(dockerfile_free) struct dockerfile *df = NULL;
        AUTO(buf_release) struct buf got = BUF_INIT;
        struct err *e = dockerfile_parse("Dockerfile", messages[i].text, strlen(messages[i].text), &df);

        if (!e)
            fail_msg("'%s' did not fail", messages[i].text);
        put_error(&got, e);
        for (size_t k = 0; k < 4 && messages[i].parts[k]; k++)
            if (!strstr(buf_str(&got), messages[i].parts[k]))
                fail_msg("'%s' lacks '%s': %s", messages[i].text, messages[i].parts[k], buf_str(&got));
        err_free(e);
    }
}

static void test_directives(void **state)
{
    static const char text[] = "#!/bin/sh\n# syntax = docker/dockerfile:1 x\n#check=skip=all;error=true\n# c\nFROM a\n";
    AUTO(dockerfile_free) struct dockerfile *df = NULL;

    (void)state;
    assert_null(dockerfile_parse("Dockerfile", text, strlen(text), &df));
    assert_string_equal(df->syntax, "docker/dockerfile:1");
    assert_string_equal(df->check, "skip=all;error=true");
    assert_int_equal(df->syntax_line, 2);
    assert_int_equal(df->check_line, 3);
    assert_int_equal(df->escape, '\\');
    assert_string_equal(df_place(df, 5).text, "FROM a");
    assert_null(df_place(df, 6).text);
}

/* ---- what stands around instructions ---- */

static const struct {
    const char *text, *want; /* of the last instruction: empty line, check and its line, comment and its line */
} around[] = {
    { "FROM a", "0 - -" },
    { "# c\nFROM a", "0 - c@1" },
    { "# syntax=x\n# check=skip=all\nFROM a", "0 - -" },
    { "# syntax=x\n# c\n# check=skip=all x\nFROM a", "0 skip=all@3 c@2" },
    { "FROM a\n# check=a\n# c\n#check = b\n#  d  \nRUN x", "0 a@2 d@5" },
    { "FROM a\n# check=a\n# c\n#\n# d\nRUN x", "0 - d@5" },
    { "FROM a\n# check=a\n\n\n# c\n\nRUN x", "0 a@2 c@5" },
    { "FROM a\n# check=a\nRUN x\nRUN y", "0 - -" },
    { "FROM a\nRUN x \\\n# check=a\n\n  y", "4 - -" },
    { "FROM a\nRUN x \\\n \t\n\n  y", "3 - -" },
    { "FROM a\nRUN x \\\n  y\nRUN z", "0 - -" },
    { "FROM a\nRUN <<E\n\n# check=a\nE\nRUN z", "0 - -" },
    { "FROM a\n\t # check=a\nRUN x\n# end", "0 a@2 -" },
};

static void test_around(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(around) / sizeof(around[0]); i++) {
        AUTO(dockerfile_free) struct dockerfile *df = NULL;
        AUTO(buf_release) struct buf got = BUF_INIT;

        assert_null(dockerfile_parse("Dockerfile", around[i].text, strlen(around[i].text), &df));
        const struct df_instr *last = &df->instrs[df->n_instrs - 1];

        buf_printf(&got, "%d %s", last->empty_line, last->check ? last->check : "-");
        if (last->check)
            buf_printf(&got, "@%d", last->check_line);
        buf_printf(&got, " %s", last->comment ? last->comment : "-");
        if (last->comment)
            buf_printf(&got, "@%d", last->comment_line);
        if (strcmp(buf_str(&got), around[i].want) != 0)
            fail_msg("'%s' gave '%s', not '%s'", around[i].text, buf_str(&got), around[i].want);
    }
}

static void test_before_parsing(void **state)
{
    static const char text[] = "# check=x\n# syntax=docker/x:1 more\n\x01 nonsense\n";
    struct srcpos at;
    int line = 0;

    (void)state;
    AUTO_FREE char *syntax = dockerfile_syntax(text, strlen(text), &line);
    assert_string_equal(syntax, "docker/x:1");
    assert_int_equal(line, 2);
    assert_null(dockerfile_at_line("D", text, strlen(text), 2, NULL));
    struct err *e = err_blame(err_new(ERR_DOCKERFILE, "x"), "docker/x:1");
    e = dockerfile_at_line("D", text, strlen(text), line, e);
    assert_true(err_place(e, &at) && at.line == 2 && at.col == 10 && at.width == 10);
    assert_string_equal(at.text, "# syntax=docker/x:1 more");
    err_free(e);
    line = 0;
    assert_null(dockerfile_syntax("FROM a", 6, &line));
    assert_int_equal(line, 0);
}

static void test_find(void **state)
{
    static const char text[] = "FROM a AS b\nRUN one \\\n  two a=two\n";
    AUTO(dockerfile_free) struct dockerfile *df = NULL;

    (void)state;
    assert_null(dockerfile_parse("Dockerfile", text, strlen(text), &df));
    struct srcpos at = df_find(df, &df->instrs[1], "two");
    assert_true(at.line == 3 && at.col == 3 && at.width == 3);
    assert_string_equal(at.stage, "b");
    at = df_find(df, &df->instrs[1], "nowhere");
    assert_true(at.line == 2 && at.col == 0);
    at = df_find(df, &df->instrs[1], NULL);
    assert_true(at.line == 2 && at.col == 0);
    at = df_find(df, &df->instrs[0], "A");
    assert_true(at.line == 1 && at.col == 8);
}

static void test_text(void **state)
{
    static const char text[] = "FROM a\n copy --chown='1' \\\n# c\n  a\tb \nRUN <<E\nE\n";
    AUTO(dockerfile_free) struct dockerfile *df = NULL;

    (void)state;
    assert_null(dockerfile_parse("Dockerfile", text, strlen(text), &df));
    assert_string_equal(df->instrs[1].text, "copy --chown='1'   a\tb");
    assert_string_equal(df->instrs[2].text, "RUN <<E");
    assert_string_equal(df_flag(&df->instrs[1], "chown"), "1");
    assert_null(df_flag(&df->instrs[1], "chmod"));
    assert_false(df_flag_bool(&df->instrs[1], "link"));
}

static void test_trigger(void **state)
{
    const struct srcpos at = { .file = "Dockerfile", .line = 7, .text = "FROM x" };
    static const char *const wrong[] = {
        "", "RUN x\nRUN y", "FROM a", "ONBUILD RUN x", "MAINTAINER x", "COPY a", "FOO"
    };
    struct df_instr *i = NULL;

    (void)state;
    assert_null(dockerfile_parse_trigger("COPY <<E /x\ny\nE", &at, &i));
    assert_int_equal(i->kind, DF_COPY);
    assert_int_equal(i->line, 7);
    assert_string_equal(i->heredocs[0].content, "y\n");
    df_instr_free(i);
    for (size_t k = 0; k < sizeof(wrong) / sizeof(wrong[0]); k++) {
        struct err *e = dockerfile_parse_trigger(wrong[k], &at, &i);

        if (!e)
            fail_msg("'%s' did not fail", wrong[k]);
        err_free(e);
    }
}

static void test_is_heredoc(void **state)
{
    static const char *const yes[] = { "<<E", "<<-E", "3<<'E F'", "<<\"E\"", "<< E" };
    static const char *const no[] = { "", "<<", "<<-", "a<<E", "<<E F", "<<<E", "\"<<E\"", "<<E<<F", "cat <<E" };

    (void)state;
    for (size_t k = 0; k < sizeof(yes) / sizeof(yes[0]); k++)
        if (!df_is_heredoc(yes[k]))
            fail_msg("'%s' is one", yes[k]);
    for (size_t k = 0; k < sizeof(no) / sizeof(no[0]); k++)
        if (df_is_heredoc(no[k]))
            fail_msg("'%s' is none", no[k]);
}

/* ---- mounts ---- */

static const struct {
    const char *text, *want; /* NULL: must fail */
} mounts[] = {
    { "target=/x", "bind target=/x ro" },
    { "type=bind,src=a,dst=/x,rw", "bind source=a target=/x" },
    { "type=bind,target=/x,ro=false", "bind target=/x" },
    { "type=bind,from=s,target=/x,readwrite=0", "bind from=s target=/x ro" },
    { "TYPE=Cache,Target=/c,id=i,sharing=Locked,mode=0700,uid=1,gid=2",
      "cache target=/c id=i sharing=2 mode=0700 uid=1 gid=2" },
    { "type=cache,target=/c,ro", "cache target=/c ro" },
    { "type=tmpfs,target=/t,size=1.5k", "tmpfs target=/t size=1536" },
    { "type=tmpfs,target=/t,size=64MiB", "tmpfs target=/t size=67108864" },
    { "type=tmpfs,target=/t,size=2 g", "tmpfs target=/t size=2147483648" },
    { "type=secret,id=s,env=E,required", "secret id=s env=E ro required" },
    { "type=secret,id=s,required=false,mode=0400", "secret id=s ro mode=0400" },
    { "type=ssh", "ssh ro" },
    { "type=bind,\"target=/a,b\"", "bind target=/a,b ro" },
    { "target=$T", "bind target=/from,env ro" },
    { "type=secret,id=${U:-d}", "secret id=d ro" },
    { "", NULL },
    { "type=disk", NULL },
    { "type", NULL },
    { "ro=maybe,target=/x", NULL },
    { "target=/x,mode=0700", NULL },
    { "type=tmpfs,target=/t,uid=0", NULL },
    { "type=cache,target=/c,mode=8", NULL },
    { "type=cache,target=/c,uid=-1", NULL },
    { "type=cache,target=/c,gid=4294967296", NULL },
    { "type=cache,target=/c,sharing=some", NULL },
    { "type=cache,size=1", NULL },
    { "type=cache,required", NULL },
    { "type=tmpfs,size=", NULL },
    { "type=tmpfs,size=-1", NULL },
    { "type=tmpfs,size=1x", NULL },
    { "type=tmpfs,size=0x10", NULL },
    { "type=secret", NULL },
    { "type=secret,id=a,src=b", NULL },
    { "type=secret,id=a,from=b", NULL },
    { "target=\"x\"", NULL },
    { "target=${", NULL },
};

static void put_mount(struct buf *out, const struct df_mount *m)
{
    static const char *const types[] = { "bind", "cache", "tmpfs", "secret", "ssh" };
    const char *const names[] = { "from", "source", "target", "id", "env" };
    const char *const values[] = { m->from, m->source, m->target, m->id, m->env };

    buf_puts(out, types[m->type]);
    for (size_t k = 0; k < 5; k++)
        if (values[k])
            buf_printf(out, " %s=%s", names[k], values[k]);
    buf_printf(out, "%s%s", m->readonly ? " ro" : "", m->required ? " required" : "");
    if (m->sharing != DF_SHARING_SHARED)
        buf_printf(out, " sharing=%d", (int)m->sharing);
    if (m->size_bytes)
        buf_printf(out, " size=%llu", (unsigned long long)m->size_bytes);
    if (m->mode >= 0)
        buf_printf(out, " mode=%04o", (unsigned)m->mode);
    if (m->uid >= 0)
        buf_printf(out, " uid=%d gid=%d", (int)m->uid, (int)m->gid);
}

static void test_mounts(void **state)
{
    struct vars env = { 0 };
    const struct words_opts opts = { .env = &env, .escape = '\\' };

    (void)state;
    vars_set(&env, "T", "/from,env");
    for (size_t i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
        struct df_mount m;
        AUTO(buf_release) struct buf got = BUF_INIT;
        struct err *e = df_expand_mount(mounts[i].text, &opts, &m);

        if (e) {
            put_error(&got, e);
        } else {
            put_mount(&got, &m);
            df_mount_release(&m);
        }
        if (e ? mounts[i].want != NULL : !mounts[i].want || strcmp(buf_str(&got), mounts[i].want) != 0)
            fail_msg("'%s' gave '%s'", mounts[i].text, buf_str(&got));
        err_free(e);
    }
    vars_release(&env);
}

/* ---- durations, modes ---- */

static const struct {
    const char *text;
    int64_t want; /* -1: must fail */
} durations[] = {
    { "0", 0 },
    { "1ns", 1 },
    { "1us", 1000 },
    { "1\xc2\xb5s", 1000 },
    { "1\xce\xbcs", 1000 },
    { "1ms", 1000000 },
    { "1.5s", 1500000000 },
    { ".5s", 500000000 },
    { "1.s", 1000000000 },
    { "1h2m3s4ms", 3723004000000 },
    { "+2m", 120000000000 },
    { "0.0000000001s", 0 },
    { "1.00000000000000000000000001s", 1000000000 },
    { "9223372036854775807ns", INT64_MAX },
    { "9223372036854775808ns", -1 },
    { "99999999999h", -1 },
    { "", -1 },
    { "1", -1 },
    { "s", -1 },
    { ".s", -1 },
    { "1 s", -1 },
    { "1d", -1 },
    { "1s2", -1 },
    { "--1s", -1 },
};

static void test_durations(void **state)
{
    int64_t ns = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(durations) / sizeof(durations[0]); i++) {
        struct err *e = df_parse_duration(durations[i].text, &ns);

        if (e ? durations[i].want != -1 : ns != durations[i].want)
            fail_msg("'%s' gave %lld", durations[i].text, e ? -1LL : (long long)ns);
        err_free(e);
    }
    assert_null(df_parse_duration("-1.5s", &ns));
    assert_int_equal(ns, -1500000000);
    assert_null(df_parse_duration("-9223372036854775808ns", &ns));
    assert_true(ns == INT64_MIN);
}

static void test_health(void **state)
{
    static const char text[] = "FROM a\nHEALTHCHECK --interval=1m --timeout=0s --retries=+3 CMD x\n";
    AUTO(dockerfile_free) struct dockerfile *df = NULL;
    struct df_health h;

    (void)state;
    assert_null(dockerfile_parse("Dockerfile", text, strlen(text), &df));
    assert_null(df_parse_health(&df->instrs[1], &h));
    assert_true(h.interval_ns == 60000000000);
    assert_true(h.timeout_ns == 0);
    assert_int_equal(h.retries, 3);
}

/* ---- bounds ---- */

static void test_limits(void **state)
{
    AUTO(buf_release) struct buf text = BUF_INIT;
    struct dockerfile *df = NULL;

    (void)state;
    buf_puts(&text, "FROM a\nRUN ");
    while (text.len < LIMIT_DOCKERFILE_LINE_BYTES + 6)
        buf_putc(&text, 'x');
    buf_putc(&text, '\n');
    assert_null(dockerfile_parse("Dockerfile", buf_str(&text), text.len, &df));
    dockerfile_free(df);
    text.len--;
    buf_puts(&text, "x\n");
    struct err *e = dockerfile_parse("Dockerfile", buf_str(&text), text.len, &df);

    assert_non_null(e);
    err_free(e);
    e = dockerfile_parse("Dockerfile", "FROM a\0b", 8, &df);
    assert_non_null(e);
    err_free(e);
    e = dockerfile_parse("Dockerfile", "x", (size_t)LIMIT_DOCKERFILE_BYTES + 1, &df);
    assert_non_null(e);
    err_free(e);
}

/* Onbuild of onbuild and brackets nest by the line, not by the stack. */
static void test_deep(void **state)
{
    static const char *const pieces[] = { "ONBUILD ", "[", "\"$(" };

    (void)state;
    for (size_t k = 0; k < sizeof(pieces) / sizeof(pieces[0]); k++) {
        AUTO(buf_release) struct buf text = BUF_INIT;
        AUTO(dockerfile_free) struct dockerfile *df = NULL;

        buf_puts(&text, k ? "FROM a\nRUN " : "FROM a\nONBUILD ");
        for (int i = 0; i < 200000; i++)
            buf_printf(&text, "%s%s", pieces[k], i % 1000 == 999 ? "\\\n" : "");
        struct err *e = dockerfile_parse("Dockerfile", buf_str(&text), text.len, &df);

        assert_true((e != NULL) == (k == 0));
        err_free(e);
    }
}

/* Time must grow with the length, not with its square: one instruction of 60000 lines, 20000 instructions. */
static void test_large(void **state)
{
    AUTO(buf_release) struct buf text = BUF_INIT;
    AUTO(dockerfile_free) struct dockerfile *df = NULL;
    struct timespec start, end;

    (void)state;
    buf_puts(&text, "FROM a\nENV ");
    for (int i = 0; i < 60000; i++)
        buf_printf(&text, " n%d=v \\\n", i);
    buf_puts(&text, " x=y\n");
    for (int i = 0; i < 20000; i++)
        buf_puts(&text, "COPY --chown=1:1 a b <<E /c/\nx\nE\n");
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
    assert_null(dockerfile_parse("Dockerfile", buf_str(&text), text.len, &df));
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
    assert_int_equal(df->n_instrs, 20002);
    assert_int_equal(df->instrs[1].n_pairs, 60001);
    assert_true(end.tv_sec - start.tv_sec < 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_around),     cmocka_unit_test(test_before_parsing), cmocka_unit_test(test_find),
        cmocka_unit_test(test_files),      cmocka_unit_test(test_instrs),         cmocka_unit_test(test_messages),
        cmocka_unit_test(test_directives), cmocka_unit_test(test_text),           cmocka_unit_test(test_trigger),
        cmocka_unit_test(test_is_heredoc), cmocka_unit_test(test_mounts),         cmocka_unit_test(test_durations),
        cmocka_unit_test(test_health),     cmocka_unit_test(test_limits),         cmocka_unit_test(test_deep),
        cmocka_unit_test(test_large),
    };

    return cmocka_run_group_tests_name("dockerfile", tests, NULL, NULL);
}
