/* Lanes of threads; see lane.h. */
#include "client/lane.h"

#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>

#define PROBES 16u
#define ROUNDS 64u              /* looks at all lanes before giving up */

_Static_assert((NTC_LIMIT_HITS & (NTC_LIMIT_HITS - 1)) == 0, "places are found by a mask");

struct ntc_lane *ntc_lanes_new(void)
{
	/* Zero, aligned, and no memory before it is used: most programs have one thread and few kernels. */
	void *p = mmap(NULL, NTC_LANES * sizeof(struct ntc_lane), PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

void ntc_lanes_free(struct ntc_lane *lanes)
{
	if (lanes)
		munmap(lanes, NTC_LANES * sizeof(struct ntc_lane));
}

void ntc_lanes_forked(struct ntc_lane *lanes)
{
	for (unsigned i = 0; i < NTC_LANES; i++)
		/* Pages that were never used stay so. Who was in it may have been counting. */
		if (lanes[i].busy || lanes[i].counted)
			memset(&lanes[i], 0, sizeof(lanes[i]));
}

bool ntc_lane_try(struct ntc_lane *lane)
{
	return !__atomic_load_n(&lane->busy, __ATOMIC_RELAXED) && !__atomic_exchange_n(&lane->busy, 1, __ATOMIC_ACQUIRE);
}

struct ntc_lane *ntc_lane_enter(struct ntc_lane *lanes)
{
	/* Threads differ in the upper bits of this; a product's upper bits depend on all. */
	uint64_t self = (uint64_t)(uintptr_t)pthread_self() * UINT64_C(0x9e3779b97f4a7c15);

	for (unsigned n = 0; n < ROUNDS * NTC_LIMIT_LANES; n++) {
		struct ntc_lane *lane = &lanes[(n + (unsigned)(self >> 32)) % NTC_LIMIT_LANES];

		if (ntc_lane_try(lane))
			return lane;
		if (n % NTC_LIMIT_LANES == NTC_LIMIT_LANES - 1)
			sched_yield();
	}
	return NULL;
}

struct ntc_lane *ntc_lane_spare(struct ntc_lane *lanes)
{
	struct ntc_lane *spare = &lanes[NTC_LIMIT_LANES];

	/* Whoever is in it only counts, or takes out what was counted. */
	while (!ntc_lane_try(spare))
		sched_yield();
	return spare;
}

void ntc_lane_leave(struct ntc_lane *lane)
{
	__atomic_store_n(&lane->busy, 0, __ATOMIC_RELEASE);
}

bool ntc_lane_counted(const struct ntc_lane *lane)
{
	return __atomic_load_n(&lane->counted, __ATOMIC_RELAXED) != 0;
}

static void set_counted(struct ntc_lane *lane, unsigned rungs)
{
	if (lane->counted != rungs)
		__atomic_store_n(&lane->counted, rungs, __ATOMIC_RELAXED);
}

static bool place_free(const struct ntc_count *count)
{
	return !count->hits[NTC_RUNG_PROCESS] && !count->hits[NTC_RUNG_SEGMENT] && !count->hits[NTC_RUNG_FILE];
}

bool ntc_lane_count(struct ntc_lane *lane, const struct ntc_digest *digest, enum ntc_rung rung)
{
	struct ntc_count *place = NULL;
	uint32_t at = ntc_load32(digest->bytes);

	/* What was taken out leaves holes, so all the places are looked at; the right one is nearly always the first. */
	for (unsigned i = 0; i < PROBES; i++) {
		struct ntc_count *count = &lane->counts[(at + i) % NTC_LIMIT_HITS];

		if (place_free(count)) {
			if (!place)
				place = count;
		} else if (ntc_digest_equal(&count->digest, digest)) {
			if (count->hits[rung] < UINT32_MAX)
				count->hits[rung]++;
			set_counted(lane, lane->counted | 1u << rung);
			return true;
		}
	}
	if (!place)
		return false;
	place->digest = *digest;
	place->hits[rung] = 1;
	set_counted(lane, lane->counted | 1u << rung);
	return true;
}

size_t ntc_lane_take(struct ntc_lane *lane, enum ntc_rung rung, uint8_t out[NTC_LIMIT_HITS * NTC_HIT_SIZE])
{
	struct ntc_writer w = ntc_writer(out, NTC_LIMIT_HITS * NTC_HIT_SIZE);

	if (!(lane->counted & 1u << rung))
		return 0;
	set_counted(lane, lane->counted & ~(1u << rung));
	for (unsigned i = 0; i < NTC_LIMIT_HITS; i++) {
		struct ntc_count *count = &lane->counts[i];

		if (!count->hits[rung])
			continue;
		ntc_write_bytes(&w, count->digest.bytes, sizeof(count->digest.bytes));
		ntc_write32(&w, count->hits[rung]);
		count->hits[rung] = 0;
	}
	return w.len;
}
