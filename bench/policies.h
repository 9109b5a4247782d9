/*
 * Replays of a trace through a cache of a given size: what each way of evicting saves.
 *
 * All have the same rules: who uses what is not there makes it and puts it, and then entries go while there are
 * more bytes than the cache may have. They differ in what goes. FIFO, LRU, LRU by size and GDSF take just as
 * much as must go; ours calls the functions of store/evict.h, with all that the daemon does round them.
 */
#ifndef NTC_BENCH_POLICIES_H
#define NTC_BENCH_POLICIES_H

#include "bench/traces.h"

enum ntc_policy {
	NTC_POLICY_FIFO,
	NTC_POLICY_LRU,
	NTC_POLICY_LRU_SIZE, /* size-adjusted LRU: what has the largest product of size and time since its use goes */
	NTC_POLICY_GDSF, /* greedy dual size frequency: the smallest L + uses * cost / size goes, and L becomes that */
	NTC_POLICY_OURS,
	NTC_POLICIES,
};

extern const char *const ntc_policy_names[NTC_POLICIES];

/* Seconds of making that hits saved. */
double ntc_policy_saves(enum ntc_policy policy, const struct ntc_trace *trace, uint64_t max_bytes);

#endif
