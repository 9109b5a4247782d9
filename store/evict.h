/*
 * What goes when the cache is over a cap: what saves least. docs/eviction.md explains the policy and how it is
 * judged; bench/eviction replays it.
 *
 * An entry's *density* is the making that it is expected to save for the room that it takes: its weight (recent
 * uses) times its cost over its size. Its *value*, set when it is put or used, is
 *
 *     inflation + (density / typical density) ^ sharpness
 *
 * and the least value goes. Inflation is the largest value that went so far, so what is not used ages. Sharpness says
 * how far density counts against recency; the shadows (shadow.h) find out which does best. What is put again after
 * it went has its weight back (ghost.h), so an entry that is needed again and again comes to stay.
 *
 * The functions here are pure, or change nothing but the struct they are given; no I/O, no threads.
 */
#ifndef NTC_STORE_EVICT_H
#define NTC_STORE_EVICT_H

#include <stddef.h>

#include "proto/message.h"
#include "store/ghost.h"
#include "store/shadow.h"

/* To how much of a cap an eviction brings the cache down, so that not every put evicts. */
#define NTC_EVICT_DOWN_PERCENT 99u

/* Costs count as at least and at most this, so that who names a large one gains little. */
#define NTC_EVICT_COST_MIN_NS UINT64_C(1000000)
#define NTC_EVICT_COST_MAX_NS UINT64_C(20000000000)

/*
 * A *round* is as many uses as there are entries. A weight halves in so many rounds; of a use that follows
 * the last one after so many rounds, half counts: uses in a row are hardly more than one.
 */
#define NTC_EVICT_HALVING_ROUNDS 30.0
#define NTC_EVICT_ROW_ROUNDS 0.5

/* --- pure --------------------------------------------------------------------------------- */

/*
 * How much is to go, of bytes or of entries: of `now` with the cap `max` (0 = none). 0 while the cap is kept; when it is
 * not, or an eviction is `under_way`, what is above NTC_EVICT_DOWN_PERCENT of it.
 */
uint64_t ntc_evict_need(uint64_t now, uint64_t max, bool under_way);

/* The weight behind a use that comes `rounds` after the last; of a new entry, whose weight was 0, 1. */
double ntc_evict_weight(double weight, double rounds);

/* The logarithm (base 2) of the density. */
double ntc_evict_density(double weight, uint64_t cost_ns, uint64_t room);

/* The value, from logarithms. */
double ntc_evict_value(double inflation, double sharpness, double density, double typical);

/* Whether a row can have these: others are damage. */
bool ntc_evict_plausible(double weight, double value);

/* Sort `rows` so that those of the least value come first (equal ones by digest) and return how many of
 * the first are to go so that at least `bytes` bytes and `entries` entries do; all of them where that does not do. */
size_t ntc_evict_choose(struct ntc_row *rows, size_t count, uint64_t bytes, uint64_t entries);

/* --- with what is known beside the rows --------------------------------------------------- */

struct ntc_evict {
	uint64_t max_bytes, max_entries; /* the caps; 0 = none */
	double inflation;
	double typical; /* density: the mean of what went lately */
	double seen;    /* how many that mean is over, as far as it matters */
	struct ntc_ghosts ghosts;
	struct ntc_shadow shadow; /* and the sharpness */
};

void ntc_evict_init(struct ntc_evict *evict, uint64_t max_bytes, uint64_t max_entries);
void ntc_evict_release(struct ntc_evict *evict);

/* A new entry: row->weight and row->value are set; digest, size, cost and `used` are there. `entries` are in the cache. */
void ntc_evict_put(struct ntc_evict *evict, struct ntc_row *row, uint64_t entries);

/* A use with the number `used`: weight, value and `used` of its row move on. */
void ntc_evict_use(struct ntc_evict *evict, struct ntc_row *row, uint64_t used, uint64_t entries);

/* An entry was evicted. */
void ntc_evict_gone(struct ntc_evict *evict, const struct ntc_row *row);

/* What outlives the process: `inflation`, `typical`, the sharpness. */
#define NTC_EVICT_NAME "evict"
#define NTC_EVICT_SIZE 32u
void ntc_evict_save(const struct ntc_evict *evict, uint8_t out[NTC_EVICT_SIZE]);
/* False, and nothing changed, for what was never saved. */
bool ntc_evict_load(struct ntc_evict *evict, const void *p, size_t len);

#endif
