#include "base/err_priv.h"

#include "base/buf.h"
#include "base/limits.h"
#include "base/mem.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

PRINTF(2, 0)
static struct err *err_make(enum err_kind kind, const char *fmt, va_list ap)
{
    struct err *e = xcalloc(1, sizeof(*e));

    e->kind = kind;
    e->texts[ERR_WHAT] = xvasprintf(fmt, ap);
    return e;
}

struct err *err_new(enum err_kind kind, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    struct err *e = err_make(kind, fmt, ap);
    va_end(ap);
    return e;
}

static enum err_kind errno_kind(int errnum)
{
    switch (errnum) {
    case ENOSPC:
    case EDQUOT:
    case EROFS:
    case EIO:
        return ERR_DISK;
    default:
        return ERR_POD;
    }
}

struct err *err_sys(int errnum, const char *fmt, ...)
{
    va_list ap;
    enum err_kind kind = errno_kind(errnum);

    va_start(ap, fmt);
    struct err *e = err_make(kind, fmt, ap);
    va_end(ap);
    e->cause = err_new(kind, "%s", strerror(errnum));
    e->cause->errnum = errnum;
    return e;
}

struct err *err_wrap(struct err *cause, const char *fmt, ...)
{
    va_list ap;

    if (!cause)
        return NULL;
    va_start(ap, fmt);
    struct err *e = err_make(cause->kind, fmt, ap);
    va_end(ap);
    e->exit_code = cause->exit_code;
    e->cause = cause;
    return e;
}

const struct err *err_placed(const struct err *e)
{
    while (e && !e->texts[ERR_FILE])
        e = e->cause;
    return e;
}

static char *copy(const char *s)
{
    return s ? xstrdup(s) : NULL;
}

struct err *err_at(struct err *e, const struct srcpos *pos)
{
    if (!e || err_placed(e) || !pos->file)
        return e;
    e->texts[ERR_FILE] = xstrdup(pos->file);
    e->texts[ERR_STAGE] = copy(pos->stage);
    e->texts[ERR_BEFORE] = copy(pos->before);
    e->texts[ERR_LINE] = copy(pos->text);
    e->texts[ERR_AFTER] = copy(pos->after);
    e->line = pos->line;
    e->col = pos->col;
    e->width = pos->width;
    e->stage_number = pos->stage_number;
    return e;
}

bool err_place(const struct err *e, struct srcpos *ret_place)
{
    const struct err *at = err_placed(e);

    if (!at)
        return false;
    *ret_place = (struct srcpos){ .file = at->texts[ERR_FILE],
                                  .line = at->line,
                                  .text = at->texts[ERR_LINE],
                                  .col = at->col,
                                  .width = at->width,
                                  .before = at->texts[ERR_BEFORE],
                                  .after = at->texts[ERR_AFTER],
                                  .stage = at->texts[ERR_STAGE],
                                  .stage_number = at->stage_number };
    return true;
}

const struct err *err_reason(const struct err *e)
{
    return e->cause;
}

const struct err *err_next(const struct err *e)
{
    return e->next;
}

struct err *err_blame(struct err *e, const char *token)
{
    if (!e || err_token(e))
        return e;
    e->texts[ERR_TOKEN] = xstrdup(token);
    return e;
}

const char *err_token(const struct err *e)
{
    const char *token = NULL;

    for (; e; e = e->cause)
        if (e->texts[ERR_TOKEN])
            token = e->texts[ERR_TOKEN];
    return token;
}

const char *err_remedy(const struct err *e)
{
    while (e && !e->texts[ERR_HINT])
        e = e->cause;
    return e ? e->texts[ERR_HINT] : NULL;
}

struct err *err_hint(struct err *e, const char *fmt, ...)
{
    va_list ap;

    if (!e)
        return NULL;
    free(e->texts[ERR_HINT]);
    va_start(ap, fmt);
    e->texts[ERR_HINT] = xvasprintf(fmt, ap);
    va_end(ap);
    return e;
}

struct err *err_set_kind(struct err *e, enum err_kind kind)
{
    if (e)
        e->kind = kind;
    return e;
}

struct err *err_set_exit(struct err *e, int code)
{
    if (e)
        e->exit_code = code;
    return e;
}

struct err *err_join(struct err *a, struct err *b)
{
    if (!a)
        return b;
    struct err *last = a;
    while (last->next)
        last = last->next;
    last->next = b;
    return a;
}

enum err_kind err_kind(const struct err *e)
{
    return e->kind;
}

int err_errno(const struct err *e)
{
    int errnum = 0;

    for (; e; e = e->cause)
        if (e->errnum)
            errnum = e->errnum;
    return errnum;
}

