#include "address/git_address.h"

#include "address/address.h"
#include "base/buf.h"
#include "base/limits.h"

#include <ctype.h>
#include <string.h>

void git_address_release(struct git_address *a)
{
    if (a->password)
        explicit_bzero(a->password, strlen(a->password));
    free(a->remote);
    free(a->user);
    free(a->password);
    free(a->host);
    free(a->path);
    free(a->ref);
    free(a->subdir);
    free(a->checksum);
    *a = (struct git_address){ 0 };
}

bool git_is_hash(const char *s)
{
    size_t n = strlen(s);

    return (n == 40 || n == 64) && strspn(s, "0123456789abcdef") == n;
}

/* ---- the query ---- */

/* What the query said, before it is judged. */
struct query {
    char *values[10]; /* by the row of query_keys */
    bool seen[10];
};

enum query_key {
    KEY_REF,
    KEY_TAG,
    KEY_BRANCH,
    KEY_SUBDIR,
    KEY_CHECKSUM,
    KEY_COMMIT,
    KEY_KEEP,
    KEY_SUBMODULES,
    KEY_MTIME,
    KEY_BY_COMMIT,
    KEY_COUNT
};

static const struct {
    const char *name;
    bool flag; /* may stand without a value */
} query_keys[KEY_COUNT] = {
    [KEY_REF] = { "ref", false },           [KEY_TAG] = { "tag", false },
    [KEY_BRANCH] = { "branch", false },     [KEY_SUBDIR] = { "subdir", false },
    [KEY_CHECKSUM] = { "checksum", false }, [KEY_COMMIT] = { "commit", false },
    [KEY_KEEP] = { "keep-git-dir", true },  [KEY_SUBMODULES] = { "submodules", true },
    [KEY_MTIME] = { "mtime", false },       [KEY_BY_COMMIT] = { "fetch-by-commit", true },
};

static void query_release_auto(struct query *q)
{
    for (size_t i = 0; i < KEY_COUNT; i++)
        free(q->values[i]);
}

static struct err *wrong(const char *fmt, ...) PRINTF(1, 2);
static struct err *wrong(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    AUTO_FREE char *text = xvasprintf(fmt, ap);
    va_end(ap);
    return err_hint(err_new(ERR_DOCKERFILE, "the git URL's %s", text),
                    "A git URL may have ?ref=, tag=, branch=, subdir=, checksum=, commit=, keep-git-dir=, submodules=, "
                    "mtime= and fetch-by-commit=, each once.");
}

static struct err *take_pair(struct query *q, const char *key, char *value)
{
    AUTO_FREE char *owned = value;

    for (size_t i = 0; i < KEY_COUNT; i++) {
        if (strcmp(key, query_keys[i].name) != 0)
            continue;
        if (q->seen[i])
            return wrong("query has several values for '%s'", key);
        if (!*value && !query_keys[i].flag)
            return wrong("query has no value for '%s'", key);
        q->seen[i] = true;
        q->values[i] = steal(&owned);
        return NULL;
    }
    return wrong("query has an unknown key '%.100s'", key);
}

/* Pairs that are malformed are passed over, as net/url does. */
static struct err *split_query(const char *text, struct query *q)
{
    while (*text) {
        size_t n = strcspn(text, "&");
        AUTO_FREE char *pair = xstrndup(text, n);
        char *eq = strchr(pair, '=');
        bool usable = n > 0 && !strchr(pair, ';');

        if (eq)
            *eq = '\0';
        AUTO_FREE char *key = address_decode(pair, true);
        char *value = address_decode(eq ? eq + 1 : "", true);
        if (usable && key && value)
            TRY(take_pair(q, key, value));
        else
            free(value);
        text += n + (text[n] == '&');
    }
    return NULL;
}

static struct err *read_bool(const struct query *q, enum query_key k, int *ret)
{
    static const char *const words[2][6] = { { "0", "f", "F", "false", "FALSE", "False" },
                                             { "1", "t", "T", "true", "TRUE", "True" } };

    if (!q->seen[k])
        return NULL;
    if (!*q->values[k]) {
        *ret = 1;
        return NULL;
    }
    for (int yes = 0; yes < 2; yes++)
        for (size_t i = 0; i < 6; i++)
            if (strcmp(q->values[k], words[yes][i]) == 0) {
                *ret = yes;
                return NULL;
            }
    return wrong("query has '%s=%.100s', but must say true or false", query_keys[k].name, q->values[k]);
}

/* Sets *field to value, unless it says something else already. */
static struct err *agree(char **field, const char *value, const char *what)
{
    if (**field && strcmp(*field, value) != 0)
        return wrong("%s is given twice: '%.200s' and '%.200s'", what, *field, value);
    free(*field);
    *field = xstrdup(value);
    return NULL;
}

/* A tag or branch by its full name. */
static struct err *full_ref(struct git_address *a, const char *prefix, const char *name)
{
    AUTO_FREE char *full = strncmp(name, prefix, strlen(prefix)) == 0 ? xstrdup(name) : xasprintf("%s%s", prefix, name);

