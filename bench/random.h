/* Random numbers for benches: the same everywhere for the same seed (splitmix64). */
#ifndef NTC_BENCH_RANDOM_H
#define NTC_BENCH_RANDOM_H

#include <math.h>
#include <stdint.h>

struct ntc_random {
	uint64_t state;
};

static inline uint64_t ntc_random_next(struct ntc_random *r)
{
	uint64_t z = r->state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* In [0, 1). */
static inline double ntc_random_unit(struct ntc_random *r)
{
	return (double)(ntc_random_next(r) >> 11) * 0x1p-53;
}

/* In [0, n), n < 2^32. The bias is below 2^-32. */
static inline uint32_t ntc_random_below(struct ntc_random *r, uint32_t n)
{
	return (uint32_t)(((ntc_random_next(r) >> 32) * n) >> 32);
}

static inline double ntc_random_between(struct ntc_random *r, double low, double high)
{
	return low + (high - low) * ntc_random_unit(r);
}

/* Normally distributed: mean 0, deviation 1. */
static inline double ntc_random_normal(struct ntc_random *r)
{
	double u = 1 - ntc_random_unit(r), v = ntc_random_unit(r);

	return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

#endif
