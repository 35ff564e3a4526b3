#include "repo/refs.h"

#include "base/limits.h"

#include <string.h>

#define PEELED "^{}" /* at the end of a tag's name: the line says what it points at */

void repo_refs_release(struct repo_refs *r)
{
    for (size_t i = 0; i < r->n; i++)
        free(r->items[i].name);
    free(r->items);
    free(r->head);
    strs_release(&r->capabilities);
    strs_release(&r->wanted);
    *r = (struct repo_refs){ 0 };
}

bool repo_hash_read(const char *s, const char *ends, struct repo_hash *ret)
{
    struct repo_hash h = { 0 };
    size_t n = strspn(s, "0123456789abcdef");

    if (n != REPO_HASH_LEN || (s[n] && !strchr(ends, s[n])))
        return false;
    memcpy(h.hex, s, n);
    *ret = h;
    return true;
}

static struct err *bad_line(const char *line)
{
    AUTO_FREE char *shown = xstrndup(line, 100);

    for (char *p = shown; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = '?';
    if (strspn(line, "0123456789abcdef") == 64)
        return err_hint(err_new(ERR_DOCKERFILE, "the repository names its objects by SHA-256"),
                        "Only repositories in the usual SHA-1 format can be fetched.");
    return err_new(ERR_REGISTRY, "the server does not speak git's protocol: '%s' is no ref", shown);
}

/* ---- names ---- */

static const char *without(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0 ? name + strlen(prefix) : name;
}

void repo_ref_names(const char *ref, struct strs *names)
{
    if (!*ref || strcmp(ref, "HEAD") == 0) {
        strs_add(names, "HEAD");
        return;
    }
    strs_take(names, xasprintf("refs/%s", without(ref, "refs/")));
    strs_take(names, xasprintf("refs/heads/%s", without(ref, "refs/heads/")));
    strs_take(names, xasprintf("refs/tags/%s", without(ref, "refs/tags/")));
}

static const struct repo_ref *find_name(const struct repo_refs *r, const char *name)
{
    for (size_t i = 0; i < r->n; i++)
        if (r->items[i].name && strcmp(r->items[i].name, name) == 0)
            return &r->items[i];
    return NULL;
}

const struct repo_ref *repo_refs_find(const struct repo_refs *r, const char *ref)
{
    AUTO(strs_release) struct strs names = { 0 };
    const struct repo_ref *found = NULL;

    repo_ref_names(ref, &names);
    for (size_t i = 0; i < names.n && !found; i++)
        found = find_name(r, names.items[i]);
    return found;
}

bool repo_refs_has_hash(const struct repo_refs *r, const char *hash)
{
    for (size_t i = 0; i < r->n; i++)
        if (strcmp(r->items[i].hash.hex, hash) == 0)
            return true;
    return false;
}

/* ---- capabilities ---- */

bool repo_refs_can(const struct repo_refs *r, const char *capability)
{
    return strs_has(&r->capabilities, capability) || repo_refs_value(r, capability);
}

const char *repo_refs_value(const struct repo_refs *r, const char *capability)
{
    return env_get(&r->capabilities, capability);
}

static void add_capabilities(struct repo_refs *r, const char *text)
{
    while (*text && r->capabilities.n < LIMIT_GIT_CAPABILITIES) {
        size_t n = strcspn(text, " ");

        if (n)
            strs_take(&r->capabilities, xstrndup(text, n));
        text += n + (text[n] == ' ');
    }
}

/* ---- lines ---- */

static bool is_wanted(const struct repo_refs *r, const char *name, bool *ret_by_name)
{
    *ret_by_name = strs_has(&r->wanted, name);
    return *ret_by_name || (r->all && (strncmp(name, "refs/heads/", 11) == 0 || strncmp(name, "refs/tags/", 10) == 0));
}

static struct err *add(struct repo_refs *r, const char *name, const struct repo_hash *hash,
                       const struct repo_hash *peeled)
{
    bool by_name;

    if (!is_wanted(r, name, &by_name))
        return NULL;
    if (r->n >= LIMIT_GIT_REFS)
        return err_new(ERR_REGISTRY, "the repository has more than %d branches and tags", LIMIT_GIT_REFS);
    vec_push(r, ((struct repo_ref){ by_name ? xstrdup(name) : NULL, *hash, *peeled }));
    return NULL;
}

static void set_head(struct repo_refs *r, const char *target)
{
    free(r->head);
    r->head = xstrdup(target);
}

/* "HASH NAME[ symref-target:NAME][ peeled:HASH]" */
struct err *repo_refs_line_v2(struct repo_refs *r, const char *line)
{
    struct repo_hash hash, peeled = { 0 };

    if (strncmp(line, "unborn ", 7) == 0)
        return NULL;
    if (!repo_hash_read(line, " ", &hash) || !line[REPO_HASH_LEN])
        return bad_line(line);
    const char *name = line + REPO_HASH_LEN + 1, *more = name + strcspn(name, " ");
    AUTO_FREE char *own = xstrndup(name, (size_t)(more - name));

    while (*more) {
        size_t n = strcspn(++more, " ");
        AUTO_FREE char *word = xstrndup(more, n);

        if (strncmp(word, "peeled:", 7) == 0 && !repo_hash_read(word + 7, "", &peeled))
            return bad_line(line);
        if (strncmp(word, "symref-target:", 14) == 0 && strcmp(own, "HEAD") == 0)
            set_head(r, word + 14);
        more += n;
    }
    return add(r, own, &hash, &peeled);
}

static struct err *add_or_peel(struct repo_refs *r, const char *name, const struct repo_hash *hash)
{
    size_t n = strlen(name), m = strlen(PEELED);
    struct repo_hash none = { 0 };

    if (n <= m || strcmp(name + n - m, PEELED) != 0)
        return add(r, name, hash, &none);
    for (size_t i = r->n; i-- > 0;) {
        struct repo_ref *ref = &r->items[i];

        if (ref->name && strlen(ref->name) == n - m && strncmp(ref->name, name, n - m) == 0)
            ref->peeled = *hash;
    }
    return NULL;
}

/* "HASH NAME[NUL capabilities]"; an empty repository has "capabilities^{}" with a hash of zeros. */
struct err *repo_refs_line_v0(struct repo_refs *r, const char *line, size_t len)
{
    struct repo_hash hash;
    size_t n = strlen(line);

    if (strncmp(line, "shallow ", 8) == 0)
        return NULL;
    if (n < len) {
        add_capabilities(r, line + n + 1);
        const char *symref = repo_refs_value(r, "symref");
        if (symref && strncmp(symref, "HEAD:", 5) == 0)
            set_head(r, symref + 5);
    }
    if (!repo_hash_read(line, " ", &hash) || !line[REPO_HASH_LEN])
        return bad_line(line);
    return add_or_peel(r, line + REPO_HASH_LEN + 1, &hash);
}

/* "HASH\tNAME" */
struct err *repo_refs_line_file(struct repo_refs *r, const char *line)
{
    struct repo_hash hash;

    if (!repo_hash_read(line, "\t", &hash) || !line[REPO_HASH_LEN])
        return bad_line(line);
    return add_or_peel(r, line + REPO_HASH_LEN + 1, &hash);
}
