/* mount.c - the values of RUN --mount and --device. */
#include "base/buf.h"
#include "base/suggest.h"
#include "dockerfile/parse.h"
#include "dockerfile/words.h"

#include <math.h>
#include <string.h>
#include <strings.h>

bool parse_bool(const char *text, bool *ret_value)
{
    static const char *const yes[] = { "1", "t", "T", "true", "TRUE", "True" };
    static const char *const no[] = { "0", "f", "F", "false", "FALSE", "False" };

    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
        if (strcmp(text, yes[i]) != 0 && strcmp(text, no[i]) != 0)
            continue;
        *ret_value = strcmp(text, yes[i]) == 0;
        return true;
    }
    return false;
}

bool parse_uint(const char *text, int base, uint64_t max, uint64_t *ret_value)
{
    uint64_t value = 0;

    for (const char *p = text; *p; p++) {
        if (*p < '0' || *p >= '0' + base)
            return false;
        value = value * (uint64_t)base + (uint64_t)(*p - '0');
        if (value > max)
            return false;
    }
    *ret_value = value;
    return *text != '\0';
}

/* "1g", "1.5 MiB", "100": powers of 1024. */
static bool parse_size(const char *text, uint64_t *ret_size)
{
    static const char units[] = "kmgtp";
    char *end = NULL;
    size_t n = strspn(text, "+0123456789.eE-");

    /* strtod alone would take "inf" and hexadecimals */
    if (n == 0 || strcspn(text, "0123456789") >= n)
        return false;
    double size = strtod(text, &end);

    if (end == text || end > text + n)
        return false;
    if (*end == ' ')
        end++;
    const char *unit = *end ? strchr(units, *end | 0x20) : NULL;

    if (unit) {
        size = ldexp(size, 10 * (int)(unit - units + 1));
        end += strcasecmp(end + 1, "ib") == 0 ? 3 : 1;
    }
    if (*end && end[-1] != 'b' && (*end | 0x20) == 'b')
        end++;
    if (*end || !(size >= 0 && size < 0x1p63))
        return false;
    *ret_size = (uint64_t)size;
    return true;
}

static const char *const type_names[] = { [DF_MOUNT_BIND] = "bind",
                                          [DF_MOUNT_CACHE] = "cache",
                                          [DF_MOUNT_TMPFS] = "tmpfs",
                                          [DF_MOUNT_SECRET] = "secret",
                                          [DF_MOUNT_SSH] = "ssh" };
static const char *const sharing_names[] = {
    [DF_SHARING_SHARED] = "shared", [DF_SHARING_PRIVATE] = "private", [DF_SHARING_LOCKED] = "locked"
};

struct mount_state {
    struct df_mount *m;
    bool readonly_given, sharing_given;
};

static struct err *invalid(const char *key, const char *value)
{
    return err_new(ERR_DOCKERFILE, "invalid value '%s' for '%s'", value, key);
}

static struct err *unexpected(const struct mount_state *s, const char *key)
{
    return err_new(ERR_DOCKERFILE, "'%s' is not for mounts of type '%s'", key, type_names[s->m->type]);
}

static struct err *choose(const char *key, const char *value, const char *const *names, size_t n, int *ret_index)
{
    for (size_t i = 0; i < n; i++) {
        if (strcasecmp(value, names[i]) == 0) {
            *ret_index = (int)i;
            return NULL;
        }
    }
    return suggest_hint(invalid(key, value), "", value, names, n);
}

static void replace(char **p, const char *value)
{
    free(*p);
    *p = xstrdup(value);
}

static struct err *set_type(struct mount_state *s, const char *key, const char *value)
{
    int index = 0;

    TRY(choose(key, value, type_names, 5, &index));
    s->m->type = (enum df_mount_type)index;
    return NULL;
}

static struct err *set_sharing(struct mount_state *s, const char *key, const char *value)
{
    int index = 0;

    TRY(choose(key, value, sharing_names, 3, &index));
    s->m->sharing = (enum df_sharing)index;
    s->sharing_given = true;
    return NULL;
}

static struct err *set_from(struct mount_state *s, const char *key, const char *value)
{
    (void)key;
    replace(&s->m->from, value);
    return NULL;
}

static struct err *set_source(struct mount_state *s, const char *key, const char *value)
{
    (void)key;
    replace(&s->m->source, value);
    return NULL;
}

static struct err *set_target(struct mount_state *s, const char *key, const char *value)
{
    (void)key;
    replace(&s->m->target, value);
    return NULL;
}

