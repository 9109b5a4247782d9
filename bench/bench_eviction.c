/*
 * Ways of evicting, by the seconds of making that they save: FIFO, LRU, LRU by size, GDSF, ours, and what knowing
 * the future would save, on five traces (traces.h) of ten seeds each, in caches of four sizes.
 *
 * Prints for each trace and size the median over the seeds, and its ratio to ours.
 *
 *     eviction [--seeds FIRST-LAST] [--trace NAME]
 *
 * Seeds 1 to 10 judge; a policy is tuned with others.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "bench/clairvoyant.h"
#include "bench/policies.h"

#define SEEDS_MAX 64u

enum { ACHIEVED = NTC_POLICIES, BOUND, COLUMNS };

/* Of the bytes of all entries of the trace. */
static const unsigned percents[] = { 3, 6, 12, 25 };
#define SIZES (sizeof(percents) / sizeof(*percents))

static double saved[SIZES][COLUMNS][SEEDS_MAX];

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(const double *values, size_t count)
{
	double sorted[SEEDS_MAX];

	memcpy(sorted, values, count * sizeof(*values));
	qsort(sorted, count, sizeof(*sorted), compare);
	return (sorted[(count - 1) / 2] + sorted[count / 2]) / 2;
}

static void replay(unsigned number, uint64_t seed, size_t at)
{
	struct ntc_trace trace;

	ntc_trace_draw(&trace, number, seed);
	if (at == 0) {
		double made = 0;

		for (size_t i = 0; i < trace.use_count; i++)
			made += (double)trace.entries[trace.uses[i].entry].worth_ns / NTC_NS_PER_S;
		printf("%s: seed %llu has %zu uses of %zu entries, %.0f MiB; without a cache %.0f s\n",
		       ntc_trace_names[number], (unsigned long long)seed, trace.use_count, trace.entry_count,
		       (double)trace.bytes / (1 << 20), made);
	}
	for (size_t s = 0; s < SIZES; s++) {
		uint64_t max_bytes = trace.bytes / 100 * percents[s];
		struct ntc_clairvoyant clairvoyant = ntc_clairvoyant(&trace, max_bytes);

		for (unsigned p = 0; p < NTC_POLICIES; p++)
			saved[s][p][at] = ntc_policy_saves(p, &trace, max_bytes);
		saved[s][ACHIEVED][at] = clairvoyant.achieved;
		saved[s][BOUND][at] = clairvoyant.bound;
		for (unsigned c = 0; c < BOUND; c++) {
			if (saved[s][c][at] > clairvoyant.bound * (1 + 1e-9)) {
				fprintf(stderr, "%s of seed %llu: above the bound, so the bound is none\n",
					ntc_trace_names[number], (unsigned long long)seed);
				exit(1);
			}
		}
	}
	ntc_trace_release(&trace);
}

/* Returns on how many sizes ours is not within 1 % of the best. */
static unsigned report(size_t seeds)
{
	unsigned behind = 0;

	printf("  %5s", "cache");
	for (unsigned c = 0; c < COLUMNS; c++)
		printf("  %18s", c == ACHIEVED ? "clairvoyant" : c == BOUND ? "bound" : ntc_policy_names[c]);
	printf("\n");
	for (size_t s = 0; s < SIZES; s++) {
		double medians[COLUMNS], best = 0;

		for (unsigned c = 0; c < COLUMNS; c++)
			medians[c] = median(saved[s][c], seeds);
		printf("  %3u %%", percents[s]);
		for (unsigned c = 0; c < COLUMNS; c++) {
			printf("  %9.0f s %6.3fx", medians[c], medians[c] / medians[NTC_POLICY_OURS]);
			if (c < NTC_POLICIES && medians[c] > best)
				best = medians[c];
		}
		printf("\n");
		behind += medians[NTC_POLICY_OURS] < best * 0.99;
	}
	return behind;
}

int main(int argc, char **argv)
{
	unsigned long first = 1, last = 10;
	uint64_t begun = ntc_clock_mono_ns();
	unsigned rows = 0, behind = 0;
	const char *only = NULL;

	for (int i = 1; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--seeds") == 0 && strchr(argv[i + 1], '-')) {
			first = strtoul(argv[i + 1], NULL, 10);
			last = strtoul(strchr(argv[i + 1], '-') + 1, NULL, 10);
		} else if (strcmp(argv[i], "--trace") == 0) {
			only = argv[i + 1];
		}
	}
	if (argc % 2 == 0 || last < first || last - first >= SEEDS_MAX) {
		fprintf(stderr, "usage: eviction [--seeds FIRST-LAST] [--trace NAME]\n");
		return 2;
	}
	printf("seconds saved: median over seeds %lu to %lu, and as a multiple of ours\n", first, last);
	for (unsigned number = 0; number < NTC_TRACES; number++) {
		if (only && strcmp(only, ntc_trace_names[number]) != 0)
			continue;
		for (unsigned long seed = first; seed <= last; seed++)
			replay(number, seed, seed - first);
		behind += report(last - first + 1);
		rows += SIZES;
		fflush(stdout);
	}
	printf("ours saves at least 99 %% of what the best of the others does in %u of %u rows; took %.0f "
	       "s\n",
	       rows - behind, rows, (double)(ntc_clock_mono_ns() - begun) / NTC_NS_PER_S);
	return 0;
}
