/*
 * What knowing the future would save: a bound that no way of evicting can pass, and a schedule that comes near it.
 *
 * From a use of an entry to its next one is an interval: keeping the entry for all of it saves its worth w and
 * takes its size s at every step between. The best choice of intervals under the cache's size C at every step is
 * NP-hard for sizes that differ. With any prices p(t) >= 0 for a byte during a step t,
 *
 *     sum over t of C * p(t)  +  sum over intervals of max(0, w - s * sum of p over the interval)
 *
 * is at least what the best choice saves: each chosen interval saves at most what it pays for its bytes and its
 * part of the second sum, and no more than C bytes can be paid for at a step. This holds whatever the prices, so the
 * bound is sound even where they are not the best. One price for all steps is the fractional knapsack over bytes
 * times steps; from there, prices rise where more than C is wanted and fall where less is, for some
 * rounds, and the smallest bound is taken. (The best prices give the linear relaxation's value.)
 *
 * The schedule spends by those prices: what has the least worth left for a byte, after paying for the rest of its
 * interval, goes first. It is a real replay, never above the cache's size.
 */
#ifndef NTC_BENCH_CLAIRVOYANT_H
#define NTC_BENCH_CLAIRVOYANT_H

#include "bench/traces.h"

struct ntc_clairvoyant {
	double bound, achieved; /* seconds saved */
};

struct ntc_clairvoyant ntc_clairvoyant(const struct ntc_trace *trace, uint64_t max_bytes);

#endif
