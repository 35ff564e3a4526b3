#include "oci/platform.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/strs.h"
#include "base/suggest.h"

#include <ctype.h>
#include <string.h>

#define WORD_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"

static const char *const known_os[] = { "aix",     "android", "darwin",  "dragonfly", "freebsd", "hurd",
                                        "illumos", "ios",     "js",      "linux",     "nacl",    "netbsd",
                                        "openbsd", "plan9",   "solaris", "windows",   "zos",     NULL };
static const char *const known_arch[] = { "386",    "amd64",    "amd64p32",  "arm",         "armbe",
                                          "arm64",  "arm64be",  "loong64",   "mips",        "mipsle",
                                          "mips64", "mips64le", "mips64p32", "mips64p32le", "ppc",
                                          "ppc64",  "ppc64le",  "riscv",     "riscv64",     "s390",
                                          "s390x",  "sparc",    "sparc64",   "wasm",        NULL };

static bool in_list(const char *const *list, const char *s)
{
    for (; *list; list++)
        if (strcmp(*list, s) == 0)
            return true;
    return false;
}

static void lower(char *s)
{
    for (; *s; s++)
        *s = (char)tolower((unsigned char)*s);
}

static void set(char *dst, size_t size, const char *src)
{
    snprintf(dst, size, "%s", src);
}

static void normalize_os(struct platform *p)
{
    lower(p->os);
    if (strcmp(p->os, "macos") == 0)
        set(p->os, sizeof(p->os), "darwin");
}

/* Names that other worlds use for the architectures, and variants that say nothing. */
static void normalize_arch(struct platform *p)
{
    static const struct {
        const char *arch, *variant; /* variant NULL = any */
        const char *to_arch, *to_variant;
    } rules[] = {
        { "i386", NULL, "386", "" },       { "x86_64", "v1", "amd64", "" },     { "x86-64", "v1", "amd64", "" },
        { "amd64", "v1", "amd64", "" },    { "x86_64", NULL, "amd64", NULL },   { "x86-64", NULL, "amd64", NULL },
        { "aarch64", "8", "arm64", "" },   { "aarch64", "v8", "arm64", "" },    { "aarch64", "v8.0", "arm64", "" },
        { "aarch64", "9", "arm64", "v9" }, { "aarch64", "9.0", "arm64", "v9" }, { "aarch64", "v9.0", "arm64", "v9" },
        { "armhf", NULL, "arm", "v7" },    { "armel", NULL, "arm", "v6" },      { "arm", "", "arm", "v7" },
        { "arm", "7", "arm", "v7" },       { "arm", "5", "arm", "v5" },         { "arm", "6", "arm", "v6" },
        { "arm", "8", "arm", "v8" },
    };

    lower(p->arch);
    lower(p->variant);
    if (strcmp(p->arch, "arm64") == 0)
        set(p->arch, sizeof(p->arch), "aarch64"); /* one name for the rules */
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        if (strcmp(rules[i].arch, p->arch) != 0 || (rules[i].variant && strcmp(rules[i].variant, p->variant) != 0))
            continue;
        set(p->arch, sizeof(p->arch), rules[i].to_arch);
        if (rules[i].to_variant)
            set(p->variant, sizeof(p->variant), rules[i].to_variant);
        break;
    }
    if (strcmp(p->arch, "aarch64") == 0)
        set(p->arch, sizeof(p->arch), "arm64");
}

struct platform platform_host(void)
{
    struct platform p = { .os = "linux" };
#if defined(__x86_64__)
    set(p.arch, sizeof(p.arch), "amd64");
#elif defined(__aarch64__)
    set(p.arch, sizeof(p.arch), "arm64");
#elif defined(__i386__)
    set(p.arch, sizeof(p.arch), "386");
#elif defined(__arm__)
    set(p.arch, sizeof(p.arch), "arm");
    set(p.variant, sizeof(p.variant), "v7");
#elif defined(__riscv) && __riscv_xlen == 64
    set(p.arch, sizeof(p.arch), "riscv64");
#elif defined(__powerpc64__) && defined(__LITTLE_ENDIAN__)
    set(p.arch, sizeof(p.arch), "ppc64le");
#elif defined(__s390x__)
    set(p.arch, sizeof(p.arch), "s390x");
#elif defined(__loongarch64)
    set(p.arch, sizeof(p.arch), "loong64");
#else
#error "give this architecture its name in images"
#endif
    return p;
}

