/* From the environment to values, row by row. */
#include "base/mem.h"
#include "settings/settings_priv.h"
#include "settings/values.h"

#include <string.h>

const char *reading_env(const struct reading *r, const char *name)
{
    size_t len = strlen(name);

    for (char *const *e = r->environ_entries; *e; e++)
        if (strncmp(*e, name, len) == 0 && (*e)[len] == '=')
            return (*e)[len + 1] ? *e + len + 1 : NULL;
    return NULL;
}

const char *reading_origin(const struct reading *r, const char *first_name)
{
    for (size_t i = 0; i < settings_table_len; i++)
        if (strcmp(settings_table[i].names[0], first_name) == 0)
            return r->origins[i];
    return NULL;
}

void reading_mistake(struct reading *r, struct err *e)
{
    r->mistakes = err_join(r->mistakes, e);
}

static void *place_of(struct settings *s, const struct setting *row)
{
    return (char *)s + row->place;
}

bool reading_asks(const struct reading *r, const struct setting *row)
{
    const char *origin = r->origins[row - settings_table];
    bool on = false;

    if (!origin)
        return false;
    const char *value = reading_env(r, origin);
    bool is_bool = value && value_bool(value, &on); /* "false" asks for nothing, whatever else could stand there */
    return row->type == SETTING_BOOL ? !value || on : !is_bool || on;
}

/* One of the words of a list split by blanks. */
static bool is_choice(const char *choices, const char *value)
{
    size_t len = strlen(value);

    for (const char *s = choices; *s; s += strspn(s, " ")) {
        size_t n = strcspn(s, " ");
        if (n == len && strncmp(s, value, n) == 0)
            return true;
        s += n;
    }
    return false;
}

PRINTF(3, 4)
static struct err *wrong(const char *name, const char *value, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    AUTO_FREE char *allowed = xvasprintf(fmt, ap);
    va_end(ap);
    return err_new(ERR_SETTING, "%s is '%.200s', but must be %s", name, value, allowed);
}

static struct err *store_int(const struct setting *row, const char *name, const char *value, int64_t *to)
{
    int64_t n = 0;

    if (!value_int(value, &n) || n < row->min || n > row->max)
        return wrong(name, value, "a whole number from %lld to %lld", (long long)row->min, (long long)row->max);
    *to = n;
    return NULL;
}

static void store_text(char **to, const char *value)
{
    free(*to);
    *to = xstrdup(value);
}

static void store_list(struct strs *to, const char *value, const char *separators)
{
    strs_release(to);
    value_list(value, separators, to);
}

/* Checks the value's form and puts it where the row says. Secrets are stored elsewhere. */
static struct err *store(const struct setting *row, const char *name, const char *value, void *to)
{
    switch (row->type) {
    case SETTING_TEXT:
    case SETTING_SECRET:
        store_text(to, value);
        return NULL;
    case SETTING_LIST:
        store_list(to, value, ",");
        return NULL;
    case SETTING_SEMICOLONS:
        store_list(to, value, ";");
        return NULL;
    case SETTING_BOOL:
        return value_bool(value, to) ? NULL
                                     : wrong(name, value, "true or false (1, t, T, TRUE, True, 0, f, F, FALSE, False)");
    case SETTING_INT:
        return store_int(row, name, value, to);
    case SETTING_DURATION:
        return value_duration(value, to)
                   ? NULL
                   : wrong(name, value, "a time such as 1h30m, 90s or 2d, or a number of seconds");
    case SETTING_SIZE:
        return value_size(value, to) ? NULL : wrong(name, value, "a number of bytes, or one with K, M, G or T");
    case SETTING_CHOICE:
        if (!is_choice(row->choices, value))
            return wrong(name, value, "one of: %s", row->choices);
        store_text(to, value);
        return NULL;
    }
    return NULL;
}

/* Somewhere to put a value that nobody needs, so that it is checked all the same. */
union scratch {
    char *text;
    struct strs list;
    bool boolean;
    int64_t number;
};