    return agree(&a->ref, full, "ref");
}

static struct err *apply_refs(const struct query *q, struct git_address *a)
{
    if (q->seen[KEY_REF])
        TRY(agree(&a->ref, q->values[KEY_REF], "ref"));
    if (q->seen[KEY_TAG] && q->seen[KEY_BRANCH])
        return wrong("query names a branch and a tag");
    if (q->seen[KEY_TAG])
        TRY(full_ref(a, "refs/tags/", q->values[KEY_TAG]));
    if (q->seen[KEY_BRANCH])
        TRY(full_ref(a, "refs/heads/", q->values[KEY_BRANCH]));
    return NULL;
}

static struct err *apply_texts(const struct query *q, struct git_address *a)
{
    if (q->seen[KEY_SUBDIR])
        TRY(agree(&a->subdir, q->values[KEY_SUBDIR], "subdir"));
    if (q->seen[KEY_CHECKSUM])
        TRY(agree(&a->checksum, q->values[KEY_CHECKSUM], "checksum"));
    if (q->seen[KEY_COMMIT])
        TRY(agree(&a->checksum, q->values[KEY_COMMIT], "checksum"));
    return NULL;
}

static struct err *apply_mtime(const struct query *q, struct git_address *a)
{
    const char *value = q->values[KEY_MTIME];

    if (!q->seen[KEY_MTIME])
        return NULL;
    if (strcmp(value, "commit") != 0 && strcmp(value, "checkout") != 0)
        return wrong("query has 'mtime=%.100s', but must say checkout or commit", value);
    a->mtime = strcmp(value, "commit") == 0 ? GIT_MTIME_COMMIT : GIT_MTIME_CHECKOUT;
    return NULL;
}

static struct err *apply_query(const char *text, struct git_address *a)
{
    AUTO(query_release) struct query q = { 0 };
    int by_commit = 0;

    TRY(split_query(text, &q));
    TRY(apply_refs(&q, a));
    TRY(apply_texts(&q, a));
    TRY(apply_mtime(&q, a));
    TRY(read_bool(&q, KEY_KEEP, &a->keep_git_dir));
    TRY(read_bool(&q, KEY_SUBMODULES, &a->submodules));
    TRY(read_bool(&q, KEY_BY_COMMIT, &by_commit));
    a->fetch_by_commit = by_commit;
    return NULL;
}

/* ---- the forms ---- */

static void set_fragment(struct git_address *a, const char *fragment)
{
    const char *colon = strchr(fragment, ':');
    const char *subdir = colon ? colon + 1 : "";

    a->ref = xstrndup(fragment, colon ? (size_t)(colon - fragment) : strlen(fragment));
    a->subdir = xstrdup(subdir + strspn(subdir, "/"));
}

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);

    return n >= m && strcmp(s + n - m, end) == 0;
}

static const struct {
    const char *scheme;
    enum git_transport transport;
} transports[] = {
    { "https", GIT_TRANSPORT_HTTP },
    { "http", GIT_TRANSPORT_HTTP },
    { "git", GIT_TRANSPORT_TCP },
    { "ssh", GIT_TRANSPORT_SSH },
};

static bool find_transport(const char *scheme, enum git_transport *ret)
{
    for (size_t i = 0; i < sizeof(transports) / sizeof(transports[0]); i++)
        if (strcmp(transports[i].scheme, scheme) == 0) {
            *ret = transports[i].transport;
            return true;
        }
    return false;
}

static void set_remote(struct git_address *a, const struct address *u)
{
    const char *user = a->transport == GIT_TRANSPORT_SSH && u->user ? u->user : NULL;

    a->remote = xasprintf("%s://%s%s%s%s", u->scheme, user ? user : "", user ? "@" : "", u->host, u->path);
    a->user = u->user ? xstrdup(u->user) : NULL;
    a->password = u->password ? xstrdup(u->password) : NULL;
    a->host = xstrdup(u->host);
    a->path = address_decode(u->path, false);
}

/* scheme://... */
static struct err *from_url(const char *text, struct git_address *a, bool *ret_git)
{
    AUTO(address_release) struct address u = { 0 };

    if (!address_split(text, &u) || !find_transport(u.scheme, &a->transport))
        return NULL;
    set_remote(a, &u);
    if (a->transport == GIT_TRANSPORT_HTTP && !a->ambiguous && !ends_with(a->path, ".git"))
        return NULL;
    *ret_git = true;
    set_fragment(a, u.fragment ? u.fragment : "");
    return u.query ? apply_query(u.query, a) : NULL;
}

static size_t span_of(const char *s, const char *more)
{
    size_t n = 0;

    while (isalnum((unsigned char)s[n]) || (s[n] && strchr(more, s[n])))
        n++;
    return n;
}

/* user@host:path */
static struct err *from_scp(const char *text, struct git_address *a, bool *ret_git)
{
    size_t user = span_of(text, "-_"), host = text[user] == '@' ? span_of(text + user + 1, "-.") : 0;

