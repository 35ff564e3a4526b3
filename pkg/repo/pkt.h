/* pkt.h - git's framing of what client and server say: packets of up to 65516 bytes with their length in front, and
 * marks without content (gitprotocol-common(5)). Pure; one thread at a time. */
#ifndef REPO_PKT_H
#define REPO_PKT_H

#include "base/buf.h"

#include <stdint.h>

/* ---- writing ---- */

/* Adds a packet with this text. */
void pkt_add(struct buf *out, const char *fmt, ...) PRINTF(2, 3);
void pkt_flush(struct buf *out);
void pkt_delim(struct buf *out);

/* ---- reading, in pieces of any size ---- */

enum pkt_kind { PKT_DATA, PKT_FLUSH, PKT_DELIM, PKT_END };

struct pkt_reader {
    /* Gets each packet as soon as it is whole; data is borrowed, NUL-terminated beyond its end. */
    struct err *(*fn)(void *ctx, enum pkt_kind kind, const char *data, size_t len);
    void *ctx;
    char head[4];
    size_t n_head, missing; /* of the head; of the packet in `body` */
    struct buf body;
};

/* A wrong length is ERR_REGISTRY. */
MUST_USE struct err *pkt_feed(struct pkt_reader *r, const void *p, size_t n);
/* Fails if a packet has begun but not ended. */
MUST_USE struct err *pkt_feed_end(const struct pkt_reader *r);
void pkt_reader_release(struct pkt_reader *r);

#endif