int err_exit_code(const struct err *e)
{
    static const int codes[] = {
        [ERR_SETTING] = 64,  [ERR_DOCKERFILE] = 65, [ERR_NETWORK] = 69,     [ERR_REGISTRY] = 69,
        [ERR_BUG] = 70,      [ERR_POD] = 71,        [ERR_DISK] = 74,        [ERR_AUTH] = 77,
        [ERR_TIMEOUT] = 124, [ERR_MEMORY] = 137,    [ERR_TERMINATED] = 143, [ERR_COMMAND] = 1,
    };
    _Static_assert(sizeof(codes) / sizeof(codes[0]) == ERR_KIND_COUNT, "one code per kind");
    if (e->kind == ERR_COMMAND && e->exit_code > 0 && e->exit_code < 256)
        return e->exit_code;
    return codes[e->kind];
}

const char *err_message(const struct err *e)
{
    return e->texts[ERR_WHAT];
}

void err_free(struct err *e)
{
    while (e) {
        struct err *cause = e->cause;

        err_free(e->next);
        for (int i = 0; i < ERR_TEXTS; i++)
            free(e->texts[i]);
        free(e);
        e = cause;
    }
}

/* ---- over a pipe: a header, the texts, then the cause and the next one, if the header says so ---- */

enum { WIRE_CAUSE = 1, WIRE_NEXT = 2 };

struct wire {
    uint32_t kind, exit_code, errnum, line, col, width, stage_number, more;
    uint32_t len[ERR_TEXTS]; /* UINT32_MAX = NULL */
};

static void wire_put(struct buf *out, const struct err *e)
{
    struct wire w = { (uint32_t)e->kind,
                      (uint32_t)e->exit_code,
                      (uint32_t)e->errnum,
                      (uint32_t)e->line,
                      (uint32_t)e->col,
                      (uint32_t)e->width,
                      (uint32_t)e->stage_number,
                      (e->cause ? WIRE_CAUSE : 0) | (e->next ? WIRE_NEXT : 0),
                      { 0 } };

    for (int i = 0; i < ERR_TEXTS; i++)
        w.len[i] = e->texts[i] ? (uint32_t)strlen(e->texts[i]) : UINT32_MAX;
    buf_add(out, &w, sizeof(w));
    for (int i = 0; i < ERR_TEXTS; i++)
        if (e->texts[i])
            buf_add(out, e->texts[i], w.len[i]);
    if (e->cause)
        wire_put(out, e->cause);
    if (e->next)
        wire_put(out, e->next);
}

struct err *err_write(int fd, const struct err *e)
{
    AUTO(buf_release) struct buf out = BUF_INIT;
    const char present = e ? 1 : 0;

    buf_add(&out, &present, 1);
    if (e)
        wire_put(&out, e);
    for (size_t done = 0; done < out.len;) {
        ssize_t n = write(fd, out.data + done, out.len - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_sys(errno, "cannot report to the parent process");
        done += (size_t)n;
    }
    return NULL;
}

static bool read_full(int fd, void *p, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = read(fd, (char *)p + done, len - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    return true;
}

static bool wire_get_strings(int fd, const struct wire *w, struct err *e)
{
    for (int i = 0; i < ERR_TEXTS; i++) {
        if (w->len[i] == UINT32_MAX)
            continue;
        if (w->len[i] > LIMIT_ERROR_TEXT_BYTES)
            return false;
        e->texts[i] = xcalloc(1, w->len[i] + 1);
        if (!read_full(fd, e->texts[i], w->len[i]))
            return false;
    }
    return e->texts[ERR_WHAT] != NULL;
}

/* What was read so far is left in *ret also on failure: the caller frees it. */
static bool wire_get(int fd, int depth, struct err **ret)
{
    struct wire w;

    if (depth > LIMIT_ERROR_LINKS || !read_full(fd, &w, sizeof(w)) || w.kind >= ERR_KIND_COUNT)
        return false;
    struct err *e = *ret = xcalloc(1, sizeof(*e));
    e->kind = (enum err_kind)w.kind;
    e->exit_code = (int)w.exit_code;
    e->errnum = (int)w.errnum;
    e->line = (int)w.line;
    e->col = (int)w.col;
    e->width = (int)w.width;
    e->stage_number = (int)w.stage_number;
    return wire_get_strings(fd, &w, e) && (!(w.more & WIRE_CAUSE) || wire_get(fd, depth + 1, &e->cause)) &&
           (!(w.more & WIRE_NEXT) || wire_get(fd, depth + 1, &e->next));
}

struct err *err_read(int fd, struct err **ret_err)
{
    struct err *e = NULL;
    char present;

    if (!read_full(fd, &present, 1))
        return err_new(ERR_BUG, "a child process ended without a report");
    if (present && !wire_get(fd, 0, &e)) {
        err_free(e);
        return err_new(ERR_BUG, "a child process ended in the middle of its report");
    }
    *ret_err = e;
    return NULL;
}
