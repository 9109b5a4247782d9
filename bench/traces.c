/* Traces; see traces.h. */
#include "bench/traces.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "bench/random.h"

#define DAY_S 86400u
#define NONE UINT32_MAX

/* A trace being drawn. */
struct draft {
	struct ntc_trace *trace;
	struct ntc_random random;
	size_t entry_room, use_room;
};

const char *const ntc_trace_names[NTC_TRACES] = { "zipf", "scans", "ci", "desks", "liars" };

static void *resize(void *p, size_t count, size_t size)
{
	p = reallocarray(p, count, size);
	if (!p)
		abort();
	return p;
}

/* --- entries and uses --------------------------------------------------------------------- */

static double clamp(double value, double low, double high)
{
	return value < low ? low : value > high ? high : value;
}

static uint32_t add_entry(struct draft *d, double size, double cost_s, double worth_s)
{
	struct ntc_trace *trace = d->trace;

	if (trace->entry_count == d->entry_room) {
		d->entry_room = d->entry_room ? d->entry_room * 2 : 4096;
		trace->entries = resize(trace->entries, d->entry_room, sizeof(*trace->entries));
	}
	trace->entries[trace->entry_count] = (struct ntc_trace_entry){
		.size = (uint32_t)size,
		.cost_ns = (uint64_t)(cost_s * NTC_NS_PER_S),
		.worth_ns = (uint64_t)(worth_s * NTC_NS_PER_S),
	};
	trace->bytes += (uint64_t)size;
	return (uint32_t)trace->entry_count++;
}

static uint32_t new_entry(struct draft *d)
{
	/* Medians and deviations of the logarithms; what is dear for its sort tends to be large for it. */
	static const struct sort {
		double share, kib, kib_dev, cost_s, cost_dev;
	} sorts[] = {
		{ 0.25, 4, 0.8, 0.030, 0.8 },  /* recipes, sources */
		{ 0.65, 24, 1.0, 0.400, 1.2 }, /* kernels */
		{ 0.10, 400, 0.8, 6.0, 0.8 },  /* libraries */
	};
	double dice = ntc_random_unit(&d->random), z = ntc_random_normal(&d->random), size, cost;
	const struct sort *sort = &sorts[dice < sorts[0].share                    ? 0
					 : dice < sorts[0].share + sorts[1].share ? 1
										  : 2];

	size = clamp(sort->kib * 1024 * exp(sort->kib_dev * z), 1024, 2 << 20);
	z = 0.5 * z + 0.866 * ntc_random_normal(&d->random);
	cost = clamp(sort->cost_s * exp(sort->cost_dev * z), 0.005, 20);
	return add_entry(d, size, cost, cost);
}

static void use_reporting(struct draft *d, uint32_t entry, double time_s, uint32_t reports)
{
	struct ntc_trace *trace = d->trace;

	if (trace->use_count == d->use_room) {
		d->use_room = d->use_room ? d->use_room * 2 : 65536;
		trace->uses = resize(trace->uses, d->use_room, sizeof(*trace->uses));
	}
	trace->uses[trace->use_count++] =
		(struct ntc_trace_use){ .entry = entry, .time_s = (uint32_t)time_s, .reports = reports };
}

static void use(struct draft *d, uint32_t entry, double time_s)
{
	use_reporting(d, entry, time_s, 1);
}

/* By time; of one second in the order in which they were drawn (a merge sort, so it is stable). */
static void sort_uses(struct ntc_trace *trace)
{
	struct ntc_trace_use *from = trace->uses, *to = resize(NULL, trace->use_count + 1, sizeof(*to)),
			     *swap;
	size_t n = trace->use_count;

	for (size_t width = 1; width < n; width *= 2) {
		for (size_t low = 0; low < n; low += 2 * width) {
			size_t middle = low + width < n ? low + width : n,
			       high = low + 2 * width < n ? low + 2 * width : n;
			size_t a = low, b = middle;

			for (size_t i = low; i < high; i++)
				to[i] = a < middle && (b == high || from[a].time_s <= from[b].time_s)
						? from[a++]
						: from[b++];
		}
		swap = from;
		from = to;
		to = swap;
	}
	trace->uses = from;
	free(to);
}

