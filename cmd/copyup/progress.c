#include "progress.h"

#include <string.h>
#include <time.h>

#define SHOWN_TEXT 120 /* characters of an instruction on its line */

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
    flockfile(stdout);
    start_line(pp);
    puts(text);
    fflush(stdout);
    funlockfile(stdout);
}

static void print_head(const struct progress_step *s)
{
    size_t len = strcspn(s->text, "\n");
    bool cut = len > SHOWN_TEXT || s->text[len];

    if (len > SHOWN_TEXT)
        len = SHOWN_TEXT;
    printf("[%s %zu/%zu] %.*s%s", s->stage, s->number, s->total, (int)len, s->text, cut ? "..." : "");
}

static void begin(void *ctx, const struct progress_step *s)
{
    struct progress_printer *pp = ctx;

    if (pp->quiet)
        return;
    flockfile(stdout);
    start_line(pp);
    print_head(s);
    putchar('\n');
    fflush(stdout);
    funlockfile(stdout);
}

static void output(void *ctx, const char *p, size_t n)
{
    struct progress_printer *pp = ctx;

    if (n == 0)
        return;
    flockfile(stdout);
    (void)fwrite(p, 1, n, stdout);
    pp->in_line = p[n - 1] != '\n';
    fflush(stdout);
    funlockfile(stdout);
}

static void end(void *ctx, const struct progress_step *s, bool failed)
{
    struct progress_printer *pp = ctx;
    char size[32];

    if (pp->quiet)
        return;
    flockfile(stdout);
    start_line(pp);
    print_head(s);
    if (s->cached)
        fputs("  CACHED", stdout);
    else
        printf("  %.1fs", (double)s->duration_ms / 1000);
    progress_size(s->layer_bytes, size);
    if (s->has_layer)
        printf("  layer %s", size);
    puts(failed ? "  FAILED" : "");
    fflush(stdout);
    funlockfile(stdout);
}

static void note(void *ctx, const char *text)
{
    progress_line(ctx, "%s", text);
}

struct progress progress_make(struct progress_printer *pp)
{
    return (struct progress){ pp, begin, output, end, note };
}
