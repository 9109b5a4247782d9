/*
 * What the daemon counts (docs/stats.md). The counters of struct ntc_stats survive restarts; the rest of what STATS
 * answers is read off the parts of the server.
 */
#ifndef NTC_DAEMON_STATS_H
#define NTC_DAEMON_STATS_H

#include "proto/bytes.h"
#include "proto/ntcache_types.h"

/* X(member, name): kept across restarts. */
#define NTC_STATS_LIST(X) \
	X(requests, "requests") \
	X(hits_process, "hits.process") \
	X(hits_segment, "hits.segment") \
	X(hits_file, "hits.file") \
	X(hits_socket, "hits.socket") \
	X(misses, "misses") \
	X(leases, "leases") \
	X(leases_expired, "leases_expired") \
	X(leases_lost, "leases_lost") \
	X(waits, "waits") \
	X(handovers, "handovers") \
	X(circles, "circles") \
	X(makes, "makes") \
	X(failures_deterministic, "failures.deterministic") \
	X(failures_transient, "failures.transient") \
	X(collisions, "collisions") \
	X(differs, "differs") \
	X(puts, "puts") \
	X(puts_known, "puts_known") \
	X(puts_refused, "puts_refused") \
	X(imports, "imports") \
	X(slots_granted, "slots_granted") \
	X(slots_over, "slots_over") \
	X(make_time_ns, "make_time_ns") \
	X(saved_time_ns, "saved_time_ns")

struct ntc_stats {
#define X(member, name) uint64_t member;
	NTC_STATS_LIST(X)
#undef X
	uint64_t hits_by_kind[NTC_KIND_TUNING + 1];     /* "hits.kind.KIND" */
	uint64_t makes_by_kind[NTC_KIND_TUNING + 1];    /* "makes.KIND" */
};

/* Add counters that were saved (a field list, checked; may be empty) to *stats. Names that are not known are left out. */
void ntc_stats_load(struct ntc_stats *stats, struct ntc_view saved);

/* `cost_ns` did not have to be spent, so many times. Clients say both, so this stops at the top. */
void ntc_stats_saved_time(struct ntc_stats *stats, uint64_t cost_ns, uint64_t times);

/* One counter more for a field list that is being collected. */
struct ntc_counter {
	char name[32];
	uint64_t value;
};

/* The counters of *stats into `out`; returns how many, at most NTC_STATS_COUNT. */
#define NTC_STATS_COUNT 64
size_t ntc_stats_list(const struct ntc_stats *stats, struct ntc_counter out[NTC_STATS_COUNT]);

/* Append one to a list of `n`; returns n + 1. */
size_t ntc_counter_add(struct ntc_counter *list, size_t n, const char *prefix, const char *name, uint64_t value);

/*
 * Sort `n` counters (at most NTC_COUNTERS_MAX) by name and write them as a field list of kind 0. Values beyond INT64_MAX are written as that.
 * Returns the bytes written, or 0 if they do not fit.
 */
#define NTC_COUNTERS_MAX 128
size_t ntc_counters_write(struct ntc_counter *list, size_t n, uint8_t *out, size_t cap);

#endif
