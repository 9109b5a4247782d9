/*
 * A cache directory for a bench: a store without a daemon, filled with numbered entries and read back. A call that
 * cannot do its work says so and ends the program.
 */
#ifndef NTC_BENCH_CACHE_H
#define NTC_BENCH_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/bench.h"

/* The keys are of kind handle, with the fields n (an int) and program: */
#define NTC_BENCH_PROGRAM "a_kernel_with_a_name"

struct ntc_bench_cache {
	char dir[256];
	struct ntc_store *store;
	uint64_t inline_max;
};

/* Open `DIR/NAME`, made if it is not there; images up to `inline_max` bytes go into the index. Relaxed: as the daemon's
 * --durability says. */
void ntc_bench_cache_open(struct ntc_bench_cache *cache, const char *dir, const char *name, uint64_t inline_max,
			  bool relaxed);
void ntc_bench_cache_close(struct ntc_bench_cache *cache);

/* Put the entries `from` to `from + count - 1`, each an image of `size` bytes (a multiple of 64, at least 512), up to
 * `together` under way at once, and wait until all are durable. Times (may be NULL): from put to durable. */
void ntc_bench_cache_put(struct ntc_bench_cache *cache, uint64_t from, uint64_t count, size_t size, unsigned together,
			 struct ntc_bench_times *times);

/* Load one of them, one at a time, and compare its key. */
void ntc_bench_cache_load(struct ntc_bench_cache *cache, uint64_t n);

/* The path of its file below the directory, as a client opens it. */
void ntc_bench_cache_path(uint64_t n, char path[64]);

/* What the directory takes on the disk: bytes of blocks, and inodes. */
void ntc_bench_cache_space(const struct ntc_bench_cache *cache, uint64_t *bytes, uint64_t *inodes);

#endif
