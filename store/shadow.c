/* Shadows; see shadow.h. */
#include "store/shadow.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "proto/bytes.h"
#include "store/evict.h"

#define FIRST 1u /* the one to begin with: good for everything, best for little */

/* Low: nearly LRU, for working sets that come and go. High: nearly by density alone, for a core that stays. */
static const double sharpness[NTC_SHADOWS] = { 0.7, 1.4, 3.0 };

/* One shadow's cache over the sample. */
struct cache {
	double values[NTC_SHADOW_ENTRIES]; /* INFINITY: not in it */
	double room, inflation, saved;
};

struct ntc_shadow_sample {
	struct cache caches[NTC_SHADOWS];
	uint64_t tags[NTC_SHADOW_ENTRIES];
	uint64_t used[NTC_SHADOW_ENTRIES];
	double rooms[NTC_SHADOW_ENTRIES];
	uint64_t uses;
	uint64_t rate; /* a power of two */
	unsigned count;
};

void ntc_shadow_init(struct ntc_shadow *shadow)
{
	*shadow = (struct ntc_shadow){ .chosen = FIRST };
}

void ntc_shadow_release(struct ntc_shadow *shadow)
{
	free(shadow->sample);
	shadow->sample = NULL;
}

double ntc_shadow_sharpness(const struct ntc_shadow *shadow)
{
	return sharpness[shadow->chosen < NTC_SHADOWS ? shadow->chosen : FIRST];
}

/* --- the sample --------------------------------------------------------------------------- */

static bool in_sample(const struct ntc_shadow_sample *sample, uint64_t tag)
{
	return (tag & (sample->rate - 1)) == 0;
}

static void leave(struct ntc_shadow_sample *sample, struct cache *cache, unsigned at)
{
	if (cache->values[at] < (double)INFINITY)
		cache->room -= sample->rooms[at];
	cache->values[at] = (double)INFINITY;
}

/* Forget one; the last takes its place. */
static void forget(struct ntc_shadow_sample *sample, unsigned at)
{
	unsigned last = --sample->count;

	for (unsigned k = 0; k < NTC_SHADOWS; k++) {
		leave(sample, &sample->caches[k], at);
		sample->caches[k].values[at] = sample->caches[k].values[last];
		sample->caches[k].values[last] = (double)INFINITY;
	}
	sample->tags[at] = sample->tags[last];
	sample->used[at] = sample->used[last];
	sample->rooms[at] = sample->rooms[last];
}

/* The cache has grown: a smaller share is enough. */
static void thin(struct ntc_shadow_sample *sample, uint64_t entries)
{
	while (entries / sample->rate > NTC_SHADOW_SAMPLE) {
		sample->rate *= 2;
		for (unsigned i = sample->count; i-- > 0;)
			if (!in_sample(sample, sample->tags[i]))
				forget(sample, i);
	}
}

/* Make room for one more: what no shadow has and was used longest ago, or if all are had, whatever was. */
static void forget_oldest(struct ntc_shadow_sample *sample)
{
	unsigned oldest = 0;
	bool oldest_had = true;

	for (unsigned i = 0; i < sample->count; i++) {
		bool had = false;

		for (unsigned k = 0; k < NTC_SHADOWS; k++)
			had |= sample->caches[k].values[i] < (double)INFINITY;
		if (had < oldest_had || (had == oldest_had && sample->used[i] < sample->used[oldest])) {
			oldest = i;
			oldest_had = had;
		}
	}
	forget(sample, oldest);
}

static unsigned place_of(struct ntc_shadow_sample *sample, uint64_t tag)
{
	unsigned at = 0;

	while (at < sample->count && sample->tags[at] != tag)
		at++;
	if (at < sample->count)
		return at;
	if (sample->count == NTC_SHADOW_ENTRIES)
		forget_oldest(sample);
	at = sample->count++;
	sample->tags[at] = tag;
	for (unsigned k = 0; k < NTC_SHADOWS; k++)
		sample->caches[k].values[at] = (double)INFINITY;
	return at;
}

/* --- the caches --------------------------------------------------------------------------- */

static void evict(struct ntc_shadow_sample *sample, struct cache *cache, double capacity)
{
	while (cache->room > capacity) {
		unsigned least = 0;

		for (unsigned i = 1; i < sample->count; i++)
			if (cache->values[i] < cache->values[least])
				least = i;
		if (cache->values[least] == (double)INFINITY) {
			/* What is left is rounding. */
			cache->room = 0;
			return;
		}
		if (cache->values[least] > cache->inflation)
			cache->inflation = cache->values[least];
		leave(sample, cache, least);
	}
}

static void choose(struct ntc_shadow *shadow)
{
	const struct ntc_shadow_sample *sample = shadow->sample;

	for (unsigned k = 0; k < NTC_SHADOWS; k++)
		if (sample->caches[k].saved > sample->caches[shadow->chosen].saved * NTC_SHADOW_BETTER)
			shadow->chosen = k;
}

void ntc_shadow_use(struct ntc_shadow *shadow, const struct ntc_shadow_use *use)
{
	uint64_t tag = ntc_load64(use->digest->bytes + 8);
	struct ntc_shadow_sample *sample = shadow->sample;
	double fading;
	unsigned at;

	if (!sample) {
		/* Without memory the sharpness stays as it is. */
		sample = shadow->sample = calloc(1, sizeof(*sample));
		if (!sample)
			return;
		sample->rate = 1;
	}
	thin(sample, use->entries);
	if (!in_sample(sample, tag))
		return;
	at = place_of(sample, tag);
	sample->used[at] = ++sample->uses;
	fading = exp(-(double)sample->rate / (NTC_SHADOW_ROUNDS * (double)(use->entries + 1)));
	for (unsigned k = 0; k < NTC_SHADOWS; k++) {
		struct cache *cache = &sample->caches[k];
		bool hit = cache->values[at] < (double)INFINITY;

		cache->saved = cache->saved * fading + (hit ? use->cost_ns : 0);
		leave(sample, cache, at);
		cache->values[at] =
			ntc_evict_value(cache->inflation, sharpness[k], use->density, use->typical);
	}
	sample->rooms[at] = use->room;
	for (unsigned k = 0; k < NTC_SHADOWS; k++) {
		sample->caches[k].room += use->room;
		evict(sample, &sample->caches[k], use->capacity / (double)sample->rate);
	}
	if (sample->uses % NTC_SHADOW_CHOICE == 0)
		choose(shadow);
}
