#include "context/ignore.h"

#include "base/buf.h"
#include "base/limits.h"
#include "context/pattern_priv.h"
#include "sys/path.h"

#include <string.h>

struct ignore {
    struct strs texts; /* cleaned, "!" kept */
    VEC(struct pattern) patterns;
    bool any_negated;
    struct pattern_index *index; /* made when all patterns are there */
};

/* ---- reading ---- */

static bool is_space(uint32_t r)
{
    return (r >= '\t' && r <= '\r') || r == ' ' || r == 0x85 || r == 0xA0 || r == 0x1680 ||
           (r >= 0x2000 && r <= 0x200A) || r == 0x2028 || r == 0x2029 || r == 0x202F || r == 0x205F || r == 0x3000;
}

/* Without the space around it, Unicode's included. The caller frees. */
static char *trim(const char *s, size_t n)
{
    size_t first = n, end = 0, len;
    uint32_t rune;

    for (size_t i = 0; i < n; i += len) {
        len = utf8_next(s + i, n - i, &rune);
        if (is_space(rune))
            continue;
        if (first == n)
            first = i;
        end = i + len;
    }
    return first < end ? xstrndup(s + first, end - first) : xstrdup("");
}

/* "one/./line/" of an ignore file -> "one/line". The caller frees. */
static char *clean_line(const char *pattern)
{
    bool negated = *pattern == '!';
    AUTO_FREE char *text = trim(pattern + negated, strlen(pattern + negated));
    AUTO_FREE char *clean = *text ? path_clean(text) : xstrdup("");

    return xasprintf("%s%s", negated ? "!" : "", clean[0] == '/' && clean[1] ? clean + 1 : clean);
}

/* Adds a pattern as the matcher sees it; line 0: it is not from a file. */
static struct err *add_pattern(struct ignore *g, const char *text, int line)
{
    AUTO_FREE char *trimmed = trim(text, strlen(text));
    struct pattern p;

    if (!*trimmed)
        return NULL;
    AUTO_FREE char *clean = path_clean(trimmed);
    bool negated = *clean == '!';
    if (g->texts.n >= LIMIT_IGNORE_PATTERNS)
        return err_new(ERR_DOCKERFILE, "more than %d patterns", LIMIT_IGNORE_PATTERNS);
    if (!clean[negated] || !pattern_compile(clean + negated, &p)) {
        const char *what = clean[negated] ? "malformed pattern" : "illegal exclusion pattern";

        if (line)
            return err_new(ERR_DOCKERFILE, "%s '%s' in line %d", what, text, line);
        return err_new(ERR_DOCKERFILE, "%s '%s'", what, text);
    }
    p.negated = negated;
    g->any_negated = g->any_negated || negated;
    strs_add(&g->texts, text);
    vec_push(&g->patterns, p);
    return NULL;
}

static struct err *parse_lines(struct ignore *g, const char *text, size_t len)
{
    if (len >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) {
        text += 3;
        len -= 3;
    }
    for (int line = 1; len > 0; line++) {
        const char *nl = memchr(text, '\n', len);
        size_t n = nl ? (size_t)(nl - text) : len, used = nl ? n + 1 : n;

        if (memchr(text, '\0', n))
            return err_new(ERR_DOCKERFILE, "a NUL byte in line %d", line);
        AUTO_FREE char *pattern = *text == '#' ? xstrdup("") : trim(text, n);
        if (*pattern) {
            AUTO_FREE char *clean = clean_line(pattern);

            TRY(add_pattern(g, clean, line));
        }
        text += used;
        len -= used;
    }
    return NULL;
}

struct err *ignore_parse(const char *text, size_t len, struct ignore **ret)
{
    AUTO(ignore_free) struct ignore *g = xcalloc(1, sizeof(*g));

    if (len > LIMIT_IGNORE_FILE_BYTES)
        return err_new(ERR_DOCKERFILE, "the ignore file is larger than %d bytes", LIMIT_IGNORE_FILE_BYTES);
    TRY(err_wrap(parse_lines(g, text, len), "cannot use the ignore file"));
    g->index = pattern_index_new(g->patterns.items, g->patterns.n);
    *ret = steal(&g);
    return NULL;
}

struct err *ignore_from_patterns(const struct strs *patterns, struct ignore **ret)
{
    AUTO(ignore_free) struct ignore *g = xcalloc(1, sizeof(*g));