static void scratch_release(union scratch *scratch, enum setting_type type)
{
    if (type == SETTING_TEXT || type == SETTING_CHOICE)
        free(scratch->text);
    else if (type == SETTING_LIST || type == SETTING_SEMICOLONS)
        strs_release(&scratch->list);
}

static struct err *store_row(struct reading *r, const struct setting *row, const char *name, const char *value)
{
    union scratch scratch;

    if (row->place != SETTING_NO_PLACE)
        return store(row, name, value, place_of(r->s, row));
    memset(&scratch, 0, sizeof(scratch));
    struct err *e = store(row, name, value, &scratch);
    scratch_release(&scratch, row->type);
    return e;
}

static void read_secret_row(struct reading *r, const struct setting *row)
{
    const char **origin = &r->origins[row - settings_table];

    for (size_t i = 0; i < SETTING_NAMES && row->names[i]; i++) {
        char *text = NULL;
        struct err *e =
            secret_find(r, row->names[i], row->place == offsetof(struct settings, client_certificate), &text);
        if (!e && !text)
            continue;
        *origin = row->names[i];
        if (e)
            reading_mistake(r, e);
        else if (row->place == SETTING_NO_PLACE)
            secret_wipe(text);
        else
            secret_take(place_of(r->s, row), text);
        return;
    }
}

static void read_row(struct reading *r, const struct setting *row)
{
    for (size_t i = 0; i < SETTING_NAMES && row->names[i]; i++) {
        const char *value = reading_env(r, row->names[i]);
        if (!value)
            continue;
        r->origins[row - settings_table] = row->names[i];
        reading_mistake(r, store_row(r, row, row->names[i], value));
        return;
    }
}

/* Defaults are our own text: a wrong one is a bug that the unit tests would show. Ranges do not bind them (-1 = not
 * set). */
static void set_default(struct settings *s, const struct setting *row)
{
    if (!row->fallback || row->place == SETTING_NO_PLACE)
        return;
    if (row->type == SETTING_INT)
        *(int64_t *)place_of(s, row) = strtoll(row->fallback, NULL, 10);
    else
        err_free(store(row, row->names[0], row->fallback, place_of(s, row)));
}

static void release_row(struct settings *s, const struct setting *row)
{
    if (row->place == SETTING_NO_PLACE)
        return;
    if (row->type == SETTING_SECRET)
        secret_take(place_of(s, row), NULL);
    else if (row->type == SETTING_TEXT || row->type == SETTING_CHOICE)
        free(*(char **)place_of(s, row));
    else if (row->type == SETTING_LIST || row->type == SETTING_SEMICOLONS)
        strs_release(place_of(s, row));
}

void settings_free(struct settings *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < settings_table_len; i++)
        release_row(s, &settings_table[i]);
    run_secrets_free(s);
    free(s->skip_build);
    secret_wipe(s->context_url);
    free(s->context_archive);
    strs_release(&s->docker_configs);
    strs_release(&s->notes);
    free(s);
}

struct err *settings_read(char *const *environ_entries, struct settings **ret)
{
    AUTO(settings_free) struct settings *s = xcalloc(1, sizeof(*s));
    AUTO_FREE const char **origins = xcalloc(settings_table_len, sizeof(*origins));
    struct reading r = { environ_entries, s, origins, NULL };

    for (size_t i = 0; i < settings_table_len; i++) {
        const struct setting *row = &settings_table[i];
        set_default(s, row);
        if (row->type == SETTING_SECRET)
            read_secret_row(&r, row);
        else
            read_row(&r, row);
    }
    settings_check(&r);
    settings_check_names(&r);
    settings_check_azure(&r);
    settings_check_credentials(&r);
    settings_check_run_secrets(&r);
    settings_check_build_contexts(&r);
    settings_note_effects(&r);
    settings_note_unknown(&r);
    if (r.mistakes)
        return r.mistakes;
    *ret = steal(&s);
    return NULL;
}