/* Copies a part that must fit; what has as many characters names no platform. */
static const char *put_part(char *dst, size_t size, const char *s, size_t len)
{
    if (len >= size)
        return "it has a part that is too long";
    memcpy(dst, s, len);
    dst[len] = '\0';
    return NULL;
}

static int hex_value(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c ? strchr(digits, tolower((unsigned char)c)) : NULL;

    return at ? (int)(at - digits) : -1;
}

/* "%28" -> "(" in place; a percent sign without two digits is refused. */
static const char *unescape(char *s)
{
    char *to = s;

    for (; *s; s++) {
        if (*s != '%') {
            *to++ = *s;
            continue;
        }
        int hi = hex_value(s[1]), lo = hi < 0 ? -1 : hex_value(s[2]);
        if (lo < 0 || (hi == 0 && lo == 0))
            return "it has a '%' without two hexadecimal digits";
        *to++ = (char)(hi * 16 + lo);
        s += 2;
    }
    *to = '\0';
    return NULL;
}

/* "windows(10.0.17763+feature)": the operating system, its version and wanted features (no Linux image names any). */
static const char *parse_os(const char *s, size_t len, struct platform *p)
{
    static const char wrong[] = "its first part must be NAME or NAME(VERSION+FEATURE...)";
    size_t name = strspn(s, WORD_CHARS);
    const char *why;

    if (name == 0)
        return wrong;
    if (name >= len)
        return put_part(p->os, sizeof(p->os), s, len);
    if (s[name] != '(' || s[len - 1] != ')')
        return wrong;
    const char *version = s + name + 1;
    size_t all = len - name - 2, n = strspn(version, WORD_CHARS ".%");
    if (strspn(version, WORD_CHARS ".%+") != all)
        return wrong;
    if ((why = put_part(p->os, sizeof(p->os), s, name)) != NULL ||
        (why = put_part(p->os_version, sizeof(p->os_version), version, n)) != NULL ||
        (why = put_part(p->os_features, sizeof(p->os_features), version + n, all - n)) != NULL)
        return why;
    if (strstr(p->os_features, "++") || (all > n && s[len - 2] == '+'))
        return wrong;
    char features[sizeof(p->os_features)];
    memcpy(features, p->os_features, sizeof(features)); /* stay as written until they are normalised */
    why = unescape(features);
    return why ? why : unescape(p->os_version);
}

static const char *parse_word(const char *s, size_t len, char *dst, size_t size)
{
    if (len == 0 || strspn(s, WORD_CHARS ".") < len)
        return "a part may have letters, digits and . _ - only";
    return put_part(dst, size, s, len);
}

/* A single word: an operating system or an architecture, the rest is this machine's. */
static const char *parse_single(struct platform *p)
{
    struct platform host = platform_host();

    normalize_os(p);
    if (in_list(known_os, p->os)) {
        memcpy(p->arch, host.arch, sizeof(p->arch));
        return NULL;
    }
    if (p->os_version[0] || p->os_features[0])
        return "its operating system is not known";
    memcpy(p->arch, p->os, sizeof(p->arch));
    normalize_arch(p);
    if (!in_list(known_arch, p->arch))
        return "it is no known operating system or architecture";
    if (strcmp(p->arch, "arm") == 0 && strcmp(p->variant, "v7") == 0)
        p->variant[0] = '\0';
    memcpy(p->os, host.os, sizeof(p->os));
    return NULL;
}