/* --- Zipf's law, with ranks that shift ---------------------------------------------------- */

struct zipf {
	uint32_t *by_rank; /* entries */
	double *sums;      /* of the ranks' weights, up to each */
	uint32_t count;
};

static void zipf_init(struct draft *d, struct zipf *z, uint32_t count, double exponent)
{
	double sum = 0;

	z->count = count;
	z->by_rank = resize(NULL, count, sizeof(*z->by_rank));
	z->sums = resize(NULL, count, sizeof(*z->sums));
	for (uint32_t i = 0; i < count; i++) {
		z->by_rank[i] = new_entry(d);
		z->sums[i] = sum += pow(i + 1, -exponent);
	}
}

static void zipf_release(struct zipf *z)
{
	free(z->by_rank);
	free(z->sums);
}

static uint32_t zipf_draw(struct draft *d, const struct zipf *z)
{
	double at = ntc_random_unit(&d->random) * z->sums[z->count - 1];
	uint32_t low = 0, high = z->count - 1;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (z->sums[middle] > at)
			high = middle;
		else
			low = middle + 1;
	}
	return z->by_rank[low];
}

/* Two change places: any, and one of a rank that is as likely to be below 100 as above (of 10,000). */
static void zipf_shift(struct draft *d, struct zipf *z)
{
	uint32_t a = (uint32_t)exp(ntc_random_unit(&d->random) * log(z->count)) - 1;
	uint32_t b = ntc_random_below(&d->random, z->count), swap = z->by_rank[a];

	z->by_rank[a] = z->by_rank[b];
	z->by_rank[b] = swap;
}

static void draw_zipf(struct draft *d)
{
	struct zipf z;

	zipf_init(d, &z, 15000, 0.9);
	for (uint32_t i = 0; i < 100000; i++) {
		if (i % 50 == 49)
			zipf_shift(d, &z);
		for (uint32_t k = 0; i % 30000 == 29999 && k < z.count; k++)
			if (ntc_random_below(&d->random, 5) == 0)
				z.by_rank[k] = new_entry(d);
		use(d, zipf_draw(d, &z), i * 2);
	}
	zipf_release(&z);
}

static void draw_scans(struct draft *d)
{
	enum { SWEEP = 1500, SWEEPS_MAX = 64 };
	uint32_t sweeps[SWEEPS_MAX], count = 0, at = 0, first = NONE;
	struct zipf z;

	zipf_init(d, &z, 6000, 0.9);
	for (uint32_t i = 0; i < 100000; i++) {
		if (i % 100 == 99)
			zipf_shift(d, &z);
		/* A sweep begins about every 3000 uses, and takes every other use until it is through. */
		if (first == NONE && ntc_random_below(&d->random, 3000) == 0 && count < SWEEPS_MAX) {
			at = 0;
			if (count && ntc_random_unit(&d->random) < 0.4) {
				first = sweeps[ntc_random_below(&d->random, count)];
			} else {
				first = sweeps[count++] = (uint32_t)d->trace->entry_count;
				for (uint32_t k = 0; k < SWEEP; k++)
					(void)new_entry(d);
			}
		}
		if (first != NONE && i % 2) {
			use(d, first + at++, i * 2);
			if (at == SWEEP)
				first = NONE;
		} else {
			use(d, zipf_draw(d, &z), i * 2);
		}
	}
	zipf_release(&z);
}

static void draw_liars(struct draft *d)
{
	enum { LIES = 1000 };
	uint32_t lies[LIES], count = 0;
	struct zipf z;

	zipf_init(d, &z, 12000, 0.9);
	for (uint32_t i = 0; i < 80000; i++) {
		if (i % 50 == 49)
			zipf_shift(d, &z);
		use(d, zipf_draw(d, &z), i * 2);
		if (i % 40 != 39)
			continue;
		/* One more lie, and one that was told before. */
		if (count < LIES && i % 80 == 79)
			lies[count++] =
				add_entry(d, ntc_random_between(&d->random, 64 << 10, 2 << 20), 3600, 0);
		if (count)
			use_reporting(d, lies[ntc_random_below(&d->random, count)], i * 2, 1000000);
	}
	zipf_release(&z);
}