static struct err *set_id(struct mount_state *s, const char *key, const char *value)
{
    (void)key;
    replace(&s->m->id, value);
    return NULL;
}

static struct err *set_env(struct mount_state *s, const char *key, const char *value)
{
    (void)key;
    replace(&s->m->env, value);
    return NULL;
}

static struct err *set_readonly(struct mount_state *s, const char *key, const char *value)
{
    bool on = true;

    if (value && !parse_bool(value, &on))
        return invalid(key, value);
    s->m->readonly = (strcasecmp(key, "ro") == 0 || strcasecmp(key, "readonly") == 0) == on;
    s->readonly_given = true;
    return NULL;
}

static struct err *set_required(struct mount_state *s, const char *key, const char *value)
{
    if (s->m->type != DF_MOUNT_SECRET && s->m->type != DF_MOUNT_SSH)
        return unexpected(s, key);
    if (!value)
        s->m->required = true;
    else if (!parse_bool(value, &s->m->required))
        return invalid(key, value);
    return NULL;
}

static struct err *set_size(struct mount_state *s, const char *key, const char *value)
{
    if (s->m->type != DF_MOUNT_TMPFS)
        return unexpected(s, key);
    return parse_size(value, &s->m->size_bytes) ? NULL : invalid(key, value);
}

static struct err *set_number(const char *key, const char *value, int base, int64_t *ret_number)
{
    uint64_t number = 0;

    if (!parse_uint(value, base, UINT32_MAX, &number))
        return invalid(key, value);
    *ret_number = (int64_t)number;
    return NULL;
}

static struct err *set_mode(struct mount_state *s, const char *key, const char *value)
{
    return set_number(key, value, 8, &s->m->mode);
}

static struct err *set_uid(struct mount_state *s, const char *key, const char *value)
{
    return set_number(key, value, 10, &s->m->uid);
}

static struct err *set_gid(struct mount_state *s, const char *key, const char *value)
{
    return set_number(key, value, 10, &s->m->gid);
}

static const struct mount_key {
    const char *name;
    struct err *(*set)(struct mount_state *s, const char *key, const char *value);
    bool alone; /* may stand without a value */
} keys[] = {
    { "type", set_type, false },
    { "from", set_from, false },
    { "source", set_source, false },
    { "src", set_source, false },
    { "target", set_target, false },
    { "dst", set_target, false },
    { "destination", set_target, false },
    { "readonly", set_readonly, true },
    { "ro", set_readonly, true },
    { "readwrite", set_readonly, true },
    { "rw", set_readonly, true },
    { "required", set_required, true },
    { "size", set_size, false },
    { "id", set_id, false },
    { "sharing", set_sharing, false },
    { "mode", set_mode, false },
    { "uid", set_uid, false },
    { "gid", set_gid, false },
    { "env", set_env, false },
};
enum { N_KEYS = sizeof(keys) / sizeof(keys[0]) };

static struct err *no_key(const char *key, const char *field)
{
    const char *names[N_KEYS];

    for (size_t i = 0; i < N_KEYS; i++)
        names[i] = keys[i].name;
    return suggest_hint(err_new(ERR_DOCKERFILE, "unexpected key '%s' in '%s'", key, field), "", key, names, N_KEYS);
}

/* key[=value]; the value is expanded if opts say how. */
static struct err *set_field(struct mount_state *s, const char *field, const struct words_opts *opts)
{
    const char *equals = strchr(field, '=');
    AUTO_FREE char *key = xstrndup(field, equals ? (size_t)(equals - field) : strlen(field));
    AUTO_FREE char *expanded = NULL;
    const struct mount_key *k = NULL;

    for (size_t i = 0; i < N_KEYS; i++)
        if (strcasecmp(keys[i].name, key) == 0)
            k = &keys[i];
    if (!equals && (!k || !k->alone))
        return err_new(ERR_DOCKERFILE, "'%s' is not of the form key=value", field);
    if (!k)
        return no_key(key, field);
    if (equals && opts)
        TRY(words_expand(equals + 1, opts, &expanded));
    return k->set(s, key, expanded ? expanded : equals ? equals + 1 : NULL);
}

static bool given(const char *s)
{
    return s && *s;
}

static struct err *check_secret(const struct mount_state *s)
{
    const struct df_mount *m = s->m;

    if (given(m->from))
        return err_new(ERR_DOCKERFILE, "a secret mount has no 'from'");
    if (s->sharing_given)
        return err_new(ERR_DOCKERFILE, "a secret mount has no 'sharing'");
    if (!given(m->source) && !given(m->target) && !given(m->id))
        return err_new(ERR_DOCKERFILE, "a secret mount needs an 'id' or a 'target'");
    if (given(m->source) && given(m->id))
        return err_new(ERR_DOCKERFILE, "'source' and 'id' cannot both be set");
    return NULL;
}