    if (!user || !host || text[user + 1 + host] != ':' || strchr(text, '\n'))
        return NULL;
    const char *path = text + user + host + 2, *end = path + strcspn(path, "?#");
    size_t query = *end == '?' ? strcspn(end + 1, "#") + 1 : 0;
    AUTO_FREE char *query_text = query ? xstrndup(end + 1, query - 1) : NULL;

    a->transport = GIT_TRANSPORT_SSH;
    a->user = xstrndup(text, user);
    a->host = xstrndup(text + user + 1, host);
    a->path = xstrndup(path, (size_t)(end - path));
    a->remote = xstrndup(text, (size_t)(end - text));
    *ret_git = true;
    set_fragment(a, end[query] == '#' ? end + query + 1 : "");
    return query_text ? apply_query(query_text, a) : NULL;
}

static bool has_scheme(const char *text)
{
    size_t n = span_of(text, "");

    return n > 0 && strncmp(text + n, "://", 3) == 0;
}

static struct err *parse(const char *text, struct git_address *a, bool *ret_git)
{
    if (strlen(text) > LIMIT_URL_BYTES || strncmp(text, "./", 2) == 0 || strncmp(text, "../", 3) == 0)
        return NULL;
    if (strncmp(text, "github.com/", 11) == 0) {
        AUTO_FREE char *full = xasprintf("https://%s", text);

        a->ambiguous = true;
        return from_url(full, a, ret_git);
    }
    return has_scheme(text) ? from_url(text, a, ret_git) : from_scp(text, a, ret_git);
}

static struct err *parse_all(const char *text, struct git_address *ret, bool *ret_git)
{
    struct git_address a = { .keep_git_dir = -1, .submodules = -1, .checksum = xstrdup("") };
    bool is_git = false;
    struct err *e = parse(text, &a, &is_git);

    if (e || !is_git) {
        git_address_release(&a);
        *ret_git = false;
        return e;
    }
    *ret = a;
    *ret_git = true;
    return NULL;
}

static struct err *check_ref(const struct git_address *a)
{
    if (a->ref[0] == '-')
        return wrong("ref '%.200s' begins with '-'", a->ref);
    for (const char *p = a->ref; *p; p++)
        if ((unsigned char)*p <= ' ' || *p == 0x7f)
            return wrong("ref contains a space or a control character");
    if (strspn(a->checksum, "0123456789abcdefABCDEF") != strlen(a->checksum))
        return wrong("checksum '%.100s' is not the begin of a commit's hash", a->checksum);
    return NULL;
}

struct err *git_address_parse(const char *text, struct git_address *ret, bool *ret_git)
{
    struct git_address a = { 0 };
    bool is_git;

    TRY(parse_all(text, &a, &is_git));
    struct err *e = is_git ? check_ref(&a) : NULL;
    if (e) {
        git_address_release(&a);
        return e;
    }
    *ret = a;
    *ret_git = is_git;
    return NULL;
}

/* ---- submodules ---- */

/* "../x" seen from the parent: the last components of its path are taken away, one for each "..". */
static char *join_relative(const char *remote, const char *relative)
{
    const char *scheme = strstr(remote, "://");
    const char *path = scheme ? scheme + 3 + strcspn(scheme + 3, "/") : strchr(remote, ':') + 1;
    size_t least = (size_t)(path - remote), len = strlen(remote);

    while (len > least && remote[len - 1] == '/')
        len--;
    for (;;) {
        bool up = strncmp(relative, "../", 3) == 0;

        if (!up && strncmp(relative, "./", 2) != 0)
            break;
        while (up && len > least && remote[--len] != '/')
            ;
        relative += up ? 3 : 2;
    }
    return xasprintf("%.*s%s%s", (int)len, remote, scheme || len > least ? "/" : "", relative);
}

struct err *git_address_submodule(const struct git_address *parent, const char *url, struct git_address *ret)
{
    struct git_address a = { .keep_git_dir = -1, .submodules = -1, .checksum = xstrdup(""), .ambiguous = true };
    bool relative = strncmp(url, "./", 2) == 0 || strncmp(url, "../", 3) == 0, is_git = false;
    AUTO_FREE char *full = relative ? join_relative(parent->remote, url) : xstrdup(url);

    if (strlen(full) <= LIMIT_URL_BYTES) /* `ambiguous` here: http(s) ones need no ".git" */
        err_free(has_scheme(full) ? from_url(full, &a, &is_git) : from_scp(full, &a, &is_git));
    a.ambiguous = false;
    if (is_git) {
        *ret = a;
        return NULL;
    }
    git_address_release(&a);
    AUTO_FREE char *shown = address_redact(url);
    return err_hint(err_new(ERR_DOCKERFILE, "the submodule's URL '%.200s' is no address in a network", shown),
                    "Submodules are fetched by https, http, ssh or git URLs, also relative ones.");
}