/* --- a day of CI -------------------------------------------------------------------------- */

enum { SUITES = 25, SUITE = 100, BRANCHES = 240, BRANCH_SUITES = 2 };

struct branch {
	uint32_t suites[BRANCH_SUITES];
	uint32_t variants[BRANCH_SUITES][SUITE]; /* NONE: as in the core */
	double changed;                          /* the share of its suites' entries that its edits reach */
};

/* A job: some suites, one after the other, two to four entries a second. */
static double run_suite(struct draft *d, uint32_t (*core)[SUITE], const struct branch *branch, uint32_t suite,
			double at)
{
	for (uint32_t i = 0; i < SUITE; i++) {
		uint32_t entry = core[suite][i];

		for (unsigned s = 0; branch && s < BRANCH_SUITES; s++)
			if (branch->suites[s] == suite && branch->variants[s][i] != NONE)
				entry = branch->variants[s][i];
		/* Skipped tests and shards. */
		if (ntc_random_unit(&d->random) < 0.9)
			use(d, entry, at);
		at += ntc_random_between(&d->random, 0.25, 0.5);
	}
	return at;
}

/* An edit: some of the entries that it reaches become others. */
static void edit(struct draft *d, struct branch *branch, double share)
{
	for (unsigned s = 0; s < BRANCH_SUITES; s++)
		for (uint32_t i = 0; i < SUITE; i++)
			if (ntc_random_unit(&d->random) < branch->changed * share)
				branch->variants[s][i] = new_entry(d);
}

static double push(struct draft *d, uint32_t (*core)[SUITE], const struct branch *branch, double at)
{
	/* The smoke tests, its own suites, and one or two that somebody thought might be touched. */
	at = run_suite(d, core, branch, 0, at);
	for (unsigned s = 0; s < BRANCH_SUITES; s++)
		at = run_suite(d, core, branch, branch->suites[s], at);
	for (uint32_t n = 1 + ntc_random_below(&d->random, 2); n; n--)
		at = run_suite(d, core, branch, ntc_random_below(&d->random, SUITES), at);
	return at;
}

static void draw_branch(struct draft *d, uint32_t (*core)[SUITE], double at)
{
	uint32_t pushes = 1;
	struct branch branch;

	memset(branch.variants, 0xff, sizeof(branch.variants));
	for (unsigned s = 0; s < BRANCH_SUITES; s++)
		branch.suites[s] = 1 + ntc_random_below(&d->random, SUITES - 1);
	branch.changed = ntc_random_between(&d->random, 0.05, 0.6);
	while (pushes < 5 && ntc_random_unit(&d->random) < 0.45)
		pushes++;
	edit(d, &branch, 1);
	for (uint32_t n = 0; n < pushes; n++) {
		at = push(d, core, &branch, at) + ntc_random_between(&d->random, 300, 5400);
		/* Otherwise it only ran again. */
		if (ntc_random_unit(&d->random) < 0.7)
			edit(d, &branch, ntc_random_between(&d->random, 0.1, 0.8));
	}
	if (ntc_random_unit(&d->random) >= 0.05)
		return;
	/* Merged: what it changed is the core's from now on. Branches under way go on with what they had in common. */
	for (unsigned s = 0; s < BRANCH_SUITES; s++)
		for (uint32_t i = 0; i < SUITE; i++)
			if (branch.variants[s][i] != NONE)
				core[branch.suites[s]][i] = branch.variants[s][i];
	for (unsigned s = 0; s < BRANCH_SUITES; s++)
		at = run_suite(d, core, NULL, branch.suites[s], at);
}

