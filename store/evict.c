/* The policy; see evict.h. */
#include "store/evict.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proto/bytes.h"
#include "proto/entry.h"

#define SEEN_MAX 100.0    /* the typical density is the mean over about so many */
#define EXPONENT_MAX 12.0 /* of two, in a value: more would never go */
/* An entry as typical as we can guess before there is any, and how many real ones that guess is worth. */
#define GUESS_COST_NS UINT64_C(100000000)
#define GUESS_SIZE UINT64_C(32768)
#define GUESS_SEEN 10.0
#define WEIGHT_MAX 64.0   /* more than any pattern of uses leads to */
#define VALUE_MAX 1e15    /* so that what is added to it is not lost */
#define MAGIC UINT64_C(1) /* the form of what is saved */

/* --- pure --------------------------------------------------------------------------------- */

uint64_t ntc_evict_need(uint64_t now, uint64_t max, bool under_way)
{
	uint64_t down = max / 100 * NTC_EVICT_DOWN_PERCENT + max % 100 * NTC_EVICT_DOWN_PERCENT / 100;

	return !max || now <= (under_way ? down : max) ? 0 : now - down;
}

double ntc_evict_weight(double weight, double rounds)
{
	if (!(weight > 0))
		return 1;
	if (!(rounds > 0))
		return weight;
	return weight * exp2(-rounds / NTC_EVICT_HALVING_ROUNDS) + 1 - exp2(-rounds / NTC_EVICT_ROW_ROUNDS);
}

static uint64_t bounded_cost(uint64_t cost_ns)
{
	if (cost_ns < NTC_EVICT_COST_MIN_NS)
		return NTC_EVICT_COST_MIN_NS;
	return cost_ns < NTC_EVICT_COST_MAX_NS ? cost_ns : NTC_EVICT_COST_MAX_NS;
}

double ntc_evict_density(double weight, uint64_t cost_ns, uint64_t room)
{
	return log2(weight * (double)bounded_cost(cost_ns) / (double)(room ? room : 1));
}

double ntc_evict_value(double inflation, double sharpness, double density, double typical)
{
	double exponent = sharpness * (density - typical);

	return inflation + exp2(exponent < EXPONENT_MAX ? exponent : EXPONENT_MAX);
}

bool ntc_evict_plausible(double weight, double value)
{
	return weight > 0 && weight <= WEIGHT_MAX && fabs(value) <= VALUE_MAX;
}

static int by_value(const void *va, const void *vb)
{
	const struct ntc_row *a = va, *b = vb;

	if (a->value != b->value)
		return a->value < b->value ? -1 : 1;
	return memcmp(a->digest.bytes, b->digest.bytes, sizeof(a->digest.bytes));
}

size_t ntc_evict_choose(struct ntc_row *rows, size_t count, uint64_t bytes, uint64_t entries)
{
	uint64_t freed = 0;
	size_t n = 0;

	if (count)
		qsort(rows, count, sizeof(*rows), by_value);
	while (n < count && (freed < bytes || n < entries))
		freed += rows[n++].size;
	return n;
}

/* --- with what is known beside the rows --------------------------------------------------- */

/* The room of an entry: its bytes, or its share of the entries if that is more. */
static uint64_t room_of(const struct ntc_evict *evict, uint64_t size)
{
	uint64_t share = 0;

	if (evict->max_entries)
		share = evict->max_bytes ? evict->max_bytes / evict->max_entries : NTC_BODY_MAX;
	return size > share ? size : share;
}

void ntc_evict_init(struct ntc_evict *evict, uint64_t max_bytes, uint64_t max_entries)
{
	*evict = (struct ntc_evict){ .max_bytes = max_bytes, .max_entries = max_entries, .seen = GUESS_SEEN };
	evict->typical = ntc_evict_density(1, GUESS_COST_NS, room_of(evict, GUESS_SIZE));
	ntc_shadow_init(&evict->shadow);
}

void ntc_evict_release(struct ntc_evict *evict)
{
	ntc_ghosts_release(&evict->ghosts);
	ntc_shadow_release(&evict->shadow);
}

