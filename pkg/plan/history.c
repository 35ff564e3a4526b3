/* history.c - the text that `docker history` shows of an instruction, spelt as BuildKit spells it, because tools that
 * rebuild a Dockerfile from an image read it. Go's %q and %v and its durations are therefore imitated. */
#include "plan/plan_priv.h"

#include <stdint.h>
#include <string.h>

/* BuildKit ends the text of instructions that ran something with this; scanners take it as the mark of this notation
 * (older builders wrote "/bin/sh -c #(nop) ..."). */
#define HISTORY_MARK " # buildkit"

static void quote_char(unsigned char c, struct buf *out)
{
    static const char names[] = "abtnvfr"; /* from 7 to 13 */

    if (c == '"' || c == '\\')
        buf_printf(out, "\\%c", c);
    else if (c >= 7 && c <= 13)
        buf_printf(out, "\\%c", names[c - 7]);
    else if (c < ' ' || c == 0x7f)
        buf_printf(out, "\\x%02x", (unsigned)c);
    else
        buf_putc(out, (char)c);
}

char *history_quoted(const char *keyword, const struct strs *l)
{
    AUTO(buf_release) struct buf out = BUF_INIT;

    buf_printf(&out, "%s [", keyword);
    for (size_t i = 0; i < l->n; i++) {
        buf_puts(&out, i ? " \"" : "\"");
        for (const char *c = l->items[i]; *c; c++)
            quote_char((unsigned char)*c, &out);
        buf_putc(&out, '"');
    }
    buf_putc(&out, ']');
    return buf_steal(&out);
}

static void put_list(const struct strs *l, struct buf *out)
{
    buf_putc(out, '[');
    for (size_t i = 0; i < l->n; i++)
        buf_printf(out, "%s%s", i ? " " : "", l->items[i]);
    buf_putc(out, ']');
}

char *history_list(const char *keyword, const struct strs *l)
{
    AUTO(buf_release) struct buf out = BUF_INIT;

    buf_printf(&out, "%s ", keyword);
    put_list(l, &out);
    return buf_steal(&out);
}

/* "1.5" from 1500 and a scale of 1000 */
static void put_fraction(uint64_t n, uint64_t scale, struct buf *out)
{
    uint64_t rest = n % scale;

    buf_printf(out, "%llu", (unsigned long long)(n / scale));
    if (rest)
        buf_putc(out, '.');
    for (; rest; rest = rest * 10 % scale)
        buf_putc(out, (char)('0' + rest * 10 / scale));
}

/* As Go prints a time.Duration: 1h0m0s, 1m30s, 1.5s, 250ms, 0s. */
static void put_duration(int64_t ns, struct buf *out)
{
    static const uint64_t second = 1000000000, minute = 60 * second, hour = 60 * minute;
    uint64_t n = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;

    if (ns < 0)
        buf_putc(out, '-');
    if (n > 0 && n < second) {
        const uint64_t scale = n < 1000 ? 1 : n < 1000000 ? 1000 : 1000000;

        put_fraction(n, scale, out);
        buf_puts(out, scale == 1 ? "ns" : scale == 1000 ? "\xc2\xb5s" : "ms");
        return;
    }
    if (n >= hour)
        buf_printf(out, "%lluh", (unsigned long long)(n / hour));
    if (n >= minute)
        buf_printf(out, "%llum", (unsigned long long)(n % hour / minute));
    put_fraction(n % minute, second, out);
    buf_putc(out, 's');
}

char *history_health(const struct healthcheck *h)
{
    const struct {
        const char *name;
        int64_t ns;
    } times[] = { { "Interval", h->interval_ns },
                  { "Timeout", h->timeout_ns },
                  { "StartPeriod", h->start_period_ns },
                  { "StartInterval", h->start_interval_ns } };
    AUTO(buf_release) struct buf out = BUF_INIT;

    buf_puts(&out, "HEALTHCHECK {Test:");
    put_list(&h->test, &out);
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        buf_printf(&out, " %s:", times[i].name);
        put_duration(times[i].ns, &out);
    }
    buf_printf(&out, " Retries:%lld}", (long long)h->retries);
    return buf_steal(&out);
}

/* The ARGs that a RUN sees, as they were then; proxies often hold passwords. */
static size_t put_args(const struct stage_plan *sp, const struct step *step, struct buf *out)
{
    AUTO(strs_release) struct strs seen = { 0 };
    AUTO(vars_release) struct vars env = { 0 };
    size_t n = 0;

    vars_list(&sp->env, step->env_moment, &seen);
    vars_set_all(&env, &seen);
    for (size_t k = 0; k < step->n_args; k++) {
        const char *name = sp->args.items[k], *value = vars_get(&env, name);

        if (vars_is_proxy(name))
            continue;
        buf_printf(out, " %s=%s", name, value ? value : "");
        n++;
    }
    return n;
}

/* "RUN |2 A=1 B=2 /bin/sh -c make" */
static char *history_run(const struct stage_plan *sp, const struct step *step)
{
    AUTO(buf_release) struct buf out = BUF_INIT;
    AUTO(buf_release) struct buf args = BUF_INIT;
    size_t n = put_args(sp, step, &args);

    buf_puts(&out, "RUN");
    if (n)
        buf_printf(&out, " |%zu%s", n, buf_str(&args));
    for (size_t k = 0; k < step->argv.n; k++)
        buf_printf(&out, " %s", step->argv.items[k]);
    buf_puts(&out, HISTORY_MARK);
    return buf_steal(&out);
}

char *plan_created_by(const struct stage_plan *sp, const struct step *step)
{
    return step->kind == STEP_RUN ? history_run(sp, step) : xstrdup(step->created_by);
}

/* The flags that say what the files are like, then what was copied where; the destination as it was written. */
char *history_copy(const struct step *st, const char *dest)
{
    AUTO(buf_release) struct buf out = BUF_INIT;

    buf_puts(&out, st->add ? "ADD" : "COPY");
    if (st->parents)
        buf_puts(&out, " --parents");
    if (st->chown)
        buf_printf(&out, " --chown=%s", st->chown);
    if (st->chmod)
        buf_printf(&out, " --chmod=%s", st->chmod);
    for (size_t n = 0; n < st->sources.n; n++) {
        AUTO_FREE char *shown = address_redact(st->sources.items[n]);

        buf_printf(&out, " %s", shown);
    }
    for (size_t n = 0; n < st->n_files; n++)
        buf_printf(&out, " <<%s", st->files[n].name);
    buf_printf(&out, " %s" HISTORY_MARK, dest);
    return buf_steal(&out);
}
