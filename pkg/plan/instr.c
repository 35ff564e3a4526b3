#include "base/map.h"
#include "plan/plan_priv.h"

#include <ctype.h>
#include <string.h>

/* Takes the text of the history. */
static void add_meta(struct stage_state *s, const struct df_instr *i, char *created_by)
{
    state_add(s, STEP_META, i)->created_by = created_by;
}

static void done(struct stage_state *s, const struct df_instr *i, const char *text)
{
    add_meta(s, i, xasprintf("%s %s", df_keyword(i->kind), text));
}

static void replace(char **slot, char *value)
{
    free(*slot);
    *slot = value;
}

static struct err *meta_label(struct stage_state *s, const struct df_instr *i)
{
    AUTO(buf_release) struct buf history = BUF_INIT;

    for (size_t n = 0; n < i->n_pairs; n++) {
        AUTO_FREE char *name = NULL, *value = NULL;

        TRY(state_expand(s, i->pairs[n].name, &name));
        TRY(state_expand(s, i->pairs[n].value, &value));
        config_set_label(&s->config, name, value);
        buf_printf(&history, "%s%s=%s", n ? " " : "", name, value);
    }
    done(s, i, buf_str(&history));
    return NULL;
}

static struct err *meta_user(struct stage_state *s, const struct df_instr *i)
{
    char *user;

    TRY(state_expand(s, i->arg, &user));
    replace(&s->config.user, user);
    done(s, i, user);
    return NULL;
}

/* BuildKit takes any number but 0, and the names of Linux. */
static bool signal_valid(const char *text)
{
    static const char *const names[] = { "ABRT", "ALRM",   "BUS",  "CHLD",   "CLD",   "CONT", "FPE",  "HUP",  "ILL",
                                         "INT",  "IO",     "IOT",  "KILL",   "PIPE",  "POLL", "PROF", "PWR",  "QUIT",
                                         "SEGV", "STKFLT", "STOP", "SYS",    "TERM",  "TRAP", "TSTP", "TTIN", "TTOU",
                                         "URG",  "USR1",   "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ" };
    const char *digits = text + (*text == '+' || *text == '-');
    char *end;

    if (*digits && !digits[strspn(digits, "0123456789")])
        return strspn(digits, "0") < strlen(digits) && strlen(digits) < 19;
    if (strncasecmp(text, "SIG", 3) == 0)
        text += 3;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcasecmp(text, names[i]) == 0)
            return true;
    if (strncasecmp(text, "RTMIN", 5) != 0 && strncasecmp(text, "RTMAX", 5) != 0)
        return false;
    if (text[5] == '\0')
        return true;
    if (text[5] != (toupper((unsigned char)text[4]) == 'N' ? '+' : '-') || text[6] < '1' || text[6] > '9')
        return false;
    long n = strtol(text + 6, &end, 10);
    return !*end && n >= 1 && n <= (text[5] == '+' ? 15 : 14);
}

static struct err *meta_stopsignal(struct stage_state *s, const struct df_instr *i)
{
    AUTO_FREE char *text = NULL;

    TRY(state_expand(s, i->arg, &text));
    if (!signal_valid(text))
        return err_hint(err_blame(err_new(ERR_DOCKERFILE, "'%s' is not a signal", text), text),
                        "Give a name such as SIGTERM or a number such as 15.");
    replace(&s->config.stop_signal, xstrdup(text));
    done(s, i, text);
    return NULL;
}

static struct err *meta_maintainer(struct stage_state *s, const struct df_instr *i)
{
    replace(&s->config.author, xstrdup(i->arg));
    done(s, i, i->arg);
    return NULL;
}

/* set: what the list has, which may be too long for searching it. */
static void add_once(struct strs *list, struct map *set, const char *text)
{
    if (map_get(set, text))
        return;
    map_set(set, text, set);
    strs_add(list, text);
}

/* The words in byte order, as BuildKit has them; what the configuration has is not added again. */
static struct err *meta_expose(struct stage_state *s, const struct df_instr *i)
{
    AUTO(strs_release) struct strs sorted = { 0 }, words = { 0 }, ports = { 0 };
    const struct words_opts opts = state_words(s);
    struct err *e = NULL;

    strs_copy(&sorted, &i->words);
    strs_sort(&sorted);
    for (size_t n = 0; !e && n < sorted.n; n++)
        e = words_split(sorted.items[n], &opts, &words);
    state_take_undefined(s, false); /* BuildKit does not look at them here */
    TRY(e);
    for (size_t n = 0; n < words.n; n++)
        TRY(ports_parse(words.items[n], &ports));
    for (size_t n = 0; n < ports.n; n++)
        add_once(&s->config.exposed_ports, s->ports, ports.items[n]);
    add_meta(s, i, history_list("EXPOSE", &ports));
    return NULL;
}