/* Take one more density into the mean. */
static void learn(struct ntc_evict *evict, double density)
{
	if (evict->seen < SEEN_MAX)
		evict->seen++;
	evict->typical += (density - evict->typical) / evict->seen;
}

/* The use of `row`, whose weight and `used` are new. */
static void value_row(struct ntc_evict *evict, struct ntc_row *row, uint64_t entries)
{
	uint64_t room = room_of(evict, row->size);
	double density = ntc_evict_density(row->weight, row->cost_ns, room);

	/* Until something goes, what comes is all that is known. */
	if (evict->inflation <= 0)
		learn(evict, density);
	row->value = ntc_evict_value(evict->inflation, ntc_shadow_sharpness(&evict->shadow), density,
				     evict->typical);
	if (!evict->max_bytes && !evict->max_entries)
		return;
	ntc_shadow_use(&evict->shadow,
		       &(struct ntc_shadow_use){ .digest = &row->digest,
						 .density = density,
						 .typical = evict->typical,
						 .cost_ns = (double)bounded_cost(row->cost_ns),
						 .room = (double)room,
						 .entries = entries,
						 .capacity = evict->max_bytes ? (double)evict->max_bytes
									      : (double)evict->max_entries *
											NTC_BODY_MAX });
}

static double rounds_between(uint64_t from, uint64_t to, uint64_t entries)
{
	return to > from ? (double)(to - from) / (double)(entries ? entries : 1) : 0;
}

void ntc_evict_put(struct ntc_evict *evict, struct ntc_row *row, uint64_t entries)
{
	double weight = 0;
	uint64_t used = 0;

	/* Nobody: a new one. */
	(void)ntc_ghosts_take(&evict->ghosts, &row->digest, &weight, &used);
	row->weight = ntc_evict_weight(weight, rounds_between(used, row->used, entries));
	value_row(evict, row, entries);
}

void ntc_evict_use(struct ntc_evict *evict, struct ntc_row *row, uint64_t used, uint64_t entries)
{
	row->weight = ntc_evict_weight(row->weight, rounds_between(row->used, used, entries));
	row->used = used > row->used ? used : row->used;
	value_row(evict, row, entries);
}

void ntc_evict_gone(struct ntc_evict *evict, const struct ntc_row *row)
{
	learn(evict, ntc_evict_density(row->weight, row->cost_ns, room_of(evict, row->size)));
	if (row->value > evict->inflation)
		evict->inflation = row->value;
	ntc_ghosts_add(&evict->ghosts, &row->digest, row->weight, row->used);
}

/* --- kept --------------------------------------------------------------------------------- */

static void store_double(uint8_t *p, double value)
{
	uint64_t bits;

	memcpy(&bits, &value, sizeof(bits));
	ntc_store64(p, bits);
}

static double load_double(const uint8_t *p)
{
	uint64_t bits = ntc_load64(p);
	double value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

void ntc_evict_save(const struct ntc_evict *evict, uint8_t out[NTC_EVICT_SIZE])
{
	ntc_store64(out, MAGIC << 32 | evict->shadow.chosen);
	store_double(out + 8, evict->inflation);
	store_double(out + 16, evict->typical);
	store_double(out + 24, evict->seen);
}

bool ntc_evict_load(struct ntc_evict *evict, const void *p, size_t len)
{
	const uint8_t *in = p;
	double inflation, typical, seen;

	if (len != NTC_EVICT_SIZE || ntc_load64(in) >> 32 != MAGIC || (uint32_t)ntc_load64(in) >= NTC_SHADOWS)
		return false;
	inflation = load_double(in + 8);
	typical = load_double(in + 16);
	seen = load_double(in + 24);
	if (!(inflation >= 0 && inflation <= VALUE_MAX) || !isfinite(typical) ||
	    !(seen >= 0 && seen <= SEEN_MAX))
		return false;
	evict->shadow.chosen = (uint32_t)ntc_load64(in);
	evict->inflation = inflation;
	evict->typical = typical;
	evict->seen = seen;
	return true;
}
