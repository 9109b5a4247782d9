/*
 * What is under way for single digests: an image that is visible but not on disk yet, work that the
 * writer still has to do, and calls that wait for a compare with what is on disk. One struct a digest,
 * made when something starts and freed when nothing is left. Owner thread only.
 */
#ifndef NTC_STORE_PENDING_H
#define NTC_STORE_PENDING_H

#include "store/op.h"

struct ntc_pending {
	struct ntc_pending *next;       /* in its bucket */
	struct ntc_digest digest;
	struct ntc_buffer *image;       /* the latest put if it is not durable yet, or NULL. A reference */
	struct ntc_row row;             /* of image */
	uint32_t generation;            /* of image */
	unsigned jobs;                  /* ops that the writer has */
	bool comparing;                 /* a loader reads what is on disk for the first of `waiting` */
	bool draining;                  /* `waiting` is being worked off: new calls line up behind it */
	struct ntc_op_list waiting;     /* PUT, LOAD and REMOVE in order of submission */
};

struct ntc_pending_map {
	struct ntc_pending **buckets;
	size_t bucket_count;            /* a power of two */
	size_t count;
	uint64_t seed;
};

bool ntc_pending_map_init(struct ntc_pending_map *map, uint64_t seed);
/* Accepts one of zeros. */
void ntc_pending_map_release(struct ntc_pending_map *map);

/* NULL if nothing is under way. */
struct ntc_pending *ntc_pending_find(const struct ntc_pending_map *map, const struct ntc_digest *digest);

/* Find or make; NULL without memory. */
struct ntc_pending *ntc_pending_get(struct ntc_pending_map *map, const struct ntc_digest *digest);

/* Free it if nothing is left under way. */
void ntc_pending_settle(struct ntc_pending_map *map, struct ntc_pending *pending);

static inline bool ntc_pending_waits(const struct ntc_pending *pending)
{
	return pending && (pending->comparing || pending->draining);
}

#endif
