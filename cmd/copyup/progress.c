#include "progress.h"

#include <string.h>
#include <time.h>

#define SHOWN_TEXT   120  /* characters of an instruction on its line */
#define LONGEST_LINE 4096 /* of output that is held back until its line ends */

void progress_init(struct progress_printer *pp, bool quiet, bool timestamps)
{
    *pp = (struct progress_printer){ .quiet = quiet, .timestamps = timestamps };
    pthread_mutex_init(&pp->lock, NULL);
}

void progress_size(uint64_t bytes, char ret_text[32])
{
    static const char *const units[] = { "B", "kB", "MB", "GB", "TB" };
    double v = (double)bytes;
    size_t u = 0;

    while (v >= 1000 && u + 1 < sizeof(units) / sizeof(units[0])) {
        v /= 1000;
        u++;
    }
    (void)snprintf(ret_text, 32, u ? "%.1f %s" : "%.0f %s", v, units[u]);
}

static void start_line(struct progress_printer *pp)
{
    char stamp[40];
    time_t now = time(NULL);
    struct tm tm;

    if (pp->in_line)
        putchar('\n');
    pp->in_line = false;
    if (!pp->timestamps)
        return;
    gmtime_r(&now, &tm);
    if (strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%SZ ", &tm))
        fputs(stamp, stdout);
}

void progress_line(struct progress_printer *pp, const char *fmt, ...)
{
    va_list ap;

    if (pp->quiet)
        return;
    va_start(ap, fmt);
    AUTO_FREE char *text = xvasprintf(fmt, ap);
    va_end(ap);
    pthread_mutex_lock(&pp->lock);
    start_line(pp);
    puts(text);
    fflush(stdout);
    pthread_mutex_unlock(&pp->lock);
}

static void print_head(const struct progress_step *s)
{
    size_t len = strcspn(s->text, "\n");
    bool cut = len > SHOWN_TEXT || s->text[len];

    if (len > SHOWN_TEXT)
        len = SHOWN_TEXT;
    printf("[%s %zu/%zu] %.*s%s", s->stage, s->number, s->total, (int)len, s->text, cut ? "..." : "");
}

/* ---- steps in progress ---- */

static struct progress_open *find_open(struct progress_printer *pp, const struct progress_step *s)
{
    for (size_t i = 0; i < pp->open.n; i++)
        if (pp->open.items[i].stage == s->stage)
            return &pp->open.items[i];
    return NULL;
}

static void add_open(struct progress_printer *pp, const struct progress_step *s)
{
    const struct progress_open o = { .stage = s->stage };

    vec_push(&pp->open, o);
}

static void put_line(struct progress_printer *pp, const char *stage, const char *p, size_t n)
{
    if (pp->in_line)
        putchar('\n');
    pp->in_line = false;
    printf("[%s] ", stage);
    (void)fwrite(p, 1, n, stdout);
    if (p[n - 1] != '\n')
        putchar('\n');
}

/* The length of the line at p as far as it is to be shown now, 0 if its end has not come yet. */
static size_t next_line(const char *p, size_t n)
{
    size_t most = n < LONGEST_LINE ? n : LONGEST_LINE;
    const char *end = most ? memchr(p, '\n', most) : NULL;

    if (end)
        return (size_t)(end - p) + 1;
    return n >= LONGEST_LINE ? LONGEST_LINE : 0;
}

static void put_lines(struct progress_printer *pp, struct progress_open *o, const char *p, size_t n)
{
    struct buf *line = &o->line;
    size_t at = 0, len;

    buf_add(line, p, n);
    for (; (len = next_line(line->data + at, line->len - at)) > 0; at += len)
        put_line(pp, o->stage, line->data + at, len);
    memmove(line->data, line->data + at, line->len - at);
    line->len -= at;
}

static void close_open(struct progress_printer *pp, const struct progress_step *s)
{
    struct progress_open *o = find_open(pp, s);

    if (!o)
        return;
    if (o->line.len)
        put_line(pp, o->stage, o->line.data, o->line.len);
    buf_release(&o->line);
    *o = pp->open.items[--pp->open.n];
    if (!pp->open.n)
        vec_free(&pp->open);
}

/* ---- what the build tells ---- */

static void begin(void *ctx, const struct progress_step *s)
{
    struct progress_printer *pp = ctx;

    pthread_mutex_lock(&pp->lock);
    add_open(pp, s);
    if (!pp->quiet) {
        start_line(pp);
        print_head(s);
        putchar('\n');
        fflush(stdout);
    }
    pthread_mutex_unlock(&pp->lock);
}

/* The only step in progress is passed on as it comes: what it prompts and counts on one line is seen at once. */
static void output(void *ctx, const struct progress_step *s, const char *p, size_t n)
{
    struct progress_printer *pp = ctx;

    if (n == 0)
        return;
    pthread_mutex_lock(&pp->lock);
    struct progress_open *o = find_open(pp, s);
    if (o && (pp->open.n > 1 || o->line.len)) {
        put_lines(pp, o, p, n);
    } else {
        (void)fwrite(p, 1, n, stdout);
        pp->in_line = p[n - 1] != '\n';
    }
    fflush(stdout);
    pthread_mutex_unlock(&pp->lock);
}

static void print_end(struct progress_printer *pp, const struct progress_step *s, enum progress_end how)
{
    static const char *const words[] = { [STEP_ENDED] = "", [STEP_FAILED] = "  FAILED", [STEP_STOPPED] = "  STOPPED" };
    char size[32];

    start_line(pp);
    print_head(s);
    if (s->cached)
        fputs("  CACHED", stdout);
    else
        printf("  %.1fs", (double)s->duration_ms / 1000);
    progress_size(s->layer_bytes, size);
    if (s->has_layer)
        printf("  layer %s", size);
    puts(words[how]);
}

static void end(void *ctx, const struct progress_step *s, enum progress_end how)
{
    struct progress_printer *pp = ctx;

    pthread_mutex_lock(&pp->lock);
    close_open(pp, s);
    if (!pp->quiet && how != STEP_AGAIN)
        print_end(pp, s, how);
    fflush(stdout);
    pthread_mutex_unlock(&pp->lock);
}

static void note(void *ctx, const char *text)
{
    progress_line(ctx, "%s", text);
}

struct progress progress_make(struct progress_printer *pp)
{
    return (struct progress){ pp, begin, output, end, note };
}