static const char *platform_problem(const char *text, struct platform *p)
{
    const char *part[3];
    size_t len[3], n = 0;
    const char *why = NULL;

    for (const char *s = text;; s += len[n - 1] + 1) {
        if (n == 3)
            return "it must be OS/ARCHITECTURE[/VARIANT]";
        part[n] = s;
        len[n] = strcspn(s, "/");
        n++;
        if (s[len[n - 1]] == '\0')
            break;
    }
    why = parse_os(part[0], len[0], p);
    if (!why && n > 1)
        why = parse_word(part[1], len[1], p->arch, sizeof(p->arch));
    if (!why && n > 2)
        why = parse_word(part[2], len[2], p->variant, sizeof(p->variant));
    if (why)
        return why;
    if (n == 1)
        return parse_single(p);
    normalize_os(p);
    normalize_arch(p);
    /* As containerd: an unnamed variant of arm stays unnamed, a named one of arm64 is always said. */
    if (n == 2 && strcmp(p->arch, "arm") == 0 && strcmp(p->variant, "v7") == 0)
        p->variant[0] = '\0';
    if (n == 3 && strcmp(p->arch, "arm64") == 0 && p->variant[0] == '\0')
        set(p->variant, sizeof(p->variant), "v8");
    return NULL;
}

static size_t list_len(const char *const *list)
{
    size_t n = 0;

    while (list[n])
        n++;
    return n;
}

struct err *platform_parse(const char *text, struct platform *ret_platform)
{
    struct platform p = { .os = "" };
    const char *why = platform_problem(text, &p);

    if (why) {
        struct err *e = err_new(ERR_DOCKERFILE, "'%.100s' is not a valid platform: %s", text, why);
        return strchr(text, '/') ? e : suggest_hint(e, "", text, known_arch, list_len(known_arch));
    }
    *ret_platform = p;
    return NULL;
}

struct err *platform_check_known(const struct platform *p)
{
    static const char *const wasm_os[] = { "wasi", "wasip1", "wasip2", NULL }; /* images of modules, without a kernel */
    AUTO_FREE char *prefix = xasprintf("%s/", p->os);

    if (!in_list(known_os, p->os) && !in_list(wasm_os, p->os))
        return suggest_hint(err_new(ERR_DOCKERFILE, "there is no operating system '%s'", p->os), "", p->os, known_os,
                            list_len(known_os));
    if (!in_list(known_arch, p->arch))
        return suggest_hint(err_new(ERR_DOCKERFILE, "there is no architecture '%s'", p->arch), prefix, p->arch,
                            known_arch, list_len(known_arch));
    return NULL;
}

/* The characters that mean something in the text are written as %XX. */
static void put_escaped(struct buf *b, const char *s)
{
    for (; *s; s++) {
        if (strchr("%+()/", *s))
            buf_printf(b, "%%%02X", (unsigned)*s);
        else
            buf_putc(b, *s);
    }
}

/* Each feature once, in order. */
static void normalize_features(char *features, size_t size)
{
    AUTO(strs_release) struct strs all = { 0 };
    AUTO(buf_release) struct buf b = BUF_INIT;

    for (const char *s = features; *s == '+';) {
        size_t n = strcspn(s + 1, "+");
        char *one = xstrndup(s + 1, n);

        (void)unescape(one); /* was tried when it was parsed */
        strs_take(&all, one);
        s += 1 + n;
    }
    strs_sort(&all);
    for (size_t i = 0; i < all.n; i++) {
        if (i > 0 && strcmp(all.items[i], all.items[i - 1]) == 0)
            continue;
        buf_putc(&b, '+');
        put_escaped(&b, all.items[i]);
    }
    set(features, size, buf_str(&b));
}

void platform_normalize(struct platform *p)
{
    if (!p->os[0])
        set(p->os, sizeof(p->os), "linux");
    normalize_os(p);
    normalize_arch(p);
    normalize_features(p->os_features, sizeof(p->os_features));
}

void platform_format(const struct platform *p, char *ret_text, size_t size)
{
    struct platform n = *p;
    struct buf b = BUF_INIT;

    platform_normalize(&n);
    buf_puts(&b, p->os[0] ? n.os : "unknown");
    if (n.os_version[0] || n.os_features[0]) {
        buf_putc(&b, '(');
        put_escaped(&b, n.os_version);
        buf_printf(&b, "%s)", n.os_features);
    }
    if (n.arch[0])
        buf_printf(&b, "/%s", n.arch);
    if (n.variant[0])
        buf_printf(&b, "/%s", n.variant);
    set(ret_text, size, buf_str(&b));
    buf_release(&b);
}

