/*
 * What the benches share: a private directory on a disk, times and their quantiles, random numbers. A call that
 * cannot do its work says so and ends the program.
 */
#ifndef NTC_BENCH_BENCH_H
#define NTC_BENCH_BENCH_H

#include <stddef.h>
#include <stdint.h>

/* Say why (like printf, one line) and end the program. */
_Noreturn void ntc_bench_die(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* --- a directory -------------------------------------------------------------------------- */

struct ntc_bench_dir {
	char path[240];
	char filesystem[64];    /* "ext4" ..., with a word where it is none of a disk */
};

/* Make a private directory below `below` (NULL: below build/). */
void ntc_bench_dir_make(struct ntc_bench_dir *dir, const char *below);
void ntc_bench_dir_remove(struct ntc_bench_dir *dir);

/* --- times -------------------------------------------------------------------------------- */

/* Zero-initialise. */
struct ntc_bench_times {
	uint64_t *ns;
	size_t count, room;
};

void ntc_bench_add(struct ntc_bench_times *times, uint64_t ns);
/* q from 0 to 1; 0 without times. Sorts them. */
uint64_t ntc_bench_quantile(struct ntc_bench_times *times, double q);
void ntc_bench_release(struct ntc_bench_times *times);

/* --- chance ------------------------------------------------------------------------------- */

uint64_t ntc_bench_random(void);

#endif
