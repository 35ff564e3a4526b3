#include "repo/pkt.h"

#include "base/limits.h"

#include <string.h>

#define HEAD_BYTES 4

/* ---- writing ---- */

void pkt_add(struct buf *out, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    AUTO_FREE char *text = xvasprintf(fmt, ap);
    va_end(ap);
    buf_printf(out, "%04zx%s", strlen(text) + HEAD_BYTES, text);
}

void pkt_flush(struct buf *out)
{
    buf_puts(out, "0000");
}

void pkt_delim(struct buf *out)
{
    buf_puts(out, "0001");
}

/* ---- reading ---- */

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static struct err *wrong_head(const struct pkt_reader *r)
{
    char shown[HEAD_BYTES + 1] = { 0 };

    for (size_t i = 0; i < HEAD_BYTES; i++)
        shown[i] = r->head[i] >= ' ' && r->head[i] < 0x7f ? r->head[i] : '?';
    return err_new(ERR_REGISTRY, "the server does not speak git's protocol ('%s' is no length of a packet)", shown);
}

/* The head is there: a mark is told at once, of data the rest is awaited. */
static struct err *begin(struct pkt_reader *r)
{
    static const enum pkt_kind marks[] = { PKT_FLUSH, PKT_DELIM, PKT_END };
    size_t len = 0;

    for (size_t i = 0; i < HEAD_BYTES; i++) {
        int v = hex_value(r->head[i]);

        if (v < 0)
            return wrong_head(r);
        len = len * 16 + (size_t)v;
    }
    if (len < sizeof(marks) / sizeof(marks[0])) {
        r->n_head = 0;
        return r->fn(r->ctx, marks[len], "", 0);
    }
    if (len < HEAD_BYTES || len > LIMIT_GIT_PACKET_BYTES)
        return wrong_head(r);
    r->missing = len - HEAD_BYTES;
    buf_clear(&r->body);
    return NULL;
}

static struct err *finish(struct pkt_reader *r)
{
    r->n_head = 0;
    return r->fn(r->ctx, PKT_DATA, buf_str(&r->body), r->body.len);
}

/* One byte of the head. */
static struct err *feed_head(struct pkt_reader *r, char c)
{
    r->head[r->n_head++] = c;
    if (r->n_head < HEAD_BYTES)
        return NULL;
    TRY(begin(r));
    return r->n_head == HEAD_BYTES && r->missing == 0 ? finish(r) : NULL;
}

struct err *pkt_feed(struct pkt_reader *r, const void *p, size_t n)
{
    for (const char *s = p, *end = s + n; s < end;) {
        size_t left = (size_t)(end - s), take = r->missing < left ? r->missing : left;

        if (r->n_head < HEAD_BYTES) {
            TRY(feed_head(r, *s++));
            continue;
        }
        buf_add(&r->body, s, take);
        r->missing -= take;
        s += take;
        if (r->missing == 0)
            TRY(finish(r));
    }
    return NULL;
}

struct err *pkt_feed_end(const struct pkt_reader *r)
{
    return r->n_head ? err_new(ERR_NETWORK, "the server's answer ends in the middle of a packet") : NULL;
}

void pkt_reader_release(struct pkt_reader *r)
{
    buf_release(&r->body);
}