static int by_time(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void draw_ci(struct draft *d)
{
	static const double nights[] = { 0, 0.97 * DAY_S };
	uint32_t core[SUITES][SUITE];
	double begins[BRANCHES];

	for (unsigned s = 0; s < SUITES; s++)
		for (unsigned i = 0; i < SUITE; i++)
			core[s][i] = new_entry(d);
	/* Most begin between nine and six. Who begins later sees what those before merged, even if a little early. */
	for (unsigned i = 0; i < BRANCHES; i++)
		begins[i] = clamp((13.5 + 3.5 * ntc_random_normal(&d->random)) * 3600, 7200, DAY_S - 7200);
	qsort(begins, BRANCHES, sizeof(*begins), by_time);
	for (unsigned s = 0; s < SUITES; s++)
		(void)run_suite(d, core, NULL, s, nights[0] + s * 60);
	for (unsigned i = 0; i < BRANCHES; i++)
		draw_branch(d, core, begins[i]);
	for (unsigned s = 0; s < SUITES; s++)
		(void)run_suite(d, core, NULL, s, nights[1] + s * 60);
}

/* --- people at their desks ---------------------------------------------------------------- */

enum { PEOPLE = 30, DAYS = 4, SET_MAX = 400, SHARED = 3000 };

struct person {
	uint32_t set[SET_MAX];
	uint32_t count;
};

/* Some minutes of edit and run: each run uses a stretch of the working set, some of it new since the last. */
static void draw_session(struct draft *d, struct person *person, double at)
{
	uint32_t runs = 5 + ntc_random_below(&d->random, 16),
		 from = ntc_random_below(&d->random, person->count);

	for (uint32_t run = 0; run < runs; run++) {
		uint32_t length = 20 + ntc_random_below(&d->random, 60);

		for (uint32_t i = 0; i < length; i++) {
			uint32_t *entry = &person->set[(from + i) % person->count], before = *entry;

			if (ntc_random_unit(&d->random) < 0.04)
				*entry = new_entry(d);
			use(d, *entry, at);
			/* Undone. */
			if (*entry != before && ntc_random_unit(&d->random) < 0.15)
				*entry = before;
			at += ntc_random_between(&d->random, 0.1, 1);
		}
		at += ntc_random_between(&d->random, 30, 600);
		if (ntc_random_unit(&d->random) < 0.2)
			from = ntc_random_below(&d->random, person->count);
	}
}

static void draw_desks(struct draft *d)
{
	struct person people[PEOPLE];
	uint32_t shared[SHARED];

	for (uint32_t i = 0; i < SHARED; i++)
		shared[i] = new_entry(d);
	for (unsigned p = 0; p < PEOPLE; p++) {
		people[p].count = 150 + ntc_random_below(&d->random, SET_MAX - 150);
		for (uint32_t i = 0; i < people[p].count; i++)
			people[p].set[i] = ntc_random_unit(&d->random) < 0.5
						   ? shared[ntc_random_below(&d->random, SHARED)]
						   : new_entry(d);
	}
	for (unsigned day = 0; day < DAYS; day++) {
		for (unsigned p = 0; p < PEOPLE; p++) {
			double morning = day * DAY_S + ntc_random_between(&d->random, 8, 11) * 3600;

			draw_session(d, &people[p], morning);
			draw_session(d, &people[p], morning + ntc_random_between(&d->random, 4, 7) * 3600);
			if (ntc_random_unit(&d->random) < 0.5)
				draw_session(d, &people[p],
					     morning + ntc_random_between(&d->random, 8, 11) * 3600);
		}
	}
}

/* --- a trace ------------------------------------------------------------------------------ */

void ntc_trace_draw(struct ntc_trace *trace, unsigned number, uint64_t seed)
{
	static void (*const draw[NTC_TRACES])(struct draft *) = { draw_zipf, draw_scans, draw_ci, draw_desks,
								  draw_liars };
	struct draft d = { .trace = trace, .random = { .state = seed * 1000 + number } };

	memset(trace, 0, sizeof(*trace));
	draw[number](&d);
	sort_uses(trace);
}

void ntc_trace_release(struct ntc_trace *trace)
{
	free(trace->entries);
	free(trace->uses);
	memset(trace, 0, sizeof(*trace));
}