static struct err *meta_volume(struct stage_state *s, const struct df_instr *i)
{
    AUTO(strs_release) struct strs volumes = { 0 };

    TRY(state_expand_list(s, &i->words, &volumes));
    for (size_t n = 0; n < volumes.n; n++) {
        const char *v = volumes.items[n];

        if (!v[strspn(v, " \t")])
            return err_new(ERR_DOCKERFILE, "VOLUME with an empty path");
        add_once(&s->config.volumes, s->volumes, v);
    }
    add_meta(s, i, history_list("VOLUME", &volumes));
    return NULL;
}

void state_command(const struct stage_state *s, const struct df_command *c, struct strs *ret_argv)
{
    if (!c->exec && s->config.shell.n) {
        strs_copy(ret_argv, &s->config.shell);
    } else if (!c->exec) {
        strs_add(ret_argv, "/bin/sh");
        strs_add(ret_argv, "-c");
    }
    for (size_t i = 0; i < c->args.n; i++)
        strs_add(ret_argv, c->args.items[i]);
    if (!c->exec && c->args.n == 0)
        strs_add(ret_argv, ""); /* the keyword alone: the shell gets an empty script */
}

static struct err *meta_cmd(struct stage_state *s, const struct df_instr *i)
{
    strs_release(&s->config.cmd);
    state_command(s, &i->command, &s->config.cmd);
    s->config.has_cmd = true;
    s->cmd_here = true;
    add_meta(s, i, history_quoted("CMD", &s->config.cmd));
    return NULL;
}

/* An ENTRYPOINT makes the base image's CMD meaningless; one given in this stage stays. */
static struct err *meta_entrypoint(struct stage_state *s, const struct df_instr *i)
{
    strs_release(&s->config.entrypoint);
    state_command(s, &i->command, &s->config.entrypoint);
    s->config.has_entrypoint = true;
    if (!s->cmd_here) {
        strs_release(&s->config.cmd);
        s->config.has_cmd = false;
    }
    add_meta(s, i, history_quoted("ENTRYPOINT", &s->config.entrypoint));
    return NULL;
}

static struct err *meta_shell(struct stage_state *s, const struct df_instr *i)
{
    strs_copy(&s->config.shell, &i->words);
    add_meta(s, i, history_list("SHELL", &i->words));
    return NULL;
}

static struct err *meta_healthcheck(struct stage_state *s, const struct df_instr *i)
{
    struct healthcheck *h = &s->config.healthcheck;
    struct df_health flags = { 0 };

    if (!i->health_none)
        TRY(df_parse_health(i, &flags));
    strs_release(&h->test);
    *h = (struct healthcheck){ .set = true,
                               .interval_ns = flags.interval_ns,
                               .timeout_ns = flags.timeout_ns,
                               .start_period_ns = flags.start_period_ns,
                               .start_interval_ns = flags.start_interval_ns,
                               .retries = flags.retries };
    strs_add(&h->test, i->health_none ? "NONE" : i->command.exec ? "CMD" : "CMD-SHELL");
    for (size_t n = 0; !i->health_none && n < i->command.args.n; n++)
        strs_add(&h->test, i->command.args.items[n]);
    add_meta(s, i, history_health(h));
    return NULL;
}

static struct err *meta_onbuild(struct stage_state *s, const struct df_instr *i)
{
    strs_add(&s->config.onbuild, i->arg); /* no step, no history, as BuildKit */
    return NULL;
}

struct err *state_instr(struct stage_state *s, const struct df_instr *i)
{
    static struct err *(*const by_kind[DF_KIND_COUNT])(struct stage_state *, const struct df_instr *) = {
        [DF_ADD] = state_copy,
        [DF_ARG] = state_arg,
        [DF_CMD] = meta_cmd,
        [DF_COPY] = state_copy,
        [DF_ENTRYPOINT] = meta_entrypoint,
        [DF_ENV] = state_env,
        [DF_EXPOSE] = meta_expose,
        [DF_HEALTHCHECK] = meta_healthcheck,
        [DF_LABEL] = meta_label,
        [DF_MAINTAINER] = meta_maintainer,
        [DF_ONBUILD] = meta_onbuild,
        [DF_RUN] = state_run,
        [DF_SHELL] = meta_shell,
        [DF_STOPSIGNAL] = meta_stopsignal,
        [DF_USER] = meta_user,
        [DF_VOLUME] = meta_volume,
        [DF_WORKDIR] = state_workdir,
    };

    if (!by_kind[i->kind])
        return err_new(ERR_BUG, "no plan for %s", df_keyword(i->kind));
    return by_kind[i->kind](s, i);
}
