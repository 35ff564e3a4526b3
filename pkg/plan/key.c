#include "plan/key.h"

#include "plan/plan_priv.h"

#include <string.h>

#define KEY_VERSION "copyup step 1"
#define FACT_HEX    8 /* digits of a fact's hash: enough to see a change */

/* The kinds of fields. Their names are part of keys and of what is stored: they never change their meaning. */
enum field {
    FIELD_VERSION,
    FIELD_PARENT,
    FIELD_PLATFORM,
    FIELD_SETTING,
    FIELD_INSTRUCTION,
    FIELD_ARGV,
    FIELD_USER,
    FIELD_DIRECTORY,
    FIELD_ARG,
    FIELD_ENV,
    FIELD_SCRIPT,
    FIELD_MOUNT,
    FIELD_FLAG,
    FIELD_SOURCE,
    FIELD_EXCLUDE,
    FIELD_DOCUMENT,
    FIELD_FROM,
    FIELD_LAYER,
    FIELD_COUNT
};

static const char *const field_names[FIELD_COUNT] = {
    [FIELD_VERSION] = "version",
    [FIELD_PARENT] = "parent",
    [FIELD_PLATFORM] = "platform",
    [FIELD_SETTING] = "setting",
    [FIELD_INSTRUCTION] = "instruction",
    [FIELD_ARGV] = "argv",
    [FIELD_USER] = "user",
    [FIELD_DIRECTORY] = "directory",
    [FIELD_ARG] = "arg",
    [FIELD_ENV] = "env",
    [FIELD_SCRIPT] = "script",
    [FIELD_MOUNT] = "mount",
    [FIELD_FLAG] = "flag",
    [FIELD_SOURCE] = "source",
    [FIELD_EXCLUDE] = "exclude",
    [FIELD_DOCUMENT] = "file",
    [FIELD_FROM] = "from",
    [FIELD_LAYER] = "layer",
};

/* Who takes the fields: the hash of a key, or the list of facts. */
struct taker {
    void (*field)(struct taker *t, enum field f, const char *name, const void *value, size_t len);
    struct hasher *hasher;
    struct strs *facts;
};

static void put(struct taker *t, enum field f, const char *name, const char *value)
{
    t->field(t, f, name, value ? value : "", value ? strlen(value) : 0);
}

/* NULL is not the same as "". */
static void put_optional(struct taker *t, enum field f, const char *name, const char *value)
{
    if (value)
        put(t, f, name, value);
}

static void put_number(struct taker *t, enum field f, const char *name, int64_t n)
{
    char text[32];

    (void)snprintf(text, sizeof(text), "%lld", (long long)n);
    put(t, f, name, text);
}

static void put_list(struct taker *t, enum field f, const char *name, const struct strs *l)
{
    for (size_t i = 0; i < l->n; i++)
        put(t, f, name, l->items[i]);
}

/* ---- what a step is made of ---- */

/* As ENV sets it the image has it too; an argument of that name is the builder's business. */
static bool env_sets(const struct stage_plan *sp, const char *name)
{
    return env_get(&sp->config.env, name) != NULL;
}

/* By name: the order of assignments is no input of a command. */
static void put_env(struct taker *t, const struct key_step *k)
{
    AUTO(strs_release) struct strs env = { 0 };

    vars_list(&k->stage->env, k->step->env_moment, &env);
    strs_sort(&env);
    for (size_t i = 0; i < env.n; i++) {
        char *eq = strchr(env.items[i], '=');

        *eq = '\0';
        bool in_image = env_sets(k->stage, env.items[i]);
        if (in_image || !vars_is_proxy(env.items[i]))
            put(t, in_image ? FIELD_ENV : FIELD_ARG, env.items[i], eq + 1);
    }
}

static void put_mount(struct taker *t, const struct step_mount *m, const struct digest *from)
{
    static const char *const types[] = { [DF_MOUNT_BIND] = "bind",
                                         [DF_MOUNT_CACHE] = "cache",
                                         [DF_MOUNT_TMPFS] = "tmpfs",
                                         [DF_MOUNT_SECRET] = "secret",
                                         [DF_MOUNT_SSH] = "ssh" };

    put(t, FIELD_MOUNT, "type", types[m->m.type]);
    put_optional(t, FIELD_MOUNT, "target", m->target);
    put_optional(t, FIELD_MOUNT, "id", m->id);
    put_optional(t, FIELD_MOUNT, "source", m->m.source);
    put_optional(t, FIELD_MOUNT, "env", m->m.env);
    put_number(t, FIELD_MOUNT, "readonly", m->m.readonly);
    put_number(t, FIELD_MOUNT, "size", (int64_t)m->m.size_bytes);
    put_number(t, FIELD_MOUNT, "mode", m->m.mode);
    put_number(t, FIELD_MOUNT, "uid", m->m.uid);
    put_number(t, FIELD_MOUNT, "gid", m->m.gid);
    put(t, FIELD_FROM, m->target ? m->target : "", from->text);
}

static void put_run(struct taker *t, const struct key_step *k)
{
    const struct step *st = k->step;

    put(t, FIELD_INSTRUCTION, "", "RUN");
    put_list(t, FIELD_ARGV, "", &st->argv);
    put(t, FIELD_USER, "", st->user);
    put(t, FIELD_DIRECTORY, "", st->cwd);
    put_env(t, k);
    put_optional(t, FIELD_SCRIPT, st->script_name, st->script);
    put_number(t, FIELD_FLAG, "network-none", st->network_none);
    put_optional(t, FIELD_FLAG, "hostname", plan_hostname(k->plan));
    for (size_t i = 0; i < st->n_mounts; i++)
        put_mount(t, &st->mounts[i], &k->sources[i]);
}

