#include "oci/platform.h"

#include "base/buf.h"
#include "base/mem.h"

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
        { "i386", NULL, "386", "" },          { "x86_64", "v1", "amd64", "" },   { "x86-64", "v1", "amd64", "" },
        { "amd64", "v1", "amd64", "" },       { "x86_64", NULL, "amd64", NULL }, { "x86-64", NULL, "amd64", NULL },
        { "aarch64", "8", "arm64", "" },      { "aarch64", "v8", "arm64", "" },  { "aarch64", "8.0", "arm64", "" },
        { "aarch64", "v8.0", "arm64", "" },   { "aarch64", "9", "arm64", "v9" }, { "aarch64", "9.0", "arm64", "v9" },
        { "aarch64", "v9.0", "arm64", "v9" }, { "armhf", NULL, "arm", "v7" },    { "armel", NULL, "arm", "v6" },
        { "arm", "", "arm", "v7" },           { "arm", "7", "arm", "v7" },       { "arm", "5", "arm", "v5" },
        { "arm", "6", "arm", "v6" },          { "arm", "8", "arm", "v8" },
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
            return "its version has a '%' without two hexadecimal digits";
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
    return unescape(p->os_version);
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

struct err *platform_parse(const char *text, struct platform *ret_platform)
{
    struct platform p = { .os = "" };
    const char *why = platform_problem(text, &p);

    if (why)
        return err_new(ERR_DOCKERFILE, "'%.100s' is not a valid platform: %s", text, why);
    *ret_platform = p;
    return NULL;
}

static struct platform normalized(const struct platform *p)
{
    struct platform n = *p;

    normalize_os(&n);
    normalize_arch(&n);
    return n;
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

void platform_format(const struct platform *p, char *ret_text, size_t size)
{
    struct platform n = normalized(p);
    struct buf b = BUF_INIT;

    buf_puts(&b, n.os[0] ? n.os : "unknown");
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

/* A number that grows with what the machine must be able to do: "v8.1" -> 801; 0 for no number. */
static int variant_level(const struct platform *p)
{
    int major = 0, minor = 0;
    const char *s = p->variant;

    if (*s == '\0')
        return strcmp(p->arch, "arm64") == 0 ? 800 : strcmp(p->arch, "amd64") == 0 ? 100 : 0;
    if (*s == 'v')
        s++;
    for (; isdigit((unsigned char)*s) && major < 1000; s++)
        major = major * 10 + (*s - '0');
    if (*s == '.')
        for (s++; isdigit((unsigned char)*s) && minor < 100; s++)
            minor = minor * 10 + (*s - '0');
    return *s == '\0' ? major * 100 + minor : 0;
}

bool platform_matches(const struct platform *wanted, const struct platform *image)
{
    struct platform w = normalized(wanted), i = normalized(image);

    if (strcmp(w.os, i.os) != 0 || strcmp(w.arch, i.arch) != 0)
        return false;
    if (strcmp(w.variant, i.variant) == 0)
        return true;
    int want = variant_level(&w), have = variant_level(&i);
    return want > 0 && have > 0 && have <= want;
}

int platform_rank(const struct platform *wanted, const struct platform *image)
{
    struct platform w = normalized(wanted), i = normalized(image);

    if (!platform_matches(wanted, image))
        return 0;
    return strcmp(w.variant, i.variant) == 0 ? 1000000 : 1 + variant_level(&i);
}
