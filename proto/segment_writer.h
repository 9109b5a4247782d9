/*
 * The daemon's half of the shared segment: publishing images, taking them back, making room (docs/segment.md).
 *
 * The arena is a ring of blocks. A cursor goes round: what it meets makes room for what is published. So the oldest goes
 * first, no byte is ever moved, and publishing costs one copy. An image that was taken back leaves a hole until the
 * cursor comes by.
 *
 * One thread. Readers are never waited for: an image is taken out of the table before its bytes are written over, and who
 * reads it just then is told so by its slot's sequence number. No allocation, no I/O of its own.
 */
#ifndef NTC_PROTO_SEGMENT_WRITER_H
#define NTC_PROTO_SEGMENT_WRITER_H

#include "proto/segment.h"

/*
 * Called before the arena's bytes from `from` to `to` (offsets in the segment) are written for the first time, so that memory
 * can be taken where that can fail: false = there is none, the arena stays as it is.
 */
typedef bool ntc_segment_grow_fn(void *ctx, uint64_t from, uint64_t to);

struct ntc_segment_writer {
	uint8_t *base;
	struct ntc_segment_slot *table;
	uint64_t *arena;
	uint64_t groups;
	uint64_t units;  /* of the arena */
	uint64_t ready;  /* of those, in use: the ring */
	uint64_t cursor; /* unit at which the next block begins */
	ntc_segment_grow_fn *grow;
	void *ctx;
	/* for people */
	uint64_t entries, bytes;     /* now: images and their bytes */
	uint64_t published, evicted; /* since it was made */
};

/* Bytes of header and table of a segment of `size` bytes, which are written from the start. */
uint64_t ntc_segment_table_end(uint64_t size);

/*
 * Make a segment of `size` bytes of zeros (writable, at a multiple of 64; NTC_SEGMENT_MIN to _MAX, a multiple of 4096). Borrowed.
 * `grow` may be NULL. False if the size cannot be.
 */
bool ntc_segment_make(void *bytes, size_t size, uint64_t instance, ntc_segment_grow_fn *grow, void *ctx,
		      struct ntc_segment_writer *writer);

/*
 * Publish an image (parsed, verified; its key's digest) in the place of what is there under the digest: readers see one or the other.
 * False if it is larger than the arena, or there is no memory: then nothing is there under the digest.
 */
bool ntc_segment_publish(struct ntc_segment_writer *writer, const struct ntc_digest *digest,
			 struct ntc_view image);

/* Take back what is there under a digest: when this returns, no look-up finds it and no reading of it is valid. */
bool ntc_segment_unpublish(struct ntc_segment_writer *writer, const struct ntc_digest *digest);

/* Whether there is something under a digest. */
bool ntc_segment_has(const struct ntc_segment_writer *writer, const struct ntc_digest *digest);

/* Let go of it: every reader sees that it is over. */
void ntc_segment_close(struct ntc_segment_writer *writer);

#endif
