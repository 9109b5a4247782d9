/*
 * Rows of figures, collected over all benches in one file: a flat list in JSON,
 *
 *     { "bench": "hit-copy", "system": "lmdb", "size": 32768, "clients": 1, "p50_ns": ..., "p99_ns": ..., "ops_per_s": ... }
 *
 * where ours is "ntcache". Writing replaces the rows of the same bench and leaves the others.
 */
#ifndef NTC_BENCH_RESULTS_H
#define NTC_BENCH_RESULTS_H

#include <stddef.h>

struct ntc_bench_row {
	const char *bench, *system; /* borrowed until they are written */
	size_t size;
	unsigned clients;
	double p50_ns, p99_ns, ops_per_s;
};

/* Write rows to build/bench/results.json, or $NTC_BENCH_RESULTS. */
void ntc_bench_results_write(const struct ntc_bench_row *rows, size_t count);

#endif
