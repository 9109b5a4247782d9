/*
 * Lanes: what a thread needs for a hit without touching what other threads touch. A client has a few; a thread enters
 * one that is free, nearly always the same one, with one atomic instruction on memory that is its own.
 *
 * Who is in a lane may read in the client's mapping of the segment, which is not unmapped before; and counts its hits there.
 * Nobody waits for a lane that somebody is in; with all of them full, for a moment, for any.
 */
#ifndef NTC_CLIENT_LANE_H
#define NTC_CLIENT_LANE_H

#include "client/bounds.h"
#include "proto/digest.h"
#include "proto/message.h"

/* Hits on one entry, by rung. A digest without hits: a free place. */
struct ntc_count {
	struct ntc_digest digest;
	uint32_t hits[NTC_RUNG_FILE + 1];
};

struct ntc_lane {
	_Alignas(64) unsigned busy;     /* atomic: somebody is in it */
	unsigned counted;               /* atomic: rungs with hits, a bit each; changed in the lane */
	struct ntc_count counts[NTC_LIMIT_HITS];
};

/* One more than can be entered: for counting only, by who finds all others full. */
#define NTC_LANES (NTC_LIMIT_LANES + 1)

/* NTC_LANES empty ones, or NULL without memory. Given: ntc_lanes_free(). */
struct ntc_lane *ntc_lanes_new(void);
void ntc_lanes_free(struct ntc_lane *lanes);            /* accepts NULL */

/* In a child of fork(): nobody is in them, and nothing is counted. */
void ntc_lanes_forked(struct ntc_lane *lanes);

/* Enter one; ntc_lane_leave() it soon, on this thread. A thread may be in more than one. NULL if all stay full. */
struct ntc_lane *ntc_lane_enter(struct ntc_lane *lanes);

/* The same for a certain one: false if somebody is in it. */
bool ntc_lane_try(struct ntc_lane *lane);

void ntc_lane_leave(struct ntc_lane *lane);

/* The one for who found all others full: wait for it, count there, and leave it at once. */
struct ntc_lane *ntc_lane_spare(struct ntc_lane *lanes);

/* Whether there is something to take out. From outside of the lane. */
bool ntc_lane_counted(const struct ntc_lane *lane);

/* The hit on this digest is going to be counted: its place is wanted soon. */
static inline void ntc_lane_prepare(const struct ntc_lane *lane, const struct ntc_digest *digest)
{
	__builtin_prefetch(&lane->counts[ntc_load32(digest->bytes) % NTC_LIMIT_HITS], 1);
}

/* Count a hit, in the lane. False: there is no place for another digest near this one's. */
bool ntc_lane_count(struct ntc_lane *lane, const struct ntc_digest *digest, enum ntc_rung rung);

/*
 * Take out what was counted on a rung, in the lane: as HITS has it, at most NTC_LIMIT_HITS of them. Returns the bytes.
 */
size_t ntc_lane_take(struct ntc_lane *lane, enum ntc_rung rung, uint8_t out[NTC_LIMIT_HITS * NTC_HIT_SIZE]);

#endif
