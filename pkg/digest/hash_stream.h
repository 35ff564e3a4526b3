/* hash_stream.h - SHA-256 of what is being received: of long content in a thread of its own, while the caller goes on
 * to receive, as a hash costs about as much as TLS. What is added is copied; HASH_STREAM_BYTES of it wait at most, then
 * the caller does. Where the pod allows no more threads the caller's own hashes. Belongs to one thread at a time. */
#ifndef DIGEST_HASH_STREAM_H
#define DIGEST_HASH_STREAM_H

#include "digest/digest.h"

#include <stdint.h>

#define HASH_STREAM_BYTES (512 * 1024)

struct hash_stream;

/* size_bytes: how much will probably come. */
struct hash_stream *hash_stream_new(uint64_t size_bytes);
void hash_stream_add(struct hash_stream *h, const void *p, size_t n);
/* The digest of all that was added. The stream can only be freed after it. */
struct digest hash_stream_end(struct hash_stream *h);
void hash_stream_free(struct hash_stream *h);
DEFINE_CLEANUP(struct hash_stream *, hash_stream_free);

#endif
