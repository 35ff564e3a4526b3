/* chmod.c - COPY and ADD --chmod: octal, or symbolic as chmod(1) with no umask: [ugoa...][-+=][rwxXstugo...]... , ...
 */
#include "dockerfile/dockerfile.h"

#include <string.h>
#include <sys/stat.h>

enum {
    BITS_R = 0444,
    BITS_W = 0222,
    BITS_X = 0111,
    BITS_SETID = S_ISUID | S_ISGID,
    BITS_USER = S_ISUID | S_IRWXU,
    BITS_GROUP = S_ISGID | S_IRWXG,
    BITS_ALL = BITS_SETID | 0777 /* what "=" without a class clears: not the sticky bit */
};

struct change {
    mode_t old, mode; /* as it was, as it becomes; both with their type */
    mode_t who;       /* 0 = no class given: all */
    char op;
    bool assigned; /* this "=" has cleared its bits */
};

static void apply(struct change *c, mode_t perm)
{
    mode_t bits = c->who ? c->who & perm : perm;

    if (c->op == '=') {
        c->mode &= ~(c->who ? c->who : (mode_t)BITS_ALL);
        c->assigned = true;
    }
    if (c->op == '-')
        c->mode &= ~bits;
    else
        c->mode |= bits;
}

/* X: for folders and what is executable already. */
static void apply_x(struct change *c)
{
    if ((c->old & BITS_X) || S_ISDIR(c->old))
        c->mode |= c->who ? c->who & BITS_X : BITS_X;
}

/* One class's bits to others: g=u. */
static void copy_class(struct change *c, char from)
{
    unsigned shift = from == 'u' ? 6 : from == 'g' ? 3 : 0;
    mode_t value = (c->mode >> shift) & 07;
    mode_t clear = c->op == '=' ? 07 : c->op == '-' ? value : 0;
    mode_t set = c->op == '-' ? 0 : value;

    for (unsigned to = 0; to <= 6; to += 3) {
        if (c->who && !(c->who & (04U << to)))
            continue;
        c->mode &= ~(clear << to);
        c->mode |= set << to;
    }
    c->assigned |= c->op == '=';
}

static const char *read_who(const char *p, mode_t *ret_who)
{
    mode_t who = 0;

    for (;; p++) {
        if (*p == 'a')
            who |= BITS_ALL;
        else if (*p == 'u')
            who |= BITS_USER;
        else if (*p == 'g')
            who |= BITS_GROUP;
        else if (*p == 'o')
            who |= S_IRWXO;
        else
            break;
    }
    *ret_who = who;
    return p;
}

/* The bits of one letter; *ret_known is false for what is none. For others alone s and t mean nothing. */
static mode_t perm_bits(char letter, struct change *c, bool *ret_known)
{
    bool only_others = c->who && !(c->who & ~(mode_t)S_IRWXO);

    *ret_known = true;
    switch (letter) {
    case 'r':
        return BITS_R;
    case 'w':
        return BITS_W;
    case 'x':
        return BITS_X;
    case 's':
        return only_others ? 0 : BITS_SETID;
    case 't':
        c->who |= only_others ? 0 : S_ISVTX;
        return only_others ? 0 : S_ISVTX;
    default:
        *ret_known = false;
        return 0;
    }
}

/* Does what was gathered of the permissions before a class to copy, or at the end. */
static void flush(struct change *c, mode_t perm, bool x_if, bool copies)
{
    if (perm || (!copies && c->op == '=' && !c->assigned))
        apply(c, perm);
    if (x_if)
        apply_x(c);
}

/* The permissions behind an operator. */
static const char *read_perms(const char *p, struct change *c)
{
    mode_t perm = 0;
    bool x_if = false;

    for (;; p++) {
        bool known = false, copies = *p == 'u' || *p == 'g' || *p == 'o';
        char letter = *p;

        if (letter == 'X' && c->op == '-')
            letter = 'x';

        perm |= perm_bits(letter, c, &known);
        if (known)
            continue;
        if (letter == 'X') {
            x_if = true;
            continue;
        }
        flush(c, perm, x_if, copies);
        if (!copies)
            return p;
        copy_class(c, *p);
        perm = 0;
        x_if = false;
    }
}

static bool symbolic(const char *p, struct change *c)
{
    for (;; p++) {
        p = read_who(p, &c->who);
        do {
            c->op = *p;
            if (!*p || !strchr("+-=", *p))
                return false;
            c->assigned = c->assigned && c->op != '=';
            c->who &= ~(mode_t)S_ISVTX;
            p = read_perms(p + 1, c);
        } while (*p && *p != ',');
        if (!*p)
            return true;
    }
}

static bool octal(const char *p, mode_t *ret_mode)
{
    mode_t mode = 0;

    for (; *p; p++) {
        if (*p < '0' || *p > '7' || (mode = mode * 8 + (mode_t)(*p - '0')) > 07777)
            return false;
    }
    *ret_mode = mode;
    return true;
}

struct err *df_chmod(const char *text, mode_t mode, mode_t *ret_mode)
{
    struct change c = { .old = mode, .mode = mode };
    bool is_octal = text[0] >= '0' && text[0] <= '9';

    if (is_octal ? !octal(text, &c.mode) : !symbolic(text, &c))
        return err_hint(err_new(ERR_DOCKERFILE, "'%s' is no mode", text),
                        "Write it in octal (0755, up to 07777) or with letters (u=rwX,go=rX).");
    *ret_mode = (c.mode & 07777) | (mode & S_IFMT);
    return NULL;
}