/* ---- which images run where ---- */

/* Platforms whose images run where one is asked, best first. arm64/v9.7 has most: itself, 17 below it, four of arm. */
struct alikes {
    struct platform items[32];
    size_t n;
};

/* minor 0: "v8", else "v8.1"; major 0: no variant. */
static void add_alike(struct alikes *l, const char *arch, int major, int minor)
{
    struct platform *p = &l->items[l->n++];

    *p = (struct platform){ .os = "linux" };
    set(p->arch, sizeof(p->arch), arch);
    if (major)
        (void)snprintf(p->variant, sizeof(p->variant), minor ? "v%d.%d" : "v%d", major, minor);
    platform_normalize(p); /* "amd64/v1" is "amd64" */
}

static void add_levels(struct alikes *l, const char *arch, int from, int to)
{
    for (int level = from; level >= to; level--)
        add_alike(l, arch, level, 0);
}

/* "v7" or "7" -> 7; 0: it is no such number. */
static int level_of(const char *variant)
{
    const char *digit = variant + (*variant == 'v');

    return isdigit((unsigned char)digit[0]) && digit[1] == '\0' ? digit[0] - '0' : 0;
}

/* "", "v8" to "v8.9", "v9" to "v9.7". */
static bool arm64_version(const char *variant, int *ret_major, int *ret_minor)
{
    const char *v = *variant ? variant : "v8";
    bool has_minor = strlen(v) == 4 && v[2] == '.' && isdigit((unsigned char)v[3]);

    if (v[0] != 'v' || (v[1] != '8' && v[1] != '9') || (v[2] && !has_minor))
        return false;
    *ret_major = v[1] - '0';
    *ret_minor = has_minor ? v[3] - '0' : 0;
    return *ret_major == 8 || *ret_minor <= 7;
}

/* v9.N includes v8.(N+5); each runs programs of 32 bits too. */
static void add_arm64(struct alikes *l, const char *variant)
{
    int major, minor;

    if (!arm64_version(variant, &major, &minor))
        return;
    for (int m = minor; m >= 0; m--)
        add_alike(l, "arm64", major, m);
    for (int m = minor + 5 < 9 ? minor + 5 : 9; major == 9 && m >= 0; m--)
        add_alike(l, "arm64", 8, m);
    add_levels(l, "arm", 8, 5);
}

/* What containerd tries for one platform, in its order. */
static void find_alikes(const struct platform *wanted, struct alikes *l)
{
    if (strcmp(wanted->arch, "amd64") == 0) {
        add_levels(l, "amd64", level_of(wanted->variant) - 1, 1);
        add_alike(l, "386", 0, 0);
    } else if (strcmp(wanted->arch, "arm") == 0) {
        add_levels(l, "arm", level_of(wanted->variant) - 1, 5);
    } else if (strcmp(wanted->arch, "arm64") == 0) {
        add_arm64(l, wanted->variant);
    }
}

static bool same_machine(const struct platform *a, const struct platform *b)
{
    return strcmp(a->arch, b->arch) == 0 && strcmp(a->variant, b->variant) == 0;
}

int platform_rank(const struct platform *wanted, const struct platform *image)
{
    struct platform w = *wanted, i = *image;
    struct alikes l = { .n = 0 };

    platform_normalize(&w);
    platform_normalize(&i);
    if (strcmp(w.os, i.os) != 0)
        return 0;
    if (same_machine(&w, &i))
        return 100;
    find_alikes(&w, &l);
    for (size_t k = 0; k < l.n; k++)
        if (same_machine(&l.items[k], &i))
            return 99 - (int)k;
    return 0;
}

bool platform_matches(const struct platform *wanted, const struct platform *image)
{
    return platform_rank(wanted, image) > 0;
}
