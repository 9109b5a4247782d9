/* The clairvoyant; see clairvoyant.h. Prices are kept for windows of steps, and are the same within one. */
#include "bench/clairvoyant.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "bench/heap.h"

#define WINDOWS 400u
#define ROUNDS 60u

/* A step, as prices are found by it. */
struct step {
	unsigned window;
	double in_window; /* steps of it before this one */
};

struct interval {
	double worth, size;   /* seconds, bytes */
	struct step from, to; /* uses: kept from behind the one up to the other */
};

struct prices {
	const struct ntc_trace *trace;
	struct interval *intervals;
	size_t count;
	double per_byte[WINDOWS]; /* for each step of the window */
	double sums[WINDOWS + 1]; /* of all steps before the window */
	double wanted[WINDOWS];   /* bytes times steps */
	double width;             /* steps of a window */
	double max_bytes;
};

static void *empty(size_t count, size_t size)
{
	void *p = calloc(count + 1, size);

	if (!p)
		abort();
	return p;
}

static struct step step_of(const struct prices *p, uint32_t use)
{
	unsigned w = (unsigned)(use / p->width);

	w = w < WINDOWS ? w : WINDOWS - 1;
	return (struct step){ .window = w, .in_window = use - w * p->width };
}

static void find_intervals(struct prices *p)
{
	const struct ntc_trace *trace = p->trace;
	uint32_t *last = empty(trace->entry_count, sizeof(*last)); /* use + 1 */

	p->intervals = empty(trace->use_count, sizeof(*p->intervals));
	for (uint32_t i = 0; i < trace->use_count; i++) {
		uint32_t entry = trace->uses[i].entry;
		const struct ntc_trace_entry *e = &trace->entries[entry];

		/* What does not fit, and what is worth nothing, is never kept. */
		if (last[entry] && e->size <= p->max_bytes && e->worth_ns)
			p->intervals[p->count++] =
				(struct interval){ .worth = (double)e->worth_ns / NTC_NS_PER_S,
						   .size = e->size,
						   .from = step_of(p, last[entry] - 1),
						   .to = step_of(p, i) };
		last[entry] = i + 1;
	}
	free(last);
}

/* --- prices ------------------------------------------------------------------------------- */

/* The price of a byte from the first step up to `step`. */
static double sum_to(const struct prices *p, struct step step)
{
	return p->sums[step.window] + step.in_window * p->per_byte[step.window];
}

static void add_up(struct prices *p)
{
	for (unsigned w = 0; w < WINDOWS; w++)
		p->sums[w + 1] = p->sums[w] + p->per_byte[w] * p->width;
}

/* The bound by these prices; and what they leave wanted. */
static double bound_of(struct prices *p)
{
	double bound = p->max_bytes * p->sums[WINDOWS];
	double whole[WINDOWS + 1] = { 0 };

	memset(p->wanted, 0, sizeof(p->wanted));
	for (size_t i = 0; i < p->count; i++) {
		const struct interval *in = &p->intervals[i];
		double left = in->worth - in->size * (sum_to(p, in->to) - sum_to(p, in->from));

		if (left <= 0)
			continue;
		bound += left;
		/* Whole windows, summed up below, from the first one on up to before the last; and the ends. */
		whole[in->from.window] += in->size;
		whole[in->to.window] -= in->size;
		p->wanted[in->from.window] -= in->size * in->from.in_window;
		p->wanted[in->to.window] += in->size * in->to.in_window;
	}
	for (unsigned w = 0; w < WINDOWS; w++) {
		p->wanted[w] += whole[w] * p->width;
		whole[w + 1] += whole[w];
	}
	return bound;
}

/* One price for all: halve the range until what is wanted is what there is. */
static double start(struct prices *p)
{
	double low = 0, high = 1, best = INFINITY;

	for (unsigned round = 0; round < 60; round++) {
		double middle = round < 2 ? (double)round : sqrt(low > 0 ? low * high : high * 1e-9), bound,
		       wanted = 0;

		for (unsigned w = 0; w < WINDOWS; w++)
			p->per_byte[w] = middle;
		add_up(p);
		bound = bound_of(p);
		best = bound < best ? bound : best;
		for (unsigned w = 0; w < WINDOWS; w++)
			wanted += p->wanted[w];
		if (wanted > p->max_bytes * p->width * WINDOWS)
			low = middle;
		else
			high = middle;
		if (low > 0 && high < low * 1.01)
			break;
	}
	return best;
}

/* Find good prices; what is left in *p are those of the best bound. */
static double find_prices(struct prices *p)
{
	double kept[WINDOWS], best = start(p), before;

	memcpy(kept, p->per_byte, sizeof(kept));
	for (unsigned round = 0; round < ROUNDS; round++) {
		double step = 0.5 / sqrt(1 + round);

		for (unsigned w = 0; w < WINDOWS; w++) {
			double excess = p->wanted[w] / (p->max_bytes * p->width) - 1;

			p->per_byte[w] *= exp(step * (excess > 1 ? 1 : excess));
		}
		add_up(p);
		before = best;
		best = fmin(best, bound_of(p));
		if (best < before)
			memcpy(kept, p->per_byte, sizeof(kept));
	}
	memcpy(p->per_byte, kept, sizeof(kept));
	add_up(p);
	return best;
}

/* --- the schedule ------------------------------------------------------------------------- */

static double replay(const struct prices *p)
{
	const struct ntc_trace *trace = p->trace;
	uint32_t *next = empty(trace->use_count, sizeof(*next)); /* 0: none */
	uint32_t *later = empty(trace->entry_count, sizeof(*later));
	double saved = 0, bytes = 0;
	struct ntc_heap heap;

	for (uint32_t i = (uint32_t)trace->use_count; i-- > 0;) {
		next[i] = later[trace->uses[i].entry];
		later[trace->uses[i].entry] = i;
	}
	ntc_heap_init(&heap, trace->entry_count);
	for (uint32_t i = 0; i < trace->use_count; i++) {
		uint32_t entry = trace->uses[i].entry;
		const struct ntc_trace_entry *e = &trace->entries[entry];

		if (ntc_heap_has(&heap, entry))
			saved += (double)e->worth_ns / NTC_NS_PER_S;
		else
			bytes += e->size;
		ntc_heap_set(&heap, entry,
			     next[i] ? (double)e->worth_ns / NTC_NS_PER_S / e->size -
					       sum_to(p, step_of(p, next[i]))
				     : -INFINITY);
		while (bytes > p->max_bytes) {
			bytes -= trace->entries[ntc_heap_top(&heap)].size;
			ntc_heap_remove(&heap, ntc_heap_top(&heap));
		}
	}
	ntc_heap_release(&heap);
	free(next);
	free(later);
	return saved;
}

struct ntc_clairvoyant ntc_clairvoyant(const struct ntc_trace *trace, uint64_t max_bytes)
{
	struct prices p = { .trace = trace, .max_bytes = (double)max_bytes };
	struct ntc_clairvoyant result;

	p.width = (double)trace->use_count / WINDOWS;
	find_intervals(&p);
	result.bound = find_prices(&p);
	result.achieved = replay(&p);
	free(p.intervals);
	return result;
}
