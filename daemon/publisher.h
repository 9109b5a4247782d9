/*
 * The daemon's side of the shared segment (docs/segment.md): its memory, what goes in, what comes out.
 *
 * What is put goes in at once. What is used and is not there goes in when the daemon was asked for it, so that nobody has to ask
 * again; or, if it was read from its file, at the second use. A removal takes back before it is answered.
 *
 * The thread that makes it owns it: when that ends, however it ends, the kernel marks the segment, so that no client
 * uses it a moment longer. One thread, the loop's. Every call accepts NULL: a daemon without a segment.
 */
#ifndef NTC_DAEMON_PUBLISHER_H
#define NTC_DAEMON_PUBLISHER_H

#include "proto/segment_writer.h"
#include "store/store.h"

struct ntc_publisher;

/*
 * Make a segment of about `size` bytes. NULL, with *reason, where the machine has no memory or no sealed memfds for it: a
 * daemon goes on without.
 */
struct ntc_publisher *ntc_publisher_new(uint64_t size, uint64_t instance, struct ntc_reason *reason);

/* Tell every reader that it is over. Nothing goes in from now on; loads that are under way may still come back. */
void ntc_publisher_close(struct ntc_publisher *publisher);
void ntc_publisher_free(struct ntc_publisher *publisher);

/* The descriptor for clients, read-only and sealed, or -1; and its size. Owned by the publisher. */
int ntc_publisher_fd(const struct ntc_publisher *publisher);
uint64_t ntc_publisher_size(const struct ntc_publisher *publisher);

/* Bytes of the largest image that goes into a segment of `size` bytes. */
size_t ntc_publisher_largest(uint64_t size);

/* An image that the store has (verified): everybody may read it from now on. */
void ntc_publisher_put(struct ntc_publisher *publisher, const struct ntc_digest *digest,
		       struct ntc_view image);

/* Nobody may from now on. */
void ntc_publisher_remove(struct ntc_publisher *publisher, const struct ntc_digest *digest);

/*
 * So many uses of an entry that the store has. What is not in the segment goes in, if `image` is at hand;
 * if not (empty), the store loads it, from the second use on.
 */
void ntc_publisher_used(struct ntc_publisher *publisher, struct ntc_store *store,
			const struct ntc_digest *digest, uint64_t uses, struct ntc_view image);

/*
 * What is in the segment under a whole key of that digest; empty if there is nothing. Borrowed until the next call that may put
 * something there or remove something.
 */
struct ntc_view ntc_publisher_find(const struct ntc_publisher *publisher, const struct ntc_digest *digest,
				   struct ntc_view key);

struct ntc_publisher_counts {
	uint64_t size;                         /* bytes; 0 = there is no segment */
	uint64_t entries, bytes;               /* now */
	uint64_t published, promoted, evicted; /* since it was made; what was promoted is published too */
};
struct ntc_publisher_counts ntc_publisher_counts(const struct ntc_publisher *publisher);

#endif
