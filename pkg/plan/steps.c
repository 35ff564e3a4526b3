#include "plan/plan_priv.h"

#include <string.h>
#include <sys/stat.h>

/* What a RUN with here-documents runs: the one document as the shell's script, or as a program if it starts with #!;
 * else the line with its documents, for the shell to read. */
static void heredoc_command(const struct df_instr *i, struct step *st, struct strs *line)
{
    const char *cmd = i->command.args.items[0];
    AUTO(buf_release) struct buf full = BUF_INIT;

    if (df_is_heredoc(cmd) && strncmp(i->heredocs[0].content, "#!", 2) == 0) {
        st->script_name = xstrdup(i->heredocs[0].name);
        st->script = xstrdup(i->heredocs[0].content);
        strs_take(line, xasprintf("/dev/pipes/%s", st->script_name));
        return;
    }
    if (df_is_heredoc(cmd)) {
        strs_add(line, i->heredocs[0].content);
        return;
    }
    buf_puts(&full, cmd);
    for (size_t n = 0; n < i->n_heredocs; n++)
        buf_printf(&full, "\n%s%s", i->heredocs[n].raw, i->heredocs[n].name);
    strs_take(line, buf_steal(&full));
}

const char *state_workdir_now(const struct stage_state *s)
{
    return s->config.workdir && *s->config.workdir ? s->config.workdir : "/";
}

struct err *state_run(struct stage_state *s, const struct df_instr *i)
{
    struct step *st = state_add(s, STEP_RUN, i);
    struct df_command command = { .exec = i->command.exec };
    const char *network = df_flag(i, "network");

    if (i->n_heredocs && !i->command.exec)
        heredoc_command(i, st, &command.args);
    else
        strs_copy(&command.args, &i->command.args);
    state_command(s, &command, &st->argv);
    strs_release(&command.args);
    st->env_moment = vars_now(&s->env);
    st->user = xstrdup(s->config.user ? s->config.user : "");
    st->cwd = path_workdir("/", state_workdir_now(s));
    st->network_none = s->plan->opts.no_network || (network && strcmp(network, "none") == 0);
    st->n_args = s->args.n;
    return state_mounts(s, i, st);
}

static bool names_directory(const char *path)
{
    size_t len = strlen(path);

    return len == 0 || path[len - 1] == '/' || strcmp(path, ".") == 0 || strcmp(path, "..") == 0 ||
           (len > 1 && strcmp(path + len - 2, "/.") == 0) || (len > 2 && strcmp(path + len - 3, "/..") == 0);
}

/* base + "/" + path, cleaned lexically; absolute; a path that names a directory keeps its final '/'. */
static char *join_dir(const char *base, const char *path)
{
    AUTO_FREE char *both = *path == '/' ? xstrdup(path) : xasprintf("%s/%s", base, path);
    AUTO(buf_release) struct buf out = BUF_INIT;

    for (const char *p = both; *p;) {
        size_t n = strcspn(p, "/");

        if (n == 2 && strncmp(p, "..", 2) == 0) {
            while (out.len && out.data[--out.len] != '/')
                ;
        } else if (n && !(n == 1 && *p == '.')) {
            buf_putc(&out, '/');
            buf_add(&out, p, n);
        }
        p += n + (p[n] == '/');
    }
    if (names_directory(path) || out.len == 0)
        buf_putc(&out, '/');
    return buf_steal(&out);
}

char *path_workdir(const char *base, const char *path)
{
    char *dir = join_dir(base, path);
    size_t len = strlen(dir);

    if (len > 1 && dir[len - 1] == '/')
        dir[len - 1] = '\0';
    return dir;
}

char *path_config_workdir(const char *base, const char *path)
{
    return *path == '/' ? xstrdup(path) : path_workdir(base, path);
}

/* The root is always there: as in BuildKit, no layer is made for it. */
struct err *state_workdir(struct stage_state *s, const struct df_instr *i)
{
    AUTO_FREE char *text = NULL;

    TRY(state_expand(s, i->arg, &text));
    char *dir = path_config_workdir(state_workdir_now(s), text);