/* What depends on several fields. */
static struct err *check_mount(struct mount_state *s)
{
    struct df_mount *m = s->m;
    const char *type = type_names[m->type];

    if (m->type == DF_MOUNT_BIND || m->type == DF_MOUNT_TMPFS) {
        const char *key = m->mode >= 0 ? "mode" : m->uid >= 0 ? "uid" : m->gid >= 0 ? "gid" : NULL;

        if (key)
            return unexpected(s, key);
    }
    if (!s->readonly_given)
        m->readonly = m->type != DF_MOUNT_CACHE && m->type != DF_MOUNT_TMPFS;
    if (m->type == DF_MOUNT_SECRET)
        TRY(check_secret(s));
    if (s->sharing_given && m->type != DF_MOUNT_CACHE)
        return err_new(ERR_DOCKERFILE, "'sharing' is not for mounts of type '%s'", type);
    return NULL;
}

static struct err *parse_fields(const char *text, const struct words_opts *opts, struct mount_state *s)
{
    struct strs fields = { 0 };
    struct err *e = csv_fields(text, &fields);

    for (size_t i = 0; !e && i < fields.n; i++)
        e = err_blame(set_field(s, fields.items[i], opts), fields.items[i]);
    strs_release(&fields);
    return e ? e : err_blame(check_mount(s), text);
}

struct err *df_expand_mount(const char *text, const struct words_opts *opts, struct df_mount *ret_mount)
{
    struct df_mount m = { .mode = -1, .uid = -1, .gid = -1 };
    struct mount_state s = { .m = &m };
    struct err *e = parse_fields(text, opts, &s);

    if (e) {
        df_mount_release(&m);
        return err_wrap(e, "RUN --mount=%s is wrong", text);
    }
    *ret_mount = m;
    return NULL;
}

struct err *df_parse_mount(const char *text, struct df_mount *ret_mount)
{
    return df_expand_mount(text, NULL, ret_mount);
}

void df_mount_release(struct df_mount *m)
{
    free(m->from);
    free(m->source);
    free(m->target);
    free(m->id);
    free(m->env);
    *m = (struct df_mount){ .mode = -1, .uid = -1, .gid = -1 };
}

struct err *df_mount_from(const char *text, char **ret_from)
{
    struct strs fields = { 0 };
    struct err *e = csv_fields(text, &fields);

    *ret_from = NULL;
    for (size_t i = 0; !e && i < fields.n; i++)
        if (strncasecmp(fields.items[i], "from=", 5) == 0)
            replace(ret_from, fields.items[i] + 5);
    strs_release(&fields);
    return e;
}

/* The stage that a mount is from is needed before variables are known. */
struct err *mount_precheck(const char *text)
{
    struct strs fields = { 0 };
    struct err *e = csv_fields(text, &fields);

    for (size_t i = 0; !e && i < fields.n; i++) {
        const char *value = strncasecmp(fields.items[i], "from=", 5) == 0 ? fields.items[i] + 5 : "";
        const char *dollar = strchr(value, '$');

        if (dollar && dollar[1])
            e = err_blame(err_hint(err_new(ERR_DOCKERFILE, "'from' of a mount takes no variable"),
                                   "Name a stage \"FROM IMAGE AS NAME\" and mount from that."),
                          fields.items[i]);
    }
    strs_release(&fields);
    return e;
}

/* ---- --device ---- */

static struct err *device_field(const char *field, bool *named)
{
    const char *equals = strchr(field, '=');
    size_t n = equals ? (size_t)(equals - field) : strlen(field);
    bool required = false;

    if (n == 8 && strncasecmp(field, "required", 8) == 0)
        return !equals || parse_bool(equals + 1, &required) ? NULL : invalid("required", equals + 1);
    if (*named)
        return err_new(ERR_DOCKERFILE, "unexpected field '%s' behind the device's name", field);
    *named = !(equals && n == 4 && strncasecmp(field, "name", 4) == 0 && !equals[1]);
    return NULL;
}

struct err *device_check(const char *text)
{
    struct strs fields = { 0 };
    bool named = false;
    struct err *e = csv_fields(text, &fields);

    for (size_t i = 0; !e && i < fields.n; i++)
        e = err_blame(device_field(fields.items[i], &named), fields.items[i]);
    strs_release(&fields);
    return e;
}
