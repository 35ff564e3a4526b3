/* key_explain.c - from the facts of two steps to what differs between them. */
#include "base/buf.h"
#include "base/map.h"
#include "plan/key.h"

#include <string.h>

#define SHOWN_NAMES 3

/* What the kinds of facts are called, the most telling first. `one`: the names of what changed are shown; else the kind
 * alone says it. */
static const struct {
    const char *kind, *one, *many;
} sayings[] = {
    { "version", NULL, "another version of the program made it" },
    { "platform", NULL, "the platform changed" },
    { "instruction", NULL, "the instruction changed" },
    { "argv", NULL, "the command changed" },
    { "source", NULL, "its sources changed" },
    { "directory", NULL, "its directory changed" },
    { "script", NULL, "its script changed" },
    { "file", "here-document", "here-documents" },
    { "arg", "ARG", "ARGs" },
    { "env", "ENV", "ENVs" },
    { "user", NULL, "the user changed" },
    { "content", "file", "files" },
    { "exclude", NULL, "its --exclude changed" },
    { "flag", "flag", "flags" },
    { "mount", NULL, "its mounts changed" },
    { "from", NULL, "the stage or image that it takes files from changed" },
    { "setting", "setting", "settings" },
    { "parent", NULL, "what it is built on changed" }, /* said only if nothing else is */
};

struct fact {
    const char *hash, *name;
    size_t hash_len;
};

static bool read_fact(const char *text, const char *kind, struct fact *ret)
{
    size_t n = strlen(kind);

    if (strncmp(text, kind, n) != 0 || text[n] != ' ')
        return false;
    ret->hash = text + n + 1;
    ret->hash_len = strcspn(ret->hash, " ");
    ret->name = ret->hash + ret->hash_len + (ret->hash[ret->hash_len] == ' ');
    return true;
}

static bool find_fact(const struct strs *facts, const char *kind, struct fact *ret)
{
    for (size_t i = 0; i < facts->n; i++)
        if (read_fact(facts->items[i], kind, ret))
            return true;
    return false;
}

/* Name -> hash of all facts of a kind. A name may be there several times (the words of a command): then all its hashes
 * count, in their order. */
static struct map *hashes_of(const struct strs *facts, const char *kind)
{
    struct map *m = map_new(free);
    struct fact f;

    for (size_t i = 0; i < facts->n; i++) {
        if (!read_fact(facts->items[i], kind, &f))
            continue;
        const char *old = map_get(m, f.name);
        map_set(m, f.name, xasprintf("%s%.*s ", old ? old : "", (int)f.hash_len, f.hash));
    }
    return m;
}

struct difference {
    const struct map *before, *now;
    size_t total, n; /* names in either; those that differ */
    struct buf names;
    const char *how; /* what happened to the last of them */
};

static void add_name(struct difference *d, const char *name, const char *how)
{
    d->how = how;
    if (++d->n > SHOWN_NAMES)
        return;
    buf_printf(&d->names, "%s'%s'", d->n > 1 ? ", " : "", name);
}

static void look_at_now(void *ctx, const char *name, void *value)
{
    struct difference *d = ctx;
    const char *old = map_get(d->before, name);

    d->total++;
    if (!old || strcmp(old, value) != 0)
        add_name(d, name, old ? "changed" : "is new");
}

static void look_at_before(void *ctx, const char *name, void *value)
{
    struct difference *d = ctx;

    (void)value;
    if (map_get(d->now, name))
        return;
    d->total++;
    add_name(d, name, "is gone");
}

static void say(size_t which, struct difference *d, struct buf *out)
{
    const char *one = sayings[which].one;

    if (!d->n)
        return;
    if (out->len)
        buf_puts(out, "; ");
    if (!one)
        buf_puts(out, sayings[which].many);
    else if (d->n == 1)
        buf_printf(out, "%s %s %s", one, buf_str(&d->names), d->how);
    else
        buf_printf(out, "%zu of %zu %s changed: %s%s", d->n, d->total, sayings[which].many, buf_str(&d->names),
                   d->n > SHOWN_NAMES ? ", ..." : "");
}

static void compare(size_t which, const struct strs *before, const struct strs *now, struct buf *out)
{
    AUTO(map_free) struct map *old = hashes_of(before, sayings[which].kind);
    AUTO(map_free) struct map *new = hashes_of(now, sayings[which].kind);
    struct difference d = { .before = old, .now = new };

    map_each(new, look_at_now, &d);
    map_each(old, look_at_before, &d);
    say(which, &d, out);
    buf_release(&d.names);
}

static void say_base(const struct strs *before, const struct strs *now, struct buf *out)
{
    struct fact old, new;

    if (!find_fact(before, "base", &old) || !find_fact(now, "base", &new))
        return;
    if (strcmp(old.name, new.name) != 0)
        buf_printf(out, "the base image is '%s', and was '%s'", new.name, old.name);
    else if (old.hash_len != new.hash_len || memcmp(old.hash, new.hash, new.hash_len) != 0)
        buf_printf(out, "the base image '%s' changed from %.*s to %.*s", new.name, (int)old.hash_len, old.hash,
                   (int)new.hash_len, new.hash);
}

char *plan_key_explain(const struct strs *before, const struct strs *now)
{
    AUTO(buf_release) struct buf out = BUF_INIT;
    struct fact f;

    say_base(before, now, &out);
    /* the digest of all files says nothing that the files do not say */
    bool files = find_fact(before, "content", &f) || find_fact(now, "content", &f);

    for (size_t k = 0; k < sizeof(sayings) / sizeof(sayings[0]); k++) {
        bool said =
            (out.len && strcmp(sayings[k].kind, "parent") == 0) || (files && strcmp(sayings[k].kind, "from") == 0);

        if (!said)
            compare(k, before, now, &out);
    }
    return out.len ? buf_steal(&out) : NULL;
}