    free(s->config.workdir);
    s->config.workdir = dir;
    struct step *st = state_add(s, strcmp(dir, "/") == 0 ? STEP_META : STEP_WORKDIR, i);
    st->dir = path_workdir("/", dir);
    st->user = xstrdup(s->config.user ? s->config.user : "");
    st->created_by = xasprintf("WORKDIR %s", dir);
    return NULL;
}

static struct err *copy_files(struct stage_state *s, const struct df_instr *i, struct step *st)
{
    st->files = i->n_heredocs ? xcalloc(i->n_heredocs, sizeof(*st->files)) : NULL;
    for (size_t n = 0; n < i->n_heredocs; n++) {
        const struct df_heredoc *h = &i->heredocs[n];
        struct words_opts opts = state_words(s);
        char *data = NULL;

        opts.escape = '\\';
        opts.plain_quotes = true;
        struct err *e = h->expand ? words_expand(h->content, &opts, &data) : NULL;
        state_take_undefined(s, true);
        TRY(e);
        st->files[st->n_files++] = (struct step_file){ xstrdup(h->name), data ? data : xstrdup(h->content) };
    }
    return NULL;
}

static struct err *copy_from(const struct stage_state *s, const struct df_instr *i, struct step *st)
{
    const char *from = df_flag(i, "from");

    if (!from || !*from)
        return NULL;
    TRY(plan_find_source(s->plan, from, &st->from));
    return needs_earlier(s->plan, s->index, &st->from, from); /* of a base image's trigger */
}

/* A flag without a value is as if it were not there, also when that is what a variable gave. */
static struct err *expand_flag(const struct stage_state *s, const struct df_instr *i, const char *name, char **ret)
{
    const char *value = df_flag(i, name);
    AUTO_FREE char *text = NULL;

    *ret = NULL;
    if (!value)
        return NULL;
    TRY(state_expand(s, value, &text));
    if (*text)
        *ret = steal(&text);
    return NULL;
}

static bool flag_on(const struct df_instr *i, const char *name)
{
    const char *value = df_flag(i, name);

    return value && strcasecmp(value, "false") != 0 && strcmp(value, "0") != 0;
}

static struct err *copy_flags(const struct stage_state *s, const struct df_instr *i, struct step *st)
{
    mode_t mode;

    TRY(expand_flag(s, i, "chown", &st->chown));
    TRY(expand_flag(s, i, "chmod", &st->chmod));
    if (st->chmod)
        TRY(err_blame(df_chmod(st->chmod, S_IFREG | 0644, &mode), st->chmod));
    TRY(expand_flag(s, i, "checksum", &st->checksum));
    for (size_t f = 0; f < i->n_flags; f++) {
        if (strcmp(i->flags[f].name, "exclude") == 0) /* variables are not replaced in it */
            strs_add(&st->exclude, i->flags[f].value);
    }
    st->link = flag_on(i, "link");
    st->parents = flag_on(i, "parents");
    st->unpack = df_flag(i, "unpack") ? flag_on(i, "unpack") : -1;
    st->keep_git_dir = df_flag(i, "keep-git-dir") ? flag_on(i, "keep-git-dir") : -1;
    return NULL;
}

static struct err *copy_sources(struct stage_state *s, const struct df_instr *i, struct step *st)
{
    for (size_t n = 0; n < i->words.n; n++) {
        char *source;

        if (i->n_heredocs && df_is_heredoc(i->words.items[n]))
            continue;
        TRY(state_expand(s, i->words.items[n], &source));
        strs_take(&st->sources, source);
    }
    return remote_sources(st);
}

struct err *state_copy(struct stage_state *s, const struct df_instr *i)
{
    AUTO_FREE char *dest = NULL;
    struct step *st = state_add(s, STEP_COPY, i);

    st->add = i->kind == DF_ADD;
    TRY(copy_from(s, i, st));
    TRY(copy_flags(s, i, st));
    TRY(copy_files(s, i, st));
    TRY(copy_sources(s, i, st));
    TRY(state_expand(s, i->arg, &dest));
    st->dest = join_dir(state_workdir_now(s), dest);
    st->created_by = history_copy(st, dest);
    return NULL;
}
