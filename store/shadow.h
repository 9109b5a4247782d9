/*
 * Which sharpness saves most, found out by trying: for each of a few, a *shadow* is a cache without contents that
 * evicts with it. All see the uses of the same sample of digests (one in `rate`, by the digest), in caches smaller
 * by the rate, and add up what their hits saved, older uses counting less. The best one's sharpness is used.
 *
 * A sample is enough: what a cache of a share of the size does with the same share of the digests is what the
 * whole does.
 */
#ifndef NTC_STORE_SHADOW_H
#define NTC_STORE_SHADOW_H

#include <stdint.h>

#include "proto/digest.h"

#define NTC_SHADOWS 3u
#define NTC_SHADOW_ENTRIES 1024u /* remembered of the sample, in a shadow's cache or not */
#define NTC_SHADOW_SAMPLE 256u   /* entries of the real cache's that the sample should have at most */
#define NTC_SHADOW_ROUNDS 30.0   /* what was saved so many rounds ago counts 1/e */
#define NTC_SHADOW_CHOICE 256u   /* uses of the sample between two choices */
#define NTC_SHADOW_BETTER 1.02   /* by how much another has to be better to be chosen */

struct ntc_shadow_sample;

struct ntc_shadow {
	struct ntc_shadow_sample *sample; /* made when first needed */
	unsigned chosen;
};

/* Starts with the middle one. */
void ntc_shadow_init(struct ntc_shadow *shadow);
void ntc_shadow_release(struct ntc_shadow *shadow);

double ntc_shadow_sharpness(const struct ntc_shadow *shadow);

/* A use, or a put, as the real cache saw it. */
struct ntc_shadow_use {
	const struct ntc_digest *digest;
	double density, typical; /* logarithms */
	double cost_ns;
	double room;      /* that the entry takes */
	double capacity;  /* of the real cache, in the same unit */
	uint64_t entries; /* in it */
};
void ntc_shadow_use(struct ntc_shadow *shadow, const struct ntc_shadow_use *use);

#endif