    for (size_t i = 0; i < patterns->n; i++)
        TRY(add_pattern(g, patterns->items[i], 0));
    g->index = pattern_index_new(g->patterns.items, g->patterns.n);
    *ret = steal(&g);
    return NULL;
}

const struct strs *ignore_patterns(const struct ignore *g)
{
    return &g->texts;
}

void ignore_free(struct ignore *g)
{
    if (!g)
        return;
    for (size_t i = 0; i < g->patterns.n; i++)
        pattern_release(&g->patterns.items[i]);
    vec_free(&g->patterns);
    pattern_index_free(g->index);
    strs_release(&g->texts);
    free(g);
}

/* ---- matching ---- */

/* Go's filepath.Dir, "" instead of ".". The caller frees. */
static char *directory_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    if (!slash)
        return xstrdup("");
    AUTO_FREE char *dir = xstrndup(path, (size_t)(slash + 1 - path));
    char *clean = path_clean(dir);
    if (strcmp(clean, ".") == 0)
        *clean = '\0';
    return clean;
}

static bool matches_or_parent(const struct pattern *p, const struct subject *s, const char *dir)
{
    if (pattern_matches(p, s))
        return true;
    for (const char *end = dir; *dir; end++) {
        if (*end && *end != '/')
            continue;
        struct subject parent = subject_of(dir, (size_t)(end - dir));
        if (pattern_matches(p, &parent))
            return true;
        if (!*end)
            break;
    }
    return false;
}

const char *ignore_why(const struct ignore *g, const char *path)
{
    AUTO_FREE char *dir = directory_of(path);
    struct subject s = subject_of(path, strlen(path));
    const char *why = NULL;

    for (size_t i = 0; i < g->patterns.n; i++) {
        const struct pattern *p = &g->patterns.items[i];

        if (p->negated == (why != NULL) && matches_or_parent(p, &s, dir))
            why = why ? NULL : g->texts.items[i];
    }
    return why;
}

bool ignore_excludes(const struct ignore *g, const char *path)
{
    return ignore_why(g, path) != NULL;
}

/* A state is a set of patterns that matched, then the sets that candidates_word() needs of the directory. */
size_t ignore_state_size(const struct ignore *g)
{
    return 2 * pattern_index_words(g->index) * sizeof(uint64_t);
}

/* Goes through the patterns of word w that could change something, in their order. parent: those that a directory above
 * matched. Returns those that match. */
static uint64_t match_word(const struct ignore *g, const struct subject *s, size_t w, uint64_t parent, uint64_t could,
                           bool *excluded)
{
    uint64_t matched = parent;

    for (uint64_t bits = parent | could; bits; bits &= bits - 1) {
        size_t bit = (size_t)__builtin_ctzll(bits), i = w * INDEX_WORD_BITS + bit;
        bool match = parent >> bit & 1;

        if (i >= g->patterns.n)
            break;
        const struct pattern *p = &g->patterns.items[i];
        if (!match && p->negated == *excluded)
            match = pattern_matches(p, s);
        if (!match)
            continue;
        *excluded = !p->negated;
        matched |= 1ULL << bit;
    }
    return matched;
}

bool ignore_excludes_in(const struct ignore *g, const char *path, const unsigned char *parent, unsigned char *ret_state)
{
    const size_t words = pattern_index_words(g->index);
    const uint64_t *up = (const void *)parent;
    uint64_t *own = (void *)ret_state;
    struct subject s = subject_of(path, strlen(path));
    struct candidates c;
    bool excluded = false;

    candidates_of(g->index, &s, &c);
    for (size_t w = 0; w < words; w++) {
        uint64_t dirs, could = candidates_word(&c, w, up ? &up[words + w] : NULL, &dirs);
        uint64_t matched = match_word(g, &s, w, up ? up[w] : 0, could, &excluded);

        if (!own)
            continue;
        own[w] = matched;
        own[words + w] = dirs;
    }
    return excluded;
}

static bool none_below(const struct ignore *g, const char *dir, bool negated)
{
    size_t len = strlen(dir);

    for (size_t i = 0; i < g->patterns.n; i++) {
        const struct pattern *p = &g->patterns.items[i];

        if (p->negated == negated && pattern_reaches_below(p, dir, len))
            return false;
    }
    return true;
}

bool ignore_can_skip_below(const struct ignore *g, const char *dir)
{
    return !g->any_negated || none_below(g, dir, true);
}

bool ignore_none_below(const struct ignore *g, const char *dir)
{
    return none_below(g, dir, false);
}
