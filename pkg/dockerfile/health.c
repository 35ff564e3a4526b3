/* health.c - durations and the flags of HEALTHCHECK. */
#include "dockerfile/parse.h"

#include <ctype.h>
#include <string.h>

static const struct unit {
    const char *name;
    uint64_t ns;
} units[] = {
    { "ns", 1 },       { "us", 1000 },      { "\xc2\xb5s", 1000 }, { "\xce\xbcs", 1000 },
    { "ms", 1000000 }, { "s", 1000000000 }, { "m", 60000000000 },  { "h", 3600000000000 },
};

static const uint64_t duration_max = (uint64_t)1 << 63; /* the magnitude of the smallest negative one */

static const struct unit *find_unit(const char *p, size_t n)
{
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
        if (strlen(units[i].name) == n && memcmp(units[i].name, p, n) == 0)
            return &units[i];
    return NULL;
}

/* Digits behind the point as a part of `scale`; what does not fit is beyond a nanosecond anyway. */
static const char *fraction(const char *p, uint64_t *ret_value, double *ret_scale)
{
    bool full = false;

    *ret_value = 0;
    *ret_scale = 1;
    for (; isdigit((unsigned char)*p); p++) {
        uint64_t digit = (uint64_t)(*p - '0');

        full |= *ret_value > (duration_max - 1) / 10 || *ret_value * 10 + digit > duration_max;
        if (full)
            continue;
        *ret_value = *ret_value * 10 + digit;
        *ret_scale *= 10;
    }
    return p;
}

/* One "1.5h": *ret_sum grows by it. */
static bool add_part(const char **p, uint64_t *sum)
{
    const char *start = *p, *s = start;
    uint64_t whole = 0, part = 0;
    double scale = 1;
    size_t n_digits = 0;

    for (; isdigit((unsigned char)*s); s++, n_digits++) {
        if (whole > duration_max / 10)
            return false;
        whole = whole * 10 + (uint64_t)(*s - '0');
        if (whole > duration_max)
            return false;
    }
    if (*s == '.') {
        const char *digits = ++s;

        s = fraction(s, &part, &scale);
        n_digits += (size_t)(s - digits);
    }
    size_t n_unit = strcspn(s, ".0123456789");
    const struct unit *unit = find_unit(s, n_unit);

    if (n_digits == 0 || !unit || whole > duration_max / unit->ns)
        return false;
    whole = whole * unit->ns + (uint64_t)((double)part * ((double)unit->ns / scale));
    *sum += whole;
    *p = s + n_unit;
    return whole <= duration_max && *sum <= duration_max;
}

struct err *df_parse_duration(const char *text, int64_t *ret_ns)
{
    bool negative = text[0] == '-';
    const char *p = text + (text[0] == '-' || text[0] == '+' ? 1 : 0);
    uint64_t sum = 0;
    bool ok = *p != '\0';

    if (strcmp(p, "0") == 0) {
        *ret_ns = 0;
        return NULL;
    }
    while (ok && *p)
        ok = add_part(&p, &sum);
    if (!ok || (!negative && sum == duration_max))
        return err_hint(err_new(ERR_DOCKERFILE, "'%s' is no duration", text),
                        "Write it like 30s, 1m30s or 500ms; units are h, m, s, ms, us and ns.");
    *ret_ns = negative ? (int64_t)(0 - sum) : (int64_t)sum;
    return NULL;
}

static struct err *interval(const struct df_instr *i, const char *flag, int64_t *ret_ns)
{
    const char *text = df_flag(i, flag);
    int64_t ns = 0;

    if (text && *text) {
        TRY(err_wrap(df_parse_duration(text, &ns), "HEALTHCHECK --%s=%s is wrong", flag, text));
        if (ns != 0 && ns < 1000000)
            return err_new(ERR_DOCKERFILE, "HEALTHCHECK --%s=%s is less than 1ms", flag, text);
    }
    *ret_ns = ns;
    return NULL;
}

static struct err *retries(const struct df_instr *i, int64_t *ret_retries)
{
    const char *text = df_flag(i, "retries");
    uint64_t n = 0;

    if (text && *text && !parse_uint(text + (*text == '+' ? 1 : 0), 10, INT32_MAX, &n) && strcmp(text, "-0") != 0)
        return err_new(ERR_DOCKERFILE, "HEALTHCHECK --retries=%s is no number from 0 to %d", text, INT32_MAX);
    *ret_retries = (int64_t)n;
    return NULL;
}

struct err *df_parse_health(const struct df_instr *i, struct df_health *ret_health)
{
    struct df_health h = { 0 };
    const struct {
        const char *name;
        int64_t *ret_ns;
    } flags[] = { { "interval", &h.interval_ns },
                  { "timeout", &h.timeout_ns },
                  { "start-period", &h.start_period_ns },
                  { "start-interval", &h.start_interval_ns } };

    if (i->health_none) {
        *ret_health = h;
        return NULL;
    }
    for (size_t k = 0; k < sizeof(flags) / sizeof(flags[0]); k++)
        TRY(interval(i, flags[k].name, flags[k].ret_ns));
    TRY(retries(i, &h.retries));
    *ret_health = h;
    return NULL;
}
