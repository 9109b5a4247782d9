/*
 * Reading large bodies off the event loop: one thread that reads a sealed memfd and checks what it read, and hands
 * the result back as a message. Bounded in jobs and bytes (daemon/limits.h).
 */
#ifndef NTC_DAEMON_INGEST_H
#define NTC_DAEMON_INGEST_H

#include "proto/status.h"
#include "store/buffer.h"

struct event_base;
struct ntc_ingest;

/* `image` has the body and room for a stamp behind it; it is given with OK, else NULL. On the loop's thread. */
typedef void ntc_ingest_fn(void *ctx, enum ntc_status st, struct ntc_buffer *image);

/* NULL without memory or threads. */
struct ntc_ingest *ntc_ingest_new(struct event_base *base);

/* Waits for the job at hand; the others are dropped after a callback with SHUTTING_DOWN. Accepts NULL. */
void ntc_ingest_free(struct ntc_ingest *ingest);

/* Bodies queued and not handed back. */
unsigned ntc_ingest_pending(const struct ntc_ingest *ingest);

/* Whether `fd` is a memfd of exactly `size` bytes that nobody can change any more: OK or BAD_DESCRIPTOR. */
enum ntc_status ntc_ingest_check_fd(int fd, uint64_t size);

/* Read a body of `size` bytes from `fd`, at once, and check its seal: OK with *image given, BAD_IMAGE, BAD_CHECKSUM, ... */
enum ntc_status ntc_ingest_read(int fd, uint64_t size, struct ntc_buffer **image);

/* The same on the thread; the descriptor is dup'ed. OK: `fn` will be called exactly once; BUSY, NO_FILES, NO_MEMORY: never. */
enum ntc_status ntc_ingest_queue(struct ntc_ingest *ingest, int fd, uint64_t size, ntc_ingest_fn *fn, void *ctx);

#endif
