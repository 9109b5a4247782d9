/*
 * Traces of uses for judging eviction: which entry is used when, what making it costs and how large it is.
 *
 * All are drawn from a seed alone, so that anybody gets the same ones. They were fixed before the policy
 * that they judge was written; whoever tunes a policy does so on seeds that the bench does not use
 * (docs/eviction.md).
 *
 * Sizes are 1 KiB to 2 MiB and costs 5 ms to 20 s, from a mixture of small recipes and sources (cheap), kernels
 * (mostly tens of KiB and hundreds of ms) and libraries (large and dear); within a sort, larger
 * ones tend to cost more.
 */
#ifndef NTC_BENCH_TRACES_H
#define NTC_BENCH_TRACES_H

#include <stddef.h>
#include <stdint.h>

struct ntc_trace_entry {
	uint64_t cost_ns;  /* that its maker named */
	uint64_t worth_ns; /* that a hit saves in truth: the same, or nothing where the maker lied */
	uint32_t size;
};

struct ntc_trace_use {
	uint32_t entry;
	uint32_t time_s;  /* since the trace began; never smaller than the one before */
	uint32_t reports; /* how often the user says that it used it: 1, or more where it lies */
};

struct ntc_trace {
	struct ntc_trace_entry *entries;
	struct ntc_trace_use *uses;
	size_t entry_count, use_count;
	uint64_t bytes; /* of all entries */
};

/*
 *     zipf     popularity by Zipf's law, the ranks always shifting; now and then a fifth of all keys
 *              changes at once, as after an upgrade of the compiler
 *     scans    a popular core, and sweeps over 1500 entries each: most of them new, some once more
 *     ci       a day of CI: branches that change some entries of a stable core, use them once or a few
 *              times, and are forgotten; a few are merged; a sweep over everything by night
 *     desks    people at their desks: working sets that drift with their edits, for hours, then not for a day
 *     liars    zipf, and somebody who names an hour as the cost of worthless entries and reports a million
 *              uses of each; only honest people's time counts
 */
extern const char *const ntc_trace_names[];
#define NTC_TRACES 5u

/* Draw a trace by its number in ntc_trace_names. Aborts without memory. Release with ntc_trace_release(). */
void ntc_trace_draw(struct ntc_trace *trace, unsigned number, uint64_t seed);
void ntc_trace_release(struct ntc_trace *trace);

#endif