static void put_copy(struct taker *t, const struct key_step *k)
{
    const struct step *st = k->step;

    put(t, FIELD_INSTRUCTION, "", st->add ? "ADD" : "COPY");
    put_list(t, FIELD_SOURCE, "", &st->sources);
    put_list(t, FIELD_EXCLUDE, "", &st->exclude);
    for (size_t i = 0; i < st->n_files; i++)
        put(t, FIELD_DOCUMENT, st->files[i].name, st->files[i].data);
    put(t, FIELD_DIRECTORY, "", st->dest);
    put_optional(t, FIELD_FLAG, "chown", st->chown);
    put_optional(t, FIELD_FLAG, "chmod", st->chmod);
    put_optional(t, FIELD_FLAG, "checksum", st->checksum);
    put_number(t, FIELD_FLAG, "link", st->link);
    put_number(t, FIELD_FLAG, "parents", st->parents);
    put_number(t, FIELD_FLAG, "unpack", st->unpack);
    put_number(t, FIELD_FLAG, "keep-git-dir", st->keep_git_dir);
    put(t, FIELD_FROM, "", k->sources[0].text);
}

static void put_workdir(struct taker *t, const struct key_step *k)
{
    put(t, FIELD_INSTRUCTION, "", "WORKDIR");
    put(t, FIELD_DIRECTORY, "", k->step->dir);
    put(t, FIELD_USER, "", k->step->user);
}

static void put_settings(struct taker *t, const struct strs *settings)
{
    for (size_t i = 0; i < settings->n; i++) {
        size_t n = strcspn(settings->items[i], "=");
        AUTO_FREE char *name = xstrndup(settings->items[i], n);

        put(t, FIELD_SETTING, name, settings->items[i] + n + (settings->items[i][n] == '='));
    }
}

static void put_step(struct taker *t, const struct key_step *k)
{
    static void (*const by_kind[])(struct taker *, const struct key_step *) = {
        [STEP_RUN] = put_run, [STEP_COPY] = put_copy, [STEP_WORKDIR] = put_workdir
    };
    char platform[256];

    platform_format(k->platform, platform, sizeof(platform));
    put(t, FIELD_VERSION, "", KEY_VERSION);
    put(t, FIELD_PARENT, "", k->parent.text);
    put(t, FIELD_PLATFORM, "", platform);
    put_settings(t, k->settings);
    by_kind[k->step->kind](t, k);
}

/* ---- keys ---- */

static void hash_size(struct hasher *h, uint64_t n)
{
    unsigned char bytes[8];

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)(n >> 8 * i);
    hasher_add(h, bytes, sizeof(bytes));
}

static void hash_field(struct taker *t, enum field f, const char *name, const void *value, size_t len)
{
    const char *const texts[] = { field_names[f], name };

    for (size_t i = 0; i < 2; i++) {
        hash_size(t->hasher, strlen(texts[i]));
        hasher_add(t->hasher, texts[i], strlen(texts[i]));
    }
    hash_size(t->hasher, len);
    hasher_add(t->hasher, value, len);
}

struct digest plan_key_step(const struct key_step *k)
{
    AUTO(hasher_free) struct hasher *h = hasher_new();
    struct taker t = { .field = hash_field, .hasher = h };

    put_step(&t, k);
    return hasher_end(h);
}

struct digest plan_key_image(const struct manifest *m)
{
    AUTO(hasher_free) struct hasher *h = hasher_new();
    struct taker t = { .field = hash_field, .hasher = h };

    put(&t, FIELD_VERSION, "", "copyup image 1");
    put(&t, FIELD_FROM, "", m->config.digest.text);
    for (size_t i = 0; i < m->n_layers; i++)
        put(&t, FIELD_LAYER, "", m->layers[i].digest.text);
    return hasher_end(h);
}

struct digest plan_key_scratch(void)
{
    AUTO(hasher_free) struct hasher *h = hasher_new();
    struct taker t = { .field = hash_field, .hasher = h };

    put(&t, FIELD_VERSION, "", "copyup scratch 1");
    return hasher_end(h);
}

/* ---- facts ---- */

/* Printable ASCII only: it is shown, and stored as JSON. */
static void put_printable(struct buf *out, const char *text)
{
    for (const char *c = text; *c; c++) {
        unsigned char u = (unsigned char)*c;

        if (u < ' ' || u > '~' || u == '\\')
            buf_printf(out, "\\x%02x", u);
        else
            buf_putc(out, *c);
    }
}

static void add_fact(struct strs *facts, const char *kind, const char *name, const struct digest *d)
{
    struct buf out = BUF_INIT;

    buf_printf(&out, "%s %.*s ", kind, FACT_HEX, digest_hex(d));
    put_printable(&out, name);
    strs_take(facts, buf_steal(&out));
}

/* The name is hashed along: one value has another hash in each variable. */
static void list_field(struct taker *t, enum field f, const char *name, const void *value, size_t len)
{
    AUTO(hasher_free) struct hasher *h = hasher_new();
    struct taker hash = { .hasher = h };

    hash_field(&hash, f, name, value, len);
    struct digest d = hasher_end(h);
    add_fact(t->facts, field_names[f], name, &d);
}

void plan_key_facts(const struct key_step *k, struct strs *ret_facts)
{
    struct taker t = { .field = list_field, .facts = ret_facts };

    put_step(&t, k);
}

void plan_key_base_fact(const char *image, const struct digest *d, struct strs *ret_facts)
{
    add_fact(ret_facts, "base", image, d);
}

void plan_key_file_fact(const char *path, const struct digest *d, struct strs *ret_facts)
{
    add_fact(ret_facts, "content", path, d);
}
