#include "settings/env_file.h"

#include "base/buf.h"
#include "base/limits.h"
#include "settings/settings.h"
#include "sys/file.h"

#include <ctype.h>
#include <string.h>

struct cursor {
    const char *at;
    int line;
};

static struct err *wrong(const struct cursor *c, const char *why)
{
    return err_new(ERR_SETTING, "line %d: %s", c->line, why);
}

static void skip_blanks(struct cursor *c)
{
    c->at += strspn(c->at, " \t\r");
}

/* To the begin of the next line. */
static void next_line(struct cursor *c)
{
    c->at += strcspn(c->at, "\n");
    if (*c->at) {
        c->at++;
        c->line++;
    }
}

static size_t name_len(const char *s)
{
    size_t n = 0;

    if (isdigit((unsigned char)*s))
        return 0;
    while (isalnum((unsigned char)s[n]) || s[n] == '_')
        n++;
    return n;
}

/* $NAME and ${NAME} would be replaced elsewhere; here nobody may take one for its value. */
static bool is_variable(const char *s)
{
    return s[0] == '$' && (s[1] == '{' || name_len(s + 1) > 0);
}

static struct err *variable(const struct cursor *c)
{
    return err_hint(wrong(c, "variables are not replaced by their values here"),
                    "Write the value itself; in '...' a $ is a $.");
}

static struct err *single_quoted(struct cursor *c, struct buf *out)
{
    for (c->at++; *c->at != '\''; c->at++) {
        if (!*c->at)
            return wrong(c, "the quote ' is not closed");
        c->line += *c->at == '\n';
        buf_putc(out, *c->at);
    }
    c->at++;
    return NULL;
}

static char escaped(char c)
{
    return c == 'n' ? '\n' : c == 'r' ? '\r' : c == 't' ? '\t' : c;
}

static struct err *double_quoted(struct cursor *c, struct buf *out)
{
    for (c->at++; *c->at != '"'; c->at++) {
        if (is_variable(c->at))
            return variable(c);
        bool escape = *c->at == '\\' && c->at[1];
        c->at += escape;
        if (!*c->at)
            return wrong(c, "the quote \" is not closed");
        c->line += *c->at == '\n';
        buf_putc(out, escape ? escaped(*c->at) : *c->at);
    }
    c->at++;
    return NULL;
}

/* Up to a comment or the end of the line. */
static struct err *unquoted(struct cursor *c, struct buf *out)
{
    const char *start = c->at;
    size_t n = 0;

    for (; *c->at && *c->at != '\n' && !(*c->at == '#' && isblank((unsigned char)c->at[-1])); c->at++)
        if (is_variable(c->at))
            return variable(c);
    n = (size_t)(c->at - start);
    while (n > 0 && isspace((unsigned char)start[n - 1]))
        n--;
    buf_add(out, start, n);
    return NULL;
}

static struct err *value(struct cursor *c, struct buf *out)
{
    if (*c->at != '\'' && *c->at != '"')
        return unquoted(c, out);
    TRY(*c->at == '\'' ? single_quoted(c, out) : double_quoted(c, out));
    skip_blanks(c);
    return *c->at && *c->at != '\n' && *c->at != '#' ? wrong(c, "something follows the closing quote") : NULL;
}

static struct err *assignment(struct cursor *c, struct buf *out)
{
    if (strncmp(c->at, "export", 6) == 0 && isblank((unsigned char)c->at[6])) {
        c->at += 6;
        skip_blanks(c);
    }
    size_t n = name_len(c->at);
    buf_add(out, c->at, n);
    c->at += n;
    skip_blanks(c);
    if (n == 0 || *c->at != '=')
        return wrong(c, "it is no NAME=VALUE");
    buf_putc(out, '=');
    c->at++;
    skip_blanks(c);
    return value(c, out);
}

struct err *env_file_parse(const char *text, struct strs *out)
{
    struct cursor c = { text, 1 };

    for (; *c.at; next_line(&c)) {
        struct buf one = BUF_INIT;

        skip_blanks(&c);
        if (!*c.at || *c.at == '\n' || *c.at == '#')
            continue;
        struct err *e = assignment(&c, &one);
        if (!e)
            strs_add(out, buf_str(&one));
        if (one.data)
            explicit_bzero(one.data, one.cap);
        buf_release(&one);
        TRY(e);
    }
    return NULL;
}

static struct err *read_file(const char *path, struct strs *out)
{
    struct buf text = BUF_INIT;
    struct err *e = file_read(path, LIMIT_SETTING_FILE_BYTES, &text);

    if (!e && text.len && memchr(text.data, '\0', text.len))
        e = err_new(ERR_SETTING, "the file '%s' is no text", path);
    if (!e)
        e = err_wrap(env_file_parse(buf_str(&text), out), "the file '%s' is wrong", path);
    if (text.data)
        explicit_bzero(text.data, text.cap);
    buf_release(&text);
    return err_set_kind(err_wrap(e, "cannot use PLUGIN_ENV_FILE"), ERR_SETTING);
}

struct err *settings_load_env_file(void)
{
    const char *path = getenv("PLUGIN_ENV_FILE"); // NOLINT(concurrency-mt-unsafe)
    struct strs entries = { 0 };
    struct err *e = path && *path ? read_file(path, &entries) : NULL;

    for (size_t i = entries.n; i-- > 0;) { /* of several the last counts, as everywhere */
        char *entry = entries.items[i], *eq = strchr(entry, '=');

        *eq = '\0';
        if (!e && setenv(entry, eq + 1, 0) < 0) // NOLINT(concurrency-mt-unsafe)
            e = err_sys(errno, "cannot set '%s'", entry);
        explicit_bzero(eq + 1, strlen(eq + 1));
    }
    strs_release(&entries);
    return e;
}
