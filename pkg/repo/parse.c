#include "repo/parse.h"

#include "base/buf.h"
#include "base/limits.h"

#include <string.h>
#include <strings.h>

static struct err *damaged(const char *what)
{
    return err_new(ERR_DOCKERFILE, "the repository is damaged: %s", what);
}

/* ---- hashes ---- */

struct repo_hash repo_hash_of_id(const unsigned char id[REPO_ID_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    struct repo_hash h = { 0 };

    for (size_t i = 0; i < REPO_ID_BYTES; i++) {
        h.hex[2 * i] = digits[id[i] >> 4];
        h.hex[2 * i + 1] = digits[id[i] & 15];
    }
    return h;
}

static unsigned char digit(char c)
{
    return (unsigned char)(c <= '9' ? c - '0' : c - 'a' + 10);
}

void repo_id_of_hash(const struct repo_hash *h, unsigned char ret_id[REPO_ID_BYTES])
{
    for (size_t i = 0; i < REPO_ID_BYTES; i++)
        ret_id[i] = (unsigned char)(digit(h->hex[2 * i]) << 4 | digit(h->hex[2 * i + 1]));
}

/* ---- commits and tags: lines "KEY VALUE" until an empty one ---- */

/* The next line of the header, NUL-terminated in `line`; false at its end. Longer lines are cut: none that we read is.
 */
static bool next_line(const char *data, size_t len, size_t *pos, char *line, size_t size)
{
    const char *start = data + *pos, *end = *pos < len ? memchr(start, '\n', len - *pos) : NULL;

    if (!end || end == start)
        return false;
    size_t n = (size_t)(end - start) < size - 1 ? (size_t)(end - start) : size - 1;
    memcpy(line, start, n);
    line[n] = '\0';
    *pos += (size_t)(end - start) + 1;
    return true;
}

/* "NAME <MAIL> SECONDS ZONE" */
static int64_t read_time(const char *line)
{
    const char *mail = strrchr(line, '>');
    char *end;

    if (!mail)
        return 0;
    errno = 0;
    long long s = strtoll(mail + 1, &end, 10);
    return errno || s < 0 || s > LIMIT_GIT_TIME_S ? 0 : s;
}

struct err *repo_parse_commit(const char *data, size_t len, struct repo_commit *ret)
{
    struct repo_commit c = { 0 };
    char line[4096];

    for (size_t pos = 0; next_line(data, len, &pos, line, sizeof(line));) {
        if (strncmp(line, "tree ", 5) == 0 && !*c.tree.hex && !repo_hash_read(line + 5, "", &c.tree))
            return damaged("a commit without a tree");
        c.has_parent = c.has_parent || strncmp(line, "parent ", 7) == 0;
        if (strncmp(line, "committer ", 10) == 0)
            c.time_s = read_time(line);
    }
    if (!*c.tree.hex)
        return damaged("a commit without a tree");
    *ret = c;
    return NULL;
}

struct err *repo_parse_tag(const char *data, size_t len, struct repo_hash *ret_target, bool *ret_tag)
{
    struct repo_hash target = { 0 };
    bool commit = false, tag = false;
    char line[256];

    for (size_t pos = 0; next_line(data, len, &pos, line, sizeof(line));) {
        if (strncmp(line, "object ", 7) == 0 && !repo_hash_read(line + 7, "", &target))
            return damaged("a tag of nothing");
        commit = commit || strcmp(line, "type commit") == 0;
        tag = tag || strcmp(line, "type tag") == 0;
    }
    if (!*target.hex || commit == tag)
        return err_new(ERR_DOCKERFILE, "the tag does not point at a commit");
    *ret_target = target;
    *ret_tag = tag;
    return NULL;
}

/* ---- trees: "MODE NAME\0ID" ---- */

/* Names that some file system takes for ".git": what is written there would be git's configuration, hooks and all. */
static bool is_git_dir(const char *name)
{
    size_t n = strlen(name);

    while (n > 0 && strchr(" .", name[n - 1]))
        n--;
    return (n == 4 && strncasecmp(name, ".git", 4) == 0) || (n == 5 && strncasecmp(name, "git~1", 5) == 0);
}

static struct err *check_name(const char *name, size_t n)
{
    if (n == 0 || n > 255 || memchr(name, '/', n) || strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
        is_git_dir(name))
        return err_new(ERR_DOCKERFILE, "the repository is hostile: it has a file called '%.100s'", name);
    return NULL;
}

/* The bits that git knows; the rest is what old versions left behind. */
static bool kind_of(unsigned mode, enum repo_entry_kind *ret)
{
    switch (mode & 0170000) {
    case 0100000:
        *ret = mode & 0100 ? REPO_ENTRY_PROGRAM : REPO_ENTRY_FILE;
        return true;
    case 0120000:
        *ret = REPO_ENTRY_SYMLINK;
        return true;
    case 0040000:
        *ret = REPO_ENTRY_TREE;
        return true;
    case 0160000:
        *ret = REPO_ENTRY_SUBMODULE;
        return true;
    default:
        return false;
    }
}

struct err *repo_parse_entry(const char *data, size_t len, size_t *pos, struct repo_entry *ret, bool *ret_found)
{
    unsigned mode = 0;
    size_t i = *pos;

    *ret_found = i < len;
    if (!*ret_found)
        return NULL;
    for (; i < len && data[i] >= '0' && data[i] <= '7' && mode < 01000000; i++)
        mode = mode * 8 + (unsigned)(data[i] - '0');
    if (i == *pos || i >= len || data[i] != ' ')
        return damaged("an entry of a tree without a mode");
    const char *name = data + i + 1, *end = memchr(name, '\0', len - i - 1);
    if (!end || (size_t)(data + len - end - 1) < REPO_ID_BYTES)
        return damaged("a tree that ends too early");
    TRY(check_name(name, (size_t)(end - name)));
    if (!kind_of(mode, &ret->kind))
        return damaged("an entry of a tree with an unknown mode");
    ret->name = name;
    ret->hash = repo_hash_of_id((const unsigned char *)end + 1);
    *pos = (size_t)(end - data) + 1 + REPO_ID_BYTES;
    return NULL;
}

/* ---- .gitmodules ---- */

void repo_modules_release(struct repo_modules *m)
{
    for (size_t i = 0; i < m->n; i++) {
        free(m->items[i].name);
        free(m->items[i].path);
        free(m->items[i].url);
    }
    vec_free(m);
}

static char *trimmed(const char *s, size_t n)
{
    while (n > 0 && strchr(" \t\r", *s)) {
        s++;
        n--;
    }
    while (n > 0 && strchr(" \t\r", s[n - 1]))
        n--;
    return xstrndup(s, n);
}

/* A value: quotes are removed, a comment ends it, a backslash keeps what follows. */
static char *read_value(const char *s)
{
    AUTO(buf_release) struct buf out = BUF_INIT;
    size_t solid = 0; /* length without blanks at the end that stood outside quotes */
    bool quoted = false;

    for (s += strspn(s, " \t"); *s && (quoted || !strchr("#;", *s)); s++) {
        if (*s == '"') {
            quoted = !quoted;
            continue;
        }
        if (*s == '\\' && s[1])
            s++;
        buf_putc(&out, *s);
        if (quoted || !strchr(" \t\r", *s))
            solid = out.len;
    }
    return xstrndup(buf_str(&out), solid);
}

/* [submodule "NAME"]; another section is NULL. */
static char *read_section(const char *line)
{
    static const char start[] = "[submodule \"";
    AUTO(buf_release) struct buf name = BUF_INIT;

    if (strncasecmp(line, start, strlen(start)) != 0)
        return NULL;
    for (const char *s = line + strlen(start); *s && *s != '"'; s++) {
        if (*s == '\\' && s[1])
            s++;
        buf_putc(&name, *s);
    }
    return buf_steal(&name);
}

static void read_setting(struct repo_module *m, const char *line)
{
    const char *eq = strchr(line, '=');
    AUTO_FREE char *key = trimmed(line, eq ? (size_t)(eq - line) : 0);
    char **field = strcasecmp(key, "path") == 0 ? &m->path : strcasecmp(key, "url") == 0 ? &m->url : NULL;

    if (!field)
        return;
    free(*field);
    *field = read_value(eq + 1);
}

struct err *repo_parse_modules(const char *text, size_t len, struct repo_modules *ret)
{
    AUTO(repo_modules_release) struct repo_modules all = { 0 };
    bool inside = false;

    for (const char *end = text + len; text < end;) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        AUTO_FREE char *line = trimmed(text, (size_t)((newline ? newline : end) - text));

        text = newline ? newline + 1 : end;
        if (*line == '[') {
            char *name = read_section(line);

            inside = name != NULL;
            if (inside && all.n >= LIMIT_GIT_SUBMODULES) {
                free(name);
                return err_new(ERR_DOCKERFILE, ".gitmodules has more than %d submodules", LIMIT_GIT_SUBMODULES);
            }
            if (inside)
                vec_push(&all, ((struct repo_module){ .name = name }));
        } else if (inside && *line && !strchr("#;", *line)) {
            read_setting(&all.items[all.n - 1], line);
        }
    }
    *ret = all;
    all = (struct repo_modules){ 0 };
    return NULL;
}
